"""DARTS cells as data: the numbers of `darts_cell` for the same genotype, float64."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.networks import (
    batch_norm,
    darts_cell,
    darts_data,
    depthwise,
    initialization,
)
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
SMALL = darts_data.Skeleton(
    channels=2, num_classes=3, image_shape=(8, 8, 1), momentum=0.3
)


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


def random_archs(number, **variant):
    keys = jax.random.split(jax.random.key(3), number)
    return np.asarray(jax.vmap(space.make(**variant).sample)(keys))


def with_momentum(old, moved):
    """What `SMALL` makes of a statistic that the default momentum moved."""
    return old + SMALL.momentum / batch_norm.MOMENTUM * (moved - old)


def plain_network(params, statistics, images, *, train):
    """The network of `CELLS` in the skeleton `SMALL`, from `darts_cell`."""
    normalize = functools.partial(
        batch_norm.normalize, train=train, momentum=SMALL.momentum
    )
    new = {"stem": {}, "head": {}}
    patches = images.reshape(4, 2, 4, 2, NUMBER).transpose(1, 3, 0, 2, 4)
    x = jnp.einsum(
        "ihwn,io->ohwn", patches.reshape(4, 4, 4, -1), params["stem"]["conv"]
    )
    x, new["stem"]["bn"] = normalize(x, params["stem"]["bn"], statistics["stem"]["bn"])
    states = x, x
    for name, edges, inputs in (
        ("normal", CELLS[0], (2, 2)),
        ("reduction", CELLS[1], (2, 8)),
    ):
        reduction = name == "reduction"
        channels = 4 if reduction else 2
        cell = darts_cell.DartsCell(edges, inputs, channels, reduction, False)
        old = unpacked(statistics[name], cell)
        y, moved = darts_cell.apply(
            unpacked(params[name], cell), old, states, cell=cell, train=train
        )
        states = states[1], y
        new[name] = jax.tree.map(with_momentum, old, moved)
    y, new["head"]["bn"] = normalize(y, params["head"]["bn"], statistics["head"]["bn"])
    pooled = jax.nn.relu(y).mean((1, 2))
    head = params["classifier"]
    return head["kernel"].T @ pooled + head["bias"][:, None], new


def test_network_is_stem_cells_and_head():
    """Logits and statistics of the whole network of one genotype, in both modes."""
    net = darts_data.network(SMALL)
    arch = np.concatenate([genes(cell).reshape(-1) for cell in CELLS])
    variables_ = variables(4, darts_data.parameter_shapes(SMALL))
    images = np.random.default_rng(5).normal(size=(8, 8, 1, NUMBER))

    @jax.jit
    def run(arch, params, statistics, images):
        return [
            (
                net.apply(params, statistics, arch, images, train=train),
                plain_network(params, statistics, images, train=train),
            )
            for train in (True, False)
        ]

    close = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9)
    with jax.enable_x64(True):
        modes = run(arch, *variables_, images)
    for (logits, new), (expected, moved) in modes:
        close(logits, expected)
        for name, edges in zip(("normal", "reduction"), CELLS, strict=True):
            cell = darts_cell.DartsCell(edges, (2, 2), 2, name == "reduction", False)
            new[name] = unpacked(new[name], cell)
        jax.tree.map(close, new, moved)


def test_kernels_start_as_large_as_those_of_the_genotype():
    """Uniform up to 1 / k in the k x k taps that an edge has, zero around them."""
    arch = np.concatenate([genes(cell).reshape(-1) for cell in CELLS])
    params, statistics = darts_data.network(SMALL).init(jax.random.key(0), arch)
    assert statistics["reduction"]["edges"]["bn2"]["var"].shape == (8, 4)
    for cell, name in zip(CELLS, ("normal", "reduction"), strict=True):
        for e, (operation, _) in enumerate(cell):
            kernel = np.abs(params[name]["edges"]["depthwise1"][e])
            side = 3 if operation in ("sep_conv_3x3", "dil_conv_3x3") else 5
            ring = (5 - side) // 2
            inner = kernel[:, ring : 5 - ring, ring : 5 - ring]
            assert np.count_nonzero(kernel) == inner.size
            assert 0.8 / side < inner.max() <= 1 / side


def test_parameters_are_those_of_the_genotype():
    for arch in random_archs(5, none=True):
        cells = [
            darts_cell.DartsCell(
                tuple((NAMES[op], state) for op, state in edges.tolist()),
                inputs,
                channels,
                reduction,
                False,
            )
            for edges, inputs, channels, reduction in zip(
                arch.reshape(2, 8, 2),
                ((2, 2), (2, 8)),
                (2, 4),
                (False, True),
                strict=True,
            )
        ]
        number = sum(
            initialization.count(darts_cell.parameter_shapes(cell)) for cell in cells
        )
        number += (4 * 2 + 4) + 2 * 16 + (16 * 3 + 3)  # stem, head, classifier
        assert int(darts_data.count_parameters(arch, SMALL)) == number


def test_a_shared_cell_is_both_cells():
    arch = random_archs(1, shared=True)[0]
    twice = np.tile(arch, 2)
    init = darts_data.network(SMALL).init
    jax.tree.map(
        np.testing.assert_array_equal,
        *(init(jax.random.key(0), genes) for genes in (arch, twice)),
    )
    counts = [darts_data.count_parameters(genes, SMALL) for genes in (arch, twice)]
    assert int(counts[0]) == int(counts[1])
    images = jnp.zeros((8, 8, 1, NUMBER))
    for train in (True, False):
        apply = functools.partial(darts_data.network(SMALL).apply, train=train)
        logits, _ = jax.eval_shape(apply, *init(jax.random.key(0), arch), arch, images)
        assert logits.shape == (3, NUMBER)


@pytest.mark.parametrize(
    ("size", "stride", "dilation", "side"),
    [(4, 1, 2, 3), (4, 2, 2, 3), (2, 1, 2, 1), (2, 1, 1, 3)],
)
def test_which_convolutions_coincide_on_small_maps(size, stride, dilation, side):
    """Taps of a 5x5 kernel outside its inner `side` only ever read padding."""
    numbers = np.random.default_rng(10)
    x = numbers.normal(size=(1, 2, size, size, NUMBER))
    kernel = numbers.normal(size=(1, 1, 2, 5, 5))
    ring = (5 - side) // 2
    inner = np.zeros_like(kernel)
    middle = slice(ring, 5 - ring)
    inner[..., middle, middle] = kernel[..., middle, middle]
    results = [
        depthwise.depthwise(
            jnp.asarray(x), jnp.asarray(k), stride=stride, dilation=dilation
        )
        for k in (kernel, inner)
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channels": 3}, "channels=3 must be even"),
        ({"stem_kernel": 5}, "stem_kernel=5 must be 1 or 3"),
        ({"patch": 3}, "images of 8x8 cannot be cut into patches of 3x3"),
    ],
)
def test_sizes_out_of_range(change, message):
    with pytest.raises(errors.ConfigError, match=message):
        darts_data.network(dataclasses.replace(SMALL, **change))
