"""NATS folders and tars and torch files of the official form give the same table."""

import bz2
import gzip
import json
import os
import pickle
import tracemalloc

import jax
import numpy as np
import official_files
import pytest
import shared

from nasjax import nasbench
from nasjax.core import arrays, pickle_stream
from nasjax.core.errors import DataError
from nasjax.nasbench.readers import nats
from nasjax.spaces import nasbench201

INDICES = (0, 11, 284, 15_624)


@pytest.fixture(scope="module")
def results():
    return official_files.nasbench201_results(INDICES, lacking=(11,))


def write(form, folder, results):
    """Writes one official form and returns its path."""
    if form == "folder":
        path = folder / "NATS-tss-v1_0-3ffb9-simple"
        path.mkdir()
        for name, content in official_files.nats_files(results).items():
            (path / name).write_bytes(content)
        (path / "meta.pickle.pbz2").write_bytes(b"not read")
        return path
    if form == "tar":
        files = official_files.nats_files(results)
        files = {f"NATS-tss-simple/{name}": content for name, content in files.items()}
        official_files.write_tar(folder / "nats.tar", files)
        return folder / "nats.tar"
    path = folder / "nasbench201.pth"
    content = official_files.pth_content(results)
    if form == "legacy":
        official_files.write_legacy_pth(path, content)
    else:
        official_files.write_zip_pth(path, content)
    return path


FORMS = ("folder", "tar", "legacy", "zip")


@pytest.fixture(scope="module", params=FORMS)
def converted(request, tmp_path_factory, results):
    folder = tmp_path_factory.mktemp(request.param)
    output = folder / "table.safetensors"
    nasbench.convert(write(request.param, folder, results), output)
    return output


def curve(training, kind, name=""):
    """The official numbers of one training by epoch, NaN where there are none."""
    epochs = range(training["epochs"])
    if not name:
        return np.array([training[f"train_{kind}"][epoch] for epoch in epochs])
    values = training[f"eval_{kind}"]
    return np.array([values.get(f"{name}@{epoch}", np.nan) for epoch in epochs])


@pytest.mark.parametrize("schedule", ["12", "200"])
@pytest.mark.parametrize("data_set", official_files.DATA_SETS)
def test_every_number_of_every_seed(converted, results, schedule, data_set):
    table = nasbench.load(converted, data_set=data_set, schedule=int(schedule))
    names = {
        "train": "",
        "valid": "x-valid",
        "test": "x-test",
        "original_test": "ori-test",
    }
    if data_set.startswith("cifar10-"):
        names = {"train": "", "valid": "x-valid", "test": "ori-test"}
    if data_set == "cifar10":
        names = {"test": "ori-test"}
    checked = 0
    for index in INDICES:
        arch = nasbench201.parse_arch(results[index]["12"]["arch_str"])
        row = int(table.find(arch))
        trainings = results[index][schedule]["all_results"]
        for slot, seed in enumerate(table.seeds):
            training = trainings.get((data_set, seed))
            for split, name in names.items():
                for kind, official, scale in (
                    ("accuracy", "acc1es", 0.01),
                    ("loss", "losses", 1),
                ):
                    found = table.curves[f"{split}_{kind}"].values[row, slot]
                    if training is None:
                        assert np.isnan(found).all()
                        continue
                    expected = scale * curve(training, official, name)
                    np.testing.assert_allclose(found, expected[-len(found) :], 1e-6)
                    assert len(found) == len(expected) or np.isnan(expected[:-1]).all()
                    checked += 1
    assert checked >= len(INDICES) * 2 * len(names) * 2


def test_costs_and_facts(converted, results):
    table = nasbench.load(converted, data_set="cifar100")
    for index in INDICES:
        trainings = results[index]["200"]["all_results"]
        arch = nasbench201.parse_arch(results[index]["12"]["arch_str"])
        row = int(table.find(arch))
        training = trainings["cifar100", 777]
        seconds = sum(training["train_times"].values())
        cost = table.evaluate_seed(0, arch, 50, trained=10).cost
        np.testing.assert_allclose(cost, seconds * 40 / 200, rtol=1e-5)
        known = [t for (d, _), t in trainings.items() if d == "cifar100"]
        expected = round(np.median([t["params"] for t in known]) * 1e6)
        assert abs(int(table.facts["parameters"][row]) - expected) <= 1
        np.testing.assert_allclose(table.facts["latency"][row], 0.02, rtol=1e-6)


def test_cifar10_searches_on_half_and_reports_all_images(converted, results):
    table = nasbench.load(converted)
    assert table.data_set == "cifar10" and table.seeds == (777, 888, 999)
    assert "50,000" in dict(table.notes)["test_accuracy"]
    arch = nasbench201.parse_arch(results[0]["12"]["arch_str"])
    trainings = results[0]["200"]["all_results"]
    for slot, seed in enumerate(table.seeds):
        found = table.evaluate_seed(slot, arch, 200)
        half, full = trainings["cifar10-valid", seed], trainings["cifar10", seed]
        expected = [
            half["eval_acc1es"]["x-valid@199"],
            full["eval_acc1es"]["ori-test@199"],
        ]
        np.testing.assert_allclose([found.valid, found.test], np.array(expected) / 100)
        np.testing.assert_allclose(
            found.cost, sum(half["train_times"].values()), rtol=1e-6
        )


def test_a_metric_of_the_last_epoch_is_nan_before(converted, results):
    table = nasbench.load(converted, data_set="cifar100")
    arch = nasbench201.parse_arch(results[0]["12"]["arch_str"])
    drawn = table.curve(jax.random.key(0), arch)
    assert np.isnan(drawn[:-1]).all() and np.isfinite(drawn[-1])
    assert np.isfinite(table.curve(jax.random.key(0), arch, "train_loss")).all()
    assert np.isnan(table.mean(arch, 199).valid) and table.mean(arch, 200).valid > 0


def test_all_forms_give_the_same_arrays(tmp_path, results):
    paths = []
    for form in FORMS:
        (tmp_path / form).mkdir()
        source = write(form, tmp_path / form, results)
        nasbench.convert(source, tmp_path / f"{form}.safetensors")
        paths.append(tmp_path / f"{form}.safetensors")
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    first, *others = [arrays.memory_map(path) for path in paths]
    for other in others:
        assert set(first) == set(other)
        for key, value in first.items():
            np.testing.assert_array_equal(value, other[key], err_msg=key)


def test_the_real_files(tmp_path):
    """Three published cells; the numbers are those of the parsed JSON beside them."""
    folder = shared.shared_file("data/nasbench201/NATS-tss-v1_0-3ffb9-simple")
    curves = shared.shared_file("data/nasbench201/nats_tss_3cells_full_curves.json.gz")
    known = json.loads(gzip.decompress(curves.read_bytes()))
    nasbench.convert(folder, tmp_path / "nats.safetensors")
    checked = 0
    for cell in known.values():
        arch = nasbench201.parse_arch(cell["arch_str"])
        assert int(nasbench201.index(arch)) == cell["arch_index"]
        for run in cell["runs"]:
            table = nasbench.load(
                tmp_path / "nats.safetensors",
                data_set=run["dataset"],
                schedule=run["epochs"],
            )
            row = int(table.find(arch))
            test = {"cifar100", "ImageNet16-120"} & {run["dataset"]}
            names = {"x-valid": "valid", "x-test": "test"}
            names["ori-test"] = "original_test" if test else "test"
            slot = (
                {777: 0, 888: 1, 999: 2} if run["epochs"] == 200 else {111: 0, 777: 1}
            )
            for name, values in run["eval_acc"].items():
                metric = table.curves[f"{names[name]}_accuracy"]
                found = np.asarray(metric.values[row, slot[run["seed"]]])
                values = values if isinstance(values, list) else list(values.values())
                expected = np.array(values[-len(found) :], float) / 100
                np.testing.assert_allclose(found, expected, atol=6e-6)
                checked += 1
    assert checked > 60


# --- what is refused ------------------------------------------------------------


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_malicious_files_are_refused_unexecuted(tmp_path, results):
    mark, output = tmp_path / "mark", tmp_path / "out.safetensors"
    entry = {**results[0], "200": {**results[0]["200"], "clear_net_done": Evil(mark)}}
    (tmp_path / "simple").mkdir()
    packed = bz2.compress(pickle.dumps(entry, protocol=4))
    (tmp_path / "simple" / "000000.pickle.pbz2").write_bytes(packed)
    with pytest.raises(DataError, match=r"simple/000000.pickle.pbz2: refused .*system"):
        nasbench.convert(tmp_path / "simple", output)
    content = official_files.pth_content({0: entry})
    official_files.write_legacy_pth(tmp_path / "a.pth", content)
    official_files.write_zip_pth(tmp_path / "b.pth", content)
    for name in ("a.pth", "b.pth"):
        with pytest.raises(DataError, match=rf"{name}: refused .*system"):
            nasbench.convert(tmp_path / name, output)
    assert not mark.exists() and not output.exists()


def doubled(depth=40):
    """340 bytes of a file, and 2^40 values where it is formatted."""
    value = []
    for _ in range(depth):
        value = [value, value]
    return value


SHARED = doubled()


def training(**fields):
    """Changes one training of an entry."""
    return lambda entry: entry["200"]["all_results"]["cifar10", 777].update(fields)


def broken(results, change):
    entry = pickle.loads(pickle.dumps(results[0]))
    change(entry)
    return bz2.compress(pickle.dumps(entry, protocol=4))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda e: e["200"].pop("arch_str"), r"official NATS-tss form \(no 'arch_str'"),
        (lambda e: e["200"].update(all_results=[1]), "official NATS-tss form"),
        (lambda e: e["200"].update(arch_str="|x~0|"), "a NAS-Bench-201 cell has 3"),
        (lambda e: e["200"]["all_results"].update({("mnist", 1): e["200"]}), "form"),
        (
            lambda e: e["200"]["all_results"]["cifar10", 777].update(epochs=10**9),
            "1000000000 epochs",
        ),
        (
            lambda e: e["200"]["all_results"].update(
                {
                    ("cifar10", s): e["200"]["all_results"]["cifar10", 777]
                    for s in (1, 2)
                }
            ),
            "more than 3 seeds",
        ),
        (training(params=1e300), "parameters or operations"),
        (training(params=-1.0), "parameters or operations"),
        (training(params="1"), "str in the place of a number"),
        (training(flop=2150.0), "parameters or operations"),
        (training(train_acc1es={0: 5000.0}), "an accuracy outside 0..100 %"),
        (training(eval_acc1es={"ori-test@3": -1.0}), "an accuracy outside 0..100 %"),
        (training(train_losses={0: True}), "bool in the place of a number"),
        (training(train_losses={0: SHARED}), "list in the place of a number"),
        (training(train_times={0: -1.0}), "seconds that are negative"),
        (training(train_times=[1.0]), "form"),
        (training(latency=[SHARED]), "list in the place of a number"),
        (training(epochs=SHARED), "a value of type list epochs"),
        (training(eval_names=[SHARED]), "a name of evaluation data that is no text"),
        (training(eval_names=SHARED * 99), "eval_names are no short list"),
        (lambda e: e["200"].update(arch_str=SHARED), "an architecture that is no text"),
        (lambda e: e.update({2.5: e["200"]}), "a schedule that is no number"),
        (
            lambda e: e["200"]["all_results"].update({(b"x", 1): 0}),
            "without name of its data and seed",
        ),
    ],
)
def test_files_of_another_form_are_named(tmp_path, results, change, message):
    (tmp_path / "simple").mkdir()
    path = tmp_path / "simple" / "000000.pickle.pbz2"
    path.write_bytes(broken(results, change))
    with pytest.raises(DataError, match=message) as caught:
        nasbench.convert(tmp_path / "simple", tmp_path / "out.safetensors")
    assert "000000.pickle.pbz2" in str(caught.value)
    assert not (tmp_path / "out.safetensors").exists()


def test_damaged_files_are_named(tmp_path, results):
    content = official_files.nats_files(results)["000000.pickle.pbz2"]
    for damaged, message in [
        (content[:-10], "truncated"),
        (b"", "empty"),
        (b"BZh9 no", "bzip2"),
        (bz2.compress(bytes(2**27)), "more than"),
        (bz2.compress(b"\x80\x04N"), "truncated"),
        (bz2.compress(b"\x80\x04N."), "form"),
    ]:
        with pytest.raises(DataError, match=f"file.*{message}"):
            nats.read_file(damaged, name="file")


def test_torch_containers_of_other_kinds_are_refused(tmp_path, results):
    content = official_files.pth_content({0: results[0]})
    for name, write_it, message in [
        ("a", lambda p: p.write_bytes(b"hello"), "not a torch file"),
        ("b", lambda p: p.write_bytes(pickle.dumps(5, 2)), "truncated"),
        ("c", lambda p: p.write_bytes(pickle.dumps(5, 2) * 3), "not a torch file"),
        (
            "d",
            lambda p: official_files.write_zip_pth(p, content, "x.pkl"),
            "no data.pkl",
        ),
        (
            "e",
            lambda p: official_files.write_zip_pth(p, content, "../a/data.pkl"),
            "leads out",
        ),
        (
            "f",
            lambda p: official_files.write_zip_pth(p, content, compression=8),
            "compressed",
        ),
        (
            "g",
            lambda p: official_files.write_legacy_pth(p, {"arch2infos": {}}),
            "no architecture",
        ),
    ]:
        path = tmp_path / f"{name}.pth"
        write_it(path)
        with pytest.raises(DataError, match=message):
            nasbench.convert(path, tmp_path / "out.safetensors")
    legacy = tmp_path / "whole.pth"
    official_files.write_legacy_pth(legacy, content)
    (tmp_path / "cut.pth").write_bytes(legacy.read_bytes()[:-2000])
    with pytest.raises(DataError, match="cut.pth: the file is truncated"):
        nasbench.convert(tmp_path / "cut.pth", tmp_path / "out.safetensors")
    official = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    official.write_bytes(legacy.read_bytes())
    with pytest.raises(DataError, match="its md5 is .* which should end with 096897"):
        nasbench.convert(official, tmp_path / "out.safetensors")


def test_the_memory_of_a_torch_file_does_not_grow(tmp_path, monkeypatch):
    """Three times the architectures take (almost) no more memory."""
    monkeypatch.setattr(pickle_stream, "_CHUNK", 1 << 14)
    peaks = []
    for count in (5, 15):
        many = official_files.nasbench201_results(range(count))
        official_files.write_legacy_pth(
            tmp_path / "a.pth", official_files.pth_content(many)
        )
        del many
        tracemalloc.start()
        nasbench.convert(tmp_path / "a.pth", tmp_path / "out.safetensors")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    size = (tmp_path / "a.pth").stat().st_size
    assert peaks[1] - peaks[0] < size / 10


def test_files_that_torch_itself_wrote(tmp_path, results):
    """Both containers, with weights, which are dropped."""
    torch = pytest.importorskip("torch")
    content = official_files.pth_content({0: results[0], 11: results[11]})
    training = content["arch2infos"][0]["full"]["all_results"]["cifar10", 777]
    net = torch.nn.Linear(3, 4).state_dict()
    content["arch2infos"][0]["full"]["all_results"]["cifar10", 777] = {
        **training,
        "net_state_dict": net,
    }
    tables = []
    for new in (False, True):
        path = tmp_path / f"{new}.pth"
        torch.save(content, path, _use_new_zipfile_serialization=new)
        nasbench.convert(path, tmp_path / f"{new}.safetensors")
        tables.append(arrays.memory_map(tmp_path / f"{new}.safetensors"))
    for key, value in tables[0].items():
        np.testing.assert_array_equal(value, tables[1][key])
    assert len(tables[0]["archs"]) == 2


def test_the_file_of_one_pickle_is_explained(tmp_path):
    path = tmp_path / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="12 GB in memory; download the -simple"):
        nasbench.convert(path, tmp_path / "out.safetensors")
    for name in ("a.txt", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        (tmp_path / "a.txt").touch()
        with pytest.raises(DataError, match="not a file of a known form"):
            nasbench.convert(tmp_path / name, tmp_path / "out.safetensors")


def test_a_pipe_among_the_files_is_refused(tmp_path):
    (tmp_path / "simple").mkdir()
    os.mkfifo(tmp_path / "simple" / "000000.pickle.pbz2")
    with pytest.raises(DataError, match="000000.pickle.pbz2: not a plain file"):
        nasbench.convert(tmp_path / "simple", tmp_path / "out.safetensors")
    os.mkfifo(tmp_path / "x.tar")
    with pytest.raises(DataError, match="x.tar: not a plain file"):
        nasbench.convert(tmp_path / "x.tar", tmp_path / "out.safetensors")


@pytest.mark.parametrize("name", ["x.tar", "x.pth", "x.tfrecord", "x.zip"])
def test_what_stands_for_a_file_is_named(tmp_path, name):
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid 1\n")
    with pytest.raises(DataError, match=f"{name}: a Git LFS pointer.*git lfs pull"):
        nasbench.convert(tmp_path / name, tmp_path / "out.safetensors")
    (tmp_path / name).write_text("<!doctype html>\n<title>Sign in</title>")
    with pytest.raises(DataError, match=f"{name}: an HTML page"):
        nasbench.convert(tmp_path / name, tmp_path / "out.safetensors")
