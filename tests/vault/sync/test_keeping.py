"""One round of sync without a person, and what ``status`` says of sync."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World
from vault.errors import NotSynced, RelayUnreachable
from vault.sync import belonging, keeping, recording, ways
from vault.sync.keeping import Turn
from vault.sync.ways import Way


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone")
    for vault in found.vaults.values():
        ways.remember(vault.store, Way(folder=str(found.place())))
    found.settle()
    yield found
    found.close()


def test_a_vault_that_was_never_paired_is_not_synced(tmp_path: Path) -> None:
    store = World(tmp_path, "laptop")["laptop"].store
    assert not keeping.is_on(store)
    assert keeping.facts(store) is None


def test_a_round_says_what_it_brought(world: World) -> None:
    world["phone"].add("bank")
    assert keeping.turn(world["phone"].store, world.ms) == Turn(sent=1)
    done = keeping.turn(world["laptop"].store, world.ms)
    assert (done.received, done.items, done.text) == (1, 1, "synced: 0 sent, 1 received")
    assert keeping.turn(world["laptop"].store, world.ms).text == ""


def test_an_item_that_stays_against_a_deletion_is_told(world: World) -> None:
    world["phone"].add("bank")
    world.settle()
    world["phone"].store.purge("bank")
    world["laptop"].edit("bank", title="still needed")
    world["phone"].sync()
    done = keeping.turn(world["laptop"].store, world.ms)
    assert done.findings == ("still needed was deleted on one device and changed on another: it stays",)


def test_a_folder_that_is_away_is_told(world: World) -> None:
    world.place().rename(world.path / "away")
    with pytest.raises(RelayUnreachable):
        keeping.turn(world["laptop"].store, world.ms)


def test_status_says_how_and_with_whom(world: World) -> None:
    found = keeping.facts(world["laptop"].store)
    assert found is not None
    assert (found.way, found.devices, found.waiting, found.unsent) == (f"folder {world.place()}", 2, 0, 0)
    assert found.text.startswith(f"2 devices, through the folder {world.place()}, last at ")
    world["laptop"].add("bank")
    changed = keeping.facts(world["laptop"].store)
    assert changed is not None
    assert changed.text.endswith("1 change not sent")
    recording.record(world["laptop"].store, world.ms)
    later = keeping.facts(world["laptop"].store)
    assert later is not None
    assert later.text.endswith("1 entry not sent")


def test_status_of_a_revoked_device_says_so(world: World) -> None:
    belonging.revoke(world["laptop"].store, world["phone"].id, world["laptop"].now())
    world["laptop"].sync()
    with pytest.raises(NotSynced):
        keeping.turn(world["phone"].store, world.ms)
    found = keeping.facts(world["phone"].store)
    assert found is not None
    assert found.text == "this device does not belong to the vault any more"
