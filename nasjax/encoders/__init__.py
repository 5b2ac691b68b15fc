"""Encodings: a gene vector becomes the features that a predictor reads.

For example:

    import jax
    from nasjax import encoders, spaces

    encode = encoders.make("path_one_hot", "nasbench201")
    print(encode(spaces.make("nasbench201").sample(jax.random.key(0))))
"""

from collections.abc import Callable, Mapping
from typing import Any

from nasjax.core import errors, lazy, registry
from nasjax.encoders import adjacency, paths
from nasjax.encoders.adjacency import Encoding
from nasjax.encoders.respacing import respace
from nasjax.spaces import SPACES

__all__ = [
    "ENCODINGS",
    "Encoding",
    "SUBROUTINES",
    "arch2vec",
    "cate",
    "distances",
    "dvae",
    "learned",
    "make",
    "respace",
    "respaced",
    "spaces_of",
    "subroutines",
]

__getattr__, __dir__ = lazy.attributes(
    __name__, __all__, {name: "subroutines" for name in ("SUBROUTINES", "respaced")}
)

ENCODINGS: Mapping[str, Callable[..., Encoding]] = {
    "adjacency_one_hot": adjacency.one_hot,
    "adjacency_categorical": adjacency.categorical,
    "adjacency_continuous": adjacency.continuous,
    "path_one_hot": paths.one_hot,
    "path_one_hot_truncated": paths.one_hot_truncated,
    "path_categorical": paths.categorical,
    "path_categorical_truncated": paths.categorical_truncated,
    "path_continuous": paths.continuous,
    "path_continuous_truncated": paths.continuous_truncated,
    "path_counts": paths.counts,
}
"""Encodings that need no training: `factory(space name, **options) -> Encoding`, a
pure function `arch int32 [G] -> float32 [D]`."""


def make(name: str, space: str, **options: Any) -> Encoding:
    """The encoding of a name for a space.

    Args:
      name: a key of `ENCODINGS`.
      space: a key of `spaces.SPACES`.
      **options: of the factory, such as `max_ops=2` of the truncated ones.

    Raises:
      ConfigError: there is no such encoding, not for this space, or it has no such
        option.
    """
    return registry.make("encoding", ENCODINGS, name, (space,), options)


def spaces_of(name: str) -> tuple[str, ...]:
    """The registered spaces that an encoding can encode.

    Raises:
      ConfigError: there is no such encoding.
    """
    factory = registry.find("encoding", ENCODINGS, name)
    return tuple(space for space in SPACES if _encodes(factory, space))


def _encodes(factory: Callable[..., Encoding], space: str) -> bool:
    try:
        factory(space)
    except errors.ConfigError:
        return False
    return True
