"""The encoder of arch2vec that learns with a search: parity, moments, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_supervised

from nasjax import spaces
from nasjax.core import errors
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import supervised

SIZES = {"width": 6, "num_layers": 2, "num_features": 3}
KEY = jax.random.key(0)


def draw(space, count):
    keys = jax.random.split(jax.random.key(1), count)
    return jax.vmap(spaces.make(space).sample)(keys)


def plain_graphs(space, archs):
    graph = jax.vmap(graph_inputs.spec(space).to_graph)(archs)
    return np.asarray(graph.adjacency), np.asarray(graph.ops)


@pytest.mark.parametrize(
    ("space", "variant"),
    [
        ("nasbench101", "thesis"),
        ("nasbench201", "released"),
        ("darts_shared", "thesis"),
    ],
)
def test_vectors_and_moments_are_those_of_plain_numpy(space, variant):
    archs = draw(space, 9)
    weights = np.array([1.0, 1, 0, 1, 1, 1, 0, 1, 1])
    released = variant == "released"
    # The graphs of NAS-Bench-101 are made in 32 bits only.
    exact = space != "nasbench101"
    close = {"rtol": 1e-6, "atol": 1e-8} if exact else {"rtol": 1e-3, "atol": 1e-5}
    with jax.enable_x64(exact):
        network = supervised.network(space, variant=variant, **SIZES)
        params = jax.tree.map(
            lambda leaf: leaf.astype(float if exact else np.float32) + 0.1,
            network.init(KEY),
        )
        found, moments = jax.jit(network.embed_batch)(
            params, archs, jnp.asarray(weights, params["head"]["bias"].dtype)
        )
        later = jax.jit(network.embed)(params, moments, archs[:4])
    plain = jax.tree.map(np.float64, params)
    adjacency, ops = plain_graphs(space, archs)
    expected, measured = plain_supervised.embed(
        plain, adjacency, ops, weights=weights, released=released
    )
    assert found.shape == (9, network.num_features) == (9, 3)
    np.testing.assert_allclose(found, expected, **close)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, **close),
        moments,
        measured,
    )
    # The same moments, another batch.
    np.testing.assert_allclose(later, expected[:4], **close)


def test_an_architecture_of_weight_0_changes_nothing():
    network = supervised.network("nasbench201", **SIZES)
    params, archs = network.init(KEY), draw("nasbench201", 8)
    weights = jnp.arange(8) < 5
    embed = jax.jit(network.embed_batch)
    found, moments = embed(params, archs, weights.astype(jnp.float32))
    other, same = embed(params, archs.at[5:].set(0), weights.astype(jnp.float32))
    np.testing.assert_allclose(found[:5], other[:5], rtol=1e-5)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7),
        moments,
        same,
    )
    assert np.abs(found[5:] - other[5:]).max() > 1e-3


def test_initial_embeddings_differ_by_key_and_are_of_the_scale_of_actions():
    network = supervised.network("nasbench201")
    archs, found = draw("nasbench201", 64), []
    for key in jax.random.split(KEY, 2):
        params = network.init(key)
        vectors, _ = jax.jit(network.embed_batch)(params, archs, jnp.ones(64))
        found.append(np.asarray(vectors))
    assert found[0].shape == (64, 16)
    assert 0.1 < np.linalg.norm(found[0], axis=1).mean() < 10
    assert found[0].std(axis=0).min() > 1e-3
    assert np.abs(found[0] - found[1]).max() > 0.1
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    # Four layers of two linear maps and two normalisations, and a head; K = 7.
    width = 128
    layers = 8 * width + 3 * (width + 1) * width + 4 * (width + 1) * width
    assert count == layers + 4 * (4 * width + 1) + (width + 1) * 16


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(errors.ConfigError, match="space of arch2vec"):
        supervised.network("nasbench_nlp")
    with pytest.raises(errors.ConfigError, match="variant of the network"):
        supervised.network("nasbench201", variant="fixed")
    with pytest.raises(errors.ConfigError, match="num_layers = 0"):
        supervised.network("nasbench201", num_layers=0)
