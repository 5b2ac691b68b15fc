"""Makes the embedded benchmark: trains every function of NAS-Bench-201 on noisy digits.

Recipe: 8x8 digits with noise, patches of 2x2 as channels, a 1x1 stem to 16 channels at
4x4, one cell without scale and shift in its normalisations, a linear classifier; 30
epochs of Nesterov's SGD. A training takes a third of a second of one core, a seed of
all 4,930 functions half an hour.

The work is cut into pieces of one seed and 64 functions. A finished piece is a file in
the working directory, so a build that was killed goes on where it was, and every seed
that is complete is assembled into the benchmark's file.
"""

import concurrent.futures
import functools
import multiprocessing
import os
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from nasjax.core import arrays, errors, progress
from nasjax.data import noisy_digits
from nasjax.nasbench import digits201
from nasjax.networks import nasbench201
from nasjax.spaces import nasbench201_functions
from nasjax.training import short

Array = jax.Array

PIECE = 64
"""Functions of one file of the working directory."""
_WEIGHTS_STREAM, _DATA_STREAM = 0, 1


@functools.cache
def _trainer() -> Any:
    """The compiled training `(arch, function, seed, batches) -> Curves`."""
    net = nasbench201.network(digits201.SKELETON)
    data = noisy_digits.load()
    valid = _batches(data.valid_images, data.valid_labels)
    test = _batches(data.test_images, data.test_labels)

    @jax.jit
    def train(arch, function, seed, batches, valid, test):  # type: ignore[no-untyped-def]
        key = jax.random.fold_in(jax.random.key(_WEIGHTS_STREAM), function)
        params, statistics = net.init(jax.random.fold_in(key, seed), arch)
        return short.train(
            params,
            statistics,
            lambda params, statistics, images, *, train: net.apply(
                params, statistics, arch, images, train=train
            ),
            batches,
            valid,
            test,
            recipe=digits201.RECIPE,
        )

    return lambda arch, function, seed, batches: train(
        arch, function, seed, batches, valid, test
    )


def _batches(images: Array, labels: Array) -> short.Split:
    """Cuts `[H, W, C, N]` into batches `[S, H, W, C, B]`."""
    steps = labels.shape[0] // digits201.BATCH
    images = images.reshape(*images.shape[:-1], steps, -1)
    return short.Split(jax.numpy.moveaxis(images, -2, 0), labels.reshape(steps, -1))


@functools.lru_cache(maxsize=1)
def _training_batches(seed: int) -> short.Split:
    """What all trainings of a seed see, in this order (6 MB)."""
    key = jax.random.fold_in(jax.random.key(_DATA_STREAM), seed)
    epochs = functools.partial(
        noisy_digits.epochs, num_epochs=digits201.EPOCHS, batch=digits201.BATCH
    )
    return short.Split(*jax.jit(epochs)(key, noisy_digits.load()))


def train_function(function: int, seed: int) -> tuple[short.Curves, float]:
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
        for name in short.Curves._fields
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
    output: str | os.PathLike[str],
    *,
    seeds: Iterable[int],
    num_processes: int = 1,
) -> None:
    """Trains what is missing, seed by seed, and writes the file after each seed.

    Args:
      folder: working directory, holds the finished pieces.
      output: the benchmark's file.
      seeds: which seeds to have.
      num_processes: processes with one thread each.
    """
    folder = pathlib.Path(folder)
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        num_processes, mp_context=context, initializer=_use_one_thread
    ) as pool:
        for seed in seeds:
            missing = [
                start
                for start in _starts()
                if not _piece_path(folder, seed, start).exists()
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
            assemble(folder, output)


def _use_one_thread() -> None:
    os.environ["XLA_FLAGS"] = (
        os.environ.get("XLA_FLAGS", "") + " --xla_cpu_multi_thread_eigen=false"
    )


def complete_seeds(folder: str | os.PathLike[str]) -> list[int]:
    """The seeds of which every piece is there."""
    folder = pathlib.Path(folder)
    found = sorted(int(path.name[4:]) for path in folder.glob("seed[0-9]*"))
    return [
        seed
        for seed in found
        if all(_piece_path(folder, seed, start).exists() for start in _starts())
    ]


def assemble(
    folder: str | os.PathLike[str], output: str | os.PathLike[str]
) -> list[int]:
    """Writes the benchmark's file from the complete seeds; returns these.

    Raises:
      DataError: no seed is complete.
    """
    folder = pathlib.Path(folder)
    seeds = complete_seeds(folder)
    if not seeds:
        raise errors.DataError(f"{folder}: no seed is complete; let the build finish")
    pieces = [
        [arrays.load(_piece_path(folder, seed, start)) for start in _starts()]
        for seed in seeds
    ]
    tree = {
        name: np.stack(
            [np.concatenate([piece[name] for piece in seed]) for seed in pieces], axis=1
        )
        for name in pieces[0][0]
    }
    digits201.save(output, tree, seeds)
    return seeds
