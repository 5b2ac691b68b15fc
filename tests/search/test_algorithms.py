"""Every algorithm of the registry on one table: laws, and better than random."""

import jax
import numpy as np
import pytest
import search_table

from nasjax import search
from nasjax.core import errors
from nasjax.core.types import LAST
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
NUM_TRIALS, NUM_STEPS = 64, 150
SETTINGS = {
    "random_search": {},
    "regularized_evolution": {"population_size": 20},
    "local_search": {},
    "reinforce": {},
}
KEYS = jax.random.split(jax.random.key(0), NUM_TRIALS)
KEY_DATA = jax.random.key_data(KEYS)


@pytest.fixture(scope="module")
def ran():
    """Algorithm and history of every name, run when it is first asked for."""
    known = {}

    def get(name):
        if name not in known:
            algorithm = search.make(name, SPACE, **SETTINGS[name])
            evaluate = search_table.evaluate()
            known[name] = (
                algorithm,
                search.run_trials(KEYS, algorithm, evaluate, NUM_STEPS),
            )
        return known[name]

    return get


def test_every_algorithm_of_this_file_is_registered():
    assert set(SETTINGS) <= set(search.ALGORITHMS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_history_holds_what_the_table_says(ran, name):
    _, history = ran(name)
    table = search_table.make()
    assert history.mask.all() and (history.epochs == LAST).all()
    np.testing.assert_array_equal(
        history.trial, np.broadcast_to(np.arange(NUM_STEPS), history.trial.shape)
    )
    rows = jax.vmap(table.find)(history.archs.reshape(-1, 6))
    for split in ("valid", "test"):
        recorded = np.asarray(table.curves[f"{split}_accuracy"].values)[rows, :, -1]
        found = getattr(history, split).reshape(-1, 1)
        assert (recorded == found).any(axis=1).all()
    seconds = 10.0 + history.archs.sum(axis=2)
    np.testing.assert_array_equal(history.seconds, np.cumsum(seconds, axis=1))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_single_run_reuses_no_key_and_is_one_of_the_trials(ran, name):
    algorithm, history = ran(name)

    def single(key, evaluate):
        return search.run(key, algorithm, evaluate, NUM_STEPS)

    # A key of its own, for the check would count those taken from an array before.
    key = jax.random.wrap_key_data(KEY_DATA[5])
    with jax.debug_key_reuse(True):
        jax.eval_shape(single, key, search_table.evaluate())  # raises as it is traced
    alone = jax.jit(single)(key, search_table.evaluate())
    jax.tree.map(lambda xs, x: np.testing.assert_array_equal(xs[5], x), history, alone)


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "random_search"])
def test_every_algorithm_beats_random_search(ran, name):
    ours = ran(name)[1].valid.max(axis=1)
    random = ran("random_search")[1].valid.max(axis=1)
    error = np.sqrt((ours.var() + random.var()) / NUM_TRIALS)
    assert ours.mean() - random.mean() > 3 * error


def test_unknown_names_and_settings_are_named():
    with pytest.raises(errors.ConfigError, match="did you mean 'local_search'"):
        search.make("local_serch", SPACE)
    with pytest.raises(errors.ConfigError, match="did you mean 'population_size'"):
        search.make("regularized_evolution", SPACE, population=20)
    with pytest.raises(errors.ConfigError, match="sample_size = 10 must be 1 to"):
        search.make("regularized_evolution", SPACE, population_size=5)
    with pytest.raises(errors.ConfigError, match="variant of local search"):
        search.make("local_search", SPACE, variant="thesiss")
    with pytest.raises(errors.ConfigError, match="num_init = 0"):
        search.make("local_search", SPACE, num_init=0)
    with pytest.raises(errors.ConfigError, match="variant of REINFORCE"):
        search.make("reinforce", SPACE, variant="adam")
    with pytest.raises(errors.ConfigError, match="momentum = 1"):
        search.make("reinforce", SPACE, momentum=1)
    with pytest.raises(errors.ConfigError, match="must be 6 pairs"):
        search.make("reinforce", SPACE, gene_ranges=((0, 1),))
