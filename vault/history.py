"""What the vault remembers beside its items, as lines of JSON: past versions, import runs, places in the order.

A backup carries these lines so that a restored vault can still show old values, prove and take back its imports.
Each line is an array whose first member names its kind:

    ["order", "items" | "collections", last, [seq, ...]]   the positions of what is there now, and the last one given
    ["run", no, id, format, source name, digest, at, options, summary, undone at | null]
    ["past", item, at, row, run no | null]                  a replaced row, as text
    ["arrival", run no, no, place, item, fingerprint]
    ["journal", no, run no, kind, id, seq | null, row before | null, digest after | null]
    ["quarantine", run no, place, reason, base64 of the record]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec

from vault import canonical, crypto, rows
from vault.database import Database
from vault.errors import DamagedVault
from vault.model import Vault

_ORDERED = ("items", "collections")
_RUNS = "SELECT no, id, format, source_name, digest, at, options, summary, undone_at FROM runs ORDER BY no"
_PAST = "SELECT item, at, body, run FROM past ORDER BY no"
_ARRIVALS = "SELECT run, no, place, item, fingerprint FROM arrivals ORDER BY run, no"
_JOURNAL = "SELECT no, run, kind, id, seq, before, after FROM journal ORDER BY no"
_QUARANTINE = "SELECT run, place, reason, raw FROM quarantine ORDER BY no"
_INTO = {
    "run": "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "past": "INSERT INTO past (item, at, body, run) VALUES (?, ?, ?, ?)",
    "arrival": "INSERT INTO arrivals VALUES (?, ?, ?, ?, ?)",
    "journal": "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?)",
    "quarantine": "INSERT INTO quarantine (run, place, reason, raw) VALUES (?, ?, ?, ?)",
}
_BLOBS = {"past": 2, "journal": 5}  # where a line holds a row as text
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Text = str | None
_SHAPES: dict[str, Any] = {
    "order": tuple[Literal["items", "collections"], _Number, list[_Number]],
    "run": tuple[_Number, str, str, str, str, str, str, str, _Text],
    "past": tuple[str, str, str, _Number | None],
    "arrival": tuple[_Number, _Number, str, str, str],
    "journal": tuple[_Number, _Number, str, str, _Number | None, _Text, _Text],
    "quarantine": tuple[_Number, str, str, str],
}
_ROWS: dict[str, Callable[[bytes], object]] = {
    "item": canonical.decode_item,
    "collection": canonical.decode_collection,
    "extras": canonical.decode_any,
    "document": bytes,
}
_UNIQUE: dict[str, list[tuple[int, ...]]] = {
    "order": [(0,)],
    "run": [(0,), (1,)],
    "arrival": [(0, 1)],
    "journal": [(0,), (1, 2, 3)],
}


def lines(db: Database) -> Iterator[bytes]:
    """Yield the lines, each with its line break; secrets in clear. Nothing may be written until the last."""
    for table in _ORDERED:
        last = db.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0
        yield _line("order", table, last, [seq for (seq,) in db.each(f"SELECT seq FROM {table} ORDER BY seq")])  # noqa: S608
    yield from (_line("run", *row) for row in db.each(_RUNS))
    yield from (_line("past", item, at, _text(body), run) for item, at, body, run in db.each(_PAST))
    yield from (_line("arrival", *row) for row in db.each(_ARRIVALS))
    for *facts, before, after in db.each(_JOURNAL):
        yield _line("journal", *facts, _text(before), after)
    for run, place, reason, raw in db.each(_QUARANTINE):
        yield _line("quarantine", run, place, reason, crypto.to_text(raw))


def fill(db: Database, vault: Vault, remembered: Iterable[bytes]) -> None:
    """Put items, collections, extras and the lines into an empty vault, each at its old position.

    Raises ``DamagedVault``, without content, for lines that are none of these, and for a vault that is not empty.
    """
    if db.value("SELECT count(*) FROM items") or db.value("SELECT count(*) FROM runs"):
        raise DamagedVault("the vault is not empty")
    with db.transaction(), canonical.many():
        try:
            found: dict[str, list[list[Any]]] = {}
            for line in remembered:
                kind, *values = canonical.decode_any(line)
                found.setdefault(kind, []).append(_decoded(kind, values))
            _check_unique(vault, found)
            order = {table: (last, seqs) for table, last, seqs in found.pop("order", [])}
            rows.put_items_at(db, vault.items, _positions(order, "items", len(vault.items)))
            rows.put_collections_at(db, vault.collections, _positions(order, "collections", len(vault.collections)))
            for format_, extras in vault.extras.items():
                rows.put_extras(db, format_, canonical.encode(extras))
            for kind, values in found.items():
                db.do_many(_INTO[kind], values)
            for table, (last, _) in order.items():
                db.do("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
                db.do("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamagedVault(f"the vault's history is not built as ours is ({type(error).__name__})") from None


def _positions(order: dict[str, tuple[int, list[int]]], table: str, count: int) -> Sequence[int]:
    last, seqs = order[table]
    rising = all(a < b for a, b in pairwise(seqs))
    if len(seqs) != count or not rising or (seqs and not 0 < seqs[0] <= seqs[-1] <= last):
        raise ValueError("positions that are none")
    return seqs


def _check_unique(vault: Vault, found: dict[str, list[list[Any]]]) -> None:
    names: list[list[Any]] = [[item.id for item in vault.items], [one.id for one in vault.collections]]
    for kind, places in _UNIQUE.items():
        names += [[tuple(line[at] for at in place) for line in found.get(kind, ())] for place in places]
    if any(len(set(one)) != len(one) for one in names):
        raise ValueError("the same thing twice")


def _line(*values: Any) -> bytes:
    return canonical.encode(values) + b"\n"


def _text(body: bytes | None) -> str | None:
    return None if body is None else body.decode()


def _decoded(kind: str, values: list[Any]) -> list[Any]:
    values = [*msgspec.convert(values, _SHAPES[kind])]
    at = _BLOBS.get(kind)
    if at is not None and values[at] is not None:
        values[at] = values[at].encode()
        _ROWS[values[2] if kind == "journal" else "item"](values[at])
    if kind == "run" and not all(isinstance(json.loads(text), dict) for text in values[6:8]):
        raise ValueError("options or a summary that are none")
    if kind == "quarantine":
        values[3] = crypto.from_text(values[3])
    return values
