"""Benchmarks whose queries are pure functions: tables, surrogates, embedded digits.

For example:

    import jax
    from nasjax import nasbench, spaces

    table, space = nasbench.load("digits201"), spaces.make("nasbench201")
    print(table.mean(space.sample(jax.random.key(0)), 30).test)
"""

from nasjax.nasbench.loading import load
from nasjax.nasbench.readers import convert
from nasjax.nasbench.records import query
from nasjax.nasbench.table import TabularBenchmark

__all__ = ["TabularBenchmark", "convert", "load", "query"]
