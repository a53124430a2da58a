"""A relay that lies about a log that was made shorter: each lie is named, to a device that goes on and to a new one.

The client and the relay's endpoints are the real ones, in one process; ``tests/real/test_shortened.py`` sends some of
these lies over HTTPS, ``python -m tests.real.shortened`` all of them. The oracle is the sentence, the exit code, and
the vaults: after the lie nothing is missing that was there, and with the honest relay back all become the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.evil_relay import EvilRelay
from tests.evil_snapshots import EvilOfSnapshots
from tests.vault.sync import lies, shortened
from tests.vault.sync.lies import BEHIND, KIT, NEW, OLD, Said
from tests.vault.sync.shortened import BEFORE, DROPPED, WHOLE, RelayWorld, Stages, Told
from vault.canonical import canonical
from vault.relay.app import Relay
from vault.sync import log, wire
from vault.sync.session import Round

DAY_MS = 24 * 3_600_000
NEWCOMER = "tablet"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    return shortened.build(tmp_path_factory.mktemp("shortened"))


@pytest.fixture
def short(stages: Stages, tmp_path: Path) -> Iterator[RelayWorld]:
    world = shortened.copied(stages.short, tmp_path / "world")
    yield world
    world.close()


def staged(stages: Stages, role: str, switch: str) -> tuple[RelayWorld, str]:
    """Return the vault and the relay's database in which a lie can be told at all."""
    if switch == "drops_before_a_snapshot":
        return stages.long, WHOLE
    if role == BEHIND:
        return stages.behind, WHOLE
    return stages.short, WHOLE if switch in lies.OF_SNAPSHOTS else DROPPED


def items(world: RelayWorld, name: str) -> dict[str, bytes]:
    return {one.id: canonical(one) for one in world[name].store.items()}


def goes_on(world: RelayWorld, role: str) -> Round:
    """Let the device of that role make a round, after it has joined by the kit if it has to."""
    if role == KIT and NEWCOMER not in world.vaults:
        world.by_kit(NEWCOMER)
    return world.meet("desk" if role in (OLD, BEHIND) else NEWCOMER)


@pytest.mark.parametrize(("role", "switch", "aim", "said"), lies.cases())
def test_a_lie_about_a_shortened_log_is_named_and_nothing_is_lost(
    role: str, switch: str, aim: str, said: Said, stages: Stages, tmp_path: Path
) -> None:
    stage, database = staged(stages, role, switch)
    world = shortened.copied(stage, tmp_path / "world")
    there = world.path / database
    if role == NEW:
        with world.at(there):
            world.let_in(NEWCOMER, by="laptop")
    before = items(world, "desk")
    with world.at(there, switch, aim.encode()):
        told = Told.by(lambda: goes_on(world, role))
    assert told.code == said[0], told
    assert re.search(said[1], told.words) if said[1] else not told.words, told
    after = items(world, "desk")
    assert before.keys() <= after.keys()
    assert world["desk"].title("first 0") == "by the desk"
    if told.code > 50 or role == BEHIND:
        assert after == before or switch == "drops_what_it_takes"
    with world.at(there):
        assert goes_on(world, role).findings == []
        world.meet("laptop")
        goes_on(world, role)
        assert world.agrees("laptop", "desk" if role in (OLD, BEHIND) else NEWCOMER)
    assert items(world, "laptop").keys() >= before.keys() | {"new of the phone", "new of the laptop"}
    assert world["laptop"].title("first 0") == ("by the desk" if role in (OLD, BEHIND) else "first title 0")
    world.close()


def test_every_lie_has_its_sentence() -> None:
    before_joining = {"t15_between"}
    assert lies.ANY.keys() | before_joining == set(EvilRelay.SWITCHES)
    assert lies.OF_SNAPSHOTS.keys() == set(EvilOfSnapshots.OF_SNAPSHOTS)
    assert all({OLD, NEW, KIT} == by.keys() for by in lies.ANY.values())


def test_what_a_relay_showed_once_it_must_go_on_showing_though_it_did_not_give_it(short: RelayWorld) -> None:
    """It says how far a log goes, keeps back its end, and says less the next time."""
    there = short.path / WHOLE
    with short.at(there):
        short.let_in(NEWCOMER, by="laptop")
    with short.at(there, "older_snapshot_in_the_end"):
        assert Told.by(lambda: short.meet(NEWCOMER)).code == 5
        for _ in range(2):
            again = Told.by(lambda: short.meet(NEWCOMER))
            assert (again.code, "shows less than before" in again.words) == (56, True)


@pytest.mark.parametrize("switch", ["first_part_withheld", "middle_part_withheld", "last_part_withheld"])
def test_a_part_that_comes_late_and_on_a_page_of_its_own_is_no_alarm(
    switch: str, short: RelayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = short.path / DROPPED
    with short.at(there):
        short.let_in(NEWCOMER, by="laptop")
    with short.at(there, switch):
        assert Told.by(lambda: short.meet(NEWCOMER)).code == 5
    monkeypatch.setattr(wire, "MOST_PAGE_BYTES", 1000)
    with short.at(there):
        assert short.meet(NEWCOMER).findings == []
        assert items(short, NEWCOMER) == items(short, "laptop")


# -- a relay that starts again from a copy of its database


@pytest.mark.parametrize("days", [0, 91])
def test_a_relay_from_before_the_snapshots_is_told_and_gets_what_it_lacks(days: int, short: RelayWorld) -> None:
    """Be the old entries still on the devices, or only what the snapshots say of them."""
    short.ms += days * DAY_MS
    with short.at(short.path / DROPPED):
        short.meet_all()
    assert bool(log.begins(short["laptop"].store)) == bool(days)
    content = short["laptop"].content()
    with short.at(short.path / BEFORE):
        for name in shortened.HOMES:
            told = Told.by(partial(short.meet, name))
            assert (told.code, "shows less than before" in told.words) == (56, True)
            assert short[name].content() == content
        short.meet("laptop", upload_again=True)
        short.meet_all()
        short.let_in(NEWCOMER, by="phone")
        short.meet(NEWCOMER)
        assert short["laptop"].content() == short["desk"].content()
        assert items(short, NEWCOMER) == items(short, "laptop")


def test_a_new_device_refuses_a_relay_from_before_the_snapshots(short: RelayWorld) -> None:
    with short.at(short.path / DROPPED):
        short.let_in(NEWCOMER, by="laptop")
    with short.at(short.path / BEFORE):
        told = Told.by(lambda: short.meet(NEWCOMER))
    assert told.code == 55
    assert "does not know this device; nothing was changed here; it may have been put back" in told.words
    assert short[NEWCOMER].store.count() == 0


def test_who_joined_by_the_kit_at_a_relay_from_before_the_snapshots_has_all_once_the_others_come(
    short: RelayWorld,
) -> None:
    """Nothing tells him that there is more: no device is there to ask. What he writes meanwhile is not lost."""
    with short.at(short.path / DROPPED):
        short.meet_all()
    with short.at(short.path / BEFORE):
        short.by_kit(NEWCOMER)
        short.meet(NEWCOMER)
        assert short[NEWCOMER].title("first 2") == "first title 2"
        short[NEWCOMER].edit("first 2", title="by the new one")
        short[NEWCOMER].add("new of the tablet")
        short.meet(NEWCOMER)
        assert Told.by(lambda: short.meet("laptop")).code == 56
        short.meet("laptop", upload_again=True)
        short.meet_all()
        assert short.agrees()
        assert short["desk"].title("new of the tablet") == "new of the tablet"
        titles = {short["desk"].title("first 2"), *short["desk"].past_titles("first 2")}
        assert titles >= {"by the laptop", "by the new one"}


@pytest.mark.parametrize("days", [0, 91])
def test_an_emptied_relay_is_given_all_that_a_snapshot_stands_for(days: int, short: RelayWorld) -> None:
    short.ms += days * DAY_MS
    with short.at(short.path / DROPPED):
        short.meet_all()
    content = short["laptop"].content()
    with short.at(short.path / "empty.db"):
        for name in shortened.HOMES:
            told = Told.by(partial(short.meet, name))
            assert (told.code, "no longer has this vault" in told.words) == (56, True)
        short.meet("desk", upload_again=True)
        short.meet_all()
        assert {short[name].content() for name in shortened.HOMES} == {content}
        short.by_kit(NEWCOMER)
        short.meet(NEWCOMER)
        assert items(short, NEWCOMER) == items(short, "laptop")


@pytest.mark.parametrize("lie", ["", "own_withheld"])
def test_a_device_put_back_behind_what_the_relay_dropped_keeps_what_only_it_has(lie: str, short: RelayWorld) -> None:
    """The relay could not tell that such an entry is another than the one that it had."""
    desk, copy = short.path / "desk.db", short.path / "desk.copy"
    with short.at(short.path / DROPPED) as relay:
        short.meet_all()
        short["desk"].store.close()
        copy.write_bytes(desk.read_bytes())
        short["desk"].store = short.opened("desk", short["laptop"].store.vault_id)
        for number in range(3):
            short["desk"].add(f"late {number}")
            short.meet("desk")
        short.meet("laptop", compact=True)
        short.meet_all()
        short["desk"].add("last")
        short.meet_all()
        assert Relay.drop_settled(relay) > 0
        short["desk"].store.close()
        desk.write_bytes(copy.read_bytes())
        short["desk"].store = short.opened("desk", short["laptop"].store.vault_id)
        short["desk"].add("only here")
        relay.switch = lie
        if lie:
            assert "entries of desk and does not give them whole" in Told.by(lambda: short.meet("desk")).words
        relay.switch = ""
        for _ in range(2):
            told = Told.by(lambda: short.meet("desk"))
            assert (told.code, "put back to an older copy" in told.words) == (27, True)
            assert short["desk"].title("only here") == "only here"
        short.meet("laptop")
        assert short["laptop"].title("late 1") == "late 1"
