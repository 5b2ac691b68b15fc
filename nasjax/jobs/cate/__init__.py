"""CATE (chapter 4): what `launch/cate.py` runs.

For example:

    from nasjax.jobs.cate import modes

    modes.run(config, "runs/cate201")  # config as in configs/cate/
"""

from nasjax.core import lazy

__all__ = ["encodings", "modes", "pretrain", "search", "settings"]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
