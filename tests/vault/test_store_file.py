"""The vault file: encrypted, private, whole after any ending, and honest about what is wrong with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from vault import database
from vault.errors import (
    CannotRead,
    CannotWrite,
    DamagedVault,
    DiskFull,
    KeyferryError,
    NewerVault,
    NoVault,
    VaultBusy,
    VaultExists,
    WrongKey,
)
from vault.model import BasicAuth, Field, Item, Note, concealed
from vault.secret import Secret
from vault.store import Run, Store, key_fingerprint

ROOT = Path(__file__).resolve().parents[2]
KEY = bytes(range(32))
OTHER = bytes(range(1, 33))
NOW = "2026-11-20T10:00:00Z"
CANARY = "canary-4711-visible"
needs_posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def login(id_: str, password: str = "pw") -> Item:
    auth = BasicAuth(username=Field(value="ann"), password=concealed(password))
    return Item(id=id_, title=f"Title {id_}", credentials=(auth, Note(content=Secret(f"note {password}"))))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "vault.db"


@pytest.fixture
def filled(path: Path) -> Path:
    """A closed vault of 400 items."""
    with Store.create(path, KEY, "v1") as store:
        store.put_many((login(f"i{n}", f"{CANARY}-{n}") for n in range(400)), NOW)
    return path


# -- the format


def test_another_library_reads_the_file(filled: Path) -> None:
    connection = apsw.Connection(str(filled), flags=apsw.SQLITE_OPEN_READONLY)
    connection.execute("PRAGMA cipher = 'sqlcipher'")
    connection.execute("PRAGMA legacy = 4")
    connection.execute(f"PRAGMA key = \"x'{KEY.hex()}'\"")
    rows = connection.execute("SELECT id, body FROM items ORDER BY seq").fetchall()
    assert len(rows) == 400
    assert CANARY in str(rows[0][1])
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_the_closed_file_is_whole_by_itself(filled: Path, tmp_path: Path) -> None:
    assert os.listdir(filled.parent) == ["vault.db"]
    shutil.copy(filled, tmp_path / "copy.db")
    with Store.open(tmp_path / "copy.db", KEY) as store:
        assert store.count() == 400


def test_neither_file_nor_log_shows_a_value(path: Path) -> None:
    with Store.create(path, KEY, "v1") as store:
        store.put_many((login(f"i{n}", CANARY) for n in range(50)), NOW)
        seen = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent)}
        assert "vault.db-wal" in seen
        assert len(seen["vault.db-wal"]) > 10_000
        for data in seen.values():
            assert CANARY.encode() not in data
            assert b"Title i" not in data
            assert b"SQLite format 3" not in data


@needs_posix
def test_files_are_private_whatever_the_umask(path: Path) -> None:
    old = os.umask(0)
    try:
        with Store.create(path, KEY, "v1") as store:
            store.put(login("a"), now=NOW)
            modes = {name: stat.S_IMODE((path.parent / name).stat().st_mode) for name in os.listdir(path.parent)}
    finally:
        os.umask(old)
    assert set(modes) >= {"vault.db", "vault.db-wal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_each_commit_waits_for_the_disk(path: Path) -> None:
    with Store.create(path, KEY, "v1") as store:
        assert store._db.value("PRAGMA synchronous") == 2
        assert store._db.value("PRAGMA journal_mode") == "wal"


# -- keys


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused_before_anything_is_made(path: Path, length: int) -> None:
    with pytest.raises(WrongKey):
        Store.create(path, bytes(length), "v1")
    assert not path.exists()
    assert not path.parent.exists() or os.listdir(path.parent) == []


def test_a_wrong_key_is_told_by_the_fingerprint(filled: Path) -> None:
    with pytest.raises(WrongKey) as caught:
        Store.open(filled, OTHER, fingerprint=key_fingerprint(KEY))
    assert caught.value.exit_code == 24
    with pytest.raises(WrongKey):
        Store.open(filled, OTHER)


def test_the_right_key_on_a_broken_first_page_is_a_damaged_file(filled: Path) -> None:
    flip(filled, 1000)
    with pytest.raises(DamagedVault):
        Store.open(filled, KEY, fingerprint=key_fingerprint(KEY))


def test_the_fingerprint_differs_for_each_key_and_is_not_part_of_it() -> None:
    assert key_fingerprint(KEY) != key_fingerprint(OTHER)
    assert len(key_fingerprint(KEY)) == 16
    assert key_fingerprint(KEY) not in KEY.hex()


def test_a_new_key_replaces_the_old_one(filled: Path) -> None:
    with Store.open(filled, KEY) as store:
        store.rekey(OTHER)
        assert store.count() == 400
    with Store.open(filled, OTHER) as store:
        assert (store.count(), len(store.search("title"))) == (400, 400)
    with pytest.raises(WrongKey):
        Store.open(filled, KEY)


def test_sqlcipher_says_nothing_on_standard_error(filled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(WrongKey):
        Store.open(filled, OTHER)
    flip(filled, filled.stat().st_size // 2)
    with contextlib.suppress(DamagedVault), Store.open(filled, KEY) as store:
        store.vault()
    assert capfd.readouterr() == ("", "")


# -- damage


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_one_flipped_bit_anywhere_is_noticed(filled: Path) -> None:
    whole = filled.read_bytes()
    chance = random.Random(7)
    for _ in range(12):
        filled.write_bytes(whole)
        flip(filled, chance.randrange(len(whole)))
        with pytest.raises(DamagedVault):
            read_every_page(filled)


def read_every_page(path: Path) -> None:
    with Store.open(path, KEY, fingerprint=key_fingerprint(KEY)) as store:
        if store._db.all("PRAGMA cipher_integrity_check"):
            raise DamagedVault("a page is not as it was written")
        store.vault()


def test_reading_items_over_a_broken_page_is_a_damaged_vault(filled: Path) -> None:
    size = filled.stat().st_size
    for page in range(4096 * 8, size, 4096):
        flip(filled, page + 100)
    with pytest.raises(DamagedVault) as caught, Store.open(filled, KEY, fingerprint=key_fingerprint(KEY)) as store:
        store.vault()
    assert caught.value.exit_code == 25
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("part", range(10))
def test_a_cut_file_is_damaged_or_no_vault(filled: Path, part: int) -> None:
    filled.write_bytes(filled.read_bytes()[: filled.stat().st_size * part // 10])
    with pytest.raises(DamagedVault):
        read_every_page(filled)


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0" + bytes(4080), b"hello world" * 1000])
def test_a_file_that_is_no_vault_is_refused_and_stays_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(DamagedVault):
        Store.open(path, KEY, fingerprint=key_fingerprint(KEY))
    assert path.read_bytes() == content


def test_an_encrypted_file_without_our_tables_is_no_vault(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    connection = database._connect(f"{path.as_uri()}?mode=rw", KEY)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(DamagedVault):
        Store.open(path, KEY)


def test_a_vault_of_a_newer_version_is_left_alone(filled: Path) -> None:
    with Store.open(filled, KEY) as store:
        store.set_meta("schema", "2")
    with pytest.raises(NewerVault) as caught:
        Store.open(filled, KEY)
    assert caught.value.exit_code == 26


# -- places


def test_a_missing_file_is_no_vault_and_none_is_made(path: Path) -> None:
    with pytest.raises(NoVault):
        Store.open(path, KEY)
    assert not path.exists()


def test_a_folder_in_the_place_of_the_file_cannot_be_read(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(CannotRead):
        Store.open(path, KEY)


def test_creating_never_overwrites(filled: Path) -> None:
    before = filled.read_bytes()
    with pytest.raises(VaultExists):
        Store.create(filled, KEY, "v2")
    assert filled.read_bytes() == before


@needs_posix
def test_creating_does_not_follow_a_link(tmp_path: Path) -> None:
    (tmp_path / "vault.db").symlink_to(tmp_path / "elsewhere.db")
    with pytest.raises(VaultExists):
        Store.create(tmp_path / "vault.db", KEY, "v1")
    assert not (tmp_path / "elsewhere.db").exists()


def test_creating_under_a_file_is_refused_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CannotWrite):
        Store.create(tmp_path / "file" / "vault.db", KEY, "v1")


def test_odd_characters_in_the_path_are_only_characters(tmp_path: Path) -> None:
    path = tmp_path / "a?mode=memory#x %20 ü" / "vault.db"
    with Store.create(path, KEY, "v1") as store:
        store.put(login("a"), now=NOW)
    assert path.is_file()
    with Store.open(path, KEY) as store:
        assert store.count() == 1


def test_a_read_only_store_reads_and_does_not_write(filled: Path) -> None:
    with Store.open(filled, KEY, read_only=True) as store:
        assert store.count() == 400
        with pytest.raises(CannotWrite):
            store.put(login("new"), now=NOW)
    with Store.open(filled, KEY) as store:
        assert store.count() == 400


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user without rights, so that file modes count even where the tests run as root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter; pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@needs_posix
def test_a_vault_in_a_read_only_folder_can_be_read(filled: Path, open_folder: Path) -> None:
    path = open_folder / "vault.db"
    shutil.copy(filled, path)
    path.chmod(0o444)
    open_folder.chmod(0o555)
    with as_nobody(), Store.open(path, KEY) as store:
        assert store.count() == 400
        assert len(store.search("title")) == 400
        with pytest.raises(CannotWrite):
            store.put(login("new"), now=NOW)


@needs_posix
def test_creating_in_a_read_only_folder_is_refused(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with as_nobody(), pytest.raises(CannotWrite) as caught:
        Store.create(open_folder / "home" / "vault.db", KEY, "v1")
    assert caught.value.exit_code == 40
    assert os.listdir(open_folder) == []


@needs_posix
def test_a_file_without_rights_cannot_be_read(filled: Path, open_folder: Path) -> None:
    path = open_folder / "vault.db"
    shutil.copy(filled, path)
    path.chmod(0)
    with as_nobody(), pytest.raises(CannotRead):
        Store.open(path, KEY)


def test_a_full_disk_leaves_the_vault_as_it_was(filled: Path) -> None:
    with Store.open(filled, KEY) as store:
        store._db.do(f"PRAGMA max_page_count = {store._db.value('PRAGMA page_count') + 20}")
        with pytest.raises(DiskFull) as caught:
            store.put_many((login(f"new{n}", "x" * 500) for n in range(2000)), NOW)
        assert caught.value.exit_code == 41
        assert store.count() == 400
        assert store.search("title new1") == []
        store.purge("i0")
    with Store.open(filled, KEY) as store:
        assert store.count() == 399


# -- others at the same time


HOLD = """
import sys
from pathlib import Path
from vault.store import Store
store = Store.open(Path(sys.argv[1]), bytes(range(32)))
with store.transaction():
    print("held", flush=True)
    sys.stdin.readline()
store.close()
"""


@contextlib.contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    program = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(program, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        try:
            yield
        finally:
            other.stdin.write("\n")
            other.stdin.close()
            other.wait()


def test_a_second_writer_is_told_and_readers_go_on(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_MILLIS", 50)
    with held_by_another_process(filled), Store.open(filled, KEY) as store:
        assert store.count() == 400
        with pytest.raises(VaultBusy) as caught:
            store.put(login("new"), now=NOW)
        assert caught.value.exit_code == 23
        assert "another Keyferry process" in caught.value.message
        assert store.item("new") is None
    with Store.open(filled, KEY) as store:
        store.put(login("new"), now=NOW)


def test_a_snapshot_does_not_see_what_another_writes_meanwhile(filled: Path) -> None:
    with Store.open(filled, KEY) as reader, Store.open(filled, KEY) as writer, reader.snapshot():
        assert reader.count() == 400
        writer.put(login("new"), now=NOW)
        assert reader.count() == 400
        assert reader.item("new") is None


# -- killed


def import_until_killed(path: str, tell: multiprocessing.connection.Connection) -> None:
    store = Store.open(Path(path), KEY)
    store.begin_run(Run("r1", "x_json", "x.json", "0" * 64, NOW))
    tell.send("begun")
    with store.recording("r1"):
        store.put_many((login(f"i{n}", f"{n} new") for n in range(3000)), NOW)
        store.add_arrivals("r1", ((f"items/{n}", f"i{n}", "f") for n in range(3000)))
    tell.send("done")
    store.close()
    os.kill(os.getpid(), signal.SIGKILL)


@needs_posix
def test_killed_at_any_moment_it_is_the_old_vault_or_the_new(filled: Path) -> None:
    whole = filled.read_bytes()
    chance = random.Random(int(os.environ.get("KEYFERRY_SEED", "11")))
    fork = multiprocessing.get_context("fork")
    rounds = int(os.environ.get("KEYFERRY_KILLS", "8"))
    duration = 0.5
    for number in range(rounds):
        for name in os.listdir(filled.parent):
            (filled.parent / name).unlink()
        filled.write_bytes(whole)
        ours, theirs = fork.Pipe()
        child = fork.Process(target=import_until_killed, args=(str(filled), theirs))
        child.start()
        assert ours.recv() == "begun"
        began = time.monotonic()
        if number == 0:  # the first goes through, to learn how long it takes
            assert ours.recv() == "done"
            duration = time.monotonic() - began
        else:
            ours.poll(chance.random() * duration * 1.1)
        child.kill()
        child.join()
        assert_old_or_new(filled)


def assert_old_or_new(path: Path) -> None:
    with Store.open(path, KEY, fingerprint=key_fingerprint(KEY)) as store:
        assert store._db.all("PRAGMA cipher_integrity_check") == []
        assert store._db.value("PRAGMA integrity_check") == "ok"
        store._db.do("INSERT INTO words (words) VALUES ('integrity-check')")
        count = store.count()
        assert count in (400, 3000)
        renewed = sum(b" new" in body for _, body in store.rows())
        assert renewed == (0 if count == 400 else 3000)
        assert len(list(store.arrivals("r1"))) == len(store.journal("r1")) == renewed
        assert len(store.search("title")) == count


def test_every_failure_of_sqlite_is_one_of_ours() -> None:
    for code in (3, 5, 6, 8, 10, 11, 13, 14, 26):
        error = Exception("geheim")
        error.sqlite_errorcode = code | 0x100  # type: ignore[attr-defined]
        ours = database._failure(error, Path("/nowhere/vault.db"))
        assert isinstance(ours, KeyferryError)
        assert "geheim" not in ours.message


@needs_posix
def test_a_second_look_at_an_open_vault_takes_no_locks_away(filled: Path) -> None:
    """Another program asks for the place where SQLite says that somebody reads (byte 1 GiB + 2, 510 of them)."""
    ask = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); "
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, (1 << 30) + 2)"
    )
    with Store.open(filled, KEY) as first:
        first.set_meta("n", "x")
        for _ in range(2):
            assert subprocess.run([sys.executable, "-c", ask, str(filled)], capture_output=True).returncode == 1
            Store.open(filled, KEY).close()
    assert subprocess.run([sys.executable, "-c", ask, str(filled)], capture_output=True).returncode == 0
