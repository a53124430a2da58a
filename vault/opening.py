"""Opening a vault: fetch its key, finish an interrupted ``key rotate``, notice one put back to an older state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec

from vault.anchor import is_older, marking
from vault.errors import DamagedVault, KeyferryError, KeyMissing, NoVault, RolledBack, WrongKey
from vault.files import held, sweep, write_private
from vault.keyholders import Holder, holder_of
from vault.kit import seal_recovery
from vault.settings import LOCK, RECOVERY, STORE, Settings, read_settings, write_settings
from vault.store import Store, key_fingerprint

Warn = Callable[[str], None]


class Opened(msgspec.Struct):
    """An open vault together with its key and the place that holds it; close it, or use it as a context manager."""

    home: Path
    store: Store
    settings: Settings
    holder: Holder
    key: bytes

    def __enter__(self) -> Opened:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def __repr__(self) -> str:
        return f"Opened({self.home})"


def open_vault(
    home: Path,
    *,
    read_only: bool = False,
    passphrase: Callable[[], str] | None = None,
    warn: Warn | None = None,
    accept_older: bool = False,
) -> Store:
    """Open the vault of this home; ``passphrase`` is asked only if the vault has one.

    A vault that is older than this device has seen it raises ``RolledBack`` for writing and is told to ``warn`` for
    reading. Raises ``NoVault``, ``KeyMissing``, ``KeyringLocked``, ``KeyringUnavailable``, ``UnsafeKeyFile``,
    ``WrongPassphrase``, ``WrongKey``, ``DamagedVault``, ``NewerVault``, ``VaultBusy``, ``CannotRead``.
    """
    return open_keys(home, read_only=read_only, passphrase=passphrase, warn=warn, accept_older=accept_older).store


def open_keys(
    home: Path,
    *,
    read_only: bool = False,
    passphrase: Callable[[], str] | None = None,
    warn: Warn | None = None,
    accept_older: bool = False,
) -> Opened:
    """Open the vault as ``open_vault`` does, and keep its key at hand for the commands about keys and kit."""
    opened = _opened(home, passphrase, read_only=read_only)
    try:
        if opened.store.vault_id != opened.settings.vault:
            raise DamagedVault("vault.json and vault.db belong to two vaults", hint="keyferry unlock --kit FILE")
        if not accept_older:
            _check_anchor(opened, read_only, warn)
        if not read_only:
            _mend(opened)
            opened.store.before_close = marking(opened.holder)
    except BaseException:
        opened.store.close()
        raise
    return opened


def write_recovery(opened: Opened, *keys: bytes) -> bool:
    """Write ``vault.recovery.age`` with the vault's key, or with these keys; False if the vault has no kit."""
    recipient = opened.store.meta("kit_recipient")
    if not recipient:
        return False
    sealed = seal_recovery(recipient, opened.settings.vault, *(keys or (opened.key,)))
    write_private(opened.home / RECOVERY, sealed)
    return True


def settle_key(opened: Opened) -> None:
    """Make the key that opened the vault the only one, everywhere; may be repeated after a kill at any moment."""
    settings = opened.settings
    if key_fingerprint(opened.key) != settings.fingerprint:
        opened.holder.settle(settings.vault, opened.key)
    write_recovery(opened)
    opened.holder.drop_pending(settings.vault)
    opened.settings = msgspec.structs.replace(settings, fingerprint=key_fingerprint(opened.key), pending="")
    write_settings(opened.home, opened.settings)


def _opened(home: Path, passphrase: Callable[[], str] | None, *, read_only: bool) -> Opened:
    settings = read_settings(home)
    if not os.path.lexists(home / STORE):
        raise NoVault(f"{home / STORE} is missing", hint="restore a backup, or keyferry destroy clears what is left")
    holder = holder_of(settings.holder, home, passphrase)
    if settings.pending:
        return _opened_between(home, settings, holder, read_only)
    try:
        key = holder.key(settings.vault)
        store = Store.open(home / STORE, key, read_only=read_only, fingerprint=settings.fingerprint or None)
    except (KeyMissing, WrongKey, DamagedVault):
        # Another process may have changed the key between our two looks.
        if read_settings(home) == settings:
            raise
        return _opened(home, passphrase, read_only=read_only)
    return Opened(home, store, settings, holder, key)


def _opened_between(home: Path, settings: Settings, holder: Holder, read_only: bool) -> Opened:
    """Open a vault whose ``key rotate`` was interrupted: with the key, or with its successor."""
    for find in (holder.key, holder.pending):
        try:
            key = find(settings.vault)
            if key is None:
                continue
            return Opened(home, Store.open(home / STORE, key, read_only=read_only), settings, holder, key)
        except (KeyMissing, WrongKey):
            continue
    raise WrongKey(
        "neither the vault's key nor its successor opens it", hint="keyferry unlock --kit FILE puts the right one back"
    )


def _mend(opened: Opened) -> None:
    """Finish an interrupted ``key rotate`` and a missing recovery file; what cannot be mended now waits."""
    recovery = opened.home / RECOVERY
    due = opened.store.meta("recovery_due") or (opened.store.meta("kit_recipient") and not os.path.lexists(recovery))
    if not opened.settings.pending and not due:
        return
    with contextlib.suppress(KeyferryError), held(opened.home / LOCK):
        sweep(opened.home)
        if opened.settings.pending:
            settle_key(opened)
        if due and write_recovery(opened):
            opened.store.set_meta("recovery_due", None)


def _check_anchor(opened: Opened, read_only: bool, warn: Warn | None) -> None:
    if not is_older(opened.store, opened.holder):
        return
    if not read_only:
        raise RolledBack(
            "the vault is older than this device has last seen it; it can only be read",
            hint="keyferry restore takes the newest backup; keyferry doctor --accept-older goes on with this one",
        )
    if warn is not None:
        warn("the vault is older than this device has last seen it; what was changed since is not in it")
