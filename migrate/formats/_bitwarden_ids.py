"""Ids as Bitwarden writes them (dossier: Bitwarden 1.2)."""

from __future__ import annotations

import re
import uuid
from base64 import urlsafe_b64encode
from binascii import a2b_base64


def as_uuid(own_id: str) -> str:
    """Return one of our ids as the UUID text Bitwarden expects; a foreign one as it is."""
    raw = _bytes_of(own_id)
    if raw is None or len(raw) != 16:
        return own_id
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def credential_id(own: str) -> str:
    """Return a UUID where the id has 16 bytes, else base64url marked ``b64.``; what is neither as it is."""
    raw = _bytes_of(own)
    if raw is not None and len(raw) == 16:
        return str(uuid.UUID(bytes=raw))
    return f"b64.{own}" if re.fullmatch(r"[A-Za-z0-9_-]+", own) else own


def _bytes_of(base64url: str) -> bytes | None:
    """Return the bytes of base64url without padding; None where it is not spelled as we would."""
    try:
        usual = base64url.replace("-", "+").replace("_", "/")
        raw = a2b_base64(usual + "=" * (-len(usual) % 4))
    except ValueError:
        return None
    if len(raw) == 16:  # our own ids: two bits to spare, which must be nought
        return raw if len(base64url) == 22 and base64url[-1] in "AQgw" else None
    return raw if urlsafe_b64encode(raw).rstrip(b"=").decode() == base64url else None
