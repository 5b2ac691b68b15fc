"""Reconstruction counts against plain loops, and where generated graphs come from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.encoders import corpus, stored_graphs
from nasjax.encoders.arch2vec import decoder, model, reconstruction, training

SMALL = {"width": 16, "num_layers": 2, "latent": 4, "decoder_width": 16}


@pytest.fixture(scope="module", params=["thesis", "improved"])
def trained(request):
    """A model after some steps, so that some elements are right and some are not."""
    made = model.make("nasbench101", model.variant(request.param, **SMALL))
    archs = corpus.architectures("nasbench101", jax.random.key(1), count=512)
    graphs = training.to_graphs(made.form, archs)
    recipe = training.TrainSettings(batch_size=16, learning_rate=5e-3)
    state = training.start(jax.random.key(2), made, recipe)
    for _ in range(4):
        state, _ = training.run_epoch(jax.random.key(3), made, recipe, state, graphs, 4)
    return made, state, graphs


def test_counts_are_those_of_plain_loops(trained):
    made, state, graphs = trained
    found = reconstruction.evaluate(made, state.weights, graphs)
    z = training.posterior_means(made, state.weights, graphs)
    decoded = decoder.most_likely(made.form, made.decode(state.weights, jnp.asarray(z)))
    decoded, graphs = jax.tree.map(np.asarray, (decoded, graphs))
    exact = ops = nodes = edges = 0
    blank = made.settings.decoder == "joint"
    for i, truth in enumerate(graphs.ops):
        right_nodes = right_edges = 0
        for node in range(7):
            same = decoded.ops[i, node] == truth[node]
            ops += bool(same and truth[node] >= 0)
            nodes += bool(truth[node] >= 0)
            right_nodes += bool(same or (truth[node] < 0 and not blank))
            for other in range(node + 1, 7):
                right_edges += bool(
                    decoded.adjacency[i, node, other]
                    == graphs.adjacency[i, node, other]
                )
        edges += right_edges
        exact += right_nodes == 7 and right_edges == 21
    count = len(graphs.ops)
    assert found.ops == pytest.approx(ops / nodes)
    assert found.edges == pytest.approx(edges / (21 * count))
    assert found.exact == pytest.approx(exact / count)
    assert found.elementwise == pytest.approx((ops + edges) / (nodes + 21 * count))
    assert 0.3 < found.elementwise < 1


def test_the_last_chunk_counts_once(trained, monkeypatch):
    made, state, graphs = trained
    whole = reconstruction.evaluate(made, state.weights, graphs)
    monkeypatch.setattr(stored_graphs, "CHUNK", 200)
    assert reconstruction.evaluate(made, state.weights, graphs) == pytest.approx(whole)


def test_points_are_scaled_by_the_moments(trained):
    made, state, graphs = trained
    z = training.posterior_means(made, state.weights, graphs)
    # Without spread every point is the mean.
    moments = jnp.stack([jnp.asarray(z[0]), jnp.zeros(z.shape[1:])])
    same = reconstruction.generate(jax.random.key(0), made, state.weights, moments, 5)
    truth = decoder.most_likely(made.form, made.decode(state.weights, z[:1]))
    for i in range(5):
        np.testing.assert_array_equal(same.ops[i], truth.ops[0])
        np.testing.assert_array_equal(same.adjacency[i], truth.adjacency[0])
    moments = jnp.stack([jnp.asarray(z.mean(0)), jnp.asarray(z.std(0))])
    drawn = reconstruction.generate(
        jax.random.key(0), made, state.weights, moments, 200
    )
    assert len(np.unique(drawn.ops, axis=0)) > 1
    assert not np.tril(np.asarray(drawn.adjacency)).any()
