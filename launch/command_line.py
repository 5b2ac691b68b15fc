"""The command line of every launch script: flags, configuration and errors.

A script calls `run(main)`; its user writes

    python launch/NAME.py --config=configs/FILE.py:PRESET --workdir=FOLDER
        --config.GROUP.KEY=VALUE ...

A file says only what differs from the defaults (`nasjax.jobs.defaults`), which are
filled in before VALUEs are read. This is the only place where a `ConfigDict` is opened:
`main` gets plain dicts.
"""

import contextlib
import copy
import difflib
import errno
import functools
import inspect
import json
import operator
import pathlib
import re
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from absl import app, flags
from ml_collections import ConfigDict, config_dict, config_flags

from nasjax.jobs import defaults, errors, progress

FLAGS = flags.FLAGS
# Flags defined here belong to the script that calls `run`: its --help shows them.
flags.disclaim_key_flags()

_ROOM = "make room there; the same command continues what was saved"
_PLACE = "choose another place, or change its permissions"
_DISK_ERRORS = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EIO: "the disk is failing; the same command continues what was saved",
    errno.ESTALE: "the network disk was lost; the same command continues",
    errno.EACCES: _PLACE,
    errno.EPERM: _PLACE,
    errno.EROFS: _PLACE,
    errno.EISDIR: "it is a folder; name a file",
    errno.EEXIST: "it is in the way; name another place",
    errno.ENOTDIR: "a part of it is a file; name another place",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "links lead round in a circle; name the file itself",
}
"""What a disk refuses, and the remedy; other errors of the system are bugs here."""

_OVERRIDE = re.compile(r"--?(no)?config\.([^=]+)(=.*)?", re.DOTALL)
_HELP = ("--help", "-help", "-h", "-?", "--helpshort", "-helpshort")


def run(
    main: Callable[[dict[str, Any], str, str], None],
    *,
    modes: Sequence[str] = ("train",),
    bare_modes: Sequence[str] = (),
    configs: str = "configs",
) -> None:
    """Parses the command line, calls `main(config, workdir, mode)` and exits.

    An error that the user can mend is one line on standard error and status 1, an
    interrupt is one line and status 130; any other exception keeps its traceback. A
    script may define further absl flags before; they appear in `--help`.

    Args:
      main: gets the configuration as nested dicts of JSON-able values, the working
        directory and the mode.
      modes: values of `--mode`; the first is the default. With one, and no
        `bare_modes`, there is no such flag; with none there are no `--config` and
        `--workdir` either.
      bare_modes: further modes, which need neither `--config` nor `--workdir`; `main`
        gets `{}` and `""` for what is not given.
      configs: folder of the script's configurations, which hints list.
    """
    known = (*modes, *bare_modes)
    argv = _exit_on_error(_read_argv)
    if modes:
        flags.DEFINE_string("config", "", "FILE or FILE:PRESET, the configuration.")
        flags.DEFINE_string(
            "workdir", "", "Folder of the run; the same one resumes it."
        )
    if len(known) > 1:
        flags.DEFINE_enum("mode", known[0], known, "What to do.")

    def parse(argv: list[str]) -> list[str]:
        if not modes:
            return _exit_on_error(lambda: _parse_bare(argv))
        return _exit_on_error(lambda: _parse(argv, bare_modes, configs))

    def call(_: list[str]) -> None:
        progress.plain_warnings()
        signal.signal(signal.SIGTERM, _terminate)
        mode = FLAGS.mode if len(known) > 1 else known[0]
        if not modes:
            _exit_on_error(lambda: main({}, "", mode))
            return
        _exit_on_error(
            lambda: main(
                to_plain(FLAGS.config) if FLAGS.config else {},
                _workdir(FLAGS.workdir),
                mode,
            )
        )

    app.run(call, argv=argv, flags_parser=parse)


def _workdir(folder: str) -> str:
    try:
        return str(pathlib.Path(folder).expanduser()) if folder else ""
    except RuntimeError as error:
        raise errors.WorkdirError(
            f"--workdir={folder}: there is no such home directory; pass another folder"
        ) from error


def to_plain(config: ConfigDict) -> dict[str, Any]:
    """Returns the configuration as nested dicts, with lists for tuples.

    Raises:
      errors.ConfigError: a value, which the message names, has no JSON form.
    """
    return {key: _plain(f"config.{key}", value) for key, value in config.items()}


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, ConfigDict | dict):
        return {key: _plain(f"{name}.{key}", item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(f"{name}[{i}]", item) for i, item in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise errors.ConfigError(f"{name} has no JSON form: {type(value).__name__}")


def _exit_on_error(call: Callable[[], Any]) -> Any:
    """Calls; what a user can mend, and an interrupt, become one line and a status."""
    try:
        return call()
    except errors.NasjaxError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in _DISK_ERRORS:
            raise
        place = error.filename2 or error.filename or "a file"
        print(
            f"error: {place}: {error.strerror}; {_DISK_ERRORS[error.errno]}",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _terminate(number: int, _: Any) -> None:
    """For parts of jobs that cannot stop in between; others handle it themselves."""
    print("stopped; the same command continues what was saved", file=sys.stderr)
    sys.exit(128 + number)


def _read_argv() -> list[str]:
    """The command line, with the contents of each --flagfile in its place."""
    try:
        return [
            sys.argv[0],
            *FLAGS.read_flags_from_files(sys.argv[1:], force_gnu=False),
        ]
    except flags.Error as error:
        raise errors.ConfigError(str(error)) from error


def _parse(argv: list[str], bare_modes: Sequence[str], configs: str) -> list[str]:
    """Sets `FLAGS`; finds the mistakes that absl would show as a traceback."""
    value, argv = _take_config(argv)
    config = _load(value, configs) if value is not None else None
    if config is not None:
        _fill(config, defaults.of_file(to_plain(config)))
    if any(argument in _HELP for argument in argv[1:]):
        _print_help(argv[0], config)
        sys.exit(0)
    _check_overrides(argv, config)
    file_values = copy.deepcopy(config)
    try:
        if config is not None:
            delattr(FLAGS, "config")  # what it names takes its place
            config_flags.DEFINE_config_dict("config", config, sys_argv=argv)
        rest = FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise _unknown_flag(error) from error
    except Exception as error:  # the file has been run: only a value can be wrong
        raise _wrong_value(error, file_values) from error
    if file_values is not None:
        _check_tuples(FLAGS.config, file_values)
    _without_arguments(rest)
    if getattr(FLAGS, "mode", None) not in bare_modes:
        _check_present(argv[0], configs, has_config=config is not None)
    return rest


def _parse_bare(argv: list[str]) -> list[str]:
    """Sets `FLAGS` of a script that takes no configuration."""
    if any(argument in _HELP for argument in argv[1:]):
        _print_docstring()
        sys.exit(0)
    try:
        rest = FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        raise _unknown_flag(error) from error
    except flags.Error as error:
        raise errors.ConfigError(" ".join(str(error).split())) from error
    return _without_arguments(rest)


def _unknown_flag(error: flags.UnrecognizedFlagError) -> errors.ConfigError:
    near = errors.suggest(error.flagname, FLAGS)
    return errors.ConfigError(f"unknown flag --{error.flagname}{near}")


def _without_arguments(rest: list[str]) -> list[str]:
    """What is left of the command line; absl's stream of notes is turned off."""
    if len(rest) > 1:
        raise errors.ConfigError(f"unexpected argument {rest[1]!r}")
    if FLAGS["verbosity"].using_default_value:
        FLAGS.verbosity = -1  # warnings
    return rest


def _take_config(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of the last --config, or None, and the other arguments."""
    value, rest, left = None, [], list(argv)
    while left:
        argument = left.pop(0)
        name, equals, given = argument.partition("=")
        if name in ("--config", "-config"):
            value = given if equals else (left.pop(0) if left else "")
        else:
            rest.append(argument)
    return value, rest


def _fill(config: ConfigDict, values: Mapping[str, Any]) -> None:
    """Adds what a configuration does not hold; references in it stay."""
    with config.unlocked():
        for key, value in values.items():
            if isinstance(value, Mapping):
                if key not in config:
                    config[key] = ConfigDict()
                if isinstance(config[key], ConfigDict):
                    _fill(config[key], value)
            elif key not in config:
                is_open = isinstance(value, type)
                config[key] = config_dict.placeholder(value) if is_open else value


def _load(value: str, configs: str) -> ConfigDict:
    """Runs the file once, so that its mistakes and ours can be told apart."""
    path, colon, preset = value.partition(":")
    if not path:
        raise errors.ConfigError(f"--config names no file{_other_files(path, configs)}")
    try:
        found = pathlib.Path(path).is_file()
    except OSError as error:
        raise errors.ConfigError(
            f"--config={path[:80]} cannot be read ({error.strerror})"
        ) from error
    if not found:
        raise errors.ConfigError(f"no config file {path}{_other_files(path, configs)}")
    with _naming_line(path):
        return _call(path, colon, preset)


@contextlib.contextmanager
def _naming_line(path: str) -> Iterator[None]:
    """An error of a configuration file is one line that says where in it."""
    try:
        yield
    except errors.NasjaxError:
        raise
    except Exception as error:
        inside = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == path
        ]
        line = inside[-1] if inside else getattr(error, "lineno", None)
        text = error.msg if isinstance(error, SyntaxError) else error
        raise errors.ConfigError(
            f"{path}{f', line {line}' if line else ''}: {type(error).__name__}: {text}"
        ) from error


def _call(path: str, colon: str, preset: str) -> ConfigDict:
    module = runpy.run_path(path, run_name="config")
    get_config = module.get("get_config")
    if not callable(get_config):
        raise errors.ConfigError(f"{path} has no function get_config")
    if not colon:
        config = get_config()
    elif not inspect.signature(get_config).parameters:
        raise errors.ConfigError(f"{path} has no presets; leave out :{preset}")
    else:
        config = _get_preset(path, preset, module)
    if not isinstance(config, ConfigDict):
        raise errors.ConfigError(f"{path}: get_config returns no ConfigDict")
    return config


def _get_preset(path: str, preset: str, module: dict[str, Any]) -> Any:
    """Calls `get_config(preset)`; the file may list its presets as `PRESETS`."""
    presets = module.get("PRESETS", ())
    if presets and preset not in presets:
        raise errors.unknown_name(f"preset of {path}", preset, presets)
    try:
        return module["get_config"](preset)
    except (KeyError, ValueError) as error:
        if preset in presets:
            raise
        says = f": {error}" if isinstance(error, ValueError) else ""
        raise errors.ConfigError(f"{path}: unknown preset {preset!r}{says}") from error


def _other_files(path: str, configs: str) -> str:
    """The script's configurations, and what lies where the user looked."""
    own, given = pathlib.Path(configs), pathlib.Path(path).parent
    folders = {own} if given.is_relative_to("configs") else {own, given}
    files = {str(file) for folder in folders for file in folder.glob("*.py")}
    found = sorted(file for file in files if not file.endswith("__init__.py"))
    if not found:
        return ""
    return f"{errors.suggest(path, found)}; there are: {', '.join(found)}"


def _check_overrides(argv: Sequence[str], config: ConfigDict | None) -> None:
    """Every --config.KEY names one value of the configuration."""
    for argument in argv[1:]:
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            continue
        if config is None:
            raise errors.ConfigError(f"{argument} needs --config=FILE before it")
        key = re.sub(r"\[.*", "", match[2])
        known = [name for name, _ in _leaves(config)]
        inside = [name for name in known if name.startswith(f"{key}.")]
        if inside:
            raise errors.ConfigError(
                f"config key {key!r} is a group: give its keys, as --config.{inside[0]}"
            )
        if key not in known:
            near = _nearest_key(key, known)
            raise errors.ConfigError(f"unknown config key {key!r}{near}")


def _check_tuples(given: ConfigDict, config: ConfigDict) -> None:
    """ml_collections takes anything inside a tuple: compare with the file's values."""
    values = dict(_leaves(given))
    for key, default in _leaves(config):
        if not isinstance(default, tuple) or not default:
            continue
        kinds = {type(item) for item in default}
        allowed = kinds | ({int} if float in kinds else set())
        wrong = [item for item in values[key] if type(item) not in allowed]
        if wrong:
            name = "/".join(sorted(kind.__name__ for kind in kinds))
            raise errors.ConfigError(
                f"config key {key!r} takes a tuple of {name} (default {default}), "
                f"not {wrong[0]!r}"
            )


def _nearest_key(key: str, known: Sequence[str]) -> str:
    """Suggests by the whole dotted key, else by its last part alone."""
    near = errors.suggest(key, known)
    if near:
        return near
    lasts = {k.rsplit(".", 1)[-1]: k for k in known}
    last = key.rsplit(".", 1)[-1]
    found = difflib.get_close_matches(last, lasts, n=1, cutoff=0.6)
    if found:
        return f" (did you mean {lasts[found[0]]!r}?)"
    return "; --help with the same --config lists the keys"


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, ConfigDict) and len(value):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _wrong_value(error: Exception, config: ConfigDict | None) -> errors.ConfigError:
    """One line for a flag whose value has the wrong type or is out of range."""
    text = " ".join(str(error).split())
    match = re.match(r"flag --(config\.\S+?)=(.*?): ", text)
    known = dict(_leaves(config)) if config is not None else {}
    key = match[1].removeprefix("config.") if match else ""
    if config is None or match is None or key not in known:
        return errors.ConfigError(text)
    *groups, last = key.split(".")
    group = functools.reduce(operator.getitem, groups, config)
    kind = group.get_type(last).__name__  # also of a key that is open
    default = json.dumps(known[key], default=str)
    return errors.ConfigError(
        f"config key {key!r} takes {kind} (default {default}), not {match[2]!r}"
    )


def _check_present(script: str, configs: str, *, has_config: bool) -> None:
    example = f"python {script} --config={configs}/FILE.py --workdir=FOLDER"
    for name, given in (("config", has_config), ("workdir", FLAGS["workdir"].present)):
        if not given:
            raise errors.ConfigError(f"--{name} is missing, as in: {example}")
    if not FLAGS.workdir:
        raise errors.ConfigError(f"--workdir is empty; give a folder, as in: {example}")


def _print_docstring() -> None:
    print((sys.modules["__main__"].__doc__ or "").strip())
    print("\nFlags (--helpfull lists those of the libraries too):")
    print(FLAGS.main_module_help().split("\n", 2)[-1].rstrip())


def _print_help(script: str, config: ConfigDict | None) -> None:
    _print_docstring()
    print("\nAny value of the configuration can be given:")
    print(f"  python {script} --config=FILE.py:PRESET --config.GROUP.KEY=VALUE ...")
    if config is None:
        print("With --config=FILE.py, --help lists its keys.")
        return
    print("\nKeys and values of this configuration:")
    for key, value in _leaves(config):
        print(f"  --config.{key}={value!r}")
