"""Builds of an embedded benchmark: pieces, complete seeds, the installed file."""

import concurrent.futures

import numpy as np
import pytest

from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError
from nasjax.experiments import embedded_benchmarks
from nasjax.jobs.nasbench_x11 import build, modes
from nasjax.nasbench import digits201
from nasjax.training import scanned


class Inline(concurrent.futures.Executor):
    """Runs what is submitted at once, in this process."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_result(function(*args, **kwargs))
        return future


def test_a_build_continues_and_assembles_complete_seeds(tmp_path, monkeypatch):
    trained = []

    def fake(name, function, seed):
        assert name == "digits201"
        trained.append((function, seed))
        rows = np.full(30, function + seed)
        return scanned.ScannedCurves(
            *(rows for _ in scanned.ScannedCurves._fields)
        ), 0.5

    monkeypatch.setattr(embedded_benchmarks, "train", fake)
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Inline)
    monkeypatch.setattr(build, "PIECE", 2630)
    run = tmp_path / "run"
    build.train_piece(str(run), 0, 0)
    with pytest.raises(DataError, match="no seed is complete"):
        build.assemble(run)
    trained.clear()
    output = build.build(run, seeds=[0, 1])
    assert output.parent == run
    # The piece that was there is not trained again.
    assert min(f for f, seed in trained if seed == 0) == 2630
    assert build.complete_seeds(run) == [0, 1]
    table = digits201.load(output)
    assert table.seeds == (0, 1)
    stored = arrays.memory_map(output)["valid_correct"]
    np.testing.assert_array_equal(stored[:, 1, 0], np.arange(1, 5261))
    # A piece that a kill or a full disk cut short is trained again.
    trained.clear()
    piece = run / "seed1" / "functions0000.safetensors"
    piece.write_bytes(piece.read_bytes()[:-100])
    assert build.assemble(run) == [0]
    build.build(run, seeds=[0, 1])
    assert set(trained) == {(f, 1) for f in range(2630)}
    # Neither does a smaller build replace the installed file.
    installed = tmp_path / "installed.safetensors"
    monkeypatch.setattr(digits201, "FILE", installed)
    assert build.install(run) == (0, 1)
    assert installed.read_bytes() == output.read_bytes()
    for seed in (run / "seed1").iterdir():
        seed.unlink()
    build.assemble(run)
    with pytest.raises(DataError, match=r"the installed benchmark also \[1\]"):
        build.install(run)
    assert digits201.load(installed).seeds == (0, 1)


def test_another_benchmark_is_built_by_its_name(tmp_path, monkeypatch):
    """Its own functions, its own file: two functions of one gene, of 30 epochs."""
    saved = {}

    class Facts:
        FORM, NAME, FILE, EPOCHS = "f/1", "other.safetensors", tmp_path / "o", 30
        compact = staticmethod(digits201.compact)

        @staticmethod
        def save(path, tree, seeds):
            saved.update(path=path, tree=tree, seeds=seeds)

    other = embedded_benchmarks.BENCHMARKS["digits201"]._replace(
        facts=Facts,
        representatives=lambda: np.zeros((2, 1), np.int32),
        table=lambda: {"archs": np.zeros((2, 1), np.int32)},
    )
    rows = scanned.ScannedCurves(*(np.arange(30) for _ in range(6)))
    monkeypatch.setattr(embedded_benchmarks, "BENCHMARKS", {"other": other})
    monkeypatch.setattr(
        embedded_benchmarks, "train", lambda name, function, seed: (rows, 0.5)
    )
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Inline)
    assert build.build(tmp_path, seeds=[3], name="other").name == Facts.NAME
    assert saved["seeds"] == [3] and saved["tree"]["archs"].shape == (2, 1)
    assert saved["tree"]["valid_correct"].shape == (2, 1, 30)
    with pytest.raises(ConfigError, match="unknown embedded benchmark 'othr'"):
        modes.build(
            {"build": {"benchmark": "othr", "seeds": [0], "num_processes": 1}},
            tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()
