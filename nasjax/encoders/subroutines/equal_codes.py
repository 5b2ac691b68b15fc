"""Architectures of equal encoding, and one of them at random.

An encoding that is not one-to-one has no inverse: of the architectures with one code
any may stand for it. The first one of a table would be a bias, as tables are sorted (by
size, or by fingerprint), so one is drawn uniformly.
"""

import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core.types import Array
from nasjax.spaces import fingerprints


class EqualCodes(struct.PyTreeNode):
    """Architectures in M classes of equal encoding, class after class.

    Attributes:
      archs: integers `[N, G]`.
      starts: int32 `[M + 1]`: class m holds rows `starts[m]` to `starts[m + 1]`.
    """

    archs: Array
    starts: Array


def group(archs: np.ndarray, classes: np.ndarray) -> EqualCodes:
    """Sorts architectures by their class.

    Args:
      archs: integers `[N, G]`; they are stored in int8 where they fit.
      classes: int `[N]`, from 0 on; every class has a member.
    """
    order = np.argsort(classes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(classes))])
    small = np.abs(archs).max(initial=0) <= np.iinfo(np.int8).max
    rows = archs[order].astype(np.int8 if small else np.int32)
    return EqualCodes(jnp.asarray(rows), jnp.asarray(starts, jnp.int32))


def draw(codes: EqualCodes, chosen: Array, seed: Array) -> Array:
    """int32 `[G]`: one of the architectures of a class, each as likely.

    Args:
      codes: of M classes.
      chosen: int `[]`, the class.
      seed: uint32 `[]`, decides; uniform bits, or `seed_of_arch`.
    """
    first = codes.starts[chosen]
    count = codes.starts[chosen + 1] - first
    mixed = fingerprints.mix(seed ^ fingerprints.mix(chosen.astype(jnp.uint32)))
    # 2^32 is so much larger than a class that the remainder is uniform.
    place = (mixed % count.astype(jnp.uint32)).astype(jnp.int32)
    return codes.archs[first + place].astype(jnp.int32)


def seed_of_arch(fingerprint: Array) -> Array:
    """uint32 `[]` of a fingerprint uint32 `[2]`, for functions that get no key.

    The neighbours of one architecture are then always the same, and those of another
    have no common preference.
    """
    return fingerprints.mix(fingerprint[0] ^ fingerprints.mix(fingerprint[1]))
