"""REINFORCE: its updates against numpy in float64, and how it draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_search

from nasjax import search
from nasjax.core.types import Proposal
from nasjax.spaces import nasbench101, nasbench201

SPACE = nasbench201.make()
RATE, MOMENTUM = 0.2, 0.8


@pytest.mark.parametrize("variant", ["thesis", "released"])
def test_updates_are_the_formula(variant):
    rng = np.random.default_rng(0)
    archs = rng.integers(0, 5, (30, 6)).astype(np.int32)
    rewards = rng.random(30)
    algorithm = search.make(
        "reinforce", SPACE, learning_rate=RATE, momentum=MOMENTUM, variant=variant
    )

    def step(state, arch_and_reward):
        arch, reward = arch_and_reward
        proposal = Proposal.single(arch, trial=0)
        told = search.Evaluation(
            reward[None], reward[None], jnp.zeros(1), jnp.zeros((1, 0))
        )
        state = algorithm.tell(state, proposal, told)
        return state, state.logits

    state = algorithm.init(jax.random.key(0))
    told = jnp.asarray(archs), jnp.asarray(rewards, jnp.float32)
    _, logits = jax.jit(lambda s, x: jax.lax.scan(step, s, x))(state, told)
    expected = plain_search.reinforce(
        archs, rewards, 5, RATE, MOMENTUM, adam=variant == "thesis"
    )
    # Adam divides by the root of squared gradients, which magnifies rounding.
    np.testing.assert_allclose(logits, expected, atol=2e-4, rtol=1e-4)
    assert abs(expected).max() > 0.05


def test_a_training_without_a_score_teaches_nothing():
    algorithm = search.make("reinforce", SPACE)
    state = algorithm.init(jax.random.key(0))
    proposal, state = algorithm.ask(jax.random.key(1), state)
    bad = search.Evaluation(
        -jnp.inf * jnp.ones(1), jnp.ones(1), jnp.zeros(1), jnp.zeros((1, 0))
    )
    after = algorithm.tell(state, proposal, bad)
    jax.tree.map(np.testing.assert_array_equal, after, state)


@pytest.fixture(scope="module")
def policy():
    """Draws of NAS-Bench-101's policy with all seven vertices, and its state."""
    ranges = ((0, 1),) * 21 + ((0, 2),) * 5 + ((7, 7),)
    space = nasbench101.make()
    algorithm = search.make("reinforce", space, gene_ranges=ranges)
    state = algorithm.init(jax.random.key(0))
    # Edge 0 is as good as always there, operation 0 as good as always the last.
    sharp = state.logits.at[0, 1].set(50.0).at[21, 2].set(50.0)
    ask = jax.jit(jax.vmap(algorithm.ask, (0, None)))
    keys = jax.random.split(jax.random.key(1), 500)
    proposal, _ = ask(keys, state.replace(logits=sharp))
    return space, np.asarray(proposal.archs[:, 0])


def test_the_first_valid_draw_is_proposed(policy):
    space, archs = policy
    assert jax.jit(jax.vmap(space.is_valid))(archs).all()
    own = (archs[:, 0] == 1) & (archs[:, 21] == 2) & (archs[:, -1] == 7)
    # Else none of the candidates was valid, and the space drew.
    assert own.mean() > 0.97
    shares = np.stack([(archs[own, 22] == op).mean() for op in range(3)])
    np.testing.assert_allclose(shares, 1 / 3, atol=0.1)
