"""A set is whole at every target or not there at all, and what went wrong at one leaves the others alone."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backup import book as books
from backup import escrow, making, reading, sealing, targets
from backup.book import Book
from backup.making import create
from tests.backup import sets
from tests.backup.sets import NOW, PASSWORD, Clock, flip, home, target, written
from vault import keys
from vault.errors import (
    CannotRead,
    CannotWrite,
    DamagedBackup,
    DamagedVault,
    DiskFull,
    NoTarget,
    TargetExists,
    TargetMissing,
    UnsafeTarget,
    VaultBusy,
)
from vault.kit import new_kit
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

    def create(self, **given: Any) -> making.Outcome:
        return create(self.store, self.home, clock=self.clock, **given)

    def edit(self) -> None:
        """Change something in the vault."""
        self.store.put(sets.login("mail", "Mail", f"{PASSWORD} {self.book.counter}"), now=NOW)

    def without_targets(self) -> None:
        books.change(self.store, self.home, lambda book: msgspec.structs.replace(book, targets=()))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    found = Place(tmp_path)
    yield found
    found.store.close()


def test_the_same_file_is_at_every_target(place: Place) -> None:
    done = place.create()
    assert done.made is not None
    paths = [place.local / done.made.name, place.stick / done.made.name]
    assert [one.path for one in done.places] == list(map(str, paths))
    assert done.made.name == f"keyferry-20261123T210000Z-{done.made.id[:8]}.keyferry"
    for path in paths:
        data = path.read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (done.made.digest, done.made.size)
        assert path.stat().st_mode & 0o777 == 0o600
        assert sorted(one.name for one in path.parent.iterdir()) == [targets.MARKER, path.name]
    for one in place.book.targets:
        assert [(copy.set, copy.verified_at, copy.trouble) for copy in one.copies] == [(done.made.id, NOW, "")]
        assert (one.seen_at, one.trouble) == (NOW, "")


def test_the_umask_of_the_user_does_not_count(place: Place) -> None:
    before = os.umask(0)
    try:
        done = place.create()
    finally:
        os.umask(before)
    assert {Path(one.path).stat().st_mode & 0o777 for one in done.places} == {0o600}


def test_each_set_names_the_one_before_and_what_should_be_there(place: Place) -> None:
    first = place.create().made
    place.edit()
    place.clock.later(hours=1)
    second = place.create().made
    assert first is not None and second is not None
    manifest = reading.check(place.stick / second.name, making.own_opener(place.store)).manifest
    assert manifest.previous is not None
    assert (manifest.previous.set, manifest.previous.digest) == (first.id, first.digest)
    assert (first.counter, second.counter) == (1, 2)
    assert [one.sets for one in manifest.targets] == [{first.id: first.digest}] * 2


def test_a_set_is_sealed_to_kit_devices_and_friends(place: Place) -> None:
    friend = new_kit()
    added = escrow.recipient(friend.recipient, "Mio")
    books.change(place.store, place.home, lambda book: escrow.added(book, added))
    made = place.create().made
    assert made is not None
    opener = msgspec.structs.replace(making.own_opener(place.store), identities=(friend.identity,))
    kinds = [one.kind for one in reading.check(place.stick / made.name, opener).manifest.recipients]
    assert kinds == ["kit", "device", "escrow"]


# -- nothing new


def test_nothing_is_made_when_nothing_has_changed(place: Place) -> None:
    first = place.create().made
    assert place.create(if_changed=True).made is None
    assert len(written(place.stick)) == 1
    place.edit()
    again = place.create(if_changed=True).made
    assert first is not None and again is not None
    assert again.content != first.content


@pytest.mark.parametrize("what", ["recipient", "device"])
def test_another_recipient_is_a_change(place: Place, what: str) -> None:
    place.create()
    if what == "recipient":
        books.change(place.store, place.home, lambda b: escrow.added(b, escrow.recipient(new_kit().recipient, "Mio")))
    else:
        chain = keys.own_chain(place.store)
        own = keys.own_device(place.store).signer
        with place.store.transaction():
            keys.write_membership(
                place.store, (*chain, keys.enrol(chain, sets.STRANGER, name="phone", by=own, now=NOW))
            )
    assert making.is_changed(place.store, place.home)
    assert place.create(if_changed=True).made is not None
    assert not making.is_changed(place.store, place.home)


def test_a_target_that_lacks_the_newest_set_gets_it(place: Place) -> None:
    made = place.create().made
    disk = place.folder / "disk"
    target(place.store, place.home, disk)
    done = place.create(if_changed=True)
    assert made is not None
    assert (done.made, [one.path for one in done.places]) == (None, [str(disk / made.name)])
    assert reading.digest_of(disk / made.name) == made.digest
    assert place.create(if_changed=True).places == ()


def lost(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("harm", [lost, flip, cut, linked])
def test_a_new_set_is_made_when_no_good_copy_of_the_newest_is_left(place: Place, harm: Callable[[Path], None]) -> None:
    """The copy before an import must be there, whatever was done to the one before it."""
    first = place.create().made
    assert first is not None
    for folder in (place.local, place.stick):
        harm(folder / first.name)
    again = place.create(if_changed=True).made
    assert again is not None
    for folder in (place.local, place.stick):
        assert reading.digest_of(folder / again.name) == again.digest


def test_a_set_that_one_target_has_lost_comes_back_from_another(place: Place) -> None:
    first = place.create().made
    assert first is not None
    lost(place.local / first.name)
    done = place.create(if_changed=True)
    assert (done.made, [one.path for one in done.places], done.troubles) == (None, [str(place.local / first.name)], ())
    assert reading.digest_of(place.local / first.name) == first.digest


def test_a_set_that_was_altered_is_left_to_a_repair(place: Place) -> None:
    first = place.create().made
    assert first is not None
    flip(place.local / first.name)
    done = place.create(if_changed=True)
    assert (done.made, len(done.troubles)) == (None, 1)
    assert "is not as it was" in done.troubles[0].trouble
    assert reading.digest_of(place.local / first.name) != first.digest


def test_a_copy_that_was_only_touched_is_a_good_copy(place: Place) -> None:
    first = place.create().made
    assert first is not None
    for folder in (place.local, place.stick):
        os.utime(folder / first.name, (1, 1))
    done = place.create(if_changed=True)
    assert (done.made, done.places) == (None, ())


# -- what goes wrong


def test_a_target_that_is_away_leaves_the_others_alone(place: Place) -> None:
    place.stick.rename(place.folder / "away")
    done = place.create()
    assert done.made is not None
    assert [bool(one.trouble) for one in done.places] == [False, True]
    assert "is gone" in done.troubles[0].trouble
    assert [bool(one.trouble) for one in place.book.targets] == [False, True]
    (place.folder / "away").rename(place.stick)
    again = place.create(if_changed=True)
    assert [one.path for one in again.places] == [str(place.stick / done.made.name)]
    assert [one.trouble for one in place.book.targets] == ["", ""]


def test_when_no_target_takes_it_the_first_reason_is_told_and_remembered(place: Place) -> None:
    place.stick.rename(place.folder / "away")
    place.local.mkdir()
    (place.local / "somebodys").touch()
    for attempt in (1, 2):
        with pytest.raises(TargetMissing, match="marker"):
            place.create()
        assert [bool(one.trouble) for one in place.book.targets] == [True, True]
        assert place.book.counter == attempt, "a number is never used twice"
    assert (place.book.sets, place.book.newest) == ((), "")


def test_without_a_target_there_is_no_backup(place: Place) -> None:
    place.without_targets()
    with pytest.raises(NoTarget):
        place.create()


def test_a_full_disk_is_found_before_anything_is_written(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    free = targets.room
    monkeypatch.setattr(targets, "room", lambda at: 1000 if at == place.stick else free(at))
    done = place.create()
    assert "has too little room for backups" in done.troubles[0].trouble
    assert written(place.stick) == []
    monkeypatch.setattr(targets, "room", lambda at: 1000)
    place.edit()
    with pytest.raises(DiskFull, match="too little room"):
        place.create()
    assert len(written(place.local)) == 1
    assert all("too little room" in one.trouble for one in place.book.targets)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_fails_in_the_middle_leaves_nothing(
    place: Place, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((DiskFull, CannotWrite)):
        place.create()
    for folder in (place.local, place.stick):
        assert {one.name for one in folder.iterdir()} <= {targets.MARKER}


@pytest.mark.parametrize("what", ["altered", "older"])
def test_a_disk_that_gives_back_something_else_is_found_out(
    place: Place, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written is read from the disk before the file gets its name; another good set will not do either."""
    proven = making.private_file
    harmed = []
    old = Path(place.create().places[0].path).read_bytes()
    place.edit()

    def lying(path: Path, **given: Any) -> Any:
        def prove(written_: Path) -> None:
            if path.parent == place.local:
                flip(written_) if what == "altered" else written_.write_bytes(old)
                harmed.append(written_)
            given["proven"](written_)

        return proven(path, **{**given, "proven": prove})

    monkeypatch.setattr(making, "private_file", lying)
    done = place.create()
    assert len(harmed) == 1
    assert "does not give back what was written" in done.troubles[0].trouble
    assert [len(written(folder)) for folder in (place.local, place.stick)] == [1, 2]


def test_a_copy_that_comes_out_otherwise_is_found_out(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_pieces", lambda source: iter([source.read_bytes()[:-1] + b"?"]))
    done = place.create()
    assert "does not give back what was written" in done.troubles[0].trouble
    assert [len(written(folder)) for folder in (place.local, place.stick)] == [1, 0]


def test_a_damaged_attachment_is_the_vaults_fault_not_the_targets(place: Place) -> None:
    (name,) = place.store.documents()
    place.store._db.do("UPDATE documents SET body = ? WHERE hash = ?", (b"a contracT\n", name))
    with pytest.raises(DamagedVault, match="attachment in the vault is damaged"):
        place.create()
    assert [one.trouble for one in place.book.targets] == ["", ""]
    assert written(place.local) == written(place.stick) == []


def test_a_source_that_vanishes_while_it_is_copied_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = making.copy_set

    def unplugged(source: Path, *given: Any, **more: Any) -> None:
        source.unlink()
        copy(source, *given, **more)

    monkeypatch.setattr(making, "copy_set", unplugged)
    done = place.create()
    assert done.troubles[0].trouble.startswith(f"cannot read {place.local}/keyferry-")
    assert written(place.stick) == []


def test_a_file_that_vanishes_after_it_was_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotRead):
        making.copy_of("0" * 16, tmp_path / "gone", NOW)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_hard_links_takes_sets_too(
    place: Place, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(code, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    done = place.create()
    assert done.troubles == ()
    assert done.made is not None
    assert reading.digest_of(place.stick / done.made.name) == done.made.digest


def test_no_file_is_ever_written_over(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    token = making.secrets.token_hex
    monkeypatch.setattr(making.secrets, "token_hex", lambda count: "ab" * 8 if count == 8 else token(count))
    monkeypatch.setattr(targets, "partial_name", lambda tag: f".keyferry-{tag}-{os.urandom(8).hex()}.partial")
    name = targets.set_name(NOW, "ab" * 8)
    place.stick.joinpath(name).write_text("somebody's")
    done = place.create()
    assert [bool(one.trouble) for one in done.places] == [False, True]
    assert "exists already" in done.troubles[0].trouble
    assert (place.stick / name).read_text() == "somebody's"


def test_two_processes_do_not_make_backups_at_once(place: Place) -> None:
    with making.making(place.home):
        with pytest.raises(VaultBusy, match="making or checking backups"):
            place.create()
        with pytest.raises(VaultBusy):
            place.create(if_changed=True)
    assert place.book.counter == 0


def test_what_a_killed_process_left_is_removed(place: Place) -> None:
    own = place.stick / targets.partial_name(place.book.tag)
    books.change(place.store, place.home, lambda book: book)
    own = place.stick / targets.partial_name(place.book.tag)
    others = [place.stick / targets.partial_name("0" * 8) for _ in range(2)]
    strange = place.stick / ".keyferry-mine.partial"
    for path in (own, *others, strange):
        path.write_bytes(b"half")
    os.utime(others[1], (1, 1))
    place.create()
    assert [path.exists() for path in (own, *others, strange)] == [False, True, False, True]


# -- one file


def test_a_set_is_made_as_one_file_and_the_schedule_goes_on_as_if_it_were_not(place: Place) -> None:
    path = place.folder / "one.keyferry"
    done = place.create(to=path)
    assert done.made is not None
    assert reading.check(path, making.own_opener(place.store)).manifest.set == done.made.id
    assert (written(place.local), place.book.newest) == ([], "")
    assert place.create(if_changed=True).made is not None


def test_one_file_is_written_nowhere_where_something_is(place: Place) -> None:
    (place.folder / "there").write_text("x")
    (place.folder / "link").symlink_to("nowhere")
    for name, error in (
        ("there", TargetExists),
        ("link", UnsafeTarget),
        ("stick", UnsafeTarget),
        ("no/x", CannotWrite),
    ):
        with pytest.raises(error):
            place.create(to=place.folder / name)
    assert (place.folder / "there").read_text() == "x"


# -- secrets


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


OPENED: list[str] = []
WATCHING = False


def _watch(event: str, given: tuple[Any, ...]) -> None:
    if WATCHING and event == "open" and isinstance(given[0], str) and given[2] & (os.O_WRONLY | os.O_RDWR):
        OPENED.append(given[0])


sys.addaudithook(_watch)


def test_no_plaintext_is_ever_in_a_file(place: Place) -> None:
    """The only files that are written are the set's own; none of them, nor any other, holds a word of the vault."""
    global WATCHING
    OPENED.clear()
    WATCHING = True
    try:
        done = place.create()
        place.edit()
        place.create()
    finally:
        WATCHING = False
    assert done.troubles == ()
    for path in OPENED:
        assert path == str(place.home / making.LOCK) or Path(path).name.endswith((".partial", ".new"))
    for path, data in contents(place.folder).items():
        for word in (PASSWORD, "a contract", '"ada"', '"Mail"', '"Bank"'):  # long enough never to be there by chance
            assert word.encode() not in data, path


def test_no_error_tells_what_is_in_the_vault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise DamagedBackup("told")

    monkeypatch.setattr(sealing, "seal", fail)
    with pytest.raises(DamagedBackup) as caught:
        place.create()
    assert PASSWORD not in repr(caught.value)
    assert PASSWORD not in repr(place.book)


def test_room_is_asked_for_rather_more_than_less(place: Place) -> None:
    from backup import payload

    with place.store.snapshot():
        asked = making.gathered_size(payload.gather(place.store, NOW))
    made = place.create().made
    assert made is not None
    assert made.size <= asked
