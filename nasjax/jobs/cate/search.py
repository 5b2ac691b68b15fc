"""Searches with CATE's embeddings, of each pre-training seed, on one benchmark.

The section `search` is a configuration of `jobs.search`; an entry whose `table` is a
variant reads the embeddings that pre-training left, and its trials with one seed's are
a cluster.
"""

import copy
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

from nasjax.core import errors
from nasjax.jobs import config_door
from nasjax.jobs.cate import pretrain
from nasjax.jobs.cate.settings import Config
from nasjax.jobs.search import trials

FOLDER = "search"
"""Below the working directory."""


def run(filled: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    """Runs all searches and returns `search/result.json`.

    Raises:
      ConfigError: there is no section `search`, or a setting does not fit.
      DataError: embeddings or the benchmark are missing or damaged.
      search.Stopped: the process was asked to stop; the same call continues.
    """
    if "search" not in filled:
        raise errors.ConfigError("the configuration has no section `search`")
    wanted = copy.deepcopy(_plain(filled["search"]))
    own = config_door.read(Config, filled).pretraining
    digests: dict[str, list[str]] = {}
    for name, entry in wanted.get("settings", {}).items():
        variant = entry.get("table")
        if variant not in own.variants:
            continue
        places = [pretrain.place_of(folder, seed, variant) for seed in own.seeds]
        files = [place / pretrain.EMBEDDINGS_FILE for place in places]
        absent = [file for file in files if not file.exists()]
        if absent and name in wanted.get("algorithms", ()):
            raise errors.DataError(
                f"{name}: there is no {absent[0]}; run --mode=pretrain first"
            )
        if absent:
            entry.pop("table")
            continue
        entry["table"] = [str(file) for file in files]
        # Trials of other embeddings are not these, wherever the files lie.
        digests[variant] = [
            hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files
        ]
    wanted["embeddings"] = digests
    return trials.run(wanted, str(folder / FOLDER))


def _plain(section: Any) -> Any:
    if isinstance(section, Mapping):
        return {key: _plain(value) for key, value in section.items()}
    return section
