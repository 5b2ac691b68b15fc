"""The auxiliary classifier of DARTS networks, trained beside the last one.

ReLU, 5x5 average pooling down to 2x2, a 1x1 convolution to 128 channels, a 2x2
convolution to 768, a linear layer. Batch normalisation and ReLU follow each
convolution, but for the second one on ImageNet, whose normalisation the published
results were made without.
"""

import jax
import jax.numpy as jnp

from nasjax.core import errors
from nasjax.core.types import Array, Tree
from nasjax.networks import batch_norm, convolution, darts_cell

CHANNELS = (128, 768)
WINDOW = 5
STRIDES = {"cifar": 3, "imagenet": 2}
"""Of the pooling windows, by the network's stem."""


def check_size(size: tuple[int, int], stem: str, total_stride: int) -> None:
    """Whether the pooling leaves 2x2 pixels of a map of this height and width.

    Args:
      size: of the map.
      stem: of the network.
      total_stride: how many times smaller than the image the map is.

    Raises:
      ConfigError: it does not.
    """
    least, most = WINDOW + STRIDES[stem], WINDOW + 2 * STRIDES[stem] - 1
    if not all(least <= side <= most for side in size):
        raise errors.ConfigError(
            f"the auxiliary classifier reads maps of {least} to {most} pixels a side, "
            f"not {size[0]}x{size[1]}: use images of {least * total_stride} pixels, "
            "or auxiliary=False"
        )


def parameter_shapes(inputs: int, *, num_classes: int, stem: str) -> Tree:
    """Shape of every trained parameter, in the form of `initialization`."""
    first, second = CHANNELS
    shapes: Tree = {
        "conv1": (inputs, first),
        "bn1": darts_cell.norm_shapes(first),
        "conv2": (2, 2, first, second),
    }
    if stem == "cifar":
        shapes["bn2"] = darts_cell.norm_shapes(second)
    classifier = {"kernel": (second, num_classes), "bias": (num_classes,)}
    return shapes | {"classifier": classifier}


def apply(params: Tree, statistics: Tree, x: Array, *, stem: str) -> tuple[Array, Tree]:
    """Logits while training.

    Args:
      params: as `parameter_shapes`.
      statistics: running moments of its normalisations.
      x: `[C, H, W, N]`, output of the second reduction.
      stem: of the network.

    Returns:
      Logits `[N, K]` and the new statistics.
    """
    new: Tree = {}

    def normalize(name: str, y: Array) -> Array:
        y, new[name] = batch_norm.normalize(
            y, params[name], statistics[name], train=True
        )
        return y

    y = convolution.pointwise(_pool(jax.nn.relu(x), STRIDES[stem]), params["conv1"])
    y = jax.nn.relu(normalize("bn1", y))
    # A 2x2 convolution of a 2x2 map is a product with all of it.
    flat = y.transpose(1, 2, 0, 3).reshape(-1, 1, 1, x.shape[-1])
    y = convolution.pointwise(flat, params["conv2"].reshape(-1, CHANNELS[1]))
    if "bn2" in params:
        y = normalize("bn2", y)
    head = params["classifier"]
    features = jax.nn.relu(y)[:, 0, 0]
    return features.T @ head["kernel"] + head["bias"][None], new


def _pool(x: Array, stride: int) -> Array:
    """Mean of the four 5x5 windows without padding: `[C, 2, 2, N]`."""
    ends = (slice(0, WINDOW), slice(stride, stride + WINDOW))
    rows = [jnp.stack([x[:, i, j].mean((1, 2)) for j in ends], axis=1) for i in ends]
    return jnp.stack(rows, axis=1)
