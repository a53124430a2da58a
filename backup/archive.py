"""The door of this room: make a copy before something is changed, and say how the backups are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from pathlib import Path

import msgspec

from backup import book as books
from backup import mounts, schedule, targets
from backup.book import Alarm, Drill, Made
from backup.making import Outcome, create
from vault import moment
from vault.errors import KeyferryError
from vault.files import held
from vault.moment import Instant
from vault.store import Store

__all__ = [
    "Facts",
    "Outcome",
    "before_change",
    "create",
    "create_if_due",
    "facts",
    "keep_up",
    "open_to",
    "target_folders",
]

AGENT_LOCK = "agent.lock"
PROOF_LASTS = 14  # days after which a restore must have been proven again


class Facts(msgspec.Struct, frozen=True):
    """How the backups of a vault are; ``troubles`` are sentences, the worst first."""

    last: Made | None
    proven: Drill | None
    schedule: str
    targets: tuple[str, ...]
    others: tuple[str, ...]  # names of recipients who were added by consent
    alarms: tuple[Alarm, ...]
    troubles: tuple[str, ...]
    notes: tuple[str, ...]


def before_change(
    store: Store,
    home: Path,
    *,
    advance: Callable[[int], None] = lambda _: None,
    clock: Callable[[], Instant] = moment.now,
) -> Outcome | None:
    """Make a set of the vault as it is, unless the newest one holds everything; None for a vault without items.

    Raises as ``create``.
    """
    if not store.count():
        return None
    return create(store, home, if_changed=True, advance=advance, clock=clock)


def create_if_due(
    store: Store, home: Path, *, clock: Callable[[], Instant] = moment.now, zone: tzinfo | None = None
) -> Outcome | None:
    """Make a set if the schedule asks for one now and it would hold anything new; None if nothing is due.

    Raises as ``create``.
    """
    begun = clock()
    book = books.load(store, home)
    asked = _due(store, book, begun, zone)
    if asked.clock_moved_back:
        books.change(store, home, lambda book: msgspec.structs.replace(book, served_at=begun))
    if not asked.is_due:
        return None
    done = create(store, home, if_changed=True, clock=clock)
    books.change(store, home, lambda book: msgspec.structs.replace(book, served_at=begun))
    return done


def keep_up(store: Store, home: Path, *, clock: Callable[[], Instant] = moment.now) -> str:
    """Make the backup that is due, if no agent is there to make it; return what went wrong, or nothing.

    Commands that have changed the vault end with it, so that backups are on without an agent. A vault's first one is
    due at the first scheduled time after it was made. It never raises what a target raises: the change is done.
    """
    book = books.load(store, home)
    served = book.served_at or store.meta("made_at") or ""
    if not served or not _due(store, book, clock(), None, served).is_due or _agent_runs(home):
        return ""
    try:
        done = create_if_due(store, home, clock=clock)
    except KeyferryError as error:
        return f"the backup that is due could not be made: {error.message}"
    return "; ".join(one.trouble for one in done.troubles) if done is not None else ""


def _due(store: Store, book: books.Book, now: Instant, zone: tzinfo | None, served: Instant = "") -> schedule.Due:
    last = served or book.served_at
    return schedule.due(
        book.schedule,
        moment.to_datetime(last) if last else None,
        moment.to_datetime(now),
        zone or schedule.LocalZone(),
    )


def _agent_runs(home: Path) -> bool:
    """Tell whether an agent holds its lock."""
    lock = home / AGENT_LOCK
    if not lock.exists():
        return False
    try:
        with held(lock):
            return False
    except KeyferryError:
        return True


def target_folders(store: Store, home: Path) -> tuple[Path, ...]:
    """Return the folders of all targets, whether they are here or not."""
    return tuple(Path(target.path) for target in books.load(store, home).targets)


def open_to(store: Store, home: Path, since: Instant) -> tuple[str, ...]:
    """Return, as sentences, which targets hold backups that a device which was enrolled then can still open."""
    book = books.load(store, home)
    made = {one.id for one in book.sets if one.made_at >= since}
    found = ((target.path, sum(copy.set in made for copy in target.copies)) for target in book.targets)
    return tuple(
        f"it can still open {count} backup{'' if count == 1 else 's'} in {path}" for path, count in found if count
    )


def facts(store: Store, home: Path, now: Instant) -> Facts:
    """Look at every target and return how the backups are; reads no set."""
    book = books.load(store, home)
    troubles, notes = [], []
    for target in book.targets:
        try:
            folder = targets.locate(target)
        except KeyferryError as error:
            troubles.append(error.message)
            continue
        if target.trouble:
            troubles.append(target.trouble)
        gone = [copy.set for copy in target.copies if not copy.trouble and _is_gone(book, folder, copy)]
        if gone:
            troubles.append(f"{len(gone)} of the backups in {folder} are gone, and were not pruned")
    alarms = tuple(alarm for alarm in book.alarms if not alarm.ended)
    troubles += [alarm.text for alarm in alarms]
    if book.targets and all(_is_beside(home, Path(target.path)) for target in book.targets):
        notes.append("all backups are on the disk of the vault: keyferry backup target add DIR names another place")
    last = book.made(book.newest)
    if last is None:
        notes.append("there is no backup yet: keyferry backup create")
    return Facts(
        last=last,
        proven=book.proven,
        schedule=schedule.described(book.schedule),
        targets=tuple(target.path for target in book.targets),
        others=tuple(one.name for one in book.recipients),
        alarms=alarms,
        troubles=tuple(dict.fromkeys(troubles)),
        notes=tuple(notes),
    )


def _is_gone(book: books.Book, folder: Path, copy: books.Copy) -> bool:
    made = book.made(copy.set)
    return made is not None and not (folder / made.name).exists()


def _is_beside(home: Path, path: Path) -> bool:
    try:
        return mounts.same_disk(home, path)
    except (OSError, LookupError):
        return False
