"""Small supernets with random weights, statistics and masks, drawn by numpy.

Every draw is far from initial values: kernels of size one, BN means that are not zero,
mixing logits that differ.
"""

import jax
import numpy as np

from nasjax.supernet import masking, spec

OPERATIONS = (
    "sep_conv_3x3",
    "dil_conv_3x3",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
)


def network(**settings):
    """Two cells of two steps, C = 4, on 8x8 images of two channels."""
    defaults = {
        "num_cells": 2,
        "channels": 4,
        "num_classes": 3,
        "image_shape": (8, 8, 2),
        "operations": OPERATIONS,
        "num_steps": 2,
        "reductions": (1,),
    }
    return spec.SupernetSpec(**defaults | settings)


def is_shape(x):
    return isinstance(x, tuple)


def random_params(rng, net, dtype=np.float64):
    def draw(path, shape):
        if path[-1].key == "scale":
            return rng.uniform(0.5, 1.5, shape).astype(dtype)
        return rng.normal(0.0, 0.5, shape).astype(dtype)

    shapes = spec.parameter_shapes(net)
    return jax.tree_util.tree_map_with_path(draw, shapes, is_leaf=is_shape)


def random_statistics(rng, net, dtype=np.float64):
    return jax.tree.map(
        lambda shape: {
            "mean": rng.normal(0.0, 0.5, shape).astype(dtype),
            "var": rng.uniform(0.3, 2.0, shape).astype(dtype),
        },
        spec.statistics_shapes(net),
        is_leaf=is_shape,
    )


def random_arch(rng, net, dtype=np.float64):
    shape = (len(net.arch_names), len(net.edges))
    return {
        "alpha": rng.normal(0.0, 1.0, (*shape, len(net.operations))).astype(dtype),
        "beta": rng.normal(0.0, 1.0, shape).astype(dtype),
    }


def random_masks(rng, net, *, operations=0.7, edges=0.8, weights=0.5, dtype=np.float64):
    """Masks that keep these fractions."""

    def draw(shape, keep):
        return (rng.random(shape) < keep).astype(dtype)

    shape = (len(net.arch_names), len(net.edges))
    flat = jax.tree_util.tree_flatten_with_path(
        spec.parameter_shapes(net), is_leaf=is_shape
    )[0]
    named = {"/".join(entry.key for entry in path): shape for path, shape in flat}
    kernels = {
        name: draw(size, weights)
        for name, size in named.items()
        if not name.endswith(("scale", "bias"))
    }
    return masking.Masks(
        draw((*shape, len(net.operations)), operations), draw(shape, edges), kernels
    )


def random_images(rng, net, number=4, dtype=np.float64):
    """Standardised images `[N, H, W, C]` and labels `[N]`."""
    images = rng.normal(size=(number, *net.image_shape)).astype(dtype)
    return images, rng.integers(0, net.num_classes, number).astype(np.int32)
