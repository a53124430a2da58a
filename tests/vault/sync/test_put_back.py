"""A device whose home was put back from a copy, while the others made their logs shorter: what only it has stays."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World, a_device
from vault.errors import RolledBack
from vault.sync import log


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The desk is as it was before it wrote the last of its entries; those are in a snapshot, and dropped."""
    found = World(tmp_path, "laptop", "phone", "desk")
    for number in range(3):
        found["desk"].add(f"early {number}")
        found["desk"].sync()
    found.settle()
    found["desk"].store.close()
    shutil.copy(tmp_path / "desk.db", tmp_path / "desk.copy")
    found["desk"].store = found.opened("desk", found["laptop"].store.vault_id)
    for number in range(3):
        found["desk"].add(f"late {number}")
        found["desk"].sync()
    found["laptop"].sync(compact=True)
    found.settle()
    found["desk"].add("last")
    found.settle()
    found["desk"].store.close()
    shutil.copy(tmp_path / "desk.copy", tmp_path / "desk.db")
    found["desk"].store = found.opened("desk", found["laptop"].store.vault_id)
    assert first_there(found) > log.heads(found["desk"].store.database)[a_device("desk").device_id].seq + 1
    yield found
    found.close()


def first_there(world: World) -> int:
    """The first entry of the desk that lies in the folder."""
    return min(int(one.name[:12]) for one in (world.root() / "log" / a_device("desk").device_id).iterdir())


def test_one_that_has_nothing_of_its_own_goes_on_with_the_snapshot(world: World) -> None:
    done = world["desk"].sync()
    assert done.findings == []
    world.settle()
    assert world["desk"].title("last") == "last"
    assert world.agrees()
    world["desk"].add("after it")
    world.settle()
    assert world["phone"].title("after it") == "after it"


def test_what_was_changed_on_it_meanwhile_is_not_lost_and_people_are_told(world: World) -> None:
    world["desk"].add("only here", title="only here")
    for _ in range(3):
        with pytest.raises(RolledBack, match="put back to an older copy") as told:
            world["desk"].sync()
        assert "keyferry device join" in told.value.hint
        assert world["desk"].title("only here") == "only here"
    assert world["laptop"].sync().findings == []
    assert world["laptop"].title("late 1") == "late 1"


# -- whole logs, but what its own later entries have seen has not come yet


@pytest.fixture
def early(tmp_path: Path) -> Iterator[tuple[World, Path]]:
    """The desk is as it was before it saw the laptop's newest entry, whose file another program has still to copy."""
    found = World(tmp_path, "laptop", "desk")
    found.settle()
    found["desk"].store.close()
    shutil.copy(tmp_path / "desk.db", tmp_path / "desk.copy")
    found["desk"].store = found.opened("desk", found["laptop"].store.vault_id)
    found["laptop"].add("by the laptop")
    found["laptop"].sync()
    found["desk"].sync()
    found["desk"].add("late")
    found["desk"].sync()
    found["desk"].store.close()
    shutil.copy(tmp_path / "desk.copy", tmp_path / "desk.db")
    found["desk"].store = found.opened("desk", found["laptop"].store.vault_id)
    newest = max((found.root() / "log" / a_device("laptop").device_id).iterdir())
    newest.rename(tmp_path / newest.name)
    yield found, newest
    found.close()


def test_one_writes_nothing_before_all_of_its_own_entries_are_taken_in(early: tuple[World, Path]) -> None:
    world, newest = early
    with pytest.raises(RolledBack, match="nothing goes out"):
        world["desk"].sync()
    (world.path / newest.name).rename(newest)
    assert world["desk"].sync().findings == []
    assert world["desk"].title("late") == "late"
    world.settle()
    assert world.agrees()


def test_what_is_changed_before_they_are_taken_in_stays_on_the_device(early: tuple[World, Path]) -> None:
    world, newest = early
    with pytest.raises(RolledBack):
        world["desk"].sync()
    world["desk"].add("only here")
    (world.path / newest.name).rename(newest)
    for _ in range(2):
        with pytest.raises(RolledBack, match="put back to an older copy"):
            world["desk"].sync()
        assert world["desk"].title("only here") == "only here"
    world["laptop"].sync()
    assert world["laptop"].title("late") == "late"
