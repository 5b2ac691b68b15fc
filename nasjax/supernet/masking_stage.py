"""Hierarchical masking: training of the scores (algorithm 1, lines 9-13)."""

import functools
from typing import Any

import jax
import optax
from flax import struct

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

Array = jax.Array
Tree = dict[str, Any]
NAME = "masking"


class State(struct.PyTreeNode):
    """State of hierarchical masking: only `scores` and BN statistics change."""

    params: Tree
    statistics: Tree
    arch: mixing.Arch
    scores: masking.Masks
    opt: Any
    totals: Totals


def init(trained: training_stage.State, s: settings.Masking) -> State:
    """All scores at their initial value: the masked network is the supernet."""
    scores = masking.constant(trained.params, trained.arch)
    return State(
        params=trained.params,
        statistics=trained.statistics,
        arch=trained.arch,
        scores=scores,
        opt=_mask_optimiser(s, 1).init(scores),
        totals=Totals.zero(),
    )


def _mask_optimiser(
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
    net: spec.Supernet, s: settings.Masking, images: stage.Images, *, start: int
) -> Stage:
    """Training of the scores on the training loss; everything else is frozen."""
    steps_before_decay = s.decay_epoch * images.steps_per_epoch
    optimiser = _mask_optimiser(s, steps_before_decay)
    batches = images.batches(start)

    def effective(state: State, scores: masking.Masks) -> tuple[Tree, Array]:
        return masking.effective(
            scores,
            state.params,
            state.arch,
            net=net,
            threshold=s.threshold,
            mode=s.mode,
        )

    def prepare(state: State) -> tuple[Tree, Array]:
        return effective(state, state.scores)

    def finish(state: State, g: objective.Gradients, count: int) -> State:
        _, pull_back = jax.vjp(functools.partial(effective, state), state.scores)
        (d_scores,) = pull_back((g.params, g.mixing))
        updates, opt = optimiser.update(d_scores, state.opt, state.scores)
        return state.replace(
            scores=optax.apply_updates(state.scores, updates),
            statistics=g.statistics,
            opt=opt,
            totals=state.totals.add(g.loss, g.correct, count),
        )

    run = stage.gradient_step(prepare, finish, net)
    prepared = jax.jit(prepare)

    def step(state: State, index: int) -> State:
        batch = next(batches)
        return run(state, batch.images, batch.labels)

    def end_epoch(state: State, epoch: int) -> tuple[State, dict]:
        params, coefficients = prepared(state)
        row = state.totals.row()
        row |= derive.alive_summary(net, masking.binary(state.scores, s.threshold))
        row |= stage.test_scores(
            params, state.statistics, coefficients, images, net=net
        )
        return state.replace(totals=Totals.zero()), row

    remedy = "lower masking.weight_travel"
    return Stage(NAME, s.epochs, images.steps_per_epoch, step, end_epoch, remedy)
