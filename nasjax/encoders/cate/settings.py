"""What a CATE model is made of."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from nasjax.core import errors


class Settings(NamedTuple):
    """Of a model and what it is trained for.

    Attributes:
      rules: "thesis" or "released", see `VARIANTS`.
      mask: what a node attends: "indirect" (all it depends on), "direct" (what its
        edges come from), or "both": half of the heads the one, half the other, so that
        edges which a longer path implies are seen too.
      direction: "uni", or "bi": the graph is also encoded against its edges, by the
        same encoder, and both states of a node are concatenated.
      num_layers: L, of the encoder.
      num_cross_layers: L_c, of the cross-attention encoder.
      width: D, of the encoder's states; those of the cross-attention encoder are twice
        as wide in "bi".
      num_heads: of both.
      hidden: of the encoder's feed-forward layers.
      cross_hidden: of the cross-attention encoder's.
      dropout: of embeddings, attention weights, hidden units and outputs.
      corruption: part of the operations that are corrupted and predicted.
    """

    rules: str = "thesis"
    mask: str = "indirect"
    direction: str = "uni"
    num_layers: int = 12
    num_cross_layers: int = 24
    width: int = 64
    num_heads: int = 8
    hidden: int = 64
    cross_hidden: int = 64
    dropout: float = 0.1
    corruption: float = 0.2


VARIANTS: Mapping[str, Settings] = {
    "thesis": Settings(),
    "released": Settings(rules="released", hidden=128, cross_hidden=256),
}
"""thesis: [MASK] and [PAD] are tokens of their own, an operation attends itself and all
it depends on, padding is attended by none, the encoding is read at the output node, and
the loss is the cross-entropy of all corrupted operations.

released: what the published code does. [PAD] and [MASK] are the ids 0 and 1 of real
operations; a row attends its descendants, not itself, and one without any attends all
positions evenly, padding and itself included; the encoding is read at the last
position; labels are smoothed by .1 and id 0 is never predicted; feed-forward layers are
wider than the thesis says."""

_CHOICES = {
    "rules": ("thesis", "released"),
    "mask": ("indirect", "direct", "both"),
    "direction": ("uni", "bi"),
}


def variant(name: str, **changes: Any) -> Settings:
    """The settings of a variant, some of them changed.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    if name not in VARIANTS:
        raise errors.unknown_name("variant of CATE", name, VARIANTS)
    for key in changes:
        if key not in Settings._fields:
            raise errors.unknown_name("setting of CATE", key, Settings._fields)
    return VARIANTS[name]._replace(**changes)


def check(settings: Settings) -> None:
    """Raises `ConfigError` where settings do not fit."""
    for field, known in _CHOICES.items():
        value = getattr(settings, field)
        if value not in known:
            raise errors.unknown_name(f"{field} of CATE", value, known)
    sizes = ("num_layers", "num_cross_layers", "width", "num_heads", "hidden")
    for field in (*sizes, "cross_hidden"):
        if getattr(settings, field) < 1:
            raise errors.ConfigError(
                f"{field} = {getattr(settings, field)} of CATE must be at least 1"
            )
    if settings.width % settings.num_heads:
        raise errors.ConfigError(
            f"width = {settings.width} of CATE must be a multiple of num_heads = "
            f"{settings.num_heads}"
        )
    if settings.mask == "both" and settings.num_heads % 2:
        raise errors.ConfigError(
            f"mask = 'both' needs an even number of heads, not {settings.num_heads}"
        )
    if settings.rules == "released" and settings.direction == "bi":
        raise errors.ConfigError(
            "the published code has no direction = 'bi'; use rules = 'thesis'"
        )
    for field in ("dropout", "corruption"):
        if not 0 <= getattr(settings, field) < 1:
            raise errors.ConfigError(
                f"{field} = {getattr(settings, field)} of CATE must be in [0, 1)"
            )
