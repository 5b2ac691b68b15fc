"""A cell trained in memory learns, and is a function of its key."""

import jax
import numpy as np
import pytest

from nasjax import data, spaces
from nasjax.core import errors
from nasjax.training import in_memory

SPACE = spaces.make("nasbench201")
ARCH = SPACE.parse_arch(
    "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|"
)
# As in docs/guide/notebook.md, so that both are one program.
SIZES = {"channels": 4, "num_cells": 1, "num_stages": 1, "patch": 2}


def test_it_learns_and_equal_keys_train_alike():
    digits = data.load("digits")

    def train(seed):
        key = jax.random.key(seed)
        return in_memory.train_cell(key, "nasbench201", ARCH, digits, epochs=4, **SIZES)

    curves, again, other = train(0), train(0), train(1)
    assert all(value.shape == (4,) for value in curves)
    assert curves.train_loss[-1] < curves.train_loss[0]
    assert curves.train_correct[-1] > 1.5 * curves.train_correct[0]
    assert np.all(curves.valid_correct <= round(0.2 * len(digits.train)))
    jax.tree.map(np.testing.assert_array_equal, curves, again)
    assert other.train_loss[0] != curves.train_loss[0]


def test_what_does_not_fit_is_named():
    digits, key = data.load("digits"), jax.random.key(0)
    with pytest.raises(errors.ConfigError, match="epochs = 0 must be"):
        in_memory.train_cell(key, "nasbench201", ARCH, digits, epochs=0)
    with pytest.raises(errors.ConfigError, match="'chanels' .did you mean 'channels'"):
        in_memory.train_cell(key, "nasbench201", ARCH, digits, chanels=4)
    with pytest.raises(errors.ConfigError, match="batch size 9999 is larger"):
        in_memory.train_cell(key, "nasbench201", ARCH, digits, batch_size=9999, **SIZES)
