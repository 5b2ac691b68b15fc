"""How the benchmarks inside the package are made: what is trained, and one training.

    curves, seconds = train("digits201", function=17, seed=0)

digits201: 8x8 digits with noise, patches of 2x2 as channels, a 1x1 stem to 16 channels
at 4x4, one cell without scale and shift in its normalisations, a linear classifier; 30
epochs of Nesterov's SGD. A training takes a third of a second of one core, a seed of
all 5,260 functions half an hour.

Another benchmark is another entry of `BENCHMARKS`; pieces on disk, processes and the
package's file are `jobs.nasbench_x11.build`'s.
"""

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import registry
from nasjax.core.types import Array, Key, Tree
from nasjax.data import noisy_digits
from nasjax.nasbench import digits201
from nasjax.nasbench.table import TabularBenchmark
from nasjax.networks import nasbench201
from nasjax.networks.nasbench201 import Skeleton
from nasjax.spaces import nasbench201_functions
from nasjax.training import scanned
from nasjax.training.scanned import ScannedCurves, SGDSettings

BATCH = 64
DIGITS201_SKELETON = Skeleton(
    channels=16,
    num_stages=1,
    num_cells=1,
    image_shape=(8, 8, 1),
    patch=2,
    affine=False,
    momentum=0.2,
)
_WEIGHTS_STREAM, _DATA_STREAM = 0, 1


class Facts(Protocol):
    """What a module of `nasbench` knows of its benchmark: file, form and epochs."""

    FORM: str
    NAME: str
    FILE: Any
    EPOCHS: int

    def compact(self, name: str, values: np.ndarray) -> np.ndarray:
        """A curve as it is stored."""

    def save(
        self,
        path: str | os.PathLike[str],
        tree: Mapping[str, np.ndarray],
        seeds: Sequence[int],
    ) -> None:
        """Writes the benchmark's file."""

    def load(self, path: str | os.PathLike[str] = ...) -> TabularBenchmark:
        """The benchmark of a file."""


class Network(NamedTuple):
    """Networks of all architectures of a space, which are data.

    Attributes:
      init: `(key, arch [G]) -> (params, statistics)`.
      apply: `(params, statistics, arch, images [H, W, C, B], *, train) -> (logits
        [K, B], statistics)`.
    """

    init: Callable[[Key, Array], tuple[Tree, Tree]]
    apply: Callable[..., tuple[Array, Tree]]


class EmbeddedBenchmark(NamedTuple):
    """What is trained and how.

    Attributes:
      facts: of the benchmark's file.
      network: makes the networks.
      representatives: int32 `[F, G]` when called, the architectures that are trained:
        one of each function that the space can compute.
      table: what the file holds besides curves, by name, when called.
      recipe: optimizer and schedule.
    """

    facts: Facts
    network: Callable[[], Network]
    representatives: Callable[[], np.ndarray]
    table: Callable[[], dict[str, np.ndarray]]
    recipe: SGDSettings


def _digits201_network() -> Network:
    net = nasbench201.network(DIGITS201_SKELETON)
    return Network(net.init, net.apply)


def _digits201_representatives() -> np.ndarray:
    return nasbench201_functions.functions().representatives


def _digits201_table() -> dict[str, np.ndarray]:
    functions = nasbench201_functions.functions()
    count = functools.partial(nasbench201.count_parameters, skeleton=DIGITS201_SKELETON)
    return {
        "archs": functions.representatives,
        "parameters": np.asarray(jax.vmap(count)(functions.representatives)),
        "function": functions.of_code,
    }


BENCHMARKS: Mapping[str, EmbeddedBenchmark] = {
    "digits201": EmbeddedBenchmark(
        facts=digits201,
        network=_digits201_network,
        representatives=_digits201_representatives,
        table=_digits201_table,
        recipe=SGDSettings(learning_rate=0.4, momentum=0.9, weight_decay=5e-4),
    )
}


def get(name: str) -> EmbeddedBenchmark:
    """The benchmark of a name.

    Raises:
      ConfigError: there is no such benchmark.
    """
    return registry.find("embedded benchmark", BENCHMARKS, name)


def train(name: str, function: int, seed: int) -> tuple[ScannedCurves, float]:
    """Trains one function with one seed; also the CPU seconds that took.

    The seed decides on the order and the noise of the images, which are the same for
    all functions, and with the function on the initial weights.

    Args:
      name: a key of `BENCHMARKS`.
      function: row of its representatives.
      seed: of the training.
    """
    benchmark = get(name)
    representative = benchmark.representatives()[function]
    run = _trainer(name)
    batches = _training_batches(benchmark.facts.EPOCHS, seed)
    start = time.process_time()
    curves = jax.block_until_ready(
        run(representative, np.int32(function), np.int32(seed), batches)
    )
    return curves, time.process_time() - start


@functools.cache
def _trainer(name: str) -> Callable[..., ScannedCurves]:
    """The compiled training `(arch, function, seed, batches) -> ScannedCurves`."""
    benchmark = get(name)
    net = benchmark.network()
    data = noisy_digits.load()
    valid = _batches(data.valid_images, data.valid_labels)
    test = _batches(data.test_images, data.test_labels)

    @jax.jit
    def run(
        arch: Array,
        function: Array,
        seed: Array,
        batches: scanned.Split,
        valid: scanned.Split,
        test: scanned.Split,
    ) -> ScannedCurves:
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
            recipe=benchmark.recipe,
        )

    return lambda arch, function, seed, batches: run(
        arch, function, seed, batches, valid, test
    )


def _batches(images: Array, labels: Array) -> scanned.Split:
    """Cuts `[H, W, C, N]` into batches `[S, H, W, C, B]`."""
    steps = labels.shape[0] // BATCH
    images = images.reshape(*images.shape[:-1], steps, -1)
    return scanned.Split(jnp.moveaxis(images, -2, 0), labels.reshape(steps, -1))


@functools.lru_cache(maxsize=1)
def _training_batches(num_epochs: int, seed: int) -> scanned.Split:
    """What all trainings of a seed see, in this order (6 MB for 30 epochs)."""
    key = jax.random.fold_in(jax.random.key(_DATA_STREAM), seed)
    epochs = functools.partial(noisy_digits.epochs, num_epochs=num_epochs, batch=BATCH)
    return scanned.Split(*jax.jit(epochs)(key, noisy_digits.load()))
