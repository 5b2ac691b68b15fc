"""Figures of surrogates: what the axes say, and what they leave out."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from nasjax.report import canvas, learning_curves, surrogate_curves

EPOCHS = (1, 10, 11, 40)


def texts(axes):
    return [text.get_text() for text in axes.texts]


def tick_labels(axes):
    axes.figure.draw_without_rendering()
    low, high = axes.get_ylim()
    ticks = [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    return [
        tick.label1.get_text()
        for tick in ticks
        if low <= tick.get_loc() <= high and tick.label1.get_text()
    ]


@pytest.mark.parametrize("span", [(60, 90), (0.02, 0.9), (30, 300), (1e-6, 1e3)])
def test_logarithmic_labels_are_plain_numbers(span):
    axes = Figure().subplots()
    axes.semilogy([0, 1], span)
    canvas.plain_log_ticks(axes.yaxis)
    labels = tick_labels(axes)
    assert len(labels) >= 2
    for label in labels:
        assert re.fullmatch(r"\d+(\.\d+)?(e[-+]\d+)?", label), label
        assert float(label) > 0


def test_rank_study_has_the_curves_epochs_and_label():
    curve = np.array([0.1, 0.4, 0.5, 0.6])
    figure = surrogate_curves.rank_study_figure(
        [1, 2], [7.1, 6.4], [2e-4, 1e-4], [3e-4, 2e-4], curve, {1: curve * 0.9},
        epochs=EPOCHS, label="valid loss",
    )  # fmt: skip
    left, middle, right = figure.axes
    assert not any("$" in label or "^" in label for label in tick_labels(left))
    assert len(tick_labels(left)) >= 2 and len(tick_labels(middle)) >= 2
    assert right.get_ylabel() == "valid loss"
    for line in right.lines:
        np.testing.assert_array_equal(line.get_xdata(), EPOCHS)


def test_values_beyond_an_axis_are_counted():
    random = np.random.default_rng(0)
    residuals = random.normal(size=(500, 4))
    residuals[:2, 0] = 1e3
    low, high = np.quantile(residuals, [0.05, 0.95], axis=0)
    figure = surrogate_curves.residuals_figure(
        residuals, np.array([1, 0.1]), low, high, epochs=EPOCHS
    )
    left, _, right = figure.axes
    width = left.patches[0].get_xy()[:, 0].max()
    beyond = int((np.abs(residuals) > width + 1e-9).sum())
    assert beyond >= 2
    assert texts(left) == [f"{beyond} of 2000 values lie beyond the axis"]
    labels = [text.get_text() for text in left.get_legend().get_texts()]
    assert labels == [f"epoch {epoch}" for epoch in EPOCHS]


def test_panels_have_the_epochs_of_the_curves(tmp_path):
    values = np.linspace(0, 1, 4)
    panel = surrogate_curves.Panel("a", np.array(EPOCHS), *[values] * 5)
    files = surrogate_curves.draw_predictions([panel], "accuracy", tmp_path / "f.x")
    assert [file.suffix for file in files] == [".svg", ".png"]


def test_negative_losses_are_not_cut_off():
    figure = learning_curves.learning_curves_figure(
        {"valid_loss": np.array([[0.5, -0.5]])}
    )
    assert figure.axes[0].get_ylim()[0] < -0.5
