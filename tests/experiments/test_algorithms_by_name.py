"""Algorithms by name: what a benchmark tells them."""

import jax
import numpy as np
import pytest

from nasjax import experiments, nasbench, search, spaces
from nasjax.core.errors import ConfigError
from nasjax.core.types import LAST

SPACE = spaces.make("nasbench201")


@pytest.mark.parametrize("name", ["successive_halving", "asha"])
def test_the_last_epoch_is_that_of_the_benchmark(name):
    table = nasbench.load("digits201")
    algorithm = experiments.make(name, SPACE, table)
    keys = jax.random.split(jax.random.key(0), 2)
    history = search.run_trials(
        keys, algorithm, table.evaluate, budget_epochs=150, last_epoch=30
    )
    epochs = np.where(history.mask, history.epochs, 0)
    whole = epochs == LAST
    assert epochs.max() < 30 and whole.any()
    paid = np.where(whole, 30, epochs) - history.trained
    assert (np.where(history.mask, paid, 0).sum(axis=1) <= 150).all()
    with pytest.raises(ConfigError, match="max_epochs"):
        experiments.make(name, SPACE)
