"""A query by string, index, hash or genes, of a loaded benchmark or its name."""

import numpy as np
import pytest

from nasjax import nasbench, spaces
from nasjax.core import errors

SPACE = spaces.make("nasbench201")
TABLE = nasbench.load("digits201")
TEXT = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|"


def test_all_ways_of_asking_are_one_record():
    record = nasbench.query("digits201", TEXT)
    genes = SPACE.parse_arch(TEXT)
    index = int(record.name.removeprefix("index "))
    for arch in (genes, genes.tolist(), index, np.int64(index), str(index), f" {TEXT}"):
        again = nasbench.query(TABLE, arch)
        np.testing.assert_array_equal(again.arch, genes)
        assert str(again) == str(record)
    assert record.notation == TEXT and str(record).splitlines()[0] == TEXT


def test_its_values_are_those_of_the_table():
    (training,) = nasbench.query(TABLE, 42).trainings
    arch = nasbench.query(TABLE, 42).arch
    curves = training.metrics["valid_accuracy"]
    assert curves.shape == (len(TABLE.seeds), len(training.epochs))
    np.testing.assert_allclose(curves.mean(axis=0), TABLE.mean_curve(arch), rtol=1e-6)
    shown = f"{100 * float(curves[:, -1].mean()):.3f} %"
    assert shown in str(training) and "parameters" in training.facts


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        (15_625, "index 15625 is not below 15625"),
        (-1, "index -1 is below 0"),
        ([0, 1, 2, 3, 4, 5], r"\[0, 1, 2, 3, 4, 5\] is no gene vector of nasbench201"),
        ([0, 1], "which has 6 genes"),
        ([0.5] * 6, "genes are whole numbers"),
        (TEXT.replace("none~2", "nonne~2"), "nearest: '.*none~2"),
    ],
)
def test_what_cannot_be_read_is_named(arch, message):
    with pytest.raises(errors.UnknownArchitecture, match=message):
        nasbench.query("digits201", arch)


def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(errors.ConfigError, match="did you mean 'digits201'"):
        nasbench.query("digits21", 3)
