"""Exports that a product encrypted with a password of their own: recognised by their keys, opened, and written.

Rules: the parameters of a key derivation are bounded before it runs; a MAC is checked before anything is decrypted; one
layer is opened, never a second (dossier: Bitwarden 1.4).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vault.errors import CannotOpen, DamagedExport, FormatError, PasswordNeeded, UndeclaredLoss, UnsafeExport

CHECK = "encKeyValidation_DO_NOT_EDIT"  # a random UUID, sealed: tells a wrong password from damaged data
PBKDF2, ARGON2ID = 0, 1
ROUNDS = 600_000  # Bitwarden refuses a new file with less
_BOUNDS = {  # key derivation -> key of the file -> least and most that Bitwarden accepts
    PBKDF2: {"kdfIterations": (5_000, 2_000_000)},
    ARGON2ID: {"kdfIterations": (2, 10), "kdfMemory": (16, 1024), "kdfParallelism": (1, 16)},
}
_AGAIN = "export again; a file changed on the way cannot be opened"


class Cipher(msgspec.Struct, frozen=True):
    """One way in which a product encrypts a whole JSON export with a password."""

    product: str
    keys: frozenset[str]  # top-level keys that mark such a file
    format: str  # what is inside
    unseal: Callable[[bytes, str, str], bytes]  # (file, password, name for messages) -> what is inside
    seal: Callable[[bytes, str], bytes]


def cipher_of(keys: frozenset[str]) -> Cipher | None:
    """Return how a JSON file with these top-level keys is encrypted; None where it is not, or not by a password."""
    return next((one for one in CIPHERS if one.keys <= keys), None)


def sealing(format: str) -> Cipher | None:
    """Return how a product encrypts its exports of this format; None where it cannot."""
    return next((one for one in CIPHERS if one.format == format), None)


def open_sealed(cipher: Cipher, data: bytes, password: str | None, name: str) -> bytes:
    """Return what is inside an encrypted export.

    Raises ``PasswordNeeded``, ``CannotOpen`` for a wrong password, ``DamagedExport`` where the password is right and
    the content is not, ``UnsafeExport`` for parameters no product writes.
    """
    if password is None:
        raise PasswordNeeded(
            f"{name} is an encrypted {cipher.product} export",
            hint="add --password-file FILE with the password it was exported with on the first line; - reads it "
            "from standard input",
        )
    return cipher.unseal(data, password, name)


def seal(cipher: Cipher, data: bytes, password: str) -> bytes:
    """Return an export encrypted as its product does it; what comes back with the password is compared first."""
    sealed = cipher.seal(data, password)
    if cipher.unseal(sealed, password, "the encrypted file") != data:
        raise UndeclaredLoss(
            "the encrypted file did not open to what was put into it",
            hint="nothing was written; this is a defect of Keyferry, please report it",
        )
    return sealed


def seal_bitwarden(data: bytes, password: str) -> bytes:
    """Return a plain Bitwarden JSON export as its password-protected form, by PBKDF2."""
    salt = _text(secrets.token_bytes(16))
    keys = _stretch(hashlib.pbkdf2_hmac("sha256", password.encode(), salt.encode(), ROUNDS, 32))
    made = {
        "encrypted": True,
        "passwordProtected": True,
        "salt": salt,
        "kdfType": PBKDF2,
        "kdfIterations": ROUNDS,
        "kdfMemory": None,
        "kdfParallelism": None,
        CHECK: _seal(str(uuid.uuid4()).encode(), *keys),
        "data": _seal(data, *keys),
    }
    return json.dumps(made, indent=2).encode()


def unseal_bitwarden(data: bytes, password: str, name: str) -> bytes:
    """Return the plain JSON inside a password-protected Bitwarden export; raises as ``open_sealed``."""
    head = _head(data, name)
    keys = _stretch(_master(head, password, name))
    if _unseal(head[CHECK], *keys, name) is None:
        raise CannotOpen(
            f"the password does not open {name}",
            hint="it is the one typed when the file was exported, which may differ from the account's password",
        )
    inside = _unseal(head["data"], *keys, name)
    if inside is None:
        raise DamagedExport(f"the password is right, but {name} was changed after it was written", hint=_AGAIN)
    return inside


def _head(data: bytes, name: str) -> dict[str, Any]:
    """Return the file's members, each of the type it must have."""
    try:
        head = json.loads(data)
    except (ValueError, RecursionError):
        raise DamagedExport(f"{name} is cut off or no valid JSON", hint=_AGAIN) from None
    texts = ("salt", CHECK, "data")
    if not isinstance(head, dict) or not all(isinstance(head.get(key), str) and head[key] for key in texts):
        raise DamagedExport(f"{name} lacks a part of an encrypted export", hint=_AGAIN)
    return head


def _master(head: Mapping[str, Any], password: str, name: str) -> bytes:
    """Return the key that password and salt make, after its cost was found to be bearable."""
    kind = head.get("kdfType")
    bounds = _BOUNDS.get(kind) if type(kind) is int else None
    if bounds is None:
        raise DamagedExport(f"{name} names a key derivation that is not known", hint=_AGAIN)
    for key, (least, most) in bounds.items():
        if type(head.get(key)) is not int or not least <= head[key] <= most:
            raise UnsafeExport(
                f"{name} asks for {key} outside {least:,} to {most:,}",
                hint="Bitwarden writes no such file; export again",
            )
    salt = head["salt"].encode("utf-8", "surrogatepass")  # the text itself: it is never decoded
    secret = password.encode("utf-8", "surrogatepass")
    if kind == PBKDF2:
        return hashlib.pbkdf2_hmac("sha256", secret, salt, head["kdfIterations"], 32)
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    return Argon2id(
        salt=hashlib.sha256(salt).digest(),
        length=32,
        iterations=head["kdfIterations"],
        lanes=head["kdfParallelism"],
        memory_cost=head["kdfMemory"] << 10,
    ).derive(secret)


def _stretch(master: bytes) -> tuple[bytes, bytes]:
    """Return the keys for cipher and MAC: HKDF without its first step."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    enc, mac = (HKDFExpand(SHA256(), 32, info).derive(master) for info in (b"enc", b"mac"))
    return enc, mac


def _seal(clear: bytes, enc: bytes, mac: bytes) -> str:
    from cryptography.hazmat.primitives.ciphers import Cipher as Aes
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.padding import PKCS7

    iv = secrets.token_bytes(16)
    pad, cbc = PKCS7(128).padder(), Aes(AES(enc), CBC(iv)).encryptor()
    sealed = cbc.update(pad.update(clear) + pad.finalize()) + cbc.finalize()
    return "2." + "|".join(_text(part) for part in (iv, sealed, hmac.digest(mac, iv + sealed, "sha256")))


def _unseal(sealed: str, enc: bytes, mac: bytes, name: str) -> bytes | None:
    """Return the clear bytes; None where the MAC does not fit. Raises ``DamagedExport`` for what is no sealed text."""
    from cryptography.hazmat.primitives.ciphers import Cipher as Aes
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from cryptography.hazmat.primitives.padding import PKCS7

    iv, text, tag = _parts(sealed, name)
    if not hmac.compare_digest(hmac.digest(mac, iv + text, "sha256"), tag):
        return None
    unpad, cbc = PKCS7(128).unpadder(), Aes(AES(enc), CBC(iv)).decryptor()
    try:
        return unpad.update(cbc.update(text) + cbc.finalize()) + unpad.finalize()
    except ValueError:
        raise _unsealable(name) from None


def _parts(sealed: str, name: str) -> tuple[bytes, bytes, bytes]:
    kind, _, rest = sealed.partition(".")
    try:
        iv, text, tag = (base64.b64decode(part.encode(), validate=True) for part in rest.split("|"))
    except (binascii.Error, ValueError):
        raise _unsealable(name) from None
    if kind != "2" or len(iv) != 16 or len(tag) != 32 or not text or len(text) % 16:
        raise _unsealable(name)
    return iv, text, tag


def _unsealable(name: str) -> FormatError:
    return DamagedExport(f"{name} holds a sealed text that is cut off or of an unknown kind", hint=_AGAIN)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


CIPHERS = (
    Cipher(
        product="Bitwarden",
        keys=frozenset({"salt", "kdfType", "kdfIterations", CHECK, "data"}),
        format="bitwarden_json",
        unseal=unseal_bitwarden,
        seal=seal_bitwarden,
    ),
)
