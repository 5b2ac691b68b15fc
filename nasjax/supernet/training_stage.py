"""Supernet training: weights and mixing weights, bilevel (algorithm 1, lines 3-8)."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from nasjax.core.types import Array, Tree
from nasjax.data import Batch
from nasjax.networks import operations as ops
from nasjax.supernet import bilevel, mixing, network, objective, settings, spec, stage
from nasjax.training import optimizers
from nasjax.training.loop import Stage, Totals

NAME = "supernet"


class SearchState(struct.PyTreeNode):
    """State of supernet training.

    Attributes:
      params: weights w.
      statistics: BN running moments.
      arch: alpha and beta.
      weight_opt: SGD state.
      arch_opt: Adam state.
      arch_updates: int32 `[]`, architecture updates so far, which is also how many
        batches of the architecture's part have been used.
      totals: sums of the running epoch.
    """

    params: Tree
    statistics: Tree
    arch: mixing.Arch
    weight_opt: Any
    arch_opt: Any
    arch_updates: Array
    totals: Totals


def init(key: Array, net: spec.SupernetSpec, s: settings.Training) -> SearchState:
    """Random weights, nearly uniform mixing weights, fresh optimizers."""
    key_weights, key_arch = jax.random.split(key)
    params, arch = (
        network.init_params(key_weights, net),
        mixing.init_arch(key_arch, net),
    )
    return SearchState(
        params=params,
        statistics=network.init_statistics(net),
        arch=arch,
        weight_opt=_weight_optimizer(s, 1).init(params),
        arch_opt=_arch_optimizer(s).init(arch),
        arch_updates=jnp.int32(0),
        totals=Totals.zero(),
    )


def _weight_optimizer(
    s: settings.Training, num_steps: int
) -> optax.GradientTransformation:
    return optimizers.sgd(
        optimizers.cosine(s.learning_rate, num_steps),
        momentum=s.momentum,
        weight_decay=s.weight_decay,
        clip=s.clip,
    )


def _arch_optimizer(s: settings.Training) -> optax.GradientTransformation:
    return optimizers.adam(
        s.arch_learning_rate, beta1=s.arch_beta1, weight_decay=s.arch_weight_decay
    )


def make_stage(
    key: Array,
    net: spec.SupernetSpec,
    s: settings.Training,
    images: stage.Images,
    *,
    start: int,
    start_arch: int,
) -> Stage:
    """Bilevel training of weights and mixing weights.

    Args:
      key: decides at which steps the architecture is updated.
      net: description of the network.
      s: settings.
      images: splits; `valid` trains the architecture.
      start: index of the first step that will be run.
      start_arch: architecture updates before it.
    """
    weight_steps = images.steps_per_epoch
    assert images.valid is not None
    arch_steps = images.valid.steps_per_epoch(images.batch_size)
    by_epoch = s.interleave == "epoch"
    per_epoch = weight_steps + (arch_steps if by_epoch else 0)
    total = s.epochs * weight_steps
    done_epochs, within = divmod(start, per_epoch)
    done = done_epochs * weight_steps + min(within, weight_steps)
    batches, valid_batches = images.batches(done), images.valid_batches(start_arch)
    # Second order by epoch unrolls through batches of their own; they are drawn only
    # where they are used, so their position is the number of updates.
    unroll_batches = dataclasses.replace(images, seed=images.seed + 5).batches(
        start_arch
    )
    weight_step = _weight_step(net, s, total)
    arch_step = _arch_step(net, s, total)

    @functools.lru_cache(maxsize=1)
    def draws(epoch: int) -> np.ndarray:
        start = epoch * per_epoch
        return np.asarray(bilevel.update_draws(key, start, count=per_epoch))

    def is_updated(epoch: int, within: int, done: int) -> bool:
        p = bilevel.update_probability(
            done,
            warmup=s.warmup_epochs * weight_steps,
            total=total,
            decay=s.sigma,
            zero_after=s.zero_after,
        )
        return bool(draws(epoch)[within] < p)

    def alternate(state: SearchState, index: int) -> SearchState:
        epoch, within = divmod(index, per_epoch)
        batch = next(batches)
        if is_updated(epoch, within, index):
            state = arch_step(state, index, batch, next(valid_batches))
        return weight_step(state, batch.images, batch.labels)

    def by_halves(state: SearchState, index: int) -> SearchState:
        epoch, within = divmod(index, per_epoch)
        if within < weight_steps:
            batch = next(batches)
            return weight_step(state, batch.images, batch.labels)
        # The second half's probabilities fall as the first half's steps would.
        position = (within - weight_steps) * weight_steps // arch_steps
        if not is_updated(epoch, within, epoch * weight_steps + position):
            return state
        done = min((epoch + 1) * weight_steps, total - 1)
        train = None if s.order == bilevel.FIRST else next(unroll_batches)
        return arch_step(state, done, train, next(valid_batches))

    step = by_halves if by_epoch else alternate

    def end_epoch(
        state: SearchState, epoch: int
    ) -> tuple[SearchState, dict[str, float]]:
        coefficients = mixing.coefficients(state.arch, net)
        row = state.totals.row() | {"arch_updates": int(state.arch_updates)}
        row |= _skip_weight(state.arch, net)
        row |= stage.test_scores(
            state.params, state.statistics, coefficients, images, net=net
        )
        return state.replace(totals=Totals.zero()), row

    return Stage(
        NAME, s.epochs, per_epoch, step, end_epoch, "lower training.learning_rate"
    )


def _skip_weight(arch: mixing.Arch, net: spec.SupernetSpec) -> dict[str, float]:
    """Mean softmax weight of the identity: its growth is the classic collapse."""
    if ops.SKIP not in net.operations:
        return {}
    weights = mixing.operation_weights(arch["alpha"])
    return {"skip_weight": float(weights[..., net.operations.index(ops.SKIP)].mean())}


def _weight_step(
    net: spec.SupernetSpec, s: settings.Training, num_steps: int
) -> stage.Step[SearchState]:
    optimizer = _weight_optimizer(s, num_steps)

    def prepare(state: SearchState) -> tuple[Tree, Array]:
        return state.params, mixing.coefficients(state.arch, net)

    def finish(state: SearchState, g: objective.Gradients, count: int) -> SearchState:
        updates, opt = optimizer.update(g.params, state.weight_opt, state.params)
        return state.replace(
            params=optax.apply_updates(state.params, updates),
            statistics=g.statistics,
            weight_opt=opt,
            totals=state.totals.add(g.loss, g.correct, count),
        )

    return stage.gradient_step(prepare, finish, net)


def _arch_step(
    net: spec.SupernetSpec, s: settings.Training, num_steps: int
) -> Callable[[SearchState, int, Batch | None, Batch], SearchState]:
    """(state, weight steps so far, train batch, valid batch) -> state.

    First order reads no training batch.
    """
    optimizer = _arch_optimizer(s)
    schedule = optimizers.cosine(s.learning_rate, num_steps)

    @jax.jit
    def prepare(arch: mixing.Arch) -> Array:
        return mixing.coefficients(arch, net)

    @jax.jit
    def finish(state: SearchState, d_mixing: Array) -> SearchState:
        _, pull_back = jax.vjp(lambda arch: mixing.coefficients(arch, net), state.arch)
        updates, opt = optimizer.update(
            pull_back(d_mixing)[0], state.arch_opt, state.arch
        )
        return state.replace(
            arch=optax.apply_updates(state.arch, updates),
            arch_opt=opt,
            arch_updates=state.arch_updates + 1,
        )

    second = bilevel.exact if s.order == bilevel.EXACT else bilevel.finite_differences

    def step(
        state: SearchState, done: int, train: Batch | None, valid: Batch
    ) -> SearchState:
        common = (state.params, prepare(state.arch), state.statistics)
        target = (valid.images, valid.labels)
        if train is None or s.order == bilevel.FIRST:
            d_mixing = bilevel.first_order(*common, target, net=net)
        else:
            d_mixing = second(
                *common,
                optimizers.momentum_buffer(state.weight_opt),
                jnp.float32(schedule(done)),
                (train.images, train.labels),
                target,
                net=net,
                mu=s.momentum,
                decay=s.weight_decay,
            )
        updated: SearchState = finish(state, d_mixing)
        return updated

    return step
