"""What the agent does about the files at the targets: which it doubts, and what becomes of them.

Rules:
1. A copy is doubted when its file is not as the book remembers it (size, time), when somebody wrote to it, or when it
   was in trouble and another target with a good copy has come back. Only a doubted copy is read.
2. Whatever was found wrong is told, and stays in the book as an alarm: ended at once where a good copy was put back or
   the content is whole, else open.
3. Where no good copy of a set is left anywhere a new set is made, and that ends the alarm: today's vault is safe, the
   old state is lost.
4. The daily round reads 1/30 of the copies, those longest unread first. Each week the newest set is restored into
   memory; when that fails it is read, healed and tried again the next day.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from backup import book as books
from backup import schedule
from backup.book import Alarm, Book, Copy, Drill, Made, Target
from backup.care import AWAY, GOOD, Finding, Pruned
from backup.making import Outcome
from vault import moment
from vault.moment import Instant

if TYPE_CHECKING:
    from vault.sync.keeping import Turn

DRILL_EVERY = timedelta(days=7)
ROUND_PARTS = 30
_DRILL = "the restore drill failed"

Say = Callable[[str], None]


class Work(Protocol):
    """What is done with the open vault; ``backup.desk.Desk`` is one."""

    @property
    def counter(self) -> str: ...
    @property
    def left(self) -> str: ...
    @property
    def reminder(self) -> str: ...
    @property
    def is_synced(self) -> bool: ...
    def sync(self) -> Turn: ...
    def book(self) -> Book: ...
    def change(self, how: Callable[[Book], Book]) -> Book: ...
    def create(self, *, if_changed: bool) -> Outcome: ...
    def prune(self) -> tuple[Pruned, ...]: ...
    def drill(self) -> Drill: ...
    def verify(self, ids: Sequence[str]) -> tuple[Finding, ...]: ...


class Doubts(msgspec.Struct, frozen=True):
    """The ids of sets to read, and which copies (target, set) somebody wrote to."""

    sets: frozenset[str] = frozenset()
    touched: frozenset[tuple[str, str]] = frozenset()


def doubts(
    book: Book, here: Mapping[str, Path], named: Mapping[str, Mapping[str, str]], *, has_returned: bool
) -> Doubts:
    """Compare the files of these targets with the book.

    ``here`` gives their folders by id, ``named`` what happened (changed, appeared, deleted) to which of their files;
    with ``has_returned`` a target has come back that may hold what others lack.
    """
    sets: set[str] = set()
    touched: set[tuple[str, str]] = set()
    for target in book.targets:
        if target.id not in here:
            continue
        happened = named.get(target.id, {})
        for copy, made in _copies(book, target):
            what = happened.get(made.name, "")
            differs = _state(here[target.id] / made.name) != (copy.size, copy.changed)
            if copy.trouble:
                doubted = what in ("changed", "appeared") or (has_returned and _is_mendable(book, copy, here))
            else:
                doubted = differs or what == "changed"
            if doubted:
                sets.add(copy.set)
            if differs and what == "changed":
                touched.add((target.id, copy.set))
    return Doubts(frozenset(sets), frozenset(touched))


def look_into(desk: Work, found: Doubts, now: datetime, say: Say) -> None:
    """Read what is doubted, keep and tell what became of it. Raises as ``care.verify`` and ``making.create``."""
    if found.sets:
        _judge(desk, desk.verify(sorted(found.sets)), found.touched, now, say)
    replace_lost(desk, now, say)


def settle(desk: Work, now: datetime) -> None:
    """End the alarms about copies that were read back well since, whatever put them right."""
    for one in (one for one in desk.book().alarms if not one.ended):
        target = desk.book().target(one.target)
        for copy in target.copies if target is not None else ():
            if copy.set == one.set and not copy.trouble and copy.verified_at >= one.at:
                _end(desk, one, now)


def lost(book: Book) -> tuple[Alarm, ...]:
    """Return the open alarms about sets of which no good copy is left anywhere."""
    about_copies = (one for one in book.alarms if one.target and one.set and not one.ended)
    return tuple(one for one in about_copies if not book.holders(one.set))


def replace_lost(desk: Work, now: datetime, say: Say) -> None:
    """Make a new set if there is one of which no good copy is left. Raises as ``making.create``."""
    gone = lost(desk.book())
    if not gone:
        return
    made = desk.create(if_changed=False).made
    for one in gone:
        _end(desk, one, now)
    if made is not None:
        say(f"no good copy of {counted_sets(len({one.set for one in gone}))} is left; made {described(made)} instead")


def note_gone(desk: Work, target: Target, now: datetime, say: Say) -> None:
    """Raise the alarm about a target whose folder was removed."""
    _alarm(
        desk, Alarm(instant(now), target.id, "", f"{target.path}: the folder of this backup target was removed"), say
    )


def note_back(desk: Work, target: str, now: datetime) -> None:
    """End the alarm about a target whose folder is back."""
    desk.change(lambda book: books.healed(book, target, "", instant(now)))


def folders_back(book: Book, here: Collection[str]) -> frozenset[str]:
    """Return the targets that are here though there is an open alarm that their folder was removed."""
    return frozenset(one.target for one in book.alarms if one.target in here and not one.set and not one.ended)


def go_round(desk: Work, here: Collection[str], now: datetime, say: Say) -> None:
    """Read some of the sets at the targets that are here, and restore the newest one if that is due.

    Raises as ``care.verify``, ``care.drill`` and ``making.create``.
    """
    book = desk.book()
    ids = set(round_of(book, here, now))
    if is_drill_due(book, now):
        ids |= _drill(desk, now, say)
    if ids:
        _judge(desk, desk.verify(sorted(ids)), (), now, say)
        say(f"read {counted_sets(len(ids))} from the disk")
    replace_lost(desk, now, say)


def round_of(book: Book, here: Collection[str], now: datetime) -> Iterator[str]:
    """Yield the sets to read today: those longest unread, but none of the last day, and what can be healed."""
    copies = [copy for target in book.targets if target.id in here for copy, _ in _copies(book, target)]
    good = sorted((copy for copy in copies if not copy.trouble), key=lambda copy: copy.verified_at)
    a_day_ago = instant(now - timedelta(days=1))
    for copy in good[: ceil(len(good) / ROUND_PARTS)]:
        if copy.verified_at <= a_day_ago:
            yield copy.set
    for copy in copies:
        if copy.trouble and _is_mendable(book, copy, here):
            yield copy.set


def is_drill_due(book: Book, now: datetime) -> bool:
    """Tell whether the newest set is to be restored again: a week later, or the next day where it failed."""
    if book.drill is None or book.drill.trouble:
        return True
    age = now - moment.to_datetime(book.drill.at)
    return age >= DRILL_EVERY or age < -schedule.SKEW


def _drill(desk: Work, now: datetime, say: Say) -> set[str]:
    """Restore the newest set; returns its id if that failed."""
    done = desk.drill()
    if done.trouble:
        _alarm(desk, Alarm(instant(now), "", done.set, f"{_DRILL}: {done.trouble}"), say)
        return {done.set}
    say(f"restored {done.items:,} items into memory in {done.seconds:.1f} s, and all are equal")
    if any(_is_about_drill(one) for one in desk.book().alarms):
        desk.change(lambda book: _drill_well(book, instant(now)))
    return set()


def _drill_well(book: Book, at: Instant) -> Book:
    ended = (msgspec.structs.replace(one, ended=at) if _is_about_drill(one) else one for one in book.alarms)
    return msgspec.structs.replace(book, alarms=tuple(ended))


def _is_about_drill(alarm: Alarm) -> bool:
    return alarm.text.startswith(_DRILL) and not alarm.ended


def _judge(desk: Work, found: Iterable[Finding], touched: Collection[tuple[str, str]], now: datetime, say: Say) -> None:
    at = instant(now)
    for one in found:
        text = f"{one.path}: {one.text}"
        if one.verdict == AWAY:
            continue
        if one.verdict == GOOD:
            if (one.target, one.set) in touched:
                text = f"{one.path}: somebody touched it; its content is whole"
                _alarm(desk, Alarm(at, one.target, one.set, text, ended=at), say)
        elif one.healed:
            _alarm(desk, Alarm(at, one.target, one.set, text, ended=at), say)
            say(f"put back from {one.elsewhere}")
        else:
            say(f"alarm: {text}")  # verifying has put it into the book


def _alarm(desk: Work, alarm: Alarm, say: Say) -> None:
    desk.change(lambda book: books.alarmed(book, alarm))
    say(f"alarm: {alarm.text}")


def _end(desk: Work, alarm: Alarm, now: datetime) -> None:
    desk.change(lambda book: books.healed(book, alarm.target, alarm.set, instant(now)))


def _is_mendable(book: Book, copy: Copy, here: Collection[str]) -> bool:
    """Tell whether a target that is here should have a good copy."""
    return any(one.id in here for one in book.holders(copy.set))


def _copies(book: Book, target: Target) -> Iterator[tuple[Copy, Made]]:
    for copy in target.copies:
        if (made := book.made(copy.set)) is not None:
            yield copy, made


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def instant(at: datetime) -> Instant:
    """Return the instant of a datetime, in whole seconds."""
    return moment.from_seconds(int(at.timestamp()))


def described(made: Made) -> str:
    """Return a set in words, for the log."""
    items = f"{made.items:,} item{'' if made.items == 1 else 's'}"
    size = f"{made.size / 1e6:,.1f} MB" if made.size >= 1e6 else f"{made.size / 1e3:,.1f} kB"
    return f"set {made.id} ({items}, {size})"


def counted_sets(count: int) -> str:
    """Return ``1 set``, ``2 sets``."""
    return f"{count:,} set" + ("" if count == 1 else "s")
