"""arch2vec's networks and losses: parity with plain numpy, symmetries, named errors."""

import functools

import jax
import jax.numpy as jnp
import jraph
import numpy as np
import pytest
import shared
from decoded_graphs import random_cells
from reference import plain_arch2vec as plain

from nasjax.core import errors
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import (
    decoder,
    gcn,
    gin,
    message_passing,
    model,
    objective,
)
from nasjax.spaces import nasbench101, nasbench101_notation

SPACES = tuple(graph_inputs.SPECS)
TINY = {"width": 8, "num_layers": 2, "latent": 3, "decoder_width": 6}
CLOSE = {"rtol": 1e-9, "atol": 1e-11}
PATHS = {"dense": gin.apply, "jraph": message_passing.apply}


def arrays(tree):
    return jax.tree.map(np.float64, tree)


def assert_close(one, other, **close):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(x, y, **(close or CLOSE))


_read = jax.jit(graph_inputs.read, static_argnums=0)
COUNT = 6


def read_cells(space, archs):
    """Inputs of cells, `COUNT` at a time: one compilation a space."""
    places = np.arange(-(-len(archs) // COUNT) * COUNT) % len(archs)
    archs = np.asarray(archs, np.int32)[places]
    parts = [
        _read(graph_inputs.spec(space), part)
        for part in archs.reshape(-1, COUNT, archs.shape[1])
    ]
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[: places.max() + 1], *parts
    )


@functools.cache
def inputs(space):
    """Inputs of random cells; most of NAS-Bench-101's have fewer nodes than seven."""
    return read_cells(space, random_cells(space, np.random.default_rng(0), COUNT))


def moved(tree, seed=1):
    """A tree with every number changed, in float64: no scale of 1, no bias of 0."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda x: np.float64(x) + rng.uniform(-0.3, 0.3, x.shape), tree)


@functools.cache
def network(num_ops, directed):
    """Parameters and moments of a GIN, float64."""
    sizes = gin.Sizes(num_ops, TINY["num_layers"], TINY["width"], directed)
    params, moments = gin.init(jax.random.key(0), sizes)
    return moved(params), moved(moments, 2)


@functools.partial(jax.jit, static_argnames=("messages", "train"))
def hidden(params, moments, nodes, adjacency, *, train=False, messages="dense"):
    return PATHS[messages](params, moments, nodes, adjacency, train=train)


# ------------------------------------------------------------------------- the graphs


@pytest.mark.parametrize("space", SPACES)
def test_graphs_are_padded_and_upper_triangular(space):
    form, read = graph_inputs.spec(space), inputs(space)
    shape = (COUNT, form.num_nodes)
    assert read.nodes.shape == (*shape, form.num_ops)
    assert read.adjacency.shape == (*shape, form.num_nodes)
    np.testing.assert_array_equal(read.nodes.sum(2), read.real)
    assert not np.tril(read.adjacency).any() and set(np.unique(read.adjacency)) <= {
        0,
        1,
    }
    absent = read.real == 0
    assert not read.adjacency.sum(2)[absent].any()
    assert absent.any() == form.padded


def test_a_cell_of_each_space_by_hand():
    cells = {
        "nasbench101": nasbench101_notation.encode(
            [[0, 1, 1], [0, 0, 1], [0] * 3], [2]
        ),
        "nasbench201": np.array([0, 1, 2, 3, 4, 0]),
        "darts_shared": np.array([4, 0, 3, 1, 0, 0, 7, 2, 6, 1, 1, 3, 2, 4, 5, 0]),
    }
    # DARTS: a node reads both operations of a step; the output reads all eight.
    darts = [[0], [1], [0], [2, 3], [1], [4, 5], [6, 7], [0], range(2, 10)]
    edges = {
        "nasbench101": [(0, 1), (0, 2), (1, 2)],
        "nasbench201": [(0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6)]
        + [(4, 7), (5, 7), (6, 7)],
        "darts_shared": [(i, 2 + n) for n, before in enumerate(darts) for i in before],
    }
    names = {
        "nasbench101": "input maxpool3x3 output".split(),
        "nasbench201": "input none skip_connect nor_conv_1x1 nor_conv_3x3 "
        "avg_pool_3x3 none output".split(),
        "darts_shared": "c_{k-2} c_{k-1} sep_conv_5x5 sep_conv_3x3 max_pool_3x3 none "
        "dil_conv_5x5 avg_pool_3x3 skip_connect dil_conv_3x3 output".split(),
    }
    for space, arch in cells.items():
        form = graph_inputs.spec(space)
        read = read_cells(space, arch[None])
        assert list(map(tuple, np.argwhere(read.adjacency[0]))) == sorted(edges[space])
        found = [form.op_names[op] for op in np.argmax(read.nodes[0], axis=1)]
        known = {"conv1x1-bn-relu": "conv1x1", "maxpool3x3": "maxpool3x3"}
        found = [known.get(name, name) for name in found]
        assert found[: len(names[space])] == names[space]


# ------------------------------------------------------------- parity with plain numpy


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_states_and_moments_are_those_of_plain_numpy(train, directed):
    read = arrays(inputs("nasbench101"))
    params, moments = network(read.nodes.shape[-1], directed)
    expected = plain.gin(params, moments, read.nodes, read.adjacency, train=train)
    with jax.enable_x64(True):
        for messages in PATHS:
            found = hidden(
                params,
                moments,
                read.nodes,
                read.adjacency,
                train=train,
                messages=messages,
            )
            assert_close(found, expected)


@pytest.mark.parametrize("train", [False, True])
def test_graph_convolutions_are_those_of_plain_numpy(train):
    read = arrays(inputs("darts_shared"))
    sizes = gin.Sizes(read.nodes.shape[-1], num_layers=2, width=8)
    params, moments = moved(gcn.init(jax.random.key(0), sizes))
    given = (params, moments, read.nodes, read.adjacency)
    with jax.enable_x64(True):
        found = gcn.apply(*given, train=train)
    assert_close(found, plain.gcn(*given, train=train))


def plain_terms(made, weights, read, mean, log_sigma, z):
    settings = made.settings
    if settings.decoder == "joint":
        labels = made.form.num_ops + made.form.padded
        logits = plain.joint(weights.decoder, z, labels)
    else:
        logits = plain.inner_product(weights.decoder, z)
    known = (read.nodes, read.adjacency, *logits, mean, log_sigma)
    if settings.objective == "released":
        return plain.released(*known)
    return plain.negative_elbo(*known, kl_weight=settings.kl_weight)


def plain_loss(made, weights, read):
    """Mean, log sigma and the terms in evaluation mode, where z is the mean."""
    given = (weights.encoder, weights.statistics, read.nodes, read.adjacency)
    if made.settings.encoder == "gin":
        states, _ = plain.gin(*given, train=False)
        x = states[-1]
    else:
        x, _ = plain.gcn(*given, train=False)
    mean = plain.affine(weights.heads["mean"], x)
    log_sigma = plain.affine(weights.heads["log_sigma"], x)
    return mean, log_sigma, plain_terms(made, weights, read, mean, log_sigma, mean)


@functools.cache
def tiny(space, name):
    """A model of a variant and weights of float64."""
    made = model.make(space, model.variant(name, **TINY))
    return made, moved(made.init(jax.random.key(0)))


def terms_and_slope(made, weights, read):
    def loss(weights):
        terms, (posterior, _) = made.loss(jax.random.key(0), weights, read, False, 0.5)
        return terms.total, (terms, posterior)

    return jax.jit(jax.grad(loss, has_aux=True))(weights)


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ("nasbench101", "thesis"),
        ("nasbench101", "improved"),
        ("nasbench201", "released"),
        ("darts_shared", "vgae"),
    ],
)
def test_losses_and_their_slopes_are_those_of_plain_numpy(space, name):
    made, weights = tiny(space, name)
    read = arrays(inputs(space))
    with jax.enable_x64(True):
        slope, (terms, posterior) = terms_and_slope(made, weights, read)
    mean, log_sigma, expected = plain_loss(made, weights, read)
    assert_close(posterior, model.Posterior(mean, log_sigma))
    # The divergence was warmed up by half.
    ops, edges, kl = expected
    assert_close(terms, objective.Terms(ops, edges, kl / 2))
    assert min(ops, edges, kl) > 0

    # The slope along a random direction, by differences of the plain loss.
    way = moved(jax.tree.map(np.zeros_like, weights), 3)
    way = way.replace(statistics=jax.tree.map(np.zeros_like, way.statistics))

    def loss(step):
        there = jax.tree.map(lambda x, d: x + step * d, weights, way)
        ops, edges, kl = plain_loss(made, there, read)[2]
        return ops + edges + kl / 2

    expected = (loss(1e-5) - loss(-1e-5)) / 2e-5
    parts = jax.tree.map(lambda g, d: np.sum(np.asarray(g) * d), slope, way)
    assert sum(jax.tree.leaves(parts)) == pytest.approx(expected, rel=1e-6)


def test_noise_and_dropout_of_training():
    """The losses of one batch, averaged over many keys, from a plain simulation."""
    made, weights = tiny("nasbench201", "released")
    weights = weights.replace(heads=jax.tree.map(lambda x: 0.3 * x, weights.heads))
    read = arrays(inputs("nasbench201"))

    @jax.jit
    def losses(keys):
        def one(key):
            return made.loss(key, weights, read, True)[0]

        return jax.lax.map(one, keys)

    with jax.enable_x64(True):
        found = losses(jax.random.split(jax.random.key(1), 1500))
    states, _ = plain.gin(
        weights.encoder, weights.statistics, read.nodes, read.adjacency, train=True
    )
    mean = plain.affine(weights.heads["mean"], states[-1])
    log_sigma = plain.affine(weights.heads["log_sigma"], states[-1])
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(1500):
        z = mean + np.exp(log_sigma) * rng.normal(size=mean.shape)
        z = np.where(rng.random(z.shape) < 0.7, z / 0.7, 0)
        drawn.append(plain_terms(made, weights, read, mean, log_sigma, z))
    for ours, theirs in zip(map(np.asarray, found), np.transpose(drawn), strict=True):
        error = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(1500)
        assert abs(np.mean(ours) - np.mean(theirs)) < 4 * error + 1e-9
        assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.1, abs=1e-9)


def test_divergence_by_hand():
    mean, log_sigma = jnp.array([[[1.0, 0.0]]]), jnp.array([[[0.0, np.log(2.0)]]])
    # 1/2 of the first, (4 - 1 - ln 4) / 2 of the second.
    expected = 0.5 + (3 - np.log(4)) / 2
    assert float(objective.divergence(mean, log_sigma)[0, 0]) == pytest.approx(expected)


# --------------------------------------------------------------------------- symmetry


@pytest.mark.parametrize("directed", [False, True])
def test_renumbered_nodes_have_the_same_states(directed):
    rng = np.random.default_rng(0)
    # Any directed graph: the network does not need an order.
    adjacency = (rng.random((COUNT, 7, 7)) < 0.3) * (1.0 - np.eye(7))
    nodes = np.eye(5)[rng.integers(0, 5, (COUNT, 7))]
    orders = np.stack([rng.permutation(7) for _ in range(COUNT)])
    places = np.arange(COUNT)[:, None]
    other = adjacency[places[..., None], orders[:, :, None], orders[:, None]]
    params, moments = network(5, directed)
    for messages in PATHS:
        states = functools.partial(
            hidden, params, moments, train=True, messages=messages
        )
        with jax.enable_x64(True):
            found, new = states(nodes, adjacency)
            same, also = states(nodes[places, orders], other)
        assert_close(same, [layer[places, orders] for layer in found])
        assert_close(also, new)


def embeddings(directed, cells):
    """Search embeddings of NAS-Bench-101 cells (matrix, operations)."""
    archs = np.stack([nasbench101_notation.encode(*cell) for cell in cells])
    name = "improved" if directed else "thesis"
    made = model.make("nasbench101", model.variant(name, **TINY))
    weights = moved(made.init(jax.random.key(0)))
    read = arrays(read_cells("nasbench101", archs))
    with jax.enable_x64(True):
        return np.asarray(jax.jit(functools.partial(model.embed, made))(weights, read))


def test_isomorphic_cells_have_equal_embeddings_and_others_may_too():
    # Two branches, written in either order.
    branches = np.array([[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    # A conv1x1 that feeds a conv3x3, or the reverse: without directions the two
    # are the same graph.
    chain = np.array([[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]])
    cells = [(branches, [0, 1]), (branches, [1, 0]), (chain, [0, 1]), (chain, [1, 0])]
    archs = jnp.stack([nasbench101_notation.encode(*cell) for cell in cells])
    prints = [
        tuple(p.tolist()) for p in jax.jit(jax.vmap(nasbench101.fingerprint))(archs)
    ]
    assert prints[0] == prints[1] and len(set(prints)) == 3
    for directed in (False, True):
        one, same, other, reverse = embeddings(directed, cells)
        np.testing.assert_allclose(one, same, **CLOSE)
        assert np.abs(one - other).max() > 1e-3
        gap = np.abs(other - reverse).max()
        assert gap > 1e-3 if directed else gap < 1e-11


def test_padding_does_not_change_real_nodes():
    read = arrays(inputs("nasbench101"))
    sizes = read.real.sum(1).astype(int)
    small = np.argmin(sizes)
    n = sizes[small]
    assert n < 7
    for directed in (False, True):
        params, moments = network(read.nodes.shape[-1], directed)
        with jax.enable_x64(True):
            padded, _ = hidden(params, moments, read.nodes, read.adjacency)
            bare, _ = hidden(
                params,
                moments,
                read.nodes[small : small + 1, :n],
                read.adjacency[small : small + 1, :n, :n],
            )
        assert_close(bare, [layer[small : small + 1, :n] for layer in padded])


# ------------------------------------------------------------------- messages by jraph


@pytest.mark.parametrize("space", SPACES)
def test_flat_graphs_keep_to_the_rules_of_jraph(space):
    read = inputs(space)
    count, size = read.real.shape
    most = int(read.adjacency.sum((1, 2)).max())
    batch = jax.jit(message_passing.batch, static_argnames="max_edges")
    for max_edges in (None, most):
        graphs = batch(read.nodes, read.adjacency, max_edges=max_edges)
        slots = count * (max_edges or size * (size - 1) // 2)
        total = int(read.adjacency.sum())
        assert graphs.senders.shape == graphs.receivers.shape == (slots,)
        assert int(graphs.n_edge.sum()) == slots
        assert int(graphs.n_node.sum()) == len(graphs.nodes) == count * size + 1
        node_mask = jraph.get_node_padding_mask(graphs)
        np.testing.assert_array_equal(
            node_mask, np.arange(count * size + 1) < count * size
        )
        edge_mask = jraph.get_edge_padding_mask(graphs)
        np.testing.assert_array_equal(edge_mask, np.arange(slots) < total)
        edges = np.stack([graphs.senders, graphs.receivers], axis=1)
        b, i, j = np.nonzero(read.adjacency)
        np.testing.assert_array_equal(
            edges[:total], np.stack([b * size + i, b * size + j], axis=1)
        )
        assert np.all(edges[total:] == count * size)


@pytest.mark.parametrize("directed", [False, True])
def test_both_ways_of_passing_messages_learn_alike(directed):
    read = arrays(inputs("nasbench101"))
    params, moments = network(read.nodes.shape[-1], directed)
    ways = np.random.default_rng(0).normal(size=(COUNT, 7, TINY["width"]))

    def slope(messages):
        def loss(params):
            states, _ = PATHS[messages](
                params, moments, read.nodes, read.adjacency, train=True
            )
            return jnp.sum(ways * states[-1])

        return jax.jit(jax.grad(loss))(params)

    with jax.enable_x64(True):
        assert_close(slope("dense"), slope("jraph"))


def test_the_setting_chooses_the_messages():
    made, weights = tiny("nasbench201", "released")
    read = arrays(inputs("nasbench201"))
    other = model.make(
        "nasbench201", model.variant("released", messages="jraph", **TINY)
    )
    with jax.enable_x64(True):
        encode = [jax.jit(m.encode, static_argnums=2) for m in (made, other)]
        assert_close(*(function(weights, read, False) for function in encode))
        programs = [
            function.lower(weights, read, False).as_text() for function in encode
        ]
    assert ["scatter" in text for text in programs] == [False, True]


# -------------------------------------------------------------------- decoded graphs


def test_most_likely_graphs():
    form = graph_inputs.spec("nasbench101")
    ops = np.full((1, 7, 6), -1.0)
    for node, label in enumerate((0, 2, 1, 4, 5, 5, 5)):
        ops[0, node, label] = 1
    edges = np.full((1, 21), -0.1)
    edges[0, [0, 1, 11]] = 0.1
    graph = decoder.most_likely(
        form, decoder.Logits(jnp.asarray(ops), jnp.asarray(edges))
    )
    assert graph.ops.tolist() == [[0, 2, 1, 4, -1, -1, -1]]
    assert np.argwhere(graph.adjacency[0]).tolist() == [[0, 1], [0, 2], [2, 3]]
    assert graph.num_nodes.tolist() == [4]


# -------------------------------------------------------------------------- recordings


GOLDEN = {
    "nasbench101": "arch2vec_nb101.npz",
    "nasbench201": "arch2vec_nb201.npz",
    "darts_shared": "arch2vec_darts.npz",
}


def recorded_archs(space, golden):
    """Gene vectors of the recorded cells."""
    if space == "nasbench101":
        cells = []
        for matrix, ops, n in zip(
            golden["inputs/adjacency"],
            golden["inputs/ops"].argmax(2),
            golden["inputs/num_vertices"],
            strict=True,
        ):
            interior = [int(op) - 1 for op in ops[1 : n - 1]]
            cells.append(nasbench101_notation.encode(matrix[:n, :n], interior))
        return np.stack(cells)
    if space == "nasbench201":
        # From (input, 1x1, 3x3, pool, skip, none, output).
        return np.array([-1, 2, 3, 4, 1, 0, -1])[golden["inputs/op_ids"][:, 1:-1]]
    op, state = np.moveaxis(golden["inputs/genotype_op_input"], -1, 0)
    # `none` is first there and last here.
    return np.stack([(op - 1) % 8, state], axis=-1).reshape(len(op), 16)


@pytest.mark.parametrize("space", SPACES)
def test_graphs_and_hidden_states_are_the_recorded_ones(space):
    golden = dict(np.load(shared.shared_file("golden", GOLDEN[space])))
    archs = recorded_archs(space, golden).astype(np.int32)
    read = read_cells(space, archs)
    np.testing.assert_array_equal(read.nodes, golden["inputs/ops"])
    np.testing.assert_array_equal(read.adjacency, golden["inputs/adjacency"])
    both = read.adjacency + read.adjacency.swapaxes(1, 2)
    np.testing.assert_array_equal(both, golden["inputs/adjacency_symmetric"])

    def part(name, leaves):
        return {leaf: golden[f"weights/{name}.{leaf}"] for leaf in leaves}

    params, moments = [], []
    for n in range(4):
        layer = {"eps": golden["weights/gin.eps"][n]}
        for linear in ("linear1", "linear2"):
            layer[linear] = part(f"gin.{n}.{linear}", ("kernel", "bias"))
        for norm in ("inner", "outer"):
            layer[norm] = part(f"gin.{n}.{norm}_bn", ("scale", "bias"))
        params.append(layer)
        norms = {
            x: part(f"gin.{n}.{x}_bn", ("mean", "var")) for x in ("inner", "outer")
        }
        moments.append(norms)
    for messages in PATHS:
        found, _ = hidden(params, moments, *read[:2], messages=messages)
        for n, states in enumerate(found):
            np.testing.assert_allclose(states, golden[f"outputs/hidden.{n}"], atol=1e-4)


# ----------------------------------------------------------------------------- errors


def test_settings_that_do_not_fit_are_named():
    for changes in (
        {"encoder": "gat"},
        {"messages": "sparse"},
        {"decoder": "lstm"},
        {"objective": "vae"},
        {"width": 0},
        {"num_layers": 0},
        {"dropout": 1.0},
        {"kl_weight": -1.0},
    ):
        (field,) = changes
        with pytest.raises(errors.ConfigError, match=field):
            model.make("nasbench201", model.variant("thesis", **changes))
    with pytest.raises(errors.ConfigError, match="did you mean 'improved'"):
        model.variant("improve")
    with pytest.raises(errors.ConfigError, match="setting of arch2vec"):
        model.variant("thesis", depth=3)
    with pytest.raises(errors.ConfigError, match="space of arch2vec"):
        model.make("nasbench_nlp", model.variant("thesis"))
