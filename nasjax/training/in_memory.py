"""One cell trained as one compiled program, its images in memory: for notebooks.

Every epoch of a small data set is stacked into one array, so there is no progress, no
checkpoint and no folder; `architecture.train_architecture` has these.
"""

import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import data
from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.training import image_networks, scanned
from nasjax.training.classifier_functions import Network
from nasjax.training.scanned import ScannedCurves, SGDSettings


def train_cell(
    key: Key,
    space: str,
    arch: Any,
    dataset: data.Dataset,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    train_fraction: float = 0.8,
    recipe: SGDSettings | None = None,
    **network: Any,
) -> ScannedCurves:
    """Trains the network of an architecture.

        curves = train_cell(key, "nasbench201", arch, data.load("digits"), channels=4)

    Args:
      key: initial weights and the order of the images.
      space: "nasbench101", "nasbench201", "darts" or "darts_shared".
      arch: int `[G]`, concrete.
      dataset: its training images are cut into training and validation.
      epochs: of the whole schedule.
      batch_size: of training; at most the images of the training part.
      train_fraction: of the training images that are trained on, below 1.
      recipe: of the optimizer; None: `SGDSettings()`.
      **network: sizes, such as `channels` and `num_cells`, see `image_networks.build`.

    Returns:
      Losses in nats and counts of right answers after each epoch, `[epochs]`.

    Raises:
      ConfigError: there is no such space or size, or a number is out of range.
      UnknownArchitecture: the genes are not of the space.
    """
    if epochs < 1:
        raise errors.ConfigError(f"epochs = {epochs} must be at least 1")
    images = image_networks.Images(dataset.num_classes, dataset.image_shape)
    built = image_networks.build(space, np.asarray(arch), network, images)
    key_init, key_order = jax.random.split(key)
    seed = int(jax.random.randint(key_order, (), 0, np.iinfo(np.int32).max))
    train, valid = dataset.split_train(train_fraction, seed=0)
    train.check_batch_size(batch_size)
    steps = train.steps_per_epoch(batch_size)
    batches = train.train_batches(batch_size=batch_size, seed=seed)
    stacked = _stack(next(batches) for _ in range(epochs * steps))
    stacked = jax.tree.map(
        lambda leaf: leaf.reshape(epochs, steps, *leaf.shape[1:]), stacked
    )
    curves: ScannedCurves = _train(
        built.network,
        recipe or SGDSettings(),
        key_init,
        built.argument,
        stacked,
        _whole(valid),
        _whole(dataset.test),
    )
    return curves


@functools.partial(jax.jit, static_argnums=(0, 1))
def _train(
    network: Network,
    recipe: SGDSettings,
    key: Key,
    argument: Any,
    train: scanned.Split,
    valid: scanned.Split,
    test: scanned.Split,
) -> ScannedCurves:
    """One program for all architectures that share a network."""
    classifier = network(argument)
    key_init, key_drop = jax.random.split(key)
    params, statistics = classifier.init(key_init)

    def apply(
        params: Any, statistics: Any, images: Array, *, train: bool
    ) -> tuple[Array, Any]:
        outputs, statistics = classifier.apply(
            params, statistics, images, train=train, key=key_drop, drop_path=0.0
        )
        return outputs.logits.T, statistics  # scanned has the classes first

    return scanned.train(params, statistics, apply, train, valid, test, recipe=recipe)


def _stack(batches: Iterable[data.Batch]) -> scanned.Split:
    found = list(batches)
    return scanned.Split(
        jnp.asarray(np.stack([np.asarray(batch.images) for batch in found])),
        jnp.asarray(np.stack([np.asarray(batch.labels) for batch in found])),
    )


def _whole(split: data.Split) -> scanned.Split:
    """All images as one batch."""
    return _stack(split.eval_batches(batch_size=len(split)))
