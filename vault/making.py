"""Making a vault: key, file, device, kit, or nothing at all.

``vault.json`` is written first and last: what is still *in the making* when a process is killed was never used, and the
next ``init`` clears it away. Nothing is left behind by an ``init`` that fails.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from vault import device, listmaking, membership
from vault.anchor import marking
from vault.errors import KeyferryError, KeyringUnavailable, VaultExists
from vault.files import check_target, held, make_private_folder, sweep
from vault.identity import name_device
from vault.keyholders import Holder, choose_holder, holder_of
from vault.kit import new_kit
from vault.kitcare import check_kit_place, hand_out, store_kit, store_root
from vault.moment import now
from vault.opening import Opened, write_recovery
from vault.settings import (
    LOCK,
    RECOVERY,
    SETTINGS,
    STORE,
    Settings,
    default_home,
    has_vault,
    unfinished,
    write_settings,
)
from vault.store import Store, key_fingerprint


def init_vault(
    home: Path,
    *,
    holder: Holder | None = None,
    name: str | None = None,
    kit_file: Path | None = None,
    with_kit: bool = True,
) -> Store:
    """Make the vault of this home and return it open; ``holder`` is the OS keyring unless given.

    The kit waits inside the vault, unless ``kit_file`` takes it. Nothing is left behind if anything fails. Raises
    ``VaultExists``, ``KeyringUnavailable``, ``KeyringLocked``, ``UnsafeKeyFile``, ``UnsafeKit``, ``CannotWrite``,
    ``DiskFull``, ``TargetExists``, ``UnsafeTarget``.
    """
    if kit_file is not None:
        check_kit_place(home, kit_file)
        check_target(kit_file, replace=False)
    if has_vault(home):
        raise _exists(home)
    at, own, kit = now(), device.new_device(), new_kit()
    chain = [listmaking.genesis(kit.root, own, name="", now=at)]

    def fill(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        name_device(store, own.device_id, host_name())
        if with_kit:
            store_kit(store, kit, chain)
        else:
            store_root(store, kit, chain)

    def finish(store: Store) -> None:
        if kit_file is not None:
            hand_out(store, kit, kit_file)

    vault_id = membership.vault_id_of(chain)
    settings = Settings(vault=vault_id, holder={}, name=name or _default_name(), made_at=at, making=True)
    return make_vault(home, holder, settings, fill, finish)


def make_vault(
    home: Path,
    holder: Holder | None,
    settings: Settings,
    fill: Callable[[Store], None],
    finish: Callable[[Store], None] = lambda _: None,
) -> Store:
    """Make the vault file of these settings and return it open; ``holder`` is the OS keyring unless given.

    ``fill`` puts everything into it, in the transaction that makes it; ``finish`` comes last. If either raises, or the
    process is killed before the end, there is no vault. Raises as ``init_vault``.
    """
    try:
        return _make_in(home, holder or choose_holder(home), settings, fill, finish)
    except KeyringUnavailable as error:
        raise KeyringUnavailable(error.message, hint=_other_place(home)) from None


def _make_in(
    home: Path, holder: Holder, settings: Settings, fill: Callable[[Store], None], finish: Callable[[Store], None]
) -> Store:
    made = make_private_folder(home)
    try:
        with held(home / LOCK):
            try:
                return _make(home, holder, settings, fill, finish)
            except BaseException:
                with contextlib.suppress(OSError):
                    if not has_vault(home):
                        (home / LOCK).unlink(missing_ok=True)
                raise
    except BaseException:
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()
        raise


def _make(
    home: Path, holder: Holder, settings: Settings, fill: Callable[[Store], None], finish: Callable[[Store], None]
) -> Store:
    _clear_unfinished(home)
    if has_vault(home):
        raise _exists(home)
    sweep(home)
    settings = msgspec.structs.replace(settings, holder=holder.described)
    opened = None
    try:
        write_settings(home, settings)
        key = holder.new_key(settings.vault)
        settings = msgspec.structs.replace(settings, fingerprint=key_fingerprint(key))
        opened = Opened(home, Store.create(home / STORE, key, settings.vault), settings, holder, key)
        with opened.store.transaction():
            opened.store.set_meta("name", settings.name)
            opened.store.set_meta("made_at", settings.made_at)
            fill(opened.store)
        write_recovery(opened)
        finish(opened.store)
        write_settings(home, msgspec.structs.replace(settings, making=False))
    except BaseException:
        if opened is not None:
            opened.store.close()
        _clear(home, settings.vault, holder)
        raise
    opened.store.before_close = marking(holder)
    return opened.store


def _clear_unfinished(home: Path) -> None:
    left = unfinished(home)
    if left is not None:
        _clear(home, left.vault, holder_of(left.holder, home, None))


def _clear(home: Path, vault_id: str, holder: Holder) -> None:
    """Remove what an unfinished ``init`` has made, the settings last; a vault that cannot be removed keeps its key."""
    with contextlib.suppress(OSError):
        for name in (STORE, f"{STORE}-wal", f"{STORE}-shm", RECOVERY):
            (home / name).unlink(missing_ok=True)
        with contextlib.suppress(KeyferryError):
            holder.forget(vault_id)
        (home / SETTINGS).unlink(missing_ok=True)


def _exists(home: Path) -> VaultExists:
    return VaultExists(f"there is a vault in {home} already", hint="keyferry status shows it")


def _other_place(home: Path) -> str:
    """Return the whole command line that makes a vault without a keyring."""
    import shlex

    where = "" if home == default_home() else f" --home {shlex.quote(str(home))}"
    return f"keyferry init{where} --key-file ~/keyferry.key, or keyferry init{where} --passphrase"


def _default_name() -> str:
    import getpass

    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # no entry in the system's list of users
        user = "vault"
    return f"{user}@{host_name()}".encode("utf-8", "replace").decode()


def host_name() -> str:
    """Return what this machine calls itself."""
    import platform

    return (platform.node() or "this device").encode("utf-8", "replace").decode()
