"""Pre-training of CATE: parity with plain AdamW, batches, resuming, what is learnt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_cate as plain

from nasjax.core import checkpoint, errors
from nasjax.encoders import corpus
from nasjax.encoders.cate import adamw, distinct, evaluation, pretraining, training
from nasjax.encoders.cate.objective import Terms

TINY = {
    "num_layers": 1,
    "num_cross_layers": 1,
    "width": 8,
    "num_heads": 2,
    "hidden": 8,
    "cross_hidden": 8,
}
KEY = jax.random.key(0)
SPACE = "nasbench201"


@pytest.fixture(scope="module")
def archs():
    return corpus.architectures(SPACE, jax.random.key(3), count=260)


def configure(variant="thesis", **changes):
    changes = {**TINY, "micro_batch": 20, "warmup": 3, **changes}
    return pretraining.configure(
        SPACE, variant, batch_size=40, learning_rate=2e-2, changes=changes
    )


def divide(archs, recipe):
    return pretraining.divide(SPACE, archs, recipe, held_out=0.2)


def run(model, recipe, data, calls, *, state=None, epochs=3):
    """The state after some calls, as numpy arrays, and their losses."""
    state = training.start(KEY, model) if state is None else state
    losses = []
    for _ in range(calls):
        state, found = training.run_part(KEY, model, recipe, state, data, epochs)
        losses.append(float(found.loss))
    return jax.tree.map(np.array, state), losses


def assert_same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def vector(weights):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(weights)])


@pytest.fixture(scope="module")
def whole(archs):
    """A training of three epochs in parts of four steps."""
    model, recipe = configure(parts=3)
    data = divide(archs, recipe)
    final, losses = run(model, recipe, data.train, 9)
    return model, recipe, data, final, losses


def test_the_loss_falls_and_a_training_resumes_bit_by_bit(whole, tmp_path):
    model, recipe, data, final, losses = whole
    assert np.all(np.isfinite(losses)) and np.mean(losses[-3:]) < 0.93 * losses[0]
    steps = training.num_steps(recipe, data.train)
    assert len(data.train.places) // 40 == steps == 10
    assert training.num_parts(recipe, data.train) == 3 and final.step == 30
    # Again, saved and read back within the second epoch.
    middle, _ = run(model, recipe, data.train, 4)
    assert middle.step == 14  # 4, 8, 10, 14
    with checkpoint.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(4, middle)
        restored = checkpoints.restore(training.start(KEY, model))
    assert restored is not None
    again, _ = run(model, recipe, data.train, 5, state=restored[1])
    assert_same(again, final)


def test_parts_change_nothing(whole):
    model, recipe, data, final, _ = whole
    at_once, _ = run(model, recipe._replace(parts=1), data.train, 3)
    assert at_once.step == final.step
    np.testing.assert_allclose(
        vector(at_once.weights), vector(final.weights), atol=1e-5
    )


def test_a_step_is_adamw_on_the_mean_over_predicted_operations(whole):
    model, recipe, data, _, _ = whole
    state = training.start(KEY, model)
    keys = jax.random.split(KEY, 2)
    batches = training._batches(keys[0], recipe, data.train, jnp.int32(0))
    assert batches.shape == (10, 2, 40)
    key = jax.random.fold_in(keys[1], 0)

    def loss(weights):
        total = Terms(0.0, 0, 0)
        for number, rows in enumerate(batches[0]):
            graphs = jax.tree.map(lambda leaf, r=rows: leaf[r], data.train.graphs)
            own = jax.random.split(jax.random.fold_in(key, number))
            found = training.predict(model, weights, graphs, *own)
            total = jax.tree.map(lambda a, b: a + b, total, found)
        return total.loss / total.labels

    slopes = jax.jit(jax.grad(loss))(state.weights)
    one = recipe._replace(parts=10)
    moved, _ = training.run_part(
        KEY, model, one, jax.tree.map(jnp.copy, state), data.train, 3
    )
    assert moved.step == 1
    # The first of three steps of warm-up.
    rate = recipe.learning_rate / 3

    def step(path, old, slope, new):
        decay = 0.0 if path[-1].key in ("bias", "scale") else 0.01
        old, slope = np.asarray(old, np.float64), np.asarray(slope, np.float64)
        expected, _, _ = plain.adamw(old, slope, 0, 0, 1, rate, decay)
        clear = np.abs(slope) > 1e-6  # else the step is the sign of rounding
        np.testing.assert_allclose(np.asarray(new)[clear], expected[clear], atol=2e-5)
        return clear.mean()

    clear = jax.tree_util.tree_map_with_path(step, state.weights, slopes, moved.weights)
    assert np.mean(jax.tree.leaves(clear)) > 0.6


def test_the_rate_rises_and_falls(whole):
    recipe = whole[1]
    given = recipe.learning_rate, recipe.warmup, 30
    rates = [float(adamw.rate(jnp.int32(n), *given)) for n in range(30)]
    np.testing.assert_allclose(rates[:3], 0.02 * np.arange(1, 4) / 3, rtol=1e-5)
    np.testing.assert_allclose(rates[3:], 0.02 * np.arange(27, 0, -1) / 27, rtol=1e-5)


def pairs_of(batches):
    """Rows of the pairs of an epoch, as sets."""
    first, second = np.split(np.asarray(batches), 2, axis=-1)
    return set(zip(first.ravel().tolist(), second.ravel().tolist(), strict=True))


def test_pairs_are_drawn_afresh_or_once(archs):
    _, thesis = configure()
    _, released = configure("released")
    assert released.rule == "earlier" and not released.fresh
    found = {}
    for name, recipe in (("thesis", thesis), ("released", released)):
        data = divide(archs, recipe).train
        found[name] = [
            training._batches(KEY, recipe, data, jnp.int32(epoch)) for epoch in (0, 1)
        ]
    one, other = map(pairs_of, found["thesis"])
    assert len(one & other) < 0.3 * len(one)
    one, other = found["released"]
    assert pairs_of(one) == pairs_of(other) and np.any(np.asarray(one != other))
    # The same batches in another order.
    batches = [{batch.tobytes() for batch in np.asarray(each)} for each in (one, other)]
    assert batches[0] == batches[1]


def test_released_decays_norms(archs):
    model, recipe = configure("released")
    weights = model.init(KEY)
    for recipe_, kept in ((recipe, ("bias",)), (configure()[1], ("bias", "scale"))):
        marks = adamw.decayed(weights, norms=recipe_.decay_norms)
        expected = sum(
            leaf.size
            for path, leaf in jax.tree_util.tree_leaves_with_path(weights)
            if path[-1].key not in kept
        )
        assert marks.sum() == expected


def test_held_out_operations_are_counted(whole):
    model, recipe, data, final, _ = whole
    trained = pretraining.Pretrained(model, recipe, final, data)
    found = evaluation.measure(jax.random.key(5), trained)
    assert found["num_predicted"] > 0.1 * 16 * len(data.held_out.places)
    # Inputs and outputs follow from the graph; operations are uniform.
    assert found["accuracy"] > found["accuracy_guess"] + 0.05
    assert 0.1 < found["accuracy_operations"] < 0.6
    assert 0.1 < found["accuracy_operations_guess"] < 0.3
    assert 0 < found["loss"] < 2
    few = evaluation.measure(jax.random.key(5), trained, num_pairs=8)
    assert 0 < few["num_predicted"] < 16 * 8
    counted = evaluation.count(
        jax.random.key(5), model, recipe, trained.state.weights, data.held_out
    )
    assert counted.labels.sum() == found["num_predicted"]
    assert np.all(counted.correct <= counted.labels)


def test_a_notebook_pre_trains_and_embeds(archs):
    # --- what is shown to users (a real one: no `changes`) ---
    trained = pretraining.pretrain(
        KEY, SPACE, archs, epochs=1, batch_size=40, changes=TINY
    )
    vectors = trained.embed(archs)
    # --- end ---
    assert vectors.shape == (260, 8) and vectors.dtype == np.float32
    assert np.isfinite(vectors).all() and trained.recipe.micro_batch == 40
    first, place = distinct.classes(trained.model, archs)
    assert 50 < len(first) < 260  # one layer counts operations
    np.testing.assert_array_equal(vectors, vectors[first][place])
    np.testing.assert_allclose(trained.embed(archs[5:7]), vectors[5:7], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"variant": "thesiss"}, "thesis"),
        ({"changes": {"widht": 3}}, "width"),
        ({"held_out": 1.0}, "held_out"),
        ({"held_out": 0.004}, "hold out more"),
        ({"batch_size": 400_000}, "a batch of 400000"),
        ({"changes": {"micro_batch": 7}}, "a multiple of micro_batch = 7"),
        ({"changes": {"parts": 0}}, "parts = 0"),
        ({"changes": {"rule": "all"}}, "two_sided"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_one_line(arguments, message, archs):
    given = {"batch_size": 40, "epochs": 1, **arguments}
    with pytest.raises(errors.ConfigError, match=message) as error:
        pretraining.pretrain(KEY, SPACE, archs, **given)
    assert "\n" not in str(error.value)


def test_an_operation_that_cate_does_not_have():
    archs = np.zeros((3, 16), np.int32)
    archs[:, 3::4] = 1
    archs[1, 0] = 7  # none
    with pytest.raises(errors.DataError, match="architecture 1 of 2"):
        pretraining.divide("darts_shared", archs, configure()[1], held_out=0.01)
