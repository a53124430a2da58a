"""Where snapshots stand in a log, and when they settle; a relay reads the same from the headers alone.

A snapshot is a run of ``snap`` entries of one device that all name the same ``seen``, closed by the device's next
entry. It says what the entries of its *cut* come to: all that it has seen, and all of its own device before it.

It *settles* when every device that belonged to the vault under the list of devices that it names, and still does, has
seen its end (``is_settled``). From then on what is in its cut counts for good, also of a device that is revoked later,
and nobody needs the single entries any more: a new device begins with the snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from vault.membership import Membership
from vault.sync.entry import Head, Header

SNAP = b"snap"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One snapshot by the numbers of its device's entries: its first and last part, and the entry that closes it."""

    device: str
    first: int
    last: int
    hlc: int
    membership: bytes
    cut: dict[str, Head]

    @property
    def end(self) -> int:
        """The number of the entry that closes it."""
        return self.last + 1


def snapshots(headers: Iterable[Header]) -> Iterator[Snapshot]:
    """Yield the closed snapshots among entries of one device, given in order; a gap ends a run unclosed."""
    run: list[Header] = []
    for header in headers:
        follows = bool(run) and header.seq == run[-1].seq + 1
        if follows and not _goes_on(run[-1], header):
            yield snapshot_of(run)
        if header.kind != SNAP:
            run = []
        elif follows and _goes_on(run[-1], header):
            run.append(header)
        else:
            run = [header]


def cut_of(header: Header) -> dict[str, Head]:
    """Return what the first part of a snapshot stands for: how far each device's log is in it."""
    own = {header.device: Head(header.seq - 1, header.before)} if header.seq > 1 else {}
    return {**header.seen, **own}


class Devices(msgspec.Struct, frozen=True):
    """A vault's devices, for telling whether a snapshot has settled."""

    places: dict[bytes, int]  # number of each membership entry by its hash
    since: dict[str, int]  # number of the entry that enrolled it, of each member
    ends: dict[str, tuple[int, int]]  # of each revoked device the last entry that counts, and what revoked it


def devices_of(chain: Sequence[bytes], found: Membership) -> Devices:
    """Return what is to be known of a vault's devices; ``found`` is what its chain amounts to."""
    hashes = (hashlib.sha256(one).digest() for one in chain)
    return Devices(
        places={hash_: number for number, hash_ in enumerate(hashes)},
        since={one.device_id: one.enrolled_by for one in found.members},
        ends={one.device_id: (one.last[0] if one.last else 0, one.revoked_by or 0) for one in found.revoked},
    )


def is_settled(one: Snapshot, devices: Devices, headers: Mapping[str, Sequence[Header]]) -> bool:
    """Tell whether a snapshot has settled; ``headers`` are the entries of each device, in order.

    Of those the newest are enough, unless a device was revoked whose log goes further in the snapshot than it counts.
    Then all must have seen the snapshot before they knew of that revocation: who revokes honestly has not, and nobody
    takes back by a revocation what he has seen himself.
    """
    place = devices.places.get(one.membership)
    end = min(conflicts(one, devices), default=len(devices.places))
    if place is None or place >= end:
        return False
    needed = [device for device, since in devices.since.items() if since <= place and device != one.device]
    return all(_has_seen(one, headers.get(device, ()), devices, end) for device in needed)


def conflicts(one: Snapshot, devices: Devices) -> list[int]:
    """Return the numbers of the membership entries that revoked a device before what the snapshot has of its log."""
    reach = {device: head.seq for device, head in one.cut.items()} | {one.device: one.end}
    return [number for device, (last, number) in devices.ends.items() if reach.get(device, 0) > last]


def _has_seen(one: Snapshot, headers: Sequence[Header], devices: Devices, end: int) -> bool:
    first = next((each for each in headers if _reach(each, one.device) >= one.end), None)
    return first is not None and devices.places.get(first.membership, end) < end


def _reach(header: Header, device: str) -> int:
    head = header.seen.get(device)
    return head.seq if head is not None else 0


def _goes_on(before: Header, header: Header) -> bool:
    return header.kind == SNAP and header.seen == before.seen


def snapshot_of(run: Sequence[Header]) -> Snapshot:
    """Return the snapshot whose parts these are, from the first to the last that is here."""
    first = run[0]
    return Snapshot(
        device=first.device,
        first=first.seq,
        last=run[-1].seq,
        hlc=first.hlc,
        membership=first.membership,
        cut=cut_of(first),
    )
