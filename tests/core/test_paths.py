"""Whatever path a user gives, every reader answers in one line or reads it."""

import os

import pytest

from nasjax import nasbench
from nasjax.core import errors, metric_log, paths
from nasjax.data import cifar10, text
from nasjax.jobs.train_architecture import architectures
from nasjax.nasbench import records
from nasjax.nasbench.readers import official_surrogates
from nasjax.nasbench.surrogate import csv_curves, curve_data

# Where `pathlib` raises instead of saying no.
STRANGE = {
    "long": "n" * 300,
    "loop": "loop",
    "zero": "a\0b",
    "no home": "~nobody-has-this-name/x",
}
DOORS = {
    "csv": lambda path: csv_curves.read(path + ".csv"),
    "arrays": lambda path: curve_data.read_arrays(path + ".safetensors"),
    "load": lambda path: nasbench.load(path + ".safetensors"),
    "convert": lambda path: nasbench.convert(path, "out.safetensors"),
    "convert_to": lambda path: nasbench.convert(__file__, path),
    "summary": lambda path: records.summary(path + ".safetensors"),
    "surrogates": lambda path: official_surrogates.read(path),
    "metrics": lambda path: metric_log.read(path),
    "cifar10": lambda path: cifar10.load(dir=path),
    "text": lambda path: text.read(path),
    "archs": lambda path: architectures.read_file("nasbench201", path),
}


def strange(folder, name):
    loop = folder / "loop"
    loop.symlink_to(loop)
    end = STRANGE[name]
    return end if end.startswith("~") else os.path.join(folder, end)


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("door", DOORS)
def test_no_path_is_a_traceback(tmp_path, door, name):
    path = strange(tmp_path, name)
    with pytest.raises(errors.NasjaxError) as caught:
        DOORS[door](path)
        raise errors.NasjaxError("read")  # such as no metrics at all
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


def test_a_folder_that_may_not_be_looked_into(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "listdir", refuse)
    file = tmp_path / "x.csv"
    for ask in (paths.exists, paths.is_file, paths.is_folder, paths.entries):
        with pytest.raises(errors.DataError, match=r"x\.csv: .*Permission denied"):
            ask(file)


def test_answers(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    link, nowhere = tmp_path / "link", tmp_path / "nowhere"
    link.symlink_to(file)
    nowhere.symlink_to(tmp_path / "moved")
    assert paths.is_file(file) and paths.is_file(link) and not paths.is_folder(file)
    assert paths.is_folder(tmp_path) and not paths.exists(tmp_path / "none")
    assert not paths.exists(file / "below")
    assert paths.entries(tmp_path) == [file, link, nowhere]
    assert paths.expand("~/x") == paths.expand("~") / "x"
    with pytest.raises(errors.DataError, match="nowhere: .*link to .*moved"):
        paths.is_file(nowhere)
