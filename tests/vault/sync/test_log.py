"""What the log keeps: each entry once, how far it is whole, and what every place was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World
from vault.errors import DamagedVault
from vault.sync import log
from vault.sync.log import APPLIED, PARKED, VOID, WAITING, Place, Setting, Stored


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop")
    with found["laptop"].store.transaction():
        log.begin(found["laptop"].store)
    yield found
    found.close()


def stored(seq: int, state: str = APPLIED, device: str = "a") -> Stored:
    return Stored(device, seq, bytes([seq]) * 32, state, b"body")


def put(world: World, *entries: Stored) -> None:
    with world["laptop"].store.transaction():
        for one in entries:
            log.put(world["laptop"].store.database, one)


def test_an_entry_that_is_there_is_never_written_over(world: World) -> None:
    put(world, stored(1), Stored("a", 1, b"x" * 32, WAITING, b"other"))
    db = world["laptop"].store.database
    assert log.get(db, "a", 1) == stored(1)
    assert log.hash_at(db, "a", 1) == bytes([1]) * 32
    assert log.hash_at(db, "a", 2) is None


@pytest.mark.parametrize(
    ("numbers", "upto"), [((), 0), ((1,), 1), ((1, 2, 3), 3), ((2, 3), 0), ((1, 2, 4), 2), ((1, 3, 5), 1)]
)
def test_a_log_is_whole_up_to_its_first_gap(world: World, numbers: tuple[int, ...], upto: int) -> None:
    put(world, *(stored(number, WAITING) for number in numbers))
    assert log.upto(world["laptop"].store, "a") == upto


def test_only_applied_entries_are_heads_and_only_they_are_given_on(world: World) -> None:
    put(world, stored(1), stored(2), stored(3, VOID), stored(1, WAITING, "b"), stored(2, PARKED, "b"))
    db = world["laptop"].store.database
    assert {device: head.seq for device, head in log.heads(db).items()} == {"a": 2}
    assert [one.seq for one in log.after(db, "a", 0)] == [1, 2]
    assert [one.seq for one in log.after(db, "a", 1)] == [2]
    assert [one.seq for one in log.waiting(db)] == [1, 2]
    assert log.count_waiting(db) == 2


def test_what_is_known_of_one_place_does_not_touch_another(world: World) -> None:
    store = world["laptop"].store
    with store.transaction():
        log.write_place(store, "folder /a", Place(acknowledged={"a": (3, "ab")}))
        log.write_place(store, "folder /b", Place(acknowledged={"a": (1, "cd")}))
        log.note_given(store.database, "folder /a", "blob")
    assert log.place(store, "folder /a").acknowledged == {"a": (3, "ab")}
    assert log.place(store, "folder /c") == Place()
    assert log.is_given(store.database, "folder /a", "blob")
    assert not log.is_given(store.database, "folder /b", "blob")
    log.forget_given(store.database, "folder /a")
    assert not log.is_given(store.database, "folder /a", "blob")


def test_what_is_unsent_is_counted_for_each_place(world: World) -> None:
    put(world, stored(1), stored(2), stored(3))
    store = world["laptop"].store
    log.write_place(store, "folder /a", Place(acknowledged={"a": (2, "ab")}))
    assert (log.unsent(store, "a", "folder /a"), log.unsent(store, "a", "folder /b")) == (1, 3)


def test_settings_of_an_older_version_are_read(world: World) -> None:
    store = world["laptop"].store
    store.set_meta("sync", '{"folder": "/stick", "chain_sent": 3, "cursors": {"x": "1"}}')
    assert log.setting(store) == Setting(folder="/stick")


def test_damaged_settings_are_told(world: World) -> None:
    world["laptop"].store.set_meta("sync", "{")
    with pytest.raises(DamagedVault, match="remembers of its sync"):
        log.setting(world["laptop"].store)


def test_a_vault_without_a_log_is_not_on(tmp_path: Path) -> None:
    world = World(tmp_path, "laptop")
    assert not log.is_on(world["laptop"].store)
