"""Bilevel training of the supernet (section "Training the Supernet", algorithm 1).

The architecture minimises the validation loss at w', the weights after one training
step (Liu et al., 2019, eq. 6):

    w' = w - xi (mu m + dL_train/dw + lambda w)

First order takes xi = 0. The exact second order differentiates through the step; the
finite-difference form replaces the product with the Hessian by

    d2L_train/da dw . v  ~  (dL_train/da(w + eps v) - dL_train/da(w - eps v)) / (2 eps)

with v = dL_val/dw' and eps = .01 / |v|. All three return the gradient in the mixing
coefficients, through which alone the loss depends on alpha and beta.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Tree
from nasjax.supernet import objective, spec

Images = tuple[Array, Array]
"""Images `[N, H, W, C]` and labels `[N]`."""

FIRST, EXACT, FINITE_DIFFERENCES = "first", "exact", "finite_differences"
ORDERS = (FIRST, EXACT, FINITE_DIFFERENCES)
RADIUS = 0.01
"""Length of the finite-difference step in weight space."""

DECAYS: dict[str, Callable[[float], float]] = {
    "cosine": lambda t: 0.5 * (1.0 + math.cos(math.pi * t)),
    "linear": lambda t: 1.0 - t,
    "exponential": lambda t: math.exp(-5.0 * t),
    "step": lambda t: 0.5 ** int(4 * t),
    "constant": lambda t: 1.0,
}
"""sigma: fraction of the training after warm start, in [0, 1], to a probability."""


def update_probability(
    step: int, *, warmup: int, total: int, decay: str, zero_after: float = 1.0
) -> float:
    """p = sigma(iter), the probability of an architecture update at `step`.

    Args:
      step: weight updates so far.
      warmup: steps of the warm start, in which p is 0; sigma counts from its end, so
        that sigma(0) = 1.
      total: steps of the whole training.
      decay: a name in `DECAYS`.
      zero_after: fraction of the training after which p is 0.

    Raises:
      ConfigError: unknown decay.
    """
    if decay not in DECAYS:
        raise errors.unknown_name("training.sigma", decay, DECAYS)
    if step < warmup or step >= zero_after * total:
        return 0.0
    return DECAYS[decay]((step - warmup) / max(total - warmup, 1))


@functools.partial(jax.jit, static_argnames="count")
def update_draws(key: Array, start: int, *, count: int) -> Array:
    """Uniform numbers `[count]`: step `start + i` updates the architecture below p.

    Each depends on the key and its step only, so a resumed run and every host of a pod
    decide alike; drawing an epoch's at once keeps the device queue full.
    """
    steps = start + jnp.arange(count)
    return jax.vmap(lambda t: jax.random.uniform(jax.random.fold_in(key, t)))(steps)


def first_order(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    valid: Images,
    *,
    net: spec.SupernetSpec,
) -> Array:
    """dL_val/d mixing at the current weights."""
    gradient: Array = objective.gradients(
        params, mixing, statistics, *valid, net=net
    ).mixing
    return gradient


def unrolled_weights(
    params: Tree,
    gradient: Tree,
    momentum: Tree,
    rate: Array,
    *,
    mu: float,
    decay: float,
) -> Tree:
    """w' of one step of SGD with momentum and L2 weight decay."""
    moved: Tree = jax.tree.map(
        lambda w, g, m: w - rate * (mu * m + g + decay * w), params, gradient, momentum
    )
    return moved


@functools.partial(jax.jit, static_argnames=("net", "mu", "decay"))
def exact(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    momentum: Tree,
    rate: Array,
    train: Images,
    valid: Images,
    *,
    net: spec.SupernetSpec,
    mu: float,
    decay: float,
) -> Array:
    """Gradient of L_val(w'(mixing), mixing) in mixing, through the unrolled step.

    Args:
      params: effective weights w.
      mixing: `[A, E, O]`.
      statistics: BN running moments; not updated by these passes.
      momentum: SGD's momentum buffer m, shaped like `params`.
      rate: xi, the current learning rate of the weights.
      train: batch of L_train.
      valid: batch of L_val.
      net: description of the network.
      mu: momentum coefficient.
      decay: weight decay lambda.
    """

    def train_loss(params: Tree, mixing: Array) -> Array:
        return objective.loss(params, mixing, statistics, *train, net=net)[0]

    def unrolled_loss(mixing: Array) -> Array:
        gradient = jax.grad(train_loss)(params, mixing)
        moved = unrolled_weights(params, gradient, momentum, rate, mu=mu, decay=decay)
        return objective.loss(moved, mixing, statistics, *valid, net=net)[0]

    gradient: Array = jax.grad(unrolled_loss)(mixing)
    return gradient


def finite_differences(
    params: Tree,
    mixing: Array,
    statistics: Tree,
    momentum: Tree,
    rate: Array,
    train: Images,
    valid: Images,
    *,
    net: spec.SupernetSpec,
    mu: float,
    decay: float,
) -> Array:
    """The same gradient with the Hessian product by central differences.

    Four passes of the compiled first-order function and no second compilation.
    Arguments as in `exact`.
    """

    def at(weights: Tree, batch: Images) -> objective.Gradients:
        found: objective.Gradients = objective.gradients(
            weights, mixing, statistics, *batch, net=net
        )
        return found

    moved = _unrolled(params, at(params, train).params, momentum, rate, mu, decay)
    after = at(moved, valid)
    plus, minus, eps = _perturbed(params, after.params)
    product: Array = (at(plus, train).mixing - at(minus, train).mixing) / (2.0 * eps)
    return after.mixing - rate * product


@functools.partial(jax.jit, static_argnames=("mu", "decay"))
def _unrolled(
    params: Tree, gradient: Tree, momentum: Tree, rate: Array, mu: float, decay: float
) -> Tree:
    return unrolled_weights(params, gradient, momentum, rate, mu=mu, decay=decay)


@jax.jit
def _perturbed(params: Tree, direction: Tree) -> tuple[Tree, Tree, Array]:
    """The original weights (not w') moved by plus and minus eps v."""
    squares = sum(jnp.vdot(v, v) for v in jax.tree.leaves(direction))
    eps = RADIUS / jnp.maximum(jnp.sqrt(squares), 1e-12)
    plus = jax.tree.map(lambda w, v: w + eps * v, params, direction)
    minus = jax.tree.map(lambda w, v: w - eps * v, params, direction)
    return plus, minus, eps
