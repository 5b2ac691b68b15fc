"""Which architectures a CATE encoder can tell apart.

The state of a node after r layers is a function of its own and of the multiset of those
it attends after r - 1: as much as r rounds of colour refinement over what rows attend
tell. Architectures whose read-out nodes have one colour after L rounds have one
encoding, whatever the weights; one of each colour is enough to encode a whole table.

An edge that a longer path implies is invisible in a closure. The 423,624 cells of
NAS-Bench-101 have 10,706 closures up to isomorphism and 10,175 colours, for neither can
one direction tell a node that two others share from two equal ones: "bi" has all 10,706
colours, direct masks have 377,019, and mask="both" has 414,063.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nasjax.core import batching
from nasjax.core.types import Array
from nasjax.encoders.cate import forms
from nasjax.encoders.cate import model as models
from nasjax.encoders.cate.model import Inputs, PairModel
from nasjax.spaces.fingerprints import LANES, mix, start

# Architectures of one compiled call.
_CHUNK = 1 << 14


def classes(model: PairModel, archs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Architectures `[M, G]` sorted by what the encoder sees of them.

    Returns:
      int64 `[U]`, the first row of each class, and `[M]`, the class of each row.
    """
    find = functools.partial(_colours, model=model)
    lanes = batching.map_batched(find, np.asarray(archs, np.int32), _CHUNK)
    wide = lanes.astype(np.uint64)
    keys = wide[:, 0] << np.uint64(32) | wide[:, 1]
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    return first, place


@functools.partial(jax.jit, static_argnames="model")
def _colours(archs: Array, *, model: PairModel) -> Array:
    graph = jax.vmap(model.form.to_graph)(archs)
    return colours(model, models.read(model, graph.ops, graph.adjacency))


def colours(model: PairModel, inputs: Inputs) -> Array:
    """uint32 `[B, 2]`, equal where an encoder gives the same encoding (to 2^-64)."""
    return jnp.stack([_lane(model, inputs, lane) for lane in LANES], axis=1)


def _lane(model: PairModel, inputs: Inputs, lane: tuple[int, int, int]) -> Array:
    settings = model.settings
    released = settings.rules == "released"
    count = inputs.tokens.shape[0]
    # In a graph without cycles colours are final after as many rounds as nodes.
    rounds = settings.num_layers
    rounds = rounds if released else min(rounds, count)
    found = []
    for index, relation in enumerate(inputs.relations):
        if released:  # a row without a key attends all
            relation = relation | ~relation.any(2, keepdims=True)
        each = start(inputs.tokens, lane)
        each = lax.fori_loop(0, rounds, functools.partial(_round, lane, relation), each)
        found.append(_read(model, inputs, each, index))
    whole = found[0]
    for other in found[1:]:
        whole = mix(whole * jnp.uint32(lane[2]) + other)
    return whole


def _round(
    lane: tuple[int, int, int], relation: Array, _: Array, colours: Array
) -> Array:
    """The next colours `[N, B]`."""
    mixed = mix(colours ^ jnp.uint32(lane[0]))
    next_ = colours
    for attended in relation:
        terms = (jnp.where(attended[:, j], mixed[j], 0) for j in range(len(mixed)))
        total = functools.reduce(jnp.add, terms)
        next_ = mix(next_ * jnp.uint32(lane[1]) + total)
    return next_


def _read(model: PairModel, inputs: Inputs, colours: Array, index: int) -> Array:
    """`[B]`, of what the encoding of one direction is read from."""
    if model.settings.rules == "released":
        return colours[-1]
    if index:
        sources = mix(colours[: forms.NUM_INPUTS[model.form.space]])
        total: Array = jnp.sum(sources, axis=0, dtype=jnp.uint32)
        return total
    output = models.last_node(inputs)
    total = jnp.sum(jnp.where(output, colours, 0), axis=0, dtype=jnp.uint32)
    return total
