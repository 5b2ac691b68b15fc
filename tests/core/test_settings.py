"""Configurations become dataclasses: nested ones, defaults, and what does not fit."""

import dataclasses
from collections.abc import Mapping

import pytest

from nasjax.core import errors, settings


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    rate: float = 0.5
    other: Inner = dataclasses.field(default_factory=lambda: Inner(1))


def test_sections_are_read_into_fields():
    values = {"inner": {"size": 3, "names": ["a", "b"]}, "rate": 1.0}
    assert settings.read(Outer, "", values) == Outer(Inner(3, ("a", "b")), 1.0)


@dataclasses.dataclass(frozen=True)
class Several:
    inners: Mapping[str, Inner]
    open: Mapping[str, int]


def test_a_mapping_of_dataclasses_is_a_section_of_sections():
    made = settings.read(Several, "", {"inners": {"a": {"size": 3}}, "open": {"b": 1}})
    assert made == Several({"a": Inner(3)}, {"b": 1})
    for wrong, message in (
        ({"a": {"siez": 3}}, "key of config.job.inners.a 'siez'.*size"),
        ({"a": 3}, "config.job.inners.a is 3; it must be a section"),
        (3, "config.job.inners is 3; it must be a section"),
    ):
        with pytest.raises(errors.ConfigError, match=message):
            settings.read(Several, "job", {"inners": wrong, "open": {}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inner": {"siez": 3}}, "key of config.job.inner 'siez'.*size"),
        ({"iner": {"size": 3}}, "key of config.job 'iner'.*inner"),
        ({"inner": {}}, "config.job.inner.size is missing"),
        ({}, "config.job.inner is missing"),
        ({"inner": 3}, "config.job.inner is 3; it must be a section"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_the_key(values, message):
    with pytest.raises(errors.ConfigError, match=message) as error:
        settings.read(Outer, "job", values)
    assert "\n" not in str(error.value)
