"""The published numbers at hand, through our tables: optima and seeds exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared
import shared_tables

from nasjax import nasbench
from nasjax.core import errors
from nasjax.nasbench import table_file
from nasjax.spaces import nasbench101, nasbench101_notation, nasbench201


@pytest.fixture(scope="module")
def nb201(tmp_path_factory):
    shared.shared_file("data/nasbench201/nasbench201_15625.csv.gz")
    path = tmp_path_factory.mktemp("tables") / "nasbench201.safetensors"
    return shared_tables.write_nasbench201(path)


@pytest.fixture(scope="module")
def columns():
    shared.shared_file("data/nasbench201/nasbench201_15625.csv.gz")
    return shared_tables.read_columns(shared_tables.NB201_CSV)


def percent(value):
    """Rounded to the three decimals of the published tables."""
    return np.round(100 * np.asarray(value, np.float64), 3)


def test_optima(nb201):
    table = nasbench.load(nb201)
    assert percent(table.optimum("test").value) == 94.373
    assert nasbench201.index(table.optimum("test").arch) in (6111, 13714)
    assert (
        percent(table.mean(nasbench201.from_index(jnp.int32(13714)), 200).test)
        == 94.373
    )
    for data_set, value, index in [
        ("cifar10", 91.607, 6111),
        ("cifar100", 73.493, 9930),
        ("ImageNet16-120", 46.733, 10676),
    ]:
        best = nasbench.load(nb201, data_set=data_set).optimum("valid")
        assert percent(best.value) == value and nasbench201.index(best.arch) == index


def test_disconnected_cells_are_at_chance(nb201):
    table = nasbench.load(nb201)
    cells = nasbench201.enumerate_cells()
    mean = jax.jit(jax.vmap(lambda arch: table.mean(arch, 200).test))(cells)
    connected = np.asarray(jax.vmap(nasbench201.is_connected)(cells))
    assert (~connected).sum() == 341
    np.testing.assert_array_equal(percent(mean)[~connected], 10.0)
    assert (percent(mean)[connected] > 10.0).all()


@pytest.mark.parametrize("data_set", shared_tables.DATA_SETS)
def test_every_seed_exactly(nb201, columns, data_set):
    table = nasbench.load(nb201, data_set=data_set)
    cells = nasbench201.enumerate_cells()
    assert columns["arch_str"][5] == nasbench201.format_arch(cells[5])
    prefix = shared_tables.DATA_SETS[data_set]
    evaluate = jax.jit(jax.vmap(table.evaluate_seed, (None, 0, None)))
    present = 0
    for s in range(3):
        found = evaluate(s, cells, 200)
        column = columns[f"{prefix}_val_acc_200ep_s{s}"]
        expected = np.array([float(text) if text else np.nan for text in column])
        # The file has up to five decimals of a percent.
        np.testing.assert_allclose(100 * np.asarray(found.valid), expected, atol=1e-5)
        present += np.isfinite(expected).sum()
    assert present == 3 * 15_625 - 7_456
    seconds = np.array(columns[f"{prefix}_train_time_s_200ep"], float)
    np.testing.assert_allclose(evaluate(2, cells, 200).cost, seconds, rtol=1e-6)


def test_what_the_csv_lacks_is_said(nb201):
    table = nasbench.load(nb201, data_set="cifar100")
    arch = nasbench201.from_index(jnp.int32(0))
    assert np.isnan(table.mean(arch, 200).test)
    with pytest.raises(errors.DataError, match="no 200-epoch test accuracy"):
        table.regret(arch)
    few = nasbench.load(nb201, data_set="cifar100", schedule=12)
    assert "12/200" in dict(few.notes)["seconds"]
    np.testing.assert_allclose(
        few.mean(arch, 12).cost, table.mean(arch, 200).cost * 12 / 200, rtol=1e-6
    )


def test_nasbench101_rows_are_found_from_any_writing(tmp_path):
    shared.shared_file("data/nasbench101/nasbench101_20k.csv.gz")
    path = shared_tables.write_nasbench101(tmp_path / "nasbench101.safetensors")
    columns = shared_tables.read_columns(shared_tables.NB101_CSV)
    table = table_file.load(path)
    archs = jnp.asarray(table.archs, jnp.int32)
    np.testing.assert_array_equal(
        jax.jit(jax.vmap(table.find))(archs), np.arange(20_001)
    )
    for place, epoch in enumerate(table.epochs):
        found = jax.jit(jax.vmap(table.mean, (0, None)))(archs, epoch)
        expected = np.array(columns[f"val_acc_{epoch}"], float)
        np.testing.assert_allclose(found.valid, expected, atol=1e-7)
        share = np.array(columns["train_time_s_108"], float) * epoch / 108
        np.testing.assert_allclose(found.cost, share, rtol=1e-5)
        np.testing.assert_allclose(found.curve[:, place], expected, atol=1e-7)
    for row in range(0, 20_001, 997):
        genes = np.asarray(archs[row])
        assert nasbench101_notation.module_hash(genes) == columns["key"][row]
        text = nasbench101_notation.format_arch(nasbench101.prune(archs[row]))
        assert int(table.find(nasbench101_notation.parse_arch(text))) == row


def test_the_script_writes_all_of_them(tmp_path, monkeypatch, capsys):
    shared.shared_file("data/cifar-10-batches-py")
    monkeypatch.setattr("sys.argv", ["shared_tables.py", f"--output={tmp_path}"])
    shared_tables.main()
    made = {path.name for path in tmp_path.iterdir()}
    assert {
        "nasbench101.safetensors",
        "nasbench201.safetensors",
        "nasbench_nlp.safetensors",
        "cifar-10-batches-py",
    } <= made
    assert str(tmp_path / "nasbench_nlp.safetensors") in capsys.readouterr().out
