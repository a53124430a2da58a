"""Bitwarden's own vocabulary, for its reader and its writer (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate import rules
from migrate.taking import Members
from vault.model import CONCEALED

PARTS = ("login", "secureNote", "card", "identity", "sshKey", "bankAccount", "driversLicense", "passport")
LOGIN, NOTE, CARD, IDENTITY, SSH, BANK, LICENSE, PASSPORT = range(1, 9)  # the types, whose objects are PARTS

MATCH = {0: "domain", 1: "host", 2: "starts-with", 3: "exact", 4: "regex", 5: "never"}

LINKED = "linked"  # the original kind of a field that mirrors a property of its item
_FIELDS = (("string", None), (CONCEALED, None), ("boolean", None), ("string", LINKED))
FIELD: dict[int | str, tuple[str, str | None]] = {
    **dict(enumerate(_FIELDS)),
    **{str(code): kind for code, kind in enumerate(_FIELDS)},  # third-party files
}

NAME: Members = {
    "title": ("title", "string"),
    "given": ("firstName", "string"),
    "given2": ("middleName", "string"),
    "surname": ("lastName", "string"),
}
LINES = ("address1", "address2", "address3")  # of an address
ADDRESS: Members = {
    "city": ("city", "string"),
    "territory": ("state", "string"),
    "postal_code": ("postalCode", "string"),
    "country": ("country", "string"),
    "tel": ("phone", "string"),
}
CARD_MEMBERS: Members = {
    "full_name": ("cardholderName", "string"),
    "card_type": ("brand", "string"),
    "number": ("number", CONCEALED),
    "verification_number": ("code", CONCEALED),
}
LICENSE_NAME = {ours: NAME[ours] for ours in ("given", "given2", "surname")}
LICENSE_MEMBERS: Members = {
    "birth_date": ("dateOfBirth", "date"),
    "license_number": ("licenseNumber", "string"),
    "country": ("issuingCountry", "country-code"),
    "territory": ("issuingState", "subdivision-code"),
    "issue_date": ("issueDate", "date"),
    "expiry_date": ("expirationDate", "date"),
    "issuing_authority": ("issuingAuthority", "string"),
    "license_class": ("licenseClass", "string"),
}
PASSPORT_NAME: Members = {"given": ("givenName", "string"), "surname": ("surname", "string")}
PASSPORT_MEMBERS: Members = {
    "birth_date": ("dateOfBirth", "date"),
    "sex": ("sex", "string"),
    "birth_place": ("birthPlace", "string"),
    "nationality": ("nationality", "string"),
    "issuing_country": ("issuingCountry", "country-code"),
    "passport_number": ("passportNumber", "string"),
    "passport_type": ("passportType", "string"),
    "national_identification_number": ("nationalIdentificationNumber", "string"),
    "issuing_authority": ("issuingAuthority", "string"),
    "issue_date": ("issueDate", "date"),
    "expiry_date": ("expirationDate", "date"),
}

# What CXF's types have no member for stands in sections of custom fields that go back in place: id, then keys.
CONTACT_SECTION = "bitwarden-contact"
BANK_SECTION = "bitwarden-bank-account"
EXPIRY_SECTION = "bitwarden-card-expiry"  # a month without a year, or what is no month of a year
SECTIONS = {
    EXPIRY_SECTION: ("expMonth", "expYear"),
    CONTACT_SECTION: ("company", "email", "username"),
    BANK_SECTION: (
        *("bankName", "nameOnAccount", "accountType", "accountNumber", "routingNumber", "branchNumber"),
        *("pin", "swiftCode", "iban", "bankContactPhone"),
    ),
}
HIDDEN = frozenset({"accountNumber", "pin", "iban"})
BANK_ACCOUNT = "Bank Account"  # template of such an item and title of the section


def type_of(item: Mapping[str, Any]) -> int | None:
    """Return the number of an item's type; None for one nobody knows.

    Without a type the object that is there decides, without an object it is a note.
    """
    kind = item.get("type")
    if type(kind) is int:
        return kind if 1 <= kind <= len(PARTS) else None
    if kind is None:
        return next((n for n, part in enumerate(PARTS, 1) if isinstance(item.get(part), dict)), NOTE)
    return int(kind) if isinstance(kind, str) and len(kind) == 1 and kind in "12345678" else None


# The rules hold only where the reader takes the object: one that is not of the item's type stays as it is.


@rules.whole_rule
def bitwarden_expiry(_: Any, card: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Month and year of a card's expiry become one month of a year."""
    return rules.expiry_month(None, card) if type_of(item) == CARD else None


@rules.whole_rule
def bitwarden_address(_: Any, identity: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Three address lines become one text with newlines."""
    return rules.address_lines(None, identity) if type_of(item) == IDENTITY else None


@rules.whole_rule
def bitwarden_credential_id(value: Any, _: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A passkey's id, a UUID or base64url marked ``b64.``, becomes plain base64url."""
    whole = all(isinstance(one, dict) for one in item["login"]["fido2Credentials"])
    return rules.uuid_base64url(value, {}) if whole and type_of(item) == LOGIN else None


rules.JOINED.update({"bitwarden_expiry", "bitwarden_address"})
rules.EACH.add("bitwarden_credential_id")
