"""The types every space, benchmark and search algorithm speaks.

Sizes: B batch, N nodes, E edges, G genes, M neighbours, Q proposals, T epochs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nasjax.core import genotypes

Array = jax.Array
Key = jax.Array
Tree = dict[str, Any]
"""Nested dicts of arrays, such as the parameters of a network."""

LAST = -1
"""`Proposal.epochs` value that means "train to the end"."""


class Graph(NamedTuple):
    """A dense, padded directed acyclic graph.

    A space whose architecture has several cells puts a leading cell axis on every
    field.

    Attributes:
      adjacency: `[N, N]`, row = from, column = to; padding nodes have no edges.
      ops: int32 `[N]`, operation id of each node, -1 on padding.
      num_nodes: int32 `[]`, how many leading nodes are real.
    """

    adjacency: Array
    ops: Array
    num_nodes: Array


class SearchSpace(NamedTuple):
    """Pure functions of one architecture (callers vmap) and static facts.

    A space of one's own needs the first five fields; it is not registered anywhere:

        space = SearchSpace("mine", 8, sample, mutate, neighbors)

    What an algorithm needs besides (`gene_ranges`, `to_graph`, `decode`) it names. An
    encoding that changes how architectures are drawn is `encoders.respace`.

    Attributes:
      name: registry name, or any name of an own space.
      num_genes: G, length of the int32 gene vector.
      sample: `(key) -> arch [G]`.
      mutate: `(key, arch [G]) -> arch [G]`, always valid.
      neighbors: `(arch [G]) -> (archs [M, G], mask [M])`.
      op_names: names of the operations in the order of their gene values.
      size: number of encodings, or of unique cells where that is what is published.
      is_valid: `(arch [G]) -> bool []`; of an own space True unless it says otherwise.
      to_graph: `(arch [G]) -> Graph`, or None.
      fingerprint: `(arch [G]) -> uint32 [2]`, equal for isomorphic architectures; of an
        own space a hash of the genes.
      format_arch: host function, gene vector to the official notation; of an own space
        the genes, `[0, 2, 1]`.
      parse_arch: host function, the inverse; raises `UnknownArchitecture`.
      graph_op_names: names of the ids in `Graph.ops`, inputs and outputs included.
      gene_ranges: lowest and highest value of each gene, `G` pairs.
      decode: `(unit float [D]) -> arch [G]`: every point of the unit cube stands for a
        valid architecture, the same for all points of one bin; or None.
      unit_sizes: equal bins of each of the D coordinates of `decode`.
    """

    name: str
    num_genes: int
    sample: Callable[[Key], Array]
    mutate: Callable[[Key, Array], Array]
    neighbors: Callable[[Array], tuple[Array, Array]]
    op_names: tuple[str, ...] = ()
    size: int | None = None
    is_valid: Callable[[Array], Array] = genotypes.always_valid
    to_graph: Callable[[Array], Graph] | None = None
    fingerprint: Callable[[Array], Array] = genotypes.gene_hash
    format_arch: Callable[[Any], str] = genotypes.format_genes
    parse_arch: Callable[[str], Any] = genotypes.parse_genes
    graph_op_names: tuple[str, ...] = ()
    gene_ranges: tuple[tuple[int, int], ...] = ()
    decode: Callable[[Array], Array] | None = None
    unit_sizes: tuple[int, ...] = ()


class Evaluation(NamedTuple):
    """What one training of one architecture returns.

    Attributes:
      valid: float32 `[]`, score on the validation split, higher is better.
      test: float32 `[]`, score on the test split, higher is better.
      cost: float32 `[]`, (simulated) seconds of the epochs that were not yet paid.
      curve: float32 `[T]`, validation score at the end of each epoch, NaN after the
        epoch that was asked for.
    """

    valid: Array
    test: Array
    cost: Array
    curve: Array


class Proposal(NamedTuple):
    """A batch of trainings that a search algorithm asks for.

    `single` and `batch` make the usual ones.

    Attributes:
      archs: int32 `[Q, G]`.
      epochs: int32 `[Q]`, train until this many epochs are completed; `LAST`: to
        the end.
      mask: bool `[Q]`, False where the slot is unused.
      trial: int32 `[Q]`, names one training; the same when it is continued.
      trained: int32 `[Q]`, how many of its epochs are already paid.
    """

    archs: Array
    epochs: Array
    mask: Array
    trial: Array
    trained: Array

    @classmethod
    def single(
        cls, arch: Array, *, trial: Any, epoch: Any = LAST, trained: Any = 0
    ) -> "Proposal":
        """One training, Q = 1.

        Args:
          arch: int32 `[G]`.
          trial: name of the training, `[]`.
          epoch: train until this many epochs are completed, `[]`.
          trained: how many of them are already paid, `[]`.
        """
        archs, names = jnp.asarray(arch)[None], jnp.asarray(trial)[None]
        return cls.batch(archs, trial=names, epoch=epoch, trained=trained)

    @classmethod
    def batch(
        cls,
        archs: Array,
        *,
        trial: Array,
        mask: Array | None = None,
        epoch: Any = LAST,
        trained: Any = 0,
    ) -> "Proposal":
        """Q trainings at once.

        Args:
          archs: int32 `[Q, G]`.
          trial: names of the trainings, `[Q]`.
          mask: bool `[Q]`; None: all slots are used.
          epoch: train until this many epochs are completed, `[]` or `[Q]`.
          trained: how many of them are already paid, `[]` or `[Q]`.
        """
        size = archs.shape[0]

        def fill(value: Any) -> Array:
            return jnp.broadcast_to(jnp.asarray(value, jnp.int32), (size,))

        used = jnp.ones(size, bool) if mask is None else mask
        return cls(
            archs=archs.astype(jnp.int32),
            epochs=fill(epoch),
            mask=used,
            trial=fill(trial),
            trained=fill(trained),
        )
