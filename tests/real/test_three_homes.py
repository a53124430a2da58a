"""Three homes on one machine, each its own processes, become the same: through a real relay over TLS on SQLite and on
PostgreSQL, through one that is killed in the middle of work and started again, and through a folder."""

from __future__ import annotations

import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.real.relaying import postgres, postgres_programs, start
from tests.real.test_evil_relay import ENVIRONMENT, KEYFERRY, ROOT, World, free_port, pair

pytestmark = pytest.mark.slow
HOMES = ("laptop", "desk", "tablet")


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where the relay keeps what it is sent."""
    if request.param == "sqlite":
        yield str(tmp_path / "relay.db")
        return
    if postgres_programs() is None:
        pytest.skip("needs postgresql")
    with tempfile.TemporaryDirectory(prefix="keyferry-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres(Path(folder) / "cluster") as found:
            yield found.url


def begun(tmp_path: Path) -> World:
    world = World(tmp_path, free_port())
    world.well("laptop", "init", "--key-file", str(tmp_path / "laptop.key"))
    world.well("laptop", "migrate", str(ROOT / "samples" / "onepassword_1pux" / "attachments.1pux"))
    return world


def each_changes_something(world: World) -> None:
    for home in HOMES:
        world.well(home, "add", "login", "--title", f"Of the {home}", "--set", f"username={home}")
    world.well("desk", "edit", "Of the desk", "--set", "username=changed")


def agree(world: World, *way: str) -> None:
    for _ in range(2):
        for home in HOMES:
            world.well(home, "sync", *way)
    assert world.content("laptop") == world.content("desk") == world.content("tablet")
    assert world.documents("laptop") == world.documents("desk") == world.documents("tablet")
    titles = world.well("tablet", "list")
    assert all(f"Of the {home}" in titles for home in HOMES)


def test_through_a_relay_that_is_killed_in_the_middle(db: str, tmp_path: Path) -> None:
    world = begun(tmp_path)
    export = tmp_path / "many.json"
    call = [KEYFERRY[0], "-m", "benchmarks.exports", "bitwarden", str(export), "3000"]
    subprocess.run(call, check=True, capture_output=True, cwd=ROOT, env=ENVIRONMENT)
    listen = f"127.0.0.1:{world.port}"
    with ExitStack() as stack:
        relay = start(tmp_path / "relay", "--db", db, listen=listen)
        stack.callback(lambda: relay.process.kill())
        for home in HOMES[1:]:
            joined, printed = pair(world, join=home)
            assert joined.returncode == 0, joined.stdout + printed
        each_changes_something(world)
        agree(world)
        world.well("laptop", "migrate", str(export))
        for delay in (0.35, 0.6, 0.9):
            sending = subprocess.Popen(
                [*KEYFERRY, "sync", "--home", str(tmp_path / "laptop")],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                env=ENVIRONMENT,
            )
            time.sleep(delay)
            relay.kill()
            said, _ = sending.communicate(timeout=60)
            assert sending.returncode in (0, 55), said
            relay = start(tmp_path / "relay", "--db", db, listen=listen)
        agree(world)
        assert len(world.content("desk")) > 3000
        assert relay.end() == 0


def test_through_a_folder(tmp_path: Path) -> None:
    world = begun(tmp_path)
    way = ("--folder", str(tmp_path / "stick"))
    (tmp_path / "stick").mkdir()
    for home in HOMES[1:]:
        joined, printed = pair(world, join=home, way=way)
        assert joined.returncode == 0, joined.stdout + printed
    each_changes_something(world)
    agree(world, *way)


def test_a_relay_that_dropped_what_a_snapshot_stands_for_lets_a_new_device_have_all(db: str, tmp_path: Path) -> None:
    """It forgets at its start, and each hour, what all devices have seen in a snapshot."""
    world = begun(tmp_path)
    listen = f"127.0.0.1:{world.port}"
    with ExitStack() as stack:
        relay = start(tmp_path / "relay", "--db", db, listen=listen)
        stack.callback(lambda: relay.process.kill())
        for home in HOMES[1:]:
            joined, printed = pair(world, join=home)
            assert joined.returncode == 0, joined.stdout + printed
        each_changes_something(world)
        agree(world)
        said = world.well("laptop", "sync", "compact")
        assert "counts once these devices have synced" in said
        agree(world)
        assert "snapshots stand for" in world.well("laptop", "sync", "compact")
        agree(world)
        before = world.well("laptop", "sync", "status")
        relay.kill()
        relay = start(tmp_path / "relay", "--db", db, listen=listen)
        until = time.monotonic() + 20
        while entries_there(db) >= entries_of(before) and time.monotonic() < until:
            time.sleep(0.2)
        assert entries_there(db) < entries_of(before)
        joined, printed = pair(world, join="phone")
        assert joined.returncode == 0, joined.stdout + printed
        agree(world)
        world.well("phone", "sync")
        assert world.content("phone") == world.content("laptop")
        assert world.documents("phone") == world.documents("laptop")
        world.well("phone", "add", "login", "--title", "Of the phone")
        world.well("phone", "sync")
        agree(world)
        assert "Of the phone" in world.well("desk", "list")
        phone = world.device("phone")
        world.well("laptop", "device", "revoke", phone)
        done = world.run("phone", "sync")
        assert done.returncode == 55
        assert "says that this device was revoked" in done.stderr
        assert relay.end() == 0


def entries_of(status: str) -> int:
    """The entries of all devices that a table of ``sync status`` tells."""
    rows = (line.split() for line in status.splitlines())
    return sum(int(words[2].replace(",", "")) for words in rows if len(words) > 3 and len(words[0]) == 32)


def entries_there(db: str) -> int:
    """How many entries of devices the relay's database holds."""
    if "://" not in db:
        with closing(sqlite3.connect(db)) as file:
            return int(file.execute("SELECT count(*) FROM entries WHERE kind > 1").fetchone()[0])
    import psycopg

    with psycopg.connect(db) as server:
        row = server.execute("SELECT count(*) FROM keyferry.entries WHERE kind > 1").fetchone()
        return int(row[0]) if row else 0
