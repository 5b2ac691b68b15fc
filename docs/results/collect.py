"""Collects what runs found into one small file that the documentation quotes.

python docs/results/collect.py --name=digits201_search --workdir=runs/search \\
    --command="python launch/search.py --config=... --workdir=runs/search"
python docs/results/collect.py --name=hmnas_digits --command="..." \\
    --workdir=0=runs/digits-0 --workdir=1=runs/digits-1
python docs/results/collect.py --name=speed_arch2vec \\
    --command="python benchmarks/arch2vec.py" --lines=FILE

writes `docs/results/data/NAME.json`: every result file below the working directories
(`result.json`, `pretraining.json`, `control.json`, `evaluation.json`,
`verification.json`), by folder, or the JSON lines that a benchmark printed, with the
command, the versions, the settings, and the digests of the packaged files that the
numbers rest on. Long lists and figures stay out. `render.py` puts the numbers into the
text.
"""

import argparse
import hashlib
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(__file__).resolve().parent / "data"
PACKAGED = ROOT / "nasjax" / "nasbench"
FILES = (
    "result.json",
    "pretraining.json",
    "control.json",
    "evaluation.json",
    "verification.json",
)
LONGEST = 16
"""Numbers of a list that is kept."""
LARGEST = 300_000
"""Bytes of a collected file."""


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--command", required=True, help="what produced the numbers")
    parser.add_argument("--workdir", action="append", default=[], help="[KEY=]FOLDER")
    parser.add_argument("--lines", default="", help="file of JSON lines")
    parser.add_argument("--note", default="", help="hardware, data, what else counts")
    given = parser.parse_args(arguments)
    try:
        document = collect(given.command, given.workdir, given.lines, given.note)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    path = write(given.name, document)
    print(f"{path}: {path.stat().st_size:,} bytes")


def collect(command, workdirs, lines="", note=""):
    """The document of some working directories, or of a benchmark's lines."""
    found = {"command": command, "note": note}
    for given in workdirs:
        key, _, folder = given.rpartition("=")
        tree = read_folder(pathlib.Path(folder))
        found |= {key: tree} if key else tree
    if lines:
        text = pathlib.Path(lines).read_text(encoding="utf-8")
        rows = [line for line in text.splitlines() if line.startswith("{")]
        found["lines"] = [small(json.loads(row)) for row in rows]
    if len(found) == 2:
        raise ValueError("nothing was collected: pass --workdir=FOLDER or --lines=FILE")
    return found | {"rests_on": digests(found)}


def read_folder(folder):
    """Result files by folder and stem."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    tree = {}
    for path in sorted(folder.rglob("*.json")):
        if path.name not in FILES:
            continue
        node = tree
        for part in path.relative_to(folder).parent.parts:
            node = node.setdefault(part, {})
        try:
            node[path.stem] = small(json.loads(path.read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: no JSON ({error})") from error
    if not tree:
        raise ValueError(f"{folder}: holds none of {', '.join(FILES)}")
    return tree


def small(value):
    """Without long lists and places on this machine; six digits of a number."""
    if isinstance(value, dict):
        return {key: small(item) for key, item in value.items() if not is_long(item)}
    if isinstance(value, list):
        return [small(item) for item in value if not is_long(item)]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, str) and value.startswith(("/", "~")):
        return f"PATH/{pathlib.PurePath(value).name}"
    return value


def is_long(value):
    """A list of many numbers or lists; lists of rows are kept."""
    if not isinstance(value, list) or len(value) <= LONGEST:
        return False
    return not all(isinstance(item, dict) for item in value)


def digests(document):
    """By file of the package that a setting names its SHA-256, shortened."""
    named = set(strings(document))
    return {
        str(path.relative_to(ROOT)): digest(path)
        for path in sorted(PACKAGED.glob("*.safetensors"))
        if path.stem in named
    }


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def strings(value):
    """All strings that are values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def write(name, document):
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    if len(text.encode()) > LARGEST:
        sys.exit(
            f"error: {name} has {len(text.encode()):,} bytes, more than {LARGEST:,}: "
            "collect fewer folders"
        )
    DATA.mkdir(parents=True, exist_ok=True)
    path = DATA / f"{name}.json"
    path.write_text(text, encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
