"""`--mode=verify`: the best of a fitted surrogate are trained, a table is ranked."""

import json
import shutil

import jax
import numpy as np
import pytest

from nasjax.core.errors import ConfigError
from nasjax.experiments import embedded_benchmarks, search_inputs
from nasjax.jobs.nasbench_x11 import modes
from nasjax.nasbench.sampled_digits import DIGITS111
from nasjax.spaces import nasbench101
from nasjax.training.scanned import ScannedCurves

CONFIG = {
    "data": {"name": "digits111", "features": "nasbench111_paths"},
    "surrogates": ["svd_lgb_gkde"],
    "sample": {"surrogate": "svd_lgb_gkde"},
    "verify": {"num_best": 6, "num_trained": 3},
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "surrogates").mkdir()
    file = tmp_path / "surrogates" / "svd_lgb_gkde.safetensors"
    shutil.copyfile(DIGITS111.surrogate_file, file)
    return tmp_path


def test_the_outcome_is_written_and_printed(folder, monkeypatch, capsys):
    keys = jax.random.split(jax.random.key(0), 40)
    cells = np.asarray(jax.vmap(nasbench101.sample)(keys))
    monkeypatch.setattr(search_inputs, "candidates", lambda inputs: cells)

    def train(name, arch, place, seed, group):
        fields = len(ScannedCurves._fields)
        return ScannedCurves(*[np.full(30, 1500 - place - seed)] * fields), 0.0

    monkeypatch.setattr(embedded_benchmarks, "train", train)
    verify = CONFIG["verify"] | {"table": str(DIGITS111.file)}
    found = modes.run(CONFIG | {"verify": verify}, str(folder), "verify")
    written = json.loads((folder / "verification.json").read_text())
    order = written["order_of_best"]
    assert order["kendall_tau"] == found["order_of_best"]["kendall_tau"] == 1
    assert order["kendall_tau_of_seeds"] == 1 and order["of"] == 6
    assert order["trained"] == pytest.approx(1498.5 / 2048)
    # The table is the benchmark's own: its trainings rank as themselves.
    assert written["agreement"]["trained"]["spearman"] == pytest.approx(1)
    printed = capsys.readouterr().out
    assert "3 of the best 6 trained" in printed and "Spearman" in printed


def test_only_embedded_benchmarks_of_large_spaces_are_verified(folder):
    data = {"name": "digits201", "features": "nasbench211_paths"}
    with pytest.raises(ConfigError, match="'digits201': only digits111, digits311"):
        modes.run(CONFIG | {"data": data}, str(folder), "verify")
