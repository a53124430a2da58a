"""What the log makes of each thing of the vault: its merged state, and the row that was written from it."""

from __future__ import annotations

from vault.store import Store
from vault.sync import merge

ITEM, COLLECTION, EXTRAS, DEVICE, BLOB = "item", "collection", "extras", "device", "blob"


def thing(store: Store, kind: str, id_: str) -> merge.Thing | None:
    """Return the merged state of a thing; None if the log does not know it."""
    state = store.database.value("SELECT state FROM sync_things WHERE kind = ? AND id = ?", (kind, id_))
    return None if state is None else merge.decode(state)


def row_of(store: Store, kind: str, id_: str) -> bytes | None:
    """Return the row as it was when the log and the vault last agreed on the thing."""
    row: bytes | None = store.database.value("SELECT row FROM sync_things WHERE kind = ? AND id = ?", (kind, id_))
    return row


def keep(store: Store, kind: str, id_: str, thing: merge.Thing, row: bytes | None) -> None:
    """Keep the state of a thing and its row."""
    store.database.do(
        "INSERT OR REPLACE INTO sync_things (kind, id, row, state) VALUES (?, ?, ?, ?)",
        (kind, id_, row, merge.encode(thing)),
    )


def keep_row(store: Store, kind: str, id_: str, row: bytes | None) -> None:
    """Keep the row that was written from a thing."""
    store.database.do("UPDATE sync_things SET row = ? WHERE kind = ? AND id = ?", (row, kind, id_))
