"""The agent syncs by itself: soon after a change, now and then without one, and is in nobody's way."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from backup.watching import Event
from tests.backup.bench import World
from vault.errors import DiskFull, KeyferryError, NotSynced, RelayMisbehaves, RelayUnreachable, VaultBusy
from vault.sync.keeping import Turn

AWAY = RelayUnreachable("the relay https://r cannot be reached: no connection", hint="offline is fine")


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.bench.is_synced = True
    found.begun()
    found.bench.synced_at.clear()
    return found


def test_a_vault_that_is_not_synced_is_left_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.passes(hours=2, each=world.now_and_then(minutes=10))
    assert world.bench.synced_at == []


def test_the_first_look_syncs(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.bench.is_synced = True
    world.look()
    assert len(world.bench.synced_at) == 1


def test_without_a_change_it_syncs_every_five_minutes(world: World) -> None:
    world.passes(hours=1)
    gaps = [later - earlier for earlier, later in pairwise(world.bench.synced_at)]
    assert len(gaps) >= 10
    assert all(300 <= gap < 361 for gap in gaps)


def test_after_a_change_it_syncs_within_seconds_and_once(world: World) -> None:
    world.passes(minutes=6)
    world.bench.synced_at.clear()
    world.bench.edit()
    world.look(Event("changed", world.home / "vault.db"))
    at = world.clock.mono
    world.passes(minutes=1)
    assert len(world.bench.synced_at) == 1
    assert 9 <= world.bench.synced_at[0] - at <= 12


def test_a_row_of_changes_is_synced_once_and_not_put_off_for_ever(world: World) -> None:
    for _ in range(30):
        world.bench.edit()
        world.look(Event("changed", world.home / "vault.db"))
        world.clock.passes(5)
    assert 1 <= len(world.bench.synced_at) <= 4


def test_a_change_as_soon_as_the_agent_lets_go_is_synced_as_any_other(world: World) -> None:
    """Another process waits for the vault and is done before the agent looks at the file that it has left."""
    edits = [world.bench.edit]
    world.bench.just_after = lambda: edits.pop()() if edits and world.bench.synced_at else None
    world.passes(minutes=6)
    assert not edits
    at = world.bench.synced_at[0]
    assert len([one for one in world.bench.synced_at if at < one <= at + 15]) == 1


def test_a_change_while_the_agent_works_is_synced_as_any_other(world: World) -> None:
    edited_at: list[float] = []

    def edit() -> None:
        if not edited_at:
            edited_at.append(world.clock.mono)
            world.bench.edit()

    world.bench.meanwhile = edit
    world.bench.edit()
    world.passes(days=1, hours=1)
    (at,) = edited_at
    assert [one for one in world.bench.synced_at if at < one <= at + 15]


def test_its_own_writing_is_no_change(world: World) -> None:
    world.bench.turns = [Turn(received=3, items=0)]
    world.bench.edit()
    world.look(Event("changed", world.home / "vault.db"))
    world.passes(minutes=4)
    assert len(world.bench.synced_at) <= 2


def test_a_vault_that_is_paired_while_the_agent_runs_is_synced_from_then_on(tmp_path: Path) -> None:
    world = World(tmp_path).begun()
    world.bench.is_synced = True
    world.bench.edit()
    world.passes(minutes=2)
    assert world.bench.synced_at


def test_after_a_sleep_it_syncs_at_once(world: World) -> None:
    world.clock.leaps(hours=8)
    world.look()
    assert len(world.bench.synced_at) == 1


def test_when_a_drive_appears_it_syncs_at_once(world: World) -> None:
    world.bench.turns = [AWAY]
    world.passes(minutes=6)
    world.bench.synced_at.clear()
    world.look(Event("mounted", world.folder / "stick"))
    assert len(world.bench.synced_at) == 1


def test_offline_is_told_once_and_so_is_the_way_back(world: World) -> None:
    world.bench.turns = [AWAY] * 999
    said = world.passes(hours=2)
    assert [line for line in said if "synced" in line] == [f"not synced: {AWAY.message} (offline is fine)"]
    gaps = [later - earlier for earlier, later in pairwise(world.bench.synced_at)]
    assert max(gaps) <= 361
    world.bench.turns = []
    assert [line for line in world.passes(minutes=11) if "sync" in line] == ["sync goes on"]


@pytest.mark.parametrize("error", [AWAY, RelayMisbehaves("shows less"), NotSynced("was revoked"), DiskFull("full")])
def test_whatever_is_wrong_with_sync_backups_are_made(world: World, error: KeyferryError) -> None:
    world.bench.turns = [error] * 999
    said = world.passes(days=2, each=world.now_and_then(hours=5))
    assert sum("made set" in line for line in said) == 2
    assert sum("not synced" in line for line in said) == 1


def test_backups_that_are_due_come_before_sync(world: World) -> None:
    world.clock.passes(24 * 3600)
    world.bench.content += 1
    world.bench.calls.clear()
    world.look()
    assert world.bench.calls.index("create") < world.bench.calls.index("sync")


def test_a_vault_that_is_busy_is_synced_a_little_later_without_a_word(world: World) -> None:
    world.bench.turns = [VaultBusy("another process")]
    said = world.passes(minutes=7)
    assert [line for line in said if "sync" in line] == []
    first, second, *_ = world.bench.synced_at
    assert second - first <= 61


def test_what_was_sent_and_received_is_a_line_and_nothing_is_none(world: World) -> None:
    world.bench.turns = [Turn(), Turn(sent=1, received=2, items=2), Turn()]
    said = world.passes(minutes=16)
    assert [line for line in said if "synced" in line] == ["synced: 1 sent, 2 received"]


def test_a_finding_is_told_once_until_it_is_another(world: World) -> None:
    parked = Turn(findings=("the clock of desk is more than a day ahead; its changes wait",))
    world.bench.turns = [parked, parked, parked, Turn(), parked]
    said = world.passes(minutes=31)
    assert [line for line in said if "clock of desk" in line] == [f"sync: {parked.findings[0]}"] * 2


def test_what_others_have_changed_is_backed_up(tmp_path: Path) -> None:
    world = World(tmp_path, "daily", "21:00", on_change=True)
    world.bench.is_synced = True
    world.begun()

    def arrived() -> Turn:
        world.bench.content += 1
        return Turn(received=1, items=1)

    world.passes(minutes=20)
    before = len(world.bench.made_at)
    world.bench.turns = [arrived()]
    world.passes(minutes=30)
    assert len(world.bench.made_at) == before + 1
