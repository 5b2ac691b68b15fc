"""What a surrogate reads of an architecture: the inputs of NAS-Bench-x11, and better.

Each entry of `FEATURES` is a pure function of one gene vector, and of the first few
measurements of its training where the benchmark uses them. Names without a suffix are
what the official surrogates were fitted on (Yan et al., 2021, section 4 and released
code).
"""

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core import registry
from nasjax.core.types import Array
from nasjax.encoders import adjacency, paths
from nasjax.nasbench.surrogate import features_nasbench301, features_paths
from nasjax.spaces import nasbench101, nasbench_nlp

NLP_SLOTS = 13
"""Vertices in the features of NAS-Bench-NLP11; the last one is the last node."""
NLP_MAX_NODES = 12
"""Vertices of the largest recipe that they hold, x and three states counted."""

# avg_pool_3x3 is 0 there, then come nor_conv_1x1, nor_conv_3x3, none, skip_connect.
_TO_OFFICIAL_201 = np.array([3, 4, 1, 2, 0], np.float32)
"""Official number of each operation of ours."""


class Features(NamedTuple):
    """The features of one benchmark.

    Attributes:
      name: registry name.
      space: search space of the gene vectors.
      size: D.
      extras: what the measurements are, one text each; () where there are none.
      encode: `(arch int32 [G], extras float32 [E]) -> float32 [D]`, pure; without
        extras the second argument may be left out, and is ignored.
      fits: `(arch) -> bool []`, whether the features can hold the architecture; what
        `encode` returns for another one means nothing.
    """

    name: str
    space: str
    size: int
    extras: tuple[str, ...]
    encode: Callable[..., Array]
    fits: Callable[[Array], Array]


def make(name: str) -> Features:
    """The features of a name.

    Raises:
      ConfigError: there are none of that name.
    """
    return registry.find("features", FEATURES, name)


def nasbench111(arch: Array) -> Array:
    """float32 `[26]`: 21 bits and 5 operations as 0, .5, 1 of the pruned cell.

    A cell of fewer than seven vertices has its output moved to the last one and blank
    operations conv3x3. Isomorphic cells differ; the published table has one of them.
    """
    return _ENCODE_101(nasbench101.prune(arch))


def nasbench211(arch: Array) -> Array:
    """float32 `[6]`: the operations numbered in the official order of their names.

    A number where there is no order costs a tenth of R2; `nasbench211_paths` does not.
    """
    return jnp.asarray(_TO_OFFICIAL_201)[jnp.asarray(arch)]


def nasbench211_paths(arch: Array) -> Array:
    """float32 `[114]`: one-hot operations `[6 x 5]` and path counts `[84]`."""
    return jnp.concatenate([_ENCODE_201(arch), _PATHS_201(arch)])


def nasbench_nlp11(arch: Array) -> Array:
    """float32 `[185]`: 13 x 13 adjacency, 13 operations, 3 vertices of hidden states.

    Vertices are x, h_prev_0..2 and the nodes; the last node moves to the last slot.
    Operations count from 1 (0: base vertices and empty slots), hidden states increase
    and are those before the move, 0 where there is none.

    The official features number the nodes in another topological order where a recipe
    lists nodes before their inputs.
    """
    recipe = nasbench_nlp.unpack(arch)
    graph = nasbench_nlp.to_graph(arch)
    last, slot = graph.num_nodes - 1, jnp.arange(NLP_SLOTS)
    is_end = slot == NLP_SLOTS - 1
    # The vertex of each slot; slots from the last node on are empty but for the end.
    vertex = jnp.where(is_end, last, slot)
    taken = is_end | (slot < last)
    edges = graph.adjacency[vertex[:, None], vertex[None, :]]
    edges = jnp.where(taken[:, None] & taken[None, :], edges, 0)
    ops = jnp.where(taken, graph.ops[vertex], 0)
    absent = jnp.iinfo(jnp.int32).max
    hidden = jnp.sort(jnp.where(recipe.hidden < 0, absent, recipe.hidden))
    hidden = jnp.where(hidden == absent, 0, hidden)
    parts = [edges.reshape(-1), ops, hidden]
    return jnp.concatenate([part.astype(jnp.float32) for part in parts])


def fits_nlp11(arch: Array) -> Array:
    """bool `[]`: a recipe of at most 12 vertices, as in the official data."""
    steps = nasbench_nlp.num_steps(arch)
    fits: Array = steps + nasbench_nlp.NUM_BASE <= NLP_MAX_NODES
    return fits


def _anything(arch: Array) -> Array:
    yes: Array = jnp.bool_(True)
    return yes


def _without(
    encode: Callable[[Array], Array], arch: Array, extras: Array | None = None
) -> Array:
    return encode(arch)


def _with(encode: Callable[[Array], Array], arch: Array, extras: Array) -> Array:
    measured = jnp.asarray(extras).astype(jnp.float32)
    return jnp.concatenate([encode(arch), measured])


def _features(
    name: str,
    space: str,
    size: int,
    encode: Callable[[Array], Array],
    extras: tuple[str, ...] = (),
    fits: Callable[[Array], Array] = _anything,
) -> Features:
    function = functools.partial(_with if extras else _without, encode)
    return Features(name, space, size + len(extras), extras, function, fits)


_ENCODE_101 = adjacency.one_hot("nasbench101")
_ENCODE_201 = adjacency.one_hot("nasbench201")
_PATHS_201 = paths.counts("nasbench201")
_ACCURACIES = tuple(
    f"mean validation accuracy of three trainings of {epochs} epochs, in [0, 1]"
    for epochs in (4, 12, 36, 108)
)
_LOSSES = tuple(
    f"100 minus the validation loss in nats after epoch {epoch}" for epoch in (1, 2, 3)
)
_ALL = (
    _features("nasbench111", "nasbench101", 26, nasbench111, _ACCURACIES),
    _features("nasbench111_cell", "nasbench101", 26, nasbench111),
    _features(
        "nasbench111_paths",
        "nasbench101",
        features_paths.SIZE_101,
        features_paths.nasbench101_cell,
    ),
    _features("nasbench311", "darts", 56, features_nasbench301.encode),
    _features(
        "nasbench311_paths",
        "darts",
        features_paths.SIZE_DARTS,
        features_paths.darts_cells,
    ),
    _features(
        "nasbench_nlp11", "nasbench_nlp", 185, nasbench_nlp11, _LOSSES, fits_nlp11
    ),
    _features(
        "nasbench_nlp11_cell", "nasbench_nlp", 185, nasbench_nlp11, fits=fits_nlp11
    ),
    _features("nasbench211", "nasbench201", 6, nasbench211),
    _features("nasbench211_one_hot", "nasbench201", 30, _ENCODE_201),
    _features("nasbench211_paths", "nasbench201", 114, nasbench211_paths),
)
FEATURES: Mapping[str, Features] = {features.name: features for features in _ALL}
"""Features by name; `_cell` leaves the measurements out."""
