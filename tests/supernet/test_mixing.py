"""Mixing weights: against loops, and what their softmaxes and masks promise."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import supernet_mixing as reference
from reference import supernet_small as small

from nasjax.core import errors
from nasjax.supernet import mixing, spec

NETS = [
    small.network(),
    small.network(num_steps=4, operations=spec.THESIS_OPERATIONS),
    small.network(num_cells=3, arch_sharing="cell"),
]
IDS = ["two steps", "four steps", "a set a cell"]


def masks_of(masks):
    return {"alpha": masks.alpha, "beta": masks.beta}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_no_mask_is_a_product_of_softmaxes(net):
    arch = small.random_arch(np.random.default_rng(0), net)
    ours = mixing.coefficients(arch, net)
    for a in range(len(net.arch_names)):
        plain = reference.coefficients(arch["alpha"][a], arch["beta"][a], net.edges)
        np.testing.assert_allclose(ours[a], plain, rtol=1e-12)


@pytest.mark.parametrize("mode", mixing.MODES)
@pytest.mark.parametrize("net", NETS, ids=IDS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), keep=st.floats(0.0, 1.0))
def test_masks_against_loops(net, mode, seed, keep):
    rng = np.random.default_rng(seed)
    arch = small.random_arch(rng, net)
    masks = small.random_masks(rng, net, operations=keep, edges=keep)
    ours = mixing.coefficients(arch, net, masks_of(masks), mode)
    for a in range(len(net.arch_names)):
        plain = reference.coefficients(
            arch["alpha"][a],
            arch["beta"][a],
            net.edges,
            masks.alpha[a],
            masks.beta[a],
            logits=mode == mixing.RENORMALIZE,
        )
        np.testing.assert_allclose(ours[a], plain, rtol=1e-12, atol=1e-300)
        assert ((np.asarray(ours[a]) == 0) == (plain == 0)).all()


def test_masks_of_one_change_no_bit():
    rng, net = np.random.default_rng(1), NETS[1]
    arch = small.random_arch(rng, net, np.float32)
    ones = small.random_masks(rng, net, operations=1.1, edges=1.1, dtype=np.float32)
    with_masks = mixing.coefficients(arch, net, masks_of(ones))
    np.testing.assert_array_equal(with_masks, mixing.coefficients(arch, net))
    assert with_masks.dtype == np.float32


@pytest.mark.parametrize("net", NETS, ids=IDS)
def test_edges_into_a_node_sum_to_one(net):
    beta = 10 * small.random_arch(np.random.default_rng(2), net)["beta"]
    weights = np.asarray(mixing.edge_weights(beta, net))
    targets = np.array([target for _, target in net.edges])
    for node in set(targets):
        np.testing.assert_allclose(weights[:, targets == node].sum(-1), 1, rtol=1e-12)


def test_far_apart_nodes_keep_finite_gradients():
    # In float32 exp overflows at 88: nodes must not meet in one exponential.
    net = NETS[0]
    beta = np.array([[0, 300, 1, 300, 300]], np.float32)
    assert [target for _, target in net.edges] == [2, 3, 2, 3, 3]
    weights, pull = jax.value_and_grad(lambda b: mixing.edge_weights(b, net)[0, 0])(
        beta
    )
    p = 1 / (1 + np.exp(1.0))
    np.testing.assert_allclose(weights, p, rtol=1e-6)
    np.testing.assert_allclose(pull, [[p * (1 - p), 0, -p * (1 - p), 0, 0]], atol=1e-7)


def test_a_dead_group_is_zero_in_both_modes():
    rng, net = np.random.default_rng(3), NETS[0]
    arch = small.random_arch(rng, net)
    masks = small.random_masks(rng, net, operations=1.1, edges=1.1)
    masks.beta[0, [0, 2]] = 0  # both edges into node 2
    masks.alpha[1, 4] = 0  # all operations of the last edge
    for mode in mixing.MODES:
        ours = np.asarray(mixing.coefficients(arch, net, masks_of(masks), mode))
        assert (ours[0, [0, 2]] == 0).all() and (ours[1, 4] == 0).all()
        assert np.isfinite(ours).all() and (ours[0, [1, 3, 4]] > 0).all()


def test_initial_arch_is_small_and_differs_by_key():
    net = small.network(num_steps=4, operations=spec.THESIS_OPERATIONS)
    arch = mixing.init_arch(jax.random.key(0), net)
    assert arch["alpha"].shape == (2, 14, 7) and arch["beta"].shape == (2, 14)
    assert 0.8e-3 < float(arch["alpha"].std()) < 1.2e-3
    other = mixing.init_arch(jax.random.key(1), net)
    assert (arch["beta"] != other["beta"]).all()


def test_unknown_mode_names_the_nearest():
    net = NETS[0]
    arch = small.random_arch(np.random.default_rng(4), net)
    with pytest.raises(errors.ConfigError, match="did you mean 'renormalize'"):
        mixing.coefficients(arch, net, mode="renormalise")
