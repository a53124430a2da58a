"""Bitwarden's own vocabulary, for its reader and its writer (dossier: Bitwarden 1.2)."""

from __future__ import annotations

from migrate.taking import Members
from vault.model import CONCEALED

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
ADDRESS: Members = {
    "city": ("city", "string"),
    "territory": ("state", "string"),
    "postal_code": ("postalCode", "string"),
    "country": ("country", "string"),
    "tel": ("phone", "string"),
}
CARD: Members = {
    "full_name": ("cardholderName", "string"),
    "card_type": ("brand", "string"),
    "number": ("number", CONCEALED),
    "verification_number": ("code", CONCEALED),
}
LICENSE_NAME = {ours: NAME[ours] for ours in ("given", "given2", "surname")}
LICENSE: Members = {
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
PASSPORT: Members = {
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
CONTACT = "bitwarden-contact"
BANK = "bitwarden-bank-account"
SECTIONS = {
    CONTACT: ("company", "email", "username"),
    BANK: (
        *("bankName", "nameOnAccount", "accountType", "accountNumber", "routingNumber", "branchNumber"),
        *("pin", "swiftCode", "iban", "bankContactPhone"),
    ),
}
HIDDEN = frozenset({"accountNumber", "pin", "iban"})
BANK_ACCOUNT = "Bank Account"  # the template of an item of type 6
