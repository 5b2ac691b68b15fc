"""Features of the surrogates against plain code and the official configuration."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_encodings as plain
from reference import plain_nasbench101
from shared import shared_file

from nasjax import spaces
from nasjax.core.errors import ConfigError
from nasjax.nasbench.readers import nasbench_nlp as reader
from nasjax.nasbench.readers import nasbench_x11
from nasjax.nasbench.surrogate import features, features_nasbench301
from nasjax.spaces import nasbench101_notation as notation
from nasjax.spaces import nasbench201, nasbench_nlp_recipes


def encode(name, archs, *extras):
    return np.asarray(jax.jit(jax.vmap(features.make(name).encode))(archs, *extras))


def cells_darts(count):
    rng = np.random.default_rng(count)
    pairs = rng.integers(0, 7, (count, 2, 4, 2, 2))
    for step in range(4):
        order = rng.random((count, 2, step + 2)).argsort(axis=-1)
        pairs[:, :, step, :, 1] = order[..., :2]
    return pairs.reshape(count, 2, 8, 2).astype(np.int32)


def test_every_entry_says_what_it_takes_and_gives():
    for name, entry in features.FEATURES.items():
        assert entry.name == name
        genes = jax.ShapeDtypeStruct((spaces.make(entry.space).num_genes,), np.int32)
        measured = jax.ShapeDtypeStruct((len(entry.extras),), np.float32)
        row = jax.eval_shape(entry.encode, genes, measured)
        assert row.shape == (entry.size,) and row.dtype == np.float32
        if not entry.extras:
            assert jax.eval_shape(entry.encode, genes).shape == (entry.size,)
        assert jax.eval_shape(entry.fits, genes).shape == ()
    # The names that official checkpoints stand for, and their sizes.
    for (size, _), name in nasbench_x11.KINDS.items():
        assert features.make(name).size == size
    with pytest.raises(ConfigError, match="unknown features 'nasbench11'.*did you"):
        features.make("nasbench11")


def test_nasbench111():
    rng = np.random.default_rng(0)
    cells = []
    while len(cells) < 100:
        cell = plain_nasbench101.random_cell(rng)
        if plain_nasbench101.is_valid(*cell):
            cells.append(cell)
    archs = np.stack([notation.encode(*cell) for cell in cells])
    accuracies = rng.random((len(cells), 4), np.float32)
    expected = [plain.adjacency_101(*notation.pruned(*cell))[0] for cell in cells]
    found = encode("nasbench111", archs, accuracies)
    np.testing.assert_array_equal(found[:, :26], expected)
    np.testing.assert_array_equal(found[:, 26:], accuracies)
    np.testing.assert_array_equal(encode("nasbench111_cell", archs), found[:, :26])


# The vector that ConfigSpace 0.6.1 gives for these genes (-1 for its NaN), and the
# values of its 22 constant columns.
GENES_311 = [
    4,
    0,
    3,
    1,
    0,
    1,
    0,
    2,
    6,
    1,
    3,
    3,
    1,
    0,
    5,
    2,
    0,
    1,
    2,
    0,
    5,
    0,
    1,
    2,
    3,
    1,
    0,
    0,
    0,
    2,
    0,
    3,
]
VECTOR_311 = [
    0.5863451791322545,
    0,
    0,
    0,
    0.16666444442962952,
    0.3099999239999697,
    0,
    0,
    0,
    0,
    4,
    3,
    2,
    0,
    0.003149999006299998,
    2,
    4,
    1,
    1,
    0,
    7,
    0.000749999001499998,
    0,
    0,
    -3.6888794541139363,
    0.8988764044943821,
    -8.111728083308073,
    0.009949999019899998,
    1e-12,
    0,
    0,
    0.7051278400653053,
    -1,
    5,
    -1,
    -1,
    -1,
    0,
    0,
    -1,
    6,
    -1,
    3,
    1,
    -1,
    0,
    0,
    -1,
    5,
    -1,
    1,
    0,
    3,
    -1,
    -1,
    -1,
]


def test_nasbench311_is_the_vector_of_the_configuration_space():
    assert (
        len(features_nasbench301.COLUMNS) == 56
        and len(features_nasbench301.CONSTANTS) == 22
    )
    found = encode("nasbench311", np.array([GENES_311], np.int32))[0]
    np.testing.assert_allclose(found, VECTOR_311, rtol=2e-7, atol=1e-12)


def test_nasbench311_by_the_names_of_its_columns():
    pairs = cells_darts(50)
    found = encode("nasbench311", pairs.reshape(50, -1))
    expected = [
        plain.columns_311(c, features_nasbench301.COLUMNS) for c in pairs.tolist()
    ]
    moves = [
        name not in features_nasbench301.CONSTANTS
        for name in features_nasbench301.COLUMNS
    ]
    assert sum(moves) == 34
    np.testing.assert_array_equal(found[:, moves], np.array(expected)[:, moves])
    # Neither the order of two inputs nor writing an equal cell twice matters.
    swapped = pairs.reshape(50, 2, 4, 2, 2)[:, :, :, ::-1].reshape(50, -1)
    np.testing.assert_array_equal(encode("nasbench311", swapped), found)
    twice = np.concatenate([pairs[:, :1], pairs[:, :1]], axis=1).reshape(50, -1)
    one = encode("nasbench311", pairs[:, 0].reshape(50, -1))
    np.testing.assert_array_equal(encode("nasbench311", twice), one)


def test_nasbench211():
    archs = nasbench201.enumerate_cells()[:300]
    official = "avg_pool_3x3 nor_conv_1x1 nor_conv_3x3 none skip_connect".split()
    expected = [
        [
            official.index(token.split("~")[0])
            for token in text.split("|")
            if "~" in token
        ]
        for text in map(nasbench201.format_arch, archs)
    ]
    np.testing.assert_array_equal(encode("nasbench211", archs), expected)
    both = encode("nasbench211_paths", archs)
    one_hot = np.eye(5)[archs].reshape(300, 30)
    np.testing.assert_array_equal(both[:, :30], one_hot)
    np.testing.assert_array_equal(encode("nasbench211_one_hot", archs), one_hot)
    known = plain.sequences((1, 2, 3, 4), (1, 2, 3))
    paths = [plain.counts(plain.paths_201(arch), known) for arch in archs]
    np.testing.assert_array_equal(both[:, 30:], paths)


def chain(length):
    """A recipe of `length` nodes, which all count."""
    recipe = {"n0": {"op": "linear", "input": ["x", "h_prev_0"]}}
    for i in range(1, length):
        name = "h_new_0" if i == length - 1 else f"n{i}"
        recipe[name] = {"op": "activation_tanh", "input": [f"n{i - 1}"]}
    return recipe


RECIPES = [
    chain(2),
    chain(8),
    {
        "a": {"op": "linear", "input": ["x", "h_prev_0", "h_prev_2"]},
        "h_new_2": {"op": "activation_sigm", "input": ["a"]},
        "b": {"op": "elementwise_sum", "input": ["a", "h_prev_1"]},
        "h_new_0": {"op": "blend", "input": ["h_new_2", "b", "h_prev_1"]},
        "h_new_1": {"op": "elementwise_prod", "input": ["b", "h_new_0"]},
    },
]


def genes(recipes):
    return np.stack([nasbench_nlp_recipes.parse_arch(json.dumps(r)) for r in recipes])


def test_nasbench_nlp11():
    archs = genes(RECIPES)
    scores = 100 - np.array([[7.5, 6.0, 5.5]] * 3, np.float32)
    found = encode("nasbench_nlp11", archs, scores)
    expected = np.array([plain.features_nlp11(recipe) for recipe in RECIPES])
    assert expected.shape == (3, 185) and expected[2, -3:].tolist() == [5, 7, 8]
    np.testing.assert_array_equal(found[:, :185], expected)
    np.testing.assert_array_equal(found[:, 185:], scores)
    cells = encode("nasbench_nlp11_cell", archs)
    np.testing.assert_array_equal(cells, expected)


def test_only_recipes_of_twelve_vertices_fit():
    fits = jax.jit(jax.vmap(features.make("nasbench_nlp11").fits))
    found = fits(genes([chain(2), chain(8), chain(9), chain(15)]))
    assert found.tolist() == [True, True, False, False]
    assert bool(features.make("nasbench211").fits(jnp.zeros(6, jnp.int32)))


def test_real_recipes_as_the_official_code_lists_them():
    path = shared_file("data/nasbench_nlp/train_logs_wikitext-2/logs.zip")
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        contents = [archive.read(name) for name in names]
    recipes = [json.loads(json.loads(content)["recepie"]) for content in contents]
    archs = np.stack([reader.parse_log(c, name="log").arch for c in contents])
    fits = np.asarray(jax.jit(jax.vmap(features.fits_nlp11))(archs))
    assert fits.tolist() == [len(recipe) + 4 <= 12 for recipe in recipes]
    found = encode("nasbench_nlp11_cell", archs)[fits]
    official = [r for r, fit in zip(recipes, fits.tolist(), strict=True) if fit]
    expected = np.array([plain.features_nlp11(recipe) for recipe in official])
    same = (found == expected).all(axis=1)
    # The others list nodes before their inputs, and wait for them in another order.
    assert same.mean() > 0.98
    for row, other in zip(found[~same], expected[~same], strict=True):
        assert row[:169].sum() == other[:169].sum()
        assert sorted(row[169:182]) == sorted(other[169:182])
