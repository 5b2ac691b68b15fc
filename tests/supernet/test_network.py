"""The whole supernet: both formulations agree, and the laws of its forward pass."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import stem as reference

from nasjax.core import formulation
from nasjax.networks import operations as ops
from nasjax.supernet import network, spec

SMALL = spec.SupernetSpec(
    num_cells=1,
    channels=2,
    num_classes=3,
    image_shape=(80, 64, 1),
    operations=ops.OPERATIONS,
    num_steps=2,
    reductions=(0,),
    stem="imagenet8",
    arch_sharing="all",
)
"""One cell with everything in it: both inputs of different size, strided edges on maps
of 10x8 pixels and others on 5x4, which have different formulations."""


def cross_entropy(logits, labels):
    log_probs = jax.nn.log_softmax(logits)
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1).mean()


def inputs(net, *, batch=3, dtype=np.float32):
    """Random images, labels and mixing coefficients."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *net.image_shape)).astype(dtype)
    labels = rng.integers(net.num_classes, size=batch)
    shape = (len(net.arch_names), len(net.edges), len(net.operations))
    return images, labels, rng.uniform(0.1, 1.0, size=shape).astype(dtype)


def weights(net, dtype=np.float32):
    """Random parameters and statistics; BN scales are one and their biases zero."""
    rng = np.random.default_rng(1)

    def draw(path, shape):
        name = path[-1].key
        if name in ("scale", "bias") and path[0].key != "classifier":
            return np.full(shape, name == "scale", dtype)
        return rng.uniform(-0.5, 0.5, size=shape).astype(dtype)

    def statistics(shape):
        mean, var = rng.normal(size=shape), rng.uniform(0.5, 2.0, size=shape)
        return {"mean": mean.astype(dtype), "var": var.astype(dtype)}

    return (
        jax.tree_util.tree_map_with_path(
            draw, spec.parameter_shapes(net), is_leaf=is_shape
        ),
        jax.tree.map(statistics, spec.statistics_shapes(net), is_leaf=is_shape),
    )


def is_shape(x):
    return isinstance(x, tuple)


def test_both_formulations_agree_in_training():
    """Logits, statistics and all gradients, in float64."""

    def step(params, mixing, statistics, images, labels):
        def loss_of(params, mixing):
            logits, new = network.apply(
                params, statistics, mixing, images, net=SMALL, train=True
            )
            return cross_entropy(logits, labels), (logits, new)

        return jax.value_and_grad(loss_of, (0, 1), has_aux=True)(params, mixing)

    results = {}
    with jax.enable_x64(True):
        images, labels, mixing = inputs(SMALL, dtype=np.float64)
        params, statistics = weights(SMALL, np.float64)
        for name in (formulation.CPU, formulation.LAX):
            with formulation.use(name):
                results[name] = jax.jit(step)(
                    params, mixing, statistics, images, labels
                )

    def assert_equal(path, actual, expected):
        size = np.linalg.norm(expected)
        difference = np.linalg.norm(np.asarray(actual) - np.asarray(expected))
        assert difference <= 1e-10 * max(size, 1e-3), jax.tree_util.keystr(path)

    jax.tree_util.tree_map_with_path(
        assert_equal, results[formulation.CPU], results[formulation.LAX]
    )
    (_, (_, new)), (gradients, _) = results[formulation.CPU]
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradients))
    changed = jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), new, statistics)
    assert all(jax.tree.leaves(changed))


@pytest.fixture(scope="module")
def evaluate():
    """Logits of the small supernet in evaluation mode."""

    @jax.jit
    def logits_of(params, statistics, mixing, images):
        logits, new = network.apply(
            params, statistics, mixing, images, net=SMALL, train=False
        )
        return logits, new

    params, statistics = weights(SMALL)

    def run(images, mixing, params=params):
        logits, new = logits_of(params, statistics, mixing, images)
        jax.tree.map(np.testing.assert_array_equal, new, statistics)
        return np.asarray(logits)

    run.params, run.statistics = params, statistics
    return run


def test_images_do_not_see_each_other_in_evaluation(evaluate):
    images, _, mixing = inputs(SMALL)
    logits = evaluate(images, mixing)
    assert logits.shape == (3, 3)
    np.testing.assert_allclose(evaluate(images[::-1], mixing), logits[::-1], atol=1e-5)
    images[1:] = 0.0
    np.testing.assert_allclose(evaluate(images, mixing)[0], logits[0], atol=1e-5)


def test_dead_edges_leave_the_bias_of_the_classifier(evaluate):
    images, _, mixing = inputs(SMALL)
    logits = evaluate(images, np.zeros_like(mixing))
    bias = np.asarray(evaluate.params["classifier"]["bias"])
    np.testing.assert_allclose(logits, np.tile(bias, (3, 1)), rtol=1e-6)


def test_none_contributes_nothing(evaluate):
    images, _, mixing = inputs(SMALL)
    logits = evaluate(images, mixing)
    mixing[..., SMALL.operations.index(ops.NONE)] = 7.0
    np.testing.assert_array_equal(evaluate(images, mixing), logits)


@pytest.mark.parametrize("name", ops.CONVOLUTIONS)
def test_a_dead_operation_is_not_read(evaluate, name):
    """On one edge; it matters while it is alive."""
    images, _, mixing = inputs(SMALL)
    edge = SMALL.edges.index((1, 2))

    flip = np.where(np.arange(len(SMALL.edges)) == edge, -2.0, 1.0).astype(np.float32)
    params = evaluate.params | {
        "cells": {
            k: kernels | {"operations": flipped(kernels["operations"], name, flip)}
            for k, kernels in evaluate.params["cells"].items()
        }
    }
    alive = evaluate(images, mixing)
    assert np.abs(evaluate(images, mixing, params) - alive).max() > 1e-3
    mixing[:, edge, SMALL.operations.index(name)] = 0.0
    dead = evaluate(images, mixing)
    np.testing.assert_allclose(evaluate(images, mixing, params), dead, atol=1e-6)


def flipped(operations, name, flip):
    """The kernels of one operation, those of one edge changed."""
    kernels = jax.tree.map(
        lambda leaf: leaf * flip.reshape(-1, *[1] * (leaf.ndim - 1)), operations[name]
    )
    return operations | {name: kernels}


def test_scales_of_one_and_biases_of_zero_change_nothing(evaluate):
    net = dataclasses.replace(SMALL, affine=True)
    images, _, mixing = inputs(SMALL)

    def fill(shapes, params, name=""):
        if is_shape(shapes):
            missing = np.full(shapes, name == "scale", np.float32)
            return missing if params is None else params
        return {key: fill(shapes[key], (params or {}).get(key), key) for key in shapes}

    params = fill(spec.parameter_shapes(net), evaluate.params)
    assert jax.tree.map(np.shape, params) == spec.parameter_shapes(net)
    logits, _ = jax.jit(functools.partial(network.apply, net=net, train=False))(
        params, evaluate.statistics, mixing, images
    )
    np.testing.assert_allclose(logits, evaluate(images, mixing), atol=1e-6)


@pytest.mark.parametrize(("stem", "convolutions"), [("imagenet4", 2), ("imagenet8", 3)])
def test_imagenet_stems(stem, convolutions):
    net = spec.SupernetSpec(
        num_cells=1, channels=4, num_classes=2, image_shape=(16, 16, 3), stem=stem
    )
    rng = np.random.default_rng(0)
    shapes = spec._stem_shapes(net)
    params = jax.tree.map(
        lambda shape: rng.normal(size=shape),
        shapes,
        is_leaf=is_shape,
    )
    statistics = {
        name: {"mean": rng.normal(size=n), "var": rng.uniform(0.5, 2.0, size=n)}
        for name, (n,) in spec.statistics_shapes(net)["stem"].items()
    }
    x = rng.normal(size=(3, 16, 16, 2))
    with jax.enable_x64(True):
        *actual, new = jax.jit(lambda *args: network._stem(*args, net, False))(
            params, statistics, x
        )
    expected = reference.imagenet(params, statistics, x, convolutions=convolutions)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-9)
    jax.tree.map(np.testing.assert_array_equal, new, statistics)


@pytest.mark.parametrize(
    ("stem", "image_shape", "reductions"),
    [
        ("cifar", (32, 24, 3), ()),
        ("imagenet4", (32, 32, 3), (1, 2)),
        ("imagenet8", (64, 32, 3), (0, 1)),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_every_stem_and_reduction_gives_logits(stem, image_shape, reductions, train):
    net = spec.SupernetSpec(
        num_cells=3,
        channels=2,
        num_classes=7,
        image_shape=image_shape,
        num_steps=2,
        stem=stem,
        reductions=reductions,
    )
    images, _, mixing = inputs(net)
    shapes = jax.eval_shape(
        lambda: (
            network.init_params(jax.random.key(0), net),
            network.init_statistics(net),
        )
    )
    logits, new = jax.eval_shape(
        functools.partial(network.apply, net=net, train=train), *shapes, mixing, images
    )
    assert logits.shape == (3, 7) and logits.dtype == np.float32
    assert new == shapes[1]


def test_initial_kernels_fill_the_range_that_fan_in_allows():
    net = spec.SupernetSpec(
        num_cells=2,
        channels=16,
        num_classes=10,
        image_shape=(4, 4, 3),
        operations=("sep_conv_5x5", "skip_connect"),
        num_steps=1,
        reductions=(0,),
    )
    params = network.init_params(jax.random.key(0), net)
    first, second = params["cells"]["0"], params["cells"]["1"]
    for kernel, fan_in in [
        (params["stem"]["conv1"], 27),
        (first["operations"]["sep_conv_5x5"]["depthwise1"], 25),
        (first["operations"]["sep_conv_5x5"]["pointwise2"], 32),
        (first["operations"]["skip_connect"]["conv1"], 32),
        (second["preprocess0"]["conv1"], 48),
        (second["preprocess1"]["conv"], 32),
        (params["classifier"]["kernel"], 32),
    ]:
        bound = 1 / math.sqrt(fan_in)
        assert 0.9 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / math.sqrt(3), rtol=0.1)
    assert 0 < np.abs(params["classifier"]["bias"]).max() <= 1 / math.sqrt(32)
    np.testing.assert_array_equal(params["stem"]["bn1"]["scale"], 1.0)
    np.testing.assert_array_equal(params["stem"]["bn1"]["bias"], 0.0)


def test_initial_values_depend_on_key_and_path_only():
    name = "sep_conv_3x3"
    one, two = (
        dataclasses.replace(SMALL, num_cells=2, reductions=(), operations=names)
        for names in ((name,), (name, "dil_conv_3x3"))
    )

    def kernels(key, net, k="0"):
        params = network.init_params(jax.random.key(key), net)
        return params["cells"][k]["operations"][name]

    first = kernels(0, one)
    jax.tree.map(np.testing.assert_array_equal, kernels(0, two), first)
    for other in (
        kernels(1, one)["pointwise1"],
        kernels(0, one, "1")["pointwise1"],
        first["pointwise2"],
    ):
        assert other.shape == first["pointwise1"].shape
        assert not np.any(other == first["pointwise1"])


def test_initial_statistics_leave_a_map_alone():
    statistics = network.init_statistics(SMALL)
    for path, leaf in jax.tree_util.tree_leaves_with_path(statistics):
        np.testing.assert_array_equal(leaf, float(path[-1].key == "var"))


def test_initial_weights_are_one_uniform_draw_a_path():
    net = spec.SupernetSpec(2, 4, 3, (8, 8, 1), num_steps=1, reductions=(1,))
    key = jax.random.key(5)
    params = network.init_params(key, net)
    kernel = params["classifier"]["kernel"]
    bound = 1 / np.sqrt(kernel.shape[0])
    leaf_key = jax.random.fold_in(key, network._path_number("classifier/kernel"))
    expected = jax.random.uniform(leaf_key, kernel.shape, kernel.dtype, -bound, bound)
    np.testing.assert_array_equal(kernel, expected)
    traced = jax.jit(network.init_params, static_argnums=1)(key, net)
    np.testing.assert_allclose(traced["classifier"]["kernel"], kernel, rtol=1e-6)
