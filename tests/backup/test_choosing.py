"""The set to restore is the one that was named, or the newest that is here and can be believed and read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backup import book as books
from backup import choosing, making, targets
from backup.book import Target
from backup.choosing import Chosen
from backup.reading import Opener
from tests.backup import worlds
from tests.backup.worlds import NOW, a_kit, login, written_set
from vault.errors import (
    CannotRead,
    DamagedBackup,
    ForgedSignature,
    NoSuchBackup,
    OlderBackup,
    OutrankedBackup,
    SealedElsewhere,
)
from vault.store import Store

ONE = worlds.genesis()
TWO = worlds.enrolled(ONE, "phone", "laptop")
WITHOUT_PHONE = worlds.revoked(TWO, "phone", "laptop")
HOME = Path("nowhere")


def bare(source: Path | str | None, opener: Opener | None = None) -> Chosen:
    """Choose as on a machine that has nothing but the kit."""
    text = None if source is None else str(source)
    return choosing.choose(text, opener or worlds.kit_opener(), None, HOME, clock=lambda: NOW)


def first(chosen: Chosen) -> str:
    return chosen.candidates[0].path.name


def spoil(path: Path, at: int = -40) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# -- on a bare machine


def test_a_file_is_taken_as_it_was_named(tmp_path: Path) -> None:
    old = written_set(tmp_path, ONE, "laptop", made_at="2026-11-01T10:00:00Z")
    written_set(tmp_path, ONE, "laptop", counter=2)
    assert [one.path for one in bare(old).candidates] == [old]
    assert len(bare(old).survey.sets) == 2


def test_of_a_folder_the_newest_is_taken_and_the_others_follow(tmp_path: Path) -> None:
    made = [written_set(tmp_path, ONE, "laptop", made_at=f"2026-11-0{n}T10:00:00Z", counter=n) for n in (2, 3, 1)]
    assert [one.path for one in bare(tmp_path).candidates] == [made[1], made[0], made[2]]


@pytest.mark.parametrize("source", [None, "", "0" * 16, "nothing.keyferry", "~nobody-of-that-name/x"])
def test_without_a_vault_there_must_be_a_file_or_a_folder(
    source: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoSuchBackup):
        bare(source)


def test_a_damaged_set_gives_way_to_the_one_before_it(tmp_path: Path) -> None:
    old = written_set(tmp_path, ONE, "laptop")
    new = written_set(tmp_path, ONE, "laptop", counter=2, documents=[os.urandom(300_000)])
    spoil(new)
    warnings: list[str] = []
    proven, path = choosing.prove(bare(tmp_path), worlds.kit_opener(), warnings.append)
    assert (path, proven.path, bool(proven.digest)) == (old, old, True)
    assert warnings == [f"{new}: the backup is cut off or altered; trying the one before it"]


def test_if_all_are_damaged_the_last_one_says_so(tmp_path: Path) -> None:
    for number in (1, 2):
        spoil(written_set(tmp_path, ONE, "laptop", counter=number, documents=[os.urandom(300_000)]))
    with pytest.raises(DamagedBackup):
        choosing.prove(bare(tmp_path), worlds.kit_opener(), lambda _: None)


def test_a_named_set_that_is_damaged_gives_way_to_none(tmp_path: Path) -> None:
    written_set(tmp_path, ONE, "laptop")
    new = written_set(tmp_path, ONE, "laptop", counter=2, documents=[os.urandom(300_000)])
    spoil(new)
    with pytest.raises(DamagedBackup):
        choosing.prove(bare(new), worlds.kit_opener(), lambda _: None)


def test_one_file_that_is_refused_says_why_and_several_say_how_many(tmp_path: Path) -> None:
    other = [a_kit("other kit").recipient]
    written_set(tmp_path, ONE, "laptop", to=other)
    with pytest.raises(SealedElsewhere):
        bare(tmp_path)
    written_set(tmp_path, ONE, "laptop", to=other)
    with pytest.raises(
        NoSuchBackup, match="2 files were refused, the first because the backup is sealed to other keys"
    ):
        bare(tmp_path)


def test_files_that_are_refused_are_named_up_to_five(tmp_path: Path) -> None:
    good = written_set(tmp_path, ONE, "laptop")
    for number in range(7):
        (tmp_path / targets.set_name(NOW, f"{number:08x}")).write_bytes(b"garbage")
    chosen = bare(tmp_path)
    assert first(chosen) == good.name
    assert len(chosen.warnings) == 6
    assert chosen.warnings[-1].startswith("2 more files here were refused")


def test_a_set_that_is_not_proven_is_refused_in_a_whole_sentence(tmp_path: Path) -> None:
    path = written_set(tmp_path, worlds.genesis("other kit", "other"), "other")
    for source in (path, tmp_path):
        with pytest.raises(ForgedSignature) as caught:
            bare(source)
        assert caught.value.message == "the backup is not proven: its devices are signed by another kit"


def test_an_outranked_set_is_refused_and_the_good_one_named(tmp_path: Path) -> None:
    good = written_set(tmp_path, WITHOUT_PHONE, "laptop")
    forged = written_set(tmp_path, TWO, "phone", counter=9)
    with pytest.raises(OutrankedBackup) as caught:
        bare(forged)
    assert caught.value.hint == f"keyferry restore {good}"
    chosen = bare(tmp_path)
    assert first(chosen) == good.name
    assert f"{forged}: outranked, its device was revoked since" in chosen.warnings


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_a_named_thing_that_is_no_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    match kind:
        case "link":
            path.symlink_to(written_set(tmp_path, ONE, "laptop"))
        case "dangling":
            path.symlink_to(tmp_path / "nothing")
        case "pipe":
            os.mkfifo(path)
    with pytest.raises(CannotRead):
        bare(path)


# -- on a device that knows its sets


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Return a vault that has three sets at its local target."""
    (tmp_path / "home").mkdir()
    with worlds.a_store(tmp_path / "home") as store:
        for number in (1, 2, 3):
            store.put(login(f"item-{number}"), now=NOW)
            making.create(store, tmp_path / "home", clock=lambda at=f"2026-11-0{number}T10:00:00Z": at)
        yield store


def choose(store: Store, tmp_path: Path, source: str | None = None) -> Chosen:
    return choosing.choose(source, making.own_opener(store), store, tmp_path / "home", clock=lambda: NOW)


def at(tmp_path: Path, number: int) -> Path:
    return worlds.sets_in(tmp_path / "home" / "backups")[number - 1]


def test_the_newest_of_all_targets_is_taken(store: Store, tmp_path: Path) -> None:
    assert choose(store, tmp_path).candidates[0].path == at(tmp_path, 3)
    assert choose(store, tmp_path).warnings == ()


def test_a_set_is_found_by_its_id_and_a_beginning_of_it(store: Store, tmp_path: Path) -> None:
    made = books.load(store, tmp_path).sets[1]
    for text in (made.id, made.id[:8], made.name):
        assert choose(store, tmp_path, text).candidates[0].manifest.set == made.id
    with pytest.raises(NoSuchBackup):
        choose(store, tmp_path, "0" * 16)


def test_no_older_set_is_taken_unasked_if_the_newest_is_gone(store: Store, tmp_path: Path) -> None:
    at(tmp_path, 3).unlink()
    with pytest.raises(OlderBackup) as caught:
        choose(store, tmp_path)
    assert caught.value.message == "this is backup 2 of its device; number 3 is known, and cannot be reached or read"
    assert str(at(tmp_path, 2)) in (caught.value.hint or "")
    named = choose(store, tmp_path, str(at(tmp_path, 2)))
    assert named.warnings == ("this is backup 2 of its device; number 3 is known",)


def test_an_older_set_of_the_middle_may_be_gone(store: Store, tmp_path: Path) -> None:
    newest = at(tmp_path, 3)
    at(tmp_path, 2).unlink()
    assert choose(store, tmp_path).candidates[0].path == newest


def test_a_newest_set_whose_beginning_is_damaged_counts_as_gone(store: Store, tmp_path: Path) -> None:
    spoil(at(tmp_path, 3), 5)
    with pytest.raises(OlderBackup, match="cannot be reached or read"):
        choose(store, tmp_path)


def test_the_newest_set_on_a_drive_that_is_away_is_missed(store: Store, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    targets.mark(stick, "0123456789abcdef")
    add = Target(id="0123456789abcdef", path=str(stick))
    books.change(store, tmp_path, lambda book: books.with_target(book, add))
    store.put(login("item-4"), now=NOW)
    made = making.create(store, tmp_path / "home", clock=lambda: "2026-11-04T10:00:00Z").made
    assert made is not None
    (tmp_path / "home" / "backups" / made.name).unlink()
    assert choose(store, tmp_path).candidates[0].path == stick / made.name
    stick.rename(tmp_path / "away")
    with pytest.raises(OlderBackup, match="number 4 is known"):
        choose(store, tmp_path)


def test_another_devices_newer_set_that_is_gone_is_missed_too(store: Store, tmp_path: Path) -> None:
    book = books.load(store, tmp_path)
    other = msgspec.structs.replace(
        book.sets[0], id="f" * 16, device="f" * 32, counter=1, made_at="2026-11-09T10:00:00Z", name="other"
    )
    local = msgspec.structs.replace(book.targets[0], copies=(*book.targets[0].copies, books.Copy(other.id)))
    books.change(store, tmp_path, lambda book: books.with_target(books.with_set(book, other), local))
    with pytest.raises(OlderBackup, match=r"of 2026-11-03.*2026-11-09.* by another device"):
        choose(store, tmp_path)


def test_a_wrong_clock_raises_no_alarm_about_a_set_that_is_here(store: Store, tmp_path: Path) -> None:
    for number, made_at in ((4, "2031-01-01T00:00:00Z"), (5, "2026-11-05T10:00:00Z")):
        store.put(login(f"item-{number}"), now=NOW)
        made = making.create(store, tmp_path / "home", clock=lambda at=made_at: at).made
    assert made is not None
    chosen = choose(store, tmp_path)
    assert [one.manifest.counter for one in chosen.candidates] == [5, 4, 3, 2, 1]
    assert chosen.candidates[0].manifest.set == made.id


def test_another_devices_wrong_clock_raises_no_alarm_about_a_set_that_is_here(store: Store, tmp_path: Path) -> None:
    chain = worlds.enrolled(ONE, "phone", "laptop")
    worlds.known(store, chain, "laptop")
    folder = tmp_path / "home" / "backups"
    phones = written_set(
        folder, chain, "phone", to=[worlds.a_device("laptop").bundle.age], made_at="2031-01-01T00:00:00Z"
    )
    store.put(login("item-4"), now=NOW)
    made = making.create(store, tmp_path / "home", clock=lambda: "2026-11-04T10:00:00Z").made
    assert made is not None
    assert phones.name in [one.name for one in books.load(store, tmp_path).sets]
    assert choose(store, tmp_path).candidates[0].manifest.set == made.id


def test_sets_of_another_vault_in_a_target_are_not_taken(store: Store, tmp_path: Path) -> None:
    """Even if this device can open and prove them."""
    foreign = written_set(
        tmp_path / "x", worlds.genesis("other kit", "other"), "other", to=[worlds.a_device("laptop").bundle.age]
    )
    opener = making.own_opener(store)
    roots = (*(opener.roots or ()), a_kit("other kit").root_public)
    shutil.copy(foreign, tmp_path / "home" / "backups" / targets.set_name("2026-11-22T10:00:00Z", "f" * 8))
    chosen = choosing.choose(None, Opener(opener.identities, roots), store, tmp_path / "home", clock=lambda: NOW)
    assert {one.manifest.vault for one in chosen.candidates} == {store.vault_id}
