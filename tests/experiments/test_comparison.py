"""Summaries where trials have no score: what a number is over is what it says."""

import numpy as np
import pytest

from nasjax.experiments import comparison
from nasjax.experiments.search_scores import Optima, Scores

OPTIMA = Optima({"valid": 1.0, "test": 1.0}, "table")


def scores(values, embeddings=("a", "b")):
    finals = np.array(values, float)[:, None]
    return Scores(
        by_query={"valid": finals, "test": finals},
        by_time={},
        times=np.zeros(0),
        num_queries=np.ones(len(values), int),
        best=np.zeros((len(values), 1), np.int32),
        seconds=np.zeros(len(values)),
        embeddings=embeddings,
    )


@pytest.mark.parametrize(
    ("values", "clusters", "means"),
    [
        ([0.5, 0.6, 0.7, 0.8], 2, [0.55, 0.75]),
        ([0.5, 0.6, np.nan, 0.8], 2, [0.55, 0.8]),
        ([0.5, 0.6, np.nan, np.nan], 1, [0.55]),
        ([np.nan] * 4, 0, []),
    ],
)
def test_embeddings_without_a_score_do_not_count(values, clusters, means):
    row = comparison.summarize(scores(values), OPTIMA)
    assert row["clusters"] == clusters
    assert row["embedding_means"] == pytest.approx(means)
    assert (row["ci95"] is None) == (not means)
    assert comparison.summarize(scores([0.5], ()), OPTIMA)["clusters"] is None


def test_a_comparison_over_one_scored_embedding_says_so():
    judged = {
        "own": scores([0.5, 0.6, np.nan, np.nan]),
        "control": scores([0.4, 0.4, 0.4, 0.4]),
    }
    row = comparison.comparisons(judged, {"own": ["control"]})["own"]["control"]
    assert row["test"] == "sign flips" and row["num_pairs"] == 2
    assert row["clusters"] == [1, 2]
    judged["own"] = scores([np.nan] * 4)
    assert comparison.comparisons(judged, {"own": ["control"]}) == {}


def test_regret_is_zero_within_rounding_and_unknown_without_an_optimum():
    values = np.array([[0.5, 1 - 1e-7]])
    np.testing.assert_array_equal(comparison.regret(values, 1.0), [[0.5, 0.0]])
    assert np.isnan(comparison.regret(values, None)).all()


def test_a_curve_has_the_points_where_every_scored_trial_has_an_incumbent():
    by_query = np.array([[np.nan, 0.6, 0.8], [0.5, 0.5, 0.9], [np.nan] * 3])
    made = scores([0.8, 0.9, np.nan], ())._replace(
        by_query={"valid": by_query, "test": by_query},
        by_time={split: np.zeros((3, 0)) for split in ("valid", "test")},
    )
    band = comparison.curves(made, OPTIMA)["queries/test"]
    np.testing.assert_array_equal(band["x"], [2, 3])
    np.testing.assert_allclose(band["mean"], [0.45, 0.15])
    assert (band["low"] <= band["mean"]).all() and (band["mean"] <= band["high"]).all()
    assert "seconds/test" not in comparison.curves(made, OPTIMA)
