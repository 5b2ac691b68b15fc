"""Makes the embedded benchmark: trains every function of NAS-Bench-201 on noisy digits.

Recipe: 8x8 digits with noise, patches of 2x2 as channels, a 1x1 stem to 16 channels at
4x4, one cell without scale and shift in its normalisations, a linear classifier; 30
epochs of Nesterov's SGD. A training takes a third of a second of one core, a seed of
all 5,260 functions half an hour.

The work is cut into pieces of one seed and 64 functions. A finished piece is a file in
the working directory, so a build that was killed goes on where it was, and every seed
that is complete is assembled into a file there. `install` puts that file into the
package.
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import shutil
import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from absl import logging

from nasjax.core import arrays, atomic_file, errors, malloc, progress, worker_process
from nasjax.core.types import Array
from nasjax.data import noisy_digits
from nasjax.nasbench import digits201
from nasjax.networks import nasbench201
from nasjax.networks.nasbench201 import Skeleton
from nasjax.spaces import nasbench201_functions
from nasjax.training import scanned
from nasjax.training.scanned import SGDSettings

BATCH = 64
RECIPE = SGDSettings(learning_rate=0.4, momentum=0.9, weight_decay=5e-4)
SKELETON = Skeleton(
    channels=16,
    num_stages=1,
    num_cells=1,
    image_shape=(8, 8, 1),
    patch=2,
    affine=False,
    momentum=0.2,
)
PIECE = 64
"""Functions of one file of the working directory."""
_WEIGHTS_STREAM, _DATA_STREAM = 0, 1


@functools.cache
def _trainer() -> Any:
    """The compiled training `(arch, function, seed, batches) -> Curves`."""
    net = nasbench201.network(SKELETON)
    data = noisy_digits.load()
    valid = _batches(data.valid_images, data.valid_labels)
    test = _batches(data.test_images, data.test_labels)

    @jax.jit
    def train(arch, function, seed, batches, valid, test):  # type: ignore[no-untyped-def]
        key = jax.random.fold_in(jax.random.key(_WEIGHTS_STREAM), function)
        params, statistics = net.init(jax.random.fold_in(key, seed), arch)
        return scanned.train(
            params,
            statistics,
            lambda params, statistics, images, *, train: net.apply(
                params, statistics, arch, images, train=train
            ),
            batches,
            valid,
            test,
            recipe=RECIPE,
        )

    return lambda arch, function, seed, batches: train(
        arch, function, seed, batches, valid, test
    )


def _batches(images: Array, labels: Array) -> scanned.Split:
    """Cuts `[H, W, C, N]` into batches `[S, H, W, C, B]`."""
    steps = labels.shape[0] // BATCH
    images = images.reshape(*images.shape[:-1], steps, -1)
    return scanned.Split(jax.numpy.moveaxis(images, -2, 0), labels.reshape(steps, -1))


@functools.lru_cache(maxsize=1)
def _training_batches(seed: int) -> scanned.Split:
    """What all trainings of a seed see, in this order (6 MB)."""
    key = jax.random.fold_in(jax.random.key(_DATA_STREAM), seed)
    epochs = functools.partial(
        noisy_digits.epochs, num_epochs=digits201.EPOCHS, batch=BATCH
    )
    return scanned.Split(*jax.jit(epochs)(key, noisy_digits.load()))


def train_function(function: int, seed: int) -> tuple[scanned.ScannedCurves, float]:
    """Trains one function with one seed; also the CPU seconds that took.

    The seed decides on the order and the noise of the images, which are the same for
    all functions, and with the function on the initial weights.
    """
    representative = nasbench201_functions.functions().representatives[function]
    train, batches = _trainer(), _training_batches(seed)
    start = time.process_time()
    curves = jax.block_until_ready(
        train(representative, np.int32(function), np.int32(seed), batches)
    )
    return curves, time.process_time() - start


def train_piece(folder: str, seed: int, start: int) -> None:
    """Trains functions `start` to `start + PIECE` and writes their file."""
    functions = range(start, min(start + PIECE, nasbench201_functions.NUM_FUNCTIONS))
    train_function(functions[0], seed)  # compiles; its time is not that of a training
    results = [train_function(function, seed) for function in functions]
    tree = {
        name: np.stack([getattr(curves, name) for curves, _ in results])
        for name in scanned.ScannedCurves._fields
    }
    tree = {name: digits201.compact(name, values) for name, values in tree.items()}
    tree["seconds"] = np.array([seconds for _, seconds in results], np.float32)
    path = _piece_path(pathlib.Path(folder), seed, start)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays.save(path, tree)


def _piece_path(folder: pathlib.Path, seed: int, start: int) -> pathlib.Path:
    return folder / f"seed{seed}" / f"functions{start:04d}.safetensors"


def _starts() -> range:
    return range(0, nasbench201_functions.NUM_FUNCTIONS, PIECE)


def build(
    folder: str | os.PathLike[str],
    *,
    seeds: Iterable[int],
    num_processes: int = 1,
) -> pathlib.Path:
    """Trains what is missing, seed by seed, and writes the file after each seed.

    Args:
      folder: working directory, holds the finished pieces and the benchmark's file.
      seeds: which seeds to have.
      num_processes: processes with one thread each.

    Returns:
      The benchmark's file.
    """
    folder = pathlib.Path(folder)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        num_processes, mp_context=context, initializer=_start_worker
    ) as pool:
        for seed in seeds:
            missing = [
                start for start in _starts() if _piece(folder, seed, start) is None
            ]
            done = len(_starts()) - len(missing)
            bar = progress.progress(
                len(_starts()), description=f"seed {seed}", done=done
            )
            pieces = [
                pool.submit(train_piece, os.fspath(folder), seed, start)
                for start in missing
            ]
            for piece in concurrent.futures.as_completed(pieces):
                piece.result()
                bar.update(1)
            bar.close()
            assemble(folder)
    return folder / digits201.NAME


def _start_worker() -> None:
    """One thread, memory that is kept, and no life after the process that builds."""
    worker_process.start()
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )
    malloc.keep_memory()


def _piece(folder: pathlib.Path, seed: int, start: int) -> dict[str, np.ndarray] | None:
    """A finished piece; None where it is missing or damaged, and so to be trained."""
    path = _piece_path(folder, seed, start)
    if not path.exists():
        return None
    count = min(PIECE, nasbench201_functions.NUM_FUNCTIONS - start)
    shapes: dict[str, tuple[int, ...]]
    shapes = {name: (count, digits201.EPOCHS) for name in scanned.ScannedCurves._fields}
    shapes["seconds"] = (count,)
    try:
        piece = arrays.load(path)
    except errors.DataError as error:
        logging.warning("%s; it is trained again", error)
        return None
    if {name: np.shape(values) for name, values in piece.items()} != shapes:
        logging.warning("%s is no piece of this benchmark; it is trained again", path)
        return None
    return piece


def complete_seeds(folder: str | os.PathLike[str]) -> list[int]:
    """The seeds of which every piece is there and undamaged."""
    return list(_complete(pathlib.Path(folder)))


def _complete(folder: pathlib.Path) -> dict[int, list[dict[str, np.ndarray]]]:
    """The pieces of each complete seed."""
    found = sorted(int(path.name[4:]) for path in folder.glob("seed[0-9]*"))
    pieces = {
        seed: [_piece(folder, seed, start) for start in _starts()] for seed in found
    }
    return {
        seed: [piece for piece in own if piece is not None]
        for seed, own in pieces.items()
        if not any(piece is None for piece in own)
    }


def assemble(folder: str | os.PathLike[str]) -> list[int]:
    """Writes the benchmark's file from the complete seeds; returns these.

    Raises:
      DataError: no seed is complete.
    """
    folder = pathlib.Path(folder)
    pieces = _complete(folder)
    if not pieces:
        raise errors.DataError(f"{folder}: no seed is complete; let the build finish")
    tree = {
        name: np.stack(
            [np.concatenate([piece[name] for piece in own]) for own in pieces.values()],
            axis=1,
        )
        for name in (*scanned.ScannedCurves._fields, "seconds")
    }
    functions = nasbench201_functions.functions()
    count = functools.partial(nasbench201.count_parameters, skeleton=SKELETON)
    tree["archs"] = functions.representatives
    tree["parameters"] = np.asarray(jax.vmap(count)(functions.representatives))
    tree["function"] = functions.of_code
    digits201.save(folder / digits201.NAME, tree, list(pieces))
    return list(pieces)


def install(folder: str | os.PathLike[str]) -> tuple[int, ...]:
    """Puts a build's file into the package, from where `nasbench.load` reads it.

    Returns:
      The seeds of the file.

    Raises:
      DataError: there is no such file, it is damaged, or it lacks a seed that the
        installed one has.
    """
    path = pathlib.Path(folder) / digits201.NAME
    if not path.exists():
        raise errors.DataError(f"{path}: no such file; run --mode=build first")
    seeds = digits201.load(path).seeds
    installed = set(_installed_seeds())
    if installed - set(seeds):
        raise errors.DataError(
            f"{path} has seeds {seeds}, the installed benchmark also "
            f"{sorted(installed - set(seeds))}: build them too, or load this file "
            "with nasbench.load(FILE)"
        )
    with atomic_file.replacing(digits201.FILE) as temporary:
        shutil.copyfile(path, temporary)
    return seeds


def _installed_seeds() -> tuple[int, ...]:
    if not digits201.FILE.exists():
        return ()
    return tuple(arrays.load_metadata(digits201.FILE).get("seeds", ()))
