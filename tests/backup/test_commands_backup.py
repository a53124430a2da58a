"""The commands about backups, as they are typed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from backup import book as books
from backup import making
from backup.reading import check
from tests.backup import sets
from tests.backup.sets import DEVICE, KIT, NOW, PASSWORD, flip, written
from tests.migrate.terminal import Done, Terminal
from vault import device, moment
from vault.kit import new_kit

FRIEND = new_kit()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A vault with two items, its backups in its own folder and on a stick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(device, "new_device", lambda: DEVICE)
    terminal = Terminal(tmp_path, capsys).init()
    edit(terminal, "Mail", "Bank")
    good(terminal("backup", "target", "add", "stick"))
    return terminal


def edit(run: Terminal, *titles: str) -> None:
    with run.store() as store:
        for title in titles:
            store.put(sets.login(title.lower(), title), now=NOW)


def good(done: Done) -> Done:
    assert done.code == 0, done.err
    return done


def made(run: Terminal) -> dict[str, Any]:
    """Make a set and return what is told of it."""
    found: dict[str, Any] = good(run("backup", "create", "--json")).json()["made"]
    return found


# -- create


def test_a_backup_goes_to_every_target(run: Terminal, tmp_path: Path) -> None:
    done = good(run("backup", "create"))
    assert done.last.startswith("backed up 2 items (")
    assert done.last.endswith(") at 2 of 2 targets, read back and compared")
    local, stick = written(tmp_path / "home/backups"), written(tmp_path / "stick")
    assert [path.name for path in local] == [path.name for path in stick]
    assert len(local) == 1
    assert local[0].read_bytes() == stick[0].read_bytes()
    assert all(str(path) in done.out for path in (*local, *stick))


def test_a_backup_for_machines(run: Terminal, tmp_path: Path) -> None:
    told = good(run("backup", "create", "--json")).json()
    assert told["made"].keys() == {"id", "name", "made_at", "items", "size"}
    assert [one["path"] for one in told["places"]] == [
        str(tmp_path / "home/backups" / told["made"]["name"]),
        str(tmp_path / "stick" / told["made"]["name"]),
    ]


def test_a_target_that_has_vanished_is_exit_5_and_the_others_get_theirs(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stick").rename(tmp_path / "away")
    done = run("backup", "create")
    assert done.code == 5
    assert f"warning: the backup target {tmp_path}/stick is gone" in done.err
    assert "at 1 of 2 targets" in done.last
    assert len(written(tmp_path / "home/backups")) == 1


def test_when_every_target_is_away_it_is_the_first_ones_error(run: Terminal, tmp_path: Path) -> None:
    good(run("backup", "target", "remove", "local"))
    (tmp_path / "stick").rename(tmp_path / "away")
    done = run("backup", "create")
    assert (done.code, done.err.splitlines()[0]) == (51, f"error: the backup target {tmp_path}/stick is gone")
    good(run("backup", "target", "remove", "stick"))
    done = run("backup", "create")
    assert (done.code, done.err) == (52, "error: there is no backup target\nhint: keyferry backup target add DIR\n")


@pytest.mark.parametrize("name", ["link", "empty"])
def test_a_target_whose_folder_is_another_now_gets_nothing(run: Terminal, tmp_path: Path, name: str) -> None:
    (tmp_path / "stick").rename(tmp_path / "real")
    if name == "link":
        (tmp_path / "stick").symlink_to("real")
    else:
        (tmp_path / "stick").mkdir()
    done = run("backup", "create")
    assert done.code == 5
    assert ("symbolic link" in done.err) == (name == "link")
    assert written(tmp_path / "stick") == []


def test_a_lost_marker_is_put_back_by_adding_the_folder_again(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    (tmp_path / "stick/.keyferry-target").unlink()
    done = run("backup", "create")
    assert done.code == 5
    assert "its marker .keyferry-target is missing" in done.err
    good(run("backup", "target", "add", "stick"))
    assert len(good(run("backup", "target", "list", "--json")).json()) == 2
    good(run("backup", "create"))
    listed = {one["id"]: one["trouble"] for one in good(run("backup", "list", "stick", "--json")).json()}
    assert len(listed) == 2
    assert listed[first["id"]] == ""


def test_a_disk_without_hard_links_takes_backups(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    good(run("backup", "create"))
    assert good(run("backup", "verify")).last.startswith("2 files good")


def test_one_file_is_made_and_never_written_over(run: Terminal, tmp_path: Path) -> None:
    done = good(run("backup", "create", "--to", "one.keyferry"))
    assert "in one.keyferry, read back and compared" in done.last
    assert (tmp_path / "one.keyferry").stat().st_mode & 0o777 == 0o600
    before = (tmp_path / "one.keyferry").read_bytes()
    assert run("backup", "create", "--to", "one.keyferry").code == 42
    assert (tmp_path / "one.keyferry").read_bytes() == before
    assert run("backup", "create", "--to", "stick").code == 43
    assert run("backup", "create", "--to", "x", "--if-due").code == 2
    assert written(tmp_path / "stick") == []
    assert good(run("backup", "show", "one.keyferry", "--json")).json()["counts"]["items"] == 2


def test_what_is_due_is_made_once(run: Terminal, tmp_path: Path) -> None:
    """As a line in a crontab would type it."""
    assert "backed up 2 items" in good(run("backup", "create", "--if-due")).last
    for _ in range(2):
        assert good(run("backup", "create", "--if-due")).last == "no backup is due"
    edit(run, "Shop")
    assert good(run("backup", "create", "--if-due", "--json")).json() == {"made": None, "places": []}
    with run.store() as store:
        books.change(store, run.home, lambda book: _served(book, "2020-01-01T00:00:00Z"))
    assert "backed up 3 items" in good(run("backup", "create", "--if-due")).last
    assert len(written(tmp_path / "stick")) == 2


def _served(book: books.Book, at: str) -> books.Book:
    import msgspec

    return msgspec.structs.replace(book, served_at=at)


def test_what_is_due_and_the_same_is_not_made_again(run: Terminal, tmp_path: Path) -> None:
    good(run("backup", "create"))
    with run.store() as store:
        books.change(store, run.home, lambda book: _served(book, "2020-01-01T00:00:00Z"))
    assert good(run("backup", "create", "--if-due")).last == "nothing has changed since the newest backup"
    assert len(written(tmp_path / "stick")) == 1


def test_what_is_due_is_made_anew_when_every_file_is_gone(run: Terminal, tmp_path: Path) -> None:
    good(run("backup", "create"))
    for path in (*written(tmp_path / "stick"), *written(tmp_path / "home/backups")):
        path.unlink()
    with run.store() as store:
        books.change(store, run.home, lambda book: _served(book, "2020-01-01T00:00:00Z"))
    assert "backed up 2 items" in good(run("backup", "create", "--if-due")).last


def test_an_empty_vault_is_backed_up_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Terminal(tmp_path, capsys).init()
    assert "backed up 0 items" in good(run("backup", "create")).last


# -- list and show


def test_backups_are_listed_for_machines(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    told = good(run("backup", "list", "--json")).json()
    assert [one["path"] for one in told] == [
        str(path) for path in (written(tmp_path / "home/backups") + written(tmp_path / "stick"))
    ]
    for one in told:
        assert one.items() >= {"id": first["id"], "made_at": first["made_at"], "items": 2}.items()
        assert one["verified_at"] == one["made_at"]
        assert one["trouble"] == ""


@pytest.mark.parametrize("place", ["stick", "./stick", "local", "home/backups", "copy"])
def test_backups_of_one_place_are_listed(run: Terminal, tmp_path: Path, place: str) -> None:
    first = made(run)
    shutil.copytree(tmp_path / "stick", tmp_path / "copy")
    (told,) = good(run("backup", "list", place, "--json")).json()
    assert told["id"] == first["id"]
    assert (told["verified_at"] is None) == (place == "copy")
    assert good(run("backup", "list", place)).last == "1 backup"


def test_a_place_that_is_none_is_one_sentence(run: Terminal) -> None:
    done = run("backup", "list", "nowhere")
    assert (done.code, done.err.splitlines()[0]) == (52, "error: there is no backup target nowhere")
    assert good(run("backup", "list")).last == "0 backups"


def test_a_file_that_is_gone_is_listed_as_missing_with_exit_5(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    (tmp_path / "stick" / first["name"]).unlink()
    done = run("backup", "list")
    assert (done.code, done.last) == (5, "1 backup, 1 file of them in trouble")
    assert "missing" in done.out


@pytest.mark.parametrize("spelled", ["id", "beginning", "name", "path", "relative"])
def test_a_set_is_shown_however_it_is_called(run: Terminal, tmp_path: Path, spelled: str) -> None:
    first = made(run)
    which = {
        "id": first["id"],
        "beginning": first["id"][:5],
        "name": first["name"],
        "path": str(tmp_path / "stick" / first["name"]),
        "relative": f"stick/{first['name']}",
    }[spelled]
    told = good(run("backup", "show", which, "--json")).json()
    assert (told["set"], told["counter"], told["counts"]["items"]) == (first["id"], 1, 2)
    shown = good(run("backup", "show", which))
    assert [one["kind"] for one in told["recipients"]] == ["kit", "device"]
    assert shown.last == "its signature holds; keyferry backup verify reads all of it"
    assert PASSWORD not in shown.out and "Mail" not in shown.out


@pytest.mark.parametrize(("which", "code"), [("nothing", 47), ("junk", 45), ("stick", 47), ("other", 53), ("link", 19)])
def test_what_cannot_be_shown_is_one_sentence(run: Terminal, tmp_path: Path, which: str, code: int) -> None:
    first = made(run)
    (tmp_path / "junk").write_bytes(b"PK\3\4")
    (tmp_path / "other").write_bytes(sets.sealed(b"x", KIT.recipient))
    (tmp_path / "link").symlink_to(tmp_path / "stick" / first["name"])
    done = run("backup", "show", which)
    assert done.code == code
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


# -- verify


def test_good_backups_are_read_and_restored_into_memory(run: Terminal) -> None:
    first = made(run)
    done = good(run("backup", "verify"))
    assert done.last == "2 files good"
    assert "restored the newest backup into memory: all 2 items are as they were" in done.out
    assert good(run("backup", "verify", first["id"][:6])).last == "2 files good"
    assert good(run("backup", "verify", "--all", "--json")).json()[0]["verdict"] == "good"
    assert run("backup", "verify", "nothing").code == 47


def test_a_damaged_file_is_named_and_healed(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    path = tmp_path / "stick" / first["name"]
    flip(path)
    done = run("backup", "verify")
    assert (done.code, done.last) == (5, "1 file good, 1 bad")
    assert f"warning: {path}: the backup is cut off or altered" in done.err
    assert "cannot give back 2 items of today's vault: Mail, Bank" in done.out + done.err
    assert "keyferry backup verify --all --repair" in done.out + done.err
    assert run("backup", "list").code == 5
    healed = good(run("backup", "verify", "--all", "--repair"))
    assert healed.last == "1 file good, 1 healed"
    assert "was damaged, healed" in healed.out
    assert good(run("backup", "verify")).last == "2 files good"
    good(run("backup", "list"))


def test_a_missing_file_is_put_back(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    (tmp_path / "stick" / first["name"]).unlink()
    done = run("backup", "verify", "--json")
    assert done.code == 5
    assert [one["verdict"] for one in done.json()] == ["good", "missing"]
    good(run("backup", "verify", "--repair"))
    assert (tmp_path / "stick" / first["name"]).exists()


def test_a_renamed_file_is_told_by_its_right_name(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    (tmp_path / "stick" / first["name"]).rename(tmp_path / "stick/keyferry-20200101T000000Z-00000000.keyferry")
    done = run("backup", "verify")
    assert (done.code, done.last) == (5, "1 file good, 2 bad")
    assert f"it was renamed: the backup in it is called {first['name']}" in done.err


def test_an_old_set_put_in_the_place_of_a_new_one_is_found_out(run: Terminal, tmp_path: Path) -> None:
    old = made(run)
    edit(run, "Shop")
    new = made(run)
    shutil.copy(tmp_path / "stick" / old["name"], tmp_path / "stick" / new["name"])
    done = run("backup", "verify")
    assert done.code == 5
    assert "the file holds another backup than the one that was written there" in done.err


def test_a_strangers_file_is_named_and_never_touched(run: Terminal, tmp_path: Path) -> None:
    made(run)
    path = tmp_path / "stick/keyferry-20261120T210000Z-00000001.keyferry"
    path.write_bytes(b"not a backup")
    done = run("backup", "verify", "--repair")
    assert (done.code, done.last) == (5, "2 files good, 1 bad")
    assert path.read_bytes() == b"not a backup"
    path.write_bytes(sets.sealed(b"x", KIT.recipient))
    done = good(run("backup", "verify"))
    assert done.last == "2 files good, 1 sealed to others"
    assert "sealed to others" in good(run("backup", "list")).out


def test_a_target_out_of_reach_is_exit_5(run: Terminal, tmp_path: Path) -> None:
    made(run)
    (tmp_path / "stick").rename(tmp_path / "away")
    done = run("backup", "verify")
    assert (done.code, done.last) == (5, "1 file good, 1 target out of reach")


def test_an_append_only_target_is_never_altered(run: Terminal, tmp_path: Path) -> None:
    good(run("backup", "target", "add", "--append-only", "vaulted"))
    first = made(run)
    path = tmp_path / "vaulted" / first["name"]
    flip(path)
    before = path.read_bytes()
    done = run("backup", "verify", "--repair")
    assert done.code == 5
    assert "the target is append-only, so it was not replaced" in done.err
    assert path.read_bytes() == before
    assert "append-only: nothing is removed here" in good(run("backup", "prune")).err
    good(run("backup", "target", "remove", "vaulted"))
    good(run("backup", "target", "add", "vaulted", "--append-only"))


# -- prune


def old_sets(run: Terminal, count: int) -> None:
    """Make sets at the same minute of past days, as an agent would have."""
    with run.store() as store:
        clock = sets.Clock(moment.now()).later(days=-41 - count)
        for number in range(count):
            store.put(sets.login("mail", "Mail", f"{number}"), now=NOW)
            making.create(store, run.home, clock=clock.later(days=1))
        for _ in range(40):
            making.create(store, run.home, clock=clock.later(days=1))


def test_what_newer_backups_make_needless_goes(run: Terminal, tmp_path: Path) -> None:
    old_sets(run, 10)
    before = len(written(tmp_path / "stick"))
    dry = good(run("backup", "prune", "--dry-run"))
    assert dry.last.startswith("would remove ")
    assert len(written(tmp_path / "stick")) == before
    done = good(run("backup", "prune"))
    assert done.last == dry.last.replace("would remove", "removed")
    assert len(written(tmp_path / "stick")) < before
    assert good(run("backup", "prune")).last == "removed 0 files"
    assert good(run("backup", "verify")).code == 0


# -- diff


def test_two_states_are_compared_by_item_and_no_value_is_shown(run: Terminal) -> None:
    first = made(run)
    assert good(run("backup", "diff", first["id"])).last == "both hold the same items; the vault adds nothing"
    with run.store() as store:
        store.put(sets.login("mail", "Mail", "n3w"), now=NOW)
        store.purge("bank")
    edit(run, "Shop")
    second = made(run)
    for arguments in ([first["id"]], [first["id"], second["name"]]):
        done = good(run("backup", "diff", *arguments))
        later = "the second" if len(arguments) == 2 else "the vault"
        assert done.last == f"1 only in {later}, 1 changed, 1 not in {later}"
        assert PASSWORD not in done.out and "n3w" not in done.out
    told = good(run("backup", "diff", first["id"], second["id"], "--json")).json()
    assert [(one["title"], one["what"]) for one in told] == [
        ("Mail", "credentials"),
        ("Shop", "new"),
        ("Bank", "gone"),
    ]
    assert run("backup", "diff", first["id"], "nothing").code == 47


# -- target


def test_a_target_is_added_listed_and_removed(run: Terminal, tmp_path: Path) -> None:
    done = good(run("backup", "target", "add", "disk"))
    assert done.last == f"added the backup target {tmp_path}/disk; next: keyferry backup create"
    assert (tmp_path / "disk").stat().st_mode & 0o777 == 0o700
    good(run("backup", "create"))
    told = good(run("backup", "target", "list", "--json")).json()
    assert [(one["path"], one["sets"], one["trouble"]) for one in told] == [
        (str(tmp_path / name), 1, None) for name in ("home/backups", "stick", "disk")
    ]
    done = good(run("backup", "target", "remove", "disk"))
    assert done.last.startswith(f"{tmp_path}/disk is no backup target any more; 1 backup ")
    assert len(written(tmp_path / "disk")) == 1
    assert run("backup", "target", "remove", "disk").code == 52
    assert run("backup", "target", "add", "stick").code == 2


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("link", 43, "is a symbolic link"),
        ("file", 43, "is not a folder"),
        ("open", 43, "others on this machine can look into"),
        ("file/below", 40, "cannot write"),
    ],
)
def test_a_folder_that_is_not_safe_is_no_target(
    run: Terminal, tmp_path: Path, name: str, code: int, words: str
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "open/photo").touch()
    done = run("backup", "target", "add", name)
    assert done.code == code
    assert words in done.err
    assert len(good(run("backup", "target", "list", "--json")).json()) == 2
    if name == "open":
        good(run("backup", "target", "add", "--force", name))


def test_the_last_target_that_goes_is_warned_about(run: Terminal) -> None:
    good(run("backup", "target", "remove", "local"))
    assert "no backup target is left" in good(run("backup", "target", "remove", "stick")).err


def test_the_state_of_a_target_is_told(run: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stick").rename(tmp_path / "away")
    (_, stick) = good(run("backup", "target", "list", "--json")).json()
    assert stick["trouble"] == f"the backup target {tmp_path}/stick is gone"
    assert "is gone" in good(run("backup", "target", "list")).out


# -- schedule


def test_the_schedule_is_shown_and_set(run: Terminal) -> None:
    assert good(run("backup", "schedule")).last == "backups are made every day at 21:00"
    done = good(run("backup", "schedule", "daily", "--at", "07:30", "--on-change"))
    assert "07:30" in done.last
    told = good(run("backup", "schedule", "show", "--json")).json()
    assert told.items() >= {"preset": "daily", "at": "07:30", "on_change": True, "on_mount": False}.items()
    assert told["next"] is not None
    good(run("backup", "schedule", "*/5 * * * *"))
    assert good(run("backup", "schedule", "--json")).json()["cron"] == "*/5 * * * *"
    good(run("backup", "schedule", "off"))
    assert good(run("backup", "schedule", "--json")).json()["next"] is None
    assert good(run("backup", "create", "--if-due")).last == "no backup is due"


@pytest.mark.parametrize(
    "line", [["sometimes"], ["daily", "--at", "25:00"], ["--at", "07:00"], ["* *"], ["--on-mount"]]
)
def test_a_schedule_that_is_none_is_refused(run: Terminal, line: list[str]) -> None:
    done = run("backup", "schedule", *line)
    assert done.code == 2
    assert good(run("backup", "schedule")).last == "backups are made every day at 21:00"


# -- recipient


def test_a_friend_opens_what_is_made_from_now_on(run: Terminal, tmp_path: Path) -> None:
    before = made(run)
    done = good(run("backup", "recipient", "add", FRIEND.recipient, "--name", "Mio"))
    assert "kfroot1" in done.out
    assert "Mio can open every backup made from now on" in done.last
    after = made(run)
    told = good(run("backup", "recipient", "list", "--json")).json()
    assert [(one["kind"], one["name"]) for one in told][-1] == ("escrow", "Mio")
    from backup.reading import Opener
    from vault.errors import SealedElsewhere

    opener = Opener((FRIEND.identity,), None)
    assert check(tmp_path / "stick" / after["name"], opener).manifest.set == after["id"]
    with pytest.raises(SealedElsewhere):
        check(tmp_path / "stick" / before["name"], opener)
    done = good(run("backup", "recipient", "remove", "Mio"))
    assert "Mio can still open the backups made until now" in done.err
    assert [one["kind"] for one in good(run("backup", "recipient", "list", "--json")).json()] == ["kit", "device"]
    shown = good(run("backup", "show", after["id"])).out
    assert "opens for escrow" in shown


@pytest.mark.parametrize(
    "key", [FRIEND.identity, "age1nonsense", "ssh-ed25519 AAAA", "", FRIEND.recipient[:-1] + "b"], ids=range(5)
)
def test_a_key_that_is_none_is_refused_and_not_repeated(run: Terminal, key: str) -> None:
    done = run("backup", "recipient", "add", key, "--name", "Mio")
    assert done.code == 2
    assert len(key) < 20 or key not in done.err
    assert len(good(run("backup", "recipient", "list", "--json")).json()) == 2


def test_a_recipient_is_there_once_and_gone_once(run: Terminal) -> None:
    good(run("backup", "recipient", "add", FRIEND.recipient, "--name", "Mio"))
    assert run("backup", "recipient", "add", FRIEND.recipient, "--name", "Ada").code == 2
    assert run("backup", "recipient", "add", new_kit().recipient, "--name", "Mio").code == 2
    assert run("backup", "recipient", "remove", "Ada").code == 2


# -- all of them


def test_no_command_writes_a_word_of_the_vault_anywhere(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    flip(tmp_path / "stick" / first["name"])
    for line in (
        ["create"],
        ["create", "--to", "one"],
        ["list"],
        ["show", "one"],
        ["verify", "--repair"],
        ["prune"],
        ["diff", first["id"]],
        ["target", "add", "disk"],
    ):
        done = run("backup", *line)
        assert PASSWORD not in done.out + done.err
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert PASSWORD.encode() not in data and b'"Mail"' not in data and b'"Bank"' not in data, path


def test_errors_are_json_where_it_is_asked_for(run: Terminal) -> None:
    done = run("backup", "show", "nothing", "--json")
    assert done.code == 47
    assert json.loads(done.err)["error"] == "NoSuchBackup"


def test_two_at_once_are_one_sentence(run: Terminal) -> None:
    with making.making(run.home):
        for line in (["create"], ["verify"], ["prune"]):
            done = run("backup", *line)
            assert done.code == 23
            assert "another Keyferry process is making or checking backups" in done.err


def test_a_set_that_is_lost_for_good_is_expected_no_longer_if_a_person_says_so(run: Terminal, tmp_path: Path) -> None:
    first = made(run)
    for path in tmp_path.rglob(first["name"]):
        path.unlink()
    edit(run, "Later")
    made(run)
    assert run("backup", "verify").code == 5
    good(run("backup", "prune", "--yes"))
    assert run("backup", "verify").code == 5
    done = good(run.shell("backup", "prune", stdin=b"y\n"))
    assert "2 files are expected no longer" in done.out
    good(run("backup", "verify"))
    assert first["id"] not in good(run("backup", "list")).out
