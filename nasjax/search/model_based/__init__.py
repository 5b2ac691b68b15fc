"""Searches that fit a predictor and maximise an acquisition function.

For example:

    from nasjax import search, spaces

    algorithm = search.make("bo_gp", spaces.make("nasbench201"), batch_size=5)
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
