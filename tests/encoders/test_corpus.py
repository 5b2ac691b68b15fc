"""What arch2vec learns from: all cells, drawn cells, and their split."""

import jax
import numpy as np
import pytest

from nasjax.core import errors
from nasjax.encoders import corpus
from nasjax.spaces import darts, darts_costs, nasbench201

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def cells():
    return corpus.draw_darts(KEY, 3_000, max_macs=corpus.MAX_MACS)


def test_all_cells_of_nasbench201_once_in_random_order():
    archs = corpus.architectures("nasbench201", KEY)
    codes = np.asarray(jax.vmap(nasbench201.code)(archs))
    assert sorted(codes) == list(range(nasbench201.SIZE))
    assert (codes[:100] != np.arange(100)).any()
    part = corpus.architectures("nasbench201", KEY, count=50)
    np.testing.assert_array_equal(part, archs[:50])


def test_drawn_cells_are_different_and_fit_the_mobile_setting(cells):
    assert cells.shape == (3_000, 16)
    fingerprints = np.asarray(jax.jit(jax.vmap(darts.fingerprint))(cells))
    assert len(np.unique(fingerprints, axis=0)) == 3_000

    def macs(arch):
        return darts_costs.costs(
            arch,
            channels=48,
            num_layers=14,
            image_size=224,
            num_classes=1000,
            stem="imagenet",
        ).thop

    assert np.asarray(jax.jit(jax.vmap(macs))(cells)).max() <= corpus.MAX_MACS
    # Every operation is there, `none` too; the limit makes convolutions rarer.
    counts = np.bincount(cells.reshape(-1, 2)[:, 0], minlength=8)
    assert counts.min() > 1_000 and counts[darts.NONE] > counts[3]


def test_drawn_cells_depend_on_the_key_alone(cells):
    again = corpus.architectures("darts_shared", KEY, count=500)
    np.testing.assert_array_equal(again, cells[:500])


def test_a_split_takes_the_last_ones():
    archs = np.arange(20)[:, None]
    train, held_out = corpus.split(archs, 0.1)
    assert (len(train), held_out.ravel().tolist()) == (18, [18, 19])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corpus.architectures("nasbench301", KEY), "nasbench201"),
        (lambda: corpus.architectures("nasbench201", KEY, count=15_626), "15626"),
        (lambda: corpus.split(np.zeros((5, 1)), 0.0), "held_out = 0.0"),
        (lambda: corpus.draw_darts(KEY, 5, max_macs=1), "only 0 DARTS cells"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(errors.ConfigError, match=message):
        call()
