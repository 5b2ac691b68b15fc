"""Pairs of computationally similar architectures (thesis, section 4.3).

Architectures are sorted by what they cost; partners of one are drawn from those within
a window around it, K without replacement, in a compiled function: fresh pairs for every
epoch cost nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import batching, errors
from nasjax.core.types import Array, Key
from nasjax.encoders.cate import forms
from nasjax.spaces import darts_costs, nasbench101, nasbench201

RULES = ("two_sided", "earlier")
"""two_sided: |P(x) - P(y)| < delta. earlier: the published code, which draws from
earlier rows of the sorted list with P(x) - P(y) <= delta."""
_CHUNK = 1 << 14


class Attribute(NamedTuple):
    """What makes architectures of a space similar.

    Attributes:
      of: `arch int32 [G] -> int32 []`.
      delta: half a window.
      partners: K.
    """

    of: Callable[[Array], Array]
    delta: int
    partners: int


def _operations(arch: Array) -> Array:
    return darts_costs.costs(arch, channels=32, num_layers=8).thop


def _parameters(arch: Array) -> Array:
    return nasbench201.costs(arch).parameters


ATTRIBUTES: Mapping[str, Attribute] = {
    "nasbench101": Attribute(nasbench101.trainable_parameters, 2_000_000, 2),
    "nasbench201": Attribute(_parameters, 80_000, 2),
    "darts_shared": Attribute(_operations, 5_000_000, 1),
    "darts": Attribute(_operations, 5_000_000, 1),
}
"""Parameters of the benchmarks' CIFAR-10 networks; of DARTS the multiply-accumulates of
eight cells of 32 channels, as thop counts them (thesis, section 4.5). NAS-Bench-201 is
not in the thesis: its window is some 5 % of the range, that of NAS-Bench-101 4 %."""


class Windows(NamedTuple):
    """M architectures in the order of their attribute.

    Attributes:
      order: int32 `[M]`, rows by increasing attribute.
      first: int32 `[M]`, of each place in that order, where its window begins.
      sizes: int32 `[M]`, how many partners the window offers.
    """

    order: Array
    first: Array
    sizes: Array


def attributes(space: str, archs: Any) -> np.ndarray:
    """int32 `[M]` of architectures int32 `[M, G]`.

    Raises:
      ConfigError: CATE does not encode the space.
    """
    of = ATTRIBUTES[forms.find(space).space].of
    compute = jax.jit(jax.vmap(of))
    found: np.ndarray = batching.map_batched(
        compute, np.asarray(archs, np.int32), _CHUNK
    )
    return found


def windows(values: Any, delta: int, *, rule: str = "two_sided") -> Windows:
    """The windows around all architectures.

    Args:
      values: integers `[M]`, of each architecture.
      delta: largest difference; the thesis' is out of the window, the published one in.
      rule: one of `RULES`.

    Raises:
      ConfigError: there is no such rule, delta is negative, or values and delta need
        more than 31 bits.
    """
    if rule not in RULES:
        raise errors.unknown_name("rule of pairs", rule, RULES)
    limit = np.iinfo(np.int32).max
    if delta < 0 or np.abs(np.asarray(values, np.int64)).max() + delta > limit:
        raise errors.ConfigError(
            f"delta = {delta} must be at least 0 and, added to the largest attribute, "
            "below 2^31"
        )
    values = np.asarray(values, np.int32)
    order = np.argsort(values, kind="stable").astype(np.int32)
    ordered = values[order]
    if rule == "earlier":
        first = np.searchsorted(ordered, ordered - delta, side="left")
        sizes = np.arange(len(values)) - first
    else:
        first = np.searchsorted(ordered, ordered - delta, side="right")
        last = np.searchsorted(ordered, ordered + delta, side="left")
        # With delta 0 nothing is nearer than delta, not even itself.
        sizes = np.maximum(last - first - 1, 0)
    parts = (jnp.asarray(part, jnp.int32) for part in (order, first, sizes))
    return Windows(*parts)


def slots(windows: Windows, partners: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pairs there are: places int32 `[P]`, and the number of each partner `[P]`.

    Windows of fewer than K architectures have fewer pairs.
    """
    counts = np.minimum(np.asarray(windows.sizes), partners)
    places = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    before = np.cumsum(counts) - counts
    numbers = np.arange(len(places)) - before[places]
    return places, numbers.astype(np.int32)


def draw(key: Key, windows: Windows, partners: int) -> tuple[Array, Array]:
    """Partners of every architecture.

    Args:
      key: of the draw.
      windows: of M architectures.
      partners: K.

    Returns:
      Rows int32 `[M]` in the order of the attribute, and of their partners `[M, K]`,
      pairwise different and never the row itself; -1 where a window has fewer.
    """
    count = len(windows.order)
    place = jnp.arange(count, dtype=jnp.int32)
    taken: list[Array] = []
    columns = []
    for number, key_number in enumerate(jax.random.split(key, partners)):
        left = windows.sizes - number
        drawn = jax.random.randint(key_number, (count,), 0, jnp.maximum(left, 1))
        for other in taken:  # ascending: step over those that were drawn before
            drawn = drawn + (drawn >= other)
        taken = _insert(taken, drawn)
        chosen = windows.first + drawn
        chosen = chosen + (chosen >= place)  # the row itself is no partner
        rows = windows.order[jnp.minimum(chosen, count - 1)]
        columns.append(jnp.where(left > 0, rows, -1))
    return windows.order, jnp.stack(columns, axis=1)


def _insert(ascending: list[Array], new: Array) -> list[Array]:
    """One more array in a list that ascends place by place."""
    inserted = []
    for old in ascending:
        inserted.append(jnp.minimum(old, new))
        new = jnp.maximum(old, new)
    return [*inserted, new]
