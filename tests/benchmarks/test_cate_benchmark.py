"""The script that times CATE, at a tiny size; its checks compare it with PyTorch."""

import importlib.util
import json
import pathlib
import random

import pytest

pytest.importorskip("torch")

FILE = pathlib.Path(__file__).parents[2] / "benchmarks/cate.py"
TINY = {
    "num_layers": 1,
    "num_cross_layers": 1,
    "width": 8,
    "num_heads": 2,
    "hidden": 8,
    "cross_hidden": 8,
}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("cate", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "name", ["training_nasbench101", "encoding_darts", "table", "pairs_all"]
)
def test_ours_is_timed_against_plain_versions(script, name, capsys):
    size = script.Size(
        rounds=2,
        batch=32,
        micro=16,
        encoded=40,
        table=300,
        table_part=30,
        pairs_all=200,
        pairs_part=20,
        changes=tuple(TINY.items()),
    )
    script.CONFIGS[name](size)
    line = json.loads(capsys.readouterr().out)
    assert line["benchmark"] == "cate" and line["config"] == name
    assert line["ours_cpu_s"] > 0 and line["reference_cpu_s"] > 0
    assert line["ratio"] > 0 and "compile_cpu_s" in line


def test_the_plain_window_slides(script):
    values = [5, 1, 9, 2, 100]
    found = script.plain_pairs(values, 4, 9, random.Random(0), range(5))
    near = {row: set(partners) for row, partners in found}
    assert near == {1: {3}, 3: {0, 1}, 0: {3}, 2: set(), 4: set()}
