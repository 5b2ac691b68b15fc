"""Which network an architecture of a space stands for, and how large it is."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from nasjax.core import errors, registry
from nasjax.networks import darts, nasbench101, nasbench201
from nasjax.networks.classifier import Classifier
from nasjax.spaces import darts as darts_space
from nasjax.training.classifier_functions import Network


class BuiltNetwork(NamedTuple):
    """What the trainer of classifiers needs to know of an architecture.

    Attributes:
      network: the same object for all architectures that share compiled functions.
      argument: what the network is called with.
      parameters: trained parameters, without an auxiliary head.
      macs: multiply-accumulates for one image, or None where they are not counted.
    """

    network: Network
    argument: Any
    parameters: int
    macs: int | None


class Images(NamedTuple):
    """Facts of a data set that a network depends on; see `data.Dataset`."""

    num_classes: int
    image_shape: tuple[int, int, int]


def build(
    space: str, arch: np.ndarray, options: Mapping[str, Any], images: Images
) -> BuiltNetwork:
    """The network of an architecture.

    Args:
      space: a key of `BUILDERS`.
      arch: int `[G]`, concrete.
      options: sizes of the network: those of `networks.nasbench101.network`,
        `networks.nasbench201.Skeleton` or `networks.darts.network`.
      images: what it classifies.

    Raises:
      ConfigError: an unknown space or option, or a size that does not fit.
      UnknownArchitecture: the genes are not of the space.
    """
    build, known = registry.find("space of image classifiers", BUILDERS, space)
    for option in options:
        if option not in known:
            raise errors.unknown_name(f"key of config.network ({space})", option, known)
    return build(np.asarray(arch, np.int32), options, images)


def _nasbench101(
    arch: np.ndarray, options: Mapping[str, Any], images: Images
) -> BuiltNetwork:
    counted = {k: v for k, v in options.items() if k != "image_shape"}
    parameters = nasbench101.count_parameters(
        arch,
        num_classes=images.num_classes,
        image_channels=images.image_shape[-1],
        **counted,
    )
    network = _fixed(nasbench101.network, arch, options, images)
    return BuiltNetwork(network, (), parameters, None)


def _nasbench201(
    arch: np.ndarray, options: Mapping[str, Any], images: Images
) -> BuiltNetwork:
    skeleton = nasbench201.Skeleton(**options, **images._asdict())
    height, width, _ = images.image_shape
    stride = skeleton.patch << (skeleton.num_stages - 1)
    if height % stride or width % stride:
        raise errors.ConfigError(
            f"images of {height}x{width} do not survive patch={skeleton.patch} and "
            f"num_stages={skeleton.num_stages}: use sides divisible by {stride}"
        )
    parameters = int(nasbench201.count_parameters(jnp.asarray(arch), skeleton))
    return BuiltNetwork(_as_data(skeleton), jnp.asarray(arch), parameters, None)


def _darts(
    arch: np.ndarray, options: Mapping[str, Any], images: Images
) -> BuiltNetwork:
    network = _fixed(darts.network, arch, options, images)
    defaults = registry.options_of(darts.network)
    size = {name: defaults[name] for name in ("num_cells", "channels", "stem")}
    size |= {name: value for name, value in options.items() if name in size}
    costs = darts_space.costs(
        jnp.asarray(arch),
        channels=size["channels"],
        num_layers=size["num_cells"],
        image_size=images.image_shape[0],
        num_classes=images.num_classes,
        stem=size["stem"],
    )
    return BuiltNetwork(network, (), int(costs.parameters), int(costs.macs))


def _fixed(
    build: Callable[..., Classifier],
    arch: np.ndarray,
    options: Mapping[str, Any],
    images: Images,
) -> Network:
    return _classifier(
        build, tuple(arch.tolist()), tuple(sorted(options.items())), images
    )


@functools.lru_cache(maxsize=4)
def _classifier(
    build: Callable[..., Classifier],
    genes: tuple[int, ...],
    options: tuple[tuple[str, Any], ...],
    images: Images,
) -> Network:
    """A network that is built for one architecture; kept, so that it compiles once."""
    classifier = build(np.array(genes), **dict(options), **images._asdict())
    return lambda _: classifier


@functools.lru_cache(maxsize=4)
def _as_data(skeleton: nasbench201.Skeleton) -> Network:
    """One network for all cells of NAS-Bench-201: their operations are its input."""
    return lambda arch: nasbench201.classifier(arch, skeleton)


def _options(function: Callable[..., Any]) -> tuple[str, ...]:
    names = registry.options_of(function)
    return tuple(name for name in names if name not in ("arch", *Images._fields))


BUILDERS: dict[str, tuple[Callable[..., BuiltNetwork], tuple[str, ...]]] = {
    "nasbench101": (_nasbench101, _options(nasbench101.network)),
    "nasbench201": (
        _nasbench201,
        tuple(
            field.name
            for field in dataclasses.fields(nasbench201.Skeleton)
            if field.name not in Images._fields
        ),
    ),
    "darts": (_darts, _options(darts.network)),
    "darts_shared": (_darts, _options(darts.network)),
}
"""Space: its function and the options of its network."""
