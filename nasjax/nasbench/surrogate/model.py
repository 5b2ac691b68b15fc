"""A surrogate benchmark: learning curves from architectures, pure under jit and vmap.

    features -> regressor -> codes -> decompress -> mean curve (+ noise) -> a training

(chapter 5, figure 5.2). One `CurveModel` predicts one metric; a `Surrogate` holds those
of several metrics and adds what contract 3 of a benchmark asks for.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax import spaces
from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key
from nasjax.nasbench.surrogate import features as feature_registry

SIGNS = {"accuracy": 1.0, "loss": -1.0}


class Member(struct.PyTreeNode):
    """One fitted regressor and the compression whose codes it predicts.

    Attributes:
      regressor: `predict(features [D]) -> codes [k]`.
      compressor: `decompress(codes [k]) -> curve [T]`.
    """

    regressor: Any
    compressor: Any

    def predict(self, features: Array) -> Array:
        """The curve `[T]` of features `[D]`."""
        return self.compressor.decompress(self.regressor.predict(features))


class CurveModel(struct.PyTreeNode):
    """An ensemble that predicts the curve of one metric, and its noise.

    Attributes:
      members: their mean, weighted by `weights`, is the prediction.
      weights: `[M]`, they add up to 1.
      noise: `sample(key, curve [T]) -> noise [T]`, or None.
      low: `[]`, no value of a noisy curve is below.
      high: `[]`, nor above.
    """

    members: tuple[Member, ...]
    weights: Array
    noise: Any
    low: Array
    high: Array

    def mean(self, features: Array) -> Array:
        """The curve `[T]` without noise."""
        curves = [member.predict(features) for member in self.members]
        return self.weights @ jnp.stack(curves)

    def sample(self, key: Key, features: Array) -> Array:
        """The curve `[T]` of one training."""
        curve = self.mean(features)
        if self.noise is None:
            return curve
        return jnp.clip(curve + self.noise.sample(key, curve), self.low, self.high)


class Seconds(struct.PyTreeNode):
    """Training time, which grows linearly with the epochs.

    Attributes:
      whole: `[]`, of every training; or None where `models` predict it.
      models: `predict(features [D]) -> [1]`; their mean is the seconds.
      logarithm: whether the models predict the logarithm of the seconds.
    """

    whole: Array | None
    models: tuple[Any, ...] = ()
    logarithm: bool = struct.field(pytree_node=False, default=False)

    def predict(self, features: Array) -> Array:
        """float32 `[]`, seconds of a training to the last epoch."""
        if not self.models:
            return jnp.asarray(self.whole)
        predictions = [model.predict(features)[0] for model in self.models]
        mean = jnp.mean(jnp.stack(predictions))
        return jnp.exp(mean) if self.logarithm else mean


class Surrogate(struct.PyTreeNode):
    """Contract 3's benchmark over fitted models.

    Methods take one architecture `[G]` and are vmapped by callers; pass the surrogate
    to jit as an argument. Architectures outside the space are NaN on traced values and
    `UnknownArchitecture` on concrete ones.

    Attributes:
      models: by metric, such as `valid_accuracy` (in [0, 1]) or `test_loss` (in nats).
      seconds: training time, or None: then costs are NaN.
      space: registry name of the search space; "" where an architecture is given by
        its features, float `[D]`.
      features: registry name of the features.
      data_set: what the trainings were on.
      epochs: the axis of curves.
      metric: `"accuracy"`, or `"loss"`: then scores are minus the loss.
      version: what this surrogate is, for results: form, techniques and a checksum.
      techniques: which methods it is made of; searching with one of them is biased.
    """

    models: dict[str, CurveModel]
    seconds: Seconds | None
    space: str = struct.field(pytree_node=False)
    features: str = struct.field(pytree_node=False)
    data_set: str = struct.field(pytree_node=False)
    epochs: tuple[int, ...] = struct.field(pytree_node=False)
    metric: str = struct.field(pytree_node=False)
    version: str = struct.field(pytree_node=False, default="")
    techniques: tuple[str, ...] = struct.field(pytree_node=False, default=())

    def curve(
        self, arch: Array, metric: str | None = None, *, measured: Array | None = None
    ) -> Array:
        """The curve without noise, `[T]`.

        Args:
          arch: int32 `[G]`.
          metric: a name of `models`; default: the validation score's.
          measured: `[M]`, what the features need besides the architecture, as the
            `extras` of `features.make(self.features)` say.

        Raises:
          DataError: the metric is not modelled, or `measured` is missing.
        """
        model = self.require(metric)
        return self._or_nan(arch, model.mean(self.features_of(arch, measured)))

    def sample(
        self,
        key: Key,
        arch: Array,
        metric: str | None = None,
        *,
        measured: Array | None = None,
    ) -> Array:
        """The curve of one training, `[T]`; equal keys draw the same noise."""
        model = self.require(metric)
        return self._or_nan(arch, model.sample(key, self.features_of(arch, measured)))

    def evaluate(
        self,
        key: Key,
        arch: Array,
        epoch: Any,
        trained: Any = 0,
        *,
        measured: Array | None = None,
    ) -> Evaluation:
        """One training up to `epoch`.

        Args:
          key: equal keys draw the same training for every `epoch`.
          arch: int32 `[G]`.
          epoch: completed epochs, 1 to the last, or `LAST`.
          trained: epochs that are already paid.
          measured: as in `curve`.
        """
        keys = jax.random.split(key, 2)
        return self._evaluate(
            arch, epoch, trained, measured, lambda m, x, i: m.sample(keys[i], x)
        )

    def mean(
        self,
        arch: Array,
        epoch: Any,
        trained: Any = 0,
        *,
        measured: Array | None = None,
    ) -> Evaluation:
        """What `evaluate` returns without noise."""
        return self._evaluate(arch, epoch, trained, measured, lambda m, x, i: m.mean(x))

    def features_of(self, arch: Array, measured: Array | None = None) -> Array:
        """The regressors' input `[D]`."""
        arch = jnp.asarray(arch)
        if not self.space:
            return arch
        space = spaces.make(self.space)
        if arch.shape != (space.num_genes,):
            raise ValueError(
                f"an architecture of {self.space} has shape {(space.num_genes,)}, "
                f"not {arch.shape}; vmap over several"
            )
        features = feature_registry.make(self.features)
        if features.extras and measured is None:
            raise errors.DataError(
                f"{self._title()}: the features {self.features} need measurements "
                f"besides the architecture ({'; '.join(features.extras)}): pass them "
                "as `measured`, or use a surrogate that was fitted without"
            )
        if not _is_traced(arch) and not bool(self._is_known(arch)):
            raise errors.UnknownArchitecture(
                f"{self._title()}: {arch.tolist()} is no architecture of {self.space}, "
                f"or too large for the features {self.features}"
            )
        return features.encode(arch, measured)

    def require(self, metric: str | None = None) -> CurveModel:
        """The model of a metric; by default of the validation score.

        Raises:
          DataError: the metric is not modelled.
        """
        name = f"valid_{self.metric}" if metric is None else metric
        if name not in self.models:
            known = ", ".join(sorted(self.models))
            raise errors.DataError(
                f"{self._title()}: {name} is not modelled"
                f"{errors.suggest(name, self.models)}; modelled: {known}"
            )
        return self.models[name]

    def _evaluate(
        self,
        arch: Array,
        epoch: Any,
        trained: Any,
        measured: Array | None,
        draw: Callable[[CurveModel, Array, int], Array],
    ) -> Evaluation:
        features = self.features_of(arch, measured)
        place, count = self._place(epoch), len(self.epochs)
        inside = place >= 0
        curves = []
        for i, split in enumerate(("valid", "test")):
            model = self.models.get(f"{split}_{self.metric}")
            curve = jnp.full(count, jnp.nan)
            if model is not None:
                curve = SIGNS[self.metric] * draw(model, features, i)
            curves.append(self._or_nan(arch, jnp.where(inside, curve, jnp.nan)))
        cost = jnp.float32(jnp.nan)
        if self.seconds is not None:
            reached = jnp.asarray(np.array(self.epochs))[jnp.maximum(place, 0)]
            new = jnp.maximum(reached - jnp.asarray(trained), 0) / self.epochs[-1]
            cost = jnp.where(inside, self.seconds.predict(features) * new, jnp.nan)
        at = jnp.maximum(place, 0)
        return Evaluation(
            valid=curves[0][at],
            test=curves[1][at],
            cost=self._or_nan(arch, cost),
            curve=jnp.where(jnp.arange(count) <= place, curves[0], jnp.nan),
        )

    def _place(self, epoch: Any) -> Array:
        """Position of an epoch in `epochs`, -1 where there is none."""
        asked = self.epochs[-1] if not _is_traced(epoch) and epoch == LAST else epoch
        if not _is_traced(asked) and int(asked) not in self.epochs:
            known = f"{self.epochs[0]} to {self.epochs[-1]}"
            raise errors.DataError(
                f"{self._title()}: there is no epoch {int(asked)}; there are "
                f"{len(self.epochs)}, {known}"
            )
        asked = jnp.where(jnp.asarray(asked) == LAST, self.epochs[-1], asked)
        found = jnp.asarray(np.array(self.epochs)) == asked
        return jnp.where(jnp.any(found), jnp.argmax(found), -1)

    def _is_known(self, arch: Array) -> Array:
        valid = spaces.make(self.space).is_valid(arch)
        return valid & feature_registry.make(self.features).fits(arch)

    def _or_nan(self, arch: Array, values: Array) -> Array:
        if not self.space:
            return values
        return jnp.where(self._is_known(jnp.asarray(arch)), values, jnp.nan)

    def _title(self) -> str:
        return f"surrogate of {self.space} on {self.data_set}"


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)
