"""What a configuration holds where it says nothing.

    config = defaults.fill("launch/search.py", {"algorithms": ["random_search"]})
    config["num_trials"]

A configuration file says only what differs. Jobs fill what they are given, and launch
scripts fill what they list and let the command line change: `--help` shows every key.
So nothing here loads jax. Sections of settings are the fields of their dataclass; those
whose dataclass or function loads jax are written out, and tests compare them.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any

from nasjax.jobs.arch2vec import settings as arch2vec_settings
from nasjax.jobs.cate import settings as cate_settings
from nasjax.jobs.hmnas import settings as hmnas_settings
from nasjax.jobs.nasbench_x11 import settings as x11_settings
from nasjax.jobs.search import settings as search_settings
from nasjax.jobs.train_architecture.settings import Trainings
from nasjax.training.classifier_settings import ClassifierSettings
from nasjax.training.language_model_settings import LanguageModelSettings

Defaults = Mapping[str, Any]
"""By key a value; a group; or a type: the key is open, None until it is given."""


KINDS: Mapping[str, tuple[str, ...]] = {
    "launch/hmnas.py": ("data", "supernet"),
    "launch/arch2vec.py": ("space", "variants"),
    "launch/cate.py": ("pretraining",),
    "launch/nasbench_x11.py": ("data", "surrogates"),
    "launch/nasbench_x11.py --mode=build": ("build",),
    "launch/search.py": ("algorithms", "benchmark"),
    "launch/search.py --mode=drive": ("algorithms", "protocol"),
    "launch/train_architecture.py": ("space", "arch"),
}
"""By command the keys that only its configurations have together: a file says them."""


def commands_of(config: Mapping[str, Any]) -> list[str]:
    """The commands of `KINDS` whose keys a configuration has."""
    return [kind for kind, keys in KINDS.items() if all(key in config for key in keys)]


def fill(command: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the defaults of what it does not hold.

    Args:
      command: a key of `KINDS`.
      config: nested mappings. A group that is none there is left as it is.
    """
    return _merged(of(command, config), config)


def of(command: str, config: Mapping[str, Any]) -> Defaults:
    """The defaults of a command.

    Keys of `KINDS` that the configuration lacks have none: a file must say them.

    Args:
      command: a key of `KINDS`.
      config: some defaults depend on it, such as the network on the space.
    """
    lacking = [key for key in KINDS[command] if key not in config]
    every = COMMANDS[command](config)
    return {key: value for key, value in every.items() if key not in lacking}


def of_file(config: Mapping[str, Any]) -> Defaults:
    """The defaults of every command whose keys a file has; none for other files."""
    made: dict[str, Any] = {}
    for command in commands_of(config):
        made |= of(command, config)
    return made


def _merged(defaults: Defaults, given: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(given)
    for key, value in defaults.items():
        if isinstance(value, Mapping):
            own = given.get(key, {})
            made[key] = _merged(value, own) if isinstance(own, Mapping) else own
        elif key not in given:
            made[key] = _plain(value)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, type):
        return None
    return list(value) if isinstance(value, tuple) else value


def _fields(kind: Any) -> dict[str, Any]:
    """The defaults of a dataclass, and of its sections; those of open keys are none."""
    hints, made = typing.get_type_hints(kind), {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            made[field.name] = _fields(hints[field.name])
        elif field.default is not dataclasses.MISSING:
            made[field.name] = field.default
    return made


# --- training of architectures -------------------------------------------------------

DARTS_NETWORK = {"num_cells": 20, "channels": 36, "auxiliary": True, "stem": "cifar"}
"""Of `networks.darts.network`."""

NETWORKS: Mapping[str, Defaults] = {
    "darts": DARTS_NETWORK,
    "darts_shared": DARTS_NETWORK,
    "nasbench101": {"stem_channels": 128, "num_stacks": 3, "num_modules": 3},
    "nasbench201": {
        "channels": 16,
        "num_stages": 3,
        "num_cells": 5,
        "patch": 1,
        "affine": True,
        "momentum": 0.1,
    },
}
"""By space: `image_networks.BUILDERS`."""

TEXT_SPACES = ("nasbench_nlp",)
"""`training.protocol.TEXT_SPACES`."""


def _protocol(config: Mapping[str, Any]) -> dict[str, Any]:
    """`training.protocol.Protocol`, by its space."""
    space = str(config.get("space", ""))
    if space in TEXT_SPACES:
        return {"label_epochs": 1, "training": _fields(LanguageModelSettings)}
    network = {"network": NETWORKS[space]} if space in NETWORKS else {}
    return {
        "train_fraction": 1.0,
        "split_seed": 0,
        "color_jitter": (),
        "label_epochs": 1,
        "training": _fields(ClassifierSettings),
        **network,
    }


def _train_architecture(config: Mapping[str, Any]) -> Defaults:
    space = str(config.get("space", ""))
    left_out = {"tables", "label"} if space in TEXT_SPACES else set()
    if space != "nasbench101":  # what the draw of NAS-Bench-111 reads
        left_out |= {"searched", "table"}
    own = _fields(Trainings).items()
    return {
        **{key: value for key, value in own if key not in left_out},
        **_protocol(config),
    }


# --- HM-NAS --------------------------------------------------------------------------

SUPERNET: Defaults = {
    "num_steps": 4,
    "reductions": (-1,),  # DARTS' rule: cells L // 3 and 2 L // 3
    "stem": "cifar",
    "stem_stride": 1,
    "stem_multiplier": 3,
    "arch_sharing": "type",
    "operations": (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
    ),
}
"""Of `supernet.spec.SupernetSpec`, but for the rule of the reductions."""


def _hmnas(_: Mapping[str, Any]) -> Defaults:
    return _fields(hmnas_settings.Run) | {"supernet": SUPERNET}


# --- searches ------------------------------------------------------------------------


def _drive(config: Mapping[str, Any]) -> Defaults:
    own = _fields(search_settings.Drive)
    return own | {"protocol": _protocol(_group(config, "protocol"))}


def _group(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, Mapping) else {}


# --- arch2vec ------------------------------------------------------------------------

VARIANTS = ("thesis", "released", "improved", "without_kl", "gae", "vgae")
"""Keys of `encoders.arch2vec.model.VARIANTS`."""


def _arch2vec(config: Mapping[str, Any]) -> Defaults:
    own = {
        **_fields(arch2vec_settings.Pretraining),
        # What is not given stays as the variant has it.
        "settings": {name: {"kl_weight": float, "width": int} for name in VARIANTS},
    }
    if "search" in config:
        own["search"] = _arch2vec_search(_group(config, "search"))
    return own


def _arch2vec_search(section: Mapping[str, Any]) -> Defaults:
    data_set = _fields(arch2vec_settings.DataSet)
    return {
        **_fields(arch2vec_settings.Searches),
        # "": as pre-training wrote it.
        "tables": dict.fromkeys(("thesis", "released", "improved"), ""),
        "data_sets": dict.fromkeys(_group(section, "data_sets"), data_set),
    }


# --- NAS-Bench-x11 -------------------------------------------------------------------

COLUMNS: Defaults = {
    "epochs": "acc_{epoch}",  # or a regular expression with one group
    "epoch_zero": "first",  # epoch 0 is the first; "untrained": before training
    "features": (),  # (): all columns that are named nowhere else
    "text": (),  # categories that look like numbers
    "drop": (),  # left out, as what was measured after the training
    "index": (),  # names of a training, no features
    "unit": "",  # fraction, percent or loss; "": as the metric says
    "unfinished": "leave_out",  # trainings without all epochs, or "refuse"
    "epoch_column": "",
    "value_column": "",
    "delimiter": "",  # "": as the header shows
    "decimal": "",  # "": as the numbers show
    "thousands": "",
    "encoding": "",  # "": UTF-8, or as its byte order mark says
}
"""Of `nasbench.surrogate.csv_columns.Columns`."""

SURROGATE: Defaults = {
    "rank": 0,  # 6 for SVD, 5 for VAE
    "centered": False,
    "boosting": "thesis",
    "chained": True,  # False: components are fitted independently of each other
    "num_rounds": 0,  # 0: as boosting says, 3,000 in the thesis
    "early_stopping": 0,  # rounds without progress; 0: num_rounds, as the thesis
    "num_members": 1,
    "variant": "thesis",
    "released_clip": 0.03,
    "num_threads": 1,
}
"""Of `nasbench.surrogate.fitting.Settings`, but for what a surrogate's name says."""


def _cate(config: Mapping[str, Any]) -> Defaults:
    made = _fields(cate_settings.Config)
    if isinstance(config.get("search"), Mapping):
        made["search"] = of("launch/search.py", config["search"])
    return made


def _nasbench_x11(_: Mapping[str, Any]) -> Defaults:
    own = _fields(x11_settings.Fits)
    return own | {"data": own["data"] | {"columns": COLUMNS}, "surrogate": SURROGATE}


COMMANDS: Mapping[str, Callable[[Mapping[str, Any]], Defaults]] = {
    "launch/hmnas.py": _hmnas,
    "launch/arch2vec.py": _arch2vec,
    "launch/cate.py": _cate,
    "launch/nasbench_x11.py": _nasbench_x11,
    "launch/nasbench_x11.py --mode=build": lambda _: {
        "build": _fields(x11_settings.Build)
    },
    "launch/search.py": lambda _: _fields(search_settings.Trials),
    "launch/search.py --mode=drive": _drive,
    "launch/train_architecture.py": _train_architecture,
}
