"""Bytes to text without ever guessing: a BOM wins, then strict UTF-8, then only what the user names."""

from __future__ import annotations

import codecs

from vault.errors import UnknownEncoding, UsageError

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def encoding_of(data: bytes) -> tuple[str, int]:
    """Return the encoding the bytes are marked with, and the length of the mark; UTF-8 without one."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name, len(mark)
    if len(data) >= 4 and data[1::2][:32].count(0) * 2 > len(data[:64]) - 2 and 0 not in data[::2][:32]:
        return "utf-16-le", 0  # ASCII text in UTF-16 whose mark was lost
    return "utf-8", 0


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    """Return the text of a file, its byte order mark removed.

    Raises ``UnknownEncoding`` with the offset of the first byte that does not fit.
    """
    marked, skip = encoding_of(data)
    if encoding is not None and not skip:
        marked = _known(encoding)
    try:
        return data[skip:].decode(marked)
    except UnicodeDecodeError as error:
        raise UnknownEncoding(
            f"{name} is no {marked.upper()} text: byte {error.start + skip} does not fit",
            hint="if it was written on Windows, add --encoding cp1252 (or the code page you know it has)",
        ) from None


def utf8(data: bytes, name: str, encoding: str | None = None) -> bytes:
    """Return the same text as UTF-8 bytes without a mark; the bytes themselves where they are that already."""
    marked, skip = encoding_of(data)
    if marked == "utf-8" and (encoding is None or skip or _known(encoding) == "utf-8"):
        return data[skip:] if skip else data
    return decode(data, name, encoding).encode("utf-8", "surrogatepass")


def _known(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise UsageError(f"there is no encoding {encoding[:20]!r}", hint="try utf-8, utf-16 or cp1252") from None
