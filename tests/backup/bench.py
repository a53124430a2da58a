"""A world for the agent: its clock, what happens in it, and a vault whose sets are small files with true digests."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import msgspec

from backup import book as books
from backup import care, reading, targets
from backup.agent import Agent
from backup.book import LOCAL, Alarm, Book, Copy, Drill, Made, Target
from backup.care import Finding, Pruned
from backup.caring import instant
from backup.making import Outcome, Placed
from backup.schedule import Schedule, schedule_of
from backup.watching import Event
from vault.errors import DiskFull, KeyferryError
from vault.store import Store
from vault.sync.keeping import Turn

BERLIN = ZoneInfo("Europe/Berlin")
AN_EVENING = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)  # 21:00 in Berlin, a Monday


class Clock:
    """Wall and monotonic time; a sleeping machine moves only the first."""

    def __init__(self, wall: datetime) -> None:
        self.wall, self.mono = wall, 1000.0

    def passes(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.mono += seconds

    def leaps(self, **span: float) -> None:
        self.wall += timedelta(**span)


class Shelf:
    """What the real functions need of a store, in memory."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}

    def meta(self, name: str) -> str | None:
        return self.facts.get(name)

    def set_meta(self, name: str, value: str) -> None:
        self.facts[name] = value

    def transaction(self) -> AbstractContextManager[None]:
        return nullcontext()


class Bench:
    """A desk whose vault is a number: ``content`` is what a set made now would hold."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home, self.clock = home, clock
        self.shelf = Shelf()
        self.store = cast(Store, self.shelf)
        self.content = 1
        self.is_open = False
        self.refusals: list[KeyferryError] = []  # what opening raises, one after the other
        self.trouble: KeyferryError | None = None  # what making a set raises
        self.drill_trouble = ""
        self.meanwhile: Callable[[], None] = lambda: None  # what others do while it is open
        self.just_before: Callable[[], None] = lambda: None  # what they do before it is
        self.just_after: Callable[[], None] = lambda: None  # what they do as soon as it is closed
        self.heals = True
        self.calls: list[str] = []
        self.read: list[tuple[datetime, str]] = []
        self.made_at: list[datetime] = []
        self.reminder = ""
        self.is_synced = False
        self.turns: list[Turn | KeyferryError] = []  # what the next rounds of sync come to
        self.synced_at: list[float] = []  # monotonic
        self.bodies: dict[str, bytes] = {}
        self._writes = 0
        self._before: str | None = None

    @property
    def counter(self) -> str:
        return self.shelf.facts.get("counter", "0")

    @property
    def left(self) -> str:
        return str(int(self.counter) + (self.shelf.facts.get("backup") != self._before))

    @contextmanager
    def opened(self) -> Iterator[Bench]:
        assert not self.is_open
        if self.refusals:
            raise self.refusals.pop(0)
        self.just_before()
        self.is_open, self._before = True, self.shelf.facts.get("backup")
        try:
            yield self
        finally:
            self.is_open = False
            if self.left != self.counter:
                self.shelf.facts["counter"] = self.left
                self.write_vault()
            self.just_after()

    def edit(self) -> None:
        """Change the vault as another command does."""
        self.content += 1
        self.shelf.facts["counter"] = str(int(self.counter) + 1)
        self.write_vault()

    def write_vault(self) -> None:
        self._writes += 1
        (self.home / "vault.db").write_text("x" * self._writes)

    def sync(self) -> Turn:
        self.calls.append("sync")
        self.synced_at.append(self.clock.mono)
        done = self.turns.pop(0) if self.turns else Turn()
        if isinstance(done, KeyferryError):
            raise done
        return done

    def book(self) -> Book:
        return books.load(self.store, self.home)

    def change(self, how: Callable[[Book], Book]) -> Book:
        return books.change(self.store, self.home, how)

    def create(self, *, if_changed: bool) -> Outcome:
        self.calls.append("create")
        if self.trouble is not None:
            raise self.trouble
        book = self.book()
        if if_changed and book.newest and book.state == str(self.content):
            newest = book.made(book.newest)
            assert newest is not None
            return self._placed(book, newest, None)
        done = self._placed(book, *self._new(book))
        self.meanwhile()
        return done

    def _new(self, book: Book) -> tuple[Made, Made]:
        now, count = instant(self.clock.wall), book.counter + 1
        body = f"set {count} with {self.content}".encode()
        made = Made(
            id=hashlib.sha256(str(count).encode()).hexdigest()[:16],
            name=targets.set_name(now, hashlib.sha256(str(count).encode()).hexdigest()),
            digest=hashlib.sha256(body).hexdigest(),
            size=len(body),
            device="d",
            counter=count,
            made_at=now,
            items=self.content,
            content=str(self.content),
        )
        self.bodies[made.id] = body
        self.made_at.append(self.clock.wall)
        return made, made

    def _placed(self, book: Book, made: Made, fresh: Made | None) -> Outcome:
        places = []
        if fresh is not None:
            book = msgspec.structs.replace(book, counter=made.counter, newest=made.id, state=str(self.content))
            book = books.with_set(book, made)
        for target in book.targets:
            if any(copy.set == made.id and not copy.trouble for copy in target.copies):
                continue
            try:
                path = targets.locate(target) / made.name
            except KeyferryError as error:
                places.append(Placed(target.id, target.path, error.message))
                continue
            path.write_bytes(self.bodies[made.id])
            copied = books.with_copy(target, self._copy(made, path))
            book = books.with_target(book, msgspec.structs.replace(copied, seen_at=instant(self.clock.wall)))
            places.append(Placed(target.id, str(path)))
        if fresh is not None and all(one.trouble for one in places):
            raise DiskFull("no target took it")
        if places:
            self.change(lambda _: book)
        return Outcome(fresh, tuple(places))

    def _copy(self, made: Made, path: Path) -> Copy:
        state = path.stat()
        return Copy(made.id, instant(self.clock.wall), "", state.st_size, state.st_mtime_ns)

    def prune(self) -> tuple[Pruned, ...]:
        self.calls.append("prune")
        return care.prune(self.store, self.home, clock=lambda: instant(self.clock.wall))

    def drill(self) -> Drill:
        self.calls.append("drill")
        book = self.book()
        done = Drill(instant(self.clock.wall), book.newest, 7, 0.1, self.drill_trouble)
        self.change(lambda book: msgspec.structs.replace(book, drill=done))
        return done

    def verify(self, ids: Sequence[str]) -> tuple[Finding, ...]:
        """Read and heal as the real one does, digests only."""
        self.calls.append("verify")
        found = []
        for target in self.book().targets:
            try:
                folder = targets.locate(target)
            except KeyferryError:
                continue
            for copy in target.copies:
                made = self.book().made(copy.set)
                if made is None or made.id not in ids:
                    continue
                self.read.append((self.clock.wall, made.id))
                found.append(self._verified(target, folder / made.name, made, copy))
        return tuple(found)

    def _verified(self, target: Target, path: Path, made: Made, copy: Copy) -> Finding:
        now = instant(self.clock.wall)
        finding = Finding(care.GOOD, target.id, str(path), made.id)
        if not is_good(path, made):
            verdict = care.DAMAGED if path.exists() else care.MISSING
            others = [one for one in self.book().targets if one.id != target.id]
            good = [other for one in others if is_good(other := Path(one.path) / made.name, made)]
            finding = Finding(verdict, target.id, str(path), made.id, verdict, elsewhere=str(good[0]) if good else "")
            if good and self.heals:
                shutil.copyfile(good[0], path)
                finding = msgspec.structs.replace(finding, healed=True)
        if finding.verdict == care.GOOD or finding.healed:
            fresh = self._copy(made, path)
            self.change(lambda book: books.healed(_with(book, target.id, fresh), target.id, made.id, now))
        else:
            bad = msgspec.structs.replace(copy, trouble=finding.verdict)
            alarm = Alarm(now, target.id, made.id, f"{path}: {finding.text}")
            self.change(lambda book: books.alarmed(_with(book, target.id, bad), alarm))
        return finding


def _with(book: Book, target_id: str, copy: Copy) -> Book:
    target = book.target(target_id)
    assert target is not None
    return books.with_target(book, books.with_copy(target, copy))


def is_good(path: Path, made: Made) -> bool:
    try:
        return reading.digest_of(path) == made.digest
    except KeyferryError:
        return False


class Script:
    """Events that the test has put down; waiting for them takes the time it takes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.coming: list[set[Event]] = []
        self.watched: tuple[frozenset[Path], frozenset[Path]] = (frozenset(), frozenset())
        self.state = ""
        self.then: Callable[[], None] = lambda: None

    def start(self) -> None:
        self.state += "started "

    def stop(self) -> None:
        self.state += "stopped"

    def wake(self) -> None:
        self.state += "woken "

    def set_paths(self, folders: Iterable[Path] = (), files: Iterable[Path] = ()) -> None:
        self.watched = frozenset(folders), frozenset(files)

    def wait(self, timeout: float) -> set[Event]:
        self.then()
        if self.coming:
            return self.coming.pop(0)
        self.clock.passes(timeout)
        return set()


class World:
    """A home with two targets, and an agent in it."""

    def __init__(self, folder: Path, when: str = "daily", at: str | None = "21:00", **more: Any) -> None:
        self.folder, self.home = folder, folder / "home"
        self.a, self.b = self.home / "backups", folder / "b"
        self.clock = Clock(more.pop("now", AN_EVENING))
        self.zone = more.pop("zone", BERLIN)
        for place in (self.home, self.a, self.b):
            place.mkdir()
        targets.mark(self.a, LOCAL)
        targets.mark(self.b, "b" * 16)
        self.bench = Bench(self.home, self.clock)
        self.bench.write_vault()
        both = (Target(id=LOCAL, path=str(self.a)), Target(id="b" * 16, path=str(self.b)))
        plan: Schedule = schedule_of(when, at, **more)
        self.bench.change(lambda _: Book(tag="0" * 8, targets=both, schedule=plan))
        self.events = Script(self.clock)
        self.said: list[str] = []
        self.start()

    def start(self) -> World:
        """Begin with a new agent."""
        self.agent = Agent(
            self.home,
            desk=self.bench.opened,
            events=self.events,
            wall=lambda: self.clock.wall,
            mono=lambda: self.clock.mono,
            zone=self.zone,
            say=self.said.append,
        )
        return self

    def look(self, *events: Event) -> list[str]:
        """Let the agent look once and return what it said."""
        before = len(self.said)
        self.agent.step(set(events))
        assert not self.bench.is_open
        return self.said[before:]

    def passes(self, *, each: Callable[[], None] = lambda: None, **span: float) -> list[str]:
        """Let time pass, the agent looking as often as it likes, and return what it said."""
        before, end = len(self.said), self.clock.wall + timedelta(**span)
        self.agent.step(set())
        while self.clock.wall < end:
            self.clock.passes(min(self.agent.pause(), max((end - self.clock.wall).total_seconds(), 0.1)))
            each()
            self.agent.step(set())
            assert not self.bench.is_open
        return self.said[before:]

    def now_and_then(self, **span: float) -> Callable[[], None]:
        """Return what changes the vault, at most once in that time."""
        last = [self.clock.wall]

        def edit() -> None:
            if self.clock.wall - last[0] >= timedelta(**span):
                last[0] = self.clock.wall
                self.bench.edit()

        return edit

    def evenings(self, count: int, *, edits: bool = True, late: Callable[[int], float] = lambda _: 0.0) -> list[str]:
        """Be awake for a quarter of an hour on so many evenings, ``late`` hours later or earlier each time."""
        before = len(self.said)
        for day in range(count):
            if edits:
                self.bench.edit()
            self.passes(minutes=15)
            self.clock.leaps(hours=23.75 + late(day))
        return self.said[before:]

    def begun(self) -> World:
        """Let the agent make its first set, and forget what was said."""
        self.passes(minutes=1)
        self.said.clear()
        self.bench.calls.clear()
        return self

    def book(self) -> Book:
        return self.bench.book()

    def files(self, place: Path) -> list[str]:
        return sorted(path.name for path in targets.files(place))

    def newest(self, place: Path) -> Path:
        made = self.book().made(self.book().newest)
        assert made is not None
        return place / made.name

    def open_alarms(self) -> list[Alarm]:
        return [one for one in self.book().alarms if not one.ended]

    def unplug(self) -> list[str]:
        """Take the second target away, as an unmount leaves an empty folder."""
        os.rename(self.b, self.folder / "away")
        self.b.mkdir()
        return self.look(Event("unmounted", self.b), Event("lost", self.b), Event("found", self.b))

    def plug(self) -> list[str]:
        self.b.rmdir()
        os.rename(self.folder / "away", self.b)
        return self.look(Event("mounted", self.b), Event("lost", self.b), Event("found", self.b))
