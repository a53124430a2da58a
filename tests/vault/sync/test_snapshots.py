"""Snapshots of the log: what they hold, when they settle, and that nobody misses what was dropped."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World, a_device
from vault import membership
from vault.errors import NotSynced, UsageError
from vault.sync import belonging, log, snapshots

DAY_MS = 24 * 3_600_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is due after ten entries, and two things are too much for one part."""
    monkeypatch.setattr(snapshots, "DUE_ENTRIES", 10)
    monkeypatch.setattr(snapshots, "_PART_BYTES", 2000)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, "laptop", "phone", "desk")
    world.settle()
    yield world
    world.close()


def busy(world: World, name: str, count: int = 12, through: str = "shared") -> None:
    """Let a device write that many entries."""
    for number in range(count):
        world[name].add(f"{name} {number}", title=f"{name} {number} {world.ms}")
        world[name].sync(through)


def entries(world: World, name: str) -> int:
    return int(world[name].store.database.value("SELECT count(*) FROM sync_entries"))


def files(world: World, through: str = "shared") -> int:
    return sum(1 for one in (world.root(through) / "log").rglob("*") if one.is_file())


@pytest.mark.parametrize("seed", range(40))
def test_devices_with_snapshots_that_come_and_go_agree_in_the_end(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs are made shorter wherever they can be; some devices stay away for long, some are revoked, some join."""
    chance = random.Random(seed)
    monkeypatch.setattr(snapshots, "DUE_ENTRIES", chance.choice((3, 8, 20)))
    monkeypatch.setattr(snapshots, "KEPT_MS", chance.choice((0, 50, 10**9)))
    world, made = World(tmp_path, "laptop", "phone", "desk"), itertools.count()
    places, revocations, dropped = ("shared", "stick"), 0, 0
    world.settle()
    for _ in range(80):
        name = chance.choice(tuple(world.vaults))
        vault = world[name]
        ids = [one.id for one in vault.store.items()]
        try:
            match chance.choice(("add", "edit", "edit", "purge", "sync", "sync", "sync", "revoke", "join", "restart")):
                case "add":
                    vault.add(f"item {next(made)}")
                case "edit" if ids:
                    vault.edit(chance.choice(ids), title=f"title {next(made)}", favorite=chance.random() < 0.5)
                case "purge" if ids:
                    vault.store.purge(chance.choice(ids))
                case "sync":
                    vault.sync(chance.choice(places))
                case "revoke" if revocations < 2:
                    vault.sync()
                    other = chance.choice([one for one in world.vaults if one != name])
                    belonging.revoke(vault.store, a_device(other).device_id, vault.now())
                    vault.sync()
                    revocations += 1
                case "join" if len(world.vaults) < 6:
                    world.join(f"device {len(world.vaults)}", by=name, through=chance.choice(places))
                case "restart":
                    vault.restarted()
        except (NotSynced, UsageError):
            continue
    for _ in range(5):
        for vault, place in itertools.product(world.vaults.values(), places):
            with contextlib.suppress(NotSynced):
                vault.sync(place)
    newest = world["laptop"].chain()
    for vault in world.vaults.values():
        newest = vault.chain() if membership.outranks(vault.chain(), newest) else newest
    members = {one.device_id for one in membership.read_chain(newest).members}
    left = [name for name, vault in world.vaults.items() if vault.id in members]
    assert all(world[name].chain() == newest for name in left)
    for name in left:
        dropped += log.setting(world[name].store).base is not None
        assert not log.count_waiting(world[name].store.database), name
    assert world.agrees(*left)
    fresh = world.join("newcomer", by=left[0])
    world.settle("newcomer", *left)
    assert world.agrees("newcomer", *left)
    assert not log.count_waiting(fresh.store.database)
    world.close()
