"""Laws of every algorithm: masked slots, parts of a proposal, carried arrays."""

import jax
import jax.numpy as jnp
import latent_table
import numpy as np
import pytest
from jax.tree_util import Partial

from nasjax import encoders, search
from nasjax.core.types import Evaluation
from nasjax.encoders.arch2vec import supervised
from nasjax.search.algorithm import as_argument
from nasjax.search.loops import drive_state

TABLE = {"table": latent_table.make(side=6)}
SMALL = {"num_init": 4, "batch_size": 3, "capacity": 8}
LEARNT = {
    "network": supervised.network("nasbench201", width=4, num_layers=1, num_features=2),
    "candidates": TABLE["table"].archs,
}
EPOCHS = {"predictor_options": {"epochs": 2}}
FIDELITIES = {"max_epochs": 16}
SETTINGS = {
    "random_search": {"batch_size": 3},
    "regularized_evolution": {"population_size": 3, "sample_size": 2},
    "local_search": {"num_init": 2},
    "reinforce": {},
    "successive_halving": FIDELITIES,
    "hyperband": FIDELITIES,
    "bohb": {**FIDELITIES, "num_samples": 2},
    "dehb": FIDELITIES,
    "asha": FIDELITIES,
    "bananas": {
        "features": encoders.make("path_one_hot", "nasbench201"),
        **SMALL,
        **EPOCHS,
    },
    "bo_bohamiann": {
        **SMALL,
        "predictor_options": {"num_burn_in": 1, "num_steps": 2, "keep_every": 1},
    },
    "bo_dngo": {**SMALL, **EPOCHS},
    "bo_gcn": {**SMALL, **EPOCHS},
    "bo_gp": SMALL,
    "cate_dngo": {**TABLE, **SMALL, **EPOCHS},
    "cate_dngo_ls": {**TABLE, **SMALL, **EPOCHS, "variant": "released"},
    "latent_control": {**TABLE, "episode_length": 3},
    "latent_dngo": {**TABLE, **SMALL, **EPOCHS},
    "latent_reinforce": {**TABLE, "episode_length": 3, "num_hidden": 4},
    "neural_predictor": {
        **EPOCHS,
        "num_train": 6,
        "num_best": 3,
        "num_pool": 6,
        "batch_size": 3,
    },
    "supervised_bo": {**LEARNT, **SMALL, **EPOCHS},
    "supervised_reinforce": {**LEARNT, "episode_length": 3, "num_hidden": 4},
}
MEGABYTE = 10**6
# Nothing here is timed, and programs compile faster so.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def hidden_arrays():
    """A space whose functions read 10 MB."""
    space, large = latent_table.SPACE, jnp.zeros(10 * MEGABYTE // 4)

    def read(large, arch):
        return arch + large[arch[0]].astype(jnp.int32)

    def sample(large, key):
        return read(large, space.sample(key))

    def mutate(large, key, arch):
        return space.mutate(key, read(large, arch))

    def neighbors(large, arch):
        return space.neighbors(read(large, arch))

    def decode(large, unit):
        return read(large, space.decode(unit))

    return space._replace(
        sample=Partial(sample, large),
        decode=Partial(decode, large),
        mutate=Partial(mutate, large),
        neighbors=Partial(neighbors, large),
    )


HIDDEN = hidden_arrays()


def test_every_algorithm_is_here():
    assert set(SETTINGS) == set(search.ALGORITHMS)


def told(proposal, valid):
    """An evaluation with these validation scores."""
    nothing = jnp.zeros(len(valid))
    curve = jnp.zeros((len(valid), 2))
    return Evaluation(jnp.asarray(valid, jnp.float32), nothing, nothing, curve)


def assert_same(state, other):
    assert drive_state.is_same(state, other)


@pytest.mark.parametrize("name", SETTINGS)
def test_laws_of_the_contract(name):
    """No program holds the space's arrays; slots are told in any parts and order."""
    algorithm = as_argument(search.make(name, HIDDEN, **SETTINGS[name]))

    def compiled(function, *arguments):
        lowered = jax.jit(lambda f, *xs: f(*xs)).lower(function, *arguments)
        text = lowered.as_text()
        assert len(text) < MEGABYTE, f"{len(text)} bytes of StableHLO"
        program = lowered.compile(compiler_options=QUICK)
        return lambda *xs: program(function, *xs)

    key = jax.random.key(1)
    state = compiled(algorithm.init, key)(key)
    ask = compiled(algorithm.ask, key, state)
    first, state = ask(key, state)
    second, state = ask(jax.random.key(2), state)
    size = len(first.mask)
    scores = np.linspace(0.3, 0.8, size)
    tell = compiled(algorithm.tell, state, first, told(first, scores))

    def tell_part(state, proposal, slots, others):
        """Tells some slots; the others hold something."""
        chosen = np.isin(np.arange(size), slots)
        masked = proposal._replace(mask=proposal.mask & chosen)
        valid = np.where(np.asarray(masked.mask), scores, others)
        return tell(state, masked, told(masked, valid))

    # Nothing is told, whatever stands in the slots, before and after others.
    assert_same(tell_part(state, first, [], 0.9), state)
    whole = tell(state, first, told(first, scores))
    assert_same(tell_part(whole, first, [], 0.9), whole)
    assert_same(tell_part(whole, second, [], -np.inf), whole)
    if name not in ("random_search", "latent_control"):
        assert not drive_state.is_same(whole, state)
    # Slot by slot, in another order, between those of another proposal.
    parts = state
    for slot in reversed(range(size)):
        parts = tell_part(parts, first, [slot], 0.9)
    assert_same(parts, whole)
    both = tell(whole, second, told(second, scores))
    some = tell_part(whole, second, [0], -np.inf)
    assert_same(tell_part(some, second, list(range(1, size)), 0.1), both)
    # Some are never told: what stands in their slots is not seen.
    assert_same(
        tell_part(state, first, [0], -np.inf), tell_part(state, first, [0], 0.9)
    )


def test_a_space_without_arrays_is_built_as_it_is():
    seen = []

    def build(space):
        seen.append(space)
        return search.SearchAlgorithm(space.sample, None, None)

    space = latent_table.SPACE
    assert search.carrying(space, build).init is space.sample
    assert seen == [space] and seen[0] is space


def test_arrays_of_a_space_can_be_replaced_between_two_calls():
    """One program for two spaces of equal functions."""

    def sample(offset, key):
        return jax.random.randint(key, (6,), 0, 2) + offset

    def build(space):
        def ask(key, state):
            arch = space.sample(key)
            return search.Proposal.single(arch, trial=state), state + 1

        return search.SearchAlgorithm(lambda key: jnp.int32(0), ask, lambda s, p, e: s)

    space = latent_table.SPACE._replace(sample=Partial(sample, jnp.int32([2])))
    ask = search.carrying(space, build).ask
    key, calls = jax.random.key(0), jax.jit(lambda f, *xs: f(*xs))
    low = calls(ask, key, jnp.int32(0))[0].archs
    leaves, structure = jax.tree.flatten(ask)
    other = jax.tree.unflatten(structure, [jnp.int32([3])])
    np.testing.assert_array_equal(calls(other, key, jnp.int32(0))[0].archs, low + 1)
    assert calls._cache_size() == 1 and [leaf.shape for leaf in leaves] == [(1,)]
    # Outside of any call the functions read what they were made with.
    eager = ask(key, jnp.int32(0))[0].archs
    np.testing.assert_array_equal(eager, low)


def test_an_episode_that_is_told_in_parts_is_learnt_from_once():
    """Its rewards are kept until the last is there; a lost one teaches nothing."""
    rewards = search.latent_reinforce.rollout.Rewards.empty(2, 3)
    proposal = search.Proposal.batch(
        jnp.zeros((3, 6), jnp.int32),
        trial=3 + jnp.arange(3),
        mask=jnp.array([True, True, False]),
    )
    rewards = rewards.ask(jnp.int32(1), proposal.mask)
    one = proposal._replace(mask=jnp.array([False, True, False]))
    rewards, _, complete = rewards.tell(one, jnp.array([9.0, 0.5, 9.0]), jnp.int32(2))
    assert not complete
    other = proposal._replace(mask=jnp.array([True, False, False]))
    rewards, values, complete = rewards.tell(
        other, jnp.array([0.25, 9.0, 9.0]), jnp.int32(2)
    )
    assert complete
    np.testing.assert_array_equal(values, [0.25, 0.5, -np.inf])
    # Its place was taken: nothing changes.
    late, _, complete = rewards.tell(other, jnp.zeros(3), jnp.int32(4))
    assert not complete
    assert_same(late, rewards)
