"""Benchmarks whose queries are pure functions: tables, surrogates, live digits."""

from nasjax.nasbench.loading import load
from nasjax.nasbench.readers import convert
from nasjax.nasbench.table import TabularBenchmark

__all__ = ["TabularBenchmark", "convert", "load"]
