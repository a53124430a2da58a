"""Parsers of what another device wrote: entries of its log, what they hold, snapshots, and wrapped keys.

``entry`` gets what a stranger may alter. ``sealed`` gets what a member may write: whatever it is, it is sealed and
signed as it should be.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import cache

import msgspec

from tests.fuzz import ground, mutating
from tests.fuzz.running import Parser, Wrong
from vault import crypto
from vault.errors import ForgedEntry
from vault.sync import entry, epochs, merge, replaying, settling
from vault.sync.entry import Header

_DEVICE = "0" * 32


def parsers() -> Iterable[Parser]:
    """Return them."""
    yield Parser("entry", _entry, _entries, (ForgedEntry,))
    yield Parser("sealed", _sealed, _insides, (ForgedEntry,))
    yield Parser("ops", _ops, _plain_ops, (ForgedEntry,), mutating.ON_JSON)
    yield Parser("state", _state, ground.states, (ValueError,), mutating.ON_JSON)
    yield Parser("snapshot", _snapshot, _snapshots, (ForgedEntry,), (*mutating.ON_PACKED, _in_part, _in_part, _in_part))
    yield Parser("wrap", _wrap, _wraps, (ForgedEntry,))


@cache
def _entries() -> tuple[bytes, ...]:
    return tuple(one for log in ground.logs() for one in log.entries)


def _entry(data: bytes) -> str:
    header = entry.read_header(data)
    _look_at(header)
    log = next((one for one in ground.logs() if one.vault == header.vault), None)
    if log is None or header.device not in log.publics:
        return "an entry of a stranger"
    entry.check_signature(header, log.publics[header.device])
    if data not in _entries():
        raise Wrong("an altered entry whose signature holds")
    merge.decode_ops(entry.open_entry(data, header, log.keys[header.epoch]))
    return "the entry"


def _look_at(header: Header) -> None:
    """Do with a header what a relay does."""
    closing = msgspec.structs.replace(header, seq=header.seq + 1, kind=b"op")
    found = list(settling.snapshots([header, closing]))
    if len(found) != (header.kind == settling.SNAP):
        raise Wrong("a snapshot that is none, or none that is one")
    settling.cut_of(header)


@cache
def _insides() -> tuple[bytes, ...]:
    """Return the parts of headers up to the salt, and the padded plaintext."""
    log = ground.log()
    found = []
    for data in log.entries:
        header = entry.read_header(data)
        if header.device == log.laptop.device_id:
            plain = entry._padded(log.plain(data))
            found.append(crypto.packed(*crypto.unpacked(header.signed)[:12], plain))
    return tuple(found)


def _sealed(inside: bytes) -> str:
    data, key = _seal(inside)
    header = entry.read_header(data)
    _look_at(header)
    entry.check_signature(header, ground.log().laptop.bundle.ed25519)
    return _ops(entry.open_entry(data, header, key))


def _seal(inside: bytes) -> tuple[bytes, bytes]:
    """Return the entry that a member makes of these parts, and the key of its epoch."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    log = ground.log()
    try:
        *parts, plain = crypto.unpacked(inside)
    except ValueError:
        parts, plain = [], inside
    key, put = log.keys[0], [*parts, *[b""] * 12]
    sealing, commitment = entry._keys(key, put[2].hex(), put[4].hex(), int.from_bytes(put[5][:8], "big"), put[11])
    sealed = AESGCM(sealing).encrypt(bytes(12), plain, crypto.packed(*parts[:12]))
    header = crypto.packed(*parts, commitment, hashlib.sha256(sealed).digest())
    signature = log.laptop.ed25519.sign(crypto.packed(b"keyferry/entry-signature/1", header))
    return crypto.packed(header, sealed, signature), key


@cache
def _plain_ops() -> tuple[bytes, ...]:
    return tuple(ground.log().plain(one) for one in ground.log().entries)


def _ops(plain: bytes) -> str:
    ops = merge.decode_ops(plain)
    for op in ops[:3]:
        thing = None
        for seq, device in ((1, _DEVICE), (2, _DEVICE), (1, "f" * 32)):
            thing = merge.apply(thing, op, device=device, seq=seq, seen={})
            _use(thing)
    return "ops" if ops else "no ops"


def _use(thing: merge.Thing) -> None:
    """Do what is done with a state: show it, keep it, read it again."""
    thing.row()
    thing.losers()
    thing.lost_rows()
    kept = merge.encode(thing)
    if merge.encode(merge.decode(kept)) != kept:
        raise Wrong("a state that reads as another one")


def _state(data: bytes) -> str:
    _use(merge.decode(data))
    return "a state"


@cache
def _snapshots() -> tuple[bytes, ...]:
    states = [msgspec.Raw(one) for one in ground.states()]
    told = replaying.Told(replaying.digest_of([bytes(one) for one in states]), len(states))
    empty = replaying.Told(replaying.digest_of([]), 0)
    whole = msgspec.json.encode(replaying.Part(states, told))
    split = msgspec.json.encode(replaying.Part(states[:1])), msgspec.json.encode(replaying.Part(states[1:], told))
    return (
        crypto.packed(whole),
        crypto.packed(*split),
        crypto.packed(msgspec.json.encode(replaying.Part([], empty))),
    )


def _in_part(random: mutating.Random, data: bytes, other: bytes) -> bytes:
    """Change a part's JSON, and tell its digest as it is then: a member may."""
    found, theirs = list(mutating._unpacked(data)), mutating._unpacked(other)
    if not found or not theirs:
        return mutating.bits(random, data, other)
    at = random.randrange(len(found))
    found[at] = mutating.values(random, found[at] or b"{}", theirs[-1] or b"{}")
    if random.random() < 0.8:
        found[-1] = _told(found)
    return crypto.packed(*found)


def _told(parts: Sequence[bytes]) -> bytes:
    try:
        read = [replaying.read_part(one) for one in parts]
    except ForgedEntry:
        return parts[-1]
    states = [bytes(one) for part in read for one in part.things]
    told = replaying.Told(replaying.digest_of(states), len(states))
    return msgspec.json.encode(replaying.Part(read[-1].things, told))


def _snapshot(data: bytes) -> str:
    try:
        parts = crypto.unpacked(data)
    except ValueError:
        parts = (data,)
    states = replaying.states_of([replaying.read_part(one) for one in parts])
    for one in states:
        _use(merge.decode(one))
    return "a snapshot"


@cache
def _wraps() -> tuple[bytes, ...]:
    """Return wrapped keys of the laptop, behind their suites."""
    from vault import membership

    found = []
    for log in ground.logs():
        for one in membership.read_chain(log.chain).epochs:
            suite, data = one.wraps[log.laptop.device_id]
            found.append(crypto.packed(bytes([suite]), bytes([one.number]), data))
    kit = ground.kit("household")
    return (*found, crypto.packed(b"\x03", b"\0", epochs.wrap_for_kit(ground.log().keys[0], kit.recipient)))


def _wrap(data: bytes) -> str:
    try:
        suite, number, wrapped = crypto.unpacked(data)
    except ValueError:
        suite, number, wrapped = b"\x02", b"\0", data
    log, kind = ground.log(), suite[0] if suite else 0
    if kind == 3:
        key = epochs.unwrap_by_kit(wrapped, ground.kit("household").identity)
    else:
        key = epochs.unwrap(wrapped, log.laptop, vault=log.vault, epoch=number[0] if number else 0, suite=kind)
    if key not in log.keys.values():
        raise Wrong("a key that nobody wrapped")
    return "a key"
