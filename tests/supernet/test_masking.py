"""Masks: the step, its straight-through gradient, and what they are applied to."""

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import supernet_small as small

from nasjax.supernet import masking, mixing, spec
from nasjax.training import optimizers

NET = small.network(affine=True)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def state():
    rng = np.random.default_rng(0)
    return small.random_params(rng, NET), small.random_arch(rng, NET)


def test_the_step_is_one_at_the_threshold():
    scores = np.array([-1.0, 0.0, 0.0049999, 0.005, 0.0050001, 7.0])
    np.testing.assert_array_equal(
        masking.binarize(scores, masking.THRESHOLD), [0, 0, 0, 1, 1, 1]
    )
    np.testing.assert_array_equal(masking.binarize(scores, 0.0), [0, 1, 1, 1, 1, 1])
    assert masking.binarize(jnp.float32(0.005), 0.005).dtype == jnp.float32


@pytest.mark.parametrize("threshold", [0.0, 5e-3, masking.INITIAL_SCORE])
def test_initial_scores_mask_nothing(threshold, state):
    params, arch = state
    scores = masking.constant(params, arch)
    weights, coefficients = masking.effective(
        scores, params, arch, net=NET, threshold=threshold
    )
    jax.tree.map(np.testing.assert_array_equal, weights, params)
    np.testing.assert_array_equal(coefficients, mixing.coefficients(arch, NET))


def test_the_step_passes_gradients_through():
    scores = np.linspace(-0.02, 0.03, 11)
    _, pull = jax.vjp(lambda s: masking.binarize(s, 0.005), scores)
    cotangent = np.arange(11.0)
    np.testing.assert_array_equal(pull(cotangent)[0], cotangent)


@pytest.mark.parametrize("mode", mixing.MODES)
def test_gradient_is_that_of_a_real_valued_mask(mode, state):
    """d/dM^r := d/dM, the latter by central differences around the binary mask."""
    params, arch = state
    rng = np.random.default_rng(1)
    binary = small.random_masks(rng, NET, operations=0.8, edges=0.9)
    scores = jax.tree.map(lambda m: 0.01 * m, binary)  # 0 and the initial score
    towards = small.random_params(rng, NET)
    pull = rng.normal(size=arch["alpha"].shape)

    def loss(weights, coefficients):
        squares = jax.tree.map(lambda w, t: ((w - t) ** 2).sum(), weights, towards)
        return sum(jax.tree.leaves(squares)) + (pull * coefficients**2).sum()

    def of_scores(scores):
        return loss(*masking.effective(scores, params, arch, net=NET, mode=mode))

    def of_masks(masks):
        levels = {"alpha": masks.alpha, "beta": masks.beta}
        coefficients = mixing.coefficients(arch, NET, levels, mode)
        return loss(masking.masked_params(params, masks.weights), coefficients)

    gradient = jax.jit(jax.grad(of_scores))(scores)
    flat, rebuild = jax.flatten_util.ravel_pytree(binary)
    ours, _ = jax.flatten_util.ravel_pytree(gradient)
    number = binary.alpha.size + binary.beta.size  # these leaves come first
    chosen = [*range(number), *rng.integers(number, flat.size, 20)]
    evaluate, h = jax.jit(lambda x: of_masks(rebuild(x))), 1e-5
    for i in chosen:
        step = np.zeros(flat.size)
        step[i] = h
        slope = (evaluate(flat + step) - evaluate(flat - step)) / (2 * h)
        np.testing.assert_allclose(ours[i], slope, rtol=1e-6, atol=1e-7)


def test_exactly_the_kernels_are_maskable(state):
    params, _ = state
    flat = jax.tree_util.tree_flatten_with_path(
        spec.parameter_shapes(NET), is_leaf=small.is_shape
    )[0]
    shapes = {tuple(entry.key for entry in path): shape for path, shape in flat}
    kernels = {
        "/".join(path): shape
        for path, shape in shapes.items()
        if path[-1].startswith(("conv", "depthwise", "pointwise", "kernel"))
    }
    found = {path: x.shape for path, x in masking.maskable(params).items()}
    assert found == kernels
    left = {path[-1] for path in shapes if "/".join(path) not in kernels}
    assert left == {"scale", "bias"}


def test_masks_multiply_kernels_and_nothing_else(state):
    params, _ = state
    masks = small.random_masks(np.random.default_rng(2), NET)
    masked = masking.masked_params(params, masks.weights)
    before, after = masking.maskable(params), masking.maskable(masked)
    for path, kernel in before.items():
        np.testing.assert_array_equal(after[path], kernel * masks.weights[path])
    for path, leaf in jax.tree_util.tree_flatten_with_path(masked)[0]:
        if path[-1].key in ("scale", "bias"):
            original = params
            for entry in path:
                original = original[entry.key]
            assert leaf is original


def test_zeroed_entries_are_positive_zeros(state):
    params, _ = state
    masks = small.random_masks(np.random.default_rng(4), NET)
    only = {"stem/conv1": masks.weights["stem/conv1"]}
    zeroed = masking.zeroed(params, only)
    kernel, dead = np.asarray(zeroed["stem"]["conv1"]), only["stem/conv1"] == 0
    assert (kernel[dead] == 0).all() and not np.signbit(kernel[dead]).any()
    np.testing.assert_array_equal(kernel[~dead], params["stem"]["conv1"][~dead])
    assert (
        zeroed["cells"]["0"]["preprocess0"]["conv"]
        is (params["cells"]["0"]["preprocess0"]["conv"])
    )


def test_shuffling_keeps_the_sparsity_of_every_tensor():
    rng = np.random.default_rng(3)
    alpha, beta, kernel = (
        (rng.random(size) < keep).astype(np.float32)
        for size, keep in ([(2, 5, 5), 0.3], [(2, 20), 0.5], [(4, 3, 5, 5), 0.8])
    )
    masks = masking.Masks(alpha, beta, {"stem/conv1": kernel})
    moved = masking.shuffled(jax.random.key(0), masks)
    again = masking.shuffled(jax.random.key(0), masks)
    jax.tree.map(np.testing.assert_array_equal, moved, again)
    for old, new in zip(jax.tree.leaves(masks), jax.tree.leaves(moved), strict=True):
        assert old.shape == new.shape and old.sum() == new.sum()
        assert (old != new).any() and set(np.unique(new)) == {0, 1}


def test_rates_of_the_thesis():
    rates = masking.rates(
        weight_travel=0.391, arch_travel=0.0391, steps_before_decay=391 * 10
    )
    np.testing.assert_allclose([rates.weights, rates.arch], [1e-4, 1e-5])
    # Fewer steps: the same distance at a higher rate.
    short = masking.rates(weight_travel=0.2, arch_travel=0.1, steps_before_decay=50)
    np.testing.assert_allclose([short.weights * 50, short.arch * 50], [0.2, 0.1])


def test_can_prune_at_the_distance_to_the_threshold():
    assert not masking.can_prune(masking.INITIAL_SCORE - masking.THRESHOLD)
    assert masking.can_prune(0.0051)
    assert not masking.can_prune(0.0051, threshold=0.0)


def test_a_score_under_constant_pressure_falls_after_fifty_steps():
    """The travel of the thesis' weight scores: .005 at 1e-4 a step."""
    adam = optimizers.adam(1e-4)
    score = jnp.float64(masking.INITIAL_SCORE)
    state, alive = adam.init(score), []
    for _ in range(52):
        change, state = adam.update(jnp.float64(3.0), state, score)
        score = optax.apply_updates(score, change)
        alive.append(float(masking.binarize(score, masking.THRESHOLD)))
    assert alive[:49] == [1.0] * 49 and alive[50:] == [0.0, 0.0]
