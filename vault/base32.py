"""Seeds of one-time codes as people and products write them: base32 with every blemish seen in the wild.

Rules (dossier: authenticators 1): case, white space, ``-``, ``+`` (a form-encoded space) and padding, also ``%3D``, do
not count; left-over bits are dropped; only where that fails, ``0``, ``1`` and ``8`` are read as ``O``, ``L`` and ``B``.
"""

from __future__ import annotations

import base64
import re

_NOISE = re.compile(r"[\s+\-\u00ad\u200b-\u200d\ufeff]|%20", re.IGNORECASE)
_LETTERS = re.compile(r"[A-Z2-7]{2,}")
_MISREAD = str.maketrans("018", "OLB")


def decode_secret(text: str) -> bytes:
    """Return the bytes of a base32 seed; raises ``ValueError``, without content, where there are none."""
    letters = _NOISE.sub("", text).replace("%3D", "=").replace("%3d", "=").rstrip("=")
    if not letters.isascii():  # before upper(), which turns some foreign letters into A-Z
        raise ValueError("not base32")
    letters = letters.upper()
    if not _LETTERS.fullmatch(letters):
        letters = letters.translate(_MISREAD)
    if not _LETTERS.fullmatch(letters):
        raise ValueError("not base32")
    return _bytes_of(letters)


def _bytes_of(letters: str) -> bytes:
    """Decode letters of the alphabet of any number; the standard library refuses 1, 3 and 6 modulo 8."""
    whole = len(letters) * 5 // 8
    return base64.b32decode(letters + "A" * (-len(letters) % 8))[:whole]


def encode_secret(key: bytes) -> str:
    """Return base32 in upper case without padding, the one form the model holds."""
    return base64.b32encode(key).decode("ascii").rstrip("=")


def is_secret(text: str) -> bool:
    """Tell whether the text can be read as a base32 seed."""
    try:
        decode_secret(text)
    except ValueError:
        return False
    return True
