"""A disk that is full: one sentence, exit code 41, and the vault as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.migrate.household import as_bytes, export, household, login
from tests.migrate.terminal import Terminal
from vault.canonical import digest

SIZE = 3 << 20  # bytes


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A very small disk."""
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a tmpfs")
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True)
    if made.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def large() -> bytes:
    """Return an export that is larger than the disk."""
    return as_bytes(export([login(f"Site {n}", f"user{n}", f"pw-{n}", notes="n" * 900) for n in range(6_000)]))


def fill(disk: Path, *, leave: int) -> Path:
    """Fill the disk up to some bytes."""
    path = disk / "filler"
    path.write_bytes(b"")
    with path.open("r+b") as file:
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(1, free - leave))
    return path


def state(terminal: Terminal) -> tuple[str, int]:
    with terminal.store() as store:
        assert store.is_sound()
        return digest(store.vault()), len(store.runs())


def test_a_move_that_does_not_fit_changes_nothing(disk: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.home = disk / "home"
    terminal.init()
    assert terminal("migrate", terminal.write("first.json", as_bytes(household()))).code == 0
    before = state(terminal)
    done = terminal("migrate", terminal.write("large.json", large()))
    assert done.code == 41
    assert done.err.startswith("error: the disk of the vault is full; nothing was changed")
    assert "Traceback" not in done.err
    assert state(terminal) == before
    assert terminal("verify", terminal.folder / "first.json").code == 0
    small = terminal.write("small.json", as_bytes(export([login("Small", "a", "b")])))
    assert terminal("migrate", small).code == 0  # there is room again


@pytest.mark.parametrize("leave", [0, 4_096, 40_960, 122_880, 409_600])
def test_however_little_room_is_left_the_vault_is_the_old_or_the_new_one(
    disk: Path, tmp_path: Path, leave: int
) -> None:
    terminal = Terminal(tmp_path)
    terminal.home = disk / "home"
    terminal.init()
    assert terminal("migrate", terminal.write("first.json", as_bytes(household()))).code == 0
    before = state(terminal)
    items = [login(f"Site {n}", f"user{n}", f"pw-{n}") for n in range(300)]
    file = terminal.write("more.json", as_bytes(export(items)))
    filler = fill(disk, leave=leave)
    done = terminal("migrate", file)
    assert "Traceback" not in done.err
    assert done.code in (0, 41), done.err
    filler.unlink()
    if done.code:
        assert state(terminal) == before
    assert terminal("migrate", file).code == 0
    with terminal.store() as store:
        assert store.count() == 16 + 300


def test_no_room_for_a_first_vault_leaves_nothing_behind(disk: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    terminal.home = disk / "home"
    filler = fill(disk, leave=0)
    done = terminal("init", "--key-file", terminal.key)
    assert done.code == 41
    assert not terminal.home.exists() or not any(terminal.home.iterdir())
    filler.unlink()
    assert terminal.init()


def test_a_result_that_does_not_fit_leaves_the_old_file(disk: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    file = terminal.write("large.json", large())
    out = disk / "out.json"
    done = terminal("convert", file, out, "--to", "bitwarden_json")
    assert done.code == 41
    assert os.listdir(disk) == []


def test_a_report_that_does_not_fit_is_told(disk: Path, tmp_path: Path) -> None:
    terminal = Terminal(tmp_path).init()
    fill(disk, leave=0)
    file = terminal.write("export.json", as_bytes(household()))
    done = terminal("migrate", file, "--report", disk / "report.html")
    assert done.code == 41
    assert "Traceback" not in done.err
