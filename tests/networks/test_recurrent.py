"""Recurrent cells and the language model against plain numpy, token by token."""

import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shared
from reference import plain_language_model as plain

from nasjax.core.errors import UnknownArchitecture
from nasjax.networks import language_model as networks
from nasjax.networks import recurrent
from nasjax.spaces import nasbench_nlp_recipes as recipes

LSTM = {
    "i": {"op": "linear", "input": ["x", "h_prev_0"]},
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "o": {"op": "linear", "input": ["h_prev_0", "x"]},
    "g": {"op": "linear", "input": ["x", "h_prev_0"]},
    "si": {"op": "activation_sigm", "input": ["i"]},
    "sf": {"op": "activation_sigm", "input": ["f"]},
    "so": {"op": "activation_sigm", "input": ["o"]},
    "tg": {"op": "activation_tanh", "input": ["g"]},
    "kept": {"op": "elementwise_prod", "input": ["sf", "h_prev_1"]},
    "new": {"op": "elementwise_prod", "input": ["si", "tg"]},
    "h_new_1": {"op": "elementwise_sum", "input": ["kept", "new"]},
    "tc": {"op": "activation_tanh", "input": ["h_new_1"]},
    "h_new_0": {"op": "elementwise_prod", "input": ["so", "tc"]},
}
MIXED = {
    "a": {"op": "linear", "input": ["h_prev_0", "x", "h_prev_2"]},
    "b": {"op": "activation_leaky_relu", "input": ["a"]},
    "c": {"op": "linear", "input": ["b", "h_prev_1"]},
    "h_new_2": {"op": "activation_sigm", "input": ["c"]},
    "h_new_0": {"op": "blend", "input": ["h_new_2", "h_prev_0", "b"]},
    "h_new_1": {"op": "activation_tanh", "input": ["h_new_0"]},
}
SIZES = {"num_tokens": 11, "embedding_size": 5, "hidden_size": 7, "num_layers": 3}
TOKENS = np.random.default_rng(0).integers(0, 11, (6, 2))


def genes(recipe):
    return recipes.parse_arch(json.dumps(recipe))


def by_name(recipe, weights):
    """Weights of a layer as the plain version wants them."""
    names = list(recipe)  # both recipes are written in the order of their genes
    return {
        names[int(vertex) - recipes.NUM_BASE]: (
            [np.asarray(kernel) for kernel in linear.kernels],
            np.asarray(linear.bias),
        )
        for vertex, linear in weights.items()
    }


@pytest.mark.parametrize("recipe", [LSTM, MIXED], ids=["lstm", "mixed"])
def test_the_model_against_plain_numpy(recipe):
    with jax.enable_x64(True):
        model = networks.language_model(genes(recipe), **SIZES)
        params = model.init(jax.random.key(1))
        params = params._replace(bias=jnp.linspace(-1, 1, 11))
        hidden = jax.tree.map(
            lambda state: state + jnp.linspace(-1, 1, state.size).reshape(state.shape),
            model.initial_hidden(2),
        )
        found = jax.jit(model.apply)(params, hidden, TOKENS)
    layers = [by_name(recipe, weights) for weights in params.layers]
    embedding, bias = np.asarray(params.embedding), np.asarray(params.bias)
    logits, after, last = plain.logits(
        recipe, embedding, bias, layers, jax.tree.map(np.asarray, hidden), TOKENS
    )
    np.testing.assert_allclose(found.logits, logits, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found.last, last, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(found.dropped, found.last)
    for ours, theirs in zip(found.hidden, after, strict=True):
        assert len(ours) == len(theirs) == (2 if recipe is LSTM else 3)
        for state, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(state, expected, rtol=1e-12, atol=1e-13)


def test_the_lstm_recipe_is_an_lstm():
    rng = np.random.default_rng(2)
    x, h, c = (rng.normal(size=(2, size)) for size in (5, 7, 7))
    cell = recurrent.read(genes(LSTM))
    names = {name: str(recipes.NUM_BASE + k) for k, name in enumerate("ifog")}
    maps = {name: rng.normal(size=(5, 7)) for name in names}
    states = {name: rng.normal(size=(7, 7)) for name in names}
    biases = {name: rng.normal(size=7) for name in names}
    with jax.enable_x64(True):
        weights = {
            # The output gate reads the state first.
            vertex: recurrent.Linear(
                tuple(
                    jnp.asarray(kernel)
                    for kernel in (maps[name], states[name])[
                        :: -1 if name == "o" else 1
                    ]
                ),
                jnp.asarray(biases[name]),
            )
            for name, vertex in names.items()
        }
        projected = recurrent.project(cell, weights, jnp.asarray(x)[None])
        found = recurrent.step(
            cell,
            weights,
            {vertex: value[0] for vertex, value in projected.items()},
            (jnp.asarray(h), jnp.asarray(c)),
        )
    expected = plain.lstm(
        x, h, c, *([group[n] for n in "ifog"] for group in (maps, states, biases))
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.fixture(scope="module")
def small():
    """A compiled model of `MIXED` without dropout, its parameters and states."""
    model = networks.language_model(genes(MIXED), **{**SIZES, "num_layers": 2})
    params = model.init(jax.random.key(3))
    return jax.jit(model.apply), params, model.initial_hidden(2)


def test_rows_that_fill_up_change_nothing(small):
    apply, params, hidden = small
    whole = apply(params, hidden, TOKENS, length=4)
    other = TOKENS.copy()
    other[4:] = 0
    filled = apply(params, hidden, other, length=4)
    np.testing.assert_array_equal(filled.logits[:4], whole.logits[:4])
    jax.tree.map(np.testing.assert_array_equal, filled.hidden, whole.hidden)
    full = apply(params, hidden, TOKENS, length=6)
    np.testing.assert_array_equal(full.logits[:4], whole.logits[:4])
    # The states after four tokens are those from which the other two are read.
    rest = np.concatenate([TOKENS[4:], other[:4]])
    rest = apply(params, whole.hidden, rest, length=2)
    np.testing.assert_allclose(rest.logits[:2], full.logits[4:], rtol=1e-5, atol=1e-6)
    close = dict(rtol=1e-5, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, **close), rest.hidden, full.hidden
    )


def test_initial_numbers():
    model = networks.language_model(genes(MIXED), **SIZES)
    params = model.init(jax.random.key(0))
    assert 0.09 < np.abs(params.embedding).max() <= 0.1
    assert not np.any(params.bias)
    for width, layer in zip((7, 7, 5), params.layers, strict=True):
        bound = 1 / np.sqrt(width)
        numbers = np.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(layer)])
        assert 0.95 * bound < np.abs(numbers).max() <= bound
        assert abs(numbers.mean()) < 0.15 * bound
    # Different layers do not share what is drawn.
    assert not np.array_equal(
        params.layers[0]["6"].kernels[0], params.layers[1]["6"].kernels[0]
    )


def test_dropout_of_the_output_is_the_same_for_all_tokens():
    drops = networks.Dropouts(0, 0, 0, 0.5, 0)
    sizes = {**SIZES, "embedding_size": 40, "num_layers": 1}
    model = networks.language_model(genes(MIXED), **sizes, dropouts=drops)
    params, hidden = model.init(jax.random.key(0)), model.initial_hidden(2)
    outputs = jax.jit(model.apply)(params, hidden, TOKENS, key=jax.random.key(1))
    factor = np.asarray(outputs.dropped / outputs.last)
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:1], factor.shape))
    np.testing.assert_array_equal(np.unique(factor.round(5)), [0, 2])
    assert 0.3 < np.mean(factor == 0) < 0.7
    assert not np.array_equal(factor[:, 0], factor[:, 1])  # texts differ
    # The output alone is dropped, so nothing before it changes.
    plain_outputs = jax.jit(model.apply)(params, hidden, TOKENS)
    np.testing.assert_allclose(outputs.last, plain_outputs.last, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["words", "embedded", "between", "weights"])
def test_every_other_dropout_acts_with_a_key_only(kind, small):
    without, params, hidden = small
    drops = networks.Dropouts(0, 0, 0, 0, 0)._replace(**{kind: 0.5})
    sizes = {**SIZES, "num_layers": 2}
    model = networks.language_model(genes(MIXED), **sizes, dropouts=drops)
    apply = jax.jit(lambda key: model.apply(params, hidden, TOKENS, key=key).last)
    keys = jax.random.split(jax.random.key(1), 3)
    outputs = [apply(key) for key in keys]
    np.testing.assert_array_equal(apply(keys[2]), outputs[2])
    outputs.append(without(params, hidden, TOKENS, length=6).last)
    for i, one in enumerate(outputs):
        for other in outputs[:i]:
            assert not np.allclose(one, other)


def test_weights_are_dropped_where_a_state_is_read():
    cell = recurrent.read(genes(MIXED))
    ones = jax.tree.map(
        jnp.ones,
        recurrent.shapes(cell, 30, 40),
        is_leaf=lambda node: type(node) is tuple and isinstance(node[0], int),
    )
    drop = jax.jit(lambda key: recurrent.drop_weights(key, cell, ones, 0.2))
    dropped = drop(jax.random.key(0))
    state, x, other = dropped["4"].kernels
    assert x.shape == (30, 40) and np.all(x == 1) and np.all(dropped["4"].bias == 1)
    for kernel in (state, other, *dropped["6"].kernels):
        np.testing.assert_array_equal(np.unique(kernel), np.float32([0, 1.25]))
        assert 0.15 < np.mean(kernel == 0) < 0.25
    assert not np.array_equal(state, other)
    same = recurrent.drop_weights(jax.random.key(0), cell, ones, 0.0)
    jax.tree.map(np.testing.assert_array_equal, same, ones)


def test_genes_that_are_no_recipe():
    unknown = genes(MIXED)
    unknown[0] = 9
    for arch in (np.zeros(5, int), np.full(63, -1), unknown):
        with pytest.raises(UnknownArchitecture):
            recurrent.read(arch)


def test_parameters_of_the_published_trainings():
    path = shared.shared_file("data", "nasbench_nlp", "train_logs_wikitext-2")
    with zipfile.ZipFile(path / "logs.zip") as archive:
        logs = [json.loads(archive.read(name)) for name in archive.namelist()]
    same = []
    for log in logs[::5]:
        model = networks.language_model(
            recipes.parse_arch(log["recepie"]),
            num_tokens=33278,
            embedding_size=log["emsize"],
            hidden_size=log["nhid"],
            num_layers=log["nlayers"],
        )
        same.append(networks.num_params(model) == log["num_params"])
    assert same and all(same)
