"""Algorithm 1 of chapter 2 as functions: train a supernet, mask it, fine-tune the rest.

    found = pipeline.run(0, dataset, net, settings.Settings(), batch_size=64)
    pipeline.scores(dataset, found, batch_size=64)
    saved_model.save("model.safetensors", found.model())

`run` is `train_supernet`, `train_masks`, `apply_masks` and `finetune` in this order;
`control` fine-tunes under random masks of the same sparsity. Nothing is written: pass
`run_stage=stages.run` of a `training.runner.StageRunner` to keep checkpoints and
rows in a folder and to go on from there.

Whatever is drawn is a function of the seed and of the stage, so stages that run one by
one, in one process or in several, give the same bits as `run`.
"""

from typing import Any, NamedTuple

import jax
from absl import logging

from nasjax import data
from nasjax.core import errors
from nasjax.core.types import Array, Key, Tree
from nasjax.supernet import (
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
from nasjax.training import loop

LARGEST_SEED = 2**27 - 1
_INIT, _GATES, _CLASSIFIER, _CONTROL = range(4)
"""Uses of the seed: each gets its own stream."""
_DATA_SEEDS = {training_stage.NAME: 1, masking_stage.NAME: 3, finetune_stage.NAME: 4}


class Masked(NamedTuple):
    """A searched network: the outcome of hierarchical masking.

    Attributes:
      masks: binary, of operations, edges and kernels.
      params: weights; masked entries are zero.
      statistics: BN moments, estimated afresh.
      mixing: `[A, E, O]`, masked mixing coefficients.
    """

    masks: masking.Masks
    params: Tree
    statistics: Tree
    mixing: Array


class Finetuned(NamedTuple):
    """The outcome of fine-tuning.

    Attributes:
      net: what was fine-tuned: the supernet with fine-tuning's classes and BNs.
      state: after the last step.
    """

    net: spec.SupernetSpec
    state: finetune_stage.FinetuneState


class Outcome(NamedTuple):
    """What the stages of `run` end with.

    Attributes:
      net: description of the supernet.
      supernet: after supernet training.
      masked: the searched network.
      finetuned: the same, fine-tuned.
    """

    net: spec.SupernetSpec
    supernet: training_stage.SearchState
    masked: Masked
    finetuned: Finetuned

    def model(self, facts: dict[str, Any] | None = None) -> saved_model.SavedModel:
        """The fine-tuned network as `saved_model.save` writes it, with `facts`."""
        net, state = self.finetuned
        masks = self.masked.masks._replace(weights=state.masks)
        return saved_model.SavedModel(
            net, state.params, state.statistics, state.mixing, masks, facts or {}
        )


def run(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Settings,
    *,
    batch_size: int,
    tuning_dataset: data.Dataset | None = None,
    run_stage: loop.RunStage = loop.run_in_memory,
) -> Outcome:
    """All of algorithm 1.

    Args:
      seed: of everything that is drawn, 0 to `LARGEST_SEED`.
      dataset: images; the test split only reports.
      net: description of the supernet.
      s: settings of the stages.
      batch_size: images a step.
      tuning_dataset: images of fine-tuning, where it has more classes.
      run_stage: runs a stage; the default keeps nothing on disk.

    Raises:
      ConfigError: the seed or the batch size does not fit.
      DivergedError: a training loss is not finite.
    """
    tuning = tuning_dataset or dataset
    check(seed, dataset, s, batch_size=batch_size, tuning_dataset=tuning)
    shared: dict[str, Any] = {"batch_size": batch_size, "run_stage": run_stage}
    warn_if_nothing_can_be_pruned(s.masking)
    supernet = train_supernet(seed, dataset, net, s.training, **shared)
    state = train_masks(seed, dataset, net, s.masking, supernet, **shared)
    masked = apply_masks(seed, dataset, net, s.masking, state, batch_size=batch_size)
    tuned = finetune(seed, tuning, net, s.finetuning, masked, **shared)
    return Outcome(net, supernet, masked, tuned)


# --- stages ------------------------------------------------------------------------


def train_supernet(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Training,
    *,
    batch_size: int,
    run_stage: loop.RunStage = loop.run_in_memory,
) -> training_stage.SearchState:
    """Weights and mixing weights, trained on two parts of the training images."""
    images = supernet_images(seed, dataset, s, batch_size=batch_size)
    key = _key(seed, _GATES)

    def make_stage(start: int, state: training_stage.SearchState) -> loop.Stage:
        done = int(state.arch_updates)
        return training_stage.make_stage(
            key, net, s, images, start=start, start_arch=done
        )

    return run_stage(
        training_stage.NAME,
        training_stage.init(_key(seed, _INIT), net, s),
        make_stage,
    )


def train_masks(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Masking,
    supernet: training_stage.SearchState,
    *,
    batch_size: int,
    run_stage: loop.RunStage = loop.run_in_memory,
) -> masking_stage.MaskingState:
    """Scores of operations, edges and weights; weights and mixing weights stay."""
    images = masking_images(seed, dataset, batch_size=batch_size)
    return run_stage(
        masking_stage.NAME,
        masking_stage.init(supernet, s),
        lambda start, _: masking_stage.make_stage(net, s, images, start=start),
    )


def masking_template(
    seed: int, net: spec.SupernetSpec, s: settings.Settings
) -> masking_stage.MaskingState:
    """A state of the shapes that `train_masks` ends with, to read a checkpoint into."""
    supernet = training_stage.init(_key(seed, _INIT), net, s.training)
    return masking_stage.init(supernet, s.masking)


def apply_masks(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Masking,
    state: masking_stage.MaskingState,
    *,
    batch_size: int,
    masks: masking.Masks | None = None,
) -> Masked:
    """The searched network, its BN statistics estimated afresh.

    Args:
      seed: as in `run`.
      dataset: whose training images give the BN statistics.
      net: description of the supernet.
      s: of hierarchical masking.
      state: what `train_masks` ended with.
      batch_size: images a step.
      masks: binary; None: those that were learned.
    """
    if masks is None:
        masks = masking.binary(state.scores, s.threshold)
    images = masking_images(seed, dataset, batch_size=batch_size)
    coefficients = masking.coefficients(masks, state.arch, net, s.mode)
    params = masking.zeroed(state.params, masks.weights)
    _warn_about(net, masks)
    statistics = stage.recalibrate(
        params, state.statistics, coefficients, images, s.recalibration_batches, net=net
    )
    return Masked(masks, params, statistics, coefficients)


def finetune(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Finetuning,
    masked: Masked,
    *,
    batch_size: int,
    run_stage: loop.RunStage = loop.run_in_memory,
) -> Finetuned:
    """Trains the weights that are left; `dataset` may have more classes than before."""
    images = finetuning_images(seed, dataset, s, batch_size=batch_size)
    net = finetune_stage.description(net, s)
    initial = finetune_stage.init(
        _key(seed, _CLASSIFIER),
        net,
        masked.params,
        masked.statistics,
        masked.mixing,
        masked.masks.weights,
        s,
    )
    state = run_stage(
        finetune_stage.NAME,
        initial,
        lambda start, _: finetune_stage.make_stage(net, s, images, start=start),
    )
    return Finetuned(net, state)


def control(
    seed: int,
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    s: settings.Settings,
    state: masking_stage.MaskingState,
    *,
    batch_size: int,
    tuning_dataset: data.Dataset | None = None,
    run_stage: loop.RunStage = loop.run_in_memory,
) -> tuple[Masked, Finetuned]:
    """Fine-tunes under masks of the learned sparsity at random places.

    Args:
      seed: as in `run`.
      dataset: as in `run`.
      net: description of the supernet.
      s: settings of the stages.
      state: what `train_masks` ended with.
      batch_size: images a step.
      tuning_dataset: as in `run`.
      run_stage: as in `run`.
    """
    learned = masking.binary(state.scores, s.masking.threshold)
    masked = apply_masks(
        seed,
        dataset,
        net,
        s.masking,
        state,
        batch_size=batch_size,
        masks=masking.shuffled(_key(seed, _CONTROL), learned),
    )
    tuned = finetune(
        seed,
        tuning_dataset or dataset,
        net,
        s.finetuning,
        masked,
        batch_size=batch_size,
        run_stage=run_stage,
    )
    return masked, tuned


# --- images ------------------------------------------------------------------------


def supernet_images(
    seed: int, dataset: data.Dataset, s: settings.Training, *, batch_size: int
) -> stage.Images:
    """The training images in two parts, for the weights and for the architecture."""
    train, valid = dataset.split_train(s.train_fraction, seed)
    return stage.Images(
        train=train,
        valid=valid,
        test=dataset.test,
        batch_size=batch_size,
        seed=_data_seed(seed, training_stage.NAME),
    )


def masking_images(
    seed: int, dataset: data.Dataset, *, batch_size: int
) -> stage.Images:
    """All training images."""
    return stage.Images(
        train=dataset.train,
        test=dataset.test,
        batch_size=batch_size,
        seed=_data_seed(seed, masking_stage.NAME),
    )


def finetuning_images(
    seed: int, dataset: data.Dataset, s: settings.Finetuning, *, batch_size: int
) -> stage.Images:
    """All training images, with cutout where the settings say so."""
    return stage.Images(
        train=dataset.train,
        test=dataset.test,
        batch_size=batch_size,
        seed=_data_seed(seed, finetune_stage.NAME),
        cutout=s.cutout,
    )


def _data_seed(seed: int, name: str) -> int:
    return 10 * seed + _DATA_SEEDS[name]


def _key(seed: int, use: int) -> Key:
    return jax.random.fold_in(jax.random.key(seed), use)


# --- scores ------------------------------------------------------------------------


def scores(
    dataset: data.Dataset,
    found: Outcome,
    *,
    batch_size: int,
    tuning_dataset: data.Dataset | None = None,
) -> dict[str, dict[str, float]]:
    """`test_accuracy` in [0, 1] and `test_loss` in nats of each stage's network."""
    return {
        "supernet": supernet_scores(
            dataset, found.net, found.supernet, batch_size=batch_size
        ),
        "masked": masked_scores(
            dataset, found.net, found.masked, batch_size=batch_size
        ),
        "finetuned": finetuned_scores(
            tuning_dataset or dataset, found.finetuned, batch_size=batch_size
        ),
    }


def supernet_scores(
    dataset: data.Dataset,
    net: spec.SupernetSpec,
    state: training_stage.SearchState,
    *,
    batch_size: int,
) -> dict[str, float]:
    """Of the supernet, nothing masked."""
    images = masking_images(0, dataset, batch_size=batch_size)
    plain = mixing.coefficients(state.arch, net)
    return stage.test_scores(state.params, state.statistics, plain, images, net=net)


def masked_scores(
    dataset: data.Dataset, net: spec.SupernetSpec, masked: Masked, *, batch_size: int
) -> dict[str, float]:
    """Of the searched network before fine-tuning."""
    images = masking_images(0, dataset, batch_size=batch_size)
    return stage.test_scores(
        masked.params, masked.statistics, masked.mixing, images, net=net
    )


def finetuned_scores(
    dataset: data.Dataset, tuned: Finetuned, *, batch_size: int
) -> dict[str, float]:
    """Of the fine-tuned network."""
    net, state = tuned
    images = masking_images(0, dataset, batch_size=batch_size)
    return stage.test_scores(
        state.params, state.statistics, state.mixing, images, net=net
    )


def model_scores(
    dataset: data.Dataset, model: saved_model.SavedModel, *, batch_size: int
) -> dict[str, float]:
    """Of a saved network."""
    images = masking_images(0, dataset, batch_size=batch_size)
    return stage.test_scores(
        model.params, model.statistics, model.mixing, images, net=model.net
    )


def slim_scores(
    dataset: data.Dataset, small: slim.SlimNetwork, *, batch_size: int
) -> dict[str, float]:
    """Of a physically slimmed network."""

    def evaluate(batch: data.Batch) -> tuple[Array, Array]:
        found: tuple[Array, Array] = slim.evaluate(
            small.params, *batch, description=small.description
        )
        return found

    images = masking_images(0, dataset, batch_size=batch_size)
    return stage.scores(evaluate, images)


# --- checks ------------------------------------------------------------------------


def check(
    seed: int,
    dataset: data.Dataset,
    s: settings.Settings,
    *,
    batch_size: int,
    tuning_dataset: data.Dataset | None = None,
) -> None:
    """Raises `ConfigError` where a later stage would refuse the seed or the batch."""
    if not 0 <= seed <= LARGEST_SEED:
        raise errors.ConfigError(f"seed={seed} must be in 0..{LARGEST_SEED}")
    supernet_images(seed, dataset, s.training, batch_size=batch_size).check_batch_size()
    for images in (dataset, tuning_dataset or dataset):
        images.train.check_batch_size(batch_size)


def warn_if_nothing_can_be_pruned(s: settings.Masking) -> None:
    """Logs a warning where no score can fall below the threshold."""
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
