r"""The job of `launch/train_architecture.py`: trainings of given architectures.

For example:

    python launch/train_architecture.py --config=configs/train/digits.py:smoke \
        --workdir=runs/x
"""

from nasjax.core import lazy

__all__ = [
    "architectures",
    "run",
    "settings",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
