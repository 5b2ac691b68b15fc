"""Algorithm 1 on arrays of images, without a folder: what a notebook writes."""

import hmnas_run
import jax
import numpy as np
import pytest

from nasjax import data
from nasjax.core import errors
from nasjax.jobs.hmnas import modes
from nasjax.supernet import pipeline, saved_model, settings, spec
from nasjax.training import loop


def tiny():
    """The network and the settings of `hmnas_run`."""
    sections = hmnas_run.config()
    given = {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in (sections["supernet"].items())
    }
    net = spec.SupernetSpec(**given, num_classes=10, image_shape=(8, 8, 1))
    return net, settings.Settings(
        settings.Training(**sections["training"]),
        settings.Masking(**sections["masking"]),
        settings.Finetuning(**sections["finetuning"]),
    )


def test_a_notebook_runs_all_stages_on_arrays_of_images():
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 10
    images = rng.normal(size=(120, 8, 8, 1)) + labels[:, None, None, None]
    # --- what is shown to users: at most 15 lines ---
    dataset = data.from_arrays(images[:80], labels[:80], images[80:], labels[80:])
    net = spec.SupernetSpec(
        num_cells=2,
        channels=4,
        num_classes=dataset.num_classes,
        image_shape=dataset.image_shape,
        num_steps=1,
        reductions=(1,),
        operations=("sep_conv_3x3", "max_pool_3x3", "skip_connect"),
    )
    stages = settings.Settings(
        settings.Training(epochs=1, warmup_epochs=0),
        settings.Masking(epochs=1, recalibration_batches=2),
        settings.Finetuning(epochs=1),
    )
    found = pipeline.run(0, dataset, net, stages, batch_size=16)
    scores = pipeline.scores(dataset, found, batch_size=16)
    # --- end ---
    assert set(scores) == {"supernet", "masked", "finetuned"}
    for row in scores.values():
        assert row["test_accuracy"] * 40 == pytest.approx(
            round(row["test_accuracy"] * 40)
        )
        assert np.isfinite(row["test_loss"])
    tuned = jax.tree.leaves(found.finetuned.state.params)
    assert any(
        (a != b).any()
        for a, b in zip(tuned, jax.tree.leaves(found.masked.params), strict=True)
    )


def test_in_memory_and_in_a_folder_are_the_same_bits(tmp_path):
    net, stages = tiny()
    config = hmnas_run.config()
    dataset = data.load(**config["data"])
    found = pipeline.run(0, dataset, net, stages, batch_size=config["batch_size"])
    job = modes.run(config, str(tmp_path / "run"), "train")
    scores = pipeline.scores(dataset, found, batch_size=config["batch_size"])
    for name, row in scores.items():
        assert row == {key: job["stages"][name][key] for key in row}
    saved = saved_model.load(tmp_path / "run" / "model.safetensors")
    model = found.model()
    assert model.net == saved.net
    for field in ("params", "statistics", "mixing", "masks"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(model, field), getattr(saved, field)
        )


def test_a_stage_keeps_the_state_it_starts_from():
    """A step may donate its state; what the caller passed must stay usable."""
    step = jax.jit(lambda state: state + 1, donate_argnums=0)
    stage = loop.Stage(
        "s", 2, 1, lambda state, _: step(state), lambda s, _: (s, {"train_loss": 0.0})
    )
    initial = jax.numpy.zeros(3)
    assert loop.run_in_memory("s", initial, lambda start, state: stage).sum() == 6
    assert initial.sum() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**27}, f"seed={2**27}"),
        ({"batch_size": 65}, "65 is larger than the training split"),
        ({"batch_size": 20}, "train the architecture"),
    ],
)
def test_what_a_later_stage_would_refuse_is_refused_first(change, message):
    net, stages = tiny()
    dataset = data.load(**hmnas_run.config()["data"])
    arguments = {"seed": 0, "batch_size": 16} | change
    with pytest.raises(errors.ConfigError, match=message):
        pipeline.run(
            arguments["seed"], dataset, net, stages, batch_size=arguments["batch_size"]
        )


@pytest.mark.parametrize(
    ("shapes", "labels", "message"),
    [
        (((4, 8, 8), (2, 8, 8)), range(4), r"\[N, H, W, C\]"),
        (((4, 8, 8, 1), (2, 8, 8, 3)), range(4), r"one H, W and C"),
        (((4, 8, 8, 1), (2, 8, 8, 1)), (0, -1, 2, 1), "labels are -1 to 2"),
        (((4, 8, 8, 1), (2, 8, 8, 1)), range(3), "one label an image"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(shapes, labels, message):
    train, test = map(np.zeros, shapes)
    with pytest.raises(errors.DataError, match=message) as error:
        data.from_arrays(train, list(labels), test, [0, 1])
    assert "\n" not in str(error.value)


def test_bytes_and_floats_are_standardised_alike():
    images = np.random.default_rng(0).integers(0, 255, (6, 4, 4, 2)).astype(np.uint8)
    images[..., 1] = 7  # a constant channel
    labels = np.arange(6) % 2
    batches = [
        next(data.from_arrays(x, labels, x, labels).test.eval_batches(batch_size=6))
        for x in (images, images / 255)
    ]
    np.testing.assert_allclose(batches[0].images, batches[1].images, atol=1e-5)
    first = np.asarray(batches[0].images[..., 0])
    np.testing.assert_allclose([first.mean(), first.std()], [0, 1], atol=1e-5)
    np.testing.assert_allclose(batches[0].images[..., 1], 0, atol=1e-5)
