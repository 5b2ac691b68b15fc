"""Examples of the README and the guides run as they stand; what they name exists."""

import re

import pytest
import shared

from nasjax import encoders, predictors, search, spaces

PAGES = [shared.ROOT / "README.md", *sorted((shared.ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if page.parent.name != "blocks"]
EXAMPLES = [
    pytest.param(source, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, source in enumerate(
        re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    )
]
README = PAGES[0].read_text(encoding="utf-8")


def test_there_are_examples():
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("source", EXAMPLES)
def test_an_example_runs(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # figures that it saves
    exec(compile(source, "example", "exec"), {})  # our own text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    for path in set(re.findall(r"(?:launch|configs|benchmarks)/[\w/]+\.py", text)):
        if path != "configs/FILE.py":
            assert (shared.ROOT / path).exists(), path
    for link in set(re.findall(r"\]\(([^)#:]+)\)", text)):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize(
    "registry",
    (
        search.ALGORITHMS,
        encoders.ENCODINGS,
        predictors.PREDICTORS,
        spaces.SPACES,
    ),
    ids=("algorithms", "encodings", "predictors", "spaces"),
)
def test_the_readme_lists_every_name(registry):
    assert [name for name in registry if f"`{name}`" not in README] == []


def test_the_readme_is_three_screens():
    assert len(README.splitlines()) <= 120
