"""Rows of tables 2.3 and 2.4 from the scores of the three stages."""

from typing import Any

from nasjax.experiments import published
from nasjax.jobs.hmnas.experiment import Experiment


def rows(stages: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Rows of table 2.3 (test error in percent); of table 2.4 for ImageNet.

    The thesis' numbers stand beside those of its own network and training only. A
    reduction is against the same network without masks: fine-tuning on other classes
    has another classifier, and another dense network, than the supernet.
    """
    net, name = experiment.net, experiment.dataset.name
    known = conditions(experiment)
    facts = {
        "data": name,
        "train_images": len(experiment.dataset.train),
        "num_cells": net.num_cells,
        "channels": net.channels,
        "order": experiment.settings.training.order,
    }
    found = [
        {
            "settings": {"stage": stage_name, **facts},
            "value": 100 * (1 - row["test_accuracy"]),
            "std": None,
            "num_seeds": 1,
            "thesis": published.value("2.3", stage_name, "error", known),
            "params": row["params"],
            "params_reduction": 100
            * (1 - row["params"] / row["counts"]["params"]["dense"]),
        }
        for stage_name, row in stages.items()
    ]
    return {"2.4" if name == "imagenet" else "2.3": found}


def conditions(experiment: Experiment) -> dict[str, Any]:
    """What the run was, in the words of `published`."""
    net, dataset, s = experiment.net, experiment.dataset, experiment.settings
    stages = (s.training, s.masking, s.finetuning)
    return {
        "data_set": dataset.name,
        "order": s.training.order,
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "image_shape": tuple(net.image_shape),
        "num_cells": net.num_cells,
        "channels": net.channels,
        "stem_stride": net.stem_stride,
        "batch_size": experiment.batch_size,
        "train_fraction": s.training.train_fraction,
        "epochs": tuple(stage.epochs for stage in stages),
        "cutout": s.finetuning.cutout,
    }
