"""The folder of one run: whose it is, and that only one process writes to it."""

import errno
import fcntl
import json
import os
import pathlib
from collections.abc import Callable, Collection
from typing import Any

from absl import logging

from nasjax.core import errors, result

CONFIG_FILE = "config.json"
_LOCK_FILE = ".lock"
_ABSENT = "(absent)"
_ELSEWHERE = "use another --workdir or delete this one"
_locks: dict[pathlib.Path, int] = {}


def claim(
    workdir: str | os.PathLike[str],
    config: dict[str, Any],
    *,
    ignore: Collection[str] = (),
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    wait: bool = False,
) -> bool:
    """Takes `workdir` for a run of `config`, before anything is written there.

    The first run writes `config.json`; later ones must have the same configuration.
    The folder stays locked against other processes until this one ends (however it
    ends) or calls `release`; the same process may claim it again.

    Args:
      workdir: the folder; made when it is missing.
      config: nested dicts of JSON-able values.
      ignore: dotted keys, or groups of keys, that may differ, such as `"data.dir"`.
      wait: until another process has left the folder, instead of an error; a line says
        for which.

    Returns:
      True when the folder holds an earlier run of the same configuration.

    Raises:
      errors.WorkdirError: the folder cannot be written, another process uses it, or
        it holds a run of another configuration. It is left as it was.
    """
    folder = pathlib.Path(workdir)
    config = result.to_json(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = _lock(folder, wait)
    except OSError as error:
        raise errors.WorkdirError(
            f"{folder}: cannot be used as workdir ({error.strerror}); "
            "choose another --workdir"
        ) from error
    except ValueError as error:  # a zero character
        raise errors.WorkdirError(
            f"{str(folder)!r} is no path ({error}); choose another --workdir"
        ) from error
    try:
        return _compare_or_write(folder, config, ignore, complete)
    except BaseException:
        if is_new:
            release(folder)
        raise


def release(workdir: str | os.PathLike[str]) -> None:
    """Unlocks a claimed folder for other processes; harmless when it is not."""
    descriptor = _locks.pop(pathlib.Path(workdir).resolve(), None)
    if descriptor is not None:
        os.close(descriptor)


def _compare_or_write(
    folder: pathlib.Path,
    config: dict[str, Any],
    ignore: Collection[str],
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None,
) -> bool:
    path = folder / CONFIG_FILE
    if not path.exists():
        try:
            result.write(path, config)
        except OSError as error:
            raise errors.WorkdirError(
                f"{path}: cannot be written ({error.strerror}); choose another "
                "--workdir"
            ) from error
        return False
    try:
        earlier = result.read(path, remedy=_ELSEWHERE)
    except errors.DataError as error:
        text = str(error).removesuffix(f"; {_ELSEWHERE}")
        raise errors.WorkdirError(f"{text}; {_ELSEWHERE}") from error
    if complete is not None:
        earlier = complete(earlier)
    difference = _first_difference(earlier, config, ignore)
    if difference is None:
        return True
    key, before, now = difference
    raise errors.WorkdirError(
        f"{folder}: holds a run with config.{key} = {before}, not {now}; {_ELSEWHERE}"
    )


def _lock(folder: pathlib.Path, wait: bool) -> bool:
    """Locks the folder for this process; the kernel unlocks it when it dies.

    Returns False when this process had locked it before.
    """
    key = folder.resolve()
    if key in _locks:
        return False
    descriptor = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _take(folder, descriptor, wait)
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    except errors.WorkdirError:
        os.close(descriptor)
        raise
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            os.close(descriptor)
            raise
        logging.warning("%s cannot be locked: run one process there at a time", folder)
    _locks[key] = descriptor
    return True


def _take(folder: pathlib.Path, descriptor: int, wait: bool) -> None:
    """Locks an open lock file, now or when its owner lets go of it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 20).decode(errors="replace") or "(unknown)"
        if not wait:
            raise errors.WorkdirError(
                f"{folder}: process {owner} is running there; wait for it, or use "
                "another --workdir"
            ) from error
        logging.warning("%s: waiting for process %s to leave it", folder, owner)
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _first_difference(
    earlier: dict[str, Any], config: dict[str, Any], ignore: Collection[str]
) -> tuple[str, str, str] | None:
    """Dotted key, earlier and new value (as JSON) of the first one that differs."""
    before, now = dict(_flatten(earlier)), dict(_flatten(config))
    for key in [*now, *(key for key in before if key not in now)]:
        parts = key.split(".")
        if any(".".join(parts[: i + 1]) in ignore for i in range(len(parts))):
            continue
        old, new = (
            json.dumps(values[key]) if key in values else _ABSENT
            for values in (before, now)
        )
        if old != new and not _same_number(before.get(key), now.get(key)):
            return key, old, new
    return None


def _same_number(a: Any, b: Any) -> bool:
    """True for 3 and 3.0, which a hand-written configuration may mix."""
    return type(a) in (int, float) and type(b) in (int, float) and a == b


def _flatten(config: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Values by dotted key; an empty group counts as a value."""
    items = []
    for key, value in config.items():
        if isinstance(value, dict) and value:
            items += _flatten(value, f"{prefix}{key}.")
        else:
            items.append((f"{prefix}{key}", value))
    return items
