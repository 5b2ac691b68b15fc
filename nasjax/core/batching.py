"""Long arrays through functions that are compiled for one length only."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np


def iterate(tree: Any, size: int) -> Iterator[tuple[Any, int]]:
    """Leading slices of a tree of arrays, and how many rows of each count.

    Args:
      tree: arrays of one leading length.
      size: rows of every slice; the last is filled up with its last row.
    """
    total = len(jax.tree.leaves(tree)[0])
    for first in range(0, total, size):
        rows: Any = slice(first, first + size)
        if first + size > total:
            rows = np.minimum(np.arange(first, first + size), total - 1)
        chunk = jax.tree.map(lambda leaf, rows=rows: leaf[rows], tree)
        yield chunk, min(size, total - first)


def map_batched(function: Callable[[Any], Any], tree: Any, size: int) -> Any:
    """`function(tree)` slice by slice: arrays of numpy with the length of the tree.

    Args:
      function: keeps the leading axis; rows do not depend on each other.
      tree: arrays of one leading length, at least 1.
      size: rows of a call.
    """
    parts = [
        jax.tree.map(lambda leaf, count=count: np.asarray(leaf)[:count], function(part))
        for part, count in iterate(tree, size)
    ]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
