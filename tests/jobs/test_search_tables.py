"""Summaries where trials have no score: what a number is over is what it says."""

import numpy as np
import pytest

from nasjax.experiments.search_scores import Optima, Scores
from nasjax.jobs.search import tables

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
    row = tables.algorithm(scores(values), OPTIMA, 1.0)
    assert row["clusters"] == clusters
    assert row["embedding_means"] == pytest.approx(means)
    assert (row["ci95"] is None) == (not means)
    assert tables.algorithm(scores([0.5], ()), OPTIMA, 1.0)["clusters"] is None


def test_a_comparison_over_one_scored_embedding_says_so():
    judged = {
        "own": scores([0.5, 0.6, np.nan, np.nan]),
        "control": scores([0.4, 0.4, 0.4, 0.4]),
    }
    row = tables.comparisons(judged, {"own": ["control"]})["own"]["control"]
    assert row["test"] == "sign flips" and row["num_pairs"] == 2
    assert row["clusters"] == [1, 2]
    judged["own"] = scores([np.nan] * 4)
    assert tables.comparisons(judged, {"own": ["control"]}) == {}
