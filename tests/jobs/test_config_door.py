"""Natural mistakes, over every script and every packaged configuration."""

import copy
import functools
import importlib
import re
import runpy

import pytest
import shared

from nasjax.core import errors
from nasjax.jobs import config_door, defaults

JOBS = {
    "launch/hmnas.py": ("hmnas.modes", ["train", "evaluate", "control"]),
    "launch/arch2vec.py": ("arch2vec.pretrain", ["train", "pretrain", "search"]),
    "launch/cate.py": ("cate.modes", ["pretrain", "encodings", "search"]),
    "launch/nasbench_x11.py": ("nasbench_x11.modes", ["fit", "evaluate", "sample"]),
    "launch/nasbench_x11.py --mode=build": ("nasbench_x11.modes", ["build", "install"]),
    "launch/search.py": ("search.trials", ["trials"]),
    "launch/search.py --mode=drive": ("search.trials", ["drive"]),
    "launch/train_architecture.py": ("train_architecture.run", [None]),
}
"""Module and modes of every command of `defaults.KINDS`."""


def plain(config):
    if hasattr(config, "items"):
        return {key: plain(value) for key, value in config.items()}
    return list(config) if isinstance(config, tuple) else config


@functools.cache
def packaged():
    """(file:preset, filled configuration) of everything in `configs/`."""
    found = []
    for path in sorted((shared.ROOT / "configs").rglob("*.py")):
        module = runpy.run_path(str(path))
        for preset in module.get("PRESETS", ("",)):
            get_config = module["get_config"]
            config = plain(get_config(preset) if preset else get_config())
            for command in commands(config):
                own = part(config, command)
                found.append((f"{path.name}:{preset}", defaults.fill(command, own)))
    return found


def part(config, command):
    """What one command reads of a file for two: digits111 is built and fitted to."""
    others = {
        key
        for other in commands(config)
        if other != command
        for key in defaults.KINDS[other]
    }
    return {key: value for key, value in config.items() if key not in others}


def commands(config):
    """The commands that read a configuration."""
    return defaults.commands_of(config)


def script(command):
    return command.split()[0].removeprefix("launch/").removesuffix(".py")


def leaves(config, place=()):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key), value


def changed(config, keys, value):
    made = copy.deepcopy(config)
    functools.reduce(lambda node, key: node[key], keys[:-1], made)[keys[-1]] = value
    return made


def call(command, mode, config, folder):
    module = importlib.import_module(f"nasjax.jobs.{JOBS[command][0]}")
    arguments = (config, str(folder)) if mode is None else (config, str(folder), mode)
    return module.run(*arguments)


def refused(command, mode, config, folder):
    """The message of the one-line error that a job raises at the door."""
    with pytest.raises(errors.NasjaxError) as error:
        call(command, mode, config, folder)
    assert "\n" not in str(error.value) and not folder.exists()
    return str(error.value)


EVERY = [(command, mode) for command, (_, modes) in JOBS.items() for mode in modes]


def test_every_packaged_configuration_is_of_one_command_and_passes():
    seen = set()
    for name, config in packaged():
        (command,) = commands(config)
        seen.add(command)
        entered = config_door.enter(command, config)
        assert entered == config and type(next(iter(entered.values()))) is not dict, (
            name
        )
    assert seen == set(JOBS) == set(defaults.KINDS)


@pytest.mark.parametrize(("command", "mode"), EVERY)
def test_the_configuration_of_another_script_or_mode_is_named(command, mode, tmp_path):
    others = {commands(config)[0]: config for _, config in packaged()}
    del others[command]
    for other, config in others.items():
        message = refused(command, mode, config, tmp_path / "run")
        assert f"this is a configuration of {other};" in message
        assert f"{command} needs the keys" in message and "--config" in message


@pytest.mark.parametrize(("command", "mode"), EVERY)
def test_a_missing_key_is_named_wherever_it_is_read(command, mode, tmp_path):
    config = next(c for _, c in packaged() if commands(c) == [command])
    entered = config_door.enter(command, config)
    with pytest.raises(errors.ConfigError, match="no key 'sead'"):
        entered["sead"]
    for key, value in config.items():
        if isinstance(value, dict):
            with pytest.raises(errors.ConfigError, match=f"no key '{key}.zzz'"):
                entered[key]["zzz"]
    # It still is what the job writes into its folder.
    assert copy.deepcopy(entered) == config


@pytest.mark.parametrize(("command", "mode"), EVERY)
def test_a_job_refuses_bad_numbers_before_it_reads_anything(command, mode, tmp_path):
    config = next(c for _, c in packaged() if commands(c) == [command])
    keys = next(keys for keys, value in leaves(config) if keys[-1] in ("seed", "seeds"))
    value = [-1] if keys[-1] == "seeds" else -1
    message = refused(command, mode, changed(config, keys, value), tmp_path / "run")
    assert ".".join(keys) in message and "-1 must be in 0.." in message


@pytest.mark.parametrize("key", ["seed", "pretrain.seed"])
def test_no_seed_is_not_a_seed(key):
    section, _, _ = key.rpartition(".")
    config = {section: {"seed": None}} if section else {"seed": None}
    with pytest.raises(errors.ConfigError, match=f"{key} = None must be a whole"):
        config_door.check_numbers("search", config)


def whole_numbers():
    """(command, configuration, keys) of every whole number of every configuration."""
    seen = set()
    for _, config in packaged():
        (command,) = commands(config)
        for keys, value in leaves(config):
            items = value if isinstance(value, list) else [value]
            whole = items and all(type(item) is int for item in items)
            if whole and (command, keys) not in seen:
                seen.add((command, keys))
                yield command, config, keys, isinstance(value, list)


def test_every_whole_number_has_a_least_value():
    count, patterns = 0, set()
    for command, config, keys, is_list in whole_numbers():
        name, key = script(command), ".".join(keys)
        if f"{name}:{key}" in config_door.OTHERS:
            continue
        least = config_door.least(name, key)
        assert least in (0, 1), f"{name}: {key} is not in config_door.COUNTS"
        for value in (least - 1, 2**31, 2.5, "3", True, float("inf")):
            wrong = changed(config, keys, [value] if is_list else value)
            with pytest.raises(errors.ConfigError) as error:
                config_door.check_numbers(name, wrong)
            message = str(error.value)
            assert key in message and "\n" not in message and str(value) in message
            assert re.search(r"must be (in|a) ", message)
        config_door.check_numbers(name, changed(config, keys, least))
        count += 1
        if least == 0:
            patterns |= matching(f"{name}:{key}")
    assert count > 150
    # Nothing is allowed to be 0 that no configuration has.
    optional = {"*data.num_threads", "*.data.num_classes"}
    assert set(config_door.ZERO) - patterns <= optional


def matching(full):
    fits = config_door.fnmatch.fnmatchcase
    return {pattern for pattern in config_door.ZERO if fits(full, pattern)}


def test_the_meaning_of_zero_is_said():
    with pytest.raises(errors.ConfigError, match="in 0..2147483647; 0: as many as fit"):
        config_door.check_numbers("search", {"settings": {"a": {"chunk_size": -1}}})
    with pytest.raises(
        errors.ConfigError, match="learning_rate = nan must be a finite"
    ):
        config_door.check_numbers("hmnas", {"learning_rate": float("nan")})


def test_numbers_and_keys_of_a_users_own_are_left_alone():
    own = {"mine": -3, "settings": {"x": {"temperature": 0, "offset": -1.5}}}
    config_door.check_numbers("search", own)
    entered = config_door.enter("launch/search.py", own)
    assert {key: entered[key] for key in own} == own
