"""The README's library examples run as they stand."""

import re

import pytest
import shared

TEXT = (shared.ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.S)


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("source", EXAMPLES, ids=range(len(EXAMPLES)))
def test_example_runs(source):
    exec(compile(source, "README.md", "exec"), {})  # our own text


def test_every_named_file_of_the_repository_exists():
    named = set(re.findall(r"(?:launch|configs|benchmarks)/\w+\.py", TEXT))
    assert named
    for path in named:
        assert (shared.ROOT / path).exists(), path
