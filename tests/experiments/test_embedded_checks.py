"""Checks of the embedded benchmarks' surrogates: their best, and another table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nasjax import nasbench, spaces
from nasjax.core.errors import ConfigError
from nasjax.experiments import embedded_benchmarks, embedded_checks
from nasjax.nasbench import index
from nasjax.nasbench.sampled_digits import DIGITS111
from nasjax.spaces import nasbench101


@pytest.fixture(scope="module")
def surrogate():
    return nasbench.load("digits111")


@pytest.fixture(scope="module")
def drawn():
    keys = jax.random.split(jax.random.key(0), 300)
    return np.asarray(jax.vmap(nasbench101.sample)(keys))


def test_the_best_are_different_and_in_order(surrogate, drawn):
    space = spaces.make("nasbench101")
    key = jax.random.key(0)
    best = embedded_checks.best(key, surrogate, space, 10, archs=drawn)
    prints = np.asarray(jax.vmap(space.fingerprint)(best))
    assert len(np.unique(prints, axis=0)) == 10
    valid = embedded_checks.scores(surrogate, best)
    assert (np.diff(valid) <= 0).all()
    everything = np.unique(embedded_checks.scores(surrogate, drawn))
    assert valid[0] == everything[-1] and valid[-1] >= everything[-10]
    climbed = embedded_checks.best(key, surrogate, space, 10, num_draws=300)
    assert embedded_checks.scores(surrogate, climbed)[-1] > valid[0]
    with pytest.raises(ConfigError, match="only"):
        embedded_checks.best(key, surrogate, space, 301, archs=drawn)


def test_the_best_are_trained_with_weights_of_their_own(surrogate, drawn, monkeypatch):
    asked = []

    def train(name, arch, place, seed, group):
        asked.append((name, place, seed, group))
        curves = np.full(30, 1000 + 10 * place - 40 * seed * (place == 2))
        return embedded_benchmarks.ScannedCurves(
            *[curves] * len(embedded_benchmarks.ScannedCurves._fields)
        ), 0.0

    monkeypatch.setattr(embedded_benchmarks, "train", train)
    told = []
    found = embedded_checks.order_of_best(
        DIGITS111, surrogate, drawn[:9], num_trained=4, report=told.append
    )
    assert len(asked) == len(told) == len(set(asked)) == 8
    assert {group for *_, group in asked} == {3}
    rows = [0, 3, 5, 8]
    predicted = embedded_checks.scores(surrogate, drawn[rows])
    real = np.array([[0, 10, 20, 30], [0, 10, -20, 30]]) + 1000.0
    mean = real.mean(axis=0) / 2048
    assert found["kendall_tau"] == pytest.approx(
        scipy.stats.kendalltau(mean, predicted).statistic
    )
    assert found["kendall_tau_of_seeds"] == pytest.approx(
        scipy.stats.kendalltau(*real).statistic
    )
    assert found["trained"] == pytest.approx(mean.mean())
    assert found["mean_absolute_error"] == pytest.approx(
        np.abs(mean - predicted).mean()
    )
    with pytest.raises(ConfigError, match="num_trained is 10 of 9"):
        embedded_checks.order_of_best(DIGITS111, surrogate, drawn[:9], num_trained=10)


def test_ranks_are_compared_with_another_table(surrogate):
    listed = nasbench.load("digits111", listed=True)
    # The other table has every second row, and ranks them by its test scores.
    rows = np.arange(0, len(listed.archs), 2)[:300]
    curves = {
        "valid_accuracy": jax.tree.map(
            lambda leaf: leaf[jnp.asarray(rows)], listed.curves["test_accuracy"]
        )
    }
    other = listed.replace(
        archs=listed.archs[jnp.asarray(rows)],
        curves=curves,
        index=index.build("nasbench101", np.asarray(listed.archs)[rows]),
        seconds=None,
        facts={},
    )
    found = embedded_checks.agreement(surrogate, listed, other)
    truth = embedded_checks.scores(other, np.asarray(other.archs))
    ours = embedded_checks.scores(surrogate, np.asarray(other.archs))
    assert found["all"]["count"] == found["trained"]["count"] == 300
    assert found["all"]["spearman"] == pytest.approx(
        scipy.stats.spearmanr(truth, ours).statistic, abs=1e-6
    )
    top = np.argsort(-truth, kind="stable")[:60]
    assert found["top_fifth"]["kendall_tau"] == pytest.approx(
        scipy.stats.kendalltau(truth[top], ours[top]).statistic, abs=1e-6
    )
    assert found["trained"]["spearman"] > 0.97
    with pytest.raises(ConfigError, match="the table is of nasbench201"):
        embedded_checks.agreement(surrogate, listed, nasbench.load("digits201"))
