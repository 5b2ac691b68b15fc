"""Training of one network: settings, optimisers, schedules, every epoch recorded.

import jax
from nasjax.training import protocol

how = protocol.read(
    {
        "space": "nasbench201",
        "data": {"name": "digits"},
        "network": {"num_cells": 1, "channels": 4},
        "training": {"epochs": 1},
    }
)
# architecture.train_architecture(jax.random.key(0), arch, how, folder)
"""

from nasjax.core import lazy

__all__ = [
    "architecture",
    "classifier",
    "classifier_functions",
    "classifier_settings",
    "image_networks",
    "language_model",
    "language_model_functions",
    "language_model_settings",
    "loop",
    "optimizers",
    "protocol",
    "recording",
    "runner",
    "scanned",
    "text_objective",
    "text_windows",
]

__getattr__, __dir__ = lazy.attributes(__name__, __all__)
