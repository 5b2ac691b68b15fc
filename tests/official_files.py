"""Small files in the official forms of the benchmarks, with made-up numbers."""

import base64
import bz2
import collections
import io
import json
import pickle
import random
import struct
import tarfile
import zipfile

import numpy as np

from nasjax.spaces import nasbench101_notation, nasbench201

DATA_SETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")


# --- NAS-Bench-101 --------------------------------------------------------------


def crc32c(data):
    """Bit by bit, from the polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked_crc(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def tfrecord(records, crc=masked_crc):
    """The bytes of a TFRecord file."""
    parts = []
    for data in records:
        length = struct.pack("<Q", len(data))
        parts += [length, struct.pack("<I", crc(length))]
        parts += [data, struct.pack("<I", crc(data))]
    return b"".join(parts)


def varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def model_metrics(evaluations, parameters, total_time, checkpoint=b""):
    """The protocol buffer: rows of (epoch, seconds, train, valid, test)."""
    message = b""
    for row in evaluations:
        tags = (0x09, 0x11, 0x19, 0x21, 0x29)
        body = b"".join(
            bytes([tag]) + struct.pack("<d", value)
            for tag, value in zip(tags, row, strict=True)
        )
        if checkpoint:
            body += b"\x32" + varint(len(checkpoint)) + checkpoint
        message += b"\x0a" + varint(len(body)) + body
    return (
        message + b"\x10" + varint(parameters) + b"\x19" + struct.pack("<d", total_time)
    )


def nasbench101_record(arch, epochs, evaluations, parameters, checkpoint=b""):
    """One record for a gene vector."""
    matrix, ops = nasbench101_notation.decode(arch)
    names = [nasbench101_notation.OP_NAMES[op] for op in ops]
    metrics = model_metrics(evaluations, parameters, 1.5, checkpoint)
    fields = [
        nasbench101_notation.module_hash(arch),
        epochs,
        "".join(map(str, matrix.ravel().tolist())),
        ",".join(["input", *names, "output"]),
        base64.b64encode(metrics).decode(),
    ]
    return json.dumps(fields).encode()


# --- NAS-Bench-201 and NATS -----------------------------------------------------


def result(data_set, seed, epochs, rng):
    """One training as the official files hold it."""

    def curve(keys, low, high):
        return {key: rng.uniform(low, high) for key in keys}

    steps = range(epochs)
    last = [epochs - 1]
    names = {"cifar10-valid": ["x-valid", "ori-test"], "cifar10": ["ori-test"]}
    names = names.get(data_set, ["x-valid", "x-test", "ori-test"])
    every = {"cifar10-valid": {"x-valid"}}.get(data_set, {"ori-test"})
    keys = [
        f"{name}@{epoch}"
        for name in names
        for epoch in (steps if epochs == 12 or name in every else last)
    ]
    seconds = rng.uniform(5, 20)
    return {
        "name": data_set,
        "net_state_dict": None,
        "train_acc1es": curve(steps, 10, 100),
        "train_acc5es": None,
        "train_losses": curve(steps, 0, 4),
        "train_times": collections.OrderedDict((epoch, seconds) for epoch in steps),
        "arch_config": {"channel": 16, "num_cells": 5, "class_num": 10},
        "params": np.float64(rng.randrange(100_000, 900_000) / 1e6),
        "flop": rng.uniform(7, 200),
        "seed": seed,
        "epochs": epochs,
        "latency": [np.float64(0.01), 0.03],
        "eval_names": names,
        "eval_acc1es": curve(keys, 10, 100),
        "eval_times": curve(keys, 1, 2),
        "eval_losses": curve(keys, 0, 4),
    }


def architecture(index, epochs, seeds, rng):
    """The results of one architecture under one schedule."""
    arch = nasbench201.format_arch(nasbench201.enumerate_cells()[index])
    return {
        "arch_index": index,
        "arch_str": arch,
        "all_results": {
            (data_set, seed): result(data_set, seed, epochs, rng)
            for data_set in DATA_SETS
            for seed in seeds
        },
        "dataset_seed": {data_set: list(seeds) for data_set in DATA_SETS},
        "clear_net_done": True,
    }


def nasbench201_results(indices, seed=0, lacking=()):
    """`{index: {"12": ..., "200": ...}}`; indices in `lacking` have two seeds."""
    rng = random.Random(seed)
    return {
        index: collections.OrderedDict(
            {
                "12": architecture(index, 12, (777, 111), rng),
                "200": architecture(
                    index, 200, (777, 888) if index in lacking else (999, 777, 888), rng
                ),
            }
        )
        for index in indices
    }


def nats_files(results):
    """`{name: bytes}` of the -simple folder."""
    return {
        f"{index:06d}.pickle.pbz2": bz2.compress(pickle.dumps(entry, protocol=4))
        for index, entry in results.items()
    }


def write_tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def pth_content(results):
    """The object of the .pth file."""
    return {
        "meta_archs": [entry["12"]["arch_str"] for entry in results.values()],
        "arch2infos": {
            index: {"full": entry["200"], "less": entry["12"]}
            for index, entry in results.items()
        },
        "evaluated_indexes": set(results),
    }


def write_legacy_pth(path, content):
    """The form before torch 1.6: five pickles one after the other."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    with open(path, "wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, facts, content, []):
            pickle.dump(part, file, protocol=2)


def write_zip_pth(path, content, name="archive/data.pkl", **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(name, pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")


# --- NAS-Bench-NLP --------------------------------------------------------------


RECIPE = {
    "f": {"op": "linear", "input": ["x", "h_prev_0"]},
    "h_new_0": {"op": "activation_tanh", "input": ["f"]},
}


def nlp_log(recipe=RECIPE, epochs=50, recorded=None, seed=0, **changes):
    """The text of one log; a diverged one has `recorded` epochs and then a NaN."""
    rng = random.Random(seed)
    length = epochs if recorded is None else recorded
    curve = [rng.uniform(4, 7) for _ in range(length)]
    log = {
        "data": "data/wikitext-2",
        "epochs": epochs,
        "recepie": json.dumps(recipe),
        "num_params": 15_066_078,
        "wall_times": [140.5] * length,
        "train_losses": curve,
        "val_losses": [loss + 0.25 for loss in curve],
        "test_losses": [loss + 0.125 for loss in curve],
        "status": "OK",
    }
    if recorded is not None:
        log["val_losses"][-1] = float("nan")
    return json.dumps({**log, **changes})


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
