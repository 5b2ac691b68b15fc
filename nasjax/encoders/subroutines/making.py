"""The functions of an encoding, and the space that they make."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nasjax import encoders, spaces
from nasjax.core import errors
from nasjax.core.types import Array, Key, SearchSpace
from nasjax.encoders import distances, paths
from nasjax.encoders.adjacency import Encoding
from nasjax.encoders.distances import Distance
from nasjax.encoders.subroutines import (
    adjacency_moves,
    learned,
    path_index,
    path_moves,
    served,
)
from nasjax.encoders.subroutines.path_index import PathIndex


class Subroutines(NamedTuple):
    """What an encoding has in one space; None: what it has not.

    Large arrays behind the functions sit in `jax.tree_util.Partial`s.

    Attributes:
      encoding: its name.
      space: whose architectures it encodes.
      encode: `arch [G] -> float [D]`.
      distance: `(a [D], b [D]) -> []`.
      sample: `(key) -> arch [G]`.
      perturb: `(key, arch [G]) -> arch [G]`, of another encoding where there is any.
      neighbors: `(arch [G]) -> (archs [M, G], mask [M])`.
    """

    encoding: str
    space: SearchSpace
    encode: Encoding
    distance: Distance
    sample: Callable[[Key], Array] | None = None
    perturb: Callable[[Key, Array], Array] | None = None
    neighbors: Callable[[Array], tuple[Array, Array]] | None = None


def make(
    encoding: str,
    space: str | SearchSpace,
    *,
    archs: np.ndarray | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Subroutines:
    """The subroutines of an encoding that needs no training.

    Where operations sit on edges (NAS-Bench-201, DARTS, NAS-Bench-NLP) the adjacency
    forms differ in vector and distance only: `sample`, `perturb` and `neighbors` are
    those of the space.

    Args:
      encoding: a key of `SUBROUTINES`.
      space: of `spaces.SPACES`, or its name.
      archs: integers `[N, G]`: the cells whose sets of paths an encoding of paths may
        draw; None: all cells of the space (4 CPU seconds for NAS-Bench-101).
      cache_dir: of the enumerated NAS-Bench-101 cells; None: `~/.cache/nasjax`.

    Raises:
      ConfigError: there is no such encoding, not for this space, or it draws from no
        list of cells.
      DataError: as `path_index.build`.
    """
    known = spaces.make(space) if isinstance(space, str) else space
    has = served.find(encoding, known.name)
    has_index = encoding.startswith("path") and has != served.TRAIN
    if archs is not None and not has_index:
        raise errors.ConfigError(
            f"archs: {encoding} draws from no list of cells of {known.name}; leave "
            "them out"
        )
    made = Subroutines(
        encoding,
        known,
        encoders.make(encoding, known.name),
        distances.make(encoding, known.name),
    )
    if has == served.TRAIN:
        return made
    if not has_index:
        return _with_edges(made)
    if archs is None:
        folder = None if cache_dir is None else str(os.fspath(cache_dir))
        return _with_paths(made, _whole_index(known.name, folder))
    return _with_paths(made, path_index.build(known.name, archs=archs))


def of_table(
    encoding: str,
    space: SearchSpace,
    archs: Array | np.ndarray,
    vectors: Array | np.ndarray,
) -> Subroutines:
    """The subroutines of learned vectors, such as those of arch2vec.

    `perturb` draws one of the ten nearest vectors, and these are the neighbours. A
    search that trains a predictor takes the same rows as `table=EmbeddingTable(...)`;
    as `features` they would be copied into its programs.

    Args:
      encoding: any name.
      space: whose architectures they are; an own one, too.
      archs: integers `[N, G]`.
      vectors: float `[N, D]`.

    Raises:
      DataError: the sizes do not fit, a number is not finite, or there are fewer than
        two different vectors.
    """
    table = learned.build(space, archs, vectors)
    return Subroutines(
        encoding,
        space,
        Partial(functools.partial(learned.encode, space), table),
        distances.euclidean,
        Partial(learned.sample, table),
        Partial(functools.partial(learned.perturb, space), table),
        Partial(functools.partial(learned.neighbors, space), table),
    )


def respaced(
    encoding: str | Subroutines,
    space: str | SearchSpace | None = None,
    *,
    subroutine: str | Iterable[str] = served.CHANGING,
    archs: np.ndarray | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> SearchSpace:
    """The space as an encoding draws and changes its architectures.

        near = encoders.respaced("path_one_hot", "nasbench101", subroutine="perturb")
        search.make("regularized_evolution", near)

    Args:
      encoding: a key of `SUBROUTINES`, or what `make` or `of_table` return.
      space: of `spaces.SPACES`, or its name; None: that of the subroutines.
      subroutine: "sample" (`sample` of the space), "perturb" (`mutate` and
        `neighbors`), or both.
      archs: as for `make`.
      cache_dir: as for `make`.

    Raises:
      ConfigError: the encoding does not serve a subroutine in this space, or as `make`.
    """
    names = (subroutine,) if isinstance(subroutine, str) else tuple(subroutine)
    served.check_changing(names)
    if isinstance(encoding, str):
        if space is None:
            raise errors.ConfigError(
                f"space=... of the encoding {encoding!r} is needed"
            )
        known = space if isinstance(space, str) else space.name
        lacking = [n for n in names if n not in served.find(encoding, known)]
        if lacking:
            raise served.lacks(encoding, known, lacking[0])
        encoding = make(encoding, space, archs=archs, cache_dir=cache_dir)
    elif space is not None or archs is not None or cache_dir is not None:
        raise errors.ConfigError(
            f"the subroutines of {encoding.encoding!r} are made already: leave space, "
            "archs and cache_dir out"
        )
    return _apply(encoding, names)


def _apply(made: Subroutines, names: tuple[str, ...]) -> SearchSpace:
    space = made.space
    for name in names:
        if getattr(made, name) is None:
            raise served.lacks(made.encoding, space.name, name)
    if "sample" in names and made.sample is not space.sample:
        space = encoders.respace(space, sample=made.sample, draws=1)
    if "perturb" in names and made.perturb is not space.mutate:
        space = encoders.respace(
            space, perturb=made.perturb, neighbors=made.neighbors, draws=1
        )
    return space


def _with_edges(made: Subroutines) -> Subroutines:
    space, form = made.space, made.encoding.removeprefix("adjacency_")
    if space.name == "nasbench101" and form != "one_hot":
        sample, perturb = {
            "categorical": (
                adjacency_moves.sample_categorical,
                adjacency_moves.perturb_categorical,
            ),
            "continuous": (
                adjacency_moves.sample_continuous,
                adjacency_moves.perturb_continuous,
            ),
        }[form]
        return made._replace(
            sample=sample, perturb=perturb, neighbors=adjacency_moves.neighbors
        )
    return made._replace(
        sample=space.sample, perturb=space.mutate, neighbors=space.neighbors
    )


def _with_paths(made: Subroutines, index: PathIndex) -> Subroutines:
    name, form = made.space.name, made.encoding.removeprefix("path_")
    encode = paths.one_hot(name)
    truncated = form.endswith("_truncated")
    size = paths.size_of(name) if truncated else _length(made.space, encode)
    if form.startswith("one_hot"):
        odds, weigh = path_moves.independent, path_moves.flipped
    elif form.startswith("continuous"):
        odds, weigh = path_moves.highest, path_moves.moved
    else:
        slots = _length(made.space, made.encode)
        odds, weigh = None, functools.partial(path_moves.slot_redrawn, slots=slots)
    if odds is not None:
        by_size = path_moves.sizes(index, odds(size), truncated=truncated)
        made = made._replace(sample=Partial(path_moves.sample, by_size, index))
    perturb = functools.partial(path_moves.perturb, encode, weigh, size)
    identify = made.space.fingerprint
    neighbors = functools.partial(path_moves.neighbors, encode, identify, size)
    return made._replace(
        perturb=Partial(perturb, index), neighbors=Partial(neighbors, index)
    )


def _length(space: SearchSpace, encode: Encoding) -> int:
    genes = jax.ShapeDtypeStruct((space.num_genes,), jnp.int32)
    length: int = jax.eval_shape(encode, genes).shape[0]
    return length


@functools.lru_cache(maxsize=2)
def _whole_index(space: str, cache_dir: str | None) -> PathIndex:
    return path_index.build(space, cache_dir=cache_dir)
