"""Writing the next entry of this device's own log."""

from __future__ import annotations

import msgspec

from vault import identity
from vault.errors import NotSynced
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


def append(
    store: Store, found: Membership, content: bytes, now_ms: int, *, kind: bytes = b"op", after: int = 0
) -> Header:
    """Write an entry that has seen all that is applied here, and keep it as applied; its time is later than ``after``.

    Inside a transaction, and after ``check_key``. Raises ``NotSynced`` for more than an entry can hold.
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
    log.put(store.database, Stored(own.device_id, header.seq, header.hash, APPLIED, sealed))
    log.write_setting(store, msgspec.structs.replace(setting, hlc=hlc))
    return header
