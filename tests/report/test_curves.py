"""Training curves: axis of epochs, what is drawn, rows with missing keys."""

import numpy as np
import pytest

from nasjax.core.errors import DataError
from nasjax.report import curves


def make_rows(epochs, key="test_accuracy", stages=("supernet", "masking")):
    return [
        {"stage": stage, "step": 10 * number + i, "epoch": epoch, key: 0.5 + 0.01 * i}
        for number, stage in enumerate(stages)
        for i, epoch in enumerate(epochs[number])
    ]


def test_epochs_of_the_run_are_kept():
    supernet, masking = curves.read_stages(make_rows([[1, 2], [3.0, 4.0]]))
    assert (supernet.start, supernet.end) == (0, 2)
    assert (masking.start, masking.end) == (2, 4)
    np.testing.assert_allclose(masking.test, [(3, 0.5), (4, 0.49)])


@pytest.mark.parametrize("second", [[1, 2, 3], [0, 1, 2, 3], [0.5, 1.5, 3]])
def test_epochs_of_a_stage_are_moved_behind_the_stage_before(second):
    supernet, masking = curves.read_stages(make_rows([[1, 2], second]))
    assert (masking.start, masking.end) == (2, 5)
    assert [epoch for epoch, _ in masking.test] == [2 + epoch for epoch in second]


def test_rows_of_one_step_are_one_and_the_later_value_counts():
    rows = [
        {"stage": "supernet", "step": 1, "epoch": 1, "train_accuracy": 0.25},
        {"stage": "supernet", "step": 1, "epoch": 1, "test_accuracy": 0.5},
        {"stage": "supernet", "step": 1, "epoch": 1, "test_accuracy": 0.75},
        {"stage": "supernet", "step": 1, "epoch": 1, "train_accuracy": None},
    ]
    (stage,) = curves.read_stages(rows)
    assert stage.test == [(1.0, 0.25)]
    assert stage.train == [(1.0, 0.75)]


def test_drawn_lines_are_errors_in_percent(tmp_path):
    rows = make_rows([[1, 2], [1, 2, 3]])
    rows += make_rows([[1, 2]], "train_accuracy", ["supernet"])
    rows += [{"stage": "supernet", "epoch": 9}, {"step": 3}]
    rows[0]["test_accuracy"] = float("nan")
    figure = curves.curves_figure(curves.read_stages(rows), title="a $ title")
    lines = {(line.get_label(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert lines == {("test error", "-"), ("train error", "--")}
    solid = [line for line in figure.axes[0].lines if line.get_linestyle() == "-"]
    np.testing.assert_allclose(solid[0].get_ydata(), [49.0])
    np.testing.assert_allclose(solid[1].get_ydata(), [50.0, 49.0, 48.0])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == [
        "test error",
        "train error",
        "supernet training (ends at 49.00 %)",
        "hierarchical masking (ends at 48.00 %)",
    ]


def test_a_recalibrated_error_is_a_point_at_the_end_of_its_stage(tmp_path):
    rows = make_rows([[1, 2], [3, 4]])
    files = curves.draw_curves(rows, tmp_path / "c", recalibrated={"masking": 0.9})
    assert "hierarchical masking (ends at 49.00 %, 10.00 % recalibrated)" in (
        files[0].read_text()
    )
    first, second = curves.read_stages(rows)
    figure = curves.curves_figure([first, second._replace(recalibrated=0.1)])
    (point,) = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    np.testing.assert_allclose(point.get_xydata(), [[4.0, 10.0]])


def test_writes_both_formats_with_the_same_bytes(tmp_path):
    rows = make_rows([[1, 2], [3, 4]])
    first = curves.draw_curves(rows, tmp_path / "a" / "curves.png")
    second = curves.draw_curves(iter(rows), tmp_path / "b" / "curves")
    assert [path.name for path in first] == ["curves.svg", "curves.png"]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"stage": "supernet", "epoch": 1, "train_loss": 2.0}],
        [{"test_accuracy": 1}],
    ],
)
def test_nothing_to_draw_is_named(rows, tmp_path):
    with pytest.raises(DataError, match="test_accuracy"):
        curves.draw_curves(rows, tmp_path / "curves.svg")
    assert not list(tmp_path.iterdir())
