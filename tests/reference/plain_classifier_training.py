"""Full-batch training of a linear classifier with an auxiliary head, in plain numpy."""

import numpy as np


def log_softmax(logits):
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def cross_entropy(logits, labels):
    return -log_softmax(logits)[np.arange(len(labels)), labels].mean()


def gradient(features, weights, labels, smoothing):
    """Of the mean cross-entropy with smoothed targets."""
    probabilities = np.exp(log_softmax(features @ weights))
    classes = weights.shape[1]
    targets = np.full(probabilities.shape, smoothing / classes)
    targets[np.arange(len(labels)), labels] += 1 - smoothing
    return features.T @ (probabilities - targets) / len(labels)


def train(weights, side, images, labels, *, rates, settings):
    """(train loss, weights) of every epoch; one step an epoch, on all images.

    Nesterov's SGD as `torch.optim.SGD` has it, with L2 weight decay, on
    `loss + auxiliary_weight * auxiliary loss`.
    """
    features = images.reshape(len(images), -1).astype(np.float64)
    params = [np.array(weights, np.float64), np.array(side, np.float64)]
    buffers = [np.zeros_like(p) for p in params]
    history = []
    for rate in rates:
        loss = cross_entropy(features @ params[0], labels)
        for k, share in enumerate((1.0, settings["auxiliary_weight"])):
            g = share * gradient(
                features, params[k], labels, settings["label_smoothing"]
            )
            g += settings["weight_decay"] * params[k]
            buffers[k] = settings["momentum"] * buffers[k] + g
            params[k] = params[k] - rate * (g + settings["momentum"] * buffers[k])
        history.append((loss, params[0].copy()))
    return history
