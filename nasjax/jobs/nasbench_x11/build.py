"""Makes an embedded benchmark: trains what is missing, piece by piece, seed by seed.

The work is cut into pieces of one group, one seed and 64 architectures. A finished
piece is a file in the working directory, so a build that was killed goes on where it
was; what is complete is assembled into a file there after each group and seed.
`install` puts that file into the package. What is trained is
`experiments.embedded_benchmarks`'.
"""

import concurrent.futures
import contextlib
import math
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import logging

from nasjax.core import arrays, atomic_file, errors, malloc, progress, worker_process
from nasjax.experiments import embedded_benchmarks
from nasjax.experiments.embedded_benchmarks import EmbeddedBenchmark
from nasjax.jobs.nasbench_x11.settings import Build
from nasjax.nasbench.trainings import CURVES, NUM_EPOCHS, Trainings, compact
from nasjax.training.scanned import ScannedCurves

PIECE = 64
"""Architectures of one file of the working directory."""
INSTALLED = "installed"


class Piece(NamedTuple):
    """Architectures `start` to `stop` of group number `group`, with one seed."""

    group: int
    seed: int
    start: int
    stop: int


def build(folder: str | os.PathLike[str], settings: Build) -> pathlib.Path:
    """Trains what is missing and writes the file after each group and seed.

    Args:
      folder: working directory, holds the finished pieces and the benchmark's file.
      settings: what to build.

    Returns:
      The benchmark's file.

    Raises:
      ConfigError: there is no such benchmark.
      DataError: `start_from` cannot be read.
    """
    folder = pathlib.Path(folder)
    benchmark = embedded_benchmarks.get(settings.benchmark)
    _start_from(folder, benchmark, settings.start_from)
    with _workers(settings.num_processes) as pool:
        for seed in settings.seeds:
            for number, group in enumerate(benchmark.groups):
                archs = _choose(folder, benchmark, number)
                pieces = list(
                    _cut(benchmark, number, len(archs), seed, settings.fraction)
                )
                missing = [
                    piece
                    for piece in pieces
                    if _finished(folder, benchmark, piece) is None
                ]
                bar = progress.progress(
                    len(pieces),
                    description=f"{group.name}, seed {seed}",
                    done=len(pieces) - len(missing),
                )
                submitted = [
                    pool.submit(
                        train_piece, os.fspath(folder), piece, settings.benchmark
                    )
                    for piece in missing
                ]
                for done in concurrent.futures.as_completed(submitted):
                    done.result()
                    bar.update(1)
                bar.close()
                if pieces:
                    assemble(folder, settings.benchmark)
    return folder / benchmark.file.name


def train_piece(folder: str, piece: Piece, name: str) -> None:
    """Trains the architectures of a piece and writes its file."""
    benchmark = embedded_benchmarks.get(name)
    path = pathlib.Path(folder)
    archs = _choose(path, benchmark, piece.group)[piece.start : piece.stop]
    places = range(piece.start, piece.stop)

    def train(place: int) -> tuple[ScannedCurves, float]:
        arch = archs[place - piece.start]
        return embedded_benchmarks.train(name, arch, place, piece.seed, piece.group)

    # The first one compiles; its time is not that of a training.
    train(places[0])
    results = [train(place) for place in places]
    tree = {
        field: compact(
            field, np.stack([getattr(curves, field) for curves, _ in results])
        )
        for field in CURVES
    }
    tree["seconds"] = np.array([seconds for _, seconds in results], np.float32)
    _write(_path(path, benchmark, piece), tree)


def assemble(folder: str | os.PathLike[str], name: str) -> Trainings:
    """Writes the benchmark's file from the finished pieces; returns what they hold.

    Raises:
      DataError: too little is finished.
    """
    folder = pathlib.Path(folder)
    benchmark = embedded_benchmarks.get(name)
    trainings = finished(folder, benchmark)
    facts = benchmark.facts(trainings.archs)
    folder.mkdir(parents=True, exist_ok=True)
    benchmark.file.save(folder / benchmark.file.name, trainings, facts)
    return trainings


def finished(folder: pathlib.Path, benchmark: EmbeddedBenchmark) -> Trainings:
    """All trainings of the finished pieces of a working directory."""
    groups = benchmark.groups
    archs = [_chosen(folder, benchmark, number) for number in range(len(groups))]
    first = np.cumsum([0, *map(len, archs)])
    seeds = sorted(int(path.name[4:]) for path in folder.glob("seed[0-9]*"))
    pieces = [
        (piece, tree)
        for seed in seeds
        for number in range(len(groups))
        for piece in _cut(benchmark, number, len(archs[number]), seed)
        if (tree := _finished(folder, benchmark, piece)) is not None
    ]
    rows = [
        first[piece.group] + piece.start + np.arange(len(tree["seconds"]))
        for piece, tree in pieces
    ]
    counts = [len(row) for row in rows]
    empty: dict[str, np.ndarray] = {name: np.zeros((0, NUM_EPOCHS)) for name in CURVES}
    empty["seconds"] = np.zeros(0)
    trees = [tree for _, tree in pieces] or [empty]
    return Trainings(
        groups=tuple(group.name for group in groups),
        group=np.repeat(np.arange(len(groups)), [len(a) for a in archs]),
        place=np.concatenate([np.arange(len(a)) for a in archs]),
        archs=np.concatenate(archs),
        row=np.concatenate([*rows, np.zeros(0, np.int64)]),
        seed=np.repeat([piece.seed for piece, _ in pieces], counts).astype(np.int16),
        curves={name: np.concatenate([t[name] for t in trees]) for name in CURVES},
        seconds=np.concatenate([t["seconds"] for t in trees]),
    )


def install(folder: str | os.PathLike[str], name: str) -> Trainings:
    """Puts what a build finished into the package, from where `nasbench.load` reads it.

    Returns:
      The trainings of the file.

    Raises:
      DataError: nothing is built, it is damaged, or it lacks trainings that the
        installed file has.
    """
    folder = pathlib.Path(folder)
    file = embedded_benchmarks.get(name).file
    path = folder / file.name
    if not path.exists():
        raise errors.DataError(f"{path}: no such file; run --mode=build first")
    assemble(folder, name)
    trainings = file.read(path)
    if file.installed.exists():
        lacking = file.read(file.installed).names() - trainings.names()
        if lacking:
            group, place, seed = min(lacking)
            raise errors.DataError(
                f"{path} lacks {len(lacking)} trainings that the installed benchmark "
                f"has (the first: {group} {place}, seed {seed}): build them too, with "
                "--config.build.start_from=installed if they are right, or load this "
                "file with nasbench.load(FILE)"
            )
    with atomic_file.replacing(file.installed) as temporary:
        shutil.copyfile(path, temporary)
    return trainings


def _start_from(folder: pathlib.Path, benchmark: EmbeddedBenchmark, file: str) -> None:
    """Writes the pieces that a benchmark's file has and the folder lacks."""
    if not file:
        return
    source = benchmark.file.installed if file == INSTALLED else pathlib.Path(file)
    trainings = benchmark.file.read(source)
    names = [group.name for group in benchmark.groups]
    if trainings.groups != tuple(names):
        raise errors.DataError(
            f"{source} has the groups {', '.join(trainings.groups)}, not "
            f"{', '.join(names)}: build without start_from"
        )
    for number in range(len(names)):
        archs = trainings.archs[trainings.group == number]
        path = _archs_path(folder, benchmark, number)
        if len(archs) and not path.exists():
            _write(path, {"archs": archs})
        elif len(archs) and not np.array_equal(archs, arrays.load(path)["archs"]):
            raise errors.DataError(
                f"{source} has other architectures than {path}: build in an empty "
                "folder"
            )
        own = trainings.group[trainings.row] == number
        for seed in np.unique(trainings.seed[own]).tolist():
            runs = np.flatnonzero(own & (trainings.seed == seed))
            places = trainings.place[trainings.row[runs]]
            by_place = dict(zip(places.tolist(), runs.tolist(), strict=True))
            for piece in _cut(benchmark, number, len(archs), seed):
                wanted = range(piece.start, piece.stop)
                path = _path(folder, benchmark, piece)
                if path.exists() or not all(place in by_place for place in wanted):
                    continue
                at = np.array([by_place[place] for place in wanted])
                tree = {name: trainings.curves[name][at] for name in CURVES}
                _write(path, tree | {"seconds": trainings.seconds[at]})


@contextlib.contextmanager
def _workers(number: int) -> Iterator[concurrent.futures.Executor]:
    """Processes for pieces; a build that is stopped does not wait for what is queued.

    Leaving a pool by an exception waits for every piece that was submitted, hours.
    """
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(
        number, mp_context=context, initializer=_start_worker
    )
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def _start_worker() -> None:
    """One thread, memory that is kept, and no life after the process that builds."""
    worker_process.start()
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )
    malloc.keep_memory()


def _cut(
    benchmark: EmbeddedBenchmark,
    group: int,
    num_archs: int,
    seed: int,
    fraction: float = 1.0,
) -> Iterator[Piece]:
    """The pieces of a group and seed; a fraction of them is rounded up."""
    repeated = benchmark.groups[group].repeated
    count = num_archs
    if seed and repeated is not None:
        count = min(num_archs, repeated)
    for start in range(0, math.ceil(count * fraction), PIECE):
        yield Piece(group, seed, start, min(start + PIECE, count))


def _choose(
    folder: pathlib.Path, benchmark: EmbeddedBenchmark, number: int
) -> np.ndarray:
    """int32 `[N, G]`, the architectures of a group; a choice is made once."""
    path = _archs_path(folder, benchmark, number)
    if path.exists():
        return np.array(arrays.load(path)["archs"], np.int32)
    group = benchmark.groups[number]
    earlier = finished(folder, benchmark) if number else None
    archs = np.asarray(group.choose(earlier), np.int32)
    _write(path, {"archs": archs})
    return archs


def _chosen(
    folder: pathlib.Path, benchmark: EmbeddedBenchmark, number: int
) -> np.ndarray:
    """The same; empty where nothing was chosen yet."""
    path = _archs_path(folder, benchmark, number)
    if number and not path.exists():
        genes = _chosen(folder, benchmark, 0).shape[1]
        return np.zeros((0, genes), np.int32)
    return _choose(folder, benchmark, number)


def _archs_path(
    folder: pathlib.Path, benchmark: EmbeddedBenchmark, number: int
) -> pathlib.Path:
    return folder / f"{benchmark.groups[number].name}.safetensors"


def _path(
    folder: pathlib.Path, benchmark: EmbeddedBenchmark, piece: Piece
) -> pathlib.Path:
    group = benchmark.groups[piece.group].name
    return folder / f"seed{piece.seed}" / f"{group}{piece.start:04d}.safetensors"


def _write(path: pathlib.Path, tree: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays.save(path, tree)


def _finished(
    folder: pathlib.Path, benchmark: EmbeddedBenchmark, piece: Piece
) -> dict[str, np.ndarray] | None:
    """A finished piece; None where it is missing or damaged, and so to be trained."""
    path = _path(folder, benchmark, piece)
    if not path.exists():
        return None
    count = piece.stop - piece.start
    shapes: dict[str, tuple[int, ...]]
    shapes = {field: (count, NUM_EPOCHS) for field in CURVES}
    shapes["seconds"] = (count,)
    try:
        tree: dict[str, np.ndarray] = arrays.load(path)
    except errors.DataError as error:
        logging.warning("%s; it is trained again", error)
        return None
    if {field: np.shape(values) for field, values in tree.items()} != shapes:
        logging.warning("%s is no piece of this benchmark; it is trained again", path)
        return None
    return tree
