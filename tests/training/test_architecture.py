"""Training by a protocol: promoted trials, workers, scores, texts, errors."""

import pickle

import jax
import numpy as np
import pytest

from nasjax import search, spaces
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.spaces import nasbench_nlp_recipes
from nasjax.training import architecture, protocol, recording

CONFIG = {
    "space": "nasbench201",
    "data": {"name": "synthetic", "num_train": 96, "num_test": 24, "channels": 1},
    "network": {"channels": 4, "num_stages": 1, "num_cells": 1, "patch": 2},
    "training": {
        "epochs": 3,
        "batch_size": 24,
        "learning_rate": 0.1,
        "schedule": "cosine",
        "nesterov": True,
        "clip": 0.0,
        "auxiliary_weight": 0.0,
        "drop_path": 0.0,
        "cutout": False,
    },
    "train_fraction": 0.75,
    "label_epochs": 2,
    "seeds": [0],
}
TEXT = {
    "space": "nasbench_nlp",
    "data": {"name": "markov", "num_words": 8, "num_train": 600, "num_eval": 80},
    "training": {
        "epochs": 2,
        "batch_size": 4,
        "window": 10,
        "eval_batch_size": 4,
        "embedding_size": 6,
        "hidden_size": 6,
        "num_layers": 1,
    },
}
ARCH = np.array([3, 1, 2, 0, 4, 3], np.int32)


@pytest.fixture(scope="module")
def images():
    return protocol.read(CONFIG)


@pytest.fixture(scope="module")
def finished(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("architecture") / "run"
    return architecture.train_architecture(jax.random.key(3), ARCH, images, folder)


def test_a_promoted_trial_in_a_worker_is_the_whole_training(finished, images, tmp_path):
    train = pickle.loads(pickle.dumps(architecture.Trainer(images)))
    key = jax.random.key(3)
    first = train(key, ARCH, 1, 0, str(tmp_path / "trial"))
    assert np.isnan(first.curve).tolist() == [False, True, True]
    last = train(key, ARCH, LAST, 1, str(tmp_path / "trial"))
    accuracy = finished.metrics["valid_accuracy"]
    assert first.valid == accuracy[0]
    np.testing.assert_array_equal(last.curve, accuracy)
    np.testing.assert_allclose(last.valid, accuracy[1:].mean(), rtol=1e-6)
    test = finished.metrics["test_accuracy"]
    np.testing.assert_allclose(last.test, test[1:].mean(), rtol=1e-6)


def test_the_cost_is_that_of_the_epochs_that_were_not_paid(finished, images):
    seconds = finished.seconds
    for trained, epochs in ((0, 3), (1, 3), (1, 2)):
        cost = architecture.evaluation(finished, images, epochs, trained).cost
        np.testing.assert_allclose(cost, seconds[trained:epochs].sum(), rtol=1e-6)


def test_without_a_folder_nothing_is_left_and_the_result_is_the_same(
    finished, images, tmp_path, monkeypatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    evaluation = architecture.Trainer(images)(jax.random.key(3), ARCH, LAST, 0)
    np.testing.assert_array_equal(evaluation.curve, finished.metrics["valid_accuracy"])
    assert list(tmp_path.iterdir()) == []


def test_a_search_drives_it(images, tmp_path):
    algorithm = search.make("random_search", spaces.make("nasbench201"))
    history = search.drive(
        jax.random.key(0),
        algorithm,
        architecture.Trainer(images),
        2,
        trainings_folder=tmp_path / "trainings",
        last_epoch=images.epochs,
        curve_length=images.epochs,
    )
    assert np.asarray(history.mask).all()
    assert np.isfinite(history.valid).all()
    assert len(list((tmp_path / "trainings").iterdir())) == 2


def test_a_diverged_training_has_no_score(images):
    never = np.full(3, np.nan, np.float32)
    names = ("valid_loss", "valid_accuracy", "test_loss", "test_accuracy")
    curves = recording.Curves(
        {name: never for name in names}, never, 1, recording.DIVERGED
    )
    evaluation = architecture.evaluation(curves, images, 3)
    assert np.isnan(evaluation.valid) and evaluation.cost == 0


def test_a_folder_of_another_training_is_refused(images, tmp_path):
    key = jax.random.key(3)
    architecture.train_architecture(key, ARCH, images, tmp_path / "t", epochs=1)
    with pytest.raises(errors.WorkdirError, match="config.arch"):
        architecture.train_architecture(key, ARCH[::-1], images, tmp_path / "t")
    with pytest.raises(errors.WorkdirError, match="config.key"):
        other = jax.random.key(4)
        architecture.train_architecture(other, ARCH, images, tmp_path / "t")


def test_recurrent_cells_have_losses_only(tmp_path):
    texts = protocol.read(TEXT)
    arch = nasbench_nlp_recipes.SIMPLE_CELL
    architecture.check(texts, arch)
    key = jax.random.key(0)
    first = architecture.train_architecture(key, arch, texts, tmp_path / "a", epochs=1)
    curves = architecture.train_architecture(key, arch, texts, tmp_path / "a")
    assert set(curves.metrics) == {"train_loss", "valid_loss", "test_loss"}
    assert np.isfinite(curves.metrics["valid_loss"]).all()
    np.testing.assert_array_equal(
        first.metrics["valid_loss"][:1], curves.metrics["valid_loss"][:1]
    )
    evaluation = architecture.evaluation(curves, texts, 2)
    assert evaluation.valid == -curves.metrics["valid_loss"][-1]
    np.testing.assert_array_equal(evaluation.curve, -curves.metrics["valid_loss"])


def test_without_validation_images_a_search_learns_nothing(finished, images):
    metrics = {k: v for k, v in finished.metrics.items() if not k.startswith("valid")}
    evaluation = architecture.evaluation(finished._replace(metrics=metrics), images, 3)
    assert np.isnan(evaluation.valid) and np.isfinite(evaluation.test)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": "nasbench301"}, "nasbench201"),
        ({"training": {"epohcs": 1}}, "epochs"),
        ({"training": {"epochs": 0}}, "training.epochs"),
        ({"label_epochs": 4}, "label_epochs"),
        ({"data": {}}, "data.name"),
    ],
)
def test_bad_protocols_name_the_key(values, message):
    with pytest.raises(errors.ConfigError, match=message):
        protocol.read(CONFIG | values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_fraction": 0.0}, "training fraction"),
        ({"network": {"channels": 4, "patch": 3}}, "divisible"),
        ({"color_jitter": (0.4, 0.4, 0.4, 0.2)}, "not synthetic"),
        ({"training": CONFIG["training"] | {"batch_size": 100}}, "batch size"),
    ],
)
def test_what_does_not_fit_is_found_before_the_first_step(values, message):
    with pytest.raises(errors.ConfigError, match=message):
        architecture.check(protocol.read(CONFIG | values), ARCH)


def test_a_text_without_a_name_says_what_to_pass():
    texts = protocol.read(TEXT | {"data": {"name": ""}})
    with pytest.raises(errors.ConfigError, match=r"config\.data\.name=FOLDER"):
        architecture.check(texts, nasbench_nlp_recipes.SIMPLE_CELL)
