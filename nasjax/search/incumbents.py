"""Statistics of one run: the best so far, and what it is worth. Callers vmap.

The incumbent is the evaluation with the best validation score so far, the first of
equals; it is judged by its test score. Regret is the optimum minus that.
"""

import jax
import jax.numpy as jnp

from nasjax.core.types import LAST, Array
from nasjax.search.history import SPLITS, History


def incumbents(history: History, *, min_epochs: int | None = None) -> Array:
    """int32 `[H]`, place of the incumbent after each evaluation, -1 before the first.

    Args:
      history: one run.
      min_epochs: leaves out trainings that were stopped before; `LAST`: all but those
        to the end. None: scores after few epochs compete with final ones, as in
        NAS-Bench-x11.
    """
    valid = jnp.where(eligible(history, min_epochs), history.valid, -jnp.inf)
    before = jnp.concatenate([jnp.full(1, -jnp.inf), jax.lax.cummax(valid)[:-1]])
    places = jnp.where(valid > before, jnp.arange(valid.shape[0], dtype=jnp.int32), -1)
    return jax.lax.cummax(places)


def eligible(history: History, min_epochs: int | None) -> Array:
    """bool `[H]`, which evaluations have a score that may be the best; of any arrays.

    `min_epochs` as in `incumbents`.
    """
    scored = history.mask & (history.valid > -jnp.inf)
    if min_epochs is None:
        return scored
    if min_epochs == LAST:
        return scored & (history.epochs == LAST)
    return scored & ((history.epochs == LAST) | (history.epochs >= min_epochs))


def scores(
    history: History, *, split: str = "test", min_epochs: int | None = None
) -> Array:
    """float32 `[H]`, score of the incumbent after each evaluation; NaN before one.

    `split` is "test" or "valid".
    """
    _check(split)
    best = incumbents(history, min_epochs=min_epochs)
    return jnp.where(best >= 0, getattr(history, split)[best], jnp.nan)


def by_query(
    history: History,
    num_queries: int,
    *,
    split: str = "test",
    min_epochs: int | None = None,
) -> Array:
    """float32 `[num_queries]`, score of the incumbent after 1, 2, ... queries.

    Only evaluations that count are queries; a run that ended before keeps its last
    incumbent.
    """
    counts = jnp.cumsum(history.mask.astype(jnp.int32))
    wanted = jnp.minimum(jnp.arange(1, num_queries + 1), counts[-1])
    return _at(history, jnp.searchsorted(counts, wanted), wanted > 0, split, min_epochs)


def by_time(
    history: History,
    times: Array,
    *,
    split: str = "test",
    min_epochs: int | None = None,
) -> Array:
    """float32 `[K]`, score of the incumbent at `times` `[K]` in (simulated) seconds.

    A step function: an evaluation counts from when it is complete. NaN before the first
    is, and everywhere if the run's clock is unknown.
    """
    # The clock of slots that do not count stands still for this purpose.
    clock = jax.lax.cummax(jnp.where(history.mask, history.seconds, -jnp.inf))
    place = jnp.searchsorted(clock, times, side="right") - 1
    known = (place >= 0) & ~jnp.any(jnp.isnan(history.seconds))
    return _at(history, jnp.maximum(place, 0), known, split, min_epochs)


def final(
    history: History, *, split: str = "test", min_epochs: int | None = None
) -> Array:
    """float32 `[]`, score of the last incumbent; NaN if nothing was scored."""
    return scores(history, split=split, min_epochs=min_epochs)[-1]


def _at(
    history: History, place: Array, known: Array, split: str, min_epochs: int | None
) -> Array:
    values = scores(history, split=split, min_epochs=min_epochs)
    return jnp.where(known, values[place], jnp.nan)


def _check(split: str) -> None:
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, not {split!r}")
