"""Every configuration and preset means what it did, and says only what differs."""

import ast
import json
import re

import filled
import pytest
import shared

from nasjax.jobs import defaults

FILES = filled.presets()


def test_every_filled_configuration_is_the_recorded_one():
    recorded = json.loads(filled.FILE.read_text(encoding="utf-8"))
    found = json.loads(filled.text(filled.record(FILES)))
    assert list(found) == list(recorded)
    for file, presets in recorded.items():
        assert list(found[file]) == list(presets), file
        for preset, values in presets.items():
            assert found[file][preset] == values, f"{file}:{preset}"
    # Kinds too: 1 is not 1.0 on a command line.
    assert filled.text(found) == filled.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_only_what_differs_from_the_defaults(file):
    first = filled.plain(next(iter(FILES[file].values())))
    known = filled.leaves(filled.plain(defaults.of_file(first)))
    said = filled.leaves(first)
    repeated = {key for key in said if key in known and known[key] == said[key]}
    assert not repeated, f"{file} repeats defaults"


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_it_was_measured_to_give_or_that_it_was_not_run(file):
    text = (filled.ROOT / file).read_text(encoding="utf-8")
    last = ast.get_docstring(ast.parse(text)).split("\n\n")[-1]
    found = re.match(r"Measured \((docs/results/\S+)\):", last)
    if found:
        assert (shared.ROOT / found[1]).exists()
    else:
        said = r"have not been run|has not been run|^Not run|^No run .*recorded"
        assert re.search(said, " ".join(last.split()))
