"""One variant of arch2vec in a working directory: trained, measured and saved."""

import pathlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from nasjax.core import arrays, metric_log, progress
from nasjax.core.types import Key
from nasjax.encoders import corpus as corpora
from nasjax.encoders.arch2vec import evaluation, pretraining, training
from nasjax.encoders.arch2vec.model import AutoencoderSpec
from nasjax.encoders.arch2vec.pretraining import Corpus, Pretrained
from nasjax.encoders.arch2vec.training import TrainSettings, TrainState
from nasjax.jobs.arch2vec.settings import Pretraining
from nasjax.training import loop, runner


class Measured(NamedTuple):
    """A variant that is ready.

    Attributes:
      trained: the variant.
      vectors: float32 `[M, D]`, search embeddings of all architectures.
      measured: what `result.json` says of it.
    """

    trained: Pretrained
    vectors: np.ndarray
    measured: dict[str, float]


def load(config: Pretraining) -> Corpus:
    """The architectures of the space, split in two.

    Args:
      config: `space`, `seed`, `num_archs` (0: all) and `held_out`.

    Raises:
      ConfigError: a setting does not fit.
    """
    space, count = config.space, config.num_archs
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    drawn = space == "darts_shared"
    total = (count or corpora.NUM_DARTS) if drawn else 0
    bar = progress.progress(total, description="cells", unit="cell") if drawn else None
    archs = corpora.architectures(
        space,
        key,
        count=count,
        report=bar.update if bar is not None else lambda _: None,
    )
    if bar is not None:
        bar.close()
    return pretraining.divide(
        space, archs, held_out=config.held_out, batch_size=config.batch_size
    )


def variant(config: Pretraining, name: str) -> tuple[AutoencoderSpec, TrainSettings]:
    """The model and the recipe of a variant, with the changes of the configuration.

    Args:
      config: `space`, `batch_size`, `learning_rate` and `settings`, by variant the
        changes of `pretraining.configure`.
      name: a key of `model.VARIANTS`.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    return pretraining.configure(
        config.space,
        name,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        changes=config.settings.get(name, {}),
    )


def run(
    key: Key,
    name: str,
    config: Pretraining,
    corpus: Corpus,
    folder: pathlib.Path,
    stages: runner.StageRunner,
) -> Measured:
    """Trains a variant from its newest checkpoint, measures it, saves its embeddings.

    Args:
      key: of the initial weights, the order and the noise; also of what is generated.
      name: of the variant.
      config: of the job.
      corpus: the graphs.
      folder: of the run; embeddings and weights go there.
      stages: runs the epochs.

    Raises:
      training.loop.Stopped: the process was asked to stop; the state is saved.
    """
    model, recipe = variant(config, name)
    key_train, key_generate = jax.random.split(key)

    def run_epochs(
        initial: TrainState, step: pretraining.Step, epochs: int
    ) -> TrainState:
        stage = _stage(name, step, epochs)
        state: TrainState = stages.run(name, initial, lambda _, __: stage)
        return state

    state = pretraining.train(
        key_train,
        model,
        recipe,
        corpus.train,
        config.epochs,
        run_epochs=run_epochs,
    )
    trained = Pretrained(model, recipe, state, corpus)
    means = training.posterior_means(model, state.weights, corpus.train)
    measured = evaluation.measure(
        key_generate, trained, num_points=config.num_points, means=means
    )
    others = training.posterior_means(model, state.weights, corpus.held_out)
    vectors = np.concatenate([means.mean(1), others.mean(1)])
    archs = corpus.archs.astype(np.int8)
    metadata = {"space": config.space, "variant": name}
    arrays.save(
        folder / f"embeddings_{name}.safetensors",
        {"archs": archs, "vectors": vectors},
        metadata=metadata,
    )
    arrays.save(
        folder / f"weights_{name}.safetensors",
        {"weights": pretraining.as_tree(state.weights), "moments": state.moments},
        metadata=metadata,
    )
    measured["cpu_seconds"] = _cpu_seconds(folder, name)
    return Measured(trained, vectors, measured)


def _stage(name: str, run_epoch: pretraining.Step, epochs: int) -> loop.Stage:
    """A step of the stage is an epoch of the training."""
    last: dict[str, Any] = {}

    def step(state: TrainState, _: int) -> TrainState:
        began = time.process_time()
        state, terms = run_epoch(state)
        values = {field: float(term) for field, term in terms._asdict().items()}
        last.update(values, cpu_seconds=time.process_time() - began)
        return state

    def end_epoch(state: TrainState, _: int) -> tuple[TrainState, dict[str, float]]:
        loss = sum(last[field] for field in ("ops", "edges", "kl"))
        return state, {"train_loss": loss, **last}

    return loop.Stage(name, epochs, 1, step, end_epoch)


def _cpu_seconds(folder: pathlib.Path, name: str) -> float:
    """Of all epochs of a variant, also of those before the run was resumed."""
    rows = metric_log.read(folder)
    seconds: float = sum(row["cpu_seconds"] for row in rows if row["stage"] == name)
    return seconds
