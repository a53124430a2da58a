"""Opening one set's file: what it says of itself, and whether it is whole, unaltered and from a device of the vault."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from pathlib import Path

import msgspec

from backup import payload, sealing
from backup.payload import Manifest, Receiver
from backup.zipped import Take
from vault.errors import BackupError, CannotRead, DamagedBackup, NoSuchBackup
from vault.keys import Signed

_BUFFER = 1 << 20


class Opener(msgspec.Struct, frozen=True):
    """What opens and proves sets: age identities, the root keys to trust (None: none is known), this device's chain
    and its signing key.
    """

    identities: tuple[str, ...]
    roots: tuple[bytes, ...] | None
    chain: tuple[bytes, ...] = ()
    own: bytes = b""

    def __repr__(self) -> str:
        return f"Opener({len(self.identities)} identities)"


class Opened(msgspec.Struct, frozen=True):
    """A set whose manifest was read and whose signature holds; ``digest`` is empty unless all of it was read."""

    path: Path
    manifest: Manifest
    signed: Signed
    size: int
    digest: str = ""


def check(path: Path, opener: Opener, receiver: Receiver | None = None) -> Opened:
    """Read all of a set and return it; it is then whole and unaltered, and its device's.

    Raises ``NoSuchBackup``, ``CannotRead``, ``SealedElsewhere``, ``DamagedBackup``, ``ForgedSignature``,
    ``NewerBackup``, and what the receiver raises, who has seen parts of a damaged set before it is found to be one.
    """
    found = payload.Found()
    with _Source(path) as source:
        _unseal(source, opener, payload.read(found, opener.roots, receiver, opener.chain, opener.own))
        if found.manifest is None or found.signed is None:
            raise DamagedBackup("the backup is not built as Keyferry builds them")
        return Opened(path, found.manifest, found.signed, source.size, source.digest)


def peek(path: Path, opener: Opener) -> Opened:
    """Read only the manifest of a set, whose signature holds; the rest may be damaged. Raises as ``check``."""
    found = payload.Found()
    with _Source(path) as source:
        with contextlib.suppress(_EnoughError):
            _unseal(source, opener, payload.read(found, opener.roots, _Stop(), opener.chain, opener.own))
        if found.manifest is None or found.signed is None:
            raise DamagedBackup("the backup is not built as Keyferry builds them")
        return Opened(path, found.manifest, found.signed, source.size)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a set's file, from the disk; raises ``NoSuchBackup``, ``CannotRead``."""
    with _Source(path) as source:
        reader = io.BufferedReader(source, _BUFFER)
        while reader.read(_BUFFER):
            pass
        return source.digest


def _unseal(source: _Source, opener: Opener, reader: Take) -> None:
    try:
        sealing.unseal(io.BufferedReader(source, _BUFFER), opener.identities, reader)
    except BackupError:
        if source.failed:
            raise CannotRead(f"cannot read {source.path}: {source.failed}") from None
        raise


class _EnoughError(Exception):
    """Ends the reading where the manifest is known."""


class _Stop:
    """A receiver that wants the manifest only."""

    def begin(self, manifest: Manifest) -> None:
        raise _EnoughError

    def part(self, part: payload.Part) -> type[None]:
        raise _EnoughError

    def end(self, part: payload.Part) -> None:
        raise _EnoughError


class _Source(io.RawIOBase):
    """A set's file, hashed while it is read; never through a link, never a device or a pipe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed = ""
        self._hash = hashlib.sha256()
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            raise NoSuchBackup(f"there is no backup {path}", hint="keyferry backup list shows what there is") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise CannotRead(f"{path} is a symbolic link", hint="name the file itself") from None
            raise CannotRead(f"cannot read {path}: {(error.strerror or 'refused').lower()}") from None
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            os.close(handle)
            raise CannotRead(f"{path} is not a regular file")
        self._file = open(handle, "rb", buffering=0)  # noqa: SIM115 - closed by close
        self.size = state.st_size

    @property
    def digest(self) -> str:
        """The SHA-256 of what was read."""
        return self._hash.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            count = self._file.readinto(buffer) or 0
        except OSError as error:
            self.failed = (error.strerror or "refused").lower()
            raise
        self._hash.update(memoryview(buffer)[:count])
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
