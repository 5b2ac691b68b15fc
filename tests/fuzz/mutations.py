"""Damaged copies of a file: a function of the file, a name and a number."""

import random
import re

_NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    65_535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)
_TEXTS = (
    b"-1",
    b"1e300",
    b"NaN",
    b"99999999999999999999",
    b"null",
    b"[]",
    b'"x"',
    b"{}",
)
_LONGEST = 1 << 20


def mutate(seeds: list[bytes], name: str, number: int) -> bytes:
    """The mutant of that number; the same for the same arguments, on any machine."""
    rng = random.Random(f"{name}/{number}")
    content = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice(_KINDS)(rng, content, seeds)
    return bytes(content[:_LONGEST])


def _place(rng, content):
    return rng.randrange(len(content) + 1)


def _span(rng, content, longest=64):
    start = _place(rng, content)
    return start, min(len(content), start + rng.randint(1, longest))


def flip_bits(rng, content, _):
    for _ in range(rng.randint(1, 4)):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def replace_bytes(rng, content, _):
    start, stop = _span(rng, content, 8)
    content[start:stop] = rng.randbytes(stop - start)


def truncate(rng, content, _):
    del content[_place(rng, content) :]


def delete(rng, content, _):
    start, stop = _span(rng, content)
    del content[start:stop]


def duplicate(rng, content, _):
    start, stop = _span(rng, content, 256)
    times = rng.choice((1, 1, 2, 100))
    content[start:start] = bytes(content[start:stop]) * times


def splice(rng, content, seeds):
    other = rng.choice(seeds)
    start, stop = _span(rng, other, 4096)
    place = _place(rng, content)
    content[place : place + rng.choice((0, stop - start))] = other[start:stop]


def edit_length(rng, content, _):
    """A binary number of one to eight bytes becomes another one."""
    width, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
    place = _place(rng, content)
    old = int.from_bytes(content[place : place + width], order)
    new = rng.choice((*_NUMBERS, old + 1, old - 1, old * 2, len(content)))
    content[place : place + width] = (new % 256**width).to_bytes(width, order)


def edit_text(rng, content, _):
    """A number or word of a text becomes another one."""
    found = [*re.finditer(rb'\d+|"[^"]{0,40}"|true|null', bytes(content[:50_000]))]
    if found:
        start, stop = rng.choice(found).span()
        content[start:stop] = rng.choice(_TEXTS)


_KINDS = (
    flip_bits,
    flip_bits,
    replace_bytes,
    truncate,
    delete,
    duplicate,
    splice,
    edit_length,
    edit_length,
    edit_text,
)
