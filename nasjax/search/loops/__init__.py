"""The loops that run an algorithm: `lax.scan`, many trials, real trainings.

For example:

    import jax
    from nasjax import nasbench, search, spaces
    from nasjax.search.loops import trials

    table, space = nasbench.load("digits201"), spaces.make("nasbench201")
    algorithm = search.make("random_search", space)
    keys = jax.random.split(jax.random.key(0))
    history = trials.run_trials(keys, algorithm, table.evaluate, 10)
"""

from nasjax.core import lazy

__all__ = [
    "budget",
    "dispatch",
    "drive",
    "drive_state",
    "executors",
    "scan",
    "trials",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
