"""Where a driven search stands: all that its checkpoints hold."""

from collections.abc import Collection, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax.core.types import Evaluation, Key, Proposal
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.history import History
from nasjax.search.loops import budget, scan

FREE = -1
_YOUNGER = (
    "history/trained",
    "state/episodes/rewards/values",
    "state/episodes/rewards/left",
)
"""Leaves that searches of older versions were saved without: what they begin with
is right for these."""


class DriveState(struct.PyTreeNode):
    """State of a search with up to W proposals in flight; arrays are numpy's.

    Attributes:
      key: key of the run.
      state: of the algorithm, after the last ask and the last tell.
      spent: totals of what was told.
      asked: how many proposals were made.
      told: how many have been told.
      steps: int32 `[W]`, number of the proposal in each place, `FREE` where none is.
      proposals: fields `[W, Q, ...]`.
      done: bool `[W, Q]`, whose evaluation is known, or not needed.
      results: evaluations `[W, Q]`, curves `[W, Q, T]`.
      finished: int32 `[W]`, the order in which proposals were completed, `FREE` before.
      history: `[num_steps * Q]`, filled up to `told * Q`.
    """

    key: Key
    state: Any
    spent: budget.Spent
    asked: int
    told: int
    steps: Any
    proposals: Proposal
    done: Any
    results: Evaluation
    finished: Any
    history: History


def start(
    key: Key,
    algorithm: SearchAlgorithm,
    num_steps: int,
    *,
    places: int,
    curve_length: int,
) -> DriveState:
    """The journal before the first ask; `places` is W, `curve_length` T."""
    keys = scan.split_keys(key)
    state = jax.jit(algorithm.init)(keys.init)
    proposal = jax.eval_shape(algorithm.ask, keys.asks, state)[0]
    size, num_genes = proposal.archs.shape
    scores: Any = np.full((places, size), np.nan, np.float32)
    curves: Any = np.full((places, size, curve_length), np.nan, np.float32)
    return DriveState(
        key=key,
        state=state,
        spent=budget.Spent.zero(),
        asked=0,
        told=0,
        steps=np.full(places, FREE, np.int32),
        proposals=jax.tree.map(
            lambda x: np.zeros((places, *x.shape), x.dtype), proposal
        ),
        done=np.zeros((places, size), bool),
        results=Evaluation(scores, scores, scores, curves),
        finished=np.full(places, FREE, np.int32),
        history=_blank(num_steps * size, num_genes),
    )


def resized(journal: DriveState, num_rows: int) -> DriveState:
    """The same search with room for `num_rows` of history, at least those it has."""
    told = journal.told * journal.done.shape[1]
    blank = _blank(num_rows, journal.history.archs.shape[1])

    def copy(new: np.ndarray, old: Any) -> np.ndarray:
        new[:told] = np.asarray(old)[:told]
        return new

    return journal.replace(history=jax.tree.map(copy, blank, journal.history))


def as_saved(journal: DriveState, names: Collection[str]) -> DriveState:
    """Without the leaves that the saved search is too old to have.

    `names` are those of the leaves that it has.
    """

    def keep(path: Any, leaf: Any) -> Any:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        return None if name in _YOUNGER and name not in names else leaf

    kept: DriveState = jax.tree_util.tree_map_with_path(keep, journal)
    return kept


def completed(journal: DriveState, begun: DriveState) -> DriveState:
    """With what `as_saved` has left out, as it is in a search that has just begun."""
    joined: DriveState = jax.tree.map(
        lambda one, other: other if one is None else one,
        journal,
        begun,
        is_leaf=lambda leaf: leaf is None,
    )
    return joined


def is_same(state: Any, other: Any) -> bool:
    """Whether two states of an algorithm have the same bits."""

    def bits(leaf: Any) -> bytes:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()

    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(other), strict=True)
    return all(bits(one) == bits(two) for one, two in pairs)


def _blank(num_rows: int, num_genes: int) -> History:
    """A history of nothing."""
    fields: dict[str, Any] = {
        "archs": np.zeros((num_rows, num_genes), np.int32),
        "epochs": np.zeros(num_rows, np.int32),
        "mask": np.zeros(num_rows, bool),
        "valid": np.full(num_rows, -np.inf, np.float32),
        "test": np.full(num_rows, np.nan, np.float32),
        "seconds": np.zeros(num_rows, np.float32),
        "trial": np.zeros(num_rows, np.int32),
        "trained": np.zeros(num_rows, np.int32),
    }
    return History(**fields)


def add(journal: DriveState, proposal: Proposal, state: Any) -> DriveState:
    """Puts the next proposal into a free place; unused slots are done at once."""
    place = int(np.argmax(journal.steps == FREE))
    results = jax.tree.map(lambda x: _put(x, place, np.nan), journal.results)
    journal = journal.replace(
        state=state,
        asked=journal.asked + 1,
        steps=_put(journal.steps, place, journal.asked),
        proposals=jax.tree.map(
            lambda xs, x: _put(xs, place, x), journal.proposals, proposal
        ),
        done=_put(journal.done, place, ~np.asarray(proposal.mask)),
        results=results,
        finished=_put(journal.finished, place, FREE),
    )
    return _note_finished(journal, place)


def record(
    journal: DriveState, step: int, slot: int, evaluation: Evaluation
) -> DriveState:
    """Notes the evaluation of one slot of proposal number `step`."""
    place = int(np.argmax(journal.steps == step))
    journal = journal.replace(
        done=_put(journal.done, (place, slot), True),
        results=jax.tree.map(
            lambda xs, x: _put(xs, (place, slot), x), journal.results, evaluation
        ),
    )
    return _note_finished(journal, place)


def _note_finished(journal: DriveState, place: int) -> DriveState:
    if not journal.done[place].all():
        return journal
    number = int(journal.finished.max()) + 1
    return journal.replace(finished=_put(journal.finished, place, number))


def missing(journal: DriveState) -> Iterator[tuple[int, int, int]]:
    """Place, step and slot of every evaluation that is not known, oldest first."""
    for place in np.argsort(journal.steps, kind="stable"):
        if journal.steps[place] != FREE:
            for slot in np.flatnonzero(~journal.done[place]):
                yield int(place), int(journal.steps[place]), int(slot)


def next_to_tell(journal: DriveState, order: str) -> int | None:
    """The place whose proposal is told next, if it is complete.

    `order`: "asked": the oldest; "completed": the one that was complete first.
    """
    taken = journal.steps != FREE
    complete = taken & (journal.finished != FREE)
    if not complete.any():
        return None
    if order == "completed":
        return int(np.argmin(np.where(complete, journal.finished, np.iinfo("i4").max)))
    oldest = int(np.argmin(np.where(taken, journal.steps, np.iinfo("i4").max)))
    return oldest if complete[oldest] else None


def tell(
    journal: DriveState, place: int, state: Any, spent: budget.Spent, told: History
) -> DriveState:
    """Moves a proposal from its place to the history."""
    size = journal.done.shape[1]
    rows = slice(journal.told * size, (journal.told + 1) * size)
    return journal.replace(
        state=state,
        spent=spent,
        told=journal.told + 1,
        steps=_put(journal.steps, place, FREE),
        finished=_put(journal.finished, place, FREE),
        history=jax.tree.map(lambda xs, x: _put(xs, rows, x), journal.history, told),
    )


def _put(array: np.ndarray, place: Any, value: Any) -> np.ndarray:
    """A copy of `array` with another value at `place`."""
    copy = array.copy()
    copy[place] = np.asarray(value)
    return copy
