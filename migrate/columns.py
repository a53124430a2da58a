"""Formats that are tables: what each column means gives signature, reading, writing and shape at once.

An adapter names its columns in the order of the product's header. Rows of mixed kinds have a pair of hooks instead of
plain columns: ``from_row`` and ``to_row``. Columns that the product does not know go to ``extra`` under their header; a
header that differs from the product's is kept beside the items. So the same format writes both back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import msgspec

from migrate.adapter import Adapter, Parsed, Signature
from migrate.decoding import decode
from migrate.draft import Column, Draft, note
from migrate.giving import Outgoing
from migrate.leaving import Leaving, lines_of
from migrate.shape import Changed, Codes, count, new_tally
from migrate.source import Record, Source
from migrate.tables import Check, Rows, entities_in, is_escaped, table_of
from vault.errors import WrongFormat
from vault.model import Item

Row = dict[str, str | None]  # cells by column; None is a bare empty cell where all others are quoted
Beside = dict[str, Any]  # what a file says beside its items


FromRow = Callable[[Record, Beside], Item | None]
ToRow = Callable[[Leaving], Iterable[Row]]
BesideRows = Callable[[Outgoing, set[str]], Iterable[tuple[int, Row]]]


class Dialect(msgspec.Struct, frozen=True):
    """How a product writes its tables, and what it never writes."""

    quote_all: bool = False
    line_end: str = "\n"
    writes_last_end: bool = True
    least: int | None = None  # cells a row must have; None: as many as the header
    may_be_short: Callable[[Mapping[str, str]], bool] = lambda _: False  # a row that may have fewer
    any_case: bool = False  # column names differ in case between versions
    whole: frozenset[str] = frozenset()  # texts of the last cell that cannot be cut off ones
    may_be_escaped: bool = False  # files that passed through a web page are HTML-escaped as a whole
    takes: Callable[[Leaving], bool] = lambda _: True  # whether the product imports such an item
    check: Check = lambda _: ""


USUAL = Dialect()


class Plan(msgspec.Struct, frozen=True):
    """A table format put together."""

    signature: Signature
    columns: Mapping[str, Column | None]
    dialect: Dialect
    from_row: FromRow
    to_row: ToRow
    aliases: Mapping[str, str]
    header_for: Callable[[Outgoing], Sequence[str]]
    beside_rows: BesideRows
    standards: Sequence[Sequence[str]] = msgspec.field(default_factory=tuple)

    def parse(self, source: Source) -> Parsed:
        """Begin to read a source."""
        from migrate.smells import warn_of

        text = decode(source.data, source.name, source.options.get("encoding"))
        note_escapes(source, text, decides=self.dialect.may_be_escaped)
        warn_of(source, text)
        table = table_of(text, source.name, delimiter=source.options.get("delimiter"))
        rename = self._names(table.header)
        self._require({rename.get(name, name) for name in table.header}, source)
        beside: Beside = {} if tuple(table.header) in self.standards else {"header": table.header}
        rows = Rows(
            source,
            table,
            least=len(table.header) if self.dialect.least is None else self.dialect.least,
            may_be_short=self.dialect.may_be_short,
            rename=rename,
            check=self.dialect.check,
            ends_with_line=self.dialect.writes_last_end,
            whole=self.dialect.whole,
        )
        return Parsed(rows.records(), lambda record: self.from_row(record, beside), extras=beside)

    def _names(self, header: Iterable[str]) -> dict[str, str]:
        """Return the names of the file that stand for names of ours."""
        folded = {name.lower(): name for name in self.columns} if self.dialect.any_case else {}
        has = set(header)
        return {
            name: ours
            for name in header
            if name not in self.columns
            and (ours := self.aliases.get(name) or folded.get(name.lower())) is not None
            and ours not in has
        }

    def _require(self, has: set[str], source: Source) -> None:
        missing = sorted(self.signature.header - has)
        if missing:
            raise WrongFormat(
                f"{source.name} is no {source.format} file: it has no column {', '.join(missing)}",
                hint="a table needs a first line with the names of its columns; keyferry inspect tells what a file is",
            )

    def render(self, out: Outgoing, file: BinaryIO) -> None:
        """Write every item the product can hold."""
        paths = out.paths()
        rows: list[Row] = []
        used: set[str] = set()
        for item in out.items:
            leaving = Leaving(out, item, paths)
            if item.trashed or not (leaving.own or self.dialect.takes(leaving)):
                leaving.lose()
                continue
            made = [row for row in self.to_row(leaving) if any(row.values())]
            rows += made
            used.update(item.collections)
            if not made:
                leaving.lose()
        for number, row in sorted((*self.beside_rows(out, used), *kept_rows(out)), key=lambda pair: pair[0]):
            rows.insert(number - 1, row)
        header = self._header(out, rows)
        write_rows(file, header, self._names(header), rows, self.dialect)

    def _header(self, out: Outgoing, rows: Sequence[Row]) -> list[str]:
        """Return the header the source had, or the product's own, with every column that a row fills."""
        kept = out.extras.get(out.format, {}).get("header")
        is_kept = isinstance(kept, list) and all(isinstance(name, str) for name in kept)
        header = list(kept if is_kept else self.header_for(out))  # type: ignore[arg-type]
        names = self._names(header)
        has = {names.get(name, name) for name in header}
        filled = dict.fromkeys(name for row in rows for name, cell in row.items() if cell and name not in has)
        order = list(self.columns)
        for name in [name for name in order if name in filled]:
            before = order[: order.index(name)]
            at = max((n for n, known in enumerate(header) if names.get(known, known) in before), default=-1)
            header.insert(at + 1, name)
        return header + [name for name in filled if name not in self.columns]


def put_aside(record: Record, beside: Beside, cells: Row | None = None) -> None:
    """Keep a row that is no item beside the items, with its number; its values count as elsewhere, none as changed."""
    ledger = record.source.ledger
    tally = new_tally()
    count(record.data, ledger.shape, tally)
    ledger.changed -= tally[1]
    ledger.changed_lines.subtract(tally[3])
    kept = dict(record.data) if cells is None else cells
    said = "\0".join(f"{name}\0{cell}" for name, cell in sorted(kept.items()))
    mark = hashlib.sha256(said.encode()).hexdigest()[:12]  # two files may have different rows of one number
    beside[f"{record.place} {mark}"] = {"row": number_of(record), "cells": kept}
    ledger.elsewhere(
        "", {name: cell for name, cell in record.data.items() if not _is_code(ledger.shape.get(name), cell)}
    )


def _is_code(shape: Any, cell: str) -> bool:
    return isinstance(shape, Codes) and cell in shape.values


def number_of(record: Record) -> int:
    """Return the number of a row, the first below the header being 1."""
    return int(record.place.rpartition(" ")[2])


def kept_rows(out: Outgoing) -> Iterator[tuple[int, Row]]:
    """Yield the rows that were put aside, each with the number it had."""
    for kept in out.extras.get(out.format, {}).values():
        if isinstance(kept, dict) and isinstance(kept.get("row"), int) and isinstance(kept.get("cells"), dict):
            yield kept["row"], kept["cells"]


def note_escapes(source: Source, text: str, *, decides: bool) -> None:
    """Tell of a file that was HTML-escaped as a whole; for a product whose files pass through web pages, undo it."""
    if "unescape_html" in source.options:
        return
    if not is_escaped(text):
        if decides and (many := entities_in(text)):
            source.ledger.warn(
                f"places that look HTML-escaped (&amp; for &): {many:,}, but the file as a whole is not; "
                "taken as they stand, so look at passwords with an & in them"
            )
    elif decides:
        source.options["unescape_html"] = True
        source.ledger.warn(
            "the whole file was HTML-escaped, as by a web page (&amp; for &); all cells are taken unescaped"
        )
    else:
        source.ledger.warn("the file looks HTML-escaped (&amp; for &); its cells are taken as they stand")


def table(
    signature: Signature,
    columns: Mapping[str, Column | None],
    *,
    dialect: Dialect = USUAL,
    from_row: FromRow | None = None,
    to_row: ToRow | None = None,
    shape: Mapping[str, Codes | Changed] | None = None,
    aliases: Mapping[str, str] | None = None,
    standards: Sequence[Sequence[str]] | None = None,
    header_for: Callable[[Outgoing], Sequence[str]] | None = None,
    beside_rows: BesideRows = lambda _, __: (),
    kept_raw: Iterable[str] = (),
) -> Adapter:
    """Return the format of a table.

    ``columns`` stand in the order of the product's header; with both hooks their values may be None. ``standards`` are
    all headers the product writes, the first of them unless ``header_for`` chooses another. ``beside_rows`` gives rows
    that are no items, each with the number it is to have; it is told which folders the written items are in.
    """
    headers = tuple(tuple(one) for one in (standards or (tuple(columns),)))
    plan = Plan(
        signature,
        columns,
        dialect,
        from_row or reader(columns),
        to_row or writer(columns),
        aliases or {},
        header_for or (lambda _: headers[0]),
        beside_rows,
        headers,
    )
    shapes: dict[str, Any] = {name: c.shape for name, c in columns.items() if c is not None and c.shape is not None}
    shapes |= shape or {}
    shapes |= {other: shapes[ours] for other, ours in (aliases or {}).items() if ours in shapes}
    return Adapter(signature, plan.parse, plan.render, shape=shapes, kept_raw=frozenset((*columns, *kept_raw)))


def reader(columns: Mapping[str, Column | None]) -> FromRow:
    """Return the plain way from a row to an item: every column by itself."""
    known = [(name, column.read) for name, column in columns.items() if column is not None]

    def read(record: Record, _: Beside) -> Item:
        draft, data = Draft(record), record.data
        for name, take in known:
            cell = data.pop(name, "")
            if cell and not take(draft, name, cell):
                data[name] = cell
        return draft.item()

    return read


def writer(columns: Mapping[str, Column | None]) -> ToRow:
    """Return the plain way from an item to a row: every column by itself, the rest below the notes."""
    notes = next((name for name, column in columns.items() if column is note), "")

    def write(leaving: Leaving) -> list[Row]:
        row: Row = {name: column.write(leaving) for name, column in columns.items() if column is not None}
        if notes:
            row[notes] = lines_of(row[notes] or "", leaving.fields())
        leaving.settle(fields=bool(notes))
        return [with_extra(leaving, row)]

    return write


def with_extra(leaving: Leaving, row: Row) -> Row:
    """Return the row with the cells that were kept raw, where the item came from the same format."""
    for name, cell in leaving.item.extra.items() if leaving.own else ():
        if not isinstance(cell, str):
            continue
        row[name] = row.get(name) or cell
    return row


_QUOTED = re.compile('[",\r\n]')


def write_rows(
    file: BinaryIO, header: Sequence[str], names: Mapping[str, str], rows: Iterable[Row], dialect: Dialect
) -> None:
    """Write header and rows, quotes doubled; a cell is quoted where it must be, or always, as the product does."""
    keys = [names.get(name, name) for name in header]
    end = ""
    for cells in _all_rows(header, keys, rows):
        line = ",".join(_cell(cell, dialect.quote_all) for cell in cells)
        file.write(f"{end}{line}".encode("utf-8", "backslashreplace"))
        end = dialect.line_end
    if dialect.writes_last_end:
        file.write(end.encode())


def _all_rows(header: Sequence[str], keys: Sequence[str], rows: Iterable[Row]) -> Iterator[list[str | None]]:
    yield list(header)
    for row in rows:
        yield [row.get(key, "") for key in keys]


def _cell(text: str | None, quote: bool) -> str:
    if text is None:
        return ""
    return '"' + text.replace('"', '""') + '"' if quote or _QUOTED.search(text) else text
