"""The rungs of brackets, one bracket after another: what is next, what came of it.

Sizes: S evaluations of one round of all brackets, G genes.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core.types import LAST, Array, Proposal
from nasjax.search.multi_fidelity.brackets import Bracket


class Schedule(NamedTuple):
    """Facts of the S evaluations of a round, in their order; numpy arrays.

    Attributes:
      epochs: int32 `[S]`, completed epochs after it; `LAST` on the highest rungs.
      trained: int32 `[S]`, epochs on the rung below; 0 on the lowest.
      start: int32 `[S]`, first place of its rung.
      below: int32 `[S]`, first place of the rung below, which ends at `start`; equal to
        `start` on the lowest.
      level: int32 `[S]`, its rung among all numbers of epochs, 0 the fewest.
      size: int32 `[S]`, places of its rung.
    """

    epochs: np.ndarray
    trained: np.ndarray
    start: np.ndarray
    below: np.ndarray
    level: np.ndarray
    size: np.ndarray

    @property
    def num_levels(self) -> int:
        return int(self.level.max()) + 1


def schedule(brackets: Sequence[Bracket]) -> Schedule:
    """One round of these brackets, one after another."""
    rows, start = [], 0
    for bracket in brackets:
        below, trained = start, 0
        for size, epochs in zip(bracket.sizes, bracket.epochs, strict=True):
            rows += [(epochs, trained, start, below, size)] * size
            below, trained, start = start, epochs, start + size
    epochs, trained, starts, below, size = np.array(rows, np.int32).T
    distinct, level = np.unique(epochs, return_inverse=True)
    to_end = np.where(epochs == distinct[-1], np.int32(LAST), epochs)
    level = level.astype(np.int32)
    return Schedule(to_end, trained, starts, below, level, size)


class Rungs(struct.PyTreeNode):
    """Evaluations of the current round; those to come hold what the last round left.

    Attributes:
      items: `[S, ...]`, what was trained: genes, or points of the unit cube.
      trial: int32 `[S]`, name of the training, -1 before the first.
      valid: float32 `[S]`, its score; -inf before it is told.
      told: bool `[S]`, whether the result is back.
      promoted: bool `[S]`, whether its training was continued on the rung above.
      asked: int32 `[]`, evaluations proposed.
      started: int32 `[]`, trainings begun: the name of the next.
    """

    items: Array
    trial: Array
    valid: Array
    told: Array
    promoted: Array
    asked: Array
    started: Array

    @classmethod
    def empty(cls, schedule: Schedule, item: Any) -> "Rungs":
        """Before the first evaluation; items have the shape and type of `item`."""
        size = len(schedule.epochs)
        return cls(
            items=jnp.zeros((size, *item.shape), item.dtype),
            trial=jnp.full(size, -1, jnp.int32),
            valid=jnp.full(size, -jnp.inf),
            told=jnp.zeros(size, bool),
            promoted=jnp.zeros(size, bool),
            asked=jnp.int32(0),
            started=jnp.int32(0),
        )


class Turn(NamedTuple):
    """The next evaluation.

    Attributes:
      place: int32 `[]`, its number in the round.
      is_first: bool `[]`, whether it is on the lowest rung of its bracket.
      source: int32 `[]`, place of the best of the rung below that was not promoted yet.
      ready: bool `[]`, whether all results of the rung below are back.
    """

    place: Array
    is_first: Array
    source: Array
    ready: Array


def upcoming(rungs: Rungs, table: Schedule) -> Turn:
    """The next evaluation. Of equal scores the one asked for first goes on first."""
    numbers = jnp.arange(len(table.epochs))
    place = rungs.asked % len(table.epochs)
    start, below = jnp.asarray(table.start)[place], jnp.asarray(table.below)[place]
    beneath = (numbers >= below) & (numbers < start)
    return Turn(
        place=place,
        is_first=below == start,
        source=best(rungs.valid, beneath & ~rungs.promoted),
        ready=jnp.all(rungs.told | ~beneath),
    )


def best(valid: Array, allowed: Array) -> Array:
    """int32 `[]`, the first place of the highest score that is allowed.

    A training without a score (-inf) comes last, but before what is not allowed.
    """
    lowest = jnp.finfo(valid.dtype).min
    ranked = jnp.where(allowed, jnp.maximum(valid, lowest), -jnp.inf)
    return jnp.argmax(ranked).astype(jnp.int32)


def enter(rungs: Rungs, turn: Turn, item: Array, trial: Array, is_new: Array) -> Rungs:
    """With the next evaluation asked for, if it is ready; else as it was.

    Args:
      rungs: before.
      turn: what `upcoming` has found.
      item: what is trained.
      trial: int32 `[]`, name of its training.
      is_new: bool `[]`, whether this training begins.
    """
    size = rungs.trial.shape[0]
    place = jnp.where(turn.ready, turn.place, size)  # beyond the end: dropped
    return rungs.replace(
        items=rungs.items.at[place].set(item, mode="drop"),
        trial=rungs.trial.at[place].set(trial, mode="drop"),
        valid=rungs.valid.at[place].set(-jnp.inf, mode="drop"),
        told=rungs.told.at[place].set(False, mode="drop"),
        promoted=rungs.promoted.at[place].set(False, mode="drop"),
        asked=rungs.asked + turn.ready,
        started=rungs.started + (turn.ready & is_new),
    )


def ask(rungs: Rungs, table: Schedule, turn: Turn, fresh: Array) -> tuple[Array, Rungs]:
    """The usual next evaluation: a fresh item on the lowest rung, else the best below.

    Args:
      rungs: before.
      table: the round.
      turn: what `upcoming` has found.
      fresh: what a new training would train.

    Returns:
      What is trained, and the rungs after it was asked for.
    """
    item = jnp.where(turn.is_first, fresh, rungs.items[turn.source])
    trial = jnp.where(turn.is_first, rungs.started, rungs.trial[turn.source])
    promoted = turn.ready & ~turn.is_first
    source = jnp.where(promoted, turn.source, len(table.epochs))
    after = enter(rungs, turn, item, trial, turn.is_first)
    flags = after.promoted.at[source].set(True, mode="drop")
    return item, after.replace(promoted=flags)


def proposal(
    rungs: Rungs, table: Schedule, turn: Turn, arch: Array, *, resume: bool, new: Array
) -> Proposal:
    """What is asked for, of the rungs after `enter`; all masked if it is not ready.

    Args:
      rungs: after the ask.
      table: the round.
      turn: what `upcoming` has found.
      arch: int32 `[G]`.
      resume: whether a promoted training is continued; if not, it starts again.
      new: bool `[]`, whether this training begins.
    """
    trained = jnp.where(new, 0, jnp.asarray(table.trained)[turn.place])
    return Proposal.batch(
        arch[None],
        trial=rungs.trial[turn.place][None],
        mask=turn.ready[None],
        epoch=jnp.asarray(table.epochs)[turn.place],
        trained=trained if resume else 0,
    )


def tell(
    rungs: Rungs, table: Schedule, asked: Proposal, valid: Array
) -> tuple[Rungs, Array]:
    """With the result `valid` `[1]` of a proposal.

    Returns:
      The rungs, and int32 `[]`, the place of the evaluation: S where the slot is masked
      or its place was taken by a later round.
    """
    open_places = (rungs.trial == asked.trial[0]) & ~rungs.told
    mine = open_places & (jnp.asarray(table.epochs) == asked.epochs[0])
    mine &= asked.mask[0]
    place = jnp.where(jnp.any(mine), jnp.argmax(mine), mine.shape[0])
    return rungs.replace(
        valid=rungs.valid.at[place].set(valid[0], mode="drop"),
        told=rungs.told.at[place].set(True, mode="drop"),
    ), place.astype(jnp.int32)
