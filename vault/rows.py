"""Reading and writing the rows of the vault file.

Every change goes through here, so that the search index, the past versions and the journal of a running import cannot
be forgotten: a row, its index entry and its journal line are written in the same transaction.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from vault import canonical
from vault.database import Database
from vault.errors import InvalidField, NoSuchItem
from vault.model import Collection, Item, state_of
from vault.moment import Instant
from vault.search import text_of

_BATCH_ROWS = 100  # few enough to be still in the processor's own memory when they are written
_BATCH_BYTES = 8 << 20

_ADDRESS = re.compile(rb'"([A-Za-z0-9_-]{43})"')
_REFERRING = (
    "SELECT seq, body FROM items WHERE seq > ? ORDER BY seq LIMIT 500",
    "SELECT no, body FROM past WHERE no > ? ORDER BY no LIMIT 500",
    "SELECT seq, body FROM collections WHERE seq > ? ORDER BY seq LIMIT 500",
    "SELECT no, before FROM journal WHERE no > ? AND before IS NOT NULL ORDER BY no LIMIT 500",
)

_PAGE = """SELECT seq, id, body FROM items
    WHERE seq > :last AND (:state IS NULL OR state = :state) ORDER BY seq LIMIT 500"""
_JOURNAL = """INSERT INTO journal (run, kind, id, seq, before, after) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (run, kind, id) DO UPDATE SET after = excluded.after"""
_MADE = """INSERT INTO journal (run, kind, id, seq, after) VALUES (?, 'item', ?, ?, ?)
    ON CONFLICT (run, kind, id) DO UPDATE SET after = excluded.after"""


class _New(msgspec.Struct, frozen=True):
    item: Item
    body: bytes


class _Old(msgspec.Struct, frozen=True):
    seq: int
    body: bytes


def digest(body: bytes | None) -> str | None:
    """Return the SHA-256 of a row in hexadecimal; None for an absent row."""
    return None if body is None else hashlib.sha256(body).hexdigest()


def item_rows(db: Database, state: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Yield (id, stored JSON) in insertion order; rows may be written meanwhile."""
    last = 0
    while True:
        page = db.all(_PAGE, {"last": last, "state": state})
        if not page:
            return
        last = page[-1][0]
        yield from ((id_, body) for _, id_, body in page)


def rows_of(db: Database, ids: Sequence[str]) -> dict[str, bytes]:
    """Return the stored JSON of several items by id."""
    found: dict[str, bytes] = {}
    for at in range(0, len(ids), _BATCH_ROWS):
        some = ids[at : at + _BATCH_ROWS]
        marks = ",".join("?" * len(some))
        found.update(db.all(f"SELECT id, body FROM items WHERE id IN ({marks})", tuple(some)))  # noqa: S608 - only ?
    return found


def put_items(db: Database, items: Iterable[Item], now: Instant) -> None:
    """Insert or replace items; a replaced body that differs becomes a past version, an equal one stays untouched."""
    put_rows(db, ((item, None) for item in items), now)


def put_rows(db: Database, rows: Iterable[tuple[Item, bytes | None]], now: Instant) -> None:
    """Insert or replace items as ``put_items`` does; beside each stands its JSON, or None where nobody made it yet."""
    with db.transaction():
        for batch in _batches(rows):
            _put_batch(db, batch, now)


def _batches(rows: Iterable[tuple[Item, bytes | None]]) -> Iterator[dict[str, _New]]:
    """Yield encoded items by id, few enough for memory; an id that comes again begins a new batch."""
    batch: dict[str, _New] = {}
    size = 0
    for item, known in rows:
        body = _encode(item) if known is None else known
        if batch and (item.id in batch or len(batch) >= _BATCH_ROWS or size + len(body) > _BATCH_BYTES):
            yield batch
            batch, size = {}, 0
        batch[item.id] = _New(item, body)
        size += len(body)
    if batch:
        yield batch


def _encode(part: Item | Collection) -> bytes:
    try:
        return canonical.encode(part)
    except UnicodeEncodeError:
        raise InvalidField(f"{type(part).__name__.lower()} {part.id!r} holds text that is not Unicode") from None


def _put_batch(db: Database, batch: dict[str, _New], now: Instant) -> None:
    marks = ",".join("?" * len(batch))
    rows = db.all(f"SELECT id, seq, body FROM items WHERE id IN ({marks})", tuple(batch))  # noqa: S608 - only ?
    old = {id_: _Old(seq, body) for id_, seq, body in rows}
    fresh = [new for id_, new in batch.items() if id_ not in old]
    changed = [(new, old[id_]) for id_, new in batch.items() if id_ in old and old[id_].body != new.body]
    _insert(db, fresh)
    if changed:
        _replace(db, changed, now)


def _insert(db: Database, fresh: list[_New]) -> None:
    start = _last_seq(db, "items") + 1
    numbered = list(enumerate(fresh, start))
    _insert_at(db, numbered)
    if db.run is not None:
        run = db.run
        db.do_many(_MADE, [(run, new.item.id, seq, digest(new.body)) for seq, new in numbered])


def _insert_at(db: Database, numbered: list[tuple[int, _New]]) -> None:
    db.do_many(
        "INSERT INTO items (seq, id, state, format, source_id, body) VALUES (?, ?, ?, ?, ?, ?)",
        [(seq, new.item.id, *_columns(new.item), new.body) for seq, new in numbered],
    )
    _index(db, [(seq, new.item) for seq, new in numbered])


def _replace(db: Database, changed: list[tuple[_New, _Old]], now: Instant) -> None:
    db.do_many(
        "INSERT INTO past (item, at, body, run) VALUES (?, ?, ?, ?)",
        [(new.item.id, now, old.body, db.run) for new, old in changed],
    )
    db.do_many(
        "UPDATE items SET state = ?, format = ?, source_id = ?, body = ? WHERE seq = ?",
        [(*_columns(new.item), new.body, old.seq) for new, old in changed],
    )
    db.do_many("DELETE FROM words WHERE rowid = ?", [(old.seq,) for _, old in changed])
    _index(db, [(old.seq, new.item) for new, old in changed])
    if db.run is not None:
        run = db.run
        rows = [(run, "item", new.item.id, old.seq, old.body, digest(new.body)) for new, old in changed]
        db.do_many(_JOURNAL, rows)


def _columns(item: Item) -> tuple[str, str | None, str | None]:
    source = item.provenance
    return (state_of(item), source.format, source.source_id) if source else (state_of(item), None, None)


def _index(db: Database, items: list[tuple[int, Item]]) -> None:
    db.do_many("INSERT INTO words (rowid, text) VALUES (?, ?)", [(seq, text_of(item)) for seq, item in items])


def put_items_at(db: Database, items: Sequence[Item], seqs: Sequence[int]) -> None:
    """Insert items into an empty vault, each at its given place in the order."""
    for at in range(0, len(items), _BATCH_ROWS):
        _insert_at(db, [(seq, _New(item, _encode(item))) for seq, item in _paired(items, seqs, at)])


def put_collections_at(db: Database, collections: Sequence[Collection], seqs: Sequence[int]) -> None:
    """Insert collections into an empty vault, each at its given place in the order."""
    numbered = zip(seqs, collections, strict=True)
    values = [(seq, collection.id, _encode(collection)) for seq, collection in numbered]
    db.do_many("INSERT INTO collections (seq, id, body) VALUES (?, ?, ?)", values)


def _paired(items: Sequence[Item], seqs: Sequence[int], at: int) -> Iterator[tuple[int, Item]]:
    return zip(seqs[at : at + _BATCH_ROWS], items[at : at + _BATCH_ROWS], strict=True)


def _last_seq(db: Database, table: str) -> int:
    return int(db.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0)


def _note(db: Database, kind: str, id_: str, seq: int | None, before: bytes | None, after: bytes | None) -> None:
    if db.run is not None:
        db.do(_JOURNAL, (db.run, kind, id_, seq, before, digest(after)))


def remove_item(db: Database, id_: str) -> bool:
    """Remove an item with its past versions and its index entry; tell whether it was there.

    In a run, which can be taken back, the past versions stay.
    """
    with db.transaction():
        row = db.one("SELECT seq, body FROM items WHERE id = ?", (id_,))
        if row is None:
            return False
        _note(db, "item", id_, row[0], row[1], None)
        db.do("DELETE FROM items WHERE seq = ?", (row[0],))
        db.do("DELETE FROM words WHERE rowid = ?", (row[0],))
        if db.run is None:
            db.do("DELETE FROM past WHERE item = ?", (id_,))
    return True


def purge(db: Database, id_: str) -> None:
    """Remove an item for good, with all that is left of it; raises ``NoSuchItem``."""
    with db.transaction():
        bodies = [body for (body,) in db.all("SELECT body FROM items WHERE id = ?", (id_,))]
        bodies += [body for (body,) in db.all("SELECT body FROM past WHERE item = ?", (id_,))]
        if not remove_item(db, id_):
            raise NoSuchItem("there is no such item")
        if db.run is not None:
            return
        db.do("DELETE FROM journal WHERE kind = 'item' AND id = ?", (id_,))
        named = documents_in(bodies)
        there = {name for name in named if db.one("SELECT 1 FROM documents WHERE hash = ?", (name,))}
        for name in unreferenced(db, there):
            remove_document(db, name)


def restore_item(db: Database, id_: str, seq: int, body: bytes) -> None:
    """Put a former row back in its former place, byte for byte."""
    item = canonical.decode_item(body)
    db.do("DELETE FROM words WHERE rowid = ?", (seq,))
    db.do("DELETE FROM items WHERE id = ?", (id_,))
    db.do(
        "INSERT INTO items (seq, id, state, format, source_id, body) VALUES (?, ?, ?, ?, ?, ?)",
        (seq, id_, *_columns(item), body),
    )
    _index(db, [(seq, item)])


def put_collection(db: Database, collection: Collection) -> None:
    """Insert or replace a collection; a replaced one keeps its place."""
    body = _encode(collection)
    with db.transaction():
        row = db.one("SELECT seq, body FROM collections WHERE id = ?", (collection.id,))
        if row is None:
            seq = _last_seq(db, "collections") + 1
            db.do("INSERT INTO collections (seq, id, body) VALUES (?, ?, ?)", (seq, collection.id, body))
            _note(db, "collection", collection.id, seq, None, body)
        elif row[1] != body:
            db.do("UPDATE collections SET body = ? WHERE seq = ?", (body, row[0]))
            _note(db, "collection", collection.id, row[0], row[1], body)


def remove_collection(db: Database, id_: str) -> bool:
    """Remove a collection; items that name it keep the name. Tell whether it was there."""
    with db.transaction():
        row = db.one("SELECT seq, body FROM collections WHERE id = ?", (id_,))
        if row is not None:
            db.do("DELETE FROM collections WHERE seq = ?", (row[0],))
            _note(db, "collection", id_, row[0], row[1], None)
    return row is not None


def put_extras(db: Database, format_: str, body: bytes | None) -> None:
    """Keep what a format says beside its items; None removes it."""
    with db.transaction():
        before = db.value("SELECT body FROM extras WHERE format = ?", (format_,))
        if body == before:
            return
        if body is None:
            db.do("DELETE FROM extras WHERE format = ?", (format_,))
        else:
            db.do("INSERT OR REPLACE INTO extras (format, body) VALUES (?, ?)", (format_, body))
        _note(db, "extras", format_, None, before, body)


def document_name(data: bytes) -> str:
    """Return the content address of a document: base64url SHA-256 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def put_document(db: Database, data: bytes) -> str:
    """Keep a document under its content address and return that."""
    name = document_name(data)
    with db.transaction():
        if db.one("SELECT 1 FROM documents WHERE hash = ?", (name,)) is None:
            db.do("INSERT INTO documents (hash, size, body) VALUES (?, ?, ?)", (name, len(data), data))
            note_document(db, name)
    return name


def note_document(db: Database, name: str) -> None:
    """Put a new document into the run's journal; its address says what it holds, so there is no digest."""
    if db.run is not None:
        db.do(_JOURNAL, (db.run, "document", name, None, None, name))


def document_parts(db: Database, name: str, size: int) -> Iterator[bytes]:
    """Yield a document's bytes in pieces of at most ``size``, reading no more than that at a time."""
    number = db.value("SELECT rowid FROM documents WHERE hash = ?", (name,))
    if number is not None:
        yield from db.blob_parts("documents", "body", number, size)


def keep_past(db: Database, id_: str, body: bytes, at: Instant) -> bool:
    """Keep a row as a past version of an item unless it is one already, or the present one; tell whether it is new."""
    with db.transaction():
        known = [row for (row,) in db.all("SELECT body FROM past WHERE item = ?", (id_,))]
        known += [row for (row,) in db.all("SELECT body FROM items WHERE id = ?", (id_,))]
        if body in known:
            return False
        db.do("INSERT INTO past (item, at, body, run) VALUES (?, ?, ?, ?)", (id_, at, body, db.run))
    return True


def remove_document(db: Database, name: str) -> bool:
    """Remove a document, whoever refers to it; tell whether it was there."""
    with db.transaction():
        there = db.one("SELECT 1 FROM documents WHERE hash = ?", (name,)) is not None
        db.do("DELETE FROM documents WHERE hash = ?", (name,))
    return there


def documents_in(bodies: Iterable[bytes]) -> set[str]:
    """Return every text in the rows that has the form of a content address."""
    return {name.decode() for body in bodies for name in _ADDRESS.findall(body)}


def unreferenced(db: Database, names: set[str]) -> set[str]:
    """Return those documents that no item, past version, collection or journal line names."""
    left = set(names)
    for page in _REFERRING:
        if left:
            left -= documents_in(_bodies(db, page))
    return left


def _bodies(db: Database, sql: str) -> Iterator[bytes]:
    last = 0
    while page := db.all(sql, (last,)):
        last = page[-1][0]
        yield from (body for _, body in page)
