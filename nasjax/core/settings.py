"""One reading of a configuration: nested dicts become frozen dataclasses.

    @dataclasses.dataclass(frozen=True)
    class Training:
        epochs: int = 10

    settings.read(Training, "training", {"epochs": 3})

Keys are fields; a key that is none, or one that is missing, is one line that names
`config.SECTION.KEY`. What a value may be is checked by the dataclass itself.
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from nasjax.core import errors

T = TypeVar("T")


def read(kind: type[T], section: str, values: Mapping[str, Any]) -> T:
    """Builds a dataclass from a section of a configuration.

    Lists become tuples. A field that is itself a dataclass is read from a section of
    its own, and a mapping of dataclasses from a section of sections.

    Args:
      kind: a dataclass.
      section: of the configuration, such as "training"; "" for all of it.
      values: by key.

    Raises:
      ConfigError: a key is unknown, with the nearest one, or missing, or a section is
        none.
    """
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    require_known(section, values, [field.name for field in fields])
    hints = typing.get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in fields:
        place = f"{section}.{field.name}" if section else field.name
        if field.name not in values:
            if not _has_default(field):
                raise errors.ConfigError(f"config.{place} is missing")
            continue
        given[field.name] = _value(hints[field.name], place, values[field.name])
    return kind(**given)


def _value(kind: Any, place: str, value: Any) -> Any:
    is_section = isinstance(kind, type) and dataclasses.is_dataclass(kind)
    of = typing.get_args(kind) if typing.get_origin(kind) is Mapping else ()
    are_sections = bool(of) and dataclasses.is_dataclass(of[1])
    if (is_section or are_sections) and not isinstance(value, Mapping):
        raise errors.ConfigError(f"config.{place} is {value!r}; it must be a section")
    if is_section:
        return read(kind, place, value)
    if are_sections:
        return {key: _value(of[1], f"{place}.{key}", value[key]) for key in value}
    return tuple(value) if isinstance(value, list) else value


def require_known(section: str, values: Iterable[str], known: Iterable[str]) -> None:
    """Raises `ConfigError` for a key of a section that is not one of the known ones."""
    known = list(known)
    for key in values:
        if key not in known:
            place = f"config.{section}" if section else "config"
            raise errors.unknown_name(f"key of {place}", key, known)


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing
