"""Made-up learning curves of NAS-Bench-201 cells, the same on host and device.

Scores are integers over 2^16, so that no program rounds them, and rankings of
different epochs have nothing in common.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from nasjax.core.types import LAST, Evaluation
from nasjax.spaces import nasbench201

LAST_EPOCH = 27
DISTINCT, TIES = 65521, 5
BROKEN = 13
"""One cell in so many has no score; 1: none has one."""


def _number(code, epoch, modulus):
    return (code * 7919 + epoch * 104729) % modulus


def _evaluate(modulus, broken, key, arch, epoch, trained):
    """An epoch takes a second."""
    del key
    epoch = jnp.where(epoch == LAST, LAST_EPOCH, epoch)
    code = nasbench201.code(arch)
    score = _number(code, epoch, modulus) / 2.0**16
    score = jnp.where(code % broken == 0, jnp.nan, score.astype(jnp.float32))
    return Evaluation(score, score, jnp.float32(epoch - trained), jnp.zeros(0))


def evaluate(modulus=DISTINCT, broken=BROKEN):
    """What the loops take; the numbers are arguments of compiled programs."""
    return Partial(_evaluate, jnp.int32(modulus), jnp.int32(broken))


def train(key, arch, epoch, trained):
    """The same for `drive`."""
    del key
    epochs = LAST_EPOCH if epoch == LAST else epoch
    score = plain_score(arch, epochs)
    score = math.nan if score == -math.inf else score
    return Evaluation(score, score, float(epochs - trained), ())


def plain_score(arch, epochs, modulus=DISTINCT, broken=BROKEN):
    """What an algorithm is told of a cell, -inf where there is no score."""
    code = int(np.asarray(arch) @ 5 ** np.arange(5, -1, -1))
    if code % broken == 0:
        return -math.inf
    return _number(code, epochs, modulus) / 2**16


def rows(history):
    """(genes, epochs, trial, trained, score) of every row that counts."""
    counts = np.flatnonzero(history.mask)
    epochs = np.where(history.epochs == LAST, LAST_EPOCH, history.epochs)
    columns = (history.trial, history.trained, history.valid)
    return [
        (tuple(history.archs[k].tolist()), int(epochs[k]))
        + tuple(np.asarray(column)[k].item() for column in columns)
        for k in counts
    ]


def check_laws(history, *, resume):
    """No epoch is charged twice, trainings keep their cell, and all rows are told."""
    paid, cells = {}, {}
    for arch, epochs, trial, trained, _ in rows(history):
        assert cells.setdefault(trial, arch) == arch
        assert trained == (paid.get(trial, 0) if resume else 0) < epochs
        paid[trial] = epochs
    assert sorted(paid) == list(range(len(paid)))
    spent = np.array([epochs - trained for _, epochs, _, trained, _ in rows(history)])
    counts = np.asarray(history.mask)
    np.testing.assert_array_equal(np.cumsum(spent), history.seconds[counts])
