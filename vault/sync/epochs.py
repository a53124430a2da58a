"""The keys of epochs, wrapped for each device: who is a member reads what is written, until a new epoch leaves him out.

Suite 1 (classic): RSA-2048-OAEP with SHA-256 wraps the 256-bit epoch key. Suite 2 (hybrid): OAEP carries one random
share, HPKE over X25519 and ML-KEM-768 another; HKDF-SHA256 of both, bound to the same context, wraps the key by
AES-256-GCM. It is safe while either stands. The OAEP label, the HPKE info and the HKDF info are the context:
packed (``keyferry/wrap/1``, vault id, epoch (4), device id).
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from vault import crypto
from vault.device import Bundle, Device
from vault.errors import ForgedEntry

NAMESPACE = b"keyferry/wrap/1"
CLASSIC, HYBRID = 1, 2
_OAEP_BYTES = 256


def new_epoch_key() -> bytes:
    """Return 32 random bytes."""
    return crypto.new_key()


def commitment_of(key: bytes) -> bytes:
    """Return what an epoch's entry says of its key: SHA-256 of a namespace and the key."""
    return hashlib.sha256(b"keyferry/epoch/1" + key).digest()


def best_suite(bundle: Bundle) -> int:
    """Return the strongest suite that this device and this library can use."""
    return HYBRID if bundle.mlkem768 and _has_hybrid() else CLASSIC


def wrap(key: bytes, bundle: Bundle, *, vault: str, epoch: int, suite: int) -> bytes:
    """Return the epoch key wrapped for the device; raises ``ForgedEntry`` for one whose keys are none."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return _wrapped(key, bundle, _context(vault, epoch, bundle.device_id), suite)
    except (ValueError, UnsupportedAlgorithm):
        raise ForgedEntry(
            f"the device {bundle.device_id[:8]} has no usable keys", hint="keyferry device revoke leaves it out"
        ) from None


def _wrapped(key: bytes, bundle: Bundle, context: bytes, suite: int) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if suite == CLASSIC:
        return _oaep(bundle, key, context)
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    carried = _hpke().encrypt(second, _hybrid_public(bundle), info=context)
    sealed = AESGCM(_joined(first, second, context)).encrypt(bytes(12), key, context)
    return crypto.packed(_oaep(bundle, first, context), carried, sealed)


def kit_id(recipient: str) -> str:
    """Return the id under which an epoch's key is kept for a kit."""
    return hashlib.sha256(recipient.encode()).digest()[:16].hex()


def wrap_for_kit(key: bytes, recipient: str) -> bytes:
    """Return the epoch key as an age file for the kit, so that it can join when all devices are lost."""
    import pyrage

    return bytes(pyrage.encrypt(key, [pyrage.x25519.Recipient.from_str(recipient)]))


def unwrap_by_kit(data: bytes, identity: str) -> bytes:
    """Return the epoch key; raises ``ForgedEntry``."""
    import pyrage

    try:
        return _whole(bytes(pyrage.decrypt(data, [pyrage.x25519.Identity.from_str(identity)])))
    except (pyrage.DecryptError, ValueError):
        raise ForgedEntry("the key of an epoch is not sealed to this kit", hint="use the newest kit") from None


def unwrap(data: bytes, device: Device, *, vault: str, epoch: int, suite: int) -> bytes:
    """Return the epoch key; raises ``ForgedEntry`` if it is not wrapped for this device in this place."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    context = _context(vault, epoch, device.device_id)
    try:
        if suite == CLASSIC:
            return _whole(_un_oaep(device, data, context))
        if suite != HYBRID:
            raise ValueError("another suite")
        first, carried, sealed = crypto.unpacked(data)
        shares = _un_oaep(device, first, context), _hpke().decrypt(carried, _hybrid_private(device), info=context)
        return _whole(AESGCM(_joined(*shares, context)).decrypt(bytes(12), sealed, context))
    except (ValueError, InvalidTag):
        raise ForgedEntry("the key of an epoch is not wrapped for this device", hint="keyferry sync doctor") from None


def _whole(key: bytes) -> bytes:
    if len(key) != crypto.KEY_BYTES:
        raise ValueError("a key of another length")
    return key


def _context(vault: str, epoch: int, device: str) -> bytes:
    return crypto.packed(NAMESPACE, bytes.fromhex(vault), epoch.to_bytes(4, "big"), bytes.fromhex(device))


def _joined(first: bytes, second: bytes, context: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=32, salt=None, info=context).derive(first + second)


def _padding(label: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
    from cryptography.hazmat.primitives.hashes import SHA256

    return OAEP(mgf=MGF1(SHA256()), algorithm=SHA256(), label=label)


def _oaep(bundle: Bundle, data: bytes, label: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    public = load_der_public_key(bundle.rsa)
    if not isinstance(public, RSAPublicKey) or public.key_size < _OAEP_BYTES * 8:
        raise ValueError("not an RSA key of 2048 bits")
    return bytes(public.encrypt(data, _padding(label)))


def _un_oaep(device: Device, data: bytes, label: bytes) -> bytes:
    return bytes(device.rsa.decrypt(data, _padding(label)))


def _hpke() -> Any:
    from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _hybrid_public(bundle: Bundle) -> Any:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PublicKey

    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(bundle.mlkem768), X25519PublicKey.from_public_bytes(bundle.x25519)
    )


def _hybrid_private(device: Device) -> Any:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
    from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

    return MLKEM768X25519PrivateKey(MLKEM768PrivateKey.from_seed_bytes(device.mlkem768_seed), device.x25519)


def _has_hybrid() -> bool:
    try:
        from cryptography.hazmat.primitives.hpke import KEM
    except ImportError:  # a distribution's own build of the library
        return False
    return hasattr(KEM, "MLKEM768_X25519")
