"""The page: everything escaped, tables that sort, and no script but ours."""

import pytest
import report_page

from nasjax.report import page
from nasjax.report.page import Markup

EVIL = "<script>alert(1)</script>\"'&<img src=http://x onerror=y>"


def test_whatever_is_no_markup_is_escaped():
    parts = [
        page.section(EVIL, "one", page.heading(3, EVIL, "two")),
        page.paragraph(EVIL, Markup("<b>bold</b>"), class_=EVIL),
        page.table([EVIL], [[EVIL], [page.code(EVIL)], [(1.0, EVIL)]], caption=EVIL),
        page.details(EVIL, page.block(EVIL)),
        page.facts({EVIL: EVIL}),
        page.figure(Markup("<svg></svg>"), EVIL),
        page.link(EVIL, "one"),
        EVIL,
    ]
    text = page.document(EVIL, parts, links=[page.link("x", "two"), EVIL])
    found = report_page.Page(text)
    assert found.count("script") == 1 and found.count("img") == 0
    assert found.count("b") == 1
    # All places show it as it was written.
    assert found.text().replace("\u00a0", " ").count(EVIL) == 18
    classes = [a["class"] for tag, a in found.tags if tag == "p"]
    assert classes == [EVIL, "soft"]


def test_numbers_are_sorted_by_their_value_and_texts_by_their_letters():
    rows = [["b", (2.5, "2.50")], ["a", (None, "–")], [None, (float("nan"), "–")]]
    found = report_page.Page(page.table(["name", "number"], rows))
    cells = [a for tag, a in found.tags if tag == "td"]
    assert cells[0] == {} and cells[1] == {"class": "number", "data-value": "2.5"}
    assert [cell["data-value"] for cell in cells[3::2]] == ["", ""]
    assert found.text("td").split() == ["b", "2.50", "a", "–", "–", "–"]
    heads = [a["class"] for tag, a in found.tags if tag == "th"]
    assert heads == ["", "number"]
    assert found.count("button") == 2


def test_a_percent_sign_stays_with_its_number_in_prose_only():
    assert "95\u00a0%" in page.paragraph("95 % of them")
    assert "95 % x" in page.block("95 % x")


@pytest.mark.parametrize("links", [[], ["a"]])
def test_the_page_is_whole_and_knows_both_colour_schemes(links, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page.document("t", [page.paragraph("p")], links=links), "utf-8")
    found = report_page.read(path)
    assert found.count("nav") == len(links)
    assert "prefers-color-scheme:dark" in path.read_text("utf-8")
