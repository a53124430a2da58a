"""What CXF 1.0 says about fields and credentials, and what the model has beside it (dossier: CXF 2, 4, 5)."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from vault.model import CONCEALED, AnyCredential, Field, UnknownCredential

FIELD = "dev.keyferry.field/1"  # on an EditableField: original kind, link, raw keys
CODE = "dev.keyferry.code/1"  # on an EditableField: a one-time code that is no plain TOTP
SECTION = "dev.keyferry.section/1"  # on custom-fields: raw keys
ITEM = "dev.keyferry.item/1"
COLLECTION = "dev.keyferry.collection/1"
ACCOUNT = "dev.keyferry.account/1"
OURS = frozenset({FIELD, CODE, SECTION, ITEM, COLLECTION, ACCOUNT})

RAW = "dev.keyferry.raw/1"  # a credential type: an unknown credential that would be taken for a known one
UNKNOWN = "keyferry-unknown"  # the model's tag for what it does not know

ALGORITHMS = frozenset({"sha1", "sha256", "sha512"})

Row = dict[str, Any]
Data = dict[str, Any]

# Members of the model's credentials that CXF does not have.
_NOT_CXF: dict[str, frozenset[str]] = {
    "passkey": frozenset({"rpName", "createdAt", "counter", "discoverable", "keyType", "algorithm", "curve"}),
    "totp": frozenset({"kind", "counter", "pin", "label", "source", "parameters"}),
    "ssh-key": frozenset({"publicKey", "fingerprint", "passphrase"}),
    "file": frozenset({"mediaType", "createdAt", "modifiedAt", "label", "section", "missing"}),
    "item-reference": frozenset({"label"}),
}
# Names of older drafts and of older programs.
OLD_NAMES: dict[str, dict[str, str]] = {
    "basic-auth": {"userName": "username"},
    "passkey": {"userName": "username"},
    "totp": {"userName": "username"},
    "file": {"integrationHash": "integrityHash"},
}
OLD_TYPES = {"driver-license": "drivers-license"}

_DATE, _MONTH = "date", "year-month"
_COUNTRY, _SUBDIVISION = "country-code", "subdivision-code"
_DATES = {"birthDate": _DATE, "issueDate": _DATE, "expiryDate": _DATE}
FIELD_TYPES: dict[str, dict[str, str]] = {  # of members that are no plain text
    "basic-auth": {"password": CONCEALED},
    "ssh-key": {"creationDate": _DATE, "expiryDate": _DATE},
    "api-key": {"key": CONCEALED, "validFrom": _DATE, "expiryDate": _DATE},
    "wifi": {"networkSecurityType": "wifi-network-security-type", "passphrase": CONCEALED, "hidden": "boolean"},
    "credit-card": {
        **dict.fromkeys(("number", "verificationNumber", "pin"), CONCEALED),
        **dict.fromkeys(("expiryDate", "validFrom"), _MONTH),
    },
    "address": {"territory": _SUBDIVISION, "country": _COUNTRY},
    "drivers-license": {**_DATES, "territory": _SUBDIVISION, "country": _COUNTRY},
    "passport": {**_DATES, "issuingCountry": _COUNTRY},
    "identity-document": {**_DATES, "issuingCountry": _COUNTRY},
}


class Kind(msgspec.Struct, frozen=True):
    """What CXF says about one credential type, and what the model has beside it."""

    native: dict[str, str]  # member -> field, text, int, object or list
    required: dict[str, Any]  # members that must be written, with the model's default
    ours: frozenset[str]
    known: frozenset[str]  # every name that a reader takes


def _kind(tag: str, struct: type[Any]) -> Kind:
    native: dict[str, str] = {}
    required: dict[str, Any] = {}
    not_cxf = _NOT_CXF.get(tag, frozenset())
    for member in msgspec.structs.fields(struct):
        if member.name == "extra" or member.encode_name in not_cxf:
            continue
        options = get_args(member.type) or (member.type,)
        native[member.encode_name] = how = _how(member.type, options)
        if how != "field" and type(None) not in options:
            required[member.encode_name] = member.default if isinstance(member.default, (str, int)) else ""
    old = OLD_NAMES.get(tag, {})
    more = {"urls"} if tag == "basic-auth" else {"extensions"} if tag == "custom-fields" else set()
    return Kind(native, required, not_cxf, frozenset({*native, *old, *more, "type"}))


def _how(kind: Any, options: tuple[Any, ...]) -> str:
    if getattr(kind, "__origin__", None) is tuple:
        return "list"
    if Field in options:
        return "field"
    if int in options:
        return "int"
    return "object" if any(getattr(one, "__origin__", None) is dict for one in options) else "text"


KINDS: dict[str, Kind] = {
    str(struct.__struct_config__.tag): _kind(str(struct.__struct_config__.tag), struct)
    for struct in get_args(AnyCredential)
    if struct is not UnknownCredential
}
_ENCODED: dict[tuple[str, str], str] = {
    (str(struct.__struct_config__.tag), member.name): member.encode_name
    for struct in get_args(AnyCredential)
    for member in msgspec.structs.fields(struct)
}


def member_name(tag: str, member: str) -> str:
    """Return the name in CXF of a member of a credential's class."""
    return _ENCODED[tag, member]
