"""The NAS-Bench-101 network: published counts, plain numpy, gradients, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared
from reference import plain_networks as reference

from nasjax.core import errors
from nasjax.networks import nasbench101
from nasjax.spaces import nasbench101_notation as notation

IMAGE = (8, 4, 2)
SIZES = {
    "num_classes": 3,
    "stem_channels": 5,
    "num_stacks": 2,
    "num_modules": 2,
    "image_shape": IMAGE,
}
# All operations; two vertices share 5 or 10 channels; vertex 1 (three channels) is cut
# to the two of vertex 3; the input feeds vertices 1, 3 and the output.
MIXED = (
    "input,conv1x1-bn-relu,conv3x3-bn-relu,maxpool3x3,output"
    "|01011/00110/00001/00001/00000"
)
CELLS = {
    "mixed": MIXED,
    "pool_first": "input,maxpool3x3,conv3x3-bn-relu,output|0110/0011/0001/0000",
    "no_vertex": "input,output|01/00",
}


def variables(cell):
    """The cell's network with its shapes filled far from initial values."""
    net = nasbench101.network(notation.parse_arch(CELLS[cell]), **SIZES)
    params, statistics = jax.eval_shape(net.init, jax.random.key(0))
    rng = np.random.default_rng(7)
    return net, *reference.random_variables(rng, params, statistics)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).normal(size=(3, *IMAGE))


@pytest.fixture(scope="module", params=CELLS)
def results(request, images):
    """Variables of a network, its results in both modes and its gradient, float64."""
    net, params, statistics = variables(request.param)
    weights = np.random.default_rng(2).normal(size=(3, 3))

    def run(params, statistics):
        def loss(params):
            outputs, new = net.apply(
                params, statistics, jnp.asarray(images), train=True
            )
            return (outputs.logits * weights).sum(), (outputs, new)

        (_, train), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        evaluation = net.apply(params, statistics, jnp.asarray(images), train=False)
        return {"train": train, "eval": evaluation}, gradient

    with jax.enable_x64(True):
        compiled = jax.jit(run)
        modes, gradient = compiled(params, statistics)
        step = 1e-6
        direction, _ = reference.random_variables(
            np.random.default_rng(3), params, statistics
        )
        ends = [
            jax.tree.map(lambda p, d, s=s: p + s * d, params, direction)
            for s in (step, -step)
        ]
        high, low = (
            (compiled(end, statistics)[0]["train"][0].logits * weights).sum()
            for end in ends
        )
        slope = float(high - low) / (2 * step)
    return request.param, params, statistics, modes, (gradient, direction, slope)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_outputs_and_statistics(results, images, mode):
    cell, params, statistics, modes, _ = results
    matrix, ops = notation.decode(notation.parse_arch(CELLS[cell]))
    logits, new = reference.nasbench101(
        params,
        statistics,
        images,
        matrix,
        ops,
        num_modules=SIZES["num_modules"],
        train=mode == "train",
    )
    outputs, updated = modes[mode]
    assert outputs.auxiliary is None
    np.testing.assert_allclose(outputs.logits, logits, rtol=1e-9, atol=1e-9)
    jax.tree.map(
        lambda actual, expected: np.testing.assert_allclose(
            actual, expected, rtol=1e-9, atol=1e-10
        ),
        updated,
        new,
    )


def test_the_gradient_is_the_slope(results):
    *_, (gradient, direction, slope) = results
    products = jax.tree.map(
        lambda g, d: float((np.asarray(g) * d).sum()), gradient, direction
    )
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-5)
    # Every kernel of the network takes part.
    flat = jax.tree_util.tree_flatten_with_path(gradient)[0]
    for path, leaf in flat:
        if path[-1].key in ("conv", "kernel"):
            assert np.any(np.asarray(leaf)), path


def test_parameters_of_all_golden_cells():
    with np.load(shared.shared_file("golden", "nb101_cells.npz")) as file:
        golden = dict(file)
    for adjacency, ops, n, expected in zip(
        *(golden[k] for k in ("adjacency", "ops", "num_vertices")),
        golden["trainable_parameters"],
        strict=True,
    ):
        arch = notation.encode(adjacency[:n, :n], (ops[1 : n - 1] - 1).tolist())
        assert nasbench101.count_parameters(arch) == expected


def test_the_benchmark_s_network_has_the_counted_parameters():
    arch = notation.parse_arch(MIXED)
    net = nasbench101.network(arch)
    params, statistics = jax.eval_shape(net.init, jax.random.key(0))
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert number == nasbench101.count_parameters(arch)
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)

    def run(params, statistics, images):
        return net.apply(params, statistics, images, train=True)

    outputs, new = jax.eval_shape(run, params, statistics, images)
    assert outputs.logits.shape == (2, 10)
    assert jax.tree.map(jnp.shape, new) == jax.tree.map(jnp.shape, statistics)


def test_channels_are_shared_with_a_remainder():
    # 128 over vertices 1, 2, 4; vertex 3 is as wide as vertex 4, which it feeds.
    matrix = np.zeros((6, 6), int)
    for edge in ((0, 1), (0, 2), (0, 3), (1, 5), (2, 5), (3, 4), (4, 5)):
        matrix[edge] = 1
    assert nasbench101.vertex_channels(matrix, 128) == (43, 43, 42, 42, 128)


def test_loose_vertices_are_pruned():
    loose = "input,conv3x3-bn-relu,conv1x1-bn-relu,output|0110/0001/0000/0000"
    plain = "input,conv3x3-bn-relu,output|010/001/000"
    stacks = [
        nasbench101.modules(notation.parse_arch(text), 8, 2, 1)
        for text in (loose, plain)
    ]
    assert stacks[0] == stacks[1]


def test_initial_weights_keep_the_variance():
    """Truncated normal kernels of variance 1 / fan_in; momentum .003 is at work."""
    net = nasbench101.network(notation.parse_arch(MIXED), num_modules=1, num_stacks=1)
    params, statistics = net.init(jax.random.key(0))
    kernel = np.asarray(params["modules"]["0"]["projection"]["conv"])
    assert kernel.std() == pytest.approx(128**-0.5, rel=0.03)
    assert not np.any(params["classifier"]["bias"])
    assert nasbench101.MOMENTUM == pytest.approx(0.003)
    assert (statistics["stem"]["bn"]["var"] == 1).all()


def changed(genes, value):
    arch = notation.parse_arch(MIXED)
    arch[genes] = value
    return arch


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"arch": np.zeros(5, int)}, errors.UnknownArchitecture, "27 genes"),
        (
            {"arch": changed(slice(notation.NUM_BITS), 0)},
            errors.UnknownArchitecture,
            "no path",
        ),
        (
            {"arch": changed(notation.NUM_BITS, 7)},
            errors.UnknownArchitecture,
            "operations",
        ),
        ({"stem_channels": 1}, errors.ConfigError, "stem_channels=1"),
        ({"num_stacks": 0}, errors.ConfigError, "num_stacks=0"),
        ({"num_modules": 0}, errors.ConfigError, "num_modules=0"),
        ({"num_classes": 0}, errors.ConfigError, "num_classes=0"),
        ({"num_stacks": 4}, errors.ConfigError, "divisible by 8"),
    ],
)
def test_errors(change, error, message):
    with pytest.raises(error, match=message):
        nasbench101.network(**{"arch": notation.parse_arch(MIXED), **SIZES} | change)
