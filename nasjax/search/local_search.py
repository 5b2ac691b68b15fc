"""Local search (White et al., 2020; Den Ottelander et al., 2021)."""

import jax
import jax.numpy as jnp
from flax import struct

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search import novelty
from nasjax.search.algorithm import SearchAlgorithm

VARIANTS = ("thesis", "released")
_FRESH = 8
"""Random architectures of a step; the first one that is new is taken."""


class LocalSearchState(struct.PyTreeNode):
    """A descent: its centre, whose neighbours are evaluated, and the best seen.

    Attributes:
      center: int32 `[G]`, whose neighbourhood is being evaluated.
      center_valid: float32 `[]`, its score, -inf before there is one.
      best: int32 `[G]`, best architecture of this descent.
      best_valid: float32 `[]`, its score.
      remaining: bool `[M]`, neighbours of the centre that are still to be proposed.
      memory: cells that were asked for; None where that does not count.
      random_left: int32 `[]`, random architectures to propose before the next move.
      asked: int32 `[]`, how many trainings have been proposed.
    """

    center: Array
    center_valid: Array
    best: Array
    best_valid: Array
    remaining: Array
    memory: novelty.Memory | None
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
    next centre if it is better (White et al., 2021, algorithm 1). At a local optimum
    the search starts over from new random architectures. As in the authors' code
    (github.com/naszilla/naszilla, `nas_algorithms.local_search`, read there) a cell
    that was evaluated before, under whatever genes (`novelty`), is not evaluated again;
    where eight random architectures were all seen, one of them is.

    `num_init=10` is that code's and NAS-Bench-x11's, `num_restart=1` NAS-Bench-x11's.
    The authors' code restarts with `num_restart=10`, and moves at once
    (`first_improvement=True`) where the paper's algorithm, and this by default, takes
    the best neighbour.

    Args:
      space: what is searched.
      num_init: random architectures at the start; the best is the first centre.
      num_restart: random architectures at a restart.
      first_improvement: move as soon as a neighbour is better than the centre.
      variant: "released": as in the code of NAS-Bench-x11 the random architecture of a
        restart is no part of the history; here it is not even evaluated, so its best
        neighbour is always taken, and `num_restart` has no effect. Architectures that
        were met before are trained again.

    Raises:
      ConfigError: a number is below 1, or there is no such variant.
    """
    if min(num_init, num_restart) < 1:
        raise errors.ConfigError(
            f"num_init = {num_init} and num_restart = {num_restart} must be at least 1"
        )
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of local search", variant, VARIANTS)

    released = variant == "released"

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
            memory=None if released else novelty.Memory.empty(space),
            random_left=jnp.int32(num_init),
            asked=jnp.int32(0),
        )

    def advance(state: LocalSearchState, fresh: Array) -> LocalSearchState:
        """Moves or starts over where the neighbourhood is used up."""
        used_up = (state.random_left == 0) & ~jnp.any(state.remaining)
        move = used_up & (state.best_valid > state.center_valid)
        restart = used_up & ~move
        center = jnp.where(move, state.best, state.center)
        if released:
            center = jnp.where(restart, fresh, center)
        forget = jnp.where(restart, -jnp.inf, state.best_valid)
        again = 0 if released else num_restart
        return state.replace(
            center=center,
            center_valid=jnp.where(used_up, forget, state.center_valid),
            best_valid=forget,
            remaining=state.remaining | used_up,
            random_left=jnp.where(restart, again, state.random_left),
        )

    def ask(key: Key, state: LocalSearchState) -> tuple[Proposal, LocalSearchState]:
        key_random, key_pick = jax.random.split(key)
        if state.memory is not None:
            return ask_new(key_random, key_pick, state, state.memory)
        fresh = space.sample(key_random)
        state = advance(state, fresh)
        archs, exists = space.neighbors(state.center)
        left = state.remaining & exists
        pick = draw(key_pick, left)
        # A centre without any neighbour: a random architecture keeps the slot useful.
        is_random = (state.random_left > 0) | ~jnp.any(left)
        arch = jnp.where(is_random, fresh, archs[pick])
        after = left & (jnp.arange(left.shape[0]) != pick)
        return propose(state, arch, after)

    def ask_new(
        key_random: Key, key_pick: Key, state: LocalSearchState, memory: novelty.Memory
    ) -> tuple[Proposal, LocalSearchState]:
        """`ask` where a cell is evaluated once."""
        drawn = jax.vmap(space.sample)(jax.random.split(key_random, _FRESH))
        state = advance(state, drawn[0])
        archs, exists = space.neighbors(state.center)
        prints = novelty.identify(space, jnp.concatenate([drawn, archs]))
        new = ~memory.knows(prints)
        left = state.remaining & exists & new[_FRESH:]
        stuck = (state.random_left == 0) & ~jnp.any(left)
        state = start_over(state, stuck)
        fresh = jnp.argmax(new[:_FRESH])
        place = jnp.where(state.random_left > 0, fresh, _FRESH + draw(key_pick, left))
        arch = jnp.concatenate([drawn, archs])[place]
        # Of neighbours that are one cell one is enough.
        after = left & jnp.any(prints[_FRESH:] != prints[place][None], axis=1)
        known = memory.add(state.asked[None], prints[place][None])
        return propose(state.replace(memory=known), arch, after)

    def start_over(state: LocalSearchState, stuck: Array) -> LocalSearchState:
        """From random architectures, where all neighbours were seen before."""
        nothing = jnp.float32(-jnp.inf)
        return state.replace(
            center_valid=jnp.where(stuck, nothing, state.center_valid),
            best_valid=jnp.where(stuck, nothing, state.best_valid),
            random_left=jnp.where(stuck, num_restart, state.random_left),
        )

    def draw(key: Key, left: Array) -> Array:
        """int32 `[]`, one of those that are left."""
        order = sampling.uniform(key, left.shape[0])
        return jnp.argmax(jnp.where(left, order, -1.0))

    def propose(
        state: LocalSearchState, arch: Array, after: Array
    ) -> tuple[Proposal, LocalSearchState]:
        """An architecture; `after` `[M]` are the neighbours left if it is one."""
        state = state.replace(
            remaining=after & (state.random_left == 0),
            random_left=jnp.maximum(state.random_left - 1, 0),
            asked=state.asked + 1,
        )
        return Proposal.single(arch, trial=state.asked - 1), state

    def tell(
        state: LocalSearchState, proposal: Proposal, evaluation: Evaluation
    ) -> LocalSearchState:
        valid = evaluation.valid[0]
        better = proposal.mask[0] & (valid > state.best_valid)
        remaining = state.remaining
        if first_improvement:
            remaining &= ~(better & (valid > state.center_valid))
        return state.replace(
            best=jnp.where(better, proposal.archs[0], state.best),
            best_valid=jnp.where(better, valid, state.best_valid),
            remaining=remaining,
        )

    return SearchAlgorithm(init, ask, tell)
