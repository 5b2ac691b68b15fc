"""Every configuration and preset builds, holds known keys and says what it should."""

import dataclasses
import importlib.util

import filled
import pytest
import shared

from nasjax.core import settings as reading
from nasjax.jobs.hmnas import experiment
from nasjax.supernet import counting, settings

HMNAS = ("cifar10", "digits", "imagenet")


def load(name):
    path = shared.ROOT / "configs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def presets():
    return [(name, preset) for name in HMNAS for preset in load(name).PRESETS]


@pytest.mark.parametrize(("name", "preset"), presets())
def test_every_key_is_a_setting(name, preset):
    config = filled.fill(load(name).get_config(preset))
    reading.read(settings.Training, "training", config["training"])
    reading.read(settings.Masking, "masking", config["masking"])
    reading.read(settings.Finetuning, "finetuning", config["finetuning"])
    shape = {"cifar10": (32, 32, 3), "digits": (8, 8, 1)}.get(name)
    size = config["data"].get("image_size")
    experiment.network(config["supernet"], 10, shape or (size, size, 3))
    assert "name" in config["data"]
    for kind, section in (
        (settings.Training, "training"),
        (settings.Masking, "masking"),
        (settings.Finetuning, "finetuning"),
    ):
        fields = {field.name for field in dataclasses.fields(kind)}
        assert set(config[section]) == fields


@pytest.mark.parametrize("name", HMNAS)
def test_unknown_presets_are_refused(name):
    with pytest.raises(ValueError, match="unknown preset 'fulll'"):
        load(name).get_config("fulll")


def counted(name, preset, image_shape, num_classes):
    config = filled.fill(load(name).get_config(preset))
    return counting.dense(
        experiment.network(config["supernet"], num_classes, image_shape)
    )


def test_full_settings_are_networks_of_the_published_size():
    assert counted("cifar10", "full", (32, 32, 3), 10) == (2_950_390, 493_246_080)
    large = counted("imagenet", "full", (224, 224, 3), 1000)
    assert (round(large.params / 1e6, 2), round(large.macs / 1e6)) == (6.02, 1209)
    darts = counted("imagenet", "darts", (224, 224, 3), 1000)
    assert (round(darts.params / 1e6, 2), round(darts.macs / 1e6)) == (3.03, 299)


def test_thesis_settings_on_cifar10():
    config = filled.fill(load("cifar10").get_config())
    training, masking = config["training"], config["masking"]
    assert (config["batch_size"], training["epochs"]) == (128, 100)
    assert training["warmup_epochs"] == 10
    assert (masking["epochs"], masking["decay_epoch"]) == (20, 10)
    assert config["finetuning"]["epochs"] == 200


TRAINING_IMAGES = {"cifar10": 50_000, "imagenet": 128_116}
"""Of the whole data set; 100 of the 1,000 classes of ImageNet's 1,281,167 images."""


@pytest.mark.parametrize("name", TRAINING_IMAGES)
def test_masking_learns_at_the_rates_of_the_thesis(name):
    config = filled.fill(load(name).get_config())
    masking, batch_size = config["masking"], config["batch_size"]
    assert masking["epochs"] == 2 * masking["decay_epoch"]
    steps = masking["decay_epoch"] * (TRAINING_IMAGES[name] // batch_size)
    assert masking["weight_travel"] / steps == pytest.approx(1e-4, rel=5e-3)
    assert masking["arch_travel"] / steps == pytest.approx(1e-5, rel=5e-3)
