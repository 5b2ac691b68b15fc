"""Regret curves and their final spread: units, bands, logarithms, nothing to draw."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nasjax.core.errors import DataError
from nasjax.report import canvas, search_curves
from nasjax.report.search_curves import Band


def band(scale=1.0, last=100):
    x = np.arange(1.0, last + 1)
    mean = scale * 0.05 / x
    return Band(x, mean, 0.5 * mean, 2 * mean)


def test_regret_is_in_percent_on_logarithmic_axes_with_its_band():
    panels = {
        "validation regret": {"a": band(), "b": band(2.0)},
        "test regret": {"a": band()},
    }
    figure = search_curves.regret_figure(panels, label="queries", title="a $ title")
    left, right = figure.axes
    assert (left.get_xlabel(), left.get_ylabel()) == (
        "queries",
        "validation regret (%)",
    )
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(left.lines[1].get_ydata(), 10 / np.arange(1, 101))
    assert left.lines[0].get_color() == canvas.PALETTE[0]
    # The same algorithm looks the same in each panel, and the band has its colour.
    assert right.lines[0].get_color() == canvas.PALETTE[0]
    vertices = left.collections[0].get_paths()[0].vertices
    np.testing.assert_allclose(vertices[:, 1].max(), 10.0)
    np.testing.assert_allclose(vertices[:, 1].min(), 0.025)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]
    assert left.get_title(loc="left") == "a $ title"


def test_losses_keep_their_unit_and_short_runs_a_linear_axis(tmp_path):
    panels = {"test regret": {"a": band(last=5)}}
    figure = search_curves.regret_figure(panels, label="queries", unit="nats")
    (axes,) = figure.axes
    assert (axes.get_ylabel(), axes.get_xscale()) == ("test regret (nats)", "linear")
    np.testing.assert_allclose(axes.lines[0].get_ydata()[0], 0.05)
    files = search_curves.draw_regret(panels, tmp_path / "regret.x", label="queries")
    assert [file.name for file in files] == ["regret.svg", "regret.png"]
    again = search_curves.draw_regret(panels, tmp_path / "again.x", label="queries")
    assert files[0].read_bytes() == again[0].read_bytes()


def test_a_regret_of_zero_can_be_drawn(tmp_path):
    zero = Band(np.arange(1.0, 21), *np.zeros((3, 20)))
    found = Band(
        np.arange(1.0, 21), *np.where(np.arange(20) < 5, 0.1, 0) * np.ones((3, 1))
    )
    for bands in ({"a": zero}, {"a": zero, "b": found}):
        files = search_curves.draw_regret(
            {"test regret": bands}, tmp_path / "zero", label="queries"
        )
        assert all(file.stat().st_size > 1000 for file in files)


def test_the_distribution_is_a_staircase_from_0_to_1(tmp_path):
    finals = {"a": np.array([0.02, 0.0, 0.02, 0.01]), "b": np.array([0.04] * 4)}
    figure = search_curves.ecdf_figure({"test regret": finals}, title="t")
    (axes,) = figure.axes
    x, y = axes.lines[0].get_data()
    np.testing.assert_allclose(x, [0, 0, 1, 2, 4])
    np.testing.assert_allclose(y, [0, 0.25, 0.5, 1, 1])
    x, y = axes.lines[1].get_data()
    np.testing.assert_allclose(x, [0, 4, 4])
    np.testing.assert_allclose(y, [0, 1, 1])
    assert axes.get_xlabel() == "final test regret (%)"
    files = search_curves.draw_ecdf({"test regret": finals}, tmp_path / "ecdf")
    assert all(file.stat().st_size > 1000 for file in files)


def test_ticks_are_written_as_numbers():
    figure = search_curves.regret_figure(
        {"test regret": {"a": band(3.0, last=200)}}, label="queries"
    )
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    ticks += axes.get_yticklabels(minor=True)
    texts = {text.get_text() for text in ticks} - {""}
    assert {"10", "100"} <= texts and not any("$" in text for text in texts)
    for text in texts:
        assert float(text) > 0


def test_many_algorithms_look_different():
    looks = [tuple(look.items()) for look in search_curves.looks()]
    assert len(looks) == len(set(looks)) == 32


def test_nothing_to_draw_is_an_error():
    for panels in ({}, {"test regret": {}}):
        with pytest.raises(DataError, match="no algorithm"):
            search_curves.regret_figure(panels, label="queries")
        with pytest.raises(DataError, match="no algorithm"):
            search_curves.ecdf_figure(panels)


def test_a_legend_says_of_how_many_trials_a_curve_is():
    assert search_curves.legend("arch2vec_rl", 10, 2) == (
        "arch2vec RL (10 trials, 2 embeddings)"
    )
    assert search_curves.legend("bo_gp", 1) == "BO GP (1 trial)"
