"""Sets are found at every target and in any folder, and a person means one of them by its id, name or path."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from backup import book as books
from backup import care, listing, making
from tests.backup import sets
from tests.backup.sets import KIT, NOW, Clock, flip, home, target
from vault import keys
from vault.errors import CannotRead, NoSuchBackup, NoTarget, TargetMissing
from vault.store import Store


class Place:
    """A home with two sets at two targets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.clock = folder, home(folder), Clock()
        self.store: Store = keys.open_vault(self.home)
        self.local, self.stick = self.home / "backups", folder / "stick"
        target(self.store, self.home, self.stick)
        self.sets = []
        for number in range(2):
            self.store.put(sets.login("mail", "Mail", str(number)), now=NOW)
            made = making.create(self.store, self.home, clock=self.clock.later(hours=1)).made
            assert made is not None
            self.sets.append(made)

    def listed(self, place: str | None = None) -> list[tuple[str, str, str]]:
        """Return (id, path, trouble) of what is listed."""
        found = listing.listed(self.store, books.load(self.store, self.home), place)
        return [(one.id, one.path, one.trouble) for one in found]

    def path_of(self, text: str) -> Path:
        return listing.path_of(self.store, books.load(self.store, self.home), text)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.chdir(tmp_path)
    found = Place(tmp_path)
    yield found
    found.store.close()


def test_all_are_listed_the_oldest_first(place: Place) -> None:
    assert place.listed() == [
        (made.id, str(folder / made.name), "") for made in place.sets for folder in (place.local, place.stick)
    ]
    (first, *_) = listing.listed(place.store, books.load(place.store, place.home))
    assert (first.items, first.size, first.made_at) == (2, place.sets[0].size, place.sets[0].made_at)
    assert first.verified_at == first.made_at


@pytest.mark.parametrize("name", ["stick", "./stick", "stick/../stick"])
def test_those_of_one_target_are_listed(place: Place, name: str) -> None:
    assert [path for _, path, _ in place.listed(name)] == [str(place.stick / made.name) for made in place.sets]


def test_those_of_any_folder_are_listed(place: Place) -> None:
    shutil.copytree(place.stick, place.folder / "copy")
    (place.folder / "copy" / ".keyferry-target").unlink()
    flip(place.folder / "copy" / place.sets[0].name, 30)
    found = place.listed("copy")
    assert [id_ for id_, _, _ in found] == ["", place.sets[1].id]
    assert [bool(trouble) for _, _, trouble in found] == [True, False]
    assert all(one.verified_at is None for one in listing.listed(place.store, books.Book(tag=""), "copy"))


def test_what_is_wrong_is_told(place: Place) -> None:
    (place.stick / place.sets[0].name).unlink()
    flip(place.stick / place.sets[1].name)
    assert [trouble for _, _, trouble in place.listed("stick")] == ["missing", ""]
    care.verify(place.store, place.home, clock=place.clock)
    assert [trouble for _, _, trouble in place.listed("stick")] == ["missing", "damaged"]


def test_a_file_the_book_does_not_know_is_opened(place: Place, tmp_path: Path) -> None:
    name = "keyferry-20261120T210000Z-0000000{}.keyferry".format
    shutil.copy(place.stick / place.sets[0].name, place.stick / name(1))
    (place.stick / name(2)).write_bytes(sets.sealed(b"x", KIT.recipient))
    found = {path: (id_, trouble) for id_, path, trouble in place.listed("stick")}
    assert found[str(place.stick / name(1))] == (place.sets[0].id, "")
    assert found[str(place.stick / name(2))] == ("", listing.SEALED)


def test_a_target_that_is_away_is_left_out_unless_it_is_asked_for(place: Place) -> None:
    place.stick.rename(place.folder / "away")
    assert [path for _, path, _ in place.listed()] == [str(place.local / made.name) for made in place.sets]
    with pytest.raises(TargetMissing):
        place.listed("stick")
    with pytest.raises(NoTarget):
        place.listed("nothing")
    with pytest.raises(NoTarget):
        place.listed("~nobody-of-that-name")


def test_a_target_that_cannot_be_read_is_left_out_as_well(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    real = listing.targets.files

    def refuse(folder: Path) -> Iterator[Path]:
        if folder == place.stick:
            raise CannotRead(f"cannot read {folder}: input/output error")
        return real(folder)

    monkeypatch.setattr(listing.targets, "files", refuse)
    assert len(place.listed()) == 2
    with pytest.raises(CannotRead):
        place.listed("stick")


def test_a_pruned_set_that_is_still_there_is_not_listed(place: Place) -> None:
    books.change(place.store, place.home, lambda book: care._without(book, book.targets[1].id, [place.sets[0]]))
    assert [id_ for id_, _, _ in place.listed("stick")] == [place.sets[1].id]


def test_a_set_is_meant_by_id_beginning_name_or_path(place: Place) -> None:
    first, second = place.sets
    local = place.local / second.name
    for text in (second.id, second.id[:4], second.id[:9], second.name, f"/gone/{second.name}"):
        assert place.path_of(text) == local
    for path in (place.stick / first.name, Path("stick") / first.name):
        assert place.path_of(str(path)) == path
    local.unlink()
    assert place.path_of(second.id) == place.stick / second.name


@pytest.mark.parametrize("text", ["", "abc", "zzzz", "keyferry", "0000000000000000", "~nobody-of-that-name"])
def test_what_is_no_set_is_one_sentence(place: Place, text: str) -> None:
    with pytest.raises(NoSuchBackup):
        place.path_of(text)


def test_a_set_whose_files_are_all_gone_says_so(place: Place) -> None:
    for folder in (place.local, place.stick):
        (folder / place.sets[0].name).unlink()
    with pytest.raises(NoSuchBackup, match="no copy of"):
        place.path_of(place.sets[0].id)


def test_a_beginning_that_several_share_is_refused(place: Place) -> None:
    book = books.load(place.store, place.home)
    twins = tuple(books.Made(**{**_facts(made), "id": f"abcd{number:012}"}) for number, made in enumerate(book.sets))
    book = books.Book(tag=book.tag, sets=twins, targets=book.targets)
    with pytest.raises(NoSuchBackup, match="several backups"):
        listing.made_of(book, "abcd")
    assert listing.made_of(book, "abcd000000000001") == twins[1]


def _facts(made: books.Made) -> dict[str, object]:
    return {name: getattr(made, name) for name in made.__struct_fields__}
