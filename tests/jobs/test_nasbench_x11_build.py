"""Builds of an embedded benchmark: pieces, complete seeds, the installed file."""

import concurrent.futures
import multiprocessing
import time

import numpy as np
import pytest

from nasjax.core import arrays
from nasjax.core.errors import ConfigError, DataError
from nasjax.experiments import embedded_benchmarks
from nasjax.experiments.embedded_benchmarks import Group
from nasjax.jobs.nasbench_x11 import build, modes
from nasjax.jobs.nasbench_x11.settings import Build
from nasjax.nasbench import digits201
from nasjax.nasbench.sampled_digits import SampledDigits
from nasjax.nasbench.trainings import CURVES
from nasjax.training import scanned


class Inline(concurrent.futures.Executor):
    """Runs what is submitted at once, in this process."""

    def __init__(self, *_, **__):
        pass

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture
def trained(monkeypatch):
    """What a fake trainer was asked for: (group, place, seed)."""
    calls = []

    def fake(name, arch, place, seed, group=0):
        calls.append((group, place, seed))
        rows = np.full(30, 100 * group + place + seed)
        return scanned.ScannedCurves(*(rows for _ in CURVES)), 0.5

    monkeypatch.setattr(embedded_benchmarks, "train", fake)
    monkeypatch.setattr(concurrent.futures, "ProcessPoolExecutor", Inline)
    return calls


def test_a_build_continues_and_assembles_complete_seeds(tmp_path, monkeypatch, trained):
    monkeypatch.setattr(build, "PIECE", 2630)
    run = tmp_path / "run"
    build.train_piece(str(run), build.Piece(0, 0, 0, 2630), "digits201")
    with pytest.raises(DataError, match="no seed is complete"):
        build.assemble(run, "digits201")
    trained.clear()
    settings = Build(seeds=(0, 1))
    output = build.build(run, settings)
    assert output.parent == run
    # The piece that was there is not trained again.
    assert min(place for _, place, seed in trained if seed == 0) == 2630
    table = digits201.load(output)
    assert table.seeds == (0, 1)
    stored = arrays.memory_map(output)["valid_correct"]
    np.testing.assert_array_equal(stored[:, 1, 0], np.arange(1, 5261))
    # A piece that a kill or a full disk cut short is trained again.
    trained.clear()
    piece = run / "seed1" / "functions0000.safetensors"
    piece.write_bytes(piece.read_bytes()[:-100])
    build.assemble(run, "digits201")
    assert digits201.load(output).seeds == (0,)
    build.build(run, settings)
    assert set(trained) == {(0, place, 1) for place in range(2630)}
    # Neither does a smaller build replace the installed file.
    installed = tmp_path / "installed.safetensors"
    benchmark = embedded_benchmarks.BENCHMARKS["digits201"]
    other = benchmark._replace(file=benchmark.file._replace(installed=installed))
    monkeypatch.setattr(embedded_benchmarks, "BENCHMARKS", {"digits201": other})
    build.install(run, "digits201")
    assert installed.read_bytes() == output.read_bytes()
    for seed in (run / "seed1").iterdir():
        seed.unlink()
    with pytest.raises(DataError, match="lacks 5260 trainings that the installed"):
        build.install(run, "digits201")
    assert digits201.load(installed).seeds == (0, 1)


CELLS = SampledDigits("other", "nasbench201", "nasbench211", num_evaluated=1024)


@pytest.fixture
def sampled(tmp_path, monkeypatch):
    """A benchmark of two groups; the second is chosen by what the first one gave."""
    seen = []

    def choose(earlier):
        seen.append(earlier)
        return np.full((70, 6), 1) * (np.arange(70)[:, None] // 5 ** np.arange(6) % 5)

    def best(earlier):
        seen.append(earlier)
        return np.array([[4, 4, 4, 4, 4, number] for number in (0, 1, 2)])

    digits = embedded_benchmarks.BENCHMARKS["digits201"]
    other = digits._replace(
        file=digits.file._replace(
            name="other.safetensors",
            installed=tmp_path / "installed.safetensors",
            save=CELLS.save,
            read=CELLS.read,
            load=CELLS.load,
        ),
        groups=(Group("uniform", choose, repeated=2), Group("found", best, repeated=0)),
        facts=lambda archs: {"parameters": archs.sum(1)},
    )
    monkeypatch.setattr(embedded_benchmarks, "BENCHMARKS", {"other": other})
    return seen


def test_groups_are_chosen_by_earlier_trainings_and_few_are_repeated(
    tmp_path, sampled, trained
):
    run = tmp_path / "run"
    settings = Build("other", seeds=(0, 1))
    table = CELLS.load(build.build(run, settings))
    assert [None if t is None else len(t.row) for t in sampled] == [None, 70]
    wanted = {(0, place, 0) for place in range(70)}
    wanted |= {(0, 0, 1), (0, 1, 1), (1, 0, 0), (1, 1, 0), (1, 2, 0)}
    assert set(trained) == wanted
    assert table.archs.shape == (73, 6) and table.seeds == (0, 1)
    counts = np.asarray(table.curves["valid_accuracy"].values)[..., -1] * 1024
    np.testing.assert_allclose(counts[:, 0], [*range(70), 100, 101, 102])
    np.testing.assert_allclose(counts[:2, 1], [1, 2])
    assert np.isnan(counts[2:, 1]).all()
    arch = table.archs[1].astype(np.int32)
    assert float(table.mean(arch, -1).valid) == pytest.approx(1.5 / 1024)
    assert float(table.mean(table.archs[72].astype(np.int32), -1).test) > 0.09
    np.testing.assert_array_equal(
        table.facts["parameters"], np.asarray(table.archs).sum(1)
    )


def test_another_folder_goes_on_from_the_installed_file(tmp_path, sampled, trained):
    first = Build("other", seeds=(0,), fraction=0.5)
    run = tmp_path / "run"
    build.build(run, first)
    assert len({place for group, place, _ in trained if group == 0}) == 64
    build.install(run, "other")
    trained.clear()
    rest = Build("other", seeds=(0,), start_from="installed")
    build.build(tmp_path / "next", rest)
    assert set(trained) == {(0, place, 0) for place in range(64, 70)}
    # What was found once is not searched again.
    assert len(sampled) == 2
    build.install(tmp_path / "next", "other")
    with pytest.raises(DataError, match="lacks 6 trainings"):
        build.install(run, "other")


def test_settings_are_checked(tmp_path):
    for section, message in (
        ({"benchmark": "othr"}, "unknown embedded benchmark 'othr'"),
        ({"fraction": 0.0}, "fraction is 0.0"),
        ({"num_processes": 0}, "num_processes is 0"),
        ({"seed": 1}, "unknown key of config.build 'seed'"),
    ):
        with pytest.raises(ConfigError, match=message):
            modes.build({"build": section}, tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_a_stopped_build_does_not_wait_for_what_is_queued():
    """Leaving the pool waited for every piece, for hours after SIGTERM."""
    with pytest.raises(SystemExit):
        with build._workers(1) as pool:
            queued = [pool.submit(time.sleep, 1e6) for _ in range(4)]
            raise SystemExit(143)
    for process in multiprocessing.active_children():
        process.join()
    # Cancelled, or broken where a worker had taken it, which a thread finds out.
    while not all(future.done() for future in queued):
        time.sleep(0.01)
