"""Training: the three stages in a working directory, and what they end with."""

import pathlib
from typing import Any

from absl import logging

from nasjax.core import metric_log, progress, result, stopwatch
from nasjax.jobs import config_door
from nasjax.jobs.hmnas import tables
from nasjax.jobs.hmnas.experiment import Experiment
from nasjax.supernet import (
    counting,
    derive,
    masking,
    masking_stage,
    pipeline,
    saved_model,
    spec,
)
from nasjax.training.runner import StageRunner

MODEL_FILE = "model.safetensors"
RESULT_FILE = "result.json"


def train(experiment: Experiment) -> dict[str, Any]:
    """All three stages, each from its newest checkpoint; returns `result.json`.

    Raises:
      NasjaxError: a batch size or working directory does not fit, or a diverged loss.
      training.loop.Stopped: the process was asked to stop; its state is saved.
    """
    experiment.check()  # before the workdir belongs to this configuration
    config_door.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    with stopwatch.Stopwatch(experiment.folder) as watch:
        return _train(experiment, watch)


def _train(experiment: Experiment, watch: stopwatch.Stopwatch) -> dict[str, Any]:
    with StageRunner(experiment.folder) as runner:
        found = pipeline.run(
            experiment.seed,
            experiment.dataset,
            experiment.net,
            experiment.settings,
            batch_size=experiment.batch_size,
            tuning_dataset=experiment.tuning_dataset,
            run_stage=runner.run,
        )
    outcome = _summarize(experiment, found)
    facts = {"genotype": outcome["genotype"], **outcome["stages"]["finetuned"]}
    saved_model.save(experiment.folder / MODEL_FILE, found.model(facts))
    outcome["seconds"] = watch.seconds
    result.write(experiment.folder / RESULT_FILE, outcome)
    recalibrated = bool(experiment.settings.masking.recalibration_batches)
    draw(experiment.folder, outcome, recalibrated=recalibrated)
    _show(outcome, experiment.folder)
    return outcome


def _summarize(experiment: Experiment, found: pipeline.Outcome) -> dict[str, Any]:
    """`result.json` without its seconds."""
    net, supernet, masked, (tuned_net, tuned) = found
    masks = {
        "supernet": (net, masking.constant(supernet.params, supernet.arch, 1.0)),
        "masked": (net, masked.masks),
        "finetuned": (tuned_net, masked.masks._replace(weights=tuned.masks)),
    }
    scores = pipeline.scores(
        experiment.dataset,
        found,
        batch_size=experiment.batch_size,
        tuning_dataset=experiment.tuning_dataset,
    )
    stages = {name: scores[name] | _counts(*masks[name]) for name in scores}
    mode = experiment.settings.masking.mode
    return {
        "tables": tables.rows(stages, experiment),
        "stages": stages,
        **stages["finetuned"]["counts"],
        **derive.alive_summary(tuned_net, masked.masks),
        "genotype": derive.genotype(net, supernet.arch, masked.masks, mode),
        "edge_importance": derive.edge_importance(net, supernet.arch),
        "config": experiment.config,
        "versions": result.versions(),
    }


def _counts(net: spec.SupernetSpec, masks: masking.Masks) -> dict[str, Any]:
    """A stage's `params` and `macs`, the effective ones, and all three kinds."""
    counts = counting.table(net, masks)
    effective = {name: counts[name]["effective"] for name in ("params", "macs")}
    return effective | {"counts": counts}


def draw(folder: pathlib.Path, outcome: dict[str, Any], *, recalibrated: bool) -> None:
    """Draws the genotype and the curves of a finished run.

    Args:
      folder: of the run; figures go to `folder/figures`.
      outcome: of `result.json`.
      recalibrated: whether the searched network has fresh BN statistics.
    """
    from nasjax.report import cells, curves  # here: it loads matplotlib

    cells.draw_genotype(outcome["genotype"], folder / "figures")
    rows = metric_log.read(folder)
    if not rows:
        logging.warning(
            "%s was lost: the curves are not drawn", folder / metric_log.METRICS_FILE
        )
        return
    # The table's error is that of fresh BN statistics, the curve's of running ones.
    fresh = {}
    if recalibrated:
        fresh[masking_stage.NAME] = outcome["stages"]["masked"]["test_accuracy"]
    path = folder / "figures" / "curves"
    curves.draw_curves(rows, path, recalibrated=fresh)


def _show(outcome: dict[str, Any], folder: pathlib.Path) -> None:
    progress.echo(f"{'stage':<12}{'test acc.':>10}{'parameters':>13}{'MACs':>14}")
    for name, row in outcome["stages"].items():
        progress.echo(
            f"{name:<12}{100 * row['test_accuracy']:>9.2f}%"
            f"{row['params']:>13,}{row['macs']:>14,}"
        )
    progress.echo(counting.summary(outcome))
    progress.echo(
        f"{100 * outcome['operations_alive']:.1f} % of the operations and "
        f"{100 * outcome['edges_alive']:.1f} % of the edges are left; "
        f"{outcome['seconds']:.0f} s; results and figures in {folder}"
    )
    progress.echo(
        "in your own code: "
        f"nasjax.supernet.saved_model.load({str(folder / MODEL_FILE)!r}); "
        "--mode=evaluate also writes the slimmed network"
    )
