"""What a relay says that it has, or must have, and does not give.

It may keep things back, and nobody can prevent that; where what it gives shows that there is more, people are told.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, partial

from vault import identity
from vault.store import Store
from vault.sync import belonging, entry, log, snapshots
from vault.sync.received import Finding
from vault.sync.standing import Counting, Ground
from vault.sync.travel import Heads

_HINT = "sync through a folder or another relay, or ask its owner"


def findings(store: Store, place: str, heads: Heads) -> list[Finding]:
    """Return what a place that showed these heads keeps back, after everything it gives was taken in."""
    told = [f"the {place} has entries of {name} and does not give them whole" for name in _promised(store, heads)]
    if _is_new_list(store, heads):
        told.append(f"the {place} has changes of this vault's devices and does not give them")
    if _is_empty(store):
        told.append(f"the {place} shows no entry of any other device")
    seen, standing = _needed(store, heads)
    told += [f"others have seen entries of {name} that the {place} does not give" for name in seen]
    told += [f"entries of {name} stand on a list of devices that the {place} does not give" for name in standing]
    return [Finding("withheld", text, _HINT) for text in told]


def _promised(store: Store, heads: Heads) -> list[str]:
    """Return the names of members of which a place says that it has entries that did not come."""
    members = {one.device_id for one in belonging.members_of(store).members}
    short = (one for one, head in heads.devices.items() if one in members and not _is_whole(store, one, heads))
    return _named(store, short)


def _is_whole(store: Store, device: str, heads: Heads) -> bool:
    """Tell whether a device's log is here as far as a place says, and ends there with the entry that it says."""
    head = heads.devices[device]
    return log.upto(store, device) >= head.seq and log.hash_at(store.database, device, head.seq) in (None, head.hash)


def _is_new_list(store: Store, heads: Heads) -> bool:
    """Tell whether a place has a newest membership entry that is not here."""
    chain = {entry.hash_of(one) for one in identity.own_chain(store)}
    is_here = heads.membership in chain or log.has_stray(store.database, heads.membership)
    return bool(heads.membership) and not is_here


def _is_empty(store: Store) -> bool:
    """Tell whether nothing of any other device is here, though the vault was synced before this one joined."""
    own, found = identity.own_device(store).device_id, belonging.members_of(store)
    member = found.member(own)
    is_later = member is not None and bool(found.epochs) and found.epochs[0].entry < member.enrolled_by
    return is_later and not log.devices(store.database) - {own}


def _needed(store: Store, heads: Heads) -> tuple[list[str], list[str]]:
    """Return the names of devices whose entries others have seen and are not here, and of those that lack a list.

    Without those that the heads tell of already.
    """
    waiting = log.waiting(store.database)
    if not waiting:
        return [], []
    ground, counting = Ground(store), Counting(store, snapshots.settled_numbers(store))
    upto = cache(partial(log.upto, store))
    told = {one for one in heads.devices if not _is_whole(store, one, heads)}
    seen, standing = [], []
    for header in (entry.read_header(stored.body) for stored in waiting):
        if ground.under(header) is None:
            standing.append(header.device)
        for device, head in header.seen.items():
            if device not in told and upto(device) < counting.needed(device, head.seq, head.hash):
                seen.append(device)
    return _named(store, seen), _named(store, standing)


def _named(store: Store, devices: Iterable[str]) -> list[str]:
    names = identity.device_names(store)
    return [names.get(one, one[:8]) for one in dict.fromkeys(devices)]
