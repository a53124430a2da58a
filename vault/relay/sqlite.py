"""A relay's database in one file: SQLite with a write-ahead log, flushed at every commit; blobs are files beside it.

One process has the file; a lock beside it says so. The writing thread has a connection of its own, readers one each.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from vault.errors import DamagedVault, NewerVault
from vault.files import held, make_private_folder, sync_folder, write_errors
from vault.relay.storage import (
    BLOB_STEP,
    NO_DEVICE,
    Ledger,
    Outcome,
    Placed,
    State,
    Write,
    blobs,
    cuts_in,
    gaps,
    page_of,
    places,
    taken,
)
from vault.sync import wire

_TABLES = """
CREATE TABLE IF NOT EXISTS vaults (
    id BLOB PRIMARY KEY,
    made INTEGER NOT NULL,
    deleted INTEGER,
    blob_bytes INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (
    vault BLOB NOT NULL,
    device BLOB NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    arrival INTEGER NOT NULL,
    total INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (vault, device, seq)
);
CREATE UNIQUE INDEX IF NOT EXISTS arrivals ON entries (vault, arrival);
CREATE INDEX IF NOT EXISTS snapshots ON entries (vault, device, seq) WHERE kind = 3;
CREATE TABLE IF NOT EXISTS blobs (
    vault BLOB NOT NULL,
    hash BLOB NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (vault, hash)
) WITHOUT ROWID;
PRAGMA user_version = 2;
"""
_VERSION = 2
_FROM_1 = "ALTER TABLE vaults ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0"
_APPLICATION = 0x4B465259
_AROUND = """
SELECT device, seq, body FROM entries WHERE vault = ? AND kind = 3
UNION ALL
SELECT next.device, next.seq, next.body FROM entries one JOIN entries next
    ON next.vault = one.vault AND next.device = one.device AND next.seq = one.seq + 1 AND next.kind <> 3
    WHERE one.vault = ? AND one.kind = 3
ORDER BY 1, 2
"""
_ROW = "(?, ?, ?, ?, ?, ?, ?, ?)"
_TOGETHER = (64, 16, 4, 1)
_MOST_REMEMBERED = 100_000
_ABANDONED = 86_400  # seconds after which bytes that became nobody's blob are removed


class SqliteStorage:
    """See ``vault.relay.storage.Storage``."""

    def __init__(self, path: Path) -> None:
        """Open or make the database; raises ``VaultBusy``, ``DamagedVault``, ``NewerVault``, and writing's errors."""
        make_private_folder(path.parent)
        self._path = path
        self._blobs = path.with_name(path.name + "-blobs")
        make_private_folder(self._blobs)
        self._ends = ExitStack()
        self._ends.enter_context(held(path.with_name(path.name + ".lock"), "serving this relay's database"))
        self._lock = threading.Lock()
        self._states: dict[bytes, State] = {}
        self._heads: dict[tuple[bytes, bytes], tuple[int, bytes]] = {}
        self._readers = threading.local()
        self._open: list[sqlite3.Connection] = []
        try:
            _make_private(path)
            self._writer = self._connected()
            self._prepare()
        except BaseException:
            self._ends.close()
            raise

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """See ``Storage``."""
        db = self._writer
        with self._lock:
            db.execute("BEGIN IMMEDIATE")
            try:
                ledger = self._load(writes)
                outcomes = [write.decide(ledger) for write in writes]
                if ledger.is_idle():
                    db.execute("ROLLBACK")
                else:
                    self._store(ledger)
                    db.execute("COMMIT")
            except BaseException:
                self._forget()
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise
            self._remember(ledger)
        return outcomes

    def state(self, vault: bytes) -> State | None:
        """See ``Storage``."""
        return _state(self._reader(), vault)

    def members(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        found = self._reader().execute(
            "SELECT body FROM entries WHERE vault = ? AND device = ? ORDER BY seq", (vault, NO_DEVICE)
        )
        return [row[0] for row in found]

    def heads(self, vault: bytes) -> list[tuple[bytes, int, bytes]]:
        """See ``Storage``."""
        # With one max(), SQLite takes the other columns from the row that has it.
        return (
            self._reader()
            .execute(
                "SELECT device, max(seq), hash FROM entries WHERE vault = ? AND device > ? GROUP BY device",
                (vault, NO_DEVICE),
            )
            .fetchall()
        )

    def page(self, vault: bytes, after: int, limit: int, most_bytes: int) -> wire.Page:
        """See ``Storage``."""
        found = self._reader().execute(
            "SELECT arrival, kind, body FROM entries WHERE vault = ? AND arrival > ? ORDER BY arrival LIMIT ?",
            (vault, after, limit + 1),
        )
        with closing(found):
            return page_of(found, after, limit, most_bytes, lambda: _newest(self._reader(), vault))

    def stage(self, vault: bytes, digest: bytes, file: BinaryIO) -> None:
        """See ``Storage``."""
        target = self._blob_path(vault, digest)
        with write_errors(target):
            make_private_folder(target.parent)
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(file.name, target)
            sync_folder(target.parent)
            sync_folder(self._blobs)

    def blob_size(self, vault: bytes, digest: bytes) -> int | None:
        """See ``Storage``."""
        found = self._reader().execute("SELECT size FROM blobs WHERE vault = ? AND hash = ?", (vault, digest))
        row = found.fetchone()
        return row[0] if row else None

    def blob(self, vault: bytes, digest: bytes) -> Iterator[bytes]:
        """See ``Storage``."""
        with self._blob_path(vault, digest).open("rb") as file:
            while step := file.read(BLOB_STEP):
                yield step

    def purge(self, before_ms: int) -> int:
        """See ``Storage``."""
        with closing(self._connected()) as db:
            rows = db.execute("SELECT id FROM vaults WHERE deleted < ?", (before_ms,)).fetchall()
            for (vault,) in rows:
                with self._lock:
                    self._forget()
                    _remove(db, vault, before_ms)
        self._sweep_blobs()
        return len(rows)

    def snapped(self) -> list[bytes]:
        """See ``Storage``."""
        return [row[0] for row in self._reader().execute("SELECT DISTINCT vault FROM entries WHERE kind = 3")]

    def around_snapshots(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        return [row[2] for row in self._reader().execute(_AROUND, (vault, vault))]

    def newest(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        # With one max(), SQLite takes the other columns from the row that has it.
        sql = "SELECT body, max(seq) FROM entries WHERE vault = ? AND device > ? GROUP BY device"
        return [row[0] for row in self._reader().execute(sql, (vault, NO_DEVICE))]

    def drop(self, vault: bytes, before: Mapping[bytes, int]) -> int:
        """See ``Storage``."""
        with self._lock, closing(self._connected()) as db:
            self._forget()
            return _drop(db, vault, before)

    def check(self) -> None:
        """See ``Storage``."""
        self._reader().execute("SELECT 1 FROM vaults LIMIT 1").fetchall()

    def close(self) -> None:
        """See ``Storage``."""
        for db in [*self._open, self._writer]:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._ends.close()

    @contextmanager
    def temporary(self) -> Iterator[BinaryIO]:
        """See ``Storage``; the file is on the file system of the blobs."""
        path = self._blobs / f".{secrets.token_hex(16)}.partial"
        try:
            with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                yield file
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def listen(self, hear: Callable[[Mapping[bytes, int]], None]) -> None:
        """See ``Storage``; nobody else writes here."""

    def _prepare(self) -> None:
        db = self._writer
        try:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (empty,) = db.execute("SELECT count(*) = 0 FROM sqlite_master").fetchone()
            if application == _APPLICATION and version > _VERSION:
                raise NewerVault(f"{self._path} was written by a newer relay", hint="update Keyferry")
            if not empty and application == _APPLICATION and version == 1:
                db.execute(_FROM_1)
            elif not empty and (version, application) != (_VERSION, _APPLICATION):
                raise DamagedVault(f"{self._path} is not a relay's database", hint="name another file with --db")
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.executescript(_TABLES)
        except sqlite3.DatabaseError:
            raise DamagedVault(
                f"{self._path} is damaged, or no database", hint="name another file with --db; devices bring all back"
            ) from None

    def _load(self, writes: Sequence[Write]) -> Ledger:
        """Return what the writes need to know; what was asked before is remembered, nobody else writes here."""
        db, ledger = self._writer, Ledger()
        for vault in {write.vault for write in writes}:
            state = self._states.get(vault) or _state(db, vault)
            if state is not None:
                ledger.vaults[vault] = replace(state)
        wanted = places(writes)
        for pair in {place[:2] for place in wanted}:
            head = self._heads.get(pair) or _last(db, *pair)
            if head is not None:
                ledger.heads[pair] = head
        for place in taken(wanted, ledger):
            sql = "SELECT hash FROM entries WHERE vault = ? AND device = ? AND seq = ?"
            if found := db.execute(sql, place).fetchone():
                ledger.hashes[place] = found[0]
        for vault in gaps(wanted, ledger):
            bodies = db.execute("SELECT body FROM entries WHERE vault = ? AND kind = 3", (vault,))
            ledger.cuts[vault] = cuts_in(body for (body,) in bodies)
        for blob in blobs(writes):
            if db.execute("SELECT 1 FROM blobs WHERE vault = ? AND hash = ?", blob).fetchone():
                ledger.blobs.add(blob)
        return ledger

    def _store(self, ledger: Ledger) -> None:
        db = self._writer
        db.executemany("INSERT INTO vaults (id, made) VALUES (?, ?)", ledger.made)
        self._insert(ledger.placed)
        db.executemany(
            "UPDATE vaults SET deleted = ? WHERE id = ?", [(at, vault) for vault, at in ledger.marked.items()]
        )
        db.executemany("INSERT INTO blobs (vault, hash, size) VALUES (?, ?, ?)", ledger.kept)
        db.executemany(
            "UPDATE vaults SET blob_bytes = blob_bytes + ? WHERE id = ?",
            [(size, vault) for vault, _, size in ledger.kept],
        )

    def _insert(self, placed: Sequence[Placed]) -> None:
        """Insert many rows by one statement: between statements the thread that reads requests takes its turn."""
        at = 0
        while at < len(placed):
            count = next(size for size in _TOGETHER if size <= len(placed) - at)
            sql = "INSERT INTO entries VALUES " + ", ".join([_ROW] * count)  # noqa: S608
            self._writer.execute(sql, [column for one in placed[at : at + count] for column in one.columns])
            at += count

    def _remember(self, ledger: Ledger) -> None:
        if len(self._states) > _MOST_REMEMBERED or len(self._heads) > _MOST_REMEMBERED:
            self._forget()
        self._states.update(ledger.vaults)
        self._heads.update(ledger.heads)

    def _forget(self) -> None:
        self._states.clear()
        self._heads.clear()

    def _sweep_blobs(self) -> None:
        """Remove the files of vaults that are gone, and bytes that became nobody's blob."""
        db, old = self._reader(), time.time() - _ABANDONED
        for entry in list(self._blobs.iterdir()):
            if entry.name.startswith("."):
                if entry.stat().st_mtime < old:
                    entry.unlink(missing_ok=True)
                continue
            vault = bytes.fromhex(entry.name)
            if _state(db, vault) is None:
                shutil.rmtree(entry, ignore_errors=True)
                continue
            for file in list(entry.iterdir()):
                if file.stat().st_mtime < old and self.blob_size(vault, bytes.fromhex(file.name)) is None:
                    file.unlink(missing_ok=True)

    def _blob_path(self, vault: bytes, digest: bytes) -> Path:
        return self._blobs / vault.hex() / digest.hex()

    def _reader(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._readers, "db", None)
        if db is None:
            db = self._readers.db = self._connected()
            db.execute("PRAGMA query_only = ON")
            self._open.append(db)
        return db

    def _connected(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=10)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA wal_autocheckpoint = 4000")
            db.execute("PRAGMA cache_size = -32768")
        except sqlite3.DatabaseError:
            db.close()
            raise DamagedVault(f"{self._path} is damaged, or no database", hint="name another file with --db") from None
        return db


def _make_private(path: Path) -> None:
    """Make the file if it is not there, before anything connects to it.

    Closing a file that is open elsewhere in a process takes all its locks away; another program would then take itself
    for the last one, and the log with it.
    """
    if not path.exists():
        with write_errors(path):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _remove(db: sqlite3.Connection, vault: bytes, before_ms: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    if db.execute("DELETE FROM vaults WHERE id = ? AND deleted < ?", (vault, before_ms)).rowcount:
        db.execute("DELETE FROM entries WHERE vault = ?", (vault,))
        db.execute("DELETE FROM blobs WHERE vault = ?", (vault,))
    db.execute("COMMIT")


def _drop(db: sqlite3.Connection, vault: bytes, before: Mapping[bytes, int]) -> int:
    db.execute("BEGIN IMMEDIATE")
    count = 0
    for device, seq in before.items():
        place = (vault, device, seq)
        earlier = "vault = ? AND device = ? AND seq < ?"
        sizes = f"SELECT coalesce(sum(length(body)), 0) FROM entries WHERE {earlier}"  # noqa: S608 - fixed text
        (size,) = db.execute(sizes, place).fetchone()
        db.execute("UPDATE vaults SET dropped = dropped + ? WHERE id = ?", (size, vault))
        count += db.execute(f"DELETE FROM entries WHERE {earlier}", place).rowcount  # noqa: S608 - fixed text
    db.execute("COMMIT")
    return count


def _state(db: sqlite3.Connection, vault: bytes) -> State | None:
    row = db.execute("SELECT deleted, blob_bytes, dropped FROM vaults WHERE id = ?", (vault,)).fetchone()
    if row is None:
        return None
    found = db.execute("SELECT arrival, total FROM entries WHERE vault = ? ORDER BY arrival DESC LIMIT 1", (vault,))
    arrival, total = found.fetchone()
    last = _last(db, vault, NO_DEVICE)
    if last is None:
        raise sqlite3.DatabaseError("a vault without members")
    return State(last[1], last[0], arrival, total, row[1], row[2], row[0] is not None)


def _last(db: sqlite3.Connection, vault: bytes, device: bytes) -> tuple[int, bytes] | None:
    sql = "SELECT seq, hash FROM entries WHERE vault = ? AND device = ? ORDER BY seq DESC LIMIT 1"
    row: tuple[int, bytes] | None = db.execute(sql, (vault, device)).fetchone()
    return row


def _newest(db: sqlite3.Connection, vault: bytes) -> int:
    row = db.execute("SELECT max(arrival) FROM entries WHERE vault = ?", (vault,)).fetchone()
    return int(row[0] or 0)
