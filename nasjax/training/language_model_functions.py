"""The compiled functions with which a language model is trained and measured."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nasjax.core.types import Array, Key
from nasjax.networks import language_model as networks
from nasjax.training import optimizers, text_objective, text_windows
from nasjax.training.language_model_settings import LanguageModelSettings


class LanguageModelFunctions(NamedTuple):
    """The compiled functions of one architecture.

    Attributes:
      model: the network.
      optimizer: Adam with clipping.
      update: `(params, optimizer, hidden, tokens [L + 1, B], length, rate, key) ->
        (params, optimizer, hidden)`; the first three are given away.
      measure: `(params, hidden, tokens [L + 1, B], length) -> (sum of nats, hidden)`.
    """

    model: networks.LanguageModel
    optimizer: optax.GradientTransformation
    update: Callable[..., tuple[networks.Params, optax.OptState, networks.Hidden]]
    measure: Callable[..., tuple[Array, networks.Hidden]]


def functions(
    arch: Any, num_tokens: int, settings: LanguageModelSettings
) -> LanguageModelFunctions:
    """The functions of one architecture; those used last are kept compiled.

    Raises:
      UnknownArchitecture: the genes are no recipe of the space.
    """
    genes = np.asarray(arch)
    return _functions(tuple(genes.reshape(-1).tolist()), num_tokens, settings)


@functools.lru_cache(maxsize=4)
def _functions(
    genes: tuple[int, ...], num_tokens: int, settings: LanguageModelSettings
) -> LanguageModelFunctions:
    model = networks.language_model(
        np.array(genes),
        num_tokens=num_tokens,
        embedding_size=settings.embedding_size,
        hidden_size=settings.hidden_size,
        num_layers=settings.num_layers,
        dropouts=networks.Dropouts(
            words=settings.dropout_words,
            embedded=settings.dropout_embedded,
            between=settings.dropout_between,
            output=settings.dropout_output,
            weights=settings.dropout_weights,
        ),
    )
    adam = optimizers.adam(settings.learning_rate, weight_decay=settings.weight_decay)
    clip = (
        optax.clip_by_global_norm(settings.clip) if settings.clip else optax.identity()
    )
    optimizer = optax.chain(clip, adam)
    gradient = jax.grad(
        functools.partial(
            text_objective.objective,
            model,
            activation=settings.activation,
            slowness=settings.slowness,
        ),
        has_aux=True,
    )

    @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
    def update(
        params: networks.Params,
        optimizer_state: optax.OptState,
        hidden: networks.Hidden,
        tokens: Array,
        length: Array,
        rate: Array,
        key: Key,
    ) -> tuple[networks.Params, optax.OptState, networks.Hidden]:
        gradients, hidden = gradient(params, hidden, tokens, length, key)
        updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        # Adam's step is proportional to its learning rate.
        updates = jax.tree.map(lambda update: rate * update, updates)
        return optax.apply_updates(params, updates), optimizer_state, hidden

    @jax.jit
    def measure(
        params: networks.Params, hidden: networks.Hidden, tokens: Array, length: Array
    ) -> tuple[Array, networks.Hidden]:
        outputs = model.apply(params, hidden, tokens[:-1], length=length)
        losses = text_objective.cross_entropy(outputs.logits, tokens[1:])
        there = jnp.arange(losses.shape[0]) < length
        return jnp.sum(jnp.where(there[:, None], losses, 0)), outputs.hidden

    return LanguageModelFunctions(model, optimizer, update, measure)


def mean_loss(
    functions: LanguageModelFunctions,
    params: networks.Params,
    rows: np.ndarray,
    settings: LanguageModelSettings,
) -> float:
    """Nats a token of a text, its hidden states carried from window to window.

    Released code: divides by the number of rows; here: by the number of targets, one
    row less, because that is the mean (.02 % of a WikiText-2 validation loss).
    """
    hidden = functions.model.initial_hidden(rows.shape[1])
    sums = []
    windows = text_windows.Windows(settings.window, random=False)
    for window in windows.draw(jax.random.key(0), len(rows)):
        tokens = text_windows.cut(rows, window, settings.window)
        total, hidden = functions.measure(params, hidden, tokens, window.length)
        sums.append(total)
    # Fetched at the end, so that the device is never waited for in between.
    return math.fsum(map(float, jax.device_get(sums))) / rows[1:].size
