"""A user's CSV file as curves and features; whatever is left out is told.

A row is a training and the columns that fit a description are the epochs of its curve,
or a row is an epoch. Nothing is guessed from position: epochs are ordered by their
numbers, a value outside its unit is refused by row and column, and so is a column that
could be a measurement of the finished training.
"""

import collections
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from nasjax.core import errors, paths
from nasjax.nasbench.surrogate import csv_numbers, csv_table
from nasjax.nasbench.surrogate.csv_columns import Columns
from nasjax.nasbench.surrogate.csv_numbers import NumberForm
from nasjax.nasbench.surrogate.csv_table import Table, show, show_all
from nasjax.nasbench.surrogate.curve_data import METRICS, CurveData

SUFFIXES = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
"""Names of files that are read here."""
MAX_CATEGORIES = 20
"""A column of text with at most this many values is one-hot features."""
_KEY = "--config.data.columns"
_COUNTED = 10
"""From this many rows on, a column that counts them is no coincidence."""
_MEASURED = frozenset(
    "acc accs accuracy accuracies loss losses err error errors score scores nll ppl "
    "perplexity bpc top1 top5 best auc auroc f1 mse rmse mae bleu wer iou miou fitness "
    "reward metric performance perf val valid validation test eval".split()
)
"""Words in the name of a column of numbers that may be a result."""
_IDENTIFIES = frozenset(
    "id ids idx index uid uuid rank row rowid run trial job nr".split()
)
"""Words in the name of a column of whole numbers that may only name a training."""
_CONTRARY = {
    "loss": frozenset({"acc", "accuracy"}),
    "fraction": frozenset({"loss", "nll", "err", "error", "ppl", "perplexity"}),
}
"""Words in the name of a curve that say that its unit is another."""


class _Curves(NamedTuple):
    """Trainings, not yet checked for completeness.

    Attributes:
      values: float64 `[N, T]`, NaN or infinite where there is none.
      names: of each epoch's column, for messages.
      epochs: completed epochs, increasing.
      rows: int `[N]`, the file's row of each training (its first).
    """

    values: np.ndarray
    names: tuple[str, ...]
    epochs: tuple[int, ...]
    rows: np.ndarray


def read(
    path: str | os.PathLike[str],
    columns: Columns | None = None,
    *,
    metric: str = "valid_accuracy",
) -> CurveData:
    """A user's own curves.

        data = csv_curves.read("curves.csv", Columns(epochs="val_{epoch}", unit="percent"))
        print("\\n".join(data.notes))

    Args:
      path: delimited text with a header, perhaps compressed by gzip.
      columns: what its columns mean.
      metric: what the curve is, one of `curve_data.METRICS`.

    Returns:
      Features in the order of the file (`feature_names`), NaN where a cell is empty;
      finite curves. `notes` tells what was left out and why, one line each.

    Raises:
      DataError: the file cannot be read, or its values do not fit the description.
      ConfigError: the description does not fit the file.
    """  # noqa: E501
    if metric not in METRICS:
        raise errors.unknown_name("metric", metric, METRICS)
    columns = columns or Columns()
    unit = columns.unit_of(metric)
    path = paths.expand(path)
    table = csv_table.read(path, delimiter=columns.delimiter, encoding=columns.encoding)
    columns = columns.check(table.columns, path)
    notes = list(table.notes)
    form = _form(table, columns)
    if form.decimal == "," and not columns.decimal:
        notes.append("numbers have a decimal comma")
    if columns.epoch_column:
        curves, used = _long(table, columns, form, unit, notes)
    else:
        curves, used = _wide(table, columns, form, unit, notes)
    changing = _changing(table, columns)
    others = used | changing
    candidates = _features_of(table, columns, others, curves.rows, form, notes)
    kept = _finished(table, columns, curves, notes)
    features, names, ignored = _encode(
        table, columns, candidates, curves.rows[kept], form, notes
    )
    ignored |= dict.fromkeys(changing - used, "changes within a training")
    for why in dict.fromkeys(ignored.values()):
        which = [name for name, reason in ignored.items() if reason == why]
        notes.append(f"columns left out, {why}: {show_all(which)}")
    if not features:
        raise errors.DataError(
            f"{path}: no column can be used as a feature: besides the curve and "
            f"{_KEY}.drop and .index there is "
            + (
                "; ".join(f"{show(name)} ({w})" for name, w in [*ignored.items()][:8])
                or "none"
            )
        )
    return CurveData(
        features=np.stack(features, axis=1),
        curves={metric: curves.values[kept]},
        epochs=curves.epochs,
        feature_names=tuple(names),
        data_set=path.name.split(".")[0],
        ignored=ignored,
        notes=tuple(notes),
    )


def _form(table: Table, columns: Columns) -> NumberForm:
    if columns.decimal or columns.thousands:
        thousands = columns.thousands
        decimal = columns.decimal or ("," if thousands == "." else ".")
        return NumberForm(decimal, thousands)
    skipped = {*columns.drop, *columns.index, *columns.text}
    return csv_numbers.find_form(
        table.path,
        (
            text
            for name, texts in table.columns.items()
            if name not in skipped
            for text in texts
        ),
    )


# --- curves -------------------------------------------------------------------------


def _wide(
    table: Table, columns: Columns, form: NumberForm, unit: str, notes: list[str]
) -> tuple[_Curves, set[str]]:
    """Curves of a table with one row a training, and the columns they are in."""
    special = {*columns.drop, *columns.index, *columns.features, *columns.text}
    by_number: dict[int, str] = {}
    for name in table.columns:
        number = None if name in special else columns.number(name)
        if number is None:
            continue
        if number in by_number:
            raise errors.DataError(
                f"{table.path}: columns {show(by_number[number])} and {show(name)} are "
                f"both epoch {number}: name one in {_KEY}.drop"
            )
        by_number[number] = name
    if not by_number:
        raise _no_curve(table, columns)
    _check_words(table, columns.epochs, unit)
    used = set(by_number.values())
    by_number = _count_from_one(by_number, columns, notes)
    epochs = sorted(by_number)
    names = [by_number[epoch] for epoch in epochs]
    rows = np.arange(1, table.num_rows + 1)
    values = np.stack(
        [_measurements(table, name, form, unit) for name in names], axis=1
    )
    return _described(table, values, names, epochs, rows, unit, notes), used


def _long(
    table: Table, columns: Columns, form: NumberForm, unit: str, notes: list[str]
) -> tuple[_Curves, set[str]]:
    """Curves of a table with one row an epoch."""
    _check_words(table, columns.value_column, unit)
    numbers = _numbers(table, columns.epoch_column, form)
    bad = np.flatnonzero(~((numbers >= 0) & (numbers == np.floor(numbers))))
    if not len(bad):
        bad = np.flatnonzero(numbers >= 1e7)
    if len(bad):
        raise errors.DataError(
            f"{table.path}: row {bad[0] + 1}, column {show(columns.epoch_column)} is "
            "no number of an epoch: 0, 1, 2, ..."
        )
    values = _measurements(table, columns.value_column, form, unit)
    trainings = _trainings(table, columns)
    by_number = _count_from_one(
        {int(n): f"epoch {int(n)}" for n in np.unique(numbers)}, columns, notes
    )
    found = {int(name.split()[1]): epoch for epoch, name in by_number.items()}
    epochs = sorted(by_number)
    places = {epoch: place for place, epoch in enumerate(epochs)}
    curves = np.full((trainings.max() + 1, len(epochs)), np.nan)
    seen = np.full(curves.shape, 0)
    for i, (training, number) in enumerate(zip(trainings, numbers, strict=True)):
        if int(number) not in found:
            continue
        slot = training, places[found[int(number)]]
        if seen[slot]:
            raise errors.DataError(
                f"{table.path}: rows {seen[slot]} and {i + 1} are the same epoch of "
                f"the same training: {_KEY}.index must tell trainings apart"
            )
        seen[slot], curves[slot] = i + 1, values[i]
    rows = np.unique(trainings, return_index=True)[1] + 1
    names = [by_number[epoch] for epoch in epochs]
    used = {columns.epoch_column, columns.value_column}
    return _described(table, curves, names, epochs, rows, unit, notes), used


def _trainings(table: Table, columns: Columns) -> np.ndarray:
    """int `[rows]`, the training of each row, numbered as they appear."""
    for name in columns.index:
        lacks = [text.lower() in csv_numbers.MISSING for text in table.columns[name]]
        if any(lacks):
            raise errors.DataError(
                f"{table.path}: row {lacks.index(True) + 1}, column {show(name)} has "
                f"no value ({sum(lacks)} rows in all), so its training is not known: "
                "fill it in, or leave the row out"
            )
    numbers: dict[tuple[str, ...], int] = {}
    keys = zip(*(table.columns[name] for name in columns.index), strict=True)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys])


def _described(
    table: Table,
    values: np.ndarray,
    names: list[str],
    epochs: list[int],
    rows: np.ndarray,
    unit: str,
    notes: list[str],
) -> _Curves:
    """The curves without epochs that no training has."""
    some = ~np.isnan(values).all(axis=0)
    if not some.any():
        raise errors.DataError(f"{table.path}: no training has any value of a curve")
    if not some.all():
        without = [name for name, there in zip(names, some, strict=True) if not there]
        notes.append(f"epochs left out, no row has a value: {show_all(without)}")
    names = [name for name, there in zip(names, some, strict=True) if there]
    epochs = [epoch for epoch, there in zip(epochs, some, strict=True) if there]
    values = values[:, some]
    finite = values[np.isfinite(values)]
    if unit == "percent":
        if finite.size and finite.max() <= 0.01:
            raise errors.DataError(
                f"{table.path}: no accuracy is above 1 percent: they look like "
                f"fractions; pass {_KEY}.unit=fraction"
            )
        notes.append("accuracies are percent and were divided by 100")
        low = np.nanmax(np.where(np.isfinite(values), values, 0), axis=1) <= 0.01
        if low.any():
            notes.append(
                f"{low.sum()} of {len(low)} trainings never exceed 1 percent; first: "
                f"row {rows[np.argmax(low)]} (chance, or written as fractions?)"
            )
    absent = epochs[-1] - epochs[0] + 1 - len(epochs)
    gaps = f", {absent} between them absent" if absent else ""
    notes.append(
        f"curve: {len(epochs)} epochs, {epochs[0]} to {epochs[-1]}{gaps}; from "
        f"{show(names[0])} to {show(names[-1])}"
    )
    return _Curves(values, tuple(names), tuple(epochs), rows)


def _count_from_one(
    by_number: dict[int, str], columns: Columns, notes: list[str]
) -> dict[int, str]:
    """Columns by completed epochs, which count from 1."""
    if 0 not in by_number:
        return by_number
    if columns.epoch_zero == "untrained":
        notes.append(f"{show(by_number[0])} left out: the value before training")
        rest = {number: name for number, name in by_number.items() if number}
        if not rest:
            raise errors.ConfigError(
                "config.data.columns.epoch_zero=untrained leaves no epoch"
            )
        return rest
    notes.append(
        f"epochs are numbered from 0: {show(by_number[0])} is epoch 1 (where it is the "
        f"value before training pass {_KEY}.epoch_zero=untrained)"
    )
    return {number + 1: name for number, name in by_number.items()}


def _measurements(table: Table, name: str, form: NumberForm, unit: str) -> np.ndarray:
    """float64 `[rows]`: values of a curve, checked and in [0, 1] or nats."""
    values = _numbers(table, name, form, percent=unit == "percent")
    high = {"fraction": 1.0, "percent": 100.0, "loss": np.inf}[unit]
    outside = np.isfinite(values) & ~((values >= 0) & (values <= high))
    if outside.any():
        count, row = int(outside.sum()), int(np.argmax(outside)) + 1
        raise errors.DataError(
            f"{table.path}: row {row}, column {show(name)} is {_outside(unit)} "
            f"({count} of {len(values)} values of this column)"
        )
    return values / 100 if unit == "percent" else values


def _outside(unit: str) -> str:
    if unit == "fraction":
        return (
            "no accuracy in [0, 1]: where accuracies are percent pass "
            f"{_KEY}.unit=percent, and for losses --config.data.metric=valid_loss"
        )
    if unit == "percent":
        return "no percentage in [0, 100]: mend it, or leave the row out"
    return "a negative loss: mend it; accuracies need --config.data.metric"


def _check_words(table: Table, name: str, unit: str) -> None:
    """Refuses curves whose name says that they are something else."""
    contrary = _CONTRARY["loss" if unit == "loss" else "fraction"] & _words(name)
    if contrary:
        raise errors.DataError(
            f"{table.path}: the curve {show(name)} is called {min(contrary)}, but "
            + (
                "config.data.metric is a loss: pass --config.data.metric=valid_accuracy"
                if unit == "loss"
                else "config.data.metric is an accuracy: for losses pass "
                "--config.data.metric=valid_loss, and turn errors into accuracies"
            )
        )


def _no_curve(table: Table, columns: Columns) -> errors.DataError:
    names = list(table.columns)
    series: dict[str, int] = collections.Counter(
        re.sub(r"(\d+)(?!.*\d)", "{epoch}", name)
        for name in names
        if re.search(r"\d", name)
    )
    likely = [stem for stem, count in series.items() if count > 1]
    hint = ""
    if all(NumberForm().parse(name) is not None for name in names):
        hint = "; its first line is numbers: it needs a header"
    elif likely:
        most = sorted(likely, key=lambda stem: -series[stem])[:3]
        listed = ", ".join(f"{show(stem)} ({series[stem]} columns)" for stem in most)
        hint = f"; numbered columns: {listed}"
    elif any(_words(name) & {"epoch", "epochs", "step"} for name in names):
        hint = (
            f"; where each row is an epoch pass {_KEY}.epoch_column, .value_column and "
            ".index"
        )
    return errors.DataError(
        f"{table.path}: no column fits {show(columns.epochs)}, so there is no curve; "
        f"its {len(names)} columns: {show_all(names)}{hint}; pass "
        f"{_KEY}.epochs='NAME_{{epoch}}'"
    )


def _finished(
    table: Table, columns: Columns, curves: _Curves, notes: list[str]
) -> np.ndarray:
    """bool `[N]`; tells which are not."""
    finite = np.isfinite(curves.values)
    kept: np.ndarray = finite.all(axis=1)
    if kept.all():
        return kept
    first = int(np.argmin(kept))
    place = int(np.argmin(finite[first]))
    value = curves.values[first, place]
    what = "has no value" if np.isnan(value) else "is infinite"
    example = f"row {curves.rows[first]}, {show(curves.names[place])} {what}"
    count = int(np.sum(~kept))
    text = f"{count} of {len(kept)} trainings are unfinished or diverged; {example}"
    if columns.unfinished == "refuse" or not kept.any():
        raise errors.DataError(
            f"{table.path}: {text}: finish them"
            + (
                f", or pass {_KEY}.unfinished=leave_out"
                if kept.any()
                else f", or name the columns of epochs that few reached in {_KEY}.drop"
            )
        )
    notes.append(f"rows left out: {text}")
    return kept


# --- features -----------------------------------------------------------------------


def _features_of(
    table: Table,
    columns: Columns,
    used: set[str],
    rows: np.ndarray,
    form: NumberForm,
    notes: list[str],
) -> list[str]:
    """Names of the features, in the order of the file."""
    others = used | {*columns.drop, *columns.index}
    if columns.drop:
        notes.append(f"columns left out by {_KEY}.drop: {show_all([*columns.drop])}")
    if columns.features:
        chosen = {*columns.features, *columns.text}
        rest = [n for n in table.columns if n not in others and n not in chosen]
        if rest:
            notes.append(f"columns left out, not among features: {show_all(rest)}")
        return [name for name in table.columns if name in chosen]
    found = []
    for name in table.columns:
        if name in others:
            continue
        if name not in columns.text and _is_index(table, name, form, notes):
            continue
        found.append(name)
        if name not in columns.text:
            _check_feature(table, columns, name, rows, form)
    _check_series(table, found, used)
    return found


def _check_series(table: Table, names: Sequence[str], used: set[str]) -> None:
    """Refuses features that are numbered exactly as the epochs of the curve."""
    curve = _series(used)
    for stem, numbers in _series(names).items():
        if len(numbers) >= _COUNTED and numbers in curve.values():
            raise errors.DataError(
                f"{table.path}: {len(numbers)} columns {show(stem)} are numbered as "
                "the curve: if they are another curve of the training, pass "
                f"{_KEY}.drop='{stem}', else name all features in {_KEY}.features"
            )


def _series(names: Iterable[str]) -> dict[str, set[int]]:
    """Numbers of the columns whose names differ only in the last number."""
    series: dict[str, set[int]] = {}
    for name in names:
        if match := re.fullmatch(r"(.*?)(\d+)(\D*)", name, re.ASCII):
            stem = f"{match[1]}{{epoch}}{match[3]}"
            series.setdefault(stem, set()).add(int(match[2]))
    return series


def _is_index(table: Table, name: str, form: NumberForm, notes: list[str]) -> bool:
    """Whether a column without a name counts the rows; any other is refused."""
    if not re.fullmatch(r"(Unnamed: \d+(_level_\d+)?(\.\d+)*)?", name):
        return False
    if not _counts_rows(table.columns[name], form):
        raise errors.DataError(
            f"{table.path}: column {list(table.columns).index(name) + 1} "
            f"({show(name)}) has no name, as an index of pandas or row names of R: "
            f"name it, write without (index=False, row.names=FALSE), or pass "
            f"{_KEY}.drop=\"('{name}',)\""
        )
    notes.append(f"column {show(name)} left out: the row numbers of pandas or R")
    return True


def _check_feature(
    table: Table, columns: Columns, name: str, rows: np.ndarray, form: NumberForm
) -> None:
    """Refuses columns that may be no feature; naming them in `features` allows them."""
    remedy = f"name it in {_KEY}.drop, or all features in {_KEY}.features"
    stem = "" if columns.epoch_column else columns.stem
    if stem and name.startswith(stem):
        raise errors.DataError(
            f"{table.path}: column {show(name)} begins as the curve's but does not fit "
            f"{show(columns.epochs)}: {remedy}"
        )
    values = table.columns[name][rows - 1]
    is_number = any(_is_value(form.parse(text)) for text in set(values))
    if is_number and (words := _words(name) & _MEASURED):
        raise errors.DataError(
            f"{table.path}: column {show(name)} may be a measurement of the training "
            f"({min(words)}), which would give the curve away: {remedy}"
        )
    if len(values) >= _COUNTED and (how := _identifies(name, values, form)):
        raise errors.DataError(f"{table.path}: column {show(name)} {how}: {remedy}")


def _changing(table: Table, columns: Columns) -> set[str]:
    """Of a table with one row an epoch: columns that are no facts of a training."""
    if not columns.epoch_column:
        return set()
    trainings = _trainings(table, columns)
    first = np.unique(trainings, return_index=True)[1][trainings]
    others = {*columns.drop, *columns.index}
    return {
        name
        for name, texts in table.columns.items()
        if name not in others and (texts != texts[first]).any()
    }


def _encode(
    table: Table,
    columns: Columns,
    names: Sequence[str],
    rows: np.ndarray,
    form: NumberForm,
    notes: list[str],
) -> tuple[list[np.ndarray], list[str], dict[str, str]]:
    """Feature columns `[N]` each, their names, and why other columns give none."""
    features: list[np.ndarray] = []
    labels: list[str] = []
    ignored: dict[str, str] = {}
    for name in names:
        texts = table.columns[name][rows - 1]
        kinds = set(texts)
        values = {text: form.parse(text) for text in kinds}
        is_text = None in values.values() and not any(map(_is_value, values.values()))
        if is_text or name in columns.text:
            found = _categories(table, columns, name, texts, rows, notes)
        else:
            number = _numbers(table, name, form)[rows - 1]
            found = _plain_number(table, name, number, rows, notes)
        if isinstance(found, str):
            ignored[name] = found
            continue
        if twice := set(labels) & set(found):
            raise errors.DataError(
                f"{table.path}: two features are called {show(min(twice))}: a column, "
                "and a value of a column of text; rename the column"
            )
        features += found.values()
        labels += found
    return features, labels, ignored


def _plain_number(
    table: Table, name: str, values: np.ndarray, rows: np.ndarray, notes: list[str]
) -> Mapping[str, np.ndarray] | str:
    """A column of numbers, or why it is no feature."""
    if np.isinf(values).any():
        raise errors.DataError(
            f"{table.path}: row {rows[np.argmax(np.isinf(values))]}, column "
            f"{show(name)} is infinite: write a number, or nothing where there is none"
        )
    missing = np.isnan(values)
    if missing.all():
        return "empty"
    if not missing.any() and np.ptp(values) == 0:
        return "constant"
    if missing.any():
        notes.append(
            f"column {show(name)}: {missing.sum()} values are missing and stay so "
            f"(NaN); first: row {rows[np.argmax(missing)]}"
        )
    return {name: values}


def _categories(
    table: Table,
    columns: Columns,
    name: str,
    texts: np.ndarray,
    rows: np.ndarray,
    notes: list[str],
) -> Mapping[str, np.ndarray] | str:
    """A column of text as one-hot features, or why it is none; NaN where missing."""
    for row, text in zip(rows, texts, strict=True):
        if csv_numbers.is_spreadsheet_error(text):
            raise errors.DataError(
                f"{table.path}: row {row}, column {show(name)} is an error of a "
                "spreadsheet: mend the cell"
            )
        if name not in columns.text and csv_numbers.looks_like_number(text):
            raise errors.DataError(
                f"{table.path}: row {row}, column {show(name)} looks like a number "
                f"that is written in another way: pass {_KEY}.decimal and .thousands, "
                f"or name the column in {_KEY}.text or .drop"
            )
    missing = np.array([text in csv_numbers.MISSING_TEXT for text in texts])
    kinds = sorted(set(texts[~missing]))
    if not kinds:
        return "empty"
    if len(kinds) == 1 and not missing.any():
        return "constant"
    if len(kinds) > MAX_CATEGORIES:
        return f"text with {len(kinds)} values"
    if len(kinds) == len(texts) >= _COUNTED and name not in columns.text:
        return "text that is another in every row"
    if missing.any():
        notes.append(
            f"column {show(name)}: {missing.sum()} values are missing and stay so "
            f"(NaN); first: row {rows[np.argmax(missing)]}"
        )
    if {kind.lower() for kind in kinds} <= set(csv_numbers.TRUTH):
        truth = [csv_numbers.TRUTH.get(text.lower(), np.nan) for text in texts]
        return {name: np.array(truth)}
    notes.append(f"column {show(name)}: text, {len(kinds)} one-hot features")
    return {
        f"{name}={kind}": np.where(missing, np.nan, texts == kind) for kind in kinds
    }


# --- cells --------------------------------------------------------------------------


def _numbers(
    table: Table, name: str, form: NumberForm, *, percent: bool = False
) -> np.ndarray:
    """float64 `[rows]`, NaN where a value is missing.

    Raises:
      DataError: a cell is text.
    """
    texts = table.columns[name]
    values = {
        text: form.parse(text.removesuffix("%").rstrip() if percent else text)
        for text in set(texts)
    }
    if any(value is None for value in values.values()):
        row = next(i for i, text in enumerate(texts) if values[text] is None)
        raise errors.DataError(
            f"{table.path}: row {row + 1}, column {show(name)} {_why_text(texts[row])}"
        )
    return np.array([values[text] for text in texts], np.float64)


def _why_text(text: str) -> str:
    """What is wrong with a cell that is no number."""
    if csv_numbers.is_spreadsheet_error(text):
        return "is an error of a spreadsheet: mend the cell, or leave it empty"
    if text.endswith("%"):
        return f"has a percent sign: pass {_KEY}.unit=percent if it is of the curve"
    if csv_numbers.looks_like_number(text):
        return (
            f"looks like a number that is written in another way: pass {_KEY}.decimal "
            "and .thousands"
        )
    return (
        "is text among numbers: mend the cell, leave it empty, or name the column in "
        f"{_KEY}.drop or .text"
    )


def _is_value(value: float | None) -> bool:
    return value is not None and not np.isnan(value)


def _identifies(name: str, texts: np.ndarray, form: NumberForm) -> str:
    """How a column of numbers tells the rows apart and no more, "" where it does not.

    A frame that was shuffled, sorted or filtered keeps its index, and a rank its order.
    """
    parsed = [form.parse(text) for text in texts]
    numbers = {number for number in parsed if number is not None and not number % 1}
    if len(numbers) < len(parsed):
        return ""
    if min(numbers) in (0, 1) and max(numbers) - min(numbers) + 1 == len(numbers):
        return "counts the rows"
    word = min(_words(name) & _IDENTIFIES, default="")
    return f"may only name the trainings ({word})" if word else ""


def _counts_rows(texts: np.ndarray, form: NumberForm) -> bool:
    """Whether a column is 0, 1, 2, ... or 1, 2, 3, ..."""
    first = form.parse(texts[0])
    if first not in (0.0, 1.0):
        return False
    return all(form.parse(text) == first + i for i, text in enumerate(texts))


def _words(name: str) -> set[str]:
    """Small letters between capitals and other signs: `valAcc_1` is val, acc."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    words = {part.lower() for part in parts}
    return words | set(re.findall(r"top\d|f1(?!\d)|miou", name.lower()))
