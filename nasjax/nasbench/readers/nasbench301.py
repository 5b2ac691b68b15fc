"""NAS-Bench-301 v1.0 (Zela et al., 2022): gradient-boosted surrogates of one number.

Each `surrogate_model.model` is a pickled booster of XGBoost or LightGBM: `xgb_v1.0`
and `lgb_v1.0` predict the validation accuracy in percent after 98 epochs,
`lgb_runtime_v1.0` the seconds of the training. Neither library is imported to read
them, and no code of the file runs. Inputs are the 56 features of NAS-Bench-311.
"""

import os
import pathlib

from nasjax.core import safe_pickle
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import boosters, checkpoints, imported

TECHNIQUES = ("xgb", "lgb", "xgb_time", "lgb_time")
"""Official names of the techniques that are read; `_time` predicts seconds."""

_MAX_BYTES = 1 << 27


def is_nasbench301(path: pathlib.Path) -> bool:
    """Whether a folder, zip or file holds surrogates of these techniques."""
    return not checkpoints.techniques(path).isdisjoint(TECHNIQUES)


def read(path: str | os.PathLike[str]) -> tuple[imported.ImportedSurrogate, ...]:
    """The surrogates below a path, ensembles without their duplicates.

    Args:
      path: a folder, a zip archive, or one `surrogate_model.model`. Networks beside
        them (`gnn_gin_v1.0`) are left out.

    Returns:
      Surrogates whose members have one model and neither decoder nor kernel.

    Raises:
      DataError: there is none, or only networks, which are refused; a file is
        damaged, truncated, unsafe or of another form.
    """
    return checkpoints.read(path, read_member, TECHNIQUES)


def is_runtime(surrogate: imported.ImportedSurrogate) -> bool:
    """Whether it predicts the seconds of a training rather than its accuracy."""
    return str(surrogate.model_config.get("model", "")).endswith("_time")


def read_member(content: bytes, name: str) -> imported.Member:
    """One member from the bytes of its file.

    Raises:
      DataError: they are damaged, truncated, refused or hold no booster.
    """
    try:
        value = safe_pickle.load(
            content, allow=boosters.ALLOW, max_bytes=_MAX_BYTES, name=name
        )
    except DataError as error:
        if "global 'torch" in str(error):
            raise checkpoints.refusal(name, "a torch network", TECHNIQUES) from error
        raise
    if not boosters.is_booster(value):
        raise DataError(
            f"{name}: not of the official NAS-Bench-301 form: a pickled booster of "
            f"XGBoost or LightGBM is expected, not {type(value).__name__}"
        )
    model = boosters.read(value, name=name)
    return imported.Member(model.library, (model.text,))
