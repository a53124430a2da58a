"""Two devices change apart who belongs to the vault: what was written under the list that lost passes a relay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.relaying import Process, postgres, postgres_programs, relay
from tests.vault.sync.world import World
from vault import membership
from vault.sync import belonging, recording, session, ways
from vault.sync.ways import Way

HOME = ("laptop", "phone", "desk")


@pytest.fixture(params=["sqlite", "postgresql"])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """A relay on each database."""
    if request.param == "sqlite":
        with relay(tmp_path / "relay") as found:
            yield found
        return
    if postgres_programs() is None:
        pytest.skip("needs postgresql")
    with tempfile.TemporaryDirectory(prefix="keyferry-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres(Path(folder) / "cluster") as cluster, relay(tmp_path / "relay", "--db", cluster.url) as found:
            yield found


def synced(world: World, served: Process, *names: str) -> None:
    way = Way(relay=f"https://127.0.0.1:{served.port}", pin=served.pin)
    for name in names:
        store = world[name].store
        session.sync(store, ways.transport(store, way), lambda: world.ms)


def revoke(world: World, by: str, name: str) -> None:
    world.ms += 1
    belonging.revoke(world[by].store, world[name].id, world[by].now())


def test_what_stands_on_a_list_that_lost_reaches_the_others(served: Process, tmp_path: Path) -> None:
    """The phone revokes the desk, apart from the others, and lets a tablet in; the laptop's word counts."""
    world = World(tmp_path / "world", *HOME, "thief")
    world.settle()
    synced(world, served, *HOME)
    revoke(world, "phone", "desk")
    world["phone"].add("by the phone")
    recording.record(world["phone"].store, world.ms)
    world.join("tablet", by="phone", through="stick")
    world["tablet"].add("by the tablet")
    world["tablet"].sync("stick")
    world["phone"].sync("stick")
    revoke(world, "laptop", "thief")
    synced(world, served, "laptop", *("phone", "laptop", "desk") * 2)
    for name in HOME:
        for title in ("by the phone", "by the tablet"):
            assert world[name].title(title) == title, (name, title)
    assert world["laptop"].members() == set(HOME)
    assert world.agrees(*HOME)
    world["laptop"].add("goes on")
    world.join("new", by="laptop", through="stick")
    synced(world, served, "laptop", "phone", "desk", "laptop", "new")
    assert membership.read_chain(world["laptop"].chain()).lost
    assert world.agrees(*HOME, "new")
    world.close()
