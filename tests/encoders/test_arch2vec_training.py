"""Pre-training of arch2vec: parity with plain Adam, what a recipe does, resuming."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_arch2vec as plain

from nasjax.core import checkpoint
from nasjax.encoders.arch2vec import model, training
from nasjax.encoders.arch2vec.training import TrainSettings
from nasjax.spaces import nasbench201

TINY = {"width": 8, "num_layers": 2, "latent": 3}
KEY = jax.random.key(0)
RECIPE = TrainSettings(batch_size=40, learning_rate=1e-2)
# A step an epoch: the order of the graphs means nothing.
WHOLE = TrainSettings(batch_size=64, learning_rate=1e-2, warmup=0.5)
FROZEN = TrainSettings(
    batch_size=64,
    learning_rate=1e-2,
    anneal=True,
    clip_norm=0.05,
    reshuffle=False,
    freeze=True,
)


@pytest.fixture(scope="module")
def variational():
    return model.make("nasbench201", model.variant("thesis", **TINY))


@pytest.fixture(scope="module")
def released():
    return model.make("nasbench201", model.variant("released", **TINY))


@pytest.fixture(scope="module")
def graphs(variational):
    cells = nasbench201.enumerate_cells()
    chosen = np.random.default_rng(0).permutation(len(cells))[:215]
    return training.to_graphs(variational.form, cells[chosen])


@pytest.fixture(scope="module")
def few(graphs):
    return jax.tree.map(lambda leaf: leaf[: WHOLE.batch_size], graphs)


def train(made, recipe, graphs, epochs, *, state=None, key=KEY, num_epochs=4):
    """The state after some epochs, as numpy arrays, and their loss terms."""
    state = training.start(KEY, made, recipe) if state is None else state
    losses = []
    for _ in range(epochs):
        state, terms = training.run_epoch(key, made, recipe, state, graphs, num_epochs)
        losses.append(np.array(terms))
    return jax.tree.map(np.array, state), np.array(losses)


def vector(weights):
    """All parameters in a row."""
    trained = (weights.encoder, weights.heads, weights.decoder)
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(trained)])


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


# ------------------------------------------------------------------------ whole epochs


def test_the_loss_falls_and_a_training_resumes_bit_by_bit(
    variational, graphs, tmp_path
):
    final, losses = train(variational, RECIPE, graphs, 4)
    totals = losses.sum(1)
    assert np.all(np.isfinite(losses)) and np.all(np.diff(totals[:3]) < 0)
    assert totals[-1] < 0.8 * totals[0]
    assert int(final.epoch) == 4
    # Again, saved and read back after the first epoch.
    state, first = train(variational, RECIPE, graphs, 1)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        found = checkpoints.restore(training.start(KEY, variational, RECIPE))
    assert found is not None and found[0] == 1
    resumed, others = train(variational, RECIPE, graphs, 3, state=found[1])
    assert_same(resumed, final)
    assert_same(np.concatenate([first, others]), losses)
    # Another key: another order and other noise.
    _, other = train(variational, RECIPE, graphs, 1, key=jax.random.key(1))
    assert np.all(other != first)


def test_an_epoch_sees_each_graph_of_its_whole_batches_once(variational, graphs):
    # At a learning rate of 0 only the moments change.
    recipe = RECIPE._replace(learning_rate=0.0)
    state, _ = train(variational, recipe, graphs, 1)
    weights = training.start(KEY, variational, recipe).weights
    np.testing.assert_array_equal(vector(state.weights), vector(weights))
    read = training.inputs(variational.form, graphs)
    encode = jax.jit(variational.encode, static_argnums=2)
    # 215 graphs are 5 batches of 40 and a rest.
    order = np.array(jax.random.permutation(_key_of_order(recipe, 0), 215))
    means = []
    for rows in order[:200].reshape(5, 40):
        batch = jax.tree.map(lambda leaf, rows=rows: leaf[rows], read)
        posterior, statistics = encode(weights, batch, True)
        weights = weights.replace(statistics=statistics)
        means.append(posterior.mean)
    means = np.concatenate(means)
    expected = (np.stack([means.mean(0), means.std(0)]), weights.statistics)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5),
        (state.moments, state.weights.statistics),
        expected,
    )


def _key_of_order(recipe, epoch):
    folded = jax.random.fold_in(KEY, epoch if recipe.reshuffle else 0)
    return jax.random.split(folded)[0]


def test_graphs_are_stored_as_they_are(variational, graphs):
    cells = nasbench201.enumerate_cells()
    chosen = np.random.default_rng(0).permutation(len(cells))[:215]
    assert graphs.ops.dtype == graphs.adjacency.dtype == jnp.int8
    whole = jax.jit(jax.vmap(nasbench201.to_graph))(cells[chosen])
    np.testing.assert_array_equal(graphs.ops, whole.ops)
    np.testing.assert_array_equal(graphs.adjacency, whole.adjacency)


# ------------------------------------------------------------------ fields of a recipe


@pytest.fixture(scope="module")
def frozen(released, few):
    """States of two released trainings that share their first epoch."""
    first, _ = train(released, FROZEN, few, 1)
    one = train(released, FROZEN, few, 1, state=first)
    other = train(released, FROZEN, few, 1, state=first, key=jax.random.key(7))
    return first, one, other


def test_frozen_epochs_keep_their_moments_and_have_no_noise(released, few, frozen):
    first, (one, losses), (other, others) = frozen
    assert_same(one.weights.statistics, first.weights.statistics)
    started = training.start(KEY, released, FROZEN)
    moved = [
        np.any(x != y)
        for x, y in zip(
            jax.tree.leaves(first.weights.statistics),
            jax.tree.leaves(started.weights.statistics),
            strict=True,
        )
    ]
    assert all(moved)
    # Another key draws another order within the only batch, and nothing else.
    np.testing.assert_allclose(losses, others, rtol=1e-5)
    gap = np.abs(vector(one.weights) - vector(other.weights))
    assert np.median(gap) < 1e-6
    # In the first epoch it also draws other noise.
    _, noisy = train(released, FROZEN, few, 1)
    _, noisier = train(released, FROZEN, few, 1, key=jax.random.key(7))
    assert abs(noisy[0, :2] - noisier[0, :2]).min() > 1e-3


def test_moments_are_those_of_the_means_that_were_seen(released, few, frozen):
    first, (one, _), _ = frozen
    seen = training.posterior_means(released, first.weights, few)
    assert seen.shape == (64, 8, 3)
    expected = np.stack([seen.mean(0), seen.std(0)])
    np.testing.assert_allclose(one.moments, expected, rtol=1e-4, atol=1e-5)


def test_released_steps_are_clipped_and_annealed_steps_of_plain_adam(released, few):
    # Both epochs frozen: a step each, whose slope is that of the loss.
    state = training.start(KEY, released, FROZEN).replace(epoch=jnp.int32(1))
    read = training.inputs(released.form, few)

    @jax.jit
    def slope(weights):
        def loss(parts):
            there = model.Weights(*parts, weights.statistics)
            return released.loss(KEY, there, read, False)[0].total

        return jax.grad(loss)((weights.encoder, weights.heads, weights.decoder))

    params, first, second = vector(state.weights).astype(np.float64), 0.0, 0.0
    for step in (1, 2):
        # Along a cosine from the first of four steps.
        rate = FROZEN.learning_rate * (1 + np.cos(np.pi * (step - 1) / 4)) / 2
        found = slope(state.weights)
        found = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(found)])
        found = found.astype(np.float64)
        assert np.linalg.norm(found) > 2 * FROZEN.clip_norm
        (clipped,) = plain.clip([found], FROZEN.clip_norm)
        (params,), (first,), (second,) = plain.adam(
            [params], [clipped], [first], [second], step, rate=rate
        )
        state, _ = train(released, FROZEN, few, 1, state=state)
        # Where the slope is all rounding, Adam's step is too.
        clear = np.abs(found) > 1e-5 * np.abs(found).max()
        assert clear.mean() > 0.5
        gap = np.abs(vector(state.weights) - params)
        assert gap[clear].max() < 1e-5
        params = vector(state.weights).astype(np.float64)


def test_a_warmup_raises_the_weight_of_the_divergence(variational, few):
    read = training.inputs(variational.form, few)
    whole = jax.jit(lambda weights: variational.loss(KEY, weights, read, True)[0].kl)
    state, found = training.start(KEY, variational, WHOLE), []
    for _ in range(3):
        expected = float(whole(state.weights))
        state, losses = train(variational, WHOLE, few, 1, state=state)
        found.append(losses[0, 2] / expected)
    # Four steps in all, of which the first two warm up.
    np.testing.assert_allclose(found, [0, 0.5, 1], rtol=1e-4, atol=1e-7)
