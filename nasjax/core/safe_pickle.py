"""Reads pickles of plain data; nothing a file names is ever imported or called.

Every unpickling in nasjax goes through `load`. A pickle can only reach the callables
of an allow-list that the caller passes, and those are stand-ins written here or by
the reader, never the objects of that name. `NUMPY` is the list for numpy arrays,
scalars and ordered dictionaries.

`pickle_scan` refuses what would take too much memory or time before anything is built.
"""

import contextlib
import copyreg
import io
import math
import os
import pickle
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np

from nasjax.core import pickle_scan, read_guard
from nasjax.core.errors import DataError

_MAX_DIMS, _MAX_SIZE = 32, 2**48

AllowList = Mapping[tuple[str, str], Callable[..., Any]]
"""`(module, name)` as the pickle writes it, to what stands in for it."""

Source = str | os.PathLike[str] | bytes | BinaryIO


def load(
    source: Source,
    *,
    allow: AllowList,
    max_bytes: int = read_guard.MAX_BYTES,
    name: str = "",
    persistent_load: Callable[[Any], Any] | None = None,
    encoding: str = "bytes",
) -> Any:
    """Unpickles data in which only the globals of `allow` may occur.

    Args:
      source: path, open binary file or the bytes themselves.
      allow: stand-ins by `(module, name)`. A type in it must define `__setstate__`,
        so that a pickle cannot write its attributes (see `Stub`).
      max_bytes: refuse longer pickles, and arrays and strings that take more in all.
      name: what the error messages call the source; default: its path.
      persistent_load: function of a persistent id; without it they are refused.
      encoding: of the strings that Python 2 wrote; `"bytes"` keeps them as bytes.

    Returns:
      The object. Arrays are of a subclass of `numpy.ndarray`.

    Raises:
      DataError: the source is missing, too long, truncated or malformed, or asks for
        anything that is not allowed; the message names what.
    """
    check_list(allow)
    name = name or _name(source)
    content = _read(source, max_bytes, name)
    persistent = persistent_load is not None
    pickle_scan.check(content, name=name, persistent=persistent, encoding=encoding)
    # A cached extension would bypass `find_class`; the scan refuses extensions, too.
    copyreg.clear_extension_cache()
    stream = io.BufferedReader(io.BytesIO(content))
    unpickler = _Unpickler(stream, encoding=encoding)
    meter = read_guard.Meter(name, max_bytes=max_bytes)
    unpickler.restrict(allow, meter, persistent_load)
    with reading(name):
        return unpickler.load()


def reading(name: str) -> contextlib.AbstractContextManager[read_guard.Place]:
    """The guard for pickles and what is kept in them."""
    return read_guard.guard(name, "not a pickle of plain data")


def check_list(allow: AllowList) -> None:
    """Raises `TypeError` where a type of the list would let its attributes be set."""
    for target in allow.values():
        if isinstance(target, type) and not hasattr(target, "__setstate__"):
            raise TypeError(f"allow-listed type {target} lacks __setstate__")


def resolve(
    allow: AllowList, budget: read_guard.Meter, module: str, attribute: str
) -> Any:
    """What a pickle gets for a global: a type of the list, or a guarded function.

    Raises:
      DataError: the list does not have it.
    """
    target = allow.get((module, attribute))
    if isinstance(target, type):
        return target
    if target is not None:
        return Guarded(target, budget)
    name = budget.name
    found = repr(f"{module[:80]}.{attribute[:80]}")
    raise DataError(
        f"{name}: refused to load global {found}: only plain data and numpy arrays "
        "are read; get the file from its official source"
    )


class Stub:
    """An inert stand-in for an instance of any class: keeps what it was given.

    Attributes:
      args: what the class was called with.
      state: what the pickle sets as its state.
    """

    __slots__ = ("args", "state")
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> "Stub":
        stub = super().__new__(cls)
        stub.args, stub.state = args, None
        return stub

    def __init__(self, *args: Any, **_: Any) -> None:
        """Nothing: `__new__` keeps the arguments."""

    def __setstate__(self, state: Any) -> None:
        self.state = state


def is_stand_in(value: Any) -> bool:
    """Whether a value is a function or type of the allow-list, or a dtype."""
    return isinstance(value, Guarded | type | _Dtype)


def stub(name: str) -> type[Stub]:
    """A subclass of `Stub` of that name, to tell the objects of a file apart."""
    return type(name, (Stub,), {"__slots__": ()})


class _Unpickler(pickle.Unpickler):
    """The C unpickler, confined to an allow-list."""

    def restrict(
        self,
        allow: AllowList,
        budget: read_guard.Meter,
        persistent_load: Callable[[Any], Any] | None,
    ) -> None:
        self._allow, self._budget, self._persistent = allow, budget, persistent_load

    def find_class(self, module: str, name: str) -> Any:
        return resolve(self._allow, self._budget, module, name)

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise DataError(f"{self._budget.name}: refused a persistent id")
        return self._persistent(pid)


class _Metered:
    """A function of the list that allocates: it takes the budget first."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(read_guard.Meter("pickle"), *args)


class Guarded:
    """What a pickle sees of an allow-listed function: it can be called, no more."""

    __slots__ = ("_budget", "_function")

    def __init__(self, function: Callable[..., Any], budget: read_guard.Meter):
        self._function, self._budget = function, budget

    def __call__(self, *args: Any) -> Any:
        if isinstance(self._function, _Metered):
            return self._function.function(self._budget, *args)
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise DataError(f"{self._budget.name}: refused to change a function")


class _ArrayType:
    """Stands for `numpy.ndarray` itself, which pickles name but must not call."""

    def __call__(self, *args: Any) -> Any:
        raise DataError("refused to call numpy.ndarray; arrays come by _reconstruct")


class _Dtype:
    """Stands for a dtype of numbers, booleans or strings of fixed length."""

    __slots__ = ("dtype",)
    _PLAIN = re.compile(r"[<>=|]?(?:[biuf](?:1|2|4|8|16)|c(?:8|16)|[SU]\d{1,4})")
    dtype: np.dtype

    def __new__(cls, spec: Any = None, *_: Any) -> "_Dtype":
        spec = spec.decode("ascii") if isinstance(spec, bytes) else spec
        if not isinstance(spec, str) or not cls._PLAIN.fullmatch(spec):
            raise DataError(f"refused dtype {read_guard.show(spec)}: not plain numbers")
        self = super().__new__(cls)
        self.dtype = np.dtype(spec)
        return self

    def __init__(self, *_: Any) -> None:
        """Nothing: `__new__` reads the specification."""

    def __setstate__(self, state: Any) -> None:
        """Takes numpy's state, of which only the byte order may say something."""
        order: Any = state[1].decode() if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|") or any(s is not None for s in state[2:5]):
            raise DataError("refused a structured dtype: not plain numbers")
        self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array whose state is checked before numpy sees it."""

    _budget: read_guard.Meter

    def __setstate__(self, state: Any) -> None:
        *_, shape, dtype, is_fortran, data = state
        content = data.encode("latin1") if isinstance(data, str) else data
        plain = plain_dtype(dtype)
        _check_size(shape, plain, content)
        self._budget.spend(len(content))
        fields: Any = (shape, plain, bool(is_fortran), bytes(content))
        super().__setstate__(fields)


def plain_dtype(dtype: Any) -> np.dtype:
    """The numpy dtype that a dtype of a pickle stands for.

    Raises:
      DataError: it is anything else.
    """
    if not isinstance(dtype, _Dtype):
        raise DataError(f"refused {type(dtype).__name__} as the dtype of an array")
    return dtype.dtype


def _check_size(shape: Any, dtype: np.dtype, content: Any) -> None:
    """Refuses a shape that is not exactly as large as the bytes that come with it."""
    if not isinstance(content, bytes | bytearray):
        raise DataError(f"refused {type(content).__name__} as the data of an array")
    if array_bytes(shape, dtype) != len(content):
        raise DataError(
            f"refused an array of shape {str(shape)[:80]} and dtype {dtype} with "
            f"{len(content)} bytes of data"
        )


def array_bytes(shape: Any, dtype: np.dtype) -> int:
    """How many bytes an array takes.

    Raises:
      DataError: the shape is no short tuple of sizes that fit into a machine word.
    """
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMS:
        raise DataError("refused an array whose shape is not a short tuple of sizes")
    if not all(type(s) is int and 0 <= s <= _MAX_SIZE for s in shape):
        raise DataError("refused an array whose shape is not a short tuple of sizes")
    # At most 32 factors of 48 bits: the product is no long work.
    size = math.prod(shape) * dtype.itemsize
    if size > _MAX_SIZE:
        raise DataError(f"refused an array of shape {str(shape)[:80]}: too large")
    return size


def _reconstruct(
    budget: read_guard.Meter, kind: Any, shape: Any, code: Any
) -> np.ndarray:
    """`numpy.core.multiarray._reconstruct`: an empty array that awaits its state."""
    if not isinstance(kind, Guarded) or shape != (0,) or code not in (b"b", "b"):
        raise DataError(f"{budget.name}: refused a malformed array")
    array = np.ndarray.__new__(_Array, (0,), np.uint8)
    array._budget = budget
    return array


def from_buffer(
    budget: read_guard.Meter, data: Any, dtype: Any, shape: Any, order: Any
) -> np.ndarray:
    """`numpy.core.numeric._frombuffer`: the array of protocol 5.

    Args:
      budget: pays for the bytes.
      data: the bytes, exactly as many as the shape takes.
      dtype: what the allow-list `NUMPY` makes of a dtype.
      shape: a tuple of sizes.
      order: `"F"` for the order of Fortran.

    Raises:
      DataError: an argument is of another form, or the budget is used up.
    """
    plain = plain_dtype(dtype)
    _check_size(shape, plain, data)
    budget.spend(len(data))
    flat = np.frombuffer(bytes(data), plain)
    return flat.reshape(shape, order="F" if order == "F" else "C").copy(order="K")


def _scalar(budget: read_guard.Meter, dtype: Any, data: Any = b"") -> Any:
    """`numpy.core.multiarray.scalar`: one numpy scalar."""
    data = data.encode("latin1") if isinstance(data, str) else data
    plain = plain_dtype(dtype)
    _check_size((), plain, data)
    budget.spend(len(data))
    return np.frombuffer(data, plain)[0]


def _encode(budget: read_guard.Meter, text: Any, encoding: Any = None) -> bytes:
    """`_codecs.encode` as protocols 0 to 2 write bytes, and in no other form."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1", b"latin1"):
        raise DataError(
            f"{budget.name}: refused _codecs.encode with {read_guard.show(encoding)}"
        )
    budget.spend(len(text))
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """`bytes()`, as protocols 0 to 2 write empty bytes."""
    return b""


def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    """`collections.OrderedDict` of nothing or of a list of pairs; dicts keep order."""
    return dict(items)


def _set(items: Any = ()) -> set[Any]:
    """`set` of a list, as protocols 0 to 3 write it."""
    return set(items)


def _frozenset(items: Any = ()) -> frozenset[Any]:
    """`frozenset` of a list, as protocols 0 to 3 write it."""
    return frozenset(items)


_PLAIN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _Metered(_encode),
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _ArrayType(),
}
for _builtins in ("builtins", "__builtin__"):
    _PLAIN[_builtins, "bytes"] = _no_bytes
    _PLAIN[_builtins, "set"] = _set
    _PLAIN[_builtins, "frozenset"] = _frozenset
for _core in ("numpy.core", "numpy._core"):
    _PLAIN[f"{_core}.multiarray", "_reconstruct"] = _Metered(_reconstruct)
    _PLAIN[f"{_core}.multiarray", "scalar"] = _Metered(_scalar)
    _PLAIN[f"{_core}.numeric", "_frombuffer"] = _Metered(from_buffer)

NUMPY: AllowList = MappingProxyType(_PLAIN)
"""Allow-list for numpy arrays and scalars, bytes, sets and ordered dictionaries."""


def _name(source: Source) -> str:
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    return str(getattr(source, "name", "")) or "pickle"


def _read(source: Source, max_bytes: int, name: str) -> bytes:
    """The content of the source, if it is no longer than `max_bytes`."""
    if isinstance(source, bytes):
        content = source
    elif isinstance(source, str | os.PathLike):
        content = read_guard.read_file(source, max_bytes=max_bytes)
    else:
        content = source.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise DataError(f"{name}: refused: longer than {max_bytes} bytes")
    if not content:
        raise DataError(f"{name}: the file is empty; download it again")
    read_guard.refuse_placeholder(name, content)
    return content
