"""Where a vault's key is kept: the OS keyring, a key file, or wrapped under a passphrase beside the vault.

A holder keeps three things under a vault's id: the key, for the time of a ``key rotate`` also its successor, and the
rollback anchor. A key file is one line, ``keyferry-key-1 <base64 of 32 bytes>``.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from vault import crypto
from vault.errors import (
    CannotRead,
    DamagedVault,
    KeyMissing,
    TargetExists,
    UnsafeKeyFile,
    UsageError,
)
from vault.files import read_file, write_errors, write_private
from vault.oskeyring import KeyringHolder, find_keyring
from vault.settings import WRAP

KEY_FILE_MARK = "keyferry-key-1"
_ANCHOR = "vault.anchor"


class Holder(Protocol):
    """A place for a vault's key; the docstrings are at ``KeyringHolder``."""

    kind: str

    @property
    def described(self) -> dict[str, str]: ...
    @property
    def title(self) -> str: ...
    @property
    def anchor_worth(self) -> str: ...
    def new_key(self, vault_id: str) -> bytes: ...
    def keep(self, vault_id: str, key: bytes, *, replace: bool = False) -> None: ...
    def key(self, vault_id: str) -> bytes: ...
    def keep_pending(self, vault_id: str, key: bytes) -> None: ...
    def pending(self, vault_id: str) -> bytes | None: ...
    def settle(self, vault_id: str, key: bytes) -> None: ...
    def drop_pending(self, vault_id: str) -> None: ...
    def forget(self, vault_id: str) -> None: ...
    def anchor(self, vault_id: str) -> str | None: ...
    def set_anchor(self, vault_id: str, text: str) -> None: ...


def choose_holder(home: Path, *, key_file: Path | None = None, passphrase: str | None = None) -> Holder:
    """Return the place a person chose for the key, the OS keyring by default.

    Raises ``UsageError``, ``KeyringUnavailable``.
    """
    if key_file is not None and passphrase is not None:
        raise UsageError("a key file and a passphrase cannot be used together")
    if key_file is not None:
        try:
            str(key_file).encode()
        except UnicodeEncodeError:
            raise UsageError("the key file's name is not UTF-8", hint="name another file") from None
        return KeyFileHolder(key_file, home)
    if passphrase is not None:
        if not passphrase:
            raise UsageError("the passphrase is empty")
        return PassphraseHolder(home, lambda: passphrase)
    return find_keyring()


def holder_of(described: dict[str, str], home: Path, passphrase: Callable[[], str] | None) -> Holder:
    """Return the holder that a vault's settings name; raises ``DamagedVault``."""
    match described:
        case {"kind": "keyring", "backend": str(backend)}:
            return KeyringHolder(backend, entry=described.get("entry", ""))
        case {"kind": "key-file", "path": str(path)} if path:
            return KeyFileHolder(Path(path), home, entry=described.get("entry", ""))
        case {"kind": "passphrase"}:
            return PassphraseHolder(home, passphrase or _nobody)
    raise DamagedVault("vault.json does not say where the key is", hint="keyferry unlock --kit FILE")


def named(holder: Holder, entry: str | None) -> Holder:
    """Return the place under the name that a restored vault's key has there; a passphrase's knows no names."""
    if isinstance(holder, KeyringHolder | KeyFileHolder):
        holder.entry = entry or ""
    return holder


class KeyFileHolder:
    """A key in a file of its own, best on another disk than the vault.

    ``entry`` is the name of a restored vault, which may share the file with the vault it came from: each has an anchor.
    """

    kind = "key-file"

    def __init__(self, path: Path, home: Path, *, entry: str = "") -> None:
        self.path = path.expanduser().absolute()
        self.entry = entry
        self._home = home
        self._made = False

    @property
    def described(self) -> dict[str, str]:
        """The facts that find this holder again."""
        entry = {"entry": self.entry} if self.entry else {}
        return {"kind": self.kind, "path": str(self.path), **entry}

    @property
    def title(self) -> str:
        """Where the key is, for people."""
        return f"key file {self.path}"

    @property
    def anchor_worth(self) -> str:
        """What the rollback anchor is worth here."""
        return "beside the key file: worth something only while others cannot write there"

    def new_key(self, vault_id: str) -> bytes:
        """Return the key of the file, made exclusively (0600) if it is not there; an existing one is never written.

        Raises ``UnsafeKeyFile``, ``CannotWrite``, ``DiskFull``.
        """
        if not os.path.lexists(self.path):
            self.keep(vault_id, crypto.new_key())
        return read_key_file(self.path)

    def keep(self, vault_id: str, key: bytes, *, replace: bool = False) -> None:
        """Write the key file and read it back; one with another key stays as it is: ``TargetExists``."""
        if self.path.parent == self._home.absolute() and self.path.name.startswith("vault."):
            raise UsageError("that name in the vault's own folder is taken", hint="name a key file elsewhere")
        if os.path.lexists(self.path):
            if read_key_file(self.path) != key:
                raise TargetExists(f"{self.path} holds another key", hint="name another file: --key-file PATH")
            return
        write_private(self.path, _line(key), replace=False)
        self._made = True
        if read_key_file(self.path) != key:
            raise UnsafeKeyFile(f"{self.path} does not give back what was written", hint="name a file on another disk")

    def key(self, vault_id: str) -> bytes:
        """Return the key; raises ``KeyMissing``, ``UnsafeKeyFile``."""
        if not os.path.lexists(self.path):
            raise KeyMissing(
                f"the key file {self.path} is not there",
                hint="mount or copy it back, or keyferry unlock --kit FILE --key-file PATH",
            )
        return read_key_file(self.path)

    def keep_pending(self, vault_id: str, key: bytes) -> None:
        """Write the successor beside the key file; refused if the file serves another vault as well."""
        others = [path for path in self._anchors() if path != self._anchor_path(vault_id)]
        if others:
            raise TargetExists(
                f"{self.path} is the key of another vault as well", hint="keyferry key move --key-file PATH first"
            )
        write_private(self._pending_path, _line(key))
        if read_key_file(self._pending_path) != key:
            raise UnsafeKeyFile(f"{self._pending_path} does not give back what was written")

    def pending(self, vault_id: str) -> bytes | None:
        """Return the successor, if there is one."""
        return read_key_file(self._pending_path) if os.path.lexists(self._pending_path) else None

    def settle(self, vault_id: str, key: bytes) -> None:
        """Put the successor in the place of the key file."""
        write_private(self.path, _line(key))

    def drop_pending(self, vault_id: str) -> None:
        """Remove the successor's file."""
        with write_errors(self._pending_path):
            self._pending_path.unlink(missing_ok=True)

    def forget(self, vault_id: str) -> None:
        """Remove what lies beside the key file, and the file itself only if it was made just now."""
        with contextlib.suppress(OSError):
            self._anchor_path(vault_id).unlink(missing_ok=True)
            self._pending_path.unlink(missing_ok=True)
            if self._made:
                self.path.unlink(missing_ok=True)

    def anchor(self, vault_id: str) -> str | None:
        """Return the rollback anchor."""
        return _small_text(self._anchor_path(vault_id))

    def set_anchor(self, vault_id: str, text: str) -> None:
        """Write the rollback anchor beside the key file."""
        write_private(self._anchor_path(vault_id), text.encode())

    @property
    def is_beside_vault(self) -> bool:
        """Whether key file and vault share a file system, so that one theft takes both."""
        try:
            return os.stat(self.path).st_dev == os.stat(self._home).st_dev
        except OSError:
            return False

    @property
    def _pending_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.pending")

    def _anchor_path(self, vault_id: str) -> Path:
        name = self.entry.rpartition("/")[2] or vault_id
        return self.path.with_name(f"{self.path.name}.{name[:8]}.anchor")

    def _anchors(self) -> list[Path]:
        names = (path.name for path in self.path.parent.iterdir())
        start, end = f"{self.path.name}.", ".anchor"
        found = [name for name in names if name.startswith(start) and name.endswith(end)]
        return [self.path.with_name(name) for name in found if len(name) == len(start) + 8 + len(end)]


class PassphraseHolder:
    """A key wrapped under a passphrase, in ``vault.key`` beside the vault; asks at most once."""

    kind = "passphrase"

    def __init__(self, home: Path, passphrase: Callable[[], str]) -> None:
        self._home = home
        self._ask = passphrase
        self._known: str | None = None

    @property
    def described(self) -> dict[str, str]:
        """The facts that find this holder again."""
        return {"kind": self.kind}

    @property
    def title(self) -> str:
        """Where the key is, for people."""
        return "passphrase"

    @property
    def anchor_worth(self) -> str:
        """What the rollback anchor is worth here."""
        return "beside the vault: notices a mistake, not an attacker"

    def new_key(self, vault_id: str) -> bytes:
        """Make a key and write it wrapped."""
        key = crypto.new_key()
        self.keep(vault_id, key)
        return key

    def keep(self, vault_id: str, key: bytes, *, replace: bool = False) -> None:
        """Write the wrapped key and open it again."""
        self._write(self._home / WRAP, vault_id, key)

    def key(self, vault_id: str) -> bytes:
        """Ask for the passphrase and return the key; raises ``WrongPassphrase``, ``DamagedVault``, ``KeyMissing``."""
        return self._read(self._home / WRAP, vault_id)

    def keep_pending(self, vault_id: str, key: bytes) -> None:
        """Write the successor beside the wrapped key."""
        self._write(self._pending_path, vault_id, key)

    def pending(self, vault_id: str) -> bytes | None:
        """Return the successor, if there is one."""
        return self._read(self._pending_path, vault_id) if os.path.lexists(self._pending_path) else None

    def settle(self, vault_id: str, key: bytes) -> None:
        """Put the successor in the place of the wrapped key."""
        self._write(self._home / WRAP, vault_id, key)

    def drop_pending(self, vault_id: str) -> None:
        """Remove the successor."""
        with write_errors(self._pending_path):
            self._pending_path.unlink(missing_ok=True)

    def forget(self, vault_id: str) -> None:
        """Remove the wrapped key."""
        with contextlib.suppress(OSError):
            for name in (WRAP, f"{WRAP}.pending", _ANCHOR):
                (self._home / name).unlink(missing_ok=True)

    def anchor(self, vault_id: str) -> str | None:
        """Return the rollback anchor."""
        return _small_text(self._home / _ANCHOR)

    def set_anchor(self, vault_id: str, text: str) -> None:
        """Write the rollback anchor beside the vault."""
        write_private(self._home / _ANCHOR, text.encode())

    @property
    def _pending_path(self) -> Path:
        return self._home / f"{WRAP}.pending"

    def _passphrase(self) -> str:
        if self._known is None:
            self._known = self._ask()
        return self._known

    def _write(self, path: Path, vault_id: str, key: bytes) -> None:
        write_private(path, crypto.wrap(key, self._passphrase(), vault_id))
        if self._read(path, vault_id) != key:
            raise DamagedVault(f"{path} does not give back what was written", hint="check the disk")

    def _read(self, path: Path, vault_id: str) -> bytes:
        if not os.path.lexists(path):
            raise KeyMissing(f"{path} is not there", hint="keyferry unlock --kit FILE makes it again")
        return crypto.unwrap(read_file(path), self._passphrase(), vault_id)


def read_key_file(path: Path) -> bytes:
    """Return the key of a key file; raises ``UnsafeKeyFile`` for a link, wrong rights or another content."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if os.path.islink(path):
            raise UnsafeKeyFile(f"the key file {path} is a symbolic link", hint="name the file itself") from None
        reason = (error.strerror or "refused").lower()
        raise CannotRead(f"cannot read the key file {path}: {reason}") from None
    try:
        _check_rights(path, os.fstat(handle))
        words = os.read(handle, 256).split()
    finally:
        os.close(handle)
    try:
        mark, text = words
        key = crypto.from_text(text.decode("ascii")) if mark.decode("ascii") == KEY_FILE_MARK else b""
    except ValueError:
        key = b""
    if len(key) != crypto.KEY_BYTES:
        raise UnsafeKeyFile(f"{path} is no key file of Keyferry", hint="name a new file, or the right one")
    return key


def _check_rights(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise UnsafeKeyFile(f"{path} is not a regular file", hint="name a file")
    if os.name != "posix":
        return
    if found.st_mode & 0o077:
        raise UnsafeKeyFile(f"the key file {path} is open to others", hint=f"chmod 600 {path}")
    if found.st_uid not in (0, os.geteuid()):
        raise UnsafeKeyFile(f"the key file {path} belongs to another user", hint="name a file of your own")


def _line(key: bytes) -> bytes:
    return f"{KEY_FILE_MARK} {crypto.to_text(key)}\n".encode()


def _small_text(path: Path) -> str | None:
    try:
        return read_file(path, limit=4096).decode("ascii", "replace")
    except CannotRead:
        return None


def _nobody() -> str:
    raise UsageError("the vault opens with a passphrase, and nobody was asked for it")
