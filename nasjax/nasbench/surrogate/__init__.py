"""Surrogates of learning curves: compression, regressors and noise (chapter 5).

For example:

    import jax
    import numpy as np
    from nasjax.nasbench import surrogate

    features = np.random.default_rng(0).random((60, 4))
    curves = features[:, :1] * np.linspace(0.5, 0.9, 20)  # 60 trainings, 20 epochs
    settings = surrogate.Settings(num_rounds=20, rank=1, noise="std")
    key, targets = jax.random.key(0), {"valid_accuracy": curves}
    models = surrogate.fit(key, features, targets, settings)
"""

from nasjax.core import lazy

__all__ = [
    "CurveData",
    "Settings",
    "Surrogate",
    "baselines",
    "compression",
    "cross_validation",
    "csv_table",
    "curve_data",
    "early_stopping",
    "evaluation",
    "features",
    "features_nasbench301",
    "features_paths",
    "fit",
    "fitting",
    "held_out",
    "load",
    "model",
    "noise",
    "residuals",
    "save",
    "scaling",
    "storage",
    "study",
    "svd",
    "trees",
    "vae",
]

_MEMBERS = {
    "CurveData": "curve_data",
    "Settings": "fitting",
    "Surrogate": "model",
    "fit": "fitting",
    "load": "storage",
    "save": "storage",
}

__getattr__, __dir__ = lazy.attributes(__name__, __all__, _MEMBERS)
