"""Reads working directories and writes the page, its figures and their numbers."""

import itertools
import pathlib
import re
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nasjax.core import atomic_file, errors, paths, progress, read_guard
from nasjax.jobs.report import (
    encoder_section,
    rank_section,
    reproduction,
    search_section,
    supernet_section,
    surrogate_section,
    training_section,
    workdirs,
)
from nasjax.jobs.report.parts import Part, counted
from nasjax.jobs.report.workdirs import Workdir
from nasjax.report import page
from nasjax.report.page import Markup

if TYPE_CHECKING:
    from nasjax.report.plot import Plot

SECTIONS = {
    workdirs.SEARCH: search_section.build,
    workdirs.JOINED: search_section.build_joined,
    workdirs.SUPERNET: supernet_section.build,
    workdirs.ENCODER: encoder_section.build,
    workdirs.SURROGATE: surrogate_section.build,
    workdirs.FOLDS: surrogate_section.build_folds,
    workdirs.BUILT: surrogate_section.build_benchmark,
    workdirs.TRAINED: training_section.build,
}
"""What writes the section of a kind of run."""
HEADS = ("run", "what", "main number", "95 % interval", "seeds", "control")
RANKS, METHODS = "ranks", "methods"
"""Anchors of sections that are of no run."""


def run(folders: Sequence[str], output: str, figures: str = "") -> pathlib.Path:
    """Writes one page about all runs.

    A folder that is none, is not finished or is damaged is a line on the page.

    Args:
      folders: working directories.
      output: the HTML file.
      figures: folder for every figure as SVG and PDF, its numbers as CSV, and every
        run's configuration; "" for none.

    Returns:
      The page.

    Raises:
      ConfigError: no folder or no file is named.
      OSError: the page cannot be written.
    """
    if not output:
        raise errors.ConfigError("--output is empty: pass --output=report.html")
    path = paths.expand(output)
    atomic_file.require_writable(path)
    place = paths.expand(figures) if figures else None
    shown, refused = _read(workdirs.expand(folders))
    sections = [page.section(one.part.title, one.name, *one.drawn) for one in shown]
    ranks = rank_section.build([one.found for one in shown])
    if ranks:
        drawn = [_draw(piece, RANKS) for piece in ranks]
        sections.append(page.section("Ranks over data sets", RANKS, *drawn))
    if place is not None:
        _write_figures(shown, ranks, place)
    title = f"nasjax: {counted(len(shown), 'run')}"
    top = [_summary(shown), *_refused(refused)]
    anchors = [*(one.name for one in shown), *([RANKS] if ranks else [])]
    links = [page.link(anchor, anchor) for anchor in anchors]
    text = page.document(title, [*top, *sections, _methods()], links=links)
    atomic_file.write_text(path, text)
    _tell(path, len(text.encode()), refused, place)
    return path


class _Shown(NamedTuple):
    """A run on the page.

    Attributes:
      found: its working directory.
      part: what is said of it.
      name: that files and links can have, no two the same.
      drawn: HTML of its pieces.
    """

    found: Workdir
    part: Part
    name: str
    drawn: list[Markup]


def _read(folders: Iterable[pathlib.Path]) -> tuple[list[_Shown], list[str]]:
    """Runs with what is shown of them, and why others are not."""
    shown: list[_Shown] = []
    refused = []
    for folder in folders:
        what = "not a result that can be shown"
        try:
            found = workdirs.read(folder)
            name = _name(folder, {RANKS, METHODS, *(one.name for one in shown)})
            with read_guard.guard(folder, what, remedy=workdirs.AGAIN):
                part = SECTIONS[found.kind](found)
                drawn = [_draw(piece, name) for piece in part.pieces]
        except errors.DataError as error:
            refused.append(str(error))
            continue
        shown.append(_Shown(found, part, name, drawn))
    return shown, refused


def _name(folder: pathlib.Path, taken: Collection[str]) -> str:
    """Letters, digits and dashes, beginning with a letter, that are not taken."""
    own = re.sub(r"[^A-Za-z0-9]+", "-", folder.resolve().name).strip("-")
    own = own if own[:1].isalpha() else f"run-{own}".rstrip("-")
    numbered = (f"{own}-{count}" for count in itertools.count(2))
    return next(n for n in itertools.chain([own], numbered) if n not in taken)


def _draw(piece: Any, name: str) -> Markup:
    """HTML as it is, or a plot as a figure of the page."""
    if isinstance(piece, Markup):
        return piece
    from nasjax.report import inline_svg  # here: it loads matplotlib

    own = f"{name}-{piece.name}".replace("_", "-")
    drawn = inline_svg.inline(piece.figure, own, label=piece.caption)
    return page.figure(Markup(drawn), piece.caption)


def _write_figures(
    shown: Iterable[_Shown], ranks: Iterable[Any], place: pathlib.Path
) -> None:
    """Every plot and configuration, in a folder for each run."""
    for one in shown:
        for piece in one.part.pieces:
            if not isinstance(piece, Markup):
                write(piece, place / one.name)
        text = reproduction.config_text(one.found)
        atomic_file.write_text(place / one.name / reproduction.CONFIG_FILE, text)
    for piece in ranks:
        if not isinstance(piece, Markup):
            write(piece, place)


def write(plot: "Plot", folder: pathlib.Path) -> None:
    """A plot as SVG and PDF, and what is drawn as CSV."""
    from nasjax.report import canvas
    from nasjax.report.plot import csv_text  # here: it loads matplotlib

    for kind in ("svg", "pdf"):
        canvas.save(plot.figure, folder / f"{plot.name}.{kind}")
    atomic_file.write_text(folder / f"{plot.name}.csv", csv_text(plot.columns))


def _summary(shown: Sequence[_Shown]) -> Markup:
    if not shown:
        return page.paragraph("No finished run was found.", class_="warning")
    rows = [
        [page.link(one.found.folder.name or one.name, one.name), *one.part.headline]
        for one in shown
    ]
    return page.table(HEADS, rows)


def _refused(lines: Iterable[str]) -> list[Markup]:
    return [page.paragraph(line, class_="warning") for line in lines]


def _methods() -> Markup:
    """What the numbers rest on."""
    return page.section(
        "Methods",
        METHODS,
        page.paragraph(
            "Intervals of a mean: Student's t over up to 9 independent units, the same "
            "with its skewness removed (Hall, 1992) below 500, the percentile "
            "bootstrap beyond; the units are the largest thing that was drawn. "
            "Differences: sign flips of the pairs, or t over embeddings, as the tables "
            "say. Ranks: Friedman's test and Nemenyi's critical difference (Demšar, "
            "2006). Tables and figures of the thesis: Yan (2022)."
        ),
    )


def _tell(
    path: pathlib.Path,
    size: int,
    refused: Sequence[str],
    place: pathlib.Path | None,
) -> None:
    for line in refused:
        progress.echo(f"left out: {line}")
    if size > page.MOST_BYTES:
        progress.echo(f"{path} has {size / 1e6:.1f} MB: name fewer folders for less")
    also = f"; figures and numbers in {place}" if place is not None else ""
    progress.echo(f"{path}: {size / 1e3:.0f} kB{also}")
