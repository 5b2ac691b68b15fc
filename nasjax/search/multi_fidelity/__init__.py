"""Searches that train many architectures for a few epochs and few to the end.

For example:

    from nasjax.search.multi_fidelity import brackets

    for bracket in brackets.hyperband(min_epochs=1, max_epochs=27, eta=3):
        print(bracket.sizes, bracket.epochs)
"""

from nasjax.core import lazy

__all__ = [
    "asha",
    "bohb",
    "brackets",
    "dehb",
    "differential_evolution",
    "hyperband",
    "kernel_density",
    "observations",
    "rungs",
    "successive_halving",
    "unit_points",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
