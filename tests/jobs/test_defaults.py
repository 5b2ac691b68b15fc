"""What configurations leave out is what the code behind them would take."""

import dataclasses
import subprocess
import sys

import pytest

from nasjax.core import registry, workdir
from nasjax.encoders.arch2vec import model
from nasjax.jobs import config_door, defaults
from nasjax.jobs.arch2vec.settings import Pretraining
from nasjax.jobs.nasbench_x11.settings import Fits
from nasjax.jobs.search import settings as search_settings
from nasjax.jobs.train_architecture.settings import Trainings
from nasjax.nasbench.surrogate import fitting
from nasjax.nasbench.surrogate.csv_columns import Columns
from nasjax.networks import darts, nasbench101, nasbench201
from nasjax.supernet import masking, mixing, settings, spec
from nasjax.training import image_networks, protocol
from nasjax.training.protocol import Protocol


def fields(kind, *left_out):
    every = dataclasses.fields(kind)
    return {field.name: field.default for field in every if field.name not in left_out}


IMAGES = ("num_classes", "image_shape")


def test_networks_are_those_of_their_functions():
    def options(function):
        every = registry.options_of(function)
        return {k: v for k, v in every.items() if k not in ("arch", *IMAGES)}

    assert set(defaults.NETWORKS) == set(image_networks.BUILDERS)
    assert defaults.NETWORKS["darts"] == options(darts.network)
    assert defaults.NETWORKS["darts_shared"] == options(darts.network)
    assert defaults.NETWORKS["nasbench101"] == options(nasbench101.network)
    skeleton = fields(nasbench201.Skeleton, *IMAGES)
    assert defaults.NETWORKS["nasbench201"] == skeleton


def test_sections_are_those_of_their_dataclasses():
    named = ("compression", "regressor", "noise")
    assert fields(fitting.Settings, *named) == defaults.SURROGATE
    assert fields(Columns) == defaults.COLUMNS
    required = ("num_cells", "channels", "affine", *IMAGES)
    network = fields(spec.SupernetSpec, *required) | {"reductions": (-1,)}
    assert network == defaults.SUPERNET
    assert tuple(model.VARIANTS) == defaults.VARIANTS
    assert protocol.TEXT_SPACES == defaults.TEXT_SPACES


@pytest.mark.parametrize(
    ("command", "kind", "given"),
    [
        (
            "launch/search.py",
            search_settings.Trials,
            {"algorithms": ["a"], "benchmark": {}, "budget": {"queries": 1}},
        ),
        (
            "launch/search.py --mode=drive",
            search_settings.Drive,
            {"algorithms": ["a"], "protocol": {"x": 1}, "budget": {"queries": 1}},
        ),
        (
            "launch/train_architecture.py",
            Trainings,
            {"space": "nasbench201", "arch": "random"},
        ),
        (
            "launch/nasbench_x11.py",
            Fits,
            {"surrogates": ["all"], "data": {"name": "digits201"}},
        ),
        (
            "launch/arch2vec.py",
            Pretraining,
            {"space": "nasbench201", "variants": ["thesis"]},
        ),
    ],
)
def test_a_filled_configuration_is_what_its_dataclass_takes(command, kind, given):
    filled = defaults.fill(command, given | {"mine": 3})
    assert filled["mine"] == 3
    made = config_door.read(kind, filled)
    # What is filled there is no field, or as the code behind it has it.
    open_keys = {"protocol", "settings", "surrogate", "data"}
    bare = config_door.read(kind, given)
    names = {field.name for field in dataclasses.fields(kind)} - open_keys
    assert all(getattr(made, name) == getattr(bare, name) for name in names)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.seed = 1


def test_a_protocol_is_that_of_its_dataclass():
    given = {"space": "darts", "arch": "random"}
    made = defaults.fill("launch/train_architecture.py", given)
    known = fields(Protocol, "space", "data", "network", "training")
    assert {key: made[key] for key in known} == known | {"color_jitter": []}
    filled = protocol.read(made | {"data": {"name": "digits"}})
    bare = {"space": "darts", "data": {"name": "digits"}, "training": {}}
    assert dataclasses.replace(filled, network={}) == protocol.read(bare)


def test_settings_of_hmnas_are_the_constants_of_its_stages():
    assert settings.Training().order == "first"
    assert settings.Masking().threshold == masking.THRESHOLD
    assert settings.Masking().mode == mixing.MULTIPLY


def test_what_is_given_stays():
    given = {
        "space": "nasbench201",
        "arch": "random",
        "mine": 3,
        "network": {"channels": 8},
        "training": {"epochs": 2, "own": 1},
        "color_jitter": None,
        "seeds": [4],
    }
    made = defaults.fill("launch/train_architecture.py", given)
    assert made["mine"] == 3 and made["seeds"] == [4] and made["color_jitter"] is None
    assert made["network"] == defaults.NETWORKS["nasbench201"] | {"channels": 8}
    assert (made["training"]["epochs"], made["training"]["own"]) == (2, 1)
    assert made["training"]["batch_size"] == 96
    assert given["network"] == {"channels": 8}
    # A group that is none, or that must be there, is for the job to refuse.
    assert "supernet" not in defaults.fill("launch/hmnas.py", {})
    assert defaults.fill("launch/hmnas.py", {"masking": 3})["masking"] == 3


@pytest.mark.parametrize("space", ["nasbench_nlp", "unknown", None])
def test_sections_follow_the_space(space):
    made = defaults.fill("launch/train_architecture.py", {"space": space})
    assert "network" not in made
    assert ("window" in made["training"]) == (space == "nasbench_nlp")
    assert ("tables" in made) == (space != "nasbench_nlp")


def test_an_older_working_directory_goes_on(tmp_path):
    """Its file lacks keys that came later, or holds all of them."""
    given = {"algorithms": ["random_search"], "benchmark": {"name": "digits201"}}
    given |= {"budget": {"queries": 3}}
    now = config_door.enter("launch/search.py", given)
    older = {**given, "budget": {"queries": 3, "seconds": 0}}
    for number, before in enumerate((older, dict(now))):
        folder = tmp_path / str(number)
        workdir.claim(folder, before)
        assert config_door.claim(folder, now) is True
        other = config_door.enter("launch/search.py", given | {"min_epochs": -1})
        with pytest.raises(Exception, match="config.min_epochs = 0, not -1"):
            config_door.claim(folder, other)


def test_defaults_load_no_jax():
    code = "import sys, nasjax.jobs.defaults; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
