"""Makes an embedded benchmark: trains every function, piece by piece, seed by seed.

The work is cut into pieces of one seed and 64 functions. A finished piece is a file in
the working directory, so a build that was killed goes on where it was, and every seed
that is complete is assembled into a file there. `install` puts that file into the
package. What is trained is `experiments.embedded_benchmarks`'.
"""

import concurrent.futures
import multiprocessing
import os
import pathlib
import shutil
from collections.abc import Iterable

import numpy as np
from absl import logging

from nasjax.core import arrays, atomic_file, errors, malloc, progress, worker_process
from nasjax.experiments import embedded_benchmarks
from nasjax.experiments.embedded_benchmarks import EmbeddedBenchmark
from nasjax.training.scanned import ScannedCurves

DIGITS201 = "digits201"
PIECE = 64
"""Functions of one file of the working directory."""

Piece = dict[str, np.ndarray]


def build(
    folder: str | os.PathLike[str],
    *,
    seeds: Iterable[int],
    num_processes: int = 1,
    name: str = DIGITS201,
) -> pathlib.Path:
    """Trains what is missing, seed by seed, and writes the file after each seed.

    Args:
      folder: working directory, holds the finished pieces and the benchmark's file.
      seeds: which seeds to have.
      num_processes: processes with one thread each.
      name: a key of `embedded_benchmarks.BENCHMARKS`.

    Returns:
      The benchmark's file.

    Raises:
      ConfigError: there is no such benchmark.
    """
    folder = pathlib.Path(folder)
    benchmark = embedded_benchmarks.get(name)
    starts = _starts(benchmark)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        num_processes, mp_context=context, initializer=_start_worker
    ) as pool:
        for seed in seeds:
            missing = [
                start
                for start in starts
                if _piece(benchmark, folder, seed, start) is None
            ]
            done = len(starts) - len(missing)
            bar = progress.progress(len(starts), description=f"seed {seed}", done=done)
            pieces = [
                pool.submit(train_piece, os.fspath(folder), seed, start, name)
                for start in missing
            ]
            for piece in concurrent.futures.as_completed(pieces):
                piece.result()
                bar.update(1)
            bar.close()
            assemble(folder, name)
    return folder / benchmark.facts.NAME


def train_piece(folder: str, seed: int, start: int, name: str = DIGITS201) -> None:
    """Trains functions `start` to `start + PIECE` and writes their file."""
    benchmark = embedded_benchmarks.get(name)
    functions = range(start, min(start + PIECE, _num_functions(benchmark)))
    # The first one compiles; its time is not that of a training.
    embedded_benchmarks.train(name, functions[0], seed)
    results = [embedded_benchmarks.train(name, each, seed) for each in functions]
    tree = {
        field: benchmark.facts.compact(
            field, np.stack([getattr(curves, field) for curves, _ in results])
        )
        for field in ScannedCurves._fields
    }
    tree["seconds"] = np.array([seconds for _, seconds in results], np.float32)
    path = _piece_path(pathlib.Path(folder), seed, start)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays.save(path, tree)


def complete_seeds(folder: str | os.PathLike[str], name: str = DIGITS201) -> list[int]:
    """The seeds of which every piece is there and undamaged."""
    return list(_complete(embedded_benchmarks.get(name), pathlib.Path(folder)))


def assemble(folder: str | os.PathLike[str], name: str = DIGITS201) -> list[int]:
    """Writes the benchmark's file from the complete seeds; returns these.

    Raises:
      DataError: no seed is complete.
    """
    folder = pathlib.Path(folder)
    benchmark = embedded_benchmarks.get(name)
    pieces = _complete(benchmark, folder)
    if not pieces:
        raise errors.DataError(f"{folder}: no seed is complete; let the build finish")
    tree = {
        field: np.stack(
            [
                np.concatenate([piece[field] for piece in own])
                for own in pieces.values()
            ],
            axis=1,
        )
        for field in (*ScannedCurves._fields, "seconds")
    }
    facts = benchmark.facts
    facts.save(folder / facts.NAME, tree | benchmark.table(), list(pieces))
    return list(pieces)


def install(folder: str | os.PathLike[str], name: str = DIGITS201) -> tuple[int, ...]:
    """Puts a build's file into the package, from where `nasbench.load` reads it.

    Returns:
      The seeds of the file.

    Raises:
      DataError: there is no such file, it is damaged, or it lacks a seed that the
        installed one has.
    """
    facts = embedded_benchmarks.get(name).facts
    path = pathlib.Path(folder) / facts.NAME
    if not path.exists():
        raise errors.DataError(f"{path}: no such file; run --mode=build first")
    seeds = facts.load(path).seeds
    installed = set(_seeds_of(facts.FILE))
    if installed - set(seeds):
        raise errors.DataError(
            f"{path} has seeds {seeds}, the installed benchmark also "
            f"{sorted(installed - set(seeds))}: build them too, or load this file "
            "with nasbench.load(FILE)"
        )
    with atomic_file.replacing(facts.FILE) as temporary:
        shutil.copyfile(path, temporary)
    return seeds


def _seeds_of(file: pathlib.Path) -> tuple[int, ...]:
    if not file.exists():
        return ()
    return tuple(arrays.load_metadata(file).get("seeds", ()))


def _start_worker() -> None:
    """One thread, memory that is kept, and no life after the process that builds."""
    worker_process.start()
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )
    malloc.keep_memory()


def _num_functions(benchmark: EmbeddedBenchmark) -> int:
    return len(benchmark.representatives())


def _starts(benchmark: EmbeddedBenchmark) -> range:
    return range(0, _num_functions(benchmark), PIECE)


def _piece_path(folder: pathlib.Path, seed: int, start: int) -> pathlib.Path:
    return folder / f"seed{seed}" / f"functions{start:04d}.safetensors"


def _piece(
    benchmark: EmbeddedBenchmark, folder: pathlib.Path, seed: int, start: int
) -> Piece | None:
    """A finished piece; None where it is missing or damaged, and so to be trained."""
    path = _piece_path(folder, seed, start)
    if not path.exists():
        return None
    count = min(PIECE, _num_functions(benchmark) - start)
    epochs = benchmark.facts.EPOCHS
    shapes: dict[str, tuple[int, ...]]
    shapes = {field: (count, epochs) for field in ScannedCurves._fields}
    shapes["seconds"] = (count,)
    try:
        piece = arrays.load(path)
    except errors.DataError as error:
        logging.warning("%s; it is trained again", error)
        return None
    if {field: np.shape(values) for field, values in piece.items()} != shapes:
        logging.warning("%s is no piece of this benchmark; it is trained again", path)
        return None
    return piece


def _complete(
    benchmark: EmbeddedBenchmark, folder: pathlib.Path
) -> dict[int, list[Piece]]:
    """The pieces of each complete seed."""
    found = sorted(int(path.name[4:]) for path in folder.glob("seed[0-9]*"))
    pieces = {
        seed: [_piece(benchmark, folder, seed, start) for start in _starts(benchmark)]
        for seed in found
    }
    return {
        seed: [piece for piece in own if piece is not None]
        for seed, own in pieces.items()
        if not any(piece is None for piece in own)
    }
