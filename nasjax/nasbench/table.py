"""Tabular benchmarks: a query is a gather from arrays, pure under jit and vmap."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax import spaces
from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key
from nasjax.nasbench import genes
from nasjax.nasbench.index import Index
from nasjax.nasbench.runs import TrainingRuns

SIGNS = {"accuracy": 1.0, "loss": -1.0}
"""What turns the recorded metric into a score, higher is better."""


class Optimum(NamedTuple):
    """The best architecture of a table and its score, averaged over seeds."""

    arch: Array
    value: Array


class TabularBenchmark(struct.PyTreeNode):
    """Recorded trainings of one data set under one schedule.

    Pass it to jit as an argument; its arrays are then not copied into the program.
    Methods take one architecture `[G]` and are vmapped by callers. On concrete values
    an unknown architecture is an `UnknownArchitecture`, and an epoch or seed that is
    not recorded a `DataError`; on traced values both are NaN.

    Attributes:
      index: finds the row of an architecture.
      archs: int8 `[N, G]`, genes of the rows.
      curves: recorded quantities by name, such as `valid_accuracy` (in [0, 1]) or
        `test_loss` (in nats).
      seconds: training seconds at the recorded epochs, or of the whole training only;
        then they grow linearly. None where no time is recorded.
      facts: further numbers by name, `[N]`, such as `parameters`.
      space: registry name of the search space.
      data_set: what was trained on.
      epochs: the recorded epochs, the axis of curves.
      metric: `"accuracy"`, or `"loss"`: then scores are minus the loss.
      seeds: names of the S seeds of the validation score.
      notes: (metric, why it is absent or what it is taken from).
      groups: of a table of several samples, the names of `facts["group"]`.
    """

    index: Index
    archs: Array
    curves: dict[str, TrainingRuns]
    seconds: TrainingRuns | None
    facts: dict[str, Array]
    space: str = struct.field(pytree_node=False)
    data_set: str = struct.field(pytree_node=False)
    epochs: tuple[int, ...] = struct.field(pytree_node=False)
    metric: str = struct.field(pytree_node=False)
    seeds: tuple[int, ...] = struct.field(pytree_node=False)
    notes: tuple[tuple[str, str], ...] = struct.field(pytree_node=False, default=())
    groups: tuple[str, ...] = struct.field(pytree_node=False, default=())

    def evaluate(
        self, key: Key, arch: Array, epoch: Any, trained: Any = 0
    ) -> Evaluation:
        """One training up to `epoch`, of a seed drawn by `key`.

        Args:
          key: equal keys draw the same training for every `epoch`.
          arch: int32 `[G]`.
          epoch: completed epochs, one of `epochs` or `LAST`.
          trained: 0 or a recorded epoch that is already paid.
        """
        uniform = jax.random.uniform(key)
        return self._evaluate(arch, epoch, trained, uniform)

    def evaluate_seed(
        self, i: Any, arch: Array, epoch: Any, trained: Any = 0
    ) -> Evaluation:
        """The training of seed `seeds[i]`; NaN where this architecture lacks it.

        A metric that comes from fewer trainings than the validation score has no seed
        beyond them; one that was published as a mean is its only seed.
        """
        if not genes.is_traced(i) and not (
            0 <= genes.whole(i, "seed's number", self._title()) < len(self.seeds)
        ):
            known = ", ".join(f"{s} is {name}" for s, name in enumerate(self.seeds))
            raise errors.DataError(f"{self._title()}: no seed number {int(i)}; {known}")
        return self._evaluate(arch, epoch, trained, jnp.asarray(i, jnp.int32))

    def mean(self, arch: Array, epoch: Any, trained: Any = 0) -> Evaluation:
        """Averages over all recorded trainings of the architecture."""
        return self._evaluate(arch, epoch, trained, None)

    def curve(self, key: Key, arch: Array, metric: str | None = None) -> Array:
        """The metric at the end of every epoch of `epochs`, of a seed drawn by `key`.

            curves = jax.vmap(table.curve)(keys, archs)

        Args:
          key: as in `evaluate`; equal keys draw the same training.
          arch: int32 `[G]`.
          metric: a name of `curves`; default: `valid_accuracy` or `valid_loss`. Losses
            are returned as losses, not as scores.

        Returns:
          float32 `[T]`, NaN at epochs at which this metric is not recorded.

        Raises:
          DataError: the metric is recorded nowhere.
        """
        runs, row, known = self._recorded(arch, metric)
        slot = runs.draw(row, jax.random.uniform(key))
        series = runs.series(row, slot, len(self.epochs))
        return jnp.where(known, series, jnp.nan)

    def _recorded(
        self, arch: Array, metric: str | None
    ) -> tuple[TrainingRuns, Array, Array]:
        """Curves of a metric, the architecture's row (0 if unknown), and if known."""
        runs = self.require(f"valid_{self.metric}" if metric is None else metric)
        row = self._row(arch)
        return runs, jnp.maximum(row, 0), row >= 0

    def mean_curve(self, arch: Array, metric: str | None = None) -> Array:
        """The same, averaged over the recorded trainings of the architecture.

        Args:
          arch: int32 `[G]`.
          metric: as in `curve`.

        Returns:
          float32 `[T]`, NaN at epochs at which this metric is not recorded.

        Raises:
          DataError: the metric is recorded nowhere.
        """
        runs, row, known = self._recorded(arch, metric)
        series = [
            runs.series(row, jnp.int32(s), len(self.epochs))
            for s in range(runs.num_seeds)
        ]
        return jnp.where(known, runs.average(row, series), jnp.nan)

    def require(self, metric: str) -> TrainingRuns:
        """The recordings of a metric.

        Raises:
          DataError: it is recorded nowhere; the message says why where that is known.
        """
        if metric in self.curves:
            return self.curves[metric]
        known = ", ".join(sorted(self.curves))
        why = dict(self.notes).get(metric)
        reason = f": {why}" if why else errors.suggest(metric, self.curves)
        raise errors.DataError(
            f"{self._title()}: {metric} is not recorded{reason}; recorded: {known}"
        )

    def find(self, arch: Array) -> Array:
        """int32 `[]`, the row of an architecture, -1 where the table lacks it."""
        return self.index.find(genes.check(arch, self._title()).astype(jnp.int32))

    def optimum(self, split: str = "valid", epoch: Any = LAST) -> Optimum:
        """The architecture with the best mean score; the first of several.

        Args:
          split: `"train"`, `"valid"` or `"test"`.
          epoch: one of `epochs`, or `LAST`.

        Raises:
          DataError: the metric is not recorded, at all or at this epoch.
        """
        runs = self.require(f"{split}_{self.metric}")
        place = self._place(epoch)
        slots, rows = range(runs.num_seeds), jnp.arange(self.archs.shape[0])

        def score(row: Array) -> Array:
            values = [
                runs.at(row, jnp.int32(s), place, len(self.epochs)) for s in slots
            ]
            return SIGNS[self.metric] * runs.average(row, values)

        scores = jax.vmap(score)(rows)
        best = jnp.nanargmax(scores)
        return Optimum(self.archs[best].astype(jnp.int32), scores[best])

    def regret(self, arch: Array, split: str = "test", epoch: Any = LAST) -> Array:
        """How much the mean score of `arch` falls short of the optimum's, `[]`.

        `split` is `"valid"` or `"test"`. The optimum is found anew in every call; a
        loop is faster with `optimum` outside.
        """
        best = self.optimum(split, epoch).value
        evaluation = self.mean(arch, epoch)
        regret: Array = best - getattr(evaluation, split)
        return regret

    def _evaluate(
        self, arch: Array, epoch: Any, trained: Any, choice: Array | None
    ) -> Evaluation:
        """`choice`: a uniform float draws a seed, an int is one, None averages."""
        row, place = self._row(arch), self._place(epoch)
        known, row, num_epochs = row >= 0, jnp.maximum(row, 0), len(self.epochs)

        def pick(
            runs: TrainingRuns, value: Callable[[TrainingRuns, Array], Array]
        ) -> Array:
            """`value` is a function of a slot."""
            slots = [jnp.int32(s) for s in range(runs.num_seeds)]
            if choice is None:
                return runs.average(row, [value(runs, s) for s in slots])
            if jnp.issubdtype(choice.dtype, jnp.floating):
                return value(runs, runs.draw(row, choice))
            inside = (choice >= 0) & (choice < runs.num_seeds)
            return jnp.where(inside, value(runs, jnp.where(inside, choice, 0)), jnp.nan)

        def score(split: str) -> Array:
            runs = self.curves.get(f"{split}_{self.metric}")
            if runs is None:
                unknown: Array = jnp.float32(jnp.nan)
                return unknown
            value = pick(runs, lambda r, s: r.at(row, s, place, num_epochs))
            return jnp.where(known, SIGNS[self.metric] * value, jnp.nan)

        cost = jnp.float32(jnp.nan)
        if self.seconds is not None:
            paid = self._place(trained, zero=True)
            cost = pick(self.seconds, lambda r, s: self._cost(r, row, s, place, paid))
        curve = jnp.full(num_epochs, jnp.nan, jnp.float32)
        runs = self.curves.get(f"valid_{self.metric}")
        if runs is not None:
            curve = pick(runs, lambda r, s: r.series(row, s, num_epochs))
            curve = SIGNS[self.metric] * curve
        seen = known & (jnp.arange(num_epochs) <= place)
        return Evaluation(
            valid=score("valid"),
            test=score("test"),
            cost=jnp.where(known, cost, jnp.nan),
            curve=jnp.where(seen, curve, jnp.nan),
        )

    def _cost(
        self, runs: TrainingRuns, row: Array, slot: Array, place: Array, paid: Array
    ) -> Array:
        """Seconds from place `paid` (-2: the start) to `place`, at least 0."""
        num_epochs, recorded = len(self.epochs), runs.values.shape[2]
        if recorded == num_epochs:
            now = runs.at(row, slot, place, num_epochs)
            then = runs.at(row, slot, paid, num_epochs)
        else:
            share = jnp.asarray(np.array(self.epochs) / self.epochs[-1], jnp.float32)
            total = runs.at(row, slot, jnp.int32(num_epochs - 1), num_epochs)
            now = jnp.where(place >= 0, total * share[jnp.maximum(place, 0)], jnp.nan)
            then = jnp.where(paid >= 0, total * share[jnp.maximum(paid, 0)], jnp.nan)
        return jnp.maximum(now - jnp.where(paid == -2, 0, then), 0)

    def _row(self, arch: Array) -> Array:
        """Row of `arch`, -1 if unknown; raises where the value can be seen."""
        arch = jnp.asarray(arch)
        if arch.shape != self.archs.shape[1:]:
            raise ValueError(
                f"an architecture of {self.space} has shape {self.archs.shape[1:]}, "
                f"not {arch.shape}; vmap over several"
            )
        row = self.find(arch)
        if not genes.is_traced(row) and int(row) < 0:
            space = spaces.make(self.space)
            valid = bool(space.is_valid(arch))
            text = space.format_arch(arch) if valid else np.asarray(arch).tolist()
            reason = "is not in the table" if valid else f"is no cell of {self.space}"
            raise errors.UnknownArchitecture(f"{self._title()}: {text} {reason}")
        return row

    def _place(self, epoch: Any, *, zero: bool = False) -> Array:
        """Position of an epoch in `epochs`: -1 if not there, -2 for 0 where allowed."""
        last = self.epochs[-1]
        places = np.full(last + 1, -1, np.int32)
        places[list(self.epochs)] = np.arange(len(self.epochs))
        if zero:
            places[0] = -2
        if not genes.is_traced(epoch):
            asked = genes.whole(epoch, "epoch", self._title())
            seen = last if asked == LAST and not zero else asked
            if not 0 <= seen <= last or places[seen] == -1:
                raise errors.DataError(
                    f"{self._title()}: epoch {asked} is not recorded; "
                    f"{genes.ranges(self.epochs)}"
                )
            recorded: Array = jnp.int32(places[seen])
            return recorded
        number = jnp.asarray(epoch)
        if not zero:
            number = jnp.where(number == LAST, last, number)
        # Where the epoch is outside, place 0 is read and then replaced.
        inside = (number >= 0) & (number <= last) & (number == jnp.floor(number))
        place = jnp.asarray(places)[jnp.where(inside, number, 0).astype(jnp.int32)]
        return jnp.where(inside, place, -1)

    def _title(self) -> str:
        return f"{self.space} on {self.data_set}, {self.epochs[-1]} epochs"
