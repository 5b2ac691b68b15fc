import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import nasbench201_network as plain

from nasjax.core import formulation
from nasjax.networks import convolution, nasbench201
from nasjax.spaces import nasbench201 as space

# Every operation on some edge; the last has a dead end and a sum of skips.
ARCHS = ((3, 2, 4, 1, 3, 2), (1, 0, 3, 4, 1, 3), (2, 1, 0, 1, 0, 1))
SMALL = nasbench201.Skeleton(
    channels=3, num_stages=1, num_cells=1, image_shape=(8, 8, 1), patch=2, affine=False
)


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@functools.cache
def compiled_cell(train):
    def value(x, arch, kernels, statistics):
        return nasbench201.cell(
            x, arch, {"kernel": kernels}, statistics, train=train, affine=False
        )

    def loss(x, kernels, arch, statistics, weights):
        return jnp.sum(value(x, arch, kernels, statistics)[0] * weights)

    return jax.jit(value), jax.jit(jax.grad(loss, argnums=(0, 1)))


@pytest.mark.parametrize("arch", ARCHS)
def test_cell_is_the_plain_cell(arch):
    with jax.enable_x64(True):
        x, kernels = random((3, 4, 4, 5)), random((6, 3, 3, 3, 3), 1)
        statistics = {"mean": random((6, 3), 2), "var": random((6, 3), 3) ** 2 + 0.1}
        batch_first = x.transpose(3, 1, 2, 0)
        ours, _ = compiled_cell(True)[0](x, np.array(arch), kernels, statistics)
        theirs = plain.cell(batch_first, arch, kernels)
        np.testing.assert_allclose(ours.transpose(3, 1, 2, 0), theirs, atol=1e-9)
        ours, _ = compiled_cell(False)[0](x, np.array(arch), kernels, statistics)
        theirs = plain.cell(
            batch_first, arch, kernels, (statistics["mean"], statistics["var"])
        )
        np.testing.assert_allclose(ours.transpose(3, 1, 2, 0), theirs, atol=1e-9)


@pytest.mark.parametrize("arch", ARCHS)
def test_gradients_are_finite_differences(arch):
    with jax.enable_x64(True):
        x, kernels = random((3, 4, 4, 5)), random((6, 3, 3, 3, 3), 1)
        statistics = {"mean": np.zeros((6, 3)), "var": np.ones((6, 3))}
        weights = random(x.shape, 4)
        value, gradient = compiled_cell(True)
        grads = gradient(x, kernels, np.array(arch), statistics, weights)
        for position, start in enumerate((x, kernels)):
            direction = random(start.shape, 5 + position)
            arguments = [x, kernels]
            values = []
            for step in (1e-5, -1e-5):
                arguments[position] = start + step * direction
                y, _ = value(arguments[0], np.array(arch), arguments[1], statistics)
                values.append(float(np.sum(y * weights)))
            slope = (values[0] - values[1]) / 2e-5
            assert float(np.sum(grads[position] * direction)) == pytest.approx(
                slope, rel=1e-5, abs=1e-5
            )


def test_running_statistics_move_by_the_momentum():
    x, kernels = random((3, 4, 4, 5)), random((6, 3, 3, 3, 3), 1)
    statistics = {"mean": jnp.ones((6, 3)), "var": jnp.full((6, 3), 2.0)}
    _, new = nasbench201.cell(
        jnp.asarray(x, jnp.float32),
        jnp.array([2, 0, 0, 1, 0, 0]),
        {"kernel": jnp.asarray(kernels, jnp.float32)},
        statistics,
        train=True,
        affine=False,
        momentum=0.2,
    )
    z = plain.convolve(np.maximum(x.transpose(3, 1, 2, 0), 0), kernels[0][1:2, 1:2])
    unbiased = z.var((0, 1, 2)) * 80 / 79
    np.testing.assert_allclose(new["mean"][0], 0.8 + 0.2 * z.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(new["var"][0], 1.6 + 0.2 * unbiased, rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 4, 4, 5), (3, 6, 8, 2)])
def test_small_convolutions_are_the_plain_one(shape):
    with jax.enable_x64(True):
        x, kernel = random(shape), random((3, 3, 3, 2), 1)
        ours = convolution.small3x3(jnp.asarray(x), jnp.asarray(kernel))
        theirs = plain.convolve(x.transpose(3, 1, 2, 0), kernel)
        np.testing.assert_allclose(ours.transpose(3, 1, 2, 0), theirs, atol=1e-12)
        with formulation.use(formulation.LAX):
            again = convolution.small3x3(jnp.asarray(x), jnp.asarray(kernel))
        np.testing.assert_allclose(ours, again, atol=1e-12)


def test_float32_error_of_the_tile_is_small():
    x, kernel = random((16, 4, 4, 8)), random((3, 3, 16, 16), 1)
    exact = plain.convolve(x.transpose(3, 1, 2, 0), kernel).transpose(3, 1, 2, 0)
    ours = convolution.tile3x3(
        jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
    )
    assert np.abs(ours - exact).max() < 1e-5 * np.abs(exact).max()


def test_patches_become_channels():
    images = jnp.arange(2 * 4 * 4).reshape(4, 4, 1, 2)
    moved = nasbench201.space_to_depth(images, 2)
    assert moved.shape == (4, 2, 2, 2)
    for row in range(4):
        for column in range(4):
            channel = 2 * (row % 2) + column % 2
            np.testing.assert_array_equal(
                moved[channel, row // 2, column // 2], images[row, column, 0]
            )


def count(params, arch, skeleton):
    """Parameters that the operations of a cell use."""
    unused = 0
    for name, part in params.items():
        if name.startswith("cells"):
            for op in arch:
                per_edge = skeleton.num_cells
                width = part["kernel"].shape[-1]
                affine = 2 * width if skeleton.affine else 0
                keeps = {2: width * width + affine, 3: 9 * width * width + affine}
                unused += per_edge * (
                    9 * width * width + affine - keeps.get(int(op), 0)
                )
    return sum(leaf.size for leaf in jax.tree.leaves(params)) - unused


@pytest.mark.parametrize("arch", ARCHS)
def test_parameters_are_those_of_the_published_tables(arch):
    skeleton, arch = nasbench201.Skeleton(), jnp.array(arch)
    params, _ = jax.eval_shape(
        nasbench201.network(skeleton).init, jax.random.key(0), arch
    )
    total = int(nasbench201.count_parameters(arch, skeleton))
    assert total == count(params, arch, skeleton)
    assert total == int(space.costs(arch).parameters)


def test_whole_network_in_both_modes():
    """Two stages of two cells, as a classifier of images with the batch first."""
    skeleton = nasbench201.Skeleton(
        channels=2, num_stages=2, num_cells=2, num_classes=3, image_shape=(4, 4, 1)
    )
    net = nasbench201.classifier(jnp.array(ARCHS[0]), skeleton)
    shapes = jax.eval_shape(net.init, jax.random.key(0))
    numbers = np.random.default_rng(0)
    params, statistics = jax.tree.map(
        lambda leaf: jnp.asarray(np.abs(numbers.normal(size=leaf.shape)), leaf.dtype),
        shapes,
    )
    images = jnp.asarray(random((6, 4, 4, 1)), jnp.float32)
    apply = jax.jit(net.apply, static_argnames="train")
    outputs, new = apply(params, statistics, images, train=True)
    assert outputs.logits.shape == (6, 3) and outputs.auxiliary is None
    assert jax.tree.structure(new) == jax.tree.structure(statistics)
    for name in ("head", "cells0", "cells1", "stem"):
        old, moved = statistics[name]["mean"], new[name]["mean"]
        assert not np.allclose(old, moved)
    outputs, same = apply(params, statistics, images, train=False)
    assert jax.tree.all(jax.tree.map(np.array_equal, same, statistics))
    # Images do not influence each other when running statistics normalise.
    alone, _ = apply(params, statistics, images[::-1], train=False)
    np.testing.assert_allclose(outputs.logits, alone.logits[::-1], rtol=1e-4)
