"""Graphs as a decoder leaves them: cells, cells with a few mistakes, and noise."""

import jax
import numpy as np
from reference import plain_nasbench101

from nasjax.core.types import Graph
from nasjax.encoders import graph_inputs
from nasjax.spaces import nasbench101_notation


def random_cells(space, rng, size):
    """Gene vectors of valid cells."""
    if space == "nasbench101":
        cells = []
        while len(cells) < size:
            matrix, ops = plain_nasbench101.random_cell(rng, density=0.4)
            if plain_nasbench101.is_valid(matrix, ops):
                cells.append(nasbench101_notation.encode(matrix, ops))
        return np.stack(cells)
    if space == "nasbench201":
        return rng.integers(0, 5, (size, 6)).astype(np.int32)
    genes = np.empty((size, 4, 2, 2), np.int32)
    genes[..., 0] = rng.integers(0, 8, (size, 4, 2))
    for cell in genes:
        for step in range(4):
            cell[step, :, 1] = rng.permutation(step + 2)[:2]
    return genes.reshape(size, 16)


def damaged(space, rng, size=512):
    """Graphs of cells with a few changed edges and labels, and pure noise.

    Each starts as a cell; most have 0 to 3 flipped edges and 0 to 2 other labels, so
    that every rule is broken alone as well as with others; an eighth is noise.
    """
    form = graph_inputs.spec(space)
    graphs = jax.vmap(form.to_graph)(random_cells(space, rng, size))
    adjacency, ops, num_nodes = (np.array(leaf) for leaf in graphs)
    n = form.num_nodes
    pairs = np.stack(np.triu_indices(n, 1), axis=1)
    for row in range(size):
        for i, j in pairs[rng.permutation(len(pairs))[: rng.integers(0, 4)]]:
            adjacency[row, i, j] ^= 1
        for node in rng.permutation(n)[: rng.integers(0, 3)]:
            ops[row, node] = rng.integers(-1, form.num_ops)
    noise = slice(0, size // 8)
    adjacency[noise] = np.triu(rng.integers(0, 2, adjacency[noise].shape), 1)
    ops[noise] = rng.integers(-1, form.num_ops, ops[noise].shape)
    return Graph(adjacency, ops, num_nodes)
