"""device: pair, join, list and revoke, as a person types them and as a program does."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.migrate.terminal import Terminal
from tests.vault.sync.terminals import Typing, meeting, pair, set_password, terminal


@pytest.fixture
def laptop(tmp_path: Path) -> Terminal:
    found = terminal(tmp_path, "laptop").init()
    set_password(found, "add", "Bank", "CANARY-1")
    return found


@pytest.fixture
def phone(tmp_path: Path) -> Terminal:
    return terminal(tmp_path, "phone")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "stick"
    place.mkdir()
    return place


def test_a_session_from_pairing_to_revocation(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    host, guest = pair(laptop, phone, folder)
    assert (host.code, guest.code) == (0, 0)
    assert "has joined this vault; if that was not you: keyferry device revoke " in host.last
    assert guest.last == "this device has joined; 1 item here"
    assert not [name for name in os.listdir(folder) if name.startswith("keyferry-pair")]
    listed = laptop("device", "list", "--json").json()
    assert [one["this"] for one in listed] == [True, False]
    assert laptop("device", "list").last == "2 devices belong to this vault"
    assert phone("show", "Bank", "--field", "password", "--reveal").out.strip() == "CANARY-1"
    id_ = listed[1]["id"]

    done = laptop("device", "revoke", id_[:8], "--json")
    assert done.code == 0
    told = done.json()
    assert (told["device"], told["told"]) == (id_, True)
    assert [(one["title"], one["what"]) for one in told["secrets"]] == [("Bank", "Password")]
    assert "CANARY" not in done.out + done.err
    assert laptop("backup", "list", "--json").json()  # made at once, without it
    set_password(laptop, "edit", "Bank", "CANARY-2")
    assert laptop("sync").code == 0

    refused = phone("sync")
    assert refused.code == 58
    assert "this device was revoked on" in refused.err
    assert phone("show", "Bank", "--field", "password", "--reveal").out.strip() == "CANARY-1"
    states = [one["revoked_at"] is None for one in laptop("device", "list", "--json").json()]
    assert states == [True, False]


def test_a_new_kit_that_another_device_made_is_shown_and_ended(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    pair(laptop, phone, folder)
    made = phone("kit", "new")
    assert "your other devices show that for 7 days" in made.out
    assert phone("sync").code == 0
    assert phone("status", "--json").json()["new_kit"] is None
    synced = laptop("sync")
    assert synced.code == 0
    name = laptop("status", "--json").json()["new_kit"]["device"]
    warning = f"{name} made a new recovery kit on "
    for command in (("status",), ("sync", "status"), ("device", "list"), ("sync",)):
        told = laptop(*command)
        assert warning in told.err, command
        assert "ends that kit too" in told.err
    doctor = laptop("sync", "doctor")
    assert doctor.code == 5
    assert warning in doctor.out
    (maker,) = [one for one in laptop("device", "list", "--json").json() if one["made_new_kit"]]
    set_password(laptop, "edit", "Bank", "CANARY-2")
    assert laptop("backup", "create").code == 0

    ended = laptop("device", "revoke", maker["id"][:8])
    assert ended.code == 0
    assert "is ended with it; the one from before is in force again" in ended.out
    assert laptop("status", "--json").json()["new_kit"] is None
    assert phone("sync").code == 58
    kit = laptop.home.parent / "kit of the laptop.txt"
    assert laptop("kit", "save", kit).code == 0
    assert laptop("kit", "check", kit).code == 0
    assert laptop("sync", "doctor").code == 0
    verified = laptop("backup", "verify", "--all")  # also what was made under the list that is no longer in force
    assert verified.code == 0, verified.out + verified.err


def test_a_device_that_joined_sends_for_the_kit_to_the_one_that_made_it(
    laptop: Terminal, phone: Terminal, folder: Path, tmp_path: Path
) -> None:
    pair(laptop, phone, folder)
    told = phone("status")
    assert "not checked on this device" in told.out
    assert "the device that made the kit can save it" in told.out
    refused = phone("kit", "save", tmp_path / "kit.txt")
    assert refused.code == 2
    assert "keyferry kit save on that device" in refused.err
    assert laptop("kit", "save", tmp_path / "kit.txt").code == 0
    assert phone("kit", "check", tmp_path / "kit.txt").code == 0
    assert phone("status", "--json").json()["kit"] == "checked"


def test_a_new_kit_that_the_old_one_signed_is_everybodys_at_once(
    laptop: Terminal, phone: Terminal, folder: Path, tmp_path: Path
) -> None:
    pair(laptop, phone, folder)
    first, second = tmp_path / "first.txt", tmp_path / "second.txt"
    assert laptop("kit", "save", first).code == 0
    assert laptop("kit", "check", first).code == 0
    assert laptop("kit", "new", "--kit", first).code == 0
    assert laptop("kit", "save", second).code == 0
    for one in (laptop, phone):
        assert one("sync").code == 0
    assert phone("status", "--json").json()["new_kit"] is None
    assert phone("kit", "check", first).code != 0
    assert phone("kit", "check", second).code == 0


def test_the_digits_may_have_spaces_and_programs_read_json(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    with meeting(laptop, phone, folder, "--json") as (one, two, digits):
        one.type(f" {digits[:3]} {digits[3:]}")
        host, guest = one.end(), two.end()
    assert (host.code, guest.code) == (0, 0)
    for done in (host, guest):
        objects = [json.loads(line) for line in done.out.splitlines() if line.startswith("{") and line.endswith("}")]
        assert objects
    assert '"items": 1' in guest.out


@pytest.mark.parametrize("wrong", [lambda digits: f"{(int(digits) + 1) % 10**6:06d}", lambda _: "", lambda _: "abc"])
def test_wrong_digits_end_it_on_both_sides_and_nothing_is_kept(
    laptop: Terminal, phone: Terminal, folder: Path, wrong: Callable[[str], str]
) -> None:
    with meeting(laptop, phone, folder) as (one, two, digits):
        one.type(wrong(digits))
        host, guest = one.end(), two.end()
    assert (host.code, guest.code) == (57, 57)
    assert "nothing was shared" in host.err
    assert "gave up" in guest.err
    assert len(laptop("device", "list", "--json").json()) == 1
    assert not phone.home.exists()
    assert not phone.key.exists()
    assert pair(laptop, phone, folder)[1].code == 0  # a second time, rightly


def test_who_ends_the_input_instead_of_typing_shares_nothing(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    with meeting(laptop, phone, folder) as (one, two, _):
        host, guest = one.end(), two.end()
    assert host.code == 2
    assert guest.code == 57
    assert not phone.home.exists()


def test_a_mistyped_code_is_told_before_anything_is_done(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    done = phone("device", "join", "KF1-AAAAAAAA", "--folder", folder, "--key-file", phone.key)
    assert done.code == 57
    assert "a letter of it is wrong" in done.err
    assert os.listdir(folder) == []
    assert not phone.home.exists()


def test_a_code_may_come_from_standard_input(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    done = phone.shell("device", "join", "-", "--folder", folder, "--key-file", phone.key, stdin=b"KF1-junk\n")
    assert done.code == 57


def test_a_home_with_a_vault_does_not_join_another(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    phone.init()
    before = (phone.home / "vault.db").read_bytes()
    done = phone("device", "join", "KF1-AAAA", "--folder", folder)
    assert done.code == 22
    assert "there is a vault in" in done.err
    assert (phone.home / "vault.db").read_bytes() == before


def test_a_folder_that_is_not_the_others_is_told_at_once(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir()
    one = Typing(laptop, "device", "pair", "--folder", folder)
    try:
        done = phone("device", "join", one.until("code"), "--folder", elsewhere, "--key-file", phone.key)
    finally:
        one.process.kill()
        one.process.wait()
    assert done.code == 57
    assert "does not have the meeting place" in done.err
    assert os.listdir(elsewhere) == []
    assert not phone.home.exists()


def test_a_code_for_a_folder_needs_the_folder(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    one = Typing(laptop, "device", "pair", "--folder", folder)
    try:
        done = phone("device", "join", one.until("code"), "--key-file", phone.key)
    finally:
        one.process.kill()
        one.process.wait()
    assert done.code == 2
    assert "--folder DIR" in done.err


def test_a_folder_that_is_away_is_told(laptop: Terminal, tmp_path: Path) -> None:
    done = laptop("device", "pair", "--folder", tmp_path / "away")
    assert done.code == 55
    assert "is not here" in done.err


def test_pairing_without_a_way_says_what_to_name(laptop: Terminal) -> None:
    done = laptop("device", "pair")
    assert done.code == 58
    assert "--folder DIR" in done.err


def test_the_code_can_be_a_picture(laptop: Terminal, folder: Path, tmp_path: Path) -> None:
    one = Typing(laptop, "device", "pair", "--folder", folder, "--png", tmp_path / "code.png")
    try:
        one.until("code")
    finally:
        one.process.kill()
        one.process.wait()
    assert (tmp_path / "code.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "code.png").stat().st_mode & 0o077 == 0


def test_a_device_that_is_interrupted_lets_the_other_know(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    with meeting(laptop, phone, folder) as (one, two, _):
        one.process.send_signal(signal.SIGINT)
        assert one.end().code == 130
        guest = two.end()
    assert guest.code == 57
    assert not phone.home.exists()


def test_when_all_devices_are_lost_the_kit_brings_the_vault_back(tmp_path: Path, folder: Path) -> None:
    laptop = terminal(tmp_path, "laptop")
    kit = tmp_path / "kit.txt"
    assert laptop("init", "--key-file", laptop.key, "--kit", kit).code == 0
    set_password(laptop, "add", "Bank", "pw")
    assert laptop("sync", "--folder", folder).code == 0
    vault = laptop("status", "--json").json()["vault"]
    for name in ("vault.db", "vault.json"):
        (laptop.home / name).unlink()
    new = terminal(tmp_path, "new")
    assert "the relay or the folder" in new("device", "join", "--kit", kit, "--key-file", new.key).err
    typed = tmp_path / "typed.txt"
    typed.write_text(next(line for line in kit.read_text().splitlines() if not line.startswith("#")))
    lacking = new("device", "join", "--kit", typed, "--folder", folder, "--key-file", new.key)
    assert lacking.code == 2
    assert "--vault ID" in lacking.err
    done = new("device", "join", "--kit", kit, "--folder", folder, "--key-file", new.key)
    assert done.code == 0, done.err
    assert new("status", "--json").json()["vault"] == vault
    assert done.last == "this device has joined; 1 item here"
    set_password(new, "edit", "Bank", "new")
    assert new("sync").code == 0


def test_an_old_backup_of_a_synced_vault_comes_back_by_the_kit_and_loses_nothing(tmp_path: Path, folder: Path) -> None:
    laptop, kit = terminal(tmp_path, "laptop"), tmp_path / "kit.txt"
    assert laptop("init", "--key-file", laptop.key, "--kit", kit).code == 0
    set_password(laptop, "add", "Old", "pw")
    assert laptop("sync", "--folder", folder).code == 0
    assert laptop("backup", "create").code == 0
    set_password(laptop, "add", "After the backup", "pw")
    laptop("edit", "Old", "--set", "username=newer")
    assert laptop("sync").code == 0
    new = terminal(tmp_path, "new")
    (backup,) = (laptop.home / "backups").glob("*.keyferry")
    assert new("restore", backup, "--kit", kit, "--key-file", new.key).code == 0
    assert new("edit", "Old", "--set", "url=https://restored.example").code == 0
    done = new("sync", "--folder", folder, "--kit", kit)
    assert done.code == 0, done.err
    assert new("list").last.startswith("2 items")
    assert laptop("sync").code == 0
    for one in (laptop, new):
        shown = one("show", "Old").out
        assert "newer" in shown
        assert "restored.example" in shown


def test_a_passphrase_is_asked_for_before_the_code(phone: Terminal) -> None:
    done = phone.shell("device", "join", "--passphrase", "-", stdin=b"a long passphrase\na long passphrase\nKF1-junk\n")
    assert done.code == 57


def test_nobody_is_called_so(laptop: Terminal) -> None:
    done = laptop("device", "revoke", "tablet")
    assert done.code == 35
    assert "no device is called" in done.err


def test_the_only_device_is_not_revoked(laptop: Terminal) -> None:
    id_ = laptop("device", "list", "--json").json()[0]["id"]
    done = laptop("device", "revoke", id_)
    assert done.code == 2
    assert "only device" in done.err
    assert laptop("device", "list").last == "1 device belongs to this vault"


def test_a_killed_join_leaves_no_vault(laptop: Terminal, phone: Terminal, folder: Path) -> None:
    with meeting(laptop, phone, folder) as (_, two, _digits):
        two.process.kill()
        two.process.wait()
    assert not (phone.home / "vault.db").exists()
