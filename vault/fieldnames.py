"""What the names mean by which a person reaches an item's values: ``username``, ``cvv``, ``Branch office``.

In this order: a member of the item (title, url, tags, notes, ...), a member of one of its credentials (``number`` of a
card; shorter names in ``_ALIASES``), a custom field of that label, the user name or password a login has not yet; else
a custom field that is to be made.
"""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec

from vault.errors import InvalidField, UsageError
from vault.model import (
    Address,
    ApiKey,
    BasicAuth,
    Credential,
    CreditCard,
    CustomFields,
    DriversLicense,
    Field,
    GeneratedPassword,
    IdentityDocument,
    Item,
    Note,
    Passport,
    PersonName,
    SshKey,
    Totp,
    Wifi,
    kind_of,
)
from vault.moment import Instant
from vault.secret import Secret

KINDS: dict[str, tuple[type[Credential], ...]] = {
    "login": (BasicAuth,),
    "note": (Note,),
    "card": (CreditCard,),
    "identity": (PersonName, Address),
    "wifi": (Wifi,),
    "ssh-key": (SshKey,),
    "passport": (Passport,),
    "drivers-license": (DriversLicense,),
    "identity-document": (IdentityDocument,),
    "api-key": (ApiKey,),
}
CUSTOM = "custom:"

_WITH_MEMBERS = (*(kind for kinds in KINDS.values() for kind in kinds if kind is not Note), GeneratedPassword)
_ITEM_NAMES = {
    "title": "title",
    "name": "title",
    "subtitle": "subtitle",
    "url": "urls",
    "urls": "urls",
    "website": "urls",
    "tag": "tags",
    "tags": "tags",
    "favorite": "favorite",
    "favourite": "favorite",
    "note": "notes",
    "notes": "notes",
    "totp": "totp",
    "otp": "totp",
}
_ALIASES: dict[type[Credential], dict[str, str]] = {
    BasicAuth: {"user": "username", "login": "username"},
    CreditCard: {
        "holder": "full_name",
        "cvv": "verification_number",
        "cvc": "verification_number",
        "expiry": "expiry_date",
        "brand": "card_type",
    },
    Wifi: {"password": "passphrase", "security": "network_security_type", "network": "ssid"},
    SshKey: {"comment": "key_comment"},
    ApiKey: {"expiry": "expiry_date"},
    Passport: {"number": "passport_number", "country": "issuing_country", "expiry": "expiry_date"},
    DriversLicense: {"number": "license_number", "class": "license_class", "expiry": "expiry_date"},
    IdentityDocument: {"number": "document_number", "country": "issuing_country", "expiry": "expiry_date"},
    Address: {"street": "street_address", "zip": "postal_code", "state": "territory", "phone": "tel"},
    PersonName: {"first_name": "given", "middle_name": "given2", "last_name": "surname", "nickname": "given_informal"},
}
_BY_WORD: dict[str, type[Any]] = {"notes": Note, "totp": Totp}
_HIDDEN = {
    (BasicAuth, "password"),
    (CreditCard, "number"),
    (CreditCard, "verification_number"),
    (CreditCard, "pin"),
    (ApiKey, "key"),
    (Wifi, "passphrase"),
}
_MAY_LOG_IN = ("login", "totp", "custom")


class Place(msgspec.Struct, frozen=True):
    """Where in an item a name leads."""

    what: str  # a member of the item: title, url, ...; or member, custom, new
    credential: int = -1  # its place in the item; -1: it is not there yet
    kind: type[Any] = Item  # the type of the credential
    member: str = ""
    field: int = -1  # which of the custom fields
    label: str = ""
    concealed: bool = False


def new_item(kind: str, id_: str, title: str, now: Instant) -> Item:
    """Return an empty item of a kind: one of ``KINDS``, or ``custom:TEMPLATE``; raises ``UsageError``."""
    made = Item(id=id_, title=title, creation_at=now, modified_at=now)
    if kind.startswith(CUSTOM) and kind.removeprefix(CUSTOM).strip():
        template = kind.removeprefix(CUSTOM).strip()
        return msgspec.structs.replace(made, template=template, credentials=(CustomFields(),))
    if kind not in KINDS:
        raise UsageError("there is no such kind of item", hint=f"kinds: {', '.join(KINDS)}, {CUSTOM}TEMPLATE")
    return msgspec.structs.replace(made, credentials=tuple(credential() for credential in KINDS[kind]))


def locate(item: Item, name: str) -> Place:
    """Return where the name leads in this item; raises ``InvalidField`` for an empty name."""
    word = _word(name)
    if not word:
        raise InvalidField("a field needs a name")
    if what := _ITEM_NAMES.get(word):
        kind = _BY_WORD.get(what, Item)
        return Place(what, _index(item, kind), kind, concealed=kind is not Item)
    return _member(item, word) or _custom(item, name) or _login_member(item, word) or _new(item, name)


def _login_member(item: Item, word: str) -> Place | None:
    member = _ALIASES[BasicAuth].get(word, word)
    if member not in ("username", "password") or kind_of(item) not in _MAY_LOG_IN:
        return None  # a user name would turn a card into a login
    return Place("member", -1, BasicAuth, member, concealed=(BasicAuth, member) in _HIDDEN)


def _new(item: Item, name: str) -> Place:
    # A section with a name or an id of its own belongs to the product it came from.
    sections = ((n, one) for n, one in enumerate(item.credentials) if isinstance(one, CustomFields))
    at = next((n for n, one in sections if one.id is None and not one.label), -1)
    return Place("new", at, CustomFields, label=name.strip(), concealed=_word(name) == "password")


def _word(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name.strip().lower())


def _index(item: Item, kind: type[Any]) -> int:
    return next((n for n, one in enumerate(item.credentials) if isinstance(one, kind)), -1)


def _member(item: Item, word: str) -> Place | None:
    for n, credential in enumerate(item.credentials):
        kind = type(credential)
        if kind not in _WITH_MEMBERS:
            continue
        member = _ALIASES.get(kind, {}).get(word, word)
        if member in kind.__struct_fields__ and member != "extra":
            value = getattr(credential, member)
            hidden = (kind, member) in _HIDDEN or Secret in types_of(kind, member)
            hidden = hidden or (isinstance(value, Field) and value.is_concealed)
            return Place("member", n, kind, member, concealed=hidden)
    return None


def _custom(item: Item, name: str) -> Place | None:
    """Return the custom field of exactly that label, else the first that reads alike."""
    sections = ((n, one) for n, one in enumerate(item.credentials) if isinstance(one, CustomFields))
    fields = [(n, m, field) for n, section in sections for m, field in enumerate(section.fields)]
    alike = [found for found in fields if _word(found[2].label or "") == _word(name)]
    exact = [found for found in alike if found[2].label == name]
    for n, m, field in exact or alike:
        return Place("custom", n, CustomFields, "", m, field.label or "", field.is_concealed)
    return None


def types_of(kind: type[Any], member: str) -> tuple[Any, ...]:
    """Return the types a member of the model may have."""
    declared = next(one.type for one in msgspec.structs.fields(kind) if one.name == member)
    return get_args(declared) or (declared,)
