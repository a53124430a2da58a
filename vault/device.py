"""The identity of one device: key pairs for signing and wrapping, and an age recipient of its own.

Made on the device, kept in the vault file, never exported and never in a backup. The *bundle* is the public half in one
exact form: the name ``keyferry/device/2``, Ed25519 (32 bytes), RSA-2048 (DER), X25519 (32), ML-KEM-768 (1,184, or none
where the installed library has no such keys), the age recipient, ML-DSA-65 (1,952); each after its length. Where the
library has no ML-DSA the name is ``keyferry/device/1`` and the last part is not there. ``device_id`` is the first 16
bytes of the bundle's SHA-256, in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vault import bech32, crypto, signing
from vault.errors import DamagedVault
from vault.signing import Signer

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

CLASSIC, NAMESPACE = b"keyferry/device/1", b"keyferry/device/2"
RSA_BITS = 2048
_PARTS = ("ed25519", "rsa", "x25519", "mlkem768", "age")


@dataclass(frozen=True)
class Bundle:
    """The public half of a device, as raw bytes; ``mlkem768`` and ``mldsa65`` may be empty."""

    ed25519: bytes
    rsa: bytes
    x25519: bytes
    mlkem768: bytes
    age: str
    mldsa65: bytes = b""

    @property
    def packed(self) -> bytes:
        """The one exact form."""
        keys = (self.ed25519, self.rsa, self.x25519, self.mlkem768, self.age.encode())
        return crypto.packed(NAMESPACE, *keys, self.mldsa65) if self.mldsa65 else crypto.packed(CLASSIC, *keys)

    @property
    def device_id(self) -> str:
        """32 hexadecimal digits that stand for exactly this bundle."""
        return hashlib.sha256(self.packed).digest()[:16].hex()


def read_bundle(data: bytes) -> Bundle:
    """Return the bundle of its exact form; raises ``ValueError`` without content."""
    parts = crypto.unpacked(data)
    if (len(parts), *parts[:1]) not in ((6, CLASSIC), (7, NAMESPACE)):
        raise ValueError("not a device's bundle")
    _, ed25519, rsa, x25519, mlkem768, age, *more = parts
    if len(ed25519) != 32 or len(x25519) != 32 or len(mlkem768) not in (0, 1184):
        raise ValueError("a key of the device has the wrong length")
    if more and len(more[0]) != signing.PUBLIC_BYTES:
        raise ValueError("a key of the device has the wrong length")
    return Bundle(ed25519, rsa, x25519, mlkem768, read_recipient(age), *more)


def read_recipient(data: bytes) -> str:
    """Return the text of an age recipient; raises ``ValueError`` without content."""
    try:
        recipient = data.decode("ascii")
        prefix, point = bech32.decode(recipient)
    except ValueError:
        raise ValueError("not an age recipient") from None
    if prefix != "age" or len(point) != 32 or recipient != recipient.lower():
        raise ValueError("not an age recipient")
    return recipient


@dataclass(frozen=True, repr=False)
class Device:
    """The private keys of this device; ``mlkem768_seed`` and the last two are empty where the library had none."""

    ed25519: Ed25519PrivateKey
    rsa: RSAPrivateKey
    x25519: X25519PrivateKey
    mlkem768_seed: bytes
    age: str
    mldsa65_seed: bytes = b""
    mldsa65: bytes = b""  # the public key, kept so that a library without ML-DSA knows who this is

    @property
    def signer(self) -> Signer:
        """What signs entries of the list of devices."""
        return Signer(self.ed25519, self.mldsa65_seed, self.mldsa65)

    @cached_property
    def bundle(self) -> Bundle:
        """The public half."""
        import pyrage
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return Bundle(
            ed25519=self.ed25519.public_key().public_bytes_raw(),
            rsa=self.rsa.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            x25519=self.x25519.public_key().public_bytes_raw(),
            mlkem768=_mlkem_public(self.mlkem768_seed),
            age=str(pyrage.x25519.Identity.from_str(self.age).to_public()),
            mldsa65=self.mldsa65,
        )

    @property
    def device_id(self) -> str:
        """32 hexadecimal digits."""
        return self.bundle.device_id


def new_device() -> Device:
    """Return a device with fresh keys; takes 0.1 s, most of it RSA."""
    import pyrage
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    seed = crypto.new_key() if signing.has_mldsa65() else b""
    return Device(
        ed25519=Ed25519PrivateKey.generate(),
        rsa=generate_private_key(public_exponent=65537, key_size=RSA_BITS),
        x25519=X25519PrivateKey.generate(),
        mlkem768_seed=_new_mlkem_seed(),
        age=str(pyrage.x25519.Identity.generate()),
        mldsa65_seed=seed,
        mldsa65=signing.public_of(seed) if seed else b"",
    )


def to_text(device: Device) -> str:
    """Return the private keys as JSON, for the vault's meta only."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    raw = {
        "ed25519": device.ed25519.private_bytes_raw(),
        "rsa": device.rsa.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        "x25519": device.x25519.private_bytes_raw(),
        "mlkem768": device.mlkem768_seed,
        "age": device.age.encode(),
    }
    if device.mldsa65:
        raw |= {"mldsa65": device.mldsa65_seed, "mldsa65_public": device.mldsa65}
    return json.dumps({name: crypto.to_text(part) for name, part in raw.items()})


def from_text(text: str) -> Device:
    """Return the device of its JSON; raises ``DamagedVault``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        kept: dict[str, Any] = json.loads(text)
        raw = {name: crypto.from_text(kept[name]) for name in _PARTS}
        seed, public = (crypto.from_text(kept.get(name, "")) for name in ("mldsa65", "mldsa65_public"))
        # The vault file proves each of its pages; proving the primes again would take 27 ms.
        rsa = load_der_private_key(raw["rsa"], password=None, unsafe_skip_rsa_key_validation=True)
        if not isinstance(rsa, RSAPrivateKey):
            raise ValueError("not RSA")
        return Device(
            ed25519=Ed25519PrivateKey.from_private_bytes(raw["ed25519"]),
            rsa=rsa,
            x25519=X25519PrivateKey.from_private_bytes(raw["x25519"]),
            mlkem768_seed=raw["mlkem768"],
            age=raw["age"].decode("ascii"),
            mldsa65_seed=seed,
            mldsa65=public,
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedVault("the vault's own device keys are damaged", hint="restore a backup") from None


def _new_mlkem_seed() -> bytes:
    # A distribution's own build of the library may lack post-quantum keys.
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

        return bytes(MLKEM768PrivateKey.generate().private_bytes_raw())
    except (ImportError, UnsupportedAlgorithm):
        return b""


def _mlkem_public(seed: bytes) -> bytes:
    if not seed:
        return b""
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

    return bytes(MLKEM768PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw())
