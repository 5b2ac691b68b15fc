"""A tiny HM-NAS run that tests share: two cells of one node, three operations."""

import copy

CONFIG = {
    "seed": 0,
    "batch_size": 16,
    "data": {"name": "synthetic", "num_train": 80, "num_test": 40, "channels": 1},
    "supernet": {
        "num_cells": 2,
        "channels": 4,
        "num_steps": 1,
        "reductions": [1],
        "operations": ["sep_conv_3x3", "max_pool_3x3", "skip_connect"],
    },
    "training": {"epochs": 3, "warmup_epochs": 1, "arch_learning_rate": 1e-2},
    "masking": {
        "epochs": 2,
        "decay_epoch": 1,
        "weight_travel": 0.2,
        "arch_travel": 0.05,
        "recalibration_batches": 2,
    },
    "finetuning": {"epochs": 2},
}


def config(**sections):
    """A copy of `CONFIG` with some keys of its sections replaced."""
    changed = copy.deepcopy(CONFIG)
    for name, value in sections.items():
        if isinstance(value, dict):
            changed[name] = changed[name] | value
        else:
            changed[name] = value
    return changed


def without_times(result):
    """`result.json` without what a resumed run may change."""
    return {name: value for name, value in result.items() if name != "seconds"}
