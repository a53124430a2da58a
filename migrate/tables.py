"""Rows of comma-separated files, read so that no cell is lost: our own decoding, ``csv.reader``, physical lines.

- The delimiter is the one of ``, ; TAB`` that cuts the first line into most cells, or that which a line ``sep=;``
  before the header names for Excel.
- A row with more cells than the header, with a stray quote or a quote that is never closed is set aside as it stands.
- After a broken quote reading goes on at the next line that has exactly the header's cells; nothing is guessed.
- A row that repeats the header (exports that were joined) is none.

``pandas.read_csv`` is not used: with its best settings it cuts surplus cells off and cannot tell a missing cell from an
empty one (dossier: CSV reading).
"""

from __future__ import annotations

import csv
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice, tee
from typing import Any

import msgspec

from migrate.decoding import decode
from migrate.ledger import Quarantined
from migrate.shape import Changed
from migrate.source import Record, Source
from vault.errors import DamagedExport

_DELIMITERS = ",;\t"
_MAX_LINE = 16 << 20  # characters of one physical line; no product writes a longer one
_MAX_COLUMNS = 1000
_PAGE = 1 << 16  # characters whose lines are cut together
_LINE = re.compile(r"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+")  # not splitlines(): it also cuts at U+2028 and the like
_DIRECTIVE = re.compile(r'"?sep=([,;\t])"?(?:\r\n|\r|\n)')  # for Excel: no row
_RESUME_FROM = 3  # cells: in a narrower table too many lines of a text look like rows


class Line(msgspec.Struct):
    """One row as it stands in the file."""

    number: int  # physical line of its first character, from 1
    cells: list[str]
    raw: str
    error: str = ""


class Table(msgspec.Struct):
    """A file's header and its rows."""

    header: list[str]  # as written, outer spaces and an old BOM removed
    delimiter: str
    lines: Iterator[Line]


def read_table(data: bytes, name: str, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Read a delimited text file; the rows are read while they are asked for.

    Raises ``UnknownEncoding``, and ``DamagedExport`` where even the header cannot be read or a line is endless.
    """
    return table_of(decode(data, name, encoding), name, delimiter=delimiter)


def table_of(text: str, name: str, *, delimiter: str | None = None) -> Table:
    """Return a decoded text as a table; raises ``DamagedExport`` as ``read_table`` does."""
    said = _DIRECTIVE.match(text)
    if said:
        text = "\n" + text[said.end() :]  # a blank line, so that all others keep their numbers
    mark = delimiter or (said[1] if said else sniff(text))
    lines = _lines(text, mark, name)
    first = next((line for line in lines if line.error or any(line.cells)), None)
    if first is None or first.error:
        raise DamagedExport(f"{name} has no readable first line", hint="export again")
    if len(first.cells) > _MAX_COLUMNS:
        raise DamagedExport(f"{name} has more than {_MAX_COLUMNS:,} columns", hint="export again")
    return Table(unique([cell.strip().strip("\ufeff\u200b") for cell in first.cells]), mark, lines)


def sniff(text: str) -> str:
    """Return the delimiter of the first non-empty line, quoted parts left out."""
    start = re.sub(r'"[^"]*"', "", text[:20_000].lstrip("\r\n"))
    head = re.split(r"[\r\n]", start, maxsplit=1)[0]
    return max(_DELIMITERS, key=lambda mark: (head.count(mark), mark == ","))


def unique(names: Sequence[str]) -> list[str]:
    """Return the names with later equals numbered: ``url``, ``url (2)``; an empty one is ``column 3``."""
    made: dict[str, None] = {}
    for index, name in enumerate(names):
        base = name or f"column {index + 1}"
        candidate, n = base, 1
        while candidate in made:
            n += 1
            candidate = f"{base} ({n})"
        made[candidate] = None
    return list(made)


def physical_lines(text: str, name: str = "") -> Iterator[str]:
    r"""Return the lines of a text with their ends, which are ``\r\n``, ``\n`` or ``\r``.

    Raises ``DamagedExport`` where a line is longer than any product's.
    """
    return chain.from_iterable(_pages(text, name))


def _pages(text: str, name: str) -> Iterator[list[str]]:
    """Yield the lines of a text, as many at a time as make a page."""
    start = 0
    while start < len(text):
        # A carriage return at the edge may be half of a line's end.
        end = max(text.rfind("\n", start, start + _PAGE), text.rfind("\r", start, start + _PAGE - 1)) + 1
        lines = _cut(text[start:end]) if end else [next(_LINE.finditer(text, start))[0]]
        longest = max(map(len, lines))
        if longest > _MAX_LINE:
            raise DamagedExport(
                f"{name} has a line of more than {_MAX_LINE >> 20} million characters",
                hint="no product writes such a table; export again",
            )
        yield lines
        start = end or start + longest


def _cut(page: str) -> list[str]:
    """Return the lines of a text that ends with one."""
    if page[-1] == "\n" and page.count("\r") == page.count("\r\n"):
        return [f"{line}\n" for line in page[:-1].split("\n")]
    return _LINE.findall(page)


def _lines(text: str, delimiter: str, name: str) -> Iterator[Line]:
    csv.field_size_limit(sys.maxsize)
    fresh, again = physical_lines(text, name), deque[str]()
    told, reader = _reader(fresh, again, delimiter)
    number, width, read = 1, 0, 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            used = list(islice(told, reader.line_num - read))
            start = _resume(used, delimiter, width)
            read = reader.line_num
            if start:
                again.extendleft(reversed(used[start:]))
                told, reader = _reader(fresh, again, delimiter)
                read = 0
                del used[start:]
            yield Line(number, [], "".join(used), _reason(error, number, is_end=not start))
            number += len(used)
        else:
            many = reader.line_num - read
            read += many
            width = width or (len(cells) if any(cells) else 0)
            yield Line(number, cells, next(told) if many == 1 else "".join(islice(told, many)))
            number += many


def _reader(fresh: Iterator[str], again: deque[str], delimiter: str) -> tuple[Iterator[str], Any]:
    """Return the lines a second time, to know those of each row, and a reader of rows; ``again`` comes first."""
    lines, told = tee(chain(_taken(again), fresh) if again else fresh)
    return told, csv.reader(lines, delimiter=delimiter, strict=True)


def _taken(lines: deque[str]) -> Iterator[str]:
    while lines:
        yield lines.popleft()


def _reason(error: csv.Error, number: int, *, is_end: bool) -> str:
    if "unexpected end" not in str(error):
        return "a quote stands where none may stand"
    return f"a quote in line {number} is never closed{'; the file may be cut off' if is_end else ''}"


def _resume(used: Sequence[str], delimiter: str, width: int) -> int:
    """Return the index of the line at which reading can go on inside a broken row; 0 where there is none.

    At least half of the lines must look like rows: else they are the text of one cell that was cut off.
    """
    if width < _RESUME_FROM:
        return 0
    fits = [index for index, line in enumerate(used) if index and _is_row(line, delimiter, width)]
    return fits[0] if fits and 2 * len(fits) >= len(used) - 2 else 0


def _is_row(line: str, delimiter: str, width: int) -> bool:
    if line.count(delimiter) < width - 1 or (delimiter == "," and ", " in re.sub(r'"[^"]*"', "", line)):
        return False
    try:
        rows = list(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return len(rows) == 1 and len(rows[0]) == width


Check = Callable[[Mapping[str, str]], str]


def _no_objection(_: Mapping[str, str]) -> str:
    return ""


class Rows(msgspec.Struct):
    """The data rows of a table as records: one dict of header and cell each, ragged and broken ones set aside.

    A column that ``options["map"]`` drops is left out and counted as dropped.
    """

    source: Source
    table: Table
    least: int = 1  # cells a row must have; what is missing behind them counts as empty
    rename: Mapping[str, str] = msgspec.field(default_factory=dict)  # column of the file -> name by which it is known
    may_be_short: Callable[[Mapping[str, str]], bool] = lambda _: False  # a row that has fewer cells all the same
    check: Check = _no_objection  # returns why a row cannot be one of the format, or ""
    ends_with_line: bool = False  # the product ends its last row: in one without an end, an empty last cell may be cut
    whole: frozenset[str] = frozenset()  # texts of the last cell that cannot be cut off ones
    number: int = 0
    short: list[int] = msgspec.field(default_factory=list)

    def records(self) -> Iterator[Record]:
        """Yield a record for each row; a row that does not fit the header goes to quarantine, as it stands."""
        header = [self.rename.get(name, name) for name in self.table.header]
        unescape = bool(self.source.options.get("unescape_html"))
        drop = [name for name, role in (self.source.options.get("map") or {}).items() if role == "drop"]
        held: Line | None = None
        for line in self.table.lines:
            if held is not None and (data := self._data(held, header)) is not None:
                yield self._record(held, data, unescape, drop)
            held = line
        if held is not None and self._is_complete(held, header) and (data := self._data(held, header)) is not None:
            yield self._record(held, data, unescape, drop)
        self._report()

    def _data(self, line: Line, header: list[str]) -> dict[str, str] | None:
        """Return a row's cells by column; None for a row that is none, or was set aside."""
        cells, width = line.cells, len(header)
        if not line.error and (not any(cells) or self._repeats_header(cells)):
            return None
        self.number += 1
        if len(cells) != width and not self._fits(line, header):
            return None
        data = dict(zip(header, cells, strict=False))
        if reason := self.check(data):
            self._set_aside(line, reason)
            return None
        return data

    def _repeats_header(self, cells: list[str]) -> bool:
        header = self.table.header
        return cells[-1].strip() == header[-1] and [cell.strip().strip("\ufeff\u200b") for cell in cells] == header

    def _fits(self, line: Line, header: list[str]) -> bool:
        """Whether a row of another width than the header's may be taken; one that may not is set aside here."""
        cells, width = line.cells, len(header)
        is_short = len(cells) < self.least and not self.may_be_short(dict(zip(header, cells, strict=False)))
        if line.error or any(cells[width:]) or is_short:
            many = f"{len(cells)} cell{'' if len(cells) == 1 else 's'}"
            self._set_aside(line, line.error or f"{many} where the header has {width}")
            return False
        if len(cells) < width:
            self.short.append(line.number)
        return True

    def _is_complete(self, line: Line, header: list[str]) -> bool:
        """Whether the last row may be taken; one that can only be cut off is set aside here."""
        cells = line.cells
        if line.error or line.raw.endswith(("\n", "\r")) or not any(cells):
            return True
        if len(cells) < len(header) and not self.short:
            self.number += 1
            self._set_aside(line, f"the last line has {len(cells)} of {len(header)} cells; the file may be cut off")
            return False
        is_whole = cells[-1] in self.whole or line.raw.endswith('"') or not (cells[-1] or self.ends_with_line)
        if not (is_whole or self.source.is_reread):
            self.source.ledger.warn(
                f"line {line.number} has no line end; if the file was cut off there, its last cell is not complete"
            )
        return True

    def _record(self, line: Line, data: dict[str, str], unescape: bool, drop: list[str]) -> Record:
        if drop:
            self._drop(data, drop)
        if unescape:
            data = self._unescaped(data)
        return Record(self.source, f"row {self.number}", data, line.raw.encode(), -1, line.number)

    def _drop(self, data: dict[str, str], names: list[str]) -> None:
        for name in names:
            if data.pop(name, "") and not self.source.is_reread:
                self.source.ledger.total += 1
                self.source.ledger.dropped(name, "by your --map")

    def _unescaped(self, data: dict[str, str]) -> dict[str, str]:
        import html  # its table of entities takes a while to load

        made = {key: html.unescape(value) if "&" in value else value for key, value in data.items()}
        if not self.source.is_reread:
            shape = self.source.adapter.shape if self.source.adapter else {}
            # a cell that another rule changes as well is counted by that one
            many = sum(made[key] != data[key] and not isinstance(shape.get(key), Changed) for key in data)
            self.source.ledger.changed += many
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
                f"rows shorter than the header: {len(self.short):,} (line {first}); the cells they lack count as empty"
            )


def is_escaped(text: str) -> bool:
    """Whether a whole file was HTML-escaped: entities occur, no ``&`` or ``<`` stands alone (dossier: LastPass 3.4)."""
    marks = text.count("&")
    if not marks or "<" in text:
        return False
    return marks == entities_in(text)


def entities_in(text: str) -> int:
    """Return how many of the entities stand in a text that a web page writes for ``& < > " '``."""
    return len(re.findall(r"&(?:amp|lt|gt|quot|apos|#0?39|#x27|#34);", text)) if "&" in text else 0
