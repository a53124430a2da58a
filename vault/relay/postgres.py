"""A relay's database in PostgreSQL, for several workers: they hold nothing, and wake each other by LISTEN and NOTIFY.

Its tables are in ``vault.relay.pgschema``, what a commit looks up and stores in ``vault.relay.pgledger``. A connection
is lent to one thread at a time; the writing thread has its own.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

import psycopg

from vault.errors import CannotWrite
from vault.relay import pgledger, pgschema
from vault.relay.pgledger import CHANNEL
from vault.relay.storage import BLOB_STEP, NO_DEVICE, Outcome, State, Write, page_of
from vault.sync import wire

_LISTEN_SECONDS, _RETRY_SECONDS = 0.25, 1.0
_ABANDONED = "interval '1 day'"
_AROUND = """
SELECT device, seq, body FROM keyferry.entries WHERE vault = %(vault)s AND kind = 3
UNION ALL
SELECT next.device, next.seq, next.body FROM keyferry.entries one JOIN keyferry.entries next
    ON next.vault = one.vault AND next.device = one.device AND next.seq = one.seq + 1 AND next.kind <> 3
    WHERE one.vault = %(vault)s AND one.kind = 3
ORDER BY device, seq
"""


class PostgresStorage:
    """See ``vault.relay.storage.Storage``."""

    def __init__(self, url: str) -> None:
        """Connect, and make the tables if they are not there; raises ``CannotWrite``, ``NewerVault``."""
        self._url = url
        self._closed = threading.Event()
        self._writer: psycopg.Connection[Any] | None = None
        self._writer_pid = 0
        self._idle: list[psycopg.Connection[Any]] = []
        try:
            with self._connected() as db:
                pgschema.prepare(db)
        except psycopg.Error as error:
            raise _cannot(error) from None

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        """See ``Storage``."""
        if self._writer is None or self._writer.closed:
            self._writer = self._connected()
            self._writer_pid = self._writer.info.backend_pid
        db = self._writer
        try:
            with db.pipeline(), db.transaction():  # one round trip to look, one to write
                ledger = pgledger.load(db, writes)
                outcomes = [write.decide(ledger) for write in writes]
                pgledger.store(db, ledger)
        except psycopg.Error:
            if db.broken or db.closed:
                self._writer = None
            raise
        return outcomes

    def state(self, vault: bytes) -> State | None:
        """See ``Storage``."""
        with self._reading() as db:
            return pgledger.states(db, [vault]).get(vault)

    def members(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        sql = "SELECT body FROM keyferry.entries WHERE vault = %s AND device = %s ORDER BY seq"
        with self._reading() as db:
            return [row[0] for row in db.execute(sql, (vault, NO_DEVICE), binary=True)]

    def heads(self, vault: bytes) -> list[tuple[bytes, int, bytes]]:
        """See ``Storage``."""
        sql = """SELECT DISTINCT ON (device) device, seq, hash FROM keyferry.entries
                 WHERE vault = %s AND device > %s ORDER BY device, seq DESC"""
        with self._reading() as db:
            return db.execute(sql, (vault, NO_DEVICE), binary=True).fetchall()

    def page(self, vault: bytes, after: int, limit: int, most_bytes: int) -> wire.Page:
        """See ``Storage``."""
        # The running total bounds what is fetched: one row at least, then what fits.
        sql = """WITH first AS (SELECT total FROM keyferry.entries WHERE vault = %(vault)s AND arrival > %(after)s
                                ORDER BY arrival LIMIT 1)
                 SELECT arrival, kind, body FROM keyferry.entries, first
                 WHERE vault = %(vault)s AND arrival > %(after)s AND entries.total <= first.total + %(bytes)s
                 ORDER BY arrival LIMIT %(limit)s"""
        with self._reading() as db:
            given = {"vault": vault, "after": after, "bytes": most_bytes, "limit": limit + 1}
            rows = db.execute(sql, given, binary=True).fetchall()
            newest = _newest(db, vault)
        page = page_of(rows, after, limit, most_bytes, lambda: newest)
        return wire.Page(page.cursor, page.more or (bool(page.entries) and page.cursor < newest), page.entries)

    def stage(self, vault: bytes, digest: bytes, file: BinaryIO) -> None:
        """See ``Storage``."""
        sql = (
            "INSERT INTO keyferry.blob_parts (vault, hash, number, body) VALUES (%s, %s, %s, %b) ON CONFLICT DO NOTHING"
        )
        file.seek(0)
        with self._reading() as db, db.transaction():
            number = 0
            while step := file.read(BLOB_STEP):
                db.execute(sql, (vault, digest, number, step))
                number += 1

    def blob_size(self, vault: bytes, digest: bytes) -> int | None:
        """See ``Storage``."""
        sql = "SELECT size FROM keyferry.blobs WHERE vault = %s AND hash = %s"
        with self._reading() as db:
            row = db.execute(sql, (vault, digest)).fetchone()
        return row[0] if row else None

    def blob(self, vault: bytes, digest: bytes) -> Iterator[bytes]:
        """See ``Storage``."""
        sql = "SELECT body FROM keyferry.blob_parts WHERE vault = %s AND hash = %s AND number = %s"
        number = 0
        while True:
            with self._reading() as db:
                row = db.execute(sql, (vault, digest, number), binary=True).fetchone()
            if row is None:
                return
            yield row[0]
            number += 1

    def purge(self, before_ms: int) -> int:
        """See ``Storage``."""
        gone = 0
        with self._reading() as db:
            rows = db.execute("SELECT id FROM keyferry.vaults WHERE deleted < %s", (before_ms,)).fetchall()
            for (vault,) in rows:
                with db.transaction():
                    pgledger.lock(db, [vault])
                    sql = "DELETE FROM keyferry.vaults WHERE id = %s AND deleted < %s"
                    if not db.execute(sql, (vault, before_ms)).rowcount:
                        continue
                    for table in ("entries", "blobs", "blob_parts"):
                        db.execute(f"DELETE FROM keyferry.{table} WHERE vault = %s", (vault,))  # noqa: S608
                gone += 1
            db.execute(
                f"""DELETE FROM keyferry.blob_parts p WHERE made < now() - {_ABANDONED} AND NOT EXISTS
                    (SELECT FROM keyferry.blobs b WHERE b.vault = p.vault AND b.hash = p.hash)"""  # noqa: S608
            )
        return gone

    def snapped(self) -> list[bytes]:
        """See ``Storage``."""
        with self._reading() as db:
            sql = "SELECT DISTINCT vault FROM keyferry.entries WHERE kind = 3"
            return [row[0] for row in db.execute(sql, binary=True)]

    def around_snapshots(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        with self._reading() as db:
            return [row[2] for row in db.execute(_AROUND, {"vault": vault}, binary=True)]

    def newest(self, vault: bytes) -> list[bytes]:
        """See ``Storage``."""
        sql = """SELECT DISTINCT ON (device) device, body FROM keyferry.entries
                 WHERE vault = %s AND device > %s ORDER BY device, seq DESC"""
        with self._reading() as db:
            return [row[1] for row in db.execute(sql, (vault, NO_DEVICE), binary=True)]

    def drop(self, vault: bytes, before: Mapping[bytes, int]) -> int:
        """See ``Storage``."""
        sql = """WITH gone AS (DELETE FROM keyferry.entries WHERE vault = %s AND device = %s AND seq < %s
                               RETURNING length(body) AS size)
                 SELECT count(*), coalesce(sum(size), 0) FROM gone"""
        count = 0
        with self._reading() as db, db.transaction():
            pgledger.lock(db, [vault])
            for device, seq in before.items():
                number, size = db.execute(sql, (vault, device, seq)).fetchone() or (0, 0)
                db.execute("UPDATE keyferry.vaults SET dropped = dropped + %s WHERE id = %s", (size, vault))
                count += number
        return count

    def check(self) -> None:
        """See ``Storage``."""
        with self._reading() as db:
            db.execute("SELECT 1 FROM keyferry.vaults LIMIT 1").fetchall()

    def temporary(self) -> AbstractContextManager[BinaryIO]:
        """See ``Storage``; the file has no name, so that a killed process leaves none."""
        return tempfile.TemporaryFile(prefix="keyferry-relay-")

    def listen(self, hear: Callable[[Mapping[bytes, int]], None]) -> None:
        """See ``Storage``."""
        while not self._closed.is_set():
            try:
                with self._connected() as db:
                    db.execute(f"LISTEN {CHANNEL}")
                    hear({})
                    while not self._closed.is_set():
                        for heard in db.notifies(timeout=_LISTEN_SECONDS):
                            if heard.pid != self._writer_pid:  # who waits here was told of that
                                hear(_heard(heard.payload))
            except psycopg.Error:
                self._closed.wait(_RETRY_SECONDS)

    def close(self) -> None:
        """See ``Storage``."""
        self._closed.set()
        for db in [*self._idle, *([self._writer] if self._writer else [])]:
            with contextlib.suppress(psycopg.Error):
                db.close()

    def open_slot(self, slot: str, etag: str, ends: float, body: bytes, most: int, now: float) -> bool:
        """Keep a new slot of a rendezvous and forget those that ended; False if there are too many."""
        with self._reading() as db:
            db.execute("DELETE FROM keyferry.slots WHERE ends <= %s", (now,))
            sql = """INSERT INTO keyferry.slots (id, etag, ends, body)
                     SELECT %s, %s, %s, %s WHERE (SELECT count(*) FROM keyferry.slots) < %s"""
            return db.execute(sql, (slot, etag, ends, body, most)).rowcount == 1

    def slot(self, slot: str) -> tuple[str, float, bytes] | None:
        """Return etag, end and body of a slot, or None."""
        with self._reading() as db:
            row: tuple[str, float, bytes] | None = db.execute(
                "SELECT etag, ends, body FROM keyferry.slots WHERE id = %s", (slot,), binary=True
            ).fetchone()
            return row

    def write_slot(self, slot: str, old: str, new: str, body: bytes) -> bool:
        """Replace what a slot holds if it still has the old etag."""
        sql = "UPDATE keyferry.slots SET etag = %s, body = %s WHERE id = %s AND etag = %s"
        with self._reading() as db:
            done = db.execute(sql, (new, body, slot, old)).rowcount == 1
            db.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{slot}:0"))
        return done

    def burn_slot(self, slot: str) -> bool:
        """Forget a slot; False if there is none."""
        with self._reading() as db:
            done = db.execute("DELETE FROM keyferry.slots WHERE id = %s", (slot,)).rowcount == 1
            db.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{slot}:0"))
        return done

    @contextmanager
    def _reading(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection to a thread; one that broke is thrown away."""
        try:
            db = self._idle.pop()
        except IndexError:
            db = self._connected()
        try:
            yield db
        except BaseException:
            db.close()
            raise
        if db.closed or self._closed.is_set():
            db.close()
        else:
            self._idle.append(db)

    def _connected(self) -> psycopg.Connection[Any]:
        db = psycopg.connect(self._url, autocommit=True, connect_timeout=10, application_name="keyferry relay")
        # A commit is answered for: it must be on the disk whatever the cluster's default is.
        db.execute(
            "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit')"
            " IN ('off', 'local')"
        )
        return db


def _newest(db: psycopg.Connection[Any], vault: bytes) -> int:
    row = db.execute("SELECT max(arrival) FROM keyferry.entries WHERE vault = %s", (vault,)).fetchone()
    return int(row[0] or 0) if row else 0


def _heard(payload: str) -> dict[bytes, int]:
    pairs = (one.split(":") for one in payload.split())
    return {bytes.fromhex(vault): int(cursor) for vault, cursor in pairs}


def _cannot(error: psycopg.Error) -> CannotWrite:
    state = f" ({error.sqlstate})" if error.sqlstate else ""
    return CannotWrite(
        f"the relay's PostgreSQL database cannot be used{state}", hint="check --db, the server, and the user's rights"
    )
