r"""The job of `launch/arch2vec.py`: tables 3.1 to 3.3, figures 3.2 to 3.6.

For example:

    python launch/arch2vec.py --config=configs/arch2vec/nasbench201.py:smoke \
        --workdir=runs/x
"""

from nasjax.core import lazy

__all__ = [
    "figures",
    "pretrain",
    "search",
    "search_tables",
    "seeds",
    "settings",
    "tables",
    "variants",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
