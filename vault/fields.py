"""Reading and changing an item's values by name. Pure: what comes back is a changed copy.

A replaced password or concealed field goes into the item's history, the newest first. ``vault.fieldnames`` says what a
name means.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from vault.errors import InvalidField
from vault.fieldnames import Place, locate, types_of
from vault.model import CONCEALED, CreditCard, CustomFields, Field, Item, Note, Part, Past, Totp, Url, Wifi, concealed
from vault.moment import Instant
from vault.secret import Secret

_Part = TypeVar("_Part", bound=Part)
_YES, _NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")
_MONTH = re.compile(r"(\d{4})-(\d\d)|(\d\d?)\s*/\s*(?:20)?(\d\d)")
_NOT_REMEMBERED = ("private_key", "number", "verification_number")
_EMPTY: dict[str, Any] = {"title": "", "subtitle": None, "urls": (), "tags": (), "favorite": False}


def value_of(item: Item, name: str) -> str | None:
    """Return the value in clear, addresses one a line; None where the item has no such field."""
    place = locate(item, name)
    if place.what == "urls":
        return "\n".join(url.url for url in item.urls) if item.urls else None
    if place.what == "tags":
        return ", ".join(item.tags)
    if place.what == "favorite":
        return "yes" if item.favorite else "no"
    if place.what in _EMPTY:
        text: str | None = getattr(item, place.what)
        return text
    return None if place.credential < 0 or place.what == "new" else _value_at(item, place)


def _value_at(item: Item, place: Place) -> str | None:
    credential: Any = item.credentials[place.credential]
    if isinstance(credential, Note):
        return credential.content.reveal()
    if isinstance(credential, Totp):
        from vault import otp

        return otp.text_of(credential)
    value = credential.fields[place.field] if place.what == "custom" else getattr(credential, place.member)
    if isinstance(value, Field):
        return value.text
    return value.reveal() if isinstance(value, Secret) else value


def set_values(item: Item, name: str, texts: list[str], now: Instant, *, conceal: bool = False) -> Item:
    """Return the item with the field set; several texts only for ``url`` and ``tags``, whose old values they replace.

    ``conceal`` makes a new custom field a concealed one. Raises ``InvalidField`` for a value that cannot stand there.
    """
    place = locate(item, name)
    if place.what == "urls":
        kept = {url.url: url for url in item.urls}
        return _replace(item, urls=tuple(kept.get(text) or Url(url=text) for text in texts))
    if place.what == "tags":
        tags = [tag.strip() for text in texts for tag in text.split(",")]
        return _replace(item, tags=tuple(dict.fromkeys(filter(None, tags))))
    if len(texts) != 1:
        raise InvalidField(f"{name} has one value", hint="give it once")
    if place.what == "favorite":
        return _replace(item, favorite=_truth(name, texts[0]))
    if place.what in _EMPTY:
        return _replace(item, **{place.what: texts[0]})
    return _put(_remembering(item, place, texts[0], now), place, _with(item, place, texts[0], conceal))


def _with(item: Item, place: Place, text: str, conceal: bool) -> Any:
    """Return the credential with the text in its place, made if it is not there."""
    old: Any = item.credentials[place.credential] if place.credential >= 0 else None
    if place.what == "notes":
        return _replace(old or Note(), content=Secret(text))
    if place.what == "totp":
        return _totp(old, text)
    if place.what == "new":
        hidden = conceal or place.concealed
        field = concealed(text, label=place.label) if hidden else Field(value=text, label=place.label)
        old = old or CustomFields()
        return _replace(old, fields=(*old.fields, field))
    if place.what == "custom":
        refilled = (_refilled(f, text) if n == place.field else f for n, f in enumerate(old.fields))
        return _replace(old, fields=tuple(refilled))
    old = old or place.kind()
    return _replace(old, **{place.member: _filled(getattr(old, place.member), place, text)})


def _totp(old: Totp | None, text: str) -> Totp:
    from vault import otp

    try:
        made = otp.parse(text.strip())
    except ValueError:
        raise InvalidField("totp is neither a base32 key nor an otpauth address") from None
    return _replace(made, label=old.label) if old is not None else made


def _filled(old: Any, place: Place, text: str) -> Field | Secret | str:
    """Return what is to stand in a credential's member: a field, a Secret or a text, as the model has it."""
    types = types_of(place.kind, place.member)
    if Field not in types:
        return Secret(text) if Secret in types else text
    if place.concealed:
        return _refilled(old or concealed(""), text)
    value, field_type = _typed(place.kind, place.member, text)
    made: Field = _replace(old or Field(), value=value, field_type=field_type)
    return made


def _refilled(field: Field, text: str) -> Field:
    return _replace(field, value=Secret(text) if field.field_type == CONCEALED else text)


def _typed(kind: type[Any], member: str, text: str) -> tuple[str, str]:
    """Return the value and its CXF field type; what does not fit the type of its member stays a plain text."""
    if kind is CreditCard and member in ("expiry_date", "valid_from"):
        month = _MONTH.fullmatch(text.strip())
        if month:
            year, number = (month[1], month[2]) if month[1] else (f"20{month[4]}", month[3])
            if 1 <= int(number) <= 12:
                return f"{year}-{int(number):02}", "year-month"
    elif (member.endswith("_date") or member == "valid_from") and re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        return text, "date"
    elif member in ("country", "issuing_country") and re.fullmatch(r"[A-Za-z]{2}", text):
        return text.upper(), "country-code"
    elif member == "network_security_type":
        return text, "wifi-network-security-type"
    elif kind is Wifi and member == "hidden":
        return ("true" if _truth(member, text) else "false"), "boolean"
    return text, "string"


def _truth(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise InvalidField(f"{name} is yes or no")
    return word in _YES


def _remembering(item: Item, place: Place, text: str, now: Instant) -> Item:
    """Return the item with the old value of a concealed field in its history."""
    remembered = place.what in ("member", "custom") and place.concealed and place.member not in _NOT_REMEMBERED
    old = _value_at(item, place) if remembered and place.credential >= 0 else None
    if not old or old == text:
        return item
    past = Past(value=Secret(old), at=now, field=place.member or place.label)
    return _replace(item, history=(past, *item.history))


def _put(item: Item, place: Place, credential: Any) -> Item:
    credentials = list(item.credentials)
    if place.credential < 0:
        credentials.append(credential)
    else:
        credentials[place.credential] = credential
    return _replace(item, credentials=tuple(credentials))


def _replace(part: _Part, **members: Any) -> _Part:
    return msgspec.structs.replace(part, **members)


def unset(item: Item, name: str, now: Instant) -> Item:
    """Return the item without the field; raises ``InvalidField`` where it has none of that name."""
    place = locate(item, name)
    if place.what in _EMPTY:
        return _replace(item, **{place.what: _EMPTY[place.what]})
    if place.credential < 0 or place.what == "new":
        raise InvalidField(f"the item has no field {name!r}", hint="keyferry show ITEM lists them")
    if place.what in ("notes", "totp"):
        return _without(item, place)
    item = _remembering(item, place, "", now)
    credential: Any = item.credentials[place.credential]
    if place.what == "member":
        return _put(item, place, _replace(credential, **{place.member: _nothing(place)}))
    fields = tuple(one for n, one in enumerate(credential.fields) if n != place.field)
    emptied = _replace(credential, fields=fields)
    # A section of ours goes with its last field, unless the item would lose its kind.
    if emptied == CustomFields() and len(item.credentials) > 1:
        return _without(item, place)
    return _put(item, place, emptied)


def _without(item: Item, place: Place) -> Item:
    left = (one for n, one in enumerate(item.credentials) if n != place.credential)
    return _replace(item, credentials=tuple(left))


def _nothing(place: Place) -> Secret | str | None:
    types = types_of(place.kind, place.member)
    return None if type(None) in types else Secret("") if Secret in types else ""
