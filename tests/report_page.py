"""Reads a page of the report as a browser would, and checks what holds of every one."""

import html.parser
import re

from nasjax.jobs.report import run
from nasjax.report import page

VOID = {"meta", "br", "img", "link", "hr", "input"}
LOADS = {"src", "href", "action", "data", "poster", "srcset", "xlink:href"}


class Page(html.parser.HTMLParser):
    """Tags, ids and text of a page.

    Attributes:
      tags: (name, attributes) in their order.
      texts: what is written between the tags, by the tag that holds it.
    """

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts, self.open = [], [], []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}>"

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    def text(self, *tags):
        """Everything that is written in these tags, or in all but style and script."""
        return " ".join(
            data
            for tag, data in self.texts
            if (tag in tags if tags else tag not in ("style", "script"))
        )


def read(path):
    """The page of a file, when it is whole, alone and small."""
    content = path.read_bytes()
    assert len(content) < page.MOST_BYTES
    text = content.decode("utf-8")
    found = Page(text)
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids)), "an id is there twice"
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), f"<{tag} {name}>"
            if name in LOADS:
                inside = value.startswith("#") and value[1:] in ids
                assert inside or value.startswith("data:image/png;base64,"), value[:80]
        assert tag not in ("link", "iframe", "object", "embed", "base", "form"), tag
    referred = re.findall(r"url\(([^)]*)\)", text)
    assert all(name.strip("\"'").startswith("#") for name in referred)
    assert {name.strip("\"'#") for name in referred} <= set(ids)
    assert "@import" not in text
    assert found.count("script") == found.count("style") == 1
    return found


def of(folder, tmp_path, figures=""):
    """The page of one working directory."""
    path = tmp_path / "report.html"  # the folder is made where it is missing
    run.run([str(folder)], str(path), str(figures))
    found = read(path)
    assert "warning" not in [a.get("class") for _, a in found.tags], found.text("p")
    return found
