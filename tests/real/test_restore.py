"""Restoring with a real keyring, in real processes that are really killed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import keyferry
from tests.backup import worlds
from tests.real.secret_service import Desktop, desktop
from vault import kit as kits
from vault.files import held
from vault.keys import has_vault, open_vault
from vault.settings import LOCK

pytestmark = [pytest.mark.skipif(os.name == "nt", reason="needs POSIX"), pytest.mark.slow]
KILLS = 30


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Desktop]:
    with desktop(tmp_path) as found:
        yield found


def well(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def items(session: Desktop, **more: str) -> int:
    return int(json.loads(well(session.keyferry("status", "--json", **more)))["items"])


@pytest.fixture
def backup(session: Desktop) -> Path:
    """Make a vault in the keyring's session, fill it, and return its first backup; the kit is kit.txt."""
    well(session.keyferry("init", "--kit", "kit.txt"))
    well(session.keyferry("add", "note", "--title", "First"))
    well(session.keyferry("backup", "create"))
    (path,) = worlds.sets_in(session.root / "keyferry" / "backups")
    return path


def restored(session: Desktop, path: Path) -> dict[str, str]:
    """Restore into a second home on the same machine and return the environment that leads there."""
    second = {"KEYFERRY_HOME": str(session.root / "second")}
    well(session.keyferry("restore", str(path), "--kit", "kit.txt", **second))
    return second


def test_the_restored_home_and_its_source_share_a_keyring_and_no_key(session: Desktop, backup: Path) -> None:
    before = session.entries()
    second = restored(session, backup)
    fresh = [name for name in session.entries() if name not in before]
    assert before == [name for name in session.entries() if name in before]
    assert fresh and all("/" in name for name in fresh)
    for _ in range(2):
        well(session.keyferry("add", "note", "--title", "Here"))
        well(session.keyferry("add", "note", "--title", "There", **second))
    assert (items(session), items(session, **second)) == (3, 3)
    assert len(session.entries()) == 4


def test_the_restored_homes_key_is_moved_and_renewed_by_itself(session: Desktop, backup: Path) -> None:
    second = restored(session, backup)
    own = session.entries()
    for words in (
        ["key", "rotate"],
        ["key", "move", "--key-file", "k"],
        ["key", "rotate"],
        ["key", "move", "--keyring"],
    ):
        well(session.keyferry(*words, **second))
        assert (items(session), items(session, **second)) == (1, 1)
    well(session.keyferry("add", "note", "--title", "one more", **second))
    assert session.entries() == own


def test_the_kit_puts_back_each_homes_own_key(session: Desktop, backup: Path) -> None:
    second = restored(session, backup)
    own = session.entries()
    session.delete_entries()
    for home in ({}, second):
        assert session.keyferry("status", **home).returncode == 30
        well(session.keyferry("unlock", "--kit", "kit.txt", **home))
    for home in ({}, second):
        well(session.keyferry("add", "note", "--title", "it goes on", **home))
        assert items(session, **home) == 2
    assert session.entries() == own


@pytest.mark.parametrize("gone", ["source", "restored"])
def test_destroying_one_home_leaves_the_others_key(session: Desktop, backup: Path, gone: str) -> None:
    second = restored(session, backup)
    first: dict[str, str] = {}
    ended, staying = (first, second) if gone == "source" else (second, first)
    well(session.keyferry("destroy", "--yes", **ended))
    assert items(session, **staying) == 1
    well(session.keyferry("add", "note", "--title", "it goes on", **staying))
    assert len(session.entries()) == 2


def test_a_backup_made_under_a_keyring_opens_where_there_is_none(session: Desktop, backup: Path) -> None:
    other = {"KEYFERRY_HOME": str(session.root / "other"), "DBUS_SESSION_BUS_ADDRESS": ""}
    refused = session.keyferry("restore", str(backup), "--kit", "kit.txt", **other)
    assert refused.returncode == 28
    assert "keyferry restore BACKUP --key-file PATH, or --passphrase" in refused.stderr
    assert not (session.root / "other").exists()
    well(session.keyferry("restore", str(backup), "--kit", "kit.txt", "--key-file", "other.key", **other))
    assert items(session, **other) == 1
    well(session.keyferry("backup", "create", **other))
    assert len(session.entries()) == 2


def test_a_locked_keyring_makes_no_vault(session: Desktop, backup: Path) -> None:
    session.lock()
    second = {"KEYFERRY_HOME": str(session.root / "second")}
    done = session.keyferry("restore", str(backup), "--kit", "kit.txt", **second)
    assert (done.returncode, (session.root / "second").exists()) == (29, False)


# -- killed


def restoring(home: Path, path: Path, kit: Path) -> int:
    """Start a restore in a process of its own and return its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the process ends with it
        words = ["restore", str(path), "--kit", str(kit), "--home", str(home), "--key-file", str(home) + ".key"]
        code = keyferry.run([*words, "--into", "new"])
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_killed_at_random_moments_there_is_no_vault_or_the_whole_one(tmp_path: Path) -> None:
    """The next attempt succeeds, whatever the one before has left."""
    kit, home = tmp_path / "kit.txt", tmp_path / "home"
    kit.write_text(kits.page(worlds.a_kit(), name="x", vault_id="0" * 32, made_at=worlds.AT))
    vault = worlds.Vault(items=tuple(worlds.many(1500)))
    path = worlds.written_set(tmp_path, worlds.genesis(), "laptop", vault, documents=[os.urandom(3_000_000)])
    began = time.monotonic()
    assert ended(restoring(home, path, kit)) == 0
    lasts = time.monotonic() - began
    chance, killed, whole = random.Random(20), 0, 0
    for _ in range(KILLS):
        shutil.rmtree(home)
        child = restoring(home, path, kit)
        time.sleep(chance.uniform(0, lasts))
        os.kill(child, signal.SIGKILL)
        killed += ended(child) == -signal.SIGKILL
        if has_vault(home):
            whole += 1
        else:
            assert ended(restoring(home, path, kit)) == 0
        with held(home / LOCK), open_vault(home) as store:
            assert (store.count(), len(store.documents()), store.is_sound()) == (1500, 1, True)
        assert [one.name for one in home.iterdir() if one.name.endswith((".partial", ".new"))] == []
    print(
        f"{killed} of {KILLS} killed within {lasts:.2f} s: {KILLS - whole} times no vault, {whole} times the whole one"
    )
    assert killed > KILLS // 2
