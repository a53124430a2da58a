"""The agent: keeps the schedule, follows changes and drives, looks after the sets that are there, and syncs.

Rules:
1. It looks when something happens, and at least once a minute. One look does what is due at that moment, each thing at
   most once; so what a sleep has missed is caught up once. Due times are the wall clock's, waiting is the monotonic
   one's.
2. The vault is open only while something is done with it.
3. A trouble is told once, and tried again after 1, 2, 4 ... 60 minutes, or at once when a drive or folder appears. A
   key that is not at hand yet (keyring locked at login, key file on a drive) is waited for.
4. What the files at the targets need is ``backup.caring``'s to say.
5. Sync comes after the backups that are due: ten seconds after a change, else every five minutes, at once after a sleep
   or when a drive appears. Being offline is no trouble: told when it begins and when it ends, tried again meanwhile.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Protocol

import msgspec

from backup import caring, schedule, targets
from backup.book import Book
from backup.caring import Doubts, Work, counted_sets, described, instant
from backup.schedule import Pending, Schedule
from backup.watching import Event
from vault import moment
from vault.errors import KeyferryError, KeyMissing, KeyringLocked, KeyringUnavailable, NoVault, UsageError, VaultBusy

LOCK = "agent.lock"
_VAULT_FILES = ("vault.db", "vault.db-wal")
_LATE = timedelta(seconds=10)
_LEAP = timedelta(minutes=2)
_WAITED_FOR = (KeyringLocked, KeyringUnavailable, KeyMissing)
_SHORTEST, _SURE_AFTER = 0.1, 1.0  # seconds
_BEFORE_ROUND = 300.0  # the minutes after login belong to the person
_SYNC_EVERY, _SYNC_AFTER, _SYNC_LATEST = 300.0, 10.0, 60.0  # seconds: without a change, after the last, after the first


class Events(Protocol):
    """Where the agent hears of what happens; ``backup.watching.Watcher`` is one."""

    def start(self) -> None: ...
    def set_paths(self, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> None: ...
    def wait(self, timeout: float) -> set[Event]: ...
    def wake(self) -> None: ...
    def stop(self) -> None: ...


class Patience:
    """How long to leave alone what failed, and whether that was told; times in monotonic seconds."""

    def __init__(self, first: float = 60.0, longest: float = 3600.0) -> None:
        self._first, self._longest = first, longest
        self._told, self._tries, self._until = "", 0, 0.0

    def failed(self, text: str, now: float) -> bool:
        """Note a failure; returns whether it is new and to be told."""
        self._until = now + min(self._first * 2.0**self._tries, self._longest)
        self._tries += 1
        is_new, self._told = text != self._told, text
        return is_new

    def succeeded(self) -> bool:
        """Note that it went well; returns whether a failure had been told."""
        was_told, self._told = bool(self._told), ""
        self.hurry()
        return was_told

    def hurry(self) -> None:
        """Try again at once; what was told stays told."""
        self._tries, self._until = 0, 0.0

    def left(self, now: float) -> float:
        """Return the seconds until the next try."""
        return max(0.0, self._until - now)


class Agent:
    """One agent for one vault. ``run`` ends after ``stop``, which is safe in a signal handler."""

    def __init__(
        self,
        home: Path,
        *,
        desk: Callable[[], AbstractContextManager[Work]],
        events: Events,
        wall: Callable[[], datetime],
        mono: Callable[[], float],
        zone: tzinfo,
        say: Callable[[str], None],
    ) -> None:
        self._home, self._desk, self._events = home, desk, events
        self._wall, self._mono, self._zone, self._say = wall, mono, zone, say
        self._book = Book(tag="")
        self._is_known, self._is_stale, self._is_stopped = False, True, False
        self._vault = _vault_state(home)
        self._counter: str | None = None  # what the vault's counter was when we closed it
        self._is_sure = True  # that nobody has changed the vault between that and the look at its file
        self._pending = Pending().changed(wall())  # what happened before is not known
        self._here: dict[str, Path] = {}  # by target
        self._away: dict[str, str] = {}  # why, as told, by target
        self._unread: set[str] = set()  # targets whose files are to be compared with the book
        self._named: defaultdict[str, dict[str, str]] = defaultdict(dict)  # what happened to which file, by target
        self._vanished: set[str] = set()  # targets whose folder went, and no drive with it
        self._arrived: set[str] = set()  # targets that are to get what they lack
        self._has_returned = False  # one that may hold what others lack
        self._round: date | None = None
        self._begun_at, self._clocks = mono(), (wall(), mono())
        self._key = Patience(5.0, 60.0)
        self._patience: defaultdict[str, Patience] = defaultdict(Patience)
        self._busy = Patience(30.0, 60.0)
        self._notes: dict[str, str] = {}
        self._is_synced = False
        self._sync_at, self._changed_at = mono(), float("inf")  # when to sync; the first change that was not synced
        self._online = Patience(60.0, _SYNC_EVERY)
        self._findings: frozenset[str] = frozenset()
        self._calendar: tuple[Schedule | None, datetime | None, datetime | None] = (None, None, None)

    def run(self) -> None:
        """Work until stopped.

        Raises what keeps the vault from being opened at the beginning, unless it is its key that is not at hand yet;
        ``UsageError`` for a vault under a passphrase, ``NoVault`` also later.
        """
        self._events.start()
        try:
            self.step(())
            while not self._is_stopped:
                self.step(self._events.wait(self.pause()))
        finally:
            self._events.stop()

    def stop(self) -> None:
        """End after what is being done now."""
        self._is_stopped = True
        self._events.wake()

    def step(self, events: Collection[Event]) -> None:
        """Take in what happened, and do what is due."""
        if self._is_stopped:
            return
        now = self._wall()
        self._notice_clock(now)
        self._take(events, now)
        if self._is_stale or not self._is_sure or self._due(now):
            self._work(now)

    def pause(self) -> float:
        """Return the seconds until the next look, a minute at most."""
        now = self._wall()
        nap = schedule.nap(now, self._next_due(), self._change_due(now)).total_seconds()
        left = [one.left(self._mono()) for one in (self._key, self._busy, *self._patience.values())]
        waits = [wait for wait in left if wait]
        until = [self._until_sync()] if self._is_sure else [_SURE_AFTER]
        return max(_SHORTEST, min(min([nap, *waits] if nap or not waits else waits), *until))

    # -- what happened

    def _notice_clock(self, now: datetime) -> None:
        (wall, mono), self._clocks = self._clocks, (now, self._mono())
        leap = schedule.jumped(wall, now, mono, self._clocks[1])
        if leap >= _LEAP:
            self._sync_soon(0.0)
            self._say(f"the machine slept, or its clock was set ahead: {_duration(leap)}")
        elif leap <= -_LEAP:
            self._say(f"the clock was set back: {_duration(-leap)}")

    def _take(self, events: Collection[Event], now: datetime) -> None:
        state = _vault_state(self._home)
        if state != self._vault:
            self._vault, self._is_stale = state, True
            self._pending = self._pending.changed(now)
            self._sync_soon(_SYNC_AFTER)
        unmounted = [one.path for one in events if one.kind == "unmounted"]
        targets_by_folder = {folder: target for target, folder in self._folders()}
        for one in events:
            if one.kind in ("mounted", "found"):
                self._key.hurry()  # perhaps the drive with the key file
                self._sync_soon(0.0)  # or that with the folder
            target = targets_by_folder.get(one.path if one.kind in ("lost", "found") else one.path.parent)
            if target is None or one.kind in ("mounted", "unmounted"):
                continue
            self._unread.add(target)
            if one.kind == "lost":
                if not any(one.path.is_relative_to(point) for point in unmounted):
                    self._vanished.add(target)
            elif one.kind != "found":
                self._named[target][one.path.name] = one.kind
        if events:
            self._locate()

    def _locate(self) -> None:
        """See where each target is; tell what has come and gone."""
        for target in self._book.targets:
            try:
                place = targets.locate(target)
            except KeyferryError as error:
                self._here.pop(target.id, None)
                if self._away.get(target.id) != error.message:
                    self._away[target.id] = error.message
                    self._say(error.message)
                continue
            self._here[target.id] = place
            if self._away.pop(target.id, None) is not None:
                self._say(f"the backup target {place} is here again")
                self._arrived.add(target.id)
                self._has_returned = True
                self._unread |= {one.id for one in self._book.targets}
                for patience in self._patience.values():
                    patience.hurry()

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """Yield where each target is, or was last."""
        for one in self._book.targets:
            yield one.id, self._here.get(one.id, Path(one.path))

    # -- what is due

    def _due(self, now: datetime) -> tuple[str, ...]:
        """Return the names of the tasks that are due and not left alone."""
        if not self._is_known or self._is_left_alone():
            return ()
        change = self._change_due(now)
        wanted = {
            "care": self._is_care_due(),
            "schedule": self._is_schedule_due(now),
            "change": change is not None and change <= now,
            "mount": bool(self._arrived) and self._book.schedule.on_mount,
            "round": self._is_round_due(now),
            "sync": self._is_synced and not self._until_sync(),
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted and not self._left(name))

    def _is_left_alone(self) -> bool:
        """Tell whether the vault is to be left closed: its key is not at hand, or another process works with it."""
        return bool(self._key.left(self._mono()) or self._busy.left(self._mono()))

    def _is_care_due(self) -> bool:
        back = caring.folders_back(self._book, self._here)
        return bool(self._doubts().sets or self._vanished or back or caring.lost(self._book))

    def _left(self, task: str) -> float:
        return self._patience[task].left(self._mono()) if task in self._patience else 0.0

    def _is_schedule_due(self, now: datetime) -> bool:
        if not self._book.schedule.cron:
            return False
        served, due = _served(self._book), self._next_due()
        return served is None or (due is not None and due <= now) or served - now > schedule.SKEW

    def _next_due(self) -> datetime | None:
        """Return the first due time after what was served last; looked up in the calendar only once."""
        served = _served(self._book)
        if served is None:
            return None
        if self._calendar[:2] != (self._book.schedule, served):
            self._calendar = (self._book.schedule, served, schedule.next_due(self._book.schedule, served, self._zone))
        return self._calendar[2]

    def _change_due(self, now: datetime) -> datetime | None:
        book = self._book
        if not book.schedule.on_change:
            return None
        newest = book.made(book.newest)
        size = sum(state[0] for state in self._vault if state is not None)
        return schedule.change_due(
            self._pending, moment.to_datetime(newest.made_at) if newest is not None else None, size, now
        )

    def _is_round_due(self, now: datetime) -> bool:
        is_new = self._round != now.astimezone(self._zone).date()
        return is_new and bool(self._book.newest) and self._mono() - self._begun_at >= _BEFORE_ROUND

    def _sync_soon(self, seconds: float) -> None:
        """Let the next sync come that many seconds from now, unless changes go on for too long."""
        now = self._mono()
        if seconds:
            self._changed_at = min(self._changed_at, now)
            self._sync_at = min(now + seconds, self._changed_at + _SYNC_LATEST)
        else:
            self._sync_at = now
            self._online.hurry()

    def _until_sync(self) -> float:
        if not self._is_synced:
            return float("inf")
        now = self._mono()
        return max(self._sync_at - now, *(one.left(now) for one in (self._key, self._busy, self._online)), 0.0)

    def _doubts(self) -> Doubts:
        """Compare the files of the targets where something happened with the book; well is well."""
        here = {target: place for target, place in self._here.items() if target in self._unread}
        found = caring.doubts(self._book, here, self._named, has_returned=self._has_returned)
        if not found.sets:
            self._forget(here)
        return found

    def _forget(self, read: Iterable[str]) -> None:
        for target in read:
            self._unread.discard(target)
            self._named.pop(target, None)
        self._has_returned = False

    # -- what is done

    def _work(self, now: datetime) -> None:
        """Open the vault, do what is due, close it."""
        if self._is_left_alone():
            return
        is_first, state, self._is_sure = not self._is_known, _vault_state(self._home), True
        try:
            with self._desk() as desk:
                before = desk.counter
                if self._counter not in (None, before):  # changed by another process as soon as we had closed it
                    self._pending = self._pending.changed(now)
                    self._sync_soon(_SYNC_AFTER)
                self._opened(desk, now)
                for name in self._due(now):
                    if not self._is_stopped:
                        self._try(name, desk, now)
                self._learn(desk.book())
                if desk.counter != before:  # another process has changed the vault meanwhile
                    self._pending = self._pending.changed(self._wall())
                self._counter = desk.left
                self._is_sure = self._counter == before
        except _WAITED_FOR as error:
            if self._key.failed(error.message, self._mono()):
                self._say(f"waiting: {error.message}")
        except VaultBusy as error:
            self._postpone(error)
        except (NoVault, UsageError):
            raise
        except KeyferryError as error:
            if is_first:
                raise
            if self._key.failed(error.message, self._mono()):
                self._say(f"failed: {error.message}")
        finally:
            # Who waited for the vault may have changed it before its file is looked at: the next opening tells.
            self._vault = state if self._is_sure else _vault_state(self._home)

    def _opened(self, desk: Work, now: datetime) -> None:
        if self._key.succeeded():
            self._say("the vault can be opened")
        if _vault_state(self._home) != self._vault:
            self._pending = self._pending.changed(now)
        self._is_stale = False
        self._is_synced = desk.is_synced
        self._learn(desk.book())
        if not self._is_known:
            self._is_known = True
            self._unread |= {target for target, _ in self._folders()}
            self._note("kit", desk.reminder)

    def _learn(self, book: Book) -> None:
        """Take the book as it is now, and watch what it names."""
        self._book = book
        known = {one.id for one in book.targets}
        for place in (self._here, self._away, self._named):
            for gone in place.keys() - known:
                del place[gone]
        self._unread &= known
        self._note("schedule", f"backups are made {schedule.described(book.schedule)}")
        self._locate()
        self._events.set_paths([folder for _, folder in self._folders()], [self._home / name for name in _VAULT_FILES])

    def _try(self, task: str, desk: Work, now: datetime) -> None:
        tasks = {
            "care": self._care,
            "schedule": self._serve,
            "change": self._follow,
            "mount": self._carry,
            "round": self._go_round,
            "sync": self._sync,
        }
        try:
            tasks[task](desk, now)
            caring.settle(desk, self._wall())
        except VaultBusy as error:
            self._postpone(error)
        except KeyferryError as error:
            self._fail(task, error)
        else:
            self._busy.succeeded()
            self._patience.pop(task, None)
        self._learn(desk.book())

    def _fail(self, task: str, error: KeyferryError) -> None:
        if self._patience[task].failed(error.message, self._mono()):
            self._say(f"failed: {error.message}" + (f" ({error.hint})" if error.hint else ""))

    def _postpone(self, error: VaultBusy) -> None:
        """Leave the vault to another process for a while; that is not worth a word."""
        self._busy.failed(error.message, self._mono())

    def _note(self, about: str, text: str) -> None:
        """Tell something once, until it is something else."""
        if text and self._notes.get(about) != text:
            self._say(text)
        self._notes[about] = text

    # -- making sets

    def _serve(self, desk: Work, now: datetime) -> None:
        """Make what the schedule asks for, once for everything missed."""
        due = schedule.due(self._book.schedule, _served(self._book), now, self._zone)
        if due.clock_moved_back:
            self._say("the last backup lies in the future: the clock was set back, and the schedule counts from now")
            self._served(desk, now)
        elif due.is_due:
            if due.first_missed is not None and now - due.first_missed > _LATE:
                self._say(f"catching up: a backup was due at {due.first_missed.astimezone(self._zone):%Y-%m-%d %H:%M}")
            self._make(desk, now)
            self._served(desk, now)

    def _served(self, desk: Work, now: datetime) -> None:
        desk.change(lambda book: msgspec.structs.replace(book, served_at=instant(now)))

    def _care(self, desk: Work, now: datetime) -> None:
        """Look into what was noticed at the targets."""
        for target in self._book.targets:
            is_gone = target.id in self._vanished and target.id not in self._here
            if is_gone and not target.volume and not os.path.lexists(target.path):
                caring.note_gone(desk, target, now, self._say)
        for target_id in caring.folders_back(self._book, self._here):
            caring.note_back(desk, target_id, now)
        self._vanished.clear()
        read = self._unread & self._here.keys()
        caring.look_into(desk, self._doubts(), now, self._say)
        self._forget(read)

    def _go_round(self, desk: Work, now: datetime) -> None:
        """Read some of the sets, once a day."""
        caring.go_round(desk, self._here, now, self._say)
        self._round = now.astimezone(self._zone).date()

    def _follow(self, desk: Work, now: datetime) -> None:
        """Make what changes ask for."""
        self._make(desk, now)

    def _carry(self, desk: Work, now: datetime) -> None:
        """Bring to a target that has come back what it lacks."""
        self._make(desk, now)
        self._arrived.clear()

    def _sync(self, desk: Work, now: datetime) -> None:
        """Make one round of sync; what goes wrong with it is told, and keeps nothing else from being done."""
        try:
            done = desk.sync()
        except VaultBusy:  # soon again
            raise
        except KeyferryError as error:
            self._sync_at, self._changed_at = self._mono() + _SYNC_AFTER, float("inf")
            if self._online.failed(error.message, self._mono()):
                self._say(f"not synced: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            return
        self._sync_at, self._changed_at = self._mono() + _SYNC_EVERY, float("inf")
        if self._online.succeeded():
            self._say("sync goes on")
        if done.text:
            self._say(done.text)
        for text in done.findings:
            if text not in self._findings:
                self._say(f"sync: {text}")
        self._findings = frozenset(done.findings)
        if done.items:
            self._pending = self._pending.changed(self._wall())

    def _make(self, desk: Work, now: datetime, *, if_changed: bool = True) -> None:
        done = desk.create(if_changed=if_changed)
        self._pending = self._pending.backed_up(now)
        good = [one for one in done.places if not one.trouble]
        if done.made is not None:
            self._say(f"made {described(done.made)} at {len(good)} target{'' if len(good) == 1 else 's'}")
        elif good:
            for one in good:
                self._say(f"brought the newest set to {one.path}")
        else:
            self._say("nothing has changed since the newest set")
        for one in done.places:
            self._note(f"target {one.target}", "" if one.target in self._away else one.trouble)
        if done.made is not None:
            self._prune(desk)

    def _prune(self, desk: Work) -> None:
        book = desk.book()
        for one in desk.prune():
            if one.removed:
                self._say(f"removed {counted_sets(len(one.removed))} from {one.path} that newer ones make needless")
            target = book.target(one.target)
            if target is not None and not target.append_only and one.target in self._here:
                waiting = (
                    f"{counted_sets(len(one.waiting))} more may go from {one.path}, half of all: keyferry backup prune"
                )
                self._note(f"pruning {one.target}", waiting if one.waiting else one.text and f"{one.path}: {one.text}")


def _served(book: Book) -> datetime | None:
    return moment.to_datetime(book.served_at) if book.served_at else None


def _vault_state(home: Path) -> tuple[tuple[int, int] | None, ...]:
    """Return what changes when the vault is written: size and time of its file, and of its log unless it is empty."""
    found = [_file_state(home / name) for name in _VAULT_FILES]
    return tuple(state if state is not None and state[0] else None for state in found)


def _file_state(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _duration(span: timedelta) -> str:
    return str(timedelta(seconds=round(span.total_seconds())))
