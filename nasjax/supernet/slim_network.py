"""The slim network: what is left of a masked supernet, without masks, zeros or BN.

Every live operation has its own small kernels, with the running statistics of its BN
and its mixing coefficient folded in, and names the channels that it reads. A node is
the sum of its operations and one bias. The arrays are plain nested dicts; everything
static about them is a hashable `Description`, so that `apply` can be jitted with it.
"""

import dataclasses
import functools
import itertools
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.core import arrays, errors, formulation, read_guard
from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, depthwise, pooling
from nasjax.networks import operations as ops
from nasjax.supernet import objective, spec

Channels = tuple[int, ...]

FORMAT = "nasjax.slim/1"
_MAX_SIDE = 4096
"""Of an image, in pixels or channels: tracing makes constants of that size."""


@dataclasses.dataclass(frozen=True)
class Operation:
    """One live operation.

    Attributes:
      name: in `operations.OPERATIONS`.
      source: node it reads; 0 and 1 are the cell's inputs.
      target: node it adds to.
      channels: which of the source's channels it reads.
    """

    name: str
    source: int
    target: int
    channels: Channels


@dataclasses.dataclass(frozen=True)
class SlimCell:
    """One live cell.

    Attributes:
      stride: of the operations that read an input.
      inputs: which channels of the outputs of cells k-2 and k-1 the two inputs read;
        empty for an input that is gone.
      operations: live operations, by source.
      nodes: live intermediate nodes; the output concatenates them.
    """

    stride: int
    inputs: tuple[Channels, Channels]
    operations: tuple[Operation, ...]
    nodes: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Description:
    """Static description of a slim network.

    Attributes:
      image_shape: (H, W, channels) of the data.
      num_classes: of the classifier.
      stem: as in `spec.SupernetSpec`.
      stem_stride: as in `spec.SupernetSpec`.
      cells: None where a whole cell is gone.
      classifier: which channels of the last cell's output the classifier reads.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    stem: str
    stem_stride: int
    cells: tuple[SlimCell | None, ...]
    classifier: Channels


class SlimNetwork(NamedTuple):
    """Arrays and description: what `slim` returns and `save` writes.

    Attributes:
      params: nested dict of arrays.
      description: static.
    """

    params: Tree
    description: Description


def count(network: SlimNetwork) -> int:
    """Kernel entries, dead channels cut away, and the classifier's bias.

    Comparable with `counting.structural` and never larger: BN and the mixing
    coefficients, here folded into biases and scales, are no parameters there either,
    but for the trained scale and bias of an affine BN.
    """
    kernels = ("kernel", "depthwise", "pointwise")
    flat = jax.tree_util.tree_flatten_with_path(network.params)[0]
    sizes = [x.size for path, x in flat if path[-1].key.startswith(kernels)]
    total: int = sum(sizes) + network.params["classifier"]["bias"].size
    return total


def apply(params: Tree, images: Array, *, description: Description) -> Array:
    """Logits `[N, num_classes]` of images `[N, H, W, C]`, standardised.

    Pure; jit it with `description` static.
    """
    outputs: list[Any] = list(_stem(params, images.transpose(3, 1, 2, 0), description))
    for k, cell in enumerate(description.cells):
        inputs = (outputs[k], outputs[k + 1])  # the stem stands for cells -2 and -1
        outputs.append(_cell(params["cells"][str(k)], inputs, cell) if cell else None)
    bias = params["classifier"]["bias"][None]
    if not description.classifier:
        return jnp.broadcast_to(bias, (len(images), description.num_classes))
    pooled = take(outputs[-1].mean((1, 2)), description.classifier)
    logits: Array = pooled.T @ params["classifier"]["kernel"] + bias
    return logits


@functools.partial(jax.jit, static_argnames="description")
def evaluate(
    params: Tree,
    images: Array,
    labels: Array,
    weights: Array,
    *,
    description: Description,
) -> tuple[Array, Array]:
    """Summed loss and number of correct images, as `objective.evaluate`."""
    logits = apply(params, images, description=description)
    correct = (logits.argmax(-1) == labels).astype(weights.dtype)
    losses = objective.cross_entropy(logits, labels)
    return (losses * weights).sum(), (correct * weights).sum()


def take(x: Array, channels: Channels) -> Array:
    """The named channels (ascending) of `x` `[C, ...]`."""
    if channels and channels[-1] >= x.shape[0]:
        raise ValueError(f"channel {channels[-1]} of {x.shape[0]}")
    return x if len(channels) == x.shape[0] else x[np.asarray(channels)]


def preprocess(params: Tree, x: Array) -> Array:
    """ReLU and 1x1 convolution or factorized reduction, without bias."""
    x = jax.nn.relu(x)
    if "kernel" in params:
        mixed: Array = convolution.pointwise(x, params["kernel"])
        return mixed
    return convolution.factorized_reduction(x, params["kernel1"], params["kernel2"])


def convolve(
    params: Sequence[Tree], inputs: Sequence[Array], *, name: str, stride: int
) -> list[Array]:
    """Several edges of one kind of convolution; one depthwise pass for all of them.

    Args:
      params: kernels and inner biases of each edge.
      inputs: what each edge reads, after ReLU, `[C_e, H, W, N]`.
      name: in `operations.CONVOLUTIONS`.
      stride: of the first depthwise convolution.

    Returns:
      Each edge's `[C_target, H / stride, W / stride, N]`.
    """
    conv, maps = ops.CONVOLUTIONS[name], list(inputs)
    for stage in range(1, conv.stages + 1):
        kernels = [p[f"depthwise{stage}"] for p in params]
        together = depthwise.depthwise(
            jnp.concatenate(maps)[None],
            jnp.concatenate(kernels)[None, None],
            stride=stride if stage == 1 else 1,
            dilation=conv.dilation,
        )[0, 0]
        ends = np.cumsum([len(kernel) for kernel in kernels])[:-1]
        parts = jnp.split(together, ends)
        maps = [
            convolution.pointwise(part, p[f"pointwise{stage}"])
            for part, p in zip(parts, params, strict=True)
        ]
        if stage < conv.stages:
            biases = [per_channel(p[f"bias{stage}"]) for p in params]
            maps = [jax.nn.relu(y + b) for y, b in zip(maps, biases, strict=True)]
    return maps


def operate(params: Tree, x: Array, *, name: str, stride: int) -> Array:
    """Output of one operation, without the shift that its node's bias holds."""
    if name in ops.CONVOLUTIONS:
        return convolve([params], [jax.nn.relu(x)], name=name, stride=stride)[0]
    if "kernel1" in params:
        return preprocess(params, x)
    y = _pool(x, name, stride) if name in ops.POOLS else x
    return per_channel(params["scale"]) * y


def per_channel(bias: Array) -> Array:
    """Scalar, `[C]` or `[C, H, W]`, to add to `[C, H, W, N]`."""
    if bias.ndim == 0:
        return bias
    return bias[..., None] if bias.ndim == 3 else batch_norm.per_channel(bias)


def _pool(x: Array, name: str, stride: int) -> Array:
    pool = pooling.max_pool if name == ops.MAX_POOL else pooling.avg_pool
    return pool(x, stride=stride)


def _stem(params: Tree, x: Array, description: Description) -> tuple[Any, Any]:
    """Inputs of the first cell; None where nothing reads them."""
    stem = params.get("stem", {})

    def conv(i: int, x: Array, stride: int) -> Any:
        if f"conv{i}" not in stem:
            return None
        layer = stem[f"conv{i}"]
        y = convolution.dense3x3(x, layer["kernel"], stride=stride)
        return y + per_channel(layer["bias"])

    if description.stem == "cifar":
        y = conv(1, x, description.stem_stride)
        return y, y
    if not stem:
        return None, None
    y = conv(2, jax.nn.relu(conv(1, x, 2)), 2)
    return y, y if description.stem == "imagenet4" else conv(3, jax.nn.relu(y), 2)


def _cell(params: Tree, inputs: tuple[Any, Any], cell: SlimCell) -> Array:
    sources: dict[int, Array] = {}
    for i, channels in enumerate(cell.inputs):
        if channels:
            layer = params[f"preprocess{i}"]
            y = preprocess(layer, take(inputs[i], channels))
            sources[i] = formulation.materialize(y + per_channel(layer["bias"]))
    sums: dict[int, Any] = {n: per_channel(params["nodes"][str(n)]) for n in cell.nodes}
    _add(sums, params, sources, (0, 1), cell, cell.stride)
    for node in cell.nodes:
        sources[node] = formulation.materialize(sums[node])
        _add(sums, params, sources, (node,), cell, 1)
    return jnp.concatenate([sources[node] for node in cell.nodes])


def _add(
    sums: dict[int, Any],
    params: Tree,
    sources: dict[int, Array],
    group: tuple[int, ...],
    cell: SlimCell,
    stride: int,
) -> None:
    """Adds the operations that read the nodes of `group` to their targets' sums."""
    live = [operation for operation in cell.operations if operation.source in group]
    activated = {s: jax.nn.relu(sources[s]) for s in group if s in sources}
    pooled = {
        (o.source, o.name): formulation.materialize(
            _pool(sources[o.source], o.name, stride)
        )
        for o in live
        if o.name in ops.POOLS
    }
    for name in dict.fromkeys(operation.name for operation in live):
        same = [operation for operation in live if operation.name == name]
        layers = [params["operations"][f"{o.source}>{o.target}"][name] for o in same]
        if name in ops.CONVOLUTIONS:
            reads = [take(activated[o.source], o.channels) for o in same]
            outputs = convolve(layers, reads, name=name, stride=stride)
        elif name in ops.POOLS:
            outputs = [
                per_channel(layer["scale"]) * take(pooled[o.source, name], o.channels)
                for o, layer in zip(same, layers, strict=True)
            ]
        else:
            outputs = [
                operate(layer, take(sources[o.source], o.channels), name=name, stride=1)
                for o, layer in zip(same, layers, strict=True)
            ]
        for operation, y in zip(same, outputs, strict=True):
            sums[operation.target] = sums[operation.target] + y


def save(path: str | os.PathLike[str], network: SlimNetwork) -> None:
    """Writes one safetensors file; its metadata hold the description.

    Raises:
      OSError: the file cannot be written.
    """
    description = dataclasses.asdict(network.description)
    metadata = {"format": FORMAT, "description": description}
    arrays.save(path, network.params, metadata=metadata)


def load(path: str | os.PathLike[str]) -> SlimNetwork:
    """Reads what `save` wrote; the loaded network computes the same bits.

    Raises:
      DataError: the file is missing, damaged or not a slim network.
    """
    metadata = arrays.load_metadata(path)
    if metadata.get("format") != FORMAT:
        raise errors.DataError(
            f"{path}: not a slim network (its format is "
            f"{read_guard.show(metadata.get('format'))}, "
            f"not {FORMAT!r}); save one with nasjax.supernet.slim"
        )
    what, remedy = "its description is malformed", "make the file again"
    with read_guard.guard(path, what, remedy=remedy):
        description = _parse(metadata["description"])
        _check_sizes(description)
    params = arrays.load(path)
    what = "its arrays do not fit its description"
    with read_guard.guard(path, what, remedy=remedy):
        dtype = params["classifier"]["bias"].dtype
        images = jax.ShapeDtypeStruct((1, *description.image_shape), dtype)
        logits = jax.eval_shape(
            functools.partial(apply, description=description), params, images
        )
        if logits.shape != (1, description.num_classes):
            raise ValueError(f"{logits.shape[1:]} logits")
    return SlimNetwork(params, description)


def _check_sizes(description: Description) -> None:
    """Raises `ValueError` for what no network of ours has."""
    for name, size in zip("HWC", description.image_shape, strict=True):
        if not 1 <= size <= _MAX_SIDE:
            raise ValueError(f"images of {name} = {size}")
    if description.stem not in spec.STEMS or description.stem_stride not in (1, 2):
        raise ValueError("no stem of that name or stride")
    cells = [cell for cell in description.cells if cell]
    rows = [channels for cell in cells for channels in cell.inputs]
    rows += [operation.channels for cell in cells for operation in cell.operations]
    rows += [cell.nodes for cell in cells] + [description.classifier]
    for row in rows:
        if any(a >= b for a, b in itertools.pairwise((-1, *row))):
            raise ValueError("channels or nodes are not ascending")
    for operation in (o for cell in cells for o in cell.operations):
        if operation.name not in ops.OPERATIONS:
            raise ValueError("an operation that does not exist")


def _parse(fields: dict[str, Any]) -> Description:
    def channels(values: list[int]) -> Channels:
        return tuple(int(value) for value in values)

    def cell(entry: dict[str, Any]) -> SlimCell:
        before, last = entry["inputs"]
        operations = tuple(
            Operation(**operation | {"channels": channels(operation["channels"])})
            for operation in entry["operations"]
        )
        return SlimCell(
            stride=int(entry["stride"]),
            inputs=(channels(before), channels(last)),
            operations=operations,
            nodes=channels(entry["nodes"]),
        )

    height, width, colours = channels(fields["image_shape"])
    return Description(
        image_shape=(height, width, colours),
        num_classes=int(fields["num_classes"]),
        stem=str(fields["stem"]),
        stem_stride=int(fields["stem_stride"]),
        cells=tuple(entry and cell(entry) for entry in fields["cells"]),
        classifier=channels(fields["classifier"]),
    )
