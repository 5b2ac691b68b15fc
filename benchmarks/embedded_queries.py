"""Queries of the package's surrogates of large spaces against LightGBM's own predict.

python benchmarks/embedded_queries.py [--config=NAME] [--benchmark=digits111]

single: `mean` of one architecture (validation and test score), one after the other;
`latency_s` is the median wall time.
bulk: `mean` of 8,192 architectures in one call.

The reference is LightGBM with as many trees of the same sizes for the same scores,
fitted to the package's trainings, given the features and the SVD for nothing; ours
also encodes the architecture and predicts the seconds. One thread each, same process,
interleaved. `load_cpu_s` is reading the surrogate, `compile_cpu_s` the first query.
"""

import argparse
import json
import os
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

from nasjax import nasbench, spaces
from nasjax.core import malloc
from nasjax.core.types import LAST
from nasjax.nasbench.sampled_digits import SAMPLED
from nasjax.nasbench.surrogate import compression, features
from nasjax.nasbench.surrogate.trees import boosting

SCORES = ("valid_accuracy", "test_accuracy")
RANK = 6


class Size(NamedTuple):
    queries: int = 8192
    single: int = 200
    rounds: int = 9
    num_trees: int = 0


@jax.jit
def query_one(surrogate, arch):
    return surrogate.mean(arch, LAST)


@jax.jit
def query_many(surrogate, archs):
    return jax.vmap(lambda arch: surrogate.mean(arch, LAST))(archs)


class Reference:
    """LightGBM's boosters of the codes of both scores."""

    def __init__(self, table, encode, num_trees):
        settings = boosting.settings("lightgbm", preset="small")
        x = np.asarray(encode(table.archs), np.float64)
        self.boosters = []
        for score in SCORES:
            curves = np.asarray(table.curves[score].values[:, 0], np.float64)
            svd = compression.fit("svd", jax.random.key(0), curves, rank=RANK)
            codes = np.asarray(compression.compress(svd, jnp.asarray(curves)))
            targets = np.ascontiguousarray(codes.T)
            chain, seen = [], x
            for j in range(RANK):
                booster = boosting.train(seen, targets[j], settings, seed=0)
                chain.append(booster)
                seen = np.concatenate([seen, codes[:, j, None]], axis=1)
            self.boosters.append(chain)
        self.options = {"num_threads": 1, "num_iteration": num_trees or None}

    def __call__(self, x):
        for chain in self.boosters:
            seen = x
            for booster in chain:
                found = booster.predict(seen, **self.options)
                seen = np.concatenate([seen, found[:, None]], axis=1)


def clock(function, seconds=time.process_time):
    start = seconds()
    function()
    return seconds() - start


def measure(config, name, size):
    """Times one configuration and prints its line."""
    sampled = SAMPLED[name]
    start = time.process_time()
    surrogate = nasbench.load(name)
    load_seconds = time.process_time() - start
    space = spaces.make(sampled.space)
    encode = jax.jit(jax.vmap(features.make(sampled.features).encode))
    archs = jax.vmap(space.sample)(jax.random.split(jax.random.key(0), size.queries))
    x = np.asarray(encode(archs), np.float64)
    reference = Reference(nasbench.load(name, listed=True), encode, size.num_trees)
    latencies = []

    def single():
        for arch in asked:
            start = time.perf_counter()
            query_one(surrogate, arch).valid.block_until_ready()
            latencies.append(time.perf_counter() - start)

    def single_reference():
        for row in x[: size.single]:
            reference(row[None])

    def bulk():
        query_many(surrogate, archs).valid.block_until_ready()

    if config == "single":
        asked = list(archs[: size.single])
        ours, theirs, queries = single, single_reference, size.single
        first = clock(lambda: query_one(surrogate, asked[0]).valid.block_until_ready())
    else:
        ours, theirs, queries = bulk, lambda: reference(x), size.queries
        first = clock(ours)
    times = [(clock(ours), clock(theirs)) for _ in range(size.rounds)]
    ours_seconds, reference_seconds = map(statistics.median, zip(*times, strict=True))
    line = {
        "benchmark": "embedded_queries",
        "config": f"{name}_{config}",
        "ours_cpu_s": ours_seconds,
        "reference_cpu_s": reference_seconds,
        "ratio": statistics.median(a / b for a, b in times),
        "compile_cpu_s": first,
        "queries_per_second": queries / ours_seconds,
        "load_cpu_s": load_seconds,
    }
    if latencies:
        line["latency_s"] = statistics.median(latencies)
    print(json.dumps(line), flush=True)


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=("single", "bulk"), action="append")
    parser.add_argument("--benchmark", choices=tuple(SAMPLED), action="append")
    arguments = parser.parse_args()
    installed = [name for name, s in SAMPLED.items() if s.surrogate_file.exists()]
    for name in arguments.benchmark or installed:
        for config in arguments.config or ("single", "bulk"):
            measure(config, name, Size())


if __name__ == "__main__":
    main()
