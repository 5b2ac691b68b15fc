"""The thesis' model: parity with plain numpy, and laws of its encodings."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_cate as plain

from nasjax import spaces
from nasjax.core import errors
from nasjax.encoders.cate import forms, model, settings

TINY = {
    "num_layers": 2,
    "num_cross_layers": 1,
    "width": 8,
    "num_heads": 2,
    "hidden": 6,
    "cross_hidden": 5,
}


def make(space, variant="thesis", **changes):
    return model.make(space, settings.variant(variant, **{**TINY, **changes}))


def weights_of(made, dtype=jnp.float32):
    """Initial weights with nothing at its initial 0 or 1."""
    rng = np.random.default_rng(0)

    def moved(leaf):
        return jnp.asarray(np.asarray(leaf) + rng.normal(0, 0.2, leaf.shape), dtype)

    return jax.tree.map(moved, jax.jit(made.init)(jax.random.key(0)))


@functools.cache
def graphs_of(space, count):
    """Ids `[M, N]` and adjacency `[M, N, N]` of random architectures."""
    keys = jax.random.split(jax.random.key(1), count)
    archs = jax.jit(jax.vmap(spaces.make(space).sample))(keys)
    graph = jax.jit(jax.vmap(forms.FORMS[space].to_graph))(archs)
    return np.asarray(graph.ops), np.asarray(graph.adjacency)


@functools.cache
def padded_graphs(size):
    """Cells of NAS-Bench-101 of 2 to 7 vertices on N rows."""
    parse = spaces.make("nasbench101").parse_arch
    archs = np.stack(
        [
            parse("input,output|01/00"),
            parse("input,maxpool3x3,output|011/001/000"),
            parse(
                "input,conv3x3-bn-relu,conv1x1-bn-relu,conv3x3-bn-relu,output|"
                "01110/00101/00010/00001/00000"
            ),
        ]
    )
    graph = jax.vmap(forms.FORMS["nasbench101"].to_graph)(jnp.asarray(archs))
    ops, adjacency = graphs_of("nasbench101", 40)
    ops = np.concatenate([graph.ops, ops[:5]])
    adjacency = np.concatenate([graph.adjacency, adjacency[:5]])
    more = size - ops.shape[1]
    ops = np.pad(ops, ((0, 0), (0, more)), constant_values=-1)
    return ops, np.pad(adjacency, ((0, 0), (0, more), (0, more)))


@functools.partial(jax.jit, static_argnums=0)
def embed(made, weights, ops, adjacency):
    return model.embed(made, weights, model.read(made, ops, adjacency))


# ------------------------------------------------------------------------------ parity


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mask": "direct"},
        {"mask": "both", "direction": "bi"},
    ],
    ids=str,
)
def test_parity_with_the_plain_model(changes):
    made = make("nasbench101", **changes)
    ops, adjacency = padded_graphs(7)
    with jax.enable_x64(True):
        weights = weights_of(made, jnp.float64)
        inputs = model.read(made, jnp.asarray(ops), jnp.asarray(adjacency))
        found = jax.jit(made.logits)(weights, inputs)
        encodings = embed(made, weights, ops, adjacency)
        assert found.dtype == encodings.dtype == jnp.float64
    host = jax.tree.map(np.asarray, weights)
    sizes = (ops >= 0).sum(1)
    graphs = [(ops[i, :n], adjacency[i, :n, :n]) for i, n in enumerate(sizes.tolist())]
    half = len(graphs) // 2
    for b in range(half):
        expected = plain.logits(host, graphs[b], graphs[half + b], made.settings)
        real = np.concatenate([ops[b] >= 0, ops[half + b] >= 0])
        np.testing.assert_allclose(found[:, real, b].T, expected, atol=1e-10)
    for graph, vector in zip(graphs, np.asarray(encodings), strict=True):
        expected = plain.encoding(host, *graph, made.settings, 1)
        np.testing.assert_allclose(vector, expected, atol=1e-10)


def test_two_cells_are_one_graph_whose_reduction_reads_the_normal_cell():
    ops, adjacency = graphs_of("darts", 3)
    assert ops.shape == (3, 30) and adjacency.shape == (3, 30, 30)
    cells = jax.vmap(spaces.darts.to_graph)(
        jax.vmap(spaces.make("darts").sample)(jax.random.split(jax.random.key(1), 3))
    )
    np.testing.assert_array_equal(ops, cells.ops.reshape(3, 30))
    np.testing.assert_array_equal(adjacency[:, 15:, 15:], cells.adjacency[:, 1])
    between = adjacency[:, :15, 15:]
    assert between.sum() == 6 and np.all(between[:, 14, :2] == 1)
    assert np.all(plain.closure(adjacency[0])[14, 15:17])


# -------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("variant", settings.VARIANTS)
def test_nodes_have_no_order(variant):
    made = make("nasbench101", variant)
    weights = weights_of(made)
    keys = jax.random.split(jax.random.key(1), 8)
    cells = jax.vmap(spaces.make("nasbench101").sample)(keys)
    whole = jax.vmap(spaces.nasbench101.to_graph)(cells)  # unused vertices too
    ops, adjacency = np.asarray(whole.ops), np.asarray(whole.adjacency)
    order = np.array([0, 4, 2, 5, 1, 3, 6])  # inner nodes; edges may lead backwards
    moved = adjacency[:, order][:, :, order]
    assert np.any(np.tril(moved))
    found = embed(made, weights, ops, adjacency)
    other = embed(made, weights, ops[:, order], moved)
    np.testing.assert_allclose(found, other, atol=2e-6)


def test_padding_does_not_matter():
    made = make("nasbench101", mask="both", direction="bi")
    weights = weights_of(made)
    found = embed(made, weights, *padded_graphs(7))
    np.testing.assert_allclose(
        embed(made, weights, *padded_graphs(9)), found, atol=2e-6
    )
    released = make("nasbench101", "released")
    weights = weights_of(released)
    found = embed(released, weights, *padded_graphs(7))[:3]
    other = embed(released, weights, *padded_graphs(9))[:3]
    assert np.abs(found - other).max() > 1e-2


def test_all_that_an_operation_depends_on_counts_and_nothing_else():
    made = make("nasbench201")
    weights = weights_of(made)
    ops, adjacency = graphs_of("nasbench201", 2)
    encode = jax.jit(made.encode)
    inputs = model.read(made, jnp.asarray(ops), jnp.asarray(adjacency))
    found = encode(weights, inputs)
    below = plain.closure(adjacency[0])
    for node in range(8):
        changed = inputs._replace(tokens=inputs.tokens.at[node].set(made.tokens.mask))
        moved = np.abs(encode(weights, changed) - found).max(0)[:, 0] > 0
        np.testing.assert_array_equal(moved, below[node] | (np.arange(8) == node))


def test_dropout_needs_a_key():
    made = make("nasbench201")
    weights = weights_of(made)
    ops, adjacency = map(jnp.asarray, graphs_of("nasbench201", 2))
    inputs = model.read(made, ops, adjacency)
    logits = jax.jit(made.logits)
    plainly = logits(weights, inputs)
    np.testing.assert_array_equal(plainly, logits(weights, inputs))
    one, same, other = (
        logits(weights, inputs, jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert np.any(one != plainly) and np.any(one != other)


# ------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask": "transitive"}, "indirect"),
        ({"direction": "up"}, "bi"),
        ({"rules": "relased"}, "released"),
        ({"width": 9}, "width = 9"),
        ({"num_layers": 0}, "num_layers = 0"),
        ({"mask": "both", "num_heads": 1}, "even number of heads"),
        ({"rules": "released", "direction": "bi"}, "no direction = 'bi'"),
        ({"dropout": 1.0}, "dropout = 1.0"),
        ({"dropuot": 0.1}, "dropout"),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_one_line(changes, message):
    with pytest.raises(errors.ConfigError, match=message) as error:
        make("nasbench101", **changes)
    assert "\n" not in str(error.value)


def test_unknown_names():
    with pytest.raises(errors.ConfigError, match="thesis"):
        settings.variant("thesiss")
    with pytest.raises(errors.ConfigError, match="darts_shared"):
        make("nasbench_nlp")
