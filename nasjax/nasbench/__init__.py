"""Benchmarks whose queries are pure functions: tables, surrogates, embedded digits.

For example:

    import jax
    from nasjax import nasbench, spaces

    table, space = nasbench.load("digits201"), spaces.make("nasbench201")
    print(table.mean(space.sample(jax.random.key(0)), 30).test)
"""

from nasjax.core import lazy
from nasjax.nasbench.loading import load
from nasjax.nasbench.readers import convert
from nasjax.nasbench.records import query
from nasjax.nasbench.table import TabularBenchmark

__all__ = ["TabularBenchmark", "convert", "load", "query", "surrogate"]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
