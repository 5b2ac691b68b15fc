"""Adjacency and path encodings against plain enumeration."""

import json

import jax
import numpy as np
import pytest
from reference import plain_encodings as plain
from reference import plain_nasbench101

from nasjax import encoders, spaces
from nasjax.core.errors import ConfigError
from nasjax.encoders import adjacency, paths
from nasjax.spaces import nasbench101, nasbench201, nasbench_nlp
from nasjax.spaces import nasbench101_notation as notation

SPACES = ("nasbench101", "nasbench201", "darts", "darts_shared", "nasbench_nlp")


def cells_101(seed=0, count=200):
    rng = np.random.default_rng(seed)
    cells = [plain_nasbench101.random_cell(rng) for _ in range(count)]
    return cells, np.stack([notation.encode(*cell) for cell in cells])


def cells_darts(num_cells=2, count=60, num_ops=7):
    """Pairs `[count, num_cells, 8, 2]`."""
    rng = np.random.default_rng(num_ops)
    pairs = np.empty((count, num_cells, 4, 2, 2), np.int32)
    pairs[..., 0] = rng.integers(0, num_ops, pairs.shape[:-1])
    for step in range(4):
        order = rng.random((count, num_cells, step + 2)).argsort(axis=-1)
        pairs[:, :, step, :, 1] = order[..., :2]
    return pairs.reshape(count, num_cells, 8, 2)


def cells_201(count=400):
    return nasbench201.enumerate_cells()[:count]


RECIPES = [
    {
        "a": {"op": "linear", "input": ["x", "h_prev_0"]},
        "h_new_0": {"op": "activation_tanh", "input": ["a"]},
    },
    {
        "a": {"op": "linear", "input": ["x", "h_prev_0", "h_prev_1"]},
        "h_new_1": {"op": "activation_sigm", "input": ["a"]},
        "b": {"op": "elementwise_sum", "input": ["a", "h_prev_0"]},
        "h_new_0": {"op": "blend", "input": ["h_new_1", "b", "h_prev_1"]},
    },
]


def genes_nlp():
    return np.stack([nasbench_nlp.recipes.parse_arch(json.dumps(r)) for r in RECIPES])


def archs_of(space):
    pairs = {"darts": 2, "darts_shared": 1}
    if space in pairs:
        return cells_darts(pairs[space]).reshape(60, -1)
    known = {"nasbench101": lambda: cells_101()[1], "nasbench201": cells_201}
    return known.get(space, genes_nlp)()


def batch(name, space, **options):
    encode = jax.jit(jax.vmap(encoders.make(name, space, **options)))
    return np.asarray(encode(archs_of(space)))


def test_every_encoding_of_every_space():
    """Shapes and types, and which spaces have none."""
    sizes = {
        "adjacency_one_hot": (26, 30, 196, 98, 315),
        "adjacency_categorical": (26, 6, 32, 16, None),
        "adjacency_continuous": (27, 30, 196, 98, None),
        "path_one_hot": (364, 84, 11_200, 5_600, None),
        "path_one_hot_truncated": (40, 20, 224, 112, None),
        "path_categorical": (20, 4, 60, 30, None),
        "path_categorical_truncated": (20, 4, 60, 30, None),
        "path_continuous": (365, 85, 11_202, 5_601, None),
        "path_continuous_truncated": (41, 21, 226, 113, None),
        "path_counts": (364, 84, 11_200, 5_600, None),
    }
    assert set(sizes) == set(encoders.ENCODINGS) and set(SPACES) == set(spaces.SPACES)
    for name, row in sizes.items():
        for space, size in zip(SPACES, row, strict=True):
            if size is None:
                with pytest.raises(ConfigError, match=f"encodings?.*{space!r}"):
                    encoders.make(name, space)
                continue
            encode = encoders.make(name, space)
            archs = archs_of(space)
            one = jax.eval_shape(encode, archs[0])
            assert one.shape == (size,) and one.dtype == np.float32, (name, space)


def test_one_cell_gives_what_a_batch_gives():
    for name, space in [
        ("path_categorical", "nasbench101"),
        ("adjacency_categorical", "darts"),
    ]:
        together = batch(name, space)
        encode = jax.jit(encoders.make(name, space))
        for i in (0, 7):
            np.testing.assert_array_equal(together[i], encode(archs_of(space)[i]))


def test_adjacency_of_nasbench101():
    cells, _ = cells_101()
    expected = [plain.adjacency_101(*cell) for cell in cells]
    for k, form in enumerate(("one_hot", "categorical", "continuous")):
        found = batch(f"adjacency_{form}", "nasbench101")
        np.testing.assert_array_equal(found, np.array([row[k] for row in expected]))


def test_adjacency_of_nasbench201():
    archs = cells_201()
    expected = np.eye(5)[archs].reshape(len(archs), 30)
    for form in ("one_hot", "continuous"):
        found = batch(f"adjacency_{form}", "nasbench201")
        np.testing.assert_array_equal(found, expected)
    found = batch("adjacency_categorical", "nasbench201")
    np.testing.assert_array_equal(found, archs)


@pytest.mark.parametrize("space", ["darts", "darts_shared"])
def test_adjacency_of_darts(space):
    pairs = cells_darts(2 if space == "darts" else 1)
    expected = [plain.adjacency_darts(cells) for cells in pairs.tolist()]
    for k, form in enumerate(("one_hot", "categorical")):
        found = batch(f"adjacency_{form}", space)
        np.testing.assert_array_equal(found, np.array([row[k] for row in expected]))


def test_none_is_no_edge_and_cuts_paths():
    pairs = cells_darts(1, num_ops=8)
    assert (pairs[..., 0] == 7).any()
    archs = pairs.reshape(len(pairs), -1)
    found = jax.jit(jax.vmap(adjacency.one_hot("darts_shared")))(archs)
    expected = [plain.adjacency_darts(cells)[0] for cells in pairs.tolist()]
    np.testing.assert_array_equal(found, np.array(expected))
    listed = jax.jit(jax.vmap(paths.paths("darts_shared")))(archs)
    there = np.asarray(listed.there).sum(axis=(1, 2))
    np.testing.assert_array_equal(
        there, [len(plain.paths_darts(cell)) for (cell,) in pairs]
    )


def test_adjacency_of_recipes():
    found = batch("adjacency_one_hot", "nasbench_nlp")
    pairs = [(i, j) for j in range(4, 19) for i in range(j)]
    for row, recipe in zip(found, RECIPES, strict=True):
        edges, ops, hidden = plain.compact(recipe)
        bits, nodes, states = np.split(row, [165, 270])
        present = [pairs[k] for k in np.flatnonzero(bits)]
        assert set(present) == set(edges) and bits.sum() == len(edges)
        nodes, states = nodes.reshape(15, 7), states.reshape(3, 15)
        assert nodes.sum() == len(ops) - 4
        assert nodes.argmax(axis=1)[: len(ops) - 4].tolist() == [
            op - 1 for op in ops[4:]
        ]
        order = [name for name in recipe if name.startswith("h_new")]
        where = dict(zip(order, hidden, strict=True))
        for k, state in enumerate(states):
            name = f"h_new_{k}"
            assert np.flatnonzero(state).tolist() == (
                [where[name] - 4] if name in where else []
            )


def expected_counts(space):
    """Plain counts, the numbers of the paths cell by cell, and sizes of truncation."""
    if space == "nasbench101":
        known = plain.sequences(plain.OPS_101, range(6))
        found = [[plain.paths_101(*cell)] for cell in cells_101()[0]]
    elif space == "nasbench201":
        known = plain.sequences((1, 2, 3, 4), (1, 2, 3))
        found = [[plain.paths_201(cell)] for cell in cells_201()]
    else:
        ops = plain.sequences(range(7), (1, 2, 3, 4))
        known = [(sequence, start) for sequence in ops for start in (0, 1)]
        found = [[plain.paths_darts(cell) for cell in c] for c in cells_darts()]
    place = {sequence: k for k, sequence in enumerate(known)}
    numbers = [
        [sorted(place[sequence] for sequence in cell) for cell in cells]
        for cells in found
    ]
    return known, numbers


@pytest.mark.parametrize(
    "space, short, first, slots",
    [("nasbench101", 40, 0, 20), ("nasbench201", 20, 1, 4), ("darts", 112, 1, 30)],
)
def test_paths(space, short, first, slots):
    known, numbers = expected_counts(space)
    num_cells = len(numbers[0])
    expected = np.zeros((len(numbers), num_cells, len(known)))
    for i, cells in enumerate(numbers):
        for c, found in enumerate(cells):
            np.add.at(expected[i, c], found, 1)
    assert expected.max() > 1

    def flat(values):
        return values.reshape(len(numbers), -1)

    np.testing.assert_array_equal(batch("path_counts", space), flat(expected))
    bits = np.minimum(expected, 1)
    np.testing.assert_array_equal(batch("path_one_hot", space), flat(bits))
    truncated = batch("path_one_hot_truncated", space)
    np.testing.assert_array_equal(truncated, flat(bits[..., :short]))
    for name, size in [("path_continuous", None), ("path_continuous_truncated", short)]:
        weights = bits[..., :size]
        numbers_kept = weights.sum(axis=-1, keepdims=True)
        expected_weights = flat(np.concatenate([weights, numbers_kept], axis=-1))
        np.testing.assert_array_equal(batch(name, space), expected_weights)

    def lists(size):
        rows = np.zeros((len(numbers), num_cells, slots))
        for i, cells in enumerate(numbers):
            for c, found in enumerate(cells):
                kept = [k + first for k in found if k < size][:slots]
                rows[i, c, : len(kept)] = kept
        return flat(rows)

    np.testing.assert_array_equal(batch("path_categorical", space), lists(10**6))
    found = batch("path_categorical_truncated", space)
    np.testing.assert_array_equal(found, lists(short))


def test_paths_of_a_cell_forget_its_form():
    """Neither pruning nor another order of the vertices changes them."""
    rng = np.random.default_rng(5)
    cells, archs = cells_101(seed=5)
    encode = jax.jit(jax.vmap(paths.counts("nasbench101")))
    expected = np.asarray(encode(archs))
    other = [plain_nasbench101.permuted(rng, *cell) for cell in cells]
    found = encode(np.stack([notation.encode(*cell) for cell in other]))
    np.testing.assert_array_equal(found, expected)
    pruned = jax.jit(jax.vmap(nasbench101.prune))(archs)
    np.testing.assert_array_equal(encode(pruned), expected)


def test_other_lengths_and_slots():
    found = batch("path_one_hot_truncated", "nasbench101", max_ops=1)
    whole = batch("path_one_hot", "nasbench101")
    np.testing.assert_array_equal(found, whole[:, :4])
    assert batch("path_categorical", "nasbench101", slots=3).shape == (200, 3)


def test_unknown_names_are_config_errors():
    with pytest.raises(ConfigError, match="unknown encoding 'path_onehot'.*did you"):
        encoders.make("path_onehot", "nasbench101")
    with pytest.raises(ConfigError, match="did you mean 'nasbench101'"):
        encoders.make("path_one_hot", "nasbench_101")
    with pytest.raises(ConfigError, match="option of the encoding.*'max_op'"):
        encoders.make("path_one_hot_truncated", "nasbench101", max_op=2)
    for max_ops in (0, 6):
        with pytest.raises(ConfigError, match=f"must be 1 to 5, not {max_ops}"):
            encoders.make("path_one_hot_truncated", "nasbench101", max_ops=max_ops)
