"""What a device signs for others to read later: the bytes, and the chain that says who may sign.

A statement is packed (``vault.crypto``): ``keyferry/statement/1``, the signature, the public key that made it, then the
entries of the membership chain. What is signed is packed as well: a namespace of its own, then the bytes. The trust
comes from a root public key that the reader brings along, never from the statement.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vault import crypto, membership
from vault.device import Device
from vault.errors import DamagedVault, ForgedSignature

NAMESPACE = b"keyferry/statement/1"


class Signed(msgspec.Struct, frozen=True):
    """Who signed, according to which chain."""

    member: membership.Member
    chain: tuple[bytes, ...]


def sign(device: Device, chain: Sequence[bytes], purpose: bytes, body: bytes) -> bytes:
    """Return the statement of this device about the body; ``purpose`` keeps it apart from all other kinds."""
    signature = device.ed25519.sign(crypto.packed(purpose, body))
    return crypto.packed(NAMESPACE, signature, device.bundle.ed25519, *chain)


def chain_in(statement: bytes) -> tuple[bytes, ...]:
    """Return the chain a statement carries, unchecked; raises ``ForgedSignature`` if it is no statement."""
    return _parts(statement)[2]


def check(statement: bytes, purpose: bytes, body: bytes, roots: Sequence[bytes], own: bytes = b"") -> Signed:
    """Return who signed the body; one of ``roots`` must be the newest root of the chain the statement carries.

    Unless it is signed by the key ``own``, this device's: it may have stood on a list of devices that lost since.
    Raises ``ForgedSignature``: no statement, another root's chain, a signer who is no member, a body that was changed.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signature, key, chain = _parts(statement)
    try:
        found = membership.read_chain(chain)
    except DamagedVault:
        raise ForgedSignature("its list of devices is damaged or forged") from None
    if found.root not in roots and key != own:
        raise ForgedSignature("its devices are signed by another kit")
    signer = next((member for member in found.members if member.bundle.ed25519 == key), None)
    if signer is None:
        gone = any(member.bundle.ed25519 == key for member in found.revoked)
        raise ForgedSignature("it is signed by a revoked device" if gone else "it is signed by a stranger")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, crypto.packed(purpose, body))
    except InvalidSignature:
        raise ForgedSignature("its signature does not hold") from None
    return Signed(signer, chain)


def _parts(statement: bytes) -> tuple[bytes, bytes, tuple[bytes, ...]]:
    try:
        namespace, signature, key, *chain = crypto.unpacked(statement)
    except ValueError:
        namespace, signature, key, chain = b"", b"", b"", []
    if namespace != NAMESPACE or len(key) != 32:
        raise ForgedSignature("it is not signed")
    return signature, key, tuple(chain)
