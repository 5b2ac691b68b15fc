"""What an encoder can tell apart: colours against encodings and plain classes."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nasjax import spaces
from nasjax.encoders.cate import distinct, model, pretraining, settings
from nasjax.spaces import nasbench101_cells

SMALL = {
    "num_layers": 6,
    "num_cross_layers": 1,
    "width": 16,
    "num_heads": 4,
    "hidden": 16,
}
CASES = [
    ("thesis", {}),
    ("thesis", {"mask": "direct"}),
    ("thesis", {"mask": "both"}),
    ("thesis", {"direction": "bi"}),
    ("released", {}),
]


def make(space, variant, changes):
    return model.make(space, settings.variant(variant, **{**SMALL, **changes}))


def random_weights(made):
    weights = jax.jit(made.init)(jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: x + rng.normal(0, 0.1, x.shape), weights)


def encode(made, archs):
    """All of them, one by one: nothing is taken from another."""
    weights = jax.tree.map(jnp.float32, random_weights(made))
    graphs = pretraining.to_graphs(made.form, archs)

    @jax.jit
    def embed(graphs):
        return model.embed(
            made, weights, model.read(made, graphs.ops, graphs.adjacency)
        )

    return np.asarray(embed(graphs)), weights


@pytest.fixture(scope="module")
def archs():
    """1,000 random cells, half of them small ones, where more are alike."""
    keys = jax.random.split(jax.random.key(0), 500)
    drawn = jax.jit(jax.vmap(spaces.make("nasbench101").sample))(keys)
    small = nasbench101_cells.enumerate_cells(5).archs
    chosen = np.random.default_rng(0).permutation(len(small))[:500]
    return np.concatenate([np.asarray(drawn), small[chosen]])


@pytest.mark.parametrize(("variant", "changes"), CASES, ids=str)
def test_there_are_as_many_encodings_as_distinct_inputs(variant, changes, archs):
    made = make("nasbench101", variant, changes)
    first, place = distinct.classes(made, archs)
    vectors, weights = encode(made, archs)
    # The same class, the same encoding ...
    np.testing.assert_allclose(vectors, vectors[first][place], atol=1e-5)
    table = pretraining.embeddings(made, weights, archs)
    np.testing.assert_allclose(table, vectors, atol=1e-5)
    # ... and another class, another one.
    kept = vectors[first].astype(np.float64)
    gaps = ((kept[:, None] - kept[None]) ** 2).sum(2) + 9 * np.eye(len(kept))
    assert np.sqrt(gaps.min()) > 5e-4


def test_masks_of_both_kinds_tell_more_cells_apart(archs):
    found = {}
    for changes in ({}, {"mask": "direct"}, {"mask": "both"}, {"direction": "bi"}):
        first, _ = distinct.classes(make("nasbench101", "thesis", changes), archs)
        found[str(changes)] = len(first)
    assert found["{}"] <= found["{'direction': 'bi'}"] < found["{'mask': 'direct'}"]
    assert found["{'mask': 'direct'}"] <= found["{'mask': 'both'}"] <= len(archs)


def plain_classes(archs):
    """Unfoldings of the closure from the output, as nested tuples."""
    form = make("nasbench101", "thesis", {}).form
    graph = jax.vmap(form.to_graph)(jnp.asarray(archs))

    def unfold(ops, reached, node):
        above = [i for i in range(node) if reached[i, node]]
        return (ops[node], *sorted(unfold(ops, reached, i) for i in above))

    found = []
    for ops, adjacency in zip(graph.ops, graph.adjacency, strict=True):
        count = int((ops >= 0).sum())
        reached = np.asarray(adjacency)[:count, :count] > 0
        for _ in range(3):
            reached = reached | (reached @ reached)
        found.append(unfold(ops.tolist(), reached, count - 1))
    return found


def test_colours_are_the_unfoldings_of_a_cell():
    archs = nasbench101_cells.enumerate_cells(5).archs
    _, place = distinct.classes(make("nasbench101", "thesis", {}), archs)
    plainly = plain_classes(archs)
    assert len(set(plainly)) == place.max() + 1 == 1 + 3 + 15 + 100
    classes = collections.defaultdict(set)
    for number, tree in zip(place.tolist(), plainly, strict=True):
        classes[number].add(tree)
    assert all(len(trees) == 1 for trees in classes.values())


def test_vertices_on_no_path_are_not_there():
    parse = spaces.make("nasbench101").parse_arch
    used = parse("input,maxpool3x3,output|011/001/000")
    more = parse(
        "input,maxpool3x3,conv3x3-bn-relu,conv1x1-bn-relu,output|"
        "01011/00001/00001/00000/00000"
    )
    made = make("nasbench101", "thesis", {})
    vectors, _ = encode(made, np.stack([used, more]))
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_fewer_layers_see_less():
    space = spaces.make("darts_shared")
    archs = jax.jit(jax.vmap(space.sample))(jax.random.split(jax.random.key(0), 300))
    made = make("darts_shared", "thesis", {})
    assert len(distinct.classes(made, archs)[0]) == 300
    shallow = make("darts_shared", "thesis", {"num_layers": 1, "mask": "direct"})
    assert len(distinct.classes(shallow, archs)[0]) == 1
