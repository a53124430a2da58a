"""Which devices belong to the vault, and who brings them the keys of its epochs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from vault import identity, listmaking, membership, moment, seniority
from vault.device import Device
from vault.errors import DamagedVault, ForgedEntry, NotSynced
from vault.kit import Kit
from vault.membership import Membership
from vault.store import Store
from vault.sync import entry, epochs, log


@lru_cache(maxsize=8)
def read(chain: tuple[bytes, ...]) -> Membership:
    """Return what a chain amounts to; raises ``DamagedVault``."""
    return membership.read_chain(chain)


def begin(store: Store, now: moment.Instant) -> None:
    """Let this vault have a log from now on: its first epoch, its key wrapped for every member.

    Does nothing if it has one. Raises ``DamagedVault``.
    """
    with store.transaction():
        log.begin(store)
        chain = identity.own_chain(store)
        if not membership.read_chain(chain).epochs:
            new_epoch(store, chain, now)


def new_epoch(store: Store, chain: Sequence[bytes], now: moment.Instant) -> tuple[bytes, ...]:
    """Add an epoch to the chain whose key goes to every present member, and keep both."""
    found = membership.read_chain(chain)
    key, number = epochs.new_epoch_key(), len(found.epochs)
    wraps = _wraps(found, key, number, [member.device_id for member in found.members])
    wraps |= _for_kit(store, key)
    own = identity.own_device(store)
    added = listmaking.begin_epoch(chain, number, epochs.commitment_of(key), wraps, by=own.signer, now=now)
    longer = (*chain, added)
    identity.write_membership(store, longer)
    log.keep_epoch_key(store, number, key)
    return longer


def _wraps(found: Membership, key: bytes, number: int, devices: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    wraps = {}
    for device_id in devices:
        member = found.member(device_id)
        if member is not None:
            suite = epochs.best_suite(member.bundle)
            data = epochs.wrap(key, member.bundle, vault=found.vault_id, epoch=number, suite=suite)
            wraps[device_id] = (suite, data)
    return wraps


def _for_kit(store: Store, key: bytes) -> dict[str, tuple[int, bytes]]:
    recipient = store.meta("kit_recipient")
    if not recipient:
        return {}
    return {epochs.kit_id(recipient): (membership.KIT_SUITE, epochs.wrap_for_kit(key, recipient))}


def seal_to_kit(store: Store, now: moment.Instant) -> None:
    """Bring the keys of all epochs to the present kit, where they are not sealed to it yet; inside a transaction."""
    recipient, own = store.meta("kit_recipient"), identity.own_device(store)
    if not recipient or not own.signer.can_sign:
        return
    for number, key in sorted(log.epoch_keys(store).items()):
        chain = identity.own_chain(store)
        found = read(chain)
        if number < len(found.epochs) and epochs.kit_id(recipient) not in found.epochs[number].wraps:
            commitment = epochs.commitment_of(key)
            added = listmaking.begin_epoch(chain, number, commitment, _for_kit(store, key), by=own.signer, now=now)
            identity.write_membership(store, (*chain, added))


def enrol(store: Store, bundle_owner: membership.Member, added: bytes, now: moment.Instant) -> tuple[bytes, ...]:
    """Take the enrolment of a device into the chain and bring it the keys of all epochs; returns the longer chain."""
    with store.transaction():
        chain = (*identity.own_chain(store), added)
        own = identity.own_device(store)
        for number, key in sorted(log.epoch_keys(store).items()):
            found = membership.read_chain(chain)
            wraps = _wraps(found, key, number, [bundle_owner.device_id])
            commitment = epochs.commitment_of(key)
            chain = (*chain, listmaking.begin_epoch(chain, number, commitment, wraps, by=own.signer, now=now))
        identity.write_membership(store, chain)
    return chain


def bring_lost(store: Store, now: moment.Instant) -> None:
    """Bring the keys of lists that lost, as far as entries count that are sealed with them, to members that lack them.

    And to the kit, so that what was written there is not lost with the devices. Inside a transaction.
    """
    own = identity.own_device(store)
    for commitment, (number, key) in sorted(log.lost_keys(store).items()):
        chain = identity.own_chain(store)
        found = read(chain)
        if any(one.commitment == commitment for one in found.epochs) or not own.signer.can_sign:
            continue
        has = {device for one in found.lost if one.commitment == commitment for device in one.wraps}
        to_kit = {one: wrap for one, wrap in _for_kit(store, key).items() if one not in has}
        has |= _had(store, commitment)
        lacking = [member.device_id for member in found.members if member.device_id not in has]
        wraps = _wraps(found, key, number, lacking) | to_kit
        if wraps:
            added = listmaking.bring_lost(chain, number, commitment, wraps, by=own.signer, now=now)
            identity.write_membership(store, (*chain, added))


def _had(store: Store, commitment: bytes) -> set[str]:
    """Return the devices to which the list that lost brought the key of its epoch itself."""
    brought = (membership.epoch_in(one) for one in log.strays(store.database))
    return {device for one in brought if one is not None and one.commitment == commitment for device in one.wraps}


def learn_lost_by_kit(store: Store, kit: Kit) -> None:
    """Unwrap the keys of lists that lost which were brought to the kit; inside a transaction."""
    for epoch in members_of(store).lost:
        wrapped = epoch.wraps.get(epochs.kit_id(kit.recipient))
        if wrapped is not None and epoch.commitment not in log.lost_keys(store):
            key = epochs.unwrap_by_kit(wrapped[1], kit.identity)
            if epochs.commitment_of(key) == epoch.commitment:
                log.keep_lost_key(store, epoch.commitment, epoch.number, key)


def enrol_anew(store: Store, kit: Kit, now: moment.Instant) -> None:
    """Let the kit's root enrol this device if the chain does not have it. Raises ``WrongKit``, ``UsageError``."""
    with store.transaction():
        chain, own = identity.own_chain(store), identity.own_device(store)
        if read(chain).member(own.device_id) is not None:
            return
        chain = (*chain, listmaking.enrol(chain, own, name="", by=kit.root_among(read(chain).root_publics), now=now))
        found = read(chain)
        for epoch in found.epochs:
            wrapped = epoch.wraps.get(epochs.kit_id(kit.recipient))
            if wrapped is None:
                continue
            key = epochs.unwrap_by_kit(wrapped[1], kit.identity)
            if epochs.commitment_of(key) != epoch.commitment:
                continue
            log.keep_epoch_key(store, epoch.number, key)
            wraps = _wraps(read(chain), key, epoch.number, [own.device_id])
            added = listmaking.begin_epoch(chain, epoch.number, epoch.commitment, wraps, by=own.signer, now=now)
            chain = (*chain, added)
        identity.write_membership(store, chain)
        learn_lost_by_kit(store, kit)


def revoke(store: Store, device_id: str, now: moment.Instant, *, kit: Kit | None = None) -> tuple[bytes, ...]:
    """End a device's membership as of what is applied here, begin a new epoch without it; returns the longer chain.

    Signed by the kit's root, nobody can outrank it; signed by this device, one that was enrolled earlier can.
    """
    with store.transaction():
        chain = identity.own_chain(store)
        own = identity.own_device(store)
        last = log.heads(store.database).get(device_id) if log.is_on(store) else None
        upto = (last.seq, last.hash) if last is not None else (0, bytes(32))
        counted = upto if log.is_on(store) else None
        by = kit.root_among(read(chain).root_publics) if kit is not None else own.signer
        chain = (*chain, listmaking.revoke(chain, device_id, by=by, now=now, last=counted))
        identity.write_membership(store, chain)
        if log.is_on(store):
            chain = new_epoch(store, chain, now)
    return chain


def members_of(store: Store) -> Membership:
    """Return what this vault's membership chain amounts to."""
    return read(identity.own_chain(store))


def is_member(store: Store) -> bool:
    """Tell whether this device belongs to the vault."""
    return members_of(store).member(identity.own_device(store).device_id) is not None


def check_member(store: Store) -> None:
    """Check that this device belongs to the vault; raises ``NotSynced`` if it was revoked."""
    own = identity.own_device(store).device_id
    for one in members_of(store).revoked:
        if one.device_id == own:
            raise NotSynced(
                f"this device was revoked on {(one.until or '')[:10]}; its vault stays as it is, nothing goes out",
                hint="keyferry device join, in a new home, makes it a new device of the vault",
            )
    if not is_member(store):
        raise NotSynced(
            "this device does not belong to the vault: its devices changed since the backup this one came from",
            hint="keyferry sync --kit FILE enrols it anew",
        )


def grown(chain: tuple[bytes, ...], strays: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the chain that stands above all that can be built of it and the strays."""
    best = chain
    known = {entry.hash_of(one): at for at, one in enumerate(chain)}
    by_link: dict[bytes, list[bytes]] = {}
    for one in strays:
        link = membership.link_of(one)
        if link is not None:
            by_link.setdefault(link, []).append(one)
    starts = [
        (chain[: known[link] + 1], one)
        for link, ones in by_link.items()
        if link in known
        for one in ones
        if entry.hash_of(one) not in known
    ]
    while starts:
        begun, one = starts.pop()
        longer = (*begun, one)
        try:
            membership.read_chain(longer)
        except DamagedVault:
            continue
        if seniority.outranks(longer, best):
            best = longer
        starts += [(longer, after) for after in by_link.get(entry.hash_of(one), [])]
    return best


def learn_keys(store: Store) -> None:
    """Unwrap the keys of epochs that were brought to this device, those of lists that lost included."""
    found = members_of(store)
    known, lost = log.epoch_keys(store), log.lost_keys(store)
    own = identity.own_device(store)
    for epoch in found.lost:
        key = brought(epoch, own, store.vault_id) if epoch.commitment not in lost else None
        if key is not None:
            log.keep_lost_key(store, epoch.commitment, epoch.number, key)
    for epoch in found.epochs:
        if epoch.number in known and epochs.commitment_of(known[epoch.number]) == epoch.commitment:
            continue
        key = brought(epoch, own, store.vault_id)
        if key is not None:
            log.keep_epoch_key(store, epoch.number, key)


def brought(epoch: membership.Epoch, own: Device, vault_id: str) -> bytes | None:
    """Return the key that an epoch brings to this device, None if it brings none or another than it promised."""
    wrapped = epoch.wraps.get(own.device_id)
    if wrapped is None:
        return None
    try:
        key = epochs.unwrap(wrapped[1], own, vault=vault_id, epoch=epoch.number, suite=wrapped[0])
    except ForgedEntry:
        return None
    return key if epochs.commitment_of(key) == epoch.commitment else None
