"""One entry of a device's log: what it changed, sealed for the members and signed by the device.

An entry is packed (``vault.crypto``): header, ciphertext, signature. The header is packed too, in a fixed order:

    namespace ``keyferry/entry/1``, suite (1 byte), vault id (16), epoch (4), device id (16), sequence number (8),
    hash of the device's entry before (32, zeros for the first), hash of the newest membership entry (32),
    seen (56 for each other device, by id: id 16, sequence number 8, hash 32), hybrid time (8: milliseconds << 16 |
    counter), kind (``op``, ``beat``, ``snap``), salt (16), commitment (32), SHA-256 of the ciphertext (32)

Numbers are big-endian. Each entry has a key of its own: HKDF-SHA256 of the epoch key, bound to vault, device, sequence
number and salt; so the nonce of AES-256-GCM is zero. The commitment is another output of the same: a ciphertext that
opens under two keys is refused before it is opened. The header up to the salt is authenticated. The plaintext is its
length (4), itself and zeros: 384 bytes at least, a multiple of 256 up to 4 KB, in steps of a twentieth above.
An entry's hash is the SHA-256 of its bytes. What is signed is packed: ``keyferry/entry-signature/1``, header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from vault import crypto
from vault.device import Device
from vault.errors import ForgedEntry, NotSynced

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NAMESPACE = b"keyferry/entry/1"
_SIGNED = b"keyferry/entry-signature/1"
KINDS = (b"op", b"beat", b"snap")
CLASSIC, HYBRID = 1, 2
MOST_BYTES = 1_100_000  # of an entry
MOST_SEEN = 1024
_NO_HASH = bytes(32)
_PARTS = 14
_LENGTHS = (1, 16, 4, 16, 8, 32, 32, 8, 16, 32, 32)  # of all parts but the namespace, what was seen, and the kind
_AUTHENTICATED = 12  # parts up to the salt
_LEAST, _SMALL, _STEP = 384, 4096, 256  # a changed field takes the least: 1 KB in all, with five devices


class Head(msgspec.Struct, frozen=True):
    """How far a device's log goes: the number and hash of its newest entry."""

    seq: int
    hash: bytes


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry says of itself in clear; ``hash`` is the whole entry's."""

    suite: int
    vault: str
    epoch: int
    device: str
    seq: int
    before: bytes
    membership: bytes
    seen: dict[str, Head]
    hlc: int
    kind: bytes
    salt: bytes
    commitment: bytes
    ciphertext_hash: bytes
    hash: bytes = b""
    signature: bytes = b""
    signed: bytes = b""  # the header's bytes


def seal(
    device: Device,
    *,
    vault: str,
    suite: int,
    epoch: int,
    key: bytes,
    head: Head | None,
    membership: bytes,
    seen: Mapping[str, Head],
    hlc: int,
    kind: bytes,
    content: bytes,
) -> bytes:
    """Return the next entry of this device's log, after ``head``; ``key`` is the epoch's, ``content`` the plaintext.

    Raises ``NotSynced`` for more than an entry can hold.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    seq, before = (head.seq + 1, head.hash) if head is not None else (1, _NO_HASH)
    parts = [
        NAMESPACE,
        bytes([suite]),
        bytes.fromhex(vault),
        epoch.to_bytes(4, "big"),
        bytes.fromhex(device.device_id),
        seq.to_bytes(8, "big"),
        before,
        membership,
        _packed_seen(seen),
        hlc.to_bytes(8, "big"),
        kind,
        secrets.token_bytes(16),
    ]
    sealing, commitment = _keys(key, vault, device.device_id, seq, parts[-1])
    sealed = AESGCM(sealing).encrypt(bytes(12), _padded(content), crypto.packed(*parts))
    header = crypto.packed(*parts, commitment, hashlib.sha256(sealed).digest())
    entry = crypto.packed(header, sealed, device.ed25519.sign(crypto.packed(_SIGNED, header)))
    if len(entry) > MOST_BYTES:
        raise NotSynced(
            "a change is larger than the 1 MB that fits an entry; nothing was sent",
            hint="put a long text into an attachment instead",
        )
    return entry


def read_header(entry: bytes) -> Header:
    """Return the header of an entry; its signature is not checked. Raises ``ForgedEntry`` for what is no entry."""
    try:
        if len(entry) > MOST_BYTES:
            raise ValueError("too long")
        header, sealed, signature = crypto.unpacked(entry)
        parts = crypto.unpacked(header)
        if _is_other(parts):
            raise ForgedEntry("an entry of the log is of another version of Keyferry", hint="update Keyferry")
        found = _header(parts, hash_of(entry), signature, header)
    except ValueError:
        raise _forged("is not built as entries are") from None
    if hashlib.sha256(sealed).digest() != found.ciphertext_hash:
        raise _forged("was altered")
    return found


def is_of_other_version(entry: bytes) -> bool:
    """Tell whether something is built like an entry, in a form of another number than the one known here."""
    try:
        return _is_other(crypto.unpacked(crypto.unpacked(entry)[0]))
    except (ValueError, IndexError):
        return False


def _is_other(parts: tuple[bytes, ...]) -> bool:
    return bool(parts) and parts[0].startswith(NAMESPACE[:-1]) and parts[0] != NAMESPACE


def check_signature(header: Header, public: bytes) -> None:
    """Check that the device with this Ed25519 key signed the entry; raises ``ForgedEntry``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        holds = is_signed(header, Ed25519PublicKey.from_public_bytes(public))
    except ValueError:
        holds = False
    if not holds:
        raise _forged("carries a signature that does not hold")


def is_signed(header: Header, key: Ed25519PublicKey) -> bool:
    """Tell whether the owner of this key signed the entry."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(header.signature, crypto.packed(_SIGNED, header.signed))
    except InvalidSignature:
        return False
    return True


def open_entry(entry: bytes, header: Header, key: bytes) -> bytes:
    """Return the plaintext; the signature must have been checked. Raises ``ForgedEntry``."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealing, commitment = _keys(key, header.vault, header.device, header.seq, header.salt)
    if not hmac.compare_digest(commitment, header.commitment):
        raise _forged("is sealed under another key")
    sealed = crypto.unpacked(entry)[1]
    bound = crypto.packed(*crypto.unpacked(header.signed)[:_AUTHENTICATED])
    try:
        return _unpadded(AESGCM(sealing).decrypt(bytes(12), sealed, bound))
    except (InvalidTag, ValueError):
        raise _forged("does not open") from None


def hash_of(entry: bytes) -> bytes:
    """Return the hash by which other entries name this one."""
    return hashlib.sha256(entry).digest()


def _header(parts: tuple[bytes, ...], hash_: bytes, signature: bytes, signed: bytes) -> Header:
    if len(parts) != _PARTS or parts[0] != NAMESPACE or parts[10] not in KINDS:
        raise ValueError("not a header")
    if (*map(len, parts[1:8]), len(parts[9]), *map(len, parts[11:])) != _LENGTHS:
        raise ValueError("a part of another length")
    number = int.from_bytes(parts[5], "big")
    if number < 1 or parts[1][0] not in (CLASSIC, HYBRID) or (number == 1) != (parts[6] == _NO_HASH):
        raise ValueError("a number out of range")
    seen = _read_seen(parts[8])
    device = parts[4].hex()
    if device in seen:
        raise ValueError("a device that sees itself")
    return Header(
        suite=parts[1][0],
        vault=parts[2].hex(),
        epoch=int.from_bytes(parts[3], "big"),
        device=device,
        seq=number,
        before=parts[6],
        membership=parts[7],
        seen=seen,
        hlc=int.from_bytes(parts[9], "big"),
        kind=parts[10],
        salt=parts[11],
        commitment=parts[12],
        ciphertext_hash=parts[13],
        hash=hash_,
        signature=signature,
        signed=signed,
    )


def _packed_seen(seen: Mapping[str, Head]) -> bytes:
    return b"".join(bytes.fromhex(one) + seen[one].seq.to_bytes(8, "big") + seen[one].hash for one in sorted(seen))


def _read_seen(data: bytes) -> dict[str, Head]:
    if len(data) % 56 or len(data) > 56 * MOST_SEEN:
        raise ValueError("not a list of heads")
    cut = [data[at : at + 56] for at in range(0, len(data), 56)]
    if any(a[:16] >= b[:16] for a, b in pairwise(cut)):
        raise ValueError("heads out of order")
    found = {one[:16].hex(): Head(int.from_bytes(one[16:24], "big"), one[24:]) for one in cut}
    if any(head.seq < 1 for head in found.values()):
        raise ValueError("a head of nothing")
    return found


def _keys(epoch_key: bytes, vault: str, device: str, seq: int, salt: bytes) -> tuple[bytes, bytes]:
    """Return the sealing key and the commitment to it."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    bound = crypto.packed(NAMESPACE, bytes.fromhex(vault), bytes.fromhex(device), seq.to_bytes(8, "big"), salt)
    both = HKDF(algorithm=SHA256(), length=64, salt=None, info=bound).derive(epoch_key)
    return both[:32], both[32:]


def _padded(content: bytes) -> bytes:
    whole = len(content).to_bytes(4, "big") + content
    size = _LEAST if len(whole) <= _LEAST else -(-len(whole) // _STEP) * _STEP
    if size > _SMALL:
        size = _SMALL
        while size < len(whole):
            size += size // 20
    return whole.ljust(size, b"\0")


def _unpadded(padded: bytes) -> bytes:
    length = int.from_bytes(padded[:4], "big")
    content, rest = padded[4 : 4 + length], padded[4 + length :]
    if len(content) != length or _padded(content) != padded or rest.strip(b"\0"):
        raise ValueError("padded in another way")
    return content


def _forged(how: str) -> ForgedEntry:
    return ForgedEntry(f"an entry of the log {how}", hint="keyferry sync doctor")
