"""Items and collections between the model's JSON rows and CXF 1.0 (dossier: CXF 3, 6, 11).

CXF's seconds are exact only for whole seconds in UTC, so our extension holds the exact text of any other time. What it
says counts only while it agrees with CXF's own member: another program may have changed that one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from vault import moment
from vault.cxfkinds import COLLECTION, ITEM, Data, Row
from vault.cxfparts import credential_in, credential_out, der_of, ours_of, strays, take, whole
from vault.cxfraw import add, extend, in_place, ours_in, settle, split
from vault.model import Collection, Item, Past, Provenance

FORMAT = "cxf"  # whose raw keys go back in place

NO_DATE = -11_644_473_600  # the year 1601, as Google Password Manager says "no date" (dossier: CXF 2)
APPLE_EPOCH = 978_307_200  # seconds from 1970 to 2001, which two exporters add twice
_DOUBLED_FROM = 2_082_758_400  # the year 2036; no export holds real dates before 2005 that were doubled

_TIMES = ("creationAt", "modifiedAt")


def _names(kind: type[Any]) -> frozenset[str]:
    return frozenset(f.encode_name for f in msgspec.structs.fields(kind))


_ITEM_NATIVE = frozenset(
    {"id", "creationAt", "modifiedAt", "title", "subtitle", "favorite", "scope", "credentials", "tags", "extensions"}
)
_ITEM_OURS = _names(Item) - _ITEM_NATIVE - {"urls", "androidApps", "extra"}
_ITEM_KNOWN = _ITEM_NATIVE | {"type"}
_COLLECTION_KNOWN = frozenset(
    {"id", "creationAt", "modifiedAt", "title", "subtitle", "items", "subCollections", "extensions"}
)
_COLLECTION_OURS = _names(Collection) - _COLLECTION_KNOWN - {"extra"}
_APP_KNOWN = frozenset({"bundleId", "certificate", "name"})
_URL_OURS = frozenset({"match", "label"})
_PAST = _names(Past)
_PROVENANCE = _names(Provenance)


# Times


def is_doubled(seconds: int) -> bool:
    """Whether a time lies so far ahead that the Apple epoch must have been added to it twice."""
    return _DOUBLED_FROM <= seconds <= moment.LAST_SECOND


def instant_in(value: Any, *, trusted: bool) -> str | None:
    """Return the instant of CXF's seconds, a doubled Apple epoch taken off again unless the writer is trusted.

    What would lie after the year 9999 is milliseconds, unless the writer is trusted. None where it is no whole number
    of either after 1970.
    """
    seconds = whole(value)
    if seconds is None or seconds < 0:
        return None
    if not trusted and is_doubled(seconds):
        seconds -= APPLE_EPOCH
    is_millis = not trusted and seconds > moment.LAST_SECOND
    try:
        return moment.from_millis(seconds) if is_millis else moment.from_seconds(seconds)
    except (ValueError, OverflowError):
        return None


def seconds_of(instant: str) -> int | None:
    """Return whole seconds for CXF; None where the text is no time, or one before 1970."""
    if not moment.is_instant(instant):
        return None
    seconds = moment.to_seconds(instant)
    return seconds if seconds >= 0 else None


def _time_out(row: Row, name: str, made: Data) -> None:
    instant = row.pop(name, None)
    if instant is None:
        return
    seconds = seconds_of(instant)
    if seconds is not None:
        made[name] = seconds
    if seconds is None or moment.from_seconds(seconds) != instant:
        row[name] = instant


def _time_in(data: Data, row: Row, name: str, ours: Data | None) -> None:
    value = data.get(name)
    exact = ours.get(name) if ours else None
    if ours is not None and isinstance(exact, str) and seconds_of(exact) == value:
        data.pop(name, None)
        row[name] = ours.pop(name)
    elif value is None or value == NO_DATE:
        data.pop(name, None)
    elif (instant := instant_in(value, trusted=ours is not None)) is not None:
        del data[name]
        row[name] = instant


def exact_time(data: Any, name: str, extension: str) -> str | None:
    """Return the exact text of a time of an item or a collection as it will be read; None where it stays raw."""
    ours = ours_in(data, extension)
    row: Row = {}
    _time_in({name: data.get(name)}, row, name, None if ours is None else dict(ours))
    return row.get(name)


# Items


def item_out(row: Row) -> Data:
    """Return a CXF item of the full profile; the row is used up. Its ``collections`` are written elsewhere."""
    own = row.get("provenance", {}).get("format") == FORMAT
    made: Data = {"id": row.pop("id")}
    for name in _TIMES:
        _time_out(row, name, made)
    made["title"] = row.pop("title", "")
    for name in ("subtitle", "favorite", "tags"):
        if name in row:
            made[name] = row.pop(name)
    _scope_out(row, made, own)
    made["credentials"], held = [], {}
    for at, one in enumerate(row.pop("credentials", ())):
        tag = one["type"]
        credential, rest = credential_out(one, own)
        made["credentials"].append(credential)
        if rest:
            held[str(at)] = {"type": tag, **rest}
    if held:
        row["credentials"] = held
    extra = in_place(made, row.pop("extra", {}), _ITEM_KNOWN, own)
    if extra:
        row["extra"] = extra
    extend(made, ITEM, row)
    return made


def _scope_out(row: Row, made: Data, own: bool) -> None:
    urls, apps = row.pop("urls", ()), row.pop("androidApps", ())
    if not urls and not apps:
        return
    made["scope"] = {"urls": [one.pop("url") for one in urls], "androidApps": []}
    if held := {str(at): one for at, one in enumerate(urls) if one}:
        row["urls"] = held
    held = {}
    for at, app in enumerate(apps):
        data = {"bundleId": app.pop("bundleId", "")} | {n: app.pop(n) for n in ("certificate", "name") if n in app}
        extra = in_place(data, app.pop("extra", {}), _APP_KNOWN, own)
        made["scope"]["androidApps"].append(data)
        if extra:
            held[str(at)] = {"extra": extra}
    if held:
        row["androidApps"] = held


def item_in(data: Data) -> Row:
    """Return an item's row; the data is used up. Without our extension it was written by another product.

    What cannot be understood is in the ``extra`` of the part it stood in. Its ``collections`` come from elsewhere.
    """
    ours = split(data, ITEM)
    row: Row = {"id": ""}
    for name in ("id", "title", "subtitle"):
        take(data, row, name, "text")
    for name in _TIMES:
        _time_in(data, row, name, ours)
    if data.get("favorite") in (True, False, None):
        row["favorite"] = bool(data.pop("favorite", None))
    if data.get("type") in _OLD_ITEM_TYPES:
        del data["type"]
    ours = ours or {}
    row["tags"], rotten = _texts(data.pop("tags", None))
    if rotten:
        data["tags"] = rotten
    _scope_in(data, row, ours)
    _credentials_in(data, row, ours)
    _tidy(ours)
    return settle(row, ours, _ITEM_OURS, data)


_OLD_ITEM_TYPES = ("login", "document", "identity")


def is_ours(data: Any) -> bool:
    """Whether an item or a collection carries our extension, as everything does that Keyferry wrote."""
    return any(ours_in(data, name) is not None for name in (ITEM, COLLECTION))


def _texts(listed: Any) -> tuple[list[str], Any]:
    """Return the texts of a list, and what stays: its other elements, or all of it if it is no list."""
    if listed is None:
        return [], None
    if not isinstance(listed, list):
        return [], listed
    return [t for t in listed if isinstance(t, str)], [t for t in listed if t is not None and not isinstance(t, str)]


def _scope_in(data: Data, row: Row, ours: Data) -> None:
    scope = data.get("scope")
    row["urls"], row["androidApps"] = [], []
    if scope is None:
        data.pop("scope", None)
    if not isinstance(scope, dict):
        return
    urls, rotten = _texts(scope.pop("urls", None))
    if rotten:
        scope["urls"] = rotten
    row["urls"] = [{"url": url} for url in urls]
    _spread(row["urls"], ours, "urls", _URL_OURS)
    listed = scope.pop("androidApps", None)
    apps = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    rotten = [one for one in listed if not isinstance(one, (dict, type(None)))] if isinstance(listed, list) else listed
    if rotten:
        scope["androidApps"] = rotten
    row["androidApps"] = [_app_in(one) for one in apps]
    _spread(row["androidApps"], ours, "androidApps", frozenset())
    if not scope:
        del data["scope"]


def _app_in(data: Data) -> Row:
    row: Row = {}
    take(data, row, "bundleId", "text")
    take(data, row, "name", "text")
    take(data, row, "certificate", "object")
    if data:
        row["extra"] = data
    return row


def _spread(rows: list[Row], ours: Data, name: str, allowed: frozenset[str]) -> None:
    """Give each part what our extension holds for it by its index; what fits none of them stays."""
    held = ours.get(name)
    if not isinstance(held, dict):
        return
    for at, row in enumerate(rows):
        one = held.get(str(at))
        if isinstance(one, dict):
            settle(row, held.pop(str(at)), allowed, row.pop("extra", {}))
    if not held:
        del ours[name]


def _credentials_in(data: Data, row: Row, ours: Data) -> None:
    listed = data.pop("credentials", None)
    row["credentials"], rotten = [], []
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            made = credential_in(one)
            row["urls"] += [{"url": url} for url in strays(made)]
            row["credentials"].append(made)
        elif one is not None:
            rotten.append(one)
    if not isinstance(listed, (list, type(None))):
        data["credentials"] = listed
    elif rotten:
        data["credentials"] = rotten
    held = ours.get("credentials")
    if isinstance(held, dict):
        for at, made in enumerate(row["credentials"]):
            _join(made, held, str(at))
        if not held:
            del ours["credentials"]


def _join(row: Row, held: Data, at: str) -> None:
    """Give a credential what our extension holds for it, unless another has come to stand in its place."""
    one = held.get(at)
    if not isinstance(one, dict) or one.get("type") != row["type"]:
        return
    del held[at], one["type"]
    exact = one.get("privateKey")
    if isinstance(exact, str) and (der_of(exact) or "") == row.get("privateKey", ""):
        row.pop("privateKey", None)
    settle(row, one, ours_of(row["type"]), row.pop("extra", {}))


def _tidy(ours: Data) -> None:
    """Move keys that a later version put into history and provenance to where raw keys are kept."""
    history, provenance = ours.get("history"), ours.get("provenance")
    parts: Iterable[Any] = history if isinstance(history, list) else ()
    for part, names in [*((past, _PAST) for past in parts), (provenance, _PROVENANCE)]:
        if isinstance(part, dict):
            for key in [key for key in part if key not in names]:
                add(part.setdefault("extra", {}), key, part.pop(key))


# Collections


def collection_out(row: Row) -> Data:
    """Return a CXF collection without its members; the row is used up."""
    own = row.get("format") == FORMAT
    made: Data = {"id": row.pop("id")}
    for name in _TIMES:
        _time_out(row, name, made)
    made["title"] = row.pop("title", "")
    if "subtitle" in row:
        made["subtitle"] = row.pop("subtitle")
    made["items"] = []
    extra = in_place(made, row.pop("extra", {}), _COLLECTION_KNOWN, own)
    if extra:
        row["extra"] = extra
    extend(made, COLLECTION, row)
    return made


def collection_in(data: Data) -> Row:
    """Return a collection's row; ``items`` and ``subCollections`` were taken out of the data before."""
    ours = split(data, COLLECTION)
    row: Row = {"id": ""}
    for name in ("id", "title", "subtitle"):
        take(data, row, name, "text")
    for name in _TIMES:
        _time_in(data, row, name, ours)
    return settle(row, ours or {}, _COLLECTION_OURS, data)
