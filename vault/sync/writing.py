"""Bringing what changed in the log into the vault's own tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from vault import canonical, identity, moment
from vault.model import Collection, Item
from vault.store import Store
from vault.sync import things
from vault.sync.received import UNREADABLE, Received
from vault.views import display_title


def write_vault(store: Store, done: Received) -> None:
    """Bring what changed in the log into the vault's own tables."""
    now = moment.now()
    found = [
        (kind, id_, thing if thing is not None else things.thing(store, kind, id_))
        for (kind, id_), thing in done.changed.items()
    ]
    there = [(id_, thing, row) for kind, id_, thing in found if kind == things.ITEM and thing and (row := thing.row())]
    shown = [(id_, thing, item) for id_, thing, row in there if (item := _item(row, done)) is not None]
    store.put_many((item for _, _, item in shown), now)
    for id_, thing, _ in shown:
        for loser in thing.lost_rows():
            past = _item(loser, done)
            if past is not None:
                store.keep_past(id_, canonical.encode(past), now)
    for kind, id_, one in found:
        if kind != things.ITEM:
            try:
                _write_around(store, kind, id_, one.row() if one is not None else None)
            except (msgspec.MsgspecError, ValueError):
                done.findings.append(UNREADABLE)
        elif one is None or not one.is_there:
            if store.row(id_) is not None:
                store.purge(id_)
            things.keep_row(store, things.ITEM, id_, None)
    store.database.do_many(
        "UPDATE sync_things SET row = (SELECT body FROM items v WHERE v.id = sync_things.id)"
        " WHERE kind = 'item' AND id = ?",
        [(id_,) for id_, _, _ in shown],
    )


def _write_around(store: Store, kind: str, id_: str, row: dict[str, Any] | None) -> None:
    """Write what is no item."""
    if kind == things.COLLECTION:
        kept = _write_collection(store, id_, row)
    elif kind == things.EXTRAS:
        store.set_extras(id_, row or {})
        kept = store.database.value("SELECT body FROM extras WHERE format = ?", (id_,))
    elif kind == things.BLOB:
        kept = _want_blob(store, id_, row)
    else:  # a kind that this version does not know stays in the log
        kept = _write_name(store, id_, row) if kind == things.DEVICE else None
    things.keep_row(store, kind, id_, kept)


def _item(row: dict[str, Any], done: Received) -> Item | None:
    """Return the item of a row; one that cannot be read stays in the log, and the vault keeps what it has."""
    try:
        return canonical.decode_item(canonical.encode(row))
    except (msgspec.MsgspecError, ValueError):
        done.findings.append(UNREADABLE)
        return None


def _write_collection(store: Store, id_: str, row: dict[str, Any] | None) -> bytes | None:
    if row is None:
        store.remove_collection(id_)
        return None
    collection: Collection = canonical.decode_collection(canonical.encode(row))
    store.put_collection(collection)
    return canonical.encode(collection)


def _write_name(store: Store, id_: str, row: dict[str, Any] | None) -> bytes | None:
    name = (row or {}).get("name")
    if not isinstance(name, str):
        return None
    identity.name_device(store, id_, name)
    return canonical.encode({"name": identity.device_names(store)[id_]})


def _want_blob(store: Store, document: str, row: dict[str, Any] | None) -> bytes | None:
    """Note where an attachment can be got, if it is not here."""
    match row:
        case {"blob": str(blob), "epoch": int(epoch), "size": int(size)}:
            state = "there" if store.has_document(document) else "wanted"
            store.database.do(
                "INSERT OR REPLACE INTO sync_blobs (document, blob, size, epoch, state) VALUES (?, ?, ?, ?, ?)",
                (document, blob, size, epoch, state),
            )
            return canonical.encode(row)
    return None


def titles(store: Store, ids: Iterable[str]) -> list[str]:
    """Return the titles of items, for people."""
    return [display_title(item) for one in ids if (item := store.item(one)) is not None]
