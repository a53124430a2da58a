"""The memberships that entries stand on, the keys they are sealed with, and which of them count."""

from __future__ import annotations

from collections.abc import Mapping

from vault import identity, membership
from vault.errors import DamagedVault
from vault.membership import Membership
from vault.store import Store
from vault.sync import belonging, entry, epochs, log
from vault.sync.entry import Header


class Ground:
    """The memberships that entries stand on: the vault's, or one that another has outranked since.

    ``counted`` is up to which number each device's entries count, whoever is revoked.
    """

    def __init__(self, store: Store, counted: Mapping[str, int]) -> None:
        self._vault_id, self._own = store.vault_id, identity.own_device(store)
        self._keys = log.epoch_keys(store)
        self.chain = identity.own_chain(store)
        self._numbers = {entry.hash_of(one): at for at, one in enumerate(self.chain)}
        self._strays = {entry.hash_of(one): one for one in log.strays(store.database)}
        self._lost: dict[bytes, Membership | None] = {}
        self._opened: dict[bytes, bytes | None] = {}
        self.counted = counted

    def place(self, membership_hash: bytes) -> int | None:
        """Return the number of an entry of the vault's chain, None for one that is not in it."""
        return self._numbers.get(membership_hash)

    def under(self, header: Header) -> tuple[Membership, int] | None:
        """Return the membership in which an entry was written and the number of its newest entry; None if unknown."""
        number = self._numbers.get(header.membership)
        if number is not None:
            return belonging.read(self.chain), number
        if header.membership not in self._lost:
            self._lost[header.membership] = self._rebuilt(header.membership)
        found = self._lost[header.membership]
        return (found, found.height) if found is not None else None

    def _rebuilt(self, head: bytes) -> Membership | None:
        tail: list[bytes] = []
        link: bytes | None = head
        while link is not None and link not in self._numbers:
            one = self._strays.get(link)
            if one is None or len(tail) > membership.MOST_ENTRIES:
                return None
            tail.append(one)
            link = membership.link_of(one)
        if link is None:
            return None
        try:
            return membership.read_chain((*self.chain[: self._numbers[link] + 1], *reversed(tail)))
        except DamagedVault:
            return None

    def key(self, found: Membership, number: int) -> bytes | None:
        """Return the key of an epoch of that membership, None if this device was not given it."""
        if number >= len(found.epochs):
            return None
        epoch = found.epochs[number]
        kept = self._keys.get(number)
        if kept is not None and epochs.commitment_of(kept) == epoch.commitment:
            return kept
        if epoch.commitment not in self._opened:
            self._opened[epoch.commitment] = belonging.brought(epoch, self._own, self._vault_id)
        return self._opened[epoch.commitment]


def key_of(ground: Ground, header: Header) -> bytes:
    """Return the key that an applied entry is sealed with; raises ``DamagedVault``."""
    stands = ground.under(header)
    key = ground.key(stands[0], header.epoch) if stands is not None else None
    if key is None:
        raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore")
    return key


def is_void(found: Membership, device: str, seq: int, hash_: bytes, counted: int) -> bool:
    """Tell whether an entry does not count: its device was revoked, and it is behind or beside the last that counts.

    Of a device that never belonged to the vault, since the list that enrolled it lost, nothing counts. What a snapshot
    has settled counts for good: up to the number ``counted`` of its device.
    """
    cut = last_of(found, device)
    return cut is not None and seq > counted and (seq > cut[0] or (seq == cut[0] and hash_ != cut[1]))


def needed(found: Membership, device: str, seq: int, hash_: bytes, counted: int) -> int:
    """Return how far a device's log must be applied for an entry that has seen this of it: what is void is left out."""
    if not is_void(found, device, seq, hash_, counted):
        return seq
    cut = last_of(found, device)
    return min(seq, max(cut[0] if cut is not None else 0, counted))


def last_of(found: Membership, device: str) -> tuple[int, bytes] | None:
    """Return number and hash of the last entry of a device that counts; None for a member, of whom all do."""
    if found.member(device) is not None:
        return None
    last = next((one.last for one in found.revoked if one.device_id == device), None)
    return last or (0, bytes(32))


def floor(found: Membership, entry_number: int) -> int:
    """Return the weakest suite allowed by the epochs up to an entry of the chain; it only rises."""
    suites = [weakest(epoch) for epoch in found.epochs if epoch.entry <= entry_number]
    return min(suites, default=entry.CLASSIC)


def weakest(epoch: membership.Epoch) -> int:
    """Return the weakest suite in which an epoch's key reached a device."""
    suites = [suite for suite, _ in epoch.wraps.values() if suite != membership.KIT_SUITE]
    return min(suites, default=entry.CLASSIC)
