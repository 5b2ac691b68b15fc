"""Reads one pickle from a stream in plain Python, with hooks to keep it small.

`safe_pickle.load` is faster and the right choice for what fits into memory.
The machine here reads what does not: a hook sees the items of every dictionary before
they are stored, so that a reader can convert and drop them, and the memo, which would
keep every object of the file alive, can be thinned out. Only plain data are built, and
what the stand-ins of the allow-list return.
"""

import re
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from nasjax.core import pickle_scan, read_guard, safe_pickle
from nasjax.core.errors import DataError

Pairs = list[tuple[Any, Any]]

_CHUNK = 1 << 20
_OPCODES = 1 << 12
_SMALL_LONG, _MAX_LINE = 8, 1 << 24
_PAIR = re.compile(rb"(?s)([Kh].|M..|j.{4})G(.{8})")
_PAIRS = re.compile(rb"(?s:(?:[Kh].|M..|j.{4})G.{8})++")
_DOUBLE = struct.Struct(">d").unpack_from


class Machine:
    """The pickle machine; a subclass overrides the hooks.

    Attributes:
      name: what error messages call the stream.
      memo: objects by memo index; entries may be deleted at any time, and reading one
        that is gone is a `DataError`.
      budget: what may still be held and done; the bytes of arrays count over all
        calls of `load`, opcodes until `renew`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        allow: safe_pickle.AllowList,
        name: str,
        max_item_bytes: int = read_guard.MAX_BYTES,
        max_opcodes: int = 1_000_000,
        encoding: str = "latin1",
    ):
        """Prepares to read; nothing is read yet.

        Args:
          stream: at the first opcode; it is read ahead of the end of the pickle.
          allow: as for `safe_pickle.load`.
          name: what error messages call the stream.
          max_item_bytes: refuse longer strings and frames, and arrays that take more
            in all.
          max_opcodes: refuse streams with more of them, pairs of a key and a float
            counted once; a reader that drops what it has read calls `renew`.
          encoding: of the strings that Python 2 wrote; `"bytes"` keeps them.
        """
        safe_pickle.check_list(allow)
        self.name = name
        self.memo: dict[int, Any] = {}
        self._stream, self._allow, self._encoding = stream, allow, encoding
        self._max_item = max_item_bytes
        self.budget = read_guard.Meter(
            name, max_bytes=max_item_bytes, max_objects=max_opcodes
        )
        self._buffer, self._at = b"", 0
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._next_index = 0

    def renew(self) -> None:
        """Gives opcodes and seconds back; what was read so far has been dropped."""
        self.budget.renew()

    def on_items(self, target: dict[Any, Any], pairs: Pairs) -> Pairs:
        """Hook: what to store in `target`, which is about to get `pairs`."""
        return pairs

    def on_build(self, instance: Any) -> Any:
        """Hook: what takes the place of an instance that has got its state."""
        return instance

    def persistent_load(self, pid: Any) -> Any:
        """Hook: the object of a persistent id; refused unless overridden."""
        raise DataError(f"{self.name}: refused a persistent id")

    def load(self) -> Any:
        """Reads one pickle and returns its object; may be called again for the next.

        Raises:
          DataError: the stream is truncated or malformed, or asks for anything that
            the allow-list does not have.
        """
        self._stack, self._marks, self.memo, self._next_index = [], [], {}, 0
        handlers = _HANDLERS
        with safe_pickle.reading(self.name):
            while True:
                self.budget.count(_OPCODES)
                for _ in range(_OPCODES):
                    if self._at >= len(self._buffer):
                        self._fill(1)
                    code = self._buffer[self._at]
                    self._at += 1
                    if code == _STOP:
                        return self._stack.pop()
                    handler = handlers[code]
                    if handler is None:
                        raise DataError(f"{self.name}: refused opcode 0x{code:02x}")
                    handler(self)

    def read(self, size: int) -> bytes:
        """The next `size` bytes; also for raw data that lie between two opcodes."""
        end = self._at + size
        if end > len(self._buffer):
            self._fill(size)
            end = size
        data = self._buffer[self._at : end]
        self._at = end
        return data

    def _fill(self, size: int) -> None:
        """Gets `size` bytes into the buffer, from its start on."""
        if size > self._max_item:
            raise DataError(f"{self.name}: refused an item of {size} bytes")
        parts = [self._buffer[self._at :]]
        missing = size - len(parts[0])
        while missing > 0:
            parts.append(self._stream.read(_CHUNK))
            missing -= len(parts[-1])
            if not parts[-1]:
                raise DataError(
                    f"{self.name}: the file is truncated; download it again"
                )
        self._buffer, self._at = b"".join(parts), 0

    def _line(self) -> bytes:
        """The bytes up to the next end of line."""
        end = self._buffer.find(b"\n", self._at)
        while end < 0:
            known = len(self._buffer) - self._at
            if known > _MAX_LINE:
                raise DataError(f"{self.name}: a line of more than {known} bytes")
            self._fill(known + 1)
            end = self._buffer.find(b"\n", known)
        line = self._buffer[self._at : end]
        self._at = end + 1
        return line

    def _uint(self, width: int) -> int:
        return int.from_bytes(self.read(width), "little")

    def _items(self) -> list[Any]:
        """The items above the last mark, which goes."""
        items, self._stack = self._stack, self._marks.pop()
        return items

    def _protocol(self) -> None:
        version = self._uint(1)
        if version > 5:
            raise DataError(f"{self.name}: pickle protocol {version} is not known")

    def _frame(self) -> None:
        self.read(8)  # frames only help a reader to prefetch

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _pop(self) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self._items()

    def _float(self) -> None:
        self._stack.append(_DOUBLE(self.read(8))[0])
        run = _PAIRS.match(self._buffer, self._at)
        if run:
            self._at = run.end()
            self._pairs(_PAIR.findall(run[0]))

    def _pairs(self, pairs: list[tuple[bytes, bytes]]) -> None:
        """Pushes (number or memo entry, float) pairs, the bulk of a table of curves."""
        self.budget.count(len(pairs))
        for key, value in pairs:
            index = int.from_bytes(key[1:], "little")
            if key[0] in b"KM":
                self._stack.append(index)
            else:
                self._get(index)
            self._stack.append(_DOUBLE(value)[0])

    def _line_int(self) -> None:
        line = self._line().strip().rstrip(b"L")
        booleans = {b"00": False, b"01": True}
        self._stack.append(booleans[line] if line in booleans else int(line))

    def _line_string(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] not in (b"'", b'"') or line[:1] != line[-1:]:
            raise DataError(f"{self.name}: a malformed string")
        self._python_2(line[1:-1].decode("unicode_escape").encode("latin1"))

    def _python_2(self, data: bytes) -> None:
        text = data if self._encoding == "bytes" else data.decode(self._encoding)
        self._stack.append(text)

    def _text(self, data: bytes) -> None:
        self._stack.append(data.decode("utf-8", "surrogatepass"))

    def _long(self, data: bytes) -> None:
        if len(data) > _SMALL_LONG:  # as keys, large numbers can be made to collide
            self.budget.count(len(data) + 1000)
        self._stack.append(int.from_bytes(data, "little", signed=True))

    def _put(self, index: int) -> None:
        self.memo[index] = self._stack[-1]
        self._next_index = max(self._next_index, index + 1)

    def _get(self, index: int) -> None:
        try:
            self._stack.append(self.memo[index])
        except KeyError:
            raise DataError(
                f"{self.name}: refers back to data that are not there or were not "
                "kept; its layout is not the official one"
            ) from None

    def _tuple(self, size: int) -> None:
        if len(self._stack) < size:
            raise DataError(f"{self.name}: a tuple without items")
        self._stack[-size:] = [self._checked(tuple(self._stack[-size:]))]

    def _checked(self, made: tuple[Any, ...]) -> tuple[Any, ...]:
        """The tuple, if a hash of it neither recurses deeply nor takes long.

        Tuples that hold another one twice, level after level, hold 2^levels values.
        """
        if not any(type(item) is tuple for item in made):
            return made
        seen, pending = 0, [made]
        while pending:
            inner = pending.pop()
            seen += len(inner)
            if seen > pickle_scan.MAX_TUPLE:
                raise DataError(
                    f"{self.name}: refused: tuples that are nested too deeply"
                )
            pending += [item for item in inner if type(item) is tuple]
        self.budget.count(seen)
        return made

    def _global(self, module: str, attribute: str) -> Any:
        return safe_pickle.resolve(self._allow, self.budget, module, attribute)

    def _line_global(self) -> None:
        module, attribute = self._line().decode(), self._line().decode()
        self._stack.append(self._global(module, attribute))

    def _stack_global(self) -> None:
        attribute, module = self._stack.pop(), self._stack.pop()
        if not isinstance(module, str) or not isinstance(attribute, str):
            raise DataError(f"{self.name}: a global without a name")
        self._stack.append(self._global(module, attribute))

    def _call(self, function: Any, args: Any) -> None:
        """Calls what `_global` returned; nothing else can be called."""
        allowed = isinstance(function, safe_pickle.Guarded) or (
            isinstance(function, type) and function in self._allow.values()
        )
        if not allowed or not isinstance(args, tuple):
            raise DataError(f"{self.name}: refused to call {type(function).__name__}")
        self._stack.append(function(*args))

    def _reduce(self) -> None:
        args, function = self._stack.pop(), self._stack.pop()
        self._call(function, args)

    def _reduce_named(self) -> None:
        kwargs = self._stack.pop()
        if kwargs:
            raise DataError(f"{self.name}: refused a call with named arguments")
        self._reduce()

    def _line_instance(self) -> None:
        self._line_global()
        function = self._stack.pop()
        self._call(function, tuple(self._items()))

    def _instance(self) -> None:
        function, *args = self._items()
        self._call(function, tuple(args))

    def _build(self) -> None:
        state, instance = self._stack.pop(), self._stack.pop()
        if isinstance(instance, type) or not hasattr(instance, "__setstate__"):
            raise DataError(
                f"{self.name}: refused a state of {type(instance).__name__}"
            )
        instance.__setstate__(state)
        self._stack.append(self.on_build(instance))

    def _store(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise DataError(f"{self.name}: refused items of {type(target).__name__}")
        pairs = list(zip(items[::2], items[1::2], strict=True))
        target.update(self.on_items(target, pairs))

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._store([key, value])

    def _dict(self) -> None:
        items = self._items()
        self._stack.append({})
        self._store(items)

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is set:
            target.update(items)
        elif type(target) is list:
            target.extend(items)
        else:
            raise DataError(f"{self.name}: refused items of {type(target).__name__}")

    def _persistent_line(self) -> None:
        self._stack.append(self.persistent_load(self._line().decode("ascii")))


_STOP = ord(".")
_Handler = Callable[[Machine], None]


def _push(make: Callable[[Machine], Any]) -> _Handler:
    def handler(machine: Machine) -> None:
        value = make(machine)  # may exchange the stack: look that up afterwards
        machine._stack.append(value)

    return handler


def _counted(width: int, put: Callable[[Machine, bytes], None]) -> _Handler:
    return lambda m: put(m, m.read(m._uint(width)))


_BY_NAME: dict[str, _Handler] = {
    "(": Machine._mark,
    "0": Machine._pop,
    "1": lambda m: m._items().clear(),
    "2": _push(lambda m: m._stack[-1]),
    "N": _push(lambda m: None),
    "\x88": _push(lambda m: True),
    "\x89": _push(lambda m: False),
    "G": Machine._float,
    "F": _push(lambda m: float(m._line())),
    "I": Machine._line_int,
    "L": Machine._line_int,
    "J": _push(lambda m: int.from_bytes(m.read(4), "little", signed=True)),
    "K": _push(lambda m: m._uint(1)),
    "M": _push(lambda m: m._uint(2)),
    "\x8a": _counted(1, Machine._long),
    "\x8b": _counted(4, Machine._long),
    "S": Machine._line_string,
    "U": _counted(1, Machine._python_2),
    "T": _counted(4, Machine._python_2),
    "V": _push(lambda m: m._line().decode("raw_unicode_escape")),
    "\x8c": _counted(1, Machine._text),
    "X": _counted(4, Machine._text),
    "\x8d": _counted(8, Machine._text),
    "C": _counted(1, lambda m, data: m._stack.append(data)),
    "B": _counted(4, lambda m, data: m._stack.append(data)),
    "\x8e": _counted(8, lambda m, data: m._stack.append(data)),
    "\x96": _counted(8, lambda m, data: m._stack.append(bytearray(data))),
    ")": _push(lambda m: ()),
    "]": _push(lambda m: []),
    "}": _push(lambda m: {}),
    "\x8f": _push(lambda m: set()),
    "t": _push(lambda m: m._checked(tuple(m._items()))),
    "l": _push(lambda m: list(m._items())),
    "d": Machine._dict,
    "\x91": _push(lambda m: frozenset(m._items())),
    "\x85": lambda m: m._tuple(1),
    "\x86": lambda m: m._tuple(2),
    "\x87": lambda m: m._tuple(3),
    "a": lambda m: m._extend([m._stack.pop()]),
    "e": lambda m: m._extend(m._items()),
    "\x90": lambda m: m._extend(m._items()),
    "s": Machine._set_item,
    "u": lambda m: m._store(m._items()),
    "h": lambda m: m._get(m._uint(1)),
    "j": lambda m: m._get(m._uint(4)),
    "g": lambda m: m._get(int(m._line())),
    "q": lambda m: m._put(m._uint(1)),
    "r": lambda m: m._put(m._uint(4)),
    "p": lambda m: m._put(int(m._line())),
    "\x94": lambda m: m._put(m._next_index),
    "c": Machine._line_global,
    "\x93": Machine._stack_global,
    "R": Machine._reduce,
    "\x81": Machine._reduce,
    "\x92": Machine._reduce_named,
    "i": Machine._line_instance,
    "o": Machine._instance,
    "b": Machine._build,
    "P": Machine._persistent_line,
    "Q": _push(lambda m: m.persistent_load(m._stack.pop())),
    "\x80": Machine._protocol,
    "\x95": Machine._frame,
}
_HANDLERS: list[_Handler | None] = [_BY_NAME.get(chr(code)) for code in range(256)]
