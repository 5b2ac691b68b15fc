"""What spreadsheets, pandas, databases and R export: read right, or refused by name."""

import gzip
import re
import zlib

import numpy as np
import pytest

from nasjax.core.errors import ConfigError, DataError, NasjaxError
from nasjax.nasbench.surrogate import csv_curves, csv_text
from nasjax.nasbench.surrogate.csv_columns import Columns

N = 12
LEVELS = np.linspace(0.3, 0.74, N)
CURVES = LEVELS[:, None] * np.array([0.5, 0.8, 1.0])
WIDTHS = 8 + 4 * (np.arange(N) * 5 % N)
KINDS = np.array(["conv", "pool", "skip"])[np.arange(N) % 3]


def rows_of(sep=",", decimal=".", line="{width}{sep}{kind}{sep}{curve}", epochs=CURVES):
    def number(value):
        return f"{value:.4f}".replace(".", decimal)

    return [
        line.format(
            i=i,
            sep=sep,
            width=WIDTHS[i],
            kind=KINDS[i],
            curve=sep.join(map(number, epochs[i])),
        )
        for i in range(len(epochs))
    ]


def table(header, rows, end="\n"):
    return end.join([header, *rows]) + end


HEADER = "width,kind,acc_1,acc_2,acc_3"
PLAIN = table(HEADER, rows_of())


def edit(row, column, value, text=PLAIN):
    """The file with another cell; row 1 is the first below the header."""
    lines = text.splitlines()
    cells = lines[row].split(",")
    cells[lines[0].split(",").index(column)] = value
    lines[row] = ",".join(cells)
    return "\n".join(lines) + "\n"


def with_column(name, values, first=False, text=PLAIN):
    lines = text.splitlines()
    cells = [name, *map(str, values)]
    pairs = zip(lines, cells, strict=True)
    return "\n".join(f"{c},{t}" if first else f"{t},{c}" for t, c in pairs) + "\n"


def read(tmp_path, content, **options):
    path = tmp_path / "file.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    metric = options.pop("metric", "valid_accuracy")
    return csv_curves.read(path, Columns(**options), metric=metric)


SEMICOLON = table(HEADER.replace(",", ";"), rows_of(";"))
EUROPEAN = table(HEADER.replace(",", ";"), rows_of(";", ","))
QUOTED = table(
    '"width","kind","acc_1","acc_2","acc_3"',
    rows_of(line='{width}{sep}"{kind}"{sep}{curve}'),
)
PERCENT = table(HEADER, rows_of(epochs=100 * CURVES))
LONG = table(
    "net,epoch,width,kind,acc,lr_now",
    [
        f"n{i},{t + 1},{WIDTHS[i]},{KINDS[i]},{CURVES[i, t]:.4f},{0.1 * t}"
        for t in (2, 0, 1)
        for i in range(N)
    ],
)
READ_LONG = {"epoch_column": "epoch", "value_column": "acc", "index": ("net",)}
SAME = {
    "plain": (PLAIN, {}),
    "semicolon": (SEMICOLON, {}),
    "tab": (SEMICOLON.replace(";", "\t"), {}),
    "pipe": (SEMICOLON.replace(";", "|"), {}),
    "decimal comma": (EUROPEAN, {}),
    "decimal comma said": (EUROPEAN, {"decimal": ",", "thousands": "."}),
    "excel's sep line": ("sep=;\r\n" + SEMICOLON, {}),
    "excel's sep line, tab": ("sep=\t\n" + SEMICOLON.replace(";", "\t"), {}),
    "mark of utf-8": (PLAIN.encode("utf-8-sig"), {}),
    "utf-16": (PLAIN.encode("utf-16"), {}),
    "utf-16 said": (PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "utf-32": (PLAIN.encode("utf-32"), {}),
    "crlf": (PLAIN.replace("\n", "\r\n"), {}),
    "old mac": (PLAIN.replace("\n", "\r"), {}),
    "no last line end": (PLAIN[:-1], {}),
    "quoted header": (QUOTED, {}),
    "blanks in header": (PLAIN.replace(HEADER, HEADER.replace(",", ", ")), {}),
    "blanks everywhere": (PLAIN.replace(",", " , "), {}),
    "gzip": (gzip.compress(PLAIN.encode()), {}),
    "text order": (
        table(
            "acc_1,acc_10,acc_2,width,kind",
            [
                f"{c[0]:.4f},{c[2]:.4f},{c[1]:.4f},{w},{k}"
                for c, w, k in zip(CURVES, WIDTHS, KINDS, strict=True)
            ],
        ),
        {"epochs_are": (1, 2, 10)},
    ),
    "zero padded": (PLAIN.replace("acc_", "acc_00"), {}),
    "from zero": (
        PLAIN.replace("acc_1", "acc_0")
        .replace("acc_2", "acc_1")
        .replace("acc_3", "acc_2"),
        {},
    ),
    "before training": (
        with_column("acc_0", ["0.1"] * N),
        {"epoch_zero": "untrained"},
    ),
    "pandas' index": (with_column("", range(N), first=True), {}),
    "pandas' index, written twice": (
        with_column("Unnamed: 0", range(N), first=True),
        {},
    ),
    "r's row names": (
        with_column('""', [f'"{i + 1}"' for i in range(N)], first=True),
        {},
    ),
    "an index by name": (
        with_column("", [f"net{i}" for i in range(N)], first=True),
        {"index": ("",)},
    ),
    "trailing delimiters": (PLAIN.replace("\n", ",,\n"), {}),
    "trailing delimiters below": (
        PLAIN.replace("\n", ",\n").replace(HEADER + ",", HEADER),
        {},
    ),
    "empty rows": (PLAIN + "\n,,,,\n\n", {}),
    "empty rows inside": (PLAIN.replace("\n", "\n,,,,\n"), {}),
    "percent": (PERCENT, {"unit": "percent"}),
    "percent signs": (
        "\n".join(f"{line}%" for line in PERCENT.splitlines()).replace("3%", "3", 1),
        {"unit": "percent"},
    ),
    "long": (LONG, READ_LONG),
    "long, from zero": (
        table(
            "net,epoch,width,kind,acc",
            [
                f"n{i},{t},{WIDTHS[i]},{KINDS[i]},{CURVES[i, t]:.4f}"
                for i in range(N)
                for t in range(3)
            ],
        ),
        READ_LONG,
    ),
    "another name": (PLAIN.replace("acc_", "val acc "), {"epochs": "val acc {epoch}"}),
    "regular expression": (PLAIN.replace("acc_", "e"), {"epochs": r"e(\d+)"}),
    "latin-1": (
        PLAIN.replace("conv", "f\u00e4lt").encode("latin-1"),
        {"encoding": "latin-1"},
    ),
    "features named": (
        with_column("test_acc", CURVES[:, 2]),
        {"features": ("width", "kind")},
    ),
    "what was measured dropped": (
        with_column("test_acc", CURVES[:, 2]),
        {"drop": ("test_acc",)},
    ),
    "names in one text": (
        with_column("test_acc", CURVES[:, 2]),
        {"features": "width,kind"},
    ),
    "exponents": (PLAIN.replace("0.3000", "3.000E-01"), {}),
    "all quoted": (
        "\n".join(
            ",".join(f'"{c}"' for c in line.split(",")) for line in PLAIN.splitlines()
        ),
        {},
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_one_table_in_many_forms(tmp_path, name):
    content, options = SAME[name]
    options = dict(options)
    epochs = options.pop("epochs_are", (1, 2, 3))
    data = read(tmp_path, content, **options)
    curves = data.curves["valid_accuracy"]
    np.testing.assert_allclose(curves, CURVES, atol=6e-5)
    assert data.epochs == epochs
    names = list(data.feature_names)
    np.testing.assert_array_equal(data.features[:, names.index("width")], WIDTHS)
    assert len(names) == 4 and np.isfinite(data.features).all()
    hot = data.features[:, [i for i, n in enumerate(names) if n != "width"]]
    np.testing.assert_array_equal(hot.argmax(1), np.arange(N) % 3)
    assert (hot.sum(1) == 1).all()
    assert any(note.startswith("curve: 3 epochs") for note in data.notes)


UNFINISHED = edit(7, "acc_2", "NA")
TOLD = {
    # what: (content, options, note, trainings, missing features)
    "unfinished": (UNFINISHED, {}, "1 of 12 trainings .* row 7, 'acc_2' has no", 11, 0),
    "diverged": (edit(3, "acc_3", "inf"), {}, "row 3, 'acc_3' is infinite", 11, 0),
    "empty feature": (edit(5, "width", ""), {}, "'width': 1 values .* row 5", 12, 1),
    "excel's missing": (edit(5, "width", "#N/A"), {}, "'width': 1 values", 12, 1),
    "r's missing": (edit(5, "width", "NA"), {}, "'width': 1 values", 12, 1),
    "pandas' missing": (edit(5, "width", "<NA>"), {}, "'width': 1 values", 12, 1),
    "database's missing": (edit(5, "width", "\\N"), {}, "'width': 1 values", 12, 1),
    "null": (edit(5, "width", "NULL"), {}, "'width': 1 values", 12, 1),
    "missing text": (edit(5, "kind", ""), {}, "'kind': 1 values are", 12, 3),
    "constant": (with_column("lr", ["0.1"] * N), {}, "constant: 'lr'", 12, 0),
    "empty column": (with_column("note", [""] * N), {}, "empty: 'note'", 12, 0),
    "dropped": (
        with_column("kind2", [f"n{i}" for i in range(N)]),
        {"drop": ("kind2",)},
        "columns.drop: 'kind2'",
        12,
        0,
    ),
    "not among features": (
        with_column("seed", np.arange(N) * 7),
        {"features": ("width", "kind")},
        "not among features: 'seed'",
        12,
        0,
    ),
    "epochs without any value": (
        with_column("acc_4", [""] * N),
        {},
        "no row has a value: 'acc_4'",
        12,
        0,
    ),
    "gap": (
        with_column("acc_9", [f"{v:.4f}" for v in LEVELS]),
        {},
        "4 epochs, 1 to 9, 5 between them absent",
        12,
        0,
    ),
    "numbered from zero": (
        with_column("acc_0", ["0.1"] * N),
        {},
        "'acc_0' is epoch 1 .*epoch_zero=untrained",
        12,
        0,
    ),
    "index": (with_column("", range(N), first=True), {}, "'' left out: the row", 12, 0),
    "empty rows": (PLAIN.replace("\n", "\n,,,,\n", 3), {}, "3 rows without any", 12, 0),
    "percent": (PERCENT, {"unit": "percent"}, "divided by 100", 12, 0),
    "decimal comma": (EUROPEAN, {}, "decimal comma", 12, 0),
    "changes within": (LONG, READ_LONG, "changes within a training: 'lr_now'", 12, 0),
    "long, unfinished": (
        "\n".join(LONG.splitlines()[:-1]),
        READ_LONG,
        "1 of 12 .* row 12, 'epoch 2' has no value",
        11,
        0,
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_whatever_is_left_out_is_told(tmp_path, name):
    content, options, note, trainings, missing = TOLD[name]
    data = read(tmp_path, content, **options)
    assert len(data) == trainings
    assert int(np.isnan(data.features).sum()) == missing
    joined = "\n".join(data.notes)
    assert re.search(note, joined), joined
    assert all("\n" not in line for line in data.notes)


SHUFFLED = (np.arange(N) * 5 + 3) % N
LABELS = {
    # what: (header, values, refusal)
    "index, shuffled": ("id", SHUFFLED, "counts the rows"),
    "rank": ("rank", SHUFFLED + 1, "counts the rows"),
    "index, filtered": ("index", SHUFFLED * 3, r"only name the trainings \(index\)"),
    "index, read twice": ("Unnamed: 0.1", SHUFFLED, "has no name"),
    "validation": ("val", LEVELS, r"measurement of the training \(val\)"),
    "losses": ("nll", LEVELS, r"measurement of the training \(nll\)"),
    "f1": ("macroF1", LEVELS, r"measurement of the training \(f1\)"),
    "another's name": ("kind=conv", WIDTHS, "two features are called 'kind=conv'"),
}


@pytest.mark.parametrize("name", LABELS)
def test_what_names_or_measures_a_training_is_no_feature(tmp_path, name):
    header, values, refusal = LABELS[name]
    text = with_column(header, values)
    with pytest.raises(DataError, match=refusal):
        read(tmp_path, text)
    assert len(read(tmp_path, text, drop=(header,)).feature_names) == 4


def test_a_number_of_each_training_is_no_feature_where_rows_are_epochs(tmp_path):
    lines = LONG.splitlines()
    nets = list(dict.fromkeys(line.split(",")[0] for line in lines[1:]))
    numbers = [SHUFFLED[nets.index(line.split(",")[0])] for line in lines[1:]]
    with pytest.raises(DataError, match="'number' counts the rows"):
        read(tmp_path, with_column("number", numbers, text=LONG), **READ_LONG)


def test_text_that_is_another_in_every_row_is_left_out(tmp_path):
    text = with_column("started", [f"2024-01-{i + 1:02d}" for i in range(N)])
    data = read(tmp_path, text)
    assert data.ignored == {"started": "text that is another in every row"}
    assert len(read(tmp_path, text, text=("started",)).feature_names) == 4 + N


def test_another_curve_is_no_feature(tmp_path):
    text = PLAIN
    for epoch in range(4, 11):
        text = with_column(f"acc_{epoch}", [f"{v:.3f}" for v in LEVELS], text=text)
    for epoch in range(1, 11):
        text = with_column(f"train_{epoch}", [f"{v:.2f}" for v in LEVELS], text=text)
    with pytest.raises(DataError, match=r"10 columns 'train_\{epoch\}' are numbered"):
        read(tmp_path, text)
    data = read(tmp_path, text, drop=("train_{epoch}",))
    assert data.feature_names == read(tmp_path, PLAIN).feature_names


def test_trainings_that_are_left_out_decide_nothing(tmp_path):
    text = with_column("lr", ["0.1"] * 6 + ["0.2"] + ["0.1"] * 5, text=UNFINISHED)
    text = with_column("late", [""] * 6 + ["3"] + [""] * 5, text=text)
    data = read(tmp_path, text)
    assert data.ignored == {"lr": "constant", "late": "empty"}
    assert len(data) == N - 1


def test_fractions_among_percent_are_told(tmp_path):
    text = PERCENT.splitlines()
    text[4] = rows_of()[3]
    data = read(tmp_path, "\n".join(text), unit="percent")
    assert any("never exceed 1 percent; first: row 4" in note for note in data.notes)


def test_a_row_without_its_training_is_refused(tmp_path):
    with pytest.raises(DataError, match="row 2, .* has no value"):
        lines = LONG.splitlines()
        lines[2] = lines[2][lines[2].index(",") :]
        read(tmp_path, "\n".join(lines), **READ_LONG)


def test_compressed_twice_and_an_encoding_that_is_none(tmp_path):
    with pytest.raises(DataError, match="gzip twice"):
        read(tmp_path, gzip.compress(gzip.compress(PLAIN.encode())))
    with pytest.raises(ConfigError, match="no text encoding"):
        read(tmp_path, PLAIN, encoding="\0")


def test_truth_values_and_numbers_of_every_writer(tmp_path):
    text = with_column("residual", ["TRUE", "FALSE"] * 6)
    text = with_column("pretrained", ["True", "False", ""] * 4, text=text)
    text = with_column(
        "params", ["1e6", "2.5E+05", "-3", "+4", ".5", "6."] * 2, text=text
    )
    data = read(tmp_path, text)
    column = dict(zip(data.feature_names, data.features.T, strict=True))
    np.testing.assert_array_equal(column["residual"], [1, 0] * 6)
    np.testing.assert_array_equal(column["pretrained"], [1, 0, np.nan] * 4)
    np.testing.assert_array_equal(column["params"], [1e6, 2.5e5, -3, 4, 0.5, 6] * 2)


def test_thousands(tmp_path):
    grouped = [f"{(w + 1) * 1234:,}" for w in range(N)]
    for group, sep, decimal in ((",", ";", "."), (".", ";", ","), (" ", ",", ".")):
        values = [text.replace(",", group) for text in grouped]
        text = table(
            sep.join(("params", *HEADER.split(","))),
            [
                f"{v}{sep}{r}"
                for v, r in zip(values, rows_of(sep, decimal), strict=True)
            ],
        )
        with pytest.raises(DataError, match="columns.(thousands|decimal)"):
            read(tmp_path, text)
        data = read(tmp_path, text, thousands=group, decimal=decimal)
        np.testing.assert_array_equal(data.features[:, 0], 1234 * np.arange(1, N + 1))


def test_losses(tmp_path):
    text = PLAIN.replace("acc_", "loss_")
    data = read(tmp_path, text, epochs="loss_{epoch}", metric="valid_loss")
    np.testing.assert_allclose(data.curves["valid_loss"], CURVES, atol=6e-5)


REFUSED = {
    # what: (content, options, what the message says)
    "nothing": ("", {}, "is empty"),
    "blank lines": ("\n\n  \n", {}, "is empty"),
    "a header alone": (HEADER + "\n", {}, "a header and no"),
    "no values": (HEADER + "\n,,,,\n", {}, "no values"),
    "a short row": (PLAIN + "8,conv,0.1\n", {}, "row 13 has 3 cells, the header 5"),
    "a long row": (PLAIN + "8,a,0.1,0.1,0.1,7\n", {}, "row 13 has 6 cells"),
    "an open quote": (PLAIN + '"8,a,0.1,0.1,0.1\n', {}, "a quote that is not closed"),
    "two of one name": (PLAIN.replace("kind", "width"), {}, "1 and 2 are both called"),
    "two without a name": (
        with_column("", range(3, 3 + N), text=with_column("", range(2, 2 + N))),
        {},
        "columns 6 and 7 have no name",
    ),
    "two of one epoch": (
        with_column("acc_01", LEVELS),
        {},
        "'acc_1' and 'acc_01' are both epoch 1",
    ),
    "r's write.table": (
        table(HEADER, [f"r{i},{r}" for i, r in enumerate(rows_of())]),
        {},
        "row names; give it a name",
    ),
    "blanks": (SEMICOLON.replace(";", " "), {}, "delimiter=' '"),
    "two delimiters": (
        PLAIN.replace(HEADER, "width;a,kind,acc_1,acc_2,acc_3"),
        {},
        "columns.delimiter=','",
    ),
    "one column": ("acc_1\n0.5\n", {}, "one column"),
    "no header": (table("8,1,0.1,0.2", ["9,2,0.1,0.3"]), {}, "needs a header"),
    "no curve": (
        PLAIN.replace("acc_", "val_acc_"),
        {},
        "numbered columns: 'val_acc_{epoch}' .3 columns.",
    ),
    "long without description": (LONG, {}, "columns.epoch_column, .value_column and"),
    "long, twice": (
        LONG + LONG.splitlines()[-1],
        READ_LONG,
        "rows 36 and 37 are the same epoch",
    ),
    "long, broken epochs": (
        LONG.replace("n3,2,", "n3,2.5,"),
        READ_LONG,
        "'epoch' is no number of an epoch",
    ),
    "percent": (PERCENT, {}, "row 1, column 'acc_1' is no accuracy in .*unit=percent"),
    "fractions as percent": (PLAIN, {"unit": "percent"}, "unit=fraction"),
    "above 100 percent": (
        edit(4, "acc_3", "100.1", PERCENT),
        {"unit": "percent"},
        "row 4, column 'acc_3' is no percentage",
    ),
    "negative": (edit(2, "acc_1", "-0.1"), {}, "row 2, column 'acc_1'"),
    "losses by name": (
        PLAIN.replace("acc_", "loss_"),
        {"epochs": "loss_{epoch}"},
        "called loss, .*metric=valid_loss",
    ),
    "errors by name": (
        PLAIN.replace("acc_", "valErr"),
        {"epochs": "valErr{epoch}"},
        "called err",
    ),
    "accuracies as losses": (PLAIN, {"metric": "valid_loss"}, "metric=valid_accuracy"),
    "text in a curve": (edit(4, "acc_2", "oom"), {}, "row 4, column 'acc_2' is text"),
    "text among numbers": (edit(4, "width", "wide"), {}, "row 4, column 'width' is te"),
    "spreadsheet error": (
        edit(4, "width", "#DIV/0!"),
        {},
        "row 4, column 'width' is an error of a spreadsheet",
    ),
    "spreadsheet error in text": (
        edit(4, "kind", "#NAME?"),
        {},
        "an error of a spread",
    ),
    "infinite feature": (edit(4, "width", "inf"), {}, "row 4, column 'width' is inf"),
    "too large a number": (edit(4, "width", "1e999"), {}, "row 4, .*'width' is inf"),
    "percent signs": (
        edit(4, "acc_2", "52%"),
        {},
        "row 4, column 'acc_2' has a percent sign: pass .*unit=percent",
    ),
    "decimal commas and points": (
        EUROPEAN.replace("8;conv", "8.5;conv"),
        {},
        "some numbers have a decimal point and some a decimal comma",
    ),
    "a foreign number": (edit(4, "width", "1 000"), {}, "row 4, .*written in another"),
    "an odd index": (
        with_column("", [f"n{i}" for i in range(N)], first=True),
        {},
        "column 1 \\(''\\) has no name",
    ),
    "a counter of rows": (
        with_column("id", range(1, N + 1)),
        {},
        "'id' counts the rows: name it in --config.data.columns.drop",
    ),
    "measured afterwards": (
        with_column("test_acc", LEVELS),
        {},
        "'test_acc' may be a measurement .*columns.drop",
    ),
    "another curve": (
        with_column("trainLoss2", LEVELS, text=with_column("trainLoss1", LEVELS)),
        {},
        "'trainLoss1' may be a measurement",
    ),
    "nearly an epoch": (
        with_column("acc_best", LEVELS),
        {},
        "'acc_best' begins as the curve's but does not fit",
    ),
    "pandas' second name": (with_column("acc_3.1", LEVELS), {}, "'acc_3.1' begins as"),
    "no unfinished allowed": (
        UNFINISHED,
        {"unfinished": "refuse"},
        "1 of 12 .*unfinished=leave_out",
    ),
    "none finished": (
        table(HEADER, [r[: r.rindex(",") + 1] for r in rows_of()[1:]] + ["8,a,,,1"]),
        {},
        "12 of 12 trainings .*columns.drop",
    ),
    "no feature": (
        table("acc_1,acc_2", ["0.1,0.2", "0.1,0.3"]),
        {},
        "no column can be used as a feature",
    ),
    "no such drop": (PLAIN, {"drop": ("wdth",)}, "did you mean 'width'"),
    "a name in two keys": (
        PLAIN,
        {"drop": ("width",), "index": ("width",)},
        "both name 'width'",
    ),
    "no placeholder": (PLAIN, {"epochs": "acc_"}, "a template with one {epoch}"),
    "two placeholders": (PLAIN, {"epochs": "{epoch}{epoch}"}, "with one {epoch}"),
    "a broken expression": (PLAIN, {"epochs": "acc_(("}, "neither a template"),
    "half of long": (PLAIN, {"epoch_column": "width"}, "belong together"),
    "long without index": (
        LONG,
        READ_LONG | {"index": ()},
        "columns.index is empty",
    ),
    "losses for accuracy": (PLAIN, {"unit": "loss"}, "metric=valid_loss"),
    "unknown unit": (PLAIN, {"unit": "procent"}, "did you mean 'percent'"),
    "unknown metric": (PLAIN, {"metric": "valid_acuracy"}, "mean 'valid_accuracy'"),
    "a long delimiter": (PLAIN, {"delimiter": "::"}, "one ASCII character"),
    "a wrong delimiter": (PLAIN, {"delimiter": ";"}, "no column fits"),
    "one mark for two": (
        PLAIN,
        {"decimal": ",", "thousands": ","},
        "the same character",
    ),
    "no encoding": (PLAIN, {"encoding": "utf-seven"}, "no text encoding"),
    "no text encoding": (PLAIN, {"encoding": "zlib_codec"}, "no text encoding"),
    "latin-1": (
        PLAIN.replace("conv", "\u00e4").encode("latin-1"),
        {},
        "encoding=cp1252",
    ),
    "utf-16 without a mark": (PLAIN.encode("utf-16-le"), {}, "encoding=utf-16-le"),
    "cut gzip": (gzip.compress(PLAIN.encode())[:-9], {}, "damaged, cut short"),
    "damaged gzip": (
        gzip.compress(PLAIN.encode())[:20] + b"\0" * 50,
        {},
        "damaged, cut short",
    ),
    "a workbook": (b"PK\x03\x04" + b"\0" * 99, {}, "a zip archive .as .xlsx"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", {}, "an old Excel workb"),
    "parquet": (b"PAR1" + b"\0" * 20, {}, "a Parquet file"),
    "a web page": ("<!DOCTYPE html><html>", {}, "a web page"),
    "an LFS pointer": ("version https://git-lfs.github.com/spec/v1\n", {}, "Git LFS"),
    "r's workspace": (gzip.compress(b"RDX3\nX\n\0\0"), {}, "a workspace of R"),
    "json": ('{"acc_1": [0.1]}', {}, "JSON"),
    "another kind of gzip": (zlib.compress(PLAIN.encode()), {}, "is not utf-8|one col"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, name):
    content, options, message = REFUSED[name]
    with pytest.raises(NasjaxError, match=message) as caught:
        read(tmp_path, content, **options)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 500
    assert isinstance(caught.value, ConfigError) or "file.csv" in text


def test_a_file_of_many_columns_is_refused_in_one_line(tmp_path):
    names = [f"a very long name of a column that nobody reads {i}" for i in range(999)]
    with pytest.raises(DataError, match=r"999 columns.*in all") as caught:
        read(tmp_path, ",".join(names) + "\n" + ",".join("1" * 999))
    assert len(str(caught.value)) < 1000


def test_limits(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_text, "MAX_BYTES", 1 << 20)
    with pytest.raises(DataError, match="more than 1 MiB"):
        read(tmp_path, gzip.compress(b"a," * (1 << 20)))
    monkeypatch.setattr(csv_curves.csv_table, "MAX_CELLS", 1000)
    with pytest.raises(DataError, match="cells, more than 1,000"):
        read(tmp_path, "a," * 2000)


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        csv_curves.read(tmp_path / "x.csv")
    with pytest.raises(DataError, match="is no file"):
        csv_curves.read(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_damage_never_becomes_a_traceback(tmp_path, seed):
    """Bytes of real exports, changed, cut and doubled: read or refused."""
    random = np.random.default_rng(seed)
    sources = [PLAIN, EUROPEAN, QUOTED, with_column("", range(N), first=True)]
    raw = bytearray(sources[seed].encode())
    marks = b'",;\n\r\t\0 %-eE.#\xff\xef<{0'
    for _ in range(100):
        damaged = bytearray(raw)
        for _ in range(random.integers(1, 6)):
            place = random.integers(len(damaged))
            kind = random.integers(3)
            if kind == 0:
                damaged[place] = marks[random.integers(len(marks))]
            elif kind == 1:
                del damaged[place : place + random.integers(1, 30)]
            else:
                damaged[place:place] = damaged[place : place + random.integers(1, 30)]
        try:
            read(tmp_path, bytes(damaged))
        except NasjaxError as error:
            assert "\n" not in str(error)
