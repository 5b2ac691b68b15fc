"""NAS-Bench-NLP logs: self-made ones, real ones, and those that are refused."""

import json

import jax
import numpy as np
import official_files
import pytest
import shared
from official_files import nlp_log

from nasjax import nasbench
from nasjax.core.errors import DataError, UnknownArchitecture
from nasjax.nasbench.readers import nasbench_nlp
from nasjax.spaces import nasbench_nlp_recipes as recipes

OTHER = {
    "a": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_sigm", "input": ["a"]},
}
RENAMED = {
    "h_new_0": {"op": "activation_sigm", "input": ["zz"]},
    "zz": {"op": "linear", "input": ["h_prev_0", "x"]},
}
UNUSED = {**OTHER, "b": {"op": "activation_tanh", "input": ["a"]}}


@pytest.fixture
def archive(tmp_path):
    files = {
        "logs/a.json": nlp_log(epochs=5, seed=1),
        "logs/b.json": nlp_log(OTHER, epochs=5, seed=2),
        "logs/c.json": nlp_log(RENAMED, epochs=5, recorded=3, seed=3),
        "logs/d.json": nlp_log(UNUSED, epochs=5),
        "logs/readme.txt": "not a log",
    }
    official_files.write_zip(tmp_path / "logs.zip", files)
    return tmp_path / "logs.zip"


def test_isomorphic_recipes_are_seeds_of_one_row(archive, capsys):
    output = archive.with_suffix(".safetensors")
    nasbench.convert(archive, output)
    assert "left out 1 recipes" in capsys.readouterr().out
    table = nasbench.load(output)
    assert table.metric == "loss" and table.epochs == (1, 2, 3, 4, 5)
    assert table.archs.shape[0] == 2
    arch = recipes.parse_arch(json.dumps(OTHER))
    same = recipes.parse_arch(json.dumps(RENAMED))
    whole = json.loads(nlp_log(OTHER, epochs=5, seed=2))
    for genes in (arch, same):
        found = table.evaluate_seed(0, genes, 5)
        np.testing.assert_allclose(found.valid, -whole["val_losses"][-1], rtol=1e-6)
        np.testing.assert_allclose(found.test, -whole["test_losses"][-1], rtol=1e-6)
        np.testing.assert_allclose(found.cost, 5 * 140.5, rtol=1e-6)
        np.testing.assert_allclose(found.curve, -np.array(whole["val_losses"]))
    # The second training diverged in its third epoch.
    diverged = json.loads(nlp_log(RENAMED, epochs=5, recorded=3, seed=3))
    curve = table.evaluate_seed(1, arch, 5).curve
    np.testing.assert_allclose(curve[:2], -np.array(diverged["val_losses"][:2]))
    assert np.isnan(curve[2:]).all()
    assert np.isnan(table.evaluate_seed(1, arch, 3).valid)
    np.testing.assert_allclose(
        table.evaluate_seed(1, arch, 3).test, -diverged["test_losses"][2], rtol=1e-6
    )
    drawn = table.curve(jax.random.key(0), arch, "train_loss")
    assert drawn.shape == (5,) and (drawn[:3] > 0).all()


def test_at_most_eight_trainings_of_a_recipe_are_kept(tmp_path, capsys):
    files = {f"{i}.json": nlp_log(epochs=2, seed=i) for i in range(11)}
    official_files.write_zip(tmp_path / "logs.zip", files)
    nasbench.convert(tmp_path / "logs.zip", tmp_path / "out.safetensors")
    assert "left out 3 trainings" in capsys.readouterr().out
    table = nasbench.load(tmp_path / "out.safetensors")
    assert table.seeds == tuple(range(8))
    sidecar = json.loads((tmp_path / "out.safetensors.json").read_text())
    assert sidecar["source"]["trainings_left_out"] == 3
    assert len(nasbench_nlp.read_logs(tmp_path / "logs.zip")[0]) == 11


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"not json",
        b"[" * 100_000,
        nlp_log(epochs=10**9, recorded=1).encode(),
        nlp_log(epochs=5, val_losses="many").encode(),
        nlp_log(epochs=5, val_losses=[1.0] * 6).encode(),
        nlp_log(epochs=5, val_losses=["x"]).encode(),
        nlp_log(epochs=5, num_params=float("inf")).encode(),
        json.dumps({"epochs": 5}).encode(),
    ],
)
def test_other_content_is_a_data_error(content):
    with pytest.raises(DataError, match="^file: not a NAS-Bench-NLP log") as caught:
        nasbench_nlp.parse_log(content, name="file")
    assert "\n" not in str(caught.value)


def test_recipes_outside_the_space_are_named():
    with pytest.raises(UnknownArchitecture, match="^file: .*'b'"):
        nasbench_nlp.parse_log(nlp_log(UNUSED, epochs=5).encode(), name="file")


def test_mixed_and_empty_archives_are_refused(tmp_path):
    path, output = tmp_path / "logs.zip", tmp_path / "out.safetensors"
    for files, message in [
        ({"a.json": nlp_log(epochs=5), "b.json": nlp_log(epochs=6)}, "several texts"),
        ({"a.txt": "x"}, "holds no log"),
        ({"a.json": nlp_log(UNUSED, epochs=5)}, "holds no log"),
        ({"../a.json": nlp_log(epochs=5)}, "leads out of a folder"),
        ({"a.json": " " * 2**21}, "refused 'a.json'"),
    ]:
        official_files.write_zip(path, files)
        with pytest.raises(DataError, match=message):
            nasbench.convert(path, output)
        assert not output.exists()


def test_the_real_logs(tmp_path):
    path = shared.shared_file("data/nasbench_nlp/train_logs_wikitext-2/logs.zip")
    logs, left_out = nasbench_nlp.read_logs(path)
    # Every recipe of the 240 is in the space of up to 15 nodes; two diverged.
    assert (len(logs), len(left_out)) == (240, 0)
    whole = [log for log in logs if np.isfinite(log.losses["valid"]).all()]
    assert len(whole) == 238
    # "12 nodes" counts x and the three previous states.
    steps = [(log.arch[:60].reshape(15, 4)[:, 0] >= 0).sum() for log in whole]
    assert sum(s + 4 <= 12 for s in steps) == 163
    nasbench.convert(path, tmp_path / "nlp.safetensors")
    table = nasbench.load(tmp_path / "nlp.safetensors")
    assert table.data_set == "wikitext-2" and len(table.epochs) == 50
    for log in logs[:20]:
        row = int(table.find(log.arch))
        finals = np.asarray(table.curves["valid_loss"].values[row, :, -1])
        assert log.losses["valid"][-1] in finals
