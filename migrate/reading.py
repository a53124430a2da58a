"""How records are read out of a source: counted, kept apart when they are rotten, and taken from by the adapter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from migrate.ledger import Quarantined
from migrate.records import Cut, DuplicateKey, cut, line_of, read_json
from migrate.shape import spell_surrogates

if TYPE_CHECKING:
    from migrate.adapter import Record, Source


def json_records(source: Source, data: bytes, name: str) -> tuple[Any, Iterator[Record]]:
    """Return the frame and the stream of records; each is counted in the source's ledger before it is handed out."""
    assert source.adapter is not None
    frame, cuts = cut(data, source.adapter.records, name)
    frame = spell_surrogates(frame)
    source.ledger.frame(frame)
    return frame, _records(source, data, cuts)


def _records(source: Source, data: bytes, cuts: Iterator[Cut]) -> Iterator[Record]:
    from migrate.adapter import Record

    for one in cuts:
        value = read_record(one.raw)
        if isinstance(value, dict):
            source.ledger.record(one.place, value)
            yield Record(source, one.place, value, one.offset)
        elif value is None:
            source.ledger.structure += 1
        else:
            line, column = line_of(data, one.offset) if one.offset >= 0 else (0, 0)
            source.ledger.set_aside(Quarantined(one.place, str(value), one.raw, line, column))


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
        return spell_surrogates(value) if b"\\u" in raw and isinstance(value, dict) else value
    return "the record is no object"
