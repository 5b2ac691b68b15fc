"""The control: fine-tuning under random masks of the learned masks' sparsity."""

import pathlib
from typing import Any

from nasjax.core import (
    checkpoint,
    errors,
    progress,
    read_guard,
    result,
    stopwatch,
)
from nasjax.jobs import config_door
from nasjax.jobs.hmnas import train
from nasjax.jobs.hmnas.experiment import Experiment
from nasjax.supernet import counting, masking_stage, pipeline
from nasjax.training.runner import CHECKPOINTS, StageRunner

CONTROL_FILE = "control.json"
CONTROL = "control"
"""Folder of its checkpoints and rows."""
_COMPARED = ("masked", "finetuned")
"""Stages whose scores stand beside those of the control."""


def control(experiment: Experiment) -> dict[str, Any]:
    """Fine-tunes the supernet under random masks; returns `control.json`.

    Raises:
      NasjaxError: there is no finished run, or it is one of another configuration.
      training.loop.Stopped: the process was asked to stop; its state is saved.
    """
    path = experiment.folder / train.RESULT_FILE
    if not path.exists():
        raise errors.WorkdirError(
            f"{path} is missing: the control needs a finished run; train first, with "
            "the same --config and --workdir"
        )
    config_door.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    with stopwatch.Stopwatch(experiment.folder / CONTROL) as watch:
        return _control(experiment, watch)


def _control(experiment: Experiment, watch: stopwatch.Stopwatch) -> dict[str, Any]:
    learned = _searched_scores(experiment.folder / train.RESULT_FILE)
    net, batch_size = experiment.net, experiment.batch_size
    state = _finished_masking(experiment)
    with StageRunner(experiment.folder / CONTROL) as runner:
        masked, tuned = pipeline.control(
            experiment.seed,
            experiment.dataset,
            net,
            experiment.settings,
            state,
            batch_size=batch_size,
            tuning_dataset=experiment.tuning_dataset,
            run_stage=runner.run,
        )
    masks = masked.masks._replace(weights=tuned.state.masks)
    outcome: dict[str, Any] = {
        "masked": pipeline.masked_scores(
            experiment.dataset, net, masked, batch_size=batch_size
        ),
        "finetuned": pipeline.finetuned_scores(
            experiment.tuning_dataset, tuned, batch_size=batch_size
        ),
        **counting.table(tuned.net, masks),
        "seconds": watch.seconds,
    }
    result.write(experiment.folder / CONTROL_FILE, outcome)
    _show(learned, outcome)
    return outcome


def _searched_scores(path: pathlib.Path) -> dict[str, float]:
    """Test accuracies of the learned masks, before the control is trained."""
    with read_guard.guard(path, "not the result of a run", remedy="train again"):
        stages = result.read(path)["stages"]
        return {name: float(stages[name]["test_accuracy"]) for name in _COMPARED}


def _show(learned: dict[str, float], outcome: dict[str, Any]) -> None:
    progress.echo(f"{'':<12}{'learned masks':>15}{'random masks':>15}")
    for name in _COMPARED:
        random_accuracy = outcome[name]["test_accuracy"]
        progress.echo(
            f"{name:<12}{100 * learned[name]:>14.2f}%{100 * random_accuracy:>14.2f}%"
        )


def _finished_masking(experiment: Experiment) -> masking_stage.MaskingState:
    template = pipeline.masking_template(
        experiment.seed, experiment.net, experiment.settings
    )
    folder = experiment.folder / CHECKPOINTS / masking_stage.NAME
    restored = checkpoint.Checkpoints(folder).restore(template)
    if restored is None:
        raise errors.WorkdirError(
            f"{folder} holds no checkpoint: train first, with the same --config and "
            "--workdir"
        )
    state: masking_stage.MaskingState = restored[1]
    return state
