"""Predictive performance, distances along walks and nearest neighbours."""

import itertools
import math
import types

import jax
import numpy as np
import pytest
from decoded_graphs import random_cells
from reference import plain_arch2vec_metrics as plain

from nasjax import spaces
from nasjax.core import errors
from nasjax.experiments import latent_walks as walks
from nasjax.experiments import predictive_performance as analysis
from nasjax.jobs.arch2vec import figures
from nasjax.jobs.arch2vec.settings import Analysis, Pretraining
from nasjax.report import latent_space
from nasjax.spaces import nasbench101, nasbench201

KEY = jax.random.key(0)


def surface(size=300, noise=0.0):
    """Vectors and accuracies around .8 that follow them smoothly."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(size, 4)).astype(np.float32)
    smooth = 0.8 + 0.03 * np.tanh(vectors[:, 0]) + 0.02 * vectors[:, 1]
    return vectors, (smooth + noise * rng.normal(size=size)).astype(np.float32)


def predictions(vectors, accuracy):
    keys = [jax.random.fold_in(KEY, seed) for seed in range(3)]
    return [
        analysis.predict(
            key, vectors, accuracy, analysis.split(key, len(vectors), num_train=60)
        )
        for key in keys
    ]


def test_a_smooth_surface_is_predicted_and_scored_as_by_numpy():
    vectors, accuracy = surface(noise=0.004)
    made = predictions(vectors, accuracy)
    found = analysis.predictive_performance(accuracy, made)
    rmse, pearson, high = [], [], []
    for tested, predicted in made:
        assert len(np.unique(tested)) == len(predicted) == 240
        true = accuracy[tested].astype(np.float64)
        rmse.append(np.sqrt(np.mean((true - predicted) ** 2)))
        pearson.append(np.corrcoef(true, predicted)[0, 1])
        kept = true > 0.8
        high.append(np.corrcoef(true[kept], predicted[kept])[0, 1])
    assert found["num_seeds"] == 3 and found["num_train"] == 60
    for name, values in (("rmse", rmse), ("pearson", pearson)):
        np.testing.assert_allclose(found[name]["mean"], np.mean(values), rtol=1e-6)
        np.testing.assert_allclose(found[name]["std"], np.std(values, ddof=1), 1e-5)
    restricted = found["restricted_above"]
    assert restricted["threshold"] == 0.8
    np.testing.assert_allclose(restricted["pearson"]["mean"], np.mean(high), rtol=1e-6)
    assert found["rmse"]["mean"] < 0.008 and found["pearson"]["mean"] > 0.95
    assert len(set(rmse)) == 3


def test_vectors_that_say_nothing_predict_nothing():
    vectors, accuracy = surface()
    shuffled = np.random.default_rng(1).permutation(accuracy)
    found = analysis.predictive_performance(
        shuffled, predictions(vectors, shuffled), restricted_above=0.99
    )
    assert abs(found["pearson"]["mean"]) < 0.3 or math.isnan(found["pearson"]["mean"])
    assert found["restricted_above"]["rmse"] is None


def test_predictions_that_cannot_be_made_are_refused():
    vectors, accuracy = surface()
    with pytest.raises(errors.ConfigError, match="num_train is 300 of 300"):
        analysis.split(KEY, 300, num_train=300)
    accuracy[7] = np.nan
    rows = analysis.split(KEY, 300, num_train=60)
    with pytest.raises(errors.DataError, match="not finite"):
        analysis.predict(KEY, vectors, accuracy, rows)
    with pytest.raises(errors.ConfigError, match="num_seeds is 0"):
        analysis.predictive_performance(accuracy, [])


def test_the_supervised_encoder_sees_the_labels_of_its_seed_only(monkeypatch, tmp_path):
    """Other accuracies of tested cells change no prediction of any representation."""
    archs = np.array(list(itertools.product((1, 2, 3), repeat=6)), np.int32)[::11]
    score = 0.8 + 0.1 * np.mean(archs == 3, axis=1).astype(np.float32)
    fitted = []

    def fit(key, known, accuracy, mask):
        """A stand-in that is cheap: vectors are genes times what it has learnt."""
        fitted.append((np.asarray(known), np.asarray(accuracy)))
        scale = jax.numpy.sum(accuracy)
        return types.SimpleNamespace(params={"network": scale}, moments=None)

    def embed(scale, _, archs):
        return np.asarray(archs, np.float32) * np.float32(scale)

    monkeypatch.setattr(figures, "_supervised", lambda space: (fit, embed))
    monkeypatch.setattr(latent_space, "draw_predictions", lambda *_, **__: None)
    rows = np.arange(1, len(archs))
    labelled = figures.Labelled("nasbench201", archs, rows, score[1:], "test")
    section = Analysis(num_train=20, num_seeds=2)
    splits = figures._splits(KEY, section, len(rows))
    assert not np.array_equal(splits[0].fitted, splits[1].fitted)
    changed = score[1:].copy()
    changed[splits[0].tested] += 0.05
    found = []
    for accuracy in (score[1:], changed):
        own = labelled._replace(accuracy=accuracy)
        made = figures.fit_supervised(KEY, own, splits[0])
        vectors = made.vectors[rows]
        found.append(analysis.predict(KEY, vectors, accuracy, splits[0]).predicted)
    np.testing.assert_array_equal(*found)
    known, accuracy = fitted[0]
    np.testing.assert_array_equal(known, archs[rows[splits[0].fitted]])
    np.testing.assert_array_equal(accuracy, score[1:][splits[0].fitted])
    assert not set(splits[0].fitted) & set(splits[0].tested)
    # Each seed has an encoder of its own, and rows say which cells they are over.
    fits = [figures.fit_supervised(KEY, labelled, split) for split in splits]
    learnt = {"thesis": [fits[0]] * 2, "supervised": fits}
    predictive = figures._predict(KEY, splits, labelled, learnt, tmp_path)
    made = Pretraining(space="nasbench201", variants=(), analysis=section)
    table = figures._rows_3_2(made, labelled, {"predictive": predictive})
    assert len(table) == 8 and {row["thesis"] for row in table} == {None}
    parts = [row["settings"]["rows"] for row in table]
    assert parts == ["all", "all", "above .8", "above .8"] * 2
    assert {row["num_seeds"] for row in table} == {2}


def test_edit_distances_are_computed_once_for_all_representations(
    monkeypatch, tmp_path
):
    calls = []

    def edits(first, second, space):
        calls.append(len(first))
        return np.sum(first != second, axis=1)

    monkeypatch.setattr(walks, "edits_between", edits)
    monkeypatch.setattr(latent_space, "draw_distances", lambda *_, **__: None)
    same = figures.Representation(np.zeros(1), lambda archs: np.asarray(archs) * 1.0)
    section = Analysis(random_walk=12)
    config = Pretraining(space="nasbench201", variants=(), analysis=section)
    found = figures._distances(KEY, config, {"a": same, "b": same}, tmp_path)
    assert calls == [sum(range(4, 12))]
    assert found["a"] == found["b"] and found["a"]["pairs"] == calls[0]


def test_a_random_walk_changes_one_operation_at_a_time():
    walk = walks.random_walk(KEY, spaces.make("nasbench201"), length=25)
    assert walk.shape == (25, 6) and nasbench201.is_valid(walk)
    assert np.all(np.sum(walk[1:] != walk[:-1], axis=1) == 1)
    assert len(np.unique(walk, axis=0)) > 12
    again = walks.random_walk(KEY, spaces.make("nasbench201"), length=25)
    np.testing.assert_array_equal(walk, again)


def test_distances_are_those_of_a_plain_search():
    """NAS-Bench-101, where cells are pruned: vectors whose distance is known."""
    walk = random_cells("nasbench101", np.random.default_rng(4), 12)
    made = walks.pairs_of_walk(walk, "nasbench101", max_lag=3)
    found = walks.distance_against_edits(made, walk[:, :3] * 2.0)
    pairs = [(t, t + lag) for lag in (1, 2, 3) for t in range(12 - lag)]
    assert found.lags.tolist() == [b - a for a, b in pairs]
    cells = [pruned(arch) for arch in walk]
    edits = [plain.edit_distance(cells[a], cells[b]) for a, b in pairs]
    np.testing.assert_array_equal(found.edits, edits)
    gaps = [2 * np.linalg.norm((walk[a] - walk[b])[:3]) for a, b in pairs]
    np.testing.assert_allclose(found.distances, gaps)
    assert max(edits) > 4
    groups = found.by_edits(max_edits=4)
    assert max(groups) <= 4
    for edit, distances in groups.items():
        expected = [g for g, e in zip(gaps, edits, strict=True) if e == edit]
        np.testing.assert_allclose(distances, expected)


def pruned(arch):
    graph = nasbench101.to_graph(arch)
    ops, n = np.asarray(graph.ops), int(graph.num_nodes)
    matrix = np.asarray(graph.adjacency)[:n, :n].tolist()
    return plain.digraph(*plain.prune(matrix, ops[:n].tolist()))


def test_the_rank_correlation_tells_smooth_spaces_from_random_ones():
    walk = walks.random_walk(KEY, spaces.make("nasbench201"), length=25)

    def one_hot(archs):
        return np.eye(5)[archs].reshape(len(archs), -1)

    def noise(archs):
        return np.random.default_rng(0).normal(size=(len(archs), 8))

    pairs = walks.pairs_of_walk(walk, "nasbench201", max_lag=4)
    smooth, rough = (
        walks.distance_against_edits(pairs, embed(walk)) for embed in (one_hot, noise)
    )
    np.testing.assert_array_equal(smooth.edits[smooth.lags == 1], 1)
    assert smooth.spearman() > 0.8 > 0.3 > abs(rough.spearman())


def test_a_walk_to_nearest_neighbours_is_that_of_plain_loops():
    vectors = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    for start in (0, 17):
        expected, left = [start], set(range(40)) - {start}
        while len(expected) < 16:
            here = vectors[expected[-1]]
            nearest = min(left, key=lambda row: np.sum((vectors[row] - here) ** 2))
            expected.append(nearest)
            left.remove(nearest)
        assert walks.nearest_walk(vectors, start).tolist() == expected
    both = walks.nearest_walks(vectors, [0, 17])
    assert both[1].tolist() == expected
    every = walks.nearest_walk(vectors, 3, length=40)
    assert sorted(every.tolist()) == list(range(40))


def test_edits_along_walks_of_nasbench201():
    archs = np.array(list(itertools.product((1, 3), repeat=6)), np.int32)
    smooth = walks.mean_walk_edits(
        KEY, archs.astype(np.float32), archs, "nasbench201", num_starts=6, length=9
    )
    vectors = np.random.default_rng(0).normal(size=(64, 4))
    rough = walks.mean_walk_edits(
        KEY, vectors, archs, "nasbench201", num_starts=6, length=9
    )
    assert 1 <= smooth["mean"] < 1.3 and rough["mean"] > 2
    assert (rough["num_starts"], rough["length"]) == (6, 9)
    rows = walks.nearest_walks(vectors, [5], length=9)
    edits = walks.walk_edits(archs[rows], "nasbench201")
    changed = np.sum(archs[rows[0, 1:]] != archs[rows[0, :-1]], axis=1)
    assert edits.shape == (1, 8) and np.all(edits[0] <= changed)
    assert np.all(edits[0, changed == 1] == 1)


def test_a_walk_is_drawn_with_pruned_cells_and_short_names():
    archs = random_cells("nasbench101", np.random.default_rng(5), 12)
    walk = figures.drawn_walk(archs, "nasbench101")
    names = {0: "in", 1: "1x1", 2: "3x3", 3: "MP", 4: "out"}
    for arch, cell in zip(archs, walk.cells, strict=True):
        graph = pruned(arch)
        expected = [names[graph.nodes[node]["op"]] for node in sorted(graph)]
        assert list(cell.labels) == expected
        assert int(np.sum(cell.matrix)) == graph.number_of_edges()
    assert len(walk.edits) == 11


def test_a_map_has_at_most_so_many_points():
    vectors, _ = surface(60)
    rows, points = analysis.tsne(vectors, seed=3, num_points=40)
    assert points.shape == (40, 2) and len(np.unique(rows)) == 40
    everything, points = analysis.tsne(vectors[:30])
    assert everything.tolist() == list(range(30)) and np.all(np.isfinite(points))


def test_walks_that_cannot_be_made_are_refused():
    vectors, _ = surface(10)
    with pytest.raises(errors.ConfigError, match="as many vectors, not 10"):
        walks.nearest_walk(vectors, 0, length=11)
    with pytest.raises(errors.ConfigError, match="no pair"):
        walks.pairs_of_walk(np.zeros((1, 6), int), "nasbench201")
    with pytest.raises(errors.ConfigError, match="unknown space of arch2vec"):
        walks.edits_between(np.zeros((1, 6)), np.zeros((1, 6)), "nasbench_nlp")
