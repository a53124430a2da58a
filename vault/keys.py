"""The door to a vault's key: make a vault, open it, and notice one that was put back to an older state.

``vault.json`` is written first and last: what is still *in the making* when a process is killed was never used, and the
next ``init`` clears it away. Nothing is left behind by an ``init`` that fails.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import msgspec

from vault import crypto
from vault.errors import (
    DamagedVault,
    KeyferryError,
    KeyMissing,
    KeyringUnavailable,
    NoVault,
    RolledBack,
    UnsafeKit,
    VaultExists,
    WrongKey,
)
from vault.files import check_target, held, make_private_folder, read_file, write_private
from vault.keyholders import Holder, choose_holder, holder_of
from vault.kit import Kit, new_kit, page, seal_recovery
from vault.moment import Instant, now
from vault.settings import LOCK, RECOVERY, SETTINGS, STORE, Settings, read_settings, unfinished, write_settings
from vault.store import Store, key_fingerprint

__all__ = [
    "Holder",
    "Opened",
    "choose_holder",
    "default_home",
    "has_vault",
    "init_vault",
    "kit_reminder",
    "open_keys",
    "open_vault",
]

_ANCHOR_MARK = "keyferry-anchor-1"
Warn = Callable[[str], None]


@dataclass
class Opened:
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


def default_home() -> Path:
    """Return the folder named by ``KEYFERRY_HOME``, else the platform's data folder."""
    named = os.environ.get("KEYFERRY_HOME")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("keyferry", appauthor=False))


def has_vault(home: Path) -> bool:
    """Tell whether there is a finished vault in this home."""
    if unfinished(home) is not None:
        return False
    return any(os.path.lexists(home / name) for name in (SETTINGS, STORE))


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
            opened.store.before_close = _marking(opened.holder)
    except BaseException:
        opened.store.close()
        raise
    return opened


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
    try:
        return _make_in(home, holder or choose_holder(home), name or _default_name(), kit_file, with_kit)
    except KeyringUnavailable as error:
        raise KeyringUnavailable(error.message, hint=_other_place(home)) from None


def check_kit_place(home: Path, path: Path) -> None:
    """Check that a kit may be written there; raises ``UnsafeKit`` inside the vault's own folder."""
    if path.expanduser().resolve().is_relative_to(home.resolve()):
        raise UnsafeKit(
            "the kit does not belong into the vault's own folder", hint="save it on another disk, or print it"
        )


def kit_reminder(store: Store) -> str:
    """Return the sentence that reminds of a kit nobody has checked, or nothing."""
    if store.meta("kit_checked_at"):
        return ""
    if not store.meta("kit_recipient"):
        return "this vault has no recovery kit: if its key is lost, so is the vault; keyferry kit new makes one"
    if store.meta("kit_handed_at"):
        return "the recovery kit is not checked yet: keyferry kit check FILE"
    return "the recovery kit is not saved yet: keyferry kit save FILE (or kit print), then keyferry kit check FILE"


def _make_in(home: Path, holder: Holder, name: str, kit_file: Path | None, with_kit: bool) -> Store:
    made = make_private_folder(home)
    try:
        with held(home / LOCK):
            return _make(home, holder, name, kit_file, with_kit)
    except BaseException:
        with contextlib.suppress(OSError):
            if not has_vault(home):
                (home / LOCK).unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()
        raise


def chain_of(store: Store) -> list[bytes]:
    """Return the membership chain; raises ``DamagedVault``."""
    try:
        return [crypto.from_text(entry) for entry in json.loads(store.meta("membership") or "")]
    except ValueError:
        raise DamagedVault("the vault's list of devices is damaged", hint="restore a backup") from None


def write_recovery(opened: Opened, *keys: bytes) -> bool:
    """Write ``vault.recovery.age`` with the vault's key, or with these keys; False if the vault has no kit."""
    recipient = opened.store.meta("kit_recipient")
    if not recipient:
        return False
    sealed = seal_recovery(recipient, opened.settings.vault, *(keys or (opened.key,)))
    write_private(opened.home / RECOVERY, sealed)
    return True


def store_kit(store: Store, kit: Kit, chain: list[bytes]) -> None:
    """Put a kit that is not handed out yet into the vault; call it inside a transaction."""
    store.set_meta("kit", crypto.to_text(kit.seed))
    store.set_meta("kit_recipient", kit.recipient)
    for name in ("kit_handed_at", "kit_checked_at"):
        store.set_meta(name, None)
    store_root(store, kit, chain)


def store_root(store: Store, kit: Kit, chain: list[bytes]) -> None:
    """Put the root that the kit stands for, and the chain it signed, into the vault."""
    store.set_meta("root", crypto.to_text(kit.root_public))
    store.set_meta("membership", json.dumps([crypto.to_text(entry) for entry in chain]))


def accept_older(opened: Opened, at: Instant) -> None:
    """Take an older state of the vault as the right one from now on, and write that down in the vault."""
    store = opened.store
    kept = _anchored(opened.holder.anchor(store.vault_id))
    with store.transaction():
        seen = json.loads(store.meta("accepted_older") or "[]")
        entry = {"at": at, "counter": _counter(store), "anchor": kept}
        store.set_meta("accepted_older", json.dumps([*seen, entry]))
        store.set_meta("counter", str(max(_counter(store), kept)))


def is_older(opened: Opened) -> bool:
    """Tell whether the vault is older than this device has seen it."""
    return _anchored(opened.holder.anchor(opened.store.vault_id)) > _counter(opened.store)


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
        if opened.settings.pending:
            settle_key(opened)
        if due and write_recovery(opened):
            opened.store.set_meta("recovery_due", None)


def settle_key(opened: Opened) -> None:
    """Make the key that opened the vault the only one, everywhere; may be repeated after a kill at any moment."""
    settings = opened.settings
    if key_fingerprint(opened.key) != settings.fingerprint:
        opened.holder.settle(settings.vault, opened.key)
    write_recovery(opened)
    opened.settings = msgspec.structs.replace(settings, fingerprint=key_fingerprint(opened.key), pending="")
    write_settings(opened.home, opened.settings)
    opened.holder.drop_pending(settings.vault)


def _check_anchor(opened: Opened, read_only: bool, warn: Warn | None) -> None:
    if not is_older(opened):
        return
    if not read_only:
        raise RolledBack(
            "the vault is older than this device has last seen it; it can only be read",
            hint="keyferry restore takes the newest backup; keyferry doctor --accept-older goes on with this one",
        )
    if warn is not None:
        warn("the vault is older than this device has last seen it; what was changed since is not in it")


def _marking(holder: Holder) -> Callable[[Store], None]:
    """Return what raises the counter and its anchor when a changed vault is closed."""

    def mark(store: Store) -> None:
        if not store.changes:
            return
        # The work is committed. An anchor that stays behind is harmless, an error here would look like a loss.
        with contextlib.suppress(KeyferryError):
            counter = _counter(store) + 1
            store.set_meta("counter", str(counter))
            holder.set_anchor(store.vault_id, f"{_ANCHOR_MARK} {counter}")

    return mark


def _counter(store: Store) -> int:
    return _number(store.meta("counter") or "0")


def _anchored(text: str | None) -> int:
    mark, _, number = (text or "").strip().partition(" ")
    return _number(number) if mark == _ANCHOR_MARK else 0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def _make(home: Path, holder: Holder, name: str, kit_file: Path | None, with_kit: bool) -> Store:
    from vault import device, membership

    _clear_unfinished(home)
    if has_vault(home):
        raise _exists(home)
    at, own, kit = now(), device.new_device(), new_kit()
    chain = [membership.genesis(kit.root, own, name=_host(), now=at)]
    settings = Settings(
        vault=membership.vault_id_of(chain), holder=holder.described, name=name, made_at=at, making=True
    )
    opened = None
    try:
        write_settings(home, settings)
        key = holder.new_key(settings.vault)
        settings = msgspec.structs.replace(settings, fingerprint=key_fingerprint(key))
        opened = Opened(home, Store.create(home / STORE, key, settings.vault), settings, holder, key)
        _fill(opened, kit, chain, device.to_text(own), with_kit)
        if kit_file is not None:
            hand_out(opened.store, kit, kit_file)
        write_settings(home, msgspec.structs.replace(settings, making=False))
    except BaseException:
        if opened is not None:
            opened.store.close()
        _clear(home, settings.vault, holder)
        raise
    opened.store.before_close = _marking(holder)
    return opened.store


def _fill(opened: Opened, kit: Kit, chain: list[bytes], device: str, with_kit: bool) -> None:
    store, settings = opened.store, opened.settings
    with store.transaction():
        store.set_meta("name", settings.name)
        store.set_meta("made_at", settings.made_at)
        store.set_meta("device", device)
        if with_kit:
            store_kit(store, kit, chain)
        else:
            store_root(store, kit, chain)
    write_recovery(opened)


def hand_out(store: Store, kit: Kit, path: Path) -> None:
    """Write the kit's page to a new file and read it back. Raises ``TargetExists``, ``CannotWrite``, ``DiskFull``."""
    text = kit_text(store, kit)
    write_private(path, text.encode(), replace=False)
    if read_file(path) != text.encode():
        raise DamagedVault(f"{path} does not give back what was written", hint="save the kit on another disk")
    store.set_meta("kit_handed_at", now())


def kit_text(store: Store, kit: Kit) -> str:
    """Return the kit's page for this vault."""
    name, made_at = store.meta("name") or "", store.meta("kit_made_at") or store.meta("made_at") or ""
    return page(kit, name=name, vault_id=store.vault_id, made_at=made_at)


def _clear_unfinished(home: Path) -> None:
    left = unfinished(home)
    if left is not None:
        _clear(home, left.vault, holder_of(left.holder, home, None))


def _clear(home: Path, vault_id: str, holder: Holder) -> None:
    """Remove what an unfinished ``init`` has made, the settings last."""
    with contextlib.suppress(KeyferryError):
        holder.forget(vault_id)
    with contextlib.suppress(OSError):
        for name in (STORE, f"{STORE}-wal", f"{STORE}-shm", RECOVERY, SETTINGS):
            (home / name).unlink(missing_ok=True)


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
    return f"{user}@{_host()}".encode("utf-8", "replace").decode()


def _host() -> str:
    import platform

    return (platform.node() or "this device").encode("utf-8", "replace").decode()
