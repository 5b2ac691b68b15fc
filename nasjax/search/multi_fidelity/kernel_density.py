"""Kernel densities of categorical variables, as BOHB fits them.

The product of Aitchison-Aitken kernels (1976) over D variables: with bandwidth h and c
categories a point has 1 - h at its own category and h / (c - 1) at each other. The
bandwidth is the normal reference rule of `statsmodels.nonparametric.KDEMultivariate`,

    h = 1.06 sigma n^(-1 / (4 + D)),

sigma the standard deviation of the category numbers. statsmodels counts the categories
that occur in the data, so that one that does not occur divides by zero, and lets h
exceed (c - 1) / c, from where on a point makes its own category less likely than others
and beyond 1 the density is negative; here c is known and h stops there, where a
variable is uniform.

Sizes: C points, D variables.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import sampling
from nasjax.core.types import Array, Key

Categories = tuple[int, ...]
"""Number of categories c of each variable."""


class KernelDensity(struct.PyTreeNode):
    """A density of categories 0 to c - 1.

    Attributes:
      points: int32 `[C, D]`.
      used: bool `[C]`, which of them count.
      bandwidths: float32 `[D]`, h.
    """

    points: Array
    used: Array
    bandwidths: Array


def normal_reference(points: Array, used: Array) -> Array:
    """Bandwidths `[D]` of the used ones of the points `[C, D]`."""
    weights = used.astype(float)[:, None]
    count = jnp.maximum(jnp.sum(weights), 1)
    mean = jnp.sum(points * weights, axis=0) / count
    variance = jnp.sum(jnp.square(points - mean[None]) * weights, axis=0) / count
    power = count ** (-1.0 / (4 + points.shape[1]))
    return 1.06 * jnp.sqrt(variance) * power


def fit(
    points: Array, used: Array, *, categories: Categories, min_bandwidth: float
) -> KernelDensity:
    """The density of the used points.

    Args:
      points: int32 `[C, D]`.
      used: bool `[C]`, at least one.
      categories: c of each variable.
      min_bandwidth: h is at least this, so that no category is impossible.
    """
    wide = jnp.maximum(normal_reference(points, used), min_bandwidth)
    return KernelDensity(points, used, jnp.minimum(wide, uniform(categories)))


def uniform(categories: Categories) -> np.ndarray:
    """Bandwidths `[D]` with which every category is as likely, (c - 1) / c."""
    counts = np.array(categories)
    widest: np.ndarray = (counts - 1) / counts
    return widest


def log_density(density: KernelDensity, point: Array, categories: Categories) -> Array:
    """Log probability `[]` of a point int32 `[D]`.

    The sum over the variables where two points agree is a product of one-hot codes, so
    that vmap makes a matrix product of many points: a quarter of the time.
    """
    counts = np.array(categories)
    many = counts > 1
    same = jnp.log1p(-density.bandwidths)
    other = jnp.log(density.bandwidths / np.maximum(counts - 1, 1))
    other = jnp.where(many, other, 0)  # of one category there is no other
    gain = jnp.where(many, same - other, 0)
    code = one_hot(point, categories) * jnp.repeat(
        gain, counts, total_repeat_length=int(counts.sum())
    )
    agree = jnp.matmul(
        one_hot(density.points, categories), code, precision=jax.lax.Precision.HIGHEST
    )
    scores = jnp.where(density.used, jnp.sum(other) + agree, -jnp.inf)
    return jax.nn.logsumexp(scores) - jnp.log(jnp.sum(density.used))


def one_hot(points: Array, categories: Categories) -> Array:
    """float `[..., W]` of points `[..., D]`, W the number of all categories."""
    columns = np.repeat(np.arange(len(categories)), categories)
    values = np.concatenate([np.arange(count) for count in categories])
    chosen = points[..., columns]
    hot = chosen == values.reshape((1,) * (points.ndim - 1) + (-1,))
    return hot.astype(float)


def sample(
    key: Key,
    density: KernelDensity,
    count: int,
    *,
    categories: Categories,
    widen: float,
) -> Array:
    """Points int32 `[count, D]` of the density with its bandwidths times `widen`."""
    num_points, num_variables = density.points.shape
    block = sampling.uniform(key, count * (2 * num_variables + 1))
    moves, values, places = jnp.split(
        block, (count * num_variables, 2 * count * num_variables)
    )
    shape = (count, num_variables)
    number = sampling.to_integers(places, jnp.sum(density.used))
    centers = density.points[jnp.searchsorted(jnp.cumsum(density.used), number + 1)]
    # To leave with probability h is to draw all c alike with probability h c / (c - 1).
    most = uniform(categories)
    chance = jnp.minimum(density.bandwidths * widen, most) / np.maximum(most, 1e-9)
    drawn = sampling.to_integers(values.reshape(shape), np.array(categories)[None])
    return jnp.where(moves.reshape(shape) < chance[None], drawn, centers)
