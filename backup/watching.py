"""What changes in watched folders and on the mount table, as events for one consumer.

Rules:
1. What the system reports is only a reason to look. An event is told when a file's state (kind, size, times) differs
   from the state told last and has been still for ``settle`` seconds, so reading never raises one, a file that came
   and went neither, and an atomic replacement is one change.
2. Every ``tick`` seconds each watched folder is compared with the one remembered (device and inode). Another one in
   its place, or none, is told as ``lost`` and ``found``; the new one is watched from then on, its content is the new
   beginning. inotify alone sees neither a mount over a folder nor an unmount, and is silent once its folder was
   deleted.
3. The mount table is read on the same tick.
4. Where the kernel does not report everything (network, FUSE), or has no room for another watch, the folder is read
   through every ``poll`` seconds instead, and the latter is said. Every other folder is read through every ``sweep``
   seconds, for reports that were lost. (watchdog's own polling is not used: it is silent for ever once its folder was
   deleted, and tells a replacement as a deletion.)
5. Folders are watched without what lies deeper; our own half-written files are passed over.

Nothing here runs on its own: the consumer's ``wait`` looks, and between two waits reports are kept.
"""

from __future__ import annotations

import errno
import os
import queue
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from backup import mounts

Kind = Literal["appeared", "changed", "deleted", "lost", "found", "mounted", "unmounted"]
_OWN = re.compile(r"\.keyferry-.*\.(partial|new)")
_NO_ROOM = frozenset({errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
_NEVER_STILL = 30  # times ``settle``: a file that never rests is told all the same


class Event(msgspec.Struct, frozen=True):
    """One thing that happened: to a file, to a watched folder as a whole (lost, found), or at a mount point."""

    kind: Kind
    path: Path


class Hint(msgspec.Struct, frozen=True):
    """A reason to look: at a name in a watched folder, or, without a name, at the folder itself."""

    folder: Path
    name: str = ""


class Reports(Protocol):
    """Whoever tells that something may have changed in a folder."""

    def watch(self, folder: Path, tell: Callable[[str], None]) -> Any:
        """Call ``tell`` with a name in the folder, or '' for the folder itself; raises ``OSError``."""

    def unwatch(self, watch: Any) -> None:
        """Tell nothing more of this watch."""

    def is_alive(self, watch: Any) -> bool:
        """Tell whether this watch still would."""

    def stop(self) -> None:
        """End all watches."""


State = tuple[int, int, int, int]  # kind, size, time of change of content and of the entry


@dataclass(slots=True)
class _Waiting:
    """A file that is looked at until it is still."""

    state: State | None
    since: float
    first: float


@dataclass(slots=True)
class _Root:
    """A watched folder: what it is, what lies in it as far as told, and what is being looked at."""

    folder: Path
    names: frozenset[str] | None
    identity: tuple[int, int] | None = None
    told: dict[str, State] = field(default_factory=dict)
    waiting: dict[str, _Waiting] = field(default_factory=dict)
    watch: Any = None
    is_polled: bool = False
    is_stale: bool = False
    read_at: float = 0.0

    def concerns(self, name: str) -> bool:
        """Tell whether the name is one that is watched here."""
        return name in self.names if self.names is not None else not _OWN.fullmatch(name)


class Watcher:
    """Watches folders and single files; ``wait`` gives what happened. One thread uses it, ``wake`` may be any.

    Folders and files need not exist yet. ``say`` takes a sentence where watching is worse than it should be.
    """

    def __init__(
        self,
        folders: Iterable[Path] = (),
        files: Iterable[Path] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        settle: float = 2.0,
        tick: float = 5.0,
        poll: float = 30.0,
        sweep: float = 600.0,
        table: Callable[[], tuple[mounts.Mount, ...]] = mounts.mounts,
        reports: Reports | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._clock, self._table, self._say = clock, table, say
        self._settle, self._tick, self._poll, self._sweep = settle, tick, poll, sweep
        self._reports = reports
        self._hints: queue.SimpleQueue[Hint | None] = queue.SimpleQueue()
        self._roots: dict[Path, _Root] = {}
        self._mounted: frozenset[mounts.Mount] = frozenset()
        self._ticked = clock()
        self._is_woken = self._said = False
        self._wanted = _wanted(folders, files)

    def start(self) -> None:
        """Begin to watch; what is there when this returns is the beginning."""
        if self._reports is None:
            self._reports = Observed()
        self._mounted = self._read_table() or frozenset()
        self._follow(self._wanted)

    def set_paths(self, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> None:
        """Watch these from now on; what was watched before and still is keeps its state."""
        self._wanted = _wanted(folders, files)
        if self._reports is not None:
            self._follow(self._wanted)

    def stop(self) -> None:
        """End watching; no thread is left."""
        if self._reports is not None:
            self._reports.stop()
        self._roots.clear()
        self._reports = None

    def wake(self) -> None:
        """Let ``wait`` return now; safe in a signal handler."""
        self._hints.put(None)

    def wait(self, timeout: float) -> set[Event]:
        """Return what happened, as soon as something did; nothing after ``timeout`` seconds or when woken."""
        end = self._clock() + timeout
        while True:
            events = self.look()
            left = end - self._clock()
            if events or left <= 0 or self._is_woken:
                self._is_woken = False
                return events
            self._pause(min(left, self._until_next()))

    def look(self) -> set[Event]:
        """Look once, without waiting, and return what happened since the last look."""
        self._drain()
        now = self._clock()
        events: set[Event] = set()
        if now - self._ticked >= self._tick:
            self._ticked = now
            events |= self._remounted()
            for root in self._roots.values():
                root.is_stale = root.is_stale or self._is_silent(root)
                events |= self._compared(root, now)
        for root in self._roots.values():
            events |= self._settled(root, now)
        return events

    def _follow(self, wanted: dict[Path, frozenset[str] | None]) -> None:
        for folder in [*self._roots]:
            if wanted.get(folder, ()) != self._roots[folder].names:
                self._end(self._roots.pop(folder))
        for folder, names in wanted.items():
            if folder not in self._roots:
                self._roots[folder] = _Root(folder, names)
                self._begin(self._roots[folder], self._clock())

    def _begin(self, root: _Root, now: float) -> bool:
        """Watch the folder as it is now; returns False if there is none that can be read."""
        root.is_polled, root.is_stale, root.read_at = self._must_poll(root.folder), False, now
        try:
            if not root.is_polled:
                self._watch(root)
            root.told = dict(_content(root))
            root.identity = _identity(root)
        except OSError:
            self._end(root)
        return root.identity is not None

    def _watch(self, root: _Root) -> None:
        assert self._reports is not None  # noqa: S101 - only a started watcher has roots
        try:
            root.watch = self._reports.watch(root.folder, lambda name: self._hints.put(Hint(root.folder, name)))
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            root.is_polled = True
            if not self._said:
                self._said = True
                self._say(
                    f"the system has no room for another watch; {root.folder} is read every {self._poll:.0f} s instead"
                )

    def _end(self, root: _Root) -> None:
        if root.watch is not None and self._reports is not None:
            self._reports.unwatch(root.watch)
        root.watch = root.identity = None
        root.told.clear()
        root.waiting.clear()

    def _must_poll(self, folder: Path) -> bool:
        try:
            return mounts.is_network(mounts.mount_of(folder, tuple(self._mounted)).kind)
        except LookupError:
            return False

    def _is_silent(self, root: _Root) -> bool:
        return root.watch is not None and self._reports is not None and not self._reports.is_alive(root.watch)

    def _drain(self) -> None:
        """Take in the reports so far."""
        while True:
            try:
                self._take(self._hints.get_nowait())
            except queue.Empty:
                return

    def _take(self, hint: Hint | None) -> None:
        if hint is None:
            self._is_woken = True
            return
        root = self._roots.get(hint.folder)
        if root is None or root.identity is None:
            return
        if not hint.name:
            root.is_stale = True
            self._ticked = float("-inf")  # look at the folder at once
        elif root.concerns(hint.name):
            self._await(root, hint.name, self._clock())

    def _await(self, root: _Root, name: str, now: float) -> None:
        if name in root.waiting:
            return
        try:
            root.waiting[name] = _Waiting(_state(root.folder / name), now, now)
        except OSError:
            root.is_stale = True  # the next tick finds out

    def _compared(self, root: _Root, now: float) -> set[Event]:
        """Compare the folder with the one remembered; another one is a new beginning."""
        if not root.is_stale and _identity_or_none(root) == root.identity:
            if root.identity is not None and now - root.read_at >= (self._poll if root.is_polled else self._sweep):
                self._read_through(root, now)
            return set()
        events = {Event("lost", root.folder)} if root.identity is not None else set()
        self._end(root)
        if self._begin(root, now):
            events.add(Event("found", root.folder))
        return events

    def _read_through(self, root: _Root, now: float) -> None:
        """Look for differences that nobody reported."""
        root.read_at = now
        try:
            there = dict(_content(root))
        except OSError:
            root.is_stale = True
            return
        for name in there.keys() | root.told.keys():
            if there.get(name) != root.told.get(name):
                self._await(root, name, now)

    def _settled(self, root: _Root, now: float) -> set[Event]:
        """Return what became of the files that are still by now."""
        try:
            due = [name for name, waiting in root.waiting.items() if self._is_still(root.folder / name, waiting, now)]
        except OSError:
            root.is_stale = True
            return set()
        if not due:
            return set()
        if _identity_or_none(root) != root.identity:  # the whole folder went: no file was deleted
            return self._compared(root, now)
        return {event for name in due for event in _told(root, name, root.waiting.pop(name).state)}

    def _is_still(self, path: Path, waiting: _Waiting, now: float) -> bool:
        state = _state(path)
        if state != waiting.state:
            waiting.state, waiting.since = state, now
        return now - waiting.since >= self._settle or now - waiting.first >= self._settle * _NEVER_STILL

    def _remounted(self) -> set[Event]:
        table = self._read_table()
        if table is None:
            return set()
        gone, new = self._mounted - table, table - self._mounted
        self._mounted = table
        return {Event("unmounted", one.point) for one in gone} | {Event("mounted", one.point) for one in new}

    def _read_table(self) -> frozenset[mounts.Mount] | None:
        try:
            return frozenset(self._table())
        except OSError:
            return None

    def _until_next(self) -> float:
        """Return the seconds until something is to be looked at without a report."""
        tick = max(0.0, self._ticked + self._tick - self._clock())
        return min(tick, self._settle / 4) if any(root.waiting for root in self._roots.values()) else tick

    def _pause(self, seconds: float) -> None:
        try:
            self._take(self._hints.get(timeout=max(seconds, 0.001)))
        except queue.Empty:
            return


class Observed:
    """The system's own reports, through watchdog."""

    def __init__(self) -> None:
        self._observer: Any = None

    def watch(self, folder: Path, tell: Callable[[str], None]) -> Any:
        """Report changes in the folder; raises ``OSError``, also when the system has no room for it."""
        from watchdog import events

        real = os.path.realpath(folder)  # a watch on a link would watch the link

        class Handler(events.FileSystemEventHandler):
            def on_any_event(self, event: events.FileSystemEvent) -> None:
                for path in filter(None, map(os.fsdecode, (event.src_path, event.dest_path))):
                    tell("" if path == real else os.path.basename(path))

        kinds = [events.FileCreatedEvent, events.FileModifiedEvent, events.FileMovedEvent, events.FileDeletedEvent]
        kinds += [events.FileClosedEvent, events.DirDeletedEvent]
        # Newer versions tell changed rights and times apart from changed content.
        kinds += [kind] if (kind := getattr(events, "FileAttribEvent", None)) is not None else []
        return self._started().schedule(Handler(), real, event_filter=kinds)

    def unwatch(self, watch: Any) -> None:
        """Report nothing more of this folder."""
        try:
            self._observer.unschedule(watch)
        except (KeyError, OSError):  # it ended by itself
            return

    def is_alive(self, watch: Any) -> bool:
        """Tell whether reports of this folder can still come."""
        return bool(self._observer.is_alive()) and any(
            emitter.watch == watch and emitter.is_alive() for emitter in self._observer.emitters
        )

    def stop(self) -> None:
        """End all reports."""
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def _started(self) -> Any:
        if self._observer is None:
            from watchdog.observers import Observer

            self._observer = Observer()
            self._observer.start()
        return self._observer


def _wanted(folders: Iterable[Path], files: Iterable[Path]) -> dict[Path, frozenset[str] | None]:
    """Return what to watch in which folder; a folder watched as a whole holds its single files."""
    wanted: dict[Path, frozenset[str] | None] = {}
    for path in files:
        wanted[path.parent] = (wanted.get(path.parent) or frozenset()) | {path.name}
    return {**wanted, **dict.fromkeys(folders)}


def _told(root: _Root, name: str, state: State | None) -> Iterator[Event]:
    """Yield the event that leads from what was told last to this state, if they differ, and remember it."""
    before = root.told.pop(name, None)
    if state is not None:
        root.told[name] = state
    if state != before:
        kind: Kind = "appeared" if before is None else "deleted" if state is None else "changed"
        yield Event(kind, root.folder / name)


def _content(root: _Root) -> Iterator[tuple[str, State]]:
    """Yield the files that are watched here, with their state; raises ``OSError``."""
    for name in sorted(os.listdir(root.folder)):
        if root.concerns(name) and (state := _state(root.folder / name)) is not None:
            yield name, state


def _state(path: Path) -> State | None:
    """Return what changes when a file does, links not followed; None where there is none. Raises ``OSError``."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(found.st_mode):
        return None
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _identity(root: _Root) -> tuple[int, int]:
    """Return what tells this folder from another one in its place; raises ``OSError``."""
    found = os.stat(root.folder)
    return found.st_dev, 0 if root.is_polled else found.st_ino  # network folders may change their numbers


def _identity_or_none(root: _Root) -> tuple[int, int] | None:
    try:
        return _identity(root)
    except OSError:
        return None
