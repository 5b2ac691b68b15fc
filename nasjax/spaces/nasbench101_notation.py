"""NAS-Bench-101 on the host: gene layout, strings, matrices and the official hash.

The benchmark has no string for a whole cell, but its files hold two fields, the
operations joined by commas and the adjacency matrix row by row. The one-line notation
joins them, with `/` between rows:

    input,conv3x3-bn-relu,output|010/001/000
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasjax.core import errors
from nasjax.spaces import nasbench101_specs

MAX_VERTICES = 7
MAX_EDGES = 9
OP_NAMES = ("conv1x1-bn-relu", "conv3x3-bn-relu", "maxpool3x3")
NUM_OPS = len(OP_NAMES)
EDGES = tuple((i, j) for i in range(MAX_VERTICES) for j in range(i + 1, MAX_VERTICES))
"""(from, to) of the 21 bits in their order."""
NUM_BITS = len(EDGES)
OP_SPOTS = MAX_VERTICES - 2
NUM_GENES = NUM_BITS + OP_SPOTS + 1

_SOURCES = np.array([i for i, _ in EDGES])
_TARGETS = np.array([j for _, j in EDGES])
# The order in which the official code numbers the operations before it hashes them.
_HASH_LABELS = {0: 1, 1: 0, 2: 2}


def encode(matrix: Any, ops: Sequence[int]) -> np.ndarray:
    """Gene vector int32 `[27]` of a cell.

    Args:
      matrix: 0/1 `[n, n]`, strictly upper triangular. Of more than 7 vertices those on
        no path from input to output are left out, as the benchmark does; 2 to 7 are
        kept as they are.
      ops: operations of the n - 2 interior vertices.

    Raises:
      UnknownArchitecture: a shape, a bit or an operation does not fit.
    """
    matrix = np.asarray(matrix)
    n = matrix.shape[0] if matrix.ndim else 0
    if matrix.shape != (n, n) or not 2 <= n <= nasbench101_specs.MAX_WRITTEN:
        raise errors.UnknownArchitecture(
            "a cell has a square matrix of 2 to 7 vertices, not one of the shape "
            f"{matrix.shape}"
        )
    if np.any(np.tril(matrix)) or np.any((matrix != 0) & (matrix != 1)):
        raise errors.UnknownArchitecture(
            "the adjacency matrix must hold 0 and 1 above its diagonal and 0 elsewhere"
        )
    if len(ops) != n - 2 or any(op not in range(NUM_OPS) for op in ops):
        raise errors.UnknownArchitecture(
            f"{n} vertices need {n - 2} operations out of 0, 1, 2, not {list(ops)}"
        )
    if n > MAX_VERTICES:
        matrix, ops = pruned(matrix, ops)
        n = len(matrix)
        if not n:
            raise errors.UnknownArchitecture(
                "the cell has no path from input to output"
            )
        if n > MAX_VERTICES:
            raise errors.UnknownArchitecture(
                f"{n} vertices of the cell are on a path from input to output; a cell "
                f"has at most {MAX_VERTICES} of them"
            )
    wide = np.zeros((MAX_VERTICES, MAX_VERTICES), np.int32)
    wide[:n, :n] = matrix
    genes = np.full(NUM_GENES, -1, np.int32)
    genes[:NUM_BITS] = wide[_SOURCES, _TARGETS]
    genes[NUM_BITS : NUM_BITS + n - 2] = ops
    genes[-1] = n
    return genes


def decode(arch: Any) -> tuple[np.ndarray, list[int]]:
    """Matrix int32 `[n, n]` and the n - 2 interior operations of a gene vector."""
    genes = np.asarray(arch)
    n = int(genes[-1])
    matrix = np.zeros((MAX_VERTICES, MAX_VERTICES), np.int32)
    matrix[_SOURCES, _TARGETS] = genes[:NUM_BITS]
    return matrix[:n, :n], [int(op) for op in genes[NUM_BITS : NUM_BITS + n - 2]]


def pruned(matrix: np.ndarray, ops: Sequence[int]) -> tuple[np.ndarray, list[int]]:
    """The cell without vertices off every path; a `[0, 0]` matrix if none is left."""
    n = len(matrix)
    # Edges lead to higher vertices, so one pass each way meets all paths.
    fed, used = np.zeros((2, n), bool)
    fed[:1], used[-1:] = True, True
    for v in range(1, n):
        fed[v] = (fed & (matrix[:, v] != 0)).any()
    for v in reversed(range(n - 1)):
        used[v] = (used & (matrix[v] != 0)).any()
    kept = np.flatnonzero(fed & used).tolist()
    if not kept:
        return matrix[:0, :0], []
    return matrix[np.ix_(kept, kept)], [ops[v - 1] for v in kept if 0 < v < n - 1]


def format_arch(arch: Any) -> str:
    """One line: operations, `|`, the adjacency matrix as written in the genes."""
    matrix, ops = decode(arch)
    names = ["input", *(OP_NAMES[op] for op in ops), "output"]
    rows = ["".join(map(str, row)) for row in matrix.tolist()]
    return f"{','.join(names)}|{'/'.join(rows)}"


def parse_arch(text: str) -> np.ndarray:
    """Gene vector int32 `[27]` of a cell, see `nasbench101_specs` for the forms.

    Of a cell of more than 7 vertices those on no path are left out; the `/` between the
    rows of a line may be left out.

    Raises:
      UnknownArchitecture: the text is malformed or names a cell outside the space.
    """
    genes = encode(*nasbench101_specs.read(text, OP_NAMES))
    small, _ = pruned(*decode(genes))
    if not len(small):
        raise errors.UnknownArchitecture("the cell has no path from input to output")
    if small.sum() > MAX_EDGES:
        raise errors.UnknownArchitecture(
            f"the cell has {small.sum()} edges on paths from input to output; at most "
            f"{MAX_EDGES} fit"
        )
    return genes


def module_hash(arch: Any) -> str:
    """The official module hash: 32 hexadecimal digits, the key of the published files.

    Neighbourhood refinement on MD5 digests of the pruned cell (`hash_module` of the
    NAS-Bench-101 code); a few thousand a second, `fingerprint` is its fast equal.

    Raises:
      UnknownArchitecture: no path leads from the input to the output.
    """
    matrix, ops = pruned(*decode(arch))
    n = len(matrix)
    if not n:
        raise errors.UnknownArchitecture("no path from input to output: no module hash")
    labels = [-1, *(_HASH_LABELS[op] for op in ops), -2]
    degrees = zip(matrix.sum(1).tolist(), matrix.sum(0).tolist(), labels, strict=True)
    colours = [_md5(str(degree)) for degree in degrees]
    for _ in range(n):
        colours = [
            _md5(
                "".join(sorted(colours[w] for w in range(n) if matrix[w, v]))
                + "|"
                + "".join(sorted(colours[w] for w in range(n) if matrix[v, w]))
                + "|"
                + colours[v]
            )
            for v in range(n)
        ]
    return _md5(str(sorted(colours)))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


SMALL_CELL = encode([[0, 1, 0], [0, 0, 1], [0, 0, 0]], [1])
"""input, conv3x3, output: what stands in when no candidate is valid."""
