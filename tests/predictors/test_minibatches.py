"""Orders of rows and training on minibatches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nasjax.predictors import minibatches

KEY = jax.random.key(0)


def test_orders_hold_the_rows_in_the_mask_first():
    mask = np.arange(13) % 3 > 0
    orders = np.asarray(minibatches.permutations(KEY, jnp.asarray(mask), 50))
    count = mask.sum()
    for order in orders:
        assert sorted(order[:count]) == sorted(np.flatnonzero(mask))
        assert sorted(order) == list(range(13))
    assert len({tuple(order) for order in orders}) == 50
    # Each row is about as often first as any other: 50 / 8 times.
    firsts = np.bincount(orders[:, 0], minlength=13)[mask]
    assert firsts.min() >= 1 and firsts.max() <= 15


def test_padding_at_the_end_does_not_change_the_order():
    short = minibatches.permutations(KEY, jnp.ones(11, bool), 4)
    long = minibatches.permutations(KEY, jnp.arange(14) < 11, 4)
    np.testing.assert_array_equal(short, long[:, :11])


def batches_seen(mask, *, epochs, batch_size, drop_last):
    """How many steps were taken, and how often each row counted in one."""
    size = mask.shape[0]

    def loss(params, batch, valid):
        counts = jnp.zeros(size).at[batch].add(valid)
        return -params["rows"] @ counts - params["steps"][0]

    start = {"rows": jnp.zeros(size), "steps": jnp.zeros(1)}
    rows = jnp.arange(size)
    options = dict(epochs=epochs, batch_size=batch_size, drop_last=drop_last)
    return minibatches.train(KEY, start, loss, optax.sgd(1.0), rows, mask, **options)


@pytest.mark.parametrize(
    "count, drop_last, steps, rows",
    [
        (7, False, 3, 7),
        (7, True, 2, 6),
        (6, True, 2, 6),
        (2, True, 1, 2),  # the only batch of an epoch is kept
        (0, True, 0, 0),
        (0, False, 0, 0),
    ],
)
def test_every_row_counts_once_an_epoch(count, drop_last, steps, rows):
    seen = batches_seen(
        jnp.arange(9) < count, epochs=5, batch_size=3, drop_last=drop_last
    )
    assert seen["steps"][0] == 5 * steps
    assert seen["rows"].sum() == 5 * rows
    assert seen["rows"].max() <= 5
    assert not seen["rows"][count:].any()


def test_members_of_different_size_under_vmap():
    masks = jnp.arange(9)[None] < jnp.array([[7], [3]])
    together = jax.vmap(
        lambda mask: batches_seen(mask, epochs=2, batch_size=3, drop_last=False)
    )(masks)
    np.testing.assert_array_equal(together["steps"][:, 0], [6, 2])
    np.testing.assert_array_equal(together["rows"], 2.0 * masks)


def test_annealing_scales_the_updates_along_half_a_cosine():
    end = minibatches.train(
        KEY,
        {"x": jnp.zeros(1)},
        lambda params, batch, valid: -params["x"][0],
        optax.sgd(1.0),
        jnp.arange(4),
        jnp.ones(4, bool),
        epochs=3,
        batch_size=2,
        anneal=True,
    )
    expected = sum((1 + np.cos(np.pi * t / 6)) / 2 for t in range(6))
    np.testing.assert_allclose(end["x"][0], expected, rtol=1e-6)
