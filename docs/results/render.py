"""Puts collected numbers into the text, or says where text and numbers differ.

python docs/results/render.py           # rewrites README.md and the pages in docs/
python docs/results/render.py --check   # changes nothing; fails where it would

Between `<!-- results: NAME -->` and `<!-- end of NAME -->` stands the block
`docs/results/blocks/NAME.md`, Markdown with numbers in braces:

    {FILE:PATH|FORMAT}    a number of docs/results/data/FILE.json
    @search FILE:PATH columns=algorithm,trials,test,interval ...   a table of searches

PATH is keys with slashes; `*` is the mean over all keys, `[key=value]` the item of a
list whose key (or `settings.key`) has that value, several joined by commas. FORMAT is
the number of decimals, after `%` times 100, after `+` with a sign, after `,` with
separators, after `ci` for a list of two as "low - high", after `x` without the leading
zero; `-` stands where there is no number. `{FILE:PATH}` alone is text.

@search draws a row for each algorithm of `PATH/algorithms`, best first:

    columns=   of algorithm, trials, embeddings, test, valid (mean with interval),
               mean, interval, regret, found, queries, cpu, against, thesis; `test@RUN`
               reads from `RUN` in the place of the last key of PATH
    by=        the column that orders the rows (the first with a mean)
    only=      names of algorithms, in this order
    labels     are in docs/results/labels.json; controls are in italics
"""

import argparse
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BLOCK = re.compile(
    r"(<!-- results: (?P<name>\w+) -->\n)(?P<text>.*?)(<!-- end of (?P=name) -->)", re.S
)
PLACE = re.compile(r"\{(\w+):([^{}|]+?)(?:\|([^{}]+))?\}")
BARE = re.compile(r"^[*_ ]*[-+]?[\d.,]*\d[\d.,]*( %)?[*_ ]*$")


class Broken(ValueError):
    """A template that does not fit its data; one line."""


def documents():
    """The Markdown files that quote results."""
    docs = (ROOT / "docs").rglob("*.md")
    return [ROOT / "README.md", *sorted(p for p in docs if p.parent.name != "blocks")]


def render(text, where="text"):
    """The text with all its blocks drawn anew."""

    def draw(found):
        name = found["name"]
        path = HERE / "blocks" / f"{name}.md"
        if not path.exists():
            raise Broken(f"{where}: there is no docs/results/blocks/{name}.md")
        return f"{found[1]}{block(path.read_text(encoding='utf-8'), name)}{found[4]}"

    opened = re.findall(r"<!-- results: (\w+) -->", text)
    if len(opened) != len(BLOCK.findall(text)):
        closed = re.findall(r"<!-- end of (\w+) -->", text)
        missing = next((n for n in opened if n not in closed), "another block")
        raise Broken(f"{where}: <!-- end of {missing} --> is missing")
    return BLOCK.sub(draw, text)


def block(template, name):
    """A template with its numbers."""
    lines = []
    for line in template.splitlines():
        if line.startswith("@search "):
            lines += search(line, name)
            continue
        for cell in line.split("|") if line.startswith("|") else ():
            if BARE.match(cell):
                raise Broken(
                    f"block {name}: {cell.strip()} is a number in the template; quote "
                    "it from a file"
                )
        lines.append(PLACE.sub(lambda found: place(found, name), line))
    return "\n".join(lines) + "\n"


def place(found, name):
    file, path, form = found.groups()
    value = look_up(read(file, name), path, f"block {name}: {file}:{path}")
    return str(value) if form is None else text_of(value, form)


def read(file, name):
    path = HERE / "data" / f"{file}.json"
    if not path.exists():
        raise Broken(f"block {name}: there is no docs/results/data/{file}.json")
    return json.loads(path.read_text(encoding="utf-8"))


def look_up(node, path, where):
    """What stands at a path, or the mean over a `*`."""
    keys = re.findall(r"\[[^\]]*\]|[^/]+", path)
    for number, key in enumerate(keys):
        if key == "*":
            rest = "/".join(keys[number + 1 :])
            items = node.values() if isinstance(node, dict) else node
            values = [look_up(item, rest, where) if rest else item for item in items]
            return None if None in values else sum(values) / len(values)
        node = step(node, key, where)
    return node


def step(node, key, where):
    if key.startswith("["):
        wanted = dict(part.split("=", 1) for part in key[1:-1].split(","))
        if not isinstance(node, list):
            raise Broken(f"{where}: {key} needs a list of rows")
        found = [row for row in node if matches(row, wanted)]
        if len(found) != 1:
            raise Broken(f"{where}: {len(found)} rows are {key}")
        return found[0]
    if isinstance(node, list) and key.isdigit() and int(key) < len(node):
        return node[int(key)]
    if not isinstance(node, dict) or key not in node:
        known = ", ".join(list(node)[:12]) if isinstance(node, dict) else "no keys"
        raise Broken(f"{where}: no {key!r} (there: {known})")
    return node[key]


def matches(row, wanted):
    facts = {**row, **row.get("settings", {})}
    return all(str(facts.get(key)) == value for key, value in wanted.items())


def text_of(value, form):
    if value is None:
        return "-"
    plain = re.fullmatch(r"(?P<flags>(?:ci|[%+,x])*)(?P<digits>\d+)", form)
    if plain is None:
        raise Broken(
            f"format {form!r}: decimals after any of %, +, the comma, x and ci"
        )
    flags, digits = plain["flags"], int(plain["digits"])
    if "ci" in flags:
        rest = form.replace("ci", "")
        between = " to " if "+" in flags else " - "
        return between.join(text_of(end, rest) for end in value)
    number = value * (100 if "%" in flags else 1)
    sign, comma = ("+" if "+" in flags else ""), ("," if "," in flags else "")
    text = f"{number:{sign}{comma}.{digits}f}"
    return re.sub(r"^([-+]?)0\.", r"\1.", text) if "x" in flags else text


# --- tables of searches ---------------------------------------------------------------


def search(line, name):
    """The lines of a table of searches."""
    _, source, *options = line.split()
    file, _, path = source.partition(":")
    given = dict(option.split("=", 1) for option in options)
    columns = given["columns"].split(",")
    document, where = read(file, name), f"block {name}: {source}"
    runs = {}
    named = [column.partition("@")[2] for column in columns]
    # Columns without a run, such as trials, are those of the first.
    default = next(filter(None, named), "")
    columns = [
        column if run or column == "algorithm" else f"{column}@{default}".rstrip("@")
        for column, run in zip(columns, named, strict=True)
    ]
    for run in dict.fromkeys(filter(None, named)) or [""]:
        parts = [*filter(None, path.split("/"))]
        full = "/".join([*parts[:-1], run, parts[-1]]) if run else path
        runs[run] = look_up(document, full, where) if full else document
    first = next(iter(runs.values()))
    rows = first["algorithms"]
    names = given["only"].split(",") if "only" in given else list(rows)
    by = given.get("by") or next(c for c in columns if c.split("@")[0] in _MEANS)
    if "only" not in given:
        names.sort(key=lambda n: -(_mean(runs, by, n) or float("-inf")))
    labels = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))
    controls = {c for own in first["comparisons"].values() for c in own}
    titles = [
        _title(column if run else column.split("@")[0])
        for column, run in zip(columns, named, strict=True)
    ]
    table = [titles, ["---"] * len(columns)]
    for algorithm in names:
        label = labels.get(algorithm, algorithm.replace("_", " "))
        label = f"*control:* {label}" if algorithm in controls else label
        cells = [
            label
            if column == "algorithm"
            else _cell(runs[column.partition("@")[2]], column.split("@")[0], algorithm)
            for column in columns
        ]
        table.append(cells)
    return ["| " + " | ".join(row) + " |" for row in table]


_MEANS = {
    "test": ("final_test_mean", "ci95"),
    "valid": ("final_valid_mean", "final_valid_ci95"),
    "mean": ("final_test_mean", "ci95"),
    "interval": ("final_test_mean", "ci95"),
    "valid_mean": ("final_valid_mean", "final_valid_ci95"),
    "valid_interval": ("final_valid_mean", "final_valid_ci95"),
}
_TITLES = {
    "mean": "test",
    "interval": "95 % interval",
    "valid_mean": "validation",
    "valid_interval": "95 % interval",
    "valid": "validation",
    "found": "optimum found",
    "cpu": "CPU s",
    "against": "against its control",
}


def _title(column):
    kind, _, run = column.partition("@")
    title = _TITLES.get(kind, kind)
    return f"{run}, {title}" if run else title


def _mean(runs, column, algorithm):
    kind, _, run = column.partition("@")
    row = runs[run]["algorithms"].get(algorithm, {})
    return row.get(_MEANS[kind][0])


def _cell(run, kind, algorithm):
    row = run["algorithms"].get(algorithm)
    if row is None:
        return "-"
    if kind in _MEANS:
        mean, ends = (row[key] for key in _MEANS[kind])
        if kind.endswith("interval"):
            return text_of(ends, "ci%3")
        if kind.endswith("mean"):
            return text_of(mean, "%3")
        spread = "" if ends is None else f" ({text_of(ends, 'ci%2')})"
        return text_of(mean, "%2") + spread
    if kind == "against":
        return _against(run, algorithm)
    if kind == "thesis":
        return _thesis(run, algorithm)
    if kind not in _FIELDS:
        raise Broken(f"column {kind!r}; known: {', '.join({**_MEANS, **_FIELDS})}")
    return text_of(row[_FIELDS[kind][0]], _FIELDS[kind][1])


_FIELDS = {
    "trials": ("num_trials", "0"),
    "embeddings": ("clusters", "0"),
    "regret": ("regret_mean", "%3"),
    "found": ("found_optimum", "%1"),
    "queries": ("queries", "0"),
    "cpu": ("cpu_seconds", "0"),
}


def _against(run, algorithm):
    own = run["comparisons"].get(algorithm, {})
    if not own:
        return ""
    # Files are sorted by name; the first of `against` differs in one thing.
    config = run.get("config", {})
    section = config.get("search", config)
    order = section.get("settings", {}).get(algorithm, {}).get("against") or own
    found = next((own[name] for name in order if name in own), None)
    if found is None:
        return ""
    ends = text_of(found["ci95"], "ci%+3")
    value = found["p_value"]
    chance = "p < 0.0001" if value < 1e-4 else f"p = {value:.3g}"
    return f"{text_of(found['difference'], '%+3')} ({ends}), {chance}"


def _thesis(run, algorithm):
    found = [
        row["thesis"]
        for rows in run["tables"].values()
        for row in rows
        if row["settings"].get("algorithm") == algorithm
        and row["settings"].get("split") == "test"
        and row["thesis"] is not None
    ]
    return text_of(found[0], "2") if found else ""


# --- tables that no file stands behind ------------------------------------------------


def unquoted(text):
    """Headers of tables with numbers outside of all blocks."""
    outside = BLOCK.sub("", text)
    found = []
    for lines in re.findall(r"(?:^\|.*\n?)+", outside, re.M):
        rows = lines.strip().splitlines()
        cells = [cell for row in rows[2:] for cell in row.strip("|").split("|")]
        if sum(bool(re.search(r"\d", cell)) for cell in cells) > 2:
            found.append(rows[0])
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args(arguments)
    stale = []
    for path in documents():
        before = path.read_text(encoding="utf-8")
        try:
            after = render(before, path.name)
        except Broken as error:
            sys.exit(f"error: {error}")
        if after != before:
            stale.append(path.name)
            if not given.check:
                path.write_text(after, encoding="utf-8")
    if stale and given.check:
        sys.exit(f"error: {', '.join(stale)}: run python docs/results/render.py")
    print(f"{', '.join(stale)} written" if stale else "nothing to change")


if __name__ == "__main__":
    main()
