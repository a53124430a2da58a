"""SSH keys whose other half is missing: public key and fingerprint, computed from the private key."""

from __future__ import annotations

import hashlib
from base64 import b64encode, urlsafe_b64decode
from typing import Any

import msgspec

from vault.model import SshKey
from vault.secret import Secret


def complete(key: SshKey) -> SshKey | None:
    """Return the key with the private key as PEM, public key and ``SHA256:`` fingerprint; None if it cannot be read.

    A key under a passphrase cannot be read. Texts that are there are kept; a private key in base64url becomes PEM.
    """
    text = key.private_key.reveal()
    if text and "-----" in text and key.public_key and key.fingerprint:
        return key
    private = _private(text)
    if private is None:
        return None
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    if "-----" not in text:
        text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    try:
        line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    except (ValueError, TypeError):  # a kind of key that SSH has no name for
        return None
    public, comment = key.public_key or line.decode(), key.key_comment
    if comment and not key.public_key and "\n" not in comment:
        public, comment = f"{public} {comment}", None
    return msgspec.structs.replace(
        key,
        private_key=Secret(text),
        public_key=public,
        fingerprint=key.fingerprint or fingerprint(line),
        key_comment=comment,
    )


def pkcs8(text: str) -> tuple[bytes, str] | None:
    """Return a private key in DER and the OpenSSH line of its public key; None if it is none, or none of SSH."""
    private = _private(text)
    if private is None:
        return None
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    try:
        line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), line
    except (ValueError, TypeError):
        return None


def fingerprint(line: bytes) -> str:
    """Return the fingerprint of a public key given as its OpenSSH line."""
    from base64 import b64decode

    digest = hashlib.sha256(b64decode(line.split()[1])).digest()
    return "SHA256:" + b64encode(digest).rstrip(b"=").decode()


def _private(text: str) -> Any:
    """Return the private key of PEM, OpenSSH or base64url DER; None where it is none or needs a passphrase."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    data = text.encode("utf-8", "surrogatepass")
    try:
        if b"BEGIN OPENSSH" in data:
            return serialization.load_ssh_private_key(data, password=None)
        if b"-----" in data:
            return serialization.load_pem_private_key(data, password=None)
        return serialization.load_der_private_key(urlsafe_b64decode(data + b"=" * (-len(data) % 4)), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
