"""Bayesian optimisation over a table and over mutants."""

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest

from nasjax import predictors, search
from nasjax.core import errors
from nasjax.core.types import Evaluation
from nasjax.search.model_based import (
    batched_cond,
    bayesian_optimization,
    candidate_search,
    candidates,
    observations,
    pool_search,
)

SPACE = latent_table.SPACE
TABLE = latent_table.make()
KEYS = jax.random.split(jax.random.key(0), 6)
SIZES = {"num_init": 6, "batch_size": 4, "capacity": 24}
NUM_STEPS = 6  # Step 1 holds the last 2 random architectures and 2 chosen ones.


def told(proposal, valid):
    nothing = jnp.zeros(len(valid))
    return Evaluation(jnp.asarray(valid), nothing, nothing, jnp.zeros((len(valid), 0)))


@pytest.fixture(scope="module")
def on_the_hill():
    """A Gaussian process over the table, all trials at once."""
    algorithm = search.make(
        "bo_gp", SPACE, table=TABLE, **SIZES, predictor_options={"steps": 5}
    )
    evaluate = latent_table.evaluate(TABLE)
    history = search.run_trials(KEYS, algorithm, evaluate, NUM_STEPS)
    return algorithm, evaluate, history


def test_the_top_of_a_hill_is_found_sooner_than_by_chance(on_the_hill):
    rows = latent_table.rows(on_the_hill[2].archs)
    order = np.argsort(-np.asarray(latent_table.heights(TABLE)))
    # 24 random rows of 400 hold one of the best three in every sixth run.
    assert np.isin(rows, order[:3]).any(axis=1).all()
    assert np.isin(rows[:, :6], order[:3]).any(axis=1).mean() < 0.5


def test_no_row_is_trained_twice(on_the_hill):
    rows = np.sort(latent_table.rows(on_the_hill[2].archs), axis=1)
    assert on_the_hill[2].mask.all() and (np.diff(rows, axis=1) > 0).all()


def test_trials_one_after_another_begin_alike_and_find_the_same(on_the_hill):
    algorithm, evaluate, history = on_the_hill
    alone = search.run_trials(KEYS, algorithm, evaluate, NUM_STEPS, vectorized=False)
    np.testing.assert_array_equal(alone.archs[:, :6], history.archs[:, :6])
    # Rounding may turn the order of two rows that are wanted equally.
    np.testing.assert_allclose(
        alone.valid.max(axis=1), history.valid.max(axis=1), atol=0.01
    )


def test_the_highest_expected_improvements_are_chosen():
    algorithm = bayesian_optimization.bayesian_optimization(
        SPACE, predictor="bayesian_linear", table=TABLE, **SIZES
    )
    predictor = predictors.make("bayesian_linear")
    heights = latent_table.heights(TABLE)
    state = algorithm.init(KEYS[0])
    ask = jax.jit(algorithm.ask)
    rows = []
    for key in KEYS[:3]:
        before, (proposal, state) = state, ask(key, state)
        chosen = latent_table.rows(proposal.archs)
        state = algorithm.tell(state, proposal, told(proposal, heights[chosen]))
        rows.append(chosen)
    seen = np.concatenate(rows[:2])
    np.testing.assert_array_equal(before.observations.items[:8], seen)
    np.testing.assert_array_equal(before.observations.valid[:8], heights[seen])
    assert (seen[:6] == before.first).all()
    mask = jnp.arange(24) < 8
    padded = np.pad(seen, (0, 16))

    @jax.jit
    def believe(x, y):
        model = predictor.fit(KEYS[0], x, y, mask)
        return predictor.predict(model, TABLE.vectors)

    mean, std = believe(TABLE.vectors[padded], heights[padded])
    u = (mean - heights[seen].max()) / std
    density = jax.scipy.stats.norm
    wanted = np.array(std * (u * density.cdf(u) + density.pdf(u)))
    wanted[seen] = -1
    assert set(np.argsort(-wanted)[:4]) == set(rows[2])


def test_a_table_that_is_used_up_leaves_slots_unused():
    table = latent_table.make(side=3)
    algorithm = bayesian_optimization.bayesian_optimization(
        SPACE, predictor="bayesian_linear", table=table, **SIZES
    )
    history = search.run_trials(KEYS[:2], algorithm, latent_table.evaluate(table), 4)
    assert (history.mask.sum(axis=1) == 9).all()
    for archs, mask in zip(history.archs, history.mask, strict=True):
        assert sorted(latent_table.rows(archs[mask])) == list(range(9))


def test_released_searches_train_rows_again():
    algorithm = search.make(
        "latent_dngo",
        SPACE,
        table=TABLE,
        num_init=4,
        capacity=12,
        variant="released",
        predictor_options={"epochs": 3, "num_hidden": 4},
    )
    history = search.run_trials(KEYS, algorithm, latent_table.evaluate(TABLE), 12)
    assert history.archs.shape[1] == 12  # one at a time, as published for this space
    repeated = [len(set(rows)) < 12 for rows in latent_table.rows(history.archs)]
    assert history.mask.all() and any(repeated)


@pytest.mark.parametrize("repeats", [False, True])
def test_marked_rows_are_no_candidates(repeats):
    algorithm = pool_search.search_pool(
        SPACE,
        predictors.make("bayesian_linear"),
        TABLE,
        lambda key, prediction, incumbent: jnp.arange(400.0),
        num_init=2,
        batch_size=2,
        capacity=8,
        repeats=repeats,
    )
    state = algorithm.init(KEYS[0])
    for _ in range(3):
        proposal, state = algorithm.ask(KEYS[1], state)
    expected = [399, 398] if repeats else [397, 396]
    assert latent_table.rows(proposal.archs).tolist() == expected


def test_mutants_of_the_best_are_trained_and_improve():
    algorithm = search.make(
        "bo_dngo",
        SPACE,
        num_init=6,
        batch_size=4,
        capacity=40,
        num_candidates=30,
        num_parents=2,
        max_edits=2,
        predictor_options={"epochs": 10, "num_hidden": 16},
    )
    history = search.run_trials(KEYS, algorithm, latent_table.evaluate_genes(), 9)
    codes = latent_table.rows(history.archs)
    assert all(len(set(row)) == 36 for row in codes)
    assert (history.valid.max(axis=1) > history.valid[:, :6].max(axis=1) + 0.1).all()
    for archs, valid in zip(history.archs, history.valid, strict=True):
        parents = archs[:32][np.argsort(-valid[:32], kind="stable")[:2]]
        edits = (archs[32:, None] != parents[None]).sum(axis=2).min(axis=1)
        assert (edits <= 2).all()


def test_mutants_have_as_many_edits_as_asked_for():
    parents = jnp.array([[0] * 6, [4] * 6] * 20, jnp.int32)
    wanted = 1 + jnp.arange(40) // 2 % 2
    pool = candidates.mutate(jax.random.split(KEYS[0], (2, 40)), SPACE, parents, wanted)
    edits = (np.asarray(pool) != np.asarray(parents)).sum(axis=1)
    assert (edits[wanted == 1] == 1).all() and edits[wanted == 2].max() == 2
    assert set(edits[wanted == 2]) <= {0, 1, 2}  # the second may undo the first


def test_parents_take_turns_and_later_ones_join_where_too_few_are_new():
    plan = candidate_search._Plan.make(8, 2, 2, 2, False)
    assert plan.ranks.tolist() == [0, 1] * 4 + [2] * 4 + [3] * 4
    assert plan.edits[:8].tolist() == [1, 1, 2, 2] * 2
    assert plan.edits[8:].tolist() == [1, 2] * 4
    new = jnp.arange(16) != 3
    assert plan.joins(new).tolist() == [True] * 12 + [False] * 4
    new = jnp.arange(16) > 13
    assert plan.joins(new).all()
    assert not plan.joins(jnp.ones(16, bool))[8:].any()


def test_the_best_are_those_of_highest_score():
    pool = jnp.array([[1, 2], [3, 4], [1, 2], [5, 6]])
    best = candidates.top_k(pool, jnp.array([-jnp.inf, 0.3, -jnp.inf, 0.5]), 3)
    assert best.tolist() == [[5, 6], [3, 4], [5, 6]]


def test_different_architectures_come_first():
    space = SPACE._replace(sample=lambda key: SPACE.sample(key).at[1:].set(0))
    archs, prints = candidates.sample_unique(KEYS[0], space, 5)
    assert len(set(latent_table.rows(archs))) >= 4  # there are five
    np.testing.assert_array_equal(prints, archs)  # a space without fingerprint


def test_observations_forget_the_oldest_and_what_came_too_late():
    seen = observations.Observations.empty(3, ())
    seen = seen.ask(jnp.array([10, 11])).tell(jnp.array([0, 1]), jnp.array([0.5, 0.6]))
    assert seen.items.tolist() == [10, 11, -1] and seen.best == jnp.float32(0.6)
    seen = seen.ask(jnp.array([12, 13]))
    assert seen.items.tolist() == [13, 11, 12]
    assert seen.observed.tolist() == [False, True, False]
    seen = seen.tell(jnp.array([0, 2]), jnp.array([0.9, 0.7]))
    np.testing.assert_allclose(seen.valid, [-np.inf, 0.6, 0.7])


def test_a_failed_training_is_not_observed():
    seen = observations.Observations.empty(2, ()).ask(jnp.array([1, 2]))
    seen = seen.tell(jnp.array([0, 1]), jnp.array([-jnp.inf, -0.2]))
    assert seen.observed.tolist() == [False, True]
    assert seen.best == jnp.float32(-0.2)


@pytest.mark.parametrize(
    "start, expected", [(0, [0, 1, 2]), (2, [2, 3, 10]), (4, [10, 11, 12])]
)
def test_a_batch_is_what_is_left_of_the_first_and_then_the_chosen(start, expected):
    number = start + jnp.arange(3)
    merged = observations.merge(number, jnp.arange(4), jnp.arange(10, 13))
    assert merged.tolist() == expected


def test_what_is_not_a_number_is_wanted_least():
    scores = jnp.array([jnp.nan, -jnp.inf, 3.0, 9.0, 1.0])
    allowed = jnp.array([True, True, True, False, True])
    places, used = observations.highest(scores, allowed, 5)
    assert places[:2].tolist() == [2, 4] and used.tolist() == [True] * 4 + [False]
    assert places[4] == 3


def test_a_branch_stays_one_under_vmap():
    def pick(needed, x):
        return batched_cond.cond_any(needed, lambda x: x * 2, (x,), jnp.float32(-1))

    needed = jnp.array([[False, True], [False, True]])
    nested = jax.vmap(jax.vmap(pick))
    program = str(jax.make_jaxpr(nested)(needed, jnp.ones((2, 2))))
    assert "cond" in program and "select_n" not in program
    assert nested(needed, jnp.ones((2, 2))).tolist() == [[2, 2], [2, 2]]
    assert (jax.vmap(pick)(jnp.zeros(2, bool), jnp.ones(2)) == -1).all()


def test_branches_of_trials_run_one_after_another():
    def pick(needed, x, shared):
        return batched_cond.cond_any(
            needed,
            lambda x, shared: jnp.linalg.cholesky(x * jnp.eye(3)) * shared,
            (x, shared),
            jnp.zeros((3, 3)),
            one_by_one=True,
        )

    over_trials = jax.vmap(pick, (0, 0, None))
    needed, x = jnp.array([True, False, True]), jnp.array([4.0, 9.0, 16.0])
    program = str(jax.make_jaxpr(over_trials)(needed, x, 2.0))
    assert "f32[3,3,3] = cholesky" not in program and "cond" in program
    found = over_trials(needed, x, 2.0)
    np.testing.assert_allclose(found[:, 0, 0], [4, 0, 8])  # skipped where not needed


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(errors.ConfigError, match="variant of Bayesian"):
        search.make("bo_dngo", SPACE, variant="fixed")
    with pytest.raises(errors.ConfigError, match="DNGO over a table"):
        search.make("bo_gp", SPACE, table=TABLE, variant="released")
    with pytest.raises(errors.ConfigError, match="search by bo_gcn"):
        search.make("bo_dngo", SPACE, predictor="bogcn")
    with pytest.raises(errors.ConfigError, match="not both"):
        search.make("bo_dngo", SPACE, table=TABLE, features=lambda arch: arch)
    with pytest.raises(errors.ConfigError, match="table=... is needed"):
        search.make("latent_dngo", SPACE)
    with pytest.raises(errors.ConfigError, match="num_init = 0"):
        search.make("bo_dngo", SPACE, num_init=0)
    with pytest.raises(errors.ConfigError, match="capacity = 3 must be at least"):
        search.make("bo_dngo", SPACE, capacity=3)
    with pytest.raises(errors.ConfigError, match="has 400 rows; at least 401"):
        search.make("latent_dngo", SPACE, table=TABLE, num_init=401)
    with pytest.raises(errors.ConfigError, match="has no gene_ranges"):
        search.make("bo_dngo", SPACE._replace(gene_ranges=()))
