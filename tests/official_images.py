"""Batch files of images in the official forms, with made-up pixels."""

import json
import pickle

import numpy as np


def planes(rng, count, side=32):
    """uint8 `[N, 3, H, W]`."""
    return rng.integers(0, 256, (count, 3, side, side), np.uint8)


def pickled(planes, labels, *, key=str, protocol=2, **entries):
    """The python form: labels by key; `key=str.encode` is as Python 2 wrote it."""
    content = {
        "batch_label": "batch",
        **{name: np.asarray(values).tolist() for name, values in labels.items()},
        "data": planes.reshape(len(planes), -1),
        "filenames": [f"{i}.png" for i in range(len(planes))],
        **entries,
    }
    return pickle.dumps({key(k): value for k, value in content.items()}, protocol)


def records(planes, *labels):
    """The binary form: bytes of labels, then of pixels, image by image."""
    columns = [np.asarray(values).astype(np.uint8) for values in labels]
    return np.column_stack([*columns, planes.reshape(len(planes), -1)]).tobytes()


def split_file(first, second, keys=("xvalid", "xtest")):
    """The lists of NAS-Bench-201's code: numbers as text behind their type."""
    parts = dict(zip(keys, (first, second), strict=True))
    return json.dumps(
        {key: ["int", [str(number) for number in part]] for key, part in parts.items()}
    )


def standardized(planes, mean, std):
    """float `[N, H, W, 3]`, written out: planes over 255, less mean, over deviation."""
    mean, std = (np.array(values)[:, None, None] for values in (mean, std))
    return np.moveaxis((planes / 255 - mean) / std, 1, 3)


def content(split):
    """All images and labels of a split, in order."""
    (batch,) = split.eval_batches(batch_size=len(split))
    return np.asarray(batch.images), np.asarray(batch.labels)


def assert_holds(split, planes, labels, mean, std):
    """A split holds these images in order, standardised by these constants."""
    images, found = content(split)
    np.testing.assert_array_equal(found, labels)
    expected = standardized(planes, mean, std)
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-5)
