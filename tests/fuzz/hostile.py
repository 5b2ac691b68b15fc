"""Files that are cheap to write and dear to read, each read in 1 GB.

    python tests/fuzz/hostile.py [NAME ...]

A function here makes its file, yields, and reads it. From then on the process may take
1 GB of address space more than it had; a line of JSON says how each file was refused.
"""

import bz2
import gzip
import json
import pathlib
import pickle
import resource
import struct
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib

import numpy as np

TESTS = pathlib.Path(__file__).parents[1]
MB = 1 << 20
LISTS = b"\x80\x04(" + b"]" * (16 * MB) + b"l."


def _zip(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


def _with_header(path, text):
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def lists_of_cifar10(path):
    from nasjax.data import batch_content, batch_files

    path.write_bytes(LISTS)
    yield
    batch_content.read(batch_files.CIFAR10, path)


def numbers_of_cifar10(path):
    from nasjax.data import batch_content, batch_files

    path.write_bytes(b"\x80\x04(" + b"M\x01\x02" * (20 * MB) + b"l.")
    yield
    batch_content.read(batch_files.CIFAR10, path)


def wide_text_of_cifar10(path):
    from nasjax.data import batch_content, batch_files

    text = "x" * (90 * MB) + "\U0001f600"
    path.write_bytes(pickle.dumps({"data": text, "labels": []}, 4))
    del text
    yield
    batch_content.read(batch_files.CIFAR10, path)


def labels_of_imagenet16(path):
    """A right array beside lists of lists of labels."""
    from nasjax.data import batch_content, batch_files

    pixels = pickle.dumps({"data": np.zeros((2, 768), np.uint8)}, 4)
    labels = b"\x8c\x06labels(" + b"]" * (12 * MB) + b"ls."
    path.write_bytes(pixels[:-1] + labels)
    yield
    batch_content.read(batch_files.IMAGENET16, path)


def bytes_of_cifar100(path):
    """As long as a file may be, and nothing but bytes that are no pixels."""
    from nasjax.data import batch_content, batch_files

    content = bytes(190 * MB)
    path.write_bytes(pickle.dumps({b"data": content, b"fine_labels": content[:9]}, 4))
    del content
    yield
    batch_content.read(batch_files.CIFAR100, path)


def records_of_cifar100(path):
    """A file of zeros that takes no place on disk."""
    from nasjax.data import batch_content, batch_files

    path = path.with_suffix(".bin")
    with path.open("wb") as file:
        file.truncate(3074 * 2**21)
    yield
    batch_content.read(batch_files.CIFAR100, path)


def lists_of_a_split(path):
    from nasjax.data import split_files

    path.write_bytes(b'{"xvalid": ' + b"[" * (4 * MB) + b"]" * (3 * MB) + b"}")
    yield
    split_files.read(path, 10, keys=split_files.TEST_KEYS)


def nats_of_lists(path):
    from nasjax.nasbench.readers import nats

    content = bz2.compress(LISTS[: 8 * MB], 1)
    yield
    nats.read_file(content, name="file")


def nats_of_zeros(path):
    from nasjax.nasbench.readers import nats

    content = bz2.compress(bytes(70 * MB), 1)
    yield
    nats.read_file(content, name="file")


def nats_of_streams(path):
    """A reader that copies what is left after each stream takes for ever."""
    from nasjax.nasbench.readers import nats

    content = bz2.compress(b"") * MB
    yield
    nats.read_file(content, name="file")


def joblib_of_lists(path):
    from nasjax.nasbench.readers import nasbench_x11

    content = zlib.compress(LISTS * 2, 1)
    yield
    nasbench_x11.read_member(content, "file")


def joblib_of_one_text(path):
    from nasjax.nasbench.readers import nasbench_x11

    packer = zlib.compressobj(1)
    parts = [packer.compress(b"\x80\x04B" + struct.pack("<I", 1500 * MB))]
    parts += [packer.compress(bytes(MB)) for _ in range(210)]
    content = b"".join([*parts, packer.flush()])
    yield
    nasbench_x11.read_member(content, "file")


def pth_of_lists(path):
    from nasjax.nasbench.readers import nasbench201_pth

    path = path.with_suffix(".pth")
    path.write_bytes(b"\x80\x02" + LISTS[2:])
    yield
    nasbench201_pth.convert(path, path.with_suffix(".st"), {})


def zip_of_large_logs(path):
    from nasjax.nasbench.readers import nasbench_nlp

    _zip(path, [(f"{i}.json", bytes(2 * MB)) for i in range(3)])
    yield
    nasbench_nlp.read_logs(path)


def zip_with_a_large_directory(path):
    """A megabyte of names, all of which the end of the archive says it has."""
    from nasjax.nasbench.readers import nasbench_nlp

    _zip(path, [("x" * 60_000 + str(i), b"") for i in range(300)], zipfile.ZIP_STORED)
    yield
    nasbench_nlp.read_logs(path)


def zip_of_configs(path):
    from nasjax.nasbench.readers import checkpoints, nasbench_x11

    content = b"[" + b"[]," * (300_000) + b"0]"
    _zip(
        path.with_suffix(".zip"),
        [(f"{i}/model_config.json", content) for i in range(50)],
    )
    yield
    read = nasbench_x11.read_member
    checkpoints.read(path.with_suffix(".zip"), read, ("svd_lgb",))


def tar_with_a_large_header(path):
    from nasjax.nasbench.readers import archives

    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("a")
        member.pax_headers = {"comment": "x" * (40 * MB)}
        archive.addfile(member)
    yield
    list(archives.read_tar(path, r"\d+", max_bytes=MB))


def json_log(path):
    from nasjax.nasbench.readers import nasbench_nlp

    content = b"[" + b"{}," * (8 * MB) + b"0]"
    yield
    nasbench_nlp.parse_log(content, name="file")


def tfrecord_of_one_record(path):
    from nasjax.nasbench.readers import tfrecord

    path.write_bytes(struct.pack("<QI", 2**40, 0) + bytes(MB))
    yield
    list(tfrecord.read(path))


def safetensors_header(path):
    from nasjax.core import arrays

    _with_header(path, b'{"x": [' + b"[]," * (5 * MB) + b"0]}")
    yield
    arrays.load(path)


def safetensors_metadata(path):
    from nasjax.core import arrays

    text = json.dumps({"nasjax": "[" + "[]," * (5 * MB) + "0]"})
    _with_header(path, b'{"__metadata__": ' + text.encode() + b"}")
    yield
    arrays.load_metadata(path)


def results(path):
    from nasjax.core import result

    path.write_bytes(b"[" + b"[]," * (10 * MB) + b"0]")
    yield
    result.read(path)


def gzip_of_zeros(path):
    from nasjax.core import read_guard

    path.write_bytes(gzip.compress(bytes(220 * MB), 1))
    yield
    with read_guard.open_gzip(path) as file:
        file.read()


def image_of_144_megapixels(path):
    from PIL import Image

    from nasjax.data import imagenet

    Image.new("L", (12_000, 12_000)).save(path, "JPEG", quality=10)
    yield
    imagenet.decode(str(path))


def universal_json(path):
    from nasjax.nasbench.readers import xgboost_snapshot

    content = b"{U\x01a[" + b"[]" * (16 * MB) + b"]}"
    yield
    xgboost_snapshot.model_json(content, name="file")


FILES = {
    name: make
    for name, make in list(globals().items())
    if callable(make) and getattr(make, "__module__", "") == __name__ and name[0] != "_"
}


def main() -> None:
    sys.path.insert(0, str(TESTS))
    from fuzz import run

    for name in sys.argv[1:] or FILES:
        with tempfile.TemporaryDirectory() as folder:
            steps = FILES[name](pathlib.Path(folder) / "file")
            next(steps)
            run.limit_memory()
            began = time.process_time()
            verdict = run.judge(lambda *_, steps=steps: next(steps, None), b"", folder)
            seconds = time.process_time() - began
            _, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
            told = {"name": name, "verdict": verdict, "seconds": round(seconds, 2)}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
