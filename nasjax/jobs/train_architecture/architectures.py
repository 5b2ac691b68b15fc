"""Which architectures a configuration asks for: given, listed, drawn or searched."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from nasjax import nasbench, search, spaces
from nasjax.core import errors, paths, progress, read_guard
from nasjax.core.types import Key
from nasjax.jobs.train_architecture.settings import Trainings
from nasjax.search.algorithm import Evaluate
from nasjax.spaces import nasbench101_cells, nasbench101_notation, nasbench111
from nasjax.training import architecture

RANDOM = "random"
NASBENCH111 = "nasbench111"
DRAWN = (RANDOM, NASBENCH111)
"""Values of config.arch that stand for a draw."""

SEARCHERS = ("bananas", "local_search", "regularized_evolution")
"""Whose finds are part of NAS-Bench-111; of those in `search.ALGORITHMS`."""

NUM_TRIALS, NUM_QUERIES = 30, 150

_MAX_BYTES = 2**26


class Architectures(NamedTuple):
    """Attributes:
    archs: int32 `[A, G]`.
    groups: int32 `[A]`, for NAS-Bench-111 an index of `nasbench111.GROUPS`, else 0.
    """

    archs: np.ndarray
    groups: np.ndarray


def choose(config: Trainings) -> Architectures:
    """The architectures of a configuration.

    Args:
      config: where `arch` is "random", `num_archs` are drawn from the space with
        `sample_seed`; "nasbench111" draws its 1,101 cells: the searched ones are read
        from `searched`, or found in `table`.

    Raises:
      ConfigError: a key is missing or does not fit.
      DataError: a file cannot be read.
      UnknownArchitecture: a line is no architecture of the space.
    """
    space, wanted = config.space, str(config.arch).strip()
    if not wanted:
        raise errors.ConfigError(
            "no architecture: pass --config.arch=STRING, a file with one a line, or "
            f"one of {', '.join(DRAWN)}"
        )
    if wanted == NASBENCH111:
        return _nasbench111(config)
    if wanted == RANDOM:
        archs = _random(space, config.num_archs, config.sample_seed)
    elif _is_file(wanted):
        archs = read_file(space, wanted)
    else:
        archs = architecture.parse(space, wanted)[None]
    return Architectures(archs, np.zeros(len(archs), np.int32))


def read_file(space: str, path: str) -> np.ndarray:
    """int32 `[A, G]` of the lines of a file; errors as in `choose`."""
    try:
        text = read_guard.read_file(paths.expand(path), max_bytes=_MAX_BYTES)
        lines = text.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise errors.DataError(f"{path} cannot be read: {error}") from error
    archs = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            archs.append(architecture.parse(space, line.strip()))
        except errors.UnknownArchitecture as error:
            raise errors.UnknownArchitecture(
                f"{path}, line {number}: {error}"
            ) from error
    if not archs:
        raise errors.DataError(f"{path} holds no architecture; write one a line")
    return np.stack(archs)


def searched_cells(
    key: Key,
    evaluate: Evaluate,
    number: int,
    *,
    num_trials: int = NUM_TRIALS,
    num_queries: int = NUM_QUERIES,
    names: Sequence[str] | None = None,
) -> np.ndarray:
    """The best NAS-Bench-101 cells that the trials of several algorithms have found.

    The trials are shared out among the algorithms. Every trial gives its best cell that
    no trial before has given, then every trial its next one, until there are enough.
    Cells of fewer than five vertices do not count, for NAS-Bench-111 has all of them.

    Args:
      key: of all trials.
      evaluate: a benchmark, see `search.run`.
      number: cells to return, pairwise different.
      num_trials: of all algorithms together.
      num_queries: trainings of each trial.
      names: algorithms; None: those of `SEARCHERS` that there are.

    Returns:
      int32 `[number, 27]`.

    Raises:
      DataError: the trials met fewer cells that have a score.
    """
    if names is None:
        names = [name for name in SEARCHERS if name in search.ALGORITHMS]
    ranked: list[list[np.ndarray]] = []
    for place, name in enumerate(names):
        share = len(range(place, num_trials, len(names)))
        history = search.run_trials(
            jax.random.split(jax.random.fold_in(key, place), share),
            search.make(name, spaces.make("nasbench101")),
            evaluate,
            num_queries,
            description=name,
        )
        scores = np.where(history.mask, history.valid, -np.inf)
        for archs, valid in zip(np.asarray(history.archs), scores, strict=True):
            order = np.argsort(-valid, kind="stable")
            order = order[np.isfinite(valid[order])]
            distinct, _ = nasbench111.unique(archs[order])
            ranked.append(list(distinct))
    in_turn = [
        trial[rank]
        for rank in range(max(map(len, ranked), default=0))
        for trial in ranked
        if rank < len(trial)
    ]
    small = nasbench111.unique(nasbench111.small_cells())[1]
    archs = np.array(in_turn, np.int32).reshape(-1, nasbench101_notation.NUM_GENES)
    found, _ = nasbench111.unique(archs, known=small)
    if len(found) < number:
        raise errors.DataError(
            f"the searches found {len(found)} different cells with a score, {number} "
            "are needed; use a table of the whole space"
        )
    return found[:number].astype(np.int32)


def _nasbench111(config: Trainings) -> Architectures:
    if config.space != "nasbench101":
        raise errors.ConfigError(
            f"arch={NASBENCH111!r} draws NAS-Bench-101 cells, not {config.space!r}"
        )
    key_search, key_draw = jax.random.split(jax.random.key(config.sample_seed))
    if config.searched:
        found = read_file("nasbench101", config.searched)
    elif config.table:
        table = nasbench.load(config.table)
        evaluate = Partial(type(table).evaluate, table)
        found = searched_cells(key_search, evaluate, nasbench111.NUM_SEARCHED)
        names = [name for name in SEARCHERS if name in search.ALGORITHMS]
        progress.echo(f"{len(found)} cells from trials of {', '.join(names)}")
    else:
        raise errors.ConfigError(
            "149 cells of NAS-Bench-111 come from searches: pass "
            "--config.searched=FILE with one cell a line, or --config.table=FILE, a "
            "NAS-Bench-101 table to search in"
        )
    return Architectures(
        *nasbench111.sample(key_draw, nasbench101_cells.cells(), found)
    )


def _random(space: str, number: int, seed: int) -> np.ndarray:
    if number < 1:
        raise errors.ConfigError(f"num_archs={number} must be at least 1")
    keys = jax.random.split(jax.random.key(seed), number)
    return np.asarray(jax.vmap(spaces.make(space).sample)(keys), np.int32)


def _is_file(text: str) -> bool:
    try:
        return pathlib.Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # a long notation is no path at all
        return False
