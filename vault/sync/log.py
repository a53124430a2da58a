"""What a device keeps of all devices' logs: entries as they came, and how far each was taken into the vault.

The tables are made when sync begins. An entry is *waiting* until everything it has seen is applied, *parked* while its
clock is more than a day ahead, *applied*, or *void*: of a revoked device, after the last one that counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

import msgspec

from vault import crypto
from vault.database import Database
from vault.errors import DamagedVault, NewerVault
from vault.store import Store
from vault.sync.entry import Head, Header, read_header

WAITING, PARKED, APPLIED, VOID = "waiting", "parked", "applied", "void"
VERSION = 1  # of the tables below and of what is kept beside them; a newer one is left alone
_META, _KEYS, _LOST = "sync", "epoch_keys", "lost_keys"
_TABLES = (
    """CREATE TABLE IF NOT EXISTS sync_entries (
        device TEXT NOT NULL,
        seq INTEGER NOT NULL,
        hash BLOB NOT NULL,
        state TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (device, seq)
    )""",
    """CREATE TABLE IF NOT EXISTS sync_things (
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        row BLOB,
        state BLOB NOT NULL,
        PRIMARY KEY (kind, id)
    )""",
    """CREATE TABLE IF NOT EXISTS sync_blobs (
        document TEXT PRIMARY KEY,
        blob TEXT NOT NULL,
        size INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        state TEXT NOT NULL
    )""",
    "CREATE TABLE IF NOT EXISTS sync_strays (hash BLOB PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sync_given (place TEXT NOT NULL, blob TEXT NOT NULL, PRIMARY KEY (place, blob))",
    """CREATE TABLE IF NOT EXISTS sync_snapshots (
        device TEXT NOT NULL,
        last INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (device, last)
    )""",
)


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one relay or folder."""

    cursor: str = ""
    acknowledged: dict[str, tuple[int, str]] = {}  # newest head each device had there, by device
    members: str = ""  # hash of the newest membership entry that was there


class Base(msgspec.Struct, frozen=True):
    """The snapshot that this log begins with: its device, its first and last part, how far each log is in it."""

    device: str
    first: int
    last: int
    cut: dict[str, int]


class Setting(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How this vault is synced: through which relay or folder by default, and what is known of each."""

    version: int = VERSION
    relay: str = ""
    pin: str = ""
    folder: str = ""
    places: dict[str, Place] = {}
    hlc: int = 0
    synced_at: str = ""
    restored: bool = False  # from a backup: what others have is taken in before anything goes out
    base: Base | None = None
    parted: bool = False  # a list of devices lost once: what did not count may have been passed over


class Stored(msgspec.Struct, frozen=True):
    """One entry as it is kept."""

    device: str
    seq: int
    hash: bytes
    state: str
    body: bytes


def is_on(store: Store) -> bool:
    """Tell whether this vault has a log."""
    return store.meta(_META) is not None


def begin(store: Store) -> None:
    """Make the tables that are not there; call it inside a transaction, as everything here that writes."""
    setting(store)
    for table in _TABLES:
        store.database.do(table)
    if not is_on(store):
        write_setting(store, Setting())


class _Head(msgspec.Struct, frozen=True):
    version: int = VERSION


def setting(store: Store) -> Setting:
    """Return how this vault is synced; raises ``DamagedVault``, and ``NewerVault`` if it is for a newer Keyferry."""
    kept = (store.meta(_META) or "{}").encode()
    try:
        if msgspec.json.decode(kept, type=_Head).version > VERSION:
            raise NewerVault("the log of this vault was written by a newer Keyferry", hint="update Keyferry")
        return msgspec.json.decode(kept, type=Setting)
    except msgspec.DecodeError:
        raise DamagedVault("what the vault remembers of its sync is damaged", hint="restore a backup") from None


def write_setting(store: Store, found: Setting) -> None:
    """Keep how this vault is synced."""
    store.set_meta(_META, msgspec.json.encode(found).decode())


def place(store: Store, name: str) -> Place:
    """Return what is known of a relay or folder."""
    return setting(store).places.get(name, Place())


def write_place(store: Store, name: str, found: Place) -> None:
    """Keep what is known of a relay or folder."""
    kept = setting(store)
    write_setting(store, msgspec.structs.replace(kept, places={**kept.places, name: found}))


def epoch_keys(store: Store) -> dict[int, bytes]:
    """Return the keys of the epochs this device can read, by number."""
    kept: dict[str, str] = json.loads(store.meta(_KEYS) or "{}")
    return {int(number): crypto.from_text(text) for number, text in kept.items()}


def keep_epoch_key(store: Store, number: int, key: bytes) -> None:
    """Keep the key of an epoch."""
    keys = {**epoch_keys(store), number: key}
    store.set_meta(_KEYS, json.dumps({str(one): crypto.to_text(found) for one, found in sorted(keys.items())}))


def lost_keys(store: Store) -> dict[bytes, tuple[int, bytes]]:
    """Return number and key of the epochs of lists that lost, under which entries were written, by commitment."""
    kept: dict[str, tuple[int, str]] = json.loads(store.meta(_LOST) or "{}")
    return {bytes.fromhex(name): (number, crypto.from_text(text)) for name, (number, text) in kept.items()}


def keep_lost_key(store: Store, commitment: bytes, number: int, key: bytes) -> None:
    """Keep the key of an epoch of a list that lost."""
    keys = {**lost_keys(store), commitment: (number, key)}
    kept = {name.hex(): (at, crypto.to_text(found)) for name, (at, found) in sorted(keys.items())}
    store.set_meta(_LOST, json.dumps(kept))


def put(db: Database, stored: Stored) -> None:
    """Keep an entry; one that is there already stays as it is."""
    db.do(
        "INSERT OR IGNORE INTO sync_entries (device, seq, hash, state, body) VALUES (?, ?, ?, ?, ?)",
        (stored.device, stored.seq, stored.hash, stored.state, stored.body),
    )


def get(db: Database, device: str, seq: int) -> Stored | None:
    """Return one entry."""
    row = db.one("SELECT device, seq, hash, state, body FROM sync_entries WHERE device = ? AND seq = ?", (device, seq))
    return Stored(*row) if row else None


def hash_at(db: Database, device: str, seq: int) -> bytes | None:
    """Return the hash of one entry, or None if it is not here."""
    found: bytes | None = db.value("SELECT hash FROM sync_entries WHERE device = ? AND seq = ?", (device, seq))
    return found


def numbers(db: Database, device: str, first: int) -> list[tuple[int, bytes]]:
    """Return number and hash of a device's applied entries from a number on."""
    sql = "SELECT seq, hash FROM sync_entries WHERE device = ? AND seq >= ? AND state = 'applied' ORDER BY seq"
    return [(seq, hash_) for seq, hash_ in db.all(sql, (device, first))]


def set_state(db: Database, device: str, seq: int, state: str) -> None:
    """Say what became of an entry."""
    db.do("UPDATE sync_entries SET state = ? WHERE device = ? AND seq = ?", (state, device, seq))


def heads(db: Database) -> dict[str, Head]:
    """Return how far each device's log is applied."""
    sql = """SELECT device, max(seq), hash FROM sync_entries WHERE state = 'applied' GROUP BY device"""
    return {device: Head(seq, hash_) for device, seq, hash_ in db.all(sql)}


def begins(store: Store) -> dict[str, int]:
    """Return after which number each device's log begins here: what is before is in a snapshot."""
    base = setting(store).base
    return base.cut if base is not None else {}


def newest_header(db: Database, device: str) -> Header | None:
    """Return the header of a device's newest applied entry, None if there is none, or only its hash is known."""
    head = heads(db).get(device)
    stored = get(db, device, head.seq) if head is not None else None
    return read_header(stored.body) if stored is not None and stored.body else None


def upto(store: Store, device: str) -> int:
    """Return how far a device's log is here without a gap, applied or not."""
    db, begin = store.database, begins(store).get(device, 0)
    sql = "SELECT count(*), coalesce(max(seq), ?) FROM sync_entries WHERE device = ? AND seq > ?"
    count, newest = db.all(sql, (begin, device, begin))[0]
    if begin + count == newest:
        return int(newest)
    numbers = {seq for (seq,) in db.all("SELECT seq FROM sync_entries WHERE device = ?", (device,))}
    return next(seq for seq in range(begin, newest) if seq + 1 not in numbers)


def count_waiting(db: Database) -> int:
    """Return how many entries are not applied yet."""
    return int(db.value("SELECT count(*) FROM sync_entries WHERE state IN ('waiting', 'parked')"))


def has_waiting(db: Database, device: str) -> bool:
    """Tell whether an entry of a device is not applied yet."""
    sql = "SELECT 1 FROM sync_entries WHERE device = ? AND state IN ('waiting', 'parked') LIMIT 1"
    return db.one(sql, (device,)) is not None


def waiting(db: Database) -> list[Stored]:
    """Return the entries that are not applied yet, each device's in order."""
    sql = """SELECT device, seq, hash, state, body FROM sync_entries
        WHERE state IN ('waiting', 'parked') ORDER BY device, seq"""
    return [Stored(*row) for row in db.all(sql)]


def applied(store: Store) -> Iterator[Stored]:
    """Yield the applied entries that are not in the snapshot this log begins with, each device's in order."""
    begin = begins(store)
    for device in heads(store.database):
        yield from after(store.database, device, begin.get(device, 0))


def devices(db: Database) -> set[str]:
    """Return the ids of all devices of which entries are here, applied or not."""
    return {device for (device,) in db.all("SELECT DISTINCT device FROM sync_entries")}


def void(db: Database) -> list[Stored]:
    """Return the entries that do not count, each device's in order."""
    rows = db.all("SELECT device, seq, hash, state, '' FROM sync_entries WHERE state = 'void' ORDER BY device, seq")
    return [Stored(*row) for row in rows]


def after(db: Database, device: str, seq: int) -> Iterator[Stored]:
    """Yield the applied entries of a device behind a number, in order."""
    sql = "SELECT seq FROM sync_entries WHERE device = ? AND seq > ? AND state = 'applied' ORDER BY seq"
    for (number,) in db.all(sql, (device, seq)):
        found = get(db, device, number)
        if found is not None:
            yield found


def unsent(store: Store, device: str, name: str) -> int:
    """Return how many entries of this device the relay or folder has not acknowledged."""
    head = heads(store.database).get(device)
    given = place(store, name).acknowledged.get(device, (0, ""))[0]
    return max(0, (head.seq if head is not None else 0) - given)


def is_given(db: Database, name: str, blob: str) -> bool:
    """Tell whether a relay or folder was given this blob."""
    return db.one("SELECT 1 FROM sync_given WHERE place = ? AND blob = ?", (name, blob)) is not None


def note_given(db: Database, name: str, blob: str) -> None:
    """Note that a relay or folder has this blob."""
    db.do("INSERT OR IGNORE INTO sync_given (place, blob) VALUES (?, ?)", (name, blob))


def forget_given(db: Database, name: str) -> None:
    """Note that a relay or folder has lost everything."""
    db.do("DELETE FROM sync_given WHERE place = ?", (name,))


def strays(db: Database) -> list[bytes]:
    """Return membership entries whose place in the chain is not known yet."""
    return [body for (body,) in db.all("SELECT body FROM sync_strays")]


def keep_stray(db: Database, hash_: bytes, body: bytes) -> None:
    """Keep a membership entry until what it follows is known."""
    db.do("INSERT OR IGNORE INTO sync_strays (hash, body) VALUES (?, ?)", (hash_, body))


def drop_strays(db: Database, hashes: Iterable[bytes]) -> None:
    """Forget those that have found their place."""
    db.do_many("DELETE FROM sync_strays WHERE hash = ?", [(one,) for one in hashes])


def has_strays(db: Database) -> bool:
    """Tell whether any membership entry is kept outside the chain."""
    return db.one("SELECT 1 FROM sync_strays LIMIT 1") is not None


def has_stray(db: Database, hash_: bytes) -> bool:
    """Tell whether a membership entry is kept outside the chain."""
    return db.one("SELECT 1 FROM sync_strays WHERE hash = ?", (hash_,)) is not None
