"""DEHB (Awad et al., 2021): Hyperband whose architectures evolve."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core import errors
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.multi_fidelity import brackets, rungs, unit_points
from nasjax.search.multi_fidelity import differential_evolution as evolution
from nasjax.search.multi_fidelity.rungs import Rungs, Schedule, Turn


class DehbState(struct.PyTreeNode):
    """A subpopulation for each of L numbers of epochs, with room for P members.

    Attributes:
      rungs: the round; items are points float32 `[S, D]`.
      parent: int32 `[S]`, the member that each evaluation competes with.
      points: float32 `[L, P, D]`, members.
      fitness: float32 `[L, P]`, score after the epochs of the level; -inf: none yet.
      trial: int32 `[L, P]`, name of the member's training.
      promoted: bool `[L, P]`, whether its training was continued.
      turn: int32 `[L]`, the member whose turn it is.
    """

    rungs: Rungs
    parent: Array
    points: Array
    fitness: Array
    trial: Array
    promoted: Array
    turn: Array


def dehb(
    space: SearchSpace,
    *,
    max_epochs: int,
    min_epochs: int = 1,
    eta: int = 3,
    sizes: str = "paper",
    last_epoch: int | None = None,
    mutation_factor: float = 0.5,
    crossover_chance: float = 0.5,
    resume: bool = True,
) -> SearchAlgorithm:
    """Differential evolution on each rung of Hyperband, DEHB (Awad et al., 2021).

        algorithm = search.make("dehb", space, max_epochs=27)

    Each number of epochs has a subpopulation of points of the unit cube. The first
    bracket trains random points; in the first round the best of a subpopulation that
    were not promoted yet go on to the next, as in Hyperband. From then on each
    evaluation is a new training: members take turns, and one is crossed with a mutant
    of the best of the subpopulation below (of its own on the lowest rung; of all where
    these are less than three), and replaced if the child is at least as good. A cell
    that comes twice is trained twice.

    F = .5, crossover .5, eta = 3 and random repair are those of the authors (section 5
    of the paper; `src/dehb/optimizers/` of github.com/automl/DEHB, read there), whose
    code has smaller brackets (`sizes="authors"`). Released code: the first bracket
    evolves its random points before they are evaluated; here they are trained.
    NAS-Bench-x11's "DEHB" is another algorithm, without a population, and not
    implemented.

    Args:
      space: what is searched; it needs `decode` and `unit_sizes`.
      max_epochs: R, epochs of a training to the end.
      min_epochs: r, the fewest epochs of a training.
      eta: one in eta is promoted.
      sizes: rule of the brackets' sizes, see `brackets.hyperband`.
      last_epoch: where trainings end although R is more; None: at R.
      mutation_factor: F.
      crossover_chance: how likely a coordinate is the mutant's.
      resume: a promoted training is continued and pays only for the added epochs; if
        not, it starts again.

    Raises:
      ConfigError: a number is out of range, or the space lacks what is needed.
    """
    unit_points.check("dehb", space)
    if not 0 < mutation_factor <= 2 or not 0 <= crossover_chance <= 1:
        raise errors.ConfigError(
            f"mutation_factor = {mutation_factor} must be above 0 and at most 2, "
            f"crossover_chance = {crossover_chance} 0 to 1"
        )
    ladder = brackets.hyperband(
        min_epochs=min_epochs,
        max_epochs=max_epochs,
        eta=eta,
        sizes=sizes,
        last_epoch=last_epoch,
    )
    table = rungs.schedule(ladder)
    members = _population_sizes(table)
    num_members = max(3, int(members.max()))
    num_random = ladder[0].sizes[0]

    def init(key: Key) -> DehbState:
        num_levels, size = table.num_levels, len(space.unit_sizes)
        drawn = unit_points.draw(key, space, num_levels * num_members)
        shape = num_levels, num_members
        return DehbState(
            rungs=Rungs.empty(table, drawn[0]),
            parent=jnp.zeros(len(table.level), jnp.int32),
            points=drawn.reshape(*shape, size),
            fitness=jnp.full(shape, -jnp.inf),
            trial=jnp.full(shape, -1, jnp.int32),
            promoted=jnp.zeros(shape, bool),
            turn=jnp.zeros(num_levels, jnp.int32),
        )

    def evolve(key: Key, state: DehbState, turn: Turn, target: Array) -> Array:
        """float32 `[D]`, a child of the target and a mutant."""
        key_donors, key_cross = jax.random.split(key)
        level = jnp.asarray(table.level)[turn.place]
        below = jnp.where(turn.is_first, level, level - 1)
        size = jnp.asarray(table.size)[turn.place]
        exists = jnp.arange(num_members)[None] < jnp.asarray(members)[:, None]
        top = _rank(state.fitness[below], exists[below]) < size
        is_below = jnp.arange(table.num_levels) == below
        flat = state.points.reshape(-1, target.shape[0])
        usable = exists.reshape(-1) & ~unit_points.is_same(flat, target)
        pool = (is_below[:, None] & top[None]).reshape(-1) & usable
        chosen = flat[evolution.donors(key_donors, pool, usable)]
        mutated = evolution.mutant(chosen, factor=mutation_factor)
        return evolution.crossover(key_cross, target, mutated, chance=crossover_chance)

    def ask(key: Key, state: DehbState) -> tuple[Proposal, DehbState]:
        turn = rungs.upcoming(state.rungs, table)
        level = jnp.asarray(table.level)[turn.place]
        below = jnp.maximum(level - 1, 0)
        parent = state.turn[level]
        target = state.points[level, parent]
        able = (state.fitness[below] > -jnp.inf) & ~state.promoted[below]
        source = rungs.best(state.fitness[below], able)
        promotes = ~turn.is_first & (state.rungs.asked < len(table.level))
        promotes &= jnp.any(able)
        child = evolve(key, state, turn, target)
        child = jnp.where(state.rungs.asked < num_random, target, child)
        point = jnp.where(promotes, state.points[below, source], child)
        trial = jnp.where(promotes, state.trial[below, source], state.rungs.started)
        after = rungs.enter(state.rungs, turn, point, trial, ~promotes)
        arch = unit_points.decode(space, point)
        asked = rungs.proposal(after, table, turn, arch, resume=resume, new=~promotes)
        place = jnp.where(turn.ready, turn.place, len(table.level))
        flag = jnp.where(turn.ready & promotes, source, num_members)
        following = (parent + turn.ready) % jnp.asarray(members)[level]
        state = state.replace(
            rungs=after,
            parent=state.parent.at[place].set(parent, mode="drop"),
            promoted=state.promoted.at[below, flag].set(True, mode="drop"),
            turn=state.turn.at[level].set(following),
        )
        return asked, state

    def tell(state: DehbState, proposal: Proposal, evaluation: Evaluation) -> DehbState:
        after, place = rungs.tell(state.rungs, table, proposal, evaluation.valid)
        level, parent = jnp.asarray(table.level)[place], state.parent[place]
        valid = evaluation.valid[0]
        found = place < len(table.level)
        wins = found & (valid >= state.fitness[level, parent])
        member = jnp.where(wins, parent, num_members)
        return state.replace(
            rungs=after,
            points=state.points.at[level, member].set(after.items[place], mode="drop"),
            fitness=state.fitness.at[level, member].set(valid, mode="drop"),
            trial=state.trial.at[level, member].set(proposal.trial[0], mode="drop"),
            promoted=state.promoted.at[level, member].set(False, mode="drop"),
        )

    return SearchAlgorithm(init, ask, tell)


def _population_sizes(table: Schedule) -> np.ndarray:
    """int32 `[L]`, the size of the largest rung of each level."""
    levels = range(table.num_levels)
    sizes = [table.size[table.level == level].max() for level in levels]
    return np.array(sizes, np.int32)


def _rank(fitness: Array, exists: Array) -> Array:
    """int32 `[P]`, how many members that exist are better; of equals the first is."""
    value = jnp.where(exists, fitness, -jnp.inf)
    order = jnp.argsort(-value, stable=True)
    places = jnp.arange(value.shape[0])
    return jnp.zeros_like(places).at[order].set(places)
