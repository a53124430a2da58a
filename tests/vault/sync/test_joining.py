"""The joiner's home has a whole vault or none, and trusts no relay or folder that is behind what it was told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.vault.killing import killed_at_each_step
from tests.vault.ring import FileRing, ring_holder
from tests.vault.sync.world import KIT, World, a_device
from vault import identity, listmaking, membership
from vault.errors import DiskFull, RelayMisbehaves, RelayUnreachable, WrongKit
from vault.kit import new_kit
from vault.settings import has_vault
from vault.store import Store
from vault.sync import belonging, joining, log, session, ways
from vault.sync.pairing import Joined
from vault.sync.ways import Way

NOW = "2026-11-23T09:00:00Z"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone")
    found["laptop"].add("bank")
    found.settle()
    yield found
    found.close()


def told(world: World, name: str = "new") -> Joined:
    """What pairing tells a device that the laptop lets in."""
    laptop, own = world["laptop"], a_device(name)
    added = listmaking.enrol(laptop.chain(), own, name="", by=a_device("laptop").signer, now=laptop.now())
    member = membership.read_chain((*laptop.chain(), added)).member(own.device_id)
    assert member is not None
    chain = belonging.enrol(laptop.store, member, added, laptop.now())
    laptop.sync()
    return Joined(
        chain=chain,
        name="ada's vault",
        kit_recipient=KIT.recipient,
        kit_checked_at=NOW,
        old_kits="[]",
        names=identity.device_names(laptop.store),
        heads={one: (head.seq, head.hash.hex()) for one, head in log.heads(laptop.store.database).items()},
    )


def join(world: World, home: Path, ring: Path, joined: Joined) -> Store:
    way = Way(folder=str(world.place()))
    return joining.join_vault(
        home,
        a_device("new"),
        joined,
        lambda store: joining.begin(store, way, joined),
        now=NOW,
        holder=ring_holder(ring),
    )


def first_round(world: World, store: Store) -> session.Round:
    way = ways.remembered(store)
    assert way is not None
    return session.sync(store, ways.transport(store, way), lambda: world.ms)


def test_a_device_that_was_let_in_has_the_vault_after_one_round(world: World, tmp_path: Path) -> None:
    with join(world, tmp_path / "home", tmp_path / "ring", told(world)) as store:
        first_round(world, store)
        assert store.item("bank") is not None
        assert store.meta("name") == "ada's vault"
        assert store.meta("kit_recipient") == KIT.recipient
    world.settle()
    assert world["phone"].store.item("bank") is not None


def test_a_join_that_is_killed_at_any_step_leaves_a_vault_or_none(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, ring, joined = tmp_path / "home", tmp_path / "ring", told(world)
    monkeypatch.setattr("vault.oskeyring._loaded", lambda _: FileRing(ring))

    def prepare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        ring.unlink(missing_ok=True)

    steps = 0
    for _ in killed_at_each_step(lambda: join(world, home, ring, joined).close(), prepare):
        steps += 1
        if not has_vault(home):
            join(world, home, ring, joined).close()
        assert has_vault(home)
    assert steps > 5


@pytest.mark.parametrize("error", [DiskFull("the disk is full"), KeyboardInterrupt()])
def test_a_join_that_fails_leaves_no_vault(world: World, tmp_path: Path, error: BaseException) -> None:
    def fill(_: Store) -> None:
        raise error

    holder = ring_holder(tmp_path / "ring")
    with pytest.raises(type(error)):
        joining.join_vault(tmp_path / "home", a_device("new"), told(world), fill, now=NOW, holder=holder)
    assert not (tmp_path / "home").exists()


def test_a_folder_behind_what_was_told_at_pairing_is_refused(world: World, tmp_path: Path) -> None:
    joined = told(world)
    phone = world["phone"].id
    newest = sorted((world.root() / "log" / phone).iterdir())[-1]
    newest.unlink()
    with join(world, tmp_path / "home", tmp_path / "ring", joined) as store:
        with pytest.raises(RelayMisbehaves, match="less than before"):
            first_round(world, store)
        assert store.count() == 0


def test_a_folder_with_another_history_than_told_is_refused(world: World, tmp_path: Path) -> None:
    joined = told(world)
    heads = {**joined.heads, world["phone"].id: (joined.heads[world["phone"].id][0], "ab" * 32)}
    joined = msgspec.structs.replace(joined, heads=heads)
    with (
        join(world, tmp_path / "home", tmp_path / "ring", joined) as store,
        pytest.raises(RelayMisbehaves, match="another history"),
    ):
        first_round(world, store)


def test_a_folder_that_is_away_at_the_first_round_is_for_later(world: World, tmp_path: Path) -> None:
    joined = told(world)
    with join(world, tmp_path / "home", tmp_path / "ring", joined) as store:
        os.rename(world.place(), tmp_path / "away")
        with pytest.raises(RelayUnreachable):
            first_round(world, store)
        os.rename(tmp_path / "away", tmp_path / "shared")
        first_round(world, store)
        assert store.item("bank") is not None


# -- with nothing but the kit


def rejoin(world: World, home: Path, ring: Path, *, vault: str | None = None, kit: object = KIT) -> Store:
    return joining.rejoin_by_kit(
        home,
        kit,  # type: ignore[arg-type]
        Way(folder=str(world.place())),
        vault or world["laptop"].store.vault_id,
        a_device("new"),
        "after the fire",
        now=NOW,
        holder=ring_holder(ring),
    )


def test_with_all_devices_lost_the_kit_brings_everything_back(world: World, tmp_path: Path) -> None:
    with rejoin(world, tmp_path / "home", tmp_path / "ring") as store:
        first_round(world, store)
        assert store.item("bank") is not None
        item = store.item("bank")
        assert item is not None
        store.put(msgspec.structs.replace(item, title="written after the fire"), now=NOW)
        first_round(world, store)
    world.settle()
    assert world["phone"].title("bank") == "written after the fire"
    assert identity.device_names(world["laptop"].store)[a_device("new").device_id] == "after the fire"


def test_the_kit_reads_epochs_that_began_after_a_revocation(world: World, tmp_path: Path) -> None:
    belonging.revoke(world["laptop"].store, world["phone"].id, world["laptop"].now())
    world["laptop"].add("new secret")
    world["laptop"].sync()
    with rejoin(world, tmp_path / "home", tmp_path / "ring") as store:
        first_round(world, store)
        assert store.item("new secret") is not None


def test_another_kit_opens_nothing_and_leaves_no_vault(world: World, tmp_path: Path) -> None:
    before = sorted(world.root().rglob("*"))
    with pytest.raises(WrongKit):
        rejoin(world, tmp_path / "home", tmp_path / "ring", kit=new_kit())
    assert not (tmp_path / "home").exists()
    assert sorted(world.root().rglob("*")) == before


def test_a_vault_that_is_not_there_is_told(world: World, tmp_path: Path) -> None:
    with pytest.raises(RelayMisbehaves, match="does not know this vault"):
        rejoin(world, tmp_path / "home", tmp_path / "ring", vault="ab" * 16)
    assert not (tmp_path / "home").exists()


def test_a_forged_beginning_is_not_taken_for_the_vault(world: World, tmp_path: Path) -> None:
    first = next(iter(sorted((world.root() / "members").iterdir())))
    forged = listmaking.genesis(new_kit().root, a_device("thief"), name="", now=NOW)
    import hashlib

    first.unlink()
    (world.root() / "members" / f"000000-{hashlib.sha256(forged).hexdigest()}").write_bytes(forged)
    with pytest.raises(RelayMisbehaves, match="how this vault began"):
        rejoin(world, tmp_path / "home", tmp_path / "ring")


def test_a_forged_beginning_beside_the_true_one_is_passed_over(world: World, tmp_path: Path) -> None:
    import hashlib

    forged = listmaking.genesis(new_kit().root, a_device("thief"), name="", now=NOW)
    (world.root() / "members" / f"000000-{hashlib.sha256(forged).hexdigest()}").write_bytes(forged)
    with rejoin(world, tmp_path / "home", tmp_path / "ring") as store:
        first_round(world, store)
        assert store.item("bank") is not None
