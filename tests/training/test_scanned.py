"""The compiled training against the same steps written out."""

import jax
import jax.numpy as jnp
import numpy as np

from nasjax.training import scanned

RECIPE = scanned.SGDSettings(learning_rate=0.2, momentum=0.9, weight_decay=0.01)


def apply(params, statistics, images, *, train):
    """A linear classifier; its "statistics" count the training batches."""
    flat = images.reshape(-1, images.shape[-1])
    return params.T @ flat, statistics + train


def splits(seed=0):
    random = np.random.default_rng(seed)

    def split(*lead):
        labels = random.integers(0, 3, (*lead, 8))
        images = random.normal(size=(*lead, 2, 2, 1, 8))
        return scanned.Split(jnp.asarray(images), jnp.asarray(labels))

    return split(3, 2), split(2), split(1)


def scores(weights, images, labels):
    logits = weights.T @ np.asarray(images).reshape(-1, 8)
    log_sum = np.log(np.exp(logits).sum(0))
    losses = log_sum - logits[labels, np.arange(8)]
    probabilities = np.exp(logits - log_sum)
    probabilities[labels, np.arange(8)] -= 1
    gradient = np.asarray(images).reshape(-1, 8) @ probabilities.T / 8
    return losses, (logits.argmax(0) == labels).sum(), gradient


def test_training_is_nesterov_with_a_cosine():
    with jax.enable_x64(True):
        train, valid, test = splits()
        weights = np.random.default_rng(9).normal(size=(4, 3))
        curves = jax.jit(
            lambda w: scanned.train(w, 0, apply, train, valid, test, recipe=RECIPE)
        )(weights)
        buffer, step = np.zeros_like(weights), 0
        for epoch in range(3):
            losses, correct = [], 0
            for images, labels in zip(
                train.images[epoch], train.labels[epoch], strict=True
            ):
                value, hits, gradient = scores(weights, images, np.asarray(labels))
                losses.append(value.mean())
                correct += hits
                gradient = gradient + 0.01 * weights
                buffer = 0.9 * buffer + gradient
                rate = 0.2 * (1 + np.cos(np.pi * step / 6)) / 2
                weights = weights - rate * (gradient + 0.9 * buffer)
                step += 1
            assert np.isclose(curves.train_loss[epoch], np.mean(losses))
            assert int(curves.train_correct[epoch]) == correct
            for name, split in (("valid", valid), ("test", test)):
                found = [
                    scores(weights, images, np.asarray(labels))
                    for images, labels in zip(split.images, split.labels, strict=True)
                ]
                loss = np.mean([value for value, _, _ in found])
                assert np.isclose(getattr(curves, f"{name}_loss")[epoch], loss)
                total = sum(hits for _, hits, _ in found)
                assert int(getattr(curves, f"{name}_correct")[epoch]) == total
