"""A kit that another device made without the old one is shown for seven days, and whoever fears it ends it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.vault.sync.world import KIT, World, a_device
from tests.vault.test_signing import without_library
from vault import identity, kitcare, listmaking, membership, moment, newkit
from vault.errors import NotSynced, UsageError
from vault.kit import Kit
from vault.sync import belonging, doctoring, epochs, keeping, revoking, ways
from vault.sync.ways import Way

HOME = ("laptop", "phone", "desk")
NEW, OTHER = (Kit(hashlib.sha256(word).digest()) for word in (b"a new kit", b"another new kit"))


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, *HOME)
    world["laptop"].add("bank", title="before")
    world.settle()
    yield world
    world.close()


def renew(world: World, by: str, kit: Kit = NEW, *, old: Kit | None = None, made_at: str = "") -> None:
    """Let a device make a new kit, as ``kit new`` does it."""
    store, chain = world[by].store, world[by].chain()
    signs, at = old.root if old else None, made_at or world[by].now()
    added = listmaking.new_root(chain, kit.root, a_device(by), now=at, old=signs, recipient=kit.recipient)
    with store.transaction():
        before = membership.read_chain(chain).root
        identity.write_membership(store, (*chain, added))
        kitcare.end_kit(store, kit.recipient, at, old_root=before)


def recipient(world: World, name: str) -> str | None:
    return world[name].store.meta("kit_recipient")


def pending(world: World, name: str, days: int = 0) -> newkit.NewKit | None:
    return newkit.pending(world[name].store, later(days))


def later(days: int) -> str:
    at = moment.to_datetime(moment.now()) + timedelta(days=days)
    return moment.from_seconds(int(at.timestamp()) + 1)


def settled(world: World, days: int, *names: str) -> None:
    for name in names:
        with world[name].store.transaction():
            newkit.settle(world[name].store, later(days))


def test_every_other_device_shows_it_for_seven_days_and_then_takes_it_over(three: World) -> None:
    renew(three, "phone", made_at="2026-11-20T08:00:00Z")
    three.settle()
    assert pending(three, "phone") is None
    for name in ("laptop", "desk"):
        found = pending(three, name, 6)
        assert found is not None
        assert (found.device_id, found.device, found.made_at) == (three["phone"].id, "phone", "2026-11-20T08:00:00Z")
        assert f"final here on {found.final_at[:10]}" in found.text
        assert f"keyferry device revoke {three['phone'].id[:8]}" in found.text
        assert recipient(three, name) == KIT.recipient
        assert pending(three, name, 7) is None
    settled(three, 7, "laptop", "desk")
    for name in HOME:
        assert recipient(three, name) == NEW.recipient
        assert [one.recipient for one in kitcare.ended_kits(three[name].store)] == [KIT.recipient]
    three["laptop"].add("later")
    three["laptop"].sync()
    wraps = membership.read_chain(three["laptop"].chain()).epochs[0].wraps
    assert {epochs.kit_id(NEW.recipient), epochs.kit_id(KIT.recipient)} <= wraps.keys()


def test_it_is_said_wherever_a_person_or_the_agent_looks(three: World) -> None:
    renew(three, "phone")
    three.settle()
    store = three["laptop"].store
    found = pending(three, "laptop")
    assert found is not None
    ways.remember(store, Way(folder=str(three.place())))
    now_ms = moment.to_millis(moment.now())
    assert found.text in keeping.turn(store, now_ms).findings
    assert found.text in [one.cause for one in doctoring.findings(store, now_ms)]


def test_one_that_the_old_kit_signed_is_taken_over_at_once(three: World) -> None:
    renew(three, "phone", old=KIT)
    three.settle()
    for name in HOME:
        assert pending(three, name) is None
        assert recipient(three, name) == NEW.recipient


def test_one_that_a_doubtful_one_signed_waits_with_it(three: World) -> None:
    renew(three, "phone")
    renew(three, "phone", OTHER, old=NEW)
    three.settle()
    found = pending(three, "laptop", 6)
    assert found is not None
    assert found.root == NEW.root_public
    assert recipient(three, "laptop") == KIT.recipient
    settled(three, 8, "laptop")
    assert recipient(three, "laptop") == OTHER.recipient


def test_a_time_in_the_past_makes_it_final_no_sooner(three: World) -> None:
    renew(three, "phone", made_at="2020-01-01T00:00:00Z")
    three.settle()
    assert pending(three, "laptop", 6) is not None


def test_a_device_that_joins_is_not_alarmed(three: World) -> None:
    renew(three, "phone")
    three.settle()
    three.join("tablet", by="laptop")
    with three["tablet"].store.transaction():
        newkit.accept(three["tablet"].store)  # as joining does
    three.settle()
    assert pending(three, "tablet") is None
    assert pending(three, "laptop") is not None


def test_it_is_the_same_where_no_library_has_ml_dsa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_library(monkeypatch)
    world = World(tmp_path, "old laptop", "old phone")
    world.settle()
    renew(world, "old phone")
    world.settle()
    assert pending(world, "old laptop", 6) is not None
    settled(world, 7, "old laptop")
    assert recipient(world, "old laptop") == NEW.recipient
    assert not membership.read_chain(world["old laptop"].chain()).roots[-1].mldsa65
    world.close()


# -- who fears it


def test_revoking_the_device_that_made_it_ends_the_kit_everywhere(three: World) -> None:
    renew(three, "phone")
    three["phone"].add("by the phone")
    three.settle()
    assert revoking.end(three["desk"].store, three["phone"].id, three.ms)
    three["desk"].sync()
    three.settle("laptop", "desk")
    for name in ("laptop", "desk"):
        found = membership.read_chain(three[name].chain())
        assert found.root == KIT.root_public
        assert [one.device_id for one in found.revoked] == [three["phone"].id]
        assert pending(three, name) is None
        assert recipient(three, name) == KIT.recipient
        assert three[name].title("by the phone") == "by the phone"
    with pytest.raises(NotSynced, match="revoked"):
        three["phone"].sync()
    three["laptop"].add("goes on")
    three.settle("laptop", "desk")
    assert three.agrees("laptop", "desk")
    assert KIT.root_among(found.root_publics).public == found.root


def test_whoever_was_let_in_after_it_is_out_again_and_what_he_wrote_stays(three: World) -> None:
    renew(three, "phone")
    three.settle()
    three.join("tablet", by="laptop")
    three["tablet"].add("by the tablet")
    three["tablet"].sync()
    three.settle("laptop", "desk")
    assert revoking.end(three["laptop"].store, three["phone"].id, three.ms)
    three["laptop"].sync()
    three.settle("laptop", "desk")
    assert three["desk"].members() == {"laptop", "desk"}
    assert three["desk"].title("by the tablet") == three["laptop"].title("by the tablet") == "by the tablet"
    assert three.agrees("laptop", "desk")


def test_a_senior_thief_who_was_faster_gives_way_to_the_old_kit_only(three: World) -> None:
    """With his root he has revoked the phone already."""
    renew(three, "laptop")
    chain = three["laptop"].chain()
    with three["laptop"].store.transaction():
        gone = listmaking.revoke(chain, three["phone"].id, by=NEW.root, now=three["laptop"].now(), last=(9, bytes(32)))
        identity.write_membership(three["laptop"].store, (*chain, gone))
    three["laptop"].sync()
    three["desk"].sync()
    desk = three["desk"].store
    before = three["desk"].chain()
    with pytest.raises(UsageError, match="belongs to the vault for longer"):
        revoking.end(desk, three["laptop"].id, three.ms)
    assert three["desk"].chain() == before
    assert revoking.end(desk, three["laptop"].id, three.ms, kit=KIT)
    three["desk"].sync()
    three["phone"].sync()
    assert three["desk"].members() == three["phone"].members() == {"phone", "desk"}
    assert membership.read_chain(three["phone"].chain()).root == KIT.root_public


def test_who_has_the_new_kit_need_not_fear_it(three: World) -> None:
    renew(three, "phone")
    three.settle()
    assert not revoking.end(three["laptop"].store, three["phone"].id, three.ms, kit=NEW)
    assert membership.read_chain(three["laptop"].chain()).root == NEW.root_public


def test_once_it_is_final_the_device_can_be_revoked_and_the_kit_stays(three: World) -> None:
    renew(three, "phone")
    three.settle()
    after = moment.to_millis(later(8))
    assert not revoking.end(three["laptop"].store, three["phone"].id, after)
    assert membership.read_chain(three["laptop"].chain()).root == NEW.root_public


def test_another_device_can_be_revoked_meanwhile_and_the_kit_waits_on(three: World) -> None:
    renew(three, "phone")
    three.settle()
    assert not revoking.end(three["laptop"].store, three["desk"].id, three.ms)
    assert pending(three, "laptop") is not None


def test_a_veto_that_comes_late_brings_the_old_kit_back(three: World) -> None:
    """The laptop has taken the new kit over; the desk, which was away, sees it only then."""
    renew(three, "phone")
    three["phone"].sync()
    three["laptop"].sync()
    settled(three, 7, "laptop")
    assert recipient(three, "laptop") == NEW.recipient
    three["desk"].sync()
    assert revoking.end(three["desk"].store, three["phone"].id, three.ms)
    three["desk"].sync()
    three["laptop"].sync()
    assert recipient(three, "laptop") == KIT.recipient
    assert not belonging.members_of(three["laptop"].store).member(three["phone"].id)
