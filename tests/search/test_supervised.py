"""Searches whose encoder learns on the way, step by step against plain versions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_latent, plain_supervised

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import Evaluation
from nasjax.encoders.arch2vec import supervised
from nasjax.predictors import Prediction
from nasjax.search.latent import joint_embedding, lstm_policy, supervised_bo
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
CELLS = nasbench201.enumerate_cells()[::61]  # 257: two blocks, the last nearly empty
GRAPHS = jax.vmap(nasbench201.to_graph)(jnp.asarray(CELLS, jnp.int32))
PLAIN = np.asarray(GRAPHS.adjacency), np.asarray(GRAPHS.ops)
NETWORK = supervised.network("nasbench201", width=6, num_layers=2, num_features=3)
KEYS = jax.random.split(jax.random.key(4), 4)
KEY_DATA = np.asarray(jax.random.key_data(KEYS))
LENGTH = 5
GIVEN = {"network": NETWORK, "candidates": CELLS}
RL = {**GIVEN, "episode_length": LENGTH, "num_hidden": 4, "baseline": 0.6}
BO = {
    **GIVEN,
    "num_init": 8,
    "batch_size": 4,
    "capacity": 16,
    "predictor_options": {"epochs": 3, "num_hidden": 8, "batch_size": 4},
}


def fresh(number):
    """A key that counts as unused."""
    return jax.random.wrap_key_data(jnp.asarray(KEY_DATA[number]))


CLASSES = nasbench201._classes()[np.asarray(jax.vmap(nasbench201.code)(CELLS))]
"""Equal for candidates that are one cell."""
PLACES = {tuple(cell): row for row, cell in enumerate(CELLS.tolist())}


def rows(archs):
    """Candidates that architectures `[K, 6]` are."""
    return np.array([PLACES[tuple(arch)] for arch in np.asarray(archs).tolist()])


REWARDS = np.array([0.5, 0.9, -np.inf, 0.2, 0.7])


def told(rewards):
    nothing = jnp.zeros(len(rewards))
    return Evaluation(jnp.asarray(rewards, jnp.float32), nothing, nothing, nothing)


def float64(tree):
    return jax.tree.map(np.float64, tree)


@pytest.fixture(scope="module")
def walked():
    """States before, between and after two episodes of which the first was told."""
    algorithm = search.make("supervised_reinforce", SPACE, discount=0.8, **RL)
    ask, tell = jax.jit(algorithm.ask), jax.jit(algorithm.tell)
    with jax.debug_key_reuse(True):
        before = jax.jit(algorithm.init)(fresh(0))
        first, asked = ask(fresh(1), before)
        learnt = tell(asked, first, told(REWARDS))
        second, last = ask(fresh(2), learnt)
    return {
        "tell": tell,
        "states": (before, asked, learnt, last),
        "proposals": (first, second),
    }


def plain_vectors(params, reference):
    """Vectors of all candidates with weights `params`."""
    adjacency, ops = PLAIN
    _, moments = plain_supervised.embed(
        params, adjacency[reference], ops[reference], weights=np.ones(len(reference))
    )
    return plain_supervised.embed(params, adjacency, ops, moments=moments)[0]


def check_episode(before, after, proposal, slot, released=False):
    """Every step goes from the present state to the nearest candidate not met."""
    params = float64(before.params)
    vectors = plain_vectors(params["network"], np.asarray(before.reference))
    path = rows(proposal.archs).tolist()
    seen = [int(before.row), *path[:-1]]
    if released:
        seen = [int(before.row)] * LENGTH
    np.testing.assert_array_equal(after.episodes.rows[slot], seen)
    means = plain_latent.lstm_means(params["policy"], vectors[seen])
    keys = jax.random.split(KEYS[slot + 1], LENGTH)
    noise = np.array([jax.random.normal(key, (3,)) for key in keys])
    actions = np.asarray(after.episodes.actions[slot])
    np.testing.assert_allclose(actions, means + noise, atol=2e-3)
    met = set(np.flatnonzero(before.visited))
    for action, row in zip(actions, path, strict=True):
        distances = np.linalg.norm(vectors - action, axis=1)
        if released:  # of this space: the nearest of all is never met
            distances[distances.argmin()] = np.inf
        distances[list(met)] = np.inf
        assert distances[row] <= distances.min() + 1e-3
        met |= {row} if released else set(np.flatnonzero(CLASSES == CLASSES[row]))
    assert set(np.flatnonzero(after.visited)) == met
    assert int(after.row) == (int(before.row) if released else path[-1])
    first = slot * LENGTH
    assert proposal.trial.tolist() == list(range(first, first + LENGTH))


@pytest.mark.parametrize("slot", [0, 1])
def test_an_episode_walks_through_the_present_embeddings(walked, slot):
    before, after = walked["states"][2 * slot : 2 * slot + 2]
    check_episode(before, after, walked["proposals"][slot], slot)


def test_a_released_episode_reads_the_first_state_only(walked):
    algorithm = search.make("supervised_reinforce", SPACE, variant="released", **RL)
    before = walked["states"][0]
    proposal, after = jax.jit(algorithm.ask)(KEYS[1], before)
    check_episode(before, after, proposal, 0, released=True)


def test_encoder_and_policy_ascend_one_objective(walked):
    _, asked, learnt, _ = walked["states"]
    gains = np.where(np.isfinite(REWARDS), REWARDS, 0.6)
    params = float64(asked.params)
    episode = (
        np.asarray(asked.reference),
        np.asarray(asked.episodes.rows[0]),
        np.asarray(asked.episodes.actions[0], np.float64),
        plain_latent.discounted(gains, 0.8, 0.6),
    )
    slopes = _first_slopes(learnt.optimizer)
    # The first step of Adam.
    jax.tree.map(
        lambda new, old, slope: np.testing.assert_allclose(
            new, old - 1e-2 * slope / (np.abs(slope) + 1e-8), atol=1e-5
        ),
        learnt.params,
        asked.params,
        slopes,
    )
    rng = np.random.default_rng(0)
    for part in ("network", "policy"):
        direction = jax.tree.map(np.zeros_like, params)
        direction[part] = jax.tree.map(
            lambda leaf: rng.normal(size=leaf.shape), params[part]
        )
        ahead, back = (
            plain_supervised.joint_loss(
                jax.tree.map(lambda x, d, s=step: x + s * d, params, direction),
                PLAIN,
                *episode,
            )
            for step in (1e-6, -1e-6)
        )
        along = sum(
            np.sum(slope * way)
            for slope, way in zip(
                jax.tree.leaves(slopes), jax.tree.leaves(direction), strict=True
            )
        )
        np.testing.assert_allclose(along, (ahead - back) / 2e-6, rtol=1e-3, atol=1e-5)


def _first_slopes(optimizer):
    """The slopes of Adam's first step, from their running mean."""
    return jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64) / 0.1, optimizer[0].mu
    )


def test_an_episode_that_is_told_too_late_teaches_nothing(walked):
    proposal, last, tell = walked["proposals"][0], walked["states"][3], walked["tell"]
    late = last.replace(
        episodes=last.episodes.replace(asked=jnp.int32(5))  # four may be in flight
    )
    same = tell(late, proposal, told(np.full(LENGTH, 0.9)))
    jax.tree.map(np.testing.assert_array_equal, same.params, late.params)
    other = tell(last, proposal, told(np.full(LENGTH, 0.9)))
    assert (other.params["policy"]["out"] != last.params["policy"]["out"]).any()


def test_gradients_by_states_are_those_of_differences():
    rng = np.random.default_rng(0)
    states, actions = rng.normal(size=(2, 5, 3))
    weights = rng.normal(size=5)
    with jax.enable_x64(True):
        params = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, float), lstm_policy.init(KEYS[0], 3, 4)
        )
        _, found = lstm_policy.gradients(
            params, jnp.asarray(states), jnp.asarray(actions), jnp.asarray(weights)
        )
    params = float64(params)
    direction = rng.normal(size=states.shape)
    ahead, back = (
        plain_latent.policy_loss(params, states + step * direction, actions, weights)
        for step in (1e-5, -1e-5)
    )
    np.testing.assert_allclose(
        np.sum(np.asarray(found) * direction), (ahead - back) / 2e-5, rtol=1e-6
    )


def test_blocks_are_joined_in_order():
    archs = jnp.arange(600, dtype=jnp.int32)[:, None]
    found = joint_embedding.by_blocks(
        lambda block, weights: (block * 2, jnp.full(len(block), jnp.sum(weights))),
        archs,
    )
    np.testing.assert_array_equal(found[0], 2 * archs)
    np.testing.assert_array_equal(found[1], [256.0] * 512 + [88.0] * 88)


def test_every_round_chooses_candidates_that_were_not_trained():
    algorithm = search.make("supervised_bo", SPACE, **BO)
    ask, tell, met = jax.jit(algorithm.ask), jax.jit(algorithm.tell), []
    with jax.debug_key_reuse(True):
        state = jax.jit(algorithm.init)(fresh(0))
        for number in range(4):
            proposal, state = ask(fresh(number), state)
            met += rows(proposal.archs).tolist()
            assert proposal.mask.all()
            scores = told(np.mean(np.asarray(proposal.archs) == 2, axis=1))
            state = tell(state, proposal, scores)
    assert met[:8] == state.first.tolist() and len(set(met)) == 16
    np.testing.assert_array_equal(
        state.observations.valid, (CELLS[met] == 2).mean(axis=1).astype(np.float32)
    )


@pytest.fixture(scope="module")
def regression():
    """A fit of 40 scores that follow from an operation count, and what it says."""
    rng = np.random.default_rng(0)
    seen = rng.permutation(len(CELLS))[:48]
    worth = (CELLS == 2).mean(axis=1) - 0.5 * (CELLS == 0).mean(axis=1)
    mask = jnp.arange(48) < 40
    network = supervised.network("nasbench201", width=16, num_layers=2, num_features=8)
    predictor = supervised_bo.network_dngo(network, num_hidden=16, epochs=60)
    fit, predict = jax.jit(predictor.fit), jax.jit(predictor.predict)
    archs = jnp.asarray(CELLS, jnp.int32)
    scores = jnp.where(mask, worth[seen], -jnp.inf)
    state = fit(KEYS[0], archs[seen], scores, mask)
    return {
        "network": network,
        "worth": worth,
        "seen": seen,
        "state": state,
        "predict": predict,
        "found": predict(state, archs),
        "other": fit(KEYS[0], archs[seen].at[40:].set(0), scores, mask),
    }


def test_the_predictor_ranks_what_it_has_not_seen(regression):
    unseen = np.setdiff1d(np.arange(len(CELLS)), regression["seen"])
    mean, std = (np.asarray(part) for part in regression["found"])
    assert mean.shape == std.shape == (len(CELLS),) and (std > 0).all()
    correlation = np.corrcoef(mean[unseen], regression["worth"][unseen])[0, 1]
    assert correlation > 0.8
    one = regression["predict"](regression["state"], jnp.asarray(CELLS[7], jnp.int32))
    np.testing.assert_allclose(one.mean, mean[7], rtol=1e-3, atol=1e-4)


def test_rows_outside_the_mask_count_for_nothing(regression):
    jax.tree.map(
        np.testing.assert_array_equal, regression["state"], regression["other"]
    )


def test_predictions_are_a_regression_on_the_hidden_units(regression):
    state = float64(regression["state"])
    vectors, _ = plain_supervised.embed(
        state.params["network"], *PLAIN, moments=state.moments
    )
    head, belief = state.params["head"], state.belief
    hidden = np.tanh(vectors @ head["kernel"] + head["bias"])
    mean, std = regression["found"]
    np.testing.assert_allclose(mean, hidden @ belief.mean, atol=2e-3)
    variance = np.exp(belief.log_noise) + np.square(hidden @ belief.root).sum(axis=1)
    np.testing.assert_allclose(std, np.sqrt(variance), rtol=0.02)


def test_the_released_improvement_misses_its_parentheses():
    mean, variance = np.array([0.9, 0.5, 0.93]), np.array([0.4, 0.2, 0.7])
    found = jax.jit(supervised_bo.unparenthesized_improvement)(mean, variance, 0.95)
    expected = [
        plain_supervised.unparenthesized_improvement(m, v, 0.95)
        for m, v in zip(mean, variance, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    # A large variance counts, the mean hardly does; where all are 0 chance decides.
    orders = [
        supervised_bo._rank_unparenthesized(
            key, Prediction(jnp.full(50, 0.9), jnp.full(50, 0.01)), jnp.float32(0.95)
        )
        for key in KEYS[:2]
    ]
    assert np.argmax(orders[0]) != np.argmax(orders[1])


def test_a_released_prediction_is_normalised_by_its_block(regression):
    predictor = supervised_bo.network_dngo(
        regression["network"], num_hidden=16, variant="released"
    )
    state = regression["state"]
    archs = jnp.asarray(CELLS, jnp.int32)
    mean, _ = jax.jit(predictor.predict)(state, archs)
    state = float64(state)
    size = joint_embedding.BLOCK
    adjacency, ops = (field[:size] for field in PLAIN)
    vectors, _ = plain_supervised.embed(
        state.params["network"], adjacency, ops, weights=np.ones(size)
    )
    head = state.params["head"]
    hidden = np.tanh(vectors @ head["kernel"] + head["bias"])
    np.testing.assert_allclose(mean[:size], hidden @ state.belief.mean, atol=2e-3)
    assert np.abs(mean - regression["found"].mean).max() > 1e-3


def test_a_released_search_is_a_search():
    algorithm = search.make("supervised_bo", SPACE, **{**BO, "variant": "released"})
    shapes = jax.eval_shape(
        lambda key: algorithm.ask(key, algorithm.init(key)), jax.random.key(0)
    )
    assert shapes[0].archs.shape == (4, 6)


def test_settings_that_do_not_fit_are_named():
    for name in ("supervised_reinforce", "supervised_bo"):
        with pytest.raises(errors.ConfigError, match="network=... and candidates=..."):
            search.make(name, SPACE, candidates=CELLS)
        with pytest.raises(errors.ConfigError, match="of 5 genes"):
            search.make(name, SPACE, network=NETWORK, candidates=CELLS[:, 1:])
        with pytest.raises(errors.ConfigError, match="variant of"):
            search.make(name, SPACE, **GIVEN, variant="fixed")
    with pytest.raises(errors.ConfigError, match="discount = 2"):
        search.make("supervised_reinforce", SPACE, **GIVEN, discount=2)
    with pytest.raises(errors.ConfigError, match="did you mean 'epochs'"):
        search.make("supervised_bo", SPACE, **GIVEN, predictor_options={"epoch": 1})
    with pytest.raises(errors.ConfigError, match="epochs is 0"):
        search.make("supervised_bo", SPACE, **GIVEN, predictor_options={"epochs": 0})
    with pytest.raises(errors.ConfigError, match="is by expected_improvement"):
        search.make(
            "supervised_bo",
            SPACE,
            **GIVEN,
            variant="released",
            acquisition_function="thompson_sampling",
        )
