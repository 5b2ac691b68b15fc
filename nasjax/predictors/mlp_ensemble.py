"""Ensembles of multilayer perceptrons (BANANAS; White et al., 2021).

Members see the same observations in different orders from different initial weights;
what they disagree about is the uncertainty. Independent Thompson sampling draws from
N(mean, std^2) of each architecture.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from nasjax.core.types import Array, Key
from nasjax.predictors import initial_weights, minibatches, scaling
from nasjax.predictors.predictor import (
    Features,
    Prediction,
    Predictor,
    assemble,
    check_choice,
    check_positive,
)

Params = dict[str, Array]


class EnsembleState(struct.PyTreeNode):
    """S trained networks.

    Attributes:
      inputs: moments of the features, or 0 and 1 where they are not standardised.
      outputs: moments of the targets, likewise.
      params: of the networks, with a leading axis S.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    params: Params


def init(key: Key, num_features: int, *, layers: int, width: int) -> Params:
    """Initial weights of one network: Glorot's uniform kernels, no bias.

    Returns:
      `kernel` `[D, W]` of the first layer, `kernels` `[L - 1, W, W]` of the others,
      `biases` `[L, W]`, `out_kernel` `[W]` and `out_bias` `[]`.
    """
    shapes = {
        "kernel": (num_features, width),
        "kernels": (layers - 1, width, width),
        "out_kernel": (width, 1),
    }
    draws = jax.random.uniform(
        key, (initial_weights.size(shapes),), minval=-1, maxval=1
    )
    kernels = {
        name: (6 / sum(value.shape[-2:])) ** 0.5 * value
        for name, value in initial_weights.cut(draws, shapes).items()
    }
    return kernels | {
        "out_kernel": kernels["out_kernel"][:, 0],
        "biases": jnp.zeros((layers, width)),
        "out_bias": jnp.zeros(()),
    }


def apply(params: Params, features: Array) -> Array:
    """Outputs `[M]` of one network of ReLU layers for features `[M, D]`."""
    x = features @ params["kernel"] + params["biases"][:1]

    def layer(x: Array, weights: tuple[Array, Array]) -> tuple[Array, None]:
        kernel, bias = weights
        return jax.nn.relu(x) @ kernel + bias[None], None

    # A scan: layers that are written out would be compiled one by one.
    x, _ = lax.scan(layer, x, (params["kernels"], params["biases"][1:]))
    return jax.nn.relu(x) @ params["out_kernel"] + params["out_bias"]


def predict_members(state: EnsembleState, features: Array) -> Array:
    """What each network says, `[S, M]` in the unit of the targets.

    Args:
      state: of a fitted ensemble.
      features: `[M, D]`.
    """
    x = scaling.apply(state.inputs, features)
    outputs = jax.vmap(apply, in_axes=(0, None))(state.params, x)
    return state.outputs.mean + state.outputs.std * outputs


def absolute_loss(outputs: Array, targets: Array, valid: Array) -> Array:
    """Mean absolute error over the valid rows; all arguments `[B]`."""
    return minibatches.mean(jnp.abs(outputs - targets), valid)


def squared_loss(outputs: Array, targets: Array, valid: Array) -> Array:
    """Mean squared error over the valid rows; all arguments `[B]`."""
    return minibatches.mean(jnp.square(outputs - targets), valid)


LOSSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "absolute": absolute_loss,
    "squared": squared_loss,
}


def mlp_ensemble(
    *,
    members: int = 5,
    layers: int = 10,
    width: int = 20,
    epochs: int = 150,
    batch_size: int = 32,
    rate: float = 1e-2,
    loss: str = "absolute",
    l1: float = 0.0,
    l2: float = 0.0,
    standardize_inputs: bool = False,
    standardize_targets: bool = True,
) -> Predictor:
    """An ensemble of perceptrons; the defaults are those of BANANAS.

    They were read in the authors' code (github.com/naszilla/naszilla:
    `meta_neuralnet_params("standard")` in params.py, `MetaNeuralnet` in
    meta_neural_net.py): 5 networks of 10 layers of 20, 150 epochs in batches of 32, the
    absolute error, Adam at .01 with decays .9 and .99, no penalty, Keras' initial
    weights. One thing differs: there the targets are errors in percent, here they are
    standardised, because a score need not be an accuracy (with 90 labels of
    NAS-Bench-101 and its path encoding Spearman's rho is .70 so, .60 in percent, and
    .69 at a rate of .001).

    The single network of the learning-curve searches (NAS-Bench-x11; `MLPPredictor` in
    naslib/predictors/mlp.py of github.com/automl/NASLib) is `members=1, layers=20,
    epochs=500, rate=1e-3, l1=0.2`; its standard deviation is 0.

    Args:
      members: S, networks.
      layers: L, hidden layers.
      width: W, units of a layer.
      epochs: of training.
      batch_size: rows of a minibatch; the last one of an epoch may hold fewer.
      rate: learning rate of Adam, whose decays are 0.9 and 0.99.
      loss: `"absolute"` or `"squared"`.
      l1: weight of the sum of absolute kernel entries of the output layer.
      l2: weight of the sum of squared kernel entries of the output layer.
      standardize_inputs: train on features of mean 0 and variance 1.
      standardize_targets: train on targets of mean 0 and variance 1.

    Raises:
      ConfigError: an option is unknown or out of range.
    """
    check_choice("loss of the MLP ensemble", loss, tuple(LOSSES))
    check_positive(
        "MLP ensemble",
        members=members,
        layers=layers,
        width=width,
        epochs=epochs,
        batch_size=batch_size,
        rate=rate,
    )
    optimizer = optax.adam(rate, b1=0.9, b2=0.99)

    def network_loss(params: Params, batch: tuple[Array, Array], valid: Array) -> Array:
        features, targets = batch
        last = params["out_kernel"]
        penalty = l1 * jnp.sum(jnp.abs(last)) + l2 * jnp.sum(jnp.square(last))
        return LOSSES[loss](apply(params, features), targets, valid) + penalty

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> EnsembleState:
        inputs = scaling.measure_if(standardize_inputs, features, mask)
        outputs = scaling.measure_if(standardize_targets, targets, mask)
        data = (scaling.apply(inputs, features), scaling.apply(outputs, targets))

        def fit_member(key: Key) -> Params:
            key_init, key_train = jax.random.split(key)
            return minibatches.train(
                key_train,
                init(key_init, data[0].shape[1], layers=layers, width=width),
                network_loss,
                optimizer,
                data,
                mask,
                epochs=epochs,
                batch_size=batch_size,
            )

        params = jax.vmap(fit_member)(jax.random.split(key, members))
        return EnsembleState(inputs, outputs, params)

    def predict(state: EnsembleState, features: Features) -> Prediction:
        outputs = predict_members(state, features)
        return Prediction(jnp.mean(outputs, axis=0), jnp.std(outputs, axis=0))

    return assemble(fit, predict)
