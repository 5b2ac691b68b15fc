"""Plots of arrays: what is drawn is what the columns hold, thinned where it is long."""

import numpy as np
import pytest

from nasjax.core import metrics
from nasjax.core.errors import DataError
from nasjax.experiments import forecasts, plots
from nasjax.experiments.plots import search_plots

EPOCHS = np.array([1, 5, 10])


def results(length=20, **changes):
    x = np.arange(1.0, length + 1)
    band = {"x": x, "mean": 0.1 / x, "low": 0.05 / x, "high": 0.2 / x}
    made = plots.SearchResults(
        curves={"a": {"queries/valid": band}, "b": {}},
        finals={"a": {"valid": np.array([0.1, np.nan, 0.3])}, "b": {}},
        num_trials={"a": 3, "b": 5},
        num_embeddings={"a": 0, "b": 2},
        title="x on y",
    )
    return made._replace(**changes)


def foretold(count=50):
    rng = np.random.default_rng(0)
    true = np.sort(rng.random((count, 3)), axis=1)
    predicted = true + 0.05 * rng.normal(size=true.shape)
    drawn = np.arange(0, count, 2)
    half = np.array([0.1, 0.05, 0.02])[:, None]
    return forecasts.Forecasts(
        epochs=EPOCHS,
        rows=100 + np.arange(count),
        true=true,
        predicted=predicted,
        drawn=drawn,
        low=predicted[drawn][:, None] - half,
        high=predicted[drawn][:, None] + half,
    )


def test_long_curves_are_thinned_and_keep_both_ends():
    length = 5000
    plot = plots.regret_plot(results(length))
    x = plot.columns["queries"]
    assert len(x) <= search_plots.MOST_POINTS and (np.diff(x) > 0).all()
    assert (x[0], x[-1]) == (1, length)
    np.testing.assert_array_equal(plot.columns["mean"], 100 * (0.1 / x))
    (axes,) = plot.figure.axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), x)
    assert plots.regret_plot(results(20)).columns["queries"].tolist() == [*range(1, 21)]


def test_captions_say_trials_embeddings_and_what_is_cut():
    caption = plots.regret_plot(results()).caption
    assert "3 to 5 trials each" in caption and "or embeddings" in caption
    assert "leave the axis" not in caption
    alone = results(num_embeddings={"a": 0, "b": 0}, num_trials={"a": 1, "b": 1})
    caption = plots.regret_plot(alone).caption
    assert "1 trial each" in caption and "embeddings" not in caption
    low = results()
    low.curves["a"]["queries/valid"]["low"][:] = -0.1
    assert "leave the axis reach lower" in plots.regret_plot(low).caption


def test_losses_keep_their_unit():
    plot = plots.regret_plot(results(unit="nats", word="loss"))
    assert plot.name == "loss_queries"
    np.testing.assert_array_equal(plot.columns["mean"][0], 0.1)


def test_the_distribution_is_of_known_ends_only():
    plot = plots.ecdf_plot(results())
    assert plot.columns["final regret"].tolist() == [10.0, 30.0]
    assert plot.columns["share"].tolist() == [0.5, 1.0]
    many = np.random.default_rng(0).random(5000)
    long = plots.ecdf_plot(results(finals={"a": {"test": many}}))
    ends = long.columns["final regret"]
    assert len(ends) <= search_plots.MOST_POINTS
    assert (ends[0], ends[-1]) == (100 * many.min(), 100 * many.max())


@pytest.mark.parametrize("draw", [plots.regret_plot, plots.ecdf_plot])
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(DataError, match="no (algorithm|trial) has a"):
        draw(results(curves={"a": {}}, finals={"a": {}}))


def test_curves_of_another_run_are_refused():
    outcome = {"algorithms": {"c": {}}, "config": {"algorithms": ["c"]}}
    with pytest.raises(DataError, match="of other algorithms"):
        plots.results_of_run(outcome, {"a": {}})


def test_the_scatter_is_of_the_last_epoch_in_percent():
    found = foretold()
    found.true[3, -1] = np.nan
    plot = plots.scatter_plot(found, metric="valid_accuracy", surrogate="s $ x")
    known = np.arange(50) != 3
    np.testing.assert_array_equal(plot.columns["row"], found.rows[known])
    np.testing.assert_array_equal(
        plot.columns["predicted"], 100 * found.predicted[known, -1]
    )
    (axes,) = plot.figure.axes
    points = axes.collections[0].get_offsets()
    np.testing.assert_array_equal(points[:, 0], plot.columns["measured"])
    (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
    assert low < points.min() and points.max() < high and (low, high) == (left, right)
    tau = metrics.kendall_tau(found.true[known, -1], found.predicted[known, -1])
    assert f"tau {tau:.3f}" in axes.texts[0].get_text()
    assert axes.get_xlabel() == "measured validation accuracy (%)"
    assert "49 architectures" in plot.caption and "epoch 10" in plot.caption


def test_fans_are_of_the_whole_range_and_their_coverage_is_told():
    found = foretold()
    plot = plots.fan_plot(found, metric="test_loss", surrogate="s")
    ends = found.true[found.drawn, -1]
    rows = plot.columns["row"][:: len(EPOCHS)]
    drawn = found.rows[found.drawn].tolist()
    shown = [ends[drawn.index(row)] for row in rows]
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (ends.min(), ends.max())
    for level in forecasts.LEVELS:
        share = f"{100 * found.coverage(level):.0f} % in the {100 * level:.0f} % band"
        assert share in plot.caption
    place = drawn.index(rows[0])
    own = plot.columns["row"] == rows[0]
    np.testing.assert_array_equal(plot.columns["low 95 %"][own], found.low[place, 0])
    np.testing.assert_array_equal(plot.columns["high 50 %"][own], found.high[place, 2])
    assert plot.figure.axes[0].get_ylabel() == "test loss (nats)"


def test_coverage_leaves_out_what_was_not_measured():
    found = foretold(4)
    found.true[:] = found.predicted
    found.true[0] = np.nan
    found.true[2, 0] += 1
    assert found.coverage(0.8) == 2 / 3


def test_pretraining_losses_are_those_of_the_log():
    rows = [
        {"stage": "a", "epoch": 1, "train_loss": 3.0},
        {"stage": "b", "epoch": 1, "train_loss": 2.0, "kl": 1},
        {"stage": "a", "epoch": 2, "train_loss": 1.0},
        {"stage": "a", "epoch": 3, "kl": 1.0},
    ]
    plot = plots.pretraining_plot(rows)
    assert plot.columns["variant"].tolist() == ["a", "a", "b"]
    assert plot.columns["loss"].tolist() == [3.0, 1.0, 2.0]
    with pytest.raises(DataError, match="no row of the log has a loss"):
        plots.pretraining_plot(rows[3:])


def test_stages_of_a_supernet_are_columns():
    rows = [
        {"stage": "supernet", "step": 1, "epoch": 1, "test_accuracy": 0.5},
        {"stage": "masking", "step": 2, "epoch": 1, "train_accuracy": 0.75},
    ]
    plot = plots.supernet_plot(rows, recalibrated={"masking": 0.9})
    assert plot.columns["stage"].tolist() == ["supernet", "masking"]
    assert plot.columns["error"].tolist() == [50.0, 25.0]
    assert plot.columns["epoch"].tolist() == [1.0, 2.0]


def test_a_pruned_cell_has_a_row_for_each_operation():
    edge = {"source": 0, "target": 1, "weight": 0.5}
    operations = [{"name": "a", "weight": 0.25}, {"name": "b", "weight": 0.75}]
    cell = {
        "inputs": ["c_{k-1}"],
        "num_nodes": 3,
        "edges": [edge | {"operations": operations}],
        "concat": [1],
    }
    plot = plots.cell_plot("no/rmal", cell)
    assert plot.name == "cell_no_rmal"
    assert plot.columns["operation"].tolist() == ["b", "a"]
    assert plot.columns["edge weight"].tolist() == [0.5, 0.5]
    assert "1 of 1 edges" in plot.caption
