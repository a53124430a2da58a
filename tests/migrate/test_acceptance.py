"""What a person may meet: the power goes out, another program has the vault, the folder cannot be written."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.migrate.household import as_bytes, changed, export, household, login
from tests.migrate.terminal import Terminal
from vault.canonical import digest
from vault.keys import open_vault

KILLS = 50
MANY = 10_000
CANARY = "swordfish-of-item"  # in every password of the large export
FILES = {"backup.lock", "vault.db", "vault.db-wal", "vault.db-shm", "vault.json", "vault.recovery.age", "vault.lock"}


def many() -> bytes:
    """Return a large export."""
    folders = [f"Folder {n}" for n in range(40)]
    items = [
        login(f"Site {n}", f"user{n}", f"{CANARY}-{n}", f"https://s{n}.test", folder=folders[n % 40])
        for n in range(MANY)
    ]
    return as_bytes(export(items, *folders))


def content(terminal: Terminal) -> tuple[int, int, int, str]:
    """Return what tells the old vault from the new one, whatever ids its items got."""
    with open_vault(terminal.home, read_only=True) as store:
        rows = (json.loads(row) for _, row in store.rows())
        texts = sorted(json.dumps([row.get("title"), row.get("credentials")]) for row in rows)
        told = hashlib.sha256("\n".join(texts).encode()).hexdigest()
        return store.count(), len(store.collections()), len(store.runs()), told


@contextmanager
def kept(terminal: Terminal) -> Iterator[Path]:
    """Keep the home and its key aside, to be put back."""
    aside = terminal.folder.with_name(terminal.folder.name + ".aside")
    shutil.copytree(terminal.folder, aside)
    yield aside
    shutil.rmtree(aside)


def put_back(terminal: Terminal, aside: Path) -> None:
    for path in terminal.folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(aside, terminal.folder, dirs_exist_ok=True)


def leftovers(terminal: Terminal, export_file: Path) -> set[str]:
    """Return the names of files that have no business there; none may hold a password in clear."""
    odd = set()
    for path in terminal.folder.rglob("*"):
        if path.is_file() and path != export_file:
            assert CANARY.encode() not in path.read_bytes(), path.name
            if path.parent == terminal.home and path.name not in FILES:
                odd.add(path.name)
    return odd


@pytest.mark.slow
def test_killed_at_fifty_moments_the_vault_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "place")
    terminal.folder.mkdir()
    terminal.init()
    assert terminal("migrate", terminal.write("first.json", as_bytes(household()))).code == 0
    file = terminal.write("many.json", many())
    old = content(terminal)
    dice = random.Random(2026)
    seen = {"old": 0, "new": 0}
    with kept(terminal) as aside:
        begin = time.monotonic()
        assert terminal("migrate", file).code == 0
        needed = time.monotonic() - begin
        new = content(terminal)
        assert new[0] == old[0] + MANY
        for number in range(KILLS):
            put_back(terminal, aside)
            process = terminal.start("migrate", file)
            with pytest.raises(subprocess.TimeoutExpired):
                process.communicate(timeout=dice.uniform(0, needed * 0.97))
                raise subprocess.TimeoutExpired("it was done before", 0)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            found = content(terminal)
            assert found in (old, new), number
            seen["old" if found == old else "new"] += 1
            assert not leftovers(terminal, file), number
            if number % 20 == 9:
                done = terminal("migrate", "--json", file)
                assert done.code == 0
                assert sum(json.loads(done.out)["items"].values()) == MANY
                assert content(terminal)[::3] == new[::3]
                assert terminal("verify", file).code == 0
    print(f"killed {KILLS} times: {seen['old']} old vaults, {seen['new']} new ones, none between")
    assert seen["old"]


def test_killed_while_it_makes_the_first_vault_the_next_try_completes(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    file = terminal.write("export.json", as_bytes(household()))
    dice = random.Random(7)
    for _ in range(6):
        process = terminal.start("init", "--key-file", terminal.key)
        time.sleep(dice.uniform(0.05, 0.6))
        process.kill()
        process.communicate()
    terminal("init", "--key-file", terminal.key)
    assert terminal("migrate", file).code == 0
    assert content(terminal)[0] == 16


# --- somebody else has it


def test_while_another_process_writes_a_move_waits_and_then_says_so(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path).init()
    file = terminal.write("export.json", as_bytes(household()))
    with terminal.store() as store, store.transaction():
        store.set_meta("held", "1")
        done = terminal("migrate", file)
        assert done.code == 23
        assert done.err.startswith("error: another Keyferry process is writing the vault")
        assert terminal("list").code == 0  # reading goes on
    assert content(terminal)[0] == 0
    assert terminal("migrate", file).code == 0


def test_two_moves_at_once_are_one_after_the_other_or_refused(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path).init()
    one = terminal.write("one.json", as_bytes(household()))
    other = terminal.write("other.json", as_bytes(export([login("Else", "x", "y")])))
    first, second = terminal.start("migrate", one), terminal.start("migrate", other)
    first.communicate(timeout=60)
    second.communicate(timeout=60)
    codes = (first.returncode, second.returncode)
    assert set(codes) <= {0, 23}
    assert content(terminal)[0] == (16 if codes[0] == 0 else 0) + (1 if codes[1] == 0 else 0)


# --- nowhere to write


@contextmanager
def unwritable(folder: Path) -> Iterator[None]:
    """Make a folder that even root cannot write, where that can be done; else one its owner cannot."""
    if os.geteuid() == 0:
        bound = subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode == 0
        if bound and subprocess.run(["mount", "-o", "remount,ro,bind", folder], capture_output=True).returncode == 0:
            try:
                yield
            finally:
                subprocess.run(["umount", folder], check=True)
            return
        if bound:
            subprocess.run(["umount", folder], check=True)
        pytest.skip("needs the right to mount, or another user than root")
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path).init()
    assert terminal("migrate", terminal.write("first.json", as_bytes(export([login("One", "a", "1")])))).code == 0
    file = terminal.write("export.json", as_bytes(household()))
    before = content(terminal)
    with unwritable(terminal.home):
        done = terminal("migrate", file)
        assert done.code == 40, done.err
        assert done.err.startswith("error: ") and "Traceback" not in done.err
        assert terminal("list").code == 0
        assert terminal("verify", terminal.folder / "first.json").code == 0
    assert content(terminal) == before


def test_a_place_that_cannot_be_written_gets_no_result(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path)
    file = terminal.write("export.json", as_bytes(household()))
    place = tmp_path / "place"
    place.mkdir()
    with unwritable(place):
        done = terminal("convert", file, place / "out.json", "--to", "bitwarden_json")
        assert done.code == 40
        assert terminal("inspect", file).code == 0
    assert not any(place.iterdir())


# --- the main promise, once from outside


def test_a_week_in_the_life_of_a_vault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(tmp_path, capsys).init()
    monday = terminal.write("monday.json", as_bytes(household()))
    assert terminal("migrate", monday).code == 0
    assert terminal("edit", "Router", "--set", "username=root").code == 0
    with terminal.store() as store:
        tuesday = digest(store.vault())
    later = changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    later["items"].append(login("Fresh", "ada", "new-1", folder="Bank"))
    sunday = terminal.write("sunday.json", as_bytes(later))
    made = terminal("migrate", "--json", sunday).json()
    assert made["items"] == {"new": 1, "same": 15, "changed": 1, "conflict": 0, "quarantined": 0}
    assert terminal("verify", sunday).code == 3  # the router was edited here
    assert terminal("undo").code == 0
    with terminal.store() as store:
        assert digest(store.vault()) == tuesday
