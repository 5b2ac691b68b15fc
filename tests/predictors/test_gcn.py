"""Graph networks against loops over nodes, and what must not change them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import predictors as reference

from nasjax.core import errors
from nasjax.core.types import Graph
from nasjax.predictors import gcn, graph_inputs

RNG = np.random.default_rng(0)
NUM_OPS = 4
SETTINGS = dict(layers=2, width=6, head=5)


def random_graphs(count, size):
    """Padded graphs whose unused entries hold what must not matter."""
    num_nodes = RNG.integers(2, size + 1, count).astype(np.int32)
    adjacency = np.triu(RNG.random((count, size, size)) < 0.5, 1).astype(np.int32)
    ops = RNG.integers(0, NUM_OPS, (count, size)).astype(np.int32)
    return Graph(adjacency, ops, num_nodes)


def params_of(num_inputs=NUM_OPS):
    params = gcn.init(jax.random.key(0), num_inputs, **SETTINGS)
    return params | {"head_bias": jnp.asarray(RNG.normal(size=5))}


@jax.jit
def hidden(params, graphs):
    return gcn.hidden(params, graph_inputs.prepare(graphs, NUM_OPS))


def test_the_network_is_the_loop_over_nodes():
    graphs = random_graphs(8, 5)
    with jax.enable_x64(True):
        params = params_of()
        found = hidden(params, graphs)
        plain = {name: np.asarray(value) for name, value in params.items()}
    expected = reference.graph_hidden(plain, *graphs, num_layers=2, num_ops=NUM_OPS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_more_padding_and_another_order_of_nodes_change_nothing():
    graphs, params = random_graphs(6, 5), params_of()
    padded = Graph(
        np.pad(graphs.adjacency, ((0, 0), (0, 2), (0, 2))),
        np.pad(graphs.ops, ((0, 0), (0, 2)), constant_values=-1),
        graphs.num_nodes,
    )
    full = graphs._replace(num_nodes=np.full(6, 5, np.int32))
    order = RNG.permutation(5)
    shuffled = Graph(
        full.adjacency[:, order][:, :, order], full.ops[:, order], full.num_nodes
    )
    for one, other in [(graphs, padded), (full, shuffled)]:
        np.testing.assert_allclose(
            hidden(params, one), hidden(params, other), rtol=1e-5, atol=1e-6
        )


def test_the_direction_of_edges_matters():
    graphs, params = random_graphs(6, 5), params_of()
    turned = graphs._replace(adjacency=graphs.adjacency.swapaxes(1, 2))
    assert np.abs(hidden(params, graphs) - hidden(params, turned)).max() > 1e-3


def test_cells_are_parts_of_one_graph_with_operations_of_their_own():
    graphs = jax.tree.map(lambda x: x.reshape(4, 2, *x.shape[1:]), random_graphs(8, 5))
    params = params_of(2 * NUM_OPS)
    swapped = jax.tree.map(lambda x: x[:, ::-1], graphs)
    assert np.abs(hidden(params, graphs) - hidden(params, swapped)).max() > 1e-3
    inputs = graph_inputs.prepare(graphs, NUM_OPS)
    assert inputs.nodes.shape == (4, 10, 8)
    assert not inputs.forward[:, :5, 5:].any() and not inputs.forward[:, 5:, :5].any()
    np.testing.assert_allclose(inputs.pooling.sum(1), 1.0, rtol=1e-6)
    num_nodes = graphs.num_nodes.sum(1)
    np.testing.assert_array_equal((inputs.pooling > 0).sum(1), num_nodes)


def test_bad_options_are_named():
    with pytest.raises(errors.ConfigError, match="GCN: layers is 0"):
        gcn.gcn(num_ops=3, layers=0)
    with pytest.raises(errors.ConfigError, match="BO-GCN: num_ops is 0"):
        gcn.bogcn(num_ops=0)
