"""Moving, renewing, recovering and ending a vault's key.

Each of these may be killed at any moment and leaves a vault that opens: a new place holds the key before the old one
is told to forget it, a new key is held as *pending* before the file is encrypted under it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vault import crypto
from vault.anchor import marking
from vault.errors import (
    CannotRead,
    CannotWrite,
    DamagedVault,
    DiskFull,
    KeyferryError,
    KeyMissing,
    NewerVault,
    NoVault,
    UsageError,
    WrongKey,
)
from vault.files import check_writable, held, read_file, sweep, sync_folder, write_errors, write_private
from vault.keyholders import Holder, KeyFileHolder, PassphraseHolder, holder_of, named
from vault.kit import Kit, open_recovery, seal_recovery
from vault.opening import Opened, settle_key, write_recovery
from vault.settings import LOCK, RECOVERY, SETTINGS, STORE, WRAP, Settings, read_settings, unfinished, write_settings
from vault.store import Store, key_fingerprint

_MARGIN = 1 << 20


@dataclass(frozen=True)
class Destroyed:
    """What ``destroy`` removed and what it had to leave."""

    removed: tuple[str, ...]
    left: tuple[str, ...]


def move_key(opened: Opened, target: Holder) -> str:
    """Put the key into another place; returns what is left of it at the old one, or nothing.

    Raises ``UsageError`` if it is there already, and what the new place raises; then the old one still holds.
    """
    old, vault_id = opened.holder, opened.settings.vault
    target = named(target, opened.store.meta("key_entry"))
    if old.described == target.described and not isinstance(target, PassphraseHolder):
        raise UsageError("the key is there already")
    with held(opened.home / LOCK):
        target.keep(vault_id, opened.key)
        opened.settings = msgspec.structs.replace(opened.settings, holder=target.described)
        write_settings(opened.home, opened.settings)
    anchor = old.anchor(vault_id)
    opened.holder = target
    if old.kind == target.kind == "passphrase":
        return ""
    with contextlib.suppress(KeyferryError):
        if anchor:
            target.set_anchor(vault_id, anchor)
        old.forget(vault_id)
    return str(old.path) if isinstance(old, KeyFileHolder) else ""


def rotate_key(opened: Opened) -> None:
    """Encrypt the vault under a new key, hold that instead of the old one, and renew the recovery file.

    Raises ``VaultBusy`` if another process has the vault open, and what the key's place raises; then nothing changed.
    """
    key = crypto.new_key()
    _check_room(opened.home)
    with held(opened.home / LOCK):
        opened.store.keep_others_out()
        opened.settings = msgspec.structs.replace(opened.settings, pending=key_fingerprint(key))
        write_settings(opened.home, opened.settings)
        opened.holder.keep_pending(opened.settings.vault, key)
        write_recovery(opened, opened.key, key)
        _encrypt_anew(opened, key)
        settle_key(opened)


def unlock(home: Path, kit: Kit, choose: Callable[[dict[str, str] | None], Holder]) -> Holder:
    """Put the vault's key back with the kit, and make ``vault.json`` again if it is gone; returns the key's place.

    ``choose`` gets what ``vault.json`` says about the place, or None, and returns the place to use. Raises
    ``WrongKit``, ``NoVault``, ``KeyMissing`` (no recovery file), ``DamagedVault``, and what the place raises.
    """
    if not os.path.lexists(home / STORE):
        raise NoVault(f"there is no vault in {home}", hint="keyferry restore BACKUP --kit FILE makes it from a backup")
    try:
        sealed = read_file(home / RECOVERY)
    except CannotRead:
        raise KeyMissing(
            f"{home / RECOVERY} is not there", hint="keyferry restore BACKUP --kit FILE opens a backup with the kit"
        ) from None
    vault_id, keys = open_recovery(sealed, kit)
    old = _settings(home)
    with held(home / LOCK):
        key, name, made_at, entry = _that_opens(home, vault_id, keys)
        holder = named(choose(old.holder if old else None), entry)
        holder.keep(vault_id, key, replace=True)
        settings = Settings(
            vault=vault_id,
            holder=holder.described,
            name=name,
            made_at=made_at,
            fingerprint=key_fingerprint(key),
        )
        if len(keys) > 1:  # a key rotate was interrupted
            write_private(home / RECOVERY, seal_recovery(kit.recipient, vault_id, key))
        write_settings(home, settings)
        with contextlib.suppress(KeyferryError):
            holder.drop_pending(vault_id)
            if old is not None and old.holder != holder.described and old.holder.get("kind") == "key-file":
                holder_of(old.holder, home, None).forget(vault_id)  # what lies beside the lost key file
    return holder


def destroy(home: Path) -> Destroyed:
    """Delete the vault, its recovery file and its key; a key file stays where it is. The vault need not open.

    Raises ``NoVault``, ``CannotWrite``.
    """
    names = [STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-journal", RECOVERY, WRAP, f"{WRAP}.pending"]
    names += ["vault.anchor", SETTINGS]
    if not any(os.path.lexists(home / name) for name in names):
        raise NoVault(f"there is no vault in {home}")
    removed: list[str] = []
    left: list[str] = []
    with held(home / LOCK):
        with contextlib.suppress(DiskFull):
            check_writable(home)  # else the key would go and the files stay
        _forget(home, removed, left)
        for name in names:
            with write_errors(home / name):
                if os.path.lexists(home / name):
                    (home / name).unlink()
                    removed.append(name)
        sweep(home)
        with contextlib.suppress(OSError):
            sync_folder(home)
    with contextlib.suppress(OSError):
        (home / LOCK).unlink(missing_ok=True)
        home.rmdir()
    return Destroyed(tuple(removed), tuple(left))


def _check_room(home: Path) -> None:
    """Check that there is room for every page once more; raises ``DiskFull``."""
    import shutil

    with write_errors(home):
        size, free = os.stat(home / STORE).st_size, shutil.disk_usage(home).free
    if free < size * 5 // 4 + _MARGIN:
        raise DiskFull(
            "the vault cannot be encrypted anew: its disk has too little room; nothing was changed",
            hint=f"make room for {(size * 5 // 4 + _MARGIN) >> 20} MB, then try again",
        )


def _encrypt_anew(opened: Opened, key: bytes) -> None:
    """Encrypt the vault file under the key and prove that it is, with a connection that knows no other."""
    path, store = opened.home / STORE, opened.store
    store.before_close = None  # a connection that failed half-way must write nothing more
    try:
        store.rekey(key)
    finally:
        store.close()
    # SQLCipher reports no failure of its own: a full disk leaves the old key in force without a word.
    try:
        opened.store = Store.open(path, key)
    except WrongKey:
        opened.store = Store.open(path, opened.key)
        with contextlib.suppress(KeyferryError):
            settle_key(opened)
        raise CannotWrite(
            "the vault could not be encrypted anew; it has its old key", hint="check the disk and its room, then retry"
        ) from None
    if not opened.store.is_sound():
        raise DamagedVault("the vault file is damaged", hint="restore a backup: keyferry restore")
    opened.key = key
    opened.store.before_close = marking(opened.holder)


def _forget(home: Path, removed: list[str], left: list[str]) -> None:
    """Let the key's place forget it, if anybody knows the place."""
    settings = _settings(home) or unfinished(home)
    if settings is None:
        return
    try:
        holder = holder_of(settings.holder, home, None)
        holder.forget(settings.vault)
    except KeyferryError as error:
        left.append(f"the key in its place ({error.message})")
        return
    if isinstance(holder, KeyFileHolder) and os.path.lexists(holder.path):
        left.append(f"the key file {holder.path}")
    elif holder.kind == "keyring":
        removed.append("the keyring's entry")


def _settings(home: Path) -> Settings | None:
    try:
        return read_settings(home)
    except (DamagedVault, KeyMissing, NoVault, CannotRead):
        return None
    except NewerVault:
        raise


def _that_opens(home: Path, vault_id: str, keys: tuple[bytes, ...]) -> tuple[bytes, str, str, str | None]:
    """Return the key that opens the vault file, the vault's name and day, the key's name. Raises ``DamagedVault``."""
    for key in keys:
        try:
            store = Store.open(home / STORE, key)
        except WrongKey:
            continue
        with store:
            if store.vault_id == vault_id:
                return key, store.meta("name") or "", store.meta("made_at") or "", store.meta("key_entry")
    raise DamagedVault(
        "the kit is right, but vault.recovery.age and vault.db do not belong together, or one is damaged",
        hint="keyferry restore BACKUP --kit FILE opens a backup with the kit",
    )
