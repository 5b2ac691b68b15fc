"""Initial weights: their spread by fan-in, and where they come from."""

import jax
import numpy as np
import pytest

from nasjax.networks import initialization

SHAPES = {
    "dense": {"conv": (3, 3, 20, 40), "bn": {"scale": (40,), "bias": (40,)}},
    "separable": {"depthwise1": (30, 16, 5, 5), "pointwise1": (30, 16, 16)},
    "classifier": {"kernel": (100, 50), "bias": (50,)},
}
FAN_IN = {
    ("dense", "conv"): 180,
    ("separable", "depthwise1"): 25,
    ("separable", "pointwise1"): 16,
    ("classifier", "kernel"): 100,
    ("classifier", "bias"): 100,
}
RULES = (initialization.uniform_fan_in, initialization.truncated_normal_fan_in)


@pytest.fixture(scope="module")
def drawn():
    return {rule: rule(jax.random.key(0), SHAPES) for rule in RULES}


@pytest.mark.parametrize("place", FAN_IN, ids="/".join)
def test_uniform_in_a_box_of_pytorch_s_size(drawn, place):
    layer, name = place
    values = np.asarray(drawn[initialization.uniform_fan_in][layer][name])
    bound = FAN_IN[place] ** -0.5
    assert values.shape == SHAPES[layer][name]
    assert np.abs(values).max() <= bound
    # Of n numbers from U(-b, b) the largest is above b (1 - 10 / n) but for e^-10.
    assert np.abs(values).max() >= bound * (1 - 10 / values.size)
    assert abs(values.mean()) < 4 * bound / np.sqrt(3 * values.size)


@pytest.mark.parametrize("place", list(FAN_IN)[:3], ids="/".join)
def test_truncated_normal_has_unit_gain(drawn, place):
    layer, name = place
    values = np.asarray(drawn[initialization.truncated_normal_fan_in][layer][name])
    deviation = FAN_IN[place] ** -0.5
    # Relative error of a sample's standard deviation: less than 1 / sqrt(2 n).
    assert values.std() == pytest.approx(deviation, rel=3 / np.sqrt(values.size))
    assert np.abs(values).max() <= 2.0001 * deviation / 0.8796
    assert np.abs(values).max() > 2.1 * deviation  # cut at 2.27, not at 2


def test_the_linear_layer_of_the_truncated_rule_is_glorot_s(drawn):
    layer = drawn[initialization.truncated_normal_fan_in]["classifier"]
    bound = np.sqrt(6 / (100 + 50))
    assert bound * 0.99 < np.abs(layer["kernel"]).max() <= bound
    assert not np.any(layer["bias"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_one_key_one_network(drawn, rule):
    def leaves(params):
        return [np.asarray(leaf) for leaf in jax.tree.leaves(params)]

    params = drawn[rule]
    assert (params["dense"]["bn"]["scale"] == 1).all()
    assert (params["dense"]["bn"]["bias"] == 0).all()
    traced = jax.jit(lambda key: rule(key, SHAPES))(jax.random.key(0))
    for one, other in zip(leaves(params), leaves(traced), strict=True):
        # Near zero the difference of two uniform draws keeps no relative precision.
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=2e-8)
    other = rule(jax.random.key(1), SHAPES)
    assert not np.array_equal(params["dense"]["conv"], other["dense"]["conv"])
    # No two layers start from the same numbers.
    flat = np.concatenate(
        [np.ravel(params["separable"][k]) for k in SHAPES["separable"]]
    )
    assert len(np.unique(flat)) > 0.99 * flat.size


def test_counts_and_statistics_follow_the_shapes():
    assert initialization.count(SHAPES) == 7200 + 80 + 12000 + 7680 + 5000 + 50
    statistics = initialization.statistics(SHAPES)
    assert statistics.keys() == {"dense"}
    assert statistics["dense"]["bn"]["mean"].shape == (40,)
    assert (statistics["dense"]["bn"]["var"] == 1).all()
