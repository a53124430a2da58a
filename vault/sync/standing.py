"""The memberships that entries stand on, the keys they are sealed with, and which of them count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vault import identity, membership
from vault.errors import DamagedVault
from vault.membership import Membership
from vault.store import Store
from vault.sync import belonging, entry, epochs, log
from vault.sync.entry import Header


class Ground:
    """The memberships that entries stand on: the vault's, or one that another has outranked since."""

    def __init__(self, store: Store) -> None:
        self._vault_id, self._own = store.vault_id, identity.own_device(store)
        self._keys, self._lost_keys = log.epoch_keys(store), log.lost_keys(store)
        self.chain = identity.own_chain(store)
        self._numbers = {entry.hash_of(one): at for at, one in enumerate(self.chain)}
        self._strays = {entry.hash_of(one): one for one in log.strays(store.database)}
        self._lost: dict[bytes, Membership | None] = {}
        self._tails: dict[bytes, tuple[bytes, ...]] = {}
        self._opened: dict[bytes, bytes | None] = {}

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
            found = membership.read_chain((*self.chain[: self._numbers[link] + 1], *reversed(tail)))
        except DamagedVault:
            return None
        self._tails[head] = tuple(reversed(tail))
        return found

    def tail(self, header: Header) -> tuple[bytes, ...]:
        """Return the membership entries, in order, on which an entry stands and which the vault's chain lacks."""
        return self._tails.get(header.membership, ()) if self.under(header) is not None else ()

    def key(self, found: Membership, number: int) -> bytes | None:
        """Return the key of an epoch of that membership, None if this device was not given it."""
        if number >= len(found.epochs):
            return None
        epoch = found.epochs[number]
        kept = self._keys.get(number)
        if kept is not None and epochs.commitment_of(kept) == epoch.commitment:
            return kept
        if epoch.commitment in self._lost_keys:
            return self._lost_keys[epoch.commitment][1]
        if epoch.commitment not in self._opened:
            self._opened[epoch.commitment] = belonging.brought(epoch, self._own, self._vault_id)
        return self._opened[epoch.commitment]

    def keep_lost(self, store: Store, header: Header) -> None:
        """Keep the key of an entry that counts if no epoch of the vault's own chain has it."""
        stands = None if header.membership in self._numbers else self.under(header)
        key = self.key(stands[0], header.epoch) if stands is not None else None
        if stands is None or key is None:
            return
        commitment = stands[0].epochs[header.epoch].commitment
        known = {one.commitment for one in belonging.read(self.chain).epochs}
        if commitment not in known and commitment not in self._lost_keys:
            self._lost_keys[commitment] = (header.epoch, key)
            log.keep_lost_key(store, commitment, header.epoch, key)

    def member(self, header: Header) -> membership.Member | None:
        """Return the device of an entry if it belonged to the membership that the entry stands on."""
        stands = self.under(header)
        return stands[0].member(header.device) if stands is not None else None


def key_of(ground: Ground, header: Header) -> bytes:
    """Return the key that an applied entry is sealed with; raises ``DamagedVault``."""
    stands = ground.under(header)
    key = ground.key(stands[0], header.epoch) if stands is not None else None
    if key is None:
        raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore")
    return key


class Counting:
    """Which entries count.

    Those of members; of a revoked device those up to the last that counts; of a *stranger*, who belonged only to a list
    that lost, those that an entry which counts has seen: what a device took in while it could must not part it from
    the others. What snapshots have settled counts for good: of each device up to the number that ``settled`` says.
    """

    def __init__(self, store: Store, settled: Mapping[str, int]) -> None:
        found = belonging.members_of(store)
        self._settled = settled
        self._cuts = {one.device_id: one.last or (0, bytes(32)) for one in found.revoked}
        self._known = {one.device_id for one in found.members} | self._cuts.keys()
        self._strangers: set[str] = set()
        self._told: dict[str, int] = {}
        self.is_untold = False  # an entry of a stranger is applied here, and nobody's last entry has seen it
        if log.has_strays(store.database):
            self._strangers = log.devices(store.database) - self._known
        if self._strangers:
            self._look(store)

    def _look(self, store: Store) -> None:
        heads = log.heads(store.database)
        self._note(one for device in heads if (one := log.get(store.database, device, heads[device].seq)))
        applied = self._strangers & heads.keys()
        self.is_untold = any(self._told.get(one, 0) < heads[one].seq for one in applied)
        self._note(log.waiting(store.database))

    def is_void(self, device: str, seq: int, hash_: bytes) -> bool:
        """Tell whether an entry does not count."""
        if seq <= self._settled.get(device, 0):
            return False
        last = self.last(device)
        return last is not None and (seq > last[0] or (seq == last[0] and last[1] not in (b"", hash_)))

    def last(self, device: str) -> tuple[int, bytes] | None:
        """Return number and hash of the last entry of a device that counts, empty if any does; None where all do."""
        if self.is_stranger(device):
            return self._told.get(device, 0), b""
        return self._cuts.get(device)

    def needed(self, device: str, seq: int, hash_: bytes) -> int:
        """Return how far a log must be applied for an entry that has seen this of it: what is void is left out."""
        if not self.is_void(device, seq, hash_):
            return seq
        last = self.last(device) or (0, b"")
        return min(seq, max(last[0], self._settled.get(device, 0)))

    def is_stranger(self, device: str) -> bool:
        """Tell whether a device whose entries are here belonged only to a list that lost."""
        return device in self._strangers

    def _note(self, entries: Iterable[log.Stored]) -> None:
        """Note how far entries that count have seen strangers."""
        for stored in entries:
            if (
                stored.body
                and stored.device in self._known
                and not self.is_void(stored.device, stored.seq, stored.hash)
            ):
                for device, head in entry.read_header(stored.body).seen.items():
                    if device in self._strangers:
                        self._told[device] = max(self._told.get(device, 0), head.seq)


def floor(found: Membership, entry_number: int) -> int:
    """Return the weakest suite allowed by the epochs up to an entry of the chain; it only rises."""
    suites = [weakest(epoch) for epoch in found.epochs if epoch.entry <= entry_number]
    return min(suites, default=entry.CLASSIC)


def weakest(epoch: membership.Epoch) -> int:
    """Return the weakest suite in which an epoch's key reached a device."""
    suites = [suite for suite, _ in epoch.wraps.values() if suite != membership.KIT_SUITE]
    return min(suites, default=entry.CLASSIC)
