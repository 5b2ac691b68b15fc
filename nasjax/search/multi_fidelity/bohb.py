"""BOHB (Falkner et al., 2018): Hyperband whose architectures a model proposes."""

import jax
import jax.numpy as jnp

from nasjax.core import errors, sampling
from nasjax.core.types import Array, Evaluation, Key, Proposal, SearchSpace
from nasjax.search.algorithm import ModelState, SearchAlgorithm
from nasjax.search.model_based.batched_cond import cond_any
from nasjax.search.multi_fidelity import brackets, kernel_density, rungs, unit_points
from nasjax.search.multi_fidelity import observations as results
from nasjax.search.multi_fidelity.observations import Observations
from nasjax.search.multi_fidelity.rungs import Rungs

VARIANTS = ("thesis", "released")
_DEFAULTS = {"thesis": (15, 64, 1 / 3), "released": (10, 128, 0.2)}
"""`top_percent`, `num_samples` and `random_fraction` of a variant."""


class BohbState(ModelState, kw_only=True):
    """Rungs, whose items are bins of points of the unit cube, and all results.

    Attributes:
      rungs: the round; items int32 `[S, D]`.
      observations: results after each number of epochs.
    """

    rungs: Rungs
    observations: Observations


def bohb(
    space: SearchSpace,
    *,
    max_epochs: int,
    min_epochs: int = 1,
    eta: int = 3,
    sizes: str = "paper",
    last_epoch: int | None = None,
    top_percent: int | None = None,
    num_samples: int | None = None,
    random_fraction: float | None = None,
    bandwidth_factor: float = 3.0,
    min_bandwidth: float = 1e-3,
    min_points: int | None = None,
    max_results: int = 500,
    resume: bool = True,
    variant: str = "thesis",
) -> SearchAlgorithm:
    """Hyperband with new architectures from kernel densities (the paper's algorithm 2).

        algorithm = search.make("bohb", space, max_epochs=27)

    A third of the new architectures are random. The others are, of 64 draws from the
    density l of the best 15 % of the results after the most epochs with at least
    N_min + 2 of them, the one of highest l / g, g the density of the others. Random is
    uniform in the unit cube of `space.decode`, not `space.sample`. A cell that is
    proposed twice is trained twice.

    Defaults: eta = 3, 15 %, 64, 1/3, factor 3 and N_min = D + 1 are the paper's, and
    h >= .001 is its code's (`optimizers/bohb.py` of github.com/automl/HpBandSter). The
    paper widens all bandwidths by the factor, the code none of categorical variables
    (`bandwidth_factor=1`). All variables are categorical, as in NAS-Bench-x11.

    Args:
      space: what is searched; it needs `decode` and `unit_sizes`.
      max_epochs: R, epochs of a training to the end.
      min_epochs: r, the fewest epochs of a training.
      eta: one in eta is promoted.
      sizes: rule of the brackets' sizes, see `brackets.hyperband`.
      last_epoch: where trainings end although R is more; None: at R.
      top_percent: percentage of results that are good; None: 15.
      num_samples: draws of which one is taken; None: 64.
      random_fraction: share of random architectures; None: 1/3.
      bandwidth_factor: widens the density that draws come from.
      min_bandwidth: bandwidths are at least this.
      min_points: N_min; None: D + 1.
      max_results: results kept of each number of epochs; of more the oldest go.
      resume: a promoted training is continued and pays only for the added epochs; if
        not, it starts again.
      variant: "released": the brackets of NAS-Bench-x11's code, which promotes the best
        10 % (`top_percent`) of each rung and repeats the last training
        (`brackets.keep_top`), and its 128 draws and random fraction .2; which results
        are good stays as in the paper.

    Raises:
      ConfigError: a number is out of range, or the space lacks what is needed.
    """
    unit_points.check("bohb", space)
    categories = space.unit_sizes
    least = len(categories) + 1 if min_points is None else min_points
    if variant not in VARIANTS:
        raise errors.unknown_name("variant of BOHB", variant, VARIANTS)
    percent, draws, fraction = _DEFAULTS[variant]
    percent = percent if top_percent is None else top_percent
    draws = draws if num_samples is None else num_samples
    fraction = fraction if random_fraction is None else random_fraction
    _check(percent, draws, fraction, bandwidth_factor, min_bandwidth)
    if least < 1 or max_results < least + 2:
        raise errors.ConfigError(
            f"max_results = {max_results} must be at least {least + 2}, two more than "
            f"a density needs, and min_points = {min_points} at least 1"
        )
    ladder = brackets.hyperband(
        min_epochs=min_epochs,
        max_epochs=max_epochs,
        eta=eta,
        sizes=sizes,
        last_epoch=last_epoch,
    )
    if variant == "released":
        ladder = tuple(brackets.keep_top(one, percent) for one in ladder)
    table = rungs.schedule(ladder)
    parts = results.split(max_results, top_percent=percent, min_points=least)

    def init(key: Key) -> BohbState:
        del key
        item = jax.ShapeDtypeStruct((len(categories),), jnp.int32)
        seen = Observations.empty(table.num_levels, max_results, len(categories))
        return BohbState(rungs=Rungs.empty(table, item), observations=seen)

    def model_point(key: Key, points: Array, valid: Array, count: Array) -> Array:
        """int32 `[D]`, the draw of highest l / g; points `[C, D]` are of one level."""
        good, bad = (
            kernel_density.fit(
                points, used, categories=categories, min_bandwidth=min_bandwidth
            )
            for used in results.good_and_bad(valid, count, parts)
        )
        drawn = kernel_density.sample(
            key, good, draws, categories=categories, widen=bandwidth_factor
        )

        def score(point: Array) -> Array:
            likely = kernel_density.log_density(good, point, categories)
            return likely - kernel_density.log_density(bad, point, categories)

        return drawn[jnp.argmax(jax.vmap(score)(drawn))]

    def new_point(key: Key, seen: Observations, needed: Array) -> Array:
        """int32 `[D]`, random or of the model."""
        key_coin, key_random, key_model = jax.random.split(key, 3)
        random = unit_points.bins(unit_points.draw(key_random, space, 1)[0], space)
        enough = seen.kept >= least + 2
        level = jnp.max(jnp.where(enough, jnp.arange(table.num_levels), -1))
        modelled = sampling.uniform(key_coin, 1)[0] >= fraction
        modelled &= needed & (level >= 0)
        arguments = (key_model, seen.points[level], seen.valid[level], seen.kept[level])
        point = cond_any(modelled, model_point, arguments, random)
        return jnp.where(modelled, point, random)

    def ask(key: Key, state: BohbState) -> tuple[Proposal, BohbState]:
        turn = rungs.upcoming(state.rungs, table)
        fresh = new_point(key, state.observations, turn.is_first)
        point, after = rungs.ask(state.rungs, table, turn, fresh)
        arch = unit_points.decode(space, unit_points.centers(point, space))
        asked = rungs.proposal(
            after, table, turn, arch, resume=resume, new=turn.is_first
        )
        return asked, state.replace(rungs=after)

    def tell(state: BohbState, proposal: Proposal, evaluation: Evaluation) -> BohbState:
        after, place = rungs.tell(state.rungs, table, proposal, evaluation.valid)
        seen = state.observations.add(
            jnp.asarray(table.level)[place],
            after.items[place],
            evaluation.valid[0],
            place < len(table.level),
        )
        return state.replace(rungs=after, observations=seen)

    return SearchAlgorithm(init, ask, tell)


def _check(
    top_percent: int,
    num_samples: int,
    random_fraction: float,
    bandwidth_factor: float,
    min_bandwidth: float,
) -> None:
    if not 1 <= top_percent <= 99:
        raise errors.ConfigError(f"top_percent = {top_percent} must be 1 to 99")
    if num_samples < 1:
        raise errors.ConfigError(f"num_samples = {num_samples} must be at least 1")
    if not 0 <= random_fraction <= 1:
        raise errors.ConfigError(f"random_fraction = {random_fraction} must be 0 to 1")
    if not bandwidth_factor > 0 or not 0 < min_bandwidth < 1:
        raise errors.ConfigError(
            f"bandwidth_factor = {bandwidth_factor} must be positive, and "
            f"min_bandwidth = {min_bandwidth} between 0 and 1"
        )
