"""Recurrent cells of recipes, and the language model around them, token by token."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def cell(recipe, weights, x, states):
    """New states of a recipe (name: {"op", "input"}) for `x [B, D]`.

    `weights[name]` of a linear node: ([matrix for each input], bias).
    """
    values = {"x": x, **{f"h_prev_{k}": state for k, state in enumerate(states)}}

    def value(name):
        if name not in values:
            inputs = [value(other) for other in recipe[name]["input"]]
            values[name] = operation(name, inputs)
        return values[name]

    def operation(name, inputs):
        match recipe[name]["op"]:
            case "linear":
                matrices, bias = weights[name]
                return sum(v @ m for v, m in zip(inputs, matrices, strict=True)) + bias
            case "activation_tanh":
                return np.tanh(inputs[0])
            case "activation_sigm":
                return sigmoid(inputs[0])
            case "activation_leaky_relu":
                return np.where(inputs[0] > 0, inputs[0], 0.01 * inputs[0])
            case "elementwise_sum":
                return inputs[0] + inputs[1]
            case "elementwise_prod":
                return inputs[0] * inputs[1]
            case "blend":
                a, b, c = inputs
                return a * b + (1 - a) * c

    return [value(f"h_new_{k}") for k in range(len(states))]


def logits(recipe, embedding, bias, layers, hidden, tokens):
    """`[T, B, V]`, the states after, and the last outputs `[T, B, D]`; no dropout."""
    hidden = [list(states) for states in hidden]
    rows, lasts = [], []
    for token in tokens:
        x = embedding[token]
        for i, weights in enumerate(layers):
            hidden[i] = cell(recipe, weights, x, hidden[i])
            x = hidden[i][0]
        lasts.append(x)
        rows.append(x @ embedding.T + bias)
    return np.stack(rows), hidden, np.stack(lasts)


def lstm(x, h, c, input_maps, state_maps, biases):
    """One step with gates i, f, o and candidate g, as lists in this order."""
    i, f, o, g = (
        x @ w + h @ u + b
        for w, u, b in zip(input_maps, state_maps, biases, strict=True)
    )
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def cross_entropy(logits, targets):
    """Nats `[T, B]`."""
    shifted = logits - logits.max(-1, keepdims=True)
    total = np.log(np.exp(shifted).sum(-1))
    return total - np.take_along_axis(shifted, targets[..., None], -1)[..., 0]
