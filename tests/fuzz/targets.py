"""Every reader with small files of the form that it reads.

A target is `(seeds, read)`: whole files as bytes, and a function of `(content, folder)`
that reads a mutant and raises what the reader raises. Where a checksum would refuse all
damage at once, `repair` makes it right again, so that what lies behind is tested.
"""

import base64
import bz2
import functools
import io
import json
import pathlib
import pickle
import struct
import tarfile
import tempfile
import types
import zlib

import joblib
import lightgbm
import numpy as np
import official_files
import official_images
import official_surrogates
from reference import supernet_small

from nasjax import nasbench
from nasjax.core import arrays, read_guard, result, safe_pickle
from nasjax.data import batch_content, batch_files, imagenet, split_files, text
from nasjax.jobs.search import chunks
from nasjax.nasbench import readers, sampled_digits, table_file, trainings
from nasjax.nasbench.readers import (
    crc32c,
    nasbench101,
    nasbench301,
    nasbench_nlp,
    nasbench_x11,
    nats,
    tfrecord,
    xgboost_snapshot,
)
from nasjax.nasbench.readers import official_surrogates as importing
from nasjax.nasbench.surrogate import model, storage, svd
from nasjax.nasbench.surrogate.noise import epoch_std
from nasjax.search.history import History
from nasjax.spaces import nasbench111, nasbench201
from nasjax.supernet import saved_model as supernet_model
from nasjax.supernet import slim

TARGETS = {}


def target(make):
    """Registers `make() -> (seeds, read)`; the seeds are made when first used."""
    TARGETS[make.__name__] = functools.lru_cache(maxsize=None)(make)
    return make


def written(name, read):
    """A reader of paths as a reader of bytes."""

    def read_content(content, folder):
        path = pathlib.Path(folder) / name
        path.write_bytes(content)
        return read(path)

    return read_content


def converted(name):
    return written(name, lambda path: readers.convert(path, path.with_suffix(".st")))


# --- pickles --------------------------------------------------------------------------


@target
def safe_pickles():
    content = {
        "array": np.arange(6.0).reshape(2, 3),
        "text": np.array(["ab", "c"]),
        "scalar": np.float32(2),
        ("a", (1, 2)): [1.5, None, True, b"x", {1, 2}, frozenset("ab"), 2**70],
    }
    seeds = [pickle.dumps(content, protocol) for protocol in range(6)]
    return seeds, lambda content, _: safe_pickle.load(content, allow=safe_pickle.NUMPY)


def batch_file(kind, name, **options):
    """Files of two images, and their reader."""
    rng = np.random.default_rng(0)
    pixels = official_images.planes(rng, 2, kind.side)
    labels = {one.key: [one.first, one.last] for one in kind.labels}
    if name.endswith(".bin"):
        seeds = [official_images.records(pixels, *labels.values())]
    else:
        seeds = [
            official_images.pickled(pixels, labels, protocol=protocol)
            for protocol in (0, 2, 4)
        ]
    return seeds, written(name, lambda path: batch_content.read(kind, path, **options))


@target
def cifar10_python():
    seeds, read = batch_file(batch_files.CIFAR10, "data_batch_1")
    return [seeds[0][:20_000], *seeds[1:]], read


@target
def cifar10_binary():
    return batch_file(batch_files.CIFAR10, "data_batch_1.bin")


@target
def cifar100_python():
    return batch_file(batch_files.CIFAR100, "train", labels="fine_labels")


@target
def cifar100_binary():
    return batch_file(batch_files.CIFAR100, "train.bin", labels="coarse_labels")


@target
def imagenet16():
    return batch_file(batch_files.IMAGENET16, "val_data", max_label=120)


@target
def split_lists():
    seeds = [official_images.split_file(range(0, 40, 2), range(1, 40, 2)).encode()]

    def read(path):
        split_files.read(path, 40, keys=split_files.TEST_KEYS)

    return seeds, written("split.txt", read)


def small_results():
    """Two architectures with one training of 12 epochs each."""
    results = official_files.nasbench201_results([0, 7])
    for entry in results.values():
        entry.pop("200")
        runs = entry["12"]["all_results"]
        # Keys of their own: official files share no tuples between architectures.
        wanted = [("cifar10-valid", 777), ("cifar100", 111)]
        kept = {key: run for key, run in runs.items() if key in wanted}
        entry["12"]["all_results"] = kept
    return results


@target
def nats_files():
    seeds = [
        bz2.decompress(c) for c in official_files.nats_files(small_results()).values()
    ]
    return seeds, lambda content, _: nats.read_file(
        bz2.compress(content, 1), name="file"
    )


@target
def nats_bzip2():
    seeds = list(official_files.nats_files(small_results()).values())
    return seeds, lambda content, _: nats.read_file(content, name="file")


@target
def nats_tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in official_files.nats_files(small_results()).items():
            member = tarfile.TarInfo(f"NATS-tss/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return [buffer.getvalue()], converted("NATS-tss.tar")


def pth_seeds(write):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.pth"
        write(path, official_files.pth_content(pth_results()))
        return [path.read_bytes()]


def pth_results():
    results = small_results()
    for entry in results.values():
        whole = official_files.nasbench201_results([0])[0]["200"]
        key = next(key for key in whole["all_results"] if key[1] == 777)
        run = whole["all_results"][key]
        entry["200"] = {**entry["12"], "all_results": {key: run}}
    return results


@target
def nasbench201_pth():
    return pth_seeds(official_files.write_legacy_pth), converted("x.pth")


@target
def nasbench201_pth_zip():
    return pth_seeds(official_files.write_zip_pth), converted("x.pth")


# --- NAS-Bench-101 and NLP ------------------------------------------------------------


def records101():
    rng = np.random.default_rng(0)
    archs = [np.array([1] + [0] * 20 + [-1] * 5 + [2])]
    chain = np.zeros(27, int)
    chain[[0, 6]], chain[21:26], chain[26] = 1, [1, -1, -1, -1, -1], 3
    archs.append(chain)
    for arch in archs:
        for _ in range(2):
            rows = [[0, 0, *rng.random(3)], [54, 9.5, *rng.random(3)]]
            rows.append([108, 20.5, *rng.random(3)])
            yield official_files.nasbench101_record(arch, 108, rows, 8_555_530)


@target
def nasbench101_tfrecord():
    return [official_files.tfrecord(list(records101()))], converted("x.tfrecord")


@target
def nasbench101_records():
    """Records behind right checksums."""

    def read(content, folder):
        cells = nasbench101._Cells()
        for number, record in enumerate(content.split(b"\n")):
            nasbench101._add(cells, record, f"file, record {number}")

    return [b"\n".join(records101())], read


@target
def tfrecord_frames():
    def read(content, folder):
        path = pathlib.Path(folder) / "x.tfrecord"
        path.write_bytes(_sealed_frames(content))
        for _ in tfrecord.read(path):
            pass

    return [official_files.tfrecord([b"x" * n for n in (0, 1, 50, 50, 700)])], read


def _sealed_frames(content):
    """The same bytes with right checksums, as far as there are whole frames."""
    content, place = bytearray(content), 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        end = place + 12 + length
        if end + 4 > len(content):
            break
        for start, stop in ((place, place + 8), (place + 12, end)):
            rows = np.frombuffer(bytes(content[start:stop]), np.uint8)[None]
            crc = int(crc32c.masked(crc32c.checksums(rows))[0])
            content[stop : stop + 4] = struct.pack("<I", crc)
        place = end + 4
    return bytes(content)


@target
def nasbench_nlp_logs():
    seeds = [official_files.nlp_log(epochs=n, seed=n).encode() for n in (2, 5)]
    seeds.append(official_files.nlp_log(epochs=5, recorded=3).encode())
    return seeds, lambda content, _: nasbench_nlp.parse_log(content, name="file")


@target
def nasbench_nlp_zip():
    buffer = io.BytesIO()
    files = {
        f"logs/{n}.json": official_files.nlp_log(epochs=3, seed=n) for n in range(3)
    }
    official_files.write_zip(buffer, files)
    return [buffer.getvalue()], written("logs.zip", nasbench_nlp.read_logs)


# --- surrogates -----------------------------------------------------------------------


def lightgbm_booster():
    features, curves = official_surrogates.data()
    train = lightgbm.Dataset(features, curves[:, -1], free_raw_data=False)
    options = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "num_leaves": 4}
    return lightgbm.train(options, train, 2)


def xgboost_pickles():
    stored = pathlib.Path(__file__).parents[1] / "nasbench" / "xgboost_pickles.json"
    texts = json.loads(stored.read_text())["pickles"]
    return [zlib.decompress(base64.b64decode(text)) for text in texts.values()]


def _imported(member):
    return importing._chain(member)


@target
def nasbench301_members():
    seeds = [pickle.dumps(lightgbm_booster()), *xgboost_pickles()]

    def read(content, _):
        with read_guard.guard("file"):
            _imported(nasbench301.read_member(content, "file"))

    return seeds, read


@target
def xgboost_handles():
    seeds = []
    for content in xgboost_pickles():
        value = safe_pickle.load(content, allow=nasbench301.boosters.ALLOW)
        seeds.append(bytes(value.state["handle"]))
    return seeds, lambda content, _: xgboost_snapshot.model_json(content, name="file")


@functools.lru_cache
def x11_bytes():
    objects = official_surrogates.svd_surrogate()
    return [
        official_surrogates.joblib_bytes(objects),
        official_surrogates.joblib_bytes(objects, compress=("zlib", 3)),
        official_surrogates.joblib_bytes(objects, compress=("gzip", 3)),
    ]


@target
def nasbench_x11_members():
    def read(content, _):
        with read_guard.guard("file"):
            _imported(nasbench_x11.read_member(content, "file"))

    return x11_bytes()[:1], read


@target
def nasbench_x11_compressed():
    return x11_bytes()[1:], lambda c, _: nasbench_x11.read_member(c, "file")


@target
def joblib_arrays():
    buffer = io.BytesIO()
    joblib.dump([np.arange(5.0), {"a": np.ones((2, 3), "f4")}], buffer)

    def read(content, _):
        nasbench_x11.joblib_stream.load(
            io.BytesIO(content), allow=safe_pickle.NUMPY, name="file", max_bytes=2**20
        )

    return [buffer.getvalue()], read


@target
def checkpoint_zips():
    buffer = io.BytesIO()
    files = official_surrogates.ensemble_files(x11_bytes()[:1] * 2, "svd_lgb", "nb111/")
    official_files.write_zip(buffer, files)

    def read(path):
        if nasbench_x11.is_x11(path):
            return nasbench_x11.read(path)
        return nasbench301.read(path)

    return [buffer.getvalue()], written("models.zip", read)


# --- files of our own -----------------------------------------------------------------


def saved(save):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.safetensors"
        save(path)
        return path.read_bytes()


def resealed(content, folder):
    """The path of a file whose checksum is right whatever else is wrong."""
    path = pathlib.Path(folder) / "x.safetensors"
    path.write_bytes(content)
    try:
        arrays.seal(path)
    except ValueError:
        pass  # no place for one
    return path


def table_bytes(path):
    archs = nasbench201.enumerate_cells()[:6].astype(np.int8)
    part = table_file.Part(
        data_set="cifar10",
        epochs=(1, 2),
        metric="accuracy",
        seeds=(1, 2),
        curves={"valid_accuracy": "v"},
        seconds="s",
        facts={"parameters": "p"},
    )
    tree = {
        "archs": archs,
        "v": np.ones((6, 2, 2), np.float32),
        "s": np.ones((6, 2, 1), np.float32),
        "p": np.arange(6, dtype=np.int32),
    }
    table_file.save(
        path, tree, table_file.describe("nasbench201", {"file": "x"}, [part])
    )


def surrogate_bytes(path):
    chain = importing._chain(
        nasbench301.read_member(pickle.dumps(lightgbm_booster()), "x")
    )
    curves = np.random.default_rng(0).random((9, 3))
    decoder = svd.fit(curves, rank=1)
    member = model.Member(chain, decoder)
    curve_model = model.CurveModel(
        (member,),
        np.ones(1),
        epoch_std.EpochNoise(np.ones(3)),
        np.zeros(()),
        np.ones(()),
    )
    surrogate = model.Surrogate(
        models={"valid_accuracy": curve_model},
        seconds=None,
        space="nasbench201",
        features="x",
        data_set="x",
        epochs=(1, 2, 3),
        metric="accuracy",
        techniques=("lgb", "svd"),
    )
    storage.save(path, surrogate)


def tree_bytes(path):
    tree = {"a": np.arange(5), "b": {"c": np.ones((2, 3), np.float32)}}
    arrays.save(path, tree, metadata={"form": "x", "seeds": [1, 2]})


def foreign_bytes(path):
    from safetensors.numpy import save_file

    save_file({"x": np.arange(4), "y": np.ones((2, 2))}, path, metadata={"a": "b"})


def load_arrays(path):
    arrays.load_metadata(path)
    arrays.load(path)


@target
def arrays_foreign():
    return [saved(foreign_bytes)], written("x.safetensors", load_arrays)


@target
def arrays_resealed():
    return [saved(tree_bytes)], lambda c, folder: load_arrays(resealed(c, folder))


@target
def tables():
    return [saved(table_bytes)], lambda c, folder: nasbench.load(resealed(c, folder))


def trainings_bytes(path):
    """Three cells, the first with two seeds."""
    rows = np.array([0, 1, 2, 0], np.int32)
    count = np.arange(len(rows) * trainings.NUM_EPOCHS).reshape(len(rows), -1)
    made = trainings.Trainings(
        groups=("uniform", "small"),
        group=np.array([0, 0, 1]),
        place=np.array([0, 1, 0]),
        archs=nasbench111.small_cells()[:3],
        row=rows,
        seed=np.array([0, 0, 0, 1]),
        curves={
            name: trainings.compact(name, count + 0.0) for name in trainings.CURVES
        },
        seconds=np.ones(len(rows)),
    )
    sampled_digits.DIGITS111.save(path, made, {"parameters": np.arange(3)})


@target
def sampled_trainings():
    return [saved(trainings_bytes)], lambda c, folder: nasbench.load(
        resealed(c, folder)
    )


@target
def surrogates():
    return [saved(surrogate_bytes)], lambda c, folder: nasbench.load(
        resealed(c, folder)
    )


def refused_if_changed(seed, load):
    """Reads files as they are: what differs from the seed must be refused."""
    read = written("x.safetensors", load)

    def read_changed(content, folder):
        read(content, folder)
        if content != seed:
            raise AssertionError("a damaged file was read")

    return [seed], read_changed


@target
def arrays_sealed():
    return refused_if_changed(saved(tree_bytes), load_arrays)


@target
def tables_sealed():
    return refused_if_changed(saved(table_bytes), nasbench.load)


@target
def results():
    content = {"tables": {"3.1": [{"value": 1.5, "settings": {}}]}, "seconds": 2}
    return [json.dumps(content).encode()], written("result.json", result.read)


def search_model():
    """A masked network of one cell and one edge for each operation's kind."""
    rng = np.random.default_rng(0)
    net = supernet_small.network(
        num_cells=2, num_steps=1, channels=2, reductions=(1,), affine=True
    )
    arch = supernet_small.random_arch(rng, net, np.float32)
    return supernet_model.SavedModel(
        net=net,
        params=supernet_small.random_params(rng, net, np.float32),
        statistics=supernet_small.random_statistics(rng, net, np.float32),
        mixing=arch["alpha"],
        masks=supernet_small.random_masks(rng, net, dtype=np.float32),
        facts={"test_accuracy": 0.5, "test_loss": 1.0},
    )


@target
def supernet_models():
    seed = saved(lambda path: supernet_model.save(path, search_model()))
    return [seed], lambda c, folder: supernet_model.load(resealed(c, folder))


@target
def slim_networks():
    made = search_model()
    small = slim.slim(
        made.params, made.statistics, made.mixing, made.masks, net=made.net
    )
    seed = saved(lambda path: slim.save(path, small))
    return [seed], lambda c, folder: slim.load(resealed(c, folder))


def described(make, load):
    """Whole arrays beside a damaged description."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "x.safetensors"
        path.write_bytes(make())
        tree, metadata = arrays.load(path), arrays.load_metadata(path)

    def read(content, folder):
        metadata = read_guard.parse_json(content, name="x.safetensors")
        path = pathlib.Path(folder) / "x.safetensors"
        arrays.save(path, tree, metadata=metadata if isinstance(metadata, dict) else {})
        load(path)

    return [json.dumps(metadata).encode()], read


@target
def supernet_descriptions():
    return described(lambda: supernet_models()[0][0], supernet_model.load)


@target
def slim_descriptions():
    return described(lambda: slim_networks()[0][0], slim.load)


@target
def search_chunks():
    """What an earlier process of a search has finished; damaged: as if not there."""
    rows = {name: np.ones((2, 3), np.float32) for name in chunks._ROWS}
    history = History(archs=np.ones((2, 3, 6), np.int32), **rows)
    seed = saved(lambda p: chunks._save(p, chunks.Trials(history, 1.5)))
    problem = types.SimpleNamespace(space=nasbench201.make())

    def read(content, folder):
        found = chunks._load(resealed(content, folder), problem, 2)
        assert found is None or found.history.archs.shape[::2] == (2, 6)

    return [seed], read


# --- data sets ------------------------------------------------------------------------


@target
def images():
    from PIL import Image

    seeds = []
    picture = Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3))
    for form in ("JPEG", "PNG"):
        buffer = io.BytesIO()
        picture.save(buffer, form)
        seeds.append(buffer.getvalue())
    picture.convert("P").save(buffer := io.BytesIO(), "PNG")
    seeds.append(buffer.getvalue())
    return seeds, written("x.JPEG", lambda path: imagenet.decode(str(path)))


@target
def texts():
    def read(content, folder):
        for part in text.PARTS:
            (pathlib.Path(folder) / f"{part}.txt").write_bytes(content)
        text.read(folder)

    return ["der Weg ist das Ziel\n ünd mehr \n".encode() * 3], read


@target
def gzip_files():
    import gzip

    seeds = [gzip.compress(b"a,b\n1,2\n" * 50), gzip.compress(b"x") * 2]

    def read(path):
        with read_guard.open_gzip(path, max_bytes=2**20) as file:
            return file.read()

    return seeds, written("x.csv.gz", read)
