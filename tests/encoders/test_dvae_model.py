"""D-VAE's networks and loss: parity with plain numpy, symmetries, named errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decoded_graphs import random_cells
from reference import dvae as plain

from nasjax.core import errors
from nasjax.encoders import graph_inputs
from nasjax.encoders.dvae import decoder, model
from nasjax.spaces import nasbench101

TINY = {"width": 6, "latent": 3}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
COUNT = 5
_read = jax.jit(graph_inputs.read, static_argnums=0)


@functools.cache
def inputs(space, count=COUNT):
    """Inputs of random cells in float64; most of NAS-Bench-101's are padded."""
    cells = random_cells(space, np.random.default_rng(0), count)
    return jax.tree.map(np.float64, _read(graph_inputs.spec(space), cells))


@functools.cache
def tiny(space, bidirectional=True, scale=0.5):
    """A model and weights of float64, large enough that every choice is uneven."""
    settings = model.variant("paper", **TINY, bidirectional=bidirectional)
    made = model.make(space, settings)
    rng = np.random.default_rng(1)
    weights = jax.tree.map(
        lambda x: np.float64(x) + rng.uniform(-scale, scale, x.shape),
        jax.jit(made.init)(jax.random.key(0)),
    )
    return made, weights


def graphs(space, read):
    """(ops, adjacency) of each graph without padding, as D-VAE reads it."""
    for nodes, adjacency, real in zip(*read, strict=True):
        size = int(real.sum())
        edges = adjacency[:size, :size].copy()
        if space == "darts_shared":
            edges[0, 1] = 1
        yield nodes[:size].argmax(1), edges


def plain_loss(made, weights, read):
    """Means, log variances and terms, each a mean over the graphs."""
    moments, costs = [], []
    for ops, adjacency in graphs(made.form.space, read):
        mean, log_variance = plain.encode(
            weights.encoder, weights.heads, ops, adjacency
        )
        moments.append((mean, log_variance / 2))
        costs.append(
            (
                *plain.likelihood(weights.decoder, mean, ops, adjacency),
                0.005 * plain.divergence(mean, log_variance),
            )
        )
    return np.stack(moments, axis=1), np.mean(costs, axis=0)


@pytest.mark.parametrize(
    ("space", "bidirectional"), [("nasbench101", True), ("darts_shared", False)]
)
def test_the_loss_and_its_slope_are_those_of_plain_numpy(space, bidirectional):
    made, weights = tiny(space, bidirectional)
    read = inputs(space)

    def loss(weights):
        terms, (posterior, _) = made.loss(jax.random.key(0), weights, read, False, 0.5)
        return terms.total, (terms, posterior)

    with jax.enable_x64(True):
        slope, (terms, posterior) = jax.jit(jax.grad(loss, has_aux=True))(weights)
    moments, expected = plain_loss(made, weights, read)
    np.testing.assert_allclose(posterior, moments, **CLOSE)
    # The divergence was warmed up by half.
    np.testing.assert_allclose(terms, expected * [1, 1, 0.5], **CLOSE)
    assert min(expected) > 1e-4

    # The slope along a random direction, by differences of the plain loss.
    rng = np.random.default_rng(2)
    way = jax.tree.map(lambda x: rng.uniform(-0.3, 0.3, x.shape), weights)

    def along(step):
        moved = jax.tree.map(lambda x, y: x + step * y, weights, way)
        return plain_loss(made, moved, read)[1] @ [1, 1, 0.5]

    change = (along(1e-5) - along(-1e-5)) / 2e-5
    slope = jax.tree.map(np.asarray, slope)
    product = jax.tree.map(lambda x, y: np.sum(x * y), slope, way)
    assert sum(jax.tree.leaves(product)) == pytest.approx(change, rel=1e-6)
    assert all(np.isfinite(x).all() and x.any() for x in jax.tree.leaves(slope))


def test_noise_is_that_of_the_key_and_only_in_training():
    made, weights = tiny("nasbench101")
    weights = jax.tree.map(np.float32, weights)
    read = jax.tree.map(np.float32, inputs("nasbench101"))
    loss = jax.jit(made.loss, static_argnums=3)
    keys = jax.random.split(jax.random.key(1), 2)
    noisy = [loss(key, weights, read, True)[0] for key in (*keys, keys[0])]
    quiet = [loss(key, weights, read, False)[0] for key in keys]
    assert noisy[0] == noisy[2] and quiet[0] == quiet[1]
    assert noisy[0].ops != noisy[1].ops != quiet[0].ops
    assert noisy[0].kl == noisy[1].kl == quiet[0].kl


def test_a_generated_graph_is_that_of_plain_numpy():
    made, weights = tiny("nasbench101", scale=1.5)
    z = np.random.default_rng(3).normal(size=(40, TINY["latent"])) * 3
    with jax.enable_x64(True):
        decoded = jax.tree.map(np.asarray, jax.jit(made.decode)(weights, z))
    sizes = set()
    for row, (adjacency, ops, size) in enumerate(zip(*decoded, strict=True)):
        expected = plain.generate(weights.decoder, z[row], 7, made.form.num_ops)
        assert size == len(expected[0])
        np.testing.assert_array_equal(ops[:size], expected[0])
        np.testing.assert_array_equal(adjacency[:size, :size], expected[1])
        assert (ops[size:] == -1).all() and adjacency.sum() == expected[1].sum()
        sizes.add(int(size))
    assert len(sizes) > 1 and decoded.adjacency.any()


def test_the_edge_between_the_inputs_of_darts_is_not_decoded():
    made, weights = tiny("darts_shared")
    z = np.random.default_rng(6).normal(size=(64, TINY["latent"])).astype(np.float32)

    @jax.jit
    def both(weights):
        size, num_ops = made.form.num_nodes, made.form.num_ops
        graph = decoder.generate(weights.decoder, z, size=size, num_ops=num_ops)
        return graph, made.decode(weights, z)

    graph, decoded = both(jax.tree.map(np.float32, weights))
    expected = np.array(graph.adjacency)
    expected[:, 0, 1] = 0
    assert graph.adjacency[:, 0, 1].any()
    np.testing.assert_array_equal(decoded.adjacency, expected)


# ----------------------------------------------------------------------------- symmetry


def another_order(rng, adjacency, size):
    """Another order of the vertices in which every edge leads upwards."""
    order, left = [], set(range(size))
    while left:
        ready = [v for v in left if not any(adjacency[u, v] for u in left)]
        order.append(ready[rng.integers(len(ready))])
        left.remove(order[-1])
    return order + list(range(size, len(adjacency)))


@jax.jit
def pruned_cells(keys):
    cells = jax.vmap(lambda key: nasbench101.prune(nasbench101.sample(key)))(keys)
    return cells, jax.vmap(nasbench101.fingerprint)(cells)


def test_isomorphic_cells_have_equal_embeddings_and_others_have_not():
    made, weights = tiny("nasbench101")
    cells, keys = pruned_cells(jax.random.split(jax.random.key(4), 300))
    read = jax.tree.map(np.float64, _read(made.form, cells))
    rng = np.random.default_rng(5)
    nodes, adjacency = np.array(read.nodes), np.array(read.adjacency)
    moved = 0
    for row, size in enumerate(read.real.sum(1).astype(int)):
        order = another_order(rng, adjacency[row], size)
        moved += order != sorted(order)
        nodes[row] = nodes[row][order]
        adjacency[row] = adjacency[row][np.ix_(order, order)]
    assert moved > 30 and not np.tril(adjacency).any()
    embed = jax.jit(functools.partial(model.embed, made))
    with jax.enable_x64(True):
        vectors = np.asarray(embed(weights, read))
        others = embed(weights, graph_inputs.GraphInputs(nodes, adjacency, read.real))
    np.testing.assert_allclose(others, vectors, rtol=1e-11, atol=1e-13)
    classes = len(np.unique(keys, axis=0))
    assert len(np.unique(vectors.round(9), axis=0)) == classes > 100


def test_padding_changes_nothing():
    made, weights = tiny("nasbench101")
    read = inputs("nasbench101", 60)
    few = read.real.sum(1) <= 5
    read = jax.tree.map(lambda leaf: leaf[few], read)
    assert len(read.real) > 2
    short = graph_inputs.GraphInputs(
        read.nodes[:, :5], read.adjacency[:, :5, :5], read.real[:, :5]
    )

    def loss(read):
        return made.loss(jax.random.key(0), weights, read, False)

    with jax.enable_x64(True):
        one, other = jax.jit(loss)(read), jax.jit(loss)(short)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **CLOSE), one, other)


# ------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "width = 0"),
        ({"latent": 0}, "latent = 0"),
        ({"kl_weight": -1.0}, "kl_weight = -1.0"),
        ({"widht": 3}, "width"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(changes, message):
    with pytest.raises(errors.ConfigError, match=message):
        model.make("nasbench201", model.variant("paper", **changes))


def test_names_that_are_unknown_are_named():
    with pytest.raises(errors.ConfigError, match="paper"):
        model.variant("papper")
    with pytest.raises(errors.ConfigError, match="nasbench201"):
        model.make("nasbench202", model.Settings())


def test_the_sizes_of_the_paper():
    made = model.make("nasbench201", model.variant("paper"))
    weights = jax.eval_shape(made.init, jax.random.key(0))
    assert weights.heads["mean"]["kernel"].shape == (501, 56)
    assert weights.decoder["edges"]["hidden"]["kernel"].shape == (1002, 2004)
    assert weights.decoder["unit"]["hidden"]["kernel"].shape == (501, 1503)
    assert made.latent_shape == (56,) and made.settings.kl_weight == 0.005
    assert jnp.shape(weights.encoder["join"]["kernel"]) == (1002, 501)
