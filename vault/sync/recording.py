"""Turning what was changed in the vault into entries of this device's log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from vault import canonical, identity, membership, moment
from vault.errors import NotSynced
from vault.membership import Membership
from vault.store import Store
from vault.sync import appending, belonging, clock, log, merge, snapshots, things
from vault.sync.standing import Counting

_BATCH_BYTES = 900_000  # of plaintext; an entry is a little more
_BEAT_MS = 24 * 3_600_000


def record(store: Store, now_ms: int) -> int:
    """Append what was changed here since the last time to this device's log; returns the number of entries.

    Raises ``NotSynced`` for a vault without a log, or if this device was revoked.
    """
    if not log.is_on(store):
        raise NotSynced("this vault is not synced", hint="keyferry device pair")
    made = 0
    with store.transaction():
        found = belonging.members_of(store)
        belonging.check_member(store)
        if log.setting(store).restored:
            return 0
        if found.needs_epoch:
            found = membership.read_chain(belonging.new_epoch(store, identity.own_chain(store), moment.now()))
        belonging.seal_to_kit(store, moment.now())
        found = belonging.members_of(store)
        appending.check_key(store, found)
        for batch in _batches(_changes(store, now_ms)):
            _append(store, found, batch, now_ms)
            made += 1
        if Counting(store, snapshots.settled_numbers(store)).is_untold:
            appending.append(store, found, snapshots.NOTHING, now_ms)  # nothing but what it has seen
            made += 1
    return made


def unrecorded(store: Store) -> int:
    """Return how many items, folders and the like were changed here since this device last wrote to its log."""
    return len(_differing(store))


def _changes(store: Store, now_ms: int) -> Iterator[tuple[merge.Op, bytes | None]]:
    """Yield an op for everything that differs from what the log says, with the row as it is now."""
    tick = log.setting(store).hlc
    for kind, id_, row in _differing(store):
        thing = things.thing(store, kind, id_)
        new = canonical.decode_any(row) if row is not None else None
        kept = things.row_of(store, kind, id_)
        read_as = canonical.decode_any(kept) if kept is not None else None
        time = clock.tick(tick, _changed_ms(new, now_ms))
        op = merge.ops_between(kind, id_, thing, new, time, read_as=read_as)
        if op is not None:
            yield op, row
        elif row is not None:
            things.keep_row(store, kind, id_, row)


def _changed_ms(row: dict[str, Any] | None, now_ms: int) -> int:
    """Return when a row was changed, by its own word where that is believable."""
    at = (row or {}).get("modifiedAt")
    if not isinstance(at, str) or not moment.is_instant(at):
        return now_ms
    return min(max(moment.to_millis(at), 0), now_ms)


def _differing(store: Store) -> list[tuple[str, str, bytes | None]]:
    db = store.database
    found: list[tuple[str, str, bytes | None]] = []
    for kind, table in ((things.COLLECTION, "collections"), (things.ITEM, "items")):
        found += db.all(
            f"SELECT '{kind}', v.id, v.body FROM {table} v LEFT JOIN sync_things t"  # noqa: S608 - fixed names
            f" ON t.kind = '{kind}' AND t.id = v.id WHERE t.row IS NULL OR t.row <> v.body ORDER BY v.seq"
        )
        found += db.all(
            f"SELECT t.kind, t.id, NULL FROM sync_things t LEFT JOIN {table} v ON v.id = t.id"  # noqa: S608
            f" WHERE t.kind = '{kind}' AND t.row IS NOT NULL AND v.id IS NULL"
        )
    found += db.all(
        "SELECT 'extras', v.format, v.body FROM extras v LEFT JOIN sync_things t"
        " ON t.kind = 'extras' AND t.id = v.format WHERE t.row IS NULL OR t.row <> v.body"
    )
    found += db.all(
        "SELECT t.kind, t.id, NULL FROM sync_things t LEFT JOIN extras v ON v.format = t.id"
        " WHERE t.kind = 'extras' AND t.row IS NOT NULL AND v.format IS NULL"
    )
    for document, blob, size, epoch in db.all(
        "SELECT document, blob, size, epoch FROM sync_blobs WHERE state = 'there' AND document NOT IN"
        " (SELECT id FROM sync_things WHERE kind = 'blob')"
    ):
        found.append((things.BLOB, document, canonical.encode({"blob": blob, "epoch": epoch, "size": size})))
    for device_id, name in identity.device_names(store).items():
        row = canonical.encode({"name": name})
        kept = db.value("SELECT row FROM sync_things WHERE kind = 'device' AND id = ?", (device_id,))
        if kept != row:
            found.append((things.DEVICE, device_id, row))
    return found


def _batches(changes: Iterable[tuple[merge.Op, bytes | None]]) -> Iterator[list[tuple[merge.Op, bytes | None]]]:
    batch: list[tuple[merge.Op, bytes | None]] = []
    size = 0
    for op, row in changes:
        length = len(merge.encode_ops([op]))
        if batch and size + length > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append((op, row))
        size += length
    if batch:
        yield batch


def _append(store: Store, found: Membership, batch: list[tuple[merge.Op, bytes | None]], now_ms: int) -> None:
    """Write one entry of this device and apply it here."""
    ops = [op for op, _ in batch]
    header = appending.append(store, found, merge.encode_ops(ops), now_ms, after=max(op.hlc for op in ops))
    seen = {device: head.seq for device, head in header.seen.items()}
    for op, row in batch:
        before = things.thing(store, op.kind, op.id)
        thing = merge.apply(before, op, device=header.device, seq=header.seq, seen=seen)
        things.keep(store, op.kind, op.id, thing, row)


def keep_up(store: Store, now_ms: int, *, compact: bool = False) -> None:
    """Append what keeps the vault's devices in step: a snapshot where it is due or wished, else a sign of life.

    The latter once a day, and where others wait to hear that this device has seen a snapshot. Raises ``NotSynced``.
    """
    with store.transaction():
        found = belonging.members_of(store)
        if log.setting(store).restored or found.needs_epoch:
            return
        appending.check_key(store, found)
        is_wanted = snapshots.is_useful(store) if compact else snapshots.is_due(store)
        if is_wanted and snapshots.make(store, now_ms):
            return
        if snapshots.is_unseen(store) or _is_silent(store, now_ms):
            appending.append(store, found, snapshots.NOTHING, now_ms, kind=b"beat")


def _is_silent(store: Store, now_ms: int) -> bool:
    """Tell whether this device has written nothing for a day."""
    own = log.newest_header(store.database, identity.own_device(store).device_id)
    return own is None or clock.millis(own.hlc) + _BEAT_MS <= now_ms
