"""Configurations of arch2vec: every preset is complete, and what the thesis says."""

import importlib.util

import filled
import pytest
import shared

from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import model
from nasjax.experiments import published
from nasjax.jobs import config_door
from nasjax.jobs.arch2vec import tables, variants
from nasjax.jobs.arch2vec.settings import Pretraining

FOLDER = shared.ROOT / "configs" / "arch2vec"
SPACES = {
    "darts": "darts_shared",
    "nasbench101": "nasbench101",
    "nasbench201": "nasbench201",
}


def load(name):
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_arch2vec_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_one_for_each_space():
    assert sorted(file.stem for file in FOLDER.glob("*.py")) == sorted(SPACES)
    assert set(SPACES.values()) == set(graph_inputs.SPECS)


@pytest.mark.parametrize("name", SPACES)
def test_the_full_runs_are_those_of_the_thesis(name):
    config = filled.fill(load(name).get_config())
    assert config["space"] == SPACES[name]
    assert set(config["variants"]) == set(model.VARIANTS)
    assert config["epochs"] == (8 if name == "nasbench101" else 10)
    assert (config["batch_size"], config["learning_rate"]) == (32, 1e-3)
    assert (config["held_out"], config["num_points"]) == (0.1, 10_000)
    made, recipe = variants.variant(config_door.read(Pretraining, config), "released")
    assert (made.settings.width, made.settings.latent) == (128, 16)
    assert (made.settings.dropout, recipe.clip_norm, recipe.freeze) == (0.3, 5.0, True)


@pytest.mark.parametrize("name", SPACES)
def test_the_full_pre_training_has_the_conditions_of_table_3_1(name):
    config = config_door.read(Pretraining, filled.fill(load(name).get_config()))
    for variant, row in (("thesis", "arch2vec"), ("gae", "gae")):
        known = tables.facts(config, variant)
        assert published.value("3.1", row, "validity", known) is not None
    assert len(config.seeds) >= 5


@pytest.mark.parametrize("name", ["nasbench101", "nasbench201"])
def test_a_search_has_the_control_of_its_own_embedding(name):
    for preset in load(name).PRESETS:
        section = filled.fill(load(name).get_config(preset))["search"]
        settings = section["settings"]
        assert set(section["algorithms"]) <= set(settings)
        for entry, given in settings.items():
            kind, own = given.get("algorithm"), given.get("against", ())
            assert {*own, *section["controls"]} <= set(settings), entry
            if kind == "latent_reinforce":
                control = settings[own[0]]
                assert control["algorithm"] == "latent_control"
                for key in ("table", "table_seed", "variant", "num_trials"):
                    assert given.get(key) == control.get(key), (entry, key)
            if kind == "latent_dngo" and given["table"] != "one_hot":
                assert settings[own[0]] == settings["one_hot_bo"]
            if kind in ("latent_reinforce", "latent_dngo", "latent_control"):
                assert "random_search" in (*own, *section["controls"])
            if given.get("table") == "random_projection":
                assert len(given["table_seed"]) >= 5


@pytest.mark.parametrize("name", SPACES)
def test_every_preset_names_models_that_can_be_made(name):
    for preset in load(name).PRESETS:
        config = config_door.read(
            Pretraining, filled.fill(load(name).get_config(preset))
        )
        for variant in config.variants:
            made, _ = variants.variant(config, variant)
            assert made.form.space == SPACES[name]
    with pytest.raises(ValueError, match="unknown preset"):
        load(name).get_config("ful")
