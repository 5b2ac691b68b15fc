"""How many trees a boosted model of few curves should have.

The 3,000 rounds of the thesis are for thousands of architectures; fitted to a few
hundred they repeat the noise of the training curves.
"""

import numpy as np

from nasjax.core import errors
from nasjax.nasbench.surrogate.trees import boosting

HELD_OUT = 0.2
"""Share of the rows that decide."""


def num_train(count: int) -> int:
    """Rows of `count` that are fitted to while the others decide."""
    return count - max(1, round(HELD_OUT * count))


def choose_rounds(
    features: np.ndarray,
    targets: np.ndarray,
    settings: boosting.Settings,
    seed: int,
    *,
    patience: int,
    chained: bool = True,
) -> tuple[int, ...]:
    """Rounds of each target's model, at which the error of held-out rows was least.

    A fifth of the rows is held out; `boosting.fit_chain` then fits to all rows with
    these rounds.

    Args:
      features: `[N, D]`; NaN where a value is missing.
      targets: `[N, k]`.
      settings: their `num_rounds` is the most.
      seed: of the rows that are held out, and of the library.
      patience: rounds without progress after which a model's training ends.
      chained: as in `boosting.fit_chain`.

    Returns:
      `k` numbers from 1.

    Raises:
      ConfigError: `patience` is not positive.
      DataError: there are fewer than two rows.
    """
    if patience < 1:
        raise errors.ConfigError(f"early_stopping is {patience}: pass rounds from 1 on")
    if len(features) < 2:
        raise errors.DataError(f"{len(features)} rows cannot be split: give at least 2")
    order = np.random.default_rng(seed).permutation(len(features))
    train, held_out = np.split(order, [num_train(len(order))])
    rounds = []
    for j in range(targets.shape[1]):
        seen = np.concatenate([features, targets[:, : j * chained]], axis=1)
        booster = boosting.train(
            seen[train],
            targets[train, j],
            settings,
            seed,
            held_out=(seen[held_out], targets[held_out, j]),
            patience=patience,
        )
        # LightGBM counts rounds from 1, XGBoost numbers them from 0.
        best = int(booster.best_iteration)
        if isinstance(settings, boosting.XGBoost):
            best += 1
        rounds.append(max(best, 1))
    return tuple(rounds)
