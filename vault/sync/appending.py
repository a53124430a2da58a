"""Writing the next entry of this device's own log."""

from __future__ import annotations

import msgspec

from vault import identity
from vault.errors import NotSynced, RolledBack
from vault.membership import Membership
from vault.store import Store
from vault.sync import clock, entry, epochs, log
from vault.sync.entry import Header
from vault.sync.log import APPLIED, Stored
from vault.sync.standing import weakest


def check_key(store: Store, found: Membership) -> None:
    """Check that this device has the newest epoch's key; raises ``NotSynced``."""
    key = log.epoch_keys(store).get(len(found.epochs) - 1, b"")
    if epochs.commitment_of(key) != found.epochs[-1].commitment:
        raise NotSynced(
            "the vault's newest key was not brought to this device", hint="keyferry sync doctor; sync again later"
        )


def check_own(store: Store) -> None:
    """Check that all entries of this device that ever arrived are taken in; raises ``RolledBack``.

    Where they are not, its vault is older than what it has written, and an entry of now would stand in the place of
    another.
    """
    if log.has_waiting(store.database, identity.own_device(store).device_id):
        raise _rolled_back()


def _rolled_back() -> RolledBack:
    return RolledBack(
        "others have entries of this device that its vault lacks: it was put back to an older copy; nothing goes out",
        hint="export what only this device has, then join the vault with another home: keyferry device join",
    )


def append(
    store: Store, found: Membership, content: bytes, now_ms: int, *, kind: bytes = b"op", after: int = 0
) -> Header:
    """Write an entry that has seen all that is applied here, and keep it as applied; its time is later than ``after``.

    Inside a transaction, and after ``check_key``. Raises ``NotSynced`` for more than an entry can hold, ``RolledBack``
    if another entry of this device has arrived that stands in its place.
    """
    own, heads, setting = identity.own_device(store), log.heads(store.database), log.setting(store)
    epoch = found.epochs[-1]
    hlc = clock.tick(max(setting.hlc, after), now_ms)
    sealed = entry.seal(
        own,
        vault=found.vault_id,
        suite=weakest(epoch),  # hybrid only if every device got its key that way
        epoch=epoch.number,
        key=log.epoch_keys(store)[epoch.number],
        head=heads.get(own.device_id),
        membership=found.head,
        seen={device: head for device, head in heads.items() if device != own.device_id},
        hlc=hlc,
        kind=kind,
        content=content,
    )
    header = entry.read_header(sealed)
    if log.hash_at(store.database, own.device_id, header.seq) is not None:
        raise _rolled_back()
    log.put(store.database, Stored(own.device_id, header.seq, header.hash, APPLIED, sealed))
    log.write_setting(store, msgspec.structs.replace(setting, hlc=hlc))
    return header
