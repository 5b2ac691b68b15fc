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
single_noise, bulk_noise: as single and bulk, but whole curves with GKDE noise
(`surrogate.curve`) against the same without (`surrogate.mean_curve`);
`rate_of_noiseless` is the rate with noise over the rate without, the median over
rounds.

The reference of the others is `lightgbm.Booster.predict` of each component, its
predictions appended to the features of the next. Before anything is timed, curves are
checked to agree within 1e-4 percent points, and noise to have the variance of its
kernel estimate.
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
from typing import NamedTuple

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

from nasjax.core import malloc
from nasjax.nasbench.surrogate.model import CurveModel, Member, Surrogate
from nasjax.nasbench.surrogate.noise import gkde
from nasjax.nasbench.surrogate.scaling import Scaler
from nasjax.nasbench.surrogate.svd import SVD
from nasjax.nasbench.surrogate.trees import boosting, lightgbm_text
from nasjax.nasbench.surrogate.trees.forest import Chain

CELLS, COMPONENTS, EPOCHS = 8_000, 5, 98
BATCH = 20_000
SINGLE = 500  # queries of one round
ROUNDS = {
    "single": 5,
    "bulk": 3,
    "two_devices": 3,
    "single_noise": 15,
    "bulk_noise": 5,
}
CHECKED = 500
RESIDUALS = 40_000  # of NAS-Bench-311's kernel estimate


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


class Fitted(NamedTuple):
    """Texts of the components; a curve in percent is codes @ decoder + mean."""

    texts: list[str]
    decoder: np.ndarray  # [5, 98]
    mean: np.ndarray  # [98]
    residuals: np.ndarray  # [8000, 98]


@functools.cache
def make_surrogate(folder):
    rng = np.random.default_rng(0)
    features = make_features(rng, CELLS)
    curves = make_curves(rng, features)
    u, s, v = np.linalg.svd(curves, full_matrices=False)
    u, s, v = u[:, :COMPONENTS], s[:COMPONENTS], v[:COMPONENTS]
    spread = u.std(axis=0)
    codes = (u - u.mean(axis=0)) / spread
    decoder, mean = (spread * s)[:, None] * v, (u.mean(axis=0) * s) @ v
    settings = boosting.settings("lightgbm")
    version = f"{lightgbm.__version__}-{CELLS}-{settings.num_rounds}"
    paths = [folder / f"{version}-{j}.txt" for j in range(COMPONENTS)]
    if not all(path.exists() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, fit(features, codes, settings), strict=True):
            path.write_text(text)
    texts = [path.read_text() for path in paths]
    return Fitted(texts, decoder, mean, curves - (codes @ decoder + mean))


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


def single(chain, features, fitted):
    """(ours, reference): one round each, the queries of a round one after the other."""
    reference, latencies, facts = Reference(fitted.texts, 1), [], {}
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


def bulk(chain, features, fitted):
    reference = Reference(fitted.texts, 1)
    inputs = jnp.asarray(features, jnp.float32)

    def ours():
        query_many(chain, inputs).block_until_ready()

    return ours, lambda: reference(features), ours, BATCH, time.process_time, {}


def two_devices(chain, features, fitted):
    reference, devices = Reference(fitted.texts, 2), jax.devices()[:2]
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


def with_noise(chain, fitted):
    """The surrogate of whole curves, whose architectures are given by features."""
    # As large a table of residuals as NAS-Bench-311's, which is read at random.
    repeats = RESIDUALS // len(fitted.residuals)
    model = CurveModel(
        members=(
            Member(
                chain,
                SVD(
                    mean=jnp.asarray(fitted.mean),
                    singular_values=jnp.ones(COMPONENTS),
                    components=jnp.asarray(fitted.decoder),
                    scaler=Scaler(jnp.zeros(COMPONENTS), jnp.ones(COMPONENTS)),
                ),
            ),
        ),
        weights=jnp.ones(1),
        noise=gkde.fit(np.tile(fitted.residuals, (repeats, 1))),
        low=jnp.asarray(0.0),
        high=jnp.asarray(100.0),
    )
    return Surrogate(
        models={"valid_accuracy": model},
        seconds=None,
        space="",
        features="given",
        data_set="made-up",
        epochs=tuple(range(1, EPOCHS + 1)),
        metric="accuracy",
    )


def check_noise(surrogate, curves, noisy):
    """The variance of epochs, within a twentieth on the average."""
    noise = surrogate.require().noise
    expected = np.var(noise.data, axis=0) + np.square(noise.factor).sum(axis=1)
    found = np.var(np.asarray(noisy) - np.asarray(curves), axis=0)
    gap = np.abs(found / expected - 1).mean()
    assert gap <= 0.05, f"variances of the noise differ by {gap}"


mean_one = jax.jit(Surrogate.mean_curve)
mean_many = jax.jit(jax.vmap(Surrogate.mean_curve, (None, 0)))
curve_one = jax.jit(Surrogate.curve)
curve_many = jax.jit(jax.vmap(Surrogate.curve, (None, 0, 0)))


def single_noise(chain, features, fitted):
    surrogate, latencies, facts = with_noise(chain, fitted), [], {}
    inputs = [jnp.asarray(x, jnp.float32) for x in features[:SINGLE]]
    keys = list(jax.random.split(jax.random.key(0), SINGLE))

    def ours():
        for key, x in zip(keys, inputs, strict=True):
            start = time.perf_counter()
            curve_one(surrogate, key, x).block_until_ready()
            latencies.append(time.perf_counter() - start)
        facts["latency_s"] = statistics.median(latencies)

    def theirs():
        for x in inputs:
            mean_one(surrogate, x).block_until_ready()

    def first():
        mean_one(surrogate, inputs[0]).block_until_ready()
        curve_one(surrogate, keys[0], inputs[0]).block_until_ready()

    return ours, theirs, first, SINGLE, time.process_time, facts


def bulk_noise(chain, features, fitted):
    surrogate = with_noise(chain, fitted)
    inputs = jnp.asarray(features, jnp.float32)
    keys = jax.random.split(jax.random.key(0), BATCH)

    def ours():
        return curve_many(surrogate, keys, inputs).block_until_ready()

    def theirs():
        return mean_many(surrogate, inputs).block_until_ready()

    def first():
        check_noise(surrogate, theirs(), ours())

    return ours, theirs, first, BATCH, time.process_time, {}


CONFIGS = {
    "single": single,
    "bulk": bulk,
    "two_devices": two_devices,
    "single_noise": single_noise,
    "bulk_noise": bulk_noise,
}


def measure(name, folder):
    fitted = make_surrogate(folder)
    features = make_features(np.random.default_rng(1), BATCH)
    chain = Chain.build([lightgbm_text.parse(text) for text in fitted.texts])
    config = CONFIGS[name]
    ours, theirs, first, queries, seconds, facts = config(chain, features, fitted)
    compile_seconds = clock(first, time.process_time)
    check(query_many, chain, Reference(fitted.texts, 1), features, fitted.decoder)
    times = [
        (clock(ours, seconds), clock(theirs, seconds)) for _ in range(ROUNDS[name])
    ]
    ours_seconds, reference_seconds = map(statistics.median, zip(*times, strict=True))
    if name.endswith("_noise"):
        facts["rate_of_noiseless"] = statistics.median(b / a for a, b in times)
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
    malloc.keep_memory()
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
