"""The stage loop and the runner on a stage that only counts."""

import json
import os
import signal

import jax.numpy as jnp
import pytest

from nasjax.core import checkpoint, errors, signals
from nasjax.training import loop, runner


def counting_stage(seen, *, name="count", epochs=3, bad_epoch=0):
    """Adds the step's index to the state; every epoch has four steps."""

    def step(state, index):
        seen.append(index)
        return state + index

    def end_epoch(state, epoch):
        loss = float("nan") if epoch == bad_epoch else float(state)
        return state, {"train_loss": loss}

    return loop.Stage(name, epochs, 4, step, end_epoch, "lower x")


def run(folder, seen, **options):
    with runner.StageRunner(folder) as stages:
        return stages.run(
            "count", jnp.int32(0), lambda start, state: counting_stage(seen, **options)
        )


def rows(folder):
    with open(folder / "metrics.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_a_stage_runs_every_step_once_and_logs_every_epoch(tmp_path):
    seen = []
    assert run(tmp_path, seen) == sum(range(12))
    assert seen == list(range(12))
    logged = [(r["stage"], r["step"], r["epoch"]) for r in rows(tmp_path)]
    assert logged == [("count", 4, 1), ("count", 8, 2), ("count", 12, 3)]
    assert run(tmp_path, seen) == sum(range(12))
    assert len(seen) == 12  # the finished stage was read back


def test_a_stop_inside_an_epoch_is_saved_and_continued(tmp_path):
    seen = []

    def interrupted(start, state):
        stage = counting_stage(seen)

        def step(state, index):
            if index == 5 and start == 0:
                os.kill(os.getpid(), signal.SIGTERM)
            return stage.step(state, index)

        return loop.Stage("count", 3, 4, step, stage.end_epoch)

    with pytest.raises(loop.Stopped) as stopped, runner.StageRunner(tmp_path) as stages:
        stages.run("count", jnp.int32(0), interrupted)
    assert stopped.value.code == 128 + signal.SIGTERM
    with runner.StageRunner(tmp_path) as stages:
        assert stages.run("count", jnp.int32(0), interrupted) == sum(range(12))
    assert seen == list(range(12))
    assert [r["step"] for r in rows(tmp_path)] == [4, 8, 12]


def test_a_loss_that_is_not_finite_ends_the_run_before_it_is_saved(tmp_path):
    with pytest.raises(errors.DivergedError, match="epoch 2.*lower x"):
        run(tmp_path, [], bad_epoch=2)
    saved = checkpoint.Checkpoints(tmp_path / "checkpoints" / "count")
    assert saved.latest() == 4
    assert [r["step"] for r in rows(tmp_path)] == [4]


def test_steps_of_later_stages_are_logged_after_those_of_earlier_ones(tmp_path):
    with runner.StageRunner(tmp_path) as stages:
        for name in ("first", "second"):
            stages.run(
                name, jnp.int32(0), lambda *_, n=name: counting_stage([], name=n)
            )
    assert [(r["stage"], r["step"]) for r in rows(tmp_path)] == [
        *(("first", s) for s in (4, 8, 12)),
        *(("second", s) for s in (16, 20, 24)),
    ]


def test_a_lost_stage_takes_what_followed_from_it_along(tmp_path):
    def both(seen):
        with runner.StageRunner(tmp_path) as stages:
            for name in ("first", "second"):
                stages.run(
                    name, jnp.int32(0), lambda *_, n=name: counting_stage(seen, name=n)
                )

    both([])
    expected = [(r["stage"], r["step"]) for r in rows(tmp_path)]
    for file in (tmp_path / "checkpoints" / "first").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    seen = []
    both(seen)
    assert seen == [*range(12), *range(12)]
    assert [(r["stage"], r["step"]) for r in rows(tmp_path)] == expected


def test_the_caller_keeps_its_initial_state(tmp_path):
    initial = {"x": jnp.zeros(3)}

    def donating(start, state):
        def step(state, index):
            state["x"].delete()
            return {"x": jnp.ones(3)}

        return loop.Stage("d", 1, 1, step, lambda s, _: (s, {"train_loss": 0.0}))

    with runner.StageRunner(tmp_path) as stages:
        stages.run("d", initial, donating)
    assert initial["x"].sum() == 0


def test_totals_are_means_over_steps_and_images():
    totals = loop.Totals.zero().add(jnp.float32(2), jnp.int32(3), 4)
    totals = totals.add(jnp.float32(4), jnp.int32(1), 4)
    assert totals.row() == {"train_loss": 3.0, "train_accuracy": 0.5}


def test_no_signal_handler_is_left_behind(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    run(tmp_path, [])
    assert signal.getsignal(signal.SIGTERM) is before
    assert not signals.StopSignal().requested
