"""Shapes of the supernet: which cells, edges and parameters a setting implies.

Nothing here computes on images; `network` and `cell` read the shapes, `counting` and
`slim` reason with them.
"""

import dataclasses
import functools

from nasjax.core import errors
from nasjax.core.types import Tree
from nasjax.networks import operations as ops

Shape = tuple[int, ...]

NUM_INPUTS = 2
"""A cell's nodes 0 and 1 are the outputs of cells k-2 and k-1."""

THESIS_OPERATIONS = tuple(name for name in ops.OPERATIONS if name != ops.NONE)
STEMS = ("cifar", "imagenet4", "imagenet8")
SHARINGS = ("type", "all", "cell")


@dataclasses.dataclass(frozen=True)
class CellSpec:
    """One cell of the stack.

    Attributes:
      inputs: channels of cells k-2 and k-1.
      channels: C of every node; the output has `num_steps * C` channels.
      reduction: whether edges from the two inputs have stride 2.
      after_reduction: whether cell k-1 was a reduction, so that input k-2 has twice
        its height and width.
      size: height and width of the two preprocessed inputs.
    """

    inputs: tuple[int, int]
    channels: int
    reduction: bool
    after_reduction: bool
    size: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class SupernetSpec:
    """Static description of a supernet (chapter 2).

    Attributes:
      num_cells: L.
      channels: C of the first cell; doubled at every reduction.
      num_classes: of the classifier.
      image_shape: (H, W, channels) of the data.
      operations: names of the candidates of every edge, in the order of alpha.
      num_steps: intermediate nodes of a cell (the thesis: 4, so 7 nodes in all).
      reductions: positions of reduction cells; empty tuple for none.
      stem: "cifar" (3x3 convolution to `stem_multiplier * C` channels), "imagenet8"
        (DARTS' three stride-2 convolutions) or "imagenet4" (the first two of them).
      stem_stride: stride of the "cifar" stem.
      stem_multiplier: see `stem`.
      arch_sharing: "type", "all" or "cell": whether cells of one type, all cells or
        no cells share alpha and beta.
      affine: whether the BNs of cells have a trained scale and bias. False in
        supernet training and masking, so that outputs stay comparable.
    """

    num_cells: int
    channels: int
    num_classes: int
    image_shape: tuple[int, int, int]
    operations: tuple[str, ...] = THESIS_OPERATIONS
    num_steps: int = 4
    reductions: tuple[int, ...] = ()
    stem: str = "cifar"
    stem_stride: int = 1
    stem_multiplier: int = 3
    arch_sharing: str = "type"
    affine: bool = False

    def __post_init__(self) -> None:
        for name in self.operations:
            if name not in ops.OPERATIONS:
                raise errors.unknown_name("operation", name, ops.OPERATIONS)
        if self.stem not in STEMS:
            raise errors.unknown_name("supernet.stem", self.stem, STEMS)
        if self.arch_sharing not in SHARINGS:
            raise errors.unknown_name(
                "supernet.arch_sharing", self.arch_sharing, SHARINGS
            )
        self._check_operations()
        for name in ("num_cells", "channels", "num_steps", "stem_multiplier"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(
                    f"supernet.{name}={getattr(self, name)} must be at least 1"
                )
        if self.stem_stride not in (1, 2):
            raise errors.ConfigError(
                f"supernet.stem_stride={self.stem_stride} must be 1 or 2"
            )
        if self.channels % 2 and (self.reductions or self.stem != "cifar"):
            raise errors.ConfigError(
                f"supernet.channels={self.channels} is odd: a factorized reduction "
                "and the ImageNet stems need an even number"
            )
        if list(self.reductions) != sorted(set(self.reductions)):
            raise errors.ConfigError(
                f"supernet.reductions={list(self.reductions)} must be increasing "
                "positions, each once"
            )
        for position in self.reductions:
            if not 0 <= position < self.num_cells:
                raise errors.ConfigError(
                    f"supernet.reductions has {position}, but cells are numbered "
                    f"0..{self.num_cells - 1}"
                )
        self._check_size()

    @property
    def total_stride(self) -> int:
        """How much smaller the last feature map is than the image."""
        stem = {"cifar": self.stem_stride, "imagenet4": 4, "imagenet8": 8}[self.stem]
        return stem << len(self.reductions)

    def _check_operations(self) -> None:
        if not set(self.operations) - {ops.NONE}:
            raise errors.ConfigError(
                f"supernet.operations={list(self.operations)} names no operation that "
                f"computes something; known: {', '.join(ops.OPERATIONS)}"
            )
        if len(set(self.operations)) < len(self.operations):
            raise errors.ConfigError(
                f"supernet.operations={list(self.operations)} names one twice"
            )

    def _check_size(self) -> None:
        height, width, _ = self.image_shape
        if height % self.total_stride or width % self.total_stride:
            raise errors.ConfigError(
                f"images of {height}x{width} do not survive a total stride of "
                f"{self.total_stride} (stem {self.stem!r}, supernet.reductions="
                f"{list(self.reductions)}): use sides divisible by "
                f"{self.total_stride}, or fewer reductions"
            )

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """(source, target) of every edge, by source and then by target.

        Nodes 0 and 1 are the inputs. All arrays with an edge axis follow this order:
        the edges that leave one source are then contiguous and computed together.
        """
        return cell_edges(self.num_steps)

    @property
    def groups(self) -> tuple["EdgeGroup", ...]:
        """Edges computed together: both inputs first, then each intermediate node."""
        return edge_groups(self.num_steps)

    @functools.cached_property
    def cells(self) -> tuple[CellSpec, ...]:
        """The stack of cells."""
        height, width, _ = self.image_shape
        reduced = self.total_stride // 2 ** len(self.reductions)
        size = (height // reduced, width // reduced)
        before, last = self.stem_channels
        channels, after_reduction = self.channels, self.stem == "imagenet8"
        cells = []
        for k in range(self.num_cells):
            reduction = k in self.reductions
            if reduction:
                channels *= 2
            cells.append(
                CellSpec((before, last), channels, reduction, after_reduction, size)
            )
            before, last = last, self.num_steps * channels
            after_reduction = reduction
            if reduction:
                size = (size[0] // 2, size[1] // 2)
        return tuple(cells)

    @property
    def stem_channels(self) -> tuple[int, int]:
        """Channels that cells k-2 and k-1 of the first cell stand for."""
        if self.stem == "cifar":
            width = self.stem_multiplier * self.channels
            return width, width
        return self.channels, self.channels

    @property
    def arch_names(self) -> tuple[str, ...]:
        """Name of each independent set of alpha and beta, in array order."""
        if self.arch_sharing == "all":
            return ("cell",)
        if self.arch_sharing == "cell":
            return tuple(f"cell_{k}" for k in range(self.num_cells))
        return ("normal", "reduce")

    def arch_index(self, k: int) -> int:
        """Which set of alpha and beta cell `k` uses."""
        if self.arch_sharing == "all":
            return 0
        return k if self.arch_sharing == "cell" else int(self.cells[k].reduction)


@dataclasses.dataclass(frozen=True)
class EdgeGroup:
    """Consecutive edges whose sources have equal shape and equal targets.

    Attributes:
      sources: the S source nodes.
      targets: the E target nodes of each of them, as step indices from 0.
      start: index of the first edge; the group has S * E edges.
    """

    sources: tuple[int, ...]
    targets: tuple[int, ...]
    start: int

    @property
    def edges(self) -> slice:
        return slice(self.start, self.start + len(self.sources) * len(self.targets))


@functools.cache
def cell_edges(num_steps: int) -> tuple[tuple[int, int], ...]:
    """See `Supernet.edges`."""
    nodes = range(NUM_INPUTS, NUM_INPUTS + num_steps)
    sources = range(NUM_INPUTS + num_steps - 1)
    return tuple((j, i) for j in sources for i in nodes if j < i)


@functools.cache
def edge_groups(num_steps: int) -> tuple[EdgeGroup, ...]:
    """See `Supernet.groups`."""
    groups = [EdgeGroup((0, 1), tuple(range(num_steps)), 0)]
    for step in range(num_steps - 1):
        start = groups[-1].edges.stop
        source = (NUM_INPUTS + step,)
        groups.append(EdgeGroup(source, tuple(range(step + 1, num_steps)), start))
    return tuple(groups)


def default_reductions(num_cells: int) -> tuple[int, ...]:
    """DARTS' rule: cells L // 3 and 2 L // 3 reduce."""
    return tuple(sorted({num_cells // 3, 2 * num_cells // 3}))


def parameter_shapes(net: SupernetSpec) -> Tree:
    """Shape of every trained parameter, as the nested dict that `network` uses.

    Convolution kernels are `[..., C_in, C_out]` (pointwise), `[..., C, k, k]`
    (depthwise) or `[3, 3, C_in, C_out]`; operations have a leading edge axis.
    """
    last = net.num_steps * net.cells[-1].channels
    return {
        "stem": _stem_shapes(net),
        "cells": {str(k): _cell_shapes(net, cell) for k, cell in enumerate(net.cells)},
        "classifier": {"kernel": (last, net.num_classes), "bias": (net.num_classes,)},
    }


def statistics_shapes(net: SupernetSpec) -> Tree:
    """Shape of every pair of running statistics, keyed by the path of its BN."""
    stem = {
        name: shape["scale"]
        for name, shape in _stem_shapes(net).items()
        if name.startswith("bn")
    }
    cells = {}
    for k, cell in enumerate(net.cells):
        c, num_edges = cell.channels, len(net.edges)
        operations: Tree = {}
        for name in net.operations:
            if name in ops.CONVOLUTIONS:
                stages = ops.CONVOLUTIONS[name].stages
                operations[name] = {f"bn{s + 1}": (num_edges, c) for s in range(stages)}
            elif name in ops.POOLS:
                operations[name] = {"bn": (num_edges, c)}
            elif name == ops.SKIP and cell.reduction:
                operations[name] = {"bn": (num_strided_edges(net), c)}
        cells[str(k)] = {
            "preprocess0": {"bn": (c,)},
            "preprocess1": {"bn": (c,)},
            "operations": operations,
        }
    return {"stem": stem, "cells": cells}


def num_strided_edges(net: SupernetSpec) -> int:
    """Edges from the two inputs: they come first in `edges`."""
    return NUM_INPUTS * net.num_steps


def _bn_shape(*shape: int) -> Tree:
    return {"scale": shape, "bias": shape}


def _stem_shapes(net: SupernetSpec) -> Tree:
    channels = net.image_shape[-1]
    c = net.channels
    if net.stem == "cifar":
        width = net.stem_multiplier * c
        return {"conv1": (3, 3, channels, width), "bn1": _bn_shape(width)}
    shapes: Tree = {
        "conv1": (3, 3, channels, c // 2),
        "bn1": _bn_shape(c // 2),
        "conv2": (3, 3, c // 2, c),
        "bn2": _bn_shape(c),
    }
    if net.stem == "imagenet8":
        shapes |= {"conv3": (3, 3, c, c), "bn3": _bn_shape(c)}
    return shapes


def _cell_shapes(net: SupernetSpec, cell: CellSpec) -> Tree:
    c = cell.channels
    bn = {"bn": _bn_shape(c)} if net.affine else {}
    if cell.after_reduction:
        before = {
            "conv1": (cell.inputs[0], c - c // 2),
            "conv2": (cell.inputs[0], c // 2),
        }
    else:
        before = {"conv": (cell.inputs[0], c)}
    return {
        "preprocess0": before | bn,
        "preprocess1": {"conv": (cell.inputs[1], c)} | bn,
        "operations": _operation_shapes(net, cell),
    }


def _operation_shapes(net: SupernetSpec, cell: CellSpec) -> Tree:
    c, num_edges = cell.channels, len(net.edges)
    shapes: Tree = {}
    for name in net.operations:
        if name in ops.CONVOLUTIONS:
            conv = ops.CONVOLUTIONS[name]
            entry: Tree = {}
            k = conv.kernel_size
            for stage in range(1, conv.stages + 1):
                entry[f"depthwise{stage}"] = (num_edges, c, k, k)
                entry[f"pointwise{stage}"] = (num_edges, c, c)
                if net.affine:
                    entry[f"bn{stage}"] = _bn_shape(num_edges, c)
            shapes[name] = entry
        elif name in ops.POOLS and net.affine:
            shapes[name] = {"bn": _bn_shape(num_edges, c)}
        elif name == ops.SKIP and cell.reduction:
            strided = num_strided_edges(net)
            shapes[name] = {
                "conv1": (strided, c, c - c // 2),
                "conv2": (strided, c, c // 2),
            }
            if net.affine:
                shapes[name]["bn"] = _bn_shape(strided, c)
    return shapes
