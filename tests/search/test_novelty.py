"""A cell is new or known whatever its genes: laws, a tiny space, NAS-Bench-101."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import predictors, search
from nasjax.core.types import Evaluation, Graph
from nasjax.predictors import Prediction, Predictor
from nasjax.search import EmbeddingTable, embedding_table, gene_features, novelty
from nasjax.spaces import nasbench101, nasbench201

KEYS = jax.random.split(jax.random.key(0), 3)
NUM_CELLS = 9
MULTI_FIDELITY = {"successive_halving", "hyperband", "bohb", "dehb", "asha"}
REPEATING = MULTI_FIDELITY | {"random_search", "regularized_evolution", "reinforce"}
"""Algorithms whose sources train an architecture again, and say so."""


def sample(key):
    return jax.random.randint(key, (4,), 0, 3, jnp.int32)


def mutate(key, arch):
    place = jax.random.randint(key, (), 0, 8)
    return (arch + (jnp.arange(4) == place // 2) * (1 + place % 2)) % 3


def neighbors(arch):
    steps = jnp.repeat(jnp.eye(4, dtype=jnp.int32), 2, axis=0)
    steps *= jnp.tile(jnp.arange(1, 3), 4)[:, None]
    return (arch[None] + steps) % 3, jnp.ones(8, bool)


def to_graph(arch):
    return Graph(jnp.eye(4, k=1, dtype=jnp.int32), arch, jnp.int32(4))


# Two genes lead nowhere: nine cells, each in nine writings.
TINY = nasbench201.make()._replace(
    name="tiny",
    num_genes=4,
    size=NUM_CELLS,
    sample=sample,
    mutate=mutate,
    neighbors=neighbors,
    is_valid=lambda arch: jnp.bool_(True),
    to_graph=to_graph,
    fingerprint=lambda arch: arch[:2].astype(jnp.uint32),
    graph_op_names=("a", "b", "c"),
    gene_ranges=((0, 2),) * 4,
)
WRITINGS = np.array(list(itertools.product(range(3), repeat=4)), np.int32)
TABLE = EmbeddingTable(jnp.asarray(WRITINGS), jnp.float32(WRITINGS))


def evaluate(key, arch, epoch, trained):
    del key, epoch, trained
    score = (arch[0] + 3 * arch[1]) / 8
    return Evaluation(score, score, jnp.float32(1), jnp.zeros(0))


def stand_in(name, **options):
    """A predictor that learns nothing: these tests are about what is asked for."""
    del name, options

    def predict(state, features):
        leaf = jnp.float32(jax.tree.leaves(features)[0])
        mean = jnp.sum(leaf, axis=tuple(range(1, leaf.ndim)))
        return Prediction(mean, jnp.ones_like(mean))

    return Predictor(lambda key, *data: key, predict)


class Network:
    """Embeds an architecture as its genes times a number."""

    num_features = 4

    def init(self, key):
        return jax.random.normal(key, ())

    def embed_batch(self, params, archs, weights):
        return params * archs.astype(jnp.float32), jnp.zeros(())

    def embed(self, params, moments, archs):
        return params * archs.astype(jnp.float32)


BATCHES = {"num_init": 3, "batch_size": 2, "capacity": 20}
MUTANTS = {**BATCHES, "num_candidates": 30}
LATENT = {"table": TABLE, "episode_length": 5}
SUPERVISED = {"network": Network(), "candidates": WRITINGS}
SETTINGS = {
    "bananas": {**MUTANTS, "features": gene_features.one_hot(TINY)},
    "bo_bohamiann": MUTANTS,
    "bo_dngo": {**BATCHES, "table": TABLE},
    "bo_gcn": MUTANTS,
    "bo_gp": MUTANTS,
    "cate_dngo": {**BATCHES, "table": TABLE},
    "cate_dngo_ls": {**BATCHES, "table": TABLE},
    "latent_control": LATENT,
    "latent_dngo": {**BATCHES, "table": TABLE},
    "latent_reinforce": {**LATENT, "num_hidden": 4},
    "local_search": {"num_init": 3},
    "neural_predictor": {
        "num_train": 4,
        "num_best": 2,
        "batch_size": 2,
        "num_pool": 100,
    },
    "supervised_bo": {**SUPERVISED, **BATCHES},
    "supervised_reinforce": {**SUPERVISED, "episode_length": 5, "num_hidden": 4},
}
RUN = {
    "bananas": NUM_CELLS,
    "neural_predictor": NUM_CELLS,
    # A random architecture is drawn eight times where all neighbours are known.
    "local_search": NUM_CELLS - 1,
    "cate_dngo_ls": NUM_CELLS,
    "latent_dngo": NUM_CELLS,
    "latent_reinforce": NUM_CELLS - 1,  # the start is not trained
    "supervised_reinforce": NUM_CELLS - 1,
}
"""How many different cells come first; others share their loop with one of these."""


def make(name, monkeypatch, **settings):
    monkeypatch.setattr(predictors, "make", stand_in)
    return search.make(name, TINY, **{**SETTINGS[name], **settings})


def cells(archs):
    """Numbers 0 to 8 of architectures `[..., 4]`."""
    return np.asarray(archs) @ [3, 1, 0, 0]


def test_every_algorithm_repeats_cells_or_is_tested_here():
    assert set(SETTINGS) | REPEATING == set(search.ALGORITHMS)
    assert not set(SETTINGS) & REPEATING


@pytest.mark.parametrize("name", SETTINGS)
def test_every_algorithm_remembers_cells(name, monkeypatch):
    algorithm = make(name, monkeypatch)
    state = jax.eval_shape(algorithm.init, KEYS[0])
    memory = getattr(state, "memory", None)
    if memory is None:
        table = algorithm.ask.args[0]
        groups = np.asarray(table.groups)
        assert len(set(groups)) == NUM_CELLS and state.visited.shape == groups.shape
    else:
        assert memory.prints.shape[1:] == (2,) and memory.prints.dtype == jnp.uint32


@pytest.mark.parametrize("name", RUN)
def test_every_cell_is_trained_once_as_long_as_there_are_new_ones(name, monkeypatch):
    algorithm = make(name, monkeypatch)
    num_steps = {"local_search": 20, "neural_predictor": 8, "bananas": 8}.get(name, 5)
    history = search.run_trials(KEYS, algorithm, evaluate, num_steps)
    first = RUN[name]
    for archs, mask in zip(history.archs, history.mask, strict=True):
        found = cells(archs[mask])
        assert len(set(found[:first])) == first
        if "memory" in algorithm.init(KEYS[0]).__dict__:
            assert mask.all() and len(found) > NUM_CELLS  # then any is trained again
        else:
            assert len(found) == first  # a table that is used up


def test_published_searches_tell_rows_apart(monkeypatch):
    for name in ("latent_control", "latent_dngo", "supervised_bo"):
        algorithm = make(name, monkeypatch, variant="released")
        assert algorithm.ask.args[0].groups is None
    algorithm = make("local_search", monkeypatch, variant="released")
    assert algorithm.init(KEYS[0]).memory is None


def test_a_memory_keeps_the_last_trainings(monkeypatch):
    monkeypatch.setattr(novelty, "MEMORY", 3)
    memory = novelty.Memory.empty(TINY)
    prints = jnp.uint32([[0, 0], [0, 1], [1, 0], [1, 1]])
    assert not memory.knows(prints).any()  # nor the zeros of empty places
    memory = memory.add(jnp.arange(2), prints[:2], jnp.array([True, False]))
    assert memory.knows(prints).tolist() == [True, False, False, False]
    memory = memory.add(jnp.arange(2, 4), prints[2:])
    assert memory.knows(prints).tolist() == [False, False, True, True]
    assert novelty.Memory.empty(TINY, at_least=5).used.shape == (5,)


def test_the_first_of_each_cell_and_what_is_preferred():
    prints = jnp.uint32([[1, 2], [2, 1], [1, 2], [1, 1], [2, 1]])
    new = novelty.is_first(prints)
    assert new.tolist() == [True, True, False, True, False]
    assert novelty.foremost(new, 5).tolist() == [0, 1, 3, 2, 4]


def test_a_space_without_fingerprint_compares_genes():
    alone = TINY._replace(fingerprint=None)
    assert novelty.groups(alone, WRITINGS) is None
    doubled = novelty.groups(alone, np.concatenate([WRITINGS, WRITINGS[:1]]))
    assert doubled[-1] == doubled[0] and len(set(np.asarray(doubled))) == 81
    np.testing.assert_array_equal(novelty.identify(alone, TABLE.archs), WRITINGS)


def test_writings_of_a_cell_are_one_group():
    archs = jax.jit(jax.vmap(nasbench101.sample))(jax.random.split(KEYS[0], 40))
    pruned = jax.jit(jax.vmap(nasbench101.prune))(archs)
    both = jnp.concatenate([archs, pruned])
    assert (archs != pruned).any(axis=1).sum() > 5
    groups = np.asarray(novelty.groups(nasbench101.make(), both))
    np.testing.assert_array_equal(groups[:40], groups[40:])
    table = embedding_table.identify(EmbeddingTable(both, both), nasbench101.make())
    np.testing.assert_array_equal(table.groups, groups)
    visited = embedding_table.visit(table, jnp.zeros(80, bool), jnp.int32(3))
    assert {3, 43} <= set(np.flatnonzero(visited))
    rows = embedding_table.first_rows(KEYS[1], table, 20)
    assert len(set(groups[np.asarray(rows)])) == 20


def test_bananas_trains_different_cells_of_nasbench101():
    space = nasbench101.make()

    def score(key, arch, epoch, trained):
        del key, epoch, trained
        # A function of the cell: vertices that lead nowhere do not count.
        pruned = nasbench101.prune(arch)
        convolutions = jnp.sum(pruned[nasbench101.NUM_BITS : -1] == 1)
        value = 0.1 * convolutions - 0.01 * jnp.sum(pruned[: nasbench101.NUM_BITS])
        return Evaluation(value, value, jnp.float32(1), jnp.zeros(0))

    algorithm = search.make(
        "bananas",
        space,
        features=gene_features.one_hot(space),
        capacity=100,
        predictor_options={"members": 1, "layers": 1, "width": 4, "epochs": 2},
    )
    history = search.run_trials(KEYS, algorithm, score, 10)
    assert history.mask.all()
    for archs in history.archs:
        prints = jax.jit(jax.vmap(space.fingerprint))(jnp.asarray(archs))
        assert len(np.unique(prints, axis=0)) >= 98
