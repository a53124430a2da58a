"""Parsers of who belongs to a vault: the membership chain, a device's keys, pairing codes and pairing messages."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any
from unittest import mock

from tests.fuzz import ground, mutating
from tests.fuzz.running import Parser, Wrong
from vault import crypto, keys, listmaking, membership
from vault.device import read_bundle
from vault.errors import DamagedVault, ForgedEntry, PairingFailed
from vault.sync import epochs, pairing
from vault.sync.pairing import Invitation, Newcomer


def parsers() -> Iterable[Parser]:
    """Return them."""
    yield Parser("chain", _chain, _chains, (DamagedVault, ValueError))
    yield Parser("member", _member, _bodies, (DamagedVault,))
    yield Parser("link", _link, _members, (ValueError,))
    yield Parser("bundle", _bundle, _bundles, (ValueError, ForgedEntry))
    yield Parser("code", _code, _codes, (PairingFailed,), (*mutating.ON_TEXT, _in_code, _in_code, _in_code, _in_code))
    yield Parser("message", _message, _messages, (PairingFailed,))
    yield Parser("newcomer", _newcomer, _parted, (PairingFailed,), (*mutating.ON_PACKED, _in_told, _in_told, _in_told))
    yield Parser("inviter", _inviter, _met, (PairingFailed,))


# -- the chain


@cache
def _members() -> tuple[bytes, ...]:
    return tuple(one for log in ground.logs() for one in log.chain)


@cache
def _chains() -> tuple[bytes, ...]:
    return tuple(crypto.packed(*log.chain[:end]) for log in ground.logs() for end in (1, 3, len(log.chain)))


def _chain(data: bytes) -> str:
    chain = crypto.unpacked(data)
    found = membership.read_chain(chain)
    if not any(membership.is_prefix(chain, log.chain) for log in ground.logs()):
        raise Wrong("a chain that nobody signed")
    if found.height != len(chain) or found.head != membership.head_of(chain):
        raise Wrong("a chain that is told otherwise")
    return "a chain"


@cache
def _bodies() -> tuple[bytes, ...]:
    """Return bodies of entries that a member may sign, behind a chain in which nobody has an ML-DSA key."""
    log = ground.log()
    key, kit = log.keys[0], ground.kit("household")
    chain = log.chain[:3]
    own = log.laptop
    wraps = {log.phone.device_id: (1, b"RSA"), epochs.kit_id(kit.recipient): (3, b"AGE")}
    made = (
        listmaking.revoke(chain, log.phone.device_id, by=own.signer, now=ground.AT, last=(3, bytes(32))),
        listmaking.begin_epoch(chain, 0, epochs.commitment_of(key), wraps, by=own.signer, now=ground.AT),
        listmaking.bring_lost(chain, 4, epochs.commitment_of(key), wraps, by=own.signer, now=ground.AT),
        listmaking.new_root(chain, kit.classic_root, own, now=ground.AT),
        listmaking.enrol(chain, _guest(), name="guest", by=own.signer, now=ground.AT),
        *chain,
    )
    return tuple(crypto.unpacked(one)[0] for one in made)


@cache
def _guest() -> Any:
    return ground.log("both_signatures").old


def _member(body: bytes) -> str:
    log, kit = ground.log(), ground.kit("household")
    signers = [log.laptop.ed25519]
    parts = mutating._unpacked(body)
    if b"enrol" in parts[1:2]:
        signers.append(_guest().ed25519)
    if b"root" in parts[1:2]:
        signers.insert(0, kit.classic_root.ed25519)
    publics = crypto.packed(*(one.public_key().public_bytes_raw() for one in signers))
    entry = crypto.packed(body, publics, crypto.packed(*(one.sign(body) for one in signers)))
    chain = (*log.chain[:3], entry)
    found = membership.read_chain(chain)
    if not keys.outranks(chain, log.chain[:3]) or membership.link_of(entry) != membership.head_of(log.chain[:3]):
        raise Wrong("a longer chain that is none")
    if not found.members or {one.device_id for one in found.members} & {one.device_id for one in found.revoked}:
        raise Wrong("a device that is a member and is none")
    membership.epoch_in(entry)
    return parts[1].decode("ascii", "replace")


def _link(data: bytes) -> str:
    membership.epoch_in(data)
    found = membership.link_of(data)
    if found is not None and len(found) != 32:
        raise Wrong("a hash of another length")
    return "a first one" if found is None else "a link"


# -- a device's keys


@cache
def _bundles() -> tuple[bytes, ...]:
    return tuple(one.bundle.packed for log in ground.logs() for one in (log.laptop, log.phone, log.old))


@cache
def _rsa_keys() -> frozenset[bytes]:
    return frozenset(read_bundle(one).rsa for one in _bundles())


def _bundle(data: bytes) -> str:
    found = read_bundle(data)
    if found.packed != data:
        raise Wrong("a bundle of two forms")
    if found.rsa in _rsa_keys():
        return "a bundle"
    epochs.wrap(bytes(32), found, vault="0" * 32, epoch=0, suite=1)
    return "a bundle with another RSA key"


# -- pairing


@cache
def _invitations() -> tuple[Invitation, ...]:
    log = ground.log()
    said = {
        "slot": "51" * 16,
        "vault": log.vault,
        "bundle": hashlib.sha256(log.laptop.bundle.packed).digest(),
        "head": membership.head_of(log.chain),
        "secret": bytes(range(16)),
    }
    return Invitation(relay="https://relay.example:8443", pin="c0" * 32, **said), Invitation(folder=True, **said)


@cache
def _codes() -> tuple[bytes, ...]:
    return tuple(one.text.encode() for one in _invitations())


def _in_code(random: mutating.Random, data: bytes, other: bytes) -> bytes:
    """Change a part of the code and its check: whoever shows a code may."""
    import base64

    text = data.decode("ascii", "replace").removeprefix("KF1-")
    with contextlib.suppress(ValueError):
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-4]
        changed = random.choice((mutating.parts, mutating.bits, mutating.length))(random, packed, packed)
        whole = changed + hashlib.sha256(changed).digest()[:4]
        return b"KF1-" + base64.urlsafe_b64encode(whole).rstrip(b"=")
    return mutating.words(random, data, other)


def _code(data: bytes) -> str:
    found = pairing.read_code(data.decode("utf-8", "replace"))
    if pairing.read_code(found.text) != found:
        raise Wrong("a code that reads as another one")
    return "the code" if found in _invitations() else "a code"


class _Slot:
    """A slot that gives what is to be heard."""

    def __init__(self, *heard: bytes) -> None:
        self._heard = list(heard)
        self.is_burnt = False

    def put(self, number: int, data: bytes) -> None:
        """Nothing to do."""

    def get(self, number: int) -> bytes:
        return self._heard.pop(0)

    def burn(self) -> None:
        self.is_burnt = True


class _Ear(_Slot):
    """A slot that keeps what is said."""

    def put(self, number: int, data: bytes) -> None:
        self.said = data


def _sealed(number: int, *parts: bytes) -> bytes:
    """Return a message of this number as the other side seals it."""
    ear = _Ear()
    talk = pairing._Talk(_invitations()[0], ear)
    talk._number = number - 1
    with mock.patch.object(secrets, "token_bytes", lambda size: bytes(range(size))):
        talk.say(*parts)
    return ear.said


@cache
def _messages() -> tuple[bytes, ...]:
    return _sealed(1, b"a bundle", b"a name"), _sealed(1, b"", b""), _sealed(1, b"x" * 2000, b"y")


def _message(data: bytes) -> str:
    slot = _Slot(data)
    try:
        pairing._Talk(_invitations()[0], slot).hear(2)
    except PairingFailed:
        if not slot.is_burnt:
            raise Wrong("a slot that stays after a forged message") from None
        raise
    if data not in _messages():
        raise Wrong("an altered message")
    return "the message"


@cache
def _parted() -> tuple[bytes, ...]:
    """Return what the inviter says at the end: the enrolment, the chain, and what is told beside it."""
    log = ground.log()
    body, signature = listmaking.propose(log.chain, _guest().bundle, by=log.laptop.signer, now=ground.AT)
    answer = listmaking.countersign(body, _guest())
    added = listmaking.countersigned(body, log.laptop.bundle.ed25519, signature, _guest().bundle.ed25519, answer)
    told = {
        "name": "Ada",
        "kit_recipient": ground.kit("household").recipient,
        "kit_checked_at": ground.AT,
        "old_kits": "[]",
        "names": {log.laptop.device_id: "laptop"},
        "heads": {log.laptop.device_id: [3, "00" * 32]},
    }
    return (crypto.packed(body, signature, crypto.packed(*log.chain, added), json.dumps(told).encode()),)


def _in_told(random: mutating.Random, data: bytes, other: bytes) -> bytes:
    found = list(mutating._unpacked(data))
    if not found:
        return mutating.bits(random, data, other)
    found[-1] = mutating.values(random, found[-1] or b"{}", b"[]")
    return crypto.packed(*found)


def _newcomer(data: bytes) -> str:
    parts = [*mutating._unpacked(data), b"", b"", b"", b""]
    slot = _Slot(_sealed(5, *parts[:2]), _sealed(7, *parts[2:4]))
    newcomer = Newcomer(_invitations()[0], slot, _guest(), "guest")
    newcomer._talk._number = 4
    joined = newcomer.complete()
    if joined.chain[: len(ground.log().chain)] != ground.log().chain:
        raise Wrong("another vault than the one in the code")
    for number, hash_ in joined.heads.values():
        if number < 1 or len(bytes.fromhex(hash_)) != 32:
            raise Wrong("a head that is none")
    if not isinstance(json.loads(joined.old_kits), list):
        raise Wrong("old kits that are none")
    return "joined"


@cache
def _met() -> tuple[bytes, ...]:
    return tuple(crypto.packed(one, b"phone") for one in _bundles()[:3])


class _Store:
    """Just enough of a store for the first half of an invitation."""

    def meta(self, name: str) -> str:
        from vault.device import to_text

        return to_text(ground.log().laptop)


def _inviter(data: bytes) -> str:
    parts: Sequence[bytes] = (*mutating._unpacked(data), b"", b"")
    slot = _Slot(_sealed(1, *parts[:2]), _sealed(3, bytes(32)))
    inviter = pairing.Inviter(_Store(), _invitations()[0], slot)  # type: ignore[arg-type]
    inviter.meet()
    if len(inviter.name) > 64:
        raise Wrong("too long a name")
    return "met"
