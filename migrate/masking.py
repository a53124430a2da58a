"""JSON with everything overwritten by which one rotten record would hide the others from a strict reader."""

from __future__ import annotations

import re
from collections.abc import Iterator

# msgspec refuses a lone surrogate escape even in bytes it only skips; the same length keeps all offsets.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_DEEPEST = 200
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]|[^\s\[\]{},:"]+', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"')
_LITERAL = re.compile(rb"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")


def views(data: bytes) -> Iterator[bytes]:
    """Yield the bytes, then copies of the same length in which ever more of what a record may hold is overwritten.

    The first that a strict reader takes shows where the records stand; each is read from the bytes themselves later.
    """
    yield data
    masked = _SURROGATE.sub(rb"\\u0041", data)
    yield masked
    yield _mask_rotten(masked)


def _mask_rotten(data: bytes) -> bytes:
    """Overwrite texts and numbers that JSON does not allow, and whatever is nested too deeply."""
    made = bytearray(data)
    depth = begun = 0
    for token in _TOKEN.finditer(data):
        start, end, first = token.start(), token.end(), token[0][:1]
        if first in b"[{":
            depth += 1
            begun = end if depth == _DEEPEST else begun
        elif first in b"]}":
            if depth == _DEEPEST:
                made[begun:start] = b" " * (start - begun)
            depth -= 1
        elif first == b'"':
            if not _STRING.fullmatch(data, start, end):
                made[start + 1 : end - 1] = b" " * (end - start - 2)
        elif not _LITERAL.fullmatch(data, start, end):
            made[start:end] = b"0".ljust(end - start)
    return bytes(made)
