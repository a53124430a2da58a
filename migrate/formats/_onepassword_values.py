"""Values as 1Password writes them: kinds of fields, days, months, times, ids (dossier: 1Password 2.2)."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import date
from typing import Any

from migrate.formats import _onepassword_rules as rules
from vault.model import CONCEALED, Field
from vault.moment import Instant, to_micros

_BRANDS = {
    "visa": "visa",
    "mastercard": "mc",
    "mc": "mc",
    "american express": "amex",
    "amex": "amex",
    "diners club": "diners",
    "diners": "diners",
    "discover": "discover",
    "jcb": "jcb",
    "maestro": "maestro",
    "unionpay": "unionpay",
    "carteblanche": "carteblanche",
    "visaelectron": "visaelectron",
    "laser": "laser",
}
_OBJECTS = frozenset({"address", "sshKey", "file", "reference"})  # kinds that a field has only where it is empty
_WHOLE = re.compile(r"0|-?[1-9]\d{0,999}", re.ASCII)
_MONTH = re.compile(r"(?!0000)\d{4}-(0[1-9]|1[0-2])")
_MILLIS_FROM = 100_000_000_000  # a larger number is read as milliseconds


def made_uuid(own_id: str) -> str:
    """Return a uuid in 1Password's form, 26 letters and digits, for one of our ids."""
    digest = hashlib.blake2b(own_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def stamp(instant: Instant | None) -> int:
    """Return UNIX seconds; milliseconds for a time that has them; 0 for no time."""
    if instant is None:
        return 0
    micros = to_micros(instant)
    millis, seconds = micros // 1000, micros // 1_000_000
    is_finer = micros % 1_000_000 != 0 and micros % 1000 == 0
    return millis if millis > _MILLIS_FROM and (is_finer or seconds > _MILLIS_FROM) else seconds


def number_or_text(text: str, details: dict[str, Any]) -> str | int:
    """Return the number that a text was read from, else the text."""
    return int(text) if details.get("number") and _WHOLE.fullmatch(text) else text


def kind_of_field(one: Field, own: bool) -> str:
    """Return the kind of value a field is written as."""
    if own and one.original in rules.KINDS and not (one.original in _OBJECTS and one.text):
        return str(one.original)
    if one.field_type == CONCEALED:
        return "concealed"
    if not own and one.original in ("phone", "url"):
        return one.original
    for type_, kind in (("date", "date"), ("year-month", "monthYear")):
        if one.field_type == type_ and (as_kind(one, kind) is not None or (own and not one.text)):
            return kind
    return "email" if one.field_type == "email" else "string"


def content_of(one: Field, kind: str, details: dict[str, Any]) -> dict[str, Any]:
    """Return a field's value object."""
    text = one.text
    if kind == "date" and rules.day_of(details.get("date")) == text:
        return {kind: details["date"]}
    if kind in ("date", "monthYear"):
        return as_kind(one, kind) or {kind: None if kind == "date" else 0}
    if kind == "email" and not details.get("plain"):
        return {kind: {"email_address": text, "provider": None}}
    if kind in _OBJECTS:
        return {kind: None}
    return {kind: number_or_text(text, details)}


def as_kind(one: Field, kind: str) -> dict[str, Any] | None:
    """Return the value object of this kind; None where the text does not fit it."""
    text = one.text
    if kind == "date":
        seconds = _seconds_of(text)
        return None if seconds is None else {kind: seconds}
    if kind == "monthYear":
        return {kind: int(text.replace("-", ""))} if _MONTH.fullmatch(text) else None
    if kind == "creditCardType":
        brand = _BRANDS.get(text.strip().lower())
        return None if brand is None else {kind: brand}
    return {kind: text}


def _seconds_of(day: str) -> int | None:
    """Return the UNIX seconds 1Password writes for a day."""
    try:
        found = date.fromisoformat(day)
    except ValueError:
        return None
    return (found - date(1970, 1, 1)).days * 86_400 + rules.NOON if found.isoformat() == day else None
