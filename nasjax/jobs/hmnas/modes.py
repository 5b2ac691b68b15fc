"""HM-NAS from images to a fine-tuned, pruned network (chapter 2, algorithm 1).

`train` runs supernet training, hierarchical masking and fine-tuning in one working
directory, resuming whatever an earlier process finished there. `evaluate` measures the
saved network again, and its physically slimmed form. `control` repeats the last stage
with masks of the same sparsity at random places.
"""

import pathlib
from typing import Any, NamedTuple

import jax
from absl import logging

from nasjax import data
from nasjax.core import (
    checkpoint,
    compilation,
    errors,
    malloc,
    metric_log,
    progress,
    read_guard,
    result,
    stopwatch,
    workdir,
)
from nasjax.experiments import published
from nasjax.jobs import config_door
from nasjax.supernet import (
    counting,
    derive,
    finetune_stage,
    masking,
    masking_stage,
    mixing,
    saved_model,
    settings,
    slim,
    spec,
    stage,
    training_stage,
)
from nasjax.supernet import experiment as setup
from nasjax.training.runner import CHECKPOINTS, StageRunner

MODEL_FILE = "model.safetensors"
SLIM_FILE = "slim.safetensors"
RESULT_FILE = "result.json"
CONTROL_FILE = "control.json"
CONTROL = "control"
"""Folder of its checkpoints and rows."""
_FACTS = ("test_accuracy", "test_loss")
_COMPARED = ("masked", "finetuned")
"""Stages whose scores stand beside those of the control."""
EVALUATION_FILE = "evaluation.json"


class Masked(NamedTuple):
    """The outcome of hierarchical masking."""

    masks: masking.Masks
    params: dict[str, Any]
    statistics: dict[str, Any]
    mixing: jax.Array


def run(config: dict[str, Any], folder: str, mode: str = "train") -> dict[str, Any]:
    """Runs one mode and returns what it wrote as JSON.

    Args:
      config: sections data, supernet, training, masking and finetuning, and the keys
        seed and batch_size, as in `configs/`.
      folder: working directory.
      mode: "train", "evaluate" or "control".

    Raises:
      NasjaxError: bad configuration, data or working directory, or a diverged loss.
      training.loop.Stopped: the process was asked to stop; its state is saved.
    """
    if mode not in MODES:
        raise errors.unknown_name("mode", mode, MODES)
    if not folder:
        raise errors.ConfigError("no working directory: pass --workdir=FOLDER")
    config = config_door.enter("launch/hmnas.py", config)
    compilation.enable_cache()
    malloc.keep_memory()
    return MODES[mode](setup.read(config, pathlib.Path(folder)))


# --- training ----------------------------------------------------------------------


def train(experiment: setup.Experiment) -> dict[str, Any]:
    """All three stages; see `run`."""
    _check_batch_sizes(experiment)  # before the workdir belongs to this configuration
    workdir.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    _warn_if_nothing_can_be_pruned(experiment.masking)
    with stopwatch.Stopwatch(experiment.folder) as watch:
        return _train(experiment, watch)


def _train(experiment: setup.Experiment, watch: stopwatch.Stopwatch) -> dict[str, Any]:
    with StageRunner(experiment.folder) as runner:
        supernet = _train_supernet(experiment, runner)
        masked = _mask(experiment, runner, supernet)
        tuned, net = _finetune(experiment, runner, masked)
    outcome = _summarise(experiment, supernet, masked, tuned, net)
    _save_model(experiment.folder, net, tuned, masked, outcome)
    outcome["seconds"] = watch.seconds
    result.write(experiment.folder / RESULT_FILE, outcome)
    _draw(experiment, outcome)
    _print_table(outcome, experiment.folder)
    return outcome


def _check_batch_sizes(experiment: setup.Experiment) -> None:
    for name in setup.DATA_SEEDS:
        experiment.images(name).check_batch_size()


def _train_supernet(
    experiment: setup.Experiment, runner: StageRunner
) -> training_stage.SearchState:
    images = experiment.images(training_stage.NAME)
    net, s = experiment.net, experiment.training
    return runner.run(
        training_stage.NAME,
        training_stage.init(experiment.key(setup.INIT), net, s),
        lambda start, state: training_stage.make_stage(
            experiment.key(setup.GATES),
            net,
            s,
            images,
            start=start,
            start_arch=int(state.arch_updates),
        ),
    )


def _mask(
    experiment: setup.Experiment,
    runner: StageRunner,
    supernet: training_stage.SearchState,
) -> Masked:
    images = experiment.images(masking_stage.NAME)
    net, s = experiment.net, experiment.masking
    state = runner.run(
        masking_stage.NAME,
        masking_stage.init(supernet, s),
        lambda start, _: masking_stage.make_stage(net, s, images, start=start),
    )
    masks = masking.binary(state.scores, s.threshold)
    return _apply_masks(experiment, state, masks)


def _apply_masks(
    experiment: setup.Experiment,
    state: masking_stage.MaskingState,
    masks: masking.Masks,
) -> Masked:
    """The searched network, its BN statistics estimated afresh."""
    net, s = experiment.net, experiment.masking
    images = experiment.images(masking_stage.NAME)
    coefficients = masking.coefficients(masks, state.arch, net, s.mode)
    params = masking.zeroed(state.params, masks.weights)
    _warn_about(net, masks)
    statistics = stage.recalibrate(
        params, state.statistics, coefficients, images, s.recalibration_batches, net=net
    )
    return Masked(masks, params, statistics, coefficients)


def _finetune(
    experiment: setup.Experiment, runner: StageRunner, masked: Masked
) -> tuple[finetune_stage.FinetuneState, spec.SupernetSpec]:
    s = experiment.finetuning
    images = experiment.images(finetune_stage.NAME)
    net = finetune_stage.description(experiment.net, s)
    state = runner.run(
        finetune_stage.NAME,
        finetune_stage.init(
            experiment.key(setup.CLASSIFIER),
            net,
            masked.params,
            masked.statistics,
            masked.mixing,
            masked.masks.weights,
            s,
        ),
        lambda start, _: finetune_stage.make_stage(net, s, images, start=start),
    )
    return state, net


def _warn_if_nothing_can_be_pruned(s: settings.Masking) -> None:
    before = min(s.epochs, s.decay_epoch) / s.decay_epoch
    after = 0.1 * max(s.epochs - s.decay_epoch, 0) / s.decay_epoch
    for name in ("weight_travel", "arch_travel"):
        travel = getattr(s, name) * (before + after)
        if not masking.can_prune(travel, threshold=s.threshold):
            logging.warning(
                "masking.%s=%g lets a score travel %g at most, less than the %g to the "
                "threshold: nothing of this kind can be pruned",
                name,
                getattr(s, name),
                travel,
                masking.INITIAL_SCORE - s.threshold,
            )


def _warn_about(net: spec.SupernetSpec, masks: masking.Masks) -> None:
    dead = derive.dead_nodes(net, masks)
    if dead:
        logging.warning("masking left %s without any input", ", ".join(dead))
    if all(bool(mask.all()) for mask in jax.tree.leaves(masks)):
        logging.warning(
            "masking pruned nothing; raise masking.weight_travel or masking.epochs"
        )


# --- results -----------------------------------------------------------------------


def _summarise(
    experiment: setup.Experiment,
    supernet: training_stage.SearchState,
    masked: Masked,
    tuned: finetune_stage.FinetuneState,
    net: spec.SupernetSpec,
) -> dict[str, Any]:
    """`result.json` without its seconds."""
    images = experiment.images(masking_stage.NAME)
    plain = mixing.coefficients(supernet.arch, experiment.net)
    ones = masking.constant(supernet.params, supernet.arch, 1.0)
    final_masks = masked.masks._replace(weights=tuned.masks)
    stages = {
        "supernet": stage.test_scores(
            supernet.params, supernet.statistics, plain, images, net=experiment.net
        )
        | _counts(experiment.net, ones),
        "masked": _masked_scores(experiment, masked)
        | _counts(experiment.net, masked.masks),
        "finetuned": _finetuned_scores(experiment, tuned, net)
        | _counts(net, final_masks),
    }
    return {
        "tables": _table(stages, experiment),
        "stages": stages,
        **stages["finetuned"]["counts"],
        **derive.alive_summary(net, masked.masks),
        "genotype": derive.genotype(
            experiment.net, supernet.arch, masked.masks, experiment.masking.mode
        ),
        "edge_importance": derive.edge_importance(experiment.net, supernet.arch),
        "config": experiment.config,
        "versions": result.versions(),
    }


def _counts(net: spec.SupernetSpec, masks: masking.Masks) -> dict[str, Any]:
    """A stage's `params` and `macs`, the effective ones, and all three kinds."""
    counts = counting.table(net, masks)
    effective = {name: counts[name]["effective"] for name in ("params", "macs")}
    return effective | {"counts": counts}


def _save_model(
    folder: pathlib.Path,
    net: spec.SupernetSpec,
    tuned: finetune_stage.FinetuneState,
    masked: Masked,
    outcome: dict[str, Any],
) -> None:
    facts = {"genotype": outcome["genotype"], **outcome["stages"]["finetuned"]}
    masks = masked.masks._replace(weights=tuned.masks)
    saved = saved_model.SavedModel(
        net, tuned.params, tuned.statistics, tuned.mixing, masks, facts
    )
    saved_model.save(folder / MODEL_FILE, saved)


def _masked_scores(experiment: setup.Experiment, masked: Masked) -> dict[str, float]:
    images = experiment.images(masking_stage.NAME)
    return stage.test_scores(
        masked.params, masked.statistics, masked.mixing, images, net=experiment.net
    )


def _finetuned_scores(
    experiment: setup.Experiment,
    tuned: finetune_stage.FinetuneState,
    net: spec.SupernetSpec,
) -> dict[str, float]:
    images = experiment.images(finetune_stage.NAME)
    return stage.test_scores(
        tuned.params, tuned.statistics, tuned.mixing, images, net=net
    )


def _table(stages: dict[str, Any], experiment: setup.Experiment) -> dict[str, Any]:
    """Rows of table 2.3 (test error in percent); of table 2.4 for ImageNet.

    The thesis' numbers stand beside those of its own network and training only. A
    reduction is against the same network without masks: fine-tuning on other classes
    has another classifier, and another dense network, than the supernet.
    """
    net, name = experiment.net, experiment.dataset.name
    known = _conditions(experiment)
    facts = {
        "data": name,
        "train_images": len(experiment.dataset.train),
        "num_cells": net.num_cells,
        "channels": net.channels,
        "order": experiment.training.order,
    }
    rows = [
        {
            "settings": {"stage": stage_name, **facts},
            "value": 100 * (1 - row["test_accuracy"]),
            "std": None,
            "num_seeds": 1,
            "thesis": published.value("2.3", stage_name, "error", known),
            "params": row["params"],
            "params_reduction": 100
            * (1 - row["params"] / row["counts"]["params"]["dense"]),
        }
        for stage_name, row in stages.items()
    ]
    return {"2.4" if name == "imagenet" else "2.3": rows}


def _conditions(experiment: setup.Experiment) -> dict[str, Any]:
    """What the run was, in the words of `published`."""
    net, dataset = experiment.net, experiment.dataset
    stages = (experiment.training, experiment.masking, experiment.finetuning)
    return {
        "data_set": dataset.name,
        "order": experiment.training.order,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "image_shape": tuple(net.image_shape),
        "num_cells": net.num_cells,
        "channels": net.channels,
        "stem_stride": net.stem_stride,
        "batch_size": experiment.config["batch_size"],
        "train_fraction": experiment.training.train_fraction,
        "epochs": tuple(stage.epochs for stage in stages),
        "cutout": experiment.finetuning.cutout,
    }


def _draw(experiment: setup.Experiment, outcome: dict[str, Any]) -> None:
    from nasjax.report import cells, curves  # here: it loads matplotlib

    folder = experiment.folder
    cells.draw_genotype(outcome["genotype"], folder / "figures")
    rows = metric_log.read(folder)
    if not rows:
        logging.warning(
            "%s was lost: the curves are not drawn", folder / metric_log.METRICS_FILE
        )
        return
    # The table's error is that of fresh BN statistics, the curve's of running ones.
    recalibrated = {}
    if experiment.masking.recalibration_batches:
        masked = outcome["stages"]["masked"]
        recalibrated[masking_stage.NAME] = masked["test_accuracy"]
    path = folder / "figures" / "curves"
    curves.draw_curves(rows, path, recalibrated=recalibrated)


def _print_table(outcome: dict[str, Any], folder: pathlib.Path) -> None:
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


# --- evaluation and control --------------------------------------------------------


def evaluate(experiment: setup.Experiment) -> dict[str, Any]:
    """Test scores of the saved network and of its slimmed form."""
    path = experiment.folder / MODEL_FILE
    if not path.exists():
        raise errors.WorkdirError(
            f"{path} is missing: train first, with the same --config and --workdir"
        )
    # Another configuration is refused: other batches give other rounding.
    workdir.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    saved = saved_model.load(path)
    images = experiment.images(finetune_stage.NAME)
    with read_guard.guard(path, "facts are missing", remedy="train or get it again"):
        trained = {key: float(saved.facts[key]) for key in _FACTS}
    scores = stage.test_scores(
        saved.params, saved.statistics, saved.mixing, images, net=saved.net
    )
    small = slim.slim(
        saved.params, saved.statistics, saved.mixing, saved.masks, net=saved.net
    )
    slim.save(experiment.folder / SLIM_FILE, small)
    outcome: dict[str, Any] = {
        **scores,
        "equal_to_training": trained == {key: scores[key] for key in _FACTS},
        "slim": _slim_scores(small, images) | {"params": slim.count(small)},
        "params": counting.table(saved.net, saved.masks)["params"],
    }
    result.write(experiment.folder / EVALUATION_FILE, outcome)
    progress.echo(
        f"test accuracy {100 * scores['test_accuracy']:.2f} %, "
        + ("as" if outcome["equal_to_training"] else "NOT as")
        + " at the end of training"
    )
    progress.echo(
        f"slimmed: {100 * outcome['slim']['test_accuracy']:.2f} % with "
        f"{outcome['slim']['params']:,} of {outcome['params']['dense']:,} parameters"
    )
    return outcome


def _slim_scores(small: slim.SlimNetwork, images: stage.Images) -> dict[str, float]:
    def evaluate(batch: data.Batch) -> tuple[jax.Array, jax.Array]:
        return slim.evaluate(small.params, *batch, description=small.description)

    return stage.scores(evaluate, images)


def control(experiment: setup.Experiment) -> dict[str, Any]:
    """Fine-tunes the supernet under random masks of the learned masks' sparsity."""
    if not (experiment.folder / RESULT_FILE).exists():
        raise errors.WorkdirError(
            f"{experiment.folder / RESULT_FILE} is missing: the control needs a "
            "finished run; train first, with the same --config and --workdir"
        )
    workdir.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    with stopwatch.Stopwatch(experiment.folder / CONTROL) as watch:
        return _control(experiment, watch)


def _control(
    experiment: setup.Experiment, watch: stopwatch.Stopwatch
) -> dict[str, Any]:
    learned_scores = _searched_scores(experiment.folder / RESULT_FILE)
    state = _finished_masking(experiment)
    learned = masking.binary(state.scores, experiment.masking.threshold)
    masks = masking.shuffled(experiment.key(setup.CONTROL), learned)
    masked = _apply_masks(experiment, state, masks)
    with StageRunner(experiment.folder / CONTROL) as runner:
        tuned, net = _finetune(experiment, runner, masked)
    outcome: dict[str, Any] = {
        "masked": _masked_scores(experiment, masked),
        "finetuned": _finetuned_scores(experiment, tuned, net),
        **counting.table(net, masks._replace(weights=tuned.masks)),
        "seconds": watch.seconds,
    }
    result.write(experiment.folder / CONTROL_FILE, outcome)
    progress.echo(f"{'':<12}{'learned masks':>15}{'random masks':>15}")
    for name in _COMPARED:
        learned_accuracy = learned_scores[name]
        random_accuracy = outcome[name]["test_accuracy"]
        progress.echo(
            f"{name:<12}{100 * learned_accuracy:>14.2f}%{100 * random_accuracy:>14.2f}%"
        )
    return outcome


def _searched_scores(path: pathlib.Path) -> dict[str, float]:
    """Test accuracies of the learned masks, before the control is trained."""
    with read_guard.guard(path, "not the result of a run", remedy="train again"):
        stages = result.read(path)["stages"]
        return {name: float(stages[name]["test_accuracy"]) for name in _COMPARED}


def _finished_masking(experiment: setup.Experiment) -> masking_stage.MaskingState:
    s = experiment.training
    supernet = training_stage.init(experiment.key(setup.INIT), experiment.net, s)
    template = masking_stage.init(supernet, experiment.masking)
    folder = experiment.folder / CHECKPOINTS / masking_stage.NAME
    restored = checkpoint.Checkpoints(folder).restore(template)
    if restored is None:
        raise errors.WorkdirError(
            f"{folder} holds no checkpoint: train first, with the same --config and "
            "--workdir"
        )
    return restored[1]


MODES = {"train": train, "evaluate": evaluate, "control": control}
