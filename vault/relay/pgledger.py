"""What a commit in PostgreSQL looks up, and what it stores: a few statements, however many writes share it.

Whoever changes a vault holds its advisory lock until the transaction ends, and takes several in one order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from vault.relay.storage import NO_DEVICE, Ledger, State, Write, blobs, cuts_in, gaps, places, taken

CHANNEL = "keyferry"
_MOST_NAMED = 120  # vaults in a notification of at most 8,000 bytes
_LOCK = "SELECT pg_advisory_xact_lock(number) FROM unnest(%b::bigint[]) AS one(number)"
_STATES = """
SELECT v.id, v.deleted, v.blob_bytes, v.dropped, newest.arrival, newest.total, head.seq, head.hash
FROM unnest(%b::bytea[]) AS wanted(id)
JOIN keyferry.vaults v ON v.id = wanted.id
CROSS JOIN LATERAL (
    SELECT arrival, total FROM keyferry.entries e WHERE e.vault = wanted.id ORDER BY arrival DESC LIMIT 1
) newest
CROSS JOIN LATERAL (
    SELECT seq, hash FROM keyferry.entries e WHERE e.vault = wanted.id AND e.device = %s ORDER BY seq DESC LIMIT 1
) head
"""
_HEADS = """
SELECT wanted.vault, wanted.device, head.seq, head.hash
FROM unnest(%b::bytea[], %b::bytea[]) AS wanted(vault, device)
CROSS JOIN LATERAL (
    SELECT seq, hash FROM keyferry.entries e
    WHERE e.vault = wanted.vault AND e.device = wanted.device ORDER BY seq DESC LIMIT 1
) head
"""
_HASHES = """
SELECT e.vault, e.device, e.seq, e.hash
FROM unnest(%b::bytea[], %b::bytea[], %b::bigint[]) AS wanted(vault, device, seq)
JOIN keyferry.entries e ON e.vault = wanted.vault AND e.device = wanted.device AND e.seq = wanted.seq
"""
_INSERT = """
INSERT INTO keyferry.entries (vault, device, seq, hash, arrival, total, kind, body)
SELECT * FROM unnest(
    %b::bytea[], %b::bytea[], %b::bigint[], %b::bytea[], %b::bigint[], %b::bigint[], %b::smallint[], %b::bytea[]
)
"""


def lock(db: psycopg.Connection[Any], vaults: Iterable[bytes]) -> None:
    """Let nobody else write to the vaults until the transaction ends."""
    db.execute(_LOCK, (sorted(map(_number_of, vaults)),))


def _number_of(vault: bytes) -> int:
    return int.from_bytes(vault[:8], "big", signed=True)


def load(db: psycopg.Connection[Any], writes: Sequence[Write]) -> Ledger:
    """Return what the writes need to know, with their vaults locked until the transaction ends."""
    vaults = sorted({write.vault for write in writes})
    lock(db, vaults)
    wanted = places(writes)
    pairs = list({place[:2] for place in wanted})
    found = db.execute(_STATES, (vaults, NO_DEVICE), binary=True)
    heads = db.execute(_HEADS, ([one[0] for one in pairs], [one[1] for one in pairs]), binary=True)
    ledger = Ledger(vaults=_read_states(found))
    ledger.heads.update({(vault, device): (seq, newest) for vault, device, seq, newest in heads})
    if known := taken(wanted, ledger):
        found = db.execute(_HASHES, tuple(map(list, zip(*known, strict=True))), binary=True)
        ledger.hashes.update({(vault, device, seq): existing for vault, device, seq, existing in found})
    for vault in gaps(wanted, ledger):
        sql = "SELECT body FROM keyferry.entries WHERE vault = %s AND kind = 3"
        bodies = db.execute(sql, (vault,), binary=True)
        ledger.cuts[vault] = cuts_in(body for (body,) in bodies)
    for blob in blobs(writes):
        if db.execute("SELECT 1 FROM keyferry.blobs WHERE vault = %s AND hash = %s", blob).fetchone():
            ledger.blobs.add(blob)
    return ledger


def store(db: psycopg.Connection[Any], ledger: Ledger) -> None:
    """Write what the ledger adds, and tell other workers of it when the transaction ends."""
    for vault, made in ledger.made:
        db.execute("INSERT INTO keyferry.vaults (id, made) VALUES (%s, %s)", (vault, made))
    if ledger.placed:
        columns = zip(*(one.columns for one in ledger.placed), strict=True)
        db.execute(_INSERT, tuple(map(list, columns)))
    for vault, at in ledger.marked.items():
        db.execute("UPDATE keyferry.vaults SET deleted = %s WHERE id = %s", (at, vault))
    for vault, digest, size in ledger.kept:
        db.execute("INSERT INTO keyferry.blobs (vault, hash, size) VALUES (%s, %s, %s)", (vault, digest, size))
        db.execute("UPDATE keyferry.vaults SET blob_bytes = blob_bytes + %s WHERE id = %s", (size, vault))
    cursors = {one.vault: one.arrival for one in ledger.placed}
    named = [f"{vault.hex()}:{cursor}" for vault, cursor in cursors.items()]
    for at in range(0, len(named), _MOST_NAMED):
        db.execute("SELECT pg_notify(%s, %s)", (CHANNEL, " ".join(named[at : at + _MOST_NAMED])))


def states(db: psycopg.Connection[Any], vaults: Sequence[bytes]) -> dict[bytes, State]:
    """Return how far each of the vaults is that are here."""
    return _read_states(db.execute(_STATES, (list(vaults), NO_DEVICE), binary=True))


def _read_states(found: psycopg.Cursor[Any]) -> dict[bytes, State]:
    return {
        vault: State(head, seq, arrival, total, blob_bytes, dropped, deleted is not None)
        for vault, deleted, blob_bytes, dropped, arrival, total, seq, head in found
    }
