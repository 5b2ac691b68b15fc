"""Training on the artificial language: objective, windows, curves, kill and resume."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import plain_language_model as plain

from nasjax.core.errors import ConfigError, UnknownArchitecture
from nasjax.data import text
from nasjax.networks import language_model as networks
from nasjax.spaces import nasbench_nlp_recipes as recipes
from nasjax.training import language_model, loop, text_objective, text_windows
from nasjax.training import language_model_functions as compiled
from nasjax.training.language_model import LanguageModelSettings
from nasjax.training.text_windows import Window, Windows

RECIPE = {
    "a": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["a"]},
}
ARCH = recipes.parse_arch(json.dumps(RECIPE))
SETTINGS = LanguageModelSettings(
    epochs=3,
    batch_size=10,
    window=14,
    eval_batch_size=8,
    learning_rate=1e-2,
    activation=0.1,
    slowness=0.1,
    embedding_size=16,
    hidden_size=24,
    num_layers=2,
    dropout_embedded=0.1,
    dropout_between=0.1,
)
KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def corpus():
    return text.load("markov", num_train=6000, num_eval=500)


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Curves of an uninterrupted run, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    return language_model.train(KEY, ARCH, corpus, SETTINGS, folder), folder


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_loss_falls_below_the_entropy_of_single_words(corpus, trained):
    curves, folder = trained
    frequencies = np.bincount(corpus.train) / len(corpus.train)
    unigram = -np.sum(frequencies * np.log(frequencies))
    assert curves.status == language_model.OK
    for losses in (curves.train_loss, curves.valid_loss, curves.test_loss):
        assert losses.shape == (3,) and losses.dtype == np.float32
        assert losses[0] > losses[1] > losses[2] and losses[2] < unigram - 1
    assert np.all(curves.seconds > 0)
    # Embedding and softmax, then two layers of (16, 24) and (24, 16).
    layers = 24 * (16 + 24 + 1) + 16 * (24 + 16 + 1)
    assert curves.num_params == 24 * 16 + 24 + layers
    logged = rows(folder)
    assert [row["epoch"] for row in logged] == [1, 2, 3]
    for split in ("train", "valid", "test"):
        found = [row[f"{split}_loss"] for row in logged]
        np.testing.assert_allclose(found, getattr(curves, f"{split}_loss"))


def test_a_finished_training_is_read_back(corpus, trained):
    curves, folder = trained
    again = language_model.train(KEY, ARCH, corpus, SETTINGS, folder)
    for name, value in curves._asdict().items():
        np.testing.assert_array_equal(getattr(again, name), value)


@pytest.mark.parametrize("when", [1, 70])
def test_a_stopped_training_continues_with_the_same_numbers(
    when, corpus, trained, tmp_path, monkeypatch
):
    make_stage, steps = language_model.make_stage, []

    def stopping(*arguments):
        stage = make_stage(*arguments)

        def step(state, index):
            steps.append(index)
            if index == when:
                os.kill(os.getpid(), signal.SIGTERM)
            return stage.step(state, index)

        return dataclasses.replace(stage, step=step)

    monkeypatch.setattr(language_model, "make_stage", stopping)
    with pytest.raises(loop.Stopped):
        language_model.train(KEY, ARCH, corpus, SETTINGS, tmp_path)
    assert steps == list(range(when + 1))
    monkeypatch.undo()
    curves = language_model.train(KEY, ARCH, corpus, SETTINGS, tmp_path)
    for split in ("train", "valid", "test"):
        found = getattr(curves, f"{split}_loss")
        np.testing.assert_array_equal(found, getattr(trained[0], f"{split}_loss"))
    assert np.all(curves.seconds > 0)


def test_a_divergence_keeps_the_epochs_before(corpus, trained, tmp_path, monkeypatch):
    measured, calls = compiled.mean_loss, []

    def diverging(*arguments):
        calls.append(1)
        return float("nan") if len(calls) > 3 else measured(*arguments)

    monkeypatch.setattr(compiled, "mean_loss", diverging)
    for _ in range(2):  # the second time from the checkpoint, with the same result
        curves = language_model.train(KEY, ARCH, corpus, SETTINGS, tmp_path)
        assert curves.status == language_model.DIVERGED == "loss is nan!"
        assert curves.valid_loss[0] == trained[0].valid_loss[0]
        for values in (curves.train_loss, curves.valid_loss, curves.seconds):
            np.testing.assert_array_equal(np.isnan(values), [False, True, True])
    assert [row["epoch"] for row in rows(tmp_path)] == [1]


def test_a_divergence_in_the_first_epoch(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(compiled, "mean_loss", lambda *_: float("inf"))
    curves = language_model.train(KEY, ARCH, corpus, SETTINGS, tmp_path)
    assert curves.status == language_model.DIVERGED
    assert np.all(np.isnan(curves.test_loss)) and len(curves.test_loss) == 3


def test_the_measured_loss_is_the_mean_over_the_whole_text(corpus):
    """Against one pass of plain numpy: no word is lost between windows."""
    functions = compiled.functions(ARCH, corpus.num_tokens, SETTINGS)
    params = functions.model.init(jax.random.key(1))
    # 62 rows: four windows of 14 and one of 5, from which nothing follows.
    pieces = text.batchify(corpus.valid, SETTINGS.eval_batch_size)
    found = compiled.mean_loss(functions, params, pieces, SETTINGS)
    layers = [
        {"a": jax.tree.map(np.asarray, tuple(weights["4"]))}
        for weights in params.layers
    ]
    hidden = [[np.zeros((8, 24))], [np.zeros((8, 16))]]
    embedding, bias = np.asarray(params.embedding), np.asarray(params.bias)
    logits, _, _ = plain.logits(RECIPE, embedding, bias, layers, hidden, pieces[:-1])
    expected = plain.cross_entropy(logits, pieces[1:]).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_objective_against_plain_numpy():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 9, (8, 3))
    with jax.enable_x64(True):
        drops = networks.Dropouts(output=0.5, embedded=0, between=0, weights=0)
        model = networks.language_model(
            ARCH, num_tokens=9, embedding_size=4, num_layers=1, dropouts=drops
        )
        params = model.init(jax.random.key(2))
        hidden = model.initial_hidden(3)
        key = jax.random.key(3)

        def both(length):
            value, after = text_objective.objective(
                model, params, hidden, tokens, length, key, activation=2, slowness=3
            )
            outputs = model.apply(params, hidden, tokens[:-1], length=length, key=key)
            return value, after, outputs

        compiled_both = jax.jit(both)
        for length in (5, 1):
            value, after, outputs = jax.tree.map(np.asarray, compiled_both(length))
            losses = plain.cross_entropy(outputs.logits[:length], tokens[1:][:length])
            last, dropped = outputs.last[:length], outputs.dropped[:length]
            change = np.diff(last, axis=0)
            expected = losses.mean() + 2 * np.mean(dropped**2)
            expected += 3 * np.mean(change**2) if length > 1 else 0
            np.testing.assert_allclose(value, expected, rtol=1e-12)
            jax.tree.map(np.testing.assert_array_equal, after, outputs.hidden)
            assert not np.allclose(last, dropped)


def test_a_step_grows_with_the_length_of_its_window(corpus):
    functions = compiled.functions(ARCH, corpus.num_tokens, SETTINGS)
    params = functions.model.init(jax.random.key(1))
    tokens = corpus.train[: 18 * 10].reshape(18, 10)

    def change(rate):
        given = jax.tree.map(jnp.copy, params)
        state = functions.optimizer.init(given)
        hidden = functions.model.initial_hidden(10)
        new, _, _ = functions.update(given, state, hidden, tokens, 14, rate, KEY)
        return jax.tree.map(lambda a, b: np.asarray(a - b), new, params)

    whole, half = change(1.0), change(0.5)
    # Adam's first step is the learning rate wherever there is a gradient.
    assert np.abs(whole.embedding).max() == pytest.approx(1e-2, rel=1e-3)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, 2 * b, atol=1e-7), whole, half
    )


@pytest.mark.parametrize("num_rows", [2, 40, 3000])
def test_drawn_windows_cover_the_text_once(num_rows):
    windows = Windows(70)
    assert windows.longest == 85
    drawn = windows.draw(jax.random.key(0), num_rows)
    assert len(drawn) <= windows.most(num_rows)
    position = 0
    for window in drawn:
        assert window.start == position and 1 <= window.length <= 85
        position += window.length
    assert position == num_rows - 1
    for window in drawn[:-1]:
        assert window.length >= 5 and window.rate == window.length / 70
    assert windows.draw(jax.random.key(0), num_rows) == drawn
    if num_rows == 3000:
        lengths = np.array([window.length for window in drawn[:-1]])
        assert len(set(lengths.tolist())) > 10
        assert windows.draw(jax.random.key(1), num_rows) != drawn
    assert Windows(70).most(3000) < 1.15 * 3000 / 67.75 + 5


def test_one_in_twenty_windows_is_half_as_long():
    windows = Windows(70).draw(jax.random.key(0), 100_000)
    lengths = np.array([window.length for window in windows[:-1]])
    assert 0.03 < np.mean(lengths < 52) < 0.07
    usual = lengths[lengths >= 52]
    assert abs(usual.mean() - 69.5) < 0.5 and 4.5 < usual.std() < 5.5


def test_windows_of_equal_length():
    assert Windows(4, random=False).draw(jax.random.key(0), 10) == [
        Window(0, 4, 1.0),
        Window(4, 4, 1.0),
        Window(8, 1, 1.0),
    ]
    pieces = np.arange(20, dtype=np.int32).reshape(10, 2)
    found = text_windows.cut(pieces, Window(8, 1, 1.0), 3)
    assert found.tolist() == [[16, 17], [18, 19], [0, 0], [0, 0]]


def test_what_is_refused(corpus, tmp_path):
    for change in (
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"dropout_words": 1.0},
        {"clip": -1.0},
    ):
        (name,) = change
        with pytest.raises(ConfigError, match=name):
            LanguageModelSettings(**change)
    large = dataclasses.replace(SETTINGS, eval_batch_size=300)
    with pytest.raises(ConfigError, match="batch size 300"):
        language_model.make_stage(KEY, ARCH, corpus, large)
    with pytest.raises(UnknownArchitecture):
        language_model.train(KEY, ARCH[:10], corpus, SETTINGS, tmp_path)
