"""Making and opening vaults: nothing half made, nothing opened that should not be, and an old state noticed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.vault.killing import killed_at_each_step
from tests.vault.ring import SECRET_SERVICE, FileRing, ring_holder
from vault import crypto, device, keyholders, keys, membership, oskeyring
from vault.anchor import is_older
from vault.device import from_text, new_device
from vault.errors import (
    CannotWrite,
    DamagedVault,
    DiskFull,
    KeyferryError,
    KeyMissing,
    KeyringLocked,
    KeyringUnavailable,
    NewerVault,
    NoVault,
    RolledBack,
    TargetExists,
    UnsafeKeyFile,
    UnsafeKit,
    UnsafeTarget,
    UsageError,
    VaultBusy,
    VaultExists,
    WrongKey,
    WrongPassphrase,
)
from vault.kit import open_recovery, parse
from vault.kitcare import chain_of, waiting_kit
from vault.model import Item
from vault.oskeyring import KeyringHolder, find_keyring
from vault.store import Store

AT = "2026-11-23T00:00:00Z"
DEVICE = new_device()  # its RSA key would cost each test 0.1 s
NAMES = {"vault.db", "vault.json", "vault.lock", "vault.recovery.age"}


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "new_device", lambda: DEVICE)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileRing:
    """A keyring that answers as the Secret Service."""
    found = FileRing(tmp_path / "ring.json")
    monkeypatch.setattr(oskeyring, "_loaded", lambda name: found)
    return found


def made(home: Path, holder: keys.Holder | None = None) -> str:
    with keys.init_vault(home, holder=holder or KeyringHolder(SECRET_SERVICE)) as store:
        return store.vault_id


def put(home: Path, item: str) -> None:
    with keys.open_vault(home) as store:
        store.put(Item(id=item), now=AT)


def ids(home: Path, **options: object) -> list[str]:
    with keys.open_vault(home, read_only=True, **options) as store:  # type: ignore[arg-type]
        return [item.id for item in store.items()]


# -- making


def test_a_vault_is_made_private_and_opens_again(home: Path, ring: FileRing) -> None:
    before = os.umask(0)
    try:
        vault_id = made(home)
    finally:
        os.umask(before)
    assert {path.name for path in home.iterdir()} == NAMES
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {0o600}
    put(home, "one")
    assert ids(home) == ["one"]
    assert set(ring.entries()) == {f"keyferry {vault_id}", f"keyferry {vault_id}/anchor"}


def test_a_made_vault_has_a_device_that_the_root_certified(home: Path, ring: FileRing) -> None:
    with keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE)) as store:
        chain, found, own = chain_of(store), waiting_kit(store), from_text(store.meta("device") or "")
    (member,) = membership.verify_membership(chain, found.root_public)
    assert member.device_id == own.device_id
    assert membership.vault_id_of(chain) == store.vault_id


def test_the_recovery_file_holds_the_key(home: Path, ring: FileRing) -> None:
    vault_id = made(home)
    with keys.open_keys(home) as opened:
        found = waiting_kit(opened.store)
        assert open_recovery((home / "vault.recovery.age").read_bytes(), found) == (vault_id, (opened.key,))


def test_no_secret_stands_in_any_file(home: Path, ring: FileRing, tmp_path: Path) -> None:
    made(home)
    put(home, "one")
    with keys.open_keys(home) as opened:
        found, key = waiting_kit(opened.store), opened.key
        own = opened.store.meta("device") or ""
    secrets = [key, key.hex().encode(), crypto.to_text(key).encode(), found.seed, found.identity.encode()]
    secrets += [found.identity.lower().encode(), crypto.to_text(found.seed).encode(), own.encode()[:60]]
    for path in home.iterdir():
        assert not [secret for secret in secrets if secret in path.read_bytes()], path.name


def test_without_a_kit_there_is_none(home: Path, ring: FileRing) -> None:
    with keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE), with_kit=False) as store:
        assert store.meta("kit") is None
        assert "no recovery kit" in keys.kit_reminder(store)
    assert not (home / "vault.recovery.age").exists()
    put(home, "one")
    assert not (home / "vault.recovery.age").exists()


def test_init_can_hand_out_the_kit(home: Path, ring: FileRing, tmp_path: Path) -> None:
    with keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE), kit_file=tmp_path / "kit.txt") as store:
        assert parse((tmp_path / "kit.txt").read_text()) == waiting_kit(store)
        assert "not checked" in keys.kit_reminder(store)
    assert stat.S_IMODE((tmp_path / "kit.txt").stat().st_mode) == 0o600


def test_a_second_init_changes_nothing(home: Path, ring: FileRing) -> None:
    made(home)
    put(home, "one")
    before = {path.name: path.read_bytes() for path in home.iterdir()}, ring.entries()
    with pytest.raises(VaultExists):
        made(home)
    assert ({path.name: path.read_bytes() for path in home.iterdir()}, ring.entries()) == before


@pytest.mark.parametrize("name", ["vault.db", "vault.json"])
def test_init_never_takes_a_name_that_is_there(home: Path, ring: FileRing, name: str) -> None:
    home.mkdir()
    (home / name).write_bytes(b"somebody's")
    with pytest.raises(VaultExists):
        made(home)
    assert [path.read_bytes() for path in home.iterdir()] == [b"somebody's"]
    assert ring.entries() == {}


def test_a_dangling_link_counts_as_there(home: Path, ring: FileRing) -> None:
    home.mkdir()
    (home / "vault.db").symlink_to(home / "elsewhere")
    with pytest.raises(VaultExists):
        made(home)


class Failing(FileRing):
    """A keyring that lies or refuses."""

    def __init__(self, path: Path, how: str) -> None:
        super().__init__(path)
        self.how = how

    def get_password(self, service: str, username: str) -> str | None:
        from keyring.errors import InitError, KeyringLocked

        if self.how == "locked":
            raise KeyringLocked("Failed to unlock the collection!")
        if self.how == "gone":
            raise InitError("no bus")
        return None if self.how == "forgets" else super().get_password(service, username)

    def set_password(self, service: str, username: str, password: str) -> None:
        from keyring.errors import PasswordSetError

        if self.how == "refuses":
            raise PasswordSetError("no")
        super().set_password(service, username, password if self.how != "garbles" else "?")


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("locked", KeyringLocked),
        ("gone", KeyringUnavailable),
        ("forgets", KeyringUnavailable),
        ("refuses", KeyringUnavailable),
        ("garbles", KeyringUnavailable),
    ],
)
def test_a_bad_keyring_leaves_nothing_behind(home: Path, tmp_path: Path, how: str, kind: type[KeyferryError]) -> None:
    ring = Failing(tmp_path / "ring.json", how)
    with pytest.raises(kind):
        made(home / "deeper", KeyringHolder(SECRET_SERVICE, ring))
    assert not home.exists()


def test_a_file_that_does_not_come_back_is_never_encrypted_under(home: Path, tmp_path: Path) -> None:
    """The key is read back before the vault file exists."""
    seen: list[bool] = []

    class Watching(FileRing):
        def set_password(self, service: str, username: str, password: str) -> None:
            seen.append((home / "vault.db").exists())
            super().set_password(service, username, password)

    made(home, KeyringHolder(SECRET_SERVICE, Watching(tmp_path / "ring.json")))
    assert seen[0] is False


def test_an_existing_entry_is_never_overwritten(tmp_path: Path) -> None:
    holder = ring_holder(tmp_path / "ring.json")
    holder.keep("v", b"1" * 32)
    holder.keep("v", b"1" * 32)
    with pytest.raises(VaultExists):
        holder.keep("v", b"2" * 32)
    assert holder.key("v") == b"1" * 32


def test_without_a_keyring_the_whole_command_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with pytest.raises(KeyringUnavailable) as caught:
        keys.init_vault(home)
    assert f"keyferry init --home {home} --key-file ~/keyferry.key" in caught.value.hint
    assert not home.exists()


def test_the_command_names_no_home_that_is_the_default(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("KEYFERRY_HOME", str(home))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    with pytest.raises(KeyringUnavailable) as caught:
        keys.init_vault(keys.default_home())
    assert caught.value.hint.startswith("keyferry init --key-file ~/keyferry.key")


@pytest.mark.parametrize("place", ["home/kit.txt", "home/deeper/kit.txt", "home/../home/kit.txt", "link/kit.txt"])
def test_a_kit_never_goes_into_the_vaults_folder(tmp_path: Path, ring: FileRing, place: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "home")
    with pytest.raises(UnsafeKit):
        keys.init_vault(tmp_path / "home", holder=KeyringHolder(SECRET_SERVICE), kit_file=tmp_path / place)
    assert not (tmp_path / "home").exists()


def test_a_kit_never_overwrites(home: Path, ring: FileRing, tmp_path: Path) -> None:
    (tmp_path / "kit.txt").write_text("mine")
    with pytest.raises(TargetExists):
        keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE), kit_file=tmp_path / "kit.txt")
    (tmp_path / "link").symlink_to(tmp_path / "kit.txt")
    with pytest.raises(UnsafeTarget):
        keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE), kit_file=tmp_path / "link")
    assert (tmp_path / "kit.txt").read_text() == "mine"
    assert not home.exists()


def test_a_kit_that_cannot_be_written_undoes_the_vault(home: Path, ring: FileRing, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite):
        keys.init_vault(home, holder=KeyringHolder(SECRET_SERVICE), kit_file=tmp_path / "missing" / "kit.txt")
    assert not home.exists()
    assert ring.entries() == {}


def test_a_home_below_a_file_is_one_clear_error(tmp_path: Path, ring: FileRing) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite):
        made(tmp_path / "file" / "home")
    assert ring.entries() == {}


def test_a_full_disk_leaves_nothing_behind(home: Path, ring: FileRing, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each write in turn: the disk fills up, and home and keyring are as before."""
    true_sync = os.fsync
    for number in range(1, 50):
        left = number

        def full(handle: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            true_sync(handle)

        monkeypatch.setattr(os, "fsync", full)
        try:
            made(home)
        except DiskFull:
            assert not home.exists()
            assert ring.entries() == {}
        else:
            break
        finally:
            monkeypatch.setattr(os, "fsync", true_sync)
    assert number > 5


def test_killed_at_any_moment_init_can_be_run_again(home: Path, ring: FileRing) -> None:
    def clear() -> None:
        shutil.rmtree(home, ignore_errors=True)
        ring.path.unlink(missing_ok=True)

    for step in killed_at_each_step(lambda: made(home), clear):
        if keys.has_vault(home):  # only the closing was missing
            assert ids(home) == []
            continue
        with pytest.raises(NoVault):
            keys.open_vault(home)
        vault_id = made(home)
        assert ids(home) == []
        assert {path.name for path in home.iterdir()} - {"vault.db-wal", "vault.db-shm"} == NAMES, step
        assert {name.partition("/")[0] for name in ring.entries()} == {f"keyferry {vault_id}"}, step


def test_two_inits_at_once_make_one_vault(home: Path, ring: FileRing) -> None:
    from vault.files import held, make_private_folder

    make_private_folder(home)
    with held(home / "vault.lock"):
        for _ in range(2):
            with pytest.raises(VaultBusy):
                made(home)
    assert ring.entries() == {}


# -- opening


def test_there_is_no_vault_before_init(home: Path, ring: FileRing) -> None:
    with pytest.raises(NoVault):
        keys.open_vault(home)
    assert not keys.has_vault(home)
    assert not home.exists()


def test_a_deleted_entry_names_the_way_back(home: Path, ring: FileRing) -> None:
    made(home)
    ring.path.unlink()
    with pytest.raises(KeyMissing) as caught:
        keys.open_vault(home)
    assert "keyferry unlock --kit FILE" in caught.value.hint


@pytest.mark.parametrize("entry", ["", "?", "AAAA"])
def test_an_entry_that_is_no_key_names_the_way_back(home: Path, ring: FileRing, entry: str) -> None:
    vault_id = made(home)
    ring.set_password("keyferry", vault_id, entry)
    with pytest.raises(KeyMissing):
        keys.open_vault(home)


def test_another_key_is_told_from_a_damaged_file(home: Path, ring: FileRing) -> None:
    vault_id = made(home)
    right = ring.get_password("keyferry", vault_id) or ""
    ring.set_password("keyferry", vault_id, crypto.to_text(b"x" * 32))
    with pytest.raises(WrongKey):
        keys.open_vault(home)
    ring.set_password("keyferry", vault_id, right)
    body = bytearray((home / "vault.db").read_bytes())
    body[100] ^= 1
    (home / "vault.db").write_bytes(body)
    with pytest.raises(DamagedVault):
        keys.open_vault(home)


def test_two_homes_share_one_keyring(tmp_path: Path, ring: FileRing) -> None:
    for name in ("a", "b"):
        made(tmp_path / name)
        put(tmp_path / name, name)
    assert [ids(tmp_path / name) for name in ("a", "b")] == [["a"], ["b"]]
    keys.destroy(tmp_path / "a")
    assert ids(tmp_path / "b") == ["b"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", DamagedVault),
        (b"{}", DamagedVault),
        (b"\xff\xfe", DamagedVault),
        (b"[" * 100_000, DamagedVault),
        (b'{"vault":"../../x","holder":{},"format":1}', DamagedVault),
        (b'{"vault":"%s","holder":{},"format":1}' % (b"0" * 32), DamagedVault),
        (b'{"vault":"%s","holder":{"kind":"key-file","path":""},"format":1}' % (b"0" * 32), DamagedVault),
        (b'{"vault":"%s","holder":{},"format":2}' % (b"0" * 32), NewerVault),
    ],
)
def test_damaged_settings_are_one_clear_error(
    home: Path, ring: FileRing, body: bytes, kind: type[KeyferryError]
) -> None:
    made(home)
    (home / "vault.json").write_bytes(body)
    with pytest.raises(kind):
        keys.open_vault(home)
    with pytest.raises(VaultExists):
        made(home)


def test_missing_files_are_told_apart(home: Path, ring: FileRing) -> None:
    made(home)
    settings = (home / "vault.json").read_bytes()
    (home / "vault.json").unlink()
    with pytest.raises(KeyMissing, match=r"vault\.json is missing"):
        keys.open_vault(home)
    (home / "vault.json").write_bytes(settings)
    (home / "vault.db").unlink()
    with pytest.raises(NoVault, match=r"vault\.db is missing"):
        keys.open_vault(home)


def test_settings_of_another_vault_are_noticed(tmp_path: Path) -> None:
    holder = keys.choose_holder(tmp_path, key_file=tmp_path / "k")
    for name in ("a", "b"):
        made(tmp_path / name, holder)
    shutil.copy(tmp_path / "a" / "vault.json", tmp_path / "b" / "vault.json")
    with pytest.raises(DamagedVault, match="two vaults"):
        keys.open_vault(tmp_path / "b")


def test_a_missing_recovery_file_is_made_again(home: Path, ring: FileRing) -> None:
    made(home)
    (home / "vault.recovery.age").unlink()
    assert ids(home) == []
    assert not (home / "vault.recovery.age").exists()
    put(home, "one")
    with keys.open_keys(home) as opened:
        sealed = (home / "vault.recovery.age").read_bytes()
        assert open_recovery(sealed, waiting_kit(opened.store))[1] == (opened.key,)


# -- keyrings


@pytest.mark.parametrize(
    "name",
    [
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",
        "keyrings.alt.file.PlaintextKeyring",
        "no.such.Backend",
        "x",
    ],
)
def test_untrusted_keyrings_count_as_none(
    name: str, home: Path, ring: FileRing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyringUnavailable):
        find_keyring({"PYTHON_KEYRING_BACKEND": name})
    (tmp_path / "python_keyring").mkdir()
    (tmp_path / "python_keyring" / "keyringrc.cfg").write_text(f"[backend]\ndefault-keyring={name}\n")
    with pytest.raises(KeyringUnavailable):
        find_keyring({"XDG_CONFIG_HOME": str(tmp_path)})


def test_the_environment_cannot_put_another_keyring_in_place(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(home, ring_holder(tmp_path / "ring.json"))
    for name in ("keyring.backends.null.Keyring", "keyring.backends.libsecret.Keyring"):
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
        with pytest.raises(KeyringUnavailable):
            keys.open_vault(home)


def test_settings_cannot_name_an_untrusted_keyring(home: Path, tmp_path: Path) -> None:
    made(home, ring_holder(tmp_path / "ring.json"))
    settings = json.loads((home / "vault.json").read_text())
    settings["holder"]["backend"] = "keyring.backends.null.Keyring"
    (home / "vault.json").write_text(json.dumps(settings))
    with pytest.raises(KeyringUnavailable):
        keys.open_vault(home)


def test_without_a_bus_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", f"unix:path={tmp_path}/none")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(KeyringUnavailable):
        find_keyring()
    with pytest.raises(KeyringUnavailable):
        KeyringHolder(SECRET_SERVICE).key("v")


def test_a_defect_in_a_backend_is_not_called_a_missing_keyring() -> None:
    class Broken:
        def get_password(self, service: str, username: str) -> str | None:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        KeyringHolder(SECRET_SERVICE, Broken()).key("v")  # type: ignore[arg-type]


# -- key files


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "stick.key"


def test_a_key_file_is_made_private_and_used(home: Path, key_file: Path) -> None:
    before = os.umask(0)
    try:
        made(home, keys.choose_holder(home, key_file=key_file))
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    words = key_file.read_text().split()
    assert words[0] == "keyferry-key-1"
    assert len(crypto.from_text(words[1])) == 32
    put(home, "one")
    assert ids(home) == ["one"]


def test_an_existing_key_file_is_used_and_never_written(tmp_path: Path, key_file: Path) -> None:
    made(tmp_path / "a", keys.choose_holder(tmp_path / "a", key_file=key_file))
    before = key_file.read_bytes(), key_file.stat().st_mtime_ns
    made(tmp_path / "b", keys.choose_holder(tmp_path / "b", key_file=key_file))
    assert (key_file.read_bytes(), key_file.stat().st_mtime_ns) == before
    assert ids(tmp_path / "b") == []


def test_a_relative_key_file_is_remembered_whole(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(home, keys.choose_holder(home, key_file=Path("stick.key")))
    monkeypatch.chdir("/")
    assert ids(home) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"hello",
        b"keyferry-key-1",
        b"keyferry-key-1 AAAA",
        b"keyferry-key-2 " + b"A" * 43 + b"=",
        b"keyferry-key-1 " + b"A" * 43 + b"= x",
        b"keyferry-key-1 \xff",
        b"\0" * 5000,
    ],
)
def test_a_file_that_is_no_key_file_is_neither_used_nor_written(home: Path, key_file: Path, body: bytes) -> None:
    key_file.write_bytes(body)
    key_file.chmod(0o600)
    with pytest.raises(UnsafeKeyFile):
        made(home, keys.choose_holder(home, key_file=key_file))
    assert key_file.read_bytes() == body
    assert not home.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o601])
def test_a_key_file_open_to_others_is_refused(home: Path, key_file: Path, mode: int) -> None:
    made(home, keys.choose_holder(home, key_file=key_file))
    key_file.chmod(mode)
    with pytest.raises(UnsafeKeyFile) as caught:
        keys.open_vault(home)
    assert caught.value.hint == f"chmod 600 {key_file}"


def test_a_link_to_a_key_file_is_refused(home: Path, key_file: Path, tmp_path: Path) -> None:
    made(home, keys.choose_holder(home, key_file=key_file))
    key_file.rename(tmp_path / "real")
    key_file.symlink_to(tmp_path / "real")
    with pytest.raises(UnsafeKeyFile):
        keys.open_vault(home)
    with pytest.raises(UnsafeKeyFile):
        made(tmp_path / "b", keys.choose_holder(tmp_path / "b", key_file=key_file))


def test_a_pipe_or_folder_is_no_key_file(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("pipe", "."):
        with pytest.raises(UnsafeKeyFile):
            made(home, keys.choose_holder(home, key_file=tmp_path / name))


def test_a_missing_key_file_names_the_way_back(home: Path, key_file: Path) -> None:
    made(home, keys.choose_holder(home, key_file=key_file))
    key_file.unlink()
    with pytest.raises(KeyMissing) as caught:
        keys.open_vault(home)
    assert "keyferry unlock --kit FILE --key-file PATH" in caught.value.hint


def test_another_key_file_does_not_open_the_vault(home: Path, key_file: Path, tmp_path: Path) -> None:
    made(home, keys.choose_holder(home, key_file=key_file))
    key_file.unlink()
    made(tmp_path / "b", keys.choose_holder(tmp_path / "b", key_file=key_file))
    with pytest.raises(WrongKey):
        keys.open_vault(home)


def test_a_key_file_does_not_take_the_vaults_own_names(home: Path) -> None:
    with pytest.raises(UsageError):
        made(home, keys.choose_holder(home, key_file=home / "vault.db"))
    assert not home.exists()


def test_a_failed_init_removes_only_the_key_file_it_made(
    home: Path, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("the disk is full")

    monkeypatch.setattr(Store, "create", full)
    with pytest.raises(DiskFull):
        made(home, keys.choose_holder(home, key_file=key_file))
    assert list(tmp_path.iterdir()) == []
    keyholders.KeyFileHolder(key_file, home).keep("v", b"k" * 32)
    with pytest.raises(DiskFull):
        made(home, keys.choose_holder(home, key_file=key_file))
    assert list(tmp_path.iterdir()) == [key_file]


def test_a_key_file_beside_the_vault_is_noticed(home: Path, key_file: Path) -> None:
    holder = keyholders.KeyFileHolder(key_file, home)
    made(home, holder)
    assert holder.is_beside_vault


def test_the_anchor_may_stay_unwritten(home: Path, tmp_path: Path) -> None:
    """A key file on a medium that cannot be written still opens the vault for writing."""
    folder = tmp_path / "stick"
    folder.mkdir()
    made(home, keys.choose_holder(home, key_file=folder / "k"))
    for path in folder.glob("*.anchor"):
        path.unlink()
        path.mkdir()
    put(home, "one")
    assert ids(home) == ["one"]


# -- passphrases


def asked(answer: str) -> Callable[[], str]:
    return lambda: answer


def test_a_passphrase_opens_the_vault_and_another_does_not(home: Path) -> None:
    made(home, keys.choose_holder(home, passphrase="open sesame"))
    with keys.open_vault(home, passphrase=asked("open sesame")) as store:
        store.put(Item(id="one"), now=AT)
    assert ids(home, passphrase=asked("open sesame")) == ["one"]
    with pytest.raises(WrongPassphrase):
        keys.open_vault(home, passphrase=asked("open says me"))
    assert stat.S_IMODE((home / "vault.key").stat().st_mode) == 0o600


def test_nobody_is_asked_for_a_passphrase_the_vault_does_not_have(home: Path, ring: FileRing) -> None:
    def never() -> str:
        raise AssertionError("asked")

    made(home)
    assert ids(home, passphrase=never) == []


def test_a_passphrase_vault_needs_somebody_to_ask(home: Path) -> None:
    made(home, keys.choose_holder(home, passphrase="p"))
    with pytest.raises(UsageError):
        keys.open_vault(home)
    (home / "vault.key").unlink()
    with pytest.raises(KeyMissing):
        keys.open_vault(home, passphrase=asked("p"))


def test_an_empty_passphrase_is_refused(home: Path) -> None:
    with pytest.raises(UsageError):
        keys.choose_holder(home, passphrase="")
    with pytest.raises(UsageError):
        keys.choose_holder(home, passphrase="p", key_file=home)


# -- the rollback anchor


@pytest.mark.parametrize("kind", ["keyring", "key-file", "passphrase"])
def test_an_old_file_put_back_can_only_be_read(home: Path, ring: FileRing, tmp_path: Path, kind: str) -> None:
    options = {"keyring": {}, "key-file": {"key_file": tmp_path / "k"}, "passphrase": {"passphrase": "p"}}[kind]
    holder = keys.choose_holder(home, **options) if options else KeyringHolder(SECRET_SERVICE)  # type: ignore[arg-type]
    made(home, holder)

    def opened(**more: bool) -> keys.Opened:
        return keys.open_keys(home, passphrase=asked("p"), **more)

    with opened() as first:
        first.store.put(Item(id="one"), now=AT)
    old = (home / "vault.db").read_bytes()
    with opened() as second:
        second.store.put(Item(id="two"), now=AT)
    (home / "vault.db").write_bytes(old)
    with pytest.raises(RolledBack) as caught:
        opened()
    assert "doctor --accept-older" in caught.value.hint
    warnings: list[str] = []
    with keys.open_vault(home, read_only=True, passphrase=asked("p"), warn=warnings.append) as store:
        assert [item.id for item in store.items()] == ["one"]
    assert len(warnings) == 1
    with opened(accept_older=True) as third:
        keys.accept_older(third.store, third.holder, AT)
        assert "accepted_older" not in warnings
    with opened() as fourth:
        assert not is_older(fourth.store, fourth.holder)
        assert json.loads(fourth.store.meta("accepted_older") or "")[0]["at"] == AT


def test_a_file_newer_than_its_anchor_is_normal(home: Path, ring: FileRing) -> None:
    made(home)
    before = ring.entries()
    put(home, "one")
    ring._write(before)
    put(home, "two")
    assert ids(home) == ["one", "two"]


def test_reading_writes_neither_file_nor_keyring(home: Path, ring: FileRing) -> None:
    made(home)
    put(home, "one")
    writes, body = ring.writes, (home / "vault.db").read_bytes()
    assert ids(home) == ["one"]
    with keys.open_vault(home) as store:
        assert store.count() == 1
    assert (ring.writes, (home / "vault.db").read_bytes()) == (writes, body)


@pytest.mark.parametrize(
    "text", ["", "keyferry-anchor-1", "keyferry-anchor-1 -5", "x 9", "keyferry-anchor-1 " + "9" * 99]
)
def test_a_garbled_anchor_is_as_good_as_none(home: Path, ring: FileRing, text: str) -> None:
    vault_id = made(home)
    ring.set_password("keyferry", f"{vault_id}/anchor", text)
    put(home, "one")
    assert ids(home) == ["one"]
