"""The controller of arch2vec's reinforcement learning and its steps, plainly."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_means(params, states):
    """Means of the actions, one step after another from an empty memory."""
    size = params["hidden"].shape[0]
    h, c, means = np.zeros(size), np.zeros(size), []
    for x in states:
        gates = params["input_bias"] + params["hidden_bias"]
        gates = gates + x @ params["input"] + h @ params["hidden"]
        enter, keep, new, leave = (gates[k * size : (k + 1) * size] for k in range(4))
        c = sigmoid(keep) * c + sigmoid(enter) * np.tanh(new)
        h = sigmoid(leave) * np.tanh(c)
        means.append(h @ params["out"] + params["out_bias"])
    return np.array(means)


def policy_loss(params, states, actions, weights):
    """-1/T sum of weight times log density of N(mean, I) at the action."""
    total = 0.0
    for mean, action, weight in zip(
        lstm_means(params, states), actions, weights, strict=True
    ):
        log_density = -0.5 * np.sum((action - mean) ** 2)
        log_density -= 0.5 * len(action) * np.log(2 * np.pi)
        total -= weight * log_density
    return total / len(states)


def discounted(rewards, discount, baseline):
    """Sum of later rewards minus the baseline, each discounted by its distance."""
    steps = range(len(rewards))
    return np.array(
        [
            sum(discount ** (k - t) * (rewards[k] - baseline) for k in steps if k >= t)
            for t in steps
        ]
    )


def walk(vectors, start, targets, skip_nearest=False):
    """Rows met by going to the nearest one that was not met, target by target."""
    met, rows = {start}, []
    for target in targets:
        order = np.argsort(np.linalg.norm(vectors - target, axis=1), kind="stable")
        order = order[1:] if skip_nearest else order
        row = next(row for row in order if row not in met)
        met.add(row)
        rows.append(row)
    return rows
