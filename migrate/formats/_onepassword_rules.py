"""How values of a 1PUX file change on the way in; ledger and proof run these again (dossier: 1Password 2.2).

A rule that returns ``()`` says that the value is structure where it stands: it is kept, but as a name, not as a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from migrate.rules import each, instant_of, link, number_of, rule

CATEGORIES = {
    "001": "Login",
    "002": "Credit Card",
    "003": "Secure Note",
    "004": "Identity",
    "005": "Password",
    "006": "Document",
    "100": "Software License",
    "101": "Bank Account",
    "102": "Database",
    "103": "Driver License",
    "104": "Outdoor License",
    "105": "Membership",
    "106": "Passport",
    "107": "Rewards",
    "108": "Social Security Number",
    "109": "Wireless Router",
    "110": "Server",
    "111": "Email Account",
    "112": "API Credential",
    "113": "Medical Record",
    "114": "SSH Key",
    "115": "Crypto Wallet",
}
TITLES = {"totp": "one-time password", "sshKey": "private key"}  # what the product calls these fields by itself
NOON = 12 * 3600 + 60  # 1Password stores a day as 12:01 of it, UTC
_DAY = 86_400
_MADE = re.compile(r"(?:TOTP_|Section_)?keyferry\d{1,6}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # 0001-01-01 and 9999-12-31 in days since 1970


def made_id(kind: str, number: int) -> str:
    """Return an id for a field or section that has none; the reader forgets it again."""
    return f"{kind}keyferry{number}"


def day_of(seconds: Any) -> str | None:
    """Return the UTC calendar day of UNIX seconds, or None."""
    if type(seconds) is not int or not _FIRST_DAY <= seconds // _DAY <= _LAST_DAY:
        return None
    return (_EPOCH + timedelta(days=seconds // _DAY)).strftime("%Y-%m-%d").rjust(10, "0")


def kind_in(value: Any, kinds: Mapping[str, Any]) -> str:
    """Return the first key of a field's value object that is one of the kinds; "" where there is none."""
    return next((key for key in value if key in kinds), "") if type(value) is dict else ""


@each
def category_code(code: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A category's code becomes its name."""
    name = CATEGORIES.get(code) if type(code) is str else None
    return None if name is None else (name,)


@each
def time_in_seconds(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """UNIX seconds become an RFC 3339 time; 0 says that there is none."""
    return _time(value) if type(value) is int else _time_of(value)


def _time_of(value: Any) -> tuple[str, ...] | None:
    if number_of(value) == 0:
        return ()
    instant = instant_of(value)
    return None if instant is None else (instant,)


_time = lru_cache(maxsize=256)(_time_of)  # each time is asked for by the ledger and by the reader


@each
def calendar_day(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """UNIX seconds become the UTC day they fall on."""
    day = day_of(value)
    return None if day is None else (day,)


@each
def month_of_year(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """YYYYMM becomes YYYY-MM; 0 says that there is none."""
    if type(value) is not int:
        return None
    if value == 0:
        return ()
    year, month = divmod(value, 100)
    return (f"{year:04d}-{month:02d}",) if 1 <= month <= 12 and 1 <= year <= 9999 else None


@each
def country_in_capitals(value: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A country in two small letters becomes two capital ones."""
    return (value.upper(),) if type(value) is str and re.fullmatch(r"[a-z]{2}", value) else None


@rule
def first_address_again(url: Any, overview: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The first address, said a second time."""
    urls = overview.get("urls")
    if type(urls) is not list or not urls or not all(type(one) is dict for one in urls):
        return None
    return (url, url) if url and urls[0].get("url") == url else None


@rule
def private_key_again(key: Any, ssh: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A private key that stands a second time beside its public one."""
    metadata = ssh.get("metadata")
    return (key, key) if key and type(metadata) is dict and metadata.get("privateKey") == key else None


@rule
def named_after_role(name: Any, login: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A login field named after what it is for."""
    return () if name in ("username", "password") and name == login.get("designation") else None


@rule
def name_of_section(name: Any, _: Mapping[str, Any]) -> tuple[str, ...] | None:
    """A name we made for a section that had none."""
    return () if type(name) is str and _MADE.fullmatch(name) else None


@rule
def field_id(own_id: Any, field: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The id of a field that becomes a thing of its own; or one we made for a field that had none."""
    if type(own_id) is not str:
        return None
    value = field.get("value")
    is_thing = is_code(value) or is_key(value) or is_file(value) or is_link(value)
    return () if is_thing or _MADE.fullmatch(own_id) else None


@rule
def field_title(title: Any, field: Mapping[str, Any]) -> tuple[str, ...] | None:
    """What the product itself calls a one-time code or a private key."""
    value = field.get("value")
    if title == TITLES["totp"] and is_code(value):
        return ()
    return () if title == TITLES["sshKey"] and is_key(value) else None


@link
@rule
def linked_item(_: Any, value: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The uuid of the item a link means."""
    return () if is_link(value) else None


def is_code(value: Any) -> bool:
    """Whether a field's value is a one-time code that can be read."""
    text = value.get("totp") if type(value) is dict and kind_in(value, KINDS) == "totp" else None
    if type(text) is not str or not text:
        return False
    from vault import otp

    try:
        otp.parse(text)
    except ValueError:
        return False
    return True


def is_key(value: Any) -> bool:
    """Whether a field's value is an SSH key."""
    return kind_in(value, KINDS) == "sshKey" and type(value["sshKey"]) is dict


def is_file(value: Any) -> bool:
    """Whether a field's value names an attachment."""
    return kind_in(value, KINDS) == "file" and names_file(value["file"])


def names_file(file: Any) -> bool:
    """Whether an object says which attachment it means."""
    return type(file) is dict and all(type(file.get(key)) is str and file[key] for key in ("documentId", "fileName"))


def is_link(value: Any) -> bool:
    """Whether a field's value is another item's id."""
    return kind_in(value, KINDS) == "reference" and type(value["reference"]) is str and bool(value["reference"])


# Kinds of a field's value; for those that are texts the CXF type, and whether the kind has to be remembered.
TEXTS: dict[str, tuple[str, str | None]] = {
    "string": ("string", None),
    "concealed": ("concealed-string", None),
    "email": ("email", None),
    "phone": ("string", "phone"),
    "url": ("string", "url"),
    "menu": ("string", "menu"),
    "gender": ("string", "gender"),
    "creditCardType": ("string", "creditCardType"),
    "creditCardNumber": ("concealed-string", "creditCardNumber"),
}
KINDS: dict[str, Any] = {
    **TEXTS,
    **dict.fromkeys(("date", "monthYear", "totp", "address", "sshKey", "file", "reference"), None),
}
