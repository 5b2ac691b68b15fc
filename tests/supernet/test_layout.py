"""Cells, edges and parameter counts that a setting implies."""

import math

import hypothesis
import jax
import pytest
from hypothesis import strategies as st

from nasjax.core import errors
from nasjax.supernet import spec

DARTS_OPERATIONS = (*spec.THESIS_OPERATIONS, "none")


def supernet(**settings):
    defaults = {
        "num_cells": 3,
        "channels": 36,
        "num_classes": 10,
        "image_shape": (32, 32, 3),
        "reductions": (1, 2),
    }
    return spec.SupernetSpec(**(defaults | settings))


def num_params(net):
    shapes = spec.parameter_shapes(net)
    leaves = jax.tree.leaves(shapes, is_leaf=lambda x: isinstance(x, tuple))
    return sum(math.prod(shape) for shape in leaves)


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        # one cell layout a line: without and with trained BN scales in cells
        ({}, 2.950e6),
        ({"affine": True}, 3.011e6),
        ({"reductions": (1,)}, 1.341e6),
        ({"reductions": (1,), "affine": True}, 1.384e6),
        ({"reductions": (0, 2)}, 3.367e6),
        ({"reductions": (0, 2), "affine": True}, 3.436e6),
        ({"reductions": ()}, 0.513e6),
        ({"reductions": (), "affine": True}, 0.537e6),
    ],
    ids=str,
)
def test_parameters_of_the_thesis_cifar_supernet(settings, count):
    assert num_params(supernet(**settings)) == pytest.approx(count, abs=500)


@pytest.mark.parametrize(
    ("stem", "reductions", "count"),
    [
        ("imagenet8", (1, 3), 3.03e6),
        ("imagenet4", (2, 3, 4), 6.02e6),
        ("imagenet4", (1, 3, 4), 6.22e6),
        ("imagenet4", (1, 2, 4), 6.93e6),
    ],
)
def test_parameters_of_the_imagenet_supernets(stem, reductions, count):
    net = supernet(
        num_cells=5,
        channels=24,
        num_classes=1000,
        image_shape=(224, 224, 3),
        stem=stem,
        reductions=reductions,
    )
    assert num_params(net) == pytest.approx(count, abs=5e3)


def test_parameters_of_the_darts_supernet():
    """The number that the original prints: "param size = 1.930618MB"."""
    net = supernet(
        num_cells=8,
        channels=16,
        operations=DARTS_OPERATIONS,
        reductions=spec.default_reductions(8),
    )
    assert num_params(net) == 1_930_618


def test_parameters_of_a_grey_image_differ_in_the_stem_only():
    grey, colour = (
        num_params(supernet(channels=8, image_shape=(8, 8, c))) for c in (1, 3)
    )
    assert (grey, colour - grey) == (209_010, 3 * 3 * 2 * 3 * 8)


def test_parameters_have_the_statistics_of_their_bns():
    """With affine on, every pair of running statistics has a scale and a bias."""
    net = supernet(channels=4, affine=True)
    params, statistics = spec.parameter_shapes(net), spec.statistics_shapes(net)

    def bns(tree, path=()):
        if "scale" in tree:
            assert tree["scale"] == tree["bias"]
            return {path: tree["scale"]}
        found = {}
        for name, value in tree.items():
            if isinstance(value, dict):
                found |= bns(value, (*path, name))
        return found

    def flat(tree, path=()):
        if isinstance(tree, tuple):
            return {path: tree}
        found = {}
        for name, value in tree.items():
            found |= flat(value, (*path, name))
        return found

    assert bns(params) == flat(statistics)


def test_without_affine_only_the_stem_has_a_trained_bn():
    params = spec.parameter_shapes(supernet(channels=4))
    names = [
        "/".join(key.key for key in path)
        for path, _ in jax.tree_util.tree_leaves_with_path(
            params, is_leaf=lambda x: isinstance(x, tuple)
        )
    ]
    assert [n for n in names if n.endswith(("scale", "bias"))] == [
        "classifier/bias",
        "stem/bn1/bias",
        "stem/bn1/scale",
    ]


@hypothesis.given(st.integers(1, 7))
def test_groups_are_the_edges_of_each_source_in_order(num_steps):
    edges = spec.cell_edges(num_steps)
    nodes = range(spec.NUM_INPUTS, spec.NUM_INPUTS + num_steps)
    assert sorted(edges) == sorted((j, i) for i in nodes for j in range(i))
    grouped = []
    for group in spec.edge_groups(num_steps):
        part = edges[group.edges]
        assert part == tuple(
            (source, target + spec.NUM_INPUTS)
            for source in group.sources
            for target in group.targets
        )
        grouped += part
    assert tuple(grouped) == edges


def test_the_thesis_cell_has_fourteen_edges_of_which_eight_are_strided():
    net = supernet()
    assert len(net.edges) == 14
    strided = net.edges[: spec.num_strided_edges(net)]
    assert {source for source, _ in strided} == {0, 1}
    assert {source for source, _ in net.edges[len(strided) :]} == {2, 3, 4}


def test_cells_of_the_cifar_supernet():
    first, second, third = supernet().cells
    assert first == spec.CellSpec((108, 108), 36, False, False, (32, 32))
    assert second == spec.CellSpec((108, 144), 72, True, False, (32, 32))
    assert third == spec.CellSpec((144, 288), 144, True, True, (16, 16))


@hypothesis.given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=4))
    ),
    st.sampled_from(spec.STEMS),
)
def test_cells_fit_together(cells, stem):
    num_cells, reductions = cells
    net = supernet(
        num_cells=num_cells,
        channels=4,
        stem=stem,
        reductions=tuple(sorted(reductions)),
        image_shape=(256, 128, 3),
    )
    assert net.cells[-1].channels == 4 * 2 ** len(reductions)
    for before, after in zip(net.cells, net.cells[1:], strict=False):
        shrink = 2 if before.reduction else 1
        assert after.inputs[1] == net.num_steps * before.channels
        assert after.inputs[0] == before.inputs[1]
        assert after.after_reduction == before.reduction
        assert [s * shrink for s in after.size] == list(before.size)
    last = net.cells[-1]
    side = last.size[0] // (2 if last.reduction else 1)
    assert side * net.total_stride == 256


@pytest.mark.parametrize(
    ("num_cells", "reductions"),
    [(1, (0,)), (2, (0, 1)), (3, (1, 2)), (5, (1, 3)), (8, (2, 5)), (20, (6, 13))],
)
def test_default_reductions(num_cells, reductions):
    assert spec.default_reductions(num_cells) == reductions


@pytest.mark.parametrize(
    ("sharing", "names", "indices"),
    [
        ("type", ("normal", "reduce"), [0, 1, 1]),
        ("all", ("cell",), [0, 0, 0]),
        ("cell", ("cell_0", "cell_1", "cell_2"), [0, 1, 2]),
    ],
)
def test_sharing(sharing, names, indices):
    net = supernet(arch_sharing=sharing)
    assert net.arch_names == names
    assert [net.arch_index(k) for k in range(3)] == indices


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"operations": ("sep_conv_3x4",)},
            "sep_conv_3x4.*did you mean 'sep_conv_3x3'",
        ),
        ({"stem": "imagenet"}, "supernet.stem 'imagenet'"),
        (
            {"arch_sharing": "types"},
            "supernet.arch_sharing 'types'.*did you mean 'type'",
        ),
        ({"num_cells": 0, "reductions": ()}, "supernet.num_cells.*at least 1"),
        ({"channels": 0}, "supernet.channels.*at least 1"),
        ({"num_steps": 0}, "supernet.num_steps.*at least 1"),
        ({"channels": 7}, "supernet.channels=7 is odd"),
        ({"reductions": (1, 3)}, r"supernet.reductions has 3.*0\.\.2"),
        ({"image_shape": (30, 32, 3)}, "30x32.*divisible by 4"),
        ({"image_shape": (12, 12, 1), "stem_stride": 2}, "12x12.*total stride of 8"),
    ],
    ids=lambda x: str(x)[:30],
)
def test_bad_settings_name_the_key_and_the_remedy(settings, message):
    with pytest.raises(errors.ConfigError, match=message) as caught:
        supernet(**settings)
    assert "\n" not in str(caught.value)


def test_an_odd_width_is_fine_without_reductions():
    assert supernet(channels=7, reductions=()).cells[0].channels == 7
