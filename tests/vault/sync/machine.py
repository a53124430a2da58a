"""Made-up programs of two to eight devices, and the claim that they agree and lose nothing.

    python -m tests.vault.sync.machine --programs 10000 --seed 1

A program is a list of steps, each with its own seed: edit, add, delete and restore things, change sets, sections and
credentials, cut the network into parts and heal it, deliver in any order and twice, put clocks wrong, restart a device
from its rows, let one join by a copy or by a snapshot, revoke one, make a snapshot, drop what one stands for. A device
takes in an entry when it has all that its writer had seen, parks one from the far future, and drops what a revoked
device wrote after its last entry that counts.

At the end everything is delivered everywhere. Then all devices have the same bytes; these are what the entries come to
(``oracle``); and what a person wrote is somewhere in the vault unless a person who had it before them changed the same.
A failure is made small by leaving out steps, and printed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.vault.sync import oracle
from tests.vault.sync.oracle import Dot, Entry, Key
from vault.canonical import canonical
from vault.sync import cells, clock, merge

START_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
Row = dict[str, Any]
Step = tuple[str, int]

_WEIGHTS = {
    "edit": 24,
    "sets": 12,
    "parts": 12,
    "add": 6,
    "delete": 5,
    "restore": 4,
    "many": 2,
    "deliver": 18,
    "meet": 6,
    "gather": 5,
    "cut": 2,
    "heal": 2,
    "wait": 4,
    "skew": 2,
    "restart": 2,
    "join": 1,
    "revoke": 1,
    "snapshot": 3,
    "compact": 6,
    "begin": 2,
}


class Disagreement(AssertionError):
    """The program came to an end that is not allowed."""


@dataclass
class Device:
    """One device: its clock, its log and what it made of it."""

    name: str
    things: dict[Key, merge.Thing] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    inbox: dict[Dot, Entry] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    last: int = 0
    skew_ms: int = 0
    group: int = 0
    floor: dict[str, int] = field(default_factory=dict)  # how far each log is in the snapshot that this one begins with
    base: dict[Key, bytes] = field(default_factory=dict)

    def counts(self, entry: Entry) -> bool:
        """Tell whether an entry is valid, as far as this device knows."""
        return entry.seq <= self.revoked.get(entry.device, entry.seq)

    def take_in(self, now_ms: int) -> int:
        """Apply what can be applied of what arrived; return how many entries are parked."""
        parked: set[Dot] = set()
        moved = True
        while moved:
            moved = False
            for dot, entry in list(self.inbox.items()):
                if entry.seq <= self.heads.get(entry.device, 0) or not self.counts(entry):
                    del self.inbox[dot]
                elif self._has_all_before(entry):
                    if clock.is_ahead(entry.hlc, now_ms + self.skew_ms):
                        parked.add(dot)
                        continue
                    del self.inbox[dot]
                    self.last = clock.observe(self.last, entry.hlc, now_ms + self.skew_ms)
                    self.apply(entry)
                    moved = True
        return len(parked)

    def _has_all_before(self, entry: Entry) -> bool:
        if entry.seq != self.heads.get(entry.device, 0) + 1:
            return False
        needed = ((name, min(seq, self.revoked.get(name, seq))) for name, seq in entry.seen.items())
        return all(self.heads.get(name, 0) >= seq for name, seq in needed)

    def apply(self, entry: Entry) -> None:
        """Take one entry in."""
        self.heads[entry.device] = entry.seq
        self.log.append(entry)
        for op in entry.ops:
            key = (op.kind, op.id)
            self.things[key] = merge.apply(
                self.things.get(key), op, device=entry.device, seq=entry.seq, seen=entry.seen
            )

    def learn(self, name: str, last: int) -> None:
        """Hear that a device was revoked; what it wrote after its last entry that counts is undone."""
        self.revoked[name] = last
        if self.heads.get(name, 0) > last:
            log, self.log, self.heads = self.log, [], dict(self.floor)
            self.things = {key: merge.decode(data) for key, data in self.base.items()}
            for entry in log:
                if self.counts(entry):
                    self.apply(entry)

    def write(self, changes: Iterable[tuple[Key, Row | None]], now_ms: int) -> Entry | None:
        """Change things and return the entry that says so; None if nothing differs."""
        ops = []
        time_ = clock.tick(self.last, now_ms + self.skew_ms)
        for key, row in changes:
            op = merge.ops_between(*key, self.things.get(key), row, time_)
            ops += [op] if op is not None else []
        if not ops:
            return None
        self.last = time_
        seq = self.heads.get(self.name, 0) + 1
        seen = {name: head for name, head in self.heads.items() if name != self.name}
        sent = tuple(merge.decode_ops(merge.encode_ops(ops)))
        entry = Entry(self.name, seq, seen, time_, sent)
        self.apply(entry)
        return entry

    def rows(self) -> dict[Key, Row]:
        """Return what a person sees."""
        rows = ((key, thing.row()) for key, thing in self.things.items())
        return {key: row for key, row in rows if row is not None}

    def state(self) -> dict[Key, bytes]:
        """Return all there is, as bytes."""
        return {key: merge.encode(self.things[key]) for key in sorted(self.things)}


@dataclass(frozen=True)
class Snapshot:
    """What a device had at one point."""

    cut: dict[str, int]
    state: dict[Key, bytes]


@dataclass(frozen=True)
class Said:
    """Something a person wrote: a token nobody else writes, at a place that can be written again."""

    key: Key
    place: str
    token: str
    dot: Dot


class World:
    """All devices, the entries between them and the time outside."""

    def __init__(self, devices: int) -> None:
        self.now_ms = START_MS
        self.devices = [Device(f"d{number}") for number in range(devices)]
        self.entries: dict[Dot, Entry] = {}
        self.revoked: dict[str, int] = {}
        self.said: list[Said] = []
        self.written: dict[tuple[Key, str], list[Entry]] = {}
        self.done: Counter[str] = Counter()
        self.snapshots: list[Snapshot] = []
        self._tokens = 0

    def token(self) -> str:
        """Return a text nobody has written yet."""
        self._tokens += 1
        return f"<t{self._tokens}>"

    def writers(self) -> list[Device]:
        """Return the devices that may write, as far as they know."""
        return [device for device in self.devices if device.name not in device.revoked]

    def write(self, device: Device, changes: dict[Key, Row | None], said: dict[tuple[Key, str], str | None]) -> None:
        """Let a person at a device change things; ``said`` is what was written where, or None for taken away."""
        entry = device.write(changes.items(), self.now_ms)
        for key, row in changes.items():
            thing = device.things.get(key)
            have = thing.row() if thing is not None else None
            if canonical(have) != canonical(row):
                raise Disagreement(f"{device.name} wrote {key} and reads something else")
        if entry is None:
            return
        self.entries[entry.dot] = entry
        for (key, place), token in said.items():
            self.written.setdefault((key, place), []).append(entry)
            if token is not None:
                self.said.append(Said(key, place, token, entry.dot))

    def counts(self, dot: Dot) -> bool:
        """Tell whether an entry is valid once everybody knows of all revocations."""
        return dot[1] <= self.revoked.get(dot[0], dot[1])

    def has_settled(self, one: Snapshot) -> bool:
        """Tell whether every device that still belongs to the vault has all that a snapshot stands for."""
        there = (device for device in self.devices if device.name not in self.revoked)
        return all(device.heads.get(name, 0) >= seq for device in there for name, seq in one.cut.items())

    def deliver(self, device: Device, entries: Sequence[Entry]) -> None:
        """Let entries arrive at a device, which takes in what it can."""
        device.inbox.update((entry.dot, entry) for entry in entries)
        self.done["parked"] += device.take_in(self.now_ms)


# -- steps; each returns whether it did anything


def _edit(world: World, chance: random.Random) -> bool:
    """Change one value of something, or several."""
    device, key, row = _pick(world, chance)
    if row is None:
        return False
    changed, said = dict(row), {}
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        place = chance.choice(("title", "subtitle", "template", "unknown", "password", "username", "note", "PIN"))
        said[key, place] = _set(changed, place, world.token() if chance.random() < 0.9 else None)
    if chance.random() < 0.3:
        changed["favorite"] = chance.random() < 0.5
    if chance.random() < 0.5:
        changed["modifiedAt"] = str(world.now_ms + device.skew_ms)
    world.write(device, {key: changed}, said)
    return True


def _set(row: Row, place: str, token: str | None) -> str | None:
    """Write a token at a place of the row, or take it away there."""
    if place in ("title", "subtitle", "template", "unknown"):
        value: Any = {"deep": [token, 1]} if place == "unknown" else token
        row.pop(place, None)
        if token is not None:
            row[place] = value
    elif place == "PIN":
        _change(row, "custom-fields", lambda one: _with_fields(one, token))
    elif place == "note":
        _change(row, "note", lambda one: _with_member(one, "content", token))
    else:
        _change(row, "basic-auth", lambda one: _with_member(one, place, token and {"value": token}))
    return token


def _change(row: Row, kind: str, change: Callable[[Row], Row]) -> None:
    credentials = list(row.get("credentials", []))
    at = next((at for at, one in enumerate(credentials) if one["type"] == kind), len(credentials))
    credentials[at : at + 1] = [change(credentials[at] if at < len(credentials) else {"type": kind})]
    row["credentials"] = credentials


def _with_member(one: Row, name: str, value: Any) -> Row:
    rest = {member: other for member, other in one.items() if member != name}
    return rest if value is None else {**rest, name: value}


def _with_fields(one: Row, token: str | None) -> Row:
    others = [other for other in one.get("fields", []) if other["label"] != "PIN"]
    fields = others if token is None else [*others, {"label": "PIN", "value": token}]
    return _with_member(one, "fields", fields or None)


def _sets(world: World, chance: random.Random) -> bool:
    """Put elements into lists, take some out, or move them."""
    device, key, row = _pick(world, chance)
    if row is None:
        return False
    name = chance.choice(("tags", "tags", "collections", "urls", "history", "aliases", "androidApps"))
    elements, said = list(row.get(name, [])), {}
    for _ in range(chance.choice((1, 1, 2))):
        what = chance.random()
        if elements and what < 0.35:
            token = _token_of(elements.pop(chance.randrange(len(elements))))
            said[key, f"{name} {token}"] = None
        elif elements and what < 0.5:
            elements.insert(chance.randrange(len(elements)), elements.pop(chance.randrange(len(elements))))
        else:
            token = world.token()
            elements.insert(chance.randint(0, len(elements)), _element(name, token))
            said[key, f"{name} {token}"] = token
    world.write(device, {key: _with_member(row, name, elements or None)}, said)
    return True


def _element(name: str, token: str) -> Any:
    shapes = {"urls": {"url": token}, "history": {"value": token}, "androidApps": {"bundleId": token}}
    return shapes.get(name, token)


def _token_of(element: Any) -> str:
    return str(next(iter(element.values()))) if isinstance(element, dict) else str(element)


def _parts(world: World, chance: random.Random) -> bool:
    """Add, replace, take out or move a credential, or a section's field."""
    device, key, row = _pick(world, chance)
    if row is None:
        return False
    credentials, said = list(row.get("credentials", [])), {}
    what, token = chance.random(), world.token()
    codes = [one for one in credentials if one["type"] == "totp"]
    if what < 0.3:
        credentials.insert(chance.randint(0, len(credentials)), {"type": "totp", "secret": token, "digits": 8})
        said[key, f"totp {token}"] = token
    elif what < 0.45 and codes:
        gone = chance.choice(codes)
        credentials[credentials.index(gone)] = {"type": "totp", "secret": token}
        said = {(key, place): None for place in _places_in(gone)} | {(key, f"totp {token}"): token}
    elif what < 0.6 and codes:
        code = chance.choice(codes)
        credentials[credentials.index(code)] = {**code, "label": token}
        said[key, f"label of {code['secret']}"] = token
    elif what < 0.75 and credentials:
        said = dict.fromkeys((key, place) for place in _places_in(credentials.pop(chance.randrange(len(credentials)))))
    elif what < 0.85 and credentials:
        credentials.insert(chance.randrange(len(credentials)), credentials.pop(chance.randrange(len(credentials))))
    else:
        field_ = {"id": f"f{chance.randrange(3)}", "label": chance.choice("ab"), "value": token}
        section = {"type": "custom-fields", "id": "section", "fields": []}
        found = next((one for one in credentials if one.get("id") == "section"), None)
        at = credentials.index(found) if found is not None else len(credentials)
        fields = [one for one in (found or section).get("fields", []) if one.get("id") != field_["id"]]
        fields.insert(chance.randint(0, len(fields)), field_)
        credentials[at : at + 1] = [{**(found or section), "fields": fields}]
        said[key, f"field {field_['id']}"] = token
    world.write(device, {key: _with_member(row, "credentials", credentials or None)}, said)
    return True


def _places_in(credential: Row) -> list[str]:
    """Return the places of a credential that can be written."""
    named = {"basic-auth": ["username", "password"], "note": ["note"]}
    secret = credential.get("secret")
    codes = [f"totp {secret}", f"label of {secret}"] if secret else []
    fields = [f"field {one['id']}" if "id" in one else "PIN" for one in credential.get("fields", ())]
    return [*named.get(credential["type"], ()), *codes, *fields]


def _add(world: World, chance: random.Random) -> bool:
    device = chance.choice(world.writers())
    kind = chance.choice(("item", "item", "item", "collection", "extras"))
    id_ = "format" if kind == "extras" else world.token()
    key = (kind, id_)
    if key in device.rows():
        return False
    row: Row = {} if kind == "extras" else {"id": id_}
    said = {(key, place): _set(row, place, world.token()) for place in ("title", "password", "note")}
    tags = [world.token() for _ in range(3)]
    row["tags"] = tags
    said |= {(key, f"tags {token}"): token for token in tags}
    if key in device.things:
        said = {}
        row = device.things[key]._row(device.things[key].shown())
    world.write(device, {key: row}, said)
    return True


def _delete(world: World, chance: random.Random) -> bool:
    device, key, row = _pick(world, chance)
    if row is None:
        return False
    world.write(device, {key: None}, {(key, "there"): None})
    return True


def _restore(world: World, chance: random.Random) -> bool:
    """Bring back what is gone, as it was, sometimes with a new title."""
    device = chance.choice(world.writers())
    gone = [key for key, thing in sorted(device.things.items()) if not thing.is_there]
    if not gone:
        return False
    key = chance.choice(gone)
    thing = device.things[key]
    row = thing._row(thing.shown())
    said = {(key, "title"): _set(row, "title", world.token())} if chance.random() < 0.5 else {}
    world.write(device, {key: row}, said)
    return True


def _many(world: World, chance: random.Random) -> bool:
    """Change several things in one entry."""
    device = chance.choice(world.writers())
    rows = device.rows()
    said: dict[tuple[Key, str], str | None] = {}
    changes: dict[Key, Row | None] = {}
    for key in chance.sample(sorted(rows), min(len(rows), 3)):
        changed = dict(rows[key])
        said[key, "title"] = _set(changed, "title", world.token())
        changes[key] = changed
    if changes:
        world.write(device, changes, said)
    return bool(changes)


def _pick(world: World, chance: random.Random) -> tuple[Device, Key, Row | None]:
    device = chance.choice(world.writers())
    rows = device.rows()
    keys = sorted(rows)
    key = ("", "") if not keys else keys[0] if chance.random() < 0.5 else chance.choice(keys)
    return device, key, rows.get(key)


def _deliver(world: World, chance: random.Random) -> bool:
    """Let a device get some entries its part of the network has, in any order, some twice."""
    device = chance.choice(world.devices)
    known = [entry for other in world.devices if other.group == device.group for entry in other.log]
    if not known:
        return False
    some = chance.choices(known, k=chance.randint(1, len(known)))
    chance.shuffle(some)
    if any(entry.dot in device.inbox or entry in device.log for entry in some):
        world.done["twice"] += 1
    world.deliver(device, some)
    return True


def _meet(world: World, chance: random.Random) -> bool:
    """Let a device get all that another has, revocations too."""
    one, other = chance.sample(world.devices, 2)
    if one.group != other.group:
        return False
    for name, last in other.revoked.items():
        if name not in one.revoked:
            one.learn(name, last)
    world.deliver(one, chance.sample(other.log, len(other.log)))
    if one.heads == other.heads and one.revoked == other.revoked:
        world.done["agree on the way"] += 1
        if one.state() != other.state():
            raise Disagreement(f"{one.name} and {other.name} took the same in and differ")
    return True


def _gather(world: World, chance: random.Random) -> bool:
    """Let everybody in a part of the network get all that the part has."""
    group = chance.choice(world.devices).group
    inside = [device for device in world.devices if device.group == group]
    entries = {entry.dot: entry for device in inside for entry in device.log}
    for device in inside:
        world.deliver(device, chance.sample(list(entries.values()), len(entries)))
    return len(inside) > 1


def _cut(world: World, chance: random.Random) -> bool:
    for device in world.devices:
        device.group = chance.randrange(3)
    return True


def _heal(world: World, chance: random.Random) -> bool:
    for device in world.devices:
        device.group = 0
    return True


def _wait(world: World, chance: random.Random) -> bool:
    world.now_ms += chance.choice((0, 1, 1000, HOUR_MS, 30 * HOUR_MS))
    for device in world.devices:
        device.take_in(world.now_ms)
    return True


def _skew(world: World, chance: random.Random) -> bool:
    """Put a clock wrong, by seconds or by more than a day."""
    hours = chance.choice((0, 0.001, -0.001, -3, 20, 25, 60, -60))
    chance.choice(world.devices).skew_ms = int(hours * HOUR_MS)
    return True


def _restart(world: World, chance: random.Random) -> bool:
    device = chance.choice(world.devices)
    device.things = {key: merge.decode(data) for key, data in device.state().items()}
    return True


def _join(world: World, chance: random.Random) -> bool:
    """Let a new device begin with a copy of what another has."""
    if len(world.devices) >= 8:
        return False
    giver = chance.choice(world.writers())
    things = {key: merge.decode(data) for key, data in giver.state().items()}
    joiner = Device(f"d{len(world.devices)}", things, dict(giver.heads), list(giver.log), {}, dict(giver.revoked))
    joiner.last, joiner.group = giver.last, giver.group
    joiner.floor, joiner.base = dict(giver.floor), giver.base
    world.devices.append(joiner)
    return True


def _revoke(world: World, chance: random.Random) -> bool:
    """Let one device revoke another; what that wrote after the last entry the first one has is void."""
    if len(world.revoked) + 2 >= len(world.devices):
        return False
    revoker = chance.choice([device for device in world.devices if device.name not in world.revoked])
    other = chance.choice([d for d in world.devices if d.name not in world.revoked and d is not revoker])
    for name, last in world.revoked.items():
        if name not in revoker.revoked:
            revoker.learn(name, last)
    world.revoked[other.name] = revoker.heads.get(other.name, 0)
    revoker.learn(other.name, world.revoked[other.name])
    return True


def _snapshot(world: World, chance: random.Random) -> bool:
    device = chance.choice(world.writers())
    world.snapshots.append(Snapshot(dict(device.heads), device.state()))
    return True


def _compact(world: World, chance: random.Random) -> bool:
    """Let a device begin its log with a settled snapshot, which must be what its entries come to."""
    device, one = chance.choice(world.devices), _settled(world, chance)
    has_it = one is not None and all(device.heads.get(name, 0) >= seq for name, seq in one.cut.items())
    if one is None or not has_it or any(one.cut.get(name, 0) < seq for name, seq in device.floor.items()):
        return False
    copy = Device(device.name, {key: merge.decode(data) for key, data in device.base.items()})
    for entry in device.log:
        if entry.seq <= one.cut.get(entry.device, 0):
            copy.apply(entry)
    if copy.state() != one.state:
        raise Disagreement(f"a snapshot is not what the entries of {device.name} come to")
    device.log = [entry for entry in device.log if entry.seq > one.cut.get(entry.device, 0)]
    device.floor, device.base = dict(one.cut), one.state
    return True


def _begin(world: World, chance: random.Random) -> bool:
    """Let a new device begin with a settled snapshot and nothing else: one that has what others have dropped."""
    one = _settled(world, chance)
    dropped = [floor for device in world.devices for floor in device.floor.items()]
    if len(world.devices) >= 8 or one is None or any(one.cut.get(name, 0) < seq for name, seq in dropped):
        return False
    giver = chance.choice(world.writers())
    things = {key: merge.decode(data) for key, data in one.state.items()}
    joiner = Device(f"d{len(world.devices)}", things, dict(one.cut), revoked=dict(giver.revoked), group=giver.group)
    joiner.floor, joiner.base = dict(one.cut), one.state
    world.devices.append(joiner)
    return True


def _settled(world: World, chance: random.Random) -> Snapshot | None:
    fitting = [one for one in world.snapshots if world.has_settled(one)]
    return chance.choice(fitting) if fitting else None


STEPS: dict[str, Callable[[World, random.Random], bool]] = {
    "edit": _edit,
    "sets": _sets,
    "parts": _parts,
    "add": _add,
    "delete": _delete,
    "restore": _restore,
    "many": _many,
    "deliver": _deliver,
    "meet": _meet,
    "gather": _gather,
    "cut": _cut,
    "heal": _heal,
    "wait": _wait,
    "skew": _skew,
    "restart": _restart,
    "join": _join,
    "revoke": _revoke,
    "snapshot": _snapshot,
    "compact": _compact,
    "begin": _begin,
}


# -- programs


def program(seed: int) -> list[Step]:
    """Return the steps of a program; the first says how many devices there are."""
    chance = random.Random(seed)
    names = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=chance.randint(12, 60))
    steps = [(name, chance.randrange(1 << 30)) for name in ("add", *names)]
    return [("devices", chance.randint(2, 7)), *steps]


def run(steps: Sequence[Step]) -> World:
    """Run a program to its end; raises ``Disagreement``."""
    world = World(steps[0][1])
    for name, seed in steps[1:]:
        if STEPS[name](world, random.Random(seed)):
            world.done[name] += 1
    _finish(world)
    check(world)
    return world


def _finish(world: World) -> None:
    """Deliver everything everywhere, in an order of its own at each device, clocks set right again."""
    world.now_ms += 1000 * HOUR_MS
    for number, device in enumerate(world.devices):
        device.skew_ms = 0
        for name, last in world.revoked.items():
            if device.revoked.get(name) is None:
                device.learn(name, last)
        kept = {entry.dot: entry for other in world.devices for entry in (*other.log, *other.inbox.values())}
        entries = list(kept.values())
        random.Random(number).shuffle(entries)
        world.deliver(device, entries)


def check(world: World) -> None:
    """Raise ``Disagreement`` unless all devices agree and nothing that anybody wrote is lost.

    But for a revoked one that lacks what the others have dropped since: nothing goes to it any more.
    """
    first, *others = (device for device in world.devices if not _is_left_behind(world, device))
    wanted = first.state()
    for device in others:
        have = device.state()
        if have != wanted:
            unlike = [key for key in sorted({*have, *wanted}) if have.get(key) != wanted.get(key)]
            raise Disagreement(f"{device.name} and {first.name} differ in {unlike}")
    entries = [entry for dot, entry in world.entries.items() if world.counts(dot)]
    wrong = oracle.differences(entries, first.things)
    if wrong:
        raise Disagreement("; ".join(wrong))
    for problem in _lost(world, first):
        raise Disagreement(problem)


def _is_left_behind(world: World, device: Device) -> bool:
    dropped = (floor for other in world.devices for floor in other.floor.items())
    return device.name in world.revoked and any(device.heads.get(name, 0) < seq for name, seq in dropped)


def _lost(world: World, device: Device) -> Iterator[str]:
    """Yield what a person wrote and nobody who had it wrote over, and that is not there."""
    rows, state = device.rows(), device.state()
    shown = {key: canonical([row, *device.things[key].lost_rows()]) for key, row in rows.items()}
    for one in world.said:
        if not world.counts(one.dot):
            continue
        written = world.written[one.key, one.place]
        is_over = any(world.counts(entry.dot) and entry.saw(one.dot) for entry in written)
        if not is_over and one.token.encode() not in shown.get(one.key, state[one.key]):
            yield f"{one.dot} wrote {one.token} as {one.place} of {one.key}, and it is gone"
        name = one.place.split(" ")[0]
        if name in cells.SETS and one.key in rows:
            is_seen = one.token in map(_token_of, rows[one.key].get(name, ()))
            if is_seen == is_over:
                yield f"{one.token} in {name} of {one.key} is seen: {is_seen}, and was taken out: {is_over}"


def smallest(steps: list[Step]) -> list[Step]:
    """Leave out steps as long as the program still fails."""
    size = len(steps) // 2
    while size:
        at = 1
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if _fails(fewer):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def _fails(steps: Sequence[Step]) -> bool:
    try:
        run(steps)
    except Exception:
        return True
    return False


def campaign(programs: int, seed: int) -> Counter[str]:
    """Run programs with the seeds from this one on and return what was done; raises ``Disagreement`` in words."""
    done: Counter[str] = Counter()
    for one in range(seed, seed + programs):
        try:
            world = run(program(one))
        except Exception as problem:  # whatever it is, it has a seed
            steps = "\n  ".join(map(str, smallest(program(one))))
            raise Disagreement(f"seed {one}: {type(problem).__name__} {problem}\n  {steps}") from problem
        done += world.done
        done["entries"] += len(world.entries)
        done["revoked"] += len(world.revoked)
        done["void"] += sum(not world.counts(dot) for dot in world.entries)
        done[f"{len(world.devices)} devices"] += 1
        things = world.devices[0].things.values()
        done["losers"] += sum(len(thing.losers()) for thing in things)
        done["kept against delete"] += sum(thing.kept_against_delete for thing in things)
    return done


def main(arguments: Sequence[str]) -> int:
    """Run a campaign from the command line and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.vault.sync.machine")
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 40)
    print(f"{options.programs} programs, seeds {seed} to {seed + options.programs - 1}")
    start = time.monotonic()
    try:
        done = campaign(options.programs, seed)
    except Disagreement as problem:
        print(problem)
        return 1
    for name, number in sorted(done.items(), key=lambda pair: (-pair[1], pair[0])):
        print(f"  {number:>9}  {name}")
    print(f"all agree and nothing is lost; {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
