r"""The job of `launch/cate.py`: pre-training, quality of encodings, searches.

For example:

    python launch/cate.py --config=configs/cate/nasbench201.py:smoke \
        --workdir=runs/x
"""

from nasjax.core import lazy

__all__ = ["encodings", "modes", "pretrain", "search", "settings"]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
