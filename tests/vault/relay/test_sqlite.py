"""A relay on SQLite does what every relay must, durably, and has its file for itself."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vault.relay.behaviour import CLAIMS, limits_of
from tests.vault.relay.calling import LAPTOP, Caller, chain_of, log_of, running
from vault import membership
from vault.errors import DamagedVault, VaultBusy
from vault.relay.sqlite import SqliteStorage
from vault.sync import wire


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_on_sqlite(claim: Callable[[Caller], None], tmp_path: Path) -> None:
    with running(tmp_path, limits=limits_of(claim)) as caller:
        claim(caller)


def test_every_commit_is_flushed(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "relay.db")
    assert storage._writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert storage._writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    storage.close()


def test_what_was_answered_is_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    chain = chain_of(LAPTOP)
    log = log_of(chain, LAPTOP)
    with running(tmp_path) as caller:
        caller.create(chain, LAPTOP)
        caller.append(LAPTOP, log.vault, *log.parts(3))
    with running(tmp_path) as caller:
        assert [one.data for one in caller.page(LAPTOP, log.vault).entries] == [*chain, *log.entries]


def test_a_full_disk_is_told_and_nothing_of_the_batch_stays(tmp_path: Path) -> None:
    chain = chain_of(LAPTOP)
    log = log_of(chain, LAPTOP)
    with running(tmp_path) as caller:
        caller.create(chain, LAPTOP)
        assert caller.append(LAPTOP, log.vault, *log.parts(2)).status == 200
        db = caller.relay.storage._writer  # type: ignore[attr-defined]
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 5}")
        parts = [wire.Part(wire.ENTRY, log.write(bytes(20_000))) for _ in range(3)]
        assert caller.append(LAPTOP, log.vault, *parts).word == "unavailable"
        assert len(caller.page(LAPTOP, log.vault).entries) == 3
        db.execute("PRAGMA max_page_count = 1000000")
        assert caller.append(LAPTOP, log.vault, *parts).status == 200
        assert [one.data for one in caller.page(LAPTOP, log.vault).entries[1:]] == log.entries


def test_another_program_that_looks_into_the_database_takes_nothing_away(tmp_path: Path) -> None:
    chain = chain_of(LAPTOP)
    log = log_of(chain, LAPTOP)
    place = str(tmp_path / "relay.db")
    look = f"import sqlite3; d = sqlite3.connect({place!r}); d.execute('SELECT 1 FROM entries').fetchall(); d.close()"
    with running(tmp_path) as caller:
        caller.create(chain, LAPTOP)
        for _ in range(3):
            fresh = threading.Thread(target=caller.relay.storage.check)  # a reader with a connection of its own
            fresh.start()
            fresh.join()
            subprocess.run([sys.executable, "-c", look], check=True)
            assert caller.append(LAPTOP, log.vault, *log.parts(2)).status == 200
            assert (tmp_path / "relay.db-wal").exists()
    with running(tmp_path) as caller:
        assert [one.data for one in caller.page(LAPTOP, log.vault).entries] == [*chain, *log.entries]


def test_two_relays_do_not_share_a_file(tmp_path: Path) -> None:
    storage = SqliteStorage(tmp_path / "relay.db")
    with pytest.raises(VaultBusy):
        SqliteStorage(tmp_path / "relay.db")
    storage.close()
    SqliteStorage(tmp_path / "relay.db").close()


@pytest.mark.parametrize("content", [b"no database", b"SQLite format 3\0" + bytes(4096)])
def test_another_file_is_not_taken_for_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay.db"
    path.write_bytes(content)
    with pytest.raises(DamagedVault):
        SqliteStorage(path)
    assert path.read_bytes() == content


def test_the_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE entries (a)")
    with pytest.raises(DamagedVault):
        SqliteStorage(path)


def test_only_the_owner_reads_what_is_kept(tmp_path: Path) -> None:
    chain = chain_of(LAPTOP)
    with running(tmp_path / "relay") as caller:
        caller.create(chain, LAPTOP)
        target = f"/v1/vaults/{membership.vault_id_of(chain)}/blobs/"
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert caller.signed(LAPTOP, "PUT", target + digest, b"abc").status == 201
        paths = [tmp_path / "relay", *(tmp_path / "relay").rglob("*")]
        assert len(paths) > 5
        for path in paths:
            mode = path.stat().st_mode
            assert not mode & (stat.S_IRWXG | stat.S_IRWXO), (path, oct(mode))
