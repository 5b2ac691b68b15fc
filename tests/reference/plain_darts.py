"""DARTS genotypes drawn and written in another way, step by step."""

import itertools

import numpy as np


def random_archs(seed, num_cells=2, num_ops=7, size=128):
    """Random genotypes with few operations and states, so that equal ones occur."""
    rng = np.random.default_rng(seed)
    archs = np.empty((size, num_cells, 4, 2, 2), np.int32)
    archs[..., 0] = rng.integers(0, num_ops, archs.shape[:-1])
    for step in range(4):
        for arch, cell in itertools.product(range(size), range(num_cells)):
            inputs = rng.choice(step + 2, 2, replace=False)
            archs[arch, cell, step, :, 1] = inputs
    return archs.reshape(size, -1)


def rewritten(rng, arch):
    """The same architecture: inputs swapped, steps in another possible order."""
    cells = arch.reshape(-1, 4, 2, 2)
    result = np.empty_like(cells)
    for cell, out in zip(cells, result, strict=True):
        order, left = [], set(range(4))
        while left:
            done = {0, 1, *(step + 2 for step in order)}
            ready = [s for s in left if set(cell[s, :, 1].tolist()) <= done]
            order.append(int(rng.choice(ready)))
            left.remove(order[-1])
        renamed = {0: 0, 1: 1, **{old + 2: new + 2 for new, old in enumerate(order)}}
        for new, old in enumerate(order):
            for edge, (op, state) in enumerate(cell[old][rng.permutation(2)].tolist()):
                out[new, edge] = op, renamed[state]
    return result.reshape(-1)
