"""Official surrogates as ours: NAS-Bench-x11 v0.5 and NAS-Bench-301 v1.0.

Curves are converted to accuracies in [0, 1] or losses in nats. What the official code
does in a query is kept: one ensemble member counts as often as it was copied, and the
noise is that of the first member, clipped at 3 official units and halved.
"""

import os
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, paths, read_guard
from nasjax.nasbench.readers import imported, nasbench301, nasbench_x11
from nasjax.nasbench.surrogate import features as feature_registry
from nasjax.nasbench.surrogate.model import CurveModel, Member, Seconds, Surrogate
from nasjax.nasbench.surrogate.noise import gkde
from nasjax.nasbench.surrogate.scaling import Scaler
from nasjax.nasbench.surrogate.svd import SVD
from nasjax.nasbench.surrogate.trees import lightgbm_text, xgboost_json
from nasjax.nasbench.surrogate.trees.forest import Chain
from nasjax.nasbench.surrogate.trees.tree_arrays import Trees

_CLIP, _DIVISOR = 3.0, 2.0
_NLP_SECONDS = 9747.0
"""What the official search code takes every training of NAS-Bench-NLP to cost."""


class Unit(NamedTuple):
    """Ours = offset + scale * official."""

    scale: float
    offset: float
    metric: str
    data_set: str


UNITS = {
    "nasbench111": Unit(1.0, 0.0, "valid_accuracy", "cifar10"),
    "nasbench311": Unit(0.01, 0.0, "valid_accuracy", "cifar10"),
    "nasbench211": Unit(0.01, 0.0, "valid_accuracy", "cifar10"),
    # Official curves are 100 minus the loss.
    "nasbench_nlp11": Unit(-1.0, 100.0, "valid_loss", "ptb"),
}


def read(
    path: str | os.PathLike[str], runtime: str | os.PathLike[str] = ""
) -> Surrogate:
    """One official surrogate.

    Args:
      path: the folder or zip of one benchmark: `nb111`, `nb311` or `nbnlp11` of
        NAS-Bench-x11, or `xgb_v1.0` or `lgb_v1.0` of NAS-Bench-301.
      runtime: NAS-Bench-301's `lgb_runtime_v1.0`; without it costs are NaN.

    Raises:
      DataError: there is none, or several; a file is damaged, unsafe, or of a network.
    """
    path = paths.expand(path)
    if not paths.exists(path):
        raise errors.DataError(f"{path}: no such file or folder")
    with read_guard.guard(path, "not of the official form"):
        return _read(path, runtime)


def _read(path: pathlib.Path, runtime: str | os.PathLike[str]) -> Surrogate:
    x11 = nasbench_x11.is_x11(path)
    found = nasbench_x11.read(path) if x11 else nasbench301.read(path)
    found = tuple(one for one in found if x11 or not nasbench301.is_runtime(one))
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise errors.DataError(
            f"{path} holds {len(found)} surrogates ({names}); give one"
        )
    seconds = read_runtime(runtime) if runtime else None
    return convert(found[0], seconds=seconds)


def read_runtime(path: str | os.PathLike[str]) -> Seconds:
    """NAS-Bench-301's model of the training seconds.

    Raises:
      DataError: the path holds no such model, or a damaged one.
    """
    for found in nasbench301.read(path):
        if nasbench301.is_runtime(found):
            chains = tuple(_chain(member) for member in found.members)
            return Seconds(None, chains)
    raise errors.DataError(f"{path}: holds no model of runtimes")


def convert(
    found: imported.ImportedSurrogate, *, seconds: Seconds | None = None
) -> Surrogate:
    """A surrogate of what was read.

    Raises:
      DataError: the numbers of features and epochs are those of no known benchmark.
    """
    # NAS-Bench-301 reads the features of NAS-Bench-311 and predicts one number.
    name = nasbench_x11.kind(found) if found.num_epochs > 1 else "nasbench311"
    unit = UNITS[name]
    members = tuple(
        Member(_chain(member), _compressor(member, unit)) for member in found.members
    )
    copies = np.array(found.copies, np.float64)
    epochs = tuple(range(1, found.num_epochs + 1))
    if found.num_epochs == 1:
        epochs = (98,)
    if seconds is None and name == "nasbench_nlp11":
        seconds = Seconds(jnp.float32(_NLP_SECONDS))
    curve_model = CurveModel(
        members=members,
        weights=jnp.asarray(copies / copies.sum()),
        noise=_noise(found.members[0], unit),
        low=jnp.asarray(-np.inf),
        high=jnp.asarray(np.inf),
    )
    library = {"lightgbm": "lgb", "xgboost": "xgb"}[found.members[0].library]
    return Surrogate(
        models={unit.metric: curve_model},
        seconds=seconds,
        space=feature_registry.make(name).space,
        features=name,
        data_set=unit.data_set,
        epochs=epochs,
        metric=unit.metric.rsplit("_", 1)[-1],
        techniques=tuple(sorted({library} | ({"svd"} if len(epochs) > 1 else set()))),
    )


def _chain(member: imported.Member) -> Chain:
    parse = lightgbm_text.parse if member.library == "lightgbm" else xgboost_json.parse
    if member.order != tuple(range(len(member.models))):
        raise errors.DataError(f"a chain in the order {member.order} is not supported")
    trees: list[Trees] = [parse(text) for text in member.models]
    try:
        return Chain.build(trees)
    except ValueError as error:
        raise errors.DataError(f"the models do not fit together: {error}") from error


def _compressor(member: imported.Member, unit: Unit) -> SVD:
    """The decoder with the unit folded in; the identity of one number without one."""
    if member.decoder is None:
        one = np.ones(1)
        decoder = imported.Decoder(0 * one, one, one, np.ones((1, 1)))
    else:
        decoder = member.decoder
    length = decoder.basis.shape[1]
    return SVD(
        mean=jnp.full(length, unit.offset),
        singular_values=jnp.asarray(decoder.singular_values),
        components=jnp.asarray(unit.scale * decoder.basis),
        scaler=Scaler(jnp.asarray(decoder.mean), jnp.asarray(decoder.scale)),
    )


def _noise(member: imported.Member, unit: Unit) -> gkde.GKDE | None:
    if member.kernel is None:
        return None
    return gkde.from_kernel(
        unit.scale * member.kernel.dataset.T,
        unit.scale**2 * member.kernel.covariance,
        clip=abs(unit.scale) * _CLIP,
        divisor=_DIVISOR,
    )
