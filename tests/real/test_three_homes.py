"""Three homes on one machine, each its own processes, become the same: through a real relay over TLS on SQLite and on
PostgreSQL, through one that is killed in the middle of work and started again, and through a folder."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
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
