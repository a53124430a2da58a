"""Snapshots of the log: when this device makes one, whether another's is right, and beginning with one.

What a snapshot is, and when it settles, is in ``vault.sync.settling``. Every device that has the entries of a cut works
out what they come to and compares it with the snapshot; one that is wrong is told and not used. Who lacks entries that
all others have seen begins with a settled snapshot instead. Entries before one are kept here for 90 days longer.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vault import identity
from vault.errors import ForgedEntry
from vault.store import Store
from vault.sync import appending, belonging, clock, entry, log, merge, replaying
from vault.sync.entry import Head, Header
from vault.sync.log import APPLIED, Base
from vault.sync.received import Finding, Received
from vault.sync.settling import SNAP, Devices, Snapshot, conflicts, devices_of, is_settled, snapshot_of
from vault.sync.settling import snapshots as closed_among
from vault.sync.standing import Counting, Ground

GOOD, WRONG, UNCHECKED, OPEN = "good", "wrong", "unchecked", "open"
DUE_ENTRIES = 1000
KEPT_MS = 90 * 24 * 3_600_000
NOTHING = b'{"ops":[]}'
_PART_BYTES = 900_000  # of plaintext; an entry is a little more
_BODY = msgspec.json.Decoder(Snapshot)


class Known(msgspec.Struct, frozen=True):
    """A snapshot whose entries are here, and what this device thinks of it."""

    snapshot: Snapshot
    verdict: str


# -- making one


def is_due(store: Store) -> bool:
    """Tell whether the log has grown enough since the last snapshot: by 1,000 entries, and by what a new one takes."""
    db, ends = store.database, _newest_ends(store)
    beyond = "device = ? AND seq > ? AND state = 'applied'"
    places = [(device, ends.get(device, 0)) for device in log.heads(db)]
    number = sum(db.value(f"SELECT count(*) FROM sync_entries WHERE {beyond}", one) for one in places)  # noqa: S608
    if number < DUE_ENTRIES:
        return False
    sql = f"SELECT coalesce(sum(length(body)), 0) FROM sync_entries WHERE {beyond}"  # noqa: S608 - fixed text
    size = sum(db.value(sql, one) for one in places)
    return bool(size >= (db.value("SELECT sum(length(state)) FROM sync_things") or 0))


def is_useful(store: Store) -> bool:
    """Tell whether anything was changed since the last snapshot."""
    db, ends = store.database, _newest_ends(store)
    entries = (one for device in log.heads(db) for one in log.after(db, device, ends.get(device, 0)) if one.body)
    return any(entry.read_header(one.body).kind == b"op" for one in entries)


def _newest_ends(store: Store) -> dict[str, int]:
    """Return up to which number the newest snapshot has the entries of each device, its own among them."""
    usable = [one.snapshot for one in known(store) if one.verdict != WRONG]
    if not usable:
        return log.begins(store)
    last = max(usable, key=lambda one: one.hlc)
    return {**_numbers(last), last.device: last.end}


def make(store: Store, now_ms: int) -> int:
    """Append a snapshot of everything that is applied; returns the number of its parts.

    No part, if one thing alone is too large for an entry, or an entry has seen what is not here. Inside a transaction;
    raises ``NotSynced``.
    """
    found = belonging.members_of(store)
    states = [bytes(state) for (state,) in store.database.all("SELECT state FROM sync_things ORDER BY kind, id")]
    if any(len(one) > _PART_BYTES for one in states):
        return 0
    cut = log.heads(store.database)
    if not _is_closed(store, cut):
        return 0
    headers = [appending.append(store, found, content, now_ms, kind=SNAP) for content in _contents(states)]
    appending.append(store, found, NOTHING, now_ms, kind=b"beat")
    _keep(store, snapshot_of(headers), GOOD)
    return len(headers)


def _is_closed(store: Store, cut: dict[str, Head]) -> bool:
    """Tell whether all that the applied entries have seen is applied, as far as it counts."""
    counting = Counting(store, settled_numbers(store))
    return all(
        counting.needed(device, head.seq, head.hash) <= (cut[device].seq if device in cut else 0)
        for stored in log.applied(store)
        for device, head in entry.read_header(stored.body).seen.items()
    )


def _contents(states: list[bytes]) -> Iterator[bytes]:
    """Yield the plaintexts of a snapshot's parts: canonical JSON, the last one with what is told of all."""
    batches: list[list[bytes]] = [[]]
    size = 0
    for one in states:
        if size + len(one) > _PART_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(one)
        size += len(one) + 1
    told = msgspec.json.encode(replaying.Told(replaying.digest_of(states), len(states)))
    for number, batch in enumerate(batches, 1):
        last = b',"snapshot":' + told if number == len(batches) else b""
        yield b'{"ops":[]' + last + b',"things":[' + b",".join(batch) + b"]}"


# -- those of others


class Watch:
    """Finds the snapshots among entries as they are applied."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: dict[str, list[Header]] = {}
        self._closed: list[Snapshot] = []
        for one in known(store, with_open=True):
            if one.verdict == OPEN:
                stored = log.after(store.database, one.snapshot.device, one.snapshot.first - 1)
                self._runs[one.snapshot.device] = [entry.read_header(each.body) for each in stored]

    def see(self, header: Header) -> None:
        """Take note of an entry that was applied."""
        run = self._runs.get(header.device)
        if run is None and header.kind != SNAP:
            return
        run = [*(run or ()), header]
        self._closed += closed_among(run)
        if header.kind != SNAP:
            del self._runs[header.device]
        else:
            self._runs[header.device] = run if header.seen == run[0].seen else [header]

    def settle(self) -> list[Snapshot]:
        """Keep what was found; returns the snapshots that are whole now."""
        db = self._store.database
        db.do("DELETE FROM sync_snapshots WHERE verdict = ?", (OPEN,))
        for run in self._runs.values():
            _keep(self._store, snapshot_of(run), OPEN)
        for one in self._closed:
            _keep(self._store, one, UNCHECKED)
        return self._closed


def check(store: Store, ground: Ground, counting: Counting, one: Snapshot, done: Received) -> None:
    """Compare a snapshot with what the entries here come to, where they are here; a wrong one is told."""
    verdict = _verdict(store, ground, counting, one)
    _keep(store, one, verdict)
    if verdict == WRONG:
        name = identity.device_names(store).get(one.device, one.device[:8])
        done.findings.append(
            Finding(
                "snapshot",
                f"the snapshot that {name} made is not what the log comes to; it is not used here",
                "keyferry sync compact makes another; if this comes again, do not trust that device",
            )
        )


def _verdict(store: Store, ground: Ground, counting: Counting, one: Snapshot) -> str:
    cut = _numbers(one)
    heads = log.heads(store.database)
    if ground.place(one.membership) is None:
        return UNCHECKED  # made under a list that lost: other entries counted there
    is_here = all(device in heads and heads[device].seq >= number for device, number in cut.items())
    if not is_here or any(number > cut.get(device, 0) for device, number in log.begins(store).items()):
        return UNCHECKED
    try:
        told = replaying.states_of(replaying.parts(store, ground, _base(one)))
    except ForgedEntry:
        return WRONG
    try:
        return GOOD if told == _states_at(store, ground, counting, cut) else WRONG
    except ForgedEntry:  # it was made where other entries counted
        return UNCHECKED


def _states_at(store: Store, ground: Ground, counting: Counting, cut: dict[str, int]) -> list[bytes]:
    """Return the states of all things after the entries of a cut, which are here."""
    found = {}
    for state in replaying.base_states(store, ground):
        thing = merge.decode(state)
        found[thing.kind, thing.id] = thing
    for header, ops in replaying.in_order(store, ground, counting, cut):
        seen = {device: head.seq for device, head in header.seen.items()}
        for op in ops:
            before = found.get((op.kind, op.id))
            found[op.kind, op.id] = merge.apply(before, op, device=header.device, seq=header.seq, seen=seen)
    return [merge.encode(found[key]) for key in sorted(found, key=lambda key: (key[0].encode(), key[1].encode()))]


# -- what has settled


def known(store: Store, *, with_open: bool = False) -> list[Known]:
    """Return the snapshots whose entries are here."""
    if store.database.one("SELECT 1 FROM sqlite_master WHERE name = 'sync_snapshots'") is None:
        return []
    found = [
        Known(_BODY.decode(body), verdict)
        for body, verdict in store.database.all("SELECT body, verdict FROM sync_snapshots ORDER BY device, last")
    ]
    return [one for one in found if with_open or one.verdict != OPEN]


def settled(store: Store) -> list[Known]:
    """Return those that have settled, the newest last."""
    found = known(store)
    if not found:
        return []
    devices = _devices(store)
    newest = {device: _headers(store, device, newest=True) for device in devices.since}
    fitting = []
    for one in found:
        headers = newest
        if conflicts(one.snapshot, devices):
            headers = {device: _headers(store, device) for device in devices.since}
        if is_settled(one.snapshot, devices, headers):
            fitting.append(one)
    return sorted(fitting, key=lambda one: one.snapshot.hlc)


def settled_numbers(store: Store) -> dict[str, int]:
    """Return up to which number the entries of each device count for good, whoever is revoked."""
    floor = dict(log.begins(store))
    for one in settled(store):
        for device, number in _numbers(one.snapshot).items():
            floor[device] = max(number, floor.get(device, 0))
    return floor


def _devices(store: Store) -> Devices:
    return devices_of(identity.own_chain(store), belonging.members_of(store))


def _headers(store: Store, device: str, *, newest: bool = False) -> list[Header]:
    """Return the headers of a device's applied entries, or of the newest one."""
    if newest:
        last = log.newest_header(store.database, device)
        return [last] if last is not None else []
    return [entry.read_header(one.body) for one in log.after(store.database, device, 0) if one.body]


def is_unseen(store: Store) -> bool:
    """Tell whether another device waits for this one to say that it has seen a snapshot."""
    own, here = identity.own_device(store).device_id, log.heads(store.database)
    last = log.newest_header(store.database, own)
    seen = {device: head.seq for device, head in last.seen.items()} if last is not None else {}
    closed = (one.snapshot for one in known(store) if one.snapshot.device != own)
    return any(seen.get(one.device, 0) < one.end <= here[one.device].seq for one in closed if one.device in here)


class State(msgspec.Struct, frozen=True):
    """How far the log is shortened, for people."""

    entries: int  # of all devices, here
    in_snapshot: int  # that a settled snapshot stands for
    unsettled: tuple[str, ...]  # ids of the devices that have not seen the newest snapshot


def state(store: Store) -> State:
    """Return how long the log is, and who keeps it from being made shorter."""
    db, devices, here = store.database, _devices(store), known(store)
    floor = settled_numbers(store)
    counts = (
        db.value("SELECT count(*) FROM sync_entries WHERE device = ? AND seq < ?", (device, number))
        for device, number in floor.items()
    )
    newest_here = max((one.snapshot for one in here if one.verdict == GOOD), key=lambda one: one.hlc, default=None)
    unsettled = [] if newest_here is None else [one for one in devices.since if not _sees(store, one, newest_here)]
    return State(int(db.value("SELECT count(*) FROM sync_entries")), sum(counts), tuple(unsettled))


def _sees(store: Store, device: str, one: Snapshot) -> bool:
    last = log.newest_header(store.database, device)
    head = last.seen.get(one.device) if last is not None else None
    return device == one.device or (head is not None and head.seq >= one.end)


# -- beginning with one


def adopt(store: Store, ground: Ground, now_ms: int, done: Received) -> bool:
    """Begin the log with a settled snapshot, if entries before it are lacking here and it has them.

    The caller takes the log in again. What this device has written itself stays.
    """
    lacking = _lacking(store)
    if not lacking:
        return False
    for one in _offered(store):
        if clock.is_ahead(one.hlc, now_ms) or not _bridges(store, one, lacking):
            continue
        try:
            replaying.states_of(replaying.parts(store, ground, _base(one)))
        except ForgedEntry as error:
            if _has_begin(store, one):
                done.findings.append(Finding("forged", error.message, error.hint))
            continue
        _begin_with(store, one)
        return True
    return False


def _has_begin(store: Store, one: Snapshot) -> bool:
    """Tell whether a snapshot is here from its first part on, as far as that can be told: what is before it is here."""
    return one.first == 1 or log.hash_at(store.database, one.device, one.first - 1) is not None


def _lacking(store: Store) -> dict[str, int]:
    """Return, of each device whose entries wait for earlier ones of its own that are not here, the last that is."""
    heads = log.heads(store.database)
    sql = "SELECT device, min(seq) FROM sync_entries WHERE state = 'waiting' GROUP BY device"
    last = {device: heads[device].seq if device in heads else 0 for device, _ in store.database.all(sql)}
    return {device: last[device] for device, first in store.database.all(sql) if first > last[device] + 1}


def _bridges(store: Store, one: Snapshot, lacking: dict[str, int]) -> bool:
    """Tell whether a snapshot brings what is lacking, and nothing of what is here is lost with it."""
    cut, begins = _numbers(one), log.begins(store)
    if not _is_own_told(store, cut):
        return False
    brings = any(cut.get(device, 0) > last for device, last in lacking.items())
    fits = all(log.hash_at(store.database, device, head.seq) in (None, head.hash) for device, head in one.cut.items())
    return brings and fits and all(cut.get(device, 0) >= number for device, number in begins.items())


def _is_own_told(store: Store, cut: dict[str, int]) -> bool:
    """Tell whether all that this device has written, as far as it is here, is in a snapshot that goes further.

    Then it was put back to an older state; what it has written since, if anything, stands in the place of what is gone.
    """
    own = identity.own_device(store).device_id
    head = log.heads(store.database).get(own)
    if head is None or cut.get(own, 0) <= head.seq:
        return True
    places = log.setting(store).places.values()
    return any(one.acknowledged.get(own) == (head.seq, head.hash.hex()) for one in places)


def _offered(store: Store) -> list[Snapshot]:
    """Return the settled snapshots among all entries that are here, applied or not: the newest first, of members."""
    headers: dict[str, list[Header]] = {}
    sql = "SELECT device, body FROM sync_entries WHERE body <> x'' ORDER BY device, seq"
    for device, body in store.database.each(sql):
        headers.setdefault(device, []).append(entry.read_header(body))
    devices = _devices(store)
    fitting = [one for ones in headers.values() for one in closed_among(ones) if is_settled(one, devices, headers)]
    return sorted(fitting, key=lambda one: (one.device in devices.since, one.hlc), reverse=True)


def _begin_with(store: Store, one: Snapshot) -> None:
    db = store.database
    _drop_before(store, one)
    for device, head in one.cut.items():
        db.do(
            "INSERT OR IGNORE INTO sync_entries (device, seq, hash, state, body) VALUES (?, ?, ?, ?, x'')",
            (device, head.seq, head.hash, APPLIED),
        )
        db.do("UPDATE sync_entries SET state = ? WHERE device = ? AND seq = ?", (APPLIED, device, head.seq))
    for number in range(one.first, one.last + 1):
        log.set_state(db, one.device, number, APPLIED)
    _keep(store, one, GOOD)


def compact(store: Store, now_ms: int) -> int:
    """Drop entries that a settled and right snapshot of 90 days ago stands for; returns how many."""
    begins = log.begins(store)
    old = [
        one.snapshot
        for one in settled(store)
        if one.verdict == GOOD and clock.millis(one.snapshot.hlc) + KEPT_MS <= now_ms
    ]
    fitting = [one for one in old if all(_numbers(one).get(device, 0) >= at for device, at in begins.items())]
    if not fitting or _numbers(fitting[-1]) == begins:
        return 0
    with store.transaction():
        before = store.database.value("SELECT count(*) FROM sync_entries")
        _drop_before(store, fitting[-1])
        return int(before - store.database.value("SELECT count(*) FROM sync_entries"))


def newest(store: Store) -> Snapshot | None:
    """Return the newest snapshot that has settled and is right: who has it needs no entries before it."""
    good = [one.snapshot for one in settled(store) if one.verdict == GOOD]
    return good[-1] if good else None


def _drop_before(store: Store, one: Snapshot) -> None:
    """Let the log begin with a snapshot; of each device the newest entry in it stays, for what follows it."""
    db = store.database
    for device, number in _numbers(one).items():
        db.do("DELETE FROM sync_entries WHERE device = ? AND seq < ?", (device, number))
        db.do("DELETE FROM sync_snapshots WHERE device = ? AND last < ?", (device, number))
    log.write_setting(store, msgspec.structs.replace(log.setting(store), base=_base(one)))


def _base(one: Snapshot) -> Base:
    return Base(one.device, one.first, one.last, _numbers(one))


def _numbers(one: Snapshot) -> dict[str, int]:
    return {device: head.seq for device, head in one.cut.items()}


def _keep(store: Store, one: Snapshot, verdict: str) -> None:
    store.database.do(
        "INSERT OR REPLACE INTO sync_snapshots (device, last, verdict, body) VALUES (?, ?, ?, ?)",
        (one.device, one.last, verdict, msgspec.json.encode(one)),
    )
