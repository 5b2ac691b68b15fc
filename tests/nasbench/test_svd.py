"""Compression of curves by a singular value decomposition."""

import jax
import numpy as np
import pytest
import sklearn.preprocessing
from reference import surrogate_parts

from nasjax.core import errors
from nasjax.nasbench.surrogate import compression, svd

N, T = 40, 12


@pytest.fixture(scope="module")
def curves():
    """Curves in [0, 1] of falling singular values and full rank."""
    rng = np.random.default_rng(0)
    epochs = np.arange(1, T + 1)
    final, rate = rng.uniform(0.5, 0.95, (N, 1)), rng.uniform(0.2, 1, (N, 1))
    return final * (1 - np.exp(-rate * epochs)) + 0.01 * rng.normal(size=(N, T))


@pytest.mark.parametrize("centered", [False, True])
def test_codes_and_curves_are_those_of_the_equations(curves, centered):
    with jax.enable_x64(True):
        model = svd.fit(curves, rank=4, centered=centered)
        codes = np.asarray(compression.compress(model, curves))
        decoded = compression.reconstruct(model, curves)
    expected, reconstructed = surrogate_parts.svd_codes(curves, 4, centered)
    # The signs of singular vectors are free; ours make the largest entry positive.
    signs = np.sign(np.sum(codes * expected, axis=0))
    np.testing.assert_allclose(codes, expected * signs, atol=1e-10)
    np.testing.assert_allclose(decoded, reconstructed, atol=1e-12)
    largest = np.abs(model.components).argmax(axis=1)
    assert (np.asarray(model.components)[range(4), largest] > 0).all()
    single = compression.reconstruct(svd.fit(curves, rank=4, centered=centered), curves)
    np.testing.assert_allclose(single, reconstructed, atol=1e-5)


def test_the_released_recipe(curves):
    """Labels are StandardScaler(U[:, :5]); predictions are decoded with s and V^T."""
    u, s, vt = np.linalg.svd(curves, full_matrices=False)
    scaler = sklearn.preprocessing.StandardScaler()
    labels = scaler.fit_transform(u[:, :5])
    predicted = labels + np.random.default_rng(1).normal(size=labels.shape)
    expected = scaler.inverse_transform(predicted) @ np.diag(s[:5]) @ vt[:5]
    with jax.enable_x64(True):
        model = svd.fit(curves, rank=5)
        ours = np.asarray(compression.compress(model, curves))
        signs = np.sign(np.sum(ours * labels, axis=0))
        decoded = compression.decompress(model, predicted * signs)
    np.testing.assert_allclose(ours, labels * signs, atol=1e-10)
    np.testing.assert_allclose(decoded, expected, atol=1e-12)


@pytest.mark.parametrize("centered", [False, True])
def test_the_error_is_the_least_of_any_linear_code(curves, centered):
    """Eckart and Young: the squared error is the sum of the squared s beyond k."""
    with jax.enable_x64(True):
        whole = svd.fit(curves, rank=T, centered=centered)
        s = np.asarray(whole.singular_values)
        for rank in (1, 3, T):
            error = compression.reconstruct(whole.truncate(rank), curves) - curves
            np.testing.assert_allclose(
                np.sum(error**2), np.sum(s[rank:] ** 2), atol=1e-12
            )


def test_truncating_is_fitting_with_a_lower_rank(curves):
    short, cut = svd.fit(curves, rank=3), svd.fit(curves, rank=6).truncate(3)
    jax.tree.map(np.testing.assert_array_equal, short, cut)
    assert cut.rank == 3
    with pytest.raises(errors.ConfigError, match="rank 7 is not between 1 and 6"):
        svd.fit(curves, rank=6).truncate(7)


def test_one_curve_is_a_row_of_a_batch(curves):
    model = svd.fit(curves)
    together = compression.compress(model, curves)
    assert together.shape == (N, 6)  # rank 6 is the default
    alone = jax.jit(model.compress)(curves[7])
    np.testing.assert_allclose(alone, together[7], atol=1e-4)


@pytest.mark.parametrize("rank", [0, 3, 6])
def test_a_rank_the_curves_do_not_have_is_refused(rank):
    rng = np.random.default_rng(0)
    plane = rng.random((20, 2)) @ rng.random((2, T))
    assert svd.fit(plane, rank=2).rank == 2
    with pytest.raises(errors.ConfigError, match=f"rank {rank} .* between 1 and 2"):
        svd.fit(plane, rank=rank)


@pytest.mark.parametrize(
    "values, message",
    [
        (np.ones(T), "2 axes"),
        (np.ones((1, T)), "too few"),
        (np.where(np.eye(4, T) > 0, np.nan, 1.0), r"row 0 of curves \(4 in all\)"),
    ],
)
def test_bad_curves_are_named(values, message):
    with pytest.raises(errors.DataError, match=message):
        svd.fit(values)


def test_registry(curves):
    model = compression.fit("svd", jax.random.key(0), curves, rank=2)
    assert isinstance(model, svd.SVD) and model.rank == 2
    with pytest.raises(errors.ConfigError, match="did you mean 'svd'"):
        compression.fit("svg", jax.random.key(0), curves)
