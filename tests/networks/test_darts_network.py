"""The DARTS evaluation network: published counts, golden operations, plain numpy."""

import functools

import golden_darts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared
from reference import plain_networks as reference

from nasjax.core import errors
from nasjax.networks import darts, darts_cell, initialization
from nasjax.networks import operations as ops
from nasjax.spaces import darts as space

# The genotype of the paper's second-order search.
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), "
    "('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('max_pool_3x3', 1), ('max_pool_3x3', 0), ('skip_connect', 2), "
    "('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NETWORKS = {
    "cifar_c32_l8": {"channels": 32, "num_cells": 8, "stem": "cifar"},
    "cifar_c36_l20": {"channels": 36, "num_cells": 20, "stem": "cifar"},
    "imagenet_c48_l14": {"channels": 48, "num_cells": 14, "stem": "imagenet"},
}
DARTS_V2_PARAMETERS = {"cifar_c36_l20": 3_349_342, "imagenet_c48_l14": 4_718_752}

# Every operation, edges of one kind that read early and late states, `none`.
NORMAL = (
    *(("dil_conv_3x3", 1), ("skip_connect", 0)),
    *(("sep_conv_3x3", 2), ("max_pool_3x3", 1)),
    *(("none", 0), ("sep_conv_3x3", 1)),
    *(("avg_pool_3x3", 3), ("skip_connect", 4)),
)
REDUCE = (
    *(("skip_connect", 1), ("sep_conv_5x5", 0)),
    *(("avg_pool_3x3", 0), ("skip_connect", 2)),
    *(("none", 1), ("max_pool_3x3", 0)),
    *(("skip_connect", 0), ("dil_conv_5x5", 3)),
)
CASES = {
    "cifar": {
        "cells": (NORMAL, REDUCE),
        "num_cells": 3,
        "image_shape": (32, 32, 3),
        "drop_path": 0.5,
    },
    "imagenet": {
        "cells": (REDUCE, REDUCE),  # one cell for both
        "num_cells": 1,
        "image_shape": (112, 112, 2),
        "drop_path": 0.0,
        "stem": "imagenet",
    },
}
NUMBER = 3


def genes(*cells):
    names = (*space.OP_NAMES, "none")
    pairs = [(names.index(name), state) for cell in cells for name, state in cell]
    return np.array(pairs, np.int32).reshape(-1)


@pytest.fixture(scope="module", params=CASES)
def results(request):
    """Settings, variables, factors of the edges, and results in both modes, float64."""
    case = dict(CASES[request.param])
    cells, rate = case.pop("cells"), case.pop("drop_path")
    arch = genes(*cells) if cells[0] != cells[1] else genes(cells[0])
    net = darts.network(arch, channels=2, num_classes=3, **case)
    rng = np.random.default_rng(7)
    params, statistics = reference.random_variables(
        rng, *jax.eval_shape(net.init, jax.random.key(0))
    )
    images = rng.normal(size=(NUMBER, *case["image_shape"]))
    key = jax.random.key(5)

    def run(params, statistics, images):
        drop = {"key": key, "drop_path": jnp.asarray(rate, images.dtype)}
        return {
            "train": net.apply(params, statistics, images, train=True, **drop),
            "eval": net.apply(params, statistics, images, train=False, **drop),
        }

    with jax.enable_x64(True):
        modes = jax.jit(run)(params, statistics, images)
        stack = darts.cells(arch, channels=2, num_cells=1, stem="cifar")
        keep = darts._keep(
            key, jnp.float64(rate), stack * case["num_cells"], images.transpose()
        )
    return cells, (params, statistics, images), np.stack(keep), modes


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_outputs_and_statistics(results, mode):
    cells, (params, statistics, images), keep, modes = results
    train = mode == "train"
    logits, auxiliary, new = reference.darts(
        params,
        statistics,
        images,
        cells,
        imagenet="conv2" in params["stem"],
        train=train,
        keep=keep if train else None,
    )
    outputs, updated = modes[mode]
    close = functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-9)
    close(outputs.logits, logits)
    if train:
        close(outputs.auxiliary, auxiliary)
    else:
        assert outputs.auxiliary is None
    jax.tree.map(close, updated, new)


def test_parameters_of_the_golden_genotypes():
    with np.load(shared.shared_file("golden", "darts_macs.npz")) as file:
        golden = dict(file)
    names = ("genotype/normal_op_input", "genotype/reduce_op_input")
    cells = np.stack([golden[name] for name in names], axis=1)
    cells[..., 0] = (cells[..., 0] - 1) % 8  # `none` is first there and last here
    for name, settings in NETWORKS.items():
        counts = [count(cell.reshape(-1), settings) for cell in cells]
        assert counts == golden[f"{name}/params"].tolist()


def count(arch, settings, **rest):
    options = {
        "num_classes": 1000 if settings["stem"] == "imagenet" else 10,
        "auxiliary": False,
    }
    stack = darts.cells(arch, **settings)
    shapes = darts.parameter_shapes(
        stack, stem=settings["stem"], image_channels=3, **options | rest
    )
    return initialization.count(shapes)


@pytest.mark.parametrize("name", DARTS_V2_PARAMETERS)
def test_parameters_of_the_published_genotype(name):
    assert count(DARTS_V2, NETWORKS[name]) == DARTS_V2_PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "read", "norms"),
    [("cifar_c36_l20", 576, 128 + 768), ("imagenet_c48_l14", 768, 128)],
)
def test_parameters_of_the_auxiliary_classifier(name, read, norms):
    """1x1 and 2x2 convolutions to 128 and 768 channels; one BN fewer on ImageNet."""
    settings = NETWORKS[name]
    classes = 1000 if settings["stem"] == "imagenet" else 10
    expected = read * 128 + 4 * 128 * 768 + 2 * norms + 769 * classes
    grown = count(DARTS_V2, settings, auxiliary=True) - count(DARTS_V2, settings)
    assert grown == expected


def test_init_has_the_counted_parameters():
    net = darts.network(DARTS_V2)
    params, statistics = jax.eval_shape(net.init, jax.random.key(0))
    number = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert number == count(DARTS_V2, NETWORKS["cifar_c36_l20"], auxiliary=True)
    # Every normalisation has two of each.
    scales = jax.tree_util.tree_flatten_with_path(params)[0]
    size = sum(leaf.size for path, leaf in scales if path[-1].key == "scale")
    assert sum(leaf.size for leaf in jax.tree.leaves(statistics)) == 2 * size


# --- operations --------------------------------------------------------------------

GOLDEN_CASES = [
    (name, stride)
    for name in (*golden_darts.OPERATIONS, "relu_conv_bn")
    for stride in (1, 2)
]


def golden_operation(params, statistics, x, name, stride, train):
    """One edge of a cell as the golden file has it."""
    if name == "relu_conv_bn":  # all that a strided 1x1 convolution reads
        pixels = x[:, ::stride, ::stride]
        return darts_cell.relu_conv_bn(params, statistics, pixels, train=train)
    if not params:
        cell = darts_cell.DartsCell(((name, 0),), (4, 4), 4, stride == 2, False)
        return darts_cell._bare([x], [0], cell)[0], {}
    params, statistics = jax.tree.map(lambda v: v[None], (params, statistics))
    y, new = darts_cell.operate(
        params, statistics, x[None], name=name, stride=stride, train=train
    )
    return y[0], jax.tree.map(lambda v: v[0], new)


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(shared.shared_file("golden", "darts_ops.npz")))


@pytest.fixture(scope="module")
def golden_results(golden):
    units = {
        (name, stride): golden_darts.unit(
            golden, f"discrete.{name}.s{stride}", operation=name
        )
        for name, stride in GOLDEN_CASES
    }

    def run(x, variables):
        return [
            golden_operation(*unit, x, name, stride, train)
            for (name, stride), unit in zip(GOLDEN_CASES, variables, strict=True)
            for train in (False, True)
        ]

    x = golden_darts.feature_map(golden["inputs/x"])
    found = iter(jax.jit(run)(x, list(units.values())))
    return {
        (*case, mode): next(found)
        for case in GOLDEN_CASES
        for mode in ("eval", "train")
    }


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-5), ("train", 2e-5)])
@pytest.mark.parametrize("case", GOLDEN_CASES, ids=str)
def test_golden_operations(golden, golden_results, case, mode, tolerance):
    name, stride = case
    y, statistics = golden_results[*case, mode]
    expected = golden[f"outputs/discrete.{name}.s{stride}.{mode}"]
    np.testing.assert_allclose(golden_darts.images(y), expected, rtol=0, atol=tolerance)
    section = "after_train" if mode == "train" else "weights"
    prefix = f"discrete.{name}.s{stride}"
    _, expected = golden_darts.unit(golden, prefix, section=section, operation=name)
    assert bool(expected) == bool(statistics)
    jax.tree.map(
        lambda actual, wanted: np.testing.assert_allclose(actual, wanted, atol=2e-6),
        statistics,
        expected,
    )


# --- dropped paths and gradients ---------------------------------------------------


def test_paths_are_dropped_by_edge_cell_and_image():
    stack = darts.cells(DARTS_V2, num_cells=6, channels=2, stem="cifar")
    x = jnp.zeros((1, 1, 1, 500))
    keep = np.stack(darts._keep(jax.random.key(0), 0.2, stack, x))
    assert keep.shape == (6, 8, 500)
    assert set(np.unique(keep).tolist()) == {0.0, np.float32(1 / np.float32(0.8))}
    assert keep.mean() == pytest.approx(1.0, abs=0.02)
    assert len(np.unique(keep.reshape(48, -1), axis=0)) == 48
    nothing = darts._keep(jax.random.key(0), jnp.float32(0.0), stack, x)
    assert (np.stack(nothing) == 1).all()


@pytest.fixture(scope="module")
def small():
    """A one-cell network, its variables, images, and its loss and gradient."""
    net = darts.network(
        genes(NORMAL, REDUCE),
        num_cells=1,
        channels=2,
        num_classes=3,
        image_shape=(8, 8, 3),
        auxiliary=False,
    )
    rng = np.random.default_rng(3)
    params, statistics = reference.random_variables(
        rng, *jax.eval_shape(net.init, jax.random.key(0))
    )
    images, weights = rng.normal(size=(4, 8, 8, 3)), rng.normal(size=(4, 3))

    def loss(params, drop_path):
        outputs, _ = net.apply(
            params,
            statistics,
            jnp.asarray(images),
            train=True,
            key=jax.random.key(1),
            drop_path=drop_path,
        )
        return (outputs.logits * weights).sum()

    with jax.enable_x64(True):
        yield params, jax.jit(jax.value_and_grad(loss)), net, statistics, images


def test_the_gradient_is_the_slope(small):
    params, value_and_grad, *_ = small
    rng, step = np.random.default_rng(4), 1e-6
    direction, _ = reference.random_variables(rng, params, {})
    with jax.enable_x64(True):
        _, gradient = value_and_grad(params, 0.3)
        high, low = (
            value_and_grad(
                jax.tree.map(lambda p, d, s=s: p + s * d, params, direction), 0.3
            )[0]
            for s in (step, -step)
        )
        slope = float(high - low) / (2 * step)
    products = jax.tree.map(
        lambda g, d: float((np.asarray(g) * d).sum()), gradient, direction
    )
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-5)


def test_dropping_needs_a_key(small):
    params, _, net, statistics, images = small
    with pytest.raises(errors.ConfigError, match="drop_path=0.1.*key"):
        net.apply(params, statistics, images, train=True, drop_path=0.1)


def test_identities_are_never_dropped():
    """Without factors, or with all of them zero: a cell of identities is the same."""
    edges = tuple((ops.SKIP, state) for step in range(4) for state in (0, step + 1))
    cell = darts_cell.DartsCell(
        edges, (2, 2), 2, reduction=False, after_reduction=False
    )
    shapes = darts_cell.parameter_shapes(cell)
    assert "operations" not in shapes
    params = initialization.uniform_fan_in(jax.random.key(0), shapes)
    statistics = initialization.statistics(shapes)
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    free, dropped = (
        darts_cell.apply(params, statistics, (x, x), keep, cell=cell, train=True)[0]
        for keep in (None, jnp.zeros((8, 3)))
    )
    assert free.shape == (8, 4, 4, 3)
    np.testing.assert_array_equal(free, dropped)
    assert np.abs(free).max() > 0.1


# --- genotypes and settings --------------------------------------------------------


def test_one_genotype_in_three_forms():
    arch = space.parse_arch(DARTS_V2)
    settings = NETWORKS["cifar_c32_l8"]
    assert darts.cells(DARTS_V2, **settings) == darts.cells(arch, **settings)
    twice = np.concatenate([arch[:16], arch[:16]])
    assert darts.cells(arch[:16], **settings) == darts.cells(twice, **settings)
    assert darts.cells(twice, **settings) != darts.cells(arch, **settings)


def test_the_stack_of_cells():
    cells = darts.cells(DARTS_V2, num_cells=20, channels=36, stem="cifar")
    reduce = [k for k, cell in enumerate(cells) if cell.reduction]
    assert reduce == [6, 13]
    after = [k for k, cell in enumerate(cells) if cell.after_reduction]
    assert after == [7, 14]
    assert [cell.channels for cell in cells] == [36] * 6 + [72] * 7 + [144] * 7
    assert [cell.inputs for cell in cells[:3]] == [(108, 108), (108, 144), (144, 144)]
    first = darts.cells(DARTS_V2, num_cells=14, channels=48, stem="imagenet")[0]
    assert first.inputs == (48, 48) and first.after_reduction


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"arch": np.zeros(8, np.int32)}, errors.UnknownArchitecture, "16 or 32"),
        ({"arch": np.zeros(32, np.int32)}, errors.UnknownArchitecture, "different"),
        ({"arch": "sep_conv"}, errors.UnknownArchitecture, "no genotype"),
        ({"stem": "imagnet"}, errors.ConfigError, "did you mean 'imagenet'"),
        ({"channels": 5}, errors.ConfigError, "channels=5 must be even"),
        ({"num_cells": 0}, errors.ConfigError, "num_cells=0"),
        ({"num_classes": 0}, errors.ConfigError, "num_classes=0"),
        ({"image_shape": (30, 32, 3)}, errors.ConfigError, "divisible by 4"),
        ({"image_shape": (16, 16, 3)}, errors.ConfigError, "images of 32 pixels"),
    ],
)
def test_errors(change, error, message):
    with pytest.raises(error, match=message):
        darts.network(**{"arch": DARTS_V2} | change)
