"""sync, its status and its doctor, as a person types them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.migrate.terminal import Terminal
from tests.vault.sync.terminals import pair, terminal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "stick"
    place.mkdir()
    return place


@pytest.fixture
def two(tmp_path: Path, folder: Path) -> tuple[Terminal, Terminal]:
    laptop, phone = terminal(tmp_path, "laptop").init(), terminal(tmp_path, "phone")
    assert laptop("add", "login", "--title", "Bank", "--set", "username=ada").code == 0
    assert [done.code for done in pair(laptop, phone, folder)] == [0, 0]
    assert [one("sync").code for one in (laptop, phone, laptop)] == [0, 0, 0]
    return laptop, phone


def root(folder: Path) -> Path:
    (found,) = folder.glob("keyferry-*")
    return found


def test_a_session(two: tuple[Terminal, Terminal], folder: Path) -> None:
    laptop, phone = two
    assert laptop("edit", "Bank", "--set", "username=grace").code == 0
    sent = laptop("sync")
    assert (sent.code, sent.err) == (0, "")
    assert sent.last == f"synced through the folder {folder}: 1 sent, 0 received, 1 item here"
    told = phone("sync", "--json").json()
    assert (told["received"], told["items_changed"], told["items"], told["findings"]) == (1, 1, 1, [])
    assert "grace" in phone("show", "Bank").out


def test_a_vault_that_is_not_synced_says_what_to_do(tmp_path: Path) -> None:
    alone = terminal(tmp_path, "alone").init()
    done = alone("sync")
    assert done.code == 58
    assert "--folder DIR" in done.err
    assert alone("sync", "status").last == "this vault is not synced: keyferry device pair"
    assert alone("sync", "status", "--json").json() == {"on": False}
    assert alone("sync", "doctor").code == 5
    assert alone("status", "--json").json()["sync"] is None


def test_relay_and_folder_exclude_each_other(two: tuple[Terminal, Terminal], folder: Path) -> None:
    done = two[0]("sync", "--relay", "https://relay.example", "--folder", folder)
    assert done.code == 2


def test_status_shows_the_devices_and_the_way(two: tuple[Terminal, Terminal], folder: Path) -> None:
    laptop, _ = two
    told = laptop("sync", "status", "--json").json()
    assert (told["on"], told["way"], told["waiting"], told["unsent"], told["strange_files"]) == (
        True,
        f"folder {folder}",
        0,
        0,
        0,
    )
    assert [one["this"] for one in told["devices"]] == [True, False]
    whole = laptop("status", "--json").json()["sync"]
    assert (whole["way"], whole["devices"], whole["unsent"]) == (f"folder {folder}", 2, 0)
    assert f"2 devices, through the folder {folder}" in laptop("status").out.replace("\n", " ")


def test_a_change_that_was_not_synced_is_told(two: tuple[Terminal, Terminal]) -> None:
    laptop, _ = two
    assert laptop("edit", "Bank", "--set", "username=new").code == 0
    assert "1 change on this device not sent yet" in laptop("sync", "status").out
    assert laptop("status", "--json").json()["sync"]["changed"] == 1
    doctor = laptop("sync", "doctor")
    assert (doctor.code, doctor.last) == (5, "found 1 cause")
    assert laptop("sync").code == 0
    assert laptop("sync", "doctor").code == 0


def test_files_of_strangers_are_counted_in_status(two: tuple[Terminal, Terminal], folder: Path) -> None:
    place = root(folder)
    (place / "log" / "notes.txt").write_bytes(b"mine")
    (place / "members" / "desktop.ini").write_bytes(b"")
    os.mkfifo(place / "members" / "pipe")
    assert two[0]("sync").code == 0
    assert "none of Keyferry's or not whole: 3 files" in two[0]("sync", "status").out
    assert two[0]("sync", "status", "--json").json()["strange_files"] == 3


def test_a_folder_with_less_than_before_is_told_and_filled_again(two: tuple[Terminal, Terminal], folder: Path) -> None:
    laptop, phone = two
    assert laptop("sync").code == 0
    shutil.rmtree(root(folder) / "log")
    done = phone("sync")
    assert done.code == 56
    assert "shows less than before" in done.err
    assert "--upload-again" in done.err
    doctor = phone("sync", "doctor")
    assert doctor.code == 5
    assert "less of" in doctor.out
    assert phone("list").last.startswith("1 item")
    assert phone("sync", "--upload-again").code == 0
    assert laptop("sync", "--upload-again").code == 0
    assert (phone("sync").code, phone("sync", "doctor").last) == (0, "sync is in order")


def test_a_stick_that_is_away_is_told(two: tuple[Terminal, Terminal], folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    done = two[0]("sync", "--json")
    assert done.code == 55
    assert '"exit_code": 55' in done.err
    assert not folder.exists()
    assert two[0]("sync", "status").code == 0


def test_another_folder_is_used_from_then_on(two: tuple[Terminal, Terminal], tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for one in two:
        told = one("sync", "--folder", other)
        assert told.code == 0
        assert f"from now on through the folder {other}, no longer through the folder" in told.out
    assert two[0]("edit", "Bank", "--set", "username=through the other").code == 0
    assert [one("sync").code for one in two] == [0, 0]
    assert "through the other" in two[1]("show", "Bank").out


def test_another_folder_for_one_round_is_not_kept(two: tuple[Terminal, Terminal], folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    told = two[0]("sync", "--folder", other, "--once")
    assert told.code == 0
    assert f"synced through the folder {other}" in told.out
    assert "from now on" not in told.out
    assert two[0]("sync", "--json").json()["way"] == f"folder {folder}"


def test_an_item_deleted_here_and_changed_there_stays_and_that_is_said(two: tuple[Terminal, Terminal]) -> None:
    laptop, phone = two
    assert laptop("rm", "Bank", "--purge", "--yes").code == 0
    assert phone("edit", "Bank", "--set", "username=still needed").code == 0
    assert laptop("sync").code == 0
    done = phone("sync")
    assert "Bank was deleted on one device and changed on another: it stays" in done.out
    assert laptop("sync").code == 0
    assert "still needed" in laptop("show", "Bank").out


def test_an_import_undone_after_sync_is_undone_on_the_other(two: tuple[Terminal, Terminal]) -> None:
    laptop, phone = two
    file = laptop.write("new.csv", b"name,url,username,password\nNew,https://new.example,ada,pw\n")
    assert laptop("migrate", file).code == 0
    assert [one("sync").code for one in two] == [0, 0]
    assert phone("list").last.startswith("2 items")
    assert laptop("undo").code == 0
    assert [one("sync").code for one in two] == [0, 0]
    assert phone("list").last.startswith("1 item")
