"""Tuples of NASLib and configurations of NAS-Bench-301, by hand and round.

The expected values were written from those projects' definitions, edge by edge.
"""

import collections

import jax
import numpy as np
import pytest

from nasjax import spaces
from nasjax.core import errors
from nasjax.spaces import naslib

Genotype = collections.namedtuple(
    "Genotype", "normal normal_concat reduce reduce_concat"
)
# DARTS (second order), as its authors published it.
DARTS_V2 = Genotype(
    normal=[
        *[("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
        *[("sep_conv_3x3", 0), ("sep_conv_3x3", 1)],
        *[("sep_conv_3x3", 1), ("skip_connect", 0)],
        *[("skip_connect", 0), ("dil_conv_3x3", 2)],
    ],
    normal_concat=[2, 3, 4, 5],
    reduce=[
        *[("max_pool_3x3", 0), ("max_pool_3x3", 1)],
        *[("skip_connect", 2), ("max_pool_3x3", 1)],
        *[("max_pool_3x3", 0), ("skip_connect", 2)],
        *[("skip_connect", 2), ("max_pool_3x3", 1)],
    ],
    reduce_concat=[2, 3, 4, 5],
)
COMPACT = (
    ((0, 3), (1, 3), (0, 3), (1, 3), (1, 3), (0, 2), (0, 2), (2, 5)),
    ((0, 0), (1, 0), (2, 2), (1, 0), (0, 0), (2, 2), (2, 2), (1, 0)),
)
CONFIG = {
    "edge_normal_0": "sep_conv_3x3",
    "edge_normal_1": "sep_conv_3x3",
    "edge_normal_2": "sep_conv_3x3",
    "edge_normal_3": "sep_conv_3x3",
    "edge_normal_5": "skip_connect",
    "edge_normal_6": "sep_conv_3x3",
    "edge_normal_9": "skip_connect",
    "edge_normal_11": "dil_conv_3x3",
    "inputs_node_normal_3": "0_1",
    "inputs_node_normal_4": "0_1",
    "inputs_node_normal_5": "0_2",
    "edge_reduce_0": "max_pool_3x3",
    "edge_reduce_1": "max_pool_3x3",
    "edge_reduce_3": "max_pool_3x3",
    "edge_reduce_4": "skip_connect",
    "edge_reduce_5": "max_pool_3x3",
    "edge_reduce_7": "skip_connect",
    "edge_reduce_10": "max_pool_3x3",
    "edge_reduce_11": "skip_connect",
    "inputs_node_reduce_3": "1_2",
    "inputs_node_reduce_4": "0_2",
    "inputs_node_reduce_5": "1_2",
}
CONFIG = {naslib.PREFIX + key: value for key, value in CONFIG.items()}


def test_operation_indices_of_nasbench201():
    # Edges 1>2 to 3>4: 3x3, zero, identity, 1x1, pooling, 3x3.
    genes = naslib.from_naslib("nasbench201", (2, 1, 0, 3, 4, 2))
    text = spaces.make("nasbench201").format_arch(genes)
    assert text == (
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+"
        "|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
    )
    assert naslib.to_naslib("nasbench201", genes) == (2, 1, 0, 3, 4, 2)


def test_spec_and_tuple_of_nasbench101():
    matrix = np.array([[0, 1, 0, 1], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
    ops = ["input", "conv3x3-bn-relu", "maxpool3x3", "output"]
    spec = naslib.from_naslib("nasbench101", {"matrix": matrix, "ops": ops})
    assert spaces.make("nasbench101").format_arch(spec) == (
        "input,conv3x3-bn-relu,maxpool3x3,output|0101/0010/0001/0000"
    )
    flat = (0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 4, 2, 1)
    np.testing.assert_array_equal(naslib.from_naslib("nasbench101", flat), spec)
    assert naslib.to_naslib("nasbench101", spec) == flat


def test_compact_and_genotype_of_darts():
    space = spaces.make("darts")
    genes = naslib.from_naslib("darts", COMPACT)
    np.testing.assert_array_equal(naslib.from_naslib("darts", DARTS_V2), genes)
    assert space.format_arch(genes) == (
        f"Genotype(normal={DARTS_V2.normal}, normal_concat=range(2, 6), "
        f"reduce={DARTS_V2.reduce}, reduce_concat=range(2, 6))"
    )
    assert naslib.to_naslib("darts", genes) == COMPACT


def test_configuration_of_nasbench301():
    genes = naslib.from_naslib("darts", COMPACT)
    assert naslib.to_config(genes) == CONFIG
    extra = {"NetworkSelectorDatasetInfo:darts:layers": 8, "OptimizerSelector": "sgd"}
    found = naslib.from_config(CONFIG | extra)
    steps = genes.reshape(8, 2, 2).tolist()
    ordered = [sorted(step, key=lambda edge: edge[1]) for step in steps]
    np.testing.assert_array_equal(found, np.ravel(ordered))
    assert naslib.to_config(found) == CONFIG
    pairs = found.reshape(2, 4, 2, 2)[..., 1]
    assert np.all(pairs[..., 0] < pairs[..., 1])


@pytest.mark.parametrize("name", naslib.FORMS)
def test_round_trips(name):
    space = spaces.make(name)
    draw = jax.jit(
        jax.vmap(space.sample), compiler_options={"xla_backend_optimization_level": 0}
    )
    for arch in np.asarray(draw(jax.random.split(jax.random.key(0), 16))):
        again = naslib.from_naslib(name, naslib.to_naslib(name, arch))
        np.testing.assert_array_equal(again, arch)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("nasbench201", (0, 1, 2, 3, 4), "six numbers from 0 to 4"),
        ("nasbench201", (0, 1, 2, 3, 4, 5), "six numbers from 0 to 4"),
        ("nasbench201", "010203", "whole numbers only"),
        ("nasbench201", ((0, 1), 2), "whole numbers only"),
        ("nasbench101", (0, 1, 0), "has n x n [+] n numbers"),
        ("nasbench101", (0, 1, 0, 0, 1, 0), "begin with input and end with output"),
        ("nasbench101", (0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1), "between input and"),
        ("nasbench101", (0, 0, 0, 0, 0, 1), "no path from input to output"),
        ("nasbench101", {"matrix": [[0]]}, "`matrix` and `ops`"),
        ("darts", COMPACT[:1], "two cells of eight pairs"),
        ("darts", (COMPACT[0], ((0, 0), (0, 1), *COMPACT[1][2:])), "different states"),
        ("darts", DARTS_V2._replace(reduce=DARTS_V2.reduce[:6]), "reduce has 3 steps"),
    ],
)
def test_what_does_not_fit_is_named(name, value, message):
    with pytest.raises(errors.UnknownArchitecture, match=message):
        naslib.from_naslib(name, value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"edge_normal_4": "skip_connect"}, "step 1 of the normal cell needs two .* 3"),
        ({"edge_reduce_7": None}, "step 2 of the reduce cell needs two .* not 1"),
        ({"edge_normal_0": "sep_conv_7x7"}, "unknown operation 'sep_conv_7x7'"),
        ({"inputs_node_normal_5": "0_1"}, "inputs_node_normal_5 is not '0_2'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_named(changes, message):
    changed = {naslib.PREFIX + key: value for key, value in changes.items()}
    with pytest.raises(errors.UnknownArchitecture, match=message):
        naslib.from_config(CONFIG | changed)


def test_an_unknown_space_is_named():
    with pytest.raises(errors.ConfigError, match="unknown space of NASLib 'nlp'"):
        naslib.from_naslib("nlp", ())


@pytest.mark.parametrize(
    ("space", "value"),
    [
        ("nasbench101", {"matrix": [[0, 1], [0, 0]], "ops": 5}),
        ("darts", Genotype(None, None, 3, None)),
        ("darts", Genotype([0], None, [0], None)),
        # 2^32 is 0 in 32 bits.
        ("darts", np.array(COMPACT) + 2**32 * (np.array(COMPACT) == 0)),
        ("nasbench201", np.full(6, 2**63, np.uint64)),
    ],
)
def test_values_of_another_form_are_refused(space, value):
    with pytest.raises(errors.UnknownArchitecture, match="NASLib"):
        naslib.from_naslib(space, value)
