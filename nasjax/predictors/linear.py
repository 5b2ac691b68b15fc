"""The linear network that encodings are judged by outside of the search space.

Two linear layers without bias and nothing between them but dropout: a linear model,
trained by AdamW (Yan, 2022, figure 4.5, as in the code released with it).
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.predictors import initial_weights, minibatches, scaling
from nasjax.predictors.predictor import (
    VARIANTS,
    Features,
    Prediction,
    Predictor,
    assemble,
    check_choice,
    check_positive,
)

Params = dict[str, Array]


class LinearState(struct.PyTreeNode):
    """A trained network.

    Attributes:
      inputs: moments of the features, or 0 and 1 where they are not standardised.
      outputs: moments of the targets, likewise.
      params: `kernel` `[D, W]` and `out_kernel` `[W]`.
      key: of the dropout of predictions; None: they have none.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    params: Params
    key: Key | None


def init(key: Key, num_features: int, *, width: int) -> Params:
    """Initial kernels, uniform in +-1 / sqrt(inputs), as PyTorch's linear layers."""
    shapes = {"kernel": (num_features, width), "out_kernel": (width, 1)}
    size = (initial_weights.size(shapes),)
    draws = jax.random.uniform(key, size, minval=-1, maxval=1)
    cut = initial_weights.cut(draws, shapes)
    return {
        "kernel": cut["kernel"] * num_features**-0.5,
        "out_kernel": cut["out_kernel"][:, 0] * width**-0.5,
    }


def apply(params: Params, features: Array, key: Key | None, *, dropout: float) -> Array:
    """Outputs `[M]` for features `[M, D]`; without a key nothing is dropped."""
    hidden = features @ params["kernel"]
    if key is not None and dropout > 0:
        kept = jax.random.bernoulli(key, 1 - dropout, hidden.shape)
        hidden = jnp.where(kept, hidden / (1 - dropout), 0)
    return hidden @ params["out_kernel"]


def linear(
    *,
    width: int = 128,
    dropout: float = 0.2,
    epochs: int = 100,
    batch_size: int = 5,
    rate: float = 1e-2,
    weight_decay: float = 1e-2,
    standardize_inputs: bool = False,
    standardize_targets: bool = False,
    variant: str = "thesis",
) -> Predictor:
    """Two linear layers without bias, trained on the squared error.

    It is one network, so its standard deviation is 0.

    Args:
      width: W, units between the layers.
      dropout: probability with which a unit is dropped.
      epochs: of training.
      batch_size: rows of a minibatch; the last one of an epoch may hold fewer.
      rate: learning rate of AdamW.
      weight_decay: of AdamW; that of PyTorch where none is said.
      standardize_inputs: train on features of mean 0 and variance 1.
      standardize_targets: train on targets of mean 0 and variance 1; without a bias
        the mean of scores must be learned from the features.
      variant: "released": units are dropped at prediction, too, at random by the key of
        the fit.

    Raises:
      ConfigError: an option is unknown or out of range.
    """
    check_choice("variant of the linear predictor", variant, VARIANTS)
    check_positive(
        "linear predictor",
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
    )
    if not 0 <= dropout < 1:
        raise errors.ConfigError(
            f"linear predictor: dropout is {dropout}; it must be in [0, 1)"
        )
    optimizer = optax.adamw(rate, weight_decay=weight_decay)

    def loss(
        params: Params, batch: tuple[Array, Array], valid: Array, key: Key
    ) -> Array:
        features, targets = batch
        outputs = apply(params, features, key, dropout=dropout)
        return minibatches.mean(jnp.square(outputs - targets), valid)

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> LinearState:
        key_init, key_train, key_predict = jax.random.split(key, 3)
        inputs = scaling.measure_if(standardize_inputs, features, mask)
        outputs = scaling.measure_if(standardize_targets, targets, mask)
        params = minibatches.train(
            key_train,
            init(key_init, features.shape[1], width=width),
            loss,
            optimizer,
            (scaling.apply(inputs, features), scaling.apply(outputs, targets)),
            mask,
            epochs=epochs,
            batch_size=batch_size,
            noisy=True,
        )
        dropped = key_predict if variant == "released" else None
        return LinearState(inputs, outputs, params, dropped)

    def predict(state: LinearState, features: Features) -> Prediction:
        x = scaling.apply(state.inputs, features)
        mean = apply(state.params, x, state.key, dropout=dropout)
        return scaling.undo(state.outputs, mean, jnp.zeros_like(mean))

    return assemble(fit, predict)
