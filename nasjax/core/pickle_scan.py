"""Checks the opcodes of a pickle before anything is built from them.

The C unpickler allocates what an opcode declares before it looks whether the bytes are
there: the five bytes of `LONG_BINPUT 0xffffffff` make a memo of 64 GB. One pass over
the opcodes, mostly at the speed of a regular expression, refuses such streams first.
"""

import pickletools
import re

from nasjax.core.errors import DataError

# As many opcodes without a declared length as follow one another; the quantifier is
# possessive, so nothing is kept for backtracking. LONG_BINPUT is among them for memo
# indices below 2**20, which cost at most 16 MB.
_RUN = re.compile(
    rb"(?s:[NR()012abdelostu\]}\x81\x85-\x89\x8f-\x94]"
    rb"|G.{8}|[Kqh\x80].|M..|[Jj].{4}|r..[\x00-\x0f]\x00)*+"
)
_STOP = ord(".")
_INDEXED = {ord("p"): "PUT", ord("r"): "LONG_BINPUT"}
_LINES = {code: 1 for code in b"ILSVFgpP"} | {code: 2 for code in b"ci"}
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
_FRAME = 0x95
_SHORT = b"GKqh\x80MJj"  # outside a run only when their argument is cut off
_PERSISTENT = {ord("P"): "PERSID", ord("Q"): "BINPERSID"}
_NAMES = {ord(opcode.code): opcode.name for opcode in pickletools.opcodes}


def check(content: bytes, *, name: str, persistent: bool = False) -> int:
    """Checks that a pickle declares no more than it holds.

    Args:
      content: the bytes of one pickle, possibly followed by others.
      name: what the error messages call it.
      persistent: whether persistent ids are read.

    Returns:
      How many bytes the pickle takes, its STOP included.

    Raises:
      DataError: an opcode is unknown or never needed for plain data (extension codes,
        out-of-band buffers, persistent ids unless `persistent`), declares more bytes
        than are left, a frame or memo index beyond the file; or the end is missing.
    """
    position = 0
    while True:
        run = _RUN.match(content, position)
        position = run.end() if run else position
        code = content[position] if position < len(content) else -1
        if code == -1 or code in _SHORT:
            raise DataError(f"{name}: the pickle is truncated; download it again")
        if code == _STOP:
            return position + 1
        if code in _COUNTED:
            position = _skip_counted(content, position, name)
        elif code in _PERSISTENT and not persistent:
            raise _refused(name, code, "a persistent id")
        elif code in _LINES:
            position = _skip_lines(content, position, name)
        elif code in (_FRAME, ord("r"), ord("Q")):
            position = _skip_fixed(content, position, name)
        else:
            raise _refused(name, code, "which plain data never need")


def _skip_counted(content: bytes, position: int, name: str) -> int:
    """Position after an opcode that says how many bytes follow."""
    width = _COUNTED[content[position]]
    start = position + 1 + width
    size = int.from_bytes(content[position + 1 : start], "little")
    if start + size > len(content):
        raise _too_much(name, content[position], f"{size} bytes", len(content))
    return start + size


def _skip_lines(content: bytes, position: int, name: str) -> int:
    """Position after an opcode whose argument is one or two lines of text."""
    end = position
    for _ in range(_LINES[content[position]]):
        end = content.find(b"\n", end + 1)
        if end < 0:
            raise DataError(f"{name}: the pickle is truncated; download it again")
    if content[position] in _INDEXED:
        line = content[position + 1 : end].strip()
        index = int(line) if line.isdigit() and len(line) < 20 else len(content)
        _check_index(content, position, index, name)
    return end + 1


def _skip_fixed(content: bytes, position: int, name: str) -> int:
    """Position after FRAME, LONG_BINPUT or BINPERSID."""
    code = content[position]
    end = position + 1 + {_FRAME: 8, ord("r"): 4, ord("Q"): 0}[code]
    value = int.from_bytes(content[position + 1 : end], "little")
    if code == _FRAME and end + value > len(content):
        raise _too_much(name, code, f"{value} bytes", len(content))
    if code in _INDEXED:
        _check_index(content, position, value, name)
    return end


def _check_index(content: bytes, position: int, index: int, name: str) -> None:
    """Picklers number the memo from 0 on, so an index is below its position."""
    if index > position:
        raise _too_much(name, content[position], f"index {index}", len(content))


def _too_much(name: str, code: int, what: str, size: int) -> DataError:
    return DataError(
        f"{name}: refused opcode {_NAMES[code]} of {what} in a pickle of {size} bytes; "
        "the file is truncated or not what it claims to be"
    )


def _refused(name: str, code: int, why: str) -> DataError:
    opcode = _NAMES.get(code, f"0x{code:02x}")
    return DataError(
        f"{name}: refused opcode {opcode}, {why}; only plain data and numpy arrays "
        "are read"
    )
