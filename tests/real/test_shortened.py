"""A log that was made shorter, at relay processes over HTTPS: lies are named, and a relay that is killed loses nothing.

``python -m tests.real.shortened`` tells all lies.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests.real import shortened, turned
from tests.real.cutting import Wire, wire
from tests.real.relaying import Process, postgres, postgres_programs, start
from tests.real.shortened import DROPPED, NEWCOMER, WHOLE, Stages, count
from tests.real.test_evil_relay import ENVIRONMENT, World, pair
from tests.real.turned import DAY, Clock
from tests.vault.sync import lies

pytestmark = pytest.mark.slow
PART = 1_300_000  # bytes on the wire: more than one part of a snapshot, less than two


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Laptop and desk, in step, with no snapshot yet."""
    return shortened.begun(tmp_path_factory.mktemp("shortened") / "begun")


@pytest.fixture(scope="module")
def short(begun: World, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The same with a snapshot, and what came after it."""
    return shortened.short(begun, tmp_path_factory.mktemp("short"))


@pytest.mark.parametrize("name", ["new-middle_part_withheld", "kit-drops_behind_the_cut"])
def test_a_lie_is_named_and_nothing_is_lost(name: str, short: World, tmp_path: Path) -> None:
    role, switch, aim, said = next(one for one in lies.cases() if "-".join(one[:2]) == name)
    shortened.check(Stages(short, short, short), tmp_path / "told", role, switch, aim, said)


# -- a snapshot of three parts, and a relay that is killed


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, begun: World, tmp_path: Path) -> Iterator[str]:
    """Where the relay keeps what it is sent."""
    if request.param == "sqlite":
        yield str(tmp_path / "world" / WHOLE)
        return
    if postgres_programs() is None:
        pytest.skip("needs postgresql")
    with tempfile.TemporaryDirectory(prefix="keyferry-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres(Path(folder) / "cluster") as found:
            yield found.url


def parts(db: str) -> int:
    """How many parts of snapshots the relay has."""
    return count(db, "kind = 3")


def serving(world: World, db: str, line: Wire, stack: ExitStack) -> Process:
    """Start the relay behind the wire."""
    found = start(world.place, "--db", db)
    line.port = found.port
    stack.callback(found.process.kill)
    return found


def test_a_relay_killed_as_a_snapshot_is_given_and_as_it_is_fetched_loses_nothing(
    db: str, begun: World, tmp_path: Path
) -> None:
    world = shortened.copied(begun, tmp_path / "world")
    with wire(world.port) as line, ExitStack() as stack:
        relay = serving(world, db, line, stack)
        if "://" in db:
            assert world.run("laptop", "sync").returncode == 56
            world.well("laptop", "sync", "--upload-again")
            world.well("desk", "sync")
        line.kill_after(relay.kill, up=PART)
        broken = world.run("laptop", "sync", "compact")
        assert (broken.returncode, "cannot be reached: no connection" in broken.stderr) == (55, True)
        relay = serving(world, db, line, stack)
        assert parts(db) == 1
        world.well("desk", "sync")
        world.well("laptop", "sync")
        assert parts(db) == 3
        shortened.agree(world)
        before = count(db, "kind > 1")
        relay.kill()
        relay = serving(world, db, line, stack)
        until = time.monotonic() + 20
        while count(db, "kind > 1") == before and time.monotonic() < until:
            time.sleep(0.05)
        assert (parts(db), count(db, "kind > 1") < before) == (3, True)
        line.kill_after(relay.kill, down=PART)
        joined, _ = pair(world, join=NEWCOMER)
        assert (joined.returncode, "cannot be reached: no connection" in joined.stdout) == (55, True)
        assert world.content(NEWCOMER) == []
        serving(world, db, line, stack)
        world.well(NEWCOMER, "sync")
        assert world.content(NEWCOMER) == world.content("laptop")
        assert world.documents(NEWCOMER) == world.documents("laptop")
        world.well(NEWCOMER, "add", "login", "--title", "Of the newcomer")
        world.well(NEWCOMER, "sync")
        world.well("desk", "sync")
        assert "Of the newcomer" in world.well("desk", "list")


# -- on a clock that runs


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    if turned.library() is None:
        pytest.skip("needs faketime")
    return turned.clock(tmp_path / "clock")


def by(clock: Clock, world: World) -> World:
    """Return the same world, its devices' processes going by the clock."""
    return replace(world, environment=clock.environment(ENVIRONMENT))


def test_a_relay_that_runs_drops_each_hour_what_all_have_seen_in_a_snapshot(
    begun: World, clock: Clock, tmp_path: Path
) -> None:
    world = by(clock, shortened.copied(begun, tmp_path / "world"))
    db, environment = str(world.place / WHOLE), clock.environment(ENVIRONMENT)
    relay = start(world.place, "--db", db, listen=f"127.0.0.1:{world.port}", environment=environment)
    try:
        shortened.compact(world)
        before = count(db, "kind > 1")
        clock.turn(3500)
        assert not drops(db, before, 1)
        clock.turn(3700)
        assert drops(db, before, 20)
        world.well("laptop", "add", "login", "--title", "An hour later")
        world.well("laptop", "sync")
        world.well("desk", "sync")
        assert "An hour later" in world.well("desk", "list")
        again = count(db, "kind > 1")
        clock.turn(2 * 3700)
        assert not drops(db, again, 1)
    finally:
        assert relay.end() == 0


def drops(db: str, before: int, seconds: float) -> bool:
    """Wait until the relay has less than before."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if count(db, "kind > 1") < before:
            return True
        time.sleep(0.05)
    return False


def test_a_device_drops_its_own_old_entries_after_ninety_days(short: World, clock: Clock, tmp_path: Path) -> None:
    world = by(clock, shortened.copied(short, tmp_path / "world"))
    db, environment = str(world.place / DROPPED), clock.environment(ENVIRONMENT)
    relay = start(world.place, "--db", db, listen=f"127.0.0.1:{world.port}", environment=environment)
    try:
        world.well("desk", "sync")
        before = entries_here(world)
        clock.turn(89 * DAY)
        assert entries_here(world) >= before
        clock.turn(91 * DAY)
        assert entries_here(world) < before
        world.well("laptop", "edit", "note 1", "--set", "title=after ninety days")
        world.well("laptop", "sync")
        world.well("desk", "sync")
        assert world.content("desk") == world.content("laptop")
        joined = shortened.join_by_kit(world)
        assert joined.returncode == 0, joined.stdout + joined.stderr
        assert world.content(NEWCOMER) == world.content("laptop")
    finally:
        assert relay.end() == 0


def entries_here(world: World) -> int:
    """How many entries the laptop has, after a round."""
    return int(json.loads(world.well("laptop", "sync", "compact", "--json"))["entries"])
