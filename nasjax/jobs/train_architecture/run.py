"""Training of single architectures by a protocol, every epoch recorded.

One row is one training: an architecture with a seed. A row that is finished is a file
in the working directory, so a run that was killed goes on where it was.
"""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging

from nasjax import spaces
from nasjax.core import (
    arrays,
    compilation,
    errors,
    malloc,
    metric_log,
    progress,
    read_guard,
    result,
    stopwatch,
)
from nasjax.experiments import published
from nasjax.jobs import config_door
from nasjax.jobs.train_architecture import architectures
from nasjax.jobs.train_architecture.settings import Trainings
from nasjax.training import architecture, recording, runner
from nasjax.training import protocol as protocols
from nasjax.training.protocol import Protocol
from nasjax.training.recording import Curves

CURVES_FILE = "curves.safetensors"
RESULT_FILE = "result.json"
TRAININGS = "trainings"
ROWS = "rows"
FORM = "nasjax trainings 1"


def run(config: dict[str, Any], folder: str) -> dict[str, Any]:
    """Trains what the configuration asks for and returns `result.json`.

    Args:
      config: a protocol (`training.protocol.read`) and `settings.Trainings`.
      folder: working directory.

    Raises:
      NasjaxError: bad configuration, architecture, data or working directory.
      training.loop.Stopped: the process was asked to stop; its state is saved.
    """
    path = config_door.working_directory(folder)
    filled = config_door.enter("launch/train_architecture.py", config)
    compilation.enable_cache()
    malloc.keep_memory()
    wanted, protocol = _read(filled)
    chosen = architectures.choose(wanted)
    architecture.check(protocol, chosen.archs[0])
    config_door.claim(path, filled, ignore=architecture.IGNORED)
    with stopwatch.Stopwatch(path) as watch:
        rows = _train_all(wanted, protocol, path, chosen.archs)
        again = "delete it, and all are trained again"
        with read_guard.guard(path / ROWS, "not rows of this run", remedy=again):
            tree = _tree(rows, chosen, wanted.seeds)
        _save(path, tree, wanted.epochs, filled, protocol)
        outcome = _summarise(wanted, filled, protocol, tree)
        outcome["seconds"] = watch.seconds
    result.write(path / RESULT_FILE, outcome)
    _draw(path, tree, protocol)
    _print_table(outcome, path)
    return outcome


def _read(filled: Mapping[str, Any]) -> tuple[Trainings, Protocol]:
    """What to train, `epochs` in numbers, and how."""
    protocol = protocols.read(filled)
    wanted = config_door.read(Trainings, filled)
    if not 0 <= wanted.epochs <= protocol.epochs:
        raise errors.ConfigError(
            f"epochs={wanted.epochs} must be in 0..{protocol.epochs}, the epochs of "
            "the schedule; 0 stands for all of them"
        )
    epochs = wanted.epochs or protocol.epochs
    return dataclasses.replace(wanted, epochs=epochs), protocol


# --- training ----------------------------------------------------------------------


def _train_all(
    wanted: Trainings,
    protocol: Protocol,
    folder: pathlib.Path,
    archs: np.ndarray,
) -> list[dict[str, Any]]:
    """The recorded rows, architecture by architecture, seed by seed."""
    epochs = wanted.epochs
    tasks = [(arch, seed) for arch in archs for seed in wanted.seeds]
    files = [_row_file(folder, number) for number in range(len(tasks))]
    rows = {number: _read_row(file) for number, file in enumerate(files)}
    done = {number + 1 for number, row in rows.items() if row is not None}
    if 0 < len(done) < len(tasks):
        progress.echo(f"resumed: {len(done)} of {len(tasks)} trainings are done")
    with metric_log.MetricLog(folder, keep=lambda row: row["step"] in done) as log:
        for number in sorted(set(rows) - {step - 1 for step in done}):
            arch, seed = tasks[number]
            work = folder / TRAININGS / f"{number:05d}"
            if len(tasks) > 1:
                progress.echo(f"training {number + 1} of {len(tasks)}, seed {seed}")
            curves = architecture.train_architecture(
                jax.random.key(seed), arch, protocol, work, epochs=epochs
            )
            log.write(number + 1, _last(curves, epochs), stage="trainings")
            arrays.save(files[number], _row(curves))
            # Its curves are all that is needed of it now.
            shutil.rmtree(work / runner.CHECKPOINTS, ignore_errors=True)
    return [arrays.load(file) for file in files]


def _read_row(file: pathlib.Path) -> dict[str, Any] | None:
    """What an earlier process recorded; a damaged file is one that is not there."""
    if not file.exists():
        return None
    try:
        row: dict[str, Any] = arrays.load(file)
        return row
    except errors.DataError as error:
        logging.warning("%s; it is trained again", error)
        return None


def _row_file(folder: pathlib.Path, number: int) -> pathlib.Path:
    return folder / ROWS / f"{number:05d}.safetensors"


def _row(curves: Curves) -> dict[str, Any]:
    return {
        **curves.metrics,
        "seconds": curves.seconds,
        "parameters": np.int64(curves.parameters),
        "diverged": np.bool_(curves.status == recording.DIVERGED),
    }


def _last(curves: Curves, epochs: int) -> dict[str, float]:
    """Values of the last epoch, and the seconds of all."""
    values = {name: float(curve[epochs - 1]) for name, curve in curves.metrics.items()}
    return values | {"seconds": float(np.nansum(curves.seconds))}


# --- results -----------------------------------------------------------------------


def _tree(
    rows: list[dict[str, Any]],
    chosen: architectures.Architectures,
    seeds: Sequence[int],
) -> dict[str, np.ndarray]:
    """All rows: curves `[R, T]` by metric, and what each is of."""
    tree = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return tree | {
        "archs": np.repeat(chosen.archs, len(seeds), axis=0),
        "groups": np.repeat(chosen.groups, len(seeds)),
        "seeds": np.tile(np.array(seeds, np.int64), len(chosen.archs)),
    }


def _save(
    folder: pathlib.Path,
    tree: dict[str, np.ndarray],
    epochs: int,
    filled: Mapping[str, Any],
    protocol: Protocol,
) -> None:
    facts = {
        "form": FORM,
        "space": protocol.space,
        "data_set": protocol.data["name"],
        "epochs": epochs,
        "config": {key: value for key, value in filled.items() if key != "data"},
    }
    arrays.save(folder / CURVES_FILE, tree, metadata=result.to_json(facts))


def _summarise(
    wanted: Trainings,
    filled: Mapping[str, Any],
    protocol: Protocol,
    tree: dict[str, np.ndarray],
) -> dict[str, Any]:
    """`result.json` without its seconds."""
    epochs, num_seeds = wanted.epochs, len(wanted.seeds)
    space = spaces.make(protocol.space)
    summaries = []
    for start in range(0, len(tree["archs"]), num_seeds):
        rows = slice(start, start + num_seeds)
        metrics = [name for name in tree if name.endswith(("_loss", "_accuracy"))]
        label = _label(tree, rows, epochs, protocol)
        summaries.append(
            {
                "arch": space.format_arch(tree["archs"][start]),
                **{name: tree[name][rows, epochs - 1] for name in metrics},
                "label": label,
                "parameters": int(tree["parameters"][start]),
                "train_seconds": np.nansum(tree["seconds"][rows], axis=1),
                "diverged": int(tree["diverged"][rows].sum()),
            }
        )
    return {
        "tables": _tables(wanted, protocol, tree, summaries),
        "architectures": summaries,
        "config": filled,
        "versions": result.versions(),
    }


def _label(
    tree: dict[str, np.ndarray],
    rows: slice,
    epochs: int,
    protocol: Protocol,
) -> dict[str, Any] | None:
    """What a search is told: the last epochs' mean, an accuracy, else a loss."""
    for name in ("valid_accuracy", "valid_loss"):
        if name in tree:
            first = max(epochs - protocol.label_epochs, 0)
            return {"metric": name, "values": tree[name][rows, first:epochs].mean(1)}
    return None


def _tables(
    wanted: Trainings,
    protocol: Protocol,
    tree: dict[str, np.ndarray],
    summaries: list[dict[str, Any]],
) -> dict[str, Any]:
    """Rows of the thesis' tables: test error in percent, parameters, MACs."""
    if not wanted.tables:
        return {}
    settings = {**protocol.network, "epochs": wanted.epochs}
    num_seeds = len(wanted.seeds)
    known = _conditions(protocol, settings)
    rows = []
    for number, summary in enumerate(summaries):
        errors_percent = 100 * (1 - np.asarray(summary["test_accuracy"], np.float64))
        arch = tree["archs"][number * num_seeds]
        network = architecture.image_network(arch, protocol)
        rows.append(
            {
                "settings": {"row": wanted.label, "data": protocol.data["name"]}
                | settings,
                "value": float(errors_percent.mean()),
                "std": float(errors_percent.std(ddof=1)) if num_seeds > 1 else None,
                "best": float(errors_percent.min()),
                "num_seeds": num_seeds,
                "parameters": summary["parameters"],
                "macs": network.macs,
            }
        )
    return {
        table: [
            row | {"thesis": published.value(table, wanted.label, "error", known)}
            for row in rows
        ]
        for table in wanted.tables
    }


def _conditions(protocol: Protocol, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a training was, in the words of `published`."""
    return {
        "space": protocol.space,
        "data_set": protocol.data["name"],
        "image_size": protocol.data.get("image_size"),
        "train_images": len(architecture.image_splits(protocol).train),
        **{key: getattr(protocol.training, key, None) for key in _TRAINING},
        **settings,
    }


_TRAINING = ("batch_size", "cutout", "drop_path")


def _draw(
    folder: pathlib.Path,
    tree: dict[str, np.ndarray],
    protocol: Protocol,
) -> None:
    from nasjax.report import learning_curves  # here: it loads matplotlib

    metrics = {
        name: values
        for name, values in tree.items()
        if name.endswith(("_loss", "_accuracy"))
    }
    if not any(np.isfinite(values).any() for values in metrics.values()):
        return  # every training diverged in its first epoch
    title = f"{protocol.space} on {protocol.data['name']}"
    learning_curves.draw_learning_curves(
        metrics, folder / "figures" / "curves", title=title
    )


def _print_table(outcome: dict[str, Any], folder: pathlib.Path) -> None:
    """The best ten by the last validation value, else by the test value."""
    rows = outcome["architectures"]
    kind = "accuracy" if "test_accuracy" in rows[0] else "loss"
    names = [f"{part}_{kind}" for part in ("train", "valid", "test")]
    names = [name for name in names if name in rows[0]]
    key = names[-2] if len(names) == 3 else names[-1]
    sign = -1 if kind == "accuracy" else 1
    means = [float(np.mean(row[key])) for row in rows]
    order = np.argsort([sign * m if np.isfinite(m) else np.inf for m in means])
    titles = "".join(f"{name.replace('_', ' '):>16}" for name in names)
    progress.echo(f"{titles}{'parameters':>13}  architecture")
    for place in order[:10]:
        row = rows[place]
        values = "".join(f"{float(np.mean(row[name])):>16.4f}" for name in names)
        progress.echo(f"{values}{row['parameters']:>13,}  {row['arch']}")
    if len(rows) > 10:
        progress.echo(f"... and {len(rows) - 10} more")
    diverged = sum(row["diverged"] for row in rows)
    progress.echo(
        (f"{diverged} trainings diverged; " if diverged else "")
        + f"{outcome['seconds']:.0f} s; curves, results and figures in {folder}"
    )
