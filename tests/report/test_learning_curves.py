"""Learning curves of many trainings: panels, units, the best one, nothing to draw."""

import numpy as np
import pytest

from nasjax.core.errors import DataError
from nasjax.report import canvas, learning_curves


def test_accuracies_are_errors_in_percent_and_the_best_end_is_in_colour():
    valid = np.array([[0.5, 0.75, np.nan], [0.5, 0.5, 0.5], [np.nan] * 3])
    metrics = {"valid_accuracy": valid, "test_accuracy": valid - 0.25}
    figure = learning_curves.learning_curves_figure(metrics, title="a $ title")
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["validation", "test"]
    for axes, shift in zip(figure.axes, (0, 25), strict=True):
        best = axes.lines[-1]
        assert best.get_color() == canvas.PALETTE[0]
        np.testing.assert_allclose(best.get_ydata(), [50 + shift, 25 + shift, np.nan])
        np.testing.assert_array_equal(best.get_xdata(), [1, 2, 3])
        assert len(axes.lines) == 4
        assert axes.get_ylabel() == "error (%)"


def test_losses_stand_where_there_are_no_accuracies(tmp_path):
    metrics = {"train_loss": np.ones((2, 50)), "valid_loss": np.full((2, 50), np.nan)}
    figure = learning_curves.learning_curves_figure(metrics)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (nats)"]
    files = learning_curves.draw_learning_curves(metrics, tmp_path / "curves.x")
    assert [file.name for file in files] == ["curves.svg", "curves.png"]
    assert all(file.stat().st_size > 1000 for file in files)


def test_nothing_to_draw_is_an_error():
    with pytest.raises(DataError, match="no training"):
        learning_curves.learning_curves_figure({"test_loss": np.full((1, 2), np.nan)})
