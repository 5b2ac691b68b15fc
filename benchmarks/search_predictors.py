"""Whole searches with a model inside, against one run of plain numpy.

python benchmarks/search_predictors.py [--config=NAME]

latent_dngo: 500 runs of arch2vec-BO, 100 queries in batches of 5: DNGO is trained
afresh for every batch and scores all 15,625 cells of NAS-Bench-201.

latent_reinforce: 500 runs of arch2vec-RL, 100 queries in episodes of 16.

bananas: 30 runs of BANANAS as its authors publish it (github.com/naszilla/naszilla),
150 queries in batches of 10: 5 networks of 10 layers of 20 on the path encoding, 150
epochs of Adam at .01 with decays .9 and .99 on the absolute error, 100 new mutants of
the best cell, then of the second to fifth best.

Embeddings are a random projection to 16 numbers and scores are made up: neither changes
the time. The reference is the same arithmetic in plain numpy for one run, without the
framework around it (sampling, tables, histories). It is measured in the same process,
interleaved with ours, and multiplied by the number of runs; its cost does not depend on
the values either.
"""

import argparse
import functools
import json
import math
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
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy import optimize, special

from nasjax import encoders, search
from nasjax.core import malloc
from nasjax.core.types import Evaluation
from nasjax.search import embedding_table
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
CELLS = nasbench201.enumerate_cells()
ROW = {tuple(cell): row for row, cell in enumerate(CELLS.tolist())}
_PRINTS = np.asarray(jax.jit(jax.vmap(SPACE.fingerprint))(jnp.asarray(CELLS)))
CLASS = np.unique(_PRINTS, axis=0, return_inverse=True)[1].reshape(-1)
"""Number of the cell that each row is, the same for isomorphic ones."""
ROUNDS = 3


class Size(NamedTuple):
    """How much is run; the chunk, the trials of one compiled call, has few enough for
    what they work on to stay in the cache."""

    queries: int
    trials: int
    chunk: int
    epochs: int = 0
    members: int = 5
    layers: int = 10


SIZES = {
    "latent_dngo": Size(queries=100, trials=500, chunk=10, epochs=100),
    "latent_reinforce": Size(queries=100, trials=500, chunk=10),
    "bananas": Size(queries=150, trials=30, chunk=5, epochs=150),
}


def look_up(scores, key, arch, epoch, trained):
    del key, epoch, trained
    score = scores[nasbench201.code(arch)]
    return Evaluation(score, score, jnp.float32(1), jnp.zeros(0))


def new_mutants(rng, parents, known, count=100):
    """Rows that are no cell of `known`: mutants of the best parent, and of the next
    ones as long as there are fewer than `count`. All of them may be known."""
    pool, tried = [], set(known)
    for parent in parents:
        if len(pool) >= count:
            break
        for _ in range(count):
            cell = CELLS[parent].copy()
            edge = int(rng.integers(6))
            cell[edge] = (cell[edge] + int(rng.integers(1, 5))) % 5
            row = ROW[tuple(cell.tolist())]
            if CLASS[row] not in tried:
                tried.add(CLASS[row])
                pool.append(row)
    return pool


def random_new(rng, known, count):
    """Rows of different cells that are none of `known`; any where there are too few."""
    order = rng.permutation(len(CELLS))
    _, first = np.unique(CLASS[order], return_index=True)
    rows = order[np.sort(first)]
    new = rows[~np.isin(CLASS[rows], sorted(known))]
    return [*new[:count], *rows[: max(count - len(new), 0)]]


# --- Adam and networks in plain numpy ------------------------------------------------


class Adam:
    def __init__(self, params, rate, decay_second=0.999):
        self.rate, self.decay, self.step = rate, decay_second, 0
        self.first = [np.zeros_like(p) for p in params]
        self.second = [np.zeros_like(p) for p in params]

    def update(self, params, slopes):
        self.step += 1
        unbiased = math.sqrt(1 - self.decay**self.step) / (1 - 0.9**self.step)
        for p, g, m, v in zip(params, slopes, self.first, self.second, strict=True):
            m += 0.1 * (g - m)
            v += (1 - self.decay) * (g * g - v)
            p -= self.rate * unbiased * m / (np.sqrt(v) + 1e-8)


def uniform(rng, *shape, reach):
    return rng.uniform(-reach, reach, shape).astype(np.float32)


def glorot(rng, rows, columns):
    return uniform(rng, rows, columns, reach=math.sqrt(6 / (rows + columns)))


def fit_tanh_layer(rng, x, y, hidden=128, epochs=100, batch=10):
    """One hidden layer of tanh units, squared error; the incomplete batch left out."""
    first, last = x.shape[1] ** -0.5, hidden**-0.5
    w, b = (
        uniform(rng, x.shape[1], hidden, reach=first),
        uniform(rng, hidden, reach=first),
    )
    v, c = uniform(rng, hidden, reach=last), uniform(rng, 1, reach=last)
    adam = Adam((w, b, v, c), 1e-2)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - batch + 1, batch):
            rows = order[start : start + batch]
            h = np.tanh(x[rows] @ w + b)
            out = 2 * (h @ v + c - y[rows]) / batch
            inner = np.outer(out, v) * (1 - h * h)
            slopes = (x[rows].T @ inner, inner.sum(0), out @ h, out.sum(keepdims=True))
            adam.update((w, b, v, c), slopes)
    return w, b


def linear_regression(theta, y):
    """Bayesian, the evidence maximised by a simplex over one decomposition."""
    u, s, vt = np.linalg.svd(theta, full_matrices=False)
    coordinates = u.T @ y
    rest = max(float(y @ y - coordinates @ coordinates), 0)

    def minus_evidence(logs):
        logs = np.clip(logs, [-10, -20], [10, 10])  # where ours looks as well
        alpha, beta = np.exp(logs[0]), np.exp(-logs[1])
        precision = alpha + beta * s * s
        weights = beta * s * coordinates / precision
        residual = rest + np.sum((alpha / precision * coordinates) ** 2)
        missing = theta.shape[1] - len(s)
        log_det = np.sum(np.log(precision)) + missing * logs[0]
        return -0.5 * (
            theta.shape[1] * logs[0]
            - len(y) * logs[1]
            - beta * residual
            - alpha * np.sum(weights**2)
            - log_det
        )

    found = optimize.minimize(minus_evidence, [0.0, -3.0], method="Nelder-Mead")
    logs = np.clip(found.x, [-10, -20], [10, 10])
    alpha, beta = np.exp(logs[0]), np.exp(-logs[1])
    precision = alpha * np.eye(theta.shape[1]) + beta * theta.T @ theta
    covariance = np.linalg.inv(precision).astype(np.float32)
    return beta * covariance @ (theta.T @ y), covariance, 1 / beta


def plain_dngo(rng, table, scores, size):
    vectors = np.asarray(table.vectors)
    rows = random_new(rng, set(), 16)
    while len(rows) < size.queries:
        x, y = vectors[rows], scores[rows]
        mean, std = x.mean(0), x.std(0)
        x = (x - mean) / std
        w, b = fit_tanh_layer(rng, x, y, epochs=size.epochs)
        weights, covariance, noise = linear_regression(np.tanh(x @ w + b), y)
        theta = np.tanh((vectors - mean) / std @ w + b)
        center = theta @ weights
        spread = np.sum(theta @ covariance * theta, axis=1)
        spread = np.sqrt(np.maximum(spread, 0) + noise)  # of float32
        u = (center - y.max()) / spread
        gain = spread * (u * special.ndtr(u) + np.exp(-u * u / 2) / 2.5066283)
        gain[np.isin(CLASS, CLASS[rows])] = -1
        for _ in range(5):
            rows.append(int(np.argmax(gain)))
            gain[CLASS[rows[-1]] == CLASS] = -1
    return rows


def plain_reinforce(rng, table, scores, size, hidden=128, length=16):
    vectors = np.asarray(table.vectors)
    width, reach = vectors.shape[1], hidden**-0.5
    shapes = [(width, 4 * hidden), (hidden, 4 * hidden), (4 * hidden,), (4 * hidden,)]
    shapes += [(hidden, width), (width,)]
    params = [uniform(rng, *shape, reach=reach) for shape in shapes]
    w, r, b1, b2, v, c = params
    adam = Adam(params, 1e-2)
    norms = np.sum(vectors**2, axis=1)
    visited = np.zeros(len(vectors), bool)
    row = rng.integers(len(vectors))
    visited |= CLASS[row] == CLASS
    met = []

    def squash(z):
        return 1 / (1 + np.exp(-z))

    for _ in range(math.ceil(size.queries / length)):
        h = cell = np.zeros(hidden, np.float32)
        tape, rewards = [], []
        for _ in range(length):
            x = vectors[row]
            gates = x @ w + b1 + h @ r + b2
            i, f, g, o = np.split(gates, 4)
            i, f, g, o = squash(i), squash(f), np.tanh(g), squash(o)
            before, old = h, cell
            cell = f * cell + i * g
            h = o * np.tanh(cell)
            noise = rng.standard_normal(width).astype(np.float32)
            distance = norms - 2 * (vectors @ (h @ v + c + noise))
            distance[visited] = np.inf
            row = int(np.argmin(distance))
            visited |= CLASS[row] == CLASS
            met.append(row)
            rewards.append(scores[row] - 0.95)
            tape.append((x, before, old, i, f, g, o, cell, h, noise))
        slopes = [np.zeros_like(p) for p in params]
        later_h = later_cell = np.zeros(hidden, np.float32)
        value = 0.0
        gains = []
        for reward in rewards[::-1]:
            value = reward + 0.8 * value
            gains.append(value)
        for gain, record in zip(gains, tape[::-1], strict=True):
            x, before, old, i, f, g, o, cell, h, noise = record
            out = np.float32(-gain / length) * noise
            slopes[4] += np.outer(h, out)
            slopes[5] += out
            d_h = v @ out + later_h
            squashed = np.tanh(cell)
            d_cell = d_h * o * (1 - squashed**2) + later_cell
            parts = (
                d_cell * g * i * (1 - i),
                d_cell * old * f * (1 - f),
                d_cell * i * (1 - g * g),
                d_h * squashed * o * (1 - o),
            )
            d_gates = np.concatenate(parts)
            slopes[0] += np.outer(x, d_gates)
            slopes[1] += np.outer(before, d_gates)
            slopes[2] += d_gates
            slopes[3] += d_gates
            later_h, later_cell = r @ d_gates, d_cell * f
        adam.update(params, slopes)
    return met


def fit_relu_layers(rng, x, y, layers=10, width=20, epochs=150, batch=32):
    """ReLU layers, mean absolute error."""
    sizes = [x.shape[1], *[width] * layers, 1]
    kernels = [glorot(rng, sizes[k], sizes[k + 1]) for k in range(layers + 1)]
    biases = [np.zeros(n, np.float32) for n in sizes[1:]]
    adam = Adam(kernels + biases, 1e-2, 0.99)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            values = [x[rows]]
            for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
                values.append(np.maximum(values[-1] @ kernel + bias, 0))
            out = values[-1] @ kernels[-1] + biases[-1]
            d = np.sign(out - y[rows, None]) / len(rows)
            d_kernels, d_biases = [], []
            for k in range(layers, -1, -1):
                d_kernels.append(values[k].T @ d)
                d_biases.append(d.sum(0))
                d = (d @ kernels[k].T) * (values[k] > 0)
            adam.update(kernels + biases, d_kernels[::-1] + d_biases[::-1])
    return kernels, biases


def plain_bananas(rng, encoded, scores, size):
    rows = random_new(rng, set(), 10)
    while len(rows) < size.queries:
        y = scores[rows] - scores[rows].mean()
        y /= max(scores[rows].std(), 1e-8)
        x = encoded[rows]
        ensemble = [
            fit_relu_layers(rng, x, y, layers=size.layers, epochs=size.epochs)
            for _ in range(size.members)
        ]
        known = set(CLASS[rows])
        best = sorted(rows, key=lambda row: -scores[row])[:5]
        pool = np.array(new_mutants(rng, best, known), int)
        outputs = []
        for kernels, biases in ensemble:
            x = encoded[pool]
            for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
                x = np.maximum(x @ kernel + bias, 0)
            outputs.append((x @ kernels[-1] + biases[-1])[:, 0])
        draws = rng.normal(np.mean(outputs, axis=0), np.std(outputs, axis=0))
        chosen = pool[np.argsort(-draws)[:10]].tolist()
        known |= set(CLASS[chosen])
        rows.extend([*chosen, *random_new(rng, known, 10 - len(chosen))])
    return rows[: size.queries]


# --- Measurement ---------------------------------------------------------------------


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def setting(name, size):
    """The algorithm, its reference for one run, and what both look up."""
    rng = np.random.default_rng(0)
    worth = rng.normal(size=(6, 5))
    total = worth[np.arange(6), CELLS].sum(axis=1)
    scores = np.float32(0.85 + 0.03 * (total - total.mean()) / total.std())
    by_code = np.empty_like(scores)
    by_code[CELLS @ 5 ** np.arange(5, -1, -1)] = scores
    table = embedding_table.random_projection(jax.random.key(0), SPACE, CELLS)
    if name == "bananas":
        features = encoders.make("path_one_hot", SPACE.name)
        encoded = np.asarray(jax.vmap(features)(jnp.asarray(CELLS)))
        options = {"members": size.members, "layers": size.layers, "rate": 1e-2}
        algorithm = search.make(
            name,
            SPACE,
            features=features,
            capacity=size.queries,
            predictor_options={**options, "epochs": size.epochs},
        )
        reference = functools.partial(plain_bananas, rng, encoded, scores, size)
    elif name == "latent_dngo":
        algorithm = search.make(
            name,
            SPACE,
            table=table,
            capacity=size.queries,
            predictor_options={"epochs": size.epochs},
        )
        reference = functools.partial(plain_dngo, rng, table, scores, size)
    else:
        algorithm = search.make(name, SPACE, table=table)
        reference = functools.partial(plain_reinforce, rng, table, scores, size)
    return algorithm, Partial(look_up, jnp.asarray(by_code)), reference


def measure(name, size, rounds=ROUNDS):
    algorithm, evaluate, reference = setting(name, size)
    trials, chunk = size.trials, size.chunk
    keys = jax.random.split(jax.random.key(1), trials)

    def run(keys):
        history = search.run_trials(
            keys,
            algorithm,
            evaluate,
            budget_queries=size.queries,
            chunk_size=chunk,
        )
        assert (history.mask.sum(axis=1) == size.queries).all()

    first = cpu_seconds(lambda: run(keys[:chunk]))
    compile_seconds = first - cpu_seconds(lambda: run(keys[:chunk]))
    # A part of the trials between two runs of the reference, all of them in total.
    ours, theirs = [], []
    for part in np.array_split(np.arange(trials // chunk), rounds):
        chosen = keys[part[0] * chunk : (part[-1] + 1) * chunk]
        ours.append(cpu_seconds(lambda chosen=chosen: run(chosen)) / len(chosen))
        theirs.append(cpu_seconds(reference))
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    print(
        json.dumps(
            {
                "benchmark": "search_predictors",
                "config": name,
                "ours_cpu_s": statistics.median(ours) * trials,
                "reference_cpu_s": statistics.median(theirs) * trials,
                "reference_scaled_from_runs": rounds,
                "ratio": statistics.median(ratios),
                "compile_cpu_s": compile_seconds,
                "trials": trials,
                "queries": size.queries,
                "trials_per_hour": 3600 / statistics.median(ours),
            }
        ),
        flush=True,
    )


def main():
    malloc.keep_memory()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", choices=SIZES, action="append")
    for name in parser.parse_args().config or SIZES:
        measure(name, SIZES[name])


if __name__ == "__main__":
    main()
