"""Inputs that are nearly right: valid ones with bits, lengths, numbers and parts that are not as they were.

What is packed (``vault.crypto.packed``) is known as a tree: its parts are dropped, repeated, swapped, emptied and taken
from other inputs, with lengths that fit again; or one length lies. JSON is changed value by value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from random import Random
from typing import Any

from vault import crypto

Mutation = Callable[[Random, bytes, bytes], bytes]
"""Takes an input and another one of the same parser."""

MOST_BYTES = 1 << 20
_NUMBERS = sorted(
    {sign * (1 << bits) + step for bits in (0, 7, 8, 15, 16, 31, 32, 63, 64) for step in (-1, 0, 1) for sign in (1, -1)}
)
_BYTES = (0x00, 0x01, 0x02, 0x03, 0x7F, 0x80, 0xFE, 0xFF, 0x0A, 0x22, 0x2D, 0x30, 0x5B, 0x7B)
_TEXTS = (
    "",
    " ",
    "0",
    "-1",
    "٣",
    "\ud7ff",
    "\u202e",
    "\x00",
    "\n",
    "A" * 65,
    "é",
    "ſ",
    "1e999",
    "\ufeff",
    "🙂" * 9,
    "%s",
    "../..",
)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    -1,
    0,
    1,
    1 << 53,
    1 << 63,
    1 << 64,
    0.5,
    1e308,
    [],
    {},
    [[]],
    [{}],
    *_TEXTS,
)
_RAW = (b"1e99999", b"-0", b"9" * 400, b"[" * 600 + b"]" * 600, b'"\\ud800"', b"NaN", b"0.1e-99999", b'{"a":1,"a":2}')
_RUN = re.compile(rb"\d+")


def bits(random: Random, data: bytes, other: bytes) -> bytes:
    """Flip a few bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        at = random.randrange(len(changed) * 8)
        changed[at >> 3] ^= 1 << (at & 7)
    return bytes(changed)


def byte(random: Random, data: bytes, other: bytes) -> bytes:
    """Put another byte in the place of one."""
    at = random.randrange(len(data))
    return b"%b%c%b" % (data[:at], random.choice(_BYTES), data[at + 1 :])


def cut(random: Random, data: bytes, other: bytes) -> bytes:
    """Take the end away."""
    return data[: random.randrange(len(data))]


def headless(random: Random, data: bytes, other: bytes) -> bytes:
    """Take the beginning away."""
    return data[random.randrange(len(data)) :]


def gap(random: Random, data: bytes, other: bytes) -> bytes:
    """Take some bytes out."""
    at = random.randrange(len(data))
    return data[:at] + data[at + random.randrange(1, 40) :]


def repeat(random: Random, data: bytes, other: bytes) -> bytes:
    """Say some bytes several times."""
    at = random.randrange(len(data))
    end = at + random.randrange(1, 65)
    return data[:at] + data[at:end] * random.choice((2, 2, 3, 50)) + data[end:]


def stuff(random: Random, data: bytes, other: bytes) -> bytes:
    """Put bytes in between, or behind."""
    at = random.choice((len(data), random.randrange(len(data) + 1)))
    more = random.choice((random.randbytes(random.randrange(1, 9)), bytes(random.randrange(1, 300)), *_RAW))
    return data[:at] + more + data[at:]


def splice(random: Random, data: bytes, other: bytes) -> bytes:
    """Go on as another input."""
    at = random.randrange(len(data))
    return data[:at] + other[random.choice((at, random.randrange(len(other) + 1))) :]


def number(random: Random, data: bytes, other: bytes) -> bytes:
    """Put a number in the place of some bytes that a careless reader trips over."""
    size = random.choice((1, 2, 4, 4, 8))
    at = random.randrange(len(data))
    order = random.choice(("big", "big", "little"))
    put = (random.choice(_NUMBERS) % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return data[:at] + put + data[at + size :]


def digits(random: Random, data: bytes, other: bytes) -> bytes:
    """Put another number in the place of one that is written out."""
    found = list(_RUN.finditer(data))
    if not found:
        return byte(random, data, other)
    one = random.choice(found)
    put = random.choice((str(random.choice(_NUMBERS)).encode(), b"9" * 30, b"0" + one[0], b"", b"9" * 5000))
    return data[: one.start()] + put + data[one.end() :]


def words(random: Random, data: bytes, other: bytes) -> bytes:
    """Put text in between that is hard to read."""
    at = random.randrange(len(data) + 1)
    return data[:at] + random.choice(_TEXTS).encode("utf-8", "surrogatepass") + data[at:]


def length(random: Random, data: bytes, other: bytes) -> bytes:
    """Let the length of a packed part lie."""
    places = _places(data)
    if not places:
        return number(random, data, other)
    at = random.choice(places)
    told = int.from_bytes(data[at : at + 4], "big")
    lies = (told - 1, told + 1, told + 4, 0, 0x7FFFFFFF, 0xFFFFFFFF, len(data), 1 << 20, told << 8, told ^ 0x80000000)
    return data[:at] + (random.choice(lies) % (1 << 32)).to_bytes(4, "big") + data[at + 4 :]


def parts(random: Random, data: bytes, other: bytes) -> bytes:
    """Drop, repeat, swap, change or replace parts of what is packed, so that it is packed again."""
    found = list(_unpacked(data))
    if not found:
        return bits(random, data, other)
    at = random.randrange(len(found))
    if random.random() < 0.6 and _unpacked(found[at]):
        theirs = _unpacked(other)
        found[at] = parts(random, found[at], theirs[min(at, len(theirs) - 1)] if theirs else other)
    else:
        _alter(random, found, at, other)
    return crypto.packed(*found)


def _alter(random: Random, found: list[bytes], at: int, other: bytes) -> None:
    part = found[at]
    match random.randrange(9):
        case 0:
            del found[at]
        case 1:
            found[at:at] = [part] * random.choice((1, 1, 2, 30))
        case 2:
            to = random.randrange(len(found))
            found[at], found[to] = found[to], part
        case 3:
            found[at] = b""
        case 4:
            found[at] = random.choice(_unpacked(other) or (other,))
        case 5:
            found.insert(at, random.choice(_unpacked(other) or (other,)))
        case 6:
            found[at] = random.randbytes(len(part)) if random.random() < 0.5 else bytes(len(part))
        case 7:
            found[at] = random.choice((part[:-1], part + b"\0", part * 2, part[1:]))
        case _:
            found[at] = random.choice(ON_BYTES)(random, part, other) if part and other else b"\0"


def values(random: Random, data: bytes, other: bytes) -> bytes:
    """Change one value of a JSON text, or put one there that JSON hardly knows."""
    try:
        found = json.loads(data)
        theirs = json.loads(other)
    except (ValueError, RecursionError):
        return words(random, data, other)
    mark = "\ue000raw"
    put = random.choice((*_VALUES, theirs, mark, mark))
    text = json.dumps(_with(random, found, put), ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return text.replace(json.dumps(mark).encode(), random.choice(_RAW)).replace(
        json.dumps(mark, ensure_ascii=False).encode(), random.choice(_RAW)
    )


def _with(random: Random, found: Any, put: Any) -> Any:
    if isinstance(found, dict) and found and random.random() < 0.9:
        key = random.choice(list(found))
        match random.randrange(8):
            case 0:
                return {name: one for name, one in found.items() if name != key}
            case 1:
                return {**found, random.choice(_TEXTS): put}
            case 2:
                return {(random.choice(_TEXTS) if name == key else name): one for name, one in found.items()}
            case _:
                return {**found, key: _with(random, found[key], put)}
    if isinstance(found, list) and found and random.random() < 0.9:
        at = random.randrange(len(found))
        match random.randrange(7):
            case 0:
                return [*found[:at], *found[at + 1 :]]
            case 1:
                return [*found, *found]
            case 2:
                return [*found[:at], put, *found[at:]]
            case _:
                return [*found[:at], _with(random, found[at], put), *found[at + 1 :]]
    return put


@lru_cache(4096)
def _unpacked(data: bytes) -> tuple[bytes, ...]:
    """Return the parts, none if it is not packed."""
    try:
        return crypto.unpacked(data)
    except ValueError:
        return ()


@lru_cache(4096)
def _places(data: bytes) -> tuple[int, ...]:
    """Return where lengths stand, of parts of parts as well."""
    found, at = [], 0
    for part in _unpacked(data):
        found += [at, *(at + 4 + place for place in _places(part))]
        at += 4 + len(part)
    return tuple(found)


ON_BYTES: tuple[Mutation, ...] = (bits, bits, byte, cut, gap, repeat, stuff, splice, number)
ON_PACKED: tuple[Mutation, ...] = (*ON_BYTES, length, length, parts, parts, parts, parts, parts, headless)
ON_TEXT: tuple[Mutation, ...] = (*ON_BYTES, words, words, digits, headless)
ON_JSON: tuple[Mutation, ...] = (*ON_TEXT, values, values, values, values, values, values, values)


def mutated(random: Random, mutations: Sequence[Mutation], data: bytes, other: bytes) -> tuple[str, bytes]:
    """Return an input made of a valid one, and the names of what was done to it."""
    names = []
    for _ in range(random.choice((1, 1, 1, 1, 2, 2, 3, 5))):
        one = random.choice(mutations)
        data = one(random, data or b"\0", other or b"\0")[:MOST_BYTES]
        names.append(one.__name__)
    return "+".join(names), data
