"""Making the vault that this device was paired with."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from vault import device, listmaking, membership, newkit
from vault.device import Device
from vault.errors import RelayMisbehaves, SyncError, WrongKit
from vault.identity import name_device, write_membership
from vault.keyholders import Holder, choose_holder, named
from vault.kit import Kit
from vault.making import make_vault
from vault.moment import Instant
from vault.rejoining import epoch_keys_of, with_keys
from vault.settings import Settings
from vault.store import Store
from vault.sync import belonging, log, travel
from vault.sync.pairing import Joined
from vault.sync.travel import Transport
from vault.sync.ways import Way

Fill = Callable[[Store], None]


def join_vault(
    home: Path, own: Device, joined: Joined, fill: Fill, *, now: Instant, holder: Holder | None = None
) -> Store:
    """Make, on this device, the empty vault that it was paired with; ``fill`` comes last in the same transaction.

    Raises as ``init_vault``, and what ``fill`` raises; then there is no vault.
    """
    vault_id = membership.vault_id_of(joined.chain)
    key_entry = f"{vault_id}/{own.device_id}"

    def whole(store: Store) -> None:
        store.set_meta("device", device.to_text(own))
        store.set_meta("key_entry", key_entry)
        store.set_meta("kit_recipient", joined.kit_recipient or None)
        store.set_meta("kit_checked_at", joined.kit_checked_at or None)
        store.set_meta("kit_handed_at", now if joined.kit_recipient else None)
        store.set_meta("old_kits", joined.old_kits)
        write_membership(store, joined.chain)
        newkit.accept(store)
        for device_id, name in joined.names.items():
            name_device(store, device_id, name)
        fill(store)

    settings = Settings(vault=vault_id, holder={}, name=joined.name, made_at=now, making=True)
    return make_vault(home, named(holder or choose_holder(home), key_entry), settings, whole)


def begin(store: Store, way: Way, joined: Joined) -> None:
    """Let the fresh vault have a log, and remember how far each device's goes: a relay behind that is refused."""
    log.begin(store)
    belonging.learn_keys(store)
    fresh = msgspec.structs.replace(log.setting(store), relay=way.relay, pin=way.pin, folder=way.folder)
    log.write_setting(store, fresh)
    log.write_place(store, way.title, log.Place(acknowledged=joined.heads))


def rejoin_by_kit(
    home: Path,
    kit: Kit,
    way: Way,
    vault_id: str,
    own: Device,
    name: str,
    *,
    now: Instant,
    holder: Holder | None = None,
) -> Store:
    """Make the vault again from a relay or folder, with nothing but the kit: its root enrols this device.

    Raises ``WrongKit`` if the vault there has another root, ``RelayUnreachable``, ``RelayMisbehaves``.
    """
    from vault.sync import ways

    there = ways.transport_by_root(way, vault_id, kit)
    chain = _chain_there(there, vault_id)
    found = membership.read_chain(chain)
    if not kit.is_root(found.root, found.roots[-1].mldsa65):
        raise WrongKit("the vault there belongs to another kit", hint="use its newest kit")
    longer = (*chain, listmaking.enrol(chain, own, name="", by=kit.root_among(found.root_publics), now=now))
    longer = with_keys(longer, epoch_keys_of(chain, kit), own, now)
    enrolled = longer[len(chain) :]
    there.push([(travel.MEMBER, one) for one in enrolled])
    _check_shown(there, enrolled)
    joined = Joined(
        chain=longer,
        name="",
        kit_recipient=kit.recipient,
        kit_checked_at=now,
        old_kits="[]",
        names={own.device_id: name},
        heads={},
    )

    def fill(store: Store) -> None:
        begin(store, way, joined)
        belonging.learn_lost_by_kit(store, kit)

    return join_vault(home, own, joined, fill, now=now, holder=holder)


def _check_shown(there: Transport, enrolled: Sequence[bytes]) -> None:
    """Check that a relay or folder shows what it was given; raises ``RelayMisbehaves``.

    One that gives no answer now may have it: then the vault is made, and its first round tells.
    """
    last = enrolled[-1]
    try:
        is_shown = there.heads().membership == hashlib.sha256(last).digest() or last in _members_there(there)
    except SyncError:
        return
    if not is_shown:
        raise RelayMisbehaves(
            f"the {there.name} has taken the enrolment of this device and does not show it; no vault was made here",
            hint="try again; if it stays so, through a folder or another relay",
        )


def _chain_there(there: Transport, vault_id: str) -> tuple[bytes, ...]:
    """Return the chain a relay or folder has; raises ``RelayMisbehaves``."""
    if not there.exists():
        raise RelayMisbehaves(f"the {there.name} does not know this vault", hint="check the vault id and the address")
    members = _members_there(there)
    first = next((one for one in members if membership.vault_id_of([one]) == vault_id), b"")
    if not first:
        raise RelayMisbehaves(f"the {there.name} does not show how this vault began", hint="try another way")
    return belonging.grown((first,), members)


def _members_there(there: Transport) -> list[bytes]:
    """Return all membership entries that a relay or folder gives."""
    members: list[bytes] = []
    cursors: set[str] = set()
    cursor, more = "", True
    while more:
        cursors.add(cursor)
        page = there.pull(cursor)
        members += [data for kind, data in page.messages if kind == travel.MEMBER]
        cursor, more = page.cursor, page.more and page.cursor not in cursors and bool(page.messages)
    return members
