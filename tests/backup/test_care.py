"""What is at the targets is read, named, healed and pruned by the rules; what cannot be given back is named as well."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backup import book as books
from backup import care, making, reading, targets
from backup.book import Book, Made
from backup.care import AWAY, DAMAGED, FOREIGN, GOOD, MISSING, SEALED, Finding
from tests.backup import sets
from tests.backup.sets import DEVICE, KIT, NOW, PASSWORD, STRANGER, Clock, flip, home, target, written
from vault import canonical, device, keys, listmaking
from vault.errors import NoSuchBackup, VaultBusy
from vault.store import Store


class Place:
    """A home with an open vault, two targets (its own and a stick), and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.clock = folder, home(folder), Clock()
        self.store: Store = keys.open_vault(self.home)
        self.local, self.stick = self.home / "backups", folder / "stick"
        target(self.store, self.home, self.stick)

    @property
    def book(self) -> Book:
        return books.load(self.store, self.home)

    def create(self, *, hours: float = 1) -> Made:
        """Change the vault and make a set some time after the last one."""
        self.store.put(sets.login("mail", "Mail", f"{PASSWORD} {self.book.counter}"), now=NOW)
        self.clock.later(hours=hours)
        made = making.create(self.store, self.home, clock=self.clock).made
        assert made is not None
        return made

    def verify(self, *ids: str, repair: bool = False) -> list[Finding]:
        return list(care.verify(self.store, self.home, ids or None, repair=repair, clock=self.clock))

    def bad(self, **given: Any) -> list[Finding]:
        return [one for one in self.verify(**given) if one.verdict != GOOD]

    def alarms(self) -> list[str]:
        return [alarm.text for alarm in self.book.alarms if not alarm.ended]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.store.close()


# -- verify


def test_good_sets_are_read_whole_and_the_time_is_kept(place: Place) -> None:
    first, second = place.create(), place.create()
    place.clock.later(days=1)
    found = place.verify()
    assert [(one.verdict, one.set, one.items) for one in found] == [
        (GOOD, made.id, 2) for _ in range(2) for made in (first, second)
    ]
    assert {copy.verified_at for one in place.book.targets for copy in one.copies} == {place.clock.now}
    place.clock.later(days=1)
    assert [one.set for one in place.verify(first.id)] == [first.id] * 2
    fresh = {copy.set for one in place.book.targets for copy in one.copies if copy.verified_at == place.clock.now}
    assert fresh == {first.id}


@pytest.mark.parametrize("harm", ["bit", "cut", "empty", "link", "folder", "unreadable"])
def test_a_damaged_file_is_named_with_what_it_cannot_give_back(
    place: Place, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = place.create()
    path = place.stick / made.name
    if harm == "bit":
        flip(path)
    elif harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    elif harm == "link":
        shutil.move(path, place.folder / "elsewhere")
        path.symlink_to(place.folder / "elsewhere")
    elif harm == "folder":
        path.unlink()
        path.mkdir()
    else:
        real = os.open

        def refuse(name: Any, *given: Any, **more: Any) -> int:
            if name == path:
                raise OSError(5, "Input/output error")
            return real(name, *given, **more)

        monkeypatch.setattr(os, "open", refuse)
    (finding,) = place.bad()
    assert (finding.verdict, finding.path, finding.set) == (DAMAGED, str(path), made.id)
    assert finding.affected == ("Mail", "Bank")
    assert finding.elsewhere == str(place.local / made.name)
    assert len(place.alarms()) == 1
    assert str(path) in place.alarms()[0]
    assert place.bad()[0].verdict == DAMAGED
    assert len(place.alarms()) == 1, "the same is told once"


def test_only_items_behind_the_damage_are_lost(place: Place) -> None:
    for number in range(400):
        place.store.put(sets.login(f"i{number}", f"Item {number}", os.urandom(300).hex()), now=NOW)
    made = place.create()
    flip(place.stick / made.name, -70_000)
    (finding,) = place.bad()
    assert 0 < len(finding.affected) < 402
    assert "Mail" not in finding.affected
    assert "Item 399" in finding.affected


def test_an_item_that_came_later_was_never_in_the_set(place: Place) -> None:
    made = place.create()
    later = msgspec.structs.replace(sets.login("new", "New"), creation_at=place.clock.later(days=1).now)
    place.store.put(later, now=NOW)
    flip(place.stick / made.name)
    assert place.bad()[0].affected == ("Mail", "Bank")


def test_a_missing_file_is_an_alarm_unless_it_was_pruned(place: Place) -> None:
    made = place.create()
    (place.stick / made.name).unlink()
    (finding,) = place.bad()
    assert (finding.verdict, finding.text) == (MISSING, "the file is gone, and was not pruned")
    assert len(place.alarms()) == 1


def test_an_older_set_under_a_newer_name_is_found_out(place: Place) -> None:
    first, second = place.create(), place.create()
    shutil.copy(place.stick / first.name, place.stick / second.name)
    (finding,) = place.bad()
    assert (finding.verdict, finding.set) == (DAMAGED, second.id)
    assert "another backup" in finding.text


def test_two_sets_that_changed_their_names_are_found_out(place: Place) -> None:
    first, second = (place.stick / made.name for made in (place.create(), place.create()))
    first.rename(place.folder / "x")
    second.rename(first)
    (place.folder / "x").rename(second)
    assert [one.verdict for one in place.bad()] == [DAMAGED, DAMAGED]


def test_a_renamed_set_is_missed_where_it_was_and_not_taken_for_another(place: Place) -> None:
    made = place.create()
    other = made.name.replace("keyferry-2026", "keyferry-2027")
    (place.stick / made.name).rename(place.stick / other)
    for _ in range(2):
        missing, foreign = place.bad()
        assert (missing.verdict, missing.elsewhere) == (MISSING, str(place.local / made.name))
        assert (foreign.verdict, foreign.path) == (FOREIGN, str(place.stick / other))
        assert made.name in foreign.text
    assert place.book.made(made.id) == made


def test_a_set_that_was_sealed_anew_by_another_recipient_is_not_the_set(place: Place) -> None:
    """A friend can open it and seal it again to whomever; the book goes on knowing the file that was written."""
    import pyrage

    made = place.create()
    plain = pyrage.decrypt((place.local / made.name).read_bytes(), [pyrage.x25519.Identity.from_str(DEVICE.age)])
    disk = place.folder / "disk"
    target(place.store, place.home, disk)
    (disk / made.name).write_bytes(sets.sealed(plain, DEVICE.bundle.age))
    (finding,) = place.bad()
    assert (finding.verdict, finding.path) == (FOREIGN, str(disk / made.name))
    assert place.book.made(made.id) == made
    place.create()
    assert place.book.made(made.id) == made


def test_what_others_have_put_there_is_told_apart(place: Place, tmp_path: Path) -> None:
    place.create()
    names = [f"keyferry-20261123T21000{n}Z-0000000{n}.keyferry" for n in range(3)]
    (place.stick / names[0]).write_bytes(b"no backup at all")
    (place.stick / names[1]).write_bytes(sets.sealed(b"x", KIT.recipient))
    with sets.vault(tmp_path / "other", own=STRANGER) as other:
        (place.stick / names[2]).write_bytes(sets.sealed(sets.plain(other), DEVICE.bundle.age))
    found = {Path(one.path).name: one for one in place.bad()}
    assert [found[name].verdict for name in names] == [FOREIGN, SEALED, FOREIGN]
    assert found[names[2]].text == "its devices are signed by another kit"
    assert len(place.book.sets) == 1


def test_a_set_of_another_device_is_welcome(place: Place) -> None:
    """It has put its set into the same folder; its counter is its own."""
    chain = keys.own_chain(place.store)
    own = keys.own_device(place.store)
    chain = (*chain, keys.enrol(chain, STRANGER, name="phone", by=own.signer, now=NOW))
    with place.store.transaction():
        keys.write_membership(place.store, chain)
    theirs = _set_by(place, STRANGER)
    (finding,) = place.verify()
    assert (finding.verdict, finding.set) == (GOOD, theirs.id)
    assert [made.device for made in place.book.sets] == [STRANGER.device_id]
    made = place.create()
    assert made.counter == 1
    manifest = reading.check(place.stick / made.name, making.own_opener(place.store)).manifest
    assert manifest.previous is None


def _set_by(place: Place, other: device.Device) -> Made:
    """Return the set that another device of the vault has made and put on the stick."""
    own = place.store.meta("device")
    place.store.set_meta("device", device.to_text(other))
    made = making.create(place.store, place.home, to=place.folder / "theirs", clock=place.clock).made
    place.store.set_meta("device", own)
    place.store.set_meta("backup", None)
    target(place.store, place.home, place.folder / "new stick")
    assert made is not None
    place.stick = place.folder / "new stick"
    shutil.move(place.folder / "theirs", place.stick / targets.set_name(made.made_at, made.id))
    return made


def test_a_set_of_a_revoked_device_is_not(place: Place) -> None:
    chain = [*keys.own_chain(place.store)]
    own = keys.own_device(place.store).signer
    chain.append(listmaking.enrol(chain, STRANGER, name="phone", by=own, now=NOW))
    with place.store.transaction():
        keys.write_membership(place.store, chain)
    _set_by(place, STRANGER)
    chain.append(listmaking.revoke(chain, STRANGER.device_id, by=own, now=NOW))
    with place.store.transaction():
        keys.write_membership(place.store, chain)
    (finding,) = place.verify()
    assert (finding.verdict, finding.text) == (FOREIGN, "it is signed by a revoked device")
    place.create()
    assert {made.device for made in place.book.sets} == {DEVICE.device_id}


def test_a_target_out_of_reach_ends_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.create()
    place.local.rename(place.folder / "away")
    place.local.symlink_to(place.folder / "away")
    found = place.verify()
    assert [(one.verdict, one.target == "local") for one in found] == [(AWAY, True), (GOOD, False)]
    assert place.alarms() == []
    place.local.unlink()
    (place.folder / "away").rename(place.local)
    listed = os.listdir

    def refuse(path: Any = ".") -> list[str]:
        if str(path) == str(place.local):
            raise OSError(5, "Input/output error")
        return listed(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert [one.verdict for one in place.verify()] == [AWAY, GOOD]


def test_nothing_is_verified_while_a_backup_is_made(place: Place) -> None:
    with making.making(place.home), pytest.raises(VaultBusy):
        place.verify()


# -- repair


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_bad_copy_is_healed_from_another_target(place: Place, harm: str) -> None:
    made = place.create()
    path = place.stick / made.name
    flip(path) if harm == "damaged" else path.unlink()
    place.bad()
    (finding,) = place.bad(repair=True)
    assert (finding.verdict, finding.healed) == (harm, True)
    assert reading.digest_of(path) == made.digest
    assert path.stat().st_mode & 0o777 == 0o600
    assert place.bad() == []
    assert place.alarms() == []
    assert [alarm.ended for alarm in place.book.alarms] == [place.clock.now]


def test_what_has_no_good_copy_stays_as_it_is(place: Place) -> None:
    made = place.create()
    for folder in (place.local, place.stick):
        flip(folder / made.name)
    before = (place.stick / made.name).read_bytes()
    found = place.bad(repair=True)
    assert [(one.verdict, one.healed, one.elsewhere) for one in found] == [(DAMAGED, False, "")] * 2
    assert (place.stick / made.name).read_bytes() == before, "a part of it may still be of use"


def test_an_append_only_target_is_filled_and_never_altered(place: Place) -> None:
    disk = place.folder / "disk"
    target(place.store, place.home, disk, append_only=True)
    first, second = place.create(), place.create()
    flip(disk / first.name)
    (disk / second.name).unlink()
    before = (disk / first.name).read_bytes()
    damaged, missing = place.bad(repair=True)
    assert (damaged.verdict, damaged.healed) == (DAMAGED, False)
    assert "append-only" in damaged.text
    assert missing.healed
    assert (disk / first.name).read_bytes() == before
    assert reading.digest_of(disk / second.name) == second.digest


def test_a_link_in_the_place_of_a_set_is_not_written_through(place: Place) -> None:
    made = place.create()
    path = place.stick / made.name
    path.unlink()
    (place.folder / "precious").write_text("precious")
    path.symlink_to(place.folder / "precious")
    (finding,) = place.bad(repair=True)
    assert (finding.verdict, finding.healed) == (DAMAGED, False)
    assert "not healed" in finding.text
    assert (place.folder / "precious").read_text() == "precious"


def test_a_repair_that_fails_leaves_the_old_file(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    made = place.create()
    flip(place.stick / made.name)
    before = (place.stick / made.name).read_bytes()
    monkeypatch.setattr(making, "_pieces", lambda source: iter([b"something else"]))
    (finding,) = place.bad(repair=True)
    assert "does not give back what was written" in finding.text
    assert (place.stick / made.name).read_bytes() == before
    assert len(list(place.stick.iterdir())) == 2


# -- prune


def months(place: Place, count: int) -> list[Made]:
    """Make sets a day apart, so that the policy has something to remove when they are older than it keeps days."""
    return [place.create(hours=24) for _ in range(count)]


def test_what_newer_sets_make_needless_goes_and_is_remembered(place: Place) -> None:
    months(place, 7)
    policy = care.Policy(all_hours=1, daily_days=1, weekly_days=7)
    dry = care.prune(place.store, place.home, dry_run=True, policy=policy, clock=place.clock)
    assert len(written(place.stick)) == 7
    done = care.prune(place.store, place.home, policy=policy, clock=place.clock)
    assert [one.removed for one in done] == [one.removed for one in dry]
    removed = {one.id for one in done[0].removed}
    assert removed
    assert {path.name for path in written(place.stick)} == {one.name for one in place.book.sets}
    assert removed.isdisjoint(one.id for one in place.book.sets)
    assert {link.set for link in place.book.targets[0].pruned} == removed
    assert place.bad() == []
    newest = place.create()
    manifest = reading.check(place.stick / newest.name, making.own_opener(place.store)).manifest
    assert set(manifest.targets[0].pruned) == removed


def ripe(place: Place) -> care.Policy:
    """Make sets of which some may go, and return the policy that says so."""
    months(place, 6)
    return care.Policy(all_hours=1, daily_days=1, weekly_days=7)


def test_nothing_is_removed_from_an_append_only_target(place: Place) -> None:
    disk = place.folder / "disk"
    target(place.store, place.home, disk, append_only=True)
    policy = ripe(place)
    *_, last = care.prune(place.store, place.home, policy=policy, whole=True, clock=place.clock)
    assert (last.removed, last.text) == ((), "append-only: nothing is removed here")
    assert len(written(disk)) == 6


def test_nothing_is_removed_while_the_newest_is_not_as_it_was(place: Place) -> None:
    policy = ripe(place)
    flip(written(place.stick)[-1])
    local, stick = care.prune(place.store, place.home, policy=policy, clock=place.clock)
    assert local.removed
    assert stick.removed == ()
    assert "is not as it was" in stick.text
    assert len(written(place.stick)) == 6


def test_nothing_is_removed_when_the_clock_has_jumped(place: Place) -> None:
    policy = ripe(place)
    place.clock.later(days=400)
    assert {one.text for one in care.prune(place.store, place.home, policy=policy, clock=place.clock)} == {
        "the clock has jumped: nothing is removed until it is trusted again"
    }
    assert len(written(place.stick)) == 6


def test_a_target_that_is_away_or_read_only_leaves_the_others_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = ripe(place)
    place.stick.rename(place.folder / "away")
    local, stick = care.prune(place.store, place.home, policy=policy, clock=place.clock)
    assert local.removed and not stick.removed
    assert "is gone" in stick.text
    (place.folder / "away").rename(place.stick)
    months(place, 2)
    unlink = Path.unlink

    def refuse(self: Path, *given: Any, **more: Any) -> None:
        if self.parent == place.stick:
            raise OSError(30, "Read-only file system")
        unlink(self, *given, **more)

    monkeypatch.setattr(Path, "unlink", refuse)
    local, stick = care.prune(place.store, place.home, policy=policy, whole=True, clock=place.clock)
    assert "read-only file system" in stick.text


def test_more_than_half_waits_for_a_person(place: Place) -> None:
    policy = care.Policy(all_hours=0, daily_days=0, weekly_days=0)
    months(place, 6)
    first = care.prune(place.store, place.home, policy=policy, clock=place.clock)[0]
    assert 0 < len(first.removed) <= 3
    assert first.waiting
    whole = care.prune(place.store, place.home, policy=policy, whole=True, clock=place.clock)[0]
    assert {one.id for one in first.waiting} <= {one.id for one in whole.removed} | {one.id for one in place.book.sets}
    assert len(written(place.local)) >= 1


# -- the drill


def test_the_newest_set_is_restored_and_compared(place: Place) -> None:
    place.create()
    made = place.create()
    done = care.drill(place.store, place.home, clock=place.clock)
    assert (done.set, done.items, done.trouble) == (made.id, 2, "")
    assert place.book.proven == done == place.book.drill


def test_a_drill_finds_an_item_that_comes_out_otherwise(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.create()
    good = care.drill(place.store, place.home, clock=place.clock)
    rows = [(id_, body.replace(b"Mail", b"Mall")) for id_, body in place.store.rows()]
    monkeypatch.setattr(place.store, "rows", lambda: iter(rows))
    done = care.drill(place.store, place.home, clock=place.clock)
    assert "restored other than it is" in done.trouble
    assert place.book.drill == done
    assert place.book.proven == good, "what was proven once is not forgotten"


def test_an_item_that_was_changed_or_removed_since_is_no_trouble(place: Place) -> None:
    place.create()
    place.store.put(sets.login("mail", "Mail", "changed since"), now=NOW)
    place.store.purge("bank")
    place.store.put(sets.login("new", "New"), now=NOW)
    assert care.drill(place.store, place.home, clock=place.clock).trouble == ""


def test_a_drill_of_a_damaged_set_says_so(place: Place) -> None:
    made = place.create()
    for folder in (place.local, place.stick):
        flip(folder / made.name)
    done = care.drill(place.store, place.home, clock=place.clock)
    assert done.trouble
    assert place.book.proven is None


def test_without_a_set_there_is_no_drill(place: Place) -> None:
    with pytest.raises(NoSuchBackup, match="no backup within reach"):
        care.drill(place.store, place.home, clock=place.clock)


def test_what_is_restored_is_never_shown(place: Place) -> None:
    made = place.create()
    contents = care.Contents()
    reading.check(place.stick / made.name, making.own_opener(place.store), contents)
    assert PASSWORD not in repr(contents.vault())
    assert canonical.canonical(contents.vault()) == canonical.canonical(place.store.vault())
