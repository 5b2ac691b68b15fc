"""Brackets: how many trainings of how many epochs, as static tables.

A bracket of successive halving (Jamieson & Talwalkar, 2016) is a ladder of rungs. On
each the best 1 in eta of the rung below are trained about eta times as long. Hyperband
(Li et al., 2018, algorithm 1) runs brackets that start with many short trainings to
few full ones. All numbers are integers, and all divisions are exact.
"""

import dataclasses

from nasjax.core import errors

SIZES = ("paper", "authors")


@dataclasses.dataclass(frozen=True)
class Bracket:
    """One bracket, lowest rung first.

    Attributes:
      sizes: trainings of each rung.
      epochs: completed epochs after each rung; the last is the end of a training.
    """

    sizes: tuple[int, ...]
    epochs: tuple[int, ...]

    def num_epochs(self, *, resume: bool = True) -> int:
        """Epochs that it trains, from scratch on every rung unless trainings resume."""
        before = (0, *self.epochs[:-1]) if resume else (0,) * len(self.epochs)
        rows = zip(self.sizes, self.epochs, before, strict=True)
        return sum(size * (epochs - paid) for size, epochs, paid in rows)


def num_halvings(*, min_epochs: int, max_epochs: int, eta: int) -> int:
    """s_max = floor(log_eta(R / r)), R `max_epochs` and r `min_epochs`.

    Raises:
      ConfigError: eta is below 2, or not 1 <= min_epochs <= max_epochs.
    """
    if eta < 2:
        raise errors.ConfigError(f"eta = {eta} must be at least 2")
    if not 1 <= min_epochs <= max_epochs:
        raise errors.ConfigError(
            f"min_epochs = {min_epochs} must be 1 to max_epochs = {max_epochs}"
        )
    count = 0
    while min_epochs * eta ** (count + 1) <= max_epochs:
        count += 1
    return count


def rung_epochs(halvings: int, *, max_epochs: int, eta: int) -> tuple[int, ...]:
    """floor(R eta^(i - s)) of the rungs i = 0 to s, s `halvings`."""
    return tuple(max_epochs * eta**i // eta**halvings for i in range(halvings + 1))


def successive_halving(
    num_archs: int, *, min_epochs: int, max_epochs: int, eta: int
) -> Bracket:
    """One bracket: floor(n eta^-i) trainings of floor(R eta^(i - s_max)) epochs.

    Args:
      num_archs: n, architectures of the lowest rung.
      min_epochs: r, epochs of the lowest rung, at least.
      max_epochs: R, epochs of the highest rung.
      eta: one in eta is promoted.

    Raises:
      ConfigError: a number is out of range, or nothing would be left for the highest
        rung.
    """
    halvings = num_halvings(min_epochs=min_epochs, max_epochs=max_epochs, eta=eta)
    if num_archs < eta**halvings:
        raise errors.ConfigError(
            f"num_archs = {num_archs} must be at least {eta**halvings}, or none is "
            "left for the highest rung"
        )
    sizes = tuple(num_archs // eta**i for i in range(halvings + 1))
    return Bracket(sizes, rung_epochs(halvings, max_epochs=max_epochs, eta=eta))


def hyperband(
    *,
    min_epochs: int,
    max_epochs: int,
    eta: int,
    sizes: str = "paper",
    last_epoch: int | None = None,
) -> tuple[Bracket, ...]:
    """The brackets s = s_max to 0 of one round of Hyperband.

    Args:
      min_epochs: r, the paper's unit of resource: the fewest epochs of a training.
      max_epochs: R, the most.
      eta: one in eta is promoted.
      sizes: "paper": n = ceil((s_max + 1) eta^s / (s + 1)); "authors": n =
        floor((s_max + 1) / (s + 1)) eta^s, as the code of BOHB (`optimizers/bohb.py` of
        github.com/automl/HpBandSter) and of DEHB have it.
      last_epoch: where trainings end although R is more; None: at R.

    Raises:
      ConfigError: a number is out of range, or there is no such rule of sizes.
    """
    if sizes not in SIZES:
        raise errors.unknown_name("rule of sizes", sizes, SIZES)
    most = num_halvings(min_epochs=min_epochs, max_epochs=max_epochs, eta=eta)
    end = max_epochs if last_epoch is None else last_epoch
    before = max_epochs // eta if most else 0
    if not before < end <= max_epochs:
        raise errors.ConfigError(
            f"last_epoch = {last_epoch} must be above {before}, the epochs of the last "
            f"rung but one, and at most max_epochs = {max_epochs}"
        )

    def bracket(s: int) -> Bracket:
        first = -(-(most + 1) * eta**s // (s + 1))
        if sizes == "authors":
            first = (most + 1) // (s + 1) * eta**s
        epochs = rung_epochs(s, max_epochs=max_epochs, eta=eta)
        return Bracket(
            tuple(first // eta**i for i in range(s + 1)), (*epochs[:-1], end)
        )

    return tuple(bracket(s) for s in range(most, -1, -1))


def keep_top(bracket: Bracket, percent: int) -> Bracket:
    """A bracket as NAS-Bench-x11's BOHB runs it (`naslib/optimizers/discrete/bohb`).

    Released code: of a rung that should have n trainings the best ceil(n percent / 100)
    are promoted, not one in eta; the evaluations that this leaves over train the best
    again and again to the end, from scratch.
    """
    promoted = [-(-size * percent // 100) for size in bracket.sizes]
    sizes, epochs = [bracket.sizes[0]], [bracket.epochs[0]]
    while len(bracket.sizes) > 1 and sum(sizes) < sum(bracket.sizes):
        rung = min(len(sizes), len(bracket.sizes) - 1)
        left = sum(bracket.sizes) - sum(sizes)
        above = promoted[min(len(sizes), len(bracket.sizes)) - 1]
        sizes.append(min(above, sizes[-1], left))
        epochs.append(bracket.epochs[rung])
    return Bracket(tuple(sizes), tuple(epochs))
