"""An age file under a passphrase, made from the published format alone (age-encryption.org/v1), with little work.

The library chooses a second's work, which a test need not do each time; and what it opens is then not only its own.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt


def sealed(content: bytes, passphrase: str, *, work: int = 4, told: str = "") -> bytes:
    """Return the content of at most 64 KiB sealed with 2^work rounds; ``told`` is the number the file names instead."""
    file_key, salt, nonce = (secrets.token_bytes(16) for _ in range(3))
    stretch = Scrypt(salt=b"age-encryption.org/v1/scrypt" + salt, length=32, n=1 << work, r=8, p=1)
    wrapped = ChaCha20Poly1305(stretch.derive(passphrase.encode())).encrypt(bytes(12), file_key, None)
    head = b"age-encryption.org/v1\n-> scrypt %s %s\n%s\n---" % (
        _text(salt),
        (told or str(work)).encode(),
        _text(wrapped),
    )
    check = hmac.HMAC(_derived(file_key, None, b"header"), hashes.SHA256())
    check.update(head)
    last = bytes(11) + b"\1"
    body = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).encrypt(last, content, None)
    return head + b" " + _text(check.finalize()) + b"\n" + nonce + body


def armored(data: bytes) -> bytes:
    """Return the file as age's text form."""
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----", ""]).encode()


def _derived(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def _text(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")
