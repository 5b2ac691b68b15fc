"""BANANAS: an ensemble of networks on features, samples, mutants of the best."""

import jax
import latent_table
import numpy as np
import pytest

from nasjax import encoders, search
from nasjax.core import errors

SPACE = latent_table.SPACE
PATHS = encoders.make("path_one_hot", "nasbench201")
KEYS = jax.random.split(jax.random.key(0), 6)
TINY = {"members": 2, "layers": 2, "width": 8, "epochs": 20}


def run(num_steps, **settings):
    algorithm = search.make(
        "bananas", SPACE, features=PATHS, predictor_options=TINY, **settings
    )
    return search.run_trials(KEYS, algorithm, latent_table.evaluate_genes(), num_steps)


def test_mutants_of_the_best_five_are_trained_and_improve():
    history = run(7, num_init=8, batch_size=4, capacity=28, num_candidates=40)
    assert history.mask.all()
    assert all(len(set(row)) == 28 for row in latent_table.rows(history.archs))
    gained = history.valid.max(axis=1) - history.valid[:, :8].max(axis=1)
    # One first sample may hold a cell that 20 more trainings do not improve on.
    assert (gained > 0).sum() >= len(KEYS) - 1 and gained.mean() > 0.05
    for archs, valid in zip(history.archs, history.valid, strict=True):
        parents = archs[:24][np.argsort(-valid[:24], kind="stable")[:5]]
        edits = (archs[24:, None] != parents[None]).sum(axis=2).min(axis=1)
        assert (edits <= 1).all()


def test_released_rounds_train_all_eight_mutants_of_five_edits():
    history = run(
        3,
        num_init=10,
        batch_size=10,
        capacity=30,
        num_candidates=40,
        num_parents=4,
        max_edits=5,
        variant="released",
    )
    used = history.mask.reshape(len(KEYS), 3, 10)
    assert used[:, 0].all() and (used[:, 1:].sum(axis=2) == 8).all()
    assert (history.valid[~history.mask] == -np.inf).all()
    for archs, valid in zip(history.archs, history.valid, strict=True):
        # Two mutants of each of the four best; five edits change up to five genes.
        parents = archs[:10][np.argsort(-valid[:10], kind="stable")[:4]]
        edits = (archs[10:18, None] != parents[None]).sum(axis=2).min(axis=1)
        assert edits.max() >= 2 and edits.max() <= 5


def test_settings_that_do_not_fit_are_named():
    with pytest.raises(errors.ConfigError, match="bananas needs features=..."):
        search.make("bananas", SPACE)
    with pytest.raises(errors.ConfigError, match="variant of BANANAS"):
        search.make("bananas", SPACE, features=PATHS, variant="fixed")
    with pytest.raises(errors.ConfigError, match="num_parents = 0"):
        search.make("bananas", SPACE, features=PATHS, num_parents=0, variant="released")
    with pytest.raises(errors.ConfigError, match="num_candidates = 0"):
        search.make(
            "bananas",
            SPACE,
            features=PATHS,
            num_candidates=10,
            num_parents=4,
            max_edits=5,
            variant="released",
        )
    with pytest.raises(errors.ConfigError, match="did you mean 'members'"):
        search.make("bananas", SPACE, features=PATHS, predictor_options={"member": 3})
