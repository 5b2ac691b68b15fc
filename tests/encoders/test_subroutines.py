"""The registry of subroutines, and searches in the spaces that they make."""

import jax
import numpy as np
import pytest
import search_table

from nasjax import encoders, search, spaces
from nasjax.core import errors
from nasjax.encoders import subroutines
from nasjax.encoders.subroutines import served
from nasjax.spaces import nasbench201

KEY = jax.random.key(0)
SPACE = spaces.make("nasbench201")
CELLS = nasbench201.enumerate_cells()
POOL = CELLS[:1_500]
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
SETTINGS = {
    "random_search": {"batch_size": 2},
    "regularized_evolution": {"population_size": 4, "sample_size": 2},
    "local_search": {"num_init": 2},
}
MEGABYTE = 10**6


def indexed(name):
    return name.startswith("path") and served.find(name, "nasbench201") != ("train",)


def made_of(name):
    return subroutines.make(name, SPACE, archs=POOL if indexed(name) else None)


def compiled(function, **mapped):
    return jax.jit(jax.vmap(function, **mapped), compiler_options=QUICK)


def test_it_says_what_every_encoding_of_every_space_serves():
    assert set(subroutines.SUBROUTINES) == set(encoders.ENCODINGS)
    assert encoders.SUBROUTINES is subroutines.SUBROUTINES
    for name, by_space in subroutines.SUBROUTINES.items():
        assert set(by_space) == set(encoders.spaces_of(name))
        for space, has in by_space.items():
            assert "train" in has and set(has) <= {"sample", "perturb", "train"}
            if space == "nasbench201":
                made = made_of(name)
                assert ("sample" in has) == (made.sample is not None)
                assert ("perturb" in has) == (made.perturb is not None)
                assert ("perturb" in has) == (made.neighbors is not None)


@pytest.mark.parametrize(
    "name",
    [
        "adjacency_one_hot",
        "path_one_hot",
        "path_categorical_truncated",
        "path_continuous",
    ],
)
def test_many_are_what_each_is_alone(name):
    """Valid cells whose encoding changes, in one program.

    A truncated encoding keeps long paths: in a pool some cells are the only ones.
    """
    made = made_of(name)
    keys, parents = jax.random.split(KEY, 64), POOL[:64]
    children = np.asarray(compiled(made.perturb)(keys, parents))
    assert compiled(SPACE.is_valid)(children).all()
    encode = compiled(made.encode)
    changed = np.any(encode(children) != encode(parents), axis=1)
    assert changed.mean() > 0.8 and (changed.all() or "truncated" in name)
    np.testing.assert_array_equal(changed, np.any(children != parents, axis=1))
    alone = jax.jit(made.perturb, compiler_options=QUICK)
    for k in (0, 63):
        np.testing.assert_array_equal(alone(keys[k], parents[k]), children[k])
    apart = compiled(made.distance)(encode(children), encode(parents))
    np.testing.assert_array_equal(apart > 0, changed)


def runs(space, name, steps=12):
    algorithm = search.make(name, space, **SETTINGS[name])
    keys = jax.random.split(KEY, 2)
    return search.run_trials(keys, algorithm, search_table.evaluate(), steps)


def path_numbers(archs):
    encode = encoders.make("path_one_hot", "nasbench201")
    return compiled(lambda arch: encode(arch).sum())(archs.reshape(-1, 6))


def test_searches_run_in_the_space_of_an_encoding():
    made = made_of("path_one_hot")
    both = encoders.respaced(made)
    for name in SETTINGS:
        history = runs(both, name)
        assert np.isfinite(np.asarray(history.valid)[np.asarray(history.mask)]).all()
        known = {tuple(arch) for arch in POOL.tolist()}
        assert {tuple(a) for a in history.archs.reshape(-1, 6).tolist()} <= known
    # Cells of one path are most of what this encoding draws, and rare in the space.
    draws = compiled(both.sample)(jax.random.split(KEY, 200))
    assert (path_numbers(draws) <= 1).mean() > 0.8


def test_a_process_searches_by_the_distance_of_an_encoding():
    made = subroutines.make("path_one_hot_truncated", SPACE, archs=POOL)
    algorithm = search.make(
        "bo_gp",
        encoders.respaced(made),
        features=made.encode,
        predictor_options={"distance": made.distance, "steps": 3},
        num_init=3,
        batch_size=3,
        capacity=9,
        num_candidates=6,
    )
    keys = jax.random.split(KEY, 2)
    history = search.run_trials(keys, algorithm, search_table.evaluate(), 9)
    assert np.isfinite(np.asarray(history.valid)).all()


def test_only_what_is_asked_for_changes():
    made = made_of("path_continuous")
    drawn = encoders.respaced(made, subroutine="sample")
    assert drawn.mutate is SPACE.mutate and drawn.neighbors is SPACE.neighbors
    assert drawn.sample is not SPACE.sample and drawn.name == "nasbench201"
    near = encoders.respaced(made, subroutine=["perturb"])
    assert near.sample is SPACE.sample and near.mutate is not SPACE.mutate
    assert near.neighbors is not SPACE.neighbors
    own = encoders.respaced("adjacency_categorical", "darts")
    assert own == spaces.make("darts")


def learned_space():
    vectors = np.random.default_rng(0).normal(size=(len(CELLS), 64))
    return encoders.respaced(subroutines.of_table("made up", SPACE, CELLS, vectors))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_tables_are_arguments_of_programs(name):
    """4 MB of vectors behind the space, and no program holds them."""
    space = learned_space()
    algorithm = search.make(name, space, **SETTINGS[name])
    state = jax.eval_shape(algorithm.init, KEY)
    for function, arguments in (
        (algorithm.init, (KEY,)),
        (algorithm.ask, (KEY, state)),
    ):
        lowered = jax.jit(lambda f, *xs: f(*xs)).lower(function, *arguments)
        assert len(lowered.as_text()) < MEGABYTE
    held = jax.tree.leaves((algorithm.init, algorithm.ask))
    assert max(leaf.nbytes for leaf in held) >= 4 * MEGABYTE


def test_what_is_lacking_is_named():
    cases = [
        (
            ("path_one_hot", "darts"),
            {},
            "path_one_hot does not serve 'sample' in darts",
        ),
        (
            ("path_categorical", "nasbench201"),
            {"subroutine": "sample"},
            "encodings that do: adjacency_one_hot, .*path_continuous_truncated$",
        ),
        (("path_onehot", "darts"), {}, "unknown encoding 'path_onehot'.*did you mean"),
        (
            ("adjacency_categorical", "nasbench_nlp"),
            {},
            "unknown space of adjacency_categorical 'nasbench_nlp'.*known: darts",
        ),
        (
            ("path_one_hot", "nasbench201"),
            {"subroutine": "train"},
            "'train' changes no space: pass features=",
        ),
        (
            ("path_one_hot", "nasbench201"),
            {"subroutine": "mutate"},
            "unknown subroutine 'mutate'.*known: perturb, sample, train",
        ),
        (("path_one_hot",), {}, "'path_one_hot' needs space=|space=... of"),
        (
            ("adjacency_one_hot", "nasbench201"),
            {"archs": POOL},
            "adjacency_one_hot draws from no list of cells",
        ),
        ((made_of("path_one_hot"), "darts"), {}, "made already: leave space"),
        ((made_of("path_counts"),), {}, "path_counts does not serve 'sample'"),
    ]
    for arguments, options, message in cases:
        with pytest.raises(errors.ConfigError, match=message):
            encoders.respaced(*arguments, **options)
