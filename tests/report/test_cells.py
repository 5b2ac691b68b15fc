"""Drawings of genotypes: what they say, that labels stay apart, that bytes repeat."""

import copy
import itertools
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import PathPatch

from nasjax.core.errors import ConfigError, DataError
from nasjax.report import canvas, cells, genotypes

OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def make_edge(source, target, weight=0.5, names=OPERATIONS):
    operations = [{"name": name, "weight": 1 / 7} for name in names]
    return {
        "source": source,
        "target": target,
        "weight": weight,
        "operations": operations,
    }


def make_cell(edges, num_intermediate=4):
    return {
        "num_nodes": num_intermediate + 3,
        "inputs": ["c_{k-2}", "c_{k-1}"],
        "edges": edges,
        "concat": list(range(2, 2 + num_intermediate)),
    }


def random_cell(seed, num_intermediate=4, keep_edge=0.6, keep_operation=0.4):
    random = np.random.default_rng(seed)
    edges = []
    for target in range(2, 2 + num_intermediate):
        for source in range(target):
            if random.random() < keep_edge:
                kept = random.random(len(OPERATIONS)) < keep_operation
                names = list(itertools.compress(OPERATIONS, kept))
                weight = float(random.random())
                edges.append(make_edge(source, target, weight, names))
    return make_cell(edges, num_intermediate)


def full_cell():
    return random_cell(0, keep_edge=2.0, keep_operation=2.0)


def make_genotype():
    return {
        "format": "nasjax.genotype/1",
        "operations": list(OPERATIONS),
        "cells": {"normal": full_cell(), "reduce": make_cell([make_edge(0, 2)], 2)},
    }


def svg_text(path):
    root = ElementTree.parse(path).getroot()
    return [
        " ".join(node.itertext()) for node in root.iter() if node.tag[-5:] == "}text"
    ]


def test_svg_says_every_weight_and_operation(tmp_path):
    cell = make_cell([make_edge(0, 2, 0.48, ["sep_conv_3x3"]), make_edge(1, 3, 0.07)])
    cell["edges"][0]["operations"][0]["weight"] = 0.21
    path = cells.draw_cell(cell, tmp_path / "new" / "cell.svg", title="normal $ cell")
    assert path == tmp_path / "new" / "cell.svg"
    text = [line.replace("  ", " ") for line in svg_text(path)]
    assert "normal $ cell" in text
    assert "0.48" in text and "0.07" in text
    assert "sep_conv_3x3 0.21" in text
    assert sum("0.14" in line for line in text) == 7
    assert "2 of 14 edges, 8 operations" in text
    source = path.read_text()
    assert 'id="edge-0-2"' in source and 'id="edge-1-3"' in source
    assert 'id="edge-1-2"' not in source


def test_same_bytes_each_time_and_no_pyplot(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    first = cells.draw_genotype(make_genotype(), tmp_path / "a")
    second = cells.draw_genotype(make_genotype(), tmp_path / "b")
    assert [path.name for path in first] == [
        "cell_normal.svg",
        "cell_normal.png",
        "cell_reduce.svg",
        "cell_reduce.png",
        "genotype_summary.svg",
        "genotype_summary.png",
    ]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert first[1].read_bytes().startswith(b"\x89PNG")
    assert ("matplotlib.pyplot" in sys.modules) == before


def drawn(figure):
    """(text boxes, node boxes, line points) of a cell figure, in pixels, by name."""
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    texts = {
        (text.get_gid() or text.get_text()): text.get_window_extent()
        for text in axes.texts
        if text.get_text()
    }
    nodes, lines = {}, {}
    for patch in axes.patches:
        name = patch.get_gid() or ""
        if name.startswith("node-"):
            nodes[name] = patch.get_window_extent()
        elif isinstance(patch, PathPatch):
            path = patch.get_path().transformed(patch.get_transform())
            lines[name] = path.interpolated(1).to_polygons(closed_only=False)[0]
    return texts, nodes, lines


def crosses(box, points):
    """Whether a polyline enters a box; sampled more finely than any label is high."""
    steps = np.linspace(0, 1, 200)[:, None]
    for start, end in itertools.pairwise(np.asarray(points)):
        x, y = (start + steps * (end - start)).T
        inside = (x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)
        if inside.any():
            return True
    return False


@pytest.mark.parametrize(
    "cell",
    [full_cell(), *(random_cell(seed) for seed in range(3)), random_cell(3, 2)],
    ids=["full", "pruned0", "pruned1", "pruned2", "small"],
)
def test_labels_touch_no_label_node_or_line(cell):
    figure = cells.cell_figure(genotypes.read_cell(cell), title="normal cell")
    texts, nodes, lines = drawn(figure)
    assert len(lines) == len([e for e in cell["edges"] if e["operations"]]) + len(
        cell["concat"]
    )
    labels = {
        name: box for name, box in texts.items() if "-" in name and "{" not in name
    }
    for (one, box), (two, other) in itertools.combinations(texts.items(), 2):
        same_label = one.split("-")[1:3] == two.split("-")[1:3]
        slack = 2.0 if same_label else 0.0  # lines of one label may share a pixel row
        apart = (
            min(box.x1, other.x1) <= max(box.x0, other.x0) + slack
            or min(box.y1, other.y1) <= max(box.y0, other.y0) + slack
        )
        assert apart, (one, two)
    for name, box in labels.items():
        assert not any(box.overlaps(node) for node in nodes.values()), name
        for line, points in lines.items():
            assert not crosses(box, points), (name, line)
    page = figure.bbox
    for box in [*texts.values(), *nodes.values()]:
        assert page.x0 <= box.x0 and box.x1 <= page.x1
        assert page.y0 <= box.y0 and box.y1 <= page.y1


def test_a_long_title_widens_the_page():
    cell = genotypes.read_cell(make_cell([make_edge(0, 2)], 1))
    title = "HM-NAS, CIFAR-10, $36 channels, seed 0, " * 3 + "."
    figure = cells.cell_figure(cell, title=title)
    texts, _, _ = drawn(figure)
    assert texts[title].x1 <= figure.bbox.x1
    assert figure.bbox.width > cells.cell_figure(cell).bbox.width


def test_line_width_follows_the_weight():
    weights = [0.1, 0.2, 0.6]
    edges = [
        make_edge(0, t, w, ["skip_connect"])
        for t, w in zip((2, 3, 4), weights, strict=True)
    ]
    figure = cells.cell_figure(genotypes.read_cell(make_cell(edges)))
    widths = {p.get_gid(): p.get_linewidth() for p in figure.axes[0].patches}
    drawn_widths = np.array([widths[f"edge-0-{target}"] for target in (2, 3, 4)])
    slopes = np.diff(drawn_widths) / np.diff(weights)
    np.testing.assert_allclose(slopes, slopes[0])
    assert slopes[0] > 0


def test_dead_nodes_are_grey():
    # node 3 is fed by nothing; node 4 only by node 3; node 5 by an input.
    edges = [make_edge(1, 2), make_edge(3, 4), make_edge(1, 5)]
    cell = genotypes.read_cell(make_cell(edges))
    assert cell.live_nodes() == {1, 2, 5, 6}
    figure = cells.cell_figure(cell)
    colors = {p.get_gid(): p.get_edgecolor() for p in figure.axes[0].patches}
    grey = colors["node-3"]
    assert np.ptp(grey[:3]) == 0
    assert colors["node-0"] == colors["node-4"] == colors["edge-3-4"] == grey
    assert grey not in (colors["node-1"], colors["node-2"], colors["edge-1-2"])


def test_an_unconcatenated_node_lives_through_its_successor():
    cell = make_cell([make_edge(0, 2), make_edge(2, 3)], 2)
    cell["concat"] = [3]
    assert genotypes.read_cell(cell).live_nodes() == {0, 2, 3, 4}


def test_summary_counts_edges_and_operations():
    edges = [
        make_edge(0, 2, 0.5, ["skip_connect"]),
        make_edge(0, 3, 0.5, ["skip_connect", "sep_conv_3x3"]),
        make_edge(1, 3, 0.5, ["skip_connect"]),
        make_edge(2, 3, 0.5, []),
    ]
    cell = genotypes.read_cell(make_cell(edges, 2))
    figure = cells.summary_figure({"normal": cell}, num_operations=3)
    left, right = figure.axes
    assert [bar.get_height() for bar in left.patches] == [1, 2]
    assert [bar.get_height() for bar in right.patches] == [2, 2, 1, 0]


def test_operations_are_listed_strongest_first():
    edge = make_edge(0, 2, 0.5, ["skip_connect", "sep_conv_3x3"])
    edge["operations"][1]["weight"] = 0.9
    read = genotypes.read_cell(make_cell([edge])).edges[0]
    assert [name for name, _ in read.operations] == ["sep_conv_3x3", "skip_connect"]


def spoil(change):
    genotype = make_genotype()
    change(genotype)
    return genotype


BAD = {
    "format is 'other'": lambda g: g.update(format="other"),
    "'cells' must map": lambda g: g.update(cells={}),
    "cell name '../x'": lambda g: g["cells"].update({"../x": full_cell()}),
    "key 'concat' is missing": lambda g: g["cells"]["reduce"].pop("concat"),
    "edge 2->2 does not fit": lambda g: g["cells"]["reduce"]["edges"].append(
        make_edge(2, 2)
    ),
    "edge 0->1 does not fit": lambda g: g["cells"]["normal"]["edges"].append(
        make_edge(0, 1)
    ),
    "edge 0->6 does not fit": lambda g: g["cells"]["normal"]["edges"].append(
        make_edge(0, 6)
    ),
    "listed twice": lambda g: g["cells"]["reduce"]["edges"].append(make_edge(0, 2)),
    "not finite": lambda g: g["cells"]["reduce"]["edges"][0].update(
        weight=float("nan")
    ),
    "str where float": lambda g: g["cells"]["reduce"]["edges"][0].update(weight="x"),
    "float where int": lambda g: g["cells"]["reduce"]["edges"][0].update(source=0.7),
    "bool where int": lambda g: g["cells"]["reduce"].update(num_nodes=True),
    "more than 256": lambda g: g["cells"]["reduce"].update(num_nodes=10**12),
    "inputs is no list": lambda g: g["cells"]["reduce"].update(inputs="ab"),
    "int where str": lambda g: g["cells"]["reduce"].update(inputs=[1, 2]),
    "int where bool": lambda g: g["cells"]["reduce"].update(weighted=1),
    "edges is no list": lambda g: g["cells"]["reduce"].update(edges={"source": 1}),
    "indices must be": lambda g: g["cells"]["reduce"].update(edges=[[1, 2]]),
    "format is list": lambda g: g.update(format=[[[]]]),
    "cell name int": lambda g: g["cells"].update({3: full_cell()}),
    "concat lists 9": lambda g: g["cells"]["reduce"].update(concat=[9]),
    "no intermediate node": lambda g: g["cells"]["reduce"].update(num_nodes=3),
}


@pytest.mark.parametrize("message", BAD)
def test_malformed_genotype_is_named_and_nothing_written(message, tmp_path):
    with pytest.raises(DataError) as caught:
        cells.draw_genotype(spoil(BAD[message]), tmp_path / "out")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_reading_does_not_change_the_genotype():
    genotype = make_genotype()
    kept = copy.deepcopy(genotype)
    genotypes.read_genotype(genotype)
    assert genotype == kept


@pytest.mark.parametrize("name", ["cell.pngg", "cell"])
def test_unknown_figure_format(name, tmp_path):
    with pytest.raises(ConfigError, match="png"):
        cells.draw_cell(full_cell(), tmp_path / name)
    assert canvas.FORMATS == ("svg", "png")
