"""Multi-level architecture encoding: from alpha and beta to mixing weights.

Alpha weighs the operations of an edge (eq. 2.1), beta the edges into a node (eq. 2.2).
Both are normalised by a softmax; binary masks multiply the normalised weights (eq. 2.3
with elementwise multiplication), so that a mask of ones changes nothing and a zero
removes its operation or edge altogether. Masking the raw alpha instead would remove
nothing, since the softmax of zero is not zero.

Sizes: A sets of architecture parameters, E edges, O operations.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.core.types import Array
from nasjax.supernet import spec

Arch = dict[str, Array]

INITIAL_SCALE = 1e-3
MULTIPLY, RENORMALIZE = "multiply", "renormalize"
MODES = (MULTIPLY, RENORMALIZE)


def init_arch(key: Array, net: spec.SupernetSpec, dtype: Any = jnp.float32) -> Arch:
    """Draws alpha `[A, E, O]` and beta `[A, E]` from 1e-3 N(0, 1)."""
    key_alpha, key_beta = jax.random.split(key)
    shape = (len(net.arch_names), len(net.edges))
    alpha = jax.random.normal(key_alpha, (*shape, len(net.operations)), dtype)
    beta = jax.random.normal(key_beta, shape, dtype)
    return {"alpha": INITIAL_SCALE * alpha, "beta": INITIAL_SCALE * beta}


def operation_weights(
    alpha: Array, mask: Array | None = None, mode: str = MULTIPLY
) -> Array:
    """Softmax over the operations of each edge, masked; `[..., E, O]`."""
    return _masked(
        jax.nn.softmax(alpha, axis=-1), mask, mode, lambda x: x.sum(-1, keepdims=True)
    )


def edge_weights(
    beta: Array,
    net: spec.SupernetSpec,
    mask: Array | None = None,
    mode: str = MULTIPLY,
) -> Array:
    """Softmax over the edges into each node, masked; `[..., E]`."""
    same_target = _same_target(net)
    # Row e holds the edges into the target of edge e, the others at minus infinity.
    into_target = jnp.where(same_target, beta[..., None, :], -jnp.inf)
    weights = jnp.diagonal(jax.nn.softmax(into_target), axis1=-2, axis2=-1)
    groups = jnp.asarray(same_target, beta.dtype)
    return _masked(weights, mask, mode, lambda x: x @ groups)


def coefficients(
    arch: Arch,
    net: spec.SupernetSpec,
    masks: Arch | None = None,
    mode: str = MULTIPLY,
) -> Array:
    """Edge weight times operation weight: what every operation's output is scaled by.

    Args:
      arch: `{"alpha": [A, E, O], "beta": [A, E]}`.
      net: description of the network.
      masks: binary masks shaped like `arch`, or None for all ones.
      mode: "multiply" masks the normalised weights; "renormalize" then divides them by
        their sum, which equals setting the masked logits to minus infinity.

    Returns:
      `[A, E, O]`.

    Raises:
      ConfigError: unknown mode.
    """
    if mode not in MODES:
        raise errors.unknown_name("masking.mode", mode, MODES)
    masks = masks or {}
    operations = operation_weights(arch["alpha"], masks.get("alpha"), mode)
    edges = edge_weights(arch["beta"], net, masks.get("beta"), mode)
    return edges[..., None] * operations


def _same_target(net: spec.SupernetSpec) -> np.ndarray:
    targets = np.array([target for _, target in net.edges])
    same: np.ndarray = targets[:, None] == targets
    return same


def _masked(weights: Array, mask: Array | None, mode: str, group_sum) -> Array:  # type: ignore[no-untyped-def]
    if mask is None:
        return weights
    masked = weights * mask
    if mode == MULTIPLY:
        return masked
    total = group_sum(masked)
    alive = total > 0
    return jnp.where(alive, masked / jnp.where(alive, total, 1.0), 0.0)
