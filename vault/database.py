"""The encrypted file itself: one SQLCipher-4 database under a raw key.

The key is only ever given inside a pragma, so no statement of this file is logged or put into a message. What SQLite
says about a failure becomes one of our errors; its own text is dropped.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from vault import schema
from vault.errors import (
    CannotRead,
    CannotWrite,
    DamagedVault,
    DiskFull,
    KeyferryError,
    NewerVault,
    NoVault,
    VaultBusy,
    VaultExists,
    WrongKey,
)

KEY_BYTES = 32
_CACHE_KIB, _ROOMY_KIB = 65_536, 131_072
BUSY_MILLIS = 2_000
PLAIN_MAGIC = b"SQLite format 3\0"

Values = Sequence[object] | Mapping[str, object]

# Closing any handle of a file takes away all locks that the process has on it: SQLite's own as well. Another process
# would then take itself for the last one that has the vault open, and remove the log under it.
_open_here: Counter[Path] = Counter()

_FULL, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT = 13, 5, 6, 8, 10, 11
_PERM, _CANTOPEN, _NOTADB = 3, 14, 26
_ERROR, _PROTOCOL = 1, 15


def key_fingerprint(key: bytes) -> str:
    """Return 16 hexadecimal digits that tell one vault key from another without giving it away."""
    return hashlib.sha256(b"keyferry vault key" + key).digest()[:8].hex()


class Database:
    """An open vault file; bound to its thread. ``run`` is the number of the import run being recorded, if any."""

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection = connection
        self._depth = 0
        self._blobs: list[Blob] = []
        self.path = path
        self.run: int | None = None
        self._unlisted = _listed(path.resolve())

    @classmethod
    def create(cls, path: Path, key: bytes) -> Database:
        """Make a new vault file (0600) with empty tables and open it; nothing is left behind if that fails.

        Raises ``VaultExists``, ``CannotWrite``, ``DiskFull``.
        """
        _check_key(key)
        if os.path.lexists(path):
            raise VaultExists(f"there is a file already at {path}")
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
        try:
            _make_folder(path.parent)
            os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            os.chmod(beside, 0o600)
            _fill(beside, path, key)
            os.rename(beside, path)
            _sync_folder(path.parent)
        except OSError as error:
            raise _os_failure(error, path) from None
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    beside.with_name(beside.name + suffix).unlink()
        return cls.open(path, key)

    @classmethod
    def open(cls, path: Path, key: bytes, *, fingerprint: str | None = None, read_only: bool = False) -> Database:
        """Open an existing vault file; with the fingerprint a wrong key is told from a damaged file.

        Raises ``NoVault``, ``WrongKey``, ``DamagedVault``, ``NewerVault``, ``VaultBusy``, ``CannotRead``.
        """
        _check_key(key)
        if fingerprint is not None and fingerprint != key_fingerprint(key):
            raise WrongKey("the key is not this vault's key", hint="keyferry unlock --kit FILE puts the right one back")
        if path.resolve() not in _open_here:  # closing it would take its locks away
            _check_start(path)
        for mode in ("mode=ro" if read_only else "mode=rw", "immutable=1"):
            database = cls(_connect(f"{path.resolve().as_uri()}?{mode}", key), path)
            try:
                database._check_readable(fingerprint is not None)
            except CannotRead:
                database._let_go()
                # A folder that cannot be written has no place for SQLite's own lock files.
                if mode == "immutable=1" or _has_log(path):
                    raise
                continue
            except BaseException:
                database._let_go()
                raise
            break
        return database

    def _check_readable(self, key_is_right: bool) -> None:
        try:
            _settle(self._connection)  # reads the file already where a write-ahead log is left
            found = self._connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        except _sqlite().Error as error:
            code = _code(error)
            if code == _NOTADB and not key_is_right:
                raise WrongKey(
                    "the key does not open the vault, or the vault file is damaged",
                    hint="keyferry unlock --kit FILE puts the right key back",
                ) from None
            if code in (_CANTOPEN, _READONLY, _PERM):
                raise CannotRead(f"the vault file cannot be read: {self.path}") from None
            if code == _ERROR:  # opened with the right key, but without our tables
                raise DamagedVault("the file is no Keyferry vault") from None
            raise _failure(error, self.path) from None
        version = found[0] if found else ""
        if not version.isdecimal():
            raise DamagedVault("the file is no Keyferry vault")
        if int(version) > schema.VERSION:
            raise NewerVault("the vault was written by a newer Keyferry", hint="update Keyferry")

    def all(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._translated():
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, values).fetchall()
            return rows

    def each(self, sql: str, values: Values = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query one by one; nothing may be written until the last."""
        with self._translated():
            yield from self._connection.execute(sql, values)

    def one(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None."""
        with self._translated():
            row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
            return row

    def value(self, sql: str, values: Values = ()) -> Any:
        """Return the first column of the first row, or None."""
        row = self.one(sql, values)
        return row[0] if row else None

    def do(self, sql: str, values: Values = ()) -> None:
        """Run one statement; outside a transaction it is its own."""
        with self._translated():
            self._connection.execute(sql, values)

    def do_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        with self._translated():
            self._connection.executemany(sql, rows)

    def blob_parts(self, table: str, column: str, row: int, size: int) -> Iterator[bytes]:
        """Yield one value in pieces of at most ``size`` bytes."""
        with self._translated(), self._connection.open_blob(table, column, row, True) as blob:
            while part := blob.read(size):
                yield part

    def blob_to_fill(self, table: str, column: str, row: int) -> Blob:
        """Return a value to be written over from its beginning; it is closed with the transaction at the latest."""
        with self._translated():
            blob = Blob(self._connection.open_blob(table, column, row, False), self._translated)
        self._blobs.append(blob)
        return blob

    def _close_blobs(self) -> None:
        # One that is open keeps every transaction of this connection from ending.
        while self._blobs:
            with contextlib.suppress(KeyferryError):
                self._blobs.pop().close()

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction, or a snapshot, is open."""
        return self._depth > 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing; inside another transaction this joins it. Raises ``VaultBusy``."""
        with self._between("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the vault, whatever others write meanwhile."""
        with self._between("BEGIN"):
            yield

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        if not self._depth:
            self.do(begin)
        self._depth += 1
        try:
            yield
            if self._depth == 1:
                self._close_blobs()
                self.do("COMMIT")
        except BaseException:
            if self._depth == 1:
                self._close_blobs()
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._depth == 1 and self._connection.in_transaction:
                with contextlib.suppress(_sqlite().Error):
                    self._connection.execute("ROLLBACK")
            raise
        finally:
            self._depth -= 1

    @property
    def changes(self) -> int:
        """How many rows this connection has changed, those of a rolled-back transaction included."""
        return int(self._connection.total_changes)

    def make_room(self) -> None:
        """Keep up to twice as many pages in memory until ``close``; pages that do not fit are encrypted twice."""
        self.do(f"PRAGMA cache_size = -{_ROOMY_KIB}")

    def is_sound(self) -> bool:
        """Tell whether every page can be read and the tables agree with their indexes; takes a second per 100 MB."""
        try:
            return self.all("PRAGMA integrity_check") == [("ok",)]
        except DamagedVault:
            return False

    def keep_others_out(self) -> None:
        """Let no other process read or write until ``close``; raises ``VaultBusy`` if one has the vault open."""
        self.do("PRAGMA locking_mode = EXCLUSIVE")
        with self.transaction():  # the lock is taken by the next writing
            pass

    def rekey(self, key: bytes) -> None:
        """Encrypt the whole file anew under another key, in one transaction of SQLCipher's."""
        _check_key(key)
        try:
            self._connection.execute(f"PRAGMA rekey = \"x'{key.hex()}'\"")
        except _sqlite().Error as error:
            if _code(error) != _ERROR:
                raise _failure(error, self.path) from None
            # All that SQLCipher says of a disk that fails it in the middle.
            raise CannotWrite(
                "the vault could not be encrypted anew; it has its old key",
                hint="check the disk and its room, then retry",
            ) from None

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it first, so that the file alone is whole."""
        # Another process may be reading, or the disk be full: the log then stays beside the file and nothing is lost.
        with contextlib.suppress(_sqlite().Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._let_go()

    def _let_go(self) -> None:
        self._connection.close()
        self._unlisted()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _sqlite().Error as error:
            raise _failure(error, self.path) from None


class Blob:
    """One value of the file, open to be written over; its errors are ours."""

    def __init__(self, blob: Any, translated: Callable[[], AbstractContextManager[None]]) -> None:
        self._blob, self._translated = blob, translated

    def write(self, piece: bytes) -> None:
        """Write the next piece."""
        with self._translated():
            self._blob.write(piece)

    def close(self) -> None:
        """Close it; more than once does no harm."""
        blob, self._blob = self._blob, None
        if blob is not None:
            with self._translated():
                blob.close()


def _listed(path: Path) -> Callable[[], None]:
    """Count one more connection to a file; returns what takes it back, once."""
    _open_here[path] += 1
    left = [path]

    def unlisted() -> None:
        for one in left:
            _open_here[one] -= 1
            if not _open_here[one]:
                del _open_here[one]
        left.clear()

    return unlisted


def _sqlite() -> Any:
    from sqlcipher3 import dbapi2

    return dbapi2


def _connect(name: str, key: bytes) -> Any:
    sqlite = _sqlite()
    sqlite.register_adapter(bytes, bytes)  # else each blob is searched for methods it has not: a microsecond of two
    connection = sqlite.connect(name, isolation_level=None, uri=True)
    connection.execute("PRAGMA cipher_log_level = NONE")  # else it writes to standard error by itself
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute("PRAGMA cipher_compatibility = 4")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLIS}")
    return connection


def _settle(connection: Any) -> None:
    for setting in (
        "synchronous = FULL",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
        "secure_delete = FAST",
        f"cache_size = -{_CACHE_KIB}",
    ):
        connection.execute(f"PRAGMA {setting}")


def _fill(beside: Path, path: Path, key: bytes) -> None:
    connection = _connect(f"{beside.resolve().as_uri()}?mode=rw", key)
    try:
        _settle(connection)
        connection.execute("BEGIN")
        for table in schema.TABLES:
            connection.execute(table)
        connection.execute("INSERT INTO meta VALUES ('schema', ?)", (str(schema.VERSION),))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    except _sqlite().Error as error:
        raise _failure(error, path) from None
    finally:
        connection.close()
    if beside.read_bytes()[: len(PLAIN_MAGIC)] == PLAIN_MAGIC:
        raise CannotWrite("the vault file would not be encrypted; this build of SQLCipher cannot be used")


def _check_key(key: bytes) -> None:
    # SQLCipher silently takes a raw key of another length as a passphrase.
    if len(key) != KEY_BYTES or len(key.hex()) != 64:
        raise WrongKey("a vault key has exactly 32 bytes")


def _check_start(path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(PLAIN_MAGIC))
    except FileNotFoundError:
        raise NoVault(f"there is no vault at {path}", hint="keyferry init makes one") from None
    except OSError:
        raise CannotRead(f"the vault file cannot be read: {path}") from None
    # SQLite would take an empty file for a new database, and a plain one for what it is.
    if len(start) < len(PLAIN_MAGIC) or start == PLAIN_MAGIC:
        raise DamagedVault("the vault file is empty, cut off or not encrypted", hint="restore a backup")


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(path.name + "-wal").stat().st_size > 0
    except OSError:
        return False


def _make_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        folder.chmod(0o700)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _code(error: Exception) -> int:
    return int(getattr(error, "sqlite_errorcode", 1) or 1) & 0xFF


def _failure(error: Exception, path: Path) -> KeyferryError:
    """Return our error for one of SQLite's; programming mistakes stay what they are."""
    code = _code(error)
    if code in (_BUSY, _LOCKED):
        return VaultBusy("another Keyferry process is writing the vault", hint="wait until it is done, then try again")
    if code == _FULL or (code == _IOERR and _no_room(path)):
        return DiskFull("the disk of the vault is full; nothing was changed", hint="make room, then try again")
    if code in (_READONLY, _CANTOPEN, _PERM):
        return CannotWrite(f"the vault cannot be written: {path}", hint="check the rights of the file and its folder")
    if code in (_CORRUPT, _NOTADB):
        return DamagedVault("the vault file is damaged", hint="restore a backup: keyferry restore")
    if code in (_IOERR, _PROTOCOL):  # the latter if its log cannot be read or written again and again
        return CannotWrite(f"the disk of the vault reports an error: {path}")
    raise error


def _no_room(path: Path) -> bool:
    if not hasattr(os, "statvfs"):
        return False
    try:
        return os.statvfs(path.parent).f_bavail == 0
    except OSError:
        return False


def _os_failure(error: OSError, path: Path) -> KeyferryError:
    import errno

    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("the disk is full; no vault was made", hint="make room, then try again")
    return CannotWrite(f"no vault can be made in {path.parent}: {(error.strerror or 'refused').lower()}")
