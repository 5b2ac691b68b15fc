"""Local search (White et al., 2020; Den Ottelander et al., 2021)."""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import draws
from nasjax.search.algorithm import SearchAlgorithm

VARIANTS = ("thesis", "released")


class LocalSearchState(struct.PyTreeNode):
    """A descent: its centre, whose neighbours are evaluated, and the best seen.

    Attributes:
      center: int32 `[G]`, whose neighbourhood is being evaluated.
      center_valid: float32 `[]`, its score, -inf before there is one.
      best: int32 `[G]`, best architecture of this descent.
      best_valid: float32 `[]`, its score.
      remaining: bool `[M]`, neighbours of the centre that were not proposed yet.
      random_left: int32 `[]`, random architectures to propose before the next move.
      asked: int32 `[]`, how many trainings have been proposed.
    """

    center: Array
    center_valid: Array
    best: Array
    best_valid: Array
    remaining: Array
    random_left: Array
    asked: Array


def local_search(
    space: SearchSpace,
    *,
    num_init: int = 10,
    num_restart: int = 1,
    first_improvement: bool = False,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """Steepest ascent from the best of some random architectures, with restarts.

    The neighbours of the centre are evaluated in random order; the best of them is the
    next centre if it is better (White et al., 2020, algorithm 1). At a local optimum
    the search starts over from new random architectures. Architectures that were met
    before are trained again, as in NAS-Bench-x11.

    Args:
      space: what is searched.
      num_init: random architectures at the start; the best is the first centre.
      num_restart: random architectures at a restart.
      first_improvement: move as soon as a neighbour is better than the centre.
      variant: "released": as in the code of NAS-Bench-x11 the random architecture of a
        restart is no part of the history; here it is not even evaluated, so its best
        neighbour is always taken, and `num_restart` has no effect.

    Raises:
      ConfigError: a number is below 1, or there is no such variant.
    """
    if min(num_init, num_restart) < 1:
        raise errors.ConfigError(
            f"num_init = {num_init} and num_restart = {num_restart} must be at least 1"
        )
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of local search", variant, VARIANTS)

    def init(key: Key) -> LocalSearchState:
        arch = space.sample(key)
        remaining = jnp.zeros_like(space.neighbors(arch)[1])
        nothing = jnp.float32(-jnp.inf)
        return LocalSearchState(
            center=arch,
            center_valid=nothing,
            best=arch,
            best_valid=nothing,
            remaining=remaining,
            random_left=jnp.int32(num_init),
            asked=jnp.int32(0),
        )

    def advance(state: LocalSearchState, fresh: Array) -> LocalSearchState:
        """Moves or starts over where the neighbourhood is used up."""
        used_up = (state.random_left == 0) & ~jnp.any(state.remaining)
        move = used_up & (state.best_valid > state.center_valid)
        restart = used_up & ~move
        center = jnp.where(move, state.best, state.center)
        if variant == "released":
            center = jnp.where(restart, fresh, center)
        forget = jnp.where(restart, -jnp.inf, state.best_valid)
        again = 0 if variant == "released" else num_restart
        return state.replace(
            center=center,
            center_valid=jnp.where(used_up, forget, state.center_valid),
            best_valid=forget,
            remaining=state.remaining | used_up,
            random_left=jnp.where(restart, again, state.random_left),
        )

    def ask(key: Key, state: LocalSearchState) -> tuple[Proposal, LocalSearchState]:
        key_random, key_pick = jax.random.split(key)
        fresh = space.sample(key_random)
        state = advance(state, fresh)
        archs, exists = space.neighbors(state.center)
        left = state.remaining & exists
        order = draws.uniform(key_pick, left.shape[0])
        pick = jnp.argmax(jnp.where(left, order, -1.0))
        is_random = state.random_left > 0
        # A centre without any neighbour: a random architecture keeps the slot useful.
        arch = jnp.where(is_random | ~jnp.any(left), fresh, archs[pick])
        after = left & (jnp.arange(left.shape[0]) != pick)
        state = state.replace(
            remaining=after & ~is_random,
            random_left=jnp.maximum(state.random_left - 1, 0),
            asked=state.asked + 1,
        )
        return Proposal.single(arch, trial=state.asked - 1), state

    def tell(
        state: LocalSearchState, proposal: Proposal, evaluation: Evaluation
    ) -> LocalSearchState:
        valid = evaluation.valid[0]
        better = valid > state.best_valid
        remaining = state.remaining
        if first_improvement:
            remaining &= ~(better & (valid > state.center_valid))
        return state.replace(
            best=jnp.where(better, proposal.archs[0], state.best),
            best_valid=jnp.where(better, valid, state.best_valid),
            remaining=remaining,
        )

    return SearchAlgorithm(init, ask, tell)
