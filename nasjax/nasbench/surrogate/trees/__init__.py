"""Boosted trees as arrays: fitted by LightGBM or XGBoost, evaluated exactly by JAX.

For example:

    import numpy as np
    from nasjax.nasbench.surrogate.trees import boosting

    features = np.random.default_rng(0).random((60, 4))
    settings = boosting.LightGBM(num_rounds=10)
    chain = boosting.fit_chain(features, features[:, :1], settings, seed=0)
    print(chain.predict(features[0]))
"""

from nasjax.core import lazy

__all__ = [
    "boosting",
    "forest",
    "lightgbm_text",
    "memory_layout",
    "quickscorer",
    "tree_arrays",
    "xgboost_json",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
