"""The cell as data against the network of one cell: values, gradients, statistics."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_networks as reference

from nasjax.networks import nasbench101, nasbench101_data
from nasjax.spaces import nasbench101_notation as notation

CHANNELS = 5
SKELETON = nasbench101_data.Skeleton(
    channels=CHANNELS,
    num_classes=3,
    image_shape=(4, 4, 2),
    patch=1,
    normalize_head=False,
    momentum=nasbench101.MOMENTUM,
)


def cell(edges, *ops):
    """Genes of a cell of written edges, "01 12"; what is on no path stays."""
    matrix = np.zeros((len(ops) + 2, len(ops) + 2), int)
    for edge in edges.split():
        matrix[int(edge[0]), int(edge[1])] = 1
    return notation.encode(matrix, ops)


# Operations: 0 conv1x1, 1 conv3x3, 2 maxpool. Five channels for one to four vertices.
CELLS = {
    "no_vertex": cell("01"),
    "one_vertex": cell("01 12", 1),
    "pool_first": cell("01 02 12 13 23", 2, 0),
    "cut_to_two_channels": cell("01 03 04 12 13 24 34", 0, 1, 2),
    "three_feed_the_output": cell("01 02 13 14 15 24 25 35 45", 2, 0, 1, 1),
    "four_feed_the_output": cell("01 02 03 04 15 26 36 46 56", 0, 2, 1, 2, 1),
    "wide_before_narrow": cell("01 12 13 14 15 26 36 46 56", 1, 0, 2, 1, 0),
    "loose_vertices": cell("01 02 13 14 16 24 25 36 46", 1, 0, 2, 1, 0),
    "all_loose": cell("01 06 12 23 45 56", 1, 0, 2, 1, 0),
}


def _loss(apply, params, statistics, images, weights):
    """Weighted logits, new statistics and gradients to parameters and images."""

    def loss(params, images):
        logits, new = apply(params, statistics, images)
        return jnp.sum(logits * weights), (logits, new)

    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    gradients, (logits, new) = gradient(params, images)
    return logits, new, gradients


@functools.cache
def ours():
    """Compiled once for all cells, both modes."""
    net = nasbench101_data.network(SKELETON)

    @jax.jit
    def run(params, statistics, images, weights, arch):
        def apply(params, statistics, images, train):
            images = images.transpose(1, 2, 3, 0)
            logits, new = net.apply(params, statistics, arch, images, train=train)
            return logits.T, new

        return [
            _loss(functools.partial(apply, train=train), params, statistics, images, w)
            for train, w in ((True, weights), (False, weights))
        ]

    return run


def theirs(arch):
    net = nasbench101.network(
        arch,
        num_classes=3,
        stem_channels=CHANNELS,
        num_stacks=1,
        num_modules=1,
        image_shape=SKELETON.image_shape,
    )

    @jax.jit
    def run(params, statistics, images, weights):
        def apply(params, statistics, images, train):
            outputs, new = net.apply(params, statistics, images, train=train)
            return outputs.logits, new

        return [
            _loss(functools.partial(apply, train=train), params, statistics, images, w)
            for train, w in ((True, weights), (False, weights))
        ]

    return run


def used(tree, arch):
    """The entries of our stacked tree that the cell uses, as their tree has them."""
    matrix, ops = notation.decode(arch)
    small, small_ops = notation.pruned(matrix, ops)
    widths = nasbench101.vertex_channels(small, CHANNELS)
    last = len(small) - 1
    # Numbers that the vertices on paths had before pruning.
    n = len(matrix)
    paths = np.linalg.matrix_power(np.eye(n, dtype=int) + matrix, n)
    names = np.flatnonzero((paths[0] > 0) & (paths[:, -1] > 0))

    def rows(part, slot, inputs, outputs, taps=None):
        taken = {}
        if "conv" in part:
            kernel = part["conv"][slot][..., :inputs, :outputs]
            taken["conv"] = kernel[1, 1] if taps == 1 else kernel
        return taken | {"bn": {k: v[slot][:outputs] for k, v in part["bn"].items()}}

    slots = [
        (names[v] - 1 if v < last else 5, widths[v - 1])
        for v in range(1, last + 1)
        if small[0, v]
    ]
    parts = [rows(tree["projections"], k, CHANNELS, width) for k, width in slots]
    module = {
        "projection": jax.tree.map(
            lambda *leaves: np.concatenate(leaves, axis=-1), *parts
        )
    }
    for v, op in enumerate(small_ops, start=1):
        if op != 2:
            width, taps = widths[v - 1], 1 if op == 0 else 9
            part = rows(tree["vertices"], names[v] - 1, width, width, taps)
            module[f"vertex{v}"] = part
    rest = {k: v for k, v in tree.items() if k not in ("projections", "vertices")}
    return rest | {"modules": {"0": module}}


@functools.cache
def variables():
    """Random parameters and statistics; every slot is filled, used or not."""
    net = nasbench101_data.network(SKELETON)
    shapes = jax.eval_shape(net.init, jax.random.key(0), CELLS["no_vertex"])
    return reference.random_variables(np.random.default_rng(0), *shapes)


def close(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-10, atol=1e-10),
        actual,
        expected,
    )


@pytest.mark.parametrize("name", CELLS)
def test_cell_as_data_is_the_network_of_that_cell(name):
    arch = CELLS[name]
    params, statistics = variables()
    rng = np.random.default_rng(1)
    images, weights = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(3, 3))
    with jax.enable_x64(True):
        found = ours()(params, statistics, images, weights, arch)
        expected = theirs(arch)(
            used(params, arch), used(statistics, arch), images, weights
        )
    for one, other in zip(found, expected, strict=True):
        logits, new, (to_params, to_images) = jax.tree.map(np.asarray, one)
        close(logits, other[0])
        close(used(new, arch), other[1])
        close(used(to_params, arch), other[2][0])
        close(to_images, other[2][1])
        # What the cell does not use has no influence.
        total = sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(to_params))
        part = sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(other[2][0]))
        assert total == pytest.approx(part, rel=1e-9)


def test_without_a_path_only_the_bias_is_left():
    arch = cell("12", 1, 0)
    params, statistics = variables()
    rng = np.random.default_rng(1)
    images, weights = rng.normal(size=(3, 4, 4, 2)), rng.normal(size=(3, 3))
    with jax.enable_x64(True):
        for logits, _, _ in ours()(params, statistics, images, weights, arch):
            bias = params["classifier"]["bias"]
            close(np.asarray(logits), np.tile(bias, (3, 1)))


def test_parameters_are_those_of_the_network_of_the_cell():
    count = functools.partial(nasbench101_data.count_parameters, skeleton=SKELETON)
    found = jax.jit(jax.vmap(count))(np.stack(list(CELLS.values())))
    expected = [
        nasbench101.count_parameters(
            arch,
            num_classes=3,
            stem_channels=CHANNELS,
            num_stacks=1,
            num_modules=1,
            image_channels=2,
        )
        for arch in CELLS.values()
    ]
    assert found.tolist() == expected


def test_initial_weights_have_the_variance_of_their_fan_in():
    net = nasbench101_data.network(SKELETON)
    init = jax.jit(net.init)
    key = jax.random.key(0)
    wide = init(key, cell("01 12", 1))[0]
    pointwise = init(key, cell("01 12", 0))[0]
    narrow = init(key, cell("01 02 13 23", 1, 1))[0]
    kernels = [params["vertices"]["conv"][0] for params in (wide, pointwise, narrow)]
    np.testing.assert_allclose(kernels[1], 3 * kernels[0], rtol=1e-5)
    # Two vertices share five channels, the first has three of them.
    np.testing.assert_allclose(kernels[2], np.sqrt(5 / 3) * kernels[0], rtol=1e-5)
    shapes = jax.eval_shape(net.init, key, CELLS["no_vertex"])[0]
    large = nasbench101_data.network(nasbench101_data.Skeleton(channels=64))
    kernel = large.init(key, cell("01 12", 1))[0]["vertices"]["conv"][0]
    assert float(kernel.std()) == pytest.approx((9 * 64) ** -0.5, rel=0.02)
    assert jax.tree.map(jnp.shape, wide) == jax.tree.map(jnp.shape, shapes)


def test_normalisation_before_the_pooling():
    """On maps of one pixel, against the network that hands out the module's output."""
    size = {"channels": CHANNELS, "image_shape": (2, 2, 1), "num_classes": CHANNELS}
    plain, full = (
        nasbench101_data.network(
            nasbench101_data.Skeleton(**size, patch=2, normalize_head=head)
        )
        for head in (False, True)
    )
    arch = CELLS["cut_to_two_channels"]
    rng = np.random.default_rng(3)
    shapes = jax.eval_shape(full.init, jax.random.key(0), arch)
    params, statistics = reference.random_variables(rng, *shapes)
    images = rng.normal(size=(2, 2, 1, 7))
    handed = {
        **{name: part for name, part in params.items() if name != "head"},
        "classifier": {"kernel": np.eye(CHANNELS), "bias": np.zeros(CHANNELS)},
    }
    with jax.enable_x64(True):
        apply = [
            jax.jit(functools.partial(net.apply, train=False)) for net in (plain, full)
        ]
        y, _ = apply[0](handed, statistics, arch, images)
        logits, _ = apply[1](params, statistics, arch, images)
    bn, running = params["head"]["bn"], statistics["head"]["bn"]
    y = (np.asarray(y) - running["mean"][:, None]) / np.sqrt(running["var"] + 1e-5)[
        :, None
    ]
    y = np.maximum(y * bn["scale"][:, None] + bn["bias"][:, None], 0)
    head = params["classifier"]
    expected = head["kernel"].T @ y + head["bias"][:, None]
    np.testing.assert_allclose(logits, expected, rtol=1e-10, atol=1e-10)
