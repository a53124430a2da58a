"""1Password's own vocabulary: which field of which category is which member of the model, and where things stand.

Sections keep their order as custom fields; what has a typed home in the model (a card's number, a one-time code, an
attachment) leaves its section. Where it stood is not written down if it stands where the product puts it; else it is
kept in ``extra["keyferry"]``, together with how the product shows a field. That is structure, no value of anybody: it
is kept as a *name* in JSON, so that nothing shows it as a field and no proof takes it for a value.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple

from migrate.containers import is_safe_name
from vault import model
from vault.model import CONCEALED

KEPT = "keyferry"
WEB_FORM = "onepassword-login-fields"  # the section that holds what else stood in a login's web form
OF_DETAILS = "details.password"  # marks a password that stood beside the login fields
PLAIN_TYPES = {"T": "string", "E": "email", "P": CONCEALED}  # those that a CXF type says all about
FIELD_TYPES = {**PLAIN_TYPES, **dict.fromkeys(("U", "N", "A", "TEL", "C", "I", "B"), "string")}


class Member(NamedTuple):
    """A field of a category's template that is a member of the model."""

    section: str
    id: str
    title: str
    of: type[Any]
    member: str
    kind: str = "string"


_NUMBER, _PLACE, _MORE = "number", "address", "details"
_LOGIN = (
    Member("", "username", "username", model.BasicAuth, "username"),
    Member("", "password", "password", model.BasicAuth, "password", "concealed"),
)
_CARD, _PASS, _DRIVE = model.CreditCard, model.Passport, model.DriversLicense
MEMBERS: dict[str, tuple[Member, ...]] = {
    "002": (
        Member("", "cardholder", "cardholder name", _CARD, "full_name"),
        Member("", "type", "type", _CARD, "card_type", "creditCardType"),
        Member("", "ccnum", _NUMBER, _CARD, "number", "creditCardNumber"),
        Member("", "cvv", "verification number", _CARD, "verification_number", "concealed"),
        Member("", "expiry", "expiry date", _CARD, "expiry_date", "monthYear"),
        Member("", "validFrom", "valid from", _CARD, "valid_from", "monthYear"),
        Member(_MORE, "pin", "PIN", _CARD, "pin", "concealed"),
    ),
    "004": (
        Member("name", "firstname", "first name", model.PersonName, "given"),
        Member("name", "initial", "initial", model.PersonName, "given2"),
        Member("name", "lastname", "last name", model.PersonName, "surname"),
        Member(_PLACE, "defphone", "default phone", model.Address, "tel", "phone"),
    ),
    "102": _LOGIN,
    "103": (
        Member("", "fullname", "full name", _DRIVE, "full_name"),
        Member("", "birthdate", "date of birth", _DRIVE, "birth_date", "date"),
        Member("", "number", _NUMBER, _DRIVE, "license_number"),
        Member("", "class", "license class", _DRIVE, "license_class"),
        Member("", "state", "state", _DRIVE, "territory"),
        Member("", "country", "country", _DRIVE, "country"),
        Member("", "expiry_date", "expiry date", _DRIVE, "expiry_date", "monthYear"),
    ),
    "106": (
        Member("", "type", "type", _PASS, "passport_type"),
        Member("", "issuing_country", "issuing country", _PASS, "issuing_country"),
        Member("", "number", _NUMBER, _PASS, "passport_number"),
        Member("", "fullname", "full name", _PASS, "full_name"),
        Member("", "sex", "sex", _PASS, "sex", "gender"),
        Member("", "nationality", "nationality", _PASS, "nationality"),
        Member("", "issuing_authority", "issuing authority", _PASS, "issuing_authority"),
        Member("", "birthdate", "date of birth", _PASS, "birth_date", "date"),
        Member("", "birthplace", "place of birth", _PASS, "birth_place"),
        Member("", "issue_date", "issued on", _PASS, "issue_date", "date"),
        Member("", "expiry_date", "expiry date", _PASS, "expiry_date", "date"),
    ),
    "108": (
        Member("", "name", "name", model.IdentityDocument, "full_name"),
        Member("", "number", _NUMBER, model.IdentityDocument, "identification_number", "concealed"),
    ),
    "109": (
        Member("", "network_name", "network name", model.Wifi, "ssid"),
        Member("", "wireless_security", "wireless security", model.Wifi, "network_security_type", "menu"),
        Member("", "wireless_password", "wireless network password", model.Wifi, "passphrase", "concealed"),
    ),
    "110": _LOGIN,
    "111": (
        Member("", "pop_username", "username", model.BasicAuth, "username"),
        Member("", "pop_password", "password", model.BasicAuth, "password", "concealed"),
    ),
    "112": (
        Member("", "username", "username", model.ApiKey, "username"),
        Member("", "credential", "credential", model.ApiKey, "key", "concealed"),
        Member("", "type", "type", model.ApiKey, "key_type", "menu"),
        Member("", "validFrom", "valid from", model.ApiKey, "valid_from", "date"),
        Member("", "expires", "expires", model.ApiKey, "expiry_date", "date"),
        Member("", "hostname", "hostname", model.ApiKey, "url"),
    ),
}
HIDDEN = frozenset({"number", "verification_number", "pin", "password", "key", "passphrase"})  # always concealed
SECTION_TITLES = {"name": "Identification", _PLACE: "Address", _MORE: "Additional Details"}
RANKS: dict[type[Any], int] = {
    model.Address: 25,
    model.Totp: 1001,
    model.SshKey: 1002,
    model.File: 1003,
    model.ItemReference: 1004,
}
BARE: dict[str, type[Any]] = {"001": model.BasicAuth, **{code: rows[0].of for code, rows in MEMBERS.items()}}


def member_of(document: str, name: str) -> str:
    """Return the container's member that holds an attachment."""
    return f"files/{document}__{name}"


def safe_member_of(document: str, name: str) -> str:
    """Return the member that we write an attachment to: one that stays in its folder on every system."""
    member = member_of(document, name)
    folder, _, last = member.partition("/")
    if is_safe_name(member) and len(last) <= _LONGEST and not any(mark in last for mark in "/\\:"):
        return member
    return f"{folder}/{''.join('_' if one in _UNSAFE or one < ' ' else one for one in last[:_LONGEST])}"


def usual_place(kind: type[Any], code: str) -> tuple[str | None, bool]:
    """Return the section where the product puts a thing of this kind, and whether it comes first there."""
    if kind is model.SshKey:
        return "", True
    return (_PLACE, True) if kind is model.Address and code == "004" else (None, False)


def logs_in_by_section(code: str) -> bool:
    """Whether the category keeps its user name and password in a section, not in the login fields."""
    return BARE.get(code) is model.BasicAuth and code != "001"


# -- what is kept as a name


def keep(part: dict[str, Any], details: dict[str, Any]) -> dict[str, Any]:
    """Put structure into an ``extra``; raises ``ValueError`` where the source has such a key of its own."""
    if details:
        if KEPT in part:
            raise ValueError("the key is taken")
        part[KEPT] = {json.dumps(details, sort_keys=True, separators=(",", ":")): None}
    return part


def kept(extra: dict[str, Any]) -> dict[str, Any]:
    """Return the structure in an ``extra``; {} where there is none."""
    found = extra.get(KEPT)
    if type(found) is dict and len(found) == 1 and None in found.values():
        return _loaded(next(iter(found)))
    return {}


@lru_cache(maxsize=4096)
def _loaded(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def raw(extra: dict[str, Any]) -> dict[str, Any]:
    """Return an ``extra`` without the structure in it."""
    return {key: value for key, value in extra.items() if key != KEPT} if kept(extra) else extra


# -- how good a password is, as the product reckons it: nothing that anybody wrote


class _Entropy:
    """The numbers that the product reckons for a password in bits."""

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and 0 <= value < _MOST_BITS


_MOST_BITS = 100_000
RANKS_OF_FAVORITES = range(1 << 31)  # 0 for no favourite, for others their place among them
RATINGS: dict[str, Container[Any]] = {"ps": range(101), "pbe": _Entropy()}


def ratings_of(overview: dict[str, Any]) -> dict[str, Any]:
    """Pop what the product says of a password's quality; numbers as texts, which keep every digit."""
    made: dict[str, Any] = {"pgrng": overview.pop("pgrng")} if isinstance(overview.get("pgrng"), bool) else {}
    for key, known in RATINGS.items():
        value = overview.get(key)
        if isinstance(value, int | Decimal) and not isinstance(value, bool) and value in known:
            made[key] = str(overview.pop(key))
    return made


def as_ratings(details: dict[str, Any]) -> dict[str, Any]:
    """Return what ``ratings_of`` popped."""
    made = {"pgrng": details["pgrng"]} if "pgrng" in details else {}
    return made | {key: _number(details[key]) for key in RATINGS if key in details}


def _number(text: str) -> int | Decimal:
    return int(text) if text.isdigit() else Decimal(text)


# -- how a field is shown

DEFAULT_TRAITS = {"keyboard": "default", "correction": "default", "capitalization": "default"}
TRAITS: dict[str, frozenset[str]] = {
    "keyboard": frozenset(
        {
            *("default", "numberPad", "numbersAndPunctuation", "namePhonePad", "phonePad", "emailAddress", "uRL"),
            *("URL", "asciiCapable", "decimalPad", "twitter", "webSearch"),
        }
    ),
    "correction": frozenset({"default", "yes", "no"}),
    "capitalization": frozenset({"default", "none", "words", "sentences", "allCharacters"}),
}
DIGITS = "0123456789"  # the one clipboard filter seen, on card numbers
MOST_FIELDS = 1000  # an index beyond is no index
_LONGEST = 200  # letters of a member's name
_UNSAFE = frozenset('/\\:*?"<>|')
_FLAGS = ("guarded", "multiline", "dontGenerate")


def shown_as(data: dict[str, Any]) -> dict[str, Any]:
    """Pop how a field is shown, and return what of it is not the default; what is not understood stays."""
    details: dict[str, Any] = {}
    for key in _FLAGS:
        if data.get(key, 0) is True:
            details[key] = data.pop(key)
        elif data.get(key) is False or data.get(key) is None:
            data.pop(key, None)
    if traits := _traits(data):
        details["inputTraits"] = traits
    index = data.get("indexAtSource")
    if type(index) is int and 0 <= index < MOST_FIELDS:
        details["indexAtSource"] = data.pop("indexAtSource")
    if data.get("clipboardFilter") == DIGITS:
        details["clipboardFilter"] = data.pop("clipboardFilter")
    for key in ("placeholder", "clipboardFilter", "indexAtSource"):
        if data.get(key, 0) is None or data.get(key) == "":
            del data[key]
    return details


def _traits(data: dict[str, Any]) -> dict[str, str]:
    traits = data.get("inputTraits")
    if traits == DEFAULT_TRAITS or traits is None:
        data.pop("inputTraits", None)
        return {}
    if not isinstance(traits, dict):
        return {}
    known = {k: v for k, v in traits.items() if k in TRAITS and type(v) is str and v in TRAITS[k]}
    for key in known:
        del traits[key]
    if not traits:
        del data["inputTraits"]
    return {key: value for key, value in known.items() if value != "default"}


def as_shown(details: dict[str, Any], value: str = "") -> dict[str, Any]:
    """Return how a field is shown, every key that the product's import asks for included."""
    made: dict[str, Any] = {
        "guarded": bool(details.get("guarded")),
        "multiline": bool(details.get("multiline", "\n" in value)),
        "dontGenerate": bool(details.get("dontGenerate")),
        "inputTraits": {**DEFAULT_TRAITS, **details.get("inputTraits", {})},
    }
    for key in ("indexAtSource", "clipboardFilter"):
        if key in details:
            made[key] = details[key]
    return made


# -- where things stand


@dataclass(slots=True, eq=False)
class Thing:
    """Something that stands in a section and has a typed home of its own."""

    what: Any  # the field's JSON on the way out, whatever marks it on the way in
    rank: int = 0  # things of a lower rank come first
    section: str | None = None  # by name; None: the last one
    is_first: bool = False  # at the front of its section, after others like it
    place: tuple[int, int] | None = None  # section and position, where it does not stand as the product puts it


@dataclass(slots=True)
class Row:
    """One section with its fields and things; ``origin`` is its place among the given ones, None if it was made."""

    name: str | None
    fields: list[Any]
    origin: int | None = None


def arrange(names: Sequence[str | None], rows: Iterable[Sequence[Any]], things: Sequence[Thing]) -> list[Row]:
    """Put things back between the fields of their sections; a section that is missing is made.

    Things with a place come first, then the others by rank.
    """
    made = [Row(name, list(row), n) for n, (name, row) in enumerate(zip(names, rows, strict=True))]
    for thing in sorted((t for t in things if t.place is not None), key=_place):
        section, position = _place(thing)
        made = made or [Row(None, [])]
        made[min(section, len(made) - 1)].fields.insert(position, thing)
    front: dict[str | None, int] = {}
    for thing in sorted((t for t in things if t.place is None), key=lambda t: t.rank):
        row = _section(made, thing.section).fields
        row.insert(front.get(thing.section, 0) if thing.is_first else len(row), thing)
        front[thing.section] = front.get(thing.section, 0) + thing.is_first
    return made


def _place(thing: Thing) -> tuple[int, int]:
    return thing.place or (0, 0)


def _section(made: list[Row], name: str | None) -> Row:
    """Return the section of that name (None: the last one); it is made where there is none."""
    if name is None and made:
        return made[-1]
    wanted = name or None
    found = next((row for row in made if row.name == wanted), None)
    if found is None:
        found = Row(wanted, [])
        made.insert(0 if wanted is None else len(made), found)
    return found


def with_places(
    names: Sequence[str | None], actual: Sequence[Sequence[Any]], things: Sequence[Thing], is_blank: Sequence[bool]
) -> list[int]:
    """Return which sections are worth keeping; give every thing its place where the default would put one elsewhere.

    ``actual`` holds the sections as they are, things among fields.
    """
    full = [n for n, blank in enumerate(is_blank) if not blank]
    own = [[one for one in row if not isinstance(one, Thing)] for row in actual]
    at = {id(one): (s, f) for s, row in enumerate(actual) for f, one in enumerate(row) if isinstance(one, Thing)}
    if not at:
        return full
    said = [n for n, row in enumerate(actual) if row or not is_blank[n]]
    usual = arrange([names[n] for n in full], [own[n] for n in full], things)
    if [(row.name, *map(id, row.fields)) for row in usual] == [(names[n], *map(id, actual[n])) for n in said]:
        return full
    for thing in things:
        thing.place = at.get(id(thing))
    return list(range(len(actual)))
