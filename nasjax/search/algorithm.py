"""What a search algorithm is: three pure functions, asked and told in turn."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from flax import struct

from nasjax.core.partials import as_partial
from nasjax.core.types import Array, Evaluation, Key, Proposal

Evaluate = Callable[[Key, Array, Array, Array], Evaluation]
"""`(key, arch [G], epoch [], trained []) -> Evaluation`, of one training."""


class SearchAlgorithm(NamedTuple):
    """Pure functions of a state that is a pytree of preallocated arrays.

    Algorithms never see NaN (but in curves): a training without a score, and an unused
    slot, is told with `valid = -inf`, `test = -inf` and no cost. `tell` takes a
    proposal as it was asked for, with any part of its mask: slots that are masked
    change nothing and may be told later, each once. An `ask` that proposes nothing (all
    slots masked) and leaves the state as it is has nothing to ask until more is told.

    One whose functions need large arrays (embeddings of a space)
    makes them `jax.tree_util.Partial`s, so that the arrays are arguments of compiled
    programs.

    Attributes:
      init: `(key) -> state`.
      ask: `(key, state) -> (Proposal, state)`; the batch size Q is always the same.
      tell: `(state, proposal, evaluation) -> state`; fields of the evaluation are `[Q]`
        and its curve `[Q, T]`.
    """

    init: Callable[[Key], Any]
    ask: Callable[[Key, Any], tuple[Proposal, Any]]
    tell: Callable[[Any, Proposal, Evaluation], Any]


class ModelState(struct.PyTreeNode, kw_only=True):
    """Base of the states of algorithms that fit a model on the way.

    Nearly all of their time is spent inside of matrix products and decompositions,
    which are compiled already, so `run_trials` has their programs optimised little.

    Attributes:
      elementwise: operations element by element take most of the time, such as the
        noise of a Markov chain; their fusions are then optimised.
    """

    elementwise: bool = struct.field(pytree_node=False, default=False)


def as_argument(algorithm: SearchAlgorithm) -> SearchAlgorithm:
    """The same algorithm as a pytree that jit takes as an argument.

    Its functions are part of the tree's structure, so a program is compiled once for
    an algorithm however often it is called.
    """
    return SearchAlgorithm(*(as_partial(function) for function in algorithm))


def name_of(algorithm: SearchAlgorithm) -> str:
    """The factory of an algorithm, for messages."""
    ask: Any = algorithm.ask
    while isinstance(ask, functools.partial):
        ask = ask.func
    name = getattr(ask, "__qualname__", type(ask).__name__)
    return str(name).split(".<locals>")[0]
