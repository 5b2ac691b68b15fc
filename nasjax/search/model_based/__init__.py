"""Searches that fit a predictor and maximise an acquisition function.

For example:

    import jax.numpy as jnp
    from nasjax.search.model_based import acquisition

    mean, std = jnp.array([0.91, 0.93]), jnp.array([0.03, 0.01])
    print(acquisition.expected_improvement(mean, std, 0.93))
"""

from nasjax.core import lazy

__all__ = [
    "acquisition",
    "bananas",
    "batched_cond",
    "bayesian_optimization",
    "bo_gcn",
    "candidate_search",
    "candidates",
    "graph_predictors",
    "neural_predictor",
    "observations",
    "pool_search",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
