"""Hyperband (Li et al., 2018)."""

from nasjax.core.types import SearchSpace
from nasjax.search.algorithm import SearchAlgorithm
from nasjax.search.multi_fidelity import brackets
from nasjax.search.multi_fidelity.successive_halving import run_brackets


def hyperband(
    space: SearchSpace,
    *,
    max_epochs: int,
    min_epochs: int = 1,
    eta: int = 3,
    sizes: str = "paper",
    last_epoch: int | None = None,
    resume: bool = True,
) -> SearchAlgorithm:
    """Hyperband (Li et al., 2018, algorithm 1), round after round.

        algorithm = search.make("hyperband", space, max_epochs=27)

    Brackets of successive halving from many short trainings to full ones only, all of
    about the same cost; a cell that is drawn twice is trained twice. eta = 3 and r = 1
    are the paper's. NAS-Bench-x11 takes r = 4 (on 50 epochs eta = 2 and r = 1; on
    NAS-Bench-201's 200 r = 12, R = 512 and `last_epoch=200`); its code trains from
    scratch on every rung and charges for that (`resume=False`), and reads the curve one
    epoch later than it pays for, which is not done here.

    Args:
      space: what is searched.
      max_epochs: R, epochs of a training to the end.
      min_epochs: r, the fewest epochs of a training.
      eta: one in eta is promoted.
      sizes: rule of the brackets' sizes, see `brackets.hyperband`.
      last_epoch: where trainings end although R is more; None: at R.
      resume: a promoted training is continued and pays only for the added epochs; if
        not, it starts again.

    Raises:
      ConfigError: a number is out of range, or there is no such rule of sizes.
    """
    ladder = brackets.hyperband(
        min_epochs=min_epochs,
        max_epochs=max_epochs,
        eta=eta,
        sizes=sizes,
        last_epoch=last_epoch,
    )
    return run_brackets(space, ladder, resume=resume)
