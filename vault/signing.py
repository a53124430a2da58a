"""Signatures on the list of devices: Ed25519, and ML-DSA-65 behind it by everybody who has such a key there.

Both are over the same bytes. A signature is Ed25519's 64 bytes, or those and ML-DSA-65's 3,309. An installed library
without ML-DSA makes no such keys; with it a reader checks the first half alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_BYTES = 1_952
_SHORT, _LONG = 64, 64 + 3_309
_MOST_HELD = 50_000


@dataclass(frozen=True, repr=False)
class Signer:
    """The signing keys of a device or a root; without an ML-DSA key the last two are empty."""

    ed25519: Ed25519PrivateKey
    mldsa65_seed: bytes = b""
    mldsa65: bytes = b""  # the public key

    @property
    def public(self) -> bytes:
        """The Ed25519 public key, by which it is known."""
        return self.ed25519.public_key().public_bytes_raw()

    @property
    def can_sign(self) -> bool:
        """Tell whether the library knows all its keys."""
        return not self.mldsa65 or has_mldsa65()

    def sign(self, body: bytes) -> bytes:
        """Return the signature by all keys; the library must know ML-DSA if there is such a key."""
        short = self.ed25519.sign(body)
        return short + bytes(_private(self.mldsa65_seed).sign(body)) if self.mldsa65 else short


@lru_cache(maxsize=1)
def _has_library() -> bool:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

        MLDSA65PrivateKey.from_seed_bytes(bytes(32))
    except (ImportError, UnsupportedAlgorithm):  # a distribution's own build of the library
        return False
    return True


def has_mldsa65() -> bool:
    """Tell whether the installed library knows ML-DSA-65."""
    return _has_library()


def public_of(seed: bytes) -> bytes:
    """Return the ML-DSA-65 public key of a seed, nothing where the library has none."""
    return bytes(_private(seed).public_key().public_bytes_raw()) if has_mldsa65() else b""


def check(signer: bytes, mldsa65: bytes, signature: bytes, body: bytes) -> None:
    """Check a signature by the Ed25519 key and, if there is one, the ML-DSA key; raises ``ValueError``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature) != (_LONG if mldsa65 else _SHORT):
        raise ValueError("a signature of another form")
    try:
        Ed25519PublicKey.from_public_bytes(signer).verify(signature[:_SHORT], body)
        if mldsa65 and has_mldsa65():
            _public(mldsa65).verify(signature[_SHORT:], body)
    except InvalidSignature:
        raise ValueError("a signature does not hold") from None


class Held:
    """Entries whose signatures were found to hold, by hash and keys: a chain is read often and grows at its end."""

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}

    def knows(self, name: bytes) -> bool:
        """Tell whether it was noted."""
        return name in self._seen

    def note(self, name: bytes) -> None:
        """Note it; full, everything is forgotten, which costs only time."""
        if len(self._seen) >= _MOST_HELD:
            self._seen = {}
        self._seen[name] = None


def name_of(entry: bytes, keys: tuple[bytes, ...]) -> bytes:
    """Return what stands for an entry, the ML-DSA keys that it is checked by, and how far this library checks."""
    named = hashlib.sha256(hashlib.sha256(entry).digest() + bytes([has_mldsa65()]))
    for key in keys:
        named.update(hashlib.sha256(key).digest())
    return named.digest()


def _private(seed: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

    return MLDSA65PrivateKey.from_seed_bytes(seed)


def _public(data: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

    return MLDSA65PublicKey.from_public_bytes(data)
