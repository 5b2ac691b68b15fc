"""What every configuration holds once its defaults are filled in, as `filled.json`.

    python tests/filled.py > tests/configs/filled.json

records what changed on purpose.
"""

import json
import pathlib
import runpy

from nasjax.jobs import defaults

ROOT = pathlib.Path(__file__).parents[1] / "configs"
FILE = pathlib.Path(__file__).parent / "configs" / "filled.json"


def plain(config):
    """Nested dicts and lists of what `get_config` returned."""
    if hasattr(config, "items"):
        return {key: plain(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [plain(value) for value in config]
    return config


def fill(config):
    """The configuration as a job sees it."""
    made = plain(config)
    for command in defaults.commands_of(config):
        made = defaults.fill(command, made)
    return plain(made)


def presets():
    """By file and preset what `get_config` returns."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        module = runpy.run_path(str(path))
        names = module.get("PRESETS", ("",))
        get_config = module["get_config"]
        found[path.relative_to(ROOT).as_posix()] = {
            name: get_config(name) if name else get_config() for name in names
        }
    return found


def leaves(config, place=""):
    """Values by dotted key; an empty group counts as a value."""
    made = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            made |= leaves(value, f"{place}{key}.")
        else:
            made[place + key] = value
    return made


def record(files):
    """By file and preset: all values of the first one, and what differs in others."""
    made = {}
    for file, configs in files.items():
        every = {preset: leaves(fill(config)) for preset, config in configs.items()}
        first = next(iter(every.values()))
        made[file] = {
            preset: values
            if values is first
            else {
                key: value for key, value in values.items() if _new(first, key, value)
            }
            | {f"-{key}": None for key in first if key not in values}
            for preset, values in every.items()
        }
    return made


def _new(first, key, value):
    # 1, 1.0 and True are different values of a configuration.
    return key not in first or json.dumps(first[key]) != json.dumps(value)


def text(recorded):
    """JSON with a line a value."""
    files = []
    for file, configs in recorded.items():
        parts = []
        for preset, values in configs.items():
            lines = [
                f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(values.items())
            ]
            parts.append(f"{json.dumps(preset)}: {{\n" + ",\n".join(lines) + "\n}")
        files.append(f"{json.dumps(file)}: {{\n" + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(files) + "\n}\n"


if __name__ == "__main__":
    print(text(record(presets())), end="")
