import jax
import jax.numpy as jnp
import numpy as np

from nasjax.data import digits, noisy_digits

NOISE = 0.4


def test_parts_are_disjoint_and_stratified():
    images, labels = digits.stratified((768, 512, 517))
    rows = np.concatenate([part.reshape(len(part), -1) for part in images])
    everything, _ = digits._all()
    assert sorted(map(tuple, rows)) == sorted(map(tuple, everything.reshape(1797, -1)))
    shares = [np.bincount(part, minlength=10) / len(part) for part in labels]
    assert np.ptp(shares, axis=0).max() < 0.01


def test_splits_are_standardised_by_the_training_images():
    data = noisy_digits.load()
    assert data.train_images.shape == (8, 8, 1, 768)
    assert data.valid_images.shape == data.test_images.shape == (8, 8, 1, 1024)
    assert abs(float(data.train_images.mean())) < 1e-4
    assert abs(float(data.train_images.std()) - 1) < 1e-4
    # Corrupted pixels have the variance of the noise on top.
    expected = np.sqrt(1 + NOISE**2)
    assert abs(float(data.valid_images.std()) - expected) < 0.05


def test_corruption_shifts_by_one_pixel_and_adds_noise():
    images = jnp.zeros((8, 8, 1, 500)).at[4, 4].set(10.0)
    moved = np.asarray(noisy_digits.corrupt(jax.random.key(0), images, NOISE))
    row, column = np.unravel_index(moved.reshape(64, 500).argmax(0), (8, 8))
    assert set(zip(row, column, strict=True)) == {
        (i, j) for i in (3, 4, 5) for j in (3, 4, 5)
    }
    background = np.delete(moved.reshape(64, 500), row * 8 + column, axis=0)
    assert abs(background.std() - NOISE) < 0.02


def test_epochs_hold_every_image_once():
    data = noisy_digits.load()
    epochs = noisy_digits.epochs(
        jax.random.key(3), data, num_epochs=2, batch=64, noise=NOISE
    )
    assert epochs.images.shape == (2, 12, 8, 8, 1, 64)
    for labels in epochs.labels:
        np.testing.assert_array_equal(
            np.sort(labels.reshape(-1)), np.sort(data.train_labels)
        )
    assert not np.array_equal(epochs.labels[0], epochs.labels[1])
