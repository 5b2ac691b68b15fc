"""A space of one's own, and every algorithm by its name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import encoders, nasbench, search, spaces
from nasjax.core import errors, genotypes, sampling
from nasjax.core.types import Evaluation, SearchSpace
from nasjax.experiments import algorithms
from nasjax.search import embedding_table

GENES, VALUES = 8, 3
GRAPHS = ("bo_gcn", "neural_predictor")
NETWORKS = ("supervised_bo", "supervised_reinforce")
SIZES = {"num_init": 4, "batch_size": 2, "capacity": 8, "num_candidates": 8}
SMALL = {
    "local_search": {"num_init": 2},
    "regularized_evolution": {"population_size": 4, "sample_size": 2},
    "bananas": SIZES,
    "bo_bohamiann": SIZES,
    "bo_dngo": SIZES,
    "bo_gp": SIZES,
    "latent_dngo": {"num_init": 4, "batch_size": 2, "capacity": 8},
    "cate_dngo": {"num_init": 4, "batch_size": 2, "capacity": 8},
    "cate_dngo_ls": {"num_init": 4, "batch_size": 2, "capacity": 8},
    "asha": {"max_epochs": 9},
    "hyperband": {"max_epochs": 9},
    "successive_halving": {"max_epochs": 9},
}
DECODING = ("bohb", "dehb")
"""Those that search the unit cube."""


RUN = ("random_search", "regularized_evolution", "local_search", "reinforce")
"""Those that compile fast; of the others the whole run is traced."""
QUICK = {"xla_backend_optimization_level": 0}


def sample(key):
    return sampling.randint(key, GENES, VALUES)


def mutate(key, arch):
    gene, step = sampling.to_integers(
        jax.random.uniform(key, (2,)), np.array([GENES, VALUES - 1])
    )
    step += 1
    return jnp.where(jnp.arange(GENES) == gene, (arch + step) % VALUES, arch)


def neighbors(arch):
    archs = (arch[None] + jnp.eye(GENES, dtype=jnp.int32)) % VALUES
    return archs, jnp.ones(GENES, bool)


OWN = SearchSpace("mine", GENES, sample, mutate, neighbors)
RANGED = OWN._replace(gene_ranges=((0, VALUES - 1),) * GENES)
KEY = jax.random.key(0)


def evaluate(key, arch, epoch, trained):
    score = jnp.mean(arch == 2, dtype=jnp.float32)
    return Evaluation(score, score, jnp.float32(1), score[None])


@pytest.fixture(scope="module")
def table():
    archs = jax.vmap(sample)(jax.random.split(KEY, 64))
    return embedding_table.random_projection(KEY, RANGED, archs, num_features=4)


def test_five_fields_are_a_space():
    arch = sample(KEY)
    assert bool(OWN.is_valid(arch)) and OWN.to_graph is None and OWN.decode is None
    text = OWN.format_arch(arch)
    np.testing.assert_array_equal(OWN.parse_arch(text), arch)
    with pytest.raises(errors.UnknownArchitecture, match="write them as"):
        OWN.parse_arch("[0, 1.5]")
    with pytest.raises(errors.UnknownArchitecture, match="write them as"):
        OWN.parse_arch("{}")


def test_hashes_of_genes_differ():
    archs = np.stack(np.meshgrid(*[np.arange(-2, 4)] * 5), axis=-1).reshape(-1, 5)
    archs = np.concatenate([archs, 1_000_000 + archs])
    prints = np.asarray(jax.jit(jax.vmap(genotypes.gene_hash))(archs))
    assert prints.dtype == np.uint32 and len(np.unique(prints, axis=0)) == len(archs)
    for lane in prints.T:
        bits = (lane[:, None] >> np.arange(32, dtype=np.uint32)) & 1
        assert np.all(np.abs(bits.mean(axis=0) - 0.5) < 0.03)


def test_the_sizes_here_are_of_registered_algorithms():
    assert set(SMALL) <= set(search.ALGORITHMS)
    assert {*GRAPHS, *NETWORKS} <= set(search.ALGORITHMS)


@pytest.mark.parametrize("name", sorted(search.ALGORITHMS))
def test_an_own_space_is_searched_by_all_that_need_no_graph(name, table):
    if name in GRAPHS:
        with pytest.raises(errors.ConfigError, match="'mine' has no to_graph: pass"):
            search.make(name, RANGED)
        return
    if name in NETWORKS:
        with pytest.raises(errors.ConfigError, match="unknown space of arch2vec 'mine"):
            algorithms.make(name, RANGED, candidates=table.archs)
        return
    if name in DECODING:
        with pytest.raises(errors.ConfigError, match="decode"):
            search.make(name, RANGED, max_epochs=9)
        return
    given = {"table": table} if name.startswith(("latent_", "cate_")) else {}
    algorithm = algorithms.make(name, RANGED, **given, **SMALL.get(name, {}))

    def run(key):
        return search.run(key, algorithm, evaluate, num_steps=8)

    if name not in RUN:
        assert jax.eval_shape(run, KEY).archs.shape[1] == GENES
        return
    history = jax.jit(run, compiler_options=QUICK)(KEY)
    assert np.asarray(history.mask).sum() >= 6
    archs = np.asarray(history.archs)[np.asarray(history.mask)]
    assert archs.min() >= 0 and archs.max() < VALUES
    assert np.asarray(history.valid)[np.asarray(history.mask)].max() > 0.3


MISSING = {
    "random_search": ("sample", r"random_search needs sample of the space 'mine'"),
    "regularized_evolution": ("mutate", r"needs mutate of the space 'mine': \(key, ar"),
    "local_search": ("neighbors", r"local_search needs neighbors of the space 'mine'"),
    "bo_gp": ("gene_ranges", "mine has no gene_ranges, .* pass features="),
    "reinforce": ("gene_ranges", "reinforce needs gene_ranges of the space 'mine'"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_a_space_lacks_is_named(name):
    field, message = MISSING[name]
    space = RANGED._replace(**{field: () if field == "gene_ranges" else None})
    with pytest.raises(errors.ConfigError, match=message) as error:
        search.make(name, space)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("bananas", "features"),
        ("latent_control", "table"),
        ("supervised_bo", "network and candidates"),
    ],
)
def test_search_make_names_the_function_that_finds_what_is_missing(name, missing):
    space = spaces.make("nasbench201")
    call = f"experiments.make\\('{name}', space, benchmark\\) finds {missing} by name$"
    with pytest.raises(errors.ConfigError, match=call):
        search.make(name, space)


@pytest.mark.parametrize("name", sorted(search.ALGORITHMS))
def test_every_algorithm_is_made_by_its_name_alone(name):
    space = spaces.make("nasbench201")
    made = algorithms.make(name, space, nasbench.load("digits201"))
    proposal, _ = jax.eval_shape(lambda key: made.ask(key, made.init(key)), KEY)
    assert proposal.archs.shape[1] == 6


def test_default_features_fit_the_space():
    for name in spaces.SPACES:
        algorithms.make("bananas", spaces.make(name))
    with pytest.raises(errors.ConfigError, match="pass features="):
        algorithms.make("bananas", OWN)


def test_a_benchmark_of_another_space_is_refused():
    with pytest.raises(errors.ConfigError, match="benchmark of nasbench201 cannot"):
        algorithms.make("random_search", OWN, nasbench.load("digits201"))


def test_respace_changes_what_it_is_given_and_keeps_architectures_valid():
    space = spaces.make("nasbench201")

    def wild(key, arch):
        return arch + sampling.randint(key, 6, 4) - 1

    def corner(key):
        return 3 + sampling.randint(key, 6, 2)

    def listed(arch):
        return jnp.stack([arch + 1, arch - 1]), jnp.ones(2, bool)

    made = encoders.respace(space, sample=corner, perturb=wild, neighbors=listed)
    assert made.name == "nasbench201" and made.to_graph is space.to_graph
    keys = jax.random.split(KEY, 256)
    archs = jax.jit(jax.vmap(made.sample), compiler_options=QUICK)(keys)
    assert set(np.unique(archs).tolist()) == {3, 4}
    children = jax.jit(jax.vmap(made.mutate), compiler_options=QUICK)(keys, archs)
    assert bool(jax.vmap(space.is_valid)(children).all())
    assert not np.array_equal(children, archs)
    found, mask = made.neighbors(jnp.array([4, 3, 2, 1, 1, 2]))
    np.testing.assert_array_equal(mask, [False, True])
    renamed = encoders.respace(space, name="near")
    assert renamed.name == "near" and renamed.mutate is space.mutate


def test_respace_never_leaves_the_space_when_nothing_drawn_is_valid():
    space = spaces.make("nasbench201")
    outside = jnp.full(6, 9)
    made = encoders.respace(
        space, sample=lambda key: outside, perturb=lambda key, arch: outside
    )
    arch = jax.jit(made.sample)(KEY)
    assert bool(space.is_valid(arch))
    np.testing.assert_array_equal(jax.jit(made.mutate)(KEY, arch), arch)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sample": lambda key: jnp.zeros(5, jnp.int32)}, "sample .* not int32 .*5"),
        ({"perturb": lambda key, arch: arch / 2}, "perturb .* not float32"),
        ({"neighbors": lambda arch: (arch[None], arch)}, r"mask of shape \(6,\)"),
    ],
)
def test_respace_names_what_does_not_fit(given, message):
    with pytest.raises(errors.ConfigError, match=message):
        encoders.respace(spaces.make("nasbench201"), **given)
