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
