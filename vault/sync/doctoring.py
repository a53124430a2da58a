"""Why devices do not come together: each finding names a cause and what to do, never "add it again"."""

from __future__ import annotations

from pathlib import Path

import msgspec

from vault import identity, membership, moment, newkit
from vault.errors import KeyferryError
from vault.store import Store
from vault.sync import clock, entry, log, recording, ways
from vault.sync.ways import Kept, Way
from vault.text import counted

_AHEAD_REMEDY = (
    "set the clock right; what was written meanwhile waits on the others: where that is too long,"
    " export what only this device has, and join the vault with another home: keyferry device join"
)


_SILENT_MS = 3 * 24 * 3_600_000


class Cause(msgspec.Struct, frozen=True):
    """One reason, and the way out."""

    cause: str
    remedy: str = ""


def findings(store: Store, now_ms: int) -> tuple[Cause, ...]:
    """Return what keeps this vault from being in step with the others; asks the relay or folder."""
    if not log.is_on(store):
        return (Cause("this vault is not synced", "keyferry device pair"),)
    return (
        *_of_this_device(store, now_ms),
        *_of_the_way(store),
        *_of_entries(store, now_ms),
        *_of_silence(store, now_ms),
    )


def strange_files(store: Store, way: Way | None) -> int:
    """Return how many files in the folder are none of ours, or not whole; 0 for a relay or a folder that is away."""
    if way is None or not way.folder:
        return 0
    from vault.sync.folder import Folder

    return Folder(Path(way.folder), store.vault_id, kept=Kept(store)).strange()


def _of_this_device(store: Store, now_ms: int) -> list[Cause]:
    found = membership.read_chain(identity.own_chain(store))
    own = identity.own_device(store).device_id
    if found.member(own) is None:
        return [Cause("this device was revoked", "keyferry restore makes it a new device of the vault")]
    if clock.is_ahead(log.setting(store).hlc, now_ms):
        text = "this device's own clock was more than a day ahead: the others take its changes in only then"
        return [Cause(text, _AHEAD_REMEDY)]
    if (new := newkit.pending(store, moment.from_millis(now_ms))) is not None:
        return [Cause(new.text)]
    if found.needs_epoch:
        return [Cause("a device was revoked and no new key was made yet", "keyferry sync makes one")]
    return []


def _of_the_way(store: Store) -> list[Cause]:
    way = ways.remembered(store)
    if way is None:
        return [Cause("there is no relay and no folder yet", "keyferry sync --relay URL, or --folder DIR")]
    try:
        there = ways.transport(store, way)
        if not there.exists():
            return [Cause(f"the {way.title} does not have this vault", "keyferry sync --upload-again")]
        heads = there.heads()
    except KeyferryError as error:
        return [Cause(f"the {way.title} cannot be used: {error.message}", error.hint)]
    found = []
    for device, (seq, _) in log.place(store, way.title).acknowledged.items():
        shown = heads.devices.get(device)
        if shown is None or shown.seq < seq:
            name = identity.device_names(store).get(device, device[:8])
            found.append(
                Cause(f"the {way.title} shows less of {name} than before", "ask its owner; a folder is another way")
            )
    return found


def heard(store: Store, device: str) -> str | None:
    """Return when a device signed the newest of its entries that are here, by its own clock; None if there is none."""
    newest = log.newest_header(store.database, device)
    return None if newest is None else moment.from_millis(clock.millis(newest.hlc) // 1000 * 1000)


def newest(store: Store) -> str | None:
    """Return when the newest entry of another device was signed, None if there is none."""
    own = identity.own_device(store).device_id
    times = (heard(store, one) for one in log.heads(store.database) if one != own)
    return max((at for at in times if at), default=None)


def _of_silence(store: Store, now_ms: int) -> list[Cause]:
    """Name devices of which nothing came for three days, in which they give a sign of life once a day."""
    own, found = identity.own_device(store).device_id, []
    before = moment.from_millis(now_ms - _SILENT_MS)
    for one in identity.members(store):
        at = heard(store, one.device_id)
        if one.device_id != own and (at or one.since) < before:
            text = (
                f"nothing signed by {one.name} has come since {at[:10]}" if at else f"nothing of {one.name} ever came"
            )
            found.append(
                Cause(
                    f"{text}; a relay that keeps it back looks the same",
                    f"sync on {one.name}, or through a folder; if it is gone: keyferry device revoke {one.name}",
                )
            )
    return found


def _of_entries(store: Store, now_ms: int) -> list[Cause]:
    names, found = identity.device_names(store), []
    heads = log.heads(store.database)
    own = identity.own_device(store).device_id
    way = ways.remembered(store)
    unsent = log.unsent(store, own, way.title if way is not None else "")
    changed = recording.unrecorded(store)
    if changed:
        found.append(Cause(f"{counted(changed, 'change')} of this device not sent yet", "keyferry sync"))
    if unsent:
        found.append(Cause(f"{counted(unsent, 'entry')} of this device not sent yet", "keyferry sync"))
    wanted = int(store.database.value("SELECT count(*) FROM sync_blobs WHERE state = 'wanted'"))
    if wanted:
        found.append(
            Cause(f"{counted(wanted, 'attachment')} not here yet", "sync on the device that added them, then here")
        )
    seen: set[str] = set()
    for stored in log.waiting(store.database):
        if stored.device in seen:
            continue
        seen.add(stored.device)
        header = entry.read_header(stored.body)
        name = names.get(stored.device, stored.device[:8])
        if clock.is_ahead(header.hlc, now_ms):
            found.append(Cause(f"the clock of {name} is more than a day ahead", f"set the clock of {name} right"))
            continue
        lacking = [
            names.get(device, device[:8])
            for device, head in header.seen.items()
            if device not in heads or heads[device].seq < head.seq
        ]
        if lacking:
            text = f"entries of {name} wait for entries of {', '.join(lacking)} that have not arrived"
            found.append(Cause(text, f"sync on {lacking[0]}"))
        else:
            found.append(Cause(f"entry {stored.seq} of {name} cannot be taken in", f"sync on {name} again"))
    return found
