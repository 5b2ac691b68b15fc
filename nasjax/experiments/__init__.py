"""Protocols and scores as pure functions of keys, arrays and benchmarks."""
