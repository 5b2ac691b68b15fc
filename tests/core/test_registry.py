"""Names that stand for functions: every wrong call is one line that says what is."""

import functools
import inspect

import pytest

from nasjax import data, encoders, predictors, search, spaces
from nasjax.core import errors, registry


def _box(space, *, width, height=2):
    return space, width, height


def _free(**options):
    return options


BOXES = {"box": _box, "wide": functools.partial(_box, width=9), "free": _free}


def test_make_calls_the_factory_with_arguments_and_options():
    assert registry.make("box", BOXES, "box", ("s",), {"width": 3}) == ("s", 3, 2)
    assert registry.make("box", BOXES, "wide", ("s",)) == ("s", 9, 2)
    assert registry.make("box", BOXES, "free", (), {"any": 1}) == {"any": 1}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bx", {}, r"^unknown box 'bx' \(did you mean 'box'\?\); known: box, free, wi"),
        (3, {}, "^unknown box '3'; known: box, free, wide$"),
        ("box", {}, r"^the box 'box' needs width=\.\.\.$"),
        ("box", {"widht": 3}, r"^unknown option of the box 'box' 'widht' \(did you me"),
        ("box", {"space": 3}, "^unknown option of the box 'box' 'space'"),
    ],
)
def test_what_is_wrong_is_named(name, options, message):
    with pytest.raises(errors.ConfigError, match=message):
        registry.make("box", BOXES, name, ("s",), options)


def test_options_of_a_factory_say_which_are_needed():
    found = registry.options_of(_box, taken=1)
    assert found == {"width": inspect.Parameter.empty, "height": 2}
    assert registry.options_of(BOXES["wide"], 1) == {"width": 9, "height": 2}


@pytest.mark.parametrize(
    "call",
    [
        lambda options: data.load("digits", **options),
        lambda options: encoders.make("path_one_hot", "nasbench201", **options),
        lambda options: predictors.make("gp", **options),
        lambda options: spaces.make("darts", **options),
        lambda options: search.make("random_search", spaces.make("darts"), **options),
    ],
)
def test_every_registry_refuses_an_unknown_option(call):
    with pytest.raises(errors.ConfigError, match="^unknown .* of .* 'nonsense'"):
        call({"nonsense": 1})
