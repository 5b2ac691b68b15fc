"""What a configuration of HM-NAS says.

jax is not loaded: a command line lists the defaults at once.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from nasjax.supernet.settings import Settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Settings):
    """The stages of algorithm 1, and what they are run on.

    Attributes:
      data: `name` of a data set and the options of its function.
      supernet: fields of `supernet.spec.SupernetSpec`.
      seed: of everything that is drawn.
      batch_size: images of a step.
    """

    data: Mapping[str, Any]
    supernet: Mapping[str, Any]
    seed: int = 0
    batch_size: int = 128
