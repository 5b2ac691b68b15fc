"""Pre-training of D-VAE: the loss falls, resuming, embeddings, reconstruction."""

import jax
import numpy as np
import pytest
from decoded_graphs import random_cells

from nasjax.core import checkpoint, errors
from nasjax.encoders import corpus
from nasjax.encoders.autoencoder import pretraining as shared_pretraining
from nasjax.encoders.autoencoder import training
from nasjax.encoders.dvae import model, pretraining, reconstruction

TINY = {"width": 16, "latent": 6, "batch_size": 16, "learning_rate": 1e-2}
KEY = jax.random.key(1)
EPOCHS = 4


@pytest.fixture(scope="module")
def archs():
    return corpus.architectures("nasbench101", jax.random.key(0), count=285)


@pytest.fixture(scope="module")
def trained(archs):
    return pretraining.pretrain(KEY, "nasbench101", archs, epochs=EPOCHS, changes=TINY)


def run(trained, epochs, state=None):
    """The state after some epochs of the same training, and their loss terms."""
    made, recipe, graphs = trained.model, trained.recipe, trained.corpus.train
    if state is None:
        state = training.start(jax.random.fold_in(KEY, 0), made, recipe)
    losses = []
    for _ in range(epochs):
        state, terms = training.run_epoch(
            jax.random.fold_in(KEY, 1), made, recipe, state, graphs, EPOCHS
        )
        losses.append(np.array(terms))
    return jax.tree.map(np.array, state), np.array(losses)


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_loss_falls_and_a_training_resumes_bit_by_bit(trained, tmp_path):
    state, first = run(trained, 1)
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        empty = training.start(KEY, trained.model, trained.recipe)
        found = checkpoints.restore(empty)
    assert found is not None and found[0] == 1
    resumed, others = run(trained, EPOCHS - 1, found[1])
    assert_same(resumed, jax.tree.map(np.array, trained.state))
    losses = np.concatenate([first, others])
    assert np.isfinite(losses).all()
    # The divergence grows while the latent vectors begin to tell something.
    totals = losses[:, :2].sum(1)
    assert (np.diff(totals) < 0).all() and totals[-1] < 0.8 * totals[0]


def test_moments_are_those_of_the_embeddings(trained, archs):
    still = trained._replace(recipe=trained.recipe._replace(learning_rate=0.0))
    state, _ = run(still, 1)
    vectors = pretraining.embeddings(trained.model, state.weights, archs[:256])
    assert vectors.shape == (256, TINY["latent"])
    expected = np.stack([vectors.mean(0), vectors.std(0)])
    # 256 graphs are whole batches: every one was seen.
    np.testing.assert_allclose(state.moments, expected, rtol=1e-3, atol=1e-5)


def test_an_embedding_does_not_depend_on_the_company(trained, archs):
    vectors = trained.embed(archs)
    assert np.isfinite(vectors).all() and vectors.std(0).min() > 1e-3
    np.testing.assert_allclose(
        trained.embed(archs[5:7]), vectors[5:7], rtol=1e-4, atol=1e-6
    )


def test_reconstruction_is_counted_as_by_plain_loops(trained):
    made, graphs = trained.model, trained.corpus.train
    found = reconstruction.evaluate(made, trained.state.weights, graphs)
    means = training.posterior_means(made, trained.state.weights, graphs)
    decoded = jax.jit(made.decode)(trained.state.weights, means)
    decoded, truth = jax.tree.map(np.asarray, (decoded, graphs))
    upper = list(zip(*np.triu_indices(7, 1), strict=True))
    exact = ops = nodes = edges = 0
    for i in range(len(truth.ops)):
        same = [decoded.ops[i, v] == truth.ops[i, v] for v in range(7)]
        real = [truth.ops[i, v] >= 0 for v in range(7)]
        right = [decoded.adjacency[i, *e] == truth.adjacency[i, *e] for e in upper]
        exact += all(same) and all(right)
        ops += sum(s and r for s, r in zip(same, real, strict=True))
        nodes += sum(real)
        edges += sum(right)
    assert found.exact == pytest.approx(exact / len(truth.ops))
    assert found.ops == pytest.approx(ops / nodes)
    assert found.edges == pytest.approx(edges / (21 * len(truth.ops)))
    assert 0.5 < found.elementwise < 1


def test_points_of_the_prior_are_decoded(trained):
    key = jax.random.key(3)
    graphs = reconstruction.generate(key, trained.model, trained.state.weights, 50)
    z = jax.random.normal(key, (50, TINY["latent"]))
    expected = jax.jit(trained.model.decode)(trained.state.weights, z)
    assert_same(graphs, expected)
    assert (graphs.ops[:, 0] == 0).all() and (graphs.num_nodes > 1).all()
    last = np.take_along_axis(
        np.asarray(graphs.ops), np.asarray(graphs.num_nodes)[:, None] - 1, 1
    )
    assert (last == trained.model.form.num_ops - 1).all()
    # Every vertex but the last has a successor.
    successors = np.asarray(graphs.adjacency).any(2).sum(1)
    np.testing.assert_array_equal(successors, graphs.num_nodes - 1)


@pytest.mark.parametrize("space", ["nasbench201", "darts_shared"])
def test_the_other_spaces_train_and_decode(space):
    cells = random_cells(space, np.random.default_rng(0), 32)
    trained = pretraining.pretrain(
        KEY, space, cells, epochs=1, held_out=0.5, changes=TINY
    )
    assert np.isfinite(trained.embed(cells)).all()
    found = reconstruction.evaluate(
        trained.model, trained.state.weights, trained.corpus.held_out
    )
    assert 0 < found.elementwise < 1


def test_the_recipes_of_the_variants():
    made, recipe = pretraining.configure("nasbench101", "paper")
    assert made.settings == model.Settings() and recipe.learning_rate == 1e-4
    assert recipe.batch_size == 32
    made, recipe = pretraining.configure(
        "nasbench101", "cpu", changes={"latent": 8, "batch_size": 64, "width": None}
    )
    assert (made.settings.latent, made.settings.width) == (8, 128)
    assert recipe.batch_size == 64 and recipe.anneal


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"variant": "papper"}, "paper"),
        ({"changes": {"widht": 3}}, "width"),
        ({"held_out": 1.0}, "held_out"),
        ({"changes": {"batch_size": 400}}, "a batch of 400"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, archs):
    with pytest.raises(errors.ConfigError, match=message) as error:
        pretraining.pretrain(KEY, "nasbench101", archs, **arguments)
    assert "\n" not in str(error.value)


def test_epochs_can_be_run_by_another(trained):
    """What runs the epochs gets the initial state, a step and their number."""
    seen = []

    def run_epochs(initial, step, epochs):
        seen.append((int(initial.epoch), epochs))
        return step(initial)[0]

    state = shared_pretraining.train(
        KEY,
        trained.model,
        trained.recipe,
        trained.corpus.train,
        EPOCHS,
        run_epochs=run_epochs,
    )
    assert seen == [(0, EPOCHS)]
    assert_same(jax.tree.map(np.array, state), run(trained, 1)[0])
