"""Predictors with the interface of scikit-learn's regressors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import errors
from nasjax.predictors.predictor import Features, Predictor

_SMALLEST = 16


class Regressor:
    """A predictor that is fitted and asked with numpy arrays.

    >>> model = Regressor(predictors.make("dngo")).fit(x_train, y_train)
    >>> mean, std = model.predict(x_test, return_std=True)

    Rows are padded to the next power of two, so a growing set of observations
    compiles a fit only each time it doubles.

    Attributes:
      predictor: the pure functions.
      seed: of the PRNG key of `fit`.
    """

    def __init__(self, predictor: Predictor, *, seed: int = 0) -> None:
        self.predictor = predictor
        self.seed = seed
        self._fit = jax.jit(predictor.fit)
        self._predict = jax.jit(predictor.predict)
        self._state: Any = None
        self._shapes: list[tuple[int, ...]] = []

    def fit(self, X: Features, y: Any) -> "Regressor":
        """Fits afresh to `n` observations.

        Args:
          X: features `[n, D]`, or a tree of arrays with the leading axis n.
          y: targets `[n]`.

        Returns:
          Itself.

        Raises:
          DataError: there is no row, the sizes differ, or a number is not finite.
        """
        targets = np.asarray(y)
        if targets.ndim != 1 or not targets.size:
            raise errors.DataError(
                f"y: one number a row and at least one row are needed, found the "
                f"shape {list(targets.shape)}"
            )
        _check_finite("y", targets)
        features = _arrays(X, len(targets))
        size = max(_SMALLEST, 1 << (len(targets) - 1).bit_length())
        self._state = self._fit(
            jax.random.key(self.seed),
            jax.tree.map(lambda leaf: _pad(leaf, size), features),
            _pad(targets.astype(np.float32), size),
            jnp.arange(size) < len(targets),
        )
        self._shapes = _shapes(features)
        return self

    def predict(
        self, X: Features, return_std: bool = False
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Means `[m]` and, where asked for, standard deviations `[m]`.

        Args:
          X: features `[m, D]`, or a tree of arrays with the leading axis m.
          return_std: return the pair (mean, std).

        Raises:
          DataError: nothing was fitted, the features have another shape than the
            fitted ones, or a number is not finite.
        """
        if not self._shapes:
            raise errors.DataError("nothing was fitted; call fit(X, y) first")
        features = _arrays(X, None)
        shapes = _shapes(features)
        if shapes != self._shapes:
            raise errors.DataError(
                f"X: one row was {self._shapes} when fitted, found {shapes}"
            )
        num_rows = jax.tree.leaves(features)[0].shape[0]
        size = max(_SMALLEST, 1 << max(num_rows - 1, 0).bit_length())
        padded = jax.tree.map(lambda leaf: _pad(leaf, size), features)
        mean, std = self._predict(self._state, padded)
        if not return_std:
            return np.asarray(mean)[:num_rows]
        return np.asarray(mean)[:num_rows], np.asarray(std)[:num_rows]


def _arrays(X: Features, num_rows: int | None) -> Features:
    """The leaves as arrays of `num_rows` rows; of equal length where that is None."""
    features = jax.tree.map(_tree_leaf, X) if _is_tree(X) else _matrix(X)
    lengths = [len(leaf) for leaf in jax.tree.leaves(features)]
    expected = lengths[0] if num_rows is None else num_rows
    for length in lengths:
        if length != expected:
            raise errors.DataError(f"X: {length} rows found, {expected} are needed")
    jax.tree.map(lambda leaf: _check_finite("X", leaf), features)
    return features


def _is_tree(X: Features) -> bool:
    """Whether it is a bundle such as a Graph, not rows given as lists."""
    return hasattr(X, "_fields") or isinstance(X, dict)


def _matrix(X: Any) -> np.ndarray:
    matrix = np.asarray(X)
    if matrix.ndim != 2:
        raise errors.DataError(
            f"X: a matrix [rows, features] is needed, found the shape "
            f"{list(matrix.shape)}; reshape(1, -1) makes one row a matrix"
        )
    return matrix.astype(np.float32)


def _tree_leaf(leaf: Any) -> np.ndarray:
    """Integers, such as operation ids, stay integers."""
    array = np.atleast_1d(np.asarray(leaf))
    floating = np.issubdtype(array.dtype, np.floating)
    return array.astype(np.float32) if floating else array


def _shapes(features: Features) -> list[tuple[int, ...]]:
    """Shapes of one row."""
    return [leaf.shape[1:] for leaf in jax.tree.leaves(features)]


def _pad(leaf: np.ndarray, size: int) -> np.ndarray:
    """Repeats the first row until there are `size` of them."""
    missing = size - leaf.shape[0]
    if missing <= 0:
        return leaf
    return np.concatenate([leaf, np.repeat(leaf[:1], missing, axis=0)])


def _check_finite(name: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise errors.DataError(
            f"{name}: the entry {list(where)} is {values[where]}; mend or drop its row"
        )
