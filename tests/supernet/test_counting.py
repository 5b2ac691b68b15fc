"""Parameter and MAC counts: published numbers, real arrays, and brute force."""

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import supernet_liveness as reference
from reference import supernet_small as small

from nasjax.networks import operations as ops
from nasjax.supernet import counting, network, spec

CIFAR = spec.SupernetSpec(3, 36, 10, (32, 32, 3), reductions=(1, 2))
IMAGENET = spec.SupernetSpec(5, 24, 1000, (224, 224, 3), stem="imagenet4")
DARTS = spec.SupernetSpec(8, 16, 10, (32, 32, 3), reductions=(2, 5))


def test_three_cells_on_cifar():
    assert counting.dense(CIFAR) == (2_950_390, 493_246_080)
    affine = dataclasses.replace(CIFAR, affine=True)
    assert counting.dense(affine) == (3_011_302, 493_246_080)


def test_eight_cells_of_darts():
    """As its authors' log prints: 1.930618 million parameters."""
    assert counting.dense(DARTS).params == 1_930_618
    assert spec.default_reductions(8) == DARTS.reductions


@pytest.mark.parametrize(
    "stem, reductions, params, macs",
    [
        ("imagenet8", (1, 3), 3.03, 299),
        ("imagenet4", (2, 3, 4), 6.02, 1209),
        ("imagenet4", (1, 3, 4), 6.22, 1153),
        ("imagenet4", (1, 2, 4), 6.93, 1126),
    ],
)
def test_five_cells_on_imagenet(stem, reductions, params, macs):
    net = dataclasses.replace(IMAGENET, stem=stem, reductions=reductions)
    count = counting.dense(net)
    assert round(count.params / 1e6, 2) == params
    assert round(count.macs / 1e6) == macs


SMALL = {
    "type": small.network(num_cells=3),
    "cell": small.network(num_cells=3, arch_sharing="cell", affine=True),
    "none": small.network(
        operations=("dil_conv_5x5", "none", "sep_conv_5x5", "skip_connect")
    ),
    "imagenet8": small.network(
        stem="imagenet8", image_shape=(32, 32, 3), arch_sharing="all", num_steps=3
    ),
}


@pytest.mark.parametrize("net", [CIFAR, DARTS, *SMALL.values()])
def test_dense_is_the_size_of_the_parameters(net):
    key = jax.ShapeDtypeStruct((), jax.random.key(0).dtype)
    params = jax.eval_shape(lambda key: network.init_params(key, net), key)
    sizes = sum(x.size for x in jax.tree.leaves(params))
    assert counting.dense(net).params == sizes


def brute_force(net, masks, names, by_mask):
    """Counts array by array; `names` are the live edges of the plain graph."""
    params = macs = 0
    size = {"cifar": 1, "imagenet8": 8}[net.stem]
    side = net.image_shape[0] // size
    sides = []
    for k in range(net.num_cells):
        sides.append(side)
        side = side // 2 if k in net.reductions else side
    shapes = jax.tree_util.tree_flatten_with_path(
        spec.parameter_shapes(net), is_leaf=small.is_shape
    )[0]
    for path, shape in shapes:
        path = [entry.key for entry in path]
        mask = masks.weights.get("/".join(path)) if by_mask else None
        mask = np.ones(shape) if mask is None else mask
        pixels = 0 if path[-1] in ("scale", "bias") else 1
        if path[0] == "stem" and net.stem == "cifar":
            pixels *= net.image_shape[0] ** 2
        elif path[0] == "stem":
            pixels *= (net.image_shape[0] // 2 ** int(path[1][-1])) ** 2
        elif path[0] == "cells":
            k = int(path[1])
            if path[2].startswith("preprocess"):
                pixels *= sides[k] ** 2
                if (k, "preprocess", int(path[2][-1])) not in names:
                    mask = 0 * mask
            else:
                pixels *= (sides[k] // (2 if k in net.reductions else 1)) ** 2
                o = net.operations.index(path[3])
                alive = [(k, e, o) in names for e in range(shape[0])]
                mask = mask[np.array(alive)]
        params += int(mask.sum())
        macs += int(mask.sum()) * pixels
    return params, macs


@pytest.mark.parametrize("net", SMALL.values(), ids=SMALL)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    operations=st.floats(0, 1),
    edges=st.floats(0, 1),
    weights=st.floats(0, 1),
)
def test_counts_against_loops(net, seed, operations, edges, weights):
    masks = small.random_masks(
        np.random.default_rng(seed),
        net,
        operations=operations,
        edges=edges,
        weights=weights,
    )
    names, _ = reference.alive(net, masks)
    effective = counting.effective(net, masks)
    structural = counting.structural(net, masks)
    assert effective == brute_force(net, masks, names, by_mask=True)
    assert structural == brute_force(net, masks, names, by_mask=False)
    dense = counting.dense(net)
    assert effective.params <= structural.params <= dense.params
    assert effective.macs <= structural.macs <= dense.macs


def test_masks_of_one_count_everything_but_none():
    for net in SMALL.values():
        masks = small.random_masks(
            np.random.default_rng(0), net, operations=1.1, edges=1.1, weights=1.1
        )
        assert counting.effective(net, masks) == counting.dense(net)
        assert counting.structural(net, masks) == counting.dense(net)


def test_one_convolution_by_hand():
    """A single 4x4 image, one cell of one step with one separable convolution."""
    net = spec.SupernetSpec(
        1, 2, 5, (4, 4, 3), operations=("sep_conv_3x3",), num_steps=1, stem_multiplier=1
    )
    stem = 3 * 3 * 3 * 2
    preprocess = 2 * (2 * 2)
    convolution = 2 * (2 * 9 + 2 * 2)  # two stages
    classifier = 2 * 5
    per_pixel = stem + preprocess + 2 * convolution  # two edges
    assert counting.dense(net).macs == 16 * per_pixel + classifier
    assert counting.dense(net).params == per_pixel + 2 * 2 + classifier + 5
    assert ops.CONVOLUTIONS["sep_conv_3x3"].stages == 2


def test_table_and_summary_say_the_same():
    net = SMALL["type"]
    masks = small.random_masks(np.random.default_rng(3), net)
    table = counting.table(net, masks)
    assert table["params"]["dense"] == counting.dense(net).params
    assert table["macs"]["structural"] == counting.structural(net, masks).macs
    assert table["params"]["effective"] == counting.effective(net, masks).params
    line = counting.summary(table)
    percent = 100 * (1 - table["params"]["effective"] / table["params"]["dense"])
    assert f"{percent:.1f} % fewer" in line
    assert f"{table['params']['dense']:,} dense" in line
