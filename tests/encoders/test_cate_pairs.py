"""Pairs of similar architectures against a plain sliding window."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.encoders import corpus
from nasjax.encoders.cate import pairs
from nasjax.spaces import nasbench101, nasbench201

DELTA = 40


def plain_window(values, row, delta, rule):
    """Rows that may be partners of a row."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    if rule == "earlier":
        before = order[: order.index(row)]
        return {i for i in before if values[row] - values[i] <= delta}
    near = {i for i in order if abs(int(values[i]) - int(values[row])) < delta}
    return near - {row}


@pytest.fixture(scope="module")
def values():
    rng = np.random.default_rng(0)
    # Crowded and lonely values, with ties.
    return np.concatenate([rng.integers(0, 300, 60), [10_000, 10_039, 10_040, 20_000]])


@pytest.mark.parametrize("rule", pairs.RULES)
@pytest.mark.parametrize("partners", [1, 3])
def test_partners_are_those_of_a_plain_window(values, rule, partners):
    windows = pairs.windows(values, DELTA, rule=rule)
    draw = jax.jit(pairs.draw, static_argnums=2)
    keys = jax.random.split(jax.random.key(0), 60)
    allowed = {i: plain_window(values, i, DELTA, rule) for i in range(len(values))}
    seen = {i: set() for i in allowed}
    for key in keys:
        rows, chosen = map(np.asarray, draw(key, windows, partners))
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(values)))
        assert np.all(np.diff(values[rows]) >= 0)
        for row, found in zip(rows.tolist(), chosen.tolist(), strict=True):
            real = [i for i in found if i >= 0]
            assert len(real) == len(set(real)) == min(partners, len(allowed[row]))
            assert set(real) <= allowed[row]
            assert found[: len(real)] == real  # what is missing comes last
            seen[row] |= set(real)
    # All of a window is drawn from, its ends included.
    covered = sum(map(len, seen.values())) / sum(map(len, allowed.values()))
    assert covered > 0.9
    small = [i for i in allowed if len(allowed[i]) <= 3]
    assert all(seen[i] == allowed[i] for i in small)


def test_partners_are_uniform():
    values = np.arange(6)
    windows = pairs.windows(values, 100)
    keys = jax.random.split(jax.random.key(1), 4_000)
    draw = jax.jit(jax.vmap(lambda key: pairs.draw(key, windows, 2)[1]))
    found = np.asarray(draw(keys))[:, 2]  # of row 2
    counts = np.zeros((6, 6))
    np.add.at(counts, (found[:, 0], found[:, 1]), 1)
    possible = [(i, j) for i in range(6) for j in range(6) if len({i, j, 2}) == 3]
    expected = len(found) / len(possible)
    assert sum(counts[i, j] for i, j in possible) == len(found)
    chi = sum((counts[i, j] - expected) ** 2 / expected for i, j in possible)
    assert chi < 43.8  # p = .001 of 19 degrees of freedom


def test_slots_are_the_pairs_there_are(values):
    windows = pairs.windows(values, DELTA)
    places, numbers = pairs.slots(windows, 3)
    _, chosen = pairs.draw(jax.random.key(0), windows, 3)
    expected = np.argwhere(np.asarray(chosen) >= 0)
    np.testing.assert_array_equal(np.stack([places, numbers], axis=1), expected)


def test_attributes_are_those_of_the_spaces():
    archs = corpus.architectures("nasbench201", jax.random.key(0), count=9)
    found = pairs.attributes("nasbench201", archs)
    expected = [nasbench201.costs(jnp.asarray(arch)).parameters for arch in archs]
    np.testing.assert_array_equal(found, expected)
    # The cell and the count of the benchmark's published notebook.
    cell = nasbench101.make().parse_arch(
        "input,conv1x1-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,conv3x3-bn-relu,"
        "maxpool3x3,output|"
        "0111010/0000001/0000001/0000100/0000001/0000001/0000000"
    )
    assert pairs.attributes("nasbench101", cell[None]) == [2_694_282]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (([1, 2], 1, "sliding"), "two_sided"),
        (([1, 2], -1, "earlier"), "delta = -1"),
        (([2**31 - 5], 10, "earlier"), "2\\^31"),
    ],
)
def test_what_does_not_fit_is_one_line(given, message):
    values, delta, rule = given
    with pytest.raises(errors.ConfigError, match=message):
        pairs.windows(np.array(values), delta, rule=rule)


def test_spaces_that_cate_does_not_encode():
    with pytest.raises(errors.ConfigError, match="nasbench101"):
        pairs.attributes("nasbench_nlp", np.zeros((1, 3)))
