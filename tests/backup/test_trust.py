"""On a bare machine only what is signed counts, what stands above wins, and what cannot be known is said."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import reading, targets, trust
from backup.reading import Opened, Opener
from backup.trust import Survey
from tests.backup import worlds
from tests.backup.worlds import NOW, a_kit, after, listing, written_set
from vault.errors import CannotRead, DamagedBackup, ForgedSignature, SealedElsewhere

ONE = worlds.genesis()
TWO = worlds.enrolled(ONE, "phone", "laptop")
WITHOUT_PHONE = worlds.revoked(TWO, "phone", "laptop")
WITHOUT_LAPTOP = worlds.revoked(TWO, "laptop", a_kit())
THREE = worlds.enrolled(TWO, "tablet", "phone")


def survey(folder: Path, opener: Opener | None = None, now: str = NOW, also: Path | None = None) -> Survey:
    return trust.survey(folder, opener or worlds.kit_opener(), now, also=also)


def names(sets: tuple[Opened, ...]) -> list[str]:
    return [one.path.name for one in sets]


def day(number: int) -> str:
    return f"2026-11-{number:02}T10:00:00Z"


# -- which is the newest


def test_the_newest_by_its_signed_time_comes_first_whatever_its_name(tmp_path: Path) -> None:
    old = written_set(tmp_path, ONE, "laptop", made_at=day(1), name="keyferry-20991231T000000Z-ffffffff.keyferry")
    new = written_set(tmp_path, ONE, "laptop", made_at=day(2), counter=2)
    assert names(survey(tmp_path).sets) == [new.name, old.name]


def test_of_one_device_the_counter_is_surer_than_the_clock(tmp_path: Path) -> None:
    """A clock that was wrong once does not make an old backup the newest for years."""
    wrong = written_set(tmp_path, ONE, "laptop", made_at="2030-01-01T00:00:00Z", counter=1)
    right = written_set(tmp_path, ONE, "laptop", made_at=day(2), counter=2)
    back = written_set(tmp_path, ONE, "laptop", made_at="1970-01-01T00:00:10Z", counter=3)
    phone = written_set(tmp_path, TWO, "phone", made_at=day(1), counter=9)
    assert names(survey(tmp_path).sets) == [one.name for one in (back, right, phone, wrong)]


class Stub:
    """As much of a set as its order needs."""

    def __init__(self, device: str, counter: int, made_at: str) -> None:
        self.manifest = self
        self.device, self.counter, self.made_at, self.set = device, counter, made_at, f"{device}{counter:03}"


STUBS = st.lists(
    st.builds(
        Stub,
        st.sampled_from("ab"),
        st.integers(1, 20),
        st.sampled_from(["1970-01-01T00:00:00Z", *map(day, range(1, 29)), "2031-01-01T00:00:00Z"]),
    ),
    unique_by=lambda one: one.set,
    max_size=12,
)


@given(STUBS, st.randoms())
def test_the_order_is_one_whatever_the_folder_says_first_and_no_counter_runs_backwards(sets, random) -> None:  # type: ignore[no-untyped-def]
    ordered = trust.newest_first(sets, NOW)
    shuffled = list(sets)
    random.shuffle(shuffled)
    assert trust.newest_first(shuffled, NOW) == ordered
    for device in "ab":
        counters = [one.counter for one in ordered if one.device == device]
        assert counters == sorted(counters, reverse=True)


# -- what stands above


def test_a_revoked_devices_forgery_beside_a_good_set_is_refused(tmp_path: Path) -> None:
    good = written_set(tmp_path, WITHOUT_PHONE, "laptop", made_at=day(1))
    forged = written_set(tmp_path, TWO, "phone", made_at=day(20), counter=99)
    found = survey(tmp_path)
    assert names(found.sets) == [good.name]
    assert names(found.outranked) == [forged.name]
    assert found.is_outranked(forged) and not found.is_outranked(good)


def test_a_revoked_devices_forgery_alone_is_taken_and_said_to_be_alone(tmp_path: Path) -> None:
    forged = written_set(tmp_path, TWO, "phone", made_at=day(20))
    found = survey(tmp_path)
    assert names(found.sets) == [forged.name]
    assert any("cannot be told" in one for one in trust.doubts(found.sets[0], found, NOW))


def test_two_forgeries_are_no_witnesses_for_each_other(tmp_path: Path) -> None:
    for number in (1, 2):
        written_set(tmp_path, TWO, "phone", counter=number, made_at=day(20))
    found = survey(tmp_path)
    assert any("by one of several devices" in one for one in trust.doubts(found.sets[0], found, NOW))


def test_a_copy_under_another_name_is_no_second_set(tmp_path: Path) -> None:
    one = written_set(tmp_path, ONE, "laptop")
    (tmp_path / "keyferry-20260101T000000Z-00000000.keyferry").write_bytes(one.read_bytes())
    found = survey(tmp_path)
    assert len(found.sets) == 2
    assert any("the only backup" in one for one in trust.doubts(found.sets[0], found, NOW))


def test_two_devices_of_two_are_no_reason_to_doubt(tmp_path: Path) -> None:
    written_set(tmp_path, TWO, "phone", made_at=day(20))
    written_set(tmp_path, TWO, "laptop", made_at=day(19))
    found = survey(tmp_path)
    assert trust.doubts(found.sets[0], found, NOW) == ()


@pytest.mark.parametrize("vouch", ["previous", "listed", "pruned"])
def test_a_set_from_before_the_revocation_stays_if_a_good_one_lists_it(tmp_path: Path, vouch: str) -> None:
    targets.mark(tmp_path, "0123456789abcdef")
    old = written_set(tmp_path, TWO, "phone", made_at=day(1))
    forged = written_set(tmp_path, TWO, "phone", made_at=day(20), counter=2)
    told = {
        "previous": {"previous": after(old)},
        "listed": {"targets": (listing("0123456789abcdef", old),)},
        "pruned": {"targets": (listing("0123456789abcdef", pruned=[old]),)},
    }[vouch]
    good = written_set(tmp_path, WITHOUT_PHONE, "laptop", made_at=day(3), **told)
    found = survey(tmp_path)
    assert names(found.sets) == [good.name, old.name]
    assert names(found.outranked) == [forged.name]


def test_a_forgery_with_the_id_of_a_listed_set_is_refused(tmp_path: Path) -> None:
    """The digest is listed as well."""
    old = written_set(tmp_path / "away", TWO, "phone", made_at=day(1))
    written_set(tmp_path, WITHOUT_PHONE, "laptop", made_at=day(3), previous=after(old))
    forged = written_set(tmp_path, TWO, "phone", made_at=day(1), set=worlds.set_id(old))
    assert names(survey(tmp_path).outranked) == [forged.name]


def test_a_list_of_devices_cut_at_its_end_is_outranked_by_the_whole_one(tmp_path: Path) -> None:
    """The phone signs with the chain as it was before it was revoked."""
    for name, chain in (("cut", TWO), ("whole", worlds.enrolled(WITHOUT_PHONE, "tablet", "laptop"))):
        written_set(tmp_path, chain, "phone" if name == "cut" else "tablet", made_at=day(5))
    found = survey(tmp_path)
    assert [one.manifest.device_name for one in found.sets] == ["tablet"]
    assert [one.manifest.device_name for one in found.outranked] == ["phone"]


def test_a_device_that_is_still_there_is_not_outranked_by_later_changes(tmp_path: Path) -> None:
    written_set(tmp_path, ONE, "laptop", made_at=day(1))
    written_set(tmp_path, THREE, "tablet", made_at=day(2))
    found = survey(tmp_path)
    assert len(found.sets) == 2


@pytest.mark.parametrize("cut", [(0,), (1,), (0, 1)])
def test_a_list_of_devices_cut_in_the_middle_holds_for_nothing(tmp_path: Path, cut: tuple[int, ...]) -> None:
    left = tuple(entry for number, entry in enumerate(THREE) if number not in cut)
    written_set(tmp_path, left, "tablet")
    (refused,) = survey(tmp_path).rejected
    assert isinstance(refused.error, ForgedSignature)
    assert "damaged or forged" in refused.error.message


def test_a_list_of_devices_whose_entries_are_swapped_holds_for_nothing(tmp_path: Path) -> None:
    written_set(tmp_path, (THREE[0], THREE[2], THREE[1]), "tablet")
    assert [type(one.error) for one in survey(tmp_path).rejected] == [ForgedSignature]


def test_a_revoked_device_cannot_enrol_another_that_stands_above(tmp_path: Path) -> None:
    """Two lists part where the laptop revoked the phone, and the phone let a friend in: the elder's word counts."""
    good = written_set(tmp_path, WITHOUT_PHONE, "laptop", made_at=day(1))
    for by in ("phone", "friend"):
        written_set(tmp_path, worlds.enrolled(TWO, "friend", "phone"), by, made_at=day(20), counter=50)
    found = survey(tmp_path)
    assert names(found.sets) == [good.name]
    assert len(found.outranked) == 2


def test_the_root_stands_above_the_first_device(tmp_path: Path) -> None:
    """A thief of the first device lets a friend in; the owner has revoked it with the kit."""
    good = written_set(tmp_path, worlds.enrolled(WITHOUT_LAPTOP, "new", a_kit()), "new", made_at=day(1))
    forged = written_set(tmp_path, worlds.enrolled(TWO, "friend", "laptop"), "friend", made_at=day(20))
    found = survey(tmp_path)
    assert (names(found.sets), names(found.outranked)) == ([good.name], [forged.name])


def test_a_list_that_parts_with_a_replaced_kit_is_refused_on_a_device_and_by_the_new_kit(tmp_path: Path) -> None:
    """Who has the old kit can begin where it was still in force, and enrol devices of his own."""
    own = worlds.renewed(ONE, "next kit", "laptop", old="kit")
    both = [a_kit().recipient, a_kit("next kit").recipient]
    good = written_set(tmp_path, own, "laptop", to=both)
    written_set(tmp_path, worlds.enrolled(ONE, "thief", a_kit()), "thief", to=both, counter=7)
    (refused,) = survey(tmp_path, worlds.kit_opener("next kit")).rejected
    assert refused.error.message == "its devices are signed by another kit"
    roots = (a_kit().root_public, a_kit("next kit").root_public)
    found = survey(tmp_path, Opener((a_kit("next kit").identity,), roots, own))
    assert names(found.sets) == [good.name]
    assert [one.error.message for one in found.rejected] == ["its list of devices parts from the one this vault has"]


def test_the_sets_of_a_replaced_kit_hold_under_it_up_to_its_end(tmp_path: Path) -> None:
    old = written_set(tmp_path, ONE, "laptop")
    later = worlds.renewed(ONE, "next kit", "laptop")
    written_set(tmp_path, later, "laptop", to=[a_kit("next kit").recipient])
    found = survey(tmp_path)
    assert names(found.sets) == [old.name]
    assert [type(one.error) for one in found.rejected] == [SealedElsewhere]


def test_a_folder_of_old_and_new_devices_is_judged_in_little_time(tmp_path: Path) -> None:
    """200 sets of a revoked device beside 100 of the one after it: a second or two, not minutes."""
    targets.mark(tmp_path, "0123456789abcdef")
    old = [written_set(tmp_path, TWO, "phone", counter=number) for number in range(1, 201)]
    good = listing("0123456789abcdef", *old)
    for number in range(1, 101):
        written_set(tmp_path, WITHOUT_PHONE, "laptop", counter=number, targets=(good,))
    began = time.process_time()
    found = survey(tmp_path)
    assert (len(found.sets), len(found.outranked)) == (300, 0)
    assert time.process_time() - began < 20


# -- what is missing or cannot be excluded


def test_a_set_that_another_lists_and_that_is_not_there_is_missing(tmp_path: Path) -> None:
    targets.mark(tmp_path, "0123456789abcdef")
    gone, there, pruned = (written_set(tmp_path, ONE, "laptop", counter=number) for number in (1, 2, 3))
    told = (listing("0123456789abcdef", gone, there, pruned=[pruned]), listing("feedfeedfeedfeed", gone))
    written_set(tmp_path, ONE, "laptop", counter=4, targets=told)
    lost = worlds.set_id(gone)
    gone.unlink()
    pruned.unlink()
    found = survey(tmp_path)
    assert trust.missing(found.sets) == {lost}
    assert f"a backup that others list is missing here: {lost}" in trust.doubts(found.sets[0], found, NOW)


def test_a_set_that_another_device_has_pruned_is_not_missing(tmp_path: Path) -> None:
    targets.mark(tmp_path, "0123456789abcdef")
    gone = written_set(tmp_path / "away", ONE, "laptop")
    written_set(tmp_path, TWO, "laptop", counter=2, targets=(listing("0123456789abcdef", gone),))
    assert trust.missing(survey(tmp_path).sets) == {worlds.set_id(gone)}
    written_set(tmp_path, TWO, "phone", targets=(listing("0123456789abcdef", pruned=[gone]),))
    assert trust.missing(survey(tmp_path).sets) == frozenset()


def test_a_set_that_another_folder_has_lost_is_not_missed_here(tmp_path: Path) -> None:
    targets.mark(tmp_path, "0123456789abcdef")
    gone = written_set(tmp_path / "away", ONE, "laptop")
    written_set(tmp_path, ONE, "laptop", counter=2, targets=(listing("feedfeedfeedfeed", gone),))
    assert trust.missing(survey(tmp_path).sets) == frozenset()


def test_every_folder_that_holds_the_newest_set_is_held_to_its_list(tmp_path: Path) -> None:
    """The same set lies at two targets; at each another one is gone."""
    folders = [tmp_path / "a", tmp_path / "b"]
    gone = written_set(tmp_path / "away", ONE, "laptop")
    other = written_set(tmp_path / "away", ONE, "laptop", counter=2)
    told = (listing("a" * 16, gone), listing("b" * 16, other))
    newest = written_set(folders[0], ONE, "laptop", counter=3, targets=told)
    folders[1].mkdir()
    (folders[1] / newest.name).write_bytes(newest.read_bytes())
    for folder, letter in zip(folders, "ab", strict=True):
        targets.mark(folder, letter * 16)
    sets = [one for folder in folders for one in survey(folder).sets]
    assert trust.missing(sets) == trust.missing(sets[::-1]) == {worlds.set_id(gone), worlds.set_id(other)}


def test_only_the_newest_list_of_a_device_counts(tmp_path: Path) -> None:
    """What an older one lists may have been pruned since, and forgotten."""
    targets.mark(tmp_path, "0123456789abcdef")
    gone = written_set(tmp_path / "away", ONE, "laptop")
    written_set(tmp_path, ONE, "laptop", counter=2, targets=(listing("0123456789abcdef", gone),))
    written_set(tmp_path, ONE, "laptop", counter=3, targets=(listing("0123456789abcdef"),))
    assert trust.missing(survey(tmp_path).sets) == frozenset()


@pytest.mark.parametrize(
    ("made_at", "words"),
    [
        ("2026-10-20T10:00:00Z", "this backup is 33 days old: what was changed since is not in it"),
        ("2026-11-24T09:00:00Z", "this backup says that it was made in the future: a clock was wrong, here or there"),
        ("2026-10-24T10:00:00Z", None),
        ("2026-11-23T09:04:00Z", None),
    ],
)
def test_the_age_of_a_set_is_said_where_it_matters(tmp_path: Path, made_at: str, words: str | None) -> None:
    for by in ("laptop", "phone"):
        written_set(tmp_path, TWO, by, made_at=made_at)
    found = survey(tmp_path)
    assert trust.doubts(found.sets[0], found, NOW) == ((words,) if words else ())


def test_newer_sets_beside_the_chosen_one_are_said(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        written_set(tmp_path, ONE, "laptop", counter=number, made_at=day(number))
    found = survey(tmp_path)
    said = {one.manifest.counter: trust.doubts(one, found, NOW) for one in found.sets}
    assert said == {
        3: (),
        2: (f"a newer backup is here, the newest of {day(3)}",),
        1: (f"2 newer backups are here, the newest of {day(3)}",),
    }


# -- what else may lie in a folder


def test_two_vaults_in_one_folder_do_not_meet(tmp_path: Path) -> None:
    own = written_set(tmp_path, ONE, "laptop")
    other = worlds.genesis("other kit", "other")
    written_set(tmp_path, other, "other", to=[a_kit("other kit").recipient], made_at=day(22))
    found = survey(tmp_path)
    assert names(found.sets) == [own.name]
    assert [type(one.error) for one in found.rejected] == [SealedElsewhere]


def test_two_vaults_that_one_key_opens_are_told_apart(tmp_path: Path) -> None:
    """With somebody else's age key and no root key, only the sets of the newest one's vault count together."""
    escrow = a_kit("notary")
    other = worlds.genesis("other kit", "other")
    new = written_set(tmp_path, other, "other", to=[escrow.recipient], made_at=day(3))
    old = written_set(tmp_path, ONE, "laptop", to=[escrow.recipient], made_at=day(2))
    opener = Opener((escrow.identity,), None)
    assert names(survey(tmp_path, opener).sets) == [new.name]
    assert names(survey(tmp_path, opener, also=old).sets) == [old.name]
    rooted = Opener((escrow.identity,), (a_kit().root_public,))
    assert names(survey(tmp_path, rooted).sets) == [old.name]


def test_only_regular_files_with_the_name_of_a_set_are_looked_into(tmp_path: Path) -> None:
    good = written_set(tmp_path, ONE, "laptop")
    (tmp_path / "keyferry-20260101T000000Z-0000000a.keyferry").symlink_to(good)
    (tmp_path / "keyferry-20260101T000000Z-0000000b.keyferry").mkdir()
    os.mkfifo(tmp_path / "keyferry-20260101T000000Z-0000000c.keyferry")
    (tmp_path / "another name.keyferry").write_bytes(good.read_bytes())
    found = survey(tmp_path)
    assert (names(found.sets), found.rejected) == ([good.name], ())


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "device"])
def test_what_is_no_regular_file_is_never_read(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "x.keyferry"
    good = written_set(tmp_path, ONE, "laptop")
    match kind:
        case "link":
            path.symlink_to(good)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(CannotRead):
        reading.peek(path, worlds.kit_opener())


def test_a_file_of_any_name_is_looked_at_if_it_is_named(tmp_path: Path) -> None:
    path = written_set(tmp_path, ONE, "laptop", name="old backup (2)")
    assert names(survey(tmp_path, also=path).sets) == ["old backup (2)"]
    assert survey(tmp_path).sets == ()


def test_a_thousand_files_of_garbage_take_little_time(tmp_path: Path) -> None:
    good = written_set(tmp_path, ONE, "laptop")
    whole = good.read_bytes()
    for number in range(1000):
        kinds = (b"", os.urandom(200), whole[: 60 + number], whole[:-1000] + bytes(1000), b"age-encryption.org/v1\n")
        name = targets.set_name(day(1 + number % 28), f"{number:08x}")
        (tmp_path / name).write_bytes(kinds[number % len(kinds)])
    began = time.process_time()
    found = survey(tmp_path)
    assert time.process_time() - began < 20
    assert good.name in names(found.sets)
    assert {type(one.error) for one in found.rejected} == {DamagedBackup}


def test_of_too_many_files_the_newest_names_are_looked_into_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_MOST_FILES", 3)
    for number in range(4):
        (tmp_path / targets.set_name(day(1), f"{number:08x}")).write_bytes(b"garbage")
    good = written_set(tmp_path, ONE, "laptop", made_at=day(2))
    found = survey(tmp_path)
    assert names(found.sets) == [good.name]
    assert found.unread == 2
    assert "2 files here were too many to look into" in trust.doubts(found.sets[0], found, NOW)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotRead):
        survey(tmp_path / "nowhere")
