"""Taking the log in again from where it begins here, in an order that respects what each entry has seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from vault.errors import DamagedVault, ForgedEntry
from vault.store import Store
from vault.sync import entry, log, merge
from vault.sync.entry import Header
from vault.sync.log import Base
from vault.sync.standing import Counting, Ground, key_of


class Told(msgspec.Struct, frozen=True):
    """What the last part of a snapshot says of it: how many things, and the digest of their states."""

    digest: str
    things: int


class Part(msgspec.Struct, frozen=True):
    """One part of a snapshot: states of things, as ``merge.encode`` gives them, in the order of kind and id."""

    things: list[msgspec.Raw] = []
    snapshot: Told | None = None


_PART = msgspec.json.Decoder(Part)


def in_order(
    store: Store, ground: Ground, counting: Counting, cut: Mapping[str, int] | None = None
) -> Iterator[tuple[Header, list[merge.Op]]]:
    """Yield the applied entries behind the snapshot that the log begins with; of a cut only those in it.

    What an entry has seen and is not here did not count when that was taken in; once it counts and comes, all are taken
    in again. Raises ``ForgedEntry`` for a cut in which an entry has seen what is not.
    """
    headers: dict[str, list[Header]] = {}
    for stored in log.applied(store):
        if cut is None or stored.seq <= cut.get(stored.device, 0):
            headers.setdefault(stored.device, []).append(entry.read_header(stored.body))
    ends = {one: head.seq for one, head in log.heads(store.database).items()} if cut is None else cut
    at = dict(log.begins(store))

    def is_ready(header: Header) -> bool:
        for device, head in header.seen.items():
            number = counting.needed(device, head.seq, head.hash)
            if cut is not None and number > ends.get(device, 0):
                raise ForgedEntry("a snapshot stands for entries that have seen others")
            if at.get(device, 0) < min(number, ends.get(device, 0)):
                return False
        return True

    while any(headers.values()):
        ready = [device for device, waiting in headers.items() if waiting and is_ready(waiting[0])]
        if not ready:
            raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore")
        for device in ready:
            header = headers[device].pop(0)
            found = log.get(store.database, device, header.seq)
            body = found.body if found is not None else b""
            yield header, merge.decode_ops(entry.open_entry(body, header, key_of(ground, header)))
            at[device] = header.seq


def base_states(store: Store, ground: Ground) -> list[bytes]:
    """Return the states of all things in the snapshot that the log begins with; none if it begins at its beginning.

    Raises ``DamagedVault``.
    """
    base = log.setting(store).base
    if base is None:
        return []
    try:
        return states_of(parts(store, ground, base))
    except ForgedEntry:
        raise DamagedVault("the log of this vault is damaged", hint="restore a backup: keyferry restore") from None


def parts(store: Store, ground: Ground, base: Base) -> list[Part]:
    """Return the parts of a snapshot whose entries are here; raises ``ForgedEntry`` for what is none."""
    found = []
    for number in range(base.first, base.last + 1):
        stored = log.get(store.database, base.device, number)
        if stored is None:
            raise ForgedEntry("a part of a snapshot is missing")
        header = entry.read_header(stored.body)
        try:
            found.append(read_part(entry.open_entry(stored.body, header, key_of(ground, header))))
        except DamagedVault:
            raise _unreadable() from None
    return found


def read_part(plain: bytes) -> Part:
    """Return what the plaintext of a part says; raises ``ForgedEntry``."""
    try:
        return _PART.decode(plain)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _unreadable() from None


def states_of(found: list[Part]) -> list[bytes]:
    """Return the states in a snapshot's parts if they are what its last part says; raises ``ForgedEntry``."""
    states = [bytes(one) for part in found for one in part.things]
    told = found[-1].snapshot if found else None
    if told is None or (told.digest, told.things) != (digest_of(states), len(states)):
        raise ForgedEntry("a snapshot of the log does not hold what it says")
    try:
        for one in states:
            merge.decode(one)
    except ValueError:
        raise _unreadable() from None
    return states


def _unreadable() -> ForgedEntry:
    return ForgedEntry("a snapshot of the log cannot be read", hint="update Keyferry")


def digest_of(states: list[bytes]) -> str:
    """Return the digest of states: SHA-256 over each after its length, four bytes; in hexadecimal."""
    import hashlib

    found = hashlib.sha256()
    for one in states:
        found.update(len(one).to_bytes(4, "big"))
        found.update(one)
    return found.hexdigest()
