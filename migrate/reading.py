"""How records are read out of a source: counted, taken from by the adapter, and set aside when they are rotten."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec

from migrate.adapter import Parsed
from migrate.ledger import Quarantined
from migrate.lines import entries
from migrate.records import Cut, DuplicateKey, Pattern, cut, line_of, read_json
from migrate.shape import count, new_tally, spell_surrogates
from migrate.source import Record, Source
from migrate.tables import Rows, read_table
from vault.errors import KeyferryError
from vault.model import Item


def json_records(source: Source, pattern: Pattern, data: bytes, name: str) -> tuple[Any, Iterator[Record]]:
    """Return the frame and the stream of records; each is counted in the source's ledger before it is handed out."""
    source.text = data
    frame, cuts = cut(data, pattern, name)
    frame = spell_surrogates(frame)
    source.ledger.frame(frame)
    return frame, _records(source, data, cuts)


def _records(source: Source, data: bytes, cuts: Iterator[Cut]) -> Iterator[Record]:
    for one in cuts:
        value = _reread(one.raw) if source.is_reread else read_record(one.raw)
        if isinstance(value, dict):
            yield Record(source, one.place, value, one.raw, one.offset)
        elif value is None:
            source.ledger.structure += 1
        else:
            line, column = line_of(data, one.offset) if one.offset >= 0 else (0, 0)
            aside = Quarantined(one.place, value, one.raw, line, column)
            source.ledger.total += aside.values
            source.ledger.set_aside(aside)


_FAST = msgspec.json.Decoder(float_hook=Decimal)


def _reread(raw: bytes) -> dict[str, Any] | str | None:
    """Return a record read by another JSON reader than the first time, where that one takes it."""
    try:
        value = _FAST.decode(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return read_record(raw)
    return value if isinstance(value, dict) else read_record(raw)


def read_record(raw: bytes) -> dict[str, Any] | str | None:
    """Return a record's object; None for ``null``; for anything else the reason why it cannot be read."""
    try:
        value = read_json(raw)
    except DuplicateKey:
        return "the record has the same key twice"
    except RecursionError:
        return "the record is nested too deeply"
    except ValueError:
        return "the record holds text or a number that JSON does not allow"
    if value is None or isinstance(value, dict):
        escapes = raw.find(b"\\u") >= 0  # a byte string that is asked "in" tries a number first
        return spell_surrogates(value) if escapes and isinstance(value, dict) else value
    return "the record is no object"


def items_of(source: Source, parsed: Parsed) -> Iterator[tuple[Record, Item | None]]:
    """Yield each record with its item; a record the adapter cannot take goes to quarantine and costs only itself."""
    for record in parsed.records:
        try:
            item = parsed.read(record)
        except KeyferryError:
            raise
        except Exception as error:  # one rotten record must not stop the rest; its kind is named, never its content
            set_aside(source, record, f"the record cannot be read ({type(error).__name__})")
        else:
            yield record, item


def set_aside(source: Source, record: Record, reason: str) -> None:
    """Put a record that was counted already into quarantine, its changes and lines taken back."""
    tally = new_tally()
    if record.raw[:1] == b"{":
        count(read_record(record.raw), source.ledger.shape, tally)
    source.ledger.changed -= tally[1]
    source.ledger.changed_lines.subtract(tally[3])
    for noted in [key for key in source.ledger.elsewhere_lines if key[0] == record.place]:
        del source.ledger.elsewhere_lines[noted]
    line, column = line_of(source.text, record.offset) if record.offset >= 0 else (record.line, 1)
    source.ledger.set_aside(Quarantined(record.place, reason, record.raw, line, column, record.values))


def text_lines(source: Source) -> Iterator[Record]:
    """Yield each entry of a plain list as a record of one value."""
    for entry in entries(source.data):
        yield Record(source, entry.place, {"line": entry.text}, entry.text.encode(), line=entry.line)


def reread(source: Source) -> tuple[Any, Iterator[Record]]:
    """Return frame and records straight from the bytes, as a reader that knows no product sees them."""
    adapter = source.adapter
    if adapter is None:
        return None, iter(())
    if adapter.signature.kind == "csv":
        table = read_table(
            source.data, source.name, encoding=source.options.get("encoding"), delimiter=source.options.get("delimiter")
        )
        return None, Rows(source, table).records()
    if adapter.signature.kind == "text":
        return None, text_lines(source)
    if source.archive is not None:
        return source.json(source.archive.read(adapter.member), adapter.member)
    return source.json()
