"""Checks the opcodes of a pickle before anything is built from them.

The C unpickler allocates what an opcode declares before it looks whether the bytes are
there: the five bytes of `LONG_BINPUT 0xffffffff` make a memo of 64 GB. It also builds
40 million lists from 40 MB, overflows the stack of the process when it hashes a tuple
nested a million deep, and never ends where tuples that hold each other twice are a key.
One pass over the opcodes, which follows the stack of the machine as far as tuples are
concerned and mostly runs at the speed of a regular expression, refuses such streams
first.
"""

import functools
import pickletools
import re
from collections.abc import Callable

from nasjax.core import read_guard
from nasjax.core.errors import DataError

# As many values without a declared length as follow one another, up to a number that
# bounds what is held of them; the quantifier is possessive, so that nothing is kept for
# backtracking.
_VALUE = rb"[N\x88\x89]|K.|M..|J.{4}|G.{8}|h.|j.{4}"
_VALUES = re.compile(rb"(?s:" + _VALUE + rb"){1,65536}+")
_PAIRS = re.compile(rb"(?s:K.G.{8}){1,65536}+")  # of a curve by epoch
_PAIR_WIDTH = 11
_SPLIT = re.compile(rb"(?s:" + _VALUE + rb")")
_FIRST = frozenset(b"N\x88\x89KMJGhj")
_STOP, _K = ord("."), ord("K")
_LINES = {code: 1 for code in b"ILSVFgpP"} | {code: 2 for code in b"ci"}
_INDEXED = {ord("p"): "PUT", ord("r"): "LONG_BINPUT", ord("q"): "BINPUT"}
_COUNTED = {
    ord("U"): 1,  # SHORT_BINSTRING
    ord("T"): 4,  # BINSTRING
    0x8C: 1,  # SHORT_BINUNICODE
    ord("X"): 4,  # BINUNICODE
    0x8D: 8,  # BINUNICODE8
    ord("C"): 1,  # SHORT_BINBYTES
    ord("B"): 4,  # BINBYTES
    0x8E: 8,  # BINBYTES8
    0x96: 8,  # BYTEARRAY8
    0x8A: 1,  # LONG1
    0x8B: 4,  # LONG4
}
_LONGS = (0x8A, 0x8B)
_OLD_STRING = ord("T")
_TEXTS = (ord("X"), 0x8D)
_SHORT_TEXT = 0x8C
_FRAME = 0x95
_SHORT = b"GKqh\x80MJj"  # without their argument when no handler takes them
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}
_NEVER = "which plain data never need"

# Bytes of what an opcode makes, its place in a list or on the stack included, and never
# less than what bounds the time of this pass.
_VALUE_BYTES, _TEXT_BYTES, _MEMO_BYTES, _ITEM_BYTES = 48, 96, 48, 104
_MADE = {ord("]"): 88, ord("}"): 96, 0x8F: 248, ord(")"): 48}
_CALL_BYTES = 256

MAX_TUPLE = 4096
"""Values inside a tuple of tuples, counted as often as they are reached."""

MAX_TUPLES = 10_000
_MAX_LONGS = 1_000
_SMALL_LONG = 8


def check(
    content: bytes,
    *,
    name: str,
    persistent: bool = False,
    encoding: str = "bytes",
    max_objects_bytes: int = read_guard.MAX_OBJECTS_BYTES,
) -> int:
    """Checks that a pickle declares no more than it holds, and is cheap to build.

    Args:
      content: the bytes of one pickle, possibly followed by others.
      name: what the error messages call it.
      persistent: whether persistent ids are read.
      encoding: of the strings that Python 2 wrote, as it will be unpickled.
      max_objects_bytes: how much memory its objects may take, arrays apart.

    Returns:
      How many bytes the pickle takes, its STOP included.

    Raises:
      DataError: an opcode is unknown or never needed for plain data (extension codes,
        out-of-band buffers, persistent ids unless `persistent`, what takes values back
        from the stack), declares more bytes than are left, a frame or memo index beyond
        the file; tuples are nested too deeply, or there are too many objects; or the
        end is missing.
    """
    texts = _TEXTS if encoding == "bytes" else (*_TEXTS, _OLD_STRING)
    return _Scan(content, name, persistent, texts, max_objects_bytes).run()


class _Scan:
    """The pass: a stack of sizes, 0 for all that is no tuple.

    The size of a tuple is how many values a hash of it looks at.
    """

    def __init__(
        self,
        content: bytes,
        name: str,
        persistent: bool,
        texts: tuple[int, ...],
        max_bytes: int,
    ):
        self._content, self._name, self._persistent = content, name, persistent
        self._texts, self._left = texts, max_bytes
        self._stack: list[int] = []
        self._marks: list[int] = []
        # Memo indices of tuples, and the opcodes that fetch them, to their sizes.
        self._heavy = set[int]()
        self._fetches: dict[bytes, int] = {}
        # Memo indices in use: all below `_dense`, and those of `_sparse`.
        self._dense, self._sparse = 0, set[int]()
        self._tuples = self._longs = 0

    def run(self) -> int:
        content, size, position = self._content, len(self._content), 0
        while True:
            code = content[position] if position < size else -1
            if code == _K and (run := _PAIRS.match(content, position)):
                count = 2 * (run.end() - position) // _PAIR_WIDTH
                self._spend(_VALUE_BYTES * count)
                self._stack += [0] * count
                position = run.end()
                continue
            if code in _FIRST and (run := _VALUES.match(content, position)):
                self._push_values(run[0])
                position = run.end()
                continue
            if code == _STOP:
                return position + 1
            handler = _HANDLERS.get(code)
            if handler is not None:
                handler(self)
                position += 1
            elif code in _COUNTED:
                position = self._counted(position)
            elif code in _LINES:
                position = self._lines(position)
            elif code in (_FRAME, ord("r"), ord("q"), ord("Q"), 0x80):
                position = self._fixed(position)
            elif code == -1 or code in _SHORT:
                raise self._truncated()
            else:
                raise self._refused(code, _NEVER)

    def _spend(self, num_bytes: int) -> None:
        self._left -= num_bytes
        if self._left < 0:
            raise DataError(f"{self._name}: refused: it holds too many objects")

    def _push(self, size: int, num_bytes: int) -> None:
        self._spend(num_bytes)
        self._stack.append(size)

    def _push_values(self, run: bytes) -> None:
        values = _SPLIT.findall(run)
        self._spend(_VALUE_BYTES * len(values))
        if self._fetches and not self._fetches.keys().isdisjoint(values):
            self._stack += [self._fetches.get(value, 0) for value in values]
        else:
            self._stack += [0] * len(values)

    def _pop(self, count: int) -> None:
        if len(self._stack) - count < (self._marks[-1] if self._marks else 0):
            raise self._malformed()
        if count:
            del self._stack[-count:]

    def _items(self) -> list[int]:
        """The sizes above the last mark, which goes."""
        if not self._marks:
            raise self._malformed()
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _mark(self) -> None:
        self._spend(_VALUE_BYTES)
        self._marks.append(len(self._stack))

    def _container(self, code: int) -> None:
        self._push(0, _MADE[code])

    def _tuple(self, items: list[int]) -> None:
        self._tuples += 1
        size = sum(items) + len(items)
        if self._tuples > MAX_TUPLES or (any(items) and size > MAX_TUPLE):
            raise DataError(
                f"{self._name}: refused: tuples that are nested too deeply or too many"
            )
        self._push(max(1, size), 64 + 8 * len(items))

    def _short_tuple(self, count: int) -> None:
        items = self._stack[-count:]
        self._pop(count)
        self._tuple(items)

    def _collect(self) -> None:
        """LIST, DICT and FROZENSET: one object of what is above the mark."""
        self._push(0, _MADE[0x8F] + _ITEM_BYTES * len(self._items()))

    def _extend(self) -> None:
        """APPENDS, SETITEMS and ADDITEMS: into the object below the mark."""
        self._spend(_ITEM_BYTES * len(self._items()))
        self._pop(0)

    def _take(self, count: int) -> None:
        """APPEND, SETITEM and BUILD: the object below the values stays."""
        self._pop(count)
        self._spend(_ITEM_BYTES)

    def _call(self, count: int) -> None:
        self._pop(count)
        self._push(0, _CALL_BYTES)

    def _call_items(self) -> None:
        self._items()
        self._push(0, _CALL_BYTES)

    def _memoize(self) -> None:
        # The C unpickler takes the number of entries for the next index.
        self._put(self._dense + len(self._sparse))

    def _put(self, index: int) -> None:
        self._spend(_MEMO_BYTES)
        if index > self._dense:
            self._spend(_VALUE_BYTES)
            self._sparse.add(index)
        elif index == self._dense:
            self._dense += 1
            while self._dense in self._sparse:
                self._sparse.remove(self._dense)
                self._dense += 1
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise self._malformed()
        if self._stack[-1] or index in self._heavy:
            self._remember(index, self._stack[-1])

    def _remember(self, index: int, size: int) -> None:
        """Under every form in which the index may be fetched."""
        self._heavy.add(index)
        if index < 2**32:
            forms = [b"j" + index.to_bytes(4, "little"), b"g%d" % index]
            forms += [b"h" + bytes([index])] if index < 256 else []
            for form in forms:
                if size:
                    self._fetches[form] = size
                else:
                    self._fetches.pop(form, None)

    def _counted(self, position: int) -> int:
        """Position after an opcode that says how many bytes follow."""
        content, code = self._content, self._content[position]
        start = position + 1 + _COUNTED[code]
        size = int.from_bytes(content[position + 1 : start], "little")
        end = start + size
        if code == _SHORT_TEXT and end < len(content):
            # What most strings are: short, new, and put into the memo at once.
            self._left -= _TEXT_BYTES + size
            self._stack.append(0)
            return end
        if end > len(content):
            raise self._too_much(code, f"{size} bytes")
        if code in _LONGS:
            self._count_long(size)
        # A text with one character of another script takes four bytes for each.
        wide = size > 256 and code in self._texts and not content[start:end].isascii()
        self._push(0, _TEXT_BYTES + (4 if wide else 1) * size)
        return end

    def _count_long(self, size: int) -> None:
        """Large numbers can be chosen so that they collide as keys."""
        self._longs += size > _SMALL_LONG
        if self._longs > _MAX_LONGS:
            raise DataError(f"{self._name}: refused: too many large numbers")

    def _lines(self, position: int) -> int:
        """Position after an opcode whose argument is one or two lines of text."""
        content, code, end = self._content, self._content[position], position
        for _ in range(_LINES[code]):
            end = content.find(b"\n", end + 1)
            if end < 0:
                raise self._truncated()
        line = content[position + 1 : end].strip()
        if code == ord("p"):
            index = int(line) if line.isdigit() and len(line) < 20 else len(content)
            self._check_index(position, index)
            self._put(index)
        elif code == ord("g"):
            if not line.isdigit():
                raise self._malformed()
            number = line.lstrip(b"0") or b"0"
            self._push(self._fetches.get(b"g" + number, 0), _VALUE_BYTES)
        elif code == ord("i"):
            self._call_items()
        elif code == ord("P"):
            if not self._persistent:
                raise self._refused(code, "a persistent id")
            self._push(0, _CALL_BYTES)
        else:
            if code in b"IL":
                self._count_long(len(line) // 2)
            self._push(0, _TEXT_BYTES + 4 * len(line))
        return end + 1

    def _fixed(self, position: int) -> int:
        """Position after PROTO, FRAME, BINPUT, LONG_BINPUT or BINPERSID."""
        code = self._content[position]
        width = {_FRAME: 8, ord("r"): 4, ord("q"): 1, 0x80: 1}.get(code, 0)
        end = position + 1 + width
        if end > len(self._content):
            raise self._truncated()
        value = int.from_bytes(self._content[position + 1 : end], "little")
        if code == _FRAME and end + value > len(self._content):
            raise self._too_much(code, f"{value} bytes")
        if code in _INDEXED:
            self._check_index(position, value)
            self._put(value)
        if code == ord("Q"):
            if not self._persistent:
                raise self._refused(code, "a persistent id")
            self._call(1)
        return end

    def _check_index(self, position: int, index: int) -> None:
        """Picklers number the memo from 0 on, so an index is below its position."""
        if index > position:
            raise self._too_much(self._content[position], f"index {index}")

    def _truncated(self) -> DataError:
        return DataError(f"{self._name}: the pickle is truncated; download it again")

    def _malformed(self) -> DataError:
        return DataError(f"{self._name}: the pickle is malformed; download it again")

    def _too_much(self, code: int, what: str) -> DataError:
        return DataError(
            f"{self._name}: refused opcode {_NAMES[code]} of {what} in a pickle of "
            f"{len(self._content)} bytes; the file is truncated or not what it claims "
            "to be"
        )

    def _refused(self, code: int, why: str) -> DataError:
        opcode = _NAMES.get(code, f"0x{code:02x}")
        if code not in _NAMES and self._content[0] == code:
            return DataError(
                f"{self._name}: not a pickle (it begins with "
                f"{read_guard.show(self._content[:12])}); download it again"
            )
        return DataError(
            f"{self._name}: refused opcode {opcode}, {why}; only plain data and numpy "
            "arrays are read"
        )


_HANDLERS: dict[int, Callable[[_Scan], None]] = {
    ord("("): _Scan._mark,
    **{code: functools.partial(_Scan._container, code=code) for code in _MADE},
    ord("t"): lambda s: s._tuple(s._items()),
    0x85: lambda s: s._short_tuple(1),
    0x86: lambda s: s._short_tuple(2),
    0x87: lambda s: s._short_tuple(3),
    ord("l"): _Scan._collect,
    ord("d"): _Scan._collect,
    0x91: _Scan._collect,
    ord("e"): _Scan._extend,
    ord("u"): _Scan._extend,
    0x90: _Scan._extend,
    ord("a"): lambda s: s._take(1),
    ord("s"): lambda s: s._take(2),
    ord("b"): lambda s: s._take(1),
    ord("R"): lambda s: s._call(2),
    0x81: lambda s: s._call(2),
    0x92: lambda s: s._call(3),
    ord("o"): _Scan._call_items,
    0x93: lambda s: s._call(2),
    0x94: _Scan._memoize,
}
