"""Pre-training and table 3.1's measures in memory, and a search in the embedding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import nasbench, search, spaces
from nasjax.core import errors
from nasjax.encoders import corpus
from nasjax.encoders.arch2vec import evaluation, pretraining, training

TINY = {"width": 8, "num_layers": 2, "latent": 3}


@pytest.fixture(scope="module")
def archs():
    return corpus.architectures("nasbench201", jax.random.key(0), count=320)


@pytest.fixture(scope="module")
def trained(archs):
    return pretraining.pretrain(
        jax.random.key(1), "nasbench201", archs, epochs=2, changes=TINY
    )


def test_a_notebook_searches_in_an_embedding_that_it_pre_trains():
    # --- what is shown to users: at most 15 lines (a real one: no `changes`) ---
    key = jax.random.key(1)
    space, benchmark = spaces.make("nasbench201"), nasbench.load("digits201")
    archs = corpus.architectures("nasbench201", jax.random.key(0), count=320)
    trained = pretraining.pretrain(
        key, "nasbench201", archs, variant="thesis", epochs=2, changes=TINY
    )
    vectors = jnp.asarray(trained.embed(archs))
    table = search.EmbeddingTable(jnp.asarray(archs), vectors)
    algorithm = search.make("latent_reinforce", space, table=table, episode_length=4)
    evaluate = jax.tree_util.Partial(type(benchmark).evaluate, benchmark)
    history = jax.jit(search.run, static_argnums=(1, 3))(key, algorithm, evaluate, 5)
    # --- end ---
    assert history.archs.shape == (20, 6) and history.mask.all()
    known = {tuple(arch) for arch in archs.tolist()}
    assert {tuple(arch) for arch in np.asarray(history.archs).tolist()} <= known
    assert (history.valid > 0.09).all()


def test_measures_of_table_3_1_need_no_folder(trained):
    found = evaluation.measure(jax.random.key(2), trained, num_points=100)
    assert set(found) > {"reconstruction_exact", "validity_strict", "uniqueness"}
    assert 0 <= found["validity_strict"] <= found["validity_released"] <= 1
    assert 0 < found["reconstruction_elementwise"] < 1
    again = evaluation.measure(
        jax.random.key(2),
        trained,
        num_points=100,
        means=training.posterior_means(
            trained.model, trained.state.weights, trained.corpus.train
        ),
    )
    np.testing.assert_equal(found, again)  # NaN is NaN: nothing valid


def test_epochs_are_those_of_the_steps(trained, archs):
    """The same as `training.start` and `run_epoch` with the keys of the docstring."""
    key = jax.random.key(1)
    model, recipe = trained.model, trained.recipe
    graphs = training.to_graphs(model.form, archs[:288])
    state = training.start(jax.random.fold_in(key, 0), model, recipe)
    for _ in range(2):
        state, _ = training.run_epoch(
            jax.random.fold_in(key, 1), model, recipe, state, graphs, 2
        )
    jax.tree.map(np.testing.assert_array_equal, state.weights, trained.state.weights)
    assert int(trained.state.epoch) == 2
    assert len(trained.corpus.held_out.ops) == 32


def test_embeddings_do_not_depend_on_the_company(trained, archs):
    vectors = trained.embed(archs)
    assert vectors.shape == (320, 3) and np.isfinite(vectors).all()
    np.testing.assert_allclose(trained.embed(archs[5:7]), vectors[5:7], rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"variant": "thesiss"}, "thesis"),
        ({"changes": {"widht": 3}}, "width"),
        ({"held_out": 1.0}, "held_out"),
        ({"batch_size": 400}, "a batch of 400"),
    ],
)
def test_what_does_not_fit_is_one_line(arguments, message, archs):
    with pytest.raises(errors.ConfigError, match=message) as error:
        pretraining.pretrain(jax.random.key(0), "nasbench201", archs, **arguments)
    assert "\n" not in str(error.value)
