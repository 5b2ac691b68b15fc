"""Points of the unit cube that stand for architectures (`SearchSpace.decode`)."""

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Key, SearchSpace


def check(name: str, space: SearchSpace) -> None:
    """Raises a `ConfigError` unless the space has `decode` and `unit_sizes`."""
    if space.decode is None or not space.unit_sizes:
        raise errors.ConfigError(
            f"{name} needs decode and unit_sizes of the space {space.name!r}: "
            "(unit [D]) -> arch [G], and how many bins each of the D coordinates has"
        )


def decode(space: SearchSpace, unit: Array) -> Array:
    """int32 `[G]`, the architecture of a point `[D]`."""
    assert space.decode is not None  # as `check` has seen
    return space.decode(unit)


def draw(key: Key, space: SearchSpace, count: int) -> Array:
    """Uniform points float32 `[count, D]`."""
    size = len(space.unit_sizes)
    return sampling.uniform(key, count * size).reshape(count, size)


def bins(unit: Array, space: SearchSpace) -> Array:
    """int32 `[..., D]`, the bins of points `[..., D]`."""
    sizes = np.array(space.unit_sizes, np.int32)
    return sampling.to_integers(unit, sizes.reshape((1,) * (unit.ndim - 1) + (-1,)))


def centers(numbers: Array, space: SearchSpace) -> Array:
    """float32 `[..., D]`, the middle of each bin."""
    sizes = np.array(space.unit_sizes, np.float32)
    return (numbers + 0.5) / sizes.reshape((1,) * (numbers.ndim - 1) + (-1,))


def is_same(points: Array, point: Array) -> Array:
    """bool `[N]`, which of the points `[N, D]` are this one `[D]`."""
    return jnp.all(points == point[None], axis=1)
