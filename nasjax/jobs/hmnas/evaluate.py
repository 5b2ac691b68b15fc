"""Evaluation: the saved network and its physically slimmed form on the test images."""

from typing import Any

from nasjax.core import errors, progress, read_guard, result
from nasjax.jobs import config_door
from nasjax.jobs.hmnas import train
from nasjax.jobs.hmnas.experiment import Experiment
from nasjax.supernet import counting, pipeline, saved_model, slim

SLIM_FILE = "slim.safetensors"
EVALUATION_FILE = "evaluation.json"
_FACTS = ("test_accuracy", "test_loss")


def evaluate(experiment: Experiment) -> dict[str, Any]:
    """Test scores of the saved network and of its slimmed form: `evaluation.json`.

    Raises:
      NasjaxError: there is no finished run, or it is one of another configuration.
    """
    path = experiment.folder / train.MODEL_FILE
    if not path.exists():
        raise errors.WorkdirError(
            f"{path} is missing: train first, with the same --config and --workdir"
        )
    # Another configuration is refused: other batches give other rounding.
    config_door.claim(experiment.folder, experiment.config, ignore=("data.dir",))
    dataset, batch_size = experiment.tuning_dataset, experiment.batch_size
    saved = saved_model.load(path)
    with read_guard.guard(path, "facts are missing", remedy="train or get it again"):
        trained = {key: float(saved.facts[key]) for key in _FACTS}
    scores = pipeline.model_scores(dataset, saved, batch_size=batch_size)
    small = slim.slim(
        saved.params, saved.statistics, saved.mixing, saved.masks, net=saved.net
    )
    slim.save(experiment.folder / SLIM_FILE, small)
    outcome: dict[str, Any] = {
        **scores,
        "equal_to_training": trained == {key: scores[key] for key in _FACTS},
        "slim": pipeline.slim_scores(dataset, small, batch_size=batch_size)
        | {"params": slim.count(small)},
        "params": counting.table(saved.net, saved.masks)["params"],
    }
    result.write(experiment.folder / EVALUATION_FILE, outcome)
    _show(outcome)
    return outcome


def _show(outcome: dict[str, Any]) -> None:
    progress.echo(
        f"test accuracy {100 * outcome['test_accuracy']:.2f} %, "
        + ("as" if outcome["equal_to_training"] else "NOT as")
        + " at the end of training"
    )
    progress.echo(
        f"slimmed: {100 * outcome['slim']['test_accuracy']:.2f} % with "
        f"{outcome['slim']['params']:,} of {outcome['params']['dense']:,} parameters"
    )
