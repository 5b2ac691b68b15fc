"""Successive halving (Jamieson & Talwalkar, 2016) of random architectures."""

from collections.abc import Sequence

from nasjax.core.types import Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.multi_fidelity import brackets, rungs
from nasjax.search.multi_fidelity.rungs import Rungs


def successive_halving(
    space: SearchSpace,
    *,
    max_epochs: int,
    min_epochs: int = 1,
    eta: int = 3,
    num_archs: int | None = None,
    resume: bool = True,
) -> SearchAlgorithm:
    """Many short trainings, of which the best 1 in eta go on, again and again.

        algorithm = search.make("successive_halving", space, max_epochs=27)

    n random architectures are trained for R / eta^s epochs, s = floor(log_eta(R / r));
    the best floor(n / eta) of them for eta times as many, and so on to R epochs. Then
    it starts over; a cell that is drawn twice is trained twice. A rung waits until all
    results of the one below are back. The paper takes any n and eta; the defaults are
    those of Hyperband's first bracket.

    Args:
      space: what is searched.
      max_epochs: R, epochs of a training to the end.
      min_epochs: r, the fewest epochs of a training.
      eta: one in eta is promoted.
      num_archs: n; None: eta^s, so that one is left.
      resume: a promoted training is continued and pays only for the added epochs; if
        not, it starts again, as it must on a benchmark whose budgets are trainings of
        their own (NAS-Bench-101's table).

    Raises:
      ConfigError: a number is out of range.
    """
    limits = {"min_epochs": min_epochs, "max_epochs": max_epochs, "eta": eta}
    if num_archs is None:
        num_archs = eta ** brackets.num_halvings(**limits)
    bracket = brackets.successive_halving(num_archs, **limits)
    return run_brackets(space, [bracket], resume=resume)


def run_brackets(
    space: SearchSpace, ladder: Sequence[brackets.Bracket], *, resume: bool
) -> SearchAlgorithm:
    """These brackets one after another, of random architectures, again and again."""
    table = rungs.schedule(ladder)

    def init(key: Key) -> Rungs:
        return Rungs.empty(table, space.sample(key))

    def ask(key: Key, state: Rungs) -> tuple[Proposal, Rungs]:
        turn = rungs.upcoming(state, table)
        arch, state = rungs.ask(state, table, turn, space.sample(key))
        asked = rungs.proposal(
            state, table, turn, arch, resume=resume, new=turn.is_first
        )
        return asked, state

    def tell(state: Rungs, proposal: Proposal, evaluation: Evaluation) -> Rungs:
        return rungs.tell(state, table, proposal, evaluation.valid)[0]

    return SearchAlgorithm(init, ask, tell)
