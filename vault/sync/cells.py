"""A row as cells: the grain at which the changes of several devices are merged.

A row is the canonical JSON of an item, a collection or what a format says beside its items, as a dict with secrets in
clear. A cell has a path and a JSON value. Names in a path are escaped: ``~0`` is a tilde, ``~1`` a slash.

    ``title``                              a member, its whole value
    ``tags/KEY``                           [place, element] of a list that is a set: tags, collections, urls,
                                           androidApps, history, aliases
    ``credentials/KEY``                    [place, type] of a credential; without this *head* its members are dead
    ``credentials/KEY/MEMBER``             a member of it, its whole value
    ``credentials/KEY/fields/KEY``         [place, field] of a custom-fields credential
    ``tags@/KEY``, ``credentials@/KEY``, ``credentials/KEY/fields@/KEY``
                                           another place for an element that was moved

The key of an element is its canonical JSON, or 22 letters of its SHA-256 where that is long or a secret; of a file or
section with an id, type and id; of another credential its type; of a field its id or label. What would have the same
key gets ``#2``, ``#3``... Elements stand in the order of (place, key). An empty list is a member like any other.

A row that was changed is laid upon the cells it had (``like``): what stayed the same keeps key and place, so that two
devices that take different elements out, or move them, do not undo each other. There a new credential's key holds a
digest of it: two devices that each add one have two. One with another secret is another code, passkey or SSH key.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from vault.canonical import canonical

Row = dict[str, Any]
Cells = Mapping[str, Any]

SETS = frozenset({"tags", "collections", "urls", "androidApps", "history", "aliases"})
CREDENTIALS, FIELDS = "credentials", "fields"
_SECTION = "custom-fields"
_LONGEST_KEY = 40
_FURTHEST = 1 << 53
_TELLING = {  # by this member a credential that was changed is known again
    "basic-auth": "username",
    _SECTION: "label",
    "credit-card": "number",
    "item-reference": "reference",
    "totp": "secret",
    "passkey": "key",
    "ssh-key": "privateKey",
}
_ONLY_WHOLE = frozenset({"totp", "passkey", "ssh-key"})  # without it, it is another one


class _Credential(NamedTuple):
    head: Any
    members: Row
    fields: dict[str, Any]
    moved: dict[str, Any]


class _Parsed(NamedTuple):
    """Cells by what they mean; paths that mean nothing to this version are in none of them."""

    plain: Row
    lists: dict[str, dict[str, Any]]
    moved: dict[str, dict[str, Any]]
    credentials: dict[str, _Credential]


class _Sort(NamedTuple):
    """How the elements of a list are told apart: same key, changed but the same, new."""

    hints: Callable[[Any], tuple[Any, ...]]
    fresh: Callable[[Any], str]


def flatten(row: Row, like: Cells | None = None) -> dict[str, Any]:
    """Return the cells of a row; ``unflatten`` gives the same row.

    Laid upon the cells the row had before, if given. Cells that mean nothing to this version are not among them.
    """
    old = _parsed(like) if like is not None else None
    cells: dict[str, Any] = {}
    for name, value in row.items():
        if name in SETS and value and isinstance(value, list):
            sort = _HISTORY if name == "history" else _ELEMENT
            elements = old.lists.get(name, {}) if old else None
            _lay(cells, name, value, sort, elements, old.moved.get(name, {}) if old else {})
        elif name == CREDENTIALS and value and isinstance(value, list):
            _lay_credentials(cells, value, old)
        else:
            cells[_escaped(name)] = value
    return cells


def unflatten(cells: Cells) -> Row:
    """Return the row of these cells, whatever their order; total, so that a strange cell harms only itself."""
    parsed = _parsed(cells)
    row = dict(parsed.plain)
    for name, elements in parsed.lists.items():
        moved = parsed.moved.get(name, {})
        row[name] = [_content(elements[key]) for key in _order(elements, moved)]
    heads = {key: one.head for key, one in parsed.credentials.items() if one.head is not None}
    if heads:
        order = _order(heads, parsed.moved.get(CREDENTIALS, {}))
        row[CREDENTIALS] = [_credential(parsed.credentials[key]) for key in order]
    return {name: row[name] for name in sorted(row)}


def head_of(path: str) -> str | None:
    """Return the path of the credential that a cell is a part of, or None."""
    parts = path.split("/")
    return f"{CREDENTIALS}/{parts[1]}" if parts[0] == CREDENTIALS and len(parts) > 2 else None


def is_known(path: str) -> bool:
    """Tell whether the path means something to this version; other cells are kept and left alone."""
    return _means_something(path.split("/"))


def is_place(path: str) -> bool:
    """Tell whether the cell says only where an element stands."""
    parts = path.split("/")
    return len(parts) in (2, 4) and parts[-2].endswith("@")


def content(path: str, value: Any) -> Any:
    """Return what a cell says without the place it stands at."""
    return _content(value) if path.count("/") in (1, 3) and not is_place(path) else value


# -- one list


def _lay(
    cells: dict[str, Any],
    root: str,
    elements: Sequence[Any],
    sort: _Sort,
    old: Mapping[str, Any] | None,
    moved: Mapping[str, Any],
    contents: Sequence[Any] | None = None,
) -> list[str]:
    """Put the elements of a list into the cells and return their keys."""
    if old is None:
        keys = _free_keys([sort.fresh(element) for element in elements], set())
        for place, (key, element) in enumerate(zip(keys, contents or elements, strict=True)):
            cells[f"{root}/{key}"] = [place, element]
        return keys
    keys = _known_keys(elements, sort, old, moved)
    before = {key: _place(moved.get(key, old[key])) for key in keys if key in old}
    places = _places(keys, before)
    for key, place, element in zip(keys, places, contents or elements, strict=True):
        own = _place(old[key]) if key in old else place
        cells[f"{root}/{key}"] = [own, element]
        if place != own or (key in old and key in moved):
            cells[f"{root}@/{key}"] = place
    return keys


def _free_keys(bases: Iterable[str], taken: set[str]) -> list[str]:
    """Return a key for each base; those taken already get a number."""
    keys = []
    counts: dict[str, int] = {}
    for base in bases:
        key: str = base
        while key in taken:
            counts[base] = counts.get(base, 1) + 1
            key = f"{base}#{counts[base]}"
        taken.add(key)
        keys.append(key)
    return keys


def _known_keys(elements: Sequence[Any], sort: _Sort, old: Mapping[str, Any], moved: Mapping[str, Any]) -> list[str]:
    """Return the keys of elements: an old one's if it is the same, or the same one changed, else a new key."""
    found: dict[int, str] = {}
    left = {key: sort.hints(_content(old[key])) for key in _order(old, moved)}
    hints = [sort.hints(element) for element in elements]
    for level in range(max(map(len, hints), default=0)):
        by_hint: dict[Any, list[str]] = {}
        for key, own in left.items():
            if level < len(own):
                by_hint.setdefault(own[level], []).append(key)
        waiting = {hint: iter(keys) for hint, keys in by_hint.items()}
        for at, own in enumerate(hints):
            if at in found or level >= len(own) or own[level] not in waiting:
                continue
            for key in waiting[own[level]]:
                found[at] = key
                del left[key]
                break
    fresh = [at for at in range(len(elements)) if at not in found]
    made = _free_keys([sort.fresh(elements[at]) for at in fresh], set(found.values()))
    found.update(zip(fresh, made, strict=True))
    return [found[at] for at in range(len(elements))]


def _places(keys: Sequence[str], before: Mapping[str, int]) -> list[int]:
    """Return places that put the keys in this order; as many as possible stay where they were."""
    staying = _longest_run([(before[key], key) for key in keys if key in before])
    following = _next_places(keys, staying)
    places: list[int] = []
    last: tuple[int, str] | None = None
    for key, (distance, ahead) in zip(keys, following, strict=True):
        if key in staying and (last is None or (staying[key], key) > last):
            place = staying[key]
        elif last is not None:
            place = last[0] + 1
        else:
            place = ahead - distance if ahead is not None else 0
        places.append(place)
        last = (place, key)
    return places if all(-_FURTHEST < place < _FURTHEST for place in places) else list(range(len(keys)))


def _next_places(keys: Sequence[str], staying: Mapping[str, int]) -> list[tuple[int, int | None]]:
    """Return for each key how far off the next one that stays is, and where that stands."""
    following: list[tuple[int, int | None]] = []
    distance, ahead = 0, None
    for key in reversed(keys):
        distance, ahead = (0, staying[key]) if key in staying else (distance + 1, ahead)
        following.append((distance, ahead))
    return following[::-1]


def _longest_run(places: Sequence[tuple[int, str]]) -> dict[str, int]:
    """Return the most places that rise already, by key."""
    ends: list[tuple[int, str]] = []
    at_end: list[int] = []
    before: list[int] = []
    for number, place in enumerate(places):
        at = bisect_left(ends, place)
        before.append(at_end[at - 1] if at else -1)
        ends[at : at + 1] = [place]
        at_end[at : at + 1] = [number]
    run: dict[str, int] = {}
    number = at_end[-1] if at_end else -1
    while number >= 0:
        run[places[number][1]] = places[number][0]
        number = before[number]
    return run


def _order(elements: Mapping[str, Any], moved: Mapping[str, Any]) -> list[str]:
    return sorted(elements, key=lambda key: (_place(moved.get(key, elements[key])), key))


def _place(value: Any) -> int:
    """Return the place a cell gives; 0 for a cell that nobody of ours wrote."""
    place = value[0] if isinstance(value, list) and value else value
    return place if type(place) is int and -_FURTHEST < place < _FURTHEST else 0


def _content(value: Any) -> Any:
    return value[1] if isinstance(value, list) and len(value) == 2 else value


# -- credentials


def _lay_credentials(cells: dict[str, Any], credentials: Sequence[Any], old: _Parsed | None) -> None:
    before = None
    if old is not None:
        alive = ((key, one) for key, one in old.credentials.items() if one.head is not None)
        before = {key: [_place(one.head), _credential(one)] for key, one in alive}
    sort = _CREDENTIAL if old is None else _NEW_CREDENTIAL
    moved = old.moved.get(CREDENTIALS, {}) if old is not None else {}
    heads = [_type(one) or [one] for one in credentials]
    keys = _lay(cells, CREDENTIALS, credentials, sort, before, moved, heads)
    for key, one in zip(keys, credentials, strict=True):
        if _type(one) is not None:
            _lay_members(cells, f"{CREDENTIALS}/{key}", one, old.credentials.get(key) if old is not None else None)


def _type(credential: Any) -> str | None:
    """Return the type of a credential; None for something that has none and stays whole."""
    kind = credential.get("type") if isinstance(credential, dict) else None
    return kind if isinstance(kind, str) and kind else None


def _lay_members(cells: dict[str, Any], root: str, credential: Row, old: _Credential | None) -> None:
    for name, value in credential.items():
        if name == FIELDS and credential["type"] == _SECTION and value and isinstance(value, list):
            before = None if old is None else old.fields
            _lay(cells, f"{root}/{FIELDS}", value, _FIELD, before, {} if old is None else old.moved)
        elif name != "type":
            cells[f"{root}/{_escaped(name)}"] = value


def _credential(parsed: _Credential) -> Any:
    kind = _content(parsed.head)
    if not isinstance(kind, str):
        return kind[0] if isinstance(kind, list) and len(kind) == 1 else kind
    made = {"type": kind, **{name: parsed.members[name] for name in sorted(parsed.members)}}
    if parsed.fields:
        made[FIELDS] = [_content(parsed.fields[key]) for key in _order(parsed.fields, parsed.moved)]
    return made


# -- keys and hints


def _element_hints(element: Any) -> tuple[Any, ...]:
    return (canonical(element),)


def _credential_hints(credential: Any) -> tuple[Any, ...]:
    """Return by what a credential is known again: all of it, its own id, a telling member, its type."""
    whole = canonical(credential)
    kind = _type(credential)
    if kind is None:
        return (whole,)
    own = _own_id(credential)
    if own is not None:
        return (whole, (kind, "id", own))
    telling = (kind, canonical(credential.get(_TELLING.get(kind, ""))))
    return (whole, telling) if kind in _ONLY_WHOLE else (whole, telling, kind)


def _field_hints(field: Any) -> tuple[Any, ...]:
    return (canonical(field), _field_key(field))


def _element_key(element: Any) -> str:
    text = canonical(element)
    return _escaped(text.decode()) if len(text) <= _LONGEST_KEY else _digest(text)


def _secret_key(element: Any) -> str:
    return _digest(canonical(element))


def _credential_key(credential: Any) -> str:
    kind = _type(credential)
    if kind is None:
        return _secret_key(credential)
    own = _own_id(credential)
    return _short(kind) if own is None else f"{_short(kind)}:{_short(own)}"


def _new_credential_key(credential: Any) -> str:
    key = _credential_key(credential)
    whole = _type(credential) is None or _own_id(credential) is not None
    return key if whole else f"{key}#{_secret_key(credential)}"


def _own_id(credential: Row) -> str | None:
    own = credential.get("id") if credential["type"] in ("file", _SECTION) else None
    return own if isinstance(own, str) and own else None


def _field_key(field: Any) -> str:
    for name in ("id", "label"):
        own = field.get(name) if isinstance(field, dict) else None
        if isinstance(own, str) and own:
            return f"{name}:{_short(own)}"
    return "field"


def _short(text: str) -> str:
    return _escaped(text) if len(text) <= _LONGEST_KEY else _digest(canonical(text))


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest())[:22].decode()


_ELEMENT = _Sort(_element_hints, _element_key)
_HISTORY = _Sort(_element_hints, _secret_key)
_CREDENTIAL = _Sort(_credential_hints, _credential_key)
_NEW_CREDENTIAL = _Sort(_credential_hints, _new_credential_key)
_FIELD = _Sort(_field_hints, _field_key)


# -- paths


def _escaped(name: str) -> str:
    if "~" in name or "/" in name:
        return name.replace("~", "~0").replace("/", "~1")
    return name


def _unescaped(name: str) -> str:
    return name.replace("~1", "/").replace("~0", "~") if "~" in name else name


def _means_something(parts: Sequence[str]) -> bool:
    root, length = parts[0], len(parts)
    if length == 1:
        return True
    if length == 2:
        return root.removesuffix("@") in SETS or root.removesuffix("@") == CREDENTIALS
    return root == CREDENTIALS and (length == 3 or (length == 4 and parts[2] in (FIELDS, f"{FIELDS}@")))


def _parsed(cells: Cells) -> _Parsed:
    plain: Row = {}
    lists: dict[str, dict[str, Any]] = {}
    moved: dict[str, dict[str, Any]] = {}
    credentials: dict[str, _Credential] = {}
    for path, value in cells.items():
        parts = path.split("/")
        root = parts[0]
        if len(parts) == 1:
            plain[_unescaped(path)] = value
        elif not _means_something(parts):
            continue
        elif root.endswith("@"):
            moved.setdefault(root[:-1], {})[parts[1]] = value
        elif root in SETS:
            lists.setdefault(root, {})[parts[1]] = value
        else:
            _parse_credential(credentials, parts, value)
    return _Parsed(plain, lists, moved, credentials)


def _parse_credential(credentials: dict[str, _Credential], parts: Sequence[str], value: Any) -> None:
    one = credentials.get(parts[1])
    if one is None:
        one = credentials[parts[1]] = _Credential(None, {}, {}, {})
    if len(parts) == 2:
        credentials[parts[1]] = one._replace(head=value if value is not None else [0, None])
    elif len(parts) == 3:
        one.members[_unescaped(parts[2])] = value
    else:
        (one.fields if parts[2] == FIELDS else one.moved)[parts[3]] = value
