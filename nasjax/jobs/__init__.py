"""What launch scripts do: plain arguments in, a folder with `result.json` out.

A folder a script; the scripts read a configuration and call the modules here:

    python launch/search.py --config=configs/search/digits201.py:smoke --workdir=runs/x
"""

from nasjax.core import errors, lazy, progress

__all__ = [
    "arch2vec",
    "config_door",
    "defaults",
    "errors",
    "hmnas",
    "nasbench_x11",
    "progress",
    "report",
    "search",
    "train_architecture",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
