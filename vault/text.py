"""How values become text that is safe to show: cleaned, as JSON, as aligned columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# C0, DEL, C1; soft hyphen, fillers; zero-width; line and paragraph separators; bidi marks; annotations; lone
# surrogates; tags. A terminal obeys them or a reader does not see them.
_HOSTILE = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)
# A joiner after a Latin letter only hides; after an emoji or a Persian letter it is part of the writing.
_JOINER = "(?<![^\x00-\u02ff])[\u200c\u200d]"
_UNSAFE = re.compile(f"[\n{_HOSTILE}]|{_JOINER}")
_UNSAFE_IN_JSON = re.compile(f"[{_HOSTILE}]")  # its line breaks stand between members
_BEYOND_ASCII = re.compile(r"[^\n\x20-\x7e]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def clean(text: str) -> str:
    r"""Return the text with all that steers a terminal or hides as a visible escape: ``\x1b``, ``\u202e``."""
    return text if text.isprintable() else _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    mark = match.group()
    code = ord(mark)
    if mark in _SHORT:
        return _SHORT[mark]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clean_lines(text: str) -> str:
    """Return the text cleaned, its line breaks kept; for sentences of ours that take several lines."""
    return "\n".join(map(clean, text.split("\n")))


def numbered(n: int, thing: str) -> str:
    """Return "1 item" or "3 items"; of a longer name the word before "of" is the one that is many."""
    head, of, rest = thing.partition(" of ")
    if n != 1:
        head = f"{head[:-1]}ies" if head.endswith("y") and not head.endswith("ey") else f"{head}s"
    return f"{n:,} {head}{of}{rest}"


def json_text(value: Any, *, indent: int = 0, wide: bool = True) -> str:
    """Return the value as JSON and a newline, hostile characters and, unless ``wide``, all beyond ASCII as escapes.

    Texts, numbers, containers, Structs, paths; raises ``TypeError`` for anything else, a ``Secret`` included.
    """
    import msgspec

    try:
        data = msgspec.json.Encoder(enc_hook=_json_hook, decimal_format="number").encode(value)
        text = msgspec.json.format(data, indent=indent or -1).decode()
    except UnicodeEncodeError:  # a file name with bytes that are no UTF-8
        import json

        text = json.dumps(msgspec.to_builtins(value, enc_hook=_json_hook), indent=indent or None)
    unsafe = _UNSAFE_IN_JSON if wide else _BEYOND_ASCII
    return unsafe.sub(_json_escape, text) + "\n"


def _json_escape(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _json_hook(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the rows under their heads in columns as wide as their widest cell, numbers to the right."""
    lines = [columns, *rows]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]
    right = [is_numeric(rows, i) for i in range(len(columns))]
    text = []
    for line in lines:
        padded = (_padded(cell, width, after) for cell, width, after in zip(line, widths, right, strict=True))
        text.append("  ".join(padded).rstrip() + "\n")
    return "".join(text)


def is_numeric(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Tell whether all cells of the column that are not empty are whole numbers."""
    return all(row[column].replace(" ", "").isdecimal() for row in rows if row[column])


def _padded(cell: str, width: int, right: bool) -> str:
    gap = " " * (width - _width(cell))
    return gap + cell if right else cell + gap


def _width(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(mark) else 2 if unicodedata.east_asian_width(mark) in "WF" else 1 for mark in text
    )


def counted(count: int, thing: str) -> str:
    """Return how many things there are, as ``1 entry`` or ``2,000 entries``."""
    many = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{count:,} {thing if count == 1 else many}"
