"""Errors a user can act on: each names the file, key or value at fault and the remedy.

Launch scripts print the message of a `NasjaxError` on one line and exit with
status 1; any other exception is a bug and keeps its traceback.
"""

import difflib
from collections.abc import Iterable


class NasjaxError(Exception):
    """Base of every error that a user of nasjax can mend."""


class ConfigError(NasjaxError):
    """A configuration value is missing, unknown or out of range."""


class DataError(NasjaxError):
    """A data file is missing, truncated, malformed or unsafe to read."""


class WorkdirError(NasjaxError):
    """A working directory holds something that this run must not overwrite."""


class DivergedError(NasjaxError):
    """Training produced a loss that is not finite."""


class UnknownArchitecture(NasjaxError):
    """An architecture string or encoding does not belong to the space or table."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Returns `" (did you mean 'x'?)"` for the nearest known name, else `""`."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {nearest[0]!r}?)" if nearest else ""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Error for a name that no registry has.

    Args:
      kind: what is being looked up, such as `"data set"`.
      name: the name that was not found.
      known: all names that exist.

    Returns:
      A `ConfigError` that suggests the nearest name and lists all of them.
    """
    names = sorted(known)
    near = suggest(name, names) if isinstance(name, str) else ""
    return ConfigError(f"unknown {kind} {name!r}{near}; known: {', '.join(names)}")
