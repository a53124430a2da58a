"""Raw keys and extension objects in CXF: what nobody understands stays, and what only we have stands beside it."""

from __future__ import annotations

from typing import Any

from vault.cxfkinds import OURS, Data, Row


def add(extra: dict[str, Any], key: str, value: Any) -> None:
    """Put a raw value under its key, or under the next free one, so that nothing is written over."""
    name, n = key, 1
    while name in extra:
        n += 1
        name = f"{key} ({n})"
    extra[name] = value


def split(data: Data, name: str) -> Data | None:
    """Take our extension object of that name out of ``extensions``; what others wrote stays there."""
    listed = data.get("extensions")
    if listed is None or listed == []:
        data.pop("extensions", None)
        return None
    if not isinstance(listed, list):
        return None
    for at, one in enumerate(listed):
        if isinstance(one, dict) and one.get("name") == name:
            rest = listed[:at] + listed[at + 1 :]
            data["extensions"] = rest
            if not rest:
                del data["extensions"]
            return {key: value for key, value in one.items() if key != "name"}
    return None


def ours_in(data: Any, name: str) -> Data | None:
    """Return our extension object of that name without taking it; None where there is none."""
    listed = data.get("extensions")
    found = (one for one in listed if isinstance(one, dict)) if isinstance(listed, list) else ()
    return next((one for one in found if one.get("name") == name), None)


def extend(made: Data, name: str, members: Data) -> None:
    """Add our extension object, after those of others."""
    made["extensions"] = [*made.get("extensions", ()), {"name": name, **members}]


def in_place(made: Data, extra: dict[str, Any], known: frozenset[str], own: bool) -> dict[str, Any]:
    """Put raw keys that came from CXF back where they stood; return those that only our extension can hold."""
    if not own:
        return extra
    kept = {}
    for key, value in extra.items():
        if key == "extensions" and _is_foreign(value):
            made[key] = list(value)
        elif key in known or key in made or key == "extensions":
            kept[key] = value
        else:
            made[key] = value
    return kept


def _is_foreign(listed: Any) -> bool:
    """Whether it is a list of extension objects of others that reads back as it is."""
    return (
        isinstance(listed, list)
        and bool(listed)
        and not any(isinstance(one, dict) and _is_ours(one.get("name")) for one in listed)
    )


def _is_ours(name: Any) -> bool:
    return isinstance(name, str) and name in OURS


def settle(row: Row, ours: Data, allowed: frozenset[str], data: Data) -> Row:
    """Join what an extension of ours held, and keep as ``extra`` what is left of both."""
    extra = data
    known = ours.pop("extra", None)
    if isinstance(known, dict):
        for key, value in known.items():
            add(extra, key, value)
    elif known is not None:
        add(extra, "extra", known)
    for key, value in ours.items():
        if key in allowed and key not in row:
            row[key] = value
        else:
            add(extra, key, value)
    if extra:
        row["extra"] = extra
    return row
