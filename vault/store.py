"""The vault's store: the door to one encrypted file.

Reading and writing of items, collections, documents and import runs; everything put inside ``transaction()`` is
written together or not at all. A ``Store`` belongs to the thread that opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from vault import canonical, history, rows, runs, search
from vault.database import Database, key_fingerprint
from vault.documents import DocumentWriter
from vault.errors import AmbiguousItem, DamagedVault, NoSuchItem
from vault.model import Collection, Item, Vault
from vault.moment import Instant
from vault.runs import Arrival, Entry, Quarantined, Run
from vault.views import display_title, user_names

__all__ = ["Arrival", "DocumentWriter", "Entry", "Quarantined", "Run", "Store", "key_fingerprint"]

_SHORTEST_PREFIX = 4
_MOST_CANDIDATES = 10


class Store:
    """An open vault. Use it as a context manager, or call ``close``."""

    def __init__(self, db: Database, vault_id: str) -> None:
        self._db = db
        self.vault_id = vault_id
        self.before_close: Callable[[Store], None] | None = None

    @classmethod
    def create(cls, path: Path, key: bytes, vault_id: str) -> Store:
        """Make a new, empty vault file and open it.

        Raises ``VaultExists``, ``WrongKey`` (not 32 bytes), ``CannotWrite``, ``DiskFull``.
        """
        db = Database.create(path, key)
        store = cls(db, vault_id)
        store.set_meta("vault_id", vault_id)
        return store

    @classmethod
    def open(cls, path: Path, key: bytes, *, read_only: bool = False, fingerprint: str | None = None) -> Store:
        """Open a vault file. With ``key_fingerprint`` of the right key, a wrong key is told from a damaged file.

        Raises ``NoVault``, ``WrongKey``, ``DamagedVault``, ``NewerVault``, ``VaultBusy``, ``CannotRead``.
        """
        db = Database.open(path, key, fingerprint=fingerprint, read_only=read_only)
        vault_id = db.value("SELECT value FROM meta WHERE name = 'vault_id'")
        if vault_id is None:
            db.close()
            raise DamagedVault("the file is no Keyferry vault")
        return cls(db, vault_id)

    @property
    def database(self) -> Database:
        """The file itself, for the vault room's own modules."""
        return self._db

    @property
    def changes(self) -> int:
        """How many rows were changed since opening; 0 means that nothing was written."""
        return self._db.changes

    def close(self) -> None:
        """Close the file, which is then whole without its write-ahead log; the store is of no use after."""
        try:
            if self.before_close is not None:
                self.before_close(self)
        finally:
            self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def is_sound(self) -> bool:
        """Tell whether every page of the file can be read and its parts agree; takes a second per 100 MB."""
        return self._db.is_sound()

    def keep_others_out(self) -> None:
        """Let no other process read or write until ``close``; raises ``VaultBusy`` if one has the vault open."""
        self._db.keep_others_out()

    def rekey(self, key: bytes) -> None:
        """Encrypt the whole file under a new key; killed at any moment it opens with the old key or the new one."""
        self._db.rekey(key)

    def make_room(self) -> None:
        """Take more memory, if it is needed, for 100,000 items written and read again in one transaction."""
        self._db.make_room()

    def transaction(self) -> AbstractContextManager[None]:
        """Write all or nothing; one inside another joins it. Raises ``VaultBusy`` if another process is writing."""
        return self._db.transaction()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read one and the same state inside, whatever other processes write meanwhile."""
        return self._db.snapshot()

    # -- facts about the vault

    def meta(self, name: str) -> str | None:
        """Return a fact about the vault."""
        value: str | None = self._db.value("SELECT value FROM meta WHERE name = ?", (name,))
        return value

    def set_meta(self, name: str, value: str | None) -> None:
        """Keep a fact about the vault; None forgets it."""
        if value is None:
            self._db.do("DELETE FROM meta WHERE name = ?", (name,))
        else:
            self._db.do("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))

    # -- items

    def items(self, *, state: str | None = None) -> Iterator[Item]:
        """Yield the items in insertion order; ``state`` is active, archived or trashed."""
        return (canonical.decode_item(body) for _, body in rows.item_rows(self._db, state))

    def rows(self) -> Iterator[tuple[str, bytes]]:
        """Yield (id, stored JSON with secrets in clear) in insertion order."""
        return rows.item_rows(self._db)

    def item(self, id_: str) -> Item | None:
        """Return the item of exactly that id."""
        body = self.row(id_)
        return None if body is None else canonical.decode_item(body)

    def row(self, id_: str) -> bytes | None:
        """Return the stored JSON of the item, secrets in clear."""
        body: bytes | None = self._db.value("SELECT body FROM items WHERE id = ?", (id_,))
        return body

    def rows_of(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the stored JSON of several items by id; an id the vault does not hold is left out."""
        return rows.rows_of(self._db, ids)

    def count(self, *, state: str | None = None) -> int:
        """Return how many items there are, of that state or of all."""
        if state is None:
            return int(self._db.value("SELECT count(*) FROM items"))
        return int(self._db.value("SELECT count(*) FROM items WHERE state = ?", (state,)))

    def put(self, item: Item, *, now: Instant) -> None:
        """Insert or replace one item; a replaced body that differs becomes a past version of ``now``."""
        rows.put_items(self._db, (item,), now)

    def put_many(self, items: Iterable[Item], now: Instant) -> None:
        """Insert or replace many items in one transaction; reads the iterable once, in batches."""
        rows.put_items(self._db, items, now)

    def put_rows(self, given: Iterable[tuple[Item, bytes | None]], now: Instant) -> None:
        """Insert or replace as ``put_many`` does; beside each item stands its JSON, or None where nobody made it."""
        rows.put_rows(self._db, given, now)

    def past(self, id_: str) -> list[tuple[Instant, bytes]]:
        """Return the replaced bodies of an item with the time of replacement, the oldest first."""
        found = self._db.all("SELECT at, body FROM past WHERE item = ? ORDER BY no", (id_,))
        return [(at, body) for at, body in found]

    def purge(self, id_: str) -> None:
        """Remove an item for good: its past versions, journal lines and the documents nothing else names.

        Raises ``NoSuchItem``. Inside ``recording`` the journal keeps it, so that the run can be taken back.
        """
        rows.purge(self._db, id_)

    def search(self, words: Iterable[str] | str) -> list[str]:
        """Return the ids of items in which each word occurs, without regard to case and accents.

        Looked at are title, user names, addresses, tags and note text. Items with all words in the title come first.
        """
        return search.search(self._db, words.split() if isinstance(words, str) else words)

    def find(self, text: str, *, trashed: bool = False) -> Item:
        """Return the item a person means: by its id, a unique beginning of it (4 letters), or its exact title.

        Of several with that title, those in the trash count only if ``trashed``, or if all are there.
        Raises ``NoSuchItem`` and ``AmbiguousItem``, which names the candidates in its hint.
        """
        exact = self.item(text)
        if exact is not None:
            return exact
        titled = self._with_title(text)
        found = [item for item in titled if item.trashed == trashed] or titled
        begun = self._with_prefix(text)
        if len(begun) == 1 or not found:
            found += [item for item in begun if item.id not in {other.id for other in found}]
        if not found:
            raise NoSuchItem(f"no item is called {text!r}", hint="keyferry search WORDS finds items by their parts")
        if len(found) > 1:
            raise AmbiguousItem(f"{len(found)} items are called {text!r}", hint=_candidates(found))
        return found[0]

    def _with_title(self, text: str) -> list[Item]:
        ids = search.search(self._db, (text,))
        items = (self.item(id_) for id_ in ids)
        return [item for item in items if item is not None and display_title(item) == text]

    def _with_prefix(self, text: str) -> list[Item]:
        if len(text) < _SHORTEST_PREFIX:
            return []
        sql = "SELECT body FROM items WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        values = (text, text + "\U0010ffff", _MOST_CANDIDATES + 1)
        return [canonical.decode_item(body) for (body,) in self._db.all(sql, values)]

    def known_sources(self) -> dict[tuple[str, str], str]:
        """Return the item id for each (format, source id) that items came from."""
        sql = "SELECT format, source_id, id FROM items WHERE source_id IS NOT NULL ORDER BY seq"
        with canonical.many():
            return {(format_, source_id): id_ for format_, source_id, id_ in self._db.all(sql)}

    # -- collections, extras, documents

    def collections(self) -> tuple[Collection, ...]:
        """Return the collections in insertion order."""
        bodies = self._db.all("SELECT body FROM collections ORDER BY seq")
        return tuple(canonical.decode_collection(body) for (body,) in bodies)

    def put_collection(self, collection: Collection) -> None:
        """Insert or replace a collection; a replaced one keeps its place."""
        rows.put_collection(self._db, collection)

    def remove_collection(self, id_: str) -> None:
        """Remove a collection if it is there; items that name it are not touched."""
        rows.remove_collection(self._db, id_)

    def extras(self) -> dict[str, dict[str, Any]]:
        """Return what formats say beside their items, by format name."""
        found = self._db.all("SELECT format, body FROM extras ORDER BY format")
        return {format_: canonical.decode_any(body) for format_, body in found}

    def set_extras(self, format_: str, extras: dict[str, Any]) -> None:
        """Keep what a format says beside its items; an empty dict removes it."""
        rows.put_extras(self._db, format_, canonical.encode(extras) if extras else None)

    def put_document(self, data: bytes) -> str:
        """Keep the bytes and return their content address, base64url SHA-256 without padding."""
        return rows.put_document(self._db, data)

    def document_writer(self, name: str, size: int) -> DocumentWriter:
        """Return what takes a large document in pieces; all of it inside one ``transaction``."""
        return DocumentWriter(self._db, name, size)

    def document(self, name: str) -> bytes | None:
        """Return the bytes of a document by its content address."""
        data: bytes | None = self._db.value("SELECT body FROM documents WHERE hash = ?", (name,))
        return data

    def has_document(self, name: str) -> bool:
        """Tell whether the document is there."""
        return self.document_size(name) is not None

    def document_parts(self, name: str, size: int = 1 << 20) -> Iterator[bytes]:
        """Yield the bytes of a document in pieces of at most ``size``; none if it is not there."""
        return rows.document_parts(self._db, name, size)

    def document_size(self, name: str) -> int | None:
        """Return the size of a document in bytes without reading it."""
        size: int | None = self._db.value("SELECT size FROM documents WHERE hash = ?", (name,))
        return size

    def documents(self) -> list[str]:
        """Return the content addresses of all documents."""
        return [name for (name,) in self._db.all("SELECT hash FROM documents ORDER BY rowid")]

    def document_sizes(self) -> dict[str, int]:
        """Return the sizes in bytes of all documents by content address, in the order of ``documents``."""
        return dict(self._db.all("SELECT hash, size FROM documents ORDER BY rowid"))

    def remove_document(self, name: str) -> None:
        """Remove a document if it is there, whoever refers to it."""
        rows.remove_document(self._db, name)

    def unreferenced(self, names: Iterable[str]) -> set[str]:
        """Return those of the documents that no item, past version, collection or journal line names."""
        return rows.unreferenced(self._db, set(names))

    def vault(self) -> Vault:
        """Return everything in memory, as of one moment."""
        with self._db.snapshot(), canonical.many():
            return Vault(collections=self.collections(), items=tuple(self.items()), extras=self.extras())

    # -- the whole vault, for backups

    def history(self) -> Iterator[bytes]:
        """Yield what the vault remembers beside its items, as the lines of ``vault.history``; secrets in clear."""
        return history.lines(self._db)

    def fill(self, vault: Vault, remembered: Iterable[bytes]) -> None:
        """Put everything into this empty vault, each thing at its old place; raises ``DamagedVault``.

        Documents are put beside it, in the same transaction.
        """
        history.fill(self._db, vault, remembered)

    def keep_past(self, id_: str, body: bytes, at: Instant) -> bool:
        """Keep a row as a past version of an item, if it is none yet; tell whether it is new."""
        return rows.keep_past(self._db, id_, body, at)

    # -- import runs

    def begin_run(self, run: Run) -> None:
        """Write down a new run."""
        runs.begin(self._db, run)

    def end_run(self, run_id: str, summary: dict[str, Any]) -> None:
        """Keep what became of the run. Raises ``NoSuchRun``, as all that follows."""
        runs.end(self._db, run_id, summary)

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first, those taken back included."""
        return runs.all_runs(self._db)

    def run(self, run_id: str) -> Run:
        """Return the run of that id."""
        return runs.get(self._db, run_id)

    def recording(self, run_id: str) -> AbstractContextManager[None]:
        """Put everything done inside into the run's journal, in one transaction."""
        return runs.recording(self._db, run_id)

    def add_arrivals(self, run_id: str, arrivals: Iterable[tuple[str, str, str]]) -> None:
        """Keep (place in the source, item id, fingerprint) for records that became items."""
        runs.add_arrivals(self._db, run_id, arrivals)

    def arrivals(self, run_id: str) -> Iterator[Arrival]:
        """Yield what arrived in the run, in the order of the source."""
        return runs.arrivals(self._db, run_id)

    def fingerprints(self) -> dict[str, str]:
        """Return the newest fingerprint each item arrived with, by item id, in one query."""
        return runs.fingerprints(self._db)

    def all_fingerprints(self) -> dict[str, list[str]]:
        """Return every fingerprint each item arrived with, the newest last, by item id."""
        return runs.all_fingerprints(self._db)

    def fingerprint_of(self, item_id: str) -> str | None:
        """Return the newest fingerprint the item arrived with."""
        return runs.fingerprint_of(self._db, item_id)

    def journal(self, run_id: str) -> list[Entry]:
        """Return what the run changed; empty once it is taken back."""
        return runs.journal(self._db, run_id)

    def extras_changed(self, run_id: str) -> list[bytes]:
        """Return what formats said beside their items before the run replaced it, as stored."""
        return runs.extras_changed(self._db, run_id)

    def add_quarantine(self, run_id: str, place: str, reason: str, raw: bytes) -> None:
        """Keep a record that could not be read."""
        runs.add_quarantine(self._db, run_id, place, reason, raw)

    def quarantined(self, run_id: str) -> list[Quarantined]:
        """Return the records of the run that could not be read."""
        return runs.quarantined(self._db, run_id)

    def undo(self, run_id: str, now: Instant) -> list[str]:
        """Take a run back; return the ids of items that stay because they were edited since."""
        return runs.undo(self._db, run_id, now)


def _candidates(items: list[Item]) -> str:
    """Return lines that tell items apart: the beginning of the id, title and user name of each."""
    length = _telling_length([item.id for item in items])
    lines = [
        "  ".join((item.id[:length], repr(display_title(item)), *(repr(name) for name in user_names(item)[:1])))
        for item in items[:_MOST_CANDIDATES]
    ]
    if len(items) > len(lines):
        lines.append("...")
    return "\n  ".join(["name one by its id:", *lines])


def _telling_length(ids: list[str]) -> int:
    """Return how many letters, at least 8, tell the ids apart."""
    longest = max(len(id_) for id_ in ids)
    return next((n for n in range(8, longest) if len({id_[:n] for id_ in ids}) == len(ids)), longest)
