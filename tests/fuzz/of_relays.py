"""Parsers between a device and a relay: bodies, signed requests, the relay as a whole, what a client is answered."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz import ground, mutating
from tests.fuzz.running import Parser, Wrong
from tests.vault.relay.calling import Caller, Clock
from vault import crypto, membership
from vault.device import Device
from vault.errors import ForgedEntry, RelayMisbehaves, RelayUnreachable
from vault.relay import pruning
from vault.relay.app import Relay
from vault.relay.quota import Limits
from vault.relay.sqlite import SqliteStorage
from vault.sync import entry, https, slots, wire
from vault.sync.entry import Head

_NOW = 1_795_000_000_000
_BODIES: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "chain": (wire.read_chain, wire.write_chain),
    "batch": (wire.read_batch, wire.write_batch),
    "page": (wire.read_page, wire.write_page),
    "heads": (wire.read_heads, wire.write_heads),
    "cursor": (wire.read_cursor, wire.write_cursor),
    "hash": (wire.read_hash, wire.write_hash),
}


def parsers() -> Iterable[Parser]:
    """Return them."""
    yield Parser("body", _body, _bodies, (ValueError,))
    yield Parser("request", _request, _requests, (ValueError,), mutating.ON_TEXT)
    yield Parser("relay", _relay, _calls, ())
    yield Parser("pruning", _pruning, _logs, (ForgedEntry,))
    yield Parser("answer", _answer, _answers, (RelayMisbehaves, RelayUnreachable), (*mutating.ON_PACKED, _in_answer))


@cache
def _bodies() -> tuple[bytes, ...]:
    log = ground.log()
    parts = [wire.Part(wire.MEMBER, b"member"), wire.Part(wire.ENTRY, log.entries[0]), wire.Part(wire.ENTRY, b"")]
    arrived = tuple(wire.Arrived(at, one.kind, one.data) for at, one in enumerate(parts, 1))
    heads = tuple(wire.Head(one, 3, bytes(32)) for one in log.publics)
    return (
        wire.write_chain((b"first", b"second")),
        wire.write_batch(parts),
        wire.write_page(wire.Page(3, True, arrived)),
        wire.write_page(wire.Page(0, False, ())),
        wire.write_heads(wire.Heads(bytes(32), 4, heads)),
        wire.write_cursor(7),
        wire.write_hash(bytes(32)),
    )


def _body(data: bytes) -> str:
    took = []
    for name, (read, write) in _BODIES.items():
        try:
            found = read(data)
        except ValueError:
            continue
        if write(found) != data:
            raise Wrong(f"a {name} of two forms")
        took.append(name)
    if not took:
        wire.read_batch(data)
        raise Wrong("a batch that is read the second time")
    return " ".join(took)


# -- signed requests

_TARGET, _CONTENT = "/v1/vaults/0/entries?after=3", b"body"


@cache
def _signed() -> dict[str, str]:
    own, nonce = ground.log().laptop, bytes(range(16))
    said = {"device_id": own.device_id, "now_ms": _NOW, "nonce": nonce}
    return wire.sign_request(own.ed25519, "GET", _TARGET, wire.digest_of(_CONTENT), **said)  # type: ignore[arg-type]


@cache
def _requests() -> tuple[bytes, ...]:
    root = wire.sign_request(
        ground.log().laptop.ed25519, "GET", _TARGET, wire.digest_of(_CONTENT), now_ms=_NOW, nonce=bytes(range(16))
    )
    return tuple("\n".join(f"{name}: {value}" for name, value in one.items()).encode() for one in (_signed(), root))


def _headers(data: bytes) -> dict[str, str]:
    lines = (line.partition(": ") for line in data.decode("latin-1").split("\n"))
    return {name: value for name, _, value in lines}


def _request(data: bytes) -> str:
    found = wire.read_signed(_headers(data))
    if not wire.holds(found, ground.log().laptop.ed25519.public_key(), "GET", _TARGET, wire.digest_of(_CONTENT)):
        return "a signature that does not hold"
    told = _headers(data)
    if (told[wire.TIME], told[wire.NONCE]) != (_signed()[wire.TIME], _signed()[wire.NONCE]):
        raise Wrong("an altered request")
    return "the request"


# -- a relay as a whole


class _Live:
    """A relay with a vault, inside this process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="keyferry-fuzz-")
        most = 1 << 60
        limits = Limits(requests=most, entries=most, refusals=most, vaults=most, slots=most, slot_requests=most)
        self.relay = Relay(
            SqliteStorage(Path(self._folder.name) / "relay.db"), limits=limits, clock=Clock(_NOW / 1000), linger=0
        )
        self.caller = Caller(self.relay, Clock(_NOW / 1000))
        self.caller.open()
        log = ground.log()
        if self.caller.create(log.chain, log.laptop).status != 201:
            raise Wrong("the vault is not taken")


@cache
def _live() -> _Live:
    return _Live()


@cache
def _calls() -> tuple[bytes, ...]:
    """Return requests: how they are signed, method, path, headers, body."""
    log = ground.log()
    vault = f"/v1/vaults/{log.vault}"
    first = [one for one in log.entries if entry.read_header(one).device == log.laptop.device_id]
    batch = wire.write_batch([wire.Part(wire.ENTRY, one) for one in first])
    called = (
        ("POST", "/v1/vaults", wire.write_chain(log.chain)),
        ("POST", f"{vault}/entries", batch),
        ("POST", f"{vault}/entries", wire.write_batch([wire.Part(wire.MEMBER, one) for one in log.chain])),
        ("GET", f"{vault}/entries?after=0&limit=500", b""),
        ("GET", f"{vault}/heads", b""),
        ("GET", f"{vault}/watch?after=1&wait=0", b""),
        ("PUT", f"{vault}/blobs/{wire.digest_of(b'blob').hex()}", b"blob"),
        ("GET", f"{vault}/blobs/{wire.digest_of(b'blob').hex()}", b""),
        ("POST", "/v1/rendezvous", b"hello"),
        ("GET", "/v1/rendezvous/" + "51" * 16, b""),
        ("PUT", "/v1/rendezvous/" + "51" * 16, b"hello"),
        ("DELETE", "/v1/rendezvous/" + "51" * 16, b""),
        ("DELETE", vault, b""),
    )
    packed = [crypto.packed(b"s", method.encode(), target.encode(), b"", body) for method, target, body in called]
    return (*packed, crypto.packed(b"", b"GET", vault.encode(), _requests()[0], b""))


def _relay(data: bytes) -> str:
    signed, method, target, headers, body = (*mutating._unpacked(data), b"", b"", b"", b"", b"")[:5]
    verb, path = method.decode("latin-1"), target.decode("latin-1")
    told = {name: value for name, value in _headers(headers).items() if name}
    live, log = _live(), ground.log()
    if signed == b"s":
        told |= live.caller.headers(log.laptop, verb, path, body)
    try:
        answer = live.caller.call(verb, path, body, told)
    except UnicodeEncodeError:
        return "no request"
    if live.relay.counts.failures or live.relay.committer.failures:
        live.relay.counts.failures = live.relay.committer.failures = 0
        raise Wrong(f"the relay failed at {verb[:10]}")
    if signed != b"s" and answer.status < 300 and not path.startswith(("/v1/rendezvous", "/v1/openapi", "/health")):
        raise Wrong(f"an unsigned request was answered with {answer.status}")
    return f"{answer.status} {answer.word}"


# -- which entries a snapshot stands for, as a relay finds it in headers


@cache
def _logs() -> tuple[bytes, ...]:
    """Return entries of two devices: a snapshot in two parts, what closes it, and what has seen it."""
    log = ground.log()
    laptop, phone = log.laptop, log.phone

    def wrote(device: Device, head: Head | None, kind: bytes, seen: dict[str, Head]) -> tuple[bytes, Head]:
        made = entry.seal(
            device,
            vault=log.vault,
            suite=entry.CLASSIC,
            epoch=1,
            key=log.keys[1],
            head=head,
            membership=membership.head_of(log.chain),
            seen=seen,
            hlc=_NOW << 16,
            kind=kind,
            content=b"{}",
        )
        return made, Head(head.seq + 1 if head else 1, entry.hash_of(made))

    first, theirs = wrote(phone, None, b"op", {})
    own: Head | None = None
    made = []
    for kind in (b"op", b"snap", b"snap", b"beat"):
        one, own = wrote(laptop, own, kind, {phone.device_id: theirs})
        made.append(one)
    assert own is not None
    last, _ = wrote(phone, theirs, b"beat", {laptop.device_id: own})
    return crypto.packed(*made, first, last), crypto.packed(*made[1:], last)


def _pruning(data: bytes) -> str:
    try:
        entries = crypto.unpacked(data)
    except ValueError:
        entries = (data,)
    headers = sorted(map(entry.read_header, entries), key=lambda one: (one.device, one.seq))
    by_hash = {one.hash: body for one, body in zip(map(entry.read_header, entries), entries, strict=True)}
    bodies = [by_hash[one.hash] for one in headers]
    newest = {one.device: by_hash[one.hash] for one in headers}
    found = pruning.droppable(ground.log().chain, bodies, newest.values())
    ends = {one.device: one.seq for one in headers}
    if any(number > ends.get(device.hex(), 0) for device, number in found.items()):
        raise Wrong("more is dropped than there is")
    return f"{len(found)} logs are shorter"


# -- what a client is answered


@cache
def _answers() -> tuple[bytes, ...]:
    slot = b'{"slot": "%b", "seconds": 300}' % (b"51" * 16)
    return (
        crypto.packed(b"slot", b"200", b"etag", slot),
        crypto.packed(b"refused", b"409", b"fork", b""),
        crypto.packed(b"refused", b"429", b"too-many", b"{}"),
    )


def _in_answer(random: mutating.Random, data: bytes, other: bytes) -> bytes:
    found = list(mutating._unpacked(data))
    if not found:
        return mutating.bits(random, data, other)
    found[-1] = mutating.values(random, found[-1] or b"{}", b"[]")
    return crypto.packed(*found)


def _answer(data: bytes) -> str:
    kind, status, word, body = (*mutating._unpacked(data), b"", b"", b"", b"")[:4]
    headers = {wire.ERROR: word.decode("latin-1"), "etag": word.decode("latin-1")}
    code = int(status) if status.isdigit() and len(status) < 5 else 500
    answer = https.Answer(code, headers, body)
    if kind == b"refused":
        https.refused(answer, "relay")
    slot, _ = slots._slot_in(answer)
    if not wire.is_hex(slot, 32):
        raise Wrong("a slot that is none")
    return "a slot"
