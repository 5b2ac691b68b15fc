"""The script that times queries of the package's surrogates, at a tiny size."""

import json

import pytest
from test_search_benchmarks import load


@pytest.mark.parametrize("config", ["single", "bulk"])
def test_a_line_has_what_every_benchmark_prints(config, capsys):
    script = load("embedded_queries")
    size = script.Size(queries=8, single=3, rounds=2, num_trees=3)
    script.measure(config, "digits111", size)
    line = json.loads(capsys.readouterr().out)
    assert line["config"] == f"digits111_{config}"
    assert line["ours_cpu_s"] > 0 and line["reference_cpu_s"] > 0
    assert ("latency_s" in line) == (config == "single")
