"""Handing out, checking and renewing the recovery kit of an open vault.

The seed waits inside the vault until a check has shown that it is readable elsewhere; then it is erased.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from vault import crypto, kit, listmaking, membership
from vault.device import from_text
from vault.errors import CannotRead, DamagedVault, UnsafeKit, UsageError, WrongKit
from vault.files import check_target, read_file, write_private
from vault.kitfile import seal_page
from vault.moment import Instant, now
from vault.opening import Opened, write_recovery
from vault.settings import RECOVERY
from vault.store import Store

TARGET_MARK = ".keyferry-target"  # the file that makes a folder a backup target
_SYNCED = re.compile(
    r"(dropbox|nextcloud|owncloud|onedrive|icloud|mobile documents|com~apple~clouddocs|google ?drive|my drive"
    r"|syncthing|sync|pcloud|megasync|box sync|seafile|proton ?drive|yandex\.disk)([ (_-].*|drive)?"
)
KitState = Literal["none", "waiting", "handed out", "elsewhere", "checked"]
_REMINDERS: dict[KitState, str] = {
    "none": "this vault has no recovery kit: if its key is lost, so is the vault; keyferry kit new makes one",
    "waiting": "the recovery kit is not saved yet: keyferry kit save FILE (or kit print), then keyferry kit check FILE",
    "handed out": "the recovery kit is not checked yet: keyferry kit check FILE",
    "elsewhere": "the recovery kit is not checked on this device yet: keyferry kit check FILE; the device that made "
    "the kit can save it if nobody has",
    "checked": "",
}


class EndedKit(NamedTuple):
    """A kit that another one has replaced; ``kept`` unless it was never handed out, so that nobody can have it."""

    recipient: str
    key_id: str
    until: Instant
    kept: bool


def check_kit_place(home: Path, path: Path, forbidden: Sequence[Path] = ()) -> None:
    """Check that a kit may be written there; raises ``UnsafeKit`` inside the vault's folder or a backup target.

    Targets are the ``forbidden`` folders and whatever bears a target's mark, as the drive does in another place: who
    takes it would have the backups and their key.
    """
    if _is_inside(path, home):
        raise UnsafeKit(
            "the kit does not belong into the vault's own folder", hint="save it on another disk, or print it"
        )
    marked = [parent for parent in _real(path).parents if os.path.lexists(parent / TARGET_MARK)]
    for folder in (*forbidden, *marked):
        if _is_inside(path, folder):
            raise UnsafeKit(
                f"the kit does not belong beside the backups it opens, in {folder}",
                hint="save it on another disk, or print it",
            )


def kit_state(store: Store) -> KitState:
    """Return how the vault's kit is, as this device knows it; elsewhere is on the device that made it, or with you."""
    if store.meta("kit_checked_at"):
        return "checked"
    if not store.meta("kit_recipient"):
        return "none"
    if not store.meta("kit"):
        return "elsewhere"
    return "handed out" if store.meta("kit_handed_at") else "waiting"


def kit_reminder(store: Store) -> str:
    """Return the sentence that reminds of a kit nobody has checked, or nothing."""
    return _REMINDERS[kit_state(store)]


def is_synced(path: Path) -> bool:
    """Tell whether the path looks like a folder that a cloud service copies."""
    return any(_SYNCED.fullmatch(part.lower()) for part in _real(path).parts)


def waiting_kit(store: Store) -> kit.Kit:
    """Return the kit that waits in the vault; raises ``UsageError`` if it was checked, or never made."""
    text = store.meta("kit")
    if text:
        return kit.Kit(crypto.from_text(text))
    checked = store.meta("kit_checked_at")
    if checked:
        raise UsageError(
            f"the kit is no longer in the vault: it was checked on {checked[:10]}",
            hint="use the one you have; keyferry kit new makes another and ends the old one",
        )
    if store.meta("kit_recipient"):
        raise UsageError(
            "the kit is not on this device: another one made it",
            hint="keyferry kit save on that device; keyferry kit new only if it is gone and nobody has the kit",
        )
    raise UsageError("this vault was made without a kit", hint="keyferry kit new makes one")


def save_kit(
    opened: Opened, path: Path, *, forbidden: Sequence[Path] = (), passphrase: Callable[[], str] | None = None
) -> kit.Kit:
    """Write the waiting kit to a new file (0600), sealed under the passphrase if that is given.

    Everything is checked before ``passphrase`` is asked. Raises ``UnsafeKit`` as ``check_kit_place``, ``TargetExists``,
    ``UnsafeTarget``, ``UsageError`` if no kit waits.
    """
    check_kit_place(opened.home, path, forbidden)
    found = waiting_kit(opened.store)
    check_target(path, replace=False)
    hand_out(opened.store, found, path, passphrase() if passphrase else None)
    return found


def print_kit(opened: Opened) -> str:
    """Return the page of the waiting kit."""
    found = waiting_kit(opened.store)
    opened.store.set_meta("kit_handed_at", now())
    return kit_text(opened.store, found)


def check_kit(opened: Opened, given: kit.Kit, at: Instant) -> None:
    """Check that the kit opens this vault, then erase it from the vault. Raises ``WrongKit``, ``DamagedVault``."""
    store = opened.store
    if given.recipient != store.meta("kit_recipient"):
        raise _another(store, given)
    if not _opens(opened, given):
        write_recovery(opened)
        if not _opens(opened, given):
            raise DamagedVault(f"{opened.home / RECOVERY} cannot be written", hint="check the disk")
    root = membership.read_chain(chain_of(store)).roots[-1]
    if not given.is_root(root.public, root.mldsa65):
        raise WrongKit("the vault's devices are signed by another kit", hint="use the newest kit of this vault")
    with store.transaction():
        store.set_meta("kit", None)
        store.set_meta("kit_checked_at", at)


def renew_kit(opened: Opened, at: Instant, *, old_kit: kit.Kit | None = None) -> kit.Kit:
    """Make a new kit that waits in the vault, and end the old one: it no longer opens what is made from now on.

    The new root signs its entry in the membership chain, this device does, and the old root if its kit is given or
    still waits in the vault: then no other device need wonder. Raises ``WrongKit`` if ``old_kit`` is another.
    """
    store = opened.store
    if old_kit is not None and old_kit.recipient != store.meta("kit_recipient"):
        raise _another(store, old_kit)
    waiting = store.meta("kit")
    if old_kit is None and waiting:
        old_kit = kit.Kit(crypto.from_text(waiting))
    fresh = kit.new_kit()
    chain = chain_of(store)
    own = from_text(store.meta("device") or "")
    old_root = old_kit.root_among(membership.read_chain(chain).root_publics) if old_kit else None
    chain.append(listmaking.new_root(chain, fresh.root, own, now=at, old=old_root, recipient=fresh.recipient))
    with store.transaction():
        old = store.meta("kit_recipient")
        if old:
            ended = json.loads(store.meta("old_kits") or "[]")
            kept = bool(store.meta("kit_handed_at") or store.meta("kit_checked_at"))
            entry = {
                "recipient": old,
                "key_id": kit.key_id(old),
                "root": store.meta("root"),
                "until": at,
                "kept": kept,
            }
            store.set_meta("old_kits", json.dumps([*ended, entry]))
        store_kit(store, fresh, chain)
        store.set_meta("kit_made_at", at)
        store.set_meta("recovery_due", "1")  # until the file is written; opening the vault mends it
    write_recovery(opened)
    store.set_meta("recovery_due", None)
    return fresh


def end_kit(store: Store, recipient: str, at: Instant, *, old_root: bytes) -> None:
    """Put another kit, which was handed out elsewhere, in the place of the vault's; inside a transaction."""
    old = store.meta("kit_recipient")
    if old:
        ended = json.loads(store.meta("old_kits") or "[]")
        root, kept = crypto.to_text(old_root), bool(store.meta("kit_handed_at") or store.meta("kit_checked_at"))
        entry = {"recipient": old, "key_id": kit.key_id(old), "root": root, "until": at, "kept": kept}
        store.set_meta("old_kits", json.dumps([*ended, entry]))
    store.set_meta("kit", None)
    store.set_meta("kit_checked_at", None)
    store.set_meta("kit_handed_at", at)
    store.set_meta("kit_made_at", at)
    store.set_meta("kit_recipient", recipient)
    store.set_meta("recovery_due", "1")  # opening the vault writes the file


def ended_kits(store: Store) -> tuple[EndedKit, ...]:
    """Return the kits that were replaced, the latest first; each still opens the backups made while it was in force."""
    told = json.loads(store.meta("old_kits") or "[]")
    return tuple(
        EndedKit(one["recipient"], one["key_id"], one["until"], one.get("kept", True)) for one in reversed(told)
    )


def _opens(opened: Opened, given: kit.Kit) -> bool:
    try:
        vault_id, keys = kit.open_recovery(read_file(opened.home / RECOVERY), given)
    except (CannotRead, DamagedVault, WrongKit):
        return False
    return vault_id == opened.store.vault_id and opened.key in keys


def _another(store: Store, given: kit.Kit) -> WrongKit:
    for old in ended_kits(store):
        if old.recipient == given.recipient:
            return WrongKit(
                f"this kit was replaced on {old.until[:10]}", hint="use the newer one; keep this for older backups"
            )
    wanted = store.meta("kit_recipient")
    hint = f"this vault's kit has the key id {kit.key_id(wanted)}" if wanted else "this vault has no kit yet"
    return WrongKit(f"this kit (key id {given.key_id}) is another vault's", hint=hint)


def store_kit(store: Store, given: kit.Kit, chain: list[bytes]) -> None:
    """Put a kit that is not handed out yet into the vault; call it inside a transaction."""
    store.set_meta("kit", crypto.to_text(given.seed))
    store.set_meta("kit_recipient", given.recipient)
    for name in ("kit_handed_at", "kit_checked_at"):
        store.set_meta(name, None)
    store_root(store, given, chain)


def store_root(store: Store, given: kit.Kit, chain: list[bytes]) -> None:
    """Put the root that the kit stands for, and the chain it signed, into the vault."""
    store.set_meta("root", crypto.to_text(given.root_among(membership.read_chain(chain).root_publics).public))
    store.set_meta("membership", json.dumps([crypto.to_text(entry) for entry in chain]))


def chain_of(store: Store) -> list[bytes]:
    """Return the membership chain; raises ``DamagedVault``."""
    try:
        return [crypto.from_text(entry) for entry in json.loads(store.meta("membership") or "")]
    except ValueError:
        raise DamagedVault("the vault's list of devices is damaged", hint="restore a backup") from None


def hand_out(store: Store, given: kit.Kit, path: Path, passphrase: str | None = None) -> None:
    """Write the kit's page to a new file and read it back. Raises ``TargetExists``, ``CannotWrite``, ``DiskFull``."""
    text = kit_text(store, given)
    content = text.encode() if passphrase is None else seal_page(text, passphrase)
    with store.transaction():
        store.set_meta("kit_handed_at", now())
        write_private(path, content, replace=False)
        if read_file(path) != content:
            raise DamagedVault(f"{path} does not give back what was written", hint="save the kit on another disk")


def kit_text(store: Store, given: kit.Kit) -> str:
    """Return the kit's page for this vault."""
    name, made_at = store.meta("name") or "", store.meta("kit_made_at") or store.meta("made_at") or ""
    root = given.root_among(membership.read_chain(chain_of(store)).root_publics).public
    return kit.page(given, name=name, vault_id=store.vault_id, made_at=made_at, root=root)


def _is_inside(path: Path, folder: Path) -> bool:
    """Tell whether the path lies in the folder, by whatever name, link or case of letters it is called."""
    real, wanted = _real(path), _real(folder)
    return real.is_relative_to(wanted) or any(_is_same(parent, wanted) for parent in real.parents)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _real(path: Path) -> Path:
    # Path.resolve raises where links go round in a circle.
    return Path(os.path.realpath(path))
