"""DARTS cells as data: the numbers of `darts_cell` for the same genotype, float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.networks import darts_cell, darts_data, initialization
from nasjax.networks import operations as ops
from nasjax.spaces import darts as space

NAMES = (*space.OP_NAMES, ops.NONE)
# Together every operation on an input of the cell and on a step.
CELLS = (
    (
        *(("max_pool_3x3", 0), ("sep_conv_3x3", 1)),
        *(("skip_connect", 1), ("sep_conv_5x5", 2)),
        *(("dil_conv_5x5", 0), ("avg_pool_3x3", 3)),
        *(("none", 1), ("dil_conv_3x3", 2)),
    ),
    (
        *(("sep_conv_5x5", 1), ("dil_conv_3x3", 0)),
        *(("sep_conv_3x3", 2), ("avg_pool_3x3", 0)),
        *(("skip_connect", 3), ("none", 2)),
        *(("max_pool_3x3", 4), ("dil_conv_5x5", 3)),
    ),
)
INPUTS, CHANNELS, NUMBER = (3, 5), 4, 3
SMALL = darts_data.Skeleton(channels=2, num_classes=3, image_shape=(8, 8, 1))


def genes(cell):
    return np.array([(NAMES.index(name), state) for name, state in cell], np.int32)


def variables(seed, shapes):
    """Random parameters and statistics, the variances positive."""
    numbers = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda shape: numbers.normal(size=shape),
        shapes,
        is_leaf=lambda entry: isinstance(entry, tuple),
    )
    statistics = jax.tree.map(
        lambda leaf: np.abs(numbers.normal(size=leaf.shape)) + 0.1,
        initialization.statistics(shapes),
    )
    return params, statistics


def description(cell, reduction):
    return darts_cell.DartsCell(cell, INPUTS, CHANNELS, reduction, False)


def unpacked(tree, cell):
    """What `darts_cell` has in place of the slots of all edges."""
    operations = {}
    for name in (*ops.CONVOLUTIONS, ops.SKIP):
        slots = np.array(cell.slots(name))
        if not len(slots):
            continue
        own = jax.tree.map(lambda leaf, slots=slots: leaf[slots], tree["edges"])
        if name == ops.SKIP:
            operations[name] = {"bn": own["bn1"]}
            if "pointwise1" in own:
                halves = jnp.split(own["pointwise1"], 2, axis=2)
                operations[name] |= {"conv1": halves[0], "conv2": halves[1]}
            continue
        conv = ops.CONVOLUTIONS[name]
        ring = (5 - conv.kernel_size) // 2
        operations[name] = {
            key: leaf[..., ring : 5 - ring, ring : 5 - ring]
            if key.startswith("depthwise")
            else leaf
            for key, leaf in own.items()
            if int(key[-1]) <= conv.stages
        }
    rest = {name: part for name, part in tree.items() if name != "edges"}
    return rest | ({"operations": operations} if operations else {})


def both_modes(value, weights):
    """Outputs, statistics and gradients in both modes, compiled as one program."""

    def loss(params, inputs, statistics, rest, train):
        y, new = value(params, inputs, statistics, *rest, train=train)
        return jnp.sum(y * weights), (y, new)

    def run(params, inputs, statistics, *rest):
        gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
        return [gradient(params, inputs, statistics, rest, t) for t in (True, False)]

    return jax.jit(run)


@functools.cache
def ours(size, reduction):
    def value(params, inputs, statistics, genes, *, train):
        return darts_data.cell(
            params, statistics, inputs, genes, reduction=reduction, train=train
        )

    return both_modes(value, weights(size, reduction))


def weights(size, reduction):
    side = size // 2 if reduction else size
    return np.random.default_rng(9).normal(size=(4 * CHANNELS, side, side, NUMBER))


@pytest.mark.parametrize("reduction", [False, True], ids=["normal", "reduction"])
@pytest.mark.parametrize(("size", "number"), [(4, 0), (4, 1), (8, 0), (8, 1)])
def test_cell_is_that_of_the_genotype(size, number, reduction):
    """Values, gradients of parameters and inputs, and statistics, in both modes."""
    cell = description(CELLS[number], reduction)
    params, statistics = variables(1, darts_data.cell_shapes(INPUTS, CHANNELS))
    images = np.random.default_rng(2)
    inputs = tuple(images.normal(size=(c, size, size, NUMBER)) for c in INPUTS)

    def value(params, inputs, statistics, *, train):
        return darts_cell.apply(
            unpacked(params, cell), statistics, inputs, cell=cell, train=train
        )

    with jax.enable_x64(True):
        actual = ours(size, reduction)(params, inputs, statistics, genes(cell.edges))
        plain = both_modes(value, weights(size, reduction))
        expected = plain(params, inputs, unpacked(statistics, cell))
        for (gradients, (y, new)), (gradients_, (y_, new_)) in zip(
            actual, expected, strict=True
        ):
            close = functools.partial(
                np.testing.assert_allclose, rtol=1e-10, atol=1e-10
            )
            close(y, y_)
            jax.tree.map(close, gradients, gradients_)
            jax.tree.map(close, unpacked(new, cell), new_)
