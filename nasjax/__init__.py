"""Neural architecture search as pure JAX functions.

    import nasjax

    print(nasjax.nasbench.query("digits201", 42))  # a cell by its index
    print(sorted(nasjax.search.ALGORITHMS))

Packages and types are imported when they are first used.
"""

from typing import TYPE_CHECKING

from nasjax.core import lazy

if TYPE_CHECKING:
    from nasjax.core.types import Evaluation, Proposal, SearchSpace
    from nasjax.nasbench.surrogate.model import Surrogate
    from nasjax.nasbench.table import TabularBenchmark
    from nasjax.search.algorithm import SearchAlgorithm
    from nasjax.search.history import History

__version__ = "0.1.0"

__all__ = [
    "Evaluation",
    "History",
    "Proposal",
    "SearchAlgorithm",
    "SearchSpace",
    "Surrogate",
    "TabularBenchmark",
    "core",
    "data",
    "encoders",
    "experiments",
    "jobs",
    "nasbench",
    "networks",
    "predictors",
    "report",
    "search",
    "spaces",
    "supernet",
    "training",
]

_MEMBERS = {
    "Evaluation": "core.types",
    "History": "search.history",
    "Proposal": "core.types",
    "SearchAlgorithm": "search.algorithm",
    "SearchSpace": "core.types",
    "Surrogate": "nasbench.surrogate.model",
    "TabularBenchmark": "nasbench.table",
}

__getattr__, __dir__ = lazy.attributes(__name__, __all__, _MEMBERS)
