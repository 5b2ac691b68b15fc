"""Searches in a space of embeddings, step by step against plain versions."""

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest
from reference import plain_latent

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import Evaluation
from nasjax.search import embedding_table
from nasjax.search.latent import lstm_policy
from nasjax.spaces import nasbench201

SPACE = latent_table.SPACE
TABLE = latent_table.make()
VECTORS = np.asarray(TABLE.vectors, np.float64)
KEYS = jax.random.split(jax.random.key(3), 6)
LENGTH, NUM_STEPS = 4, 6


@pytest.fixture(scope="module")
def ran():
    """Algorithm and history of both ways to act."""
    known = {}
    for name in ("latent_reinforce", "latent_control"):
        settings = {"num_hidden": 8} if name == "latent_reinforce" else {}
        algorithm = search.make(
            name, SPACE, table=TABLE, episode_length=LENGTH, **settings
        )
        evaluate = latent_table.evaluate(TABLE)
        known[name] = (
            algorithm,
            search.run_trials(KEYS, algorithm, evaluate, NUM_STEPS),
        )
    return known


@pytest.mark.parametrize("name", ["latent_reinforce", "latent_control"])
def test_every_trial_is_a_run_and_meets_no_row_twice(ran, name):
    algorithm, history = ran[name]
    evaluate = latent_table.evaluate(TABLE)
    assert history.mask.all()
    rows = latent_table.rows(history.archs)
    assert all(len(set(trial)) == LENGTH * NUM_STEPS for trial in rows)
    np.testing.assert_array_equal(history.valid, latent_table.heights(TABLE)[rows])
    single = search.run_trials(KEYS, algorithm, evaluate, NUM_STEPS, vectorized=False)
    np.testing.assert_array_equal(single.archs, history.archs)


def test_a_single_run_reuses_no_key_and_is_one_of_the_trials(ran):
    algorithm, history = ran["latent_reinforce"]

    def alone(key, evaluate):
        return search.run(key, algorithm, evaluate, NUM_STEPS)

    with jax.debug_key_reuse(True):
        jax.eval_shape(alone, KEYS[2], latent_table.evaluate(TABLE))
    single = jax.jit(alone)(KEYS[2], latent_table.evaluate(TABLE))
    np.testing.assert_array_equal(single.archs, history.archs[2])


@pytest.mark.parametrize(
    "name, settings",
    [
        ("latent_control", {}),
        ("latent_control", {"relative": True}),
        ("latent_control", {"variant": "released"}),
        ("latent_reinforce", {"num_hidden": 5}),
    ],
)
def test_an_episode_goes_from_neighbour_to_neighbour(name, settings):
    algorithm = search.make(name, SPACE, table=TABLE, episode_length=6, **settings)
    before = jax.jit(algorithm.init)(KEYS[0])
    proposal, state = jax.jit(algorithm.ask)(KEYS[1], before)
    start = int(np.flatnonzero(before.visited)[0])
    np.testing.assert_array_equal(before.state, TABLE.vectors[start])
    states = np.asarray(state.episodes.states[0], np.float64)
    actions = np.asarray(state.episodes.actions[0], np.float64)
    noise = np.array(
        [jax.random.normal(key, (2,)) for key in jax.random.split(KEYS[1], 6)]
    )
    means = 0
    if name == "latent_reinforce":
        params = jax.tree.map(np.float64, before.params)
        means = plain_latent.lstm_means(params, states)
    np.testing.assert_allclose(actions - means, noise, atol=1e-5)
    targets = actions + states if settings.get("relative") else actions
    released = settings.get("variant") == "released"
    rows = plain_latent.walk(VECTORS, start, targets, skip_nearest=released)
    assert latent_table.rows(proposal.archs).tolist() == rows
    np.testing.assert_array_equal(states, VECTORS[[start, *rows[:-1]]])
    np.testing.assert_array_equal(state.state, TABLE.vectors[rows[-1]])
    assert set(np.flatnonzero(state.visited)) == {start, *rows}
    assert proposal.trial.tolist() == list(range(6))


def test_the_gradient_of_the_policy_is_that_of_differences():
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(2, 5, 3))
    weights = rng.normal(size=5)
    with jax.enable_x64(True):
        params = lstm_policy.init(KEYS[0], 3, 4)
        params = {k: jnp.asarray(v, jnp.float64) for k, v in params.items()}
        slope = lstm_policy.gradient(
            params, jnp.asarray(states), jnp.asarray(actions), jnp.asarray(weights)
        )
    params = jax.tree.map(np.asarray, params)
    for name, value in params.items():
        direction = rng.normal(size=value.shape)
        ahead, back = (
            plain_latent.policy_loss(
                {**params, name: value + step * direction}, states, actions, weights
            )
            for step in (1e-5, -1e-5)
        )
        np.testing.assert_allclose(
            np.sum(np.asarray(slope[name]) * direction),
            (ahead - back) / 2e-5,
            rtol=1e-6,
        )


def test_initial_weights_are_uniform_and_differ():
    params = lstm_policy.init(KEYS[0], 16, 64)
    shapes = {name: value.shape for name, value in params.items()}
    assert shapes["input"] == (16, 256) and shapes["hidden"] == (64, 256)
    assert shapes["out"] == (64, 16) and shapes["out_bias"] == (16,)
    drawn = np.concatenate([np.ravel(value) for value in params.values()])
    assert abs(drawn).max() <= 1 / 8 and abs(drawn.mean()) < 2e-3
    assert abs(drawn.std() - 1 / 8 / np.sqrt(3)) < 1e-3


@pytest.mark.parametrize("variant, discount", [("thesis", 0.8), ("released", 0.0)])
def test_an_episode_teaches_by_its_discounted_rewards(variant, discount):
    algorithm = search.make(
        "latent_reinforce",
        SPACE,
        table=TABLE,
        episode_length=5,
        num_hidden=4,
        baseline=0.6,
        pending=2,
        variant=variant,
    )
    state = jax.jit(algorithm.init)(KEYS[0])
    ask, tell = jax.jit(algorithm.ask), jax.jit(algorithm.tell)
    proposal, state = ask(KEYS[1], state)
    late, state = ask(KEYS[2], state)
    rewards = np.array([0.5, 0.9, -np.inf, 0.2, 0.7], np.float32)
    nothing = jnp.zeros(5)
    learnt = tell(state, proposal, Evaluation(rewards, nothing, nothing, nothing))
    # A training without a score is worth the baseline.
    gains = np.where(np.isfinite(rewards), rewards, 0.6)
    expected = lstm_policy.gradient(
        state.params,
        state.episodes.states[0],
        state.episodes.actions[0],
        jnp.float32(plain_latent.discounted(gains, discount, 0.6)),
    )
    for name, slope in expected.items():
        # The first step of Adam.
        moved = state.params[name] - 1e-2 * slope / (abs(slope) + 1e-8)
        np.testing.assert_allclose(learnt.params[name], moved, atol=1e-5)
    _, state = ask(KEYS[3], learnt)  # takes the place of the first episode
    same = tell(state, proposal, Evaluation(rewards, nothing, nothing, nothing))
    jax.tree.map(np.testing.assert_array_equal, same.params, state.params)
    other = tell(state, late, Evaluation(rewards, nothing, nothing, nothing))
    assert (other.params["out"] != state.params["out"]).any()


def test_a_policy_learns_where_rewards_are():
    table = latent_table.make(side=60)
    table = table.replace(vectors=3 * table.vectors)
    # The score is high at the top right.
    evaluate = latent_table.evaluate(table.replace(vectors=table.vectors / 3))
    settings = {"table": table, "episode_length": 8}
    ours = search.make(
        "latent_reinforce", SPACE, num_hidden=8, baseline=0.5, **settings
    )
    control = search.make("latent_control", SPACE, **settings)
    late = {}
    for name, algorithm in (("ours", ours), ("control", control)):
        history = search.run_trials(KEYS, algorithm, evaluate, 60)
        late[name] = history.valid[:, -160:].mean()
    assert late["ours"] > late["control"] + 0.1


def test_nearest_rows_are_those_of_numpy():
    rng = np.random.default_rng(1)
    targets = rng.normal(size=(7, 2)).astype(np.float32)
    excluded = rng.random((7, 400)) < 0.5
    distance = np.linalg.norm(VECTORS[None] - targets[:, None], axis=2)
    for skip in (False, True):
        rows, there = jax.vmap(
            lambda target, out, skip=skip: embedding_table.nearest(
                KEYS[0], TABLE, target, out, skip_first=skip
            )
        )(targets, excluded)
        barred = excluded.copy()
        if skip:
            barred[np.arange(7), distance.argmin(axis=1)] = True
        assert there.all()
        expected = np.where(barred, np.inf, distance).argmin(axis=1)
        np.testing.assert_array_equal(rows, expected)
    everything = jnp.ones(400, bool)
    assert not embedding_table.nearest(KEYS[0], TABLE, targets[0], everything)[1]


def test_a_table_that_is_used_up_leaves_slots_unused():
    table = latent_table.make(side=3)
    algorithm = search.make("latent_control", SPACE, table=table, episode_length=6)
    history = search.run_trials(KEYS[:2], algorithm, latent_table.evaluate(table), 2)
    assert (history.mask.sum(axis=1) == 8).all()  # the start is not trained
    assert history.mask[:, :8].all()


def test_a_random_projection_is_linear_in_the_genes():
    archs = nasbench201.enumerate_cells()[::7]
    table = embedding_table.random_projection(KEYS[0], SPACE, archs, num_features=8)
    again = embedding_table.random_projection(KEYS[0], SPACE, archs, num_features=8)
    np.testing.assert_array_equal(table.vectors, again.vectors)
    one_hot = np.eye(5)[archs].reshape(len(archs), -1)
    matrix, *_ = np.linalg.lstsq(one_hot, table.vectors, rcond=None)
    np.testing.assert_allclose(one_hot @ matrix, table.vectors, atol=1e-4)
    assert 0.5 < np.linalg.norm(table.vectors, axis=1).mean() < 1.6
    assert (table.archs == archs).all()


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(errors.ConfigError, match="table=... is needed"):
        search.make("latent_reinforce", SPACE)
    with pytest.raises(errors.ConfigError, match="variant of arch2vec-RL"):
        search.make("latent_control", SPACE, table=TABLE, variant="fixed")
    with pytest.raises(errors.ConfigError, match="discount = 2"):
        search.make("latent_reinforce", SPACE, table=TABLE, discount=2)
    with pytest.raises(errors.ConfigError, match="num_hidden = 0"):
        search.make("latent_reinforce", SPACE, table=TABLE, num_hidden=0)
    with pytest.raises(errors.ConfigError, match="episode_length = 0"):
        search.make("latent_control", SPACE, table=TABLE, episode_length=0)
    with pytest.raises(errors.ConfigError, match="archs .N, G. and vectors"):
        bad = TABLE.replace(vectors=TABLE.vectors[:10])
        search.make("latent_control", SPACE, table=bad)
    with pytest.raises(errors.ConfigError, match="architectures of 5 genes"):
        bad = TABLE.replace(archs=TABLE.archs[:, 1:])
        search.make("latent_control", SPACE, table=bad)


def test_rows_that_share_vectors_are_searched_as_if_each_had_its_own(monkeypatch):
    """A few vectors and codes, or a vector a row: the same proposals."""
    whole = np.asarray(TABLE.vectors)[np.arange(400) // 8 * 8]
    vectors, codes = np.unique(whole, axis=0, return_inverse=True)
    assert len(vectors) == 50
    shared = embedding_table.EmbeddingTable(
        TABLE.archs, jnp.asarray(vectors), codes=jnp.asarray(codes.reshape(-1))
    )
    own = embedding_table.EmbeddingTable(TABLE.archs, jnp.asarray(whole))
    np.testing.assert_array_equal(shared.of(jnp.arange(400)), own.vectors)
    evaluate = latent_table.evaluate_genes()
    for name in ("latent_control", "cate_dngo_ls"):
        settings = {"predictor_options": {"epochs": 2}} if "dngo" in name else {}
        histories = [
            search.run_trials(
                KEYS[:2], search.make(name, SPACE, table=table, **settings), evaluate, 4
            )
            for table in (shared, own)
        ]
        np.testing.assert_array_equal(histories[0].archs, histories[1].archs)
    with pytest.raises(errors.ConfigError, match="codes"):
        embedding_table.check(shared.replace(codes=shared.codes[:9]), SPACE, needed=1)
