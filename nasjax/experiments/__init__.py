"""Protocols and scores as pure functions of keys, arrays and benchmarks.

For example:

    from nasjax import experiments, spaces

    algorithm = experiments.make("bananas", spaces.make("nasbench201"))
"""

from nasjax.core import lazy

__all__ = [
    "algorithms",
    "comparison",
    "forecasts",
    "latent_walks",
    "make",
    "plots",
    "predictive_performance",
    "published",
    "ranking",
    "search_inputs",
    "search_problem",
    "search_scores",
]

_MEMBERS = {
    "make": "algorithms",
}

__getattr__, __dir__ = lazy.attributes(__name__, __all__, _MEMBERS)
