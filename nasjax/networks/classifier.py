"""What an architecture's network is to the code that trains it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nasjax.core.types import Array, Key

Params = Any
Statistics = Any


class Outputs(NamedTuple):
    """Attributes:
    logits: `[N, K]`, one row an image, one column a class.
    auxiliary: `[N, K]`, logits of the auxiliary head, or None without one.
    """

    logits: Array
    auxiliary: Array | None = None


class Classifier(NamedTuple):
    """An image classifier as two pure functions.

    Attributes:
      init: `(key) -> (params, statistics)`; the statistics are the running means and
        variances of batch normalisation.
      apply: `(params, statistics, images [N, H, W, C], *, train, key, drop_path) ->
        (Outputs, statistics)`. `train` is static: True normalises with the moments of
        the batch, returns updated statistics and fills `auxiliary` where the network
        has that head. `key` and `drop_path` `[]` (the probability of dropping a path)
        matter only then and only to networks that drop paths.
    """

    init: Callable[[Key], tuple[Params, Statistics]]
    apply: Callable[..., tuple[Outputs, Statistics]]
