"""Private files are whole or absent, private whatever the umask, and never reached through a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from vault.errors import CannotRead, CannotWrite, DiskFull, KeyferryError, TargetExists, UnsafeTarget, VaultBusy
from vault.files import held, make_private_folder, private_file, read_file, write_private


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
@pytest.mark.parametrize("replace", [True, False])
def test_a_file_is_private_whatever_the_umask(tmp_path: Path, umask: int, replace: bool) -> None:
    before = os.umask(umask)
    try:
        write_private(tmp_path / "key", b"body", replace=replace)
    finally:
        os.umask(before)
    assert rights(tmp_path / "key") == 0o600
    assert (tmp_path / "key").read_bytes() == b"body"
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_made_folders_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        made = make_private_folder(tmp_path / "a" / "b")
    finally:
        os.umask(before)
    assert [rights(path) for path in made] == [0o700, 0o700]
    assert made == (tmp_path / "a" / "b", tmp_path / "a")


def test_a_folder_in_use_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "something").touch()
    assert make_private_folder(tmp_path) == ()
    assert rights(tmp_path) == 0o755


def test_an_empty_folder_becomes_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert rights(tmp_path) == 0o700


@pytest.mark.parametrize("target", ["there", "nowhere"])
@pytest.mark.parametrize("replace", [True, False])
def test_a_link_at_the_destination_is_refused(tmp_path: Path, target: str, replace: bool) -> None:
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / target)
    with pytest.raises(UnsafeTarget):
        write_private(tmp_path / "link", b"new", replace=replace)
    assert (tmp_path / "there").read_bytes() == b"old"
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_at_the_destination_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsafeTarget):
        write_private(tmp_path, b"new")


def test_an_existing_file_stays_without_replace(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(TargetExists):
        write_private(tmp_path / "file", b"new", replace=False)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_stays_without_replace(tmp_path: Path) -> None:
    with pytest.raises(TargetExists), private_file(tmp_path / "file", replace=False) as out:
        out.write(b"new")
        (tmp_path / "file").write_bytes(b"theirs")
    assert (tmp_path / "file").read_bytes() == b"theirs"
    assert len(list(tmp_path.iterdir())) == 1


def test_where_hard_links_are_missing_the_name_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_private(tmp_path / "file", b"new", replace=False)
    assert (tmp_path / "file").read_bytes() == b"new"
    with pytest.raises(TargetExists):
        write_private(tmp_path / "file", b"newer", replace=False)


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EROFS, CannotWrite)])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_refusing_disk_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[KeyferryError], call: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "file").write_bytes(b"old")
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(kind):
        write_private(tmp_path / "file", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_what_a_killed_writing_left_goes_with_the_next_one_after_an_hour(tmp_path: Path) -> None:
    old, young, other = (
        tmp_path / name for name in (f".keyferry-{'a' * 16}.new", f".keyferry-{'b' * 16}.new", "x.new")
    )
    for path in (old, young, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_private(tmp_path / "file", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"file", young.name, other.name}


def test_a_new_name_that_cannot_be_made_durable_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("vault.files.sync_folder", refuse)
    with pytest.raises(CannotWrite, match="input/output error"):
        write_private(tmp_path / "file", b"new", replace=False)
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), private_file(tmp_path / "file") as out:
        out.write(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="no such file or directory"):
        write_private(tmp_path / "missing" / "file", b"new")
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="not a directory"):
        write_private(tmp_path / "file" / "inner", b"new")
    with pytest.raises(CannotWrite):
        make_private_folder(tmp_path / "file" / "inner")


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    for path, words in (
        (tmp_path / "none", "there is no file"),
        (tmp_path, "directory"),
        (tmp_path / "large", "large"),
    ):
        with pytest.raises(CannotRead, match=words):
            read_file(path, limit=10)
    assert read_file(tmp_path / "large", limit=11) == b"x" * 11


def test_only_one_holds_the_lock(tmp_path: Path) -> None:
    with held(tmp_path / "lock"), pytest.raises(VaultBusy), held(tmp_path / "lock"):
        pass
    with held(tmp_path / "lock"):
        assert rights(tmp_path / "lock") == 0o600
