"""Cells that hold several values, cut up and joined again; each cut is a registered rule, so the proof can repeat it.

A cut never loses a character that says something: labels, values and addresses together are the cell without its
separators.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from migrate.rules import each, rule, year_month

_QUOTED = re.compile(r'"((?:[^"]|"")*)"(?:,|\Z)')
_ADDRESS = re.compile(
    r"\^?[a-z][a-z0-9+.-]*://"  # with a scheme; a pattern may begin with ^
    r"|(?:[\w-]+\.)+[a-z]{2,}(?:[:/?#][^,]*)?(?:,|\Z)",  # or a bare host
    re.IGNORECASE,
)


def split_uris(cell: str) -> tuple[str, ...]:
    """Return the addresses of a cell that was joined with commas (dossier: Bitwarden 1.3).

    A comma parts two addresses only if an address follows, or a piece in quotes; others belong to the address.
    """
    if "," not in cell and not cell.startswith('"'):
        return (cell,) if cell else ()
    found, at = [], 0
    while at < len(cell):
        quoted = _QUOTED.match(cell, at)
        if quoted:
            found.append(quoted[1].replace('""', '"'))
            at = quoted.end()
            continue
        end = next((c for c in _commas(cell, at) if _begins_piece(cell, c + 1)), len(cell))
        found.append(cell[at:end].rstrip(",") if end < len(cell) else cell[at:])
        at = end + 1
    return tuple(piece for piece in found if piece)


def _commas(cell: str, at: int) -> Iterable[int]:
    while (at := cell.find(",", at)) >= 0:
        yield at
        at += 1


def _begins_piece(cell: str, at: int) -> bool:
    return bool(_ADDRESS.match(cell, at) or _QUOTED.match(cell, at))


def join_uris(uris: Iterable[str]) -> str:
    """Return addresses as one cell; what would not be told apart again stands in quotes."""
    pieces: list[str] = []
    for uri in uris:
        is_plain = not re.search(r'[",\r\n]', uri) and (not pieces or _ADDRESS.match(uri))
        if uri:
            pieces.append(uri if is_plain else '"' + uri.replace('"', '""') + '"')
    return ",".join(pieces)


@each
def joined_uris(value: Any, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Addresses joined with commas become several addresses; a note has none."""
    return split_uris(value) if isinstance(value, str) and row.get("type") != "note" else None


def split_list(cell: str) -> tuple[str, ...]:
    """Return the names of a comma-separated cell; where they cannot be told apart surely, the cell is one name."""
    names = tuple(cell.split(", " if ", " in cell else ","))
    return names if all(name and name == name.strip() and "," not in name for name in names) else (cell,)


@each
def comma_list(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names joined with commas become several names."""
    return split_list(value) if isinstance(value, str) else None


Pairs = list[tuple[str, str]]


def split_labels(cell: str) -> Pairs:
    """Return the fields of ``label: value`` lines, cut at the first ``": "``; other lines continue the value before.

    A first line without label is a value without one (dossier: Bitwarden 1.3).
    """
    found: Pairs = []
    for line in cell.replace("\r\n", "\n").split("\n"):
        label, mark, value = line.partition(": ")
        if mark or (line.endswith(":") and len(line) > 1):
            found.append((label, value) if mark else (line[:-1], ""))
        elif found:
            found[-1] = (found[-1][0], f"{found[-1][1]}\n{line}")
        else:
            found.append(("", line))
    return found


def join_labels(pairs: Sequence[tuple[str, str]]) -> str:
    """Return fields as ``label: value`` lines."""
    return "\n".join(f"{label}: {value}" for label, value in pairs)


def is_line(label: str, value: str) -> bool:
    """Whether a field reads the same after it was written as ``label: value`` lines."""
    return split_labels(f"{label}: {value}") == [(label, value)]


@each
def labelled_lines(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Lines of ``label: value`` become fields."""
    if not isinstance(value, str):
        return None
    return tuple(text for pair in split_labels(value) for text in pair if text)


@rule
def same_as_url(value: Any, row: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A second mention of the address itself says nothing of its own."""
    return () if value and value == row.get("url") else None


def month_of(text: str) -> str | None:
    """Return a card's ``MM/YY``, ``MM/YYYY`` or ``MM-YYYY`` as ``YYYY-MM``; None for anything else."""
    found = re.fullmatch(r"(\d{1,2}) ?[/-] ?(\d{4}|\d{2})", text)
    return year_month(found[2], found[1]) if found else None


@each
def card_month(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A card's month and year become ``YYYY-MM``."""
    month = month_of(value) if isinstance(value, str) else None
    return None if month is None else (month,)
