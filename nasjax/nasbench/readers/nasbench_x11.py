"""NAS-Bench-x11 v0.5 (Yan et al., 2021): checkpoints of SVD-LGB and SVD-XGB surrogates.

Each `surrogate_model.model` is a joblib file of the list

    [RegressorChain, StandardScaler, s, vh, num_components(, gaussian_kde)]

of scikit-learn, numpy and scipy objects; none of these libraries is imported to read
it, and no code of the file runs.
"""

import io
import os
import pathlib
from typing import Any

import numpy as np

from nasjax.core import read_guard, safe_pickle
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import boosters, checkpoints, imported, joblib_stream

TECHNIQUES = ("svd_lgb", "svd_xgb")
"""Official names of the techniques that are read."""

KINDS = {
    (30, 108): "nasbench111",
    (56, 98): "nasbench311",
    (188, 50): "nasbench_nlp11",
    (6, 200): "nasbench211",
}
"""Name of the official features by (number of features, epochs)."""

_MAX_BYTES = 3 << 26
_CHAIN = safe_pickle.stub("RegressorChain")
_SCALER = safe_pickle.stub("StandardScaler")
_KDE = safe_pickle.stub("gaussian_kde")
_ALLOW: safe_pickle.AllowList = {
    **boosters.ALLOW,
    ("sklearn.multioutput", "RegressorChain"): _CHAIN,
    ("sklearn.preprocessing._data", "StandardScaler"): _SCALER,
    ("sklearn.preprocessing.data", "StandardScaler"): _SCALER,
    ("scipy.stats.kde", "gaussian_kde"): _KDE,
    ("scipy.stats._kde", "gaussian_kde"): _KDE,
}


def is_x11(path: pathlib.Path) -> bool:
    """Whether a folder, zip or file holds surrogates of these techniques."""
    return not checkpoints.techniques(path).isdisjoint(TECHNIQUES)


def read(path: str | os.PathLike[str]) -> tuple[imported.ImportedSurrogate, ...]:
    """The surrogates below a path, one for each benchmark that it holds.

    Args:
      path: a folder, a zip archive, or one `surrogate_model.model`.

    Returns:
      Ensembles without their duplicates. Curves are validation accuracy in [0, 1]
      (nasbench111), in percent (nasbench311, nasbench211), or 100 minus the
      validation loss in nats (nasbench_nlp11).

    Raises:
      DataError: there is none, or only networks (SVD-MLP, VAE), which are refused; a
        file is damaged, truncated, unsafe or of another form.
    """
    return checkpoints.read(path, read_member, TECHNIQUES)


def kind(surrogate: imported.ImportedSurrogate) -> str:
    """Which official features a surrogate takes, by its sizes.

    Raises:
      DataError: the sizes are those of no official surrogate.
    """
    sizes = surrogate.num_features, surrogate.num_epochs
    if sizes not in KINDS:
        known = ", ".join(f"{name} {key}" for key, name in KINDS.items())
        raise DataError(
            f"{surrogate.name}: {sizes[0]} features and {sizes[1]} epochs are none of "
            f"the official (features, epochs): {known}; name its features yourself"
        )
    return KINDS[sizes]


def read_member(content: bytes, name: str) -> imported.Member:
    """One member from the bytes of its file.

    Raises:
      DataError: they are damaged, truncated, refused or not of the official form.
    """
    try:
        objects = joblib_stream.load(
            io.BytesIO(content), allow=_ALLOW, name=name, max_bytes=_MAX_BYTES
        )
    except DataError as error:
        if "global 'torch" in str(error):
            raise checkpoints.refusal(name, "a torch network", TECHNIQUES) from error
        raise
    if not isinstance(objects, list) or len(objects) not in (5, 6):
        raise _malformed(name, "a list of 5 or 6 objects is expected")
    with read_guard.guard(name, "not of the official NAS-Bench-x11 form"):
        return _member(objects, name)


def _member(objects: list[Any], name: str) -> imported.Member:
    chain, scaler, s, vh, k, *kde = objects
    models, order = _chain(chain, name)
    if len({model.library for model in models}) != 1 or _integer(k) != len(models):
        components = read_guard.show(k)
        raise _malformed(name, f"{len(models)} models for {components} components")
    decoder = _decoder(scaler, s, vh, len(models), name)
    kernel = _kernel(kde[0], decoder.basis.shape[1], name) if kde else None
    texts = tuple(model.text for model in models)
    return imported.Member(models[0].library, texts, order, decoder, kernel)


def _chain(
    chain: Any, name: str
) -> tuple[list[boosters.BoosterModel], tuple[int, ...]]:
    state = _state(chain, _CHAIN, name)
    estimators = state.get("estimators_")
    if not isinstance(estimators, list) or not estimators:
        raise _malformed(name, "the chain holds no fitted models")
    models = [boosters.read(estimator, name=name) for estimator in estimators]
    order = state.get("order_", list(range(len(models))))
    if isinstance(order, np.ndarray):
        order = order.ravel().tolist()
    order = tuple(map(_integer, order)) if isinstance(order, list) else ()
    if sorted(order) != list(range(len(models))):
        raise _malformed(name, "the order of its models")
    return models, order


def _decoder(scaler: Any, s: Any, vh: Any, k: int, name: str) -> imported.Decoder:
    state = _state(scaler, _SCALER, name)
    mean, scale = state.get("mean_"), state.get("scale_")
    return imported.Decoder(
        np.zeros(k) if mean is None else _array(mean, (k,), name),
        np.ones(k) if scale is None else _array(scale, (k,), name),
        _array(s, (-1,), name, least=k)[:k],
        _array(vh, (-1, -1), name, least=k)[:k],
    )


def _kernel(kde: Any, num_epochs: int, name: str) -> imported.Kernel:
    state = _state(kde, _KDE, name)
    dataset = _array(state.get("dataset"), (num_epochs, -1), name)
    n = dataset.shape[1]
    weights = state.get("_weights", state.get("weights"))
    weights = np.full(n, 1 / n) if weights is None else weights
    square = (num_epochs, num_epochs)
    return imported.Kernel(
        dataset,
        _array(weights, (n,), name),
        _array(state.get("covariance"), square, name),
        float(_array(state.get("factor"), (), name)),
    )


def _state(value: Any, kind: type[safe_pickle.Stub], name: str) -> dict[str, Any]:
    if not isinstance(value, kind) or not isinstance(value.state, dict):
        raise _malformed(name, f"a {kind.__name__} is expected")
    return value.state


def _array(value: Any, shape: tuple[int, ...], name: str, least: int = 1) -> np.ndarray:
    """A finite float64 array of a shape, in which -1 is any size from `least` on."""
    if not isinstance(value, np.ndarray | np.generic | float | int):
        raise _malformed(name, f"{type(value).__name__} in the place of an array")
    if np.asarray(value).dtype.kind not in "fiu":
        raise _malformed(name, "an array that holds no numbers")
    array = np.array(value, np.float64)
    fits = array.ndim == len(shape) and all(
        size == wanted or (wanted == -1 and size >= least)
        for size, wanted in zip(array.shape, shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise _malformed(name, f"an array of shape {array.shape} or not finite")
    return array


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, int | np.integer) else -1


def _malformed(name: str, why: str) -> DataError:
    return DataError(
        f"{name}: not of the official NAS-Bench-x11 form ({why}); download it again"
    )
