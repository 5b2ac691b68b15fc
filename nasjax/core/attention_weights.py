"""Attention of a few positions over masks, and its slopes.

Queries, keys and values are `[H, D / H, N, B]`, weights `[H, N, N, B]` (row, column).
XLA's CPU products of many matrices of 7 x 8 numbers are slow; there, sums over a few
positions are written out, each term a loop over vectors of the batch.
"""

import functools

import jax.numpy as jnp

from nasjax.core import formulation
from nasjax.core.types import Array

_MASKED = -1e9


def attend(queries: Array, keys: Array, mask: Array, *, uniform: bool) -> Array:
    """Softmax of scaled products over the columns that a row may attend.

    Args:
      queries: `[H, D / H, N, B]`.
      keys: likewise.
      mask: bool `[H, N, N, B]`; an axis may be 1.
      uniform: a row that may attend nothing attends all columns alike, as where scores
        of -1e9 take the place of masked ones; else it attends nothing.
    """
    scores = _products(queries * queries.shape[1] ** -0.5, keys)
    scores = jnp.where(mask, scores, jnp.asarray(_MASKED, scores.dtype))
    raised = jnp.exp(scores - scores.max(2, keepdims=True))
    found = raised / raised.sum(2, keepdims=True)
    return found if uniform else jnp.where(mask, found, 0)


def signed(weights: Array, kept: Array) -> Array:
    """Weights under dropout: one that is dropped is negative and keeps its size."""
    return jnp.where(kept, weights, -weights)


def survivors(weights: Array, dropout: float) -> Array:
    """What is read with, of signed weights."""
    return jnp.maximum(weights, 0) / (1 - dropout) if dropout else weights


def read(weights: Array, values: Array) -> Array:
    """Sums `[H, D / H, N, B]` of the values of all columns."""
    if formulation.current() != formulation.CPU:
        return jnp.einsum("hijb,hejb->heib", weights, values)

    def add(values: Array, weights: Array) -> Array:
        columns = range(values.shape[2])
        terms = (weights[:, None, :, j] * values[:, :, j, None] for j in columns)
        return functools.reduce(jnp.add, terms)

    # Else every weight is computed anew for each of the D / H numbers it is read for.
    return formulation.compute_apart(add, values, weights)


def slopes(
    parts: Array,
    weights: Array,
    mask: Array,
    slope: Array,
    *,
    dropout: float,
    uniform: bool,
) -> Array:
    """Of queries, keys and values.

    Args:
      parts: queries, keys and values, `[3, H, D / H, N, B]`.
      weights: of `attend`, signed where there is dropout.
      mask: as for `attend`.
      slope: of what was read, `[H, D / H, N, B]`.
      dropout: of the weights.
      uniform: as for `attend`.
    """
    queries, keys, values = parts
    inner = _products(slope, values)
    if dropout:
        inner = jnp.where(weights > 0, inner / (1 - dropout), 0)
    plain = jnp.abs(weights)
    inner = plain * (inner - (plain * inner).sum(2, keepdims=True))
    inner = inner * queries.shape[1] ** -0.5
    if uniform:  # weights of rows without a key, which no score moves
        inner = jnp.where(mask, inner, 0)
    turned, reading = (jnp.swapaxes(x, 1, 2) for x in (inner, weights))
    return jnp.stack(
        [
            read(inner, keys),
            read(turned, queries),
            read(survivors(reading, dropout), slope),
        ]
    )


def _products(queries: Array, keys: Array) -> Array:
    """Inner products `[H, N, N, B]`."""
    if formulation.current() != formulation.CPU:
        return jnp.einsum("heib,hejb->hijb", queries, keys)
    terms = (queries[:, e, :, None] * keys[:, e, None] for e in range(keys.shape[1]))
    return functools.reduce(jnp.add, terms)
