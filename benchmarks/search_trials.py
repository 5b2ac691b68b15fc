"""Regularized evolution, 500 trials of 500 queries on NAS-Bench-201, against Python.

python benchmarks/search_trials.py [--table=FILE] [--schedule=12] [--config=NAME]

p100_s10: population 100, sample 10; p20_s10: population 20, as in NAS-Bench-x11.

Ours: all trials are one compiled program. Reference: one trial after another in plain
Python, written as the algorithm is published (a deque that is listed for every
`random.choice`) with a dict from the gene tuple to the scores of three seeds; no
wrappers. `tuned_reference_cpu_s` is the fastest pure Python known to us, places drawn
instead of members. All draw one of three training seeds for each query and keep every
result. Without --table the scores are made up: edges add up and interact, so there is
something to find. Ours and the reference must find equally good cells: the mean best
validation scores are printed with the standard error of their difference.
"""

import argparse
import collections
import functools
import json
import os
import random
import statistics
import time
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nasjax import nasbench, search
from nasjax.core import malloc
from nasjax.nasbench import TabularBenchmark, index
from nasjax.nasbench.runs import TrainingRuns
from nasjax.spaces import nasbench201


class Size(NamedTuple):
    """How much is run; `reference_trials` are those of one round."""

    trials: int = 500
    queries: int = 500
    rounds: int = 9
    reference_trials: int = 20


CONFIGS = {
    "p100_s10": {"population_size": 100, "sample_size": 10},
    "p20_s10": {"population_size": 20, "sample_size": 10},
}


def make_table(rng):
    """All 15,625 cells, three seeds, last epoch only."""
    cells = nasbench201.enumerate_cells()
    edges = np.arange(nasbench201.NUM_GENES)
    score = rng.normal(size=(6, 5))[edges, cells].sum(axis=1)
    score += rng.normal(size=(5, 5, 5))[edges[:-1], cells[:, :-1], cells[:, 1:]].sum(1)
    score = 0.8 + 0.05 * (score - score.mean()) / score.std()
    valid = score[:, None, None] + 0.003 * rng.normal(size=(len(cells), 3, 1))
    return TabularBenchmark(
        index=index.build("nasbench201", cells.astype(np.int8)),
        archs=jnp.asarray(cells, jnp.int8),
        curves={
            "valid_accuracy": TrainingRuns.build(valid.astype(np.float32)),
            "test_accuracy": TrainingRuns.build(valid.astype(np.float32) - 0.01),
        },
        seconds=TrainingRuns.build(
            rng.uniform(600, 1800, valid.shape).astype(np.float32)
        ),
        facts={},
        space="nasbench201",
        data_set="made up",
        epochs=(12,),
        metric="accuracy",
        seeds=(0, 1, 2),
    )


def python_table(table):
    """Gene tuple to the (validation score, test score, seconds) of each seed."""

    def seeds(runs):
        """Lists of recorded values at the last epoch; absent seeds are left out."""
        last = np.asarray(runs.values)[:, :, -1]
        return [[v for v in row if not np.isnan(v)] for row in last.tolist()]

    columns = [seeds(table.curves["valid_accuracy"])]
    for runs in (table.curves.get("test_accuracy"), table.seconds):
        columns.append(columns[0] if runs is None else seeds(runs))
    cells = map(tuple, np.asarray(table.archs).tolist())
    known = {}
    for cell, valid, test, seconds in zip(cells, *columns, strict=True):
        # Fewer test scores than seeds: the last one stands for the others.
        known[cell] = [
            (v, test[min(i, len(test) - 1)], seconds[min(i, len(seconds) - 1)])
            for i, v in enumerate(valid)
        ]
    return known


def plain_evolution(known, draw, num_queries, population_size, sample_size):
    """One trial as algorithm 1 of the paper is usually written; returns its history."""
    population, history, clock = collections.deque(), [], 0.0

    def train(cell):
        nonlocal clock
        valid, test, seconds = draw.choice(known[cell])
        clock += seconds
        member = (cell, valid, test, clock)
        population.append(member)
        history.append(member)

    while len(population) < population_size:
        train(tuple(draw.randrange(5) for _ in range(6)))
    while len(history) < num_queries:
        sample = []
        while len(sample) < sample_size:
            sample.append(draw.choice(list(population)))
        genes = list(max(sample, key=lambda member: member[1])[0])
        edge = draw.randrange(6)
        genes[edge] = draw.choice([op for op in range(5) if op != genes[edge]])
        train(tuple(genes))
        population.popleft()
    return history


def tuned_evolution(known, draw, num_queries, population_size, sample_size):
    """The same with as few Python operations as we could find."""
    population, history, clock = collections.deque(), [], 0.0
    randrange = draw.randrange
    while len(history) < num_queries:
        if len(population) < population_size:
            cell = tuple([randrange(5) for _ in range(6)])
        else:
            sample = [
                population[randrange(population_size)] for _ in range(sample_size)
            ]
            genes = list(max(sample, key=lambda member: member[1])[0])
            edge = randrange(6)
            genes[edge] = (genes[edge] + randrange(1, 5)) % 5
            cell = tuple(genes)
        runs = known[cell]
        valid, test, seconds = runs[randrange(len(runs))]
        clock += seconds
        history.append((cell, valid, test, clock))
        population.append((cell, valid))
        if len(population) > population_size:
            population.popleft()
    return history


def timed(function):
    """What it returns, CPU seconds and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, time.process_time() - cpu, time.perf_counter() - wall


def measure(name, table, size=Size()):  # noqa: B008
    settings = CONFIGS[name]
    space = nasbench201.make()
    algorithm = search.make("regularized_evolution", space, **settings)
    evaluate = Partial(TabularBenchmark.evaluate, table)
    known, draw = python_table(table), random.Random(0)
    keys = jax.random.split(jax.random.key(0), (size.rounds + 1, size.trials))

    def ours(number):
        return search.run_trials(keys[number], algorithm, evaluate, size.queries)

    def reference(function):
        return [
            function(known, draw, size.queries, **settings)
            for _ in range(size.reference_trials)
        ]

    _, compile_seconds, _ = timed(lambda: ours(0))
    best, best_reference, our_wall = [], [], []
    cpu = {"ours": [], "plain": [], "tuned": []}
    for number in range(1, size.rounds + 1):
        history, seconds, wall = timed(lambda number=number: ours(number))
        cpu["ours"].append(seconds)
        our_wall.append(wall)
        best.extend(history.valid.max(axis=1).tolist())
        for side, function in (("plain", plain_evolution), ("tuned", tuned_evolution)):
            histories, seconds, _ = timed(functools.partial(reference, function))
            cpu[side].append(seconds * size.trials / size.reference_trials)
            best_reference.extend(max(row[1] for row in trial) for trial in histories)
    median = {side: statistics.median(values) for side, values in cpu.items()}

    def ratio(side):
        pairs = zip(cpu["ours"], cpu[side], strict=True)
        return statistics.median(a / b for a, b in pairs)

    error = (
        np.var(best) / len(best) + np.var(best_reference) / len(best_reference)
    ) ** 0.5
    print(
        json.dumps(
            {
                "benchmark": "search_trials",
                "config": name,
                "ours_cpu_s": median["ours"],
                "reference_cpu_s": median["plain"],
                "ratio": ratio("plain"),
                "tuned_reference_cpu_s": median["tuned"],
                "ratio_to_tuned": ratio("tuned"),
                "compile_cpu_s": compile_seconds,
                "trials_per_hour": 3600 * size.trials / statistics.median(our_wall),
                "trials_per_cpu_hour": 3600 * size.trials / median["ours"],
                "trials": size.trials,
                "queries": size.queries,
                "mean_best_ours": statistics.mean(best),
                "mean_best_reference": statistics.mean(best_reference),
                "standard_error": error,
            }
        ),
        flush=True,
    )
    difference = statistics.mean(best) - statistics.mean(best_reference)
    assert abs(difference) < 4 * error, "the two do not search equally well"


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    parser.add_argument("--table", help="a NAS-Bench-201 table file")
    parser.add_argument("--data_set", default="cifar10")
    parser.add_argument("--schedule", type=int, default=12)
    arguments = parser.parse_args()
    # One core for both sides: XLA's second thread would cost more than it brings.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    table = make_table(np.random.default_rng(0))
    if arguments.table:
        table = nasbench.load(
            arguments.table, data_set=arguments.data_set, schedule=arguments.schedule
        )
    for name in arguments.config or CONFIGS:
        measure(name, table)


if __name__ == "__main__":
    main()
