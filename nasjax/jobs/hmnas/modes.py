"""HM-NAS from images to a fine-tuned, pruned network (chapter 2, algorithm 1).

`train` runs supernet training, hierarchical masking and fine-tuning in one working
directory, resuming whatever an earlier process finished there. `evaluate` measures the
saved network again, and its physically slimmed form. `control` repeats the last stage
with masks of the same sparsity at random places.
"""

from typing import Any

from nasjax.core import compilation, malloc, registry
from nasjax.jobs import config_door
from nasjax.jobs.hmnas import experiment
from nasjax.jobs.hmnas.control import control
from nasjax.jobs.hmnas.evaluate import evaluate
from nasjax.jobs.hmnas.train import train

MODES = {"train": train, "evaluate": evaluate, "control": control}


def run(config: dict[str, Any], folder: str, mode: str = "train") -> dict[str, Any]:
    """Runs one mode and returns what it wrote as JSON.

    Args:
      config: sections data, supernet, training, masking and finetuning, and the keys
        seed and batch_size, as in `configs/`.
      folder: working directory.
      mode: "train", "evaluate" or "control".

    Raises:
      NasjaxError: bad configuration, data or working directory, or a diverged loss.
      training.loop.Stopped: the process was asked to stop; its state is saved.
    """
    job = registry.find("mode", MODES, mode)
    path = config_door.working_directory(folder)
    config = config_door.enter("launch/hmnas.py", config)
    compilation.enable_cache()
    malloc.keep_memory()
    return job(experiment.read(config, path))
