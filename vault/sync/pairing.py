"""Making a new device a member: a code that one shows and the other reads, six digits that a person carries back.

The code holds the way (a relay with its certificate's pin, or a folder), a slot there, the vault's id, the hash of the
inviter's bundle and of the membership head, and a secret; so the new device knows whose vault it joins before it says
anything. Messages through the slot are sealed under the secret. In turn:

    1  new device    its bundle and name
    2  inviter       its bundle, a commitment to a nonce
    3  new device    a nonce
    4  inviter       its nonce
       both derive six digits from nonces and transcript; a person types those of the new device at the inviter
    5  inviter       the enrolment to be signed
    6  new device    its signature
    7  inviter       the whole chain, how far each device's log goes, the kit's recipient, names

Who photographs the code and stands in between has one guess of a million: the inviter commits to its nonce before it
knows the other's. One wrong digit burns the slot. The new device keeps nothing before message 7 has verified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from vault import crypto, identity, listmaking, membership
from vault.device import Bundle, Device, read_bundle
from vault.errors import DamagedVault, PairingFailed, UsageError
from vault.membership import Member
from vault.moment import Instant
from vault.store import Store
from vault.sync import belonging, log

MAGIC = b"keyferry/pair/1"
PREFIX = "KF1-"
_OTHER = re.compile(r"KF\d+-")
SECONDS = 300
DIGITS = 6


class Channel(Protocol):
    """A slot through which two devices talk in turn; raises ``PairingFailed`` when it is gone or the time is over."""

    def put(self, number: int, data: bytes) -> None: ...
    def get(self, number: int) -> bytes: ...
    def burn(self) -> None: ...


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What the code says."""

    relay: str = ""
    pin: str = ""
    folder: bool = False
    slot: str
    vault: str
    bundle: bytes  # SHA-256 of the inviter's
    head: bytes  # of the membership chain
    secret: bytes

    def __repr__(self) -> str:
        return f"Invitation({self.vault})"

    @property
    def text(self) -> str:
        """The code as it is shown and typed."""
        place = self.relay.encode() if not self.folder else b"folder"
        packed = crypto.packed(
            MAGIC,
            place,
            self.pin.encode(),
            bytes.fromhex(self.slot),
            bytes.fromhex(self.vault),
            self.bundle,
            self.head,
            self.secret,
        )
        check = hashlib.sha256(packed).digest()[:4]
        return PREFIX + base64.urlsafe_b64encode(packed + check).rstrip(b"=").decode()


def read_code(text: str) -> Invitation:
    """Return the invitation of a code, spaces and line breaks ignored; raises ``PairingFailed``."""
    joined = "".join(text.split())
    try:
        if not joined.startswith(PREFIX):
            if _OTHER.match(joined):
                raise _of_other_version()
            raise ValueError("another prefix")
        body = joined.removeprefix(PREFIX)
        data = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        packed, check = data[:-4], data[-4:]
        if hashlib.sha256(packed).digest()[:4] != check:
            raise ValueError("mistyped")
        if not packed.startswith(crypto.packed(MAGIC)) and packed[4:].startswith(MAGIC[:-1]):
            raise _of_other_version()
        magic, place, pin, slot, vault, bundle, head, secret = crypto.unpacked(packed)
        lengths = (len(slot), len(vault), len(bundle), len(head), len(secret))
        if magic != MAGIC or lengths != (16, 16, 32, 32, 16):
            raise ValueError("another version")
        folder = place == b"folder"
        return Invitation(
            relay="" if folder else place.decode("ascii"),
            pin=pin.decode("ascii"),
            folder=folder,
            slot=slot.hex(),
            vault=vault.hex(),
            bundle=bundle,
            head=head,
            secret=secret,
        )
    except (ValueError, binascii.Error):
        raise PairingFailed(
            "that is no pairing code, or a letter of it is wrong", hint="copy the whole line that begins with KF1-"
        ) from None


def _of_other_version() -> PairingFailed:
    return PairingFailed(
        "the pairing code is of another version of Keyferry", hint="update Keyferry on both devices, then begin again"
    )


def invite(store: Store, *, relay: str = "", pin: str = "", slot: str = "", now: Instant) -> Invitation:
    """Return an invitation to this vault, through a relay or (none named) a folder; the vault has a log from here on.

    ``slot`` is the relay's; a folder's is made up. Raises ``DamagedVault``.
    """
    belonging.begin(store, now)
    chain, own = identity.own_chain(store), identity.own_device(store)
    return Invitation(
        relay=relay,
        pin=pin,
        folder=not relay,
        slot=slot or secrets.token_hex(16),
        vault=store.vault_id,
        bundle=hashlib.sha256(own.bundle.packed).digest(),
        head=membership.head_of(chain),
        secret=secrets.token_bytes(16),
    )


class _Talk:
    """Sealed messages in turn, and the transcript both sides hash."""

    def __init__(self, invitation: Invitation, channel: Channel) -> None:
        self._channel, self._slot = channel, bytes.fromhex(invitation.slot)
        self._key = crypto.derive(invitation.secret, "keyferry/pair/1 channel")
        self._transcript = hashlib.sha256(invitation.text.encode())
        self._number = 0

    def say(self, *parts: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._number += 1
        plain, nonce = crypto.packed(*parts), secrets.token_bytes(12)
        sealed = AESGCM(self._key).encrypt(nonce, plain, self._bound())
        self._transcript.update(crypto.packed(plain))
        self._channel.put(self._number, nonce + sealed)

    def hear(self, count: int) -> tuple[bytes, ...]:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._number += 1
        data = self._channel.get(self._number)
        try:
            plain = AESGCM(self._key).decrypt(data[:12], data[12:], self._bound())
            parts = crypto.unpacked(plain)
            if len(parts) != count:
                raise ValueError("another message")
        except (InvalidTag, ValueError):
            self._channel.burn()
            raise PairingFailed(
                "a message of the other device was altered, or it used another code", hint="begin again: device pair"
            ) from None
        self._transcript.update(crypto.packed(plain))
        return parts

    def digits(self, first: bytes, second: bytes) -> str:
        """Return the six digits that stand for everything said so far."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = crypto.packed(b"keyferry/pair/1 digits", self._transcript.copy().digest())
        found = HKDF(algorithm=SHA256(), length=16, salt=None, info=info).derive(first + second)
        return f"{int.from_bytes(found, 'big') % 10**DIGITS:0{DIGITS}d}"

    def _bound(self) -> bytes:
        return crypto.packed(MAGIC, self._slot, self._number.to_bytes(4, "big"))

    def burn(self) -> None:
        self._channel.burn()


class Inviter:
    """The side of the member."""

    def __init__(self, store: Store, invitation: Invitation, channel: Channel) -> None:
        self._store = store
        self._talk = _Talk(invitation, channel)
        self._bundle: Bundle | None = None
        self._digits = ""
        self.name = ""

    def meet(self) -> None:
        """Wait for the new device and agree on six digits with it; raises ``PairingFailed``."""
        packed, name = self._talk.hear(2)
        try:
            self._bundle = read_bundle(packed)
            self.name = name.decode("utf-8")[:64]
        except ValueError:
            raise PairingFailed("the other device sent no keys", hint="begin again: keyferry device pair") from None
        nonce = secrets.token_bytes(32)
        own = identity.own_device(self._store)
        self._talk.say(own.bundle.packed, _commitment(nonce))
        (other,) = self._talk.hear(1)
        self._talk.say(nonce)
        self._digits = self._talk.digits(nonce, other)

    def admit(self, typed: str, now: Instant, publish: Callable[[], object] = lambda: None) -> Member:
        """Enrol the new device if the digits are right; the one miss burns the slot.

        ``publish`` brings the enrolment to the relay or folder before the new device is told to go there. Raises
        ``PairingFailed``, and what ``publish`` raises; the slot is burnt then as well.
        """
        if self._bundle is None or not hmac.compare_digest("".join(typed.split()).encode(), self._digits.encode()):
            self._talk.burn()
            raise PairingFailed(
                "the digits are not those of the other device; nothing was shared",
                hint="begin again: keyferry device pair; if you typed them right, somebody stands in between",
            )
        store, own = self._store, identity.own_device(self._store)
        chain = identity.own_chain(store)
        body, signature = listmaking.propose(chain, self._bundle, by=own.signer, now=now)
        self._talk.say(body, signature)
        (answer,) = self._talk.hear(1)
        added = listmaking.countersigned(body, own.bundle.ed25519, signature, self._bundle.ed25519, answer)
        member = _member_in((*chain, added), self._bundle.device_id)
        if member is None:
            self._talk.burn()
            raise PairingFailed("the other device could not be enrolled", hint="begin again: keyferry device pair")
        with store.transaction():
            belonging.enrol(store, member, added, now)
            self.name = identity.free_name(self.name, identity.device_names(store).values())
            identity.name_device(store, member.device_id, self.name)
        try:
            publish()
        except BaseException:
            self._talk.burn()
            raise
        longer = identity.own_chain(store)
        self._talk.say(crypto.packed(*longer), json.dumps(_parting(store)).encode())
        return member


def _parting(store: Store) -> dict[str, Any]:
    """Return what a new device is told beside the chain."""
    return {
        "name": store.meta("name") or "",
        "kit_recipient": store.meta("kit_recipient") or "",
        "kit_checked_at": store.meta("kit_checked_at") or "",
        "old_kits": store.meta("old_kits") or "[]",
        "names": identity.device_names(store),
        "heads": {device: (head.seq, head.hash.hex()) for device, head in log.heads(store.database).items()},
    }


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What the new device may keep."""

    chain: tuple[bytes, ...]
    name: str
    kit_recipient: str
    kit_checked_at: str
    old_kits: str
    names: dict[str, str]
    heads: dict[str, tuple[int, str]]


class Newcomer:
    """The side of the new device; it keeps nothing."""

    def __init__(self, invitation: Invitation, channel: Channel, device: Device, name: str) -> None:
        self._invitation, self._device, self._name = invitation, device, name
        self._talk = _Talk(invitation, channel)

    def approach(self) -> str:
        """Introduce this device; returns the six digits to be typed at the other. Raises ``PairingFailed``."""
        self._talk.say(self._device.bundle.packed, self._name[:64].encode("utf-8", "replace"))
        packed, commitment = self._talk.hear(2)
        if hashlib.sha256(packed).digest() != self._invitation.bundle:
            self._talk.burn()
            raise PairingFailed("the device that answers is not the one that showed the code", hint="begin again")
        nonce = secrets.token_bytes(32)
        self._talk.say(nonce)
        (opened,) = self._talk.hear(1)
        if not hmac.compare_digest(_commitment(opened), commitment):
            self._talk.burn()
            raise PairingFailed("the other device changed its mind: somebody stands in between", hint="begin again")
        return self._talk.digits(opened, nonce)

    def complete(self) -> Joined:
        """Wait for the enrolment and check it; raises ``PairingFailed``."""
        body, _ = self._talk.hear(2)
        self._talk.say(self._countersigned(body))
        packed, told = self._talk.hear(2)
        chain = self._chain(packed)
        if _member_in(chain, self._device.device_id) is None:
            raise PairingFailed("the enrolment does not hold", hint="begin again: keyferry device pair")
        return _joined(chain, told)

    def _countersigned(self, body: bytes) -> bytes:
        try:
            return listmaking.countersign(body, self._device)
        except UsageError:
            self._talk.burn()
            raise PairingFailed("the other device enrols somebody else", hint="begin again: device pair") from None

    def _chain(self, packed: bytes) -> tuple[bytes, ...]:
        try:
            chain = crypto.unpacked(packed)
            found = membership.read_chain(chain)
        except (ValueError, DamagedVault):
            raise PairingFailed("the vault's list of devices does not hold", hint="begin again") from None
        hashes = {hashlib.sha256(one).digest() for one in chain}
        if found.vault_id != self._invitation.vault or self._invitation.head not in hashes:
            raise PairingFailed("the vault is not the one in the code", hint="begin again: keyferry device pair")
        return chain


def _member_in(chain: tuple[bytes, ...], device_id: str) -> Member | None:
    """Return the member of a chain with this id; None if there is none, or the chain does not hold."""
    try:
        return membership.read_chain(chain).member(device_id)
    except DamagedVault:
        return None


class _OldKit(msgspec.Struct, frozen=True):
    recipient: str
    until: str


def _joined(chain: tuple[bytes, ...], told: bytes) -> Joined:
    """Return what the inviter tells beside the chain, if all of it is of its form; raises ``PairingFailed``."""
    try:
        found = msgspec.convert({**msgspec.json.decode(told, type=dict[str, Any]), "chain": chain}, Joined)
        msgspec.json.decode(found.old_kits, type=list[_OldKit])
        if all(number > 0 and len(bytes.fromhex(hash_)) == 32 for number, hash_ in found.heads.values()):
            return found
    except (ValueError, RecursionError):
        pass
    raise PairingFailed("the other device said something else", hint="begin again")


def _commitment(nonce: bytes) -> bytes:
    return hashlib.sha256(crypto.packed(b"keyferry/pair/1 commitment", nonce)).digest()
