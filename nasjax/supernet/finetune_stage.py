"""Fine-tuning of the unmasked weights (algorithm 1, lines 14-17)."""

import dataclasses
from typing import Any

import numpy as np
import optax
from flax import struct

from nasjax.core.types import Array, Tree
from nasjax.supernet import masking, network, objective, settings, spec, stage
from nasjax.training import optimizers
from nasjax.training.loop import Stage, Totals

NAME = "finetune"


class FinetuneState(struct.PyTreeNode):
    """State of fine-tuning: masked kernels hold exact zeros and stay so.

    Attributes:
      params: effective weights.
      statistics: BN running moments.
      mixing: `[A, E, O]`, masked coefficients, constant.
      masks: binary masks of the kernels by path.
      opt: SGD state.
      totals: sums of the running epoch.
    """

    params: Tree
    statistics: Tree
    mixing: Array
    masks: masking.Weights
    opt: Any
    totals: Totals


def init(
    key: Array,
    net: spec.SupernetSpec,
    params: Tree,
    statistics: Tree,
    coefficients: Array,
    masks: masking.Weights,
    s: settings.Finetuning,
) -> FinetuneState:
    """The masked network as fine-tuning starts from it.

    Args:
      key: draws the new classifier, where there is one.
      net: description of the network to fine-tune (`description`).
      params: trained weights; masked entries become exact zeros.
      statistics: BN moments of the masked network.
      coefficients: `[A, E, O]`, masked.
      masks: binary masks of the kernels by path.
      s: settings.
    """
    if np.shape(params["classifier"]["bias"])[0] != net.num_classes:
        params = params | {"classifier": network.init_params(key, net)["classifier"]}
        masks = {path: m for path, m in masks.items() if "classifier" not in path}
    if net.affine:
        params = network.with_affine(params, net)
    params = masking.zeroed(params, masks)
    return FinetuneState(
        params=params,
        statistics=statistics,
        mixing=coefficients,
        masks=masks,
        opt=_optimizer(s, 1).init(params),
        totals=Totals.zero(),
    )


def description(net: spec.SupernetSpec, s: settings.Finetuning) -> spec.SupernetSpec:
    """The supernet's description with fine-tuning's classes and BN parameters."""
    classes = s.num_classes or net.num_classes
    return dataclasses.replace(net, num_classes=classes, affine=net.affine or s.affine)


def _optimizer(
    s: settings.Finetuning, steps_per_epoch: int
) -> optax.GradientTransformation:
    if s.schedule == "cosine":
        schedule = optimizers.cosine(s.learning_rate, s.epochs * steps_per_epoch)
    else:
        boundary = s.decay_epoch * steps_per_epoch
        schedule = optimizers.piecewise(s.learning_rate, boundary)
    return optimizers.sgd(
        schedule, momentum=s.momentum, weight_decay=s.weight_decay, clip=s.clip
    )


def make_stage(
    net: spec.SupernetSpec, s: settings.Finetuning, images: stage.Images, *, start: int
) -> Stage:
    """Training of the unmasked weights; masked entries receive no update at all."""
    optimizer = _optimizer(s, images.steps_per_epoch)
    batches = images.batches(start)

    def prepare(state: FinetuneState) -> tuple[Tree, Array]:
        return state.params, state.mixing

    def finish(
        state: FinetuneState, g: objective.Gradients, count: int
    ) -> FinetuneState:
        # Weight decay and momentum of a zero with zero gradient are zero as well.
        gradient = masking.masked_params(g.params, state.masks)
        updates, opt = optimizer.update(gradient, state.opt, state.params)
        return state.replace(
            params=optax.apply_updates(state.params, updates),
            statistics=g.statistics,
            opt=opt,
            totals=state.totals.add(g.loss, g.correct, count),
        )

    run = stage.gradient_step(prepare, finish, net)

    def step(state: FinetuneState, index: int) -> FinetuneState:
        batch = next(batches)
        return run(state, batch.images, batch.labels)

    def end_epoch(
        state: FinetuneState, epoch: int
    ) -> tuple[FinetuneState, dict[str, float]]:
        row = state.totals.row()
        row |= stage.test_scores(
            state.params, state.statistics, state.mixing, images, net=net
        )
        return state.replace(totals=Totals.zero()), row

    remedy = "lower finetuning.learning_rate"
    return Stage(NAME, s.epochs, images.steps_per_epoch, step, end_epoch, remedy)
