"""Validity and uniqueness of many decoded graphs in one program (thesis, table 3.1)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Graph
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import uniqueness, validity


class Generation(NamedTuple):
    """Of M decoded graphs; each field is `[]`.

    A uniqueness is NaN where nothing is valid.

    Attributes:
      num_released: int32, how many pass the published check.
      num_strict: int32, how many are graphs of a cell.
      validity_released: `num_released / M`.
      validity_strict: `num_strict / M`.
      uniqueness: different labelled graphs among those that pass the published check,
        the thesis' number. The published scripts count hashes that isomorphic graphs
        share, so theirs is at most this.
      uniqueness_strict: different labelled cells among the strictly valid.
      uniqueness_classes: isomorphism classes among the strictly valid.
    """

    num_released: Array
    num_strict: Array
    validity_released: Array
    validity_strict: Array
    uniqueness: Array
    uniqueness_strict: Array
    uniqueness_classes: Array


def evaluate(graphs: Graph, space: str) -> Generation:
    """Validity and uniqueness of decoded graphs.

    Compiled once for each space and M; also callable under jit.

    Args:
      graphs: adjacency int32 `[M, N, N]`, ops `[M, N]` with -1 for no node,
        num_nodes `[M]` (not looked at).
      space: a key of `graph_inputs.SPECS`.

    Raises:
      ConfigError: arch2vec does not encode the space, or its graphs have another N.
    """
    size = graph_inputs.spec(space).num_nodes
    if graphs.adjacency.shape[1:] != (size, size):
        raise errors.ConfigError(
            f"graphs of {space!r} are [M, {size}, {size}], not "
            f"{list(graphs.adjacency.shape)}; name the space that they were decoded for"
        )
    found: Generation = _evaluate(graphs, space)
    return found


@functools.partial(jax.jit, static_argnames="space")
def _evaluate(graphs: Graph, space: str) -> Generation:
    released = jax.vmap(validity.released(space))(graphs)
    strict = jax.vmap(validity.strict(space))(graphs)
    as_decoded = jax.vmap(uniqueness.labelled_key)(graphs)
    cells = (
        jax.vmap(validity.trim)(graphs) if graph_inputs.spec(space).padded else graphs
    )
    as_cells = jax.vmap(uniqueness.labelled_key)(cells)
    classes = jax.vmap(uniqueness.class_key(space))(graphs)

    def share(keys: Array, mask: Array) -> Array:
        return uniqueness.count_distinct(keys, mask) / jnp.sum(mask)

    return Generation(
        num_released=jnp.sum(released, dtype=jnp.int32),
        num_strict=jnp.sum(strict, dtype=jnp.int32),
        validity_released=jnp.mean(released),
        validity_strict=jnp.mean(strict),
        uniqueness=share(as_decoded, released),
        uniqueness_strict=share(as_cells, strict),
        uniqueness_classes=share(classes, strict),
    )
