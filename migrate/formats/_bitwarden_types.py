"""The type of a Bitwarden item, and the object that goes with it (dossier: Bitwarden 1.2)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from migrate.formats._bitwarden import (
    ADDRESS,
    BANK,
    BANK_SECTION,
    CARD,
    CARD_MEMBERS,
    CONTACT_SECTION,
    EXPIRY_SECTION,
    IDENTITY,
    LICENSE,
    LICENSE_MEMBERS,
    LICENSE_NAME,
    LOGIN,
    NAME,
    NOTE,
    PARTS,
    PASSPORT,
    PASSPORT_MEMBERS,
    PASSPORT_NAME,
    SSH,
)
from migrate.formats._bitwarden_login import login
from migrate.formats._bitwarden_writing import Writing
from migrate.giving import Offer
from migrate.sshkeys import complete
from migrate.taking import Members
from vault import model
from vault.model import CONCEALED, CustomFields, Totp

_SSN: Members = {"identification_number": ("ssn", CONCEALED)}
_PASSPORT_NUMBER: Members = {"passport_number": ("passportNumber", "string")}
_LICENSE_NUMBER: Members = {"license_number": ("licenseNumber", "string")}

_TYPES: dict[type[Any], int] = {
    model.BasicAuth: LOGIN,
    model.Passkey: LOGIN,
    model.CreditCard: CARD,
    model.SshKey: SSH,
    model.PersonName: IDENTITY,
    model.Address: IDENTITY,
    model.IdentityDocument: IDENTITY,
    model.DriversLicense: LICENSE,
    model.Passport: PASSPORT,
    Totp: LOGIN,
    model.GeneratedPassword: LOGIN,
}
_NEW_TYPES = {LICENSE, PASSPORT}  # most of Bitwarden's own importers refuse them; identities are read by all


def typed(writing: Writing) -> tuple[int | None, str, dict[str, Any]]:
    """Return the item's type, and name and content of the object that goes with it."""
    kind = _kind(writing)
    made = None if kind is None else _part(writing, kind)
    if kind is None or made is None:
        return (NOTE, PARTS[NOTE - 1], {"type": 0}) if kind is not None else (None, "", {})
    return kind, PARTS[kind - 1], made


def _kind(writing: Writing) -> int | None:
    """Return the type as which the item is written; None for one of Bitwarden's that nobody knows.

    An item of Bitwarden is what its first credential is. In one of another product a login comes first: only a
    login is filled in by browsers.
    """
    if writing.own and "type" in writing.item.extra:
        return None
    kinds = [kind for c in writing.left if (kind := _type_of(c, own=writing.own))]
    if kinds:
        return kinds[0] if writing.own or LOGIN not in kinds else LOGIN
    return LOGIN if writing.item.urls or writing.item.android_apps else NOTE


def _type_of(credential: Any, *, own: bool) -> int | None:
    """Return the type an item has for the sake of this credential."""
    if isinstance(credential, CustomFields):
        return BANK if own and credential.id == BANK_SECTION else None
    if isinstance(credential, model.BasicAuth) and not own and not (credential.username or credential.password):
        return None
    kind = _TYPES.get(type(credential))
    return IDENTITY if kind in _NEW_TYPES and not own else kind


def _part(writing: Writing, kind: int) -> dict[str, Any] | None:
    """Return the object of a type; None if it has to be a note after all."""
    if kind == LOGIN:
        return login(writing)
    if kind == CARD:
        return _card(writing)
    if kind == IDENTITY:
        return _identity(writing)
    if kind == SSH:
        return _ssh(writing)
    if kind == BANK:
        return writing.section(BANK_SECTION)
    if kind == LICENSE:
        return writing.members(model.DriversLicense, LICENSE_MEMBERS) | writing.members(model.PersonName, LICENSE_NAME)
    if kind == PASSPORT:
        return writing.members(model.Passport, PASSPORT_MEMBERS) | writing.members(model.PersonName, PASSPORT_NAME)
    return None


def _card(writing: Writing) -> dict[str, Any]:
    """Take a card; a month of a year becomes two members."""
    card = writing.pop(model.CreditCard)
    month = year = None
    expiry = card.expiry_date.text if card.expiry_date else ""
    if found := re.fullmatch(r"([0-9]{4})-([0-9]{2})", expiry):
        card = msgspec.structs.replace(card, expiry_date=None)
        month, year = str(int(found[2])), found[1]
    writing.left.append(card)
    made = writing.members(model.CreditCard, CARD_MEMBERS)
    return made | ({"expMonth": month, "expYear": year} if month else writing.section(EXPIRY_SECTION))


def _identity(writing: Writing) -> dict[str, Any]:
    """Take a person: name, address, contact and numbers of documents."""
    address = writing.pop(model.Address)
    lines: list[str] = []
    if address is not None:
        if address.street_address is not None:
            lines = address.street_address.text.split("\n")
            address = msgspec.structs.replace(address, street_address=None)
        writing.left.insert(0, address)
    return {
        **writing.members(model.PersonName, NAME),
        "address1": "".join(lines[:1]) or None,
        "address2": "".join(lines[1:2]) or None,
        "address3": "\n".join(lines[2:]) or None,
        **writing.members(model.Address, ADDRESS),
        **writing.section(CONTACT_SECTION),
        **writing.members(model.IdentityDocument, _SSN),
        **writing.members(model.Passport, _PASSPORT_NUMBER),
        **writing.members(model.DriversLicense, _LICENSE_NUMBER),
    }


def _ssh(writing: Writing) -> dict[str, Any] | None:
    """Take a key pair; None where it is not whole: Bitwarden refuses an item without all three texts."""
    at = next(i for i, c in enumerate(writing.left) if isinstance(c, model.SshKey))
    key = writing.left[at] if writing.own else complete(writing.left[at])
    if key is None:
        return None
    del writing.left[at]
    offer = Offer(key)
    offer.skip("key_type")
    made = {
        "privateKey": offer.text("private_key"),
        "publicKey": offer.text("public_key"),
        "keyFingerprint": offer.text("fingerprint"),
    }
    writing.move(offer)
    return made
