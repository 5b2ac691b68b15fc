"""CATE-DNGO-LS against a plain search, and what it does with equal encodings."""

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest
import scipy.stats

from nasjax import predictors, search
from nasjax.core import errors
from nasjax.predictors import Prediction, Predictor
from nasjax.search import EmbeddingTable
from nasjax.search.model_based import acquisition, pool_local_search

SPACE = latent_table.SPACE
TABLE = latent_table.make(side=12)
VECTORS = np.asarray(TABLE.vectors)
ROW = {tuple(arch): row for row, arch in enumerate(np.asarray(TABLE.archs).tolist())}
SCORES = np.sin(3 * VECTORS[:, 0]) + VECTORS[:, 1] ** 2
SCORES = (SCORES - SCORES.min()) / np.ptp(SCORES)
KEYS = jax.random.split(jax.random.key(0), 3)
FIRST, BATCH = 6, 4


def slope():
    """A predictor that knows where the best row is, without a draw: ranks are exact."""

    def fit(key, features, targets, mask):
        best = jnp.argmax(jnp.where(mask, targets, -jnp.inf))
        return features[best]

    def predict(state, features):
        distance = jnp.sum((features - state[None]) ** 2, axis=1)
        return Prediction(-distance, jnp.ones(len(features)))

    return Predictor(fit, predict)


def evaluate(key, arch, epoch, trained):
    del key, epoch, trained
    row = jnp.argmax(jnp.all(TABLE.archs == arch[None], axis=1))
    valid = jnp.asarray(SCORES, jnp.float32)[row]
    return search.Evaluation(valid, valid, jnp.float32(1), valid[None])


def run(monkeypatch, num_steps, **settings):
    monkeypatch.setattr(predictors, "make", lambda name, **options: slope())
    options = {"num_init": FIRST, "batch_size": BATCH, "capacity": 100}
    algorithm = search.make(
        "cate_dngo_ls", SPACE, **{"table": TABLE, **options, **settings}
    )
    history = search.run_trials(KEYS, algorithm, evaluate, num_steps)
    return [
        [ROW[tuple(arch)] for arch in archs[mask].tolist()]
        for archs, mask in zip(history.archs, history.mask, strict=True)
    ]


def plain(first, num_trained, *, local=True):
    """Rows that are trained, from the random ones on."""
    pool = list(first)
    while len(pool) < num_trained:
        best = pool[int(np.argmax(SCORES[pool]))]
        distance = np.sum((VECTORS - VECTORS[best]) ** 2, axis=1)
        free = [row for row in np.argsort(distance, kind="stable") if row not in pool]
        new = free[:BATCH]
        pool += new
        if not local:
            continue
        order = sorted(pool, key=lambda row: -SCORES[row])[:BATCH]
        for row in order[::-1]:
            if row in new:
                continue
            distance = np.sum((VECTORS - VECTORS[row]) ** 2, axis=1)
            near = np.argsort(distance, kind="stable")
            pool.append(next(other for other in near if other not in pool))
    return pool


@pytest.mark.parametrize("local", [True, False])
def test_rows_are_those_of_a_plain_search(monkeypatch, local):
    # Ties are drawn: no two rows of this table are equally far from a third.
    jitter = np.random.default_rng(0).normal(size=VECTORS.shape) * 1e-2
    monkeypatch.setitem(globals(), "VECTORS", (VECTORS + jitter).astype(np.float32))
    table = EmbeddingTable(TABLE.archs, jnp.asarray(VECTORS))
    first = FIRST + BATCH - FIRST % BATCH  # two random ones, and two by the predictor
    name = "cate_dngo_ls" if local else "cate_dngo"
    monkeypatch.setattr(predictors, "make", lambda name, **options: slope())
    algorithm = search.make(
        name, SPACE, table=table, num_init=first, batch_size=BATCH, capacity=100
    )
    history = search.run_trials(KEYS, algorithm, evaluate, 11)
    lengths = []
    for archs, mask in zip(history.archs, history.mask, strict=True):
        found = [ROW[tuple(arch)] for arch in archs[mask].tolist()]
        assert found == plain(found[:first], len(found), local=local)[: len(found)]
        assert len(set(found)) == len(found)
        lengths.append(len(found))
    if local:  # of the best some had just joined: their neighbours are not trained
        assert min(lengths) < 11 * BATCH
    else:
        assert lengths == [11 * BATCH] * 3


def test_trainings_have_consecutive_names(monkeypatch):
    """Slots that are not used take no place in the buffer of the predictor."""
    monkeypatch.setattr(predictors, "make", lambda name, **options: slope())
    algorithm = search.make(
        "cate_dngo_ls", SPACE, table=TABLE, num_init=FIRST, batch_size=BATCH,
        capacity=60,
    )  # fmt: skip
    history = search.run_trials(KEYS, algorithm, evaluate, 11)
    for trial, mask in zip(history.trial, history.mask, strict=True):
        np.testing.assert_array_equal(trial[mask], np.arange(mask.sum()))


def test_of_equal_encodings_one_is_drawn(monkeypatch):
    """Rows come sorted by size: the first of equals would be the smallest."""
    vectors = jnp.asarray(VECTORS[np.arange(len(VECTORS)) // 12 * 12])
    table = EmbeddingTable(TABLE.archs, vectors)
    keys = jax.random.split(jax.random.key(1), 60)
    monkeypatch.setattr(predictors, "make", lambda name, **options: slope())
    algorithm = search.make(
        "cate_dngo_ls", SPACE, table=table, num_init=4, batch_size=4, capacity=60
    )
    history = search.run_trials(keys, algorithm, evaluate, 3)
    places = [
        ROW[tuple(arch)] % 12
        for archs, mask in zip(history.archs, history.mask, strict=True)
        for arch in archs[mask].tolist()[4:]
    ]
    counts = np.bincount(places, minlength=12)
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_the_released_search_begins_again_without_progress(monkeypatch):
    """Nothing is better than the first rows: twenty rounds later all is forgotten."""
    seen = []

    def fit(key, features, targets, mask):
        jax.debug.callback(lambda count: seen.append(int(count)), jnp.sum(mask))
        return jnp.zeros(())

    def predict(state, features):
        return Prediction(jnp.zeros(len(features)), jnp.ones(len(features)))

    monkeypatch.setattr(
        predictors, "make", lambda name, **options: Predictor(fit, predict)
    )
    monkeypatch.setattr(pool_local_search, "_MOST_STALE", 3)
    algorithm = search.make(
        "cate_dngo_ls", SPACE, table=TABLE, num_init=4, batch_size=4, capacity=100,
        variant="released",
    )  # fmt: skip

    def flat(key, arch, epoch, trained):
        return evaluate(key, arch, epoch, trained)._replace(valid=jnp.float32(0.5))

    search.run_trials(KEYS[:1], algorithm, flat, 12)
    assert len(seen) >= 5
    grown = np.diff(seen)
    assert (grown < 0).sum() == 1  # the pool was emptied once, and filled by four
    assert seen[int(np.argmin(grown)) + 1] == 4


def test_what_the_released_searches_rank_by():
    rng = np.random.default_rng(0)
    mean, std = rng.uniform(0.8, 0.95, 50), rng.uniform(0.01, 0.3, 50)
    v = std**2
    u = (mean - 1) / v
    expected = v * (u * scipy.stats.norm.cdf(u) + 1 + scipy.stats.norm.pdf(u))
    with jax.enable_x64(True):
        found = acquisition.released_cate_score(jnp.asarray(mean), jnp.asarray(std))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"variant": "new"}, "unknown variant of CATE-DNGO-LS"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"table": None}, "table"),
        ({"acquisition_function": "ie"}, "acquisition"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(errors.ConfigError, match=message):
        search.make("cate_dngo_ls", SPACE, **{"table": TABLE, **settings})
