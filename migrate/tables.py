"""Rows of comma-separated files, read so that no cell is lost: our own decoding, ``csv.reader``, physical lines.

``pandas.read_csv`` is not used: with its best settings it cuts surplus cells off and cannot tell a missing cell from an
empty one (dossier: CSV reading).
"""

from __future__ import annotations

import csv
import html
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migrate.decoding import decode
from migrate.ledger import Quarantined
from migrate.source import Record, Source
from vault.errors import DamagedExport

_DELIMITERS = ",;\t"


@dataclass(slots=True)
class Line:
    """One row as it stands in the file."""

    number: int  # physical line of its first character, from 1
    cells: list[str]
    raw: str
    error: str = ""


@dataclass(slots=True)
class Table:
    """A file's header and its rows."""

    header: list[str]  # as written, outer spaces and an old BOM removed
    delimiter: str
    lines: Iterator[Line]


def read_table(data: bytes, name: str, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Read a delimited text file; the delimiter is the one of ``, ; TAB`` that cuts the first line into most cells.

    Raises ``UnknownEncoding``, and ``DamagedExport`` where even the header cannot be read.
    """
    text = decode(data, name, encoding)
    mark = delimiter or sniff(text)
    lines = _lines(text, mark)
    first = next((line for line in lines if line.error or any(line.cells)), None)
    if first is None or first.error:
        raise DamagedExport(f"{name} has no readable first line", hint="export again")
    return Table(unique([cell.strip().strip("\ufeff\u200b") for cell in first.cells]), mark, lines)


def sniff(text: str) -> str:
    """Return the delimiter of the first non-empty line, quoted parts left out."""
    start = re.sub(r'"[^"]*"', "", text[:20_000].lstrip("\r\n"))
    head = re.split(r"[\r\n]", start, maxsplit=1)[0]
    return max(_DELIMITERS, key=lambda mark: (head.count(mark), mark == ","))


def unique(names: Sequence[str]) -> list[str]:
    """Return the names with later equals numbered: ``url``, ``url (2)``; an empty one is ``column 3``."""
    made: list[str] = []
    for index, name in enumerate(names):
        base = name or f"column {index + 1}"
        candidate, n = base, 1
        while candidate in made:
            n += 1
            candidate = f"{base} ({n})"
        made.append(candidate)
    return made


def _lines(text: str, delimiter: str) -> Iterator[Line]:
    csv.field_size_limit(sys.maxsize)
    used: list[str] = []

    def feed() -> Iterator[str]:
        for physical in io.StringIO(text, newline=""):
            used.append(physical)
            yield physical

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    number = 1
    while True:
        used.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Line(number, [], "".join(used), _reason(error, number))
        else:
            yield Line(number, cells, "".join(used))
        number += len(used)


def _reason(error: csv.Error, number: int) -> str:
    if "unexpected end" in str(error):
        return f"the quote opened on line {number} is never closed; the file may be cut off"
    return "a quote stands where none may stand"


@dataclass(slots=True)
class Rows:
    """The data rows of a table as records: one dict of header and cell each, ragged and broken ones set aside."""

    source: Source
    table: Table
    number: int = 0
    short: list[int] = field(default_factory=list)
    decoded: int = 0

    def records(self) -> Iterator[Record]:
        """Yield a record for each row; a row that does not fit the header goes to quarantine, as it stands."""
        unescape = bool(self.source.options.get("unescape_html"))
        held: Line | None = None
        for line in self.table.lines:
            if held is not None and (record := self._record(held, unescape, is_last=False)):
                yield record
            held = line
        if held is not None and (record := self._record(held, unescape, is_last=True)):
            yield record
        self._report()

    def _record(self, line: Line, unescape: bool, *, is_last: bool) -> Record | None:
        header = self.table.header
        if not line.error and not any(line.cells):
            return None
        self.number += 1
        cells, width = line.cells, len(header)
        if line.error or (len(cells) > width and any(cells[width:])):
            self._set_aside(line, line.error or f"{len(cells)} cells where the header has {width}")
            return None
        if len(cells) < width:
            if is_last and not line.raw.endswith(("\n", "\r")) and not self.short:
                self._set_aside(line, f"the last line has {len(cells)} of {width} cells; the file may be cut off")
                return None
            self.short.append(line.number)
        data = dict(zip(header, cells, strict=False))
        if unescape:
            data = self._unescaped(data)
        return Record(self.source, f"row {self.number}", data, line.raw.encode(), line=line.number)

    def _unescaped(self, data: dict[str, str]) -> dict[str, str]:
        made = {key: html.unescape(value) if "&" in value else value for key, value in data.items()}
        many = sum(made[key] != data[key] for key in data)
        if many:
            self.source.ledger.changed_lines["html_entities"] += many
        return made

    def _set_aside(self, line: Line, reason: str) -> None:
        values = sum(1 for cell in line.cells if cell) or 1
        self.source.ledger.total += values
        aside = Quarantined(f"row {self.number}", reason, line.raw.encode(), line.number, 1, values)
        self.source.ledger.set_aside(aside)

    def _report(self) -> None:
        if self.short:
            first = ", ".join(str(n) for n in self.short[:5]) + (", …" if len(self.short) > 5 else "")
            self.source.ledger.warn(
                f"{len(self.short)} rows are shorter than the header (line {first}); the cells they lack count as empty"
            )


def is_escaped(data: bytes) -> bool:
    """Whether a whole file was HTML-escaped: entities occur, and no ``&`` or ``<`` stands alone (dossier: LastPass 3.4)."""
    entities = len(re.findall(rb"&(?:amp|lt|gt|quot|apos|#39|#x27);", data))
    return entities > 0 and data.count(b"&") == entities and b"<" not in data


Values = Mapping[str, Any]
RowReader = Callable[[Record], Any]
