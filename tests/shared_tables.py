"""The tables and images of the shared data in the forms a user would have.

python tests/shared_tables.py --output=FOLDER

writes `nasbench101.safetensors`, `nasbench201.safetensors`, `nasbench_nlp.safetensors`
and `cifar-10-batches-py`. What the CSV forms lack is noted in the tables: NAS-Bench-201
has no 200-epoch test accuracy on CIFAR-100 and ImageNet16-120 and no 12-epoch seconds,
NAS-Bench-101 has 20,001 cells, one run each, without test accuracy.
"""

import argparse
import csv
import gzip
import pathlib
import shutil

import numpy as np
from shared import SHARED

from nasjax import nasbench
from nasjax.nasbench import table_file
from nasjax.nasbench.table_file import Part
from nasjax.spaces import nasbench101_notation, nasbench201

NB201_CSV = SHARED / "data/nasbench201/nasbench201_15625.csv.gz"
NB101_CSV = SHARED / "data/nasbench101/nasbench101_20k.csv.gz"
NLP_ZIP = SHARED / "data/nasbench_nlp/train_logs_wikitext-2/logs.zip"
CIFAR10 = SHARED / "data/cifar-10-batches-py"
DATA_SETS = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "ImageNet16-120": "imagenet16_120",
}


def read_columns(path):
    """Columns of a gzipped CSV file as lists of text."""
    with gzip.open(path, "rt", newline="") as file:
        header, *rows = csv.reader(file)
    return dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))


def numbers(column, scale=1.0):
    values = np.array([float(text) if text else np.nan for text in column])
    return (values * scale).astype(np.float32)


def runs(columns, names, scale=1.0):
    """float32 `[N, S, 1]`: one column for each seed, last epoch only."""
    return np.stack([numbers(columns[name], scale) for name in names], 1)[:, :, None]


def nasbench201_table():
    """Tree and description of the table of all 15,625 cells."""
    columns = read_columns(NB201_CSV)
    archs = [nasbench201.parse_arch(text) for text in columns["arch_str"]]
    tree = {"archs": np.array(archs, np.int8)}
    absent = "the table at hand has no 200-epoch test accuracy of this data set"
    scaled = "12/200 of the seconds of 200 epochs; those of 12 are not at hand"
    parts = []
    for data_set, prefix in DATA_SETS.items():
        facts = {
            "parameters": f"{data_set}/parameters",
            "latency": f"{data_set}/latency",
        }
        node = {
            "parameters": numbers(columns[f"params_M_{prefix}"], 1e6),
            "latency": numbers(columns[f"{prefix}_latency_s"]),
        }
        names = [f"{prefix}_val_acc_200ep_s{s}" for s in range(3)]
        full = {"valid_accuracy": runs(columns, names, 0.01)}
        if data_set == "cifar10":
            mean = [f"{prefix}_test_acc_200ep_mean"]
            full["test_accuracy"] = runs(columns, mean, 0.01)
            train = [f"{prefix}_train_acc_200ep"]
            full["train_accuracy"] = runs(columns, train, 0.01)
        few = {
            f"{split}_accuracy": runs(columns, [f"{prefix}_{short}_acc_12ep"], 0.01)
            for split, short in (("valid", "val"), ("test", "test"))
        }
        times = [f"{prefix}_train_time_s_200ep"]
        full["seconds"] = runs(columns, times * 3)  # one number for all seeds
        few["seconds"] = runs(columns, times, 12 / 200)
        for schedule, arrays, seeds in ((200, full, (0, 1, 2)), (12, few, (0,))):
            node[f"{schedule}"] = arrays
            notes = {"test_accuracy": absent}
            if data_set == "cifar10":
                notes = {"test_accuracy": "published as the mean over seeds"}
            parts.append(
                Part(
                    data_set=data_set,
                    epochs=(schedule,),
                    metric="accuracy",
                    seeds=seeds,
                    curves={
                        metric: f"{data_set}/{schedule}/{metric}"
                        for metric in arrays
                        if metric != "seconds"
                    },
                    seconds=f"{data_set}/{schedule}/seconds",
                    facts=facts,
                    notes=notes if schedule == 200 else {"seconds": scaled},
                )
            )
        tree[data_set] = node
    return tree, table_file.describe("nasbench201", {"file": NB201_CSV.name}, parts)


def nasbench101_table():
    """Tree and description of the table of 20,001 cells, one run each."""
    columns = read_columns(NB101_CSV)
    ops_of = {"0": 1, "1": 0, "2": 2}
    archs = []
    rows = zip(*(columns[k] for k in ("adjacency_bits", "ops")), strict=True)
    for bits, ops in rows:
        n = len(ops) + 2
        matrix = np.zeros((n, n), int)
        matrix[np.triu_indices(n, 1)] = [int(bit) for bit in bits]
        archs.append(nasbench101_notation.encode(matrix, [ops_of[op] for op in ops]))
    epochs = (4, 12, 36, 108)
    values = [runs(columns, [f"val_acc_{epoch}"]) for epoch in epochs]
    tree = {
        "archs": np.array(archs, np.int8),
        "valid_accuracy": np.concatenate(values, axis=2),
        "seconds": runs(columns, ["train_time_s_108"]),
        "parameters": numbers(columns["trainable_parameters"]),
    }
    part = Part(
        data_set="cifar10",
        epochs=epochs,
        metric="accuracy",
        seeds=(0,),
        curves={"valid_accuracy": "valid_accuracy"},
        seconds="seconds",
        facts={"parameters": "parameters"},
        notes={
            "test_accuracy": "the 20,001 cells at hand have validation accuracy only",
            "seconds": "of 108 epochs; fewer take their share",
        },
    )
    return tree, table_file.describe("nasbench101", {"file": NB101_CSV.name}, [part])


def write_nasbench201(path):
    """Writes the table file of `nasbench201_table` and returns its path."""
    table_file.save(path, *nasbench201_table())
    return path


def write_nasbench101(path):
    """Writes the table file of `nasbench101_table` and returns its path."""
    table_file.save(path, *nasbench101_table())
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", required=True, type=pathlib.Path)
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    print(write_nasbench201(folder / "nasbench201.safetensors"))
    print(write_nasbench101(folder / "nasbench101.safetensors"))
    nasbench.convert(NLP_ZIP, folder / "nasbench_nlp.safetensors")
    print(folder / "nasbench_nlp.safetensors")
    images = folder / CIFAR10.name
    shutil.copytree(CIFAR10, images, copy_function=shutil.copyfile, dirs_exist_ok=True)
    print(images)


if __name__ == "__main__":
    main()
