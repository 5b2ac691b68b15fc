"""Architectures as NASLib and NAS-Bench-301 write them, to official strings and back.

The forms, with the place in github.com/automl/NASLib where each was read:

    nasbench201   six operation indices for the edges 1>2, 1>3, 1>4, 2>3, 2>4, 3>4 (our
                  0>1, 0>2, ...), of Identity, Zero, ReLUConvBN3x3, ReLUConvBN1x1,
                  AvgPool1x1; `OP_NAMES` and `EDGE_LIST` of
                  search_spaces/nasbench201/conversions.py
    nasbench101   the n x n matrix row by row, then n indices of input, output,
                  maxpool3x3, conv1x1, conv3x3; `convert_spec_to_tuple` of
                  search_spaces/nasbench101/conversions.py; or the dictionary of
                  `matrix` and `ops` itself
    darts         ((input, operation) x 8, the same of the reduction cell), "compact",
                  operations in our order; `convert_genotype_to_compact` of
                  search_spaces/nasbench301/conversions.py; or the `Genotype` tuple

and the configuration of NAS-Bench-301 (ConfigSpace, written as a dictionary):
`convert_genotype_to_config` there.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, registry
from nasjax.spaces import darts, nasbench101_notation, nasbench201

OPS_201 = (
    "skip_connect",
    "none",
    "nor_conv_3x3",
    "nor_conv_1x1",
    "avg_pool_3x3",
)
"""Identity, Zero, ReLUConvBN3x3, ReLUConvBN1x1 and AvgPool1x1 by their names here."""
EDGES_201 = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))
"""`EDGE_LIST`, counted from 0."""
OPS_101 = ("input", "output", "maxpool3x3", "conv1x1-bn-relu", "conv3x3-bn-relu")
PREFIX = "NetworkSelectorDatasetInfo:darts:"
"""What names of NAS-Bench-301's configuration space begin with."""

_FROM_201 = [nasbench201.OP_NAMES.index(name) for name in OPS_201]
_EDGE_201 = [nasbench201.EDGES.index(edge) for edge in EDGES_201]
_CELLS = ("normal", "reduce")
_FIRST_EDGE = (0, 2, 5, 9)
"""Of the 14 possible edges of a cell, the first into each step."""


class Form(NamedTuple):
    """One way of writing: `read(value) -> genes` and `write(genes) -> value`."""

    read: Callable[[Any], np.ndarray]
    write: Callable[[Any], tuple[Any, ...]]


def from_naslib(space: str, value: Any) -> np.ndarray:
    """Genes int32 `[G]` of what NASLib's `get_hash` or `get_spec` gives.

        genes = naslib.from_naslib("nasbench201", (2, 1, 0, 3, 4, 2))
        text = spaces.make("nasbench201").format_arch(genes)

    Args:
      space: "nasbench201", "nasbench101" or "darts".
      value: in the form of the space, see the module.

    Raises:
      ConfigError: no form of the space is known.
      UnknownArchitecture: the value is not in the form, or outside the space.
    """
    read = registry.find("space of NASLib", FORMS, space).read
    try:
        return read(value)
    except TypeError as error:
        raise errors.UnknownArchitecture(
            f"a value of type {type(value).__name__} is not in the form of NASLib for "
            f"{space}: {error}"
        ) from error


def to_naslib(space: str, arch: Any) -> tuple[Any, ...]:
    """The tuple of NASLib of genes `[G]`; the inverse of `from_naslib`.

    Raises:
      ConfigError: no form of the space is known.
    """
    return registry.find("space of NASLib", FORMS, space).write(arch)


def from_config(config: Mapping[str, Any]) -> np.ndarray:
    """Genes int32 `[32]` of a configuration of NAS-Bench-301, as a dictionary.

    Keys that do not name an edge or a pair of inputs (settings of the training) are
    left alone. The first input of a step is the smaller one.

    Raises:
      UnknownArchitecture: a step does not have two edges, an operation is unknown, or
        a pair of inputs does not fit the edges.
    """
    return np.array(
        [gene for cell in _CELLS for gene in _config_cell(config, cell)], np.int32
    )


def to_config(arch: Any) -> dict[str, str]:
    """The configuration of genes `[32]`: 16 edges and 6 pairs of inputs."""
    config = {}
    cells = np.asarray(arch).reshape(2, darts.NUM_STEPS, 2, 2).tolist()
    for name, steps in zip(_CELLS, cells, strict=True):
        for step, edges in enumerate(steps):
            for op, state in edges:
                key = f"{PREFIX}edge_{name}_{_FIRST_EDGE[step] + state}"
                config[key] = darts.OP_NAMES[op]
            if step:
                pair = "_".join(map(str, sorted(state for _, state in edges)))
                config[f"{PREFIX}inputs_node_{name}_{step + 2}"] = pair
    return config


def _config_cell(config: Mapping[str, Any], cell: str) -> list[int]:
    genes: list[int] = []
    for step, first in enumerate(_FIRST_EDGE):
        found = {
            state: config[f"{PREFIX}edge_{cell}_{first + state}"]
            for state in range(step + 2)
            if config.get(f"{PREFIX}edge_{cell}_{first + state}") is not None
        }
        if len(found) != 2:
            raise errors.UnknownArchitecture(
                f"step {step} of the {cell} cell needs two of the keys "
                f"{PREFIX}edge_{cell}_{first} to {first + step + 1}, not {len(found)}"
            )
        pair = config.get(f"{PREFIX}inputs_node_{cell}_{step + 2}")
        if pair is not None and pair != "_".join(map(str, found)):
            raise errors.UnknownArchitecture(
                f"{PREFIX}inputs_node_{cell}_{step + 2} is not "
                f"{'_'.join(map(str, found))!r}, the inputs of the edges that are there"
            )
        for state, name in found.items():
            genes += [_operation(name, darts.OP_NAMES), state]
    return genes


def _operation(name: Any, known: Sequence[str]) -> int:
    if not isinstance(name, str) or name not in known:
        shown = name[:40] if isinstance(name, str) else type(name).__name__
        raise errors.UnknownArchitecture(
            f"unknown operation {shown!r}{errors.suggest(str(shown), known)}; known: "
            f"{', '.join(known)}"
        )
    return list(known).index(name)


def _integers(value: Any, form: str) -> np.ndarray:
    """The numbers of a nested sequence, as an int array."""
    try:
        numbers = np.asarray(value)
    except ValueError:
        numbers = np.array(None)
    if numbers.dtype.kind not in "iu":
        raise errors.UnknownArchitecture(f"{form} holds whole numbers only")
    if (
        numbers.size
        and not -(2**31) <= int(numbers.min()) <= int(numbers.max()) < 2**31
    ):
        raise errors.UnknownArchitecture(f"{form} holds a number of more than 32 bits")
    return numbers.astype(np.int64)


def _read_201(value: Any) -> np.ndarray:
    form = "a NASLib tuple of nasbench201"
    numbers = _integers(value, form)
    if numbers.shape != (6,) or not ((numbers >= 0) & (numbers < 5)).all():
        raise errors.UnknownArchitecture(f"{form} has six numbers from 0 to 4")
    genes = np.zeros(6, np.int32)
    genes[_EDGE_201] = np.array(_FROM_201)[numbers]
    return genes


def _write_201(arch: Any) -> tuple[int, ...]:
    genes = np.asarray(arch).tolist()
    return tuple(_FROM_201.index(genes[edge]) for edge in _EDGE_201)


def _read_101(value: Any) -> np.ndarray:
    form = "a NASLib tuple of nasbench101"
    if isinstance(value, Mapping):
        if not {"matrix", "ops"} <= set(value):
            raise errors.UnknownArchitecture("a NASLib spec has `matrix` and `ops`")
        matrix = _integers(value["matrix"], "matrix")
        ops = [_operation(name, OPS_101) for name in value["ops"]]
    else:
        numbers = _integers(value, form)
        n = int((1 + 4 * numbers.size) ** 0.5 / 2 - 0.5)
        if numbers.ndim != 1 or n < 2 or n * n + n != numbers.size:
            raise errors.UnknownArchitecture(f"{form} has n x n + n numbers")
        matrix, ops = numbers[: n * n].reshape(n, n), numbers[n * n :].tolist()
    if list(ops[:1]) != [0] or list(ops[-1:]) != [1]:
        raise errors.UnknownArchitecture(
            f"the operations of {form} begin with input and end with output"
        )
    if any(not 2 <= op < len(OPS_101) for op in ops[1:-1]):
        raise errors.UnknownArchitecture(
            f"an operation between input and output is one of {', '.join(OPS_101[2:])}"
        )
    names = nasbench101_notation.OP_NAMES
    interior = [names.index(OPS_101[op]) for op in ops[1:-1]]
    genes = nasbench101_notation.encode(matrix, interior)
    # The rules of the space, as a string of the cell is held to them.
    return nasbench101_notation.parse_arch(nasbench101_notation.format_arch(genes))


def _write_101(arch: Any) -> tuple[int, ...]:
    matrix, ops = nasbench101_notation.decode(arch)
    names = nasbench101_notation.OP_NAMES
    interior = [OPS_101.index(names[op]) for op in ops]
    return (*matrix.reshape(-1).tolist(), 0, *interior, 1)


def _read_darts(value: Any) -> np.ndarray:
    if hasattr(value, "normal") and hasattr(value, "reduce"):
        cells = [list(getattr(value, name)) for name in _CELLS]
        fields = [("normal", cells[0]), ("reduce", cells[1])]
        text = ", ".join(
            f"{name}={[tuple(edge) for edge in cell]!r}, {name}_concat=range(2, 6)"
            for name, cell in fields
        )
        return darts.parse_arch(f"Genotype({text})")
    form = "a NASLib tuple of darts"
    numbers = _integers(value, form)
    if numbers.shape != (2, 8, 2):
        raise errors.UnknownArchitecture(
            f"{form} has two cells of eight pairs (input, operation)"
        )
    genes = numbers[:, :, ::-1].reshape(-1).astype(np.int32)
    if not bool(darts.is_valid(jnp.asarray(genes))):
        raise errors.UnknownArchitecture(
            f"{form}: operations are 0 to 6, and a step reads two different states "
            "before it"
        )
    return genes


def _write_darts(arch: Any) -> tuple[Any, ...]:
    pairs = np.asarray(arch).reshape(2, 8, 2)[:, :, ::-1].tolist()
    return tuple(tuple(tuple(pair) for pair in cell) for cell in pairs)


FORMS: Mapping[str, Form] = {
    "nasbench101": Form(_read_101, _write_101),
    "nasbench201": Form(_read_201, _write_201),
    "darts": Form(_read_darts, _write_darts),
}
"""How NASLib writes architectures, by space."""
