"""Training of one network: settings, optimizers, schedules, every epoch recorded.

`in_memory.train_cell` is one call without a folder; `architecture.train_architecture`
continues after it was killed, by a protocol. For example:

    from nasjax.training import protocol

    data = {"name": "digits"}
    how = protocol.read({"space": "darts", "data": data, "training": {"epochs": 3}})
    print(how.training.learning_rate)
"""

from nasjax.core import lazy

__all__ = [
    "architecture",
    "classifier",
    "classifier_functions",
    "classifier_settings",
    "image_networks",
    "in_memory",
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
