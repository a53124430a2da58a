"""What changed is told once, when it is still; what only seems to change is not told at all."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup.mounts import Mount
from backup.watching import Event, Watcher

DISK = Mount(Path("/"), "/dev/sda1", "ext4", "", "8:1")


class Silent:
    """Reports that come when the test says so, or never."""

    def __init__(self, error: OSError | None = None) -> None:
        self.tells: dict[Path, Callable[[str], None]] = {}
        self.dead: set[Any] = set()
        self.watches = 0
        self.error = error

    def watch(self, folder: Path, tell: Callable[[str], None]) -> Any:
        if self.error is not None:
            raise self.error
        os.stat(folder)
        self.tells[folder] = tell
        self.watches += 1
        return folder, self.watches

    def unwatch(self, watch: Any) -> None:
        del self.tells[watch[0]]

    def is_alive(self, watch: Any) -> bool:
        return watch not in self.dead

    def stop(self) -> None:
        self.tells.clear()


class World:
    """A folder that is watched, a clock, and a mount table."""

    def __init__(self, folder: Path, *, files: tuple[str, ...] = (), **given: Any) -> None:
        self.folder, self.now = folder, 100.0
        self.table: tuple[Mount, ...] = (DISK,)
        self.said: list[str] = []
        self.reports = Silent(given.pop("error", None))
        folder.mkdir(exist_ok=True)
        self.watcher = Watcher(
            () if files else [folder],
            [folder / name for name in files],
            clock=lambda: self.now,
            table=lambda: self.table,
            reports=self.reports,
            say=self.said.append,
            **given,
        )

    def start(self) -> World:
        self.watcher.start()
        return self

    def write(self, name: str, body: bytes = b"x", *, hint: bool = True) -> None:
        (self.folder / name).write_bytes(body)
        if hint:
            self.hint(name)

    def hint(self, *names: str) -> None:
        for name in names:
            self.reports.tells[self.folder](name)

    def after(self, seconds: float) -> list[str]:
        """Let time pass in steps of half a second and return what was told."""
        told: set[Event] = set()
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            told |= self.watcher.look()
        return sorted(f"{one.kind} {one.path.relative_to(self.folder.parent)}" for one in told)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "t"


@pytest.fixture
def world(place: Path) -> World:
    place.mkdir()
    (place / "old").write_bytes(b"old")
    return World(place).start()


def test_what_was_there_at_the_beginning_is_not_told(world: World) -> None:
    world.hint("old")
    assert world.after(2_000) == []


def test_a_new_file_is_told_once(world: World) -> None:
    world.write("new")
    assert world.after(4) == ["appeared t/new"]
    assert world.after(2_000) == []


def test_a_file_is_told_only_when_it_is_still(world: World) -> None:
    for size in range(6):
        world.write("old", b"y" * size)
        assert world.after(1.5) == []
    assert world.after(2.5) == ["changed t/old"]


def test_a_file_that_never_rests_is_told_all_the_same(world: World) -> None:
    told = []
    for size in range(70):
        world.write("old", b"y" * size)
        told += world.after(1)
    assert told == ["changed t/old"]


def test_reading_is_not_a_change(world: World) -> None:
    (world.folder / "old").read_bytes()
    world.hint("old", "old")
    assert world.after(10) == []


def test_a_file_that_came_and_went_is_not_told(world: World) -> None:
    world.write("new")
    (world.folder / "new").unlink()
    world.hint("new")
    assert world.after(10) == []


def test_an_atomic_replacement_is_one_change(world: World) -> None:
    world.write("beside", b"longer")
    os.replace(world.folder / "beside", world.folder / "old")
    world.hint("beside", "old", "old")
    assert world.after(10) == ["changed t/old"]


def test_a_replacement_by_delete_and_create_is_one_change(world: World) -> None:
    (world.folder / "old").unlink()
    world.hint("old")
    assert world.after(1) == []
    world.write("old", b"new body")
    assert world.after(10) == ["changed t/old"]


def test_a_file_made_shorter_is_a_change(world: World) -> None:
    os.truncate(world.folder / "old", 1)
    world.hint("old")
    assert world.after(4) == ["changed t/old"]


def test_a_touched_file_is_a_change(world: World) -> None:
    os.utime(world.folder / "old", ns=(1, 1))
    world.hint("old")
    assert world.after(4) == ["changed t/old"]


def test_content_changed_under_the_old_time_and_size_is_a_change(world: World) -> None:
    before = os.stat(world.folder / "old")
    while os.stat(world.folder / "old").st_ctime_ns == before.st_ctime_ns:  # the kernel's clock has steps
        world.write("old", b"bad")
        os.utime(world.folder / "old", ns=(before.st_atime_ns, before.st_mtime_ns))
    world.hint("old")
    assert world.after(4) == ["changed t/old"]


def test_a_link_in_the_place_of_a_file_is_a_change(world: World) -> None:
    (world.folder.parent / "elsewhere").write_bytes(b"old")
    (world.folder / "old").unlink()
    (world.folder / "old").symlink_to("../elsewhere")
    world.hint("old")
    assert world.after(4) == ["changed t/old"]


def test_a_deleted_file_is_told(world: World) -> None:
    (world.folder / "old").unlink()
    world.hint("old")
    assert world.after(4) == ["deleted t/old"]


@pytest.mark.parametrize("name", [".keyferry-a-0f.partial", ".keyferry-0011223344556677.new"])
def test_our_own_half_written_files_are_passed_over(world: World, name: str) -> None:
    world.write(name)
    assert world.after(700) == []


def test_the_marker_of_a_target_is_not_passed_over(world: World) -> None:
    world.write(".keyferry-target")
    assert world.after(4) == ["appeared t/.keyferry-target"]


def test_folders_in_the_folder_are_passed_over(world: World) -> None:
    (world.folder / "deeper").mkdir()
    world.hint("deeper")
    assert world.after(700) == []


def test_of_single_files_only_these_are_told(place: Path) -> None:
    world = World(place, files=("vault.db", "vault.db-wal")).start()
    for name in ("vault.db", "vault.db-wal", "vault.db-shm", "vault.lock"):
        world.write(name)
    assert world.after(4) == ["appeared t/vault.db", "appeared t/vault.db-wal"]


def test_what_nobody_reported_is_found_by_reading_through(world: World) -> None:
    world.write("new", hint=False)
    (world.folder / "old").unlink()
    assert world.after(590) == []
    assert world.after(20) == ["appeared t/new", "deleted t/old"]


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_folder_is_read_through_instead_of_watched(place: Path, kind: str) -> None:
    world = World(place)
    world.table = (DISK, Mount(place, "nas:/b", kind, "", "0:50"))
    world.start()
    assert world.reports.watches == 0
    world.write("new", hint=False)
    assert world.after(40) == ["appeared t/new"]
    assert world.said == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_where_the_system_has_no_room_for_a_watch_this_is_said_and_the_folder_read(place: Path, number: int) -> None:
    world = World(place, error=OSError(number, "no")).start()
    assert world.said == [f"the system has no room for another watch; {place} is read every 30 s instead"]
    world.write("new", hint=False)
    assert world.after(40) == ["appeared t/new"]


def test_a_deleted_folder_is_lost_and_found_when_it_is_made_again(world: World) -> None:
    shutil.rmtree(world.folder)
    world.hint("old", "")
    assert world.after(4) == ["lost t"]
    world.folder.mkdir()
    assert world.after(5) == ["found t"]
    assert world.reports.watches == 2
    world.write("new")
    assert world.after(4) == ["appeared t/new"]


def test_a_folder_deleted_and_made_again_between_two_looks_is_another_one(world: World) -> None:
    """Some file systems give the same inode number again."""
    shutil.rmtree(world.folder)
    world.folder.mkdir()
    world.hint("")
    assert world.after(1) == ["found t", "lost t"]
    world.write("new")
    assert world.after(4) == ["appeared t/new"]


def test_a_folder_whose_watch_ended_in_silence_is_watched_again(world: World) -> None:
    world.reports.dead.add((world.folder, 1))
    assert world.after(6) == ["found t", "lost t"]
    world.write("new")
    assert world.after(4) == ["appeared t/new"]


def test_another_folder_in_its_place_is_noticed_without_any_report(world: World) -> None:
    world.folder.rename(world.folder.parent / "aside")
    world.folder.mkdir()
    assert world.after(6) == ["found t", "lost t"]


def test_files_that_go_with_their_folder_are_not_told_as_deleted(world: World) -> None:
    """An unmount takes everything away; nothing was deleted."""
    world.folder.rename(world.folder.parent / "aside")
    world.hint("old")
    assert world.after(6) == ["lost t"]


def test_a_folder_that_is_not_there_yet_is_found(place: Path) -> None:
    world = World(place)
    place.rmdir()
    world.start()
    assert world.after(20) == []
    place.mkdir()
    (place / "one").touch()
    assert world.after(6) == ["found t"]
    assert world.after(700) == []


def test_an_unreadable_file_is_not_a_deleted_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> os.stat_result:
        raise OSError(errno.EIO, "bad sector")

    with monkeypatch.context() as patch:
        patch.setattr("backup.watching.os.lstat", refuse)
        world.hint("old")
        assert world.after(10) == ["lost t"]
    assert world.after(10) == ["found t"]


def test_mounts_that_come_and_go_are_told(world: World) -> None:
    stick = Mount(world.folder.parent / "stick", "/dev/sdb1", "exfat", "12AB", "8:17")
    world.table = (DISK, stick)
    assert world.after(6) == ["mounted stick"]
    world.table = (DISK,)
    assert world.after(6) == ["unmounted stick"]


def test_another_drive_at_the_same_point_is_told(world: World) -> None:
    point = world.folder.parent / "stick"
    world.table = (DISK, Mount(point, "/dev/sdb1", "exfat", "12AB", "8:17"))
    world.after(6)
    world.table = (DISK, Mount(point, "/dev/sdb1", "exfat", "34CD", "8:17"))
    assert world.after(6) == ["mounted stick", "unmounted stick"]


def test_a_table_that_cannot_be_read_is_the_old_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> tuple[Mount, ...]:
        raise OSError(errno.EACCES, "no")

    monkeypatch.setattr(world.watcher, "_table", refuse)
    assert world.after(20) == []


def test_other_paths_can_be_watched_and_the_rest_keeps_its_state(world: World) -> None:
    other = world.folder.parent / "u"
    other.mkdir()
    world.write("old", b"changed")
    world.watcher.set_paths([world.folder, other])
    (other / "one").touch()
    world.reports.tells[other]("one")
    assert world.after(4) == ["appeared u/one", "changed t/old"]
    world.watcher.set_paths([other])
    assert list(world.reports.tells) == [other]


def test_nothing_is_watched_after_stop(world: World) -> None:
    world.watcher.stop()
    assert world.reports.tells == {}


def test_waiting_ends_when_woken_and_when_time_is_up(place: Path) -> None:
    place.mkdir()
    watcher = Watcher([place], reports=Silent(), table=lambda: (DISK,))
    watcher.start()
    threading.Timer(0.02, watcher.wake).start()
    begun = time.monotonic()
    assert watcher.wait(60) == set()
    assert time.monotonic() - begun < 30
    assert watcher.wait(0.01) == set()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(["write", "delete", "rename", "hint", "pass"]), st.integers(0, 3), st.integers(0, 3)),
        max_size=25,
    )
)
def test_told_events_lead_from_the_beginning_to_the_end(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    """Whichever reports arrive, late or never: each file that differs is told, and what is told is true."""
    world = World(tmp_path_factory.mktemp("law") / "t")
    for number in range(2):
        world.write(f"f{number}", b"0", hint=False)
    world.start()
    there, told = {"f0", "f1"}, []
    for size, (step, one, other) in enumerate(steps):
        path = world.folder / f"f{one}"
        if step == "write":
            world.write(path.name, b"x" * (size + 2), hint=bool(other))
        elif step == "delete":
            path.unlink(missing_ok=True)
        elif step == "rename" and path.exists():
            path.rename(world.folder / f"f{other}")
        elif step == "hint":
            world.hint(f"f{one}", f"f{other}")
        elif step == "pass":
            told += world.after(3 * one)
    told += world.after(700)
    for event in told:
        kind, _, name = event.partition(" t/")
        assert (name in there) == (kind != "appeared")
        (there.discard if kind == "deleted" else there.add)(name)
    assert there == {path.name for path in world.folder.iterdir()}
