"""Laws that all multi-fidelity searches share."""

import curve_table
import jax
import numpy as np
import pytest

from nasjax import search
from nasjax.core.types import LAST
from nasjax.search import history as histories
from nasjax.search import incumbents
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEYS = jax.random.split(jax.random.key(2), 2)
BUDGET, NUM_STEPS = 300, 170
SETTINGS = {
    "successive_halving": {},
    "hyperband": {},
    "bohb": {"num_samples": 4},
    "dehb": {},
    "asha": {"eta": 3, "capacity": 200},
}


@pytest.fixture(scope="module")
def algorithms():
    return {
        name: search.make(name, SPACE, max_epochs=27, **settings)
        for name, settings in SETTINGS.items()
    }


@pytest.mark.parametrize("name", SETTINGS)
def test_a_budget_of_epochs_is_kept_and_used_up(algorithms, name):
    history = search.run_trials(
        KEYS,
        algorithms[name],
        curve_table.evaluate(),
        NUM_STEPS,
        budget_epochs=BUDGET,
        last_epoch=curve_table.LAST_EPOCH,
    )
    spent = np.asarray(histories.epochs_spent(history, curve_table.LAST_EPOCH))
    assert spent.dtype == np.int32
    for trial in range(len(KEYS)):
        one = jax.tree.map(lambda x, trial=trial: x[trial], history)
        curve_table.check_laws(one, resume=True)
        counted = int(one.mask.sum())
        assert one.mask[:counted].all() and spent[trial, -1] <= BUDGET
        assert one.seconds[counted - 1] == spent[trial, -1]
        # The next one would not have fitted.
        last = curve_table.LAST_EPOCH if one.epochs[counted] == LAST else None
        more = (last or one.epochs[counted]) - one.trained[counted]
        assert spent[trial, -1] + more > BUDGET
        # Only full trainings are incumbents.
        place = int(incumbents.incumbents(one, min_epochs=LAST)[-1])
        assert one.epochs[place] == LAST
        assert one.valid[place] == one.valid[one.mask & (one.epochs == LAST)].max()


@pytest.mark.parametrize("name", SETTINGS)
def test_no_key_is_used_twice(algorithms, name):
    key = jax.random.wrap_key_data(jax.random.key_data(KEYS)[1])

    def single(key, evaluate):
        return search.run(key, algorithms[name], evaluate, 30)

    with jax.debug_key_reuse(True):
        jax.eval_shape(single, key, curve_table.evaluate())  # raises as it is traced
