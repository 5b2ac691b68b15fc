"""The configuration of table 3.4, and a search that it describes on digits."""

import importlib.util

import filled
import jax
import numpy as np
import pytest
import shared

from nasjax import spaces
from nasjax.core import arrays, errors
from nasjax.jobs import config_door
from nasjax.jobs.search import cells as search_cells
from nasjax.jobs.search import drive, trials
from nasjax.search import embedding_table
from nasjax.training import protocol

PATH = shared.ROOT / "configs" / "search" / "darts.py"
SPACE = spaces.make("darts_shared")


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("config_search_darts", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory):
    """Forty cells with vectors."""
    archs = jax.vmap(SPACE.sample)(jax.random.split(jax.random.key(0), 40))
    table = embedding_table.random_projection(
        jax.random.key(1), SPACE, archs, num_features=4
    )
    file = tmp_path_factory.mktemp("darts") / "embeddings.safetensors"
    arrays.save(file, {"archs": np.asarray(archs, np.int8), "vectors": table.vectors})
    return file


@pytest.mark.parametrize("preset", ["full", "cpu", "smoke"])
def test_every_algorithm_can_search_what_the_protocol_trains(
    module, embeddings, preset, monkeypatch
):
    config = module.get_config(preset)
    config.embeddings = str(embeddings)
    config.algorithms = module.ALGORITHMS
    monkeypatch.setattr(drive.architecture, "check", lambda *_: None)
    config = config_door.read(drive.Drive, filled.fill(config))
    made, entries = drive._check(config)
    assert made.space == "darts_shared"
    assert [entry.kind for entry in entries] == [
        "random_search",
        "bananas",
        "latent_reinforce",
        "latent_dngo",
    ]
    if preset == "full":
        # Section 3.4.2: 100 queries of 50 epochs, the mean of the last five.
        assert (config.budget.queries, made.epochs, made.label_epochs) == (100, 50, 5)
        assert [entry.size for entry in entries[2:]] == [16, 5]


def test_the_embeddings_are_asked_for(module):
    with pytest.raises(errors.ConfigError, match="arch2vec_rl: table=... is needed"):
        config = filled.fill(module.get_config("full"))
        drive._check(config_door.read(drive.Drive, config))


def test_presets_are_those_of_the_file_only(module):
    with pytest.raises(ValueError, match="unknown preset 'fulll'"):
        module.get_config("fulll")


def test_the_best_cell_is_drawn_and_its_commands_are_printed(
    module, tmp_path, capsys, monkeypatch
):
    """Two trainings of a tiny network on digits; cells without convolutions."""
    archs = np.zeros((4, 8, 2), np.int8)
    archs[..., 0] = np.arange(4)[:, None] % 3  # pooling and skipping
    archs[..., 1] = np.arange(8) % 2
    file = tmp_path / "embeddings.safetensors"
    vectors = np.arange(4, dtype=np.float32)[:, None]
    arrays.save(file, {"archs": archs.reshape(4, 16), "vectors": vectors})
    config = module.get_config("smoke")
    config.embeddings = str(file)
    config.algorithms = ("arch2vec_rl",)
    config.controls = ()
    config.budget.queries = 2
    config.settings.arch2vec_rl.num_hidden = 4
    monkeypatch.setattr(drive.figures, "draw", lambda *_, **__: None)
    folder = tmp_path / "run"
    outcome = trials.run(config.to_dict(), str(folder), "drive")
    found = outcome["algorithms"]["arch2vec_rl"]
    assert found["queries"] == 2 and 0 < found["final_test_mean"] < 1
    best = found["best"]
    assert SPACE.parse_arch(best).tolist() in archs.reshape(4, 16).tolist()
    drawn = folder / "figures" / "best_arch2vec_rl"
    assert (drawn / "cell_shared.png").stat().st_size > 1000
    text = (drawn / "cell_shared.svg").read_text()
    assert text.count('id="operation-') == 8 and 'id="weight-' not in text
    printed = capsys.readouterr().out
    for data_set in ("cifar10", "imagenet"):
        assert f"configs/train/darts_{data_set}.py" in printed
    assert printed.count(f'--config.arch="{best}"') == 2


def test_commands_are_those_of_rows_of_the_tables():
    arch = SPACE.format_arch(SPACE.sample(jax.random.key(2)))
    first, second = search_cells.commands("darts_shared", {"arch2vec_bo": arch})[
        "arch2vec_bo"
    ]
    assert '--config.label="arch2vec-BO"' in first and "(0,1,2,3,4)" in first
    assert second.endswith("--workdir=runs/arch2vec_bo_imagenet")


def test_a_genotype_has_the_edges_of_the_genes():
    arch = np.asarray(spaces.make("darts").sample(jax.random.key(5)))
    cells = search_cells.genotype(arch)["cells"]
    assert list(cells) == ["normal", "reduce"]
    genes = arch.reshape(2, 4, 2, 2)
    for cell, steps in zip(cells.values(), genes, strict=True):
        found = {
            (edge["target"] - 2, edge["source"]): edge["operations"][0]["name"]
            for edge in cell["edges"]
        }
        for step, pairs in enumerate(steps):
            for op, source in pairs:
                name = spaces.make("darts").op_names[op]
                assert found[step, source] == name
        assert len(cell["edges"]) == 8 and cell["concat"] == [2, 3, 4, 5]


def test_the_search_trains_as_the_label_of_a_genotype(module):
    """The protocol is that of configs/train/darts_search.py."""
    spec = importlib.util.spec_from_file_location(
        "config_train_darts_search", PATH.parents[1] / "train" / "darts_search.py"
    )
    train = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(train)
    ours = protocol.read(filled.fill(module.get_config("full"))["protocol"])
    theirs = filled.fill(train.get_config("full")) | {"space": "darts_shared"}
    assert ours == protocol.read(theirs)
