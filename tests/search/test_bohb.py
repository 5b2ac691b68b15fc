"""BOHB against a plain version fed with the same draws, and its laws."""

import functools

import curve_table
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import multi_fidelity as plain

from nasjax import search
from nasjax.core import errors, sampling
from nasjax.core.types import LAST
from nasjax.search.loops import scan
from nasjax.search.multi_fidelity import brackets
from nasjax.spaces import nasbench201

SPACE = nasbench201.make()
KEY = jax.random.key(5)
SIZES = (5,) * 6
NUM_STEPS, NUM_SAMPLES = 120, 12
SETTINGS = {"max_epochs": 27, "num_samples": NUM_SAMPLES}
LADDER = plain.hyperband_brackets(1, 27, 3)
ALGORITHM = search.make("bohb", SPACE, **SETTINGS)
run = jax.jit(search.run, static_argnums=(1, 3))


@functools.cache
def draws():
    """The random numbers of every ask, as `bohb.new_point` takes them."""

    def draw(step):
        key = jax.random.fold_in(scan.split_keys(KEY).asks, step)
        coin, random, model = jax.random.split(key, 3)
        size = NUM_SAMPLES * (2 * len(SIZES) + 1)
        block = sampling.uniform(model, size)
        return (
            sampling.uniform(coin, 1)[0],
            sampling.uniform(random, len(SIZES)),
            block[:72].reshape(NUM_SAMPLES, 6),
            block[72:144].reshape(NUM_SAMPLES, 6),
            block[144:],
        )

    columns = jax.jit(jax.vmap(draw))(jnp.arange(NUM_STEPS))
    return [np.asarray(column) for column in columns]


def plain_rows(modulus, factor=3.0, fraction=1 / 3, ladder=LADDER):
    """Rows of the plain version, and how many architectures its model has drawn."""
    model = plain.Bohb(
        SIZES,
        lambda step: [column[step] for column in draws()],
        percent=15,
        least=7,
        fraction=fraction,
        factor=factor,
        narrowest=1e-3,
    )
    rows = plain.halving(
        ladder,
        model.draw,
        lambda trial, arch, epochs: curve_table.plain_score(arch, epochs, modulus),
        NUM_STEPS,
        True,
        model.observe,
    )
    return [(tuple(map(int, arch)), *rest) for arch, *rest in rows], model.modelled


@pytest.mark.parametrize("modulus", [curve_table.DISTINCT, curve_table.TIES])
def test_every_evaluation_is_that_of_the_plain_version(modulus):
    history = run(KEY, ALGORITHM, curve_table.evaluate(modulus), NUM_STEPS)
    expected, modelled = plain_rows(modulus)
    assert curve_table.rows(history) == expected
    assert modelled > 25
    curve_table.check_laws(history, resume=True)


def test_without_random_ones_or_wide_kernels():
    algorithm = search.make(
        "bohb", SPACE, random_fraction=0.0, bandwidth_factor=1.0, **SETTINGS
    )
    history = run(KEY, algorithm, curve_table.evaluate(), NUM_STEPS)
    expected, modelled = plain_rows(curve_table.DISTINCT, factor=1.0, fraction=0.0)
    assert curve_table.rows(history) == expected
    begun = len({row[2] for row in expected})
    assert modelled == begun - 9  # all but the first N_min + 2


def test_the_released_variant_repeats_its_last_training():
    algorithm = search.make("bohb", SPACE, variant="released", **SETTINGS)
    released = run(KEY, algorithm, curve_table.evaluate(), 40 + 17)
    ladder = [
        brackets.keep_top(brackets.Bracket(*zip(*rungs, strict=True)), 10)
        for rungs in LADDER
    ]
    epochs = [e for one in ladder[:2] for e in np.repeat(one.epochs, one.sizes)]
    ours = np.where(released.epochs == LAST, 27, released.epochs)
    np.testing.assert_array_equal(ours, epochs)
    assert ours[:32].tolist() == [1] * 27 + [3] * 3 + [9] + [27]
    assert len(set(released.trial[31:40].tolist())) == 1
    # One that resumes pays nothing for that.
    np.testing.assert_array_equal(released.trained[32:40], 27)
    scratch = search.make("bohb", SPACE, variant="released", resume=False, **SETTINGS)
    history = run(KEY, scratch, curve_table.evaluate(), 40 + 17)
    np.testing.assert_array_equal(history.trial, released.trial)
    assert history.seconds[39] == 27 + 3 * 3 + 9 + 9 * 27


def test_pieces_and_trials_are_the_whole():
    evaluate = curve_table.evaluate()
    whole = run(KEY, ALGORITHM, evaluate, NUM_STEPS)
    go_on = jax.jit(scan.advance, static_argnames=("algorithm", "num_steps"))
    begun, parts = jax.jit(scan.start, static_argnums=1)(KEY, ALGORITHM), []
    for _ in range(2):
        begun, part = go_on(begun, ALGORITHM, evaluate, search.limit(), num_steps=60)
        parts.append(part)
    joined = jax.tree.map(lambda *xs: np.concatenate(xs), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)
    keys = jnp.stack([jax.random.key(9), KEY])
    trials = search.run_trials(keys, ALGORITHM, evaluate, NUM_STEPS)
    jax.tree.map(lambda xs, x: np.testing.assert_array_equal(xs[1], x), trials, whole)


def test_a_driven_search_waits_and_tells_all():
    history = search.drive(KEY, ALGORITHM, curve_table.train, 69, ask_ahead=3)
    curve_table.check_laws(history, resume=True)
    epochs = np.sort(np.where(history.epochs == LAST, 27, history.epochs))
    expected = [e for rungs in LADDER for size, e in rungs for _ in range(size)]
    np.testing.assert_array_equal(epochs, np.sort(expected))


def test_settings_out_of_range_are_named():
    bad = {
        "top_percent": (0, "top_percent = 0 must be 1 to 99"),
        "random_fraction": (1.5, "random_fraction = 1.5 must be 0 to 1"),
        "bandwidth_factor": (0, "bandwidth_factor = 0 must be positive"),
        "min_bandwidth": (1, "min_bandwidth = 1 between"),
        "max_results": (8, "max_results = 8 must be at least 9"),
        "min_points": (0, "min_points = 0 at least 1"),
        "variant": ("thesiss", "variant of BOHB"),
        "sizes": ("all", "rule of sizes"),
    }
    for name, (value, message) in bad.items():
        with pytest.raises(errors.ConfigError, match=message):
            search.make("bohb", SPACE, max_epochs=27, **{name: value})
    for name in ("bohb", "dehb"):
        with pytest.raises(errors.ConfigError, match=f"{name} needs decode and unit_s"):
            search.make(name, SPACE._replace(decode=None), max_epochs=27)
