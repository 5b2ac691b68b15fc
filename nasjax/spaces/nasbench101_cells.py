"""Every unique NAS-Bench-101 cell, made from the rules alone in a few seconds."""

import itertools
import os
import pathlib
from typing import NamedTuple

import jax
import numpy as np

from nasjax.core import arrays, errors
from nasjax.spaces import fingerprints, nasbench101
from nasjax.spaces.nasbench101_notation import (
    EDGES,
    MAX_EDGES,
    MAX_VERTICES,
    NUM_BITS,
    NUM_GENES,
    NUM_OPS,
)

FILE_NAME = "nasbench101_cells.safetensors"
# Rows of one compiled call.
_CHUNK = 1 << 16
_fingerprints = jax.jit(jax.vmap(nasbench101.fingerprint))


class Cells(NamedTuple):
    """One representative of each isomorphism class, in the order of fingerprints.

    Attributes:
      archs: int32 `[423624, 27]`; every vertex lies on a path from input to output.
      fingerprints: uint32 `[423624, 2]`, lexicographically increasing, so that
        `fingerprints.find` gives the row of any cell.
    """

    archs: np.ndarray
    fingerprints: np.ndarray


def cells(cache_dir: str | os.PathLike[str] | None = None) -> Cells:
    """All 423,624 cells, from the cache or enumerated and then cached.

    Args:
      cache_dir: folder of `nasbench101_cells.safetensors`; None: `~/.cache/nasjax`.
        A damaged or outdated file is replaced; an unwritable folder is let alone.
    """
    folder = pathlib.Path.home() / ".cache/nasjax" if cache_dir is None else cache_dir
    path = pathlib.Path(folder) / FILE_NAME
    constants = {"format": 2, "fingerprints": fingerprints.VERSION}
    try:
        if arrays.load_metadata(path) == constants:
            stored = arrays.memory_map(path)
            archs = stored["archs"].astype(np.int32)
            return Cells(archs, np.array(stored["fingerprints"]))
    except (errors.DataError, KeyError):
        pass
    found = enumerate_cells()
    compact = {**found._asdict(), "archs": found.archs.astype(np.int8)}
    try:
        arrays.save(path, compact, metadata=constants)
    except OSError:
        pass
    return found


def enumerate_cells(
    max_vertices: int = MAX_VERTICES, max_edges: int = MAX_EDGES
) -> Cells:
    """Enumerates unique cells of 2 to `max_vertices` vertices.

    First the graphs without operations (each must have all vertices on a path),
    one for each isomorphism class; then all ways to label the interior vertices of
    those, again one for each class.
    """
    found = []
    for n in range(2, max_vertices + 1):
        graphs = _graphs(n, max_edges)
        graphs, _ = _unique(graphs)
        labels = np.array(
            list(itertools.product(range(NUM_OPS), repeat=n - 2)), np.int32
        )
        labelled = np.repeat(graphs, len(labels), axis=0)
        labelled[:, NUM_BITS : NUM_BITS + n - 2] = np.tile(labels, (len(graphs), 1))
        found.append(_unique(labelled))
    archs = np.concatenate([archs for archs, _ in found])
    keys = np.concatenate([keys for _, keys in found])
    order = np.argsort(keys)
    low = keys & np.uint64(0xFFFFFFFF)
    lanes = np.stack([keys >> np.uint64(32), low], axis=1).astype(np.uint32)
    return Cells(archs[order], lanes[order])


def _graphs(n: int, max_edges: int) -> np.ndarray:
    """Genes int32 `[M, 27]` of all n-vertex matrices without loose ends, ops 0.

    In a matrix above the diagonal, every vertex is on a path from 0 to n - 1 if and
    only if each but the first has a predecessor and each but the last a successor.
    """
    edges = [(i, j) for i in range(n) for j in range(i + 1, n)]
    codes = np.arange(1 << len(edges), dtype=np.uint32)
    codes = codes[np.bitwise_count(codes) <= max_edges]
    for v in range(n):
        into = sum(1 << k for k, (_, j) in enumerate(edges) if j == v)
        out_of = sum(1 << k for k, (i, _) in enumerate(edges) if i == v)
        if v > 0:
            codes = codes[codes & into != 0]
        if v < n - 1:
            codes = codes[codes & out_of != 0]
    genes = np.full((len(codes), NUM_GENES), -1, np.int32)
    genes[:, :NUM_BITS] = 0
    for k, edge in enumerate(edges):
        genes[:, EDGES.index(edge)] = codes >> k & 1
    genes[:, NUM_BITS : NUM_BITS + n - 2] = 0
    genes[:, -1] = n
    return genes


def _unique(archs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first of each class and the 64-bit fingerprints, in their order."""
    keys = np.empty(len(archs), np.uint64)
    for start in range(0, len(archs), _CHUNK):
        chunk = archs[start : start + _CHUNK]
        padded = np.zeros((_CHUNK, NUM_GENES), np.int32)
        padded[: len(chunk)] = chunk
        lanes = np.asarray(_fingerprints(padded))[: len(chunk)].astype(np.uint64)
        keys[start : start + len(chunk)] = lanes[:, 0] << np.uint64(32) | lanes[:, 1]
    keys, first = np.unique(keys, return_index=True)
    return archs[first], keys
