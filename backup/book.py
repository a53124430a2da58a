"""What the vault remembers about its backups: one value, kept as JSON in the vault, changed inside a transaction.

It is a belief, not a proof: files are looked at before anything is said of them. What it believes about the sets at
each target goes into every manifest, so that a set that vanishes is missed even by a device that knows nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

from backup.payload import Link, Recipient
from backup.retention import ClockWatch
from backup.schedule import Schedule, schedule_of
from vault.errors import DamagedVault
from vault.moment import Instant
from vault.store import Store

LOCAL = "local"  # the id of the target in the vault's own folder
_META = "backup"


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A set that is known: its file, and what its manifest says."""

    id: str
    name: str  # of the file
    digest: str  # SHA-256 of the file
    size: int
    device: str
    counter: int
    made_at: Instant
    items: int
    content: str


class Copy(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a set at a target; ``trouble`` is empty, ``missing`` or ``damaged``."""

    set: str
    verified_at: Instant = ""
    trouble: str = ""
    size: int = -1  # of the file and its time of change in nanoseconds, as last seen
    changed: int = 0


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A folder that backups go to; known by the id in its marker file, and by its volume where that has an id."""

    id: str
    path: str
    append_only: bool = False
    volume: str = ""  # UUID of the file system
    inside: str = ""  # the path below its mount point
    seen_at: Instant = ""
    copies: tuple[Copy, ...] = ()
    pruned: tuple[Link, ...] = ()
    trouble: str = ""  # why nothing could be written there, the last time it was tried


class Drill(msgspec.Struct, frozen=True, omit_defaults=True):
    """A restore into memory, compared item by item."""

    at: Instant
    set: str
    items: int
    seconds: float = 0.0
    trouble: str = ""


class Alarm(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened to a backup and wants attention until ``ended``."""

    at: Instant
    target: str
    set: str
    text: str
    ended: Instant = ""


class Book(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything remembered; ``proven`` is the last drill that found all well."""

    tag: str
    counter: int = 0
    newest: str = ""  # id of this device's newest set
    state: str = ""  # digest of what that set was made of: content, devices, recipients
    sets: tuple[Made, ...] = ()
    targets: tuple[Target, ...] = ()
    schedule: Schedule = Schedule()
    served_at: Instant = ""  # when the schedule last had what it asked for
    recipients: tuple[Recipient, ...] = ()
    clock: ClockWatch = ClockWatch()
    drill: Drill | None = None
    proven: Drill | None = None
    alarms: tuple[Alarm, ...] = ()

    def made(self, set_id: str) -> Made | None:
        """Return the set of that id."""
        return next((made for made in self.sets if made.id == set_id), None)

    def target(self, target_id: str) -> Target | None:
        """Return the target of that id."""
        return next((target for target in self.targets if target.id == target_id), None)

    def holders(self, set_id: str) -> tuple[Target, ...]:
        """Return the targets believed to hold a good copy of the set."""
        return tuple(
            target for target in self.targets if any(copy.set == set_id and not copy.trouble for copy in target.copies)
        )


def load(store: Store, home: Path) -> Book:
    """Return what is remembered; of a vault that remembers nothing, the book it begins with: a daily local target.

    Raises ``DamagedVault``.
    """
    text = store.meta(_META)
    if text is None:
        local = Target(id=LOCAL, path=str(home / "backups"))
        return Book(tag=secrets.token_hex(4), targets=(local,), schedule=schedule_of("daily"))
    try:
        return msgspec.json.decode(text.encode(), type=Book)
    except msgspec.DecodeError:
        raise DamagedVault("what the vault remembers of its backups is damaged", hint="restore a backup") from None


def change(store: Store, home: Path, how: Callable[[Book], Book]) -> Book:
    """Change what is remembered and return it; nobody else can change it in between."""
    with store.transaction():
        book = how(load(store, home))
        store.set_meta(_META, msgspec.json.encode(book).decode())
    return book


def with_target(book: Book, target: Target) -> Book:
    """Return the book with this target in the place of the one with its id, or added."""
    if book.target(target.id) is None:
        return msgspec.structs.replace(book, targets=(*book.targets, target))
    found = tuple(target if one.id == target.id else one for one in book.targets)
    return msgspec.structs.replace(book, targets=found)


def without_target(book: Book, target_id: str) -> Book:
    """Return the book without the target; sets that no other target holds are forgotten."""
    left = tuple(one for one in book.targets if one.id != target_id)
    held = {copy.set for one in left for copy in one.copies} | {book.newest}
    return msgspec.structs.replace(book, targets=left, sets=tuple(made for made in book.sets if made.id in held))


def with_set(book: Book, made: Made) -> Book:
    """Return the book with this set in it, in the order they were made."""
    others = [one for one in book.sets if one.id != made.id]
    return msgspec.structs.replace(
        book, sets=tuple(sorted((*others, made), key=lambda one: (one.made_at, one.counter)))
    )


def with_copy(target: Target, copy: Copy) -> Target:
    """Return the target with this copy in the place of the one of the same set, or added."""
    others = tuple(one for one in target.copies if one.set != copy.set)
    return msgspec.structs.replace(target, copies=(*others, copy))


def alarmed(book: Book, alarm: Alarm) -> Book:
    """Return the book with this alarm, unless the same is open already."""
    same = (alarm.target, alarm.set, alarm.text)
    if any((one.target, one.set, one.text) == same and not one.ended for one in book.alarms):
        return book
    return msgspec.structs.replace(book, alarms=(*book.alarms, alarm)[-_MOST_ALARMS:])


def healed(book: Book, target: str, set_id: str, at: Instant) -> Book:
    """Return the book with the open alarms about this copy ended."""
    found = tuple(
        msgspec.structs.replace(one, ended=at) if (one.target, one.set, one.ended) == (target, set_id, "") else one
        for one in book.alarms
    )
    return msgspec.structs.replace(book, alarms=found)


_MOST_ALARMS = 200
