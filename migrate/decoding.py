"""Bytes to text without ever guessing: a BOM wins, then strict UTF-8, then only what the user names."""

from __future__ import annotations

import codecs

from vault.errors import DamagedExport, FormatError, UnknownEncoding, UsageError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16's does
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1b"))


def encoding_of(data: bytes) -> tuple[str, int]:
    """Return the encoding the bytes are marked with, and the length of the mark; UTF-8 without one."""
    for mark, name in _BOMS:
        if data.startswith(mark):
            return name, len(mark)
    even, odd = data[:64:2], data[1:64:2]
    if len(data) >= 4 and 0 not in even and odd.count(0) * 10 > len(odd) * 9:
        return "utf-16-le", 0  # ASCII text in UTF-16 whose mark was lost
    if len(data) >= 4 and 0 not in odd and even.count(0) * 10 > len(even) * 9:
        return "utf-16-be", 0
    return "utf-8", 0


def is_text(data: bytes) -> bool:
    """Whether the bytes may be text in some encoding: marked, or with hardly a control character at their start."""
    if encoding_of(data) != ("utf-8", 0):
        return True
    head = data[:4096]
    return len(head) - len(head.translate(None, _CONTROLS)) <= len(head) // 32 + 2


def decode(data: bytes, name: str, encoding: str | None = None) -> str:
    """Return the text of a file, its byte order mark removed.

    Raises ``UnknownEncoding`` with the offset of the first byte that does not fit, ``DamagedExport`` where a character
    is cut off at the end.
    """
    used, skip = _used(data, encoding)
    try:
        return data[skip:].decode(used)
    except UnicodeDecodeError as error:
        raise _misfit(error, error.start + skip, name, is_marked=bool(skip)) from None


def utf8(data: bytes, name: str, encoding: str | None = None) -> bytes:
    """Return the same text as UTF-8 bytes without a mark; the bytes themselves where they are that already.

    Raises as ``decode``.
    """
    used, skip = _used(data, encoding)
    if used != "utf-8":
        return decode(data, name, encoding).encode("utf-8", "surrogatepass")
    reader = codecs.getincrementaldecoder("utf-8")()
    for at in range(skip, len(data), _CHUNK):
        before = len(reader.getstate()[0])
        try:
            reader.decode(data[at : at + _CHUNK], at + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            raise _misfit(error, at - before + error.start, name, is_marked=bool(skip)) from None
    return data[skip:] if skip else data


_CHUNK = 1 << 20  # the text of a big file takes up to four times its bytes


def _used(data: bytes, encoding: str | None) -> tuple[str, int]:
    """Return the encoding to read with, and the length of the mark: a mark wins over what the user names."""
    marked, skip = encoding_of(data)
    return (marked, skip) if encoding is None or skip else (_known(encoding), 0)


def _misfit(error: UnicodeDecodeError, at: int, name: str, *, is_marked: bool) -> FormatError:
    if error.reason in ("unexpected end of data", "truncated data"):
        return DamagedExport(f"{name} ends in the middle of a character", hint="the file is cut off; export again")
    hint = "if it was written on Windows, add --encoding cp1252 (or the code page you know it has)"
    if is_marked:
        hint = "it begins with that encoding's mark; the file was changed or is damaged: export again"
    return UnknownEncoding(f"{name} is no {error.encoding.upper()} text: byte {at} does not fit", hint=hint)


def _known(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        bytes(4).decode(name)  # refused for what turns bytes into bytes, such as hex
        return name
    except (LookupError, UnicodeError):
        raise UsageError(f"there is no encoding {encoding[:20]!r}", hint="try utf-8, utf-16 or cp1252") from None
