"""Plain lists, one address a line, cut into entries by a reader that knows no product.

CRLF, LF or CR end a line; several addresses on one line may be separated by commas (dossier: authenticators 3). Quotes
around an entry are a spreadsheet's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

_LINE_END = re.compile(r"\r\n|\r|\n")  # not splitlines(): it would also cut at characters that occur inside names
_BETWEEN = re.compile(r'[ \t]*,[ \t]*(?="?[a-z][a-z0-9+.-]*://)', re.IGNORECASE)


class Entry(msgspec.Struct, frozen=True):
    """One address: where it stands ("line 3", "line 3/2"), its text without spaces and quotes around, its line."""

    place: str
    text: str
    line: int  # from 1


def entries(data: bytes) -> Iterator[Entry]:
    """Yield each entry of a list in UTF-8; blank lines are none."""
    for number, line in enumerate(_LINE_END.split(data.decode("utf-8")), 1):
        texts = [text for part in _BETWEEN.split(line) if (text := unquoted(part.strip(" \t,\ufeff")))]
        for index, text in enumerate(texts, 1):
            yield Entry(f"line {number}" if len(texts) == 1 else f"line {number}/{index}", text, number)


def unquoted(text: str) -> str:
    """Return a text without the pair of quotes around it, if there is one."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
