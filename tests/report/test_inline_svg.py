"""Figures inside a page: small, their ids apart, their text still text."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
from matplotlib.figure import Figure

from nasjax.report import canvas, inline_svg


def figure(label="a label"):
    made = Figure(figsize=(4, 3))
    axes = made.subplots()
    x = np.linspace(0, 1, 200)
    axes.fill_between(x, np.sin(20 * x), np.cos(20 * x))
    axes.plot(x, 0.123456 * x, marker="o")
    axes.set_xlabel(label, parse_math=False)
    return made


def test_it_is_smaller_and_says_the_same():
    whole = canvas.to_svg(figure())
    text = inline_svg.inline(figure(), "one", label="what it shows")
    assert len(text) < 0.7 * len(whole)
    root = ElementTree.fromstring(text)
    assert (root.get("role"), root.get("aria-label")) == ("img", "what it shows")
    # Four inches are 384 pixels.
    assert root.get("style") == "max-width:384px"
    assert [float(v) for v in root.get("viewBox").split()] == [0, 0, 288, 216]
    assert "a label" in "".join(root.itertext())
    assert "<style" not in text and "xmlns" not in text and "metadata" not in text


def corners(path):
    """Points of a path of straight lines, absolute (M, L) or by steps (l)."""
    found, kind, numbers = [], "", []
    for token in re.findall(r"[A-Za-z]|-?\d*\.?\d+", path):
        if token.isalpha():
            kind = token
            continue
        numbers.append(float(token))
        if len(numbers) == 2:
            point = np.array(numbers)
            found.append(found[-1] + point if kind == "l" else point)
            numbers = []
    return np.array(found).reshape(-1, 2)


def test_coordinates_move_by_less_than_a_tenth_of_a_point():
    whole, text = canvas.to_svg(figure()), inline_svg.inline(figure(), "a", label="")
    before, after = (re.findall(r' d="([^"]*)"', t) for t in (whole, text))
    assert len(before) == len(after)
    straight = 0
    for first, second in zip(before, after, strict=True):
        if "C" in first:
            assert second.count("C") == first.count("C")
            continue
        assert first.upper().count("Z") == second.count("z")
        np.testing.assert_allclose(corners(first), corners(second), atol=0.0501)
        straight += len(corners(first))
    assert straight > 400
    assert len("".join(after)) < 0.55 * len("".join(before))


def test_ids_of_two_figures_are_apart_and_all_are_used():
    both = [inline_svg.inline(figure(), name, label="") for name in ("one", "two")]
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in both]
    used = [set(re.findall(r'(?:href="#|url\(#)([^")]*)', text)) for text in both]
    assert ids == used and len(ids[0]) > 1
    assert not ids[0] & ids[1]


def test_names_are_escaped():
    evil = "</svg><script>alert(1)</script>"
    text = inline_svg.inline(figure(evil), "one", label=f'{evil}"')
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == f'{evil}"'
    assert evil in "".join(root.itertext())
    assert "<script" not in text
