"""Each finding names a cause and what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World
from vault.errors import NotSynced
from vault.model import File
from vault.rows import document_name
from vault.sync import belonging, doctoring, recording, ways
from vault.sync.doctoring import Cause
from vault.sync.ways import Way

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone", "desk")
    for vault in found.vaults.values():
        ways.remember(vault.store, Way(folder=str(found.place())))
    found.settle()
    yield found
    found.close()


def causes(world: World, name: str = "laptop") -> tuple[Cause, ...]:
    found = doctoring.findings(world[name].store, world.ms)
    assert all(one.cause for one in found)
    assert not any("add it again" in f"{one.cause} {one.remedy}" for one in found)
    return found


def only(world: World, name: str = "laptop") -> Cause:
    (one,) = causes(world, name)
    assert one.remedy
    return one


def test_a_vault_in_step_has_no_finding(world: World) -> None:
    assert causes(world) == ()


def test_a_vault_that_is_not_synced(tmp_path: Path) -> None:
    assert "not synced" in only(World(tmp_path, "laptop")).cause


def test_no_way_yet(world: World) -> None:
    ways.remember(world["laptop"].store, Way())
    assert "no relay and no folder" in causes(world)[0].cause


def test_a_stick_that_is_away(world: World) -> None:
    world.place().rename(world.path / "away")
    found = doctoring.findings(world["laptop"].store, world.ms)
    assert "is not here" in found[0].cause


def test_a_folder_without_the_vault(world: World) -> None:
    shutil.rmtree(world.root())
    assert "--upload-again" in only(world).remedy


def test_a_folder_with_less_than_before(world: World) -> None:
    sorted((world.root() / "log" / world["phone"].id).iterdir())[-1].unlink()
    assert "less of phone than before" in only(world).cause


def test_entries_that_were_not_sent(world: World) -> None:
    world["laptop"].add("bank")
    recording.record(world["laptop"].store, world.ms)
    assert only(world) == Cause("1 entry of this device not sent yet", "keyferry sync")


def test_a_clock_that_is_ahead(world: World) -> None:
    world["phone"].skew_ms = 2 * DAY_MS
    world["phone"].add("bank")
    world["phone"].sync()
    world["laptop"].sync()
    assert only(world) == Cause("the clock of phone is more than a day ahead", "set the clock of phone right")


def test_a_device_that_wrote_while_its_own_clock_was_ahead(world: World) -> None:
    world["laptop"].skew_ms = 400 * DAY_MS
    world["laptop"].add("bank")
    world["laptop"].sync()
    assert "this device's own clock was more than a day ahead" in only(world).cause


def test_entries_that_wait_for_those_of_another_device(world: World) -> None:
    world["desk"].add("bank")
    world["desk"].sync()
    world["phone"].sync()
    world["phone"].edit("bank", title="changed")
    world["phone"].sync()
    sorted((world.root() / "log" / world["desk"].id).iterdir())[-1].unlink()
    world["laptop"].sync()
    assert only(world) == Cause("entries of phone wait for entries of desk that have not arrived", "sync on desk")


def test_attachments_that_have_not_arrived(world: World) -> None:
    world["phone"].do(lambda store: store.put_document(b"scan"))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(b"scan")),))
    world["phone"].sync()
    shutil.rmtree(world.root() / "blobs")
    world["laptop"].sync()
    assert "1 attachment not here yet" in [one.cause for one in causes(world)]


def test_a_revoked_device(world: World) -> None:
    belonging.revoke(world["laptop"].store, world["phone"].id, world["laptop"].now())
    world["laptop"].sync()
    with pytest.raises(NotSynced):
        world["phone"].sync()
    assert "was revoked" in causes(world, "phone")[0].cause


def test_a_device_that_is_not_heard_of_for_three_days_is_named(world: World) -> None:
    for _ in range(2):
        world.ms += DAY_MS
        world["laptop"].sync()
        world["desk"].sync()
    world["laptop"].sync()
    assert causes(world) == ()
    for _ in range(2):
        world.ms += DAY_MS
        world["laptop"].sync()
        world["desk"].sync()
    world["laptop"].sync()
    found = only(world)
    assert found.cause.startswith("nothing signed by phone has come since 20")
    assert "device revoke phone" in found.remedy
    world["phone"].sync()
    world["laptop"].sync()
    assert causes(world) == ()
