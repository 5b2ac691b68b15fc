"""Asynchronous successive halving (Li et al., 2020)."""

import jax.numpy as jnp
from flax import struct

from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.multi_fidelity import brackets


class AshaState(struct.PyTreeNode):
    """The last P trainings; training number t is at place t mod P.

    Attributes:
      archs: int32 `[P, G]`.
      trial: int32 `[P]`, number of the training, -1 where there is none.
      rung: int32 `[P]`, the highest rung that it was asked for.
      valid: float32 `[R, P]`, score on each rung where the result is back.
      told: bool `[R, P]`, whether the result is back.
      started: int32 `[]`, trainings begun.
    """

    archs: Array
    trial: Array
    rung: Array
    valid: Array
    told: Array
    started: Array


def asha(
    space: SearchSpace,
    *,
    max_epochs: int,
    min_epochs: int = 1,
    eta: int = 4,
    early_stopping: int = 0,
    capacity: int = 1000,
    resume: bool = True,
) -> SearchAlgorithm:
    """ASHA (Li et al., 2020, algorithm 2): it never waits.

        algorithm = search.make("asha", space, max_epochs=64)
        search.drive(key, algorithm, train, 500, executor=workers, ask_ahead=8)

    Each ask continues the best training that is among the best floor(n / eta) of the n
    whose results are back on its rung and was not continued yet, from the highest rung
    downwards; if there is none, a random architecture begins. One without a score is
    never continued, and a cell that is drawn twice is trained twice.

    eta = 4, r = 1 and s = 0 are those of the paper's experiments (section 4).

    Args:
      space: what is searched.
      max_epochs: R, epochs of a training to the end.
      min_epochs: r, the fewest epochs of a training.
      eta: one in eta is promoted.
      early_stopping: s, the paper's minimum early-stopping rate: the lowest s rungs are
        left out.
      capacity: P, trainings that are remembered; of more the oldest are forgotten.
      resume: a promoted training is continued and pays only for the added epochs; if
        not, it starts again.

    Raises:
      ConfigError: a number is out of range.
    """
    epochs = _epochs(
        early_stopping, min_epochs=min_epochs, max_epochs=max_epochs, eta=eta
    )
    if capacity < 1:
        raise errors.ConfigError(f"capacity = {capacity} must be at least 1")
    num_rungs = len(epochs)
    targets = (*epochs[:-1], LAST)
    before = (0, *epochs[:-1]) if resume else (0,) * num_rungs

    def init(key: Key) -> AshaState:
        arch = space.sample(key)
        return AshaState(
            archs=jnp.zeros((capacity, *arch.shape), jnp.int32),
            trial=jnp.full(capacity, -1, jnp.int32),
            rung=jnp.zeros(capacity, jnp.int32),
            valid=jnp.full((num_rungs, capacity), -jnp.inf),
            told=jnp.zeros((num_rungs, capacity), bool),
            started=jnp.int32(0),
        )

    def ask(key: Key, state: AshaState) -> tuple[Proposal, AshaState]:
        found, below, place = promotable(state, eta)
        place = jnp.where(found, place, state.started % capacity)
        rung = jnp.where(found, below + 1, 0)
        arch = jnp.where(found, state.archs[place], space.sample(key))
        trial = jnp.where(found, state.trial[place], state.started)
        # What was known of the training whose place is taken goes.
        fresh = jnp.where(found, capacity, place)
        state = state.replace(
            archs=state.archs.at[place].set(arch),
            trial=state.trial.at[place].set(trial),
            rung=state.rung.at[place].set(rung),
            told=state.told.at[:, fresh].set(False, mode="drop"),
            started=state.started + ~found,
        )
        epoch, trained = jnp.array(targets)[rung], jnp.array(before)[rung]
        return Proposal.single(arch, trial=trial, epoch=epoch, trained=trained), state

    def tell(state: AshaState, proposal: Proposal, evaluation: Evaluation) -> AshaState:
        rung = jnp.argmax(jnp.array(targets) == proposal.epochs[0])
        place = proposal.trial[0] % capacity
        known = proposal.mask[0] & (state.trial[place] == proposal.trial[0])
        place = jnp.where(known, place, capacity)
        return state.replace(
            valid=state.valid.at[rung, place].set(evaluation.valid[0], mode="drop"),
            told=state.told.at[rung, place].set(True, mode="drop"),
        )

    return SearchAlgorithm(init, ask, tell)


def promotable(state: AshaState, eta: int) -> tuple[Array, Array, Array]:
    """The training to continue.

    Of each rung it is enough to look at the best that was not continued: if there are
    floor(n / eta) ahead of it, all that may be promoted were. Of equal scores the older
    training is ahead.

    Returns:
      Whether there is one bool `[]`, and its rung and place int32 `[]`.
    """
    valid, told = state.valid[:-1], state.told[:-1]
    num_below, capacity = valid.shape
    if num_below == 0:
        return jnp.bool_(False), jnp.int32(0), jnp.int32(0)
    rungs = jnp.arange(num_below)[:, None]
    waiting = told & (state.rung[None] == rungs) & (valid > -jnp.inf)
    scores = jnp.where(waiting, valid, -jnp.inf)
    value = jnp.max(scores, axis=1, keepdims=True)
    age = jnp.broadcast_to(state.trial[None], valid.shape)
    newest = jnp.iinfo(jnp.int32).max
    first = jnp.where(waiting & (valid == value), age, newest)
    oldest = jnp.min(first, axis=1, keepdims=True)
    ahead = told & ((valid > value) | ((valid == value) & (age < oldest)))
    allowed = jnp.sum(told, axis=1) // eta
    may = jnp.any(waiting, axis=1) & (jnp.sum(ahead, axis=1) < allowed)
    highest = jnp.max(jnp.where(may, jnp.arange(num_below), -1))
    rung = jnp.maximum(highest, 0)
    return highest >= 0, rung, oldest[rung, 0] % capacity


def _epochs(
    early_stopping: int, *, min_epochs: int, max_epochs: int, eta: int
) -> tuple[int, ...]:
    """Epochs of the rungs that are left."""
    halvings = brackets.num_halvings(
        min_epochs=min_epochs, max_epochs=max_epochs, eta=eta
    )
    if not 0 <= early_stopping <= halvings:
        raise errors.ConfigError(
            f"early_stopping = {early_stopping} must be 0 to {halvings}, the number of "
            "promotions from min_epochs to max_epochs"
        )
    epochs = brackets.rung_epochs(halvings, max_epochs=max_epochs, eta=eta)
    return epochs[early_stopping:]
