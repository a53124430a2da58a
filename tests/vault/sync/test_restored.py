"""A vault from a backup that goes on before it meets the others: its changes and theirs both stay."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.vault.sync.world import World
from vault.model import Collection
from vault.sync import log, restored, session
from vault.sync.log import Setting

TABLES = ("sync_entries", "sync_things", "sync_blobs", "sync_given")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The phone's vault is as a backup had it, without a log; the laptop has gone on."""
    found = World(tmp_path, "laptop", "phone")
    laptop, phone = found["laptop"], found["phone"]
    for id_ in ("bank", "mail", "shop", "gone", "unread"):
        laptop.add(id_, tags=("old",))
    laptop.do(lambda store: store.put_collection(Collection(id="c", title="Folder")))
    found.settle()
    with phone.store.transaction():
        for table in TABLES:
            phone.store.database.do(f"DELETE FROM {table}")
        restored.keep_base(phone.store)
        log.write_setting(phone.store, Setting(restored=True))
    laptop.edit("bank", title="by the laptop", tags=("old", "of the laptop"))
    laptop.edit("unread", title="by the laptop")
    laptop.store.purge("gone")
    laptop.add("new")
    laptop.sync()
    yield found
    found.close()


def test_a_vault_nobody_wrote_to_becomes_what_the_others_have(world: World) -> None:
    world.settle()
    assert world.agrees()
    assert (world["phone"].title("bank"), world["phone"].title("gone")) == ("by the laptop", None)


def test_what_was_changed_in_it_stays_and_so_does_what_others_have_changed(world: World) -> None:
    world["phone"].edit("bank", favorite=True, tags=("old", "of the phone"))
    world["phone"].edit("mail", title="by the phone")
    world["phone"].add("of the phone")
    world["phone"].do(lambda store: store.put_collection(Collection(id="c", title="By the phone")))
    world.settle()
    assert world.agrees()
    item = world["laptop"].store.item("bank")
    assert item is not None
    assert (item.title, item.favorite, set(item.tags)) == (
        "by the laptop",
        True,
        {"old", "of the laptop", "of the phone"},
    )
    assert world["laptop"].title("mail") == "by the phone"
    assert world["laptop"].title("of the phone") == "of the phone"
    assert [one.title for one in world["laptop"].store.collections()] == ["By the phone"]


def test_what_was_deleted_in_it_goes_unless_others_have_changed_it_since(world: World) -> None:
    world["phone"].store.purge("mail")
    world["phone"].store.purge("unread")
    world.settle()
    assert world.agrees()
    assert (world["laptop"].title("mail"), world["laptop"].title("unread")) == (None, "by the laptop")


def test_what_others_have_deleted_and_was_changed_in_it_stays(world: World) -> None:
    world["phone"].edit("gone", title="still needed")
    world.settle()
    assert world.agrees()
    assert world["laptop"].title("gone") == "still needed"


def test_a_round_that_breaks_off_in_the_middle_loses_none_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world["phone"].edit("bank", favorite=True)
    with monkeypatch.context() as patch:
        patch.setattr(session, "_settle_restored", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world["phone"].sync()
    world["phone"].edit("bank", subtitle="and this")
    world.settle()
    assert world.agrees()
    item = world["laptop"].store.item("bank")
    assert item is not None
    assert (item.title, item.favorite, item.subtitle) == ("by the laptop", True, "and this")


def test_the_rows_of_the_backup_are_forgotten_afterwards(world: World) -> None:
    world.settle()
    assert restored.edits(world["phone"].store) == []
    assert world["phone"].store.database.one("SELECT 1 FROM sqlite_master WHERE name = 'sync_base'") is None
    assert msgspec.to_builtins(log.setting(world["phone"].store)).get("restored") is None
