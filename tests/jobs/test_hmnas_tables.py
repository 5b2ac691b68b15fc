"""Rows of the thesis' tables from the scores of three stages."""

import types

import pytest

from nasjax.jobs.hmnas import tables
from nasjax.supernet import settings


def make_stage(dense, effective):
    return {
        "test_accuracy": 0.75,
        "params": effective,
        "counts": {"params": {"dense": dense, "effective": effective}},
    }


def make_experiment(name):
    return types.SimpleNamespace(
        net=types.SimpleNamespace(channels=24, num_cells=5),
        dataset=types.SimpleNamespace(name=name, train=range(7)),
        settings=settings.Settings(),
    )


def test_a_reduction_compares_networks_of_one_number_of_classes(monkeypatch):
    monkeypatch.setattr(tables, "conditions", lambda experiment: {})
    monkeypatch.setattr(tables.published, "value", lambda *arguments: None)
    stages = {
        "supernet": make_stage(500, 500),  # 100 classes
        "masked": make_stage(500, 300),
        "finetuned": make_stage(1000, 800),  # 1,000 classes
    }
    (rows,) = tables.rows(stages, make_experiment("imagenet")).values()
    assert [row["params_reduction"] for row in rows] == pytest.approx([0, 40, 20])
