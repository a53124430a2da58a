"""What is remembered of backups is one value: it comes back as it was, and changes one thing at a time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backup import book as books
from backup.book import LOCAL, Alarm, Book, Copy, Drill, Made, Target
from backup.payload import Link, Recipient
from backup.schedule import schedule_of
from tests.backup import sets
from tests.backup.sets import LATER, NOW
from vault.errors import DamagedVault


def made(number: int, *, at: str = NOW) -> Made:
    facts = {"device": "d", "items": 1, "content": "c", "size": 9}
    return Made(id=f"{number:016x}", name=f"{number}.keyferry", digest="0" * 64, counter=number, made_at=at, **facts)


ONE, TWO, THREE = made(1), made(2), made(3)
STICK = Target(id="a" * 16, path="/stick", copies=(Copy(ONE.id, NOW), Copy(TWO.id, NOW, "damaged")))
DISK = Target(id="b" * 16, path="/disk", copies=(Copy(TWO.id, NOW),))
BOOK = Book(tag="0" * 8, sets=(ONE, TWO, THREE), targets=(STICK, DISK), newest=THREE.id)


def test_a_vault_begins_with_a_daily_local_target(tmp_path: Path) -> None:
    with sets.vault(tmp_path / "v") as store:
        book = books.load(store, tmp_path)
        assert [(one.id, one.path) for one in book.targets] == [(LOCAL, str(tmp_path / "backups"))]
        assert (book.schedule, book.counter, book.sets) == (schedule_of("daily"), 0, ())
        assert store.meta("backup") is None, "looking changes nothing"


def test_everything_comes_back(tmp_path: Path) -> None:
    full = msgspec.structs.replace(
        BOOK,
        counter=7,
        state="s",
        schedule=schedule_of("daily", "21:00", on_change=True),
        served_at=NOW,
        recipients=(Recipient("escrow", "Mio", "age1x"),),
        drill=Drill(NOW, ONE.id, 3, 0.5, "trouble"),
        proven=Drill(NOW, ONE.id, 3),
        alarms=(Alarm(NOW, LOCAL, ONE.id, "gone", LATER),),
        targets=(msgspec.structs.replace(STICK, pruned=(Link(ONE.id, "0" * 64),), append_only=True, volume="v"),),
    )
    with sets.vault(tmp_path / "v") as store:
        assert books.change(store, tmp_path, lambda _: full) == full
        assert books.load(store, tmp_path) == full


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"tag": 5}', '{"tag": "a", "targets": [{}]}'])
def test_a_damaged_book_is_one_sentence(tmp_path: Path, text: str) -> None:
    with sets.vault(tmp_path / "v") as store:
        store.set_meta("backup", text)
        with pytest.raises(DamagedVault, match="remembers of its backups"):
            books.load(store, tmp_path)


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    def fail(book: Book) -> Book:
        raise ZeroDivisionError

    with sets.vault(tmp_path / "v") as store:
        books.change(store, tmp_path, lambda _: BOOK)
        with pytest.raises(ZeroDivisionError):
            books.change(store, tmp_path, fail)
        assert books.load(store, tmp_path) == BOOK


def test_who_holds_a_good_copy() -> None:
    assert BOOK.holders(ONE.id) == (STICK,)
    assert BOOK.holders(TWO.id) == (DISK,)
    assert BOOK.holders(THREE.id) == ()
    assert (BOOK.made(TWO.id), BOOK.made("x"), BOOK.target("x")) == (TWO, None, None)


def test_sets_that_no_target_holds_are_forgotten_with_it_but_not_the_newest() -> None:
    left = books.without_target(BOOK, STICK.id)
    assert (left.targets, left.sets) == ((DISK,), (TWO, THREE))


def test_sets_stand_in_the_order_they_were_made() -> None:
    early = made(9, at="2026-11-22T21:00:00Z")
    assert books.with_set(BOOK, early).sets == (early, ONE, TWO, THREE)
    again = msgspec.structs.replace(TWO, size=10)
    assert books.with_set(BOOK, again).sets == (ONE, again, THREE)


def test_one_target_or_copy_takes_the_place_of_the_same() -> None:
    moved = msgspec.structs.replace(DISK, path="/new")
    assert books.with_target(BOOK, moved).targets == (STICK, moved)
    assert len(books.with_target(BOOK, Target(id="c" * 16, path="/c")).targets) == 3
    healed = books.with_copy(STICK, Copy(TWO.id, LATER))
    assert healed.copies == (Copy(ONE.id, NOW), Copy(TWO.id, LATER))


def test_an_alarm_is_raised_once_and_again_after_it_has_ended() -> None:
    alarm = Alarm(NOW, STICK.id, ONE.id, "gone")
    book = books.alarmed(books.alarmed(BOOK, alarm), msgspec.structs.replace(alarm, at=LATER))
    assert book.alarms == (alarm,)
    ended = books.healed(book, STICK.id, ONE.id, LATER)
    assert ended.alarms == (msgspec.structs.replace(alarm, ended=LATER),)
    assert len(books.alarmed(ended, alarm).alarms) == 2
    assert books.healed(book, DISK.id, ONE.id, LATER) == book


def test_alarms_do_not_pile_up() -> None:
    book = BOOK
    for number in range(250):
        book = books.alarmed(book, Alarm(NOW, STICK.id, "", str(number)))
    assert len(book.alarms) == 200
    assert book.alarms[-1].text == "249"
