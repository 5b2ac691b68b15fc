"""The sampler against densities that are known, and the network's density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from jax import lax

from nasjax.core import errors
from nasjax.predictors import bohamiann, sghmc

RNG = np.random.default_rng(0)


def test_the_chain_samples_a_gaussian_of_any_scale():
    """64 chains a scale; burn-in has to find the masses, 0.1 to 10 apart."""
    scales = np.repeat([0.1, 1.0, 10.0], 64).astype(np.float32)
    centers = np.repeat([2.0, -1.0, 5.0], 64).astype(np.float32)

    def slope(position):
        return (position - centers) / scales**2

    def move(chain, index, adapt):
        gradient = slope(chain.position)
        if adapt:
            chain = sghmc.adapt(chain, gradient)
        key = jax.random.fold_in(jax.random.key(0), index)
        return sghmc.step(key, chain, gradient, rate=0.05, friction=0.1)

    def burn(index, chain):
        return move(chain, index, True)

    def keep(chain, index):
        chain = move(chain, index, False)
        return chain, chain.position

    @jax.jit
    def sample():
        start = sghmc.init(jnp.asarray(centers + scales))
        chain = lax.fori_loop(0, 1000, burn, start)
        return lax.scan(keep, chain, jnp.arange(1000, 5000))[1]

    samples = np.asarray(sample()).reshape(4000, 3, 64)
    shift = (samples.mean((0, 2)) - [2, -1, 5]) / [0.1, 1, 10]
    np.testing.assert_allclose(shift, 0.0, atol=0.2)
    np.testing.assert_allclose(samples.std((0, 2)), [0.1, 1.0, 10.0], rtol=0.1)


def test_the_window_follows_the_signal_to_noise_ratio():
    """Gradients that agree keep it short, gradients that cancel let it grow."""
    chain = sghmc.init(jnp.zeros(2))
    for index in range(100):
        sign = 1.0 if index % 2 else -1.0
        chain = sghmc.adapt(chain, jnp.array([3.0, 3.0 * sign]))
    assert 1 <= chain.window[0] < 1.5
    assert chain.window[1] > 20
    np.testing.assert_allclose(chain.square, 9.0, rtol=0.2)
    np.testing.assert_allclose(chain.gradient, [3.0, 0.0], atol=0.3)


def test_log_densities():
    with jax.enable_x64(True):
        params = bohamiann.init(jax.random.key(0), 3, layers=2, width=4)
        params["log_noise"] = jnp.asarray(-2.5)
        x, y = RNG.normal(size=(5, 3)), RNG.normal(size=5)
        outputs = np.asarray(bohamiann.apply(params, jnp.asarray(x)))
        found = bohamiann.log_likelihood(params, jnp.asarray(x), jnp.asarray(y))
        prior = bohamiann.log_prior(params)
        zeros = jax.tree.map(jnp.zeros_like, params)
        at_zero = bohamiann.log_prior(zeros | {"log_noise": params["log_noise"]})
        at_mean = bohamiann.log_prior(params | {"log_noise": jnp.asarray(-4.0)})
    plain = {k: np.asarray(v) for k, v in params.items()}
    h = x
    for layer in range(2):
        h = np.tanh(h @ plain[f"kernel.{layer}"] + plain[f"bias.{layer}"])
    np.testing.assert_allclose(outputs, (h @ plain["kernel.2"])[:, 0] + plain["bias.2"])
    normal = scipy.stats.norm(outputs, np.exp(-1.25)).logpdf(y)
    np.testing.assert_allclose(found, normal + 0.5 * np.log(2 * np.pi), rtol=1e-10)
    weights = 0.0
    for name, value in plain.items():
        if name != "log_noise":
            std = value.shape[0] ** -0.5 if name.startswith("kernel") else 1.0
            weights += scipy.stats.norm(0, std).logpdf(value).sum()
            weights -= scipy.stats.norm(0, std).logpdf(0) * value.size
    np.testing.assert_allclose(prior - at_zero, weights, rtol=1e-10)
    np.testing.assert_allclose(at_mean - prior, 1.5**2 / 2, rtol=1e-10)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_steps": 1000}, "leave no sample after a burn-in of 1000"),
        ({"friction": 1.0}, "friction is 1.0; it must be below 1"),
        ({"width": 0}, "width is 0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(errors.ConfigError, match=message):
        bohamiann.bohamiann(**options)
