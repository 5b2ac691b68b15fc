"""The job of `launch/report.py`: working directories become one HTML page.

For example:

    python launch/report.py --workdirs=runs/a,runs/b --output=report.html
"""

from nasjax.core import lazy

__all__ = [
    "cells",
    "encoder_section",
    "parts",
    "rank_section",
    "reproduction",
    "run",
    "search_section",
    "supernet_section",
    "surrogate_section",
    "training_section",
    "workdirs",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
