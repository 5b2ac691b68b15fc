"""A table file of made-up NAS-Bench-201 trainings with two schedules."""

import numpy as np
import search_table

from nasjax.nasbench import table_file
from nasjax.nasbench.table_file import Part

SEEDS = (777, 888, 999)
ABSENT = "nobody wrote it down"


def write(path, *, rows=None):
    """`cifar10` after 12 and 200 epochs; `cifar100` has no test score after 200.

    `rows` keeps only these cells.
    """
    rng = np.random.default_rng(0)
    cells, mean = search_table.scores(rng)
    rows = slice(None) if rows is None else rows
    cells, mean = cells[rows], mean[rows]
    shape = len(cells), len(SEEDS), 1
    tree = {"archs": cells.astype(np.int8)}
    parts = []
    for data_set in ("cifar10", "cifar100"):
        for schedule, gain in ((12, 0.0), (200, 0.1)):
            name = f"{data_set}/{schedule}"
            valid = mean[:, None, None] + gain + 0.002 * rng.normal(size=shape)
            node = {
                "valid_accuracy": valid.astype(np.float32),
                "test_accuracy": (valid - 0.01).astype(np.float32),
                "seconds": np.full(shape, 10.0 * schedule, np.float32)
                + 10 * cells.sum(axis=1, dtype=np.float32)[:, None, None],
            }
            notes = {}
            if (data_set, schedule) == ("cifar100", 200):
                del node["test_accuracy"]
                notes = {"test_accuracy": ABSENT}
            tree.setdefault(data_set, {})[str(schedule)] = node
            parts.append(
                Part(
                    data_set=data_set,
                    epochs=(schedule,),
                    metric="accuracy",
                    seeds=SEEDS,
                    curves={k: f"{name}/{k}" for k in node if k != "seconds"},
                    seconds=f"{name}/seconds",
                    notes=notes,
                )
            )
    table_file.save(path, tree, table_file.describe("nasbench201", {}, parts))
    return path
