"""Queries of a NAS-Bench-311-size surrogate against LightGBM's own predict.

python benchmarks/surrogate_query.py [--config=NAME] [--models=FOLDER]

Five chained components of 3,000 trees with 40 leaves, 56 features of which 34 are
informative small integers, fitted by LightGBM with NAS-Bench-x11's settings to 8,000
made-up cells and curves. Fitting takes a minute; the models are kept in FOLDER
(default: a folder of the system's temporary one) and reused.

single: one query at a time, each of another cell; `latency_s` is the median wall time.
bulk: 20,000 queries in one call, one thread each.
two_devices: 20,000 queries, half of them on each of two CPU devices, against LightGBM
with two threads; wall time, so only meaningful on two idle cores.

The reference is `lightgbm.Booster.predict` of each component, its predictions appended
to the features of the next. Before anything is timed, curves are checked to agree
within 1e-4 percent points.
"""

import argparse
import functools
import itertools
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import lightgbm
import numpy as np

from nasjax.nasbench.surrogate import boosting, lightgbm_text
from nasjax.nasbench.surrogate.forest import Chain

CELLS, COMPONENTS, EPOCHS = 8_000, 5, 98
BATCH = 20_000
SINGLE = 500  # queries of one round
ROUNDS = {"single": 5, "bulk": 3, "two_devices": 3}
CHECKED = 500


def cell_features(rng, count):
    """Operations 0 to 6 of 14 edges, -1 where there is none, and 3 pair numbers."""
    edges = np.full((count, 14), -1)
    pairs = np.zeros((count, 3), int)
    edges[:, :2] = rng.integers(0, 7, (count, 2))
    first = 2
    for k, num_inputs in enumerate((3, 4, 5)):
        known = np.array(list(itertools.combinations(range(num_inputs), 2)))
        pairs[:, k] = rng.integers(0, len(known), count)
        for side in range(2):
            edge = first + known[pairs[:, k], side]
            edges[np.arange(count), edge] = rng.integers(0, 7, count)
        first += num_inputs
    return edges, pairs


def make_features(rng, count):
    """float64 `[count, 56]`, two cells and 22 constants."""
    normal, reduction = cell_features(rng, count), cell_features(rng, count)
    columns = [normal[0], reduction[0], normal[1], reduction[1]]
    return np.concatenate([*columns, np.zeros((count, 22), int)], axis=1).astype(float)


def make_curves(rng, features):
    """Made-up accuracies `[N, 98]` in percent: a plateau, its rate, a gap and noise."""
    ops = features[:, :34].astype(int) + 1
    facts = []
    for _ in range(3):
        alone = rng.normal(size=(34, 11))[np.arange(34), ops].sum(axis=1)
        i, j = rng.integers(0, 34, (2, 60))
        fact = alone + ((ops[:, i] * ops[:, j]) % 5) @ rng.normal(size=60)
        facts.append((fact - fact.mean()) / fact.std())
    t = np.arange(1, EPOCHS + 1)
    plateau = 92 + 1.5 * np.tanh(facts[0][:, None])
    rate = np.exp(-2.5 + 0.3 * facts[1][:, None])
    gap = 45 + 8 * facts[2][:, None]
    noise = rng.normal(size=(len(ops), EPOCHS)) * (0.3 + 3 * np.exp(-t / 20))
    return plateau - gap * np.exp(-rate * t) + noise


def fit(features, codes, settings):
    """Texts of the fitted components."""
    texts = []
    for j in range(codes.shape[1]):
        seen = np.concatenate([features, codes[:, :j]], axis=1)
        regressor = lightgbm.LGBMRegressor(
            n_estimators=settings.num_rounds,
            num_leaves=settings.num_leaves,
            max_depth=settings.max_depth,
            learning_rate=settings.learning_rate,
            min_child_weight=settings.min_child_weight,
            reg_alpha=settings.reg_alpha,
            reg_lambda=settings.reg_lambda,
            n_jobs=1,
            verbose=-1,
        )
        booster = regressor.fit(seen, codes[:, j]).booster_
        texts.append(booster.model_to_string())
    return texts


@functools.cache
def make_surrogate(folder):
    """Texts of the components, and the decoder `[5, 98]` from codes to percent."""
    rng = np.random.default_rng(0)
    features = make_features(rng, CELLS)
    curves = make_curves(rng, features)
    u, s, v = np.linalg.svd(curves, full_matrices=False)
    u, spread = u[:, :COMPONENTS], u[:, :COMPONENTS].std(axis=0)
    codes = (u - u.mean(axis=0)) / spread
    decoder = (spread * s[:COMPONENTS])[:, None] * v[:COMPONENTS]
    settings = boosting.settings("lightgbm")
    version = f"{lightgbm.__version__}-{CELLS}-{settings.num_rounds}"
    paths = [folder / f"{version}-{j}.txt" for j in range(COMPONENTS)]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, fit(features, codes, settings), strict=True):
            path.write_text(text)
    return [path.read_text() for path in paths], decoder


class Reference:
    """LightGBM's own predictions of the chain."""

    def __init__(self, texts, num_threads):
        self.boosters = [lightgbm.Booster(model_str=text) for text in texts]
        self.num_threads = num_threads

    def __call__(self, features):
        seen = features
        for booster in self.boosters:
            found = booster.predict(seen, num_threads=self.num_threads)
            seen = np.concatenate([seen, found[:, None]], axis=1)
        return seen[:, features.shape[1] :]


def bytes_per_query(chain):
    """What a query reads: a row for each group of features, a leaf for each tree."""
    rows = sum(len(f.offsets) * f.rows[0].nbytes for f in chain.forests)
    leaves = sum(4 * f.rows.shape[1] * f.rows.shape[3] for f in chain.forests)
    return rows + leaves


def check(query, chain, reference, features, decoder):
    found = np.asarray(query(chain, jnp.asarray(features[:CHECKED], jnp.float32)))
    gap = np.abs((found - reference(features[:CHECKED])) @ decoder)
    assert gap.max() <= 1e-4, f"curves differ by {gap.max()} percent points"


def clock(function, seconds):
    start = seconds()
    function()
    return seconds() - start


@jax.jit
def query_one(chain, x):
    return chain.predict(x)


@jax.jit
def query_many(chain, xs):
    return jax.vmap(chain.predict)(xs)


def single(chain, features, texts):
    """(ours, reference): one round each, the queries of a round one after the other."""
    reference, latencies, facts = Reference(texts, 1), [], {}
    inputs = [jnp.asarray(x, jnp.float32) for x in features[:SINGLE]]

    def ours():
        for x in inputs:
            start = time.perf_counter()
            query_one(chain, x).block_until_ready()
            latencies.append(time.perf_counter() - start)
        facts["latency_s"] = statistics.median(latencies)

    def theirs():
        for x in features[:SINGLE]:
            reference(x[None])

    def first():
        query_one(chain, inputs[0]).block_until_ready()

    return ours, theirs, first, SINGLE, time.process_time, facts


def bulk(chain, features, texts):
    reference = Reference(texts, 1)
    inputs = jnp.asarray(features, jnp.float32)

    def ours():
        query_many(chain, inputs).block_until_ready()

    return ours, lambda: reference(features), ours, BATCH, time.process_time, {}


def two_devices(chain, features, texts):
    reference, devices = Reference(texts, 2), jax.devices()[:2]
    halves = np.split(features.astype(np.float32), len(devices))
    parts = [
        (jax.device_put(chain, device), jax.device_put(half, device))
        for device, half in zip(devices, halves, strict=True)
    ]

    facts = {"devices": len(devices)}

    def ours():
        start = time.process_time()
        # Calls return before they are computed, so the devices work side by side.
        jax.block_until_ready([query_many(*part) for part in parts])
        facts["queries_per_cpu_second"] = BATCH / (time.process_time() - start)

    return ours, lambda: reference(features), ours, BATCH, time.perf_counter, facts


# Queries with noise (`surrogate.sample`) belong here, as a further entry whose
# reference is the query without noise.
CONFIGS = {"single": single, "bulk": bulk, "two_devices": two_devices}


def measure(name, folder):
    texts, decoder = make_surrogate(folder)
    features = make_features(np.random.default_rng(1), BATCH)
    chain = Chain.build([lightgbm_text.parse(text) for text in texts])
    ours, theirs, first, queries, seconds, facts = CONFIGS[name](chain, features, texts)
    compile_seconds = clock(first, time.process_time)
    check(query_many, chain, Reference(texts, 1), features, decoder)
    times = [
        (clock(ours, seconds), clock(theirs, seconds)) for _ in range(ROUNDS[name])
    ]
    ours_seconds, reference_seconds = map(statistics.median, zip(*times, strict=True))
    print(
        json.dumps(
            {
                "benchmark": "surrogate_query",
                "config": name,
                "ours_cpu_s": ours_seconds,
                "reference_cpu_s": reference_seconds,
                "ratio": statistics.median(a / b for a, b in times),
                "compile_cpu_s": compile_seconds,
                "queries_per_second": queries / ours_seconds,
                "queries": queries,
                "clock": seconds.__name__,
                "bytes_per_query": bytes_per_query(chain),
                "table_bytes": chain.num_bytes,
                **facts,
            }
        ),
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, action="append")
    parser.add_argument(
        "--models",
        type=pathlib.Path,
        default=pathlib.Path(tempfile.gettempdir()) / "nasjax_surrogate_query",
    )
    arguments = parser.parse_args()
    for name in arguments.config or CONFIGS:
        measure(name, arguments.models)


if __name__ == "__main__":
    main()
