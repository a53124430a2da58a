"""Signs that a table was damaged before it came here: told with counts, never repaired unasked."""

from __future__ import annotations

import re

from migrate.source import Source

_SPREADSHEET = re.compile(
    r'(?:^|(?<=[,;\t"]))(?:#NAME\?|#VALUE!|#{8,}|-?\d(?:[.,]\d+)?E\+\d{2,3})(?=[,;\t"\r\n]|\Z)', re.MULTILINE
)
_MARKS = ("#NAME?", "#VALUE!", "########", "E+")  # quick to look for
_TWICE_UTF8 = re.compile("Ã[\u0080-\u00bf\u201e\u2013\u2014\u0153\u0178\u017e]|â\u20ac[\u2122\u201c\u0153\u2013]")


def warn_of(source: Source, text: str) -> None:
    """Add a sentence to the report for each kind of damage that shows, with a count."""
    cells = len(_SPREADSHEET.findall(text)) if any(mark in text for mark in _MARKS) else 0
    if cells:
        source.ledger.warn(
            f"cells that look as if a spreadsheet had saved the file (1.2E+15, #NAME?, ####): {cells:,}; "
            "what stood there before is not in it, and leading zeros may be gone too"
        )
    places = len(_TWICE_UTF8.findall(text)) if "Ã" in text or "â€" in text else 0
    if places:
        source.ledger.warn(
            f"places that look like UTF-8 once read as Windows-1252 (Ã¤ for ä): {places:,}; taken as they stand"
        )
