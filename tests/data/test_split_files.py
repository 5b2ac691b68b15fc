"""Split files of NAS-Bench-201's code: what they hold, and bad input."""

import json

import numpy as np
import official_images
import pytest

from nasjax.core.errors import DataError
from nasjax.data import split_files


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cifar100-test-split.txt"


def test_numbers_come_as_they_are_listed(path):
    order = np.random.default_rng(0).permutation(60)
    for keys in (split_files.TRAIN_KEYS, split_files.TEST_KEYS):
        path.write_text(official_images.split_file(order[:25], order[25:], keys))
        first, second = split_files.read(path, 60, keys=keys)
        np.testing.assert_array_equal(first, order[:25])
        np.testing.assert_array_equal(second, order[25:])


def test_plain_lists_are_read(path):
    path.write_text('{"xvalid": [2, 0], "xtest": [1]}')
    valid, test = split_files.read(path, 3, keys=split_files.TEST_KEYS)
    assert (valid.tolist(), test.tolist()) == ([2, 0], [1])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not a split file"),
        ("1 2 3", "not a split file"),
        ("[]", "is a list, not a mapping"),
        ('{"train": ["int", ["0"]], "valid": ["int", ["1"]]}', "has no 'xvalid'"),
        ('{"xvalid": ["int", ["0"]]}', "has no 'xtest'"),
        ('{"xvalid": [], "xtest": [0, 1, 2]}', "no list of numbers under 'xvalid'"),
        ('{"xvalid": "012", "xtest": [0]}', "no list of numbers under 'xvalid'"),
        ('{"xvalid": [0, 3], "xtest": [1, 2]}', "has 3 under 'xvalid'"),
        ('{"xvalid": [0, -1], "xtest": [1, 2]}', "has -1 under 'xvalid'"),
        ('{"xvalid": [0, true], "xtest": [2]}', "has True under 'xvalid'"),
        ('{"xvalid": [0, 1.0], "xtest": [2]}', "has 1.0 under 'xvalid'"),
        ('{"xvalid": ["0", "x\\n"], "xtest": [2]}', "has 'x\\n' under 'xvalid'"),
        ('{"xvalid": [0, [[]]], "xtest": [2]}', "a value of type list"),
        ('{"xvalid": [0, ' + "9" * 400 + '], "xtest": [2]}', "a value of type int"),
        ('{"xvalid": [0, 1], "xtest": [1, 2]}', "lists image 1 twice"),
        ('{"xvalid": [0, 0], "xtest": [1, 2]}', "lists image 0 twice"),
        ('{"xvalid": [0], "xtest": [1]}', "lists 2 images, and there are 3"),
    ],
)
def test_malformed_files_are_named(path, content, fault):
    path.write_text(content)
    refused(path, 3, str(path), fault)


def refused(path, size, *fragments):
    with pytest.raises(DataError) as caught:
        split_files.read(path, size, keys=split_files.TEST_KEYS)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (*fragments, split_files.SOURCE):
        assert fragment in message


def test_absent_and_large_files_are_named(path):
    refused(path, 3, f"{path}: no such file")
    path.write_text(json.dumps([0] * 3_000_000))
    refused(path, 3, f"{path}: refused")
