"""Forests as tables of masks against walks through the trees and the real libraries."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import lightgbm
import numpy as np
import pytest
from reference import plain_forest
from sklearn.multioutput import RegressorChain

from nasjax.core import arrays, errors, formulation
from nasjax.nasbench.surrogate.trees import (
    lightgbm_text,
    memory_layout,
    quickscorer,
    tree_arrays,
)
from nasjax.nasbench.surrogate.trees.forest import Chain, Forest

NUMBERS = [-2.0, -1.0, -1e-36, 0.0, 1e-36, 0.5, 1.0, 2.0, np.pi, 1e-30, 3e9, 1e300]
BORDERS = [0.0, -0.0, -0.5, 7.5, 1e-35, -1e-35, np.inf, -np.inf, np.nan, 1e38, -7.0]


def grow(rng, num_leaves):
    """Children of a random binary tree: any leaf may be the next to be split."""
    left, right, parent = [], [], {0: None}
    for node in range(num_leaves - 1):
        leaf = int(rng.integers(node + 1))
        if parent[leaf] is not None:
            above, side = parent[leaf]
            side[above] = node
        left.append(-1 - leaf)
        right.append(-2 - node)
        parent[leaf], parent[node + 1] = (node, left), (node, right)
    return left, right


def random_trees(seed, sizes, library="lightgbm", num_features=4, numbers=NUMBERS):
    """Every kind of split at random thresholds; the last feature has categories."""
    rng = np.random.default_rng(seed)
    shapes = [grow(rng, size) for size in sizes]
    count = sum(sizes) - len(sizes)
    sets = [np.unique(rng.integers(0, 9, rng.integers(1, 6))) for _ in range(12)]
    feature = rng.integers(0, num_features, count)
    categorical = feature == num_features - 1
    rules = rng.integers(0, 3, count) if library == "lightgbm" else np.full(count, 2)
    kind = rng.integers(0, 2, count) * tree_arrays.DEFAULT_LEFT + 4 * rules
    only_bit = tree_arrays.CATEGORICAL
    if library == "xgboost":
        only_bit += rng.integers(0, 2, count) * tree_arrays.DEFAULT_LEFT
    threshold = rng.choice(numbers, count)
    if library == "xgboost":
        rounded = np.clip(threshold, -1e38, 1e38).astype(np.float32)
        threshold = np.nextafter(rounded, np.float32(-np.inf)).astype(np.float64)
    return tree_arrays.build(
        num_features=num_features,
        library=library,
        bias=0.25,
        num_leaves=sizes,
        feature=feature,
        kind=np.where(categorical, only_bit, kind),
        threshold=np.where(categorical, rng.integers(0, 12, count), threshold),
        left=[child for left, _ in shapes for child in left],
        right=[child for _, right in shapes for child in right],
        value=rng.normal(size=sum(sizes)),
        set_start=np.cumsum([0, *map(len, sets)]),
        set_members=np.concatenate(sets),
    )


def border_inputs(model, batch, dtype, seed=0, numbers=NUMBERS):
    """Thresholds, the numbers right beside them, and other borders."""
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        at = np.array(numbers).astype(dtype)
        beside = [np.nextafter(at, dtype(side)) for side in (-np.inf, np.inf)]
        known = np.concatenate([at, *beside, np.array(BORDERS, dtype)])
    # Compiled code takes subnormal numbers for zero.
    known = known[
        (np.abs(known) >= np.finfo(dtype).tiny) | (known == 0) | (known != known)
    ]
    known = np.concatenate([known, np.arange(12, dtype=dtype)])
    return rng.choice(known, (batch, model.num_features))


@functools.cache
def predictor():
    return jax.jit(lambda forest, xs: forest.predict_batch(xs))


SHAPES = {
    "several": [9, 1, 40, 3, 17, 2],
    "beyond_a_mask": [150, 5, 66, 65, 64],
    "constant": [1, 1],
    "bytes": [9] * 7,
}


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES.keys())
def test_every_input_reaches_the_leaf_that_a_walk_reaches(sizes, library):
    model = random_trees(1, sizes, library)
    for wide in (False, True):
        with jax.enable_x64(wide):
            dtype = np.float64 if wide else np.float32
            xs = border_inputs(model, 12, dtype)
            found = predictor()(Forest.build(model), xs)
            assert found.dtype == dtype
            expected = plain_forest.predict(model, xs.astype(np.float64))
            tolerance = 1e-12 if wide else 2e-6
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def test_a_float32_never_falls_between_a_threshold_and_its_rounding():
    rng = np.random.default_rng(0)
    thresholds = rng.normal(size=50)
    rounded = quickscorer.round_down(thresholds, np.dtype(np.float32))
    near = thresholds.astype(np.float32)
    for x in (near, np.nextafter(near, np.float32(9)), np.nextafter(near, -near)):
        np.testing.assert_array_equal(x.astype(float) <= thresholds, x <= rounded)
    assert quickscorer.round_down(np.array([1e-42]), np.dtype(np.float32)) == 0


def test_features_with_many_codes_are_stepped_through(monkeypatch):
    numbers = np.random.default_rng(5).normal(size=400).tolist()
    model = random_trees(2, [30, 7, 70], numbers=numbers)
    tables = Forest.build(model)
    monkeypatch.setattr(quickscorer, "MAX_ROWS", 20)
    stepped = Forest.build(model)
    assert not tables.steps and len(stepped.steps) == 3
    assert stepped.rows.shape[0] < tables.rows.shape[0]
    for batch in (12, 40):
        xs = border_inputs(model, batch, np.float32, numbers=numbers)
        expected = plain_forest.predict(model, xs.astype(np.float64))
        for forest in (tables, stepped):
            found = predictor()(forest, xs)
            np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.fixture(scope="module")
def small_chain():
    """Three components whose trees fill more than one slab, and plain predictions."""
    sizes = [5, 12, 1, 30] * 70
    models = [
        random_trees(10 + j, sizes if j == 1 else [6, 7], num_features=4 + j)
        for j in range(3)
    ]
    xs = border_inputs(models[0], 60, np.float32)
    expected = xs.astype(np.float64)
    for model in models:
        own = plain_forest.predict(model, expected)
        expected = np.concatenate([expected, np.float32(own)[:, None]], axis=1)
    return Chain.build(models), xs, expected[:, 4:]


def test_a_chain_feeds_its_predictions_on_in_batches_of_any_size(
    small_chain, monkeypatch
):
    chain, xs, expected = small_chain
    assert chain.forests[1].rows.shape[1] > 1
    single = jax.jit(chain.predict)(xs[0])
    np.testing.assert_allclose(single, expected[0], atol=2e-5)
    batch = jax.jit(jax.vmap(chain.predict))(xs)
    np.testing.assert_allclose(batch, expected, atol=2e-5)
    # Parts and chunks that do not divide the batch.
    monkeypatch.setattr(memory_layout, "_FEW", 2)
    monkeypatch.setattr(memory_layout, "_TOGETHER", 7)
    monkeypatch.setattr(memory_layout, "_CHUNK", {True: 16, False: 16})
    chunked = jax.jit(lambda c, xs: jax.vmap(c.predict)(xs))(chain, xs[:57])
    np.testing.assert_allclose(chunked, expected[:57], atol=2e-5)


def test_the_stages_of_a_query_are_compiled_apart_on_cpus(small_chain):
    """Where the compiler sees through the conditionals, queries are far slower."""
    chain, xs, _ = small_chain
    for query, operands in (
        (lambda c, xs: c.predict_batch(xs), (chain, xs[:12])),
        (lambda xs: chain.predict_batch(xs), (xs[:12],)),
        (lambda xs: jax.vmap(chain.predict)(xs), (xs,)),
    ):
        compiled = jax.jit(query).lower(*operands).compile().as_text()
        assert compiled.count(" conditional(") == 2 * chain.num_components


def test_accelerators_are_traced_plainly_and_compute_the_same(small_chain):
    chain, xs, expected = small_chain
    with formulation.use(formulation.LAX):
        found = jax.jit(lambda c, xs: c.predict_batch(xs))(chain, xs)
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_vmaps_nest_and_several_forests_can_be_mapped_over():
    model = random_trees(3, [9, 4, 20])
    xs = border_inputs(model, 24, np.float32)
    forest = Forest.build(model)
    expected = plain_forest.predict(model, xs.astype(np.float64))
    nested = jax.jit(jax.vmap(jax.vmap(forest.predict)))(xs.reshape(6, 4, -1))
    np.testing.assert_allclose(nested.reshape(-1), expected, atol=2e-6)
    scales = jnp.array([1.0, -2.0])
    both = jax.vmap(lambda s: forest.replace(values=s * forest.values))(scales)
    both = both.replace(bias=forest.bias * scales)
    over = jax.jit(jax.vmap(lambda f, xs: f.predict_batch(xs), (0, None)))(both, xs)
    np.testing.assert_allclose(over, np.outer(scales, expected), atol=1e-5)
    each = jax.jit(jax.vmap(lambda f, x: f.predict(x)))(both, xs[:2])
    np.testing.assert_allclose(each, scales * expected[:2], atol=1e-5)


def fitted_regressors(seed=0):
    """A RegressorChain of LightGBM on integers, its inputs and the curves' decoder."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 7, (600, 6)).astype(np.float64)
    t = np.linspace(0, 1, 20)
    level = np.sin(x[:, :1]) + (x[:, 1:2] * x[:, 2:3]) % 3
    curves = (
        90 + level * 2 - (20 + x[:, 3:4]) * np.exp(-5 * t) + rng.normal(size=(600, 20))
    )
    u, s, v = np.linalg.svd(curves, full_matrices=False)
    spread = u[:, :4].std(axis=0)
    codes = (u[:, :4] - u[:, :4].mean(axis=0)) / spread
    base = lightgbm.LGBMRegressor(
        n_estimators=60, num_leaves=40, min_child_samples=5, n_jobs=1, verbose=-1
    )
    chain = RegressorChain(base).fit(x[:500], codes[:500])
    unseen = rng.integers(-1, 7, (3000, 6)).astype(np.float64)
    return chain, unseen, (spread * s[:4])[:, None] * v[:4]


def distance_to_thresholds(models, features):
    """The least distance of each row's chained features to any of their thresholds."""
    nearest = np.full(len(features), np.inf)
    for model in models:
        for column in range(6, model.num_features):
            cuts = np.unique(model.threshold[model.feature == column])
            if len(cuts):
                gaps = np.abs(features[:, column : column + 1] - cuts[None])
                nearest = np.minimum(nearest, gaps.min(axis=1))
    return nearest


def test_curves_of_a_chain_are_those_of_sklearn_s_regressor_chain():
    fitted, x, decoder = fitted_regressors()
    expected = fitted.predict(x)
    models = [lightgbm_text.parse(each) for each in fitted.estimators_]
    near = distance_to_thresholds(models, np.concatenate([x, expected], axis=1)) < 1e-6
    assert near.mean() <= 0.001  # those may take another way in float32
    predict = jax.jit(lambda chain, xs: jax.vmap(chain.predict)(xs))
    found = np.asarray(predict(Chain.build(models), x.astype(np.float32)), np.float64)
    gaps = np.abs((found - expected) @ decoder).max(axis=1)
    assert gaps[~near].max() <= 1e-4  # percent points
    with jax.enable_x64(True):
        found = np.asarray(predict(Chain.build(models), x))
    assert np.abs((found - expected) @ decoder).max() <= 1e-10


def test_independent_components_do_not_see_each_other():
    models = [random_trees(20 + j, [7, 9]) for j in range(2)]
    xs = border_inputs(models[0], 12, np.float32)
    chain = Chain.build(models, chained=False)
    expected = [plain_forest.predict(m, xs.astype(np.float64)) for m in models]
    np.testing.assert_allclose(
        predictor()(chain, xs), np.transpose(expected), atol=2e-6
    )
    with pytest.raises(ValueError, match="takes 5, not 4"):
        Chain.build(models)


def test_a_chain_comes_back_from_a_file(small_chain, tmp_path):
    chain, _, _ = small_chain
    path = tmp_path / "chain.safetensors"
    stored, metadata = chain.to_arrays()
    arrays.save(path, stored, metadata=metadata)
    again = Chain.from_arrays(arrays.load(path), arrays.load_metadata(path))
    assert jax.tree.structure(again) == jax.tree.structure(chain)
    jax.tree.map(np.testing.assert_array_equal, again, chain)
    assert sum(a.nbytes for a in stored.values()) < chain.num_bytes / 2
    del stored["value"]
    with pytest.raises(errors.DataError, match="value"):
        Chain.from_arrays(stored, metadata)


def test_inputs_of_another_shape_are_an_error(small_chain):
    chain, xs, _ = small_chain
    with pytest.raises(ValueError, match="vmap over several"):
        chain.predict(xs)
    with pytest.raises(ValueError, match=r"\(B, 4\)"):
        chain.predict_batch(xs[:, :3])


def test_fewer_joint_rows_take_less_memory_and_predict_the_same():
    model = random_trees(4, [9, 4, 20], numbers=[0.5, 1.5])
    xs = border_inputs(model, 12, np.float32, numbers=[0.5, 1.5])
    joint, apart = Forest.build(model), Forest.build(model, joint_rows=1)
    assert joint.offsets.shape[0] < apart.offsets.shape[0]
    np.testing.assert_array_equal(predictor()(joint, xs), predictor()(apart, xs))


@pytest.mark.parametrize("sizes", SHAPES.values(), ids=SHAPES.keys())
def test_plain_splits_in_one_go_are_those_decided_value_by_value(sizes, monkeypatch):
    """Tables of running ANDs have the same bits as those of every split and code."""
    numbers = [*np.random.default_rng(6).normal(size=9), *NUMBERS, -np.pi]
    for seed in range(5):
        model = random_trees(seed, sizes, numbers=numbers)
        # Missing values are zero, as after fitting to data without any; one feature
        # keeps its categories.
        kind = np.where(model.kind & tree_arrays.CATEGORICAL, model.kind, 0)
        model = dataclasses.replace(model, kind=kind.astype(np.uint8))
        together = Forest.build(model)
        with monkeypatch.context() as patched:
            patched.setattr(
                quickscorer, "_is_plain", lambda trees: np.zeros(len(trees.kind), bool)
            )
            one_by_one = Forest.build(model)
        ours, theirs = (jax.tree.leaves(f) for f in (together, one_by_one))
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)
