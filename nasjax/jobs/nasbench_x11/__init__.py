"""The job of `launch/nasbench_x11.py`: benchmark files and surrogates, chapter 5.

For example:

    python launch/nasbench_x11.py --mode=query --table=TABLE.safetensors --arch=STRING
"""

from nasjax.core import lazy

__all__ = [
    "data",
    "figures",
    "files",
    "modes",
    "surrogates",
    "tables",
    "trainings",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
