"""How arch2vec trains: as every autoencoder of graphs here, by recipes of its own."""

from collections.abc import Mapping

from nasjax.encoders.autoencoder.training import (
    TrainSettings,
    TrainState,
    posterior_means,
    run_epoch,
    start,
)
from nasjax.encoders.stored_graphs import Graphs, inputs, to_graphs

__all__ = [
    "RECIPES",
    "Graphs",
    "TrainSettings",
    "TrainState",
    "inputs",
    "posterior_means",
    "run_epoch",
    "start",
    "to_graphs",
]

RECIPES: Mapping[str, TrainSettings] = {
    "released": TrainSettings(clip_norm=5.0, reshuffle=False, freeze=True),
    "improved": TrainSettings(anneal=True, warmup=0.5),
}
"""Of the variants of `model.VARIANTS`; the others train by `TrainSettings()`. released:
in the published scripts, `model.eval()` after the first epoch is never undone."""
