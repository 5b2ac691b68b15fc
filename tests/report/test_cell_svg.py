"""Cells as SVG: every node and edge, boxes apart, dead nodes faint, text escaped."""

import re
import xml.etree.ElementTree as ElementTree

import jax
import numpy as np
import pytest

from nasjax import spaces
from nasjax.core.errors import DataError
from nasjax.report import cell_svg
from nasjax.report.cell_svg import GraphCell


def chain(*names):
    return GraphCell(np.eye(len(names), k=1), names)


def draw(cell):
    colors = cell_svg.colors_of(sorted(set(cell.operations)))
    return ElementTree.fromstring(cell_svg.draw(cell, colors, label="a cell"))


def boxes(root):
    return [
        [float(rect.get(key)) for key in ("x", "y", "width", "height")]
        for rect in root.iter("rect")
    ]


def random_cell(seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(2, 16)
    matrix = np.triu(rng.random((count, count)) < rng.uniform(0.1, 0.7), 1)
    names = ["input", *(f"op {i % 5}" for i in range(count - 2)), "output"]
    return GraphCell(matrix, names)


@pytest.mark.parametrize("seed", range(30))
def test_every_node_and_edge_is_drawn_and_no_two_boxes_touch(seed):
    cell = random_cell(seed)
    root = draw(cell)
    assert len(boxes(root)) == len(cell.operations)
    assert len(root.findall(".//path[@class='edge']")) == int(cell.matrix.sum())
    assert [t.text for t in root.iter("title")].count("output") == 1
    _, _, width, height = (float(v) for v in root.get("viewBox").split())
    for i, (x, y, w, h) in enumerate(boxes(root)):
        assert 0 <= x and x + w <= width and 0 <= y and y + h <= height
        for other in boxes(root)[:i]:
            apart = abs(x - other[0]) >= w or abs(y - other[1]) >= h
            assert apart, (seed, i)


@pytest.mark.parametrize("seed", range(30))
def test_no_edge_crosses_a_box(seed):
    """Lines run level through a layer; a box there is at least half a row away."""
    root = draw(random_cell(seed))
    for path in root.findall(".//path[@class='edge']"):
        d = path.get("d")
        levels = re.findall(r"([\d.]+) ([\d.]+)H([\d.]+)", d)
        for start, y, end in ([float(v) for v in level] for level in levels):
            for x, top, w, h in boxes(root):
                in_layer = x + 1e-6 < end and start < x + w - 1e-6
                assert not (in_layer and top < y < top + h), (seed, d)


def test_layers_are_the_longest_paths():
    matrix = np.zeros((4, 4))
    matrix[0, 1] = matrix[1, 2] = matrix[0, 2] = matrix[2, 3] = 1
    places = boxes(draw(GraphCell(matrix, ["input", "a", "b", "output"])))
    assert [x for x, *_ in places] == sorted({x for x, *_ in places})


def test_what_leads_nowhere_is_faint():
    matrix = np.zeros((5, 5))
    matrix[0, 1] = matrix[1, 4] = 1  # 2: no input; 3: no output
    matrix[2, 4] = matrix[0, 3] = 1
    cell = GraphCell(matrix, ["input", "a", "b", "c", "output"])
    live = cell_svg.live_nodes(matrix != 0, cell.operations)
    assert live.tolist() == [True, True, False, False, True]
    (dead,) = draw(cell).findall("g[@class='dead']")
    assert [title.text for title in dead.iter("title")] == ["b", "c"]
    assert len(dead.findall("path[@class='edge']")) == 2
    assert draw(chain("input", "a", "output")).find("g[@class='dead']") is None
    # Without inputs and outputs nobody can tell.
    assert cell_svg.live_nodes(matrix != 0, list("abcde")).all()


def test_names_are_escaped_and_shortened():
    root = draw(chain("input", "<script>alert(1)</script>", "nor_conv_3x3", "output"))
    assert root.find(".//script") is None
    titles = [title.text for title in root.iter("title")]
    assert titles[1:3] == ["<script>alert(1)</script>", "nor_conv_3x3"]
    assert [text.text for text in root.iter("text")][2] == "conv 3x3"
    assert cell_svg.short("c_{k-2}") == "k-2"


@pytest.mark.parametrize(
    "name", ["nasbench101", "nasbench201", "darts_shared", "nasbench_nlp"]
)
def test_short_names_of_a_space_are_different_and_fit(name):
    names = spaces.make(name).graph_op_names
    shorts = [cell_svg.short(n) for n in names]
    assert len(set(shorts)) == len(names) and max(map(len, shorts)) <= 9
    assert not any("…" in brief for brief in shorts)
    colors = cell_svg.colors_of(names)
    own = [colors[n] for n in names if not cell_svg.is_end(n)]
    assert len(set(own)) == len(own)


def test_a_real_cell_has_its_operations():
    space = spaces.make("nasbench201")
    graph = jax.device_get(space.to_graph(space.sample(jax.random.key(0))))
    names = [space.graph_op_names[op] for op in graph.ops.tolist()]
    root = draw(GraphCell(np.triu(graph.adjacency, 1), names))
    assert [title.text for title in root.iter("title")].count("input") == 1
    assert len(boxes(root)) == 8


@pytest.mark.parametrize(
    "matrix, names",
    [
        (np.zeros((0, 0)), []),
        (np.zeros((2, 3)), ["a", "b"]),
        (np.ones((2, 2)), ["a", "b"]),
    ],
)
def test_what_is_no_cell_is_named(matrix, names):
    with pytest.raises(DataError, match="square matrix"):
        cell_svg.draw(GraphCell(matrix, names), {}, label="")
