"""CATE (chapter 4): `pretrain`, `encodings` (their quality) and `search`."""

from typing import Any

from nasjax.core import compilation, malloc, registry
from nasjax.jobs import config_door
from nasjax.jobs.cate import encodings, pretrain, search


def run(config: dict[str, Any], folder: str, mode: str = "pretrain") -> dict[str, Any]:
    """Runs a mode and returns what its `result.json` holds.

    Args:
      config: as in `configs/cate/`.
      folder: working directory.
      mode: a key of `MODES`.

    Raises:
      NasjaxError: bad configuration, data or working directory.
    """
    job = registry.find("mode", MODES, mode)
    path = config_door.working_directory(folder)
    filled = config_door.enter("launch/cate.py", config)
    compilation.enable_cache()
    malloc.keep_memory()
    return job(filled, path)


MODES = {
    "pretrain": pretrain.pretrain,
    "encodings": encodings.judge,
    "search": search.run,
}
