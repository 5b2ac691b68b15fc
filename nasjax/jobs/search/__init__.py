"""The job of `launch/search.py`: trials of algorithms, and driven searches.

For example:

    python launch/search.py --config=configs/search/digits201.py:smoke --workdir=runs/x
"""

from nasjax.core import lazy

__all__ = [
    "algorithms",
    "cells",
    "chunks",
    "clusters",
    "drive",
    "executors",
    "figures",
    "settings",
    "tables",
    "trials",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
