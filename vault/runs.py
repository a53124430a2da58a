"""Import runs: what arrived where, what a run changed, and taking it back.

While a run is recorded, ``vault.rows`` writes a journal line for each thing it touches: the row before the first
change and the digest after the last. A thing whose digest is no longer that one was edited since, and stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from vault import canonical, rows
from vault.database import Database
from vault.errors import NoSuchRun
from vault.moment import Instant

_PAGE_ROWS = 500
_SELECT = "SELECT id, format, source_name, digest, at, options, summary, undone_at FROM runs"


class Run(msgspec.Struct, frozen=True):
    """One import: where it came from, with which options, and what became of it."""

    id: str
    format: str
    source_name: str
    digest: str  # SHA-256 of the source file, hexadecimal
    at: Instant
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    summary: dict[str, Any] = msgspec.field(default_factory=dict)
    undone_at: Instant | None = None


class Arrival(NamedTuple):
    """One record of a source and the item it became."""

    place: str  # locator in the source: items/5, row 12
    item_id: str
    fingerprint: str


class Entry(NamedTuple):
    """One thing a run changed."""

    kind: str  # item, collection, extras, document
    id: str
    before: bytes | None  # the row before the run; None: the run made it
    after_digest: str | None  # SHA-256 of the row after the run; None: the run removed it


class Quarantined(NamedTuple):
    """One record that could not be read, raw."""

    place: str
    reason: str
    raw: bytes


def begin(db: Database, run: Run) -> None:
    """Write down a new run."""
    sql = """INSERT INTO runs (id, format, source_name, digest, at, options, summary, undone_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
    facts = (run.id, run.format, run.source_name, run.digest, run.at)
    db.do(sql, (*facts, json.dumps(run.options), json.dumps(run.summary), run.undone_at))


def end(db: Database, run_id: str, summary: dict[str, Any]) -> None:
    """Keep what became of the run."""
    db.do("UPDATE runs SET summary = ? WHERE no = ?", (json.dumps(summary), number_of(db, run_id)))


def number_of(db: Database, run_id: str) -> int:
    """Return the run's number in the file; raises ``NoSuchRun``."""
    number = db.value("SELECT no FROM runs WHERE id = ?", (run_id,))
    if number is None:
        raise NoSuchRun("there is no import run of that name", hint="keyferry runs lists them")
    return int(number)


def all_runs(db: Database) -> list[Run]:
    """Return the runs, the oldest first."""
    return [_run(row) for row in db.all(_SELECT + " ORDER BY no")]


def get(db: Database, run_id: str) -> Run:
    """Return the run; raises ``NoSuchRun``."""
    return _run(db.all(_SELECT + " WHERE no = ?", (number_of(db, run_id),))[0])


def _run(row: tuple[Any, ...]) -> Run:
    id_, format_, source_name, digest, at, options, summary, undone_at = row
    return Run(id_, format_, source_name, digest, at, json.loads(options), json.loads(summary), undone_at)


@contextmanager
def recording(db: Database, run_id: str) -> Iterator[None]:
    """Write the journal of the run for everything put or removed inside, all in one transaction."""
    with db.transaction():
        outer, db.run = db.run, number_of(db, run_id)
        try:
            yield
        finally:
            db.run = outer


def add_arrivals(db: Database, run_id: str, arrivals: Iterable[tuple[str, str, str]]) -> None:
    """Keep (place, item id, fingerprint) of records that became items, in their order."""
    with db.transaction():
        run = number_of(db, run_id)
        start = (db.value("SELECT max(no) FROM arrivals WHERE run = ?", (run,)) or 0) + 1
        db.do_many(
            "INSERT INTO arrivals (run, no, place, item, fingerprint) VALUES (?, ?, ?, ?, ?)",
            ((run, no, *arrival) for no, arrival in enumerate(arrivals, start)),
        )


def arrivals(db: Database, run_id: str) -> Iterator[Arrival]:
    """Yield what arrived in the run, in the order of the source."""
    run, last = number_of(db, run_id), 0
    while True:
        page = db.all(
            "SELECT no, place, item, fingerprint FROM arrivals WHERE run = ? AND no > ? ORDER BY no LIMIT ?",
            (run, last, _PAGE_ROWS),
        )
        if not page:
            return
        last = page[-1][0]
        yield from (Arrival(*row[1:]) for row in page)


def fingerprints(db: Database) -> dict[str, str]:
    """Return the newest fingerprint each item arrived with, by item id."""
    return dict(db.all("SELECT item, fingerprint FROM arrivals ORDER BY run, no"))


def all_fingerprints(db: Database) -> dict[str, list[str]]:
    """Return every fingerprint each item arrived with, the newest last, by item id."""
    found: dict[str, list[str]] = {}
    for item, fingerprint in db.all("SELECT item, fingerprint FROM arrivals ORDER BY run, no"):
        found.setdefault(item, []).append(fingerprint)
    return found


def fingerprint_of(db: Database, item_id: str) -> str | None:
    """Return the newest fingerprint the item arrived with."""
    sql = "SELECT fingerprint FROM arrivals WHERE item = ? ORDER BY run DESC, no DESC LIMIT 1"
    found: str | None = db.value(sql, (item_id,))
    return found


def journal(db: Database, run_id: str) -> list[Entry]:
    """Return what the run changed, in the order of the first change; empty once it is taken back."""
    found = db.all("SELECT kind, id, before, after FROM journal WHERE run = ? ORDER BY no", (number_of(db, run_id),))
    return [Entry(*row) for row in found]


def extras_changed(db: Database, run_id: str) -> list[bytes]:
    """Return what formats said beside their items before the run replaced it."""
    sql = "SELECT before FROM journal WHERE run = ? AND kind = 'extras' AND before IS NOT NULL ORDER BY no"
    return [before for (before,) in db.all(sql, (number_of(db, run_id),))]


def add_quarantine(db: Database, run_id: str, place: str, reason: str, raw: bytes) -> None:
    """Keep a record that could not be read."""
    values = (number_of(db, run_id), place, reason, raw)
    db.do("INSERT INTO quarantine (run, place, reason, raw) VALUES (?, ?, ?, ?)", values)


def quarantined(db: Database, run_id: str) -> list[Quarantined]:
    """Return the records of the run that could not be read."""
    found = db.all("SELECT place, reason, raw FROM quarantine WHERE run = ? ORDER BY no", (number_of(db, run_id),))
    return [Quarantined(*row) for row in found]


def undo(db: Database, run_id: str, now: Instant) -> list[str]:
    """Take a run back and return the ids of items that stay because they were edited since.

    Everything else is as before the run, in its old place; what the run made goes, with its quarantine. A folder the
    run made stays as long as an item or a folder that stays is in it. Raises ``NoSuchRun``, also for the second time.
    """
    with db.transaction():
        if get(db, run_id).undone_at is not None:
            raise NoSuchRun("that run was taken back already", hint="keyferry runs lists them")
        run = number_of(db, run_id)
        kept = _undo_items(db, run)
        _undo_past(db, run, kept)
        _undo_extras(db, run)
        _undo_collections(db, run)
        made = {name for (name,) in db.all("SELECT id FROM journal WHERE run = ? AND kind = 'document'", (run,))}
        db.do("DELETE FROM journal WHERE run = ?", (run,))
        for name in rows.unreferenced(db, made):
            rows.remove_document(db, name)
        _forget(db, run, kept)
        db.do("UPDATE runs SET undone_at = ? WHERE no = ?", (now, run))
    return kept


def _undo_items(db: Database, run: int) -> list[str]:
    kept: list[tuple[int, str]] = []
    last = 0
    while True:
        page = db.all(
            # By number, not by its index: that would sort the whole journal for each page.
            """SELECT journal.no, journal.id, journal.seq, before, after, items.body
            FROM journal NOT INDEXED LEFT JOIN items ON items.id = journal.id
            WHERE run = ? AND kind = 'item' AND journal.no > ? ORDER BY journal.no LIMIT ?""",
            (run, last, _PAGE_ROWS),
        )
        if not page:
            return [id_ for _, id_ in sorted(kept)]
        last = page[-1][0]
        unchanged = [row for row in page if rows.digest(row[5]) == row[4]]
        kept += [(row[2], row[1]) for row in page if rows.digest(row[5]) != row[4] and row[5] is not None]
        _take_back(db, run, unchanged)


def _take_back(db: Database, run: int, unchanged: list[tuple[Any, ...]]) -> None:
    made = [(id_, seq) for _, id_, seq, before, _, _ in unchanged if before is None]
    db.do_many("DELETE FROM words WHERE rowid = ?", [(seq,) for _, seq in made])
    db.do_many("DELETE FROM items WHERE id = ?", [(id_,) for id_, _ in made])
    db.do_many("DELETE FROM past WHERE item = ?", [(id_,) for id_, _ in made])
    for _, id_, seq, before, _, _ in unchanged:
        if before is not None:
            rows.restore_item(db, id_, seq, before)
            db.do("DELETE FROM past WHERE item = ? AND run = ?", (id_, run))


def _undo_past(db: Database, run: int, kept: list[str]) -> None:
    """Drop the past versions that the run has brought, but not those of items that stay as they are."""
    brought = {item for (item,) in db.all("SELECT item FROM past WHERE run = ?", (run,))}
    db.do_many("DELETE FROM past WHERE item = ? AND run = ?", [(item, run) for item in brought - set(kept)])


def _undo_extras(db: Database, run: int) -> None:
    for id_, before, after in db.all("SELECT id, before, after FROM journal WHERE run = ? AND kind = 'extras'", (run,)):
        if rows.digest(db.value("SELECT body FROM extras WHERE format = ?", (id_,))) == after:
            rows.put_extras(db, id_, before)


def _undo_collections(db: Database, run: int) -> None:
    found = db.all(
        """SELECT journal.id, journal.seq, before, after, collections.body
        FROM journal LEFT JOIN collections ON collections.id = journal.id WHERE run = ? AND kind = 'collection'""",
        (run,),
    )
    unchanged = [row for row in found if rows.digest(row[4]) == row[3]]
    for id_, seq, before, _, _ in unchanged:
        if before is not None:
            db.do("INSERT OR REPLACE INTO collections (seq, id, body) VALUES (?, ?, ?)", (seq, id_, before))
    made = {id_ for id_, _, before, _, body in unchanged if before is None and body is not None}
    for id_ in made - _in_use(db, made) if made else ():
        db.do("DELETE FROM collections WHERE id = ?", (id_,))


class _Placed(msgspec.Struct):
    """The one member of an item that is needed here; the rest is skipped unread."""

    collections: tuple[str, ...] = ()


def _in_use(db: Database, made: set[str]) -> set[str]:
    """Return the collections that must stay: those of items, and all above them and above those not in ``made``."""
    read = msgspec.json.Decoder(_Placed).decode
    used = {id_ for _, body in rows.item_rows(db) for id_ in read(body).collections}
    bodies = db.all("SELECT id, body FROM collections")
    parents = {id_: canonical.decode_collection(body).parent for id_, body in bodies}
    todo = [id_ for id_ in parents if id_ in used or id_ not in made]
    seen: set[str] = set()
    while todo:
        id_ = todo.pop()
        if id_ in parents and id_ not in seen:
            seen.add(id_)
            parent = parents[id_]
            todo += [parent] if parent is not None else []
    return seen


def _forget(db: Database, run: int, kept: list[str]) -> None:
    """Drop the rows of a run that is taken back; where the items that stay came from is still known."""
    staying: list[tuple[object, ...]] = []
    for id_ in kept:
        staying += db.all("SELECT * FROM arrivals WHERE item = ? AND run = ?", (id_, run))
    db.do("DELETE FROM arrivals WHERE run = ?", (run,))
    db.do_many("INSERT INTO arrivals VALUES (?, ?, ?, ?, ?)", staying)
    db.do("DELETE FROM quarantine WHERE run = ?", (run,))
