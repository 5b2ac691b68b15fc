"""Types, errors, arrays on disk, statistics: what every other folder uses.

For example:

    from nasjax.core import statistics

    print(statistics.mean_interval([0.91, 0.93, 0.92, 0.95]))
"""

from nasjax.core import lazy

__all__ = [
    "arrays",
    "atomic_file",
    "attention",
    "attention_weights",
    "batching",
    "checkpoint",
    "compilation",
    "errors",
    "formulation",
    "genotypes",
    "graphs",
    "hashed_bits",
    "linalg",
    "malloc",
    "metric_log",
    "metrics",
    "progress",
    "read_guard",
    "registry",
    "result",
    "safe_pickle",
    "sampling",
    "signals",
    "statistics",
    "stopwatch",
    "types",
    "workdir",
    "worker_process",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
