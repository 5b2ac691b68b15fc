"""Hierarchical masking: training of the scores (algorithm 1, lines 9-13)."""

import functools
from typing import Any

import jax
import optax
from flax import struct

from nasjax.core.types import Array, Tree
from nasjax.supernet import (
    derive,
    masking,
    mixing,
    objective,
    settings,
    spec,
    stage,
    training_stage,
)
from nasjax.training import optimizers
from nasjax.training.loop import Stage, Totals

NAME = "masking"


class MaskingState(struct.PyTreeNode):
    """State of hierarchical masking: only `scores` and BN statistics change."""

    params: Tree
    statistics: Tree
    arch: mixing.Arch
    scores: masking.Masks
    opt: Any
    totals: Totals


def init(trained: training_stage.SearchState, s: settings.Masking) -> MaskingState:
    """All scores at their initial value: the masked network is the supernet."""
    scores = masking.constant(trained.params, trained.arch)
    return MaskingState(
        params=trained.params,
        statistics=trained.statistics,
        arch=trained.arch,
        scores=scores,
        opt=_mask_optimizer(s, 1).init(scores),
        totals=Totals.zero(),
    )


def _mask_optimizer(
    s: settings.Masking, steps_before_decay: int
) -> optax.GradientTransformation:
    rates = masking.rates(
        weight_travel=s.weight_travel,
        arch_travel=s.arch_travel,
        steps_before_decay=steps_before_decay,
    )

    def schedule(rate: float) -> optax.GradientTransformation:
        return optimizers.adam(optimizers.piecewise(rate, steps_before_decay))

    return optax.multi_transform(
        {"arch": schedule(rates.arch), "weights": schedule(rates.weights)},
        masking.Masks("arch", "arch", "weights"),  # type: ignore[arg-type]
    )


def make_stage(
    net: spec.SupernetSpec, s: settings.Masking, images: stage.Images, *, start: int
) -> Stage:
    """Training of the scores on the training loss; everything else is frozen."""
    steps_before_decay = s.decay_epoch * images.steps_per_epoch
    optimizer = _mask_optimizer(s, steps_before_decay)
    batches = images.batches(start)

    def effective(state: MaskingState, scores: masking.Masks) -> tuple[Tree, Array]:
        return masking.effective(
            scores,
            state.params,
            state.arch,
            net=net,
            threshold=s.threshold,
            mode=s.mode,
        )

    def prepare(state: MaskingState) -> tuple[Tree, Array]:
        return effective(state, state.scores)

    def finish(state: MaskingState, g: objective.Gradients, count: int) -> MaskingState:
        _, pull_back = jax.vjp(functools.partial(effective, state), state.scores)
        (d_scores,) = pull_back((g.params, g.mixing))
        updates, opt = optimizer.update(d_scores, state.opt, state.scores)
        return state.replace(
            scores=optax.apply_updates(state.scores, updates),
            statistics=g.statistics,
            opt=opt,
            totals=state.totals.add(g.loss, g.correct, count),
        )

    run = stage.gradient_step(prepare, finish, net)
    prepared = jax.jit(prepare)

    def step(state: MaskingState, index: int) -> MaskingState:
        batch = next(batches)
        return run(state, batch.images, batch.labels)

    def end_epoch(
        state: MaskingState, epoch: int
    ) -> tuple[MaskingState, dict[str, float]]:
        params, coefficients = prepared(state)
        row = state.totals.row()
        row |= derive.alive_summary(net, masking.binary(state.scores, s.threshold))
        row |= stage.test_scores(
            params, state.statistics, coefficients, images, net=net
        )
        return state.replace(totals=Totals.zero()), row

    remedy = "lower masking.weight_travel"
    return Stage(NAME, s.epochs, images.steps_per_epoch, step, end_epoch, remedy)
