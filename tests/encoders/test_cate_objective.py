"""What is corrupted and what a prediction costs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_cate as plain

from nasjax import spaces
from nasjax.encoders.cate import model, objective, settings
from nasjax.encoders.cate.objective import Labels

CELLS, KEYS = 32, 40


def inputs_of(made):
    keys = jax.random.split(jax.random.key(1), CELLS)
    archs = jax.vmap(spaces.make("nasbench101").sample)(keys)
    graph = jax.vmap(made.form.to_graph)(archs)
    return model.read(made, graph.ops, graph.adjacency)


@pytest.fixture(scope="module", params=["thesis", "released"])
def drawn(request):
    """A model, its inputs, and corrupted tokens and labels of many keys."""
    made = model.make("nasbench101", settings.variant(request.param))
    inputs = inputs_of(made)

    @jax.jit
    @jax.vmap
    def corrupt(key):
        corrupted, labels = objective.corrupt(key, made, inputs)
        return corrupted.tokens, labels

    tokens, labels = corrupt(jax.random.split(jax.random.key(0), KEYS))
    return made, inputs, np.asarray(tokens), jax.tree.map(np.asarray, labels)


def side_by_side(tokens):
    """`[N, 2 B]` as labels are: `[2 N, B]`."""
    return np.concatenate(np.split(tokens, 2, axis=-1), axis=-2)


def test_rates_of_corruption(drawn):
    made, inputs, tokens, labels = drawn
    released = made.settings.rules == "released"
    clean, real = np.asarray(inputs.tokens), np.asarray(inputs.real)
    np.testing.assert_array_equal(labels.ids[0], side_by_side(clean))
    chosen = labels.chosen
    may = side_by_side(real & (clean != 0) if released else real)
    assert not np.any(chosen & ~may)
    rate = chosen[:, may].mean()
    assert abs(rate - 0.2) < 4 * np.sqrt(0.16 / chosen[:, may].size)
    # Where nothing was chosen nothing changed, but for id 0 of the published code.
    found = side_by_side(tokens)
    moved = found != labels.ids
    assert not np.any(moved & ~chosen & may)
    assert np.any(moved & ~may) == released
    masked = found[chosen] == made.tokens.mask
    uniform = 0.2 / 5 if released else 0.0  # [MASK] is an operation there
    assert abs(masked.mean() - 0.8 - uniform) < 4 * np.sqrt(0.16 / chosen.sum())
    others = found[chosen][~masked]
    counts = np.bincount(others, minlength=5)
    allowed = counts[[0, 2, 3, 4]] if released else counts
    assert others.max() < 5 and np.all(allowed > 0.5 * allowed.mean())
    if not released:
        assert {made.tokens.mask, made.tokens.pad} == {5, 6}
        assert np.all(clean[~real] == made.tokens.pad)


def test_cross_entropy_of_what_was_chosen():
    made = model.make("nasbench101", settings.variant("thesis"))
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 14, 3))
    ids, chosen = rng.integers(0, 5, (14, 3)), rng.random((14, 3)) < 0.3
    with jax.enable_x64(True):
        found = objective.terms(
            made, jnp.asarray(logits), Labels(jnp.asarray(ids), jnp.asarray(chosen))
        )
    picked = logits.transpose(1, 2, 0)[chosen]
    expected = plain.cross_entropy(picked, ids[chosen]).sum()
    np.testing.assert_allclose(found.loss, expected, rtol=1e-12)
    assert found.labels == chosen.sum()
    assert found.correct == (picked.argmax(-1) == ids[chosen]).sum()


def test_a_target_of_the_published_loss_costs_nothing():
    """The divergence from a smoothed label is 0 where the prediction is that."""
    made = model.make("nasbench101", settings.variant("released"))
    target = np.array([1e-30, 0.1 / 3, 0.9, 0.1 / 3, 0.1 / 3])
    logits = jnp.asarray(np.log(target), jnp.float32)[:, None, None]
    labels = Labels(jnp.full((1, 1), 2), jnp.ones((1, 1), bool))
    assert abs(objective.terms(made, logits, labels).loss) < 1e-6
    other = objective.terms(made, logits, labels._replace(ids=jnp.full((1, 1), 3)))
    np.testing.assert_allclose(
        other.loss, (0.9 - 0.1 / 3) * np.log(0.9 / (0.1 / 3)), rtol=1e-5
    )
