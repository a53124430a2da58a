"""A vault as CXF 1.0 and back, without loss: the full profile, for backups, sync and another Keyferry.

Pinned: FIDO Credential Exchange Format 1.0, errata edition of 2026-03-09 (dossier: CXF). Everything CXF has a place for
stands there, for any reader; everything else of the model is in extension objects named by reverse domain and version.
Every item and collection carries one, which marks it as ours. ``decode(encode(vault)) == vault``.
Reading is lenient: a Header, one Account or a list of Accounts, by whomever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from vault import canonical, moment
from vault.cxfitems import (
    FORMAT,
    NO_DATE,
    collection_in,
    collection_out,
    exact_time,
    instant_in,
    is_doubled,
    is_ours,
    item_in,
    item_out,
    seconds_of,
)
from vault.cxfkinds import ACCOUNT, ALGORITHMS, COLLECTION, FIELD_TYPES, ITEM, KINDS, OURS, RAW, Data, Row, member_name
from vault.cxfparts import algorithm_of, base32_of, code_of, credential_in, der_of, is_standard_code, whole
from vault.cxfraw import add, split
from vault.errors import DamagedExport
from vault.model import Collection, Item, Vault, dec_hook
from vault.moment import Instant

__all__ = [
    "ACCOUNT_ID",
    "ALGORITHMS",
    "COLLECTION",
    "EXPORTER",
    "FIELD_TYPES",
    "FORMAT",
    "ITEM",
    "KINDS",
    "NO_DATE",
    "OURS",
    "RAW",
    "VERSION",
    "Layout",
    "Tree",
    "account",
    "accounts_of",
    "algorithm_of",
    "base32_of",
    "chunks",
    "code_of",
    "credential_in",
    "decode",
    "der_of",
    "encode",
    "exact_time",
    "header",
    "instant_in",
    "is_doubled",
    "is_ours",
    "is_own_header",
    "is_standard_code",
    "item_in",
    "item_of",
    "member_name",
    "seconds_of",
    "whole",
]

VERSION = {"major": 1, "minor": 0}
EXPORTER = {"exporterRpId": "keyferry.dev", "exporterDisplayName": "Keyferry"}
ACCOUNT_ID = "a2V5ZmVycnk"  # "keyferry"; the vault has no account, and CXF wants an id

_DEEPEST = 64  # nested collections; deeper ones name their parent in our extension

# Writing


def encode(vault: Vault, *, now: Instant) -> Data:
    """Return a vault as a CXF Header, secrets in clear; ``now`` is the time of the export."""
    data: Data = canonical.decode_any(b"".join(chunks(vault.collections, vault.items, vault.extras, now=now)))
    return data


def chunks(
    collections: Sequence[Collection],
    items: Iterable[Item | bytes],
    extras: dict[str, dict[str, Any]] | None = None,
    *,
    now: Instant,
) -> Iterator[bytes]:
    """Yield a vault's CXF as JSON piece by piece, one line for each item; secrets in clear.

    Items may be stored rows (``vault.canonical``); they are read once and none is kept.
    """
    tree = Tree(collections)
    yield _json(header(now))[:-1] + b',\n"accounts":[' + _json(account())[:-1] + b',\n"items":['
    separator = b"\n"
    for item in items:
        row = canonical.decode_any(item if isinstance(item, bytes) else canonical.encode(item))
        tree.place(row)
        yield separator + _json(item_out(row))
        separator = b",\n"
    yield b'],\n"collections":' + _json(tree.data())
    ours: Data = {"extras": extras} if extras else {}
    if tree.order != [c.id for c in collections]:
        ours["collections"] = [c.id for c in collections]
    if ours:
        yield b',\n"extensions":' + _json([{"name": ACCOUNT, **ours}])
    yield b"}]}\n"


_json = canonical.encode


def header(now: Instant) -> Data:
    """Return the members of a Header that say who wrote it and when, the accounts left out."""
    return {"version": VERSION, **EXPORTER, "timestamp": max(0, moment.to_seconds(now))}


def account() -> Data:
    """Return the members every Account must have, its items and collections left out."""
    return {"id": ACCOUNT_ID, "username": "", "email": ""}


class Tree:
    """The collections of a vault as CXF nests them, while items are put into them."""

    def __init__(self, collections: Sequence[Collection]) -> None:
        self._below: dict[str | None, list[Row]] = {}
        self._members: dict[str, list[Data]] = {}
        rows = [canonical.decode_any(canonical.encode(c)) for c in collections]
        known = {row["id"] for row in rows}
        for row in rows:
            parent = row.get("parent")
            self._below.setdefault(parent if parent in known else None, []).append(row)
            self._members[row["id"]] = []
        self._top: list[Data] = []
        self._build()
        self.order = [data["id"] for data in self._walk()]  # ids as they stand in the file
        self._position = {own_id: at for at, own_id in enumerate(self.order)}

    def _build(self) -> None:
        waiting = [(row, self._top, 1) for row in reversed(self._below.pop(None, []))]
        while waiting or self._below:
            if not waiting:  # parents in a circle: break it at its first member
                start = next(iter(self._below))
                waiting = [(row, self._top, 1) for row in reversed(self._below.pop(start))]
            row, place, depth = waiting.pop()
            own_id = row["id"]
            if place is not self._top:
                del row["parent"]  # nesting says so
            data = collection_out(row)
            data["items"] = self._members[own_id]
            place.append(data)
            below = self._below.pop(own_id, [])
            if below and depth < _DEEPEST:
                data["subCollections"] = []
                waiting += [(one, data["subCollections"], depth + 1) for one in reversed(below)]
            else:
                waiting += [(one, self._top, 1) for one in reversed(below)]

    def _walk(self) -> Iterator[Data]:
        waiting = self._top[::-1]
        while waiting:
            data = waiting.pop()
            yield data
            waiting += data.get("subCollections", ())[::-1]

    def place(self, row: Row) -> None:
        """Put an item into its collections; the row keeps them only where the file would read otherwise."""
        ids = row.get("collections")
        if not ids:
            row.pop("collections", None)
            return
        places = [self._position.get(one, -1) for one in ids]
        if places[0] >= 0 and all(a < b for a, b in pairwise(places)):
            del row["collections"]
        for own_id in dict.fromkeys(ids):
            if own_id in self._members:
                self._members[own_id].append({"item": row["id"]})

    def data(self) -> list[Data]:
        """Return the collections of the account, with what was put into them."""
        return self._top


# Reading


def decode(tree: Any) -> Vault:
    """Return the vault of a CXF Header, Account or list of Accounts read as JSON; the tree is used up.

    Raises ``DamagedExport``, without content, where an item is not built as ours are.
    """
    try:
        accounts = accounts_of(tree)
        listed = [account.pop("items", None) or () for account in accounts]
        layout = Layout(tree)
        items = []
        for at, rows in enumerate(listed):
            for data in rows:
                folders = layout.folders_of(at, data.get("id"))
                items.append(item_of(item_in(data), folders))
        return Vault(collections=layout.collections(), items=tuple(items), extras=layout.extras())
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedExport(
            f"the CXF file is not built as Keyferry builds it ({type(error).__name__})", hint="take another copy of it"
        ) from None


def item_of(row: Row, folders: Sequence[str] = ()) -> Item:
    """Return the item of a row; ``folders`` are its collections unless the row itself says which.

    Raises ``msgspec.ValidationError`` where something in our extension has a wrong type.
    """
    if "collections" not in row and folders:
        row["collections"] = folders
    return msgspec.convert(row, Item, dec_hook=dec_hook)


def accounts_of(tree: Any) -> list[Data]:
    """Return the accounts of a Header, a single Account or a list of Accounts; what is none stands below ""."""
    if isinstance(tree, dict):
        tree = tree.get("accounts", [tree])
    return [one if isinstance(one, dict) else {"": one} for one in tree] if isinstance(tree, list) else []


Name = Callable[[str, str], str]  # ("folder", the id in the file) -> the id in the vault


class Layout:
    """What stands around the items: collections, who is in them, and what is said beside.

    ``name`` gives the ids of collections of other products; those of ours stay. The tree is used up.
    """

    def __init__(self, tree: Any, name: Name = lambda _, own_id: own_id) -> None:
        self._name = name
        self._rows: list[Row] = []
        self._inside: dict[tuple[int, str], list[str]] = {}  # (account, item) -> collections
        self._links: dict[tuple[int, str], list[tuple[str, Data]]] = {}  # the same, as they stand in the file
        self._stray: dict[str, list[Any]] = {}  # members of collections that are no links
        self._order: list[str] = []
        self._extras: dict[str, dict[str, Any]] = {}
        self._taken: set[str] = set()
        self.names: dict[str, str] = {}  # id of the row -> id in the file, where it was named anew
        self.account_of: dict[str, int] = {}  # id of the row -> number of its account
        self.accounts = accounts_of(tree)  # what is left of them
        self._accounts = [account.get("id") for account in self.accounts]
        for at, account in enumerate(self.accounts):
            self._account(at, account)
        self._beside(tree, self.accounts)

    def _account(self, at: int, account: Data) -> None:
        account.pop("items", None)
        ours = split(account, ACCOUNT) or {}
        listed = account.pop("collections", None)
        rotten = self._walk(at, listed)
        if rotten:
            account["collections"] = rotten
        self._order += ours.pop("collections", [])
        for format, extras in ours.pop("extras", {}).items():
            self._extras.setdefault(format, {}).update(extras)
        for key, value in ours.items():
            add(account, key, value)

    def _walk(self, at: int, listed: Any) -> Any:
        """Read collections from the top down; return what is none."""
        found, rotten = _objects(listed)
        waiting: list[tuple[Data, str, str | None]] = [(one, "", None) for one in reversed(found)]
        while waiting:
            data, path, parent = waiting.pop()
            members, below = data.pop("items", None), data.pop("subCollections", None)
            nested, unfit = _objects(below)
            if unfit:
                data["subCollections"] = unfit
            known = is_ours(data)
            row = collection_in(data)
            path = f"{path}\0{row['id'] or row.get('title', '')}"
            own_id = self._named(row, known, at, path)
            if parent is not None and "parent" not in row:
                row["parent"] = parent
            self._rows.append(row)
            self._fill(at, own_id, members)
            waiting += [(one, path, own_id) for one in reversed(nested)]
        return rotten

    def _named(self, row: Row, known: bool, at: int, path: str) -> str:
        in_file, path = row["id"], f"{at}{path}"
        if not known or not in_file:
            row["id"] = self._name("folder", in_file or path)
        while row["id"] in self._taken:
            row["id"] = self._name("folder", path)
            path += "'"
        self._taken.add(row["id"])
        self.account_of[row["id"]] = at
        if row["id"] != in_file:
            self.names[row["id"]] = in_file
        return str(row["id"])

    def _fill(self, at: int, own_id: str, members: Any) -> None:
        for link in members if isinstance(members, list) else [members]:
            target = link.get("item") if isinstance(link, dict) else None
            if not isinstance(target, str):
                if link is not None:
                    self._note(own_id, link)
                continue
            account = link.get("account")
            where = at if account is None else self._accounts.index(account) if account in self._accounts else -1
            self._inside.setdefault((where, target), []).append(own_id)
            self._links.setdefault((where, target), []).append((own_id, link))

    def _beside(self, tree: Any, accounts: list[Data]) -> None:
        beside: Data = {}
        if isinstance(tree, dict) and "accounts" in tree:
            beside = {key: value for key, value in tree.items() if key != "accounts" or not isinstance(value, list)}
            if beside.get("exporterRpId") == EXPORTER["exporterRpId"]:
                _forget(beside, {"version": VERSION, **EXPORTER})
                if isinstance(beside.get("timestamp"), int):
                    del beside["timestamp"]
        for account_ in accounts:
            if account_.get("id") == ACCOUNT_ID:
                _forget(account_, account())
        if any(accounts):
            beside["accounts"] = accounts
        for key, value in beside.items():
            add(self._extras.setdefault(FORMAT, {}), key, value)

    def folders_of(self, account: int, item: Any) -> list[str]:
        """Return the collections an item is in, by its id in the file; asking marks its links as followed."""
        if not isinstance(item, str):
            return []
        for own_id, link in self._links.pop((account, item), ()):
            if len(link) > 1:
                self._note(own_id, link)
        return list(dict.fromkeys(self._inside.get((account, item), ())))

    def _note(self, own_id: str, link: Any) -> None:
        """Keep a link, or what is none, under the id its collection has in the file."""
        self._stray.setdefault(self.names.get(own_id, own_id), []).append(link)

    def collections(self) -> tuple[Collection, ...]:
        """Return the collections in their order."""
        if len(self._order) == len(self._rows):
            at = {own_id: n for n, own_id in enumerate(self._order)}
            if all(row["id"] in at for row in self._rows):
                self._rows.sort(key=lambda row: at[row["id"]])
        return tuple(msgspec.convert(row, Collection) for row in self._rows)

    def extras(self) -> dict[str, dict[str, Any]]:
        """Return what formats say beside their items, by format; links that lead nowhere are in CXF's own.

        Complete when all items were asked for.
        """
        for links in self._links.values():
            for own_id, link in links:
                self._note(own_id, link)
        self._links.clear()
        if self._stray:
            add(self._extras.setdefault(FORMAT, {}), "links", self._stray)
            self._stray = {}
        return self._extras


def _objects(listed: Any) -> tuple[list[Data], Any]:
    """Return the objects of a list, and what stays: its other elements, or all of it if it is no list."""
    if listed is None or isinstance(listed, list):
        found = [one for one in listed or () if isinstance(one, dict)]
        return found, [one for one in listed or () if not isinstance(one, (dict, type(None)))]
    return [], listed


def is_own_header(value: Any, parent: Any, frame: Any) -> bool:
    """Whether a value at the top of a file is what Keyferry says of itself, and nothing to keep."""
    if not isinstance(frame, dict) or frame.get("exporterRpId") != EXPORTER["exporterRpId"] or "accounts" not in frame:
        return False
    if parent is frame.get("version"):
        return bool(parent == VERSION)
    return value in EXPORTER.values() or (isinstance(value, int) and value == frame.get("timestamp"))


def _forget(data: Data, known: Data) -> None:
    for key, value in known.items():
        if data.get(key) == value:
            del data[key]
