"""A target is known by its marker, never by its path alone; links and strangers' folders are left alone."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import book as books
from backup import mounts, targets
from backup.book import LOCAL, Book, Copy, Target
from vault import moment
from vault.errors import CannotRead, CannotWrite, NoTarget, TargetMissing, UnsafeTarget, UsageError

EMPTY = Book(tag="0" * 8)


def known(*found: Target) -> Book:
    return Book(tag="0" * 8, targets=found)


# -- names


@given(st.integers(0, 4_102_444_800), st.binary(min_size=8, max_size=8))
def test_a_sets_name_tells_its_time_and_half_of_its_id(seconds: int, random: bytes) -> None:
    name = targets.set_name(moment.from_seconds(seconds), random.hex())
    found = targets.NAME.fullmatch(name)
    assert found is not None
    assert found[2] == random.hex()[:8]
    assert moment.from_seconds(seconds).replace("-", "").replace(":", "") == found[1]


@pytest.mark.parametrize(
    "name",
    [
        "keyferry-20261123T210000Z-1f3a77c0.keyferry.partial",
        "keyferry-20261123T210000Z-1f3a77c.keyferry",
        "keyferry-20261123T210000Z-1F3A77C0.keyferry",
        "keyferry-2026-11-23-1f3a77c0.keyferry",
        ".keyferry-20261123T210000Z-1f3a77c0.keyferry",
        "keyferry-20261123T210000Z-1f3a77c0.keyferry\n",
    ],
)
def test_other_names_are_not_those_of_sets(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert list(targets.files(tmp_path)) == []


def test_sets_are_regular_files(tmp_path: Path) -> None:
    good, link, folder, pipe = (f"keyferry-20261123T21000{n}Z-1f3a77c0.keyferry" for n in range(4))
    (tmp_path / good).touch()
    (tmp_path / link).symlink_to(good)
    (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / pipe)
    assert list(targets.files(tmp_path)) == [tmp_path / good]
    with pytest.raises(CannotRead):
        list(targets.files(tmp_path / "missing"))


# -- adding


def test_a_new_folder_is_private_and_marked(tmp_path: Path) -> None:
    found = targets.add(EMPTY, tmp_path / "a" / "b")
    assert (found.path, found.append_only) == (str(tmp_path / "a/b"), False)
    assert [one.stat().st_mode & 0o777 for one in (tmp_path / "a", tmp_path / "a/b")] == [0o700, 0o700]
    marker = tmp_path / "a/b" / targets.MARKER
    assert json.loads(marker.read_text()) == {"keyferry-target": 1, "id": found.id}
    assert targets.marker_of(tmp_path / "a/b") == found.id
    assert targets.locate(found) == tmp_path / "a/b"


def test_an_empty_folder_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o755)
    targets.add(EMPTY, tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_look_into_is_refused_unless_forced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o755)
    (tmp_path / "a" / "photo").touch()
    with pytest.raises(UnsafeTarget, match="others on this machine") as caught:
        targets.add(EMPTY, tmp_path / "a")
    assert "chmod 700" in caught.value.hint
    assert not (tmp_path / "a" / targets.MARKER).exists()
    assert targets.add(EMPTY, tmp_path / "a", force=True).id
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755, "what is not ours keeps its rights"


def test_a_file_system_without_rights_need_not_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a").chmod(0o777)
    (tmp_path / "a" / "photo").touch()
    stick = SimpleNamespace(kind="vfat", volume="", point=Path("/"))
    monkeypatch.setattr(mounts, "mount_of", lambda path: stick)
    assert targets.add(EMPTY, tmp_path / "a").id


def test_links_files_and_odd_names_are_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    with pytest.raises(UnsafeTarget, match="symbolic link") as caught:
        targets.add(EMPTY, tmp_path / "link")
    assert str(tmp_path / "real") in caught.value.hint
    with pytest.raises(UnsafeTarget, match="symbolic link"):
        targets.add(EMPTY, tmp_path / "loop")
    with pytest.raises(UnsafeTarget, match="is not a folder"):
        targets.add(EMPTY, tmp_path / "file")
    for name in ("file/below", "loop/below"):
        with pytest.raises((CannotWrite, UnsafeTarget)):
            targets.add(EMPTY, tmp_path / name)
    assert list((tmp_path / "real").iterdir()) == []


def test_a_link_further_up_is_followed_once(tmp_path: Path) -> None:
    """``/media`` may well be one; what is remembered is where it led."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert targets.add(EMPTY, tmp_path / "link" / "a").path == str(tmp_path / "real" / "a")


def test_a_user_there_is_not_is_just_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert targets.add(EMPTY, Path("~nobody-of-that-name/a")).path == str(tmp_path / "~nobody-of-that-name/a")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert targets.add(EMPTY, Path("~/b")).path == str(tmp_path / "b")
    with pytest.raises(NoTarget):
        targets.find(EMPTY, "~nobody-of-that-name")


def test_a_folder_that_cannot_be_looked_into_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(CannotWrite, match="permission denied"):
        targets.add(EMPTY, tmp_path / "a")


def test_a_target_is_not_added_twice(tmp_path: Path) -> None:
    found = targets.add(EMPTY, tmp_path / "a")
    for path in (tmp_path / "a", tmp_path / "b" / ".." / "a"):
        with pytest.raises(UsageError, match="already"):
            targets.add(known(found), path)


def test_a_folder_that_moved_keeps_its_id(tmp_path: Path) -> None:
    found = targets.add(EMPTY, tmp_path / "a", append_only=True)
    book = known(msgspec.structs.replace(found, copies=(Copy("0" * 16),)))
    (tmp_path / "a").rename(tmp_path / "b")
    moved = targets.add(book, tmp_path / "b")
    assert (moved.id, moved.path, moved.copies) == (found.id, str(tmp_path / "b"), (Copy("0" * 16),))
    assert moved.append_only, "what is append-only stays so"


def test_a_folder_that_lost_its_marker_is_the_same_target_when_it_is_added_again(tmp_path: Path) -> None:
    """That is what the refusal tells the person to do; a second target of the same folder would be its outcome."""
    found = targets.add(EMPTY, tmp_path / "a")
    (tmp_path / "a" / targets.MARKER).unlink()
    with pytest.raises(TargetMissing, match="marker") as caught:
        targets.locate(found)
    assert "keyferry backup target add" in caught.value.hint
    again = targets.add(known(found), tmp_path / "a")
    assert again.id == found.id
    assert targets.locate(found) == tmp_path / "a"
    assert len(books.with_target(known(found), again).targets) == 1


def test_another_vaults_folder_keeps_its_id_too(tmp_path: Path) -> None:
    """So two vaults can share a stick."""
    first = targets.add(EMPTY, tmp_path / "a")
    assert targets.add(EMPTY, tmp_path / "a").id == first.id


# -- the marker


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"keyferry-target": 2, "id": "0123456789abcdef"}',
        '{"keyferry-target": 1, "id": "../../etc"}',
        '{"keyferry-target": 1, "id": 5}',
        '{"keyferry-target": 1}',
        "[" * 4000,
        "x" * 5000,
    ],
)
def test_what_is_no_marker_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / targets.MARKER).write_text(text)
    assert targets.marker_of(tmp_path) is None


def test_a_marker_is_no_link_and_no_folder(tmp_path: Path) -> None:
    found = targets.add(EMPTY, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / targets.MARKER).symlink_to(tmp_path / "a" / targets.MARKER)
    (tmp_path / "c" / targets.MARKER).mkdir(parents=True)
    assert targets.marker_of(tmp_path / "a") == found.id
    assert [targets.marker_of(tmp_path / name) for name in ("b", "c", "missing")] == [None] * 3


# -- finding them again


def test_another_folder_in_its_place_is_not_written_to(tmp_path: Path) -> None:
    """An unplugged drive leaves its mount point; another stick may lie there."""
    found = targets.add(EMPTY, tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "real")
    with pytest.raises(TargetMissing, match="is gone"):
        targets.locate(found)
    (tmp_path / "a").mkdir()
    with pytest.raises(TargetMissing, match="not the backup target it was"):
        targets.locate(found)
    targets.mark(tmp_path / "a", "f" * 16)
    with pytest.raises(TargetMissing):
        targets.locate(found)
    (tmp_path / "a" / targets.MARKER).unlink()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").symlink_to("real")
    with pytest.raises(UnsafeTarget, match="become a symbolic link"):
        targets.locate(found)


def test_a_drive_is_found_wherever_it_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "inside").mkdir(parents=True, mode=0o700)
    here = [SimpleNamespace(kind="ext4", volume="1234-ABCD", point=old)]
    monkeypatch.setattr(mounts, "mounts", lambda: here)
    monkeypatch.setattr(mounts, "mount_of", lambda path: here[0])
    found = targets.add(EMPTY, old / "inside")
    assert (found.volume, found.inside) == ("1234-ABCD", "inside")
    old.rename(new)
    with pytest.raises(TargetMissing, match="the drive of the backup target"):
        targets.locate(found)
    here[0] = SimpleNamespace(kind="ext4", volume="1234-ABCD", point=new)
    assert targets.locate(found) == new / "inside"
    moved = targets.moved(found, new / "inside")
    assert (moved.id, moved.path) == (found.id, str(new / "inside"))
    here[0] = SimpleNamespace(kind="ext4", volume="another", point=new)
    with pytest.raises(TargetMissing):
        targets.locate(found)


def test_a_mount_table_that_cannot_be_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(mounts, "mounts", refuse)
    monkeypatch.setattr(mounts, "mount_of", refuse)
    found = targets.add(EMPTY, tmp_path / "a")
    assert targets.locate(msgspec.structs.replace(found, volume="1234")) == tmp_path / "a"


def test_the_vaults_own_folder_is_made_where_it_is_missing(tmp_path: Path) -> None:
    local = Target(id=LOCAL, path=str(tmp_path / "backups"))
    assert targets.locate(local) == tmp_path / "backups"
    assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o700
    assert targets.marker_of(tmp_path / "backups") == LOCAL
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(UnsafeTarget):
        targets.locate(Target(id=LOCAL, path=str(tmp_path / "link")))


def test_a_target_is_named_by_id_path_or_last_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = targets.add(EMPTY, tmp_path / "one" / "backups")
    second = targets.add(EMPTY, tmp_path / "two" / "backups")
    third = targets.add(EMPTY, tmp_path / "stick")
    book = known(first, second, third)
    monkeypatch.chdir(tmp_path)
    for text, found in ((first.id, first), (second.path, second), ("stick", third), ("one/../two/backups", second)):
        assert targets.find(book, text) == found
    for text in ("backups", "nothing", "", "/"):
        with pytest.raises(NoTarget):
            targets.find(book, text)


def test_room_is_that_of_the_disk(tmp_path: Path) -> None:
    assert targets.room(tmp_path) > 0
    with pytest.raises(CannotRead):
        targets.room(tmp_path / "missing")
