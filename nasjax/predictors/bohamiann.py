"""BOHAMIANN: a Bayesian neural network sampled by Hamiltonian Monte Carlo.

(Springenberg et al., 2016.) A network of tanh layers whose weights are drawn from their
posterior; predictions average over the samples of one chain. The noise of the targets
is sampled with the weights.
"""

import jax
import jax.numpy as jnp
from flax import struct
from jax import lax
from jax.flatten_util import ravel_pytree

from nasjax.core import errors
from nasjax.core.types import Array, Key
from nasjax.predictors import initial_weights, minibatches, scaling, sghmc
from nasjax.predictors.predictor import (
    Features,
    Prediction,
    Predictor,
    assemble,
    check_positive,
)

Params = dict[str, Array]

_LOG_NOISE_MEAN, _LOG_NOISE_STD = -4.0, 1.0
"""Prior of the log variance of the noise of standardised targets."""


class BohamiannState(struct.PyTreeNode):
    """Samples of the posterior.

    Attributes:
      inputs: moments of the features.
      outputs: moments of the targets.
      params: with a leading axis S, one entry a sample.
    """

    inputs: scaling.Scale
    outputs: scaling.Scale
    params: Params


def init(key: Key, num_features: int, *, layers: int, width: int) -> Params:
    """A draw of the weights from their prior, N(0, 1 / fan-in); biases N(0, 1).

    Returns:
      `kernel.<n>` and `bias.<n>` of layer n from 0 to `layers`, the last one the
      output's; `log_noise` `[]`, log variance of the noise.
    """
    sizes = [num_features, *[width] * layers, 1]
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(layers + 1):
        shape = (sizes[index], sizes[index + 1])
        shapes |= {f"kernel.{index}": shape, f"bias.{index}": shape[1:]}
    draws = jax.random.normal(key, (initial_weights.size(shapes),))
    params = {
        name: value.shape[0] ** -0.5 * value if name.startswith("kernel") else value
        for name, value in initial_weights.cut(draws, shapes).items()
    }
    return params | {"log_noise": jnp.full((), _LOG_NOISE_MEAN)}


def apply(params: Params, features: Array) -> Array:
    """Outputs `[M]` of one network for features `[M, D]`."""
    layers = len(params) // 2 - 1
    x = features
    for index in range(layers):
        x = jnp.tanh(x @ params[f"kernel.{index}"] + params[f"bias.{index}"][None])
    x = x @ params[f"kernel.{layers}"] + params[f"bias.{layers}"][None]
    return x[:, 0]


def log_prior(params: Params) -> Array:
    """Log density of the weights, up to a constant."""
    total = -0.5 * jnp.square((params["log_noise"] - _LOG_NOISE_MEAN) / _LOG_NOISE_STD)
    for name, value in params.items():
        fan_in = value.shape[0] if name.startswith("kernel") else 1
        if name != "log_noise":
            total -= 0.5 * fan_in * jnp.sum(jnp.square(value))
    return total


def log_likelihood(params: Params, features: Array, targets: Array) -> Array:
    """Log density of each target `[M]` under its network's output and noise."""
    errors_squared = jnp.square(targets - apply(params, features))
    log_noise = params["log_noise"]
    return -0.5 * (errors_squared * jnp.exp(-log_noise) + log_noise)


def bohamiann(
    *,
    layers: int = 3,
    width: int = 50,
    num_burn_in: int = 1000,
    num_steps: int = 10_000,
    keep_every: int = 50,
    batch_size: int = 20,
    rate: float = 1e-2,
    friction: float = 0.05,
) -> Predictor:
    """A Bayesian neural network on standardised features and targets.

    The chain is that of the comparisons of BANANAS (`pybnn_search` in
    naszilla/nas_algorithms.py of github.com/naszilla/naszilla: 10,000 steps of size
    .01, 1,000 of them burn-in, a sample every 50); batches of 20, the friction and the
    three layers of 50 are defaults of github.com/automl/pybnn (pybnn/bohamiann.py,
    whose later versions have two layers). The priors differ: there they all but vanish,
    here weights are N(0, 1 / fan-in) and the log variance of the noise N(-4, 1).

    The standard deviation is that of the samples' means plus the mean noise
    variance.

    Args:
      layers: hidden layers of tanh units.
      width: units of a layer.
      num_burn_in: steps that adapt the masses; none of them is kept.
      num_steps: all steps, burn-in included.
      keep_every: steps from one sample to the next.
      batch_size: rows of a minibatch, drawn with replacement.
      rate: step size of the chain.
      friction: share of the velocity lost in a step.

    Raises:
      ConfigError: an option is out of range, or no step follows burn-in.
    """
    check_positive(
        "BOHAMIANN",
        layers=layers,
        width=width,
        num_burn_in=num_burn_in,
        keep_every=keep_every,
        batch_size=batch_size,
        rate=rate,
        friction=friction,
    )
    if friction >= 1:
        raise errors.ConfigError(
            f"BOHAMIANN: friction is {friction}; it must be below 1"
        )
    num_samples = (num_steps - num_burn_in) // keep_every
    if num_samples < 1:
        raise errors.ConfigError(
            f"BOHAMIANN: {num_steps} steps leave no sample after a burn-in of "
            f"{num_burn_in}, one every {keep_every}; raise num_steps"
        )

    def sample(key: Key, features: Array, targets: Array, mask: Array) -> Params:
        """Parameters with a leading axis of `num_samples`."""
        key_init, key_order, key_burn, key_keep = jax.random.split(key, 4)
        drawn = init(key_init, features.shape[1], layers=layers, width=width)
        vector, unravel = ravel_pytree(drawn)
        order = minibatches.permutations(key_order, mask, 1)[0]
        count = jnp.sum(mask)

        def potential(vector: Array, rows: Array) -> Array:
            params = unravel(vector)
            fit = log_likelihood(params, features[rows], targets[rows])
            return -count * jnp.mean(fit) - log_prior(params)

        def gradient(key: Key, position: Array) -> Array:
            draws = jax.random.uniform(key, (batch_size,), jnp.float32) * count
            # A product that is rounded up to `count` is none of the rows.
            draws = jnp.minimum(draws.astype(jnp.int32), jnp.maximum(count, 1) - 1)
            slope: Array = jax.grad(potential)(position, order[draws])
            return slope

        def move(key: Key, chain: sghmc.SghmcState, adapt: bool) -> sghmc.SghmcState:
            key_rows, key_noise = jax.random.split(key)
            slope = gradient(key_rows, chain.position)
            if adapt:
                chain = sghmc.adapt(chain, slope)
            return sghmc.step(key_noise, chain, slope, rate=rate, friction=friction)

        def burn(index: Array, chain: sghmc.SghmcState) -> sghmc.SghmcState:
            return move(jax.random.fold_in(key_burn, index), chain, True)

        def keep(
            chain: sghmc.SghmcState, index: Array
        ) -> tuple[sghmc.SghmcState, Array]:
            def thin(inner: Array, chain: sghmc.SghmcState) -> sghmc.SghmcState:
                key_step = jax.random.fold_in(key_keep, index * keep_every + inner)
                return move(key_step, chain, False)

            chain = lax.fori_loop(0, keep_every, thin, chain)
            return chain, chain.position

        chain = lax.fori_loop(0, num_burn_in, burn, sghmc.init(vector))
        positions = lax.scan(keep, chain, jnp.arange(num_samples))[1]
        samples: Params = jax.vmap(unravel)(positions)
        return samples

    def fit(
        key: Key, features: Features, targets: Array, mask: Array
    ) -> BohamiannState:
        inputs = scaling.measure(features, mask)
        outputs = scaling.measure(targets, mask)
        x, y = scaling.apply(inputs, features), scaling.apply(outputs, targets)
        return BohamiannState(inputs, outputs, sample(key, x, y, mask))

    def predict(state: BohamiannState, features: Features) -> Prediction:
        x = scaling.apply(state.inputs, features)
        means = jax.vmap(apply, in_axes=(0, None))(state.params, x)
        noise = jnp.mean(jnp.exp(state.params["log_noise"]))
        std = jnp.sqrt(jnp.var(means, axis=0) + noise)
        return scaling.undo(state.outputs, jnp.mean(means, axis=0), std)

    return assemble(fit, predict)
