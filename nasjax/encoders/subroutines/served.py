"""Which encoding serves which subroutine of a search, by name and space.

Three subroutines depend on the encoding (White et al., 2020; Yan, 2022, chapter 4):

    sample    draw a random architecture
    perturb   change an architecture: mutation, and the neighbourhood of local search
    train     train a predictor on the vectors, or a process on their distances
"""

from collections.abc import Iterable, Mapping

from nasjax.core import errors
from nasjax.encoders.subroutines import path_index

ALL = ("sample", "perturb", "train")
"""The three subroutines."""
CHANGING = ALL[:2]
"""Those that change a space."""
TRAIN = ALL[2:]
_DARTS = ("darts", "darts_shared")
_OTHERS = ("nasbench201", *_DARTS)


def _of_paths(*drawing: str) -> dict[str, tuple[str, ...]]:
    """Sets of paths are drawn where they are indexed, and encoded in DARTS, too."""
    indexed = dict.fromkeys(path_index.SPACES, (*drawing, *TRAIN))
    return indexed | dict.fromkeys(_DARTS, TRAIN)


SUBROUTINES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "adjacency_one_hot": dict.fromkeys(("nasbench101", *_OTHERS, "nasbench_nlp"), ALL),
    "adjacency_categorical": dict.fromkeys(("nasbench101", *_OTHERS), ALL),
    "adjacency_continuous": dict.fromkeys(("nasbench101", *_OTHERS), ALL),
    "path_one_hot": _of_paths("sample", "perturb"),
    "path_one_hot_truncated": _of_paths("sample", "perturb"),
    "path_categorical": _of_paths("perturb"),
    "path_categorical_truncated": _of_paths("perturb"),
    "path_continuous": _of_paths("sample", "perturb"),
    "path_continuous_truncated": _of_paths("sample", "perturb"),
    "path_counts": _of_paths(),
}
"""Which of the three each encoding serves in each space that it can encode. Learned
encodings serve all of them, by `of_table`."""


def find(encoding: str, space: str) -> tuple[str, ...]:
    """Which subroutines an encoding serves in a space.

    Raises:
      ConfigError: there is no such encoding, or not for this space.
    """
    if encoding not in SUBROUTINES:
        raise errors.unknown_name("encoding", encoding, SUBROUTINES)
    if space not in SUBROUTINES[encoding]:
        raise errors.unknown_name(f"space of {encoding}", space, SUBROUTINES[encoding])
    return SUBROUTINES[encoding][space]


def check_changing(names: Iterable[str]) -> None:
    """Raises a `ConfigError` unless all these subroutines change a space."""
    for name in names:
        if name not in ALL:
            raise errors.unknown_name("subroutine", name, ALL)
        if name in TRAIN:
            raise errors.ConfigError(
                f"subroutine {name!r} changes no space: pass features=encoders.make("
                "...) to the search, or table=... where the encoding is learned"
            )


def lacks(encoding: str, space: str, subroutine: str) -> errors.ConfigError:
    """The error of a subroutine that an encoding does not serve; it says which do."""
    serving = [
        name
        for name, served in SUBROUTINES.items()
        if subroutine in served.get(space, ())
    ]
    return errors.ConfigError(
        f"{encoding} does not serve {subroutine!r} in {space}; encodings that do: "
        f"{', '.join(serving) or 'none'}"
    )
