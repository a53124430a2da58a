"""What a device and a relay say to each other: signed requests, and bodies of one exact form each.

A request is signed by a device (``Keyferry-Device``) or by the vault's root key (``Keyferry-Root``), over the packed
parts ``keyferry/request/1``, method, path with its query, SHA-256 of the body, time and nonce; both as the texts that
stand in the headers: UNIX milliseconds in decimal, 32 hexadecimal digits. The host is not signed: a proxy may rename
it, and what a request does twice is done once.

Bodies are packed parts (``vault.crypto.packed``), numbers in them big-endian: 8 bytes, 4 for a height.

    chain     the membership entries from the genesis on
    batch     packed(kind, entry) for each, kind ``member`` or ``entry``
    page      cursor, ``1`` if there is more or ``0``, then packed(arrival, kind, entry) for each
    heads     membership head, height, then packed(device id, seq, hash) for each device that wrote
    cursor    8 bytes
    hash      the hash of what stands where the batch wanted to write
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from vault import crypto

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAMESPACE = b"keyferry/request/1"
MEMBER, ENTRY = b"member", b"entry"

MOST_BATCH = 1 << 20
MOST_SINGLE = 1_153_434  # 1.1 MB: an entry that is a batch of its own
MOST_PARTS = 2_000
MOST_CHAIN = 16 << 20
MOST_PAGE_ENTRIES = 500
MOST_PAGE_BYTES = 4 << 20
MOST_BLOB = 64 << 20
MOST_SLOT = 4096
MOST_WAIT = 25
WINDOW_MS = 300_000
SLOT_SECONDS = 300

DEVICE, ROOT, TIME, NONCE, SIGNATURE = (
    "keyferry-device",
    "keyferry-root",
    "keyferry-time",
    "keyferry-nonce",
    "keyferry-signature",
)
INVITE, ERROR, EXPECTED = "keyferry-invite", "keyferry-error", "keyferry-expected"

_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdef")
_MOST_TIME_DIGITS = 15


class Part(msgspec.Struct, frozen=True):
    """One thing of a batch: a membership entry or an entry of a device's log."""

    kind: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """An entry as the relay hands it out; ``number`` tells when it came there."""

    number: int
    kind: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What came behind a cursor, the cursor to go on from, and whether there is more at once."""

    cursor: int
    more: bool
    entries: tuple[Arrived, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a device's log."""

    device_id: str
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Heads:
    """What a relay claims to have: the newest membership entry, how many there are, and each device's head."""

    membership: bytes
    height: int
    devices: tuple[Head, ...]


class Signed(msgspec.Struct, frozen=True):
    """What a request says about its signer; ``device_id`` or ``root`` is empty."""

    device_id: str
    root: bytes
    time_ms: int
    nonce: str
    signature: bytes


def sign_request(
    key: Ed25519PrivateKey, method: str, target: str, digest: bytes, *, device_id: str = "", now_ms: int, nonce: bytes
) -> dict[str, str]:
    """Return the headers of a request to ``target`` (path and query) whose body has this SHA-256.

    ``nonce`` is 16 fresh random bytes. Without a device id the key is the vault's root.
    """
    time, text = str(now_ms), nonce.hex()
    who = {DEVICE: device_id} if device_id else {ROOT: key.public_key().public_bytes_raw().hex()}
    signature = key.sign(_signed_bytes(method, target, digest, time, text))
    return {**who, TIME: time, NONCE: text, SIGNATURE: crypto.to_text(signature)}


def read_signed(headers: Mapping[str, str]) -> Signed:
    """Return what the headers (names in lower case) say about the signer; raises ``ValueError``."""
    device_id, root = headers.get(DEVICE, ""), headers.get(ROOT, "")
    if bool(device_id) == bool(root):
        raise ValueError("a request is signed by a device or by the root")
    time, nonce = headers.get(TIME, ""), headers.get(NONCE, "")
    signature = crypto.from_text(headers.get(SIGNATURE, ""))
    if not _is_time(time) or len(signature) != 64:
        raise ValueError("a request without time or signature")
    if not is_hex(nonce, 32) or not (is_hex(device_id, 32) or is_hex(root, 64)):
        raise ValueError("a request without nonce or signer")
    return Signed(device_id, bytes.fromhex(root), int(time), nonce, signature)


def _is_time(text: str) -> bool:
    """Tell whether the text is the one way to write a number of milliseconds, which is what is signed."""
    is_number = 0 < len(text) <= _MOST_TIME_DIGITS and _DIGITS.issuperset(text)
    return is_number and (text == "0" or text[0] != "0")


def holds(signed: Signed, key: Ed25519PublicKey, method: str, target: str, digest: bytes) -> bool:
    """Tell whether the key signed this request."""
    from cryptography.exceptions import InvalidSignature

    try:
        key.verify(signed.signature, _signed_bytes(method, target, digest, str(signed.time_ms), signed.nonce))
    except InvalidSignature:
        return False
    return True


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 that stands for a body, an empty one as well."""
    return hashlib.sha256(body).digest()


def is_hex(text: str, length: int) -> bool:
    """Tell whether the text is exactly so many hexadecimal digits, in lower case."""
    return len(text) == length and _HEX.issuperset(text)


def write_chain(chain: Sequence[bytes]) -> bytes:
    """Return the body that brings a vault's membership chain to a relay."""
    return crypto.packed(*chain)


def read_chain(body: bytes) -> tuple[bytes, ...]:
    """Return the entries of ``write_chain``; raises ``ValueError``."""
    chain = crypto.unpacked(body)
    if not chain:
        raise ValueError("no entries")
    return chain


def write_batch(parts: Sequence[Part]) -> bytes:
    """Return the body that brings entries to a relay; see ``fits``."""
    return crypto.packed(*(crypto.packed(part.kind, part.data) for part in parts))


def read_batch(body: bytes) -> tuple[Part, ...]:
    """Return the parts of ``write_batch``; raises ``ValueError``."""
    parts = tuple(_part(crypto.unpacked(one)) for one in crypto.unpacked(body))
    if not parts or len(parts) > MOST_PARTS:
        raise ValueError("no entries, or too many")
    return parts


def fits(size: int, count: int) -> bool:
    """Tell whether a relay takes a batch of so many bytes and entries: one may be larger than several together."""
    return size <= (MOST_SINGLE if count == 1 else MOST_BATCH) and count <= MOST_PARTS


def write_page(page: Page) -> bytes:
    """Return the answer to a device that asks what came behind its cursor."""
    entries = (crypto.packed(_u64(one.number), one.kind, one.data) for one in page.entries)
    return crypto.packed(_u64(page.cursor), b"1" if page.more else b"0", *entries)


def read_page(body: bytes) -> Page:
    """Return the page of ``write_page``; raises ``ValueError``."""
    parts = crypto.unpacked(body)
    if len(parts) < 2 or parts[1] not in (b"0", b"1") or len(parts) > 2 + MOST_PAGE_ENTRIES:
        raise ValueError("not a page")
    entries = tuple(_arrived(crypto.unpacked(one)) for one in parts[2:])
    return Page(_number(parts[0], 8), parts[1] == b"1", entries)


def write_heads(heads: Heads) -> bytes:
    """Return the answer to a device that asks what the relay has."""
    devices = (crypto.packed(bytes.fromhex(one.device_id), _u64(one.seq), one.hash) for one in heads.devices)
    return crypto.packed(heads.membership, heads.height.to_bytes(4, "big"), *devices)


def read_heads(body: bytes) -> Heads:
    """Return the heads of ``write_heads``; raises ``ValueError``."""
    parts = crypto.unpacked(body)
    if len(parts) < 2 or len(parts[0]) != 32:
        raise ValueError("not heads")
    return Heads(parts[0], _number(parts[1], 4), tuple(_head(crypto.unpacked(one)) for one in parts[2:]))


def write_cursor(cursor: int) -> bytes:
    """Return the answer to a device that appended or watched."""
    return crypto.packed(_u64(cursor))


def read_cursor(body: bytes) -> int:
    """Return the cursor of ``write_cursor``; raises ``ValueError``."""
    (cursor,) = _of(crypto.unpacked(body), 1)
    return _number(cursor, 8)


def write_hash(existing: bytes) -> bytes:
    """Return the answer to a device whose entry stands in the place of another."""
    return crypto.packed(existing)


def read_hash(body: bytes) -> bytes:
    """Return the hash of ``write_hash``; raises ``ValueError``."""
    (existing,) = _of(crypto.unpacked(body), 1)
    if len(existing) != 32:
        raise ValueError("not a hash")
    return existing


def _signed_bytes(method: str, target: str, digest: bytes, time: str, nonce: str) -> bytes:
    return crypto.packed(NAMESPACE, method.encode(), target.encode(), digest, time.encode(), nonce.encode())


def _part(fields: tuple[bytes, ...]) -> Part:
    kind, data = _of(fields, 2)
    return Part(_kind(kind), data)


def _arrived(fields: tuple[bytes, ...]) -> Arrived:
    number, kind, data = _of(fields, 3)
    return Arrived(_number(number, 8), _kind(kind), data)


def _head(fields: tuple[bytes, ...]) -> Head:
    device, seq, newest = _of(fields, 3)
    if len(device) != 16 or len(newest) != 32:
        raise ValueError("not a head")
    return Head(device.hex(), _number(seq, 8), newest)


def _kind(kind: bytes) -> bytes:
    if kind not in (MEMBER, ENTRY):
        raise ValueError("an unknown kind")
    return kind


def _of(fields: tuple[bytes, ...], count: int) -> tuple[bytes, ...]:
    if len(fields) != count:
        raise ValueError("other parts than expected")
    return fields


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _number(data: bytes, length: int) -> int:
    if len(data) != length:
        raise ValueError("not a number")
    return int.from_bytes(data, "big")
