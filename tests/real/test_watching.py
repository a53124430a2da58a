"""Watching with the real kernel: its reports, its mounts, and what it does not report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backup.watching import Event, Watcher

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one file."""
    found = tmp_path / "target"
    found.mkdir()
    (found / "old").write_bytes(b"x" * 1000)
    return found


@pytest.fixture
def watcher(place: Path) -> Iterator[Watcher]:
    # The sweep is switched off, so what is noticed was reported, or seen by the tick.
    found = Watcher([place], settle=0.2, tick=0.3, poll=0.3, sweep=float("inf"))
    found.start()
    yield found
    found.stop()


@pytest.fixture
def mount() -> Iterator[Callable[[Path], None]]:
    """Mounts a tmpfs over a folder; what is left is unmounted at the end."""
    made: list[Path] = []

    def mounted(over: Path) -> None:
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", over], capture_output=True)
        if done.returncode:
            pytest.skip("needs the right to mount a tmpfs")
        made.append(over)

    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield mounted
    for over in made:
        subprocess.run(["umount", over], capture_output=True)


def until(watcher: Watcher, *expected: Event) -> set[Event]:
    """Wait until all of these were told; returns everything told so far, but for what others mount meanwhile."""
    told: set[Event] = set()
    end = time.monotonic() + SECONDS
    while not told.issuperset(expected) and time.monotonic() < end:
        heard = watcher.wait(end - time.monotonic())
        told |= {one for one in heard if one in expected or not one.kind.endswith("mounted")}
    assert told >= set(expected)
    return told


def marked(watcher: Watcher, place: Path) -> set[Event]:
    """Make a file and wait until it is told; returns everything told before, so nothing else came if it is alone."""
    (place / "mark").write_bytes(b"m")
    return until(watcher, Event("appeared", place / "mark")) - {Event("appeared", place / "mark")}


def test_each_thing_that_happens_to_a_file_is_noticed(watcher: Watcher, place: Path) -> None:
    old = place / "old"
    os.truncate(old, 10)
    assert until(watcher, Event("changed", old)) == {Event("changed", old)}
    os.utime(old)
    assert until(watcher, Event("changed", old)) == {Event("changed", old)}
    old.chmod(0o600)
    assert until(watcher, Event("changed", old)) == {Event("changed", old)}
    with old.open("ab") as file:
        file.write(b"more")
    assert until(watcher, Event("changed", old)) == {Event("changed", old)}
    old.unlink()
    assert until(watcher, Event("deleted", old)) == {Event("deleted", old)}


def test_an_atomic_replacement_is_one_change(watcher: Watcher, place: Path) -> None:
    (place / "beside").write_bytes(b"new")
    os.replace(place / "beside", place / "old")
    told = until(watcher, Event("changed", place / "old"))
    assert told | marked(watcher, place) == {Event("changed", place / "old")}


def test_files_moved_in_and_out_are_noticed(watcher: Watcher, place: Path) -> None:
    (place.parent / "outside").write_bytes(b"o")
    (place.parent / "outside").rename(place / "inside")
    (place / "old").rename(place.parent / "away")
    until(watcher, Event("appeared", place / "inside"), Event("deleted", place / "old"))


def test_reading_raises_nothing(watcher: Watcher, place: Path) -> None:
    for _ in range(3):
        (place / "old").read_bytes()
        os.listdir(place)
    assert marked(watcher, place) == set()


def test_a_half_written_set_raises_nothing_until_it_has_its_name(watcher: Watcher, place: Path) -> None:
    partial = place / ".keyferry-a-00ff.partial"
    partial.write_bytes(b"p")
    assert marked(watcher, place) == set()
    partial.rename(place / "keyferry-x.keyferry")
    assert until(watcher, Event("appeared", place / "keyferry-x.keyferry")) == {
        Event("appeared", place / "keyferry-x.keyferry")
    }


def test_a_folder_deleted_and_made_again_is_watched_again(watcher: Watcher, place: Path) -> None:
    for _ in range(3):
        shutil.rmtree(place)
        until(watcher, Event("lost", place))
        place.mkdir()
        until(watcher, Event("found", place))
        assert marked(watcher, place) == set()


def test_a_folder_replaced_in_one_moment_is_watched_again(watcher: Watcher, place: Path) -> None:
    for _ in range(3):
        shutil.rmtree(place)
        place.mkdir()
        until(watcher, Event("lost", place), Event("found", place))
        assert marked(watcher, place) == set()


def test_a_folder_moved_away_is_lost(watcher: Watcher, place: Path) -> None:
    place.rename(place.parent / "away")
    assert until(watcher, Event("lost", place)) == {Event("lost", place)}


def test_a_mount_over_the_folder_and_its_unmount_are_noticed(
    watcher: Watcher, place: Path, mount: Callable[[Path], None]
) -> None:
    mount(place)
    until(watcher, Event("mounted", place), Event("lost", place), Event("found", place))
    assert marked(watcher, place) == set()  # on the new file system
    subprocess.run(["umount", place], check=True)
    told = until(watcher, Event("unmounted", place), Event("lost", place), Event("found", place))
    assert Event("deleted", place / "mark") not in told
    (place / "old").unlink()
    until(watcher, Event("deleted", place / "old"))


def test_a_watch_does_not_keep_a_drive_from_being_unmounted(place: Path, mount: Callable[[Path], None]) -> None:
    mount(place)
    (place / "keyferry").mkdir()
    watcher = Watcher([place / "keyferry"], settle=0.2, tick=0.3)
    watcher.start()
    try:
        subprocess.run(["umount", place], check=True)
        told = until(watcher, Event("unmounted", place), Event("lost", place / "keyferry"))
        assert not any(one.kind == "deleted" for one in told)
        mount(place)
        (place / "keyferry").mkdir()
        until(watcher, Event("found", place / "keyferry"))
        assert marked(watcher, place / "keyferry") <= {Event("mounted", place)}
    finally:
        watcher.stop()


def test_a_folder_behind_a_link_is_watched(place: Path) -> None:
    link = place.parent / "link"
    link.symlink_to("target")
    watcher = Watcher([link], settle=0.2, tick=0.3, sweep=float("inf"))
    watcher.start()
    try:
        (place / "old").unlink()
        until(watcher, Event("deleted", link / "old"))
    finally:
        watcher.stop()


def test_a_vault_is_seen_to_change(tmp_path: Path) -> None:
    """SQLite writes beside its file first; the file itself changes when the last one closes it."""
    import sqlite3

    path = tmp_path / "vault.db"
    with sqlite3.connect(path) as first:
        first.execute("PRAGMA journal_mode=WAL")
        first.execute("CREATE TABLE t (x)")
    first.close()
    watcher = Watcher(files=[path, tmp_path / "vault.db-wal"], settle=0.2, tick=0.3, sweep=float("inf"))
    watcher.start()
    try:
        with sqlite3.connect(path) as second:
            second.execute("INSERT INTO t VALUES (1)")
        second.close()
        assert until(watcher, Event("changed", path)) == {Event("changed", path)}
    finally:
        watcher.stop()


NO_ROOM = """
import sys
from pathlib import Path
from backup.watching import Watcher
place = Path(sys.argv[1])
watcher = Watcher([place], settle=0.2, tick=0.3, poll=0.3, say=print)
watcher.start()
(place / "old").unlink()
told = []
while not told:  # what others mount meanwhile is told as well
    told = [one.kind for one in watcher.wait(20) if not one.kind.endswith("mounted")]
print(*told)
watcher.stop()
"""


def test_where_no_watch_is_left_this_is_said_and_the_folder_is_read(place: Path) -> None:
    """In a user namespace of its own, whose limit is nobody else's."""
    call = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'
    within = ["unshare", "--user", "--map-root-user", "sh", "-c", call, "sh"]
    if shutil.which("unshare") is None or subprocess.run([*within, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to make a user namespace")
    done = subprocess.run(
        [*within, sys.executable, "-c", NO_ROOM, place], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    said, told = done.stdout.splitlines()
    assert said.startswith("the system has no room for another watch")
    assert told == "deleted"
