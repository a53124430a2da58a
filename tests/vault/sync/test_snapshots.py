"""Snapshots of the log: what they hold, when they settle, and that nobody misses what was dropped."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import KIT, World, a_device
from vault import listmaking, membership, seniority
from vault.canonical import canonical
from vault.errors import NotSynced, UsageError
from vault.sync import appending, belonging, engine, log, merge, recording, replaying, snapshots
from vault.sync.settling import SNAP

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


def numbers(world: World, name: str, through: str = "shared") -> list[int]:
    """The numbers of a device's entries in a folder."""
    return sorted(int(one.name[:12]) for one in (world.root(through) / "log" / a_device(name).device_id).iterdir())


def verdicts(world: World, name: str) -> list[str]:
    return [one.verdict for one in snapshots.known(world[name].store)]


# -- what it holds, and who believes it


def test_a_snapshot_comes_when_the_log_has_grown_and_everybody_finds_it_right(three: World) -> None:
    busy(three, "laptop")
    three["phone"].sync()
    three["phone"].edit("laptop 1", title="by the phone")
    three.settle()
    assert {*verdicts(three, "laptop"), *verdicts(three, "phone"), *verdicts(three, "desk")} == {"good"}
    assert three.agrees()


def test_no_second_snapshot_comes_before_the_log_has_grown_again(three: World) -> None:
    busy(three, "laptop", 11)
    three.settle()
    before = entries(three, "laptop")
    three.settle()
    assert (verdicts(three, "laptop"), entries(three, "laptop")) == (["good"], before)


def test_a_snapshot_that_is_wished_twice_is_made_once(three: World) -> None:
    three["laptop"].add("bank")
    three["laptop"].sync(compact=True)
    three.settle()
    before = len(verdicts(three, "laptop"))
    three["laptop"].sync(compact=True)
    assert len(verdicts(three, "laptop")) == before == 1
    three["laptop"].edit("bank", title="My bank")
    three["laptop"].sync(compact=True)
    assert len(verdicts(three, "laptop")) == 2


def test_a_snapshot_is_what_the_entries_come_to_one_by_one(three: World) -> None:
    """The states in it are those of the device that made it, byte by byte, and of any other at that point."""
    busy(three, "laptop")
    three.settle()
    store = three["phone"].store
    one = snapshots.known(store)[0].snapshot
    with store.transaction():
        ground = engine.Ground(store)
        told = replaying.states_of(replaying.parts(store, ground, log.Base(one.device, one.first, one.last, {})))
        cut = {device: head.seq for device, head in one.cut.items()}
        worked_out = snapshots._states_at(store, ground, engine._counting(store), cut)
    assert told == worked_out
    assert all(merge.encode(merge.decode(each)) == each for each in told)
    assert one.last > one.first  # in several parts


def forged(world: World, name: str, **changed: object) -> None:
    """Let a device write a snapshot with one thing altered, as a device that lies would."""
    vault = world[name]
    with vault.store.transaction():
        states = [
            bytes(state) for (state,) in vault.store.database.all("SELECT state FROM sync_things ORDER BY kind, id")
        ]
        at = next(at for at, state in enumerate(states) if b'"title"' in state)
        states[at] = states[at].replace(b'"title":"', b'"title":"not ')
        found = belonging.members_of(vault.store)
        for content in snapshots._contents(states):
            appending.append(vault.store, found, content, vault.now_ms(), kind=SNAP)
        appending.append(vault.store, found, snapshots.NOTHING, vault.now_ms(), kind=b"beat")


def test_a_snapshot_that_lies_is_told_not_used_and_followed_by_a_right_one(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(three, "laptop", 3)
    three.settle()
    monkeypatch.setattr(snapshots, "is_due", lambda store: False)
    forged(three, "phone")
    three["phone"].sync()
    told = three["laptop"].sync().findings
    assert [one.kind for one in told] == ["snapshot"]
    assert "phone made is not what the log comes to" in told[0].text
    assert verdicts(three, "laptop") == ["wrong"]
    three.settle()
    assert snapshots.newest(three["laptop"].store) is None
    assert min(numbers(three, "laptop")) == 1
    monkeypatch.undo()
    monkeypatch.setattr(snapshots, "DUE_ENTRIES", 1)
    three["laptop"].sync()
    three.settle()
    newest = snapshots.newest(three["desk"].store)
    assert newest is not None and newest.device == a_device("laptop").device_id
    fresh = three.join("tablet", by="desk")
    three.settle()
    assert fresh.title("laptop 1") == three["laptop"].title("laptop 1")
    assert three.agrees()


def test_an_altered_part_is_refused_by_who_begins_with_it(three: World) -> None:
    busy(three, "laptop")
    three.settle()
    one = snapshots.newest(three["phone"].store)
    assert one is not None and min(numbers(three, "laptop")) > 1
    folder = three.root() / "log" / one.device
    part = next(file for file in folder.iterdir() if int(file.name[:12]) == one.first)
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    fresh = three.join("tablet", by="phone")
    fresh.sync()
    assert fresh.store.count() == 0 and log.count_waiting(fresh.store.database)
    three["laptop"].sync(upload_again=True)
    fresh.sync()
    three.settle()
    assert three.agrees()


# -- when entries go


def test_nothing_is_dropped_before_all_members_have_seen_the_snapshot(three: World) -> None:
    for _ in range(12):
        three["laptop"].add(f"item {three.ms}")
        three["laptop"].sync()
        three["phone"].sync()
    three["laptop"].sync()
    assert verdicts(three, "phone") == ["good"]
    assert min(numbers(three, "laptop")) == 1
    three["desk"].sync()
    three["laptop"].sync()
    three["phone"].sync()
    assert min(numbers(three, "laptop")) > 1
    assert three.agrees()


def test_a_device_keeps_its_own_log_for_ninety_days(three: World) -> None:
    busy(three, "laptop")
    three.settle()
    assert min(numbers(three, "laptop")) > 1
    before = entries(three, "phone")
    three.ms += 89 * DAY_MS
    three["phone"].sync()
    assert entries(three, "phone") >= before
    three.ms += 2 * DAY_MS
    three["phone"].sync()
    assert entries(three, "phone") < before
    three["phone"].edit("laptop 3", title="after it")
    three.settle()
    assert three.agrees()


def test_a_new_device_has_all_though_most_of_the_log_is_gone(three: World) -> None:
    busy(three, "laptop", 20)
    three.settle()
    assert files(three) < 20
    three["desk"].edit("laptop 2", title="after the snapshot")
    three["desk"].sync()
    fresh = three.join("tablet", by="laptop")
    three.settle()
    assert (fresh.store.count(), fresh.title("laptop 2")) == (20, "after the snapshot")
    assert log.begins(fresh.store) and three.agrees()
    fresh.edit("laptop 5", title="by the new one")
    three.settle()
    assert three["laptop"].title("laptop 5") == "by the new one"


def test_who_joins_by_the_kit_has_all_though_most_of_the_log_is_gone(three: World) -> None:
    """All devices are lost, and the folder holds a snapshot and what came after it."""
    from vault.sync import joining, ways

    busy(three, "laptop", 20)
    three.settle()
    content = three["laptop"].content()
    holder = three.path / "kit.key"
    from vault import keys

    way = ways.Way(folder=str(three.place()))
    own = a_device("found again")
    store = joining.rejoin_by_kit(
        three.path / "again",
        KIT,
        way,
        three["laptop"].store.vault_id,
        own,
        "found again",
        now=three["laptop"].now(),
        holder=keys.choose_holder(three.path / "again", key_file=holder),
    )
    with store:
        from vault.sync import session
        from vault.sync.folder import Folder

        folder = Folder(three.place(), store.vault_id, kept=ways.Kept(store))
        session.sync(store, folder, lambda: three.ms + 1)
        assert store.count() == 20
        whole = canonical(sorted(store.vault().items, key=lambda one: one.id))
        assert whole == canonical(sorted(three["laptop"].store.vault().items, key=lambda one: one.id))
    assert content


def test_a_new_folder_is_given_the_snapshot_by_a_device_that_has_no_more(three: World) -> None:
    busy(three, "laptop")
    three.settle()
    three.ms += 91 * DAY_MS
    three.settle()
    assert log.begins(three["laptop"].store)
    three["laptop"].sync("stick")
    fresh = three.join("tablet", by="laptop", through="stick")
    fresh.sync("stick")
    assert fresh.store.count() == 12
    three.settle()
    three.settle(through="stick")
    assert three.agrees()


def test_a_folder_that_lay_in_a_drawer_goes_on_with_the_snapshot(three: World) -> None:
    """It holds entries from before; the devices have dropped what lies between."""
    busy(three, "laptop", 4, through="stick")
    three.settle(through="stick")
    busy(three, "laptop", 12)
    three.settle()
    three.ms += 91 * DAY_MS
    three.settle()
    assert min(log.begins(three["laptop"].store).values()) >= 1
    three.settle(through="stick")
    there = numbers(three, "laptop", "stick")
    assert there == list(range(there[0], there[-1] + 1)) and there[0] > 4
    fresh = three.join("tablet", by="desk", through="stick")
    fresh.sync("stick")
    assert fresh.store.count() == three["laptop"].store.count()


def test_a_folder_in_which_some_of_the_old_files_are_left_is_no_alarm(three: World) -> None:
    """Another program may copy what was dropped in any order."""
    busy(three, "laptop", 8)
    old = {file: file.read_bytes() for file in (three.root() / "log").rglob("*") if file.is_file()}
    busy(three, "laptop", 4)
    three.settle()
    gone = sorted(file for file in old if not file.exists() and file.parent.name == a_device("laptop").device_id)
    assert len(gone) > 3
    gone[1].write_bytes(old[gone[1]])
    for name in three.vaults:
        assert not three[name].sync().findings
    assert three.agrees()


def test_the_beginning_of_a_log_that_no_snapshot_stands_for_is_given_again(three: World) -> None:
    three["laptop"].add("bank")
    three["laptop"].sync()
    three["laptop"].edit("bank", title="My bank")
    three.settle()
    folder = three.root() / "log" / a_device("laptop").device_id
    first = next(file for file in folder.iterdir() if int(file.name[:12]) == 1)
    first.unlink()
    three["phone"].sync()
    assert first.exists()


# -- and revocations


def test_a_revocation_that_comes_late_is_carried_out_from_the_snapshot_on(three: World) -> None:
    busy(three, "laptop")
    three.settle()
    three.ms += 91 * DAY_MS
    three.settle()
    assert log.begins(three["laptop"].store)
    three["phone"].add("by the thief")
    recording.record(three["phone"].store, three.ms)
    belonging.revoke(three["desk"].store, a_device("phone").device_id, three["desk"].now())
    three["phone"].sync("stick")
    three["laptop"].sync("stick")
    assert three["laptop"].title("by the thief") == "by the thief"
    three["desk"].sync()
    three["laptop"].sync()
    three["desk"].sync()
    assert three["laptop"].title("by the thief") is None
    assert three.agrees("laptop", "desk")


def test_what_a_revoked_device_wrote_behind_its_last_entry_never_settles(three: World) -> None:
    """The laptop makes a snapshot with it before it knows of the revocation, and the desk sees that."""
    belonging.revoke(three["desk"].store, a_device("phone").device_id, three["desk"].now())
    three["phone"].add("by the thief")
    three["phone"].sync("stick")
    three["laptop"].sync("stick")
    busy(three, "laptop", through="stick")
    assert verdicts(three, "laptop") == ["good"]
    for _ in range(3):
        for name, place in itertools.product(("desk", "laptop"), ("stick", "shared")):
            three[name].sync(place)
    assert three["desk"].title("by the thief") is three["laptop"].title("by the thief") is None
    assert three.agrees("laptop", "desk")
    assert all(a_device("phone").device_id not in one.snapshot.cut for one in snapshots.settled(three["desk"].store))


def test_nobody_takes_back_by_a_revocation_what_he_has_seen_in_a_snapshot(three: World) -> None:
    """The phone has seen the laptop's work, and says of it that nothing counted."""
    busy(three, "laptop")
    three["laptop"].sync(compact=True)
    three.settle()
    assert snapshots.newest(three["phone"].store) is not None
    chain, own = three["phone"].chain(), a_device("phone")
    with three["phone"].store.transaction():
        from vault import identity

        gone = listmaking.revoke(
            chain, a_device("laptop").device_id, by=own.signer, now=three["phone"].now(), last=(0, bytes(32))
        )
        identity.write_membership(three["phone"].store, (*chain, gone))
    three["phone"].sync()
    three["desk"].sync()
    fresh = three.join("tablet", by="desk")
    for name in ("phone", "desk", "tablet", "phone", "desk", "tablet"):
        three[name].sync()
    assert fresh.store.count() == three["desk"].store.count() == three["phone"].store.count() == 12
    assert three.agrees("phone", "desk", "tablet")


# -- signs of life


def test_a_device_that_writes_nothing_gives_a_sign_of_life_once_a_day(three: World) -> None:
    own = a_device("phone").device_id
    before = log.heads(three["phone"].store.database)[own].seq
    for _ in range(5):
        three.ms += DAY_MS // 4
        three["phone"].sync()
    assert log.heads(three["phone"].store.database)[own].seq == before + 1


def test_three_devices_at_rest_write_no_more_than_their_signs_of_life(three: World) -> None:
    before = entries(three, "laptop")
    for _ in range(6):
        three.settle()
    assert entries(three, "laptop") == before


# -- all of it at random


@pytest.mark.parametrize("seed", range(8))
def test_devices_with_snapshots_that_come_and_go_agree_in_the_end(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs are made shorter wherever they can be; some devices stay away for long, some are revoked, some join."""
    chance = random.Random(seed)
    monkeypatch.setattr(snapshots, "DUE_ENTRIES", chance.choice((3, 8, 20)))
    monkeypatch.setattr(snapshots, "KEPT_MS", chance.choice((0, 50, 10**9)))
    world, made = World(tmp_path, "laptop", "phone", "desk"), itertools.count()
    places, revocations = ("shared", "stick"), 0
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
        newest = vault.chain() if seniority.outranks(vault.chain(), newest) else newest
    members = {one.device_id for one in membership.read_chain(newest).members}
    left = [name for name, vault in world.vaults.items() if vault.id in members]
    assert all(world[name].chain() == newest for name in left)
    for name in left:
        assert not log.count_waiting(world[name].store.database), name
    assert world.agrees(*left)
    fresh = world.join("newcomer", by=left[0])
    world.settle("newcomer", *left)
    assert world.agrees("newcomer", *left)
    assert not log.count_waiting(fresh.store.database)
    world.close()
