"""Training of one architecture of any space by a protocol.

`train_architecture` is what the command and a search share; `Trainer` is how a search
calls it. Their arguments pickle, and what they make (data, compiled functions) is kept
by the process that they run in.
"""

import dataclasses
import functools
import json
import os
import tempfile
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import data, spaces
from nasjax.core import errors, result, workdir
from nasjax.core.types import LAST, Evaluation, Key
from nasjax.data import color_jitter, text
from nasjax.networks import recurrent
from nasjax.training import classifier, image_networks, language_model, recording
from nasjax.training.classifier_settings import ClassifierSettings
from nasjax.training.language_model_settings import LanguageModelSettings
from nasjax.training.protocol import Protocol
from nasjax.training.recording import Curves


def train_architecture(
    key: Key,
    arch: Any,
    protocol: Protocol,
    folder: str | os.PathLike[str],
    *,
    epochs: int | None = None,
) -> Curves:
    """Trains one architecture, or continues its training.

    Args:
      key: initial weights, order of the data, augmentation: the training is a function
        of it, seconds apart.
      arch: int `[G]`, concrete genes.
      protocol: how.
      folder: of checkpoints and rows. The same call continues where an earlier one was
        killed; one with more epochs continues where the earlier one ended.
      epochs: complete this many epochs of the protocol's schedule; None: all.

    Returns:
      The curves. A divergence is a result like others: NaN from there on.

    Raises:
      ConfigError: the protocol or the number of epochs does not fit.
      DataError: the data cannot be read.
      UnknownArchitecture: the genes are not of the space.
      WorkdirError: the folder holds another training.
      loop.Stopped: the process was asked to stop; the state is saved.
    """
    epochs = protocol.epochs if epochs is None else epochs
    # A search may send a training again while the worker it gave up still lives.
    identity = _identity(key, arch, protocol)
    workdir.claim(folder, identity, ignore=IGNORED, wait=True)
    try:
        if isinstance(protocol.training, LanguageModelSettings):
            return _train_on_text(key, arch, protocol, folder, epochs)
        return _train_on_images(key, arch, protocol, folder, epochs)
    finally:
        workdir.release(folder)


IGNORED = ("data.dir", "data.verify", "data.num_workers", "data.num_threads")
"""Where the images lie and how they are read does not change a training."""


def _identity(key: Key, arch: Any, protocol: Protocol) -> dict[str, Any]:
    """What tells a training from others, as JSON."""
    training = {
        "key": jax.random.key_data(key),
        "arch": np.asarray(arch),
        **dataclasses.asdict(protocol),
    }
    identity: dict[str, Any] = result.to_json(training)
    return identity


def _train_on_images(
    key: Key,
    arch: Any,
    protocol: Protocol,
    folder: str | os.PathLike[str],
    epochs: int,
) -> Curves:
    assert isinstance(protocol.training, ClassifierSettings)
    splits = image_splits(protocol)
    choice = image_network(arch, protocol)
    settings = (choice.network, choice.argument, splits, protocol.training)
    return recording.record(
        folder,
        classifier.init(key, *settings),
        classifier.make_stage(key, *settings),
        epochs=epochs,
        parameters=choice.parameters,
    )


def _train_on_text(
    key: Key,
    arch: Any,
    protocol: Protocol,
    folder: str | os.PathLike[str],
    epochs: int,
) -> Curves:
    settings = protocol.training
    assert isinstance(settings, LanguageModelSettings)
    corpus = _corpus(_frozen(protocol.data))
    state = language_model.init(key, arch, corpus, settings)

    def recorded(state: language_model.LanguageModelState) -> recording.Record:
        losses = {f"{part}_loss": values for part, values in state.losses.items()}
        return recording.Record(losses, state.seconds)

    return recording.record(
        folder,
        state,
        language_model.make_stage(key, arch, corpus, settings),
        epochs=epochs,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        read=recorded,
    )


def image_network(arch: Any, protocol: Protocol) -> image_networks.BuiltNetwork:
    """The network of an architecture; errors as in `image_networks.choose`."""
    dataset = _dataset(_frozen(protocol.data), protocol.color_jitter)
    images = image_networks.Images(dataset.num_classes, dataset.image_shape)
    return image_networks.build(protocol.space, arch, protocol.network, images)


def image_splits(protocol: Protocol) -> classifier.Splits:
    """The images of a protocol; errors as in `data.load` and `classifier.split`."""
    dataset = _dataset(_frozen(protocol.data), protocol.color_jitter)
    return classifier.split(dataset, protocol.train_fraction, protocol.split_seed)


def check(protocol: Protocol, arch: Any) -> None:
    """Raises what `train_architecture` would raise before its first step."""
    settings = protocol.training
    if isinstance(settings, LanguageModelSettings):
        corpus = _corpus(_frozen(protocol.data))
        text.batchify(corpus.train, settings.batch_size)
        for part in (corpus.valid, corpus.test):
            text.batchify(part, settings.eval_batch_size)
        recurrent.read(arch)
        return
    classifier.check(image_splits(protocol), settings)
    image_network(arch, protocol)


@dataclasses.dataclass(frozen=True)
class Trainer:
    """Training as a search calls it, in this process or in another one.

        history = search.drive(key, algorithm, Trainer(protocol), 100, ...,
                               last_epoch=protocol.epochs, curve_length=protocol.epochs)

    Attributes:
      protocol: how.
    """

    protocol: Protocol

    def __call__(
        self,
        key: Key,
        arch: Any,
        epoch: int,
        trained: int,
        folder: str | os.PathLike[str] | None = None,
    ) -> Evaluation:
        """Trains up to `epoch` and scores the training; see `evaluation`.

        Args:
          key: of the training; the same when it is continued.
          arch: int `[G]`.
          epoch: epochs to complete, or `LAST`.
          trained: how many of them are already paid.
          folder: where the training keeps its checkpoints; None: nowhere, so that one
            that is continued starts anew.

        Raises:
          as `train_architecture`.
        """
        epochs = self.protocol.epochs if epoch == LAST else int(epoch)
        if folder is not None:
            curves = train_architecture(key, arch, self.protocol, folder, epochs=epochs)
            return evaluation(curves, self.protocol, epochs, int(trained))
        with tempfile.TemporaryDirectory() as temporary:
            return self(key, arch, epochs, trained, temporary)


def evaluation(
    curves: Curves, protocol: Protocol, epochs: int, trained: int = 0
) -> Evaluation:
    """What a search learns from a training.

    Args:
      curves: of the training.
      protocol: `label_epochs` last epochs are averaged in `valid` and `test`.
      epochs: how many were completed.
      trained: how many of them were paid before; the others make up `cost`.

    Returns:
      Scores are accuracies, or minus the loss where there are none, NaN of a training
      that diverged; `curve` is `[T]` of validation scores.
    """
    first = max(epochs - protocol.label_epochs, 0)

    def scores(part: str) -> np.ndarray:
        if f"{part}_loss" not in curves.metrics:
            return np.full(protocol.epochs, np.nan, np.float32)
        accuracy = curves.metrics.get(f"{part}_accuracy")
        return -curves.metrics[f"{part}_loss"] if accuracy is None else accuracy

    return Evaluation(
        valid=jnp.asarray(scores("valid")[first:epochs].mean()),
        test=jnp.asarray(scores("test")[first:epochs].mean()),
        cost=jnp.asarray(np.nansum(curves.seconds[trained:epochs])),
        curve=jnp.asarray(scores("valid")),
    )


def parse(space: str, notation: str) -> np.ndarray:
    """Genes int32 `[G]` of an architecture in the official notation of its space.

    Raises:
      UnknownArchitecture: it is malformed or not of the space.
    """
    return np.asarray(spaces.make(space).parse_arch(notation), np.int32)


def _frozen(section: Mapping[str, Any]) -> str:
    return json.dumps(section, sort_keys=True)


@functools.lru_cache(maxsize=2)
def _dataset(section: str, jitter: tuple[float, ...]) -> data.Dataset:
    dataset = data.load(**json.loads(section))
    return color_jitter.jittered(dataset, jitter) if jitter else dataset


@functools.lru_cache(maxsize=2)
def _corpus(section: str) -> text.Corpus:
    options = json.loads(section)
    if not options["name"]:
        raise errors.ConfigError(
            "the text is read from a folder of word files; pass "
            f"--config.data.name=FOLDER, or one of {', '.join(text.CORPORA)}"
        )
    return text.load(**options)
