"""A configuration of surrogates made concrete: its data are read, its names checked."""

from nasjax.core import errors
from nasjax.jobs.nasbench_x11 import data
from nasjax.jobs.nasbench_x11.settings import Fits
from nasjax.nasbench.surrogate import study
from nasjax.nasbench.surrogate.study import Study


def read(fits: Fits) -> Study:
    """The study that a configuration describes.

    Raises:
      ConfigError: a setting does not fit.
      DataError: the data are missing or damaged.
    """
    curves, repeats = data.read(fits.data)
    made = study.make(
        fits.seed,
        curves,
        study.surrogates(fits.surrogates, **fits.surrogate),
        metric=fits.data.metric,
        num_train=fits.data.num_train,
        train_fraction=fits.data.train_fraction,
        folds=fits.folds,
        repeats=repeats,
    )
    known = study.names()
    for name in fits.keep_all_metrics:  # others would be left out in silence
        if name not in known:
            raise errors.unknown_name(
                "surrogate in config.keep_all_metrics", str(name), known
            )
    return made
