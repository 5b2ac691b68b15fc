"""Encodings that are learned from architectures alone, under one protocol.

For example:

    import jax
    from nasjax.encoders import corpus, learned

    archs = corpus.architectures("nasbench201", jax.random.key(0), count=500)
    embed = learned.fit("arch2vec", jax.random.key(1), "nasbench201", archs, epochs=1)
    print(embed(archs).shape)
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from nasjax.core import errors, registry
from nasjax.core.types import Key

Embed = Callable[[np.ndarray], np.ndarray]
"""`(archs int32 [M, G]) -> float32 [M, D]`."""

LEARNED = ("arch2vec", "cate", "dvae")
"""Packages of `encoders` whose `pretraining.pretrain` fits one."""


def fit(name: str, key: Key, space: str, archs: np.ndarray, **options: Any) -> Embed:
    """Pre-trains an encoder on architectures.

    Args:
      name: one of `LEARNED`.
      key: of the initial weights, the order and the noise.
      space: registry name of their space.
      archs: int32 `[M, G]`, in random order: the last ones are held out.
      **options: of the encoder's `pretraining.pretrain`, such as `epochs` and
        `variant`; `changes` names fields of its settings.

    Returns:
      A function from architectures to their embeddings.

    Raises:
      ConfigError: there is no such encoder or option, or not for this space.
    """
    if name not in LEARNED:
        raise errors.unknown_name("learned encoding", name, LEARNED)
    package = importlib.import_module(f"nasjax.encoders.{name}.pretraining")
    registry.check(f"the encoder {name}", package.pretrain, options, taken=3)
    embed: Embed = package.pretrain(key, space, archs, **options).embed
    return embed
