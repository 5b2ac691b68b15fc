"""Figures of a latent space and of walks through it: what they say and refuse."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nasjax.core.errors import DataError
from nasjax.report import cell_walks, latent_space
from nasjax.report.cell_walks import DrawnCell, Walk
from nasjax.report.latent_space import Map, Prediction


def test_predictions_are_in_percent_on_equal_axes():
    rng = np.random.default_rng(0)
    true = rng.uniform(0.8, 0.94, 50)
    panels = {
        "arch2vec $": Prediction(true, true + 0.01, "RMSE .010, r 1.00"),
        "supervised": Prediction(true[:5], true[:5]),
    }
    figure = latent_space.predictions_figure(panels, title="a $ title")
    left, right = figure.axes
    points = np.asarray(left.collections[0].get_offsets())
    np.testing.assert_allclose(points[:, 0], 100 * true)
    np.testing.assert_allclose(points[:, 1] - points[:, 0], 1)
    assert left.get_xlim() == right.get_xlim() == left.get_ylim() == right.get_ylim()
    np.testing.assert_allclose(left.lines[0].get_xdata(), left.lines[0].get_ydata())
    assert left.get_title(loc="left") == "arch2vec $"
    note, outside = left.texts[0].get_text().split("\n")
    assert note == "RMSE .010, r 1.00"
    limit = left.get_ylim()[1]
    assert outside == f"{np.sum(points[:, 1] > limit)} of 50 predictions are outside"
    assert right.texts[0].get_text() == ""


def test_boxes_stand_at_their_edit_distance():
    rng = np.random.default_rng(1)
    groups = {1: rng.random(40), 4: 1 + rng.random(40), 7: np.array([])}
    figure = latent_space.distances_figure({"a": groups, "b": {2: np.ones(3)}})
    left, right = figure.axes
    medians = {
        float(np.mean(line.get_xdata())): line.get_ydata()[0]
        for line in left.lines
        if line.get_linewidth() == 1.6
    }
    assert medians == {1.0: np.median(groups[1]), 4.0: np.median(groups[4])}
    assert left.get_ylim()[0] == 0 and len(right.patches) == 1


def test_accuracy_is_averaged_in_each_area():
    points = np.array([[0, 0], [0.1, 0.1], [10, 0], [10, 10]], np.float32)
    panel = Map(points, np.array([0.8, 0.9, 0.95, 0.5]))
    mean = latent_space.average_in_areas(panel, 2)
    np.testing.assert_allclose(mean, [[0.85, np.nan], [0.95, 0.5]])


def test_maps_highlight_the_best_and_the_worst():
    points = np.array([[0, 0], [0, 10], [10, 0], [10, 10]], np.float32)
    panel = Map(points, np.array([0.87, 0.5, 0.95, 0.82]))
    figure = latent_space.maps_figure({"a": panel}, bins=2, title="t")
    axes, bar = figure.axes
    (image,) = axes.images
    shown = image.to_rgba(image.get_array())
    # Rows go up the second coordinate: black above the first point, red beside it.
    np.testing.assert_allclose(shown[1, 0], [0, 0, 0, 1])
    np.testing.assert_allclose(shown[0, 1], [1, 0, 0, 1])
    assert shown[0, 0, 1] > 0.3 and bar.get_ylabel() == "accuracy (%)"
    own = latent_space.maps_figure({"a": panel, "b": panel}, limits=None, bins=2)
    low, high = own.axes[0].images[0].get_clim()
    assert 50 <= low < 82 and 87 < high <= 95
    assert own.axes[1].images[0].get_clim() == (low, high)


def test_figures_are_written_with_the_same_bytes(tmp_path):
    rng = np.random.default_rng(2)
    true = rng.uniform(0.5, 0.9, 30)
    draw = {
        "predictions": lambda path: latent_space.draw_predictions(
            {"a": Prediction(true, true)}, path
        ),
        "distances": lambda path: latent_space.draw_distances({"a": {1: true}}, path),
        "maps": lambda path: latent_space.draw_maps(
            {"a": Map(rng.random((30, 2)) * 0 + np.arange(30)[:, None], true)}, path
        ),
        "walks": lambda path: cell_walks.draw_walks({"a": make_walk(3)}, path),
    }
    for name, write in draw.items():
        one, other = write(tmp_path / name), write(tmp_path / "again" / name)
        assert [file.name for file in one] == [f"{name}.svg", f"{name}.png"]
        for first, second in zip(one, other, strict=True):
            assert first.read_bytes() == second.read_bytes()
        assert one[1].read_bytes().startswith(b"\x89PNG")


def test_a_projection_keeps_groups_together():
    rng = np.random.default_rng(3)
    vectors = np.concatenate([rng.normal(size=(20, 5)), rng.normal(9, 1, (20, 5))])
    points = latent_space.project(vectors, seed=1)
    assert points.shape == (40, 2) and points.dtype == np.float32
    centres = points[:20].mean(0), points[20:].mean(0)
    spread = max(points[:20].std(), points[20:].std())
    assert np.linalg.norm(centres[0] - centres[1]) > 2 * spread
    np.testing.assert_array_equal(points, latent_space.project(vectors, seed=1))


@pytest.mark.parametrize(("count", "shape"), [(3, (1, 3)), (6, (2, 3)), (7, (2, 4))])
def test_many_panels_are_in_rows(count, shape):
    true = np.linspace(0.8, 0.9, 5)
    panels = {str(i): Prediction(true, true) for i in range(count)}
    axes = latent_space.predictions_figure(panels).axes
    assert len(axes) == count
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == shape


def make_walk(length, seed=0, size=7):
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(length):
        matrix = np.triu(rng.random((size, size)) < 0.4, 1).astype(int)
        labels = ["in", *rng.choice(["1x1", "3x3", "MP"], size - 2), "out"]
        cells.append(DrawnCell(matrix, labels))
    return Walk(cells, list(range(1, length)))


def test_walks_say_labels_edges_and_edit_distances(tmp_path):
    walk = make_walk(4)
    files = cell_walks.draw_walks({"arch2vec $": walk}, tmp_path / "walk")
    source = files[0].read_text()
    root = ElementTree.fromstring(source)
    text = [" ".join(n.itertext()) for n in root.iter() if n.tag.endswith("}text")]
    assert "arch2vec $: mean edit distance 2.0" in text
    labels = [label for cell in walk.cells for label in cell.labels]
    for label in ("in", "1x1", "3x3", "MP", "out"):
        assert text.count(label) == labels.count(label)
    for column, cell in enumerate(walk.cells):
        for i in range(7):
            for j in range(7):
                drawn = f'id="edge-0-{column}-{i}-{j}"' in source
                assert drawn == bool(cell.matrix[i, j])
        assert (f'id="edits-0-{column}"' in source) == (column > 0)


def test_cells_and_numbers_stay_apart():
    walks = {"a": make_walk(5), "b": make_walk(3, seed=1, size=11)}
    figure = cell_walks.walks_figure(walks)
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    boxes = {
        patch.get_gid(): patch.get_window_extent()
        for patch in axes.patches
        if patch.get_gid()
    }
    limits = figure.bbox
    assert all(limits.x0 <= b.x0 and b.x1 <= limits.x1 for b in boxes.values())
    assert all(limits.y0 <= b.y0 and b.y1 <= limits.y1 for b in boxes.values())
    columns: dict[tuple[str, int], list] = {}
    for name, box in boxes.items():
        _, row, column, *_ = name.split("-")
        columns.setdefault((row, int(column)), []).append(box)
    for (row, column), found in columns.items():
        right = max(box.x1 for box in found)
        following = columns.get((row, column + 1))
        if following is not None:
            assert right < min(box.x0 for box in following)
    numbers = [t.get_window_extent() for t in axes.texts if t.get_gid()]
    nodes = [box for name, box in boxes.items() if name.startswith("node")]
    assert len(numbers) == 6 and len(nodes) == 5 * 7 + 3 * 11
    assert not any(number.overlaps(node) for number in numbers for node in nodes)


def test_changed_labels_are_marked():
    matrix = np.triu(np.ones((3, 3), int), 1)
    cells = [DrawnCell(matrix, ["in", op, "out"]) for op in ("1x1", "1x1", "3x3")]
    walk = Walk(cells, [0, 1])
    colors = {}
    for mark in (False, True):
        figure = cell_walks.walks_figure({"a": walk}, mark_changes=mark)
        colors[mark] = {
            patch.get_gid(): patch.get_edgecolor()
            for patch in figure.axes[0].patches
            if (patch.get_gid() or "").startswith("node")
        }
    changed = {
        name for name in colors[True] if colors[True][name] != colors[False][name]
    }
    assert changed == {"node-0-2-1"}


def test_nothing_to_draw_is_an_error():
    empty = np.array([])
    with pytest.raises(DataError, match="no architecture"):
        latent_space.predictions_figure({"a": Prediction(empty, empty)})
    with pytest.raises(DataError, match="no architecture"):
        latent_space.distances_figure({"a": {1: empty}})
    with pytest.raises(DataError, match="no architecture"):
        latent_space.maps_figure({})
    with pytest.raises(DataError, match="at least four"):
        latent_space.project(np.full((9, 2), np.nan))
    with pytest.raises(DataError, match="no cell"):
        cell_walks.walks_figure({"a": Walk([], [])})
    with pytest.raises(DataError, match="2 cells have 1 edit distances"):
        cell_walks.walks_figure({"a": make_walk(2)._replace(edits=[])})
