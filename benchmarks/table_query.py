"""Queries of tabular benchmarks, vmapped and jitted, against numpy and a dict.

python benchmarks/table_query.py [--config=NAME]

nasbench101_matrices: any way to write a cell (vertices off every path, permuted), in a
table of all 423,624 cells with 3 seeds and 4 budgets: pruning, fingerprint, look-up and
the draw of a seed. Reference: pruning and module hash as in the official library, with
numpy, and a dict from the hash to the row.

nasbench201_genes: 15,625 cells with 3 seeds and 200 epochs; address, draw of a seed.
Reference: a dict from the gene tuple to the row, a seed drawn with `random`.

Values are random numbers: they do not change the time.
"""

import argparse
import hashlib
import json
import os
import random
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import malloc
from nasjax.nasbench import TabularBenchmark, index
from nasjax.nasbench.runs import TrainingRuns
from nasjax.spaces import nasbench101_cells, nasbench201
from nasjax.spaces import nasbench101_notation as notation

BATCH = 10_000
ROUNDS = 15
CALLS = 20  # of one round
REFERENCE_QUERIES = 400
# The official library numbers the operations before it hashes them.
LABELS = {0: 1, 1: 0, 2: 2}


def make_table(space, archs, epochs, rng, fingerprints=None):
    shape = (len(archs), 3, len(epochs))
    values = rng.random(shape, np.float32)
    return TabularBenchmark(
        index=index.build(space, archs, fingerprints),
        archs=jnp.asarray(archs, jnp.int8),
        curves={
            "valid_accuracy": TrainingRuns.build(values),
            "test_accuracy": TrainingRuns.build(rng.random(shape, np.float32)),
        },
        seconds=TrainingRuns.build(rng.random(shape[:2] + (1,), np.float32)),
        facts={},
        space=space,
        data_set="cifar10",
        epochs=epochs,
        metric="accuracy",
        seeds=(0, 1, 2),
    )


def shuffled(arch, rng):
    """The same cell with vertices that lead nowhere, in another order of vertices."""
    matrix, ops = notation.decode(arch)
    while len(matrix) < notation.MAX_VERTICES:
        n = len(matrix)
        at = int(rng.integers(1, n))  # before the output, after the input
        wider = np.zeros((n + 1, n + 1), int)
        kept = [v for v in range(n + 1) if v != at]
        wider[np.ix_(kept, kept)] = matrix
        if rng.random() < 0.5:
            wider[0, at] = 1  # reached, but a dead end
        ops.insert(at - 1, int(rng.integers(3)))
        matrix = wider
    n = len(matrix)
    order, waiting = [0], set(range(1, n - 1))
    while waiting:
        ready = [v for v in waiting if not any(matrix[w, v] for w in waiting)]
        order.append(int(rng.choice(sorted(ready))))
        waiting.remove(order[-1])
    order.append(n - 1)
    return notation.encode(
        matrix[np.ix_(order, order)], [ops[v - 1] for v in order[1:-1]]
    )


def official_prune(matrix, ops):
    """Vertices reached from the input and from which the output is reached."""
    n = matrix.shape[0]
    from_input, frontier = {0}, [0]
    while frontier:
        top = frontier.pop()
        for v in range(top + 1, n):
            if matrix[top, v] and v not in from_input:
                from_input.add(v)
                frontier.append(v)
    from_output, frontier = {n - 1}, [n - 1]
    while frontier:
        top = frontier.pop()
        for v in range(top):
            if matrix[v, top] and v not in from_output:
                from_output.add(v)
                frontier.append(v)
    extra = set(range(n)) - (from_input & from_output)
    kept = [op for v, op in enumerate(ops) if v not in extra]
    pruned = np.delete(np.delete(matrix, list(extra), axis=0), list(extra), axis=1)
    return pruned, kept


def official_hash(matrix, labels):
    """MD5 of the sorted vertex hashes after as many rounds as there are vertices."""

    def md5(text):
        return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()

    n = matrix.shape[0]
    out_degree = np.sum(matrix, axis=1).tolist()
    in_degree = np.sum(matrix, axis=0).tolist()
    hashes = [md5(str(x)) for x in zip(out_degree, in_degree, labels, strict=True)]
    for _ in range(n):
        renewed = []
        for v in range(n):
            into = [hashes[w] for w in range(n) if matrix[w, v]]
            out_of = [hashes[w] for w in range(n) if matrix[v, w]]
            text = "".join(sorted(into)) + "|" + "".join(sorted(out_of))
            renewed.append(md5(text + "|" + hashes[v]))
        hashes = renewed
    return md5(str(sorted(hashes)))


def official_query(known, values, draw, matrix, labels):
    row = known[official_hash(*official_prune(matrix, labels))]
    return values[row, draw.randrange(3), -1]


def nasbench101_matrices(rng):
    cells = nasbench101_cells.cells()
    epochs = (4, 12, 36, 108)
    table = make_table("nasbench101", cells.archs, epochs, rng, cells.fingerprints)
    rows = rng.integers(0, len(cells.archs), BATCH)
    archs = np.array([shuffled(cells.archs[row], rng) for row in rows], np.int32)
    values = np.asarray(table.curves["valid_accuracy"].values)

    def spec(arch):
        matrix, ops = notation.decode(arch)
        return matrix, [-1, *(LABELS[op] for op in ops), -2]

    specs = [spec(arch) for arch in archs[:REFERENCE_QUERIES]]
    known = {
        official_hash(*official_prune(*s)): row
        for s, row in zip(specs, rows, strict=False)
    }
    draw = random.Random(0)

    def reference():
        return [official_query(known, values, draw, *s) for s in specs]

    return table, archs, rows, reference, REFERENCE_QUERIES


def nasbench201_genes(rng):
    cells = nasbench201.enumerate_cells()
    table = make_table("nasbench201", cells, tuple(range(1, 201)), rng)
    rows = rng.integers(0, len(cells), BATCH)
    archs = cells[rows]
    values = np.asarray(table.curves["valid_accuracy"].values)
    known = {tuple(cell): row for row, cell in enumerate(cells.tolist())}
    tuples = [tuple(arch) for arch in archs.tolist()]
    draw = random.Random(0)

    def reference():
        return [values[known[t], draw.randrange(3), -1] for t in tuples]

    return table, archs, rows, reference, BATCH


CONFIGS = {
    "nasbench101_matrices": nasbench101_matrices,
    "nasbench201_genes": nasbench201_genes,
}


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def measure(name):
    rng = np.random.default_rng(0)
    table, archs, rows, reference, num_reference = CONFIGS[name](rng)
    keys, archs = jax.random.split(jax.random.key(0), BATCH), jnp.asarray(archs)

    @jax.jit
    def query(table, keys, archs):
        def one(key, arch):
            return table.evaluate(key, arch, table.epochs[-1]).valid

        return jax.vmap(one)(keys, archs)

    compile_seconds = cpu_seconds(lambda: query(table, keys, archs).block_until_ready())
    valid = np.asarray(query(table, keys, archs))
    recorded = np.asarray(table.curves["valid_accuracy"].values)[rows, :, -1]
    assert (valid[:, None] == recorded).any(axis=1).all(), "a wrong row was found"
    ours, theirs = [], []

    def batches():
        for _ in range(CALLS):
            query(table, keys, archs).block_until_ready()

    for _ in range(ROUNDS):
        ours.append(cpu_seconds(batches) / (CALLS * BATCH))
        theirs.append(cpu_seconds(reference) / num_reference)
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(
        json.dumps(
            {
                "benchmark": "table_query",
                "config": name,
                "ours_cpu_s": statistics.median(ours) * BATCH,
                "reference_cpu_s": statistics.median(theirs) * BATCH,
                "ratio": statistics.median(ratios),
                "compile_cpu_s": compile_seconds,
                "queries_per_second": 1 / statistics.median(ours),
                "batch": BATCH,
            }
        ),
        flush=True,
    )


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    for name in parser.parse_args().config or CONFIGS:
        measure(name)


if __name__ == "__main__":
    main()
