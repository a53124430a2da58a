"""A log that was made shorter, at relay processes over HTTPS: lies are named, and a relay that is killed loses nothing.

``python -m tests.real.shortened`` tells all lies.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real import shortened
from tests.real.cutting import Wire, wire
from tests.real.relaying import Process, postgres, postgres_programs, start
from tests.real.shortened import NEWCOMER, WHOLE, Stages, count
from tests.real.test_evil_relay import World, pair
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
