"""Deep networks for global optimisation (Snoek et al., 2015).

A network with one hidden layer of tanh units is trained on the observations; a Bayesian
linear regression on the hidden units then replaces its last layer.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax import lax

from nasjax.core.types import Array, Key
from nasjax.predictors import bayesian_linear, initial_weights, minibatches, scaling
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

_BLOCK = 256
"""Rows scored at a time: their hidden units stay in the cache of one core."""


class DngoState(struct.PyTreeNode):
    """A fitted network and the regression on its hidden units.

    Attributes:
      inputs: moments of the features.
      outputs: moments of the targets, or 0 and 1 where they are not standardised.
      params: of the network.
      belief: about the weights of the hidden units.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    params: Params
    belief: bayesian_linear.Posterior


def init(key: Key, num_features: int, num_hidden: int) -> Params:
    """Initial weights, uniform within 1 / sqrt(fan-in).

    Returns:
      `kernel` `[D, H]` and `bias` `[H]` of the hidden layer, `out_kernel` `[H]` and
      `out_bias` `[]` of the output.
    """
    first, last = num_features**-0.5, num_hidden**-0.5
    shapes = {
        "kernel": (num_features, num_hidden),
        "bias": (num_hidden,),
        "out_kernel": (num_hidden,),
        "out_bias": (),
    }
    draws = jax.random.uniform(
        key, (initial_weights.size(shapes),), minval=-1, maxval=1
    )
    return {
        name: (last if name.startswith("out") else first) * value
        for name, value in initial_weights.cut(draws, shapes).items()
    }


def hidden(params: Params, features: Array) -> Array:
    """The basis functions: tanh units `[M, H]` of standardised features `[M, D]`."""
    return jnp.tanh(features @ params["kernel"] + params["bias"][None])


def apply(params: Params, features: Array, *, output: str = "linear") -> Array:
    """Output of the network `[M]` for standardised features `[M, D]`.

    Args:
      params: of the network.
      features: `[M, D]`.
      output: a key of `OUTPUTS`, the function of the last layer.
    """
    last = hidden(params, features) @ params["out_kernel"] + params["out_bias"]
    return OUTPUTS[output](last)


def squared_loss(outputs: Array, targets: Array, valid: Array) -> Array:
    """Mean squared error over the valid rows; all arguments `[B]`."""
    return minibatches.mean(jnp.square(outputs - targets), valid)


def weighted_loss(outputs: Array, targets: Array, valid: Array) -> Array:
    """Squared error that weighs high scores more, as the published searches ran it.

        mean_i (exp(o_i) - 1) * sum_j (o_j - y_j)^2 / 4

    Released code: the weights multiply the sum over the batch, not the errors one by
    one, because of a broadcast; kept, since the published numbers come from it.
    """
    weights = minibatches.mean(jnp.expm1(outputs), valid)
    return weights * jnp.sum(jnp.square(outputs - targets) * valid) / 4


OUTPUTS: dict[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "sigmoid": jax.nn.sigmoid,
}
LOSSES: dict[str, Callable[[Array, Array, Array], Array]] = {
    "squared": squared_loss,
    "weighted": weighted_loss,
}


def dngo(
    *,
    num_hidden: int = 128,
    epochs: int = 100,
    batch_size: int = 10,
    rate: float = 1e-2,
    weight_decay: float = 0.0,
    output: str = "linear",
    loss: str = "squared",
    standardize_targets: bool = False,
    variant: str = "thesis",
) -> Predictor:
    """DNGO; the defaults are the settings of the arch2vec searches.

    They were read in search_methods/dngo.py of github.com/AIoT-MLSys-Lab/arch2vec
    (`n_units=128, num_epochs=100, normalize_output=False`) and, where it says nothing,
    in pybnn/dngo.py of github.com/automl/pybnn (batches of 10, Adam at .01, PyTorch's
    initial weights), whose three layers arch2vec and the thesis (section 3.3) replace
    by one.

    Inputs are standardised, the incomplete batch of an epoch is left out, every fit
    starts from fresh weights. The settings of the CATE searches (dngo_ls_nasbench101.py
    of its released code) are `epochs=30, output="sigmoid", loss="weighted",
    weight_decay=1e-2`.

    `variant="released"` maximises the released evidence
    (`bayesian_linear.evidence`) and returns the predictive variance where the
    standard deviation belongs, as the released code's acquisition functions took it.

    Args:
      num_hidden: H, basis functions.
      epochs: of training the network.
      batch_size: rows of a minibatch.
      rate: learning rate of Adam.
      weight_decay: decoupled, times the learning rate (AdamW).
      output: `"linear"` or `"sigmoid"`, of the network while it is trained.
      loss: `"squared"` or `"weighted"`.
      standardize_targets: train on targets of mean 0 and variance 1.
      variant: `"thesis"` or `"released"`.

    Raises:
      ConfigError: an option is unknown or not above 0.
    """
    check_choice("variant", variant, VARIANTS)
    check_choice("output of DNGO", output, tuple(OUTPUTS))
    check_choice("loss of DNGO", loss, tuple(LOSSES))
    check_positive(
        "DNGO", num_hidden=num_hidden, epochs=epochs, batch_size=batch_size, rate=rate
    )
    released = variant == "released"
    # Without decay AdamW computes the same with one more pass over the weights.
    optimizer = optax.adam(rate)
    if weight_decay:
        optimizer = optax.adamw(rate, weight_decay=weight_decay)

    def network_loss(params: Params, batch: tuple[Array, Array], valid: Array) -> Array:
        features, targets = batch
        return LOSSES[loss](apply(params, features, output=output), targets, valid)

    def fit(key: Key, features: Features, targets: Array, mask: Array) -> DngoState:
        key_init, key_train = jax.random.split(key)
        inputs = scaling.measure(features, mask)
        outputs = scaling.measure_if(standardize_targets, targets, mask)
        x, y = scaling.apply(inputs, features), scaling.apply(outputs, targets)
        params = minibatches.train(
            key_train,
            init(key_init, x.shape[1], num_hidden),
            network_loss,
            optimizer,
            (x, y),
            mask,
            epochs=epochs,
            batch_size=batch_size,
            drop_last=True,
        )
        belief = bayesian_linear.fit(
            hidden(params, x),
            y,
            mask,
            variant="released" if released else "textbook",
        )
        return DngoState(inputs, outputs, params, belief)

    def score(state: DngoState, features: Array) -> Prediction:
        x = scaling.apply(state.inputs, features)
        mean, variance = bayesian_linear.predict(state.belief, hidden(state.params, x))
        return Prediction(mean, variance if released else jnp.sqrt(variance))

    def predict(state: DngoState, features: Features) -> Prediction:
        mean, spread = _by_blocks(lambda block: score(state, block), features)
        return scaling.undo(state.outputs, mean, spread)

    return assemble(fit, predict)


def _by_blocks(score: Callable[[Array], Prediction], features: Array) -> Prediction:
    """The scores of many rows, `_BLOCK` rows at a time."""
    num_rows, num_features = features.shape
    if num_rows <= _BLOCK:
        return score(features)
    padded = jnp.pad(features, ((0, -num_rows % _BLOCK), (0, 0)))
    scores = lax.map(score, padded.reshape(-1, _BLOCK, num_features))
    found: Prediction = jax.tree.map(lambda leaf: leaf.reshape(-1)[:num_rows], scores)
    return found
