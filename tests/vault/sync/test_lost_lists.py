"""A list of devices that another outranks takes nothing with it: what was written under it still counts, everywhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.ring import ring_holder
from tests.vault.sync.world import KIT, World, a_device
from vault import listentry, listmaking, membership
from vault.errors import NotSynced, UsageError
from vault.sync import belonging, engine, entry, epochs, joining, log, recording, session, ways
from vault.sync.travel import ENTRY, MEMBER, Message
from vault.sync.ways import Way

HOME = ("laptop", "phone", "desk")


@pytest.fixture
def four(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, "laptop", "phone", "desk", "thief")
    world["laptop"].add("bank", title="before")
    world.settle()
    yield world
    world.close()


def revoke(world: World, by: str, name: str) -> None:
    world.ms += 1
    belonging.revoke(world[by].store, world[name].id, world[by].now())


def rounds(world: World, *names: str) -> None:
    """Let them sync until all have what all have."""
    for _ in range(3):
        for name in names:
            with contextlib.suppress(NotSynced):
                world[name].sync()


def written(world: World, name: str) -> list[Message]:
    """Return the entries of a device."""
    recording.record(world[name].store, world.ms)
    return [(ENTRY, one.body) for one in log.after(world[name].store.database, world[name].id, 0)]


def kinds(world: World, name: str) -> list[bytes]:
    return [listentry.kind_of(one) for one in world[name].chain()]


# -- the key of an epoch that only the list that lost has


def test_a_device_that_a_lost_list_revoked_reads_what_was_written_under_that_list(four: World) -> None:
    """The phone revokes the desk, apart from the others; the laptop's word counts, and the desk stays."""
    world = four
    revoke(world, "phone", "desk")
    world["phone"].add("by the phone")
    recording.record(world["phone"].store, world.ms)
    revoke(world, "laptop", "thief")
    world["laptop"].sync()
    world.settle("phone", "laptop", "desk")
    assert world["laptop"].title("by the phone") == "by the phone"
    assert world["desk"].title("by the phone") == "by the phone"
    assert world.agrees("laptop", "phone", "desk")
    assert kinds(world, "desk").count(b"lost") == 1


def lost_by_the_phone(world: World) -> None:
    """Let the phone revoke the desk and write something, and the laptop, apart, revoke the thief: its word counts."""
    revoke(world, "phone", "desk")
    world["phone"].add("by the phone")
    recording.record(world["phone"].store, world.ms)
    revoke(world, "laptop", "thief")
    world["laptop"].sync()
    rounds(world, *HOME)


def test_a_device_that_joins_later_reads_it_too(four: World) -> None:
    lost_by_the_phone(four)
    four.join("tablet", by="laptop")
    rounds(four, *HOME, "tablet")
    assert four["tablet"].title("by the phone") == "by the phone"
    assert four.agrees(*HOME, "tablet")


def test_the_kit_reads_it_when_all_devices_are_lost(four: World) -> None:
    lost_by_the_phone(four)
    found = membership.read_chain(four["laptop"].chain())
    (lost,) = found.lost
    key = epochs.unwrap_by_kit(lost.wraps[epochs.kit_id(KIT.recipient)][1], KIT.identity)
    assert epochs.commitment_of(key) == lost.commitment


def test_what_nobody_wrote_under_a_list_that_lost_needs_no_key(four: World) -> None:
    revoke(four, "phone", "desk")
    revoke(four, "laptop", "thief")
    rounds(four, *HOME)
    assert b"lost" not in kinds(four, "laptop")
    assert four.agrees(*HOME)


def test_a_revoked_device_gets_no_such_key_and_brings_none(four: World) -> None:
    lost_by_the_phone(four)
    found = membership.read_chain(four["laptop"].chain())
    assert {four[name].id for name in ("desk",)} <= found.lost[0].wraps.keys()
    assert four["thief"].id not in found.lost[0].wraps
    with pytest.raises(UsageError, match="revoked"):
        thief = a_device("thief").signer
        listmaking.bring_lost(four["laptop"].chain(), 1, bytes(32), {}, by=thief, now=four["laptop"].now())


def test_a_rewritten_key_of_a_lost_epoch_is_refused(four: World) -> None:
    """Not for a stranger, not twice for one device, not for an epoch that the list has, not under another number."""
    lost_by_the_phone(four)
    chain, by = four["laptop"].chain(), a_device("laptop").signer
    found = membership.read_chain(chain)
    lost, wrap, fresh = found.lost[0], (1, b"x"), bytes(range(32))
    for number, commitment, wraps in (
        *((1, fresh, {four["thief"].id: wrap}), (lost.number, lost.commitment, {four["desk"].id: wrap})),
        *((1, found.epochs[1].commitment, {}), (lost.number + 1, lost.commitment, {})),
    ):
        with pytest.raises(UsageError):
            listmaking.bring_lost(chain, number, commitment, wraps, by=by, now=four["laptop"].now())
    assert listmaking.bring_lost(chain, 1, fresh, {four["desk"].id: wrap}, by=by, now=four["laptop"].now())


# -- what a list that lost made void


def test_what_a_list_made_void_counts_again_when_that_list_loses(four: World) -> None:
    """The desk's change came after the phone revoked it; in the laptop's list, which stands above, nobody did."""
    four.join("witness", by="laptop")
    rounds(four, *HOME, "witness")
    revoke(four, "phone", "desk")
    four["phone"].sync()
    four["desk"].edit("bank", title="by the desk")
    theirs = written(four, "desk")
    four["witness"].sync()
    for name in ("witness", "phone"):
        done = engine.receive(four[name].store, theirs, four.ms)
        assert "revoked" in [one.kind for one in done.findings]
        assert four[name].title("bank") == "before"
    four["witness"].edit("bank", favorite=True)
    four["witness"].sync()
    revoke(four, "laptop", "thief")
    four["laptop"].sync()
    rounds(four, "phone", "laptop", "desk", "witness")
    for name in (*HOME, "witness"):
        item = four[name].store.item("bank")
        assert item is not None
        assert (item.title, item.favorite) == ("by the desk", True), name
    assert four.agrees(*HOME, "witness")


def test_what_was_applied_made_void_and_counts_again_is_there_once(four: World) -> None:
    four["desk"].edit("bank", title="by the desk")
    theirs = written(four, "desk")
    engine.receive(four["thief"].store, theirs, four.ms)
    assert four["thief"].title("bank") == "by the desk"
    revoke(four, "phone", "desk")
    four["phone"].sync()
    four["thief"].sync()
    assert four["thief"].title("bank") == "before"
    revoke(four, "laptop", "phone")
    four["laptop"].sync()
    rounds(four, "laptop", "thief", "desk")
    assert four["thief"].title("bank") == four["laptop"].title("bank") == "by the desk"
    assert four.agrees("laptop", "desk", "thief")


# -- devices that only the list that lost let in


def let_in_apart(world: World) -> None:
    """Let the phone, apart, let a tablet in that writes something, and the laptop a watch: its list stands above."""
    world["laptop"].folder("stick")
    world.join("tablet", by="phone", through="stick")
    world["tablet"].add("by the tablet")
    world["tablet"].sync("stick")
    world["phone"].sync("stick")
    assert world["phone"].title("by the tablet") == "by the tablet"
    world.join("watch", by="laptop")
    world["laptop"].add("under the laptop's list")
    world["laptop"].sync()


@pytest.mark.parametrize("writes", [True, False])
def test_what_a_member_took_in_from_such_a_device_reaches_the_others(four: World, writes: bool) -> None:
    """Else whatever that member writes next would wait for it for ever."""
    let_in_apart(four)
    if writes:
        four["phone"].add("under the phone's list")
    members = ("phone", "laptop", "watch", "desk", "thief")
    rounds(four, *members)
    for name in members:
        assert four[name].title("by the tablet") == "by the tablet", name
    assert four.agrees(*members)


def test_what_nobody_who_counts_has_seen_of_such_a_device_does_not_count(four: World) -> None:
    """A revoked device goes on from before its revocation, lets another one in, and writes through that."""
    before = four["thief"].chain()
    revoke(four, "laptop", "thief")
    four["laptop"].sync()
    accomplice = a_device("accomplice")
    entered = listmaking.enrol(before, accomplice, name="", by=a_device("thief").signer, now=four["thief"].now())
    found = membership.read_chain((*before, entered))
    key = log.epoch_keys(four["thief"].store)[0]
    said = entry.seal(
        accomplice,
        vault=found.vault_id,
        suite=entry.CLASSIC,
        epoch=0,
        key=key,
        head=None,
        membership=found.head,
        seen={},
        hlc=four.ms << 16,
        kind=b"op",
        content=b'{"ops":[["item","planted",%d,{"title":"planted"},[]]]}' % (four.ms << 16),
    )
    for name in HOME:
        four[name].sync()
        engine.receive(four[name].store, [(MEMBER, entered), (ENTRY, said)], four.ms)
        four[name].add(f"later at the {name}")
    rounds(four, *HOME)
    for name in HOME:
        assert four[name].title("planted") is None
        assert log.count_waiting(four[name].store.database) == 0
    assert four.agrees(*HOME)


def test_a_kit_that_joins_opens_what_was_written_under_a_list_that_lost(four: World, tmp_path: Path) -> None:
    lost_by_the_phone(four)
    way = Way(folder=str(four.place()))
    new, vault = a_device("new"), four["laptop"].store.vault_id
    holder = ring_holder(tmp_path / "ring")
    store = joining.rejoin_by_kit(
        tmp_path / "home", KIT, way, vault, new, "new", now=four["laptop"].now(), holder=holder
    )
    with store:
        session.sync(store, ways.transport(store, way), lambda: four.ms)
        item = store.item("by the phone")
        assert item is not None
        assert log.count_waiting(store.database) == 0
