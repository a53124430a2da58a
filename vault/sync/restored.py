"""A vault that came back from a backup, until it has met the others: what was changed in it meanwhile stays.

The rows as the backup had them are kept beside the vault. Where others have changed the same thing since, their state
is taken in, and on top of it what differs here from the backup: by cells, as any two devices' changes come together.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from vault import canonical
from vault.moment import Instant
from vault.store import Store
from vault.sync import log
from vault.sync.cells import flatten, unflatten

ITEM, COLLECTION = "item", "collection"
_TABLES = ((ITEM, "items"), (COLLECTION, "collections"))


class Edit(NamedTuple):
    """A thing that differs from what the backup, or since then the log, says; ``row`` None: it was deleted."""

    kind: str
    id: str
    base: bytes
    row: bytes | None


def keep_base(store: Store) -> None:
    """Keep the rows as they came from the backup; inside the transaction that restores."""
    db = store.database
    db.do("CREATE TABLE sync_base (kind TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (kind, id))")
    for kind, table in _TABLES:
        db.do(f"INSERT INTO sync_base SELECT '{kind}', id, body FROM {table}")  # noqa: S608 - fixed names


def drop_base(store: Store) -> None:
    """Forget them: from now on the log knows."""
    store.database.do("DROP TABLE IF EXISTS sync_base")


def edits(store: Store) -> list[Edit]:
    """Return what was changed here since the backup came back and is not in the log yet; none of any other vault."""
    db = store.database
    if not log.setting(store).restored or not _has_base(store):
        return []
    found: list[Edit] = []
    for kind, table in _TABLES:
        found += [
            Edit(*row)
            for row in db.all(
                f"SELECT b.kind, b.id, coalesce(t.row, b.body), v.body FROM sync_base b"  # noqa: S608 - fixed names
                f" LEFT JOIN sync_things t ON t.kind = b.kind AND t.id = b.id LEFT JOIN {table} v ON v.id = b.id"
                f" WHERE b.kind = '{kind}' AND (v.body IS NULL OR v.body <> coalesce(t.row, b.body))"
                " AND (t.id IS NULL OR t.row IS NOT NULL)"
            )
        ]
    return found


def reapply(store: Store, made: Iterable[Edit], now: Instant) -> None:
    """Put the changes on top of what the others have made of the same things."""
    for one in made:
        current = _row(store, one)
        if one.row is None:
            if current == one.base:  # nobody has changed it since the backup
                _remove(store, one)
            continue
        _write(store, one, one.row if current is None else _joined(one.id, one.base, one.row, current), now)


def _joined(id_: str, base: bytes, row: bytes, current: bytes) -> bytes:
    before, here, there = (flatten(canonical.decode_any(one)) for one in (base, row, current))
    changed = {path: value for path, value in here.items() if path not in before or before[path] != value}
    cells: dict[str, Any] = {path: value for path, value in there.items() if path in here or path not in before}
    return canonical.encode({**unflatten({**cells, **changed}), "id": id_})


def _has_base(store: Store) -> bool:
    return store.database.one("SELECT 1 FROM sqlite_master WHERE name = 'sync_base'") is not None


def _row(store: Store, one: Edit) -> bytes | None:
    table = dict(_TABLES)[one.kind]
    body: bytes | None = store.database.value(f"SELECT body FROM {table} WHERE id = ?", (one.id,))  # noqa: S608
    return body


def _write(store: Store, one: Edit, row: bytes, now: Instant) -> None:
    if one.kind == ITEM:
        store.put_many([canonical.decode_item(row)], now)
    else:
        store.put_collection(canonical.decode_collection(row))


def _remove(store: Store, one: Edit) -> None:
    if one.kind == ITEM:
        store.purge(one.id)
    else:
        store.remove_collection(one.id)
