"""How the benchmarks inside the package are made: what is trained, and one training.

    curves, seconds = train("digits201", arch, place=17, seed=0)

digits201: 8x8 digits with noise, patches of 2x2 as channels, a 1x1 stem to 16 channels
at 4x4, one cell without scale and shift in its normalisations, a linear classifier; 30
epochs of Nesterov's SGD. A training takes a third of a second of one core, a seed of
all 5,260 functions half an hour.

Another benchmark is another entry of `BENCHMARKS`; pieces on disk, processes and the
package's file are `jobs.nasbench_x11.build`'s.
"""

import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from nasjax.core import registry
from nasjax.core.types import Array
from nasjax.data import noisy_digits
from nasjax.experiments import embedded_samples, found_architectures
from nasjax.nasbench import digits201, sampled_digits
from nasjax.nasbench.sampled_digits import SampledDigits
from nasjax.nasbench.table import TabularBenchmark
from nasjax.nasbench.trainings import NUM_EPOCHS, Trainings
from nasjax.networks import darts_data, nasbench101_data, nasbench201
from nasjax.networks.nasbench201 import Network, Skeleton
from nasjax.spaces import nasbench111, nasbench201_functions
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
DIGITS111_SKELETON = nasbench101_data.Skeleton()
DIGITS311_SKELETON = darts_data.Skeleton(momentum=0.2)
_WEIGHTS_STREAM, _DATA_STREAM = 0, 1
_GROUP_BITS = 20
"""A group has less than 2^20 architectures."""


class BenchmarkFile(NamedTuple):
    """How `nasbench` keeps a benchmark.

    Attributes:
      name: of a file, such as `digits201.safetensors`.
      installed: the one in the package.
      save: `(path, trainings, facts)` writes one; a `DataError` where too little is
        trained.
      read: `(path) -> Trainings`.
      load: `(path) -> TabularBenchmark`.
    """

    name: str
    installed: pathlib.Path
    save: Callable[[pathlib.Path, Trainings, Mapping[str, np.ndarray]], None]
    read: Callable[[pathlib.Path], Trainings]
    load: Callable[[pathlib.Path], TabularBenchmark]


class Group(NamedTuple):
    """Architectures that are trained for one reason.

    Attributes:
      name: such as `uniform`.
      choose: `(trainings of earlier groups) -> int [N, G]`, the architectures.
      repeated: how many of them, the first ones, are trained with every seed; the
        others with seed 0 only. None: all.
    """

    name: str
    choose: Callable[[Trainings | None], np.ndarray]
    repeated: int | None = None


class EmbeddedBenchmark(NamedTuple):
    """What is trained and how.

    Attributes:
      file: how it is kept.
      groups: of architectures, in the order in which they are chosen and trained.
      network: makes the networks of all architectures, which are data.
      facts: `(archs [N, G]) -> numbers by name` that the file holds besides curves.
      recipe: optimizer and schedule.
      images: how hard they are.
      evaluation_batch: images that are evaluated at once.
      common_weights: all architectures start a seed with the same weights, as where one
        seeds the library's generator; they are then compared with less noise.
    """

    file: BenchmarkFile
    groups: tuple[Group, ...]
    network: Callable[[], Network]
    facts: Callable[[np.ndarray], dict[str, np.ndarray]]
    recipe: SGDSettings
    images: noisy_digits.Corruption = noisy_digits.Corruption()
    evaluation_batch: int = BATCH
    common_weights: bool = False


def _digits201_functions(_: Trainings | None) -> np.ndarray:
    return nasbench201_functions.functions().representatives


def _parameters(
    count: Callable[..., Array], skeleton: Any, archs: np.ndarray
) -> dict[str, np.ndarray]:
    """Trained parameters of each architecture, by the network's own function."""
    one = functools.partial(count, skeleton=skeleton)
    return {"parameters": np.asarray(jax.jit(jax.vmap(one))(archs))}


def _digits201_facts(archs: np.ndarray) -> dict[str, np.ndarray]:
    counts = _parameters(nasbench201.count_parameters, DIGITS201_SKELETON, archs)
    return counts | {"function": nasbench201_functions.functions().of_code}


def _file(sampled: SampledDigits) -> BenchmarkFile:
    return BenchmarkFile(
        f"{sampled.name}.safetensors",
        sampled.file,
        sampled.save,
        sampled.read,
        sampled.load,
    )


def _searched(
    sampled: SampledDigits, number: int
) -> Callable[[Trainings | None], np.ndarray]:
    """What searches find on a surrogate of the groups before."""

    def choose(earlier: Trainings | None) -> np.ndarray:
        assert earlier is not None
        return found_architectures.find(
            earlier,
            sampled.space,
            sampled.features,
            number,
            _SEARCHES[sampled.name],
            sampled.num_evaluated,
        )

    return choose


_SEARCHES: Mapping[str, tuple[str, ...]] = {
    "digits111": (
        "random_search",
        "bananas",
        "local_search",
        "regularized_evolution",
    ),
    "digits311": (
        "random_search",
        "regularized_evolution",
        "local_search",
        "bananas",
        "bo_dngo",
    ),
}
"""Algorithms whose finds are trained, too."""


def _small(_: Trainings | None) -> np.ndarray:
    return nasbench111.small_cells()


BENCHMARKS: Mapping[str, EmbeddedBenchmark] = {
    "digits201": EmbeddedBenchmark(
        file=BenchmarkFile(
            digits201.NAME,
            digits201.FILE,
            digits201.save,
            digits201.read,
            digits201.load,
        ),
        groups=(Group("functions", _digits201_functions),),
        network=functools.partial(nasbench201.network, DIGITS201_SKELETON),
        facts=_digits201_facts,
        recipe=SGDSettings(learning_rate=0.4, momentum=0.9, weight_decay=5e-4),
    ),
    "digits111": EmbeddedBenchmark(
        file=_file(sampled_digits.DIGITS111),
        groups=(
            Group("uniform", lambda _: embedded_samples.uniform_cells(7000), 500),
            Group("small", _small, 0),
            Group("searched", _searched(sampled_digits.DIGITS111, 900), 0),
        ),
        network=functools.partial(nasbench101_data.network, DIGITS111_SKELETON),
        facts=functools.partial(
            _parameters, nasbench101_data.count_parameters, DIGITS111_SKELETON
        ),
        recipe=SGDSettings(learning_rate=0.2, momentum=0.9, weight_decay=5e-4),
        images=noisy_digits.Corruption(noise=0.4, copies=4),
    ),
    "digits311": EmbeddedBenchmark(
        file=_file(sampled_digits.DIGITS311),
        groups=(
            Group("random", lambda _: embedded_samples.random_genotypes(2500), 200),
            Group("shared", lambda _: embedded_samples.shared_genotypes(1500), 100),
            Group("searched", _searched(sampled_digits.DIGITS311, 2000), 0),
        ),
        network=functools.partial(darts_data.network, DIGITS311_SKELETON),
        facts=functools.partial(
            _parameters, darts_data.count_parameters, DIGITS311_SKELETON
        ),
        recipe=SGDSettings(learning_rate=0.4, momentum=0.9, weight_decay=5e-4),
        images=noisy_digits.Corruption(noise=0.8, copies=4),
        evaluation_batch=256,
        common_weights=True,
    ),
}


def get(name: str) -> EmbeddedBenchmark:
    """The benchmark of a name.

    Raises:
      ConfigError: there is no such benchmark.
    """
    return registry.find("embedded benchmark", BENCHMARKS, name)


def train(
    name: str, arch: ArrayLike, place: int, seed: int, group: int = 0
) -> tuple[ScannedCurves, float]:
    """Trains one architecture with one seed; also the CPU seconds that took.

    The seed decides on the order and the noise of the images, which are the same for
    all architectures, and on the initial weights: with the architecture's place, unless
    the benchmark has `common_weights`.

    Args:
      name: a key of `BENCHMARKS`.
      arch: int `[G]`.
      place: of the architecture in its group.
      seed: of the training.
      group: number of the group.
    """
    benchmark = get(name)
    run = _trainer(name)
    batches = _training_batches(benchmark.images.noise, seed)
    number = np.int32(group << _GROUP_BITS | place)
    start = time.process_time()
    curves = jax.block_until_ready(
        run(np.asarray(arch, np.int32), number, np.int32(seed), batches)
    )
    return curves, time.process_time() - start


@functools.cache
def _trainer(name: str) -> Callable[..., ScannedCurves]:
    """The compiled training `(arch, number, seed, batches) -> ScannedCurves`."""
    benchmark = get(name)
    net = benchmark.network()
    data = noisy_digits.load(benchmark.images)
    size = benchmark.evaluation_batch
    valid = _batches(data.valid_images, data.valid_labels, size)
    test = _batches(data.test_images, data.test_labels, size)

    @jax.jit
    def run(
        arch: Array,
        number: Array,
        seed: Array,
        batches: scanned.Split,
        valid: scanned.Split,
        test: scanned.Split,
    ) -> ScannedCurves:
        key = jax.random.key(_WEIGHTS_STREAM)
        if not benchmark.common_weights:
            key = jax.random.fold_in(key, number)
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

    return lambda arch, number, seed, batches: run(
        arch, number, seed, batches, valid, test
    )


def _batches(images: Array, labels: Array, size: int) -> scanned.Split:
    """Cuts `[H, W, C, N]` into batches `[S, H, W, C, B]`."""
    steps = labels.shape[0] // size
    images = images.reshape(*images.shape[:-1], steps, -1)
    return scanned.Split(jnp.moveaxis(images, -2, 0), labels.reshape(steps, -1))


@functools.lru_cache(maxsize=1)
def _training_batches(noise: float, seed: int) -> scanned.Split:
    """What all trainings of a seed see, in this order (6 MB for 30 epochs)."""
    key = jax.random.fold_in(jax.random.key(_DATA_STREAM), seed)
    epochs = functools.partial(
        noisy_digits.epochs, num_epochs=NUM_EPOCHS, batch=BATCH, noise=noise
    )
    return scanned.Split(*jax.jit(epochs)(key, noisy_digits.load()))
