"""Configurations of the training of single architectures: keys and published values."""

import dataclasses
import functools
import importlib.util
import inspect

import filled
import numpy as np
import pytest
import shared

from nasjax import data
from nasjax.experiments import published
from nasjax.jobs.train_architecture import architectures, run
from nasjax.networks import nasbench101
from nasjax.training import image_networks, protocol
from nasjax.training.classifier_settings import ClassifierSettings
from nasjax.training.language_model_settings import LanguageModelSettings

FOLDER = shared.ROOT / "configs" / "train"
NAMES = sorted(file.stem for file in FOLDER.glob("*.py"))
SHAPES = {
    "cifar10": (32, 32, 3),
    "cifar100": (32, 32, 3),
    "imagenet16": (16, 16, 3),
    "digits": (8, 8, 1),
}


def load(name):
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"config_train_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def full(name, preset="full"):
    return protocol.read(filled.fill(load(name).get_config(preset)))


def presets():
    return [(name, preset) for name in NAMES for preset in load(name).PRESETS]


def test_every_protocol_has_its_configuration():
    assert NAMES == [
        "darts_cifar10",
        "darts_imagenet",
        "darts_search",
        "digits",
        "nasbench101",
        "nasbench111",
        "nasbench201",
        "nasbench301",
        "nasbench_nlp",
    ]


@pytest.mark.parametrize(("name", "preset"), presets())
def test_every_key_is_a_setting_and_the_network_can_be_built(name, preset):
    config = filled.fill(load(name).get_config(preset))
    wanted, read = run._read(config)
    assert set(config["training"]) == {
        field.name for field in dataclasses.fields(read.training)
    }
    if config["arch"] == architectures.NASBENCH111:
        archs = [nasbench101.notation.SMALL_CELL]
    else:
        archs = architectures.choose(wanted).archs
    if read.space == "nasbench_nlp":
        return
    size = read.data.get("image_size")
    shape = SHAPES.get(read.data["name"], (size, size, 3))
    images = image_networks.Images(10, shape)
    choice = image_networks.build(
        read.space, np.asarray(archs[0]), read.network, images
    )
    assert choice.parameters > 0


@pytest.mark.parametrize("name", NAMES)
def test_unknown_presets_are_refused(name):
    with pytest.raises(ValueError, match="unknown preset 'fulll'"):
        load(name).get_config("fulll")


def test_settings_of_nasbench101_and_111():
    read = full("nasbench101")
    s = read.training
    assert (s.optimizer, s.learning_rate, s.momentum, s.epsilon) == (
        "rmsprop",
        0.2,
        0.9,
        1.0,
    )
    assert (s.square_decay, s.weight_decay, s.schedule) == (0.9, 1e-4, "cosine")
    assert (s.epochs, s.batch_size, s.train_sample) == (108, 256, 10_000)
    assert (s.augment, s.cutout, read.train_fraction) == (True, False, 0.8)
    other = full("nasbench111")
    assert dataclasses.replace(other.training, batch_size=256) == s
    assert other.training.batch_size == 200
    assert dataclasses.replace(other, training=s) == read


def test_settings_of_nasbench201():
    read = full("nasbench201")
    assert read.training == ClassifierSettings(
        epochs=200,
        batch_size=256,
        learning_rate=0.1,
        schedule="cosine",
        nesterov=True,
        weight_decay=5e-4,
        clip=0.0,
        auxiliary_weight=0.0,
        drop_path=0.0,
        cutout=False,
    )
    assert read.train_fraction == 0.5
    assert (read.network["channels"], read.network["num_cells"]) == (16, 5)


@pytest.mark.parametrize(
    ("preset", "name", "split"),
    [
        ("cifar10_valid", "cifar10", "cifar-split.txt"),
        ("cifar100", "cifar100", "cifar100-test-split.txt"),
        ("imagenet16", "imagenet16", "imagenet-16-120-test-split.txt"),
    ],
)
def test_other_images_of_nasbench201(preset, name, split):
    """Presets differ in the images alone: one recipe for all data sets."""
    read, other = full("nasbench201", preset), full("nasbench201")
    assert (read.data["name"], read.data["split"]) == (name, split)
    # Validation is on the images of the list: none are cut from the training images.
    assert read.train_fraction == 1.0
    assert dataclasses.replace(read, data=other.data, train_fraction=0.5) == other
    options = inspect.signature(data.DATASETS[name]).parameters
    assert set(read.data) - {"name"} <= set(options)


def test_settings_in_the_darts_space():
    darts = ClassifierSettings()
    assert (darts.epochs, darts.batch_size, darts.learning_rate) == (600, 96, 0.025)
    assert (darts.clip, darts.weight_decay, darts.drop_path) == (5.0, 3e-4, 0.2)
    assert full("darts_cifar10").training == darts
    assert full("darts_search").training == dataclasses.replace(darts, epochs=50)
    assert full("darts_search").label_epochs == 5
    assert full("nasbench301").training == dataclasses.replace(darts, epochs=98)
    for name in ("darts_search", "nasbench301"):
        network = full(name).network
        assert (network["num_cells"], network["channels"]) == (8, 32)
    imagenet = full("darts_imagenet")
    assert imagenet.training == dataclasses.replace(
        darts,
        epochs=250,
        batch_size=128,
        learning_rate=0.1,
        schedule="exponential",
        weight_decay=3e-5,
        label_smoothing=0.1,
        drop_path=0.0,
        cutout=False,
    )
    assert imagenet.color_jitter == (0.4, 0.4, 0.4, 0.2)


def test_published_numbers_belong_to_the_full_configurations():
    for name in ("darts_cifar10", "darts_imagenet"):
        read = full(name)
        known = {
            "space": read.space,
            "data_set": read.data["name"],
            "image_size": read.data.get("image_size"),
            "train_images": {"cifar10": 50_000, "imagenet": 1_281_167}[
                read.data["name"]
            ],
            **{key: getattr(read.training, key) for key in run._TRAINING},
            **read.network,
            "epochs": read.epochs,
        }
        config = load(name).get_config()
        for table in config.tables:
            number = functools.partial(published.value, table, config.label, "error")
            assert number(known) is not None
            assert number(known | {"epochs": read.epochs - 1}) is None


def test_settings_of_nasbench_nlp():
    assert full("nasbench_nlp").training == LanguageModelSettings()
