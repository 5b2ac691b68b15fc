"""A configuration of surrogates made concrete: its data are read, its names checked."""

from typing import Any

from nasjax.core import errors
from nasjax.jobs.nasbench_x11 import data
from nasjax.nasbench.surrogate import study
from nasjax.nasbench.surrogate.study import Study

Config = dict[str, Any]


def read(config: Config) -> Study:
    """The study that a configuration describes.

    Args:
      config: `data` (see `data.read`), `seed`, `folds`, `surrogates` (names),
        `surrogate` (settings of all of them) and `keep_all_metrics`.

    Raises:
      ConfigError: a setting does not fit.
      DataError: the data are missing or damaged.
    """
    curves, repeats = data.read(config)
    made = study.make(
        config["seed"],
        curves,
        study.surrogates(config["surrogates"], **config["surrogate"]),
        metric=config["data"]["metric"],
        num_train=int(config["data"]["num_train"]),
        train_fraction=float(config["data"]["train_fraction"]),
        folds=config["folds"],
        repeats=repeats,
    )
    known = study.names()
    for name in config["keep_all_metrics"]:  # others would be left out in silence
        if name not in known:
            raise errors.unknown_name(
                "surrogate in config.keep_all_metrics", str(name), known
            )
    return made
