"""Which network an architecture stands for: sizes, shared programs, errors."""

import jax
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.spaces import nasbench101_notation
from nasjax.training import image_networks
from nasjax.training.architecture import parse

IMAGES = image_networks.Images(10, (32, 32, 3))
NB101 = "input,conv3x3-bn-relu,conv1x1-bn-relu,output|0101/0011/0001/0000"
NB201 = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
NB201 += "+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
CELL = "[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 0), "
CELL += "('avg_pool_3x3', 2), ('max_pool_3x3', 1), ('sep_conv_5x5', 0), "
CELL += "('skip_connect', 3), ('dil_conv_3x3', 4)]"
DARTS = f"Genotype(normal={CELL}, normal_concat=range(2, 6), "
DARTS += f"reduce={CELL}, reduce_concat=range(2, 6))"


def count(choice):
    """Numbers in the initial parameters, the auxiliary head apart."""
    init = choice.network(choice.argument).init
    params, _ = jax.eval_shape(init, jax.random.key(0))
    return sum(
        leaf.size
        for name, entry in params.items()
        if name != "auxiliary"
        for leaf in jax.tree.leaves(entry)
    )


@pytest.mark.parametrize(
    ("space", "notation", "options"),
    [
        ("nasbench101", NB101, {"stem_channels": 8, "num_modules": 1}),
        ("nasbench201", NB201, {"channels": 4, "num_cells": 1}),
        ("darts", DARTS, {"channels": 4, "num_cells": 3}),
        ("darts", DARTS, {"channels": 4, "num_cells": 3, "auxiliary": False}),
    ],
)
def test_parameters_are_those_that_are_trained(space, notation, options):
    choice = image_networks.build(space, parse(space, notation), options, IMAGES)
    assert choice.parameters == count(choice)
    assert (choice.macs is None) == (space != "darts")


def test_published_sizes():
    """3.3 and 4.7 million parameters (tables 3.4 and 3.5)."""
    genotype = parse(
        "darts",
        "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
        "('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), "
        "('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], "
        "normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), "
        "('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
        "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
        "reduce_concat=range(2, 6))",
    )
    small = image_networks.build("darts", genotype, {}, IMAGES)
    assert round(small.parameters / 1e6, 1) == 3.3
    options = {"num_cells": 14, "channels": 48, "stem": "imagenet"}
    large = image_networks.Images(1000, (224, 224, 3))
    choice = image_networks.build("darts", genotype, options, large)
    assert round(choice.parameters / 1e6, 1) == 4.7
    assert choice.macs < 600e6  # the limit of the mobile setting
    cell = nasbench101_notation.SMALL_CELL
    assert image_networks.build("nasbench101", cell, {}, IMAGES).parameters > 1e6


def test_cells_of_nasbench201_share_one_network_and_genotypes_do_not():
    first, second = np.zeros(6, int), np.full(6, 3)
    a, b = (image_networks.build("nasbench201", x, {}, IMAGES) for x in (first, second))
    assert a.network is b.network
    np.testing.assert_array_equal(b.argument, second)
    options = {"channels": 4, "num_cells": 3}
    c, d = (
        image_networks.build("darts", parse("darts", text), options, IMAGES)
        for text in (DARTS, DARTS.replace("avg_pool", "max_pool"))
    )
    again = image_networks.build("darts", parse("darts", DARTS), options, IMAGES)
    assert c.network is again.network is not d.network


@pytest.mark.parametrize(
    ("space", "options", "shape", "message"),
    [
        ("nasbench102", {}, (32, 32, 3), "nasbench101"),
        ("nasbench201", {"chanels": 4}, (32, 32, 3), "channels"),
        ("nasbench201", {}, (6, 6, 3), "divisible by 4"),
        ("nasbench101", {"stem": "cifar"}, (32, 32, 3), "stem_channels"),
        ("darts", {"stem": "cifr"}, (32, 32, 3), "cifar"),
    ],
)
def test_what_does_not_fit_is_named(space, options, shape, message):
    notation = {"nasbench101": NB101, "nasbench201": NB201}.get(space, DARTS)
    known = space if space in image_networks.BUILDERS else "darts"
    with pytest.raises(errors.ConfigError, match=message):
        image_networks.build(
            space, parse(known, notation), options, IMAGES._replace(image_shape=shape)
        )
