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
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Protocol

import msgspec

from backup import caring, dues, schedule
from backup.book import Book
from backup.caring import Work, counted_sets, described, instant
from backup.dues import Calendar
from backup.schedule import Pending
from backup.waiting import Pace, Patience
from backup.watching import Event
from backup.whereabouts import Whereabouts
from vault.errors import KeyferryError, KeyMissing, KeyringLocked, KeyringUnavailable, NoVault, UsageError, VaultBusy

LOCK = "agent.lock"
_VAULT_FILES = ("vault.db", "vault.db-wal")
_LATE = timedelta(seconds=10)
_LEAP = timedelta(minutes=2)
_WAITED_FOR = (KeyringLocked, KeyringUnavailable, KeyMissing)
_SHORTEST, _SURE_AFTER = 0.1, 1.0  # seconds
_BEFORE_ROUND = 300.0  # the minutes after login belong to the person


class Events(Protocol):
    """Where the agent hears of what happens; ``backup.watching.Watcher`` is one."""

    def start(self) -> None: ...
    def set_paths(self, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> None: ...
    def wait(self, timeout: float) -> set[Event]: ...
    def wake(self) -> None: ...
    def stop(self) -> None: ...


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
        self._where = Whereabouts(say)
        self._round: date | None = None
        self._begun_at, self._clocks = mono(), (wall(), mono())
        self._key = Patience(5.0, 60.0)
        self._patience: defaultdict[str, Patience] = defaultdict(Patience)
        self._busy = Patience(30.0, 60.0)
        self._notes: dict[str, str] = {}
        self._is_synced = False
        self._pace = Pace(mono())
        self._findings: frozenset[str] = frozenset()
        self._calendar = Calendar(zone)

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
        nap = schedule.nap(now, self._calendar.next_due(self._book), self._change_due(now)).total_seconds()
        left = [one.left(self._mono()) for one in (self._key, self._busy, *self._patience.values())]
        waits = [wait for wait in left if wait]
        until = [self._until_sync()] if self._is_sure else [_SURE_AFTER]
        return max(_SHORTEST, min(min([nap, *waits] if nap or not waits else waits), *until))

    # -- what happened

    def _notice_clock(self, now: datetime) -> None:
        (wall, mono), self._clocks = self._clocks, (now, self._mono())
        leap = schedule.jumped(wall, now, mono, self._clocks[1])
        if leap >= _LEAP:
            self._pace.hurry(self._mono())
            self._say(f"the machine slept, or its clock was set ahead: {_duration(leap)}")
        elif leap <= -_LEAP:
            self._say(f"the clock was set back: {_duration(-leap)}")

    def _take(self, events: Collection[Event], now: datetime) -> None:
        state = _vault_state(self._home)
        if state != self._vault:
            self._vault, self._is_stale = state, True
            self._changed(now)
        if any(one.kind in ("mounted", "found") for one in events):
            self._key.hurry()  # perhaps the drive with the key file
            self._pace.hurry(self._mono())  # or that with the folder
        self._where.take(events)
        if events:
            self._locate()

    def _changed(self, now: datetime) -> None:
        """Note that another process has changed the vault: it wants a set and a round of sync soon."""
        self._pending = self._pending.changed(now)
        self._pace.changed(self._mono())

    def _locate(self) -> None:
        if self._where.locate():
            for patience in self._patience.values():
                patience.hurry()

    # -- what is due

    def _due(self, now: datetime) -> tuple[str, ...]:
        """Return the names of the tasks that are due and not left alone."""
        if not self._is_known or self._is_left_alone():
            return ()
        change = self._change_due(now)
        wanted = {
            "care": self._is_care_due(),
            "schedule": self._calendar.is_due(self._book, now),
            "change": change is not None and change <= now,
            "mount": bool(self._where.arrived) and self._book.schedule.on_mount,
            "round": self._is_round_due(now),
            "sync": self._is_synced and not self._until_sync(),
        }
        return tuple(name for name, is_wanted in wanted.items() if is_wanted and not self._left(name))

    def _is_left_alone(self) -> bool:
        """Tell whether the vault is to be left closed: its key is not at hand, or another process works with it."""
        return bool(self._key.left(self._mono()) or self._busy.left(self._mono()))

    def _is_care_due(self) -> bool:
        where = self._where
        back = caring.folders_back(self._book, where.here)
        return bool(where.doubts().sets or where.vanished or back or caring.lost(self._book))

    def _left(self, task: str) -> float:
        return self._patience[task].left(self._mono()) if task in self._patience else 0.0

    def _change_due(self, now: datetime) -> datetime | None:
        size = sum(state[0] for state in self._vault if state is not None)
        return dues.change_due(self._book, self._pending, size, now)

    def _is_round_due(self, now: datetime) -> bool:
        is_new = self._round != now.astimezone(self._zone).date()
        return is_new and bool(self._book.newest) and self._mono() - self._begun_at >= _BEFORE_ROUND

    def _until_sync(self) -> float:
        if not self._is_synced:
            return float("inf")
        now = self._mono()
        return max(one.left(now) for one in (self._pace, self._key, self._busy))

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
                    self._changed(now)
                self._opened(desk, now)
                for name in self._due(now):
                    if not self._is_stopped:
                        self._try(name, desk, now)
                self._learn(desk.book())
                if desk.counter != before:  # another process has changed the vault meanwhile
                    self._changed(self._wall())
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
            self._where.doubt_all()
            self._note("kit", desk.reminder)

    def _learn(self, book: Book) -> None:
        """Take the book as it is now, and watch what it names."""
        self._book = book
        self._where.learn(book)
        self._note("schedule", f"backups are made {schedule.described(book.schedule)}")
        self._locate()
        self._events.set_paths(
            [folder for _, folder in self._where.folders()], [self._home / name for name in _VAULT_FILES]
        )

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
        due = schedule.due(self._book.schedule, dues.served_at(self._book), now, self._zone)
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
        where = self._where
        for target in self._book.targets:
            is_gone = target.id in where.vanished and target.id not in where.here
            if is_gone and not target.volume and not os.path.lexists(target.path):
                caring.note_gone(desk, target, now, self._say)
        for target_id in caring.folders_back(self._book, where.here):
            caring.note_back(desk, target_id, now)
        where.vanished.clear()
        caring.look_into(desk, where.doubts(), now, self._say)
        where.settle()

    def _go_round(self, desk: Work, now: datetime) -> None:
        """Read some of the sets, once a day."""
        caring.go_round(desk, self._where.here, now, self._say)
        self._round = now.astimezone(self._zone).date()

    def _follow(self, desk: Work, now: datetime) -> None:
        """Make what changes ask for."""
        self._make(desk, now)

    def _carry(self, desk: Work, now: datetime) -> None:
        """Bring to a target that has come back what it lacks."""
        self._make(desk, now)
        self._where.arrived.clear()

    def _sync(self, desk: Work, now: datetime) -> None:
        """Make one round of sync; what goes wrong with it is told, and keeps nothing else from being done."""
        try:
            done = desk.sync()
        except VaultBusy:  # soon again
            raise
        except KeyferryError as error:
            if self._pace.failed(error.message, self._mono()):
                self._say(f"not synced: {error.message}" + (f" ({error.hint})" if error.hint else ""))
            return
        if self._pace.succeeded(self._mono()):
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
            self._note(f"target {one.target}", "" if one.target in self._where.away else one.trouble)
        if done.made is not None:
            self._prune(desk)

    def _prune(self, desk: Work) -> None:
        book = desk.book()
        for one in desk.prune():
            if one.removed:
                self._say(f"removed {counted_sets(len(one.removed))} from {one.path} that newer ones make needless")
            target = book.target(one.target)
            if target is not None and not target.append_only and one.target in self._where.here:
                waiting = (
                    f"{counted_sets(len(one.waiting))} more may go from {one.path}, half of all: keyferry backup prune"
                )
                self._note(f"pruning {one.target}", waiting if one.waiting else one.text and f"{one.path}: {one.text}")


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
