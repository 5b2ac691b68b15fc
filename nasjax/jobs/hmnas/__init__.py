"""The job of `launch/hmnas.py`: algorithm 1 of chapter 2 in a working directory.

For example:

    python launch/hmnas.py --config=configs/digits.py:smoke --workdir=runs/x
"""

from nasjax.core import lazy

__all__ = [
    "modes",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
