"""Numbers of Yan (2022), each with the conditions under which it holds.

A row of `result.json` has a thesis value only where every condition of the number is a
fact of the run: a missing fact is another condition. Accuracies and errors in percent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Facts = Mapping[str, Any]


class Number(NamedTuple):
    """A published number and its standard deviation, where there is one."""

    value: float
    std: float | None = None


class Group(NamedTuple):
    """Numbers that hold under the same conditions.

    Attributes:
      numbers: by row and column of the table.
      conditions: by name of a fact the values that it may have, always a tuple.
    """

    numbers: Mapping[tuple[str, str], Number]
    conditions: Mapping[str, tuple[Any, ...]]


LIKE_CIFAR10 = "queries of cifar10"
"""A budget of as many queries as the searches on CIFAR-10 have in 12,000 seconds."""


def find(table: str, row: str, column: str, facts: Facts) -> Number | None:
    """The number of a table, or None where it has none or a condition differs.

    Args:
      table: a key of `TABLES`.
      row: as `result.json` calls it.
      column: of the table.
      facts: of the run, by the names of the conditions.
    """
    for group in TABLES[table]:
        number = group.numbers.get((row, column))
        if number is not None and _holds(group.conditions, facts):
            return number
    return None


def value(table: str, row: str, column: str, facts: Facts) -> float | None:
    """As `find`, the number without its deviation."""
    number = find(table, row, column, facts)
    return None if number is None else number.value


def _holds(conditions: Mapping[str, tuple[Any, ...]], facts: Facts) -> bool:
    return all(
        name in facts and facts[name] in allowed for name, allowed in conditions.items()
    )


def _column(column: str, values: Mapping[str, float]) -> dict[Any, Number]:
    return {(row, column): Number(value) for row, value in values.items()}


# --- chapter 2 -----------------------------------------------------------------------

_HMNAS: dict[str, tuple[Any, ...]] = {
    # "HM-NAS (2nd order)" of table 2.2; all 50,000 images and all epochs.
    "data_set": ("cifar10",),
    "order": ("exact", "finite_differences"),
    "train_images": (50_000,),
    "test_images": (10_000,),
    "image_shape": ((32, 32, 3),),
    "num_cells": (3,),
    "channels": (36,),
    "stem_stride": (1,),
    "batch_size": (128,),
    "train_fraction": (0.8,),
    "epochs": ((100, 20, 200),),
    "cutout": (True,),
}
_TABLE_2_3 = (
    Group(
        _column("error", {"supernet": 4.2, "masked": 5.14, "finetuned": 2.41}), _HMNAS
    ),
    Group(_column("params_reduction", {"masked": 40.0, "finetuned": 40.0}), _HMNAS),
)

# --- chapter 3 -----------------------------------------------------------------------


def _pretraining(
    space: str, num_archs: int, epochs: int, values: Mapping[str, tuple[float, ...]]
) -> Group:
    columns = ("accuracy", "validity", "uniqueness")
    return Group(
        {
            (row, column): Number(value)
            for row, numbers in values.items()
            for column, value in zip(columns, numbers, strict=True)
        },
        {
            "space": (space,),
            "num_archs": (num_archs,),
            "held_out": (0.1,),
            "epochs": (epochs,),
            "batch_size": (32,),
            "learning_rate": (1e-3,),
            "num_points": (10_000,),
            "changed": ((),),
        },
    )


_TABLE_3_1 = (
    _pretraining(
        "nasbench101",
        423_624,
        8,
        {
            "gae": (98.75, 29.88, 99.25),
            "vgae": (97.45, 41.18, 99.34),
            "without_kl": (100.0, 30.31, 99.20),
            "arch2vec": (100.0, 44.97, 99.69),
        },
    ),
    _pretraining(
        "nasbench201",
        15_625,
        10,
        {
            "gae": (99.52, 79.28, 78.42),
            "vgae": (98.32, 79.30, 88.42),
            "without_kl": (100.0, 77.09, 96.57),
            "arch2vec": (100.0, 79.41, 98.72),
        },
    ),
    _pretraining(
        "darts_shared",
        600_000,
        10,
        {
            "gae": (97.80, 15.25, 99.65),
            "vgae": (96.80, 25.25, 99.27),
            "without_kl": (99.46, 16.01, 99.51),
            "arch2vec": (99.79, 33.36, 100.0),
        },
    ),
)

_FIGURE_3_2 = (
    # Footnote 1 of section 3.4.1: cells whose true accuracy is above .8.
    Group(
        {
            ("supervised", "rmse"): Number(0.038, 0.025),
            ("supervised", "pearson"): Number(0.53, 0.09),
            ("arch2vec", "rmse"): Number(0.018, 0.001),
            ("arch2vec", "pearson"): Number(0.67, 0.02),
        },
        {
            "space": ("nasbench101",),
            "num_archs": (423_624,),
            "metric": ("test",),
            "num_train": (250,),
            "num_seeds": (10,),
            "above": (0.8,),
            "rows": ("above .8",),
        },
    ),
)

_NASBENCH101: dict[str, tuple[Any, ...]] = {
    "space": ("nasbench101",),
    "metric": ("accuracy",),
    "listed": (False,),
    "reward_epoch": (108,),
    "report_epoch": (108,),
}


def _queries(*budgets: tuple[int, float]) -> dict[str, tuple[Any, ...]]:
    return {**_NASBENCH101, "budget": budgets}


_TABLE_3_2 = (
    # Quoted by the thesis, for 1,000 and for 500 queries.
    Group(
        _column(
            "test", {"Random Search": 93.54, "RL": 93.58, "BO": 93.72, "RE": 93.72}
        ),
        _queries((1000, 0.0)),
    ),
    Group(_column("test", {"BANANAS": 94.08}), _queries((500, 0.0))),
    # Its own: 400 queries, the end of the curves of 1,000,000 seconds of figure 3.6.
    Group(
        _column(
            "test",
            {
                "RL (supervised)": 93.74,
                "BO (supervised)": 93.79,
                "arch2vec-RL": 94.10,
                "arch2vec-BO": 94.05,
            },
        ),
        _queries((400, 0.0), (0, 1e6)),
    ),
)


def _nasbench201(
    data_set: str,
    schedule: int,
    budgets: tuple[Any, ...],
    values: Mapping[str, tuple[float, float, float, float]],
) -> Group:
    """Mean and deviation of validation and test accuracy."""
    numbers = {}
    for row, (valid, valid_std, test, test_std) in values.items():
        numbers[row, "valid"] = Number(valid, valid_std)
        numbers[row, "test"] = Number(test, test_std)
    return Group(
        numbers,
        {
            "space": ("nasbench201",),
            "metric": ("accuracy",),
            "listed": (False,),
            "reward_data_set": (data_set,),
            "report_data_set": (data_set,),
            "reward_schedule": (schedule,),
            "reward_epoch": (schedule,),
            "report_schedule": (200,),
            "report_epoch": (200,),
            "budget": budgets,
        },
    )


_TABLE_3_3 = (
    # Section 3.4.2: 12 epochs are the reward for CIFAR-10 only.
    _nasbench201(
        "cifar10",
        12,
        ((0, 12_000.0),),
        {
            "RE": (91.08, 0.43, 93.84, 0.43),
            "RS": (90.94, 0.38, 93.75, 0.37),
            "REINFORCE": (91.03, 0.33, 93.82, 0.31),
            "BOHB": (90.82, 0.53, 93.61, 0.52),
            "arch2vec-RL": (91.32, 0.42, 94.12, 0.42),
            "arch2vec-BO": (91.41, 0.22, 94.18, 0.24),
        },
    ),
    # Section 3.3 says 500,000 and 1,400,000 seconds, section 3.4.2 as many queries as
    # on CIFAR-10; both are about a hundred trainings.
    _nasbench201(
        "cifar100",
        200,
        ((0, 500_000.0), LIKE_CIFAR10),
        {
            "RE": (73.02, 0.46, 72.86, 0.55),
            "RS": (72.17, 0.64, 72.05, 0.77),
            "REINFORCE": (72.35, 0.63, 72.13, 0.79),
            "BOHB": (72.59, 0.82, 72.37, 0.90),
            "arch2vec-RL": (73.13, 0.72, 73.15, 0.78),
            "arch2vec-BO": (73.35, 0.32, 73.37, 0.30),
        },
    ),
    _nasbench201(
        "ImageNet16-120",
        200,
        ((0, 1_400_000.0), LIKE_CIFAR10),
        {
            "RE": (45.78, 0.56, 45.63, 0.64),
            "RS": (45.47, 0.65, 45.33, 0.79),
            "REINFORCE": (45.58, 0.62, 45.30, 0.86),
            "BOHB": (45.44, 0.70, 45.26, 0.83),
            "arch2vec-RL": (46.22, 0.30, 46.16, 0.38),
            "arch2vec-BO": (46.34, 0.18, 46.27, 0.37),
        },
    ),
)

DATA_SETS_3_3 = tuple(
    name for group in _TABLE_3_3 for name in group.conditions["report_data_set"]
)

# --- trainings of single architectures, chapters 3 and 4 ------------------------------

_CIFAR10_TRAINING: dict[str, tuple[Any, ...]] = {
    "space": ("darts", "darts_shared"),
    "data_set": ("cifar10",),
    "train_images": (50_000,),
    "num_cells": (20,),
    "channels": (36,),
    "auxiliary": (True,),
    "epochs": (600,),
    "batch_size": (96,),
    "cutout": (True,),
    "drop_path": (0.2,),
}
_IMAGENET_TRAINING: dict[str, tuple[Any, ...]] = {
    "space": ("darts", "darts_shared"),
    "data_set": ("imagenet",),
    "train_images": (1_281_167,),
    "image_size": (224,),
    "num_cells": (14,),
    "channels": (48,),
    "auxiliary": (True,),
    "epochs": (250,),
}
_TABLE_3_4 = (
    Group(
        {
            ("Random Search", "error"): Number(3.1, 0.18),
            ("DARTS", "error"): Number(2.71, 0.08),
            ("BANANAS", "error"): Number(2.67, 0.07),
            ("arch2vec-RL", "error"): Number(2.65, 0.05),
            ("arch2vec-BO", "error"): Number(2.56, 0.05),
        },
        _CIFAR10_TRAINING,
    ),
)
_TABLE_3_5 = (
    Group(
        _column("error", {"DARTS": 26.7, "arch2vec-RL": 25.8, "arch2vec-BO": 25.5}),
        _IMAGENET_TRAINING,
    ),
)
_TABLE_4_2 = (
    Group(
        _column(
            "error",
            {
                "RS": 3.29,
                "DARTS": 2.76,
                "BANANAS": 2.67,
                "arch2vec-BO": 2.56,
                "CATE-DNGO-LS (small budget)": 2.55,
                "CATE-DNGO-LS (large budget)": 2.46,
            },
        ),
        _CIFAR10_TRAINING,
    ),
)
_TABLE_4_3 = (
    Group(
        _column(
            "error",
            {
                "DARTS": 26.7,
                "arch2vec-BO": 25.5,
                "BANANAS": 26.3,
                "CATE-DNGO-LS (small budget)": 26.1,
                "CATE-DNGO-LS (large budget)": 25.0,
            },
        ),
        _IMAGENET_TRAINING,
    ),
)

# --- chapter 5 -----------------------------------------------------------------------


def _surrogate(
    features: str,
    epochs: int,
    counts: tuple[int, ...],
    values: tuple[float | None, ...],
) -> Group:
    columns = ("avg_r2", "final_r2", "avg_kt", "final_kt", "avg_kl")
    return Group(
        {
            ("svd_lgb_gkde", column): Number(value)
            for column, value in zip(columns, values, strict=True)
            if value is not None
        },
        {"features": (features,), "num_epochs": (epochs,), "num_archs": counts},
    )


_TABLE_5_2 = (
    _surrogate("nasbench111_cell", 108, (1101,), (0.529, 0.630, 0.531, 0.645, 2.016)),
    _surrogate("nasbench111", 108, (1101,), (0.630, 0.853, 0.611, 0.794, 1.710)),
    # 40,000 random cells and 26,000 that searches found.
    _surrogate("nasbench311", 100, (66_000,), (0.779, 0.800, 0.728, 0.788, 0.905)),
    _surrogate(
        "nasbench_nlp11_cell", 50, (14_322,), (0.326, 0.314, 0.505, 0.475, None)
    ),
    _surrogate("nasbench_nlp11", 50, (14_322,), (0.878, 0.895, 0.878, 0.844, None)),
)

TABLES: Mapping[str, tuple[Group, ...]] = {
    "2.3": _TABLE_2_3,
    "3.1": _TABLE_3_1,
    "3.2": _TABLE_3_2,
    "3.3": _TABLE_3_3,
    "3.4": _TABLE_3_4,
    "3.5": _TABLE_3_5,
    "4.2": _TABLE_4_2,
    "4.3": _TABLE_4_3,
    "5.2": _TABLE_5_2,
    "figure 3.2": _FIGURE_3_2,
}
"""Numbers of every table and figure that a job reproduces."""
