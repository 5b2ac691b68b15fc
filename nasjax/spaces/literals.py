"""Values as Python programs print them, read without evaluating anything.

What architectures are copied from: genotypes in logs, the `repr` of named tuples, numpy
and torch scalars (`np.int64(0)`), `list(range(2, 6))`, assignments out of a module.
"""

import ast
import dataclasses
import warnings
from typing import Any

MAX_CHARACTERS = 20_000
"""Longer texts are refused before they are parsed."""
_MAX_RANGE = 1000
_SCALARS = {
    *("int", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("intp", "str", "str_", "bool", "bool_", "float", "float32", "float64"),
}
_SEQUENCES = {"list", "tuple", "array", "tensor", "asarray", "Tensor"}
_MAPPINGS = {"dict", "OrderedDict", "defaultdict"}


class Name(str):
    """A name that stands in the text, such as `INPUT`."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Call:
    """A call that stands in the text, such as `Genotype(normal=[...])`.

    Attributes:
      name: without the module before it.
      args: values by position.
      kwargs: values by name.
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def read(text: str) -> Any:
    """The value that a text stands for.

    Numbers, strings, None, lists, tuples and dictionaries are themselves; `range`,
    `list`, `dict` and the scalars and arrays of numpy and torch become them. Every
    other call is a `Call`, every other name a `Name`. Of an assignment the right side
    counts, of a text in quotation marks or with a comma behind it what is inside.

    Raises:
      ValueError: the text is no such value, or longer than `MAX_CHARACTERS`.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, at most {MAX_CHARACTERS} fit")
    text = text.replace("\u00a0", " ").strip(" \t\r\n\ufeff")
    try:
        value = _parsed(text)
    except ValueError:
        plain = text.replace("\\'", "'").replace('\\"', '"')
        if plain == text:
            raise
        value = _parsed(plain)
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    inner = value if isinstance(value, str) and not isinstance(value, Name) else text
    return value if inner == text else _parsed(inner.strip())


def _parsed(text: str) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text).body
    except SyntaxError as error:
        raise ValueError("it is no Python value") from error
    except (MemoryError, RecursionError) as error:
        raise ValueError("it is nested too deep") from error
    if len(body) != 1 or not isinstance(body[0], ast.Expr | ast.Assign):
        raise ValueError("it is not one Python value")
    return _value(body[0].value)


def shown(text: str) -> str:
    """The beginning of a text, for a message."""
    return repr(text if len(text) <= 100 else f"{text[:100]}...")


def _value(node: ast.AST, depth: int = 0) -> Any:
    if depth > 20:
        raise ValueError("it is nested too deep")
    match node:
        case ast.Constant(value=str() | int() | float() | None as value):
            if isinstance(value, int) and value.bit_length() > 31:
                raise ValueError("a whole number of it has more than 32 bits")
            return value
        case ast.UnaryOp(op=sign, operand=ast.Constant(value=int() | float())) if (
            isinstance(sign, ast.USub | ast.UAdd)
        ):
            value = _value(node.operand, depth + 1)
            return -value if isinstance(sign, ast.USub) else value
        case ast.List(elts=items):
            return [_value(item, depth + 1) for item in items]
        case ast.Tuple(elts=items):
            return tuple(_value(item, depth + 1) for item in items)
        case ast.Dict(keys=keys, values=values):
            names = [None if key is None else _value(key, depth + 1) for key in keys]
            return _mapping(
                list(zip(names, (_value(v, depth + 1) for v in values), strict=True))
            )
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return Name(name)
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return _call(name, node, depth)
    raise ValueError(f"{type(node).__name__} is no plain value")


def _call(name: str, node: ast.Call, depth: int) -> Any:
    args = tuple(_value(item, depth + 1) for item in node.args)
    kwargs = {}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in kwargs:
            raise ValueError(f"{name} has a keyword twice, or **")
        kwargs[keyword.arg] = _value(keyword.value, depth + 1)
    if name in ("range", "xrange") and not kwargs:
        return _range(args)
    if name in _MAPPINGS and len(args) <= 1:
        items = args[0] if args else []
        pairs = items.items() if isinstance(items, dict) else items
        if isinstance(pairs, str | int | float | None):
            raise ValueError(f"{name} takes a dictionary or pairs")
        return _mapping([*pairs, *kwargs.items()])
    # dtype=, device= and the like say nothing about the value.
    if len(args) == 1 and name in _SCALARS and _plain(args[0]):
        return args[0]
    if len(args) == 1 and name in _SEQUENCES:
        sequence = isinstance(args[0], list | tuple)
        return list(args[0]) if sequence else args[0]
    return Call(name, args, kwargs)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, Name)


def _range(args: tuple[Any, ...]) -> list[int]:
    if not 1 <= len(args) <= 3 or any(type(arg) is not int for arg in args):
        raise ValueError("range takes one to three integers")
    numbers = range(*args)
    if len(numbers) > _MAX_RANGE:
        raise ValueError(f"a range of more than {_MAX_RANGE} numbers")
    return list(numbers)


def _mapping(pairs: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError("a dictionary is made of pairs")
        key, value = pair
        if not isinstance(key, str) or key in found:
            raise ValueError("a key of a dictionary is no string, or is there twice")
        found[str(key)] = value
    return found
