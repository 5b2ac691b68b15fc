"""Reads working directories and writes the page, its figures and their numbers."""

import collections
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

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
RANKS = "ranks"


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
    found, parts, refused = _read(workdirs.expand(folders))
    place = paths.expand(figures) if figures else None
    names = _names(found)
    sections = [
        _section(part, name, place) for part, name in zip(parts, names, strict=True)
    ]
    ranks = rank_section.build(found)
    if ranks:
        body = page.join(_piece(piece, RANKS, place) for piece in ranks)
        sections.append(page.section("Ranks over data sets", RANKS, body))
    if place is not None:
        for name, one in zip(names, found, strict=True):
            file = place / name / reproduction.CONFIG_FILE
            atomic_file.write_text(file, reproduction.config_text(one))
    title = f"nasjax: {counted(len(found), 'run')}"
    top = [_summary(found, parts, names), *_refused(refused)]
    links = [page.link(n, n) for n in (*names, *([RANKS] if ranks else []))]
    text = page.document(title, [*top, *sections, _sources()], links=links)
    atomic_file.write_text(path, text)
    _tell(path, len(text.encode()), refused, place)
    return path


def _read(
    folders: Iterable[pathlib.Path],
) -> tuple[list[Workdir], list[Part], list[str]]:
    """Runs with their parts, and why others have none."""
    found, parts, refused = [], [], []
    for folder in folders:
        try:
            one = workdirs.read(folder)
            what = "not a result that can be shown"
            with read_guard.guard(folder, what, remedy=workdirs.AGAIN):
                part = SECTIONS[one.kind](one)
        except errors.DataError as error:
            refused.append(str(error))
            continue
        found.append(one)
        parts.append(part)
    return found, parts, refused


def _names(found: Sequence[Workdir]) -> list[str]:
    """A name for each run that files and links can have, no two the same."""
    names: list[str] = []
    counts: collections.Counter[str] = collections.Counter([RANKS])
    for one in found:
        own = re.sub(r"[^A-Za-z0-9]+", "-", one.folder.resolve().name).strip("-")
        own = own or "run"
        own = own if own[0].isalpha() else f"run-{own}"
        counts[own] += 1
        name = own if counts[own] == 1 else f"{own}-{counts[own]}"
        while name in names:
            counts[own] += 1
            name = f"{own}-{counts[own]}"
        names.append(name)
    return names


def _section(part: Part, name: str, place: pathlib.Path | None) -> Markup:
    own = place / name if place is not None else None
    return page.section(part.title, name, *(_piece(p, name, own) for p in part.pieces))


def _piece(piece: Any, name: str, place: pathlib.Path | None) -> Markup:
    """HTML as it is; a plot drawn in the page, and written where figures go."""
    if isinstance(piece, Markup):
        return piece
    from nasjax.report import inline_svg  # here: it loads matplotlib

    if place is not None:
        write(piece, place)
    own = f"{name}-{piece.name}".replace("_", "-")
    drawn = inline_svg.inline(piece.figure, own, label=piece.caption)
    return page.figure(Markup(drawn), piece.caption)


def write(plot: "Plot", folder: pathlib.Path) -> None:
    """A plot as SVG and PDF, and what is drawn as CSV."""
    from nasjax.report import canvas
    from nasjax.report.plot import csv_text  # here: it loads matplotlib

    for kind in ("svg", "pdf"):
        canvas.save(plot.figure, folder / f"{plot.name}.{kind}")
    atomic_file.write_text(folder / f"{plot.name}.csv", csv_text(plot.columns))


def _summary(
    found: Sequence[Workdir], parts: Sequence[Part], names: Sequence[str]
) -> Markup:
    if not found:
        return page.paragraph("No finished run was found.", class_="warning")
    rows = [
        [page.link(one.folder.name or one.name, name), *part.headline]
        for one, part, name in zip(found, parts, names, strict=True)
    ]
    return page.table(HEADS, rows)


def _refused(lines: Iterable[str]) -> list[Markup]:
    return [page.paragraph(line, class_="warning") for line in lines]


def _sources() -> Markup:
    """What the numbers rest on."""
    return page.section(
        "Methods",
        "methods",
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
