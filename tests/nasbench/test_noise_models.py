"""Noise models: fits against the equations and scipy, samples by their moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from reference import surrogate_parts

from nasjax.core import errors
from nasjax.nasbench.surrogate import compression, svd
from nasjax.nasbench.surrogate.noise import (
    epoch_std,
    gkde,
    models,
    seeds,
    sliding_window,
)

N, T = 60, 8
NUM_SAMPLES = 20_000


def draw_residuals(seed=0, size=N):
    """Correlated, skewed residuals of falling variance."""
    rng = np.random.default_rng(seed)
    mix = np.tril(rng.normal(size=(T, T)))
    spread = np.linspace(0.03, 0.01, T)
    return (rng.exponential(size=(size, T)) - 1) @ mix.T * spread


@jax.jit
def draw(model, key, curve):
    keys = jax.random.split(key, NUM_SAMPLES)
    return jax.vmap(model.sample, (0, None))(keys, curve)


def sample(model, curve=None):
    curve = jnp.full(T, 0.9) if curve is None else jnp.asarray(curve, jnp.float32)
    drawn = draw(model, jax.random.key(0), curve)
    assert drawn.dtype == jnp.float32
    return np.asarray(drawn, np.float64)


def assert_moments(samples, mean, covariance):
    """Within five standard errors, entry by entry."""
    size = np.sqrt(len(samples))
    variance = np.diag(covariance)
    products = (samples - mean)[:, :, None] * (samples - mean)[:, None, :]
    error = products.std(axis=0) / size
    assert (np.abs(products.mean(axis=0) - covariance) <= 5 * error + 1e-12).all()
    assert (np.abs(samples.mean(axis=0) - mean) <= 5 * np.sqrt(variance) / size).all()


def test_gkde_has_the_kernel_of_scipy():
    residuals = draw_residuals()
    kernel = scipy.stats.gaussian_kde(residuals.T)
    with jax.enable_x64(True):
        model = gkde.fit(residuals)
        square = np.asarray(model.factor @ model.factor.T)
    np.testing.assert_allclose(square, kernel.covariance, rtol=1e-10, atol=1e-18)
    np.testing.assert_array_equal(model.data, kernel.dataset.T)
    imported = gkde.from_kernel(kernel.dataset.T, kernel.covariance)
    np.testing.assert_allclose(
        imported.factor @ imported.factor.T, kernel.covariance, rtol=1e-4, atol=1e-9
    )


def test_gkde_samples_have_the_variance_of_data_and_kernel():
    residuals = draw_residuals()
    kernel = scipy.stats.gaussian_kde(residuals.T)
    assert 0.7 < kernel.factor < 0.75  # 60 ** (-1 / 12)
    covariance = np.cov(residuals.T, ddof=0) + kernel.covariance
    assert_moments(sample(gkde.fit(residuals)), residuals.mean(0), covariance)


def test_gkde_of_residuals_without_full_rank():
    """What a rank-3 compression leaves has rank T - 3, and scipy gives up."""
    curves = 0.9 + draw_residuals()
    compressor = svd.fit(curves, rank=3)
    components = np.asarray(compressor.components, np.float64)
    with jax.enable_x64(True):
        exact = svd.fit(curves, rank=3)
        residuals = curves - compression.reconstruct(exact, curves)
    with pytest.raises(np.linalg.LinAlgError):
        scipy.stats.gaussian_kde(residuals.T)
    model = gkde.fit(residuals)
    assert model.factor.shape == (T, T - 3)
    samples = sample(model)
    kernel = np.cov(residuals.T) * N ** (-2 / (T + 4))
    covariance = np.cov(residuals.T, ddof=0) + kernel
    assert_moments(samples, residuals.mean(0), covariance)
    assert np.abs(samples @ components.T).max() < 1e-6 < np.abs(samples).max()


def test_released_gkde_clips_halves_and_turns_the_sign():
    residuals = draw_residuals()
    thesis = gkde.fit(residuals)
    released = gkde.fit(residuals, variant="released", released_clip=0.02)
    np.testing.assert_array_equal(released.data, -thesis.data)
    np.testing.assert_allclose(released.factor, thesis.factor)
    # Equal keys draw the same row and the same kernel noise.
    plain = sample(released.replace(clip=jnp.array(jnp.inf), divisor=jnp.array(1.0)))
    found = sample(released)
    np.testing.assert_allclose(found, np.clip(plain, -0.02, 0.02) / 2, atol=1e-8)
    assert np.abs(found).max() == pytest.approx(0.01)
    # Fractions of NAS-Bench-111: a clip at 3 does nothing, half of the noise remains.
    whole = gkde.fit(residuals, variant="released", released_clip=3.0)
    loose = sample(whole.replace(divisor=jnp.array(1.0)))
    np.testing.assert_allclose(sample(whole), loose / 2, atol=1e-8)


def test_a_million_samples_need_little_memory():
    """Each sample gathers one row: nothing of size N a sample is ever made."""
    model = gkde.fit(draw_residuals(size=2000))
    num = 1 << 20
    keys = jax.ShapeDtypeStruct((num,), jax.random.key(0).dtype)
    curve = jax.ShapeDtypeStruct((T,), jnp.float32)
    lowered = jax.jit(jax.vmap(model.sample, (0, None))).lower(keys, curve)
    memory = lowered.compile().memory_analysis()
    assert memory.output_size_in_bytes == num * T * 4
    assert memory.temp_size_in_bytes < 8 * memory.output_size_in_bytes


def test_std_is_that_of_the_equation():
    residuals = draw_residuals() + 0.01  # a mean that counts
    model = epoch_std.fit(residuals)
    expected = [np.sqrt(sum(e**2 for e in column) / (N - 1)) for column in residuals.T]
    np.testing.assert_allclose(model.std, expected, rtol=1e-6)
    assert_moments(sample(model), np.zeros(T), np.diag(np.square(expected)))


@pytest.mark.parametrize("width", [3, 4, 7, T])
def test_windows_are_cut_at_the_ends(width):
    residuals = draw_residuals(size=5)
    found = sliding_window.window_std(residuals, width=width)
    expected = surrogate_parts.window_std(residuals, width)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.fixture(scope="module")
def window():
    """Noise that is three times as wide where the curve is low, halving in time."""
    rng = np.random.default_rng(0)
    level = rng.uniform(0.5, 0.9, (400, 1))
    curves = np.tile(level, (1, T))
    std = (0.015 - 0.025 * (level - 0.5)) * np.linspace(1, 0.5, T)
    residuals = std * rng.normal(size=curves.shape)
    model = sliding_window.fit(jax.random.key(0), curves, residuals, width=4, epochs=30)
    return model, residuals


def test_window_learns_which_curves_are_noisy(window):
    model, residuals = window
    low, high = (np.asarray(model.std(jnp.full(T, level))) for level in (0.55, 0.85))
    # A window's standard deviation is a little below sigma: E[s] = .92 sigma at n = 4.
    for std, expected in ((low, 0.01375), (high, 0.00625)):
        ratio = std / (expected * np.linspace(1, 0.5, T))
        assert (np.abs(ratio - 0.9) < 0.25).all()
    np.testing.assert_allclose(
        model.least,
        sliding_window.window_std(residuals, width=4).min(axis=0),
        rtol=1e-5,
    )
    far = np.asarray(model.std(jnp.full(T, 10.0)))
    assert (far >= np.asarray(model.least)).all() and (far > 0).all()


def test_window_samples_have_these_deviations(window):
    model, _ = window
    curve = np.full(T, 0.7)
    std = np.asarray(model.std(jnp.asarray(curve, jnp.float32)), np.float64)
    assert_moments(sample(model, curve), np.zeros(T), np.diag(std**2))


RHO = np.array([0, 0.1, 0.1, 0.3, 0.5, 0.7, 0.9, 0.9])
BIN_STD = np.array([0.03, 0.01])


def repeated_runs(num_archs=4000, num_seeds=2):
    """Two groups of architectures, good ones with less noise, and correlated epochs."""
    rng = np.random.default_rng(1)
    good = np.arange(num_archs) % 2
    mean = (0.5 + 0.4 * good)[:, None, None] + 0.1 * np.linspace(0, 1, T)
    e = rng.normal(size=(T, num_archs, num_seeds))
    z = np.moveaxis(surrogate_parts.autoregression(RHO, e), 0, -1)
    return mean + BIN_STD[good][:, None, None] * np.linspace(1, 0.5, T) * z


@pytest.fixture(scope="module")
def seed_noise():
    return seeds.fit(repeated_runs(), num_bins=2)


def test_seed_noise_recovers_what_made_the_runs(seed_noise):
    expected = np.linspace(1, 0.5, T)[:, None] * BIN_STD
    np.testing.assert_allclose(seed_noise.std, expected, rtol=0.06)
    np.testing.assert_allclose(seed_noise.rho, RHO, atol=0.05)
    edges = np.asarray(seed_noise.edges)[:, 0]
    assert edges.shape == (T,) and ((0.55 < edges) & (edges < 0.95)).all()


def test_seed_noise_samples_by_bin_with_correlated_epochs(seed_noise):
    e = np.random.default_rng(0).normal(size=T)
    rho = np.asarray(seed_noise.rho, np.float64)
    expected = surrogate_parts.autoregression(rho, e)
    np.testing.assert_allclose(seed_noise.factor @ e, expected, rtol=1e-4, atol=1e-5)
    # A curve that changes from the lower to the upper bin.
    curve = np.where(np.arange(T) < 3, 0.4, 0.97)
    std = np.asarray(seed_noise.std, np.float64)
    chosen = np.where(np.arange(T) < 3, std[:, 0], std[:, 1])
    np.testing.assert_allclose(seed_noise.deviations(jnp.asarray(curve)), chosen)
    correlation = np.eye(T)
    for i in range(T):
        for j in range(i + 1, T):
            correlation[i, j] = correlation[j, i] = np.prod(rho[i + 1 : j + 1])
    covariance = chosen[:, None] * correlation * chosen
    assert_moments(sample(seed_noise, curve), np.zeros(T), covariance)


def test_seed_noise_is_unbiased_for_any_number_of_seeds():
    model = seeds.fit(repeated_runs(1500, 5), num_bins=1)
    assert model.edges.shape == (T, 0)
    pooled = np.sqrt(np.mean(BIN_STD**2)) * np.linspace(1, 0.5, T)
    np.testing.assert_allclose(model.std[:, 0], pooled, rtol=0.05)
    assert np.abs(sample(model)).max() > 0


def test_seed_noise_of_tied_and_constant_curves():
    """Cells without a path score the same in every run, and share an edge."""
    runs = repeated_runs(100)
    runs[:70] = 0.1
    model = seeds.fit(runs, num_bins=5)
    assert np.isfinite(model.std).all() and np.isfinite(model.factor).all()
    assert (np.abs(model.rho) <= 1).all()
    still = seeds.fit(np.full((4, 2, T), 0.1))
    np.testing.assert_array_equal(sample(still), 0)


def test_metrics_of_one_training_are_drawn_together(seed_noise):
    """Each metric is marginally as before; their correlation is that of the runs."""
    accuracy = repeated_runs()
    above = accuracy - accuracy.mean(axis=1, keepdims=True)
    own = 0.05 * np.random.default_rng(4).normal(size=above.shape)
    runs = {
        "accuracy": accuracy,
        "loss": 2 - 3 * above + own,
        "still": np.full(above.shape, 0.1),
    }
    joint = seeds.fit_joint(runs, num_bins=2)
    np.testing.assert_array_equal(joint["accuracy"].std, seed_noise.std)
    np.testing.assert_array_equal(joint["accuracy"].rho, seed_noise.rho)
    mixed = np.stack([model.mix for model in joint.values()])
    np.testing.assert_allclose(np.sum(mixed**2, axis=1), 1, rtol=1e-5)
    innovations = [recursion_inputs(runs[name]) for name in ("accuracy", "loss")]
    expected = (
        innovations[0]
        @ innovations[1]
        / np.prod([np.linalg.norm(e) for e in innovations])
    )
    assert -0.95 < expected < -0.3
    assert mixed[0] @ mixed[1] == pytest.approx(expected, abs=2e-3)
    np.testing.assert_allclose(mixed[2] @ mixed[:2].T, 0, atol=1e-6)
    curve = np.full(T, 0.97)
    drawn = [sample(joint[name], curve)[:, 0] for name in ("accuracy", "loss")]
    # Both recursions start at their e.
    assert np.corrcoef(*drawn)[0, 1] == pytest.approx(expected, abs=0.03)
    other = {"a": runs["accuracy"], "b": runs["loss"][:5]}
    with pytest.raises(errors.DataError, match="b must have shape"):
        seeds.fit_joint(other)


def recursion_inputs(runs):
    """e of trainings `[N, S, T]` under the model of this metric alone."""
    model, means = seeds.fit(runs, num_bins=2), runs.mean(axis=1)
    std = np.asarray(jax.vmap(model.deviations)(jnp.asarray(means)), np.float64)
    z = (runs - means[:, None]) / std[:, None]
    return surrogate_parts.innovations(z, np.asarray(model.rho, np.float64)).ravel()


@pytest.mark.parametrize("name", models.NOISE_MODELS)
def test_registry(name):
    rng = np.random.default_rng(0)
    curves, residuals = rng.normal([[[0.9]], [[0]]], 0.01, (2, 20, 12))
    curves = curves.astype(np.float32)
    model = models.fit(name, jax.random.key(0), curves, residuals)
    drawn = jnp.stack([model.sample(jax.random.key(i), curves[0]) for i in range(4)])
    assert drawn.shape == (4, 12) and len(np.unique(drawn)) == 48
    assert 0.001 < np.std(drawn) < 0.1


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: models.fit("gdke", None, 0, 0), errors.ConfigError, "'gkde'"),
        (lambda: gkde.fit(np.ones((3, 2)), variant="new"), errors.ConfigError,
         "unknown variant 'new'; known: released, thesis"),
        (lambda: gkde.fit(np.ones((1, 2))), errors.DataError, "too few"),
        (lambda: epoch_std.fit(np.full((3, 2), np.nan)), errors.DataError, "row 0"),
        (lambda: sliding_window.window_std(np.ones((3, 4)), width=5),
         errors.ConfigError, "window of 5 epochs"),
        (lambda: sliding_window.fit(None, np.ones((3, 12)), np.ones((4, 12))),
         errors.DataError, r"residuals must have shape \(3, 12\)"),
        (lambda: seeds.fit(np.ones((3, 1, 4))), errors.DataError, "two"),
        (lambda: seeds.fit(np.ones((3, 4))), errors.DataError, "3 axes"),
        (lambda: seeds.fit(np.ones((3, 2, 4)), num_bins=0),
         errors.ConfigError, "num_bins"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
