"""Popping values out of a source record; what is not of the expected type stays where it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrate.rules import number_of
from vault.model import CONCEALED, Field, concealed
from vault.moment import Instant, is_instant


def text(part: dict[str, Any], key: str) -> str:
    """Pop a text; "" where it is absent, null or of another type (which stays)."""
    value = part.pop(key, "")
    if type(value) is str:
        return value
    if value is not None:
        part[key] = value
    return ""


def optional(part: dict[str, Any], key: str) -> str | None:
    """Pop a text; None where it is absent, null, empty or of another type (which stays)."""
    return text(part, key) or None


def flag(part: dict[str, Any], key: str) -> bool:
    """Pop a boolean, null or 0/1; anything else stays and reads as False."""
    value = part.pop(key, None)
    if value is None or value is False or value is True or value in (0, 1):
        return bool(value)
    part[key] = value
    return False


def code(part: dict[str, Any], key: str, known: Mapping[Any, Any], default: Any = None) -> Any:
    """Pop an enum code and return its meaning; an unknown one stays and gives the default."""
    value = part.pop(key, None)
    if value is None:
        return default
    if isinstance(value, (str, int)) and not isinstance(value, bool) and value in known:
        return known[value]
    part[key] = value
    return default


def integer(part: dict[str, Any], key: str) -> int | None:
    """Pop a whole number, written as a number or as its own digits; anything else stays."""
    value = part.get(key)
    number = number_of(value)
    if number is not None and str(number) == str(value):
        del part[key]
        return number
    if value is None or value == "":
        part.pop(key, None)
    return None


def instant(part: dict[str, Any], key: str) -> Instant | None:
    """Pop an RFC 3339 time; an unreadable one stays."""
    value: Any = part.pop(key, None)
    if value is None or value == "":
        return None
    if is_instant(value):
        return value
    part[key] = value
    return None


def field(part: dict[str, Any], key: str, kind: str = "string", **members: Any) -> Field | None:
    """Pop a text into a field; None where there is none."""
    value = text(part, key)
    return Field(value=value, field_type=kind, **members) if value else None


def hidden(part: dict[str, Any], key: str, **members: Any) -> Field | None:
    """Pop a text into a concealed field; None where there is none."""
    value = text(part, key)
    return concealed(value, **members) if value else None


def nested(part: dict[str, Any], key: str) -> dict[str, Any]:
    """Pop an object; {} where it is absent, null or of another type (which stays). Give it back with ``keep``."""
    value = part.pop(key, None)
    if type(value) is dict:
        return value
    if value is not None:
        part[key] = value
    return {}


def keep(part: dict[str, Any], key: str, what_is_left: Any) -> None:
    """Put back what is left of a popped object or list, if anything is."""
    if what_is_left and key not in part:
        part[key] = what_is_left


def objects(part: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Pop a list whose elements are all objects; [] where it is absent, null or holds anything else (which stays)."""
    value = part.pop(key, None)
    if value is None:
        return []
    if type(value) is list:
        for one in value:
            if type(one) is not dict:
                break
        else:
            return value
    part[key] = value
    return []


def texts(part: dict[str, Any], key: str) -> tuple[str, ...]:
    """Pop a list of texts; () where it is absent, null or holds anything else (which stays)."""
    value = part.get(key)
    if value is None:
        part.pop(key, None)
        return ()
    if isinstance(value, list) and all(isinstance(one, str) and one for one in value):
        del part[key]
        return tuple(value)
    return ()


def forget_empty(part: dict[str, Any], *keys: str) -> None:
    """Remove keys of the format that are null or empty: they say nothing."""
    for key in keys:
        if key in part and ((value := part[key]) is None or value in ("", [], {})):
            del part[key]


Members = Mapping[str, tuple[str, str]]  # model member -> (source key, CXF field type)


def fields(part: dict[str, Any], members: Members) -> dict[str, Any]:
    """Pop a text for each member of the model into a field of its type."""
    return {
        ours: hidden(part, key) if kind == CONCEALED else field(part, key, kind)
        for ours, (key, kind) in members.items()
    }
