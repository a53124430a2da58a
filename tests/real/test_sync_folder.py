"""Real processes sync through a real folder: killed at any moment, at the same time, on a full disk, by the agent."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migrate.household import as_bytes, export, login
from tests.migrate.terminal import Terminal
from tests.real.test_disk_full import fill
from tests.vault.sync.terminals import pair, terminal
from vault.canonical import canonical

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and mounts of POSIX systems")
KILLS = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "stick"
    place.mkdir()
    return place


@pytest.fixture
def two(tmp_path: Path, folder: Path) -> tuple[Terminal, Terminal]:
    laptop, phone = terminal(tmp_path, "laptop").init(), terminal(tmp_path, "phone")
    bring_in(laptop, "first", 40)
    host, guest = pair(laptop, phone, folder)
    assert (host.code, guest.code) == (0, 0), host.err + guest.err
    return laptop, phone


def bring_in(one: Terminal, name: str, count: int) -> None:
    """Import some logins."""
    items = [login(f"{name} {number}", f"user{number}", f"pw {name} {number}") for number in range(count)]
    done = one("migrate", one.write(f"{name}.json", as_bytes(export(items))))
    assert done.code == 0, done.err


def content(one: Terminal) -> bytes:
    with one.store() as store:
        assert store.is_sound()
        whole = store.vault()
        collections = sorted(whole.collections, key=lambda each: each.id)
        return canonical([sorted(whole.items, key=lambda each: each.id), collections, whole.extras])


def titles(one: Terminal) -> set[str]:
    with one.store() as store:
        return {item.title for item in store.items()}


def settled(*all_: Terminal) -> None:
    for _ in range(2):
        for one in all_:
            done = one("sync")
            assert done.code == 0, done.err
    done = all_[0]("sync")
    assert (done.code, done.err) == (0, "")


def test_nothing_readable_lies_on_the_stick(two: tuple[Terminal, Terminal], folder: Path) -> None:
    settled(*two)
    assert content(two[0]) == content(two[1])
    words = (b"pw first", b"user1", b"first 1", b"bitwarden")
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        data = path.read_bytes()
        assert not any(word in data for word in words)


def test_a_sync_that_is_killed_at_any_moment_loses_nothing(two: tuple[Terminal, Terminal]) -> None:
    """Each time another device has written as well; the moment is drawn anew."""
    laptop, phone = two
    chance, written = random.Random(4), titles(laptop)
    started = time.monotonic()
    laptop("sync")
    longest = time.monotonic() - started
    killed = 0
    for number in range(KILLS):
        one = (laptop, phone)[number % 2]
        bring_in(one, f"kill {number}", 3)
        written |= {f"kill {number} {each}" for each in range(3)}
        process = one.start("sync")
        time.sleep(chance.uniform(0.05, longest * 1.1))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        process.communicate()
        if number % 5 == 4:
            settled(phone, laptop)
            assert content(laptop) == content(phone)
    assert killed > KILLS / 3
    settled(laptop, phone)
    assert content(laptop) == content(phone)
    assert titles(laptop) == titles(phone) == written


def test_two_syncs_at_once_on_one_vault_do_each_others_work(two: tuple[Terminal, Terminal]) -> None:
    laptop, phone = two
    for number in range(4):
        bring_in(laptop, f"laptop {number}", 20)
        bring_in(phone, f"phone {number}", 20)
        processes = [one.start("sync") for one in (laptop, laptop, phone, phone, laptop)]
        ends = [(process.communicate(timeout=60), process.returncode) for process in processes]
        for (_, err), code in ends:
            assert b"Traceback" not in err
            assert code == 0, err
    settled(laptop, phone)
    assert content(laptop) == content(phone)
    assert len(titles(laptop)) == 40 + 160


def test_edits_while_a_sync_runs_are_all_there(two: tuple[Terminal, Terminal]) -> None:
    laptop, phone = two
    bring_in(phone, "many", 300)
    assert phone("sync").code == 0
    process = laptop.start("sync")
    for number in range(3):
        done = laptop("add", "login", "--title", f"meanwhile {number}", "--set", "username=x")
        assert done.code == 0, done.err
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    settled(laptop, phone)
    assert {f"meanwhile {number}" for number in range(3)} <= titles(phone)
    assert content(laptop) == content(phone)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A very small stick."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("needs the right to mount a tmpfs")
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={2 << 20}", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def test_a_full_stick_is_told_and_goes_on_when_there_is_room(tmp_path: Path, small: Path) -> None:
    laptop, phone = terminal(tmp_path, "laptop").init(), terminal(tmp_path, "phone")
    assert [done.code for done in pair(laptop, phone, small)] == [0, 0]
    bring_in(laptop, "big", 400)
    before = content(laptop)
    for leave in (0, 4096, 40960):
        filler = fill(small, leave=leave)
        done = laptop("sync")
        assert done.code == 55, done.err
        assert "the disk is full" in done.err
        assert "Traceback" not in done.err
        assert content(laptop) == before
        filler.unlink()
        assert not list(small.rglob(".keyferry-*.new"))
    settled(laptop, phone)
    assert content(laptop) == content(phone)


def test_a_stick_that_is_pulled_out_is_told(tmp_path: Path, small: Path) -> None:
    laptop, phone = terminal(tmp_path, "laptop").init(), terminal(tmp_path, "phone")
    assert [done.code for done in pair(laptop, phone, small)] == [0, 0]
    bring_in(laptop, "more", 5)
    subprocess.run(["mount", "--bind", tmp_path / "phone" / "home", small], check=True)  # another one is there
    try:
        done = laptop("sync")
        assert done.code == 56
        assert "no longer has this vault" in done.err
        assert laptop("sync", "doctor").code == 5
    finally:
        subprocess.run(["umount", small], check=True)
    settled(laptop, phone)
    assert len(titles(phone)) == 5


def test_the_agent_syncs_by_itself(two: tuple[Terminal, Terminal], folder: Path) -> None:
    laptop, phone = two
    process = laptop.start("agent", "run", stderr=subprocess.STDOUT)
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        lines.extend(line.decode() for line in process.stdout)

    reader = threading.Thread(target=read)
    reader.start()

    def until(what: str) -> None:
        end = time.monotonic() + 60
        while not any(what in line for line in lines):
            assert time.monotonic() < end, lines
            assert process.poll() is None, lines
            time.sleep(0.1)

    try:
        until("begins")
        assert laptop("add", "login", "--title", "by hand", "--set", "username=x").code == 0
        until("synced: 1 sent")
        assert phone("sync").code == 0
        assert "by hand" in titles(phone)
        folder.rename(folder.with_name("away"))
        assert laptop("add", "login", "--title", "offline", "--set", "username=x").code == 0
        until("not synced: the folder")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        reader.join()
    assert process.returncode == 0
    assert not any("Traceback" in line for line in lines)
    folder.with_name("away").rename(folder)
    settled(laptop, phone)
    assert "offline" in titles(phone)
