"""A folder that strangers write to: what is not ours is counted and left alone, and nothing that was there is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault.sync.world import World
from vault import identity
from vault.errors import PairingFailed, RelayMisbehaves, RelayUnreachable
from vault.model import BasicAuth, Collection, File, concealed
from vault.rows import document_name
from vault.sync import doctoring, log
from vault.sync.folder import FolderChannel, read_regular
from vault.sync.ways import Way


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = World(tmp_path, "laptop", "phone")
    found["laptop"].add("bank")
    found.settle()
    yield found
    found.close()


def entries(world: World, name: str) -> list[Path]:
    """The files of a device's log."""
    return sorted((world.root() / "log" / world[name].id).iterdir())


def next_name(world: World, name: str, data: bytes) -> Path:
    """The path under which these bytes would be the next entry of a device."""
    number = len(entries(world, name)) + 1
    return world.root() / "log" / world[name].id / f"{number:012d}-{hashlib.sha256(data).hexdigest()}"


def test_nothing_readable_lies_in_the_folder(tmp_path: Path) -> None:
    """Not one word of a person: titles, secrets, tags, folders, file names, content of files, names of devices."""
    world = World(tmp_path, "CANARY-laptop", "CANARY-phone")
    data = b"CANARY-ATTACHMENT " * 1000
    one = world["CANARY-laptop"]
    one.do(lambda store: store.put_document(data))
    one.do(lambda store: store.put_collection(Collection(id="c", title="CANARY-FOLDER")))
    one.do(lambda store: store.set_extras("bitwarden_json", {"CANARY": "CANARY-EXTRA"}))
    login = BasicAuth(username=concealed("CANARY-USER"), password=concealed("CANARY-PASSWORD"))
    file = File(id="f", name="CANARY.pdf", integrity_hash=document_name(data))
    one.add("bank", title="CANARY-TITLE", tags=("CANARY-TAG",), collections=("c",), credentials=(login, file))
    world.settle()
    assert world["CANARY-phone"].title("bank") == "CANARY-TITLE"
    for path in world.place().rglob("*"):
        assert "canary" not in str(path.relative_to(world.place())).lower()
        if path.is_file():
            content = path.read_bytes()
            assert b"CANARY" not in content
            assert document_name(data).encode() not in content
    assert document_name(data) not in {path.name for path in world.place().rglob("*")}
    world.close()


def test_files_are_private(world: World) -> None:
    for path in world.root().rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


# -- strangers


def strangers(world: World) -> int:
    """Put all kinds of things where entries lie; returns how many."""
    root, phone = world.root(), world["phone"].id
    log_of_phone = root / "log" / phone
    junk = b"junk"
    place = next_name(world, "phone", junk)
    place.write_bytes(junk)  # a right name, and no entry
    (log_of_phone / f"{2**30:012d}-{'ab' * 32}").write_bytes(b"far ahead")
    (log_of_phone / "notes.txt").write_bytes(b"mine")
    (log_of_phone / "000000000001-zz").write_bytes(b"")
    os.mkfifo(log_of_phone / "pipe")
    number = place.name.partition("-")[0]
    os.mkfifo(log_of_phone / f"{number}-{'cd' * 32}")
    (log_of_phone / f"{number}-{'ef' * 32}").symlink_to("/etc/passwd")
    (log_of_phone / f"{number}-{'12' * 32}").write_bytes(b"another content than its name says")
    with (log_of_phone / f"{number}-{'34' * 32}").open("wb") as file:
        file.truncate(1 << 40)
    (root / "members" / "000000-short").write_bytes(b"")
    (root / "members" / f"999999-{hashlib.sha256(junk).hexdigest()}").write_bytes(junk)
    (root / "members" / f"000001-{'56' * 32}").symlink_to("/dev/zero")
    (root / "log" / "somebody").mkdir()
    (root / "log" / ("ab" * 16)).symlink_to(world.path)
    (root / "desktop.ini").write_bytes(b"")
    (root / "blobs" / "thumbs.db").write_bytes(b"")
    return 15


def test_what_strangers_put_there_is_counted_and_changes_nothing(world: World) -> None:
    strangers(world)
    before = {path: path.lstat().st_mtime_ns for path in world.root().rglob("*") if not path.is_dir()}
    for vault in world.vaults.values():
        done = vault.sync()
        assert done.findings == []
        assert done.ignored >= 8
    laptop = world["laptop"].store
    assert doctoring.strange_files(laptop, Way(folder=str(world.place()))) >= 12
    assert {path: path.lstat().st_mtime_ns for path in before} == before


def test_changes_pass_between_what_strangers_have_put_there(world: World) -> None:
    strangers(world)
    world["phone"].edit("bank", title="changed")
    world["laptop"].add("new")
    world.settle()
    assert world["laptop"].title("bank") == "changed"
    assert world["phone"].title("new") == "new"
    assert world.agrees()
    third = world.join("desk", by="laptop")
    world.settle()
    assert third.title("bank") == "changed"


def test_a_forged_entry_in_the_next_place_does_not_keep_the_true_one_out(world: World) -> None:
    """It is built as entries are, of this device and number, and signed by nobody."""
    real = entries(world, "phone")[-1].read_bytes()
    world["phone"].edit("bank", title="true")
    world["phone"].sync()
    true = entries(world, "phone")[-1]
    data = true.read_bytes()
    forged = data[:-1] + bytes([data[-1] ^ 1])
    true.unlink()
    place = next_name(world, "phone", forged)
    place.write_bytes(forged)
    assert [one.kind for one in world["laptop"].sync().findings] == ["forged"]
    true.write_bytes(data)
    world["laptop"].sync()
    assert world["laptop"].title("bank") == "true"
    assert real


def test_a_folder_of_the_vault_that_is_a_link_is_not_written_through(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    place = world.root() / "log" / world["laptop"].id
    shutil.move(place, elsewhere)
    place.symlink_to(elsewhere)
    before = sorted(os.listdir(elsewhere))
    world["laptop"].edit("bank", title="changed")
    with pytest.raises((RelayMisbehaves, RelayUnreachable)):
        world["laptop"].sync()
    assert sorted(os.listdir(elsewhere)) == before


# -- folders that some program copies


def test_half_copied_files_are_read_when_they_are_whole(world: World) -> None:
    world["phone"].edit("bank", title="first")
    world["phone"].sync()
    world["phone"].edit("bank", title="second")
    world["phone"].sync()
    *_, earlier, later = entries(world, "phone")
    data = earlier.read_bytes()
    earlier.write_bytes(data[:100])
    world["laptop"].sync()
    assert world["laptop"].title("bank") == "bank"
    earlier.write_bytes(data)
    world["laptop"].sync()
    assert world["laptop"].title("bank") == "second"
    assert later.exists()


def test_entries_that_are_copied_before_their_device_is_known_are_taken_later(world: World) -> None:
    """A copying program knows no order: the list of devices may come last."""
    world.join("desk", by="phone")
    world["desk"].add("by the desk")
    world["desk"].sync()
    members = sorted((world.root() / "members").iterdir())
    kept = {path: path.read_bytes() for path in members[-2:]}
    for path in kept:
        path.unlink()
    laptop = world["laptop"]
    laptop.sync()
    assert laptop.title("by the desk") is None
    for path, data in kept.items():
        path.write_bytes(data)
    laptop.sync()
    assert laptop.title("by the desk") == "by the desk"


def test_an_attachment_that_is_copied_late_arrives_late(world: World) -> None:
    data = b"a large scan" * 999
    world["phone"].do(lambda store: store.put_document(data))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(data)),))
    world["phone"].sync()
    (blob,) = (world.root() / "blobs").iterdir()
    sealed = blob.read_bytes()
    blob.unlink()
    laptop = world["laptop"]
    assert laptop.sync().findings == []
    assert laptop.store.document(document_name(data)) is None
    causes = doctoring.findings(laptop.store, world.ms) if log.setting(laptop.store).folder else ()
    assert causes == () or any("attachments" in one.cause for one in causes)
    blob.write_bytes(sealed[:-1])
    assert [one.kind for one in laptop.sync().findings] == ["forged"]
    blob.write_bytes(sealed)
    laptop.sync()
    assert laptop.store.document(document_name(data)) == data


def test_a_gap_in_a_log_is_waited_for(world: World) -> None:
    for number in range(3):
        world["phone"].edit("bank", title=f"title {number}")
        world["phone"].sync()
    middle = entries(world, "phone")[-2]
    data = middle.read_bytes()
    middle.unlink()
    world["laptop"].sync()
    assert world["laptop"].title("bank") == "title 0"
    middle.write_bytes(data)
    world["laptop"].sync()
    assert world["laptop"].title("bank") == "title 2"


# -- a folder that has less than before, or is away


@pytest.mark.parametrize("which", ["newest", "middle", "all of a log", "everything in it", "the whole folder"])
def test_a_folder_with_less_than_before_is_told_deletes_nothing_and_can_be_filled_again(
    world: World, which: str
) -> None:
    for number in range(3):
        world["phone"].edit("bank", title=f"title {number}")
        world.settle()
    before = world["laptop"].content()
    match which:
        case "newest":
            entries(world, "phone")[-1].unlink()
        case "middle":
            entries(world, "phone")[1].unlink()
        case "all of a log":
            shutil.rmtree(world.root() / "log" / world["phone"].id)
        case "everything in it":
            shutil.rmtree(world.root() / "log")
            (world.root() / "log").mkdir()
        case _:
            shutil.rmtree(world.root())
    for vault in world.vaults.values():
        with pytest.raises(RelayMisbehaves, match=r"less than before|no longer has") as caught:
            vault.sync()
        assert "--upload-again" in (caught.value.hint or "")
        assert vault.content() == before
    world["laptop"].sync(upload_again=True)  # also what the other device wrote
    world["phone"].sync(upload_again=True)
    third = world.join("desk", by="laptop")
    world.settle()
    assert third.content() == world["laptop"].content() == world["phone"].content()


def test_a_list_of_devices_that_is_shorter_than_before_is_told(world: World) -> None:
    world.join("desk", by="laptop")
    world.settle()
    for path in sorted((world.root() / "members").iterdir())[-2:]:
        path.unlink()
    with pytest.raises(RelayMisbehaves, match="fewer changes"):
        world["laptop"].sync()
    world["laptop"].sync(upload_again=True)
    world["phone"].sync()


def test_another_history_than_before_is_told_and_never_forgiven(world: World) -> None:
    first = entries(world, "phone")[0]
    data = b"another history"
    first.rename(first.with_name(f"{1:012d}-{hashlib.sha256(data).hexdigest()}"))
    for given in ({}, {"upload_again": True}):
        with pytest.raises(RelayMisbehaves, match="another history"):
            world["laptop"].sync(**given)  # type: ignore[arg-type]


def test_a_damaged_file_is_put_right_by_whoever_has_it(world: World) -> None:
    path = entries(world, "phone")[0]
    data = path.read_bytes()
    path.write_bytes(b"")
    world["laptop"].sync(upload_again=True)
    assert path.read_bytes() == data


def test_a_stick_that_is_away_is_told_and_nothing_is_made_in_its_place(world: World) -> None:
    world.place().rename(world.path / "pulled out")
    world["laptop"].edit("bank", title="meanwhile")
    folder = world.path / "shared"
    from vault.sync import session
    from vault.sync.folder import Folder
    from vault.sync.ways import Kept

    store = world["laptop"].store
    with pytest.raises(RelayUnreachable, match="is not here"):
        session.sync(store, Folder(folder, store.vault_id, kept=Kept(store)), lambda: world.ms)
    assert not folder.exists()
    (world.path / "pulled out").rename(folder)
    world.settle()
    assert world["phone"].title("bank") == "meanwhile"


# -- several places


def test_a_second_folder_gets_everything_and_carries_it_on(world: World) -> None:
    """Devices that never meet in one folder, and one that visits both."""
    data = b"attached" * 99
    world["phone"].do(lambda store: store.put_document(data))
    world["phone"].add("papers", credentials=(File(id="f", integrity_hash=document_name(data)),))
    world.settle()
    third = world.join("desk", by="laptop", through="stick")
    third.add("by the desk")
    third.sync("stick")
    assert third.title("papers") == "papers"
    assert third.store.document(document_name(data)) == data
    world["laptop"].sync("stick")
    world["laptop"].sync()
    world["phone"].sync()
    assert world["phone"].title("by the desk") == "by the desk"
    world["laptop"].sync("stick")
    third.sync("stick")
    assert world.agrees()


def test_an_empty_new_folder_is_no_alarm(world: World) -> None:
    done = world["laptop"].sync("another")
    assert done.findings == []
    world["phone"].sync("another")


def test_a_new_place_can_be_begun_by_two_at_once(world: World) -> None:
    one, two = world["laptop"].folder("new"), world["phone"].folder("new")
    one.create(world["laptop"].chain())
    two.create(world["phone"].chain())
    world.settle(through="new")
    assert world.agrees()


# -- channel


def a_slot(path: Path, seconds: float = 5) -> FolderChannel:
    channel = FolderChannel(path, "ab" * 16, seconds, wait=lambda _: None)
    channel.begin()
    return channel


def test_a_slot_has_one_writer_for_each_message(tmp_path: Path) -> None:
    channel = a_slot(tmp_path)
    channel.put(1, b"first")
    with pytest.raises(PairingFailed):
        channel.put(1, b"second")
    assert FolderChannel(tmp_path, "ab" * 16, 5).get(1) == b"first"


def test_a_slot_ends_with_its_time(tmp_path: Path) -> None:
    with pytest.raises(PairingFailed, match="in time"):
        a_slot(tmp_path, seconds=-1).get(1)


def test_a_burnt_slot_answers_nobody(tmp_path: Path) -> None:
    channel = a_slot(tmp_path)
    channel.put(1, b"first")
    channel.burn()
    with pytest.raises(PairingFailed, match="gave up"):
        FolderChannel(tmp_path, "ab" * 16, 5).get(1)


def test_whoever_reads_the_last_message_clears_the_slot(tmp_path: Path) -> None:
    inviter = a_slot(tmp_path)
    inviter.put(7, b"the whole list")
    inviter.close()
    guest = FolderChannel(tmp_path, "ab" * 16, 5)
    assert guest.get(7) == b"the whole list"
    guest.close()
    assert os.listdir(tmp_path) == []


def test_a_folder_without_the_slot_is_told_and_stays_as_it_is(tmp_path: Path) -> None:
    channel = FolderChannel(tmp_path / "mistyped", "ab" * 16, 5)
    with pytest.raises(PairingFailed, match="meeting place"):
        channel.put(1, b"first")
    channel.burn()
    assert os.listdir(tmp_path) == []


def test_forgotten_slots_go_and_fresh_ones_stay(tmp_path: Path) -> None:
    FolderChannel(tmp_path, "cd" * 16, 5).begin()
    fresh = tmp_path / f"keyferry-pair-{'cd' * 16}"
    old = tmp_path / f"keyferry-pair-{'ef' * 16}"
    old.mkdir()
    (old / "1").write_bytes(b"left")
    os.utime(old, (0, 0))
    a_slot(tmp_path)
    assert fresh.exists()
    assert not old.exists()


def test_only_regular_files_of_the_right_size_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    assert [
        read_regular(tmp_path / name, most) for name, most in (("file", 4), ("link", 9), ("pipe", 9), (".", 9))
    ] == [None] * 4


def test_a_device_is_named_in_findings_as_people_know_it(world: World) -> None:
    world["laptop"].do(lambda store: identity.name_device(store, world["phone"].id, "my phone"))
    entries(world, "phone")[-1].unlink()
    with pytest.raises(RelayMisbehaves, match="of my phone were there"):
        world["laptop"].sync()
