"""Whole cells against the original PyTorch modules, and the laws of their mixture."""

import functools

import golden_darts
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared

from nasjax.core import formulation
from nasjax.supernet import cell, spec

NET = spec.SupernetSpec(
    num_cells=3,
    channels=4,
    num_classes=10,
    image_shape=(8, 8, 3),
    operations=golden_darts.OPERATIONS,
)
CELLS = {
    "normal": spec.CellSpec((16, 16), 4, False, False, (8, 8)),
    "reduce": spec.CellSpec((16, 16), 4, True, False, (8, 8)),
    "normal_after_reduce": spec.CellSpec((8, 16), 4, False, True, (8, 8)),
    "stem_normal": spec.CellSpec((12, 12), 4, False, False, (8, 8)),
}


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(shared.shared_file("golden", "darts_cell.npz")))


@pytest.fixture(scope="module", params=CELLS)
def name(request):
    return request.param


def assert_trees_close(actual, expected, atol):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(
        lambda a, e: np.testing.assert_allclose(a, e, rtol=0, atol=atol),
        actual,
        expected,
    )


@pytest.mark.parametrize(
    ("mode", "formulation_name"),
    [("eval", formulation.LAX), ("train", formulation.CPU)],
)
def test_cells(golden, name, mode, formulation_name):
    params, statistics = golden_darts.cell(golden, name, NET)
    kind = "reduce" if name == "reduce" else "normal"
    mixing = golden_darts.mixing(golden[f"inputs/weights_{kind}"])
    inputs = tuple(
        golden_darts.feature_map(golden[f"inputs/{name}.s{i}"]) for i in (0, 1)
    )
    run = functools.partial(
        cell.apply, net=NET, cell=CELLS[name], train=mode == "train"
    )
    with formulation.use(formulation_name):
        y, new = jax.jit(run)(params, statistics, mixing, inputs)
    expected = golden[f"outputs/{name}.{mode}"]
    np.testing.assert_allclose(golden_darts.images(y), expected, rtol=0, atol=2e-5)
    if mode == "eval":
        assert_trees_close(new, statistics, atol=0)
    else:
        _, after = golden_darts.cell(golden, name, NET, section="after_train")
        assert_trees_close(new, after, atol=2e-6)


def test_the_weights_fill_the_layout(golden, name):
    params, _ = golden_darts.cell(golden, name, NET)
    assert jax.tree.map(np.shape, params) == spec._cell_shapes(NET, CELLS[name])


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("shared_map", [False, True])
def test_derivatives_of_the_mixture(shared_map, members):
    """`_combine` has its own gradient; so must the gradient of that."""
    if shared_map and members > 1:
        pytest.skip("a family has a map for each edge")
    sources, edges, size = 2, 3, (2, 4, 5, 3)
    rng = np.random.default_rng(0)
    rows = edges * members
    feature, u = rng.normal(size=(2, sources, 1 if shared_map else rows, *size))
    scale, v = rng.normal(size=(2, sources, rows, size[0]))
    g = rng.normal(size=(edges, *size))

    def combine(feature, scale):
        return cell._combine(feature, scale, members)

    def plain(feature, scale):
        wide = jnp.broadcast_to(feature, (sources, rows, *size))
        wide = wide.reshape(sources, edges, members, *size)
        weight = scale.reshape(sources, edges, members, size[0])
        return jnp.einsum("sefchwn,sefc->echwn", wide, weight)

    def derivatives(function, operands):
        feature, scale, g, u, v = operands

        def gradients(feature, scale, g):
            return jax.vjp(function, feature, scale)[1](g)

        first, pull = jax.vjp(gradients, feature, scale, g)
        return function(feature, scale), first, pull((u, v))

    with jax.enable_x64(True):
        actual, expected = (
            jax.jit(functools.partial(derivatives, function))((feature, scale, g, u, v))
            for function in (combine, plain)
        )
    assert_trees_close(actual, expected, atol=1e-10)


def test_edges_are_split_and_joined_in_order():
    net = spec.SupernetSpec(
        num_cells=1, channels=2, num_classes=2, image_shape=(4, 4, 1), num_steps=3
    )
    per_edge = jnp.arange(2.0 * len(net.edges)).reshape(-1, 2)
    strided = per_edge[: spec.num_strided_edges(net)]
    tree = {"a": {"bn": per_edge}, "b": {"bn": strided}}
    groups = cell._split_edges(tree, net)
    for group, part in zip(net.groups, groups, strict=True):
        for s, e in np.ndindex(len(group.sources), len(group.targets)):
            edge = (group.sources[s], group.targets[e] + spec.NUM_INPUTS)
            row = per_edge[net.edges.index(edge)]
            np.testing.assert_array_equal(part["a"]["bn"][s, e], row)
    present = [
        {k: v for k, v in part.items() if v["bn"] is not None} for part in groups
    ]
    assert_trees_close(cell._join_edges(present), tree, atol=0)
