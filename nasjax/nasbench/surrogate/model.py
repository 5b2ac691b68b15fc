"""A surrogate benchmark: learning curves from architectures, pure under jit and vmap.

    features -> regressor -> codes -> decompress -> mean curve (+ noise) -> a training

(chapter 5, figure 5.2). One `CurveModel` predicts one metric; a `Surrogate` holds those
of several metrics and is queried as a table is (`nasjax.nasbench.table`): the same
methods, arguments and order.
"""

import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from nasjax import spaces
from nasjax.core import errors
from nasjax.core.types import LAST, Array, Evaluation, Key
from nasjax.nasbench import genes
from nasjax.nasbench.surrogate import features as feature_registry

SIGNS = {"accuracy": 1.0, "loss": -1.0}
_SPLITS = ("valid", "test")
"""Parts whose scores an evaluation has."""


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
        curve: Array = self.compressor.decompress(self.regressor.predict(features))
        return curve


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
      joint_noise: whether the noise of all metrics is that of one training
        (`noise.seeds.fit_joint`); else that of each is drawn by itself.
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
    joint_noise: bool = struct.field(pytree_node=False, default=False)

    def curve(
        self,
        key: Key,
        arch: Array,
        metric: str | None = None,
        *,
        measured: Array | None = None,
    ) -> Array:
        """The metric at the end of every epoch of `epochs`, of one training.

            curves = jax.vmap(surrogate.curve)(keys, archs)

        Args:
          key: as in `evaluate`; equal keys draw the same training.
          arch: int32 `[G]`.
          metric: a name of `models`; default: `valid_accuracy` or `valid_loss`. Losses
            are returned as losses, not as scores.
          measured: `[M]`, what the features need besides the architecture, as the
            `extras` of `features.make(self.features)` say.

        Returns:
          float32 `[T]`.

        Raises:
          DataError: the metric is not modelled, or `measured` is missing.
        """
        name = self._name(metric)
        features = self.features_of(arch, measured)
        drawn = self.require(name).sample(self._noise_key(key, name), features)
        return self._or_nan(arch, drawn)

    def mean_curve(
        self, arch: Array, metric: str | None = None, *, measured: Array | None = None
    ) -> Array:
        """The same without noise, `[T]`.

        Args:
          arch: int32 `[G]`.
          metric: as in `curve`.
          measured: as in `curve`.

        Raises:
          DataError: the metric is not modelled, or `measured` is missing.
        """
        model = self.require(metric)
        return self._or_nan(arch, model.mean(self.features_of(arch, measured)))

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
          trained: epochs that are already paid, 0 to the last.
          measured: as in `curve`.

        Raises:
          DataError: there is no such epoch, or `measured` is missing.
        """

        def draw(model: CurveModel, features: Array, name: str) -> Array:
            return model.sample(self._noise_key(key, name), features)

        return self._evaluate(arch, epoch, trained, measured, draw)

    def mean(
        self,
        arch: Array,
        epoch: Any,
        trained: Any = 0,
        *,
        measured: Array | None = None,
    ) -> Evaluation:
        """What `evaluate` returns without noise."""
        return self._evaluate(
            arch,
            epoch,
            trained,
            measured,
            lambda model, features, _: model.mean(features),
        )

    def features_of(self, arch: Array, measured: Array | None = None) -> Array:
        """The regressors' input `[D]`."""
        if not self.space:
            return jnp.asarray(arch)
        arch = genes.check(arch, self._title())
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
        if not genes.is_traced(arch) and not bool(self._is_known(arch)):
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
        name = self._name(metric)
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
        draw: Callable[[CurveModel, Array, str], Array],
    ) -> Evaluation:
        features = self.features_of(arch, measured)
        place, count = self._place(epoch), len(self.epochs)
        inside = place >= 0
        curves = []
        for split in _SPLITS:
            name = f"{split}_{self.metric}"
            curve = jnp.full(count, jnp.nan)
            if name in self.models:
                curve = SIGNS[self.metric] * draw(self.models[name], features, name)
            curves.append(self._or_nan(arch, jnp.where(inside, curve, jnp.nan)))
        cost = jnp.float32(jnp.nan)
        if self.seconds is not None:
            reached = jnp.asarray(np.array(self.epochs))[jnp.maximum(place, 0)]
            paid = self._paid(trained)
            new = jnp.maximum(reached - paid, 0) / self.epochs[-1]
            known = inside & (paid >= 0)
            cost = jnp.where(known, self.seconds.predict(features) * new, jnp.nan)
        at = jnp.maximum(place, 0)
        return Evaluation(
            valid=curves[0][at],
            test=curves[1][at],
            cost=self._or_nan(arch, cost),
            curve=jnp.where(jnp.arange(count) <= place, curves[0], jnp.nan),
        )

    def _place(self, epoch: Any) -> Array:
        """Position of an epoch in `epochs`, -1 where there is none."""
        last = self.epochs[-1]
        if not genes.is_traced(epoch):
            asked = genes.whole(epoch, "epoch", self._title())
            if asked != LAST and asked not in self.epochs:
                raise errors.DataError(
                    f"{self._title()}: there is no epoch {asked}; "
                    f"{genes.ranges(self.epochs)}"
                )
        number = jnp.where(jnp.asarray(epoch) == LAST, last, epoch)
        found = jnp.asarray(np.array(self.epochs)) == number
        return jnp.where(jnp.any(found), jnp.argmax(found), -1)

    def _paid(self, trained: Any) -> Array:
        """Epochs that are paid, -1 where there are not so many."""
        last = self.epochs[-1]
        if not genes.is_traced(trained):
            asked = genes.whole(trained, "number of trained epochs", self._title())
            if not 0 <= asked <= last:
                raise errors.DataError(
                    f"{self._title()}: {asked} epochs cannot be paid; pass 0 to {last}"
                )
        paid = jnp.asarray(trained)
        return jnp.where((paid >= 0) & (paid <= last), paid, -1)

    def _name(self, metric: str | None) -> str:
        return f"valid_{self.metric}" if metric is None else metric

    def _noise_key(self, key: Key, name: str) -> Key:
        """The scores' keys are those of `evaluate`, other metrics have their own."""
        if self.joint_noise:
            return key
        scores = [f"{split}_{self.metric}" for split in _SPLITS]
        if name in scores:
            return jax.random.split(key, len(scores))[scores.index(name)]
        return jax.random.fold_in(key, zlib.crc32(name.encode()))

    def _is_known(self, arch: Array) -> Array:
        valid = spaces.make(self.space).is_valid(arch)
        return valid & feature_registry.make(self.features).fits(arch)

    def _or_nan(self, arch: Array, values: Array) -> Array:
        if not self.space:
            return values
        return jnp.where(self._is_known(jnp.asarray(arch)), values, jnp.nan)

    def _title(self) -> str:
        return f"surrogate of {self.space} on {self.data_set}"
