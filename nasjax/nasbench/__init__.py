"""Benchmarks whose queries are pure functions: tables, surrogates, live digits."""
