"""Hierarchical masking of operations, edges and weights (eq. 2.3 and 2.4).

Real-valued scores are binarised by a Heaviside step with a straight-through gradient
and multiply the normalised mixing weights and the kernels of the trained supernet,
which stay frozen. A score falls below the threshold where shrinking its entry keeps
lowering the training loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core.types import Array, Tree
from nasjax.supernet import mixing, spec

Weights = dict[str, Array]
"""One array a maskable parameter, keyed by its '/'-joined path."""

INITIAL_SCORE = 1e-2
THRESHOLD = 5e-3
UNMASKED = ("scale", "bias")
"""Last parts of the paths of parameters that have no masks."""


class Masks(NamedTuple):
    """Scores M^r, or binary masks M, of the three levels.

    Attributes:
      alpha: `[A, E, O]`, operations.
      beta: `[A, E]`, edges.
      weights: kernels by path; biases and BN parameters are never masked.
    """

    alpha: Array
    beta: Array
    weights: Weights


def maskable(params: Tree) -> Weights:
    """Every convolution and classifier kernel, keyed by its path."""
    flat = jax.tree_util.tree_flatten_with_path(params)[0]
    named = {jax.tree_util.keystr(p, simple=True, separator="/"): x for p, x in flat}
    return {
        path: x for path, x in named.items() if path.rsplit("/", 1)[-1] not in UNMASKED
    }


def constant(params: Tree, arch: mixing.Arch, value: float = INITIAL_SCORE) -> Masks:
    """Scores that all equal `value`: with `value` 1, masks that change nothing."""
    fill = jax.tree.map(lambda x: jnp.full_like(x, value), (arch, maskable(params)))
    return Masks(fill[0]["alpha"], fill[0]["beta"], fill[1])


@jax.custom_jvp
def binarize(scores: Array, threshold: float) -> Array:
    """H(scores - threshold), eq. 2.4, with H(0) = 1; the gradient is the identity.

    H(0) = 1, so that a threshold equal to the initial score masks nothing, as the
    thesis' range of thresholds [0, 1e-2] requires. Written as a rule and not as
    `scores + stop_gradient(hard - scores)`, which can miss 1 by a rounding error.
    """
    return (scores >= threshold).astype(scores.dtype)


@binarize.defjvp
def _straight_through(primals, tangents):  # type: ignore[no-untyped-def]
    return binarize(*primals), tangents[0]


def binary(scores: Masks, threshold: float = THRESHOLD) -> Masks:
    """Masks of zeros and ones (exactly), with straight-through gradients."""
    masks: Masks = jax.tree.map(lambda s: binarize(s, threshold), scores)
    return masks


def masked_params(params: Tree, weights: Weights) -> Tree:
    """Effective weights: kernels times their masks, everything else unchanged."""
    return _map_masked(lambda w, mask: w * mask, params, weights)


def zeroed(params: Tree, weights: Weights) -> Tree:
    """Weights whose masked entries are positive zeros, whatever they were."""
    return _map_masked(lambda w, mask: jnp.where(mask > 0, w, 0.0), params, weights)


def _map_masked(
    function: Callable[[Array, Array], Array], params: Tree, weights: Weights
) -> Tree:
    """`function(w, mask)` of every parameter with a mask; the others as they are."""

    def apply(path: tuple[Any, ...], w: Array) -> Array:
        mask = weights.get(jax.tree_util.keystr(path, simple=True, separator="/"))
        return w if mask is None else function(w, mask)

    masked: Tree = jax.tree_util.tree_map_with_path(apply, params)
    return masked


def coefficients(
    masks: Masks, arch: mixing.Arch, net: spec.SupernetSpec, mode: str = mixing.MULTIPLY
) -> Array:
    """Masked mixing coefficients `[A, E, O]`, see `mixing.coefficients`."""
    levels = {"alpha": masks.alpha, "beta": masks.beta}
    return mixing.coefficients(arch, net, levels, mode)


def effective(
    scores: Masks,
    params: Tree,
    arch: mixing.Arch,
    *,
    net: spec.SupernetSpec,
    threshold: float = THRESHOLD,
    mode: str = mixing.MULTIPLY,
) -> tuple[Tree, Array]:
    """P_M(alpha*, beta*, w*): effective weights and mixing coefficients."""
    masks = binary(scores, threshold)
    return masked_params(params, masks.weights), coefficients(masks, arch, net, mode)


def shuffled(key: Array, masks: Masks) -> Masks:
    """The control: every mask's entries in random order, its sparsity unchanged."""
    leaves, structure = jax.tree.flatten(masks)
    keys = jax.random.split(key, len(leaves))
    moved = [
        jax.random.permutation(k, leaf.ravel()).reshape(leaf.shape)
        for k, leaf in zip(keys, leaves, strict=True)
    ]
    result: Masks = jax.tree.unflatten(structure, moved)
    return result


class Rates(NamedTuple):
    """Learning rates of the scores of operations and edges, and of weights."""

    arch: float
    weights: float


def rates(
    *, weight_travel: float, arch_travel: float, steps_before_decay: int
) -> Rates:
    """Learning rates that let scores travel a given distance.

    Adam moves a score by at most its learning rate a step, so `rate * steps` is how
    far a score can travel before the decay; fixing this distance instead of the rate
    keeps short runs able to prune. The thesis' rates, 1e-4 (weights) and 1e-5
    (operations, edges) over 10 epochs of 391 steps, are distances of .39 and .039.
    """
    return Rates(arch_travel / steps_before_decay, weight_travel / steps_before_decay)


def can_prune(travel: float, *, threshold: float = THRESHOLD) -> bool:
    """Whether a score can reach the threshold at all."""
    return travel > INITIAL_SCORE - threshold
