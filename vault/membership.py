"""Who may write: a chain of signed entries that begins with the kit's root key and the first device.

An entry is three packed parts: body, signer keys, signatures. A body is packed too, in a fixed order:

    genesis   namespace, "genesis", made-at, root public key, device name, device bundle
              signed by the root and the device
    root      namespace, "root", made-at, vault id, hash of the entry before, old root public key, new root public key
              signed by the new root and a device

An entry's hash is the SHA-256 of its bytes; the vault id is the first 16 bytes of the genesis entry's hash, so it
stands for exactly this root and this device. The signed bytes are the body; its namespace keeps signatures of other
kinds apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vault import crypto
from vault.device import Bundle, Device, read_bundle
from vault.errors import DamagedVault, WrongKit
from vault.moment import Instant

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NAMESPACE = b"keyferry/membership/1"
NAME_CHARS = 64


@dataclass(frozen=True)
class Member:
    """A device that may sign for the vault."""

    device_id: str
    name: str
    bundle: Bundle
    since: Instant


@dataclass
class _State:
    """What the entries read so far amount to."""

    vault_id: str
    head: bytes
    root: bytes
    members: dict[str, Member]


def genesis(root: Ed25519PrivateKey, device: Device, *, name: str, now: Instant) -> bytes:
    """Return the first entry: the root certifies the first device."""
    body = crypto.packed(
        NAMESPACE,
        b"genesis",
        now.encode(),
        root.public_key().public_bytes_raw(),
        name[:NAME_CHARS].encode("utf-8", "replace"),
        device.bundle.packed,
    )
    return _signed(body, root, device.ed25519)


def new_root(chain: Sequence[bytes], root: Ed25519PrivateKey, device: Device, *, now: Instant) -> bytes:
    """Return the entry that puts a new root in the place of the old one; both new root and device sign it."""
    state = _read(chain)
    body = crypto.packed(
        NAMESPACE,
        b"root",
        now.encode(),
        bytes.fromhex(state.vault_id),
        state.head,
        state.root,
        root.public_key().public_bytes_raw(),
    )
    return _signed(body, root, device.ed25519)


def vault_id_of(chain: Sequence[bytes]) -> str:
    """Return the vault id the chain's first entry stands for, 32 hexadecimal digits."""
    return hashlib.sha256(chain[0]).digest()[:16].hex()


def head_of(chain: Sequence[bytes]) -> bytes:
    """Return the hash of the newest entry."""
    return hashlib.sha256(chain[-1]).digest()


def verify_membership(chain: Sequence[bytes], root_public: bytes) -> tuple[Member, ...]:
    """Return the members after checking every signature and link, oldest first.

    The trust comes from ``root_public`` alone, which must be the newest root of the chain. Raises ``WrongKit`` if it is
    another one, ``DamagedVault`` if anything in the chain does not hold.
    """
    state = _read(chain)
    if state.root != root_public:
        raise WrongKit("the vault's devices are signed by another kit", hint="use the newest kit of this vault")
    return tuple(state.members.values())


def _read(chain: Sequence[bytes]) -> _State:
    try:
        if not chain:
            raise ValueError("no entries")
        state = _first(chain[0])
        for entry in chain[1:]:
            _take(state, entry)
    except ValueError:
        raise DamagedVault("the vault's list of devices is damaged or forged", hint="restore a backup") from None
    return state


def _first(entry: bytes) -> _State:
    body, signers = _opened(entry)
    kind, made_at, root, name, packed = _fields(body, 5)
    bundle = read_bundle(packed)
    if kind != b"genesis" or signers != (root, bundle.ed25519):
        raise ValueError("not a first entry")
    member = Member(bundle.device_id, name.decode("utf-8", "replace"), bundle, made_at.decode("ascii"))
    return _State(vault_id_of([entry]), hashlib.sha256(entry).digest(), root, {member.device_id: member})


def _take(state: _State, entry: bytes) -> None:
    body, signers = _opened(entry)
    kind, _, vault_id, before, old, new = _fields(body, 6)
    if kind != b"root" or vault_id.hex() != state.vault_id or before != state.head or old != state.root:
        raise ValueError("an entry that does not follow")
    members = {member.bundle.ed25519 for member in state.members.values()}
    if len(signers) != 2 or signers[0] != new or signers[1] not in members:
        raise ValueError("an entry signed by a stranger")
    state.root = new
    state.head = hashlib.sha256(entry).digest()


def _fields(body: bytes, count: int) -> tuple[bytes, ...]:
    namespace, *fields = crypto.unpacked(body) or (b"",)
    if namespace != NAMESPACE or len(fields) != count:
        raise ValueError("an unknown entry")
    return tuple(fields)


def _signed(body: bytes, *keys: Ed25519PrivateKey) -> bytes:
    signers = crypto.packed(*(key.public_key().public_bytes_raw() for key in keys))
    return crypto.packed(body, signers, crypto.packed(*(key.sign(body) for key in keys)))


def _opened(entry: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """Return body and signers of an entry whose signatures all hold."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    parts = crypto.unpacked(entry)
    if len(parts) != 3:
        raise ValueError("not an entry")
    body, signers, signatures = parts[0], crypto.unpacked(parts[1]), crypto.unpacked(parts[2])
    if len(signers) != len(signatures):
        raise ValueError("a signature is missing")
    for signer, signature in zip(signers, signatures, strict=True):
        try:
            Ed25519PublicKey.from_public_bytes(signer).verify(signature, body)
        except InvalidSignature:
            raise ValueError("a signature does not hold") from None
    return body, signers
