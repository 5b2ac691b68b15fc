"""Pre-trains one variant of arch2vec and measures what it has learnt."""

import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax import spaces
from nasjax.core import arrays, errors, metric_log, progress
from nasjax.encoders import corpus as corpora
from nasjax.encoders import graph_inputs
from nasjax.encoders.arch2vec import (
    generation,
    model,
    reconstruction,
    training,
    uniqueness,
)
from nasjax.encoders.arch2vec.model import AutoencoderSpec, Weights
from nasjax.encoders.arch2vec.training import Graphs, TrainSettings, TrainState
from nasjax.training import loop, runner

Config = Mapping[str, Any]


class Corpus(NamedTuple):
    """What all variants are trained on and judged by.

    Attributes:
      archs: int32 `[M, G]`, first those that are trained on.
      train: graphs of the first ones.
      held_out: graphs of the others.
    """

    archs: np.ndarray
    train: Graphs
    held_out: Graphs


class Trained(NamedTuple):
    """A variant that is ready.

    Attributes:
      model: what was trained.
      weights: of the model.
      vectors: float32 `[M, D]`, search embeddings of all architectures.
      measured: what `result.json` says of it.
    """

    model: AutoencoderSpec
    weights: Weights
    vectors: np.ndarray
    measured: dict[str, float]


def load(config: Config) -> Corpus:
    """The architectures of the space, split in two.

    Args:
      config: `space`, `seed`, `num_archs` (0: all) and `held_out`.

    Raises:
      ConfigError: a setting does not fit.
    """
    space, count = config["space"], config["num_archs"]
    key = jax.random.fold_in(jax.random.key(config["seed"]), 0)
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
    form = graph_inputs.spec(space)
    train, held_out = corpora.split(archs, config["held_out"])
    if len(train) < config["batch_size"]:
        raise errors.ConfigError(
            f"{len(train)} architectures to train on are less than a batch of "
            f"{config['batch_size']}"
        )
    stored = (training.to_graphs(form, part) for part in (train, held_out))
    return Corpus(archs, *stored)


def variant(config: Config, name: str) -> tuple[AutoencoderSpec, TrainSettings]:
    """The model and the recipe of a variant, with the changes of the configuration.

    Args:
      config: `space`, `batch_size`, `learning_rate` and `settings`, changes of
        `model.Settings` and `training.Recipe` by variant; None changes nothing.
      name: a key of `model.VARIANTS`.

    Raises:
      ConfigError: there is no such variant or setting.
    """
    given = config["settings"].get(name, {})
    changes = {key: value for key, value in given.items() if value is not None}
    fields = TrainSettings._fields
    recipe = training.RECIPES.get(name, TrainSettings())._replace(
        batch_size=config["batch_size"], learning_rate=config["learning_rate"]
    )
    recipe = recipe._replace(
        **{key: changes.pop(key) for key in fields if key in changes}
    )
    return model.make(config["space"], model.variant(name, **changes)), recipe


def run(
    key: jax.Array,
    name: str,
    config: Config,
    corpus: Corpus,
    folder: pathlib.Path,
    stages: runner.StageRunner,
) -> Trained:
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
    made, recipe = variant(config, name)
    key_train, key_generate = jax.random.split(key)
    state = stages.run(
        name,
        training.start(jax.random.fold_in(key_train, 0), made, recipe),
        lambda _, __: _stage(
            jax.random.fold_in(key_train, 1), name, config, made, recipe, corpus.train
        ),
    )
    means = training.posterior_means(made, state.weights, corpus.train)
    measured = measure(
        key_generate, made, recipe, state, means, corpus.held_out, config["num_points"]
    )
    others = training.posterior_means(made, state.weights, corpus.held_out)
    vectors = np.concatenate([means.mean(1), others.mean(1)])
    archs = corpus.archs.astype(np.int8)
    arrays.save(
        folder / f"embeddings_{name}.safetensors",
        {"archs": archs, "vectors": vectors},
        metadata={"space": config["space"], "variant": name},
    )
    arrays.save(
        folder / f"weights_{name}.safetensors",
        {"weights": _plain(state.weights), "moments": state.moments},
        metadata={"space": config["space"], "variant": name},
    )
    measured["cpu_seconds"] = _cpu_seconds(folder, name)
    return Trained(made, state.weights, vectors, measured)


def measure(
    key: jax.Array,
    made: AutoencoderSpec,
    recipe: TrainSettings,
    state: TrainState,
    means: np.ndarray,
    held_out: Graphs,
    num_points: int,
) -> dict[str, float]:
    """Reconstruction of the held-out graphs, validity and uniqueness of random points.

    `uniqueness_ceiling` is the expected uniqueness of as many uniform draws from the
    space: from its encodings, on NAS-Bench-101 from its classes.

    Where points are scaled, the released code uses the means that it saw while it
    trained, the others those of the trained encoder.

    Args:
      key: of the points.
      made: the model.
      recipe: how it was trained.
      state: after training.
      means: float32 `[M, N, D]`, posterior means of the training graphs.
      held_out: graphs that it was not trained on.
      num_points: how many graphs are decoded.
    """
    moments = state.moments
    if made.settings.points == "prior":
        moments = jnp.stack([jnp.zeros_like(moments[0]), jnp.ones_like(moments[1])])
    elif not recipe.freeze:
        moments = jnp.stack([means.mean(0), means.std(0)])
    found = reconstruction.evaluate(made, state.weights, held_out)
    graphs = reconstruction.generate(key, made, state.weights, moments, num_points)
    valid = generation.evaluate(graphs, made.form.space)
    size = spaces.make(made.form.space).size or 0
    return {
        "uniqueness_ceiling": uniqueness.ceiling(size, int(valid.num_strict)),
        **{f"reconstruction_{name}": value for name, value in found._asdict().items()},
        **{name: float(value) for name, value in valid._asdict().items()},
    }


def embeddings(
    made: AutoencoderSpec, weights: Weights, archs: np.ndarray
) -> np.ndarray:
    """Search embeddings float32 `[M, D]` of architectures int32 `[M, G]`."""
    means = training.posterior_means(
        made, weights, training.to_graphs(made.form, archs)
    )
    return means.mean(1)


def _stage(
    key: jax.Array,
    name: str,
    config: Config,
    made: AutoencoderSpec,
    recipe: TrainSettings,
    graphs: Graphs,
) -> loop.Stage:
    """A step of the stage is an epoch of the training."""
    epochs = config["epochs"]
    last: dict[str, Any] = {}

    def step(state: TrainState, _: int) -> TrainState:
        began = time.process_time()
        state, terms = training.run_epoch(key, made, recipe, state, graphs, epochs)
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
    return sum(row["cpu_seconds"] for row in rows if row["stage"] == name)


def _plain(weights: Weights) -> dict[str, Any]:
    """Nested dicts, as files hold them; layers are named by their number."""

    def convert(tree: Any) -> Any:
        if isinstance(tree, list | tuple):
            return {str(index): convert(item) for index, item in enumerate(tree)}
        if isinstance(tree, dict):
            return {key: convert(item) for key, item in tree.items()}
        return tree

    fields = ("encoder", "heads", "decoder", "statistics")
    parts = {field: convert(getattr(weights, field)) for field in fields}
    return {field: part for field, part in parts.items() if part != {}}
