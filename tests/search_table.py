"""A made-up NAS-Bench-201 table whose best cells can be found by small steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nasjax.nasbench import TabularBenchmark, index
from nasjax.nasbench.runs import TrainingRuns
from nasjax.spaces import nasbench201

EPOCHS = (4, 12)
NOISE = 0.002


def scores(rng):
    """Validation accuracy of every cell: edges add up, and neighbours interact."""
    cells = nasbench201.enumerate_cells()
    edges = np.arange(nasbench201.NUM_GENES)
    worth = rng.normal(size=(nasbench201.NUM_GENES, nasbench201.NUM_OPS))
    pairs = 0.5 * rng.normal(size=(nasbench201.NUM_GENES - 1, 5, 5))
    total = worth[edges, cells].sum(axis=1)
    total += pairs[edges[:-1], cells[:, :-1], cells[:, 1:]].sum(axis=1)
    return cells, 0.7 + 0.05 * (total - total.mean()) / total.std()


@functools.cache
def make(seed=0):
    """Two budgets, three seeds, test below validation, seconds by operation."""
    rng = np.random.default_rng(seed)
    cells, mean = scores(rng)
    shape = len(cells), 3, len(EPOCHS)
    valid = mean[:, None, None] + NOISE * rng.normal(size=shape)
    valid[..., 0] -= 0.1
    test = valid - 0.01 + NOISE * rng.normal(size=shape)
    seconds = (10.0 + cells.sum(axis=1))[:, None, None] * np.ones((1, 3, 1))
    return TabularBenchmark(
        index=index.build("nasbench201", cells.astype(np.int8)),
        archs=jnp.asarray(cells, jnp.int8),
        curves={
            "valid_accuracy": TrainingRuns.build(valid.astype(np.float32)),
            "test_accuracy": TrainingRuns.build(test.astype(np.float32)),
        },
        seconds=TrainingRuns.build(seconds.astype(np.float32)),
        facts={},
        space="nasbench201",
        data_set="made up",
        epochs=EPOCHS,
        metric="accuracy",
        seeds=(777, 888, 999),
    )


def evaluate(table=None):
    """What the loops take: the table is an argument of compiled programs."""
    return Partial(TabularBenchmark.evaluate, make() if table is None else table)


_query = jax.jit(TabularBenchmark.evaluate)


def train(key, arch, epoch, trained):
    """A query for `drive`, picklable by name."""
    return _query(make(), key, jnp.asarray(arch), epoch, trained)
