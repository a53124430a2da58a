"""A key wrapped under a passphrase, and keys derived from a seed.

The wrap is one JSON object (``keyferry-passphrase-1``): Argon2id turns passphrase and salt into a 256-bit key,
AES-256-GCM wraps the vault key, and all parameters are authenticated. They are bounded *before* Argon2id runs, below
against a weakened file, above against one that eats the memory. The passphrase is taken in Unicode's form NFC.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from typing import Any

from vault.errors import DamagedVault, WrongPassphrase

KEY_BYTES = 32
WRAP_FORMAT = "keyferry-passphrase-1"
MEMORY_KIB, PASSES, LANES = 65_536, 3, 4  # 0.2 s
MOST_MEMORY_KIB, MOST_PASSES, MOST_LANES = 1 << 20, 16, 16
_MEMBERS = frozenset({"format", "vault", "memory_kib", "passes", "lanes", "salt", "nonce", "wrapped"})


def new_key() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(KEY_BYTES)


def wrap(key: bytes, passphrase: str, vault_id: str) -> bytes:
    """Return the vault key wrapped under the passphrase, as the bytes of a file."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head: dict[str, Any] = {
        "format": WRAP_FORMAT,
        "vault": vault_id,
        "memory_kib": MEMORY_KIB,
        "passes": PASSES,
        "lanes": LANES,
        "salt": to_text(secrets.token_bytes(16)),
        "nonce": to_text(secrets.token_bytes(12)),
    }
    sealed = AESGCM(_stretch(passphrase, head)).encrypt(from_text(head["nonce"]), key, _authenticated(head))
    return json.dumps({**head, "wrapped": to_text(sealed)}, indent=1).encode() + b"\n"


def unwrap(data: bytes, passphrase: str, vault_id: str) -> bytes:
    """Return the vault key; raises ``WrongPassphrase``, and ``DamagedVault`` for parameters nobody should run."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head, nonce, sealed = _read_wrap(data, vault_id)
    try:
        key = AESGCM(_stretch(passphrase, head)).decrypt(nonce, sealed, _authenticated(head))
    except InvalidTag:
        raise WrongPassphrase(
            "the passphrase does not open the vault's key",
            hint="try again; keyferry unlock --kit FILE opens the vault without it",
        ) from None
    if len(key) != KEY_BYTES:
        raise _damaged()
    return key


def derive(seed: bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """Return the HKDF-SHA256 of the seed for one purpose; no two purposes share a key."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(seed)


def to_text(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode()


def from_text(text: str) -> bytes:
    """Return the bytes of standard base64; raises ``ValueError`` without content."""
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("not base64") from None


def packed(*parts: bytes) -> bytes:
    """Return the parts behind one another, each after its length (4 bytes, big-endian): one text, one reading."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def unpacked(data: bytes) -> tuple[bytes, ...]:
    """Return the parts of ``packed``; raises ``ValueError`` if the bytes are not exactly that."""
    parts = []
    at = 0
    while at < len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        if len(data) < at + 4 or end > len(data):
            raise ValueError("a part is cut off")
        parts.append(data[at + 4 : end])
        at = end
    return tuple(parts)


def _stretch(passphrase: str, head: dict[str, Any]) -> bytes:
    import unicodedata

    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(
        salt=from_text(head["salt"]),
        length=KEY_BYTES,
        iterations=head["passes"],
        lanes=head["lanes"],
        memory_cost=head["memory_kib"],
    )
    return kdf.derive(unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass"))


def _authenticated(head: dict[str, Any]) -> bytes:
    names = ("format", "vault", "memory_kib", "passes", "lanes", "salt", "nonce")
    return packed(*(str(head[name]).encode() for name in names))


def _read_wrap(data: bytes, vault_id: str) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the checked parameters, the nonce and the wrapped key."""
    try:
        head = json.loads(data)
        if not isinstance(head, dict) or set(head) != _MEMBERS or head["format"] != WRAP_FORMAT:
            raise _damaged()
        nonce, sealed, salt = (from_text(head[name]) for name in ("nonce", "wrapped", "salt"))
    except (ValueError, AttributeError, RecursionError):
        raise _damaged() from None
    if len(nonce) != 12 or len(salt) != 16 or len(sealed) != KEY_BYTES + 16:
        raise _damaged()
    if head["vault"] != vault_id:
        raise DamagedVault("the passphrase file belongs to another vault", hint="keyferry unlock --kit FILE")
    bounds = {
        "memory_kib": (MEMORY_KIB, MOST_MEMORY_KIB),
        "passes": (PASSES, MOST_PASSES),
        "lanes": (1, MOST_LANES),
    }
    for name, (least, most) in bounds.items():
        if type(head[name]) is not int or not least <= head[name] <= most:
            raise DamagedVault(
                f"the passphrase file asks for an unsafe {name.replace('_', ' ')}", hint="keyferry unlock --kit FILE"
            )
    return head, nonce, sealed


def _damaged() -> DamagedVault:
    return DamagedVault("the passphrase file is damaged", hint="keyferry unlock --kit FILE opens the vault without it")
