"""Training of a classifier: plain numpy, what is recorded, resume, limits, errors."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_classifier_training as plain

from nasjax import data
from nasjax.core import checkpoint, errors
from nasjax.networks.classifier import Classifier, Outputs
from nasjax.training import classifier, loop, recording
from nasjax.training.classifier_settings import ClassifierSettings

SETTINGS = ClassifierSettings(
    epochs=4,
    batch_size=16,
    learning_rate=0.02,
    schedule="cosine",
    weight_decay=1e-2,
    clip=0.0,
    nesterov=True,
    label_smoothing=0.1,
    auxiliary_weight=0.4,
    drop_path=0.0,
    augment=False,
    cutout=False,
)
CLASSES, SIZE = 3, 4


def linear(arch):
    """Two linear heads; the statistics remember the probability of dropping."""

    def init(key):
        shape = (SIZE * SIZE, CLASSES)
        first, second = jax.random.split(key)
        params = {
            "main": jax.random.normal(first, shape) * arch,
            "side": jax.random.normal(second, shape),
        }
        return params, {"dropped": jnp.zeros(())}

    def apply(params, statistics, images, *, train, key=None, drop_path=0.0):
        features = images.reshape(images.shape[0], -1)
        if not train:
            return Outputs(features @ params["main"]), statistics
        if isinstance(drop_path, float):
            assert drop_path == 0
        else:
            kept = jax.random.bernoulli(key, 1 - drop_path, (features.shape[0], 1))
            features = features * kept
        outputs = Outputs(features @ params["main"], features @ params["side"])
        return outputs, {"dropped": jnp.asarray(drop_path)}

    return Classifier(init, apply)


@pytest.fixture(scope="module")
def dataset():
    return data.load(
        "synthetic",
        num_train=48,
        num_test=20,
        image_size=SIZE,
        channels=1,
        num_classes=CLASSES,
    )


@pytest.fixture(scope="module")
def splits(dataset):
    return classifier.split(dataset, 2 / 3, 0)


def changed(**values):
    return dataclasses.replace(SETTINGS, **values)


def parts(splits, settings, seed=0):
    """Initial state and stage."""
    arguments = (jax.random.key(seed), linear, jnp.float32(0.1), splits, settings)
    return classifier.init(*arguments), classifier.make_stage(*arguments)


def train(folder, splits, settings=SETTINGS, epochs=None, stage=None):
    state, whole = parts(splits, settings)
    return recording.record(
        folder,
        state,
        stage or whole,
        epochs=epochs or settings.epochs,
        parameters=7,
    )


def final_state(folder, splits, settings=SETTINGS):
    template, _ = parts(splits, settings)
    return checkpoint.Checkpoints(folder / "checkpoints" / classifier.STAGE).restore(
        template
    )[1]


def images_of(split):
    batches = list(split.eval_batches(batch_size=len(split)))
    return np.asarray(batches[0].images), np.asarray(batches[0].labels)


@pytest.fixture(scope="module")
def finished(splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "run"
    return folder, train(folder, splits)


def test_a_whole_training_is_that_of_plain_numpy(splits, tmp_path):
    settings = changed(batch_size=32)  # all training images: their order is no matter
    assert len(splits.train) == 32
    curves = train(tmp_path, splits, settings)
    state, _ = parts(splits, settings)
    rates = [0.01 * (1 + np.cos(np.pi * epoch / 4)) for epoch in range(4)]
    history = plain.train(
        state.params["main"],
        state.params["side"],
        *images_of(splits.train),
        rates=rates,
        settings=dataclasses.asdict(settings),
    )
    np.testing.assert_allclose(
        curves.metrics["train_loss"], [loss for loss, _ in history], rtol=2e-5
    )
    for part in ("valid", "test"):
        images, labels = images_of(getattr(splits, part))
        logits = [images.reshape(len(images), -1) @ weights for _, weights in history]
        np.testing.assert_allclose(
            curves.metrics[f"{part}_loss"],
            [plain.cross_entropy(row, labels) for row in logits],
            rtol=2e-5,
        )
        np.testing.assert_allclose(
            curves.metrics[f"{part}_accuracy"],
            [(row.argmax(1) == labels).mean() for row in logits],
            rtol=1e-6,
        )


def test_everything_is_recorded_at_every_epoch(finished):
    folder, curves = finished
    names = [f"{p}_{k}" for p in classifier.Splits._fields for k in classifier.KINDS]
    assert set(curves.metrics) == set(names)
    for values in (*curves.metrics.values(), curves.seconds):
        assert values.dtype == np.float32
        assert values.shape == (4,)
        assert np.isfinite(values).all()
    assert (curves.seconds >= 0).all() and curves.seconds.sum() > 0
    assert (curves.parameters, curves.status) == (7, recording.OK)
    assert curves.metrics["train_loss"][-1] < curves.metrics["train_loss"][0]
    assert (folder / "metrics.jsonl").read_text().count("\n") == 4


def test_without_validation_images_there_is_no_validation(dataset, tmp_path):
    curves = train(tmp_path, classifier.split(dataset, 1.0, 0), changed(epochs=1))
    assert not any(name.startswith("valid") for name in curves.metrics)


def test_images_that_a_data_set_has_for_validation_are_used(dataset):
    valid, test = dataset.test.take(range(5)), dataset.test.take(range(5, 20))
    cut = dataclasses.replace(dataset, valid=valid, test=test)
    assert classifier.split(cut, 1.0, 0) == (dataset.train, valid, test)
    with pytest.raises(errors.ConfigError, match="synthetic has images to validate on"):
        classifier.split(cut, 0.5, 0)


def test_fewer_epochs_then_more_are_one_training(finished, splits, tmp_path):
    folder, whole = finished
    first = train(tmp_path, splits, epochs=1)
    assert np.isfinite(first.seconds).tolist() == [True, False, False, False]
    then = train(tmp_path, splits, epochs=4)
    again = train(tmp_path, splits, epochs=2)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(first.metrics[name][:1], values[:1])
        np.testing.assert_array_equal(then.metrics[name], values)
        np.testing.assert_array_equal(again.metrics[name][:2], values[:2])
        assert np.isnan(again.metrics[name][2:]).all()
    assert same_bits(final_state(tmp_path, splits), final_state(folder, splits))


def same_bits(a, b):
    """Equal but for the seconds."""

    def rest(state):
        return jax.tree.leaves(
            state.replace(elapsed=0, record=state.record.replace(seconds=0))
        )

    return all(np.array_equal(x, y) for x, y in zip(rest(a), rest(b), strict=True))


def test_stopped_inside_an_epoch_it_ends_with_the_same_bits(finished, splits, tmp_path):
    folder, whole = finished
    _, stage = parts(splits, SETTINGS)
    assert stage.steps_per_epoch == 2

    def interrupted(state, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return stage.step(state, index)

    with pytest.raises(loop.Stopped):
        train(tmp_path, splits, stage=dataclasses.replace(stage, step=interrupted))
    assert np.isnan(final_state(tmp_path, splits).record.seconds).sum() == 3
    continued = train(tmp_path, splits)
    for name, values in whole.metrics.items():
        np.testing.assert_array_equal(continued.metrics[name], values)
    assert same_bits(final_state(tmp_path, splits), final_state(folder, splits))


def test_the_key_decides_on_weights_and_order(splits):
    # Another seed has other weights, and another first batch.
    state, stage = parts(splits, SETTINGS)
    other, other_stage = parts(splits, SETTINGS, seed=1)
    assert not np.allclose(state.params["main"], other.params["main"])
    second = stage.step(jax.tree.map(jnp.copy, state), 0)
    mixed = other_stage.step(jax.tree.map(jnp.copy, state), 0)
    assert not np.allclose(second.params["main"], mixed.params["main"])


def test_paths_are_dropped_linearly_in_the_epoch(splits):
    settings = changed(drop_path=0.5)
    state, stage = parts(splits, settings)
    seen = []
    for index in range(stage.num_steps):
        state = stage.step(state, index)
        seen.append(float(state.statistics["dropped"]))
    np.testing.assert_allclose(seen, np.repeat([0, 0.125, 0.25, 0.375], 2))


def test_a_sample_of_the_training_images_can_be_evaluated_instead(splits, tmp_path):
    settings = changed(train_sample=10, epochs=2)
    curves = train(tmp_path, splits, settings)
    weights = np.asarray(final_state(tmp_path, splits, settings).params["main"])
    images, labels = images_of(splits.train)
    logits = images[:10].reshape(10, -1) @ weights
    expected = plain.cross_entropy(logits, labels[:10])
    np.testing.assert_allclose(curves.metrics["train_loss"][-1], expected, rtol=1e-5)


def test_a_divergence_is_a_result(splits, tmp_path):
    settings = changed(learning_rate=1e30, schedule="constant")
    curves = train(tmp_path, splits, settings)
    assert curves.status == recording.DIVERGED
    assert np.isnan(curves.metrics["valid_loss"]).all()
    assert train(tmp_path, splits, settings).status == recording.DIVERGED


def test_rmsprop_and_the_other_schedules_train(splits, tmp_path):
    settings = changed(optimizer="rmsprop", schedule="exponential", epochs=2)
    curves = train(tmp_path, splits, settings)
    assert curves.metrics["train_loss"][1] < curves.metrics["train_loss"][0]


@pytest.mark.parametrize("epochs", [0, 5])
def test_a_number_of_epochs_out_of_range_is_refused(epochs, splits, tmp_path):
    state, stage = parts(splits, SETTINGS)
    with pytest.raises(errors.ConfigError, match="1 to 4"):
        recording.record(tmp_path, state, stage, epochs=epochs, parameters=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 33}, "batch size 33"),
        ({"train_sample": 33}, "train_sample"),
    ],
)
def test_more_images_than_there_are_is_an_error(values, message, splits):
    with pytest.raises(errors.ConfigError, match=message):
        parts(splits, changed(**values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, "training.epochs"),
        ({"learning_rate": 0.0}, "training.learning_rate"),
        ({"optimizer": "rmsprpo"}, "rmsprop"),
        ({"schedule": "cosin"}, "cosine"),
        ({"drop_path": 1.0}, "training.drop_path"),
        ({"label_smoothing": -0.1}, "training.label_smoothing"),
        ({"weight_decay": -1.0}, "training.weight_decay"),
        ({"train_sample": -1}, "training.train_sample"),
    ],
)
def test_bad_settings_name_the_key(values, message):
    with pytest.raises(errors.ConfigError, match=message):
        changed(**values)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", [0.02, 0.01 * (1 + np.cos(np.pi / 8)), 0.01]),
        ("cosine_by_epoch", [0.02, 0.02, 0.01]),
        ("exponential", [0.02, 0.02, 0.02 * 0.97**2]),
        ("constant", [0.02, 0.02, 0.02]),
    ],
)
def test_schedules_of_four_epochs_of_two_steps(schedule, expected):
    rate = changed(schedule=schedule)._schedule(2)
    np.testing.assert_allclose([rate(s) for s in (0, 1, 4)], expected, rtol=1e-6)
