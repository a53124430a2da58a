"""Moving, renewing, recovering and ending a key: killed at any step, the vault still opens."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import pytest

from tests.vault.killing import killed_at_each_step
from tests.vault.ring import SECRET_SERVICE, FileRing
from vault import device, keycare, keys, kitcare, membership, oskeyring
from vault.device import new_device
from vault.errors import (
    CannotWrite,
    DamagedVault,
    DiskFull,
    KeyMissing,
    KeyringUnavailable,
    NoVault,
    RolledBack,
    TargetExists,
    UnsafeKit,
    UsageError,
    VaultBusy,
    WrongKey,
    WrongKit,
    WrongPassphrase,
)
from vault.kit import Kit, new_kit, open_recovery, parse
from vault.model import Item
from vault.oskeyring import KeyringHolder
from vault.settings import read_settings
from vault.store import Store

AT = "2026-11-23T00:00:00Z"
DEVICE = new_device()  # its RSA key would cost each test 0.1 s
KINDS = ["keyring", "key-file", "passphrase"]


class Place:
    """A home, a stick and a keyring that can be put back as they were."""

    def __init__(self, root: Path) -> None:
        self.root = root / "work"
        self.saved = root / "saved"
        self.home = self.root / "home"
        self.key_file = self.root / "stick" / "k"
        self.ring = FileRing(self.root / "ring.json")
        self.key_file.parent.mkdir(parents=True)

    def holder(self, kind: str) -> keys.Holder:
        if kind == "keyring":
            return KeyringHolder(SECRET_SERVICE, self.ring)
        if kind == "key-file":
            return keys.choose_holder(self.home, key_file=self.key_file)
        return keys.choose_holder(self.home, passphrase="p")

    def make(self, kind: str) -> Kit:
        """Make a vault with two items; returns its kit."""
        with keys.init_vault(self.home, holder=self.holder(kind)) as store:
            kit = kitcare.waiting_kit(store)
            store.put_many([Item(id="one"), Item(id="two")], AT)
        return kit

    def open(self, *, read_only: bool = False) -> keys.Opened:
        return keys.open_keys(self.home, read_only=read_only, passphrase=lambda: "p")

    def save(self) -> None:
        shutil.copytree(self.root, self.saved)

    def back(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.saved, self.root)

    def check(self, kit: Kit) -> None:
        """The vault opens for reading, then for writing, and with the kit; nothing is pending any more."""
        for read_only in (True, False):
            with self.open(read_only=read_only) as opened:
                assert [item.id for item in opened.store.items()] == ["one", "two"]
                assert opened.store.is_sound()
        assert not read_settings(self.home).pending
        assert not [name for name in self.ring.entries() if name.endswith("/pending")]
        assert not list(self.root.rglob("*.pending"))
        with self.open() as opened:
            sealed = (self.home / "vault.recovery.age").read_bytes()
            assert open_recovery(sealed, kit)[1] == (opened.key,)


@pytest.fixture(autouse=True)
def one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "new_device", lambda: DEVICE)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    found = Place(tmp_path)
    monkeypatch.setattr(oskeyring, "_loaded", lambda name: found.ring)
    return found


# -- rotate


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotated_vault_has_another_key_and_the_old_one_is_dead(place: Place, kind: str) -> None:
    kit = place.make(kind)
    with place.open() as opened:
        old = opened.key
        keycare.rotate_key(opened)
        assert opened.key != old
    place.check(kit)
    with pytest.raises(WrongKey):
        Store.open(place.home / "vault.db", old)
    assert old.hex() not in json.dumps(place.ring.entries())


@pytest.mark.parametrize("kind", ["keyring", "key-file"])
def test_killed_at_any_moment_a_rotation_leaves_a_vault_that_opens(place: Place, kind: str) -> None:
    kit = place.make(kind)
    place.save()
    sides = set()

    def rotate() -> None:
        with place.open() as opened:
            keycare.rotate_key(opened)

    with place.open(read_only=True) as opened:
        old = opened.key
    for _ in killed_at_each_step(rotate, place.back):
        place.check(kit)
        with place.open(read_only=True) as opened:
            sides.add(opened.key == old)
    assert sides == {True, False}


@pytest.mark.parametrize("kind", ["keyring", "key-file"])
def test_killed_at_any_moment_the_kit_still_opens(place: Place, kind: str) -> None:
    kit = place.make(kind)
    place.save()

    def rotate() -> None:
        with place.open() as opened:
            keycare.rotate_key(opened)

    for _ in killed_at_each_step(rotate, place.back):
        place.ring.path.unlink(missing_ok=True)
        shutil.rmtree(place.key_file.parent)
        place.key_file.parent.mkdir()
        keycare.unlock(place.home, kit, lambda described: place.holder(kind))
        place.check(kit)


def test_an_interrupted_rotation_of_a_passphrase_vault_is_finished(place: Place) -> None:
    kit = place.make("passphrase")
    for fails in ("settle_key", "write_settings"):
        with pytest.MonkeyPatch.context() as patch, place.open() as opened:
            patch.setattr(keycare, fails, _raise)
            with pytest.raises(ZeroDivisionError):
                keycare.rotate_key(opened)
        place.check(kit)


def _raise(*_: object) -> None:
    raise ZeroDivisionError


def test_a_vault_in_use_is_not_rotated(place: Place) -> None:
    kit = place.make("keyring")
    with Store.open(place.home / "vault.db", _key(place)) as other:
        assert other.count() == 2
        with place.open() as opened, pytest.raises(VaultBusy):
            keycare.rotate_key(opened)
    place.check(kit)


def _key(place: Place) -> bytes:
    with place.open(read_only=True) as opened:
        return opened.key


@pytest.mark.parametrize("kind", KINDS)
def test_a_rotation_that_did_not_happen_leaves_the_old_key_in_force(
    place: Place, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLCipher's rekey reports success on a full disk; only a second look tells."""
    kit = place.make(kind)
    before = _key(place)
    monkeypatch.setattr(Store, "rekey", lambda self, key: None)
    with place.open() as opened, pytest.raises(CannotWrite, match="old key"):
        keycare.rotate_key(opened)
    assert _key(place) == before
    place.check(kit)


def test_a_rotation_needs_room_for_every_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = place.make("keyring")
    usage = shutil.disk_usage(place.home)
    size = (place.home / "vault.db").stat().st_size
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=size))
    with place.open() as opened, pytest.raises(DiskFull):
        keycare.rotate_key(opened)
    place.check(kit)


def test_a_key_file_of_two_vaults_is_not_rotated_away(place: Place) -> None:
    kit = place.make("key-file")
    keys.init_vault(place.root / "other", holder=place.holder("key-file")).close()
    with keys.open_vault(place.root / "other") as store:
        store.put(Item(id="x"), now=AT)
    with place.open() as opened, pytest.raises(TargetExists):
        keycare.rotate_key(opened)
    place.check(kit)
    with keys.open_vault(place.root / "other") as store:
        assert store.count() == 1


def test_a_vault_without_a_kit_is_rotated_too(place: Place) -> None:
    keys.init_vault(place.home, holder=place.holder("keyring"), with_kit=False).close()
    with place.open() as opened:
        keycare.rotate_key(opened)
    with place.open() as opened:
        assert opened.store.count() == 0
    assert not (place.home / "vault.recovery.age").exists()


# -- move


@pytest.mark.parametrize("old", KINDS)
@pytest.mark.parametrize("new", KINDS)
def test_a_moved_key_is_only_in_its_new_place(place: Place, old: str, new: str) -> None:
    kit = place.make(old)
    with place.open() as opened:
        if old == new != "passphrase":
            with pytest.raises(UsageError):
                keycare.move_key(opened, place.holder(new))
            return
        left = keycare.move_key(opened, place.holder(new))
    assert left == (str(place.key_file) if old == "key-file" else "")
    place.check(kit)
    assert read_settings(place.home).holder["kind"] == new
    assert bool(place.ring.entries()) == (new == "keyring")
    assert (place.home / "vault.key").exists() == (new == "passphrase")


def test_a_passphrase_can_be_changed(place: Place) -> None:
    place.make("passphrase")
    with place.open() as opened:
        keycare.move_key(opened, keys.choose_holder(place.home, passphrase="q"))
    with pytest.raises(WrongPassphrase):
        place.open()
    with keys.open_vault(place.home, passphrase=lambda: "q") as store:
        assert store.count() == 2


@pytest.mark.parametrize(("old", "new"), [("keyring", "key-file"), ("key-file", "keyring")])
def test_killed_at_any_moment_a_moved_vault_opens(place: Place, old: str, new: str) -> None:
    kit = place.make(old)
    place.save()

    def move() -> None:
        with place.open() as opened:
            keycare.move_key(opened, place.holder(new))

    seen = set()
    for _ in killed_at_each_step(move, place.back):
        place.check(kit)
        seen.add(read_settings(place.home).holder["kind"])
    assert seen == {old, new}


def test_a_key_is_not_moved_onto_another_key(place: Place) -> None:
    kit = place.make("keyring")
    keys.init_vault(place.root / "other", holder=place.holder("key-file")).close()
    before = place.key_file.read_bytes()
    with place.open() as opened, pytest.raises(TargetExists):
        keycare.move_key(opened, place.holder("key-file"))
    assert place.key_file.read_bytes() == before
    place.check(kit)


def test_the_anchor_moves_along(place: Place) -> None:
    place.make("keyring")
    with place.open() as opened:
        opened.store.put(Item(id="three"), now=AT)
    old = (place.home / "vault.db").read_bytes()
    with place.open() as opened:
        opened.store.put(Item(id="four"), now=AT)
    with place.open() as opened:
        keycare.move_key(opened, place.holder("key-file"))
    (place.home / "vault.db").write_bytes(old)
    with pytest.raises(RolledBack):
        place.open()


# -- unlock


@pytest.mark.parametrize("kind", KINDS)
def test_the_kit_puts_a_lost_key_back(place: Place, kind: str) -> None:
    kit = place.make(kind)
    place.ring.path.unlink(missing_ok=True)
    place.key_file.unlink(missing_ok=True)
    (place.home / "vault.key").unlink(missing_ok=True)
    with pytest.raises(KeyMissing):
        place.open()
    holder = keycare.unlock(place.home, kit, lambda described: keys.holder_of(described or {}, place.home, lambda: "p"))
    assert holder.kind == kind
    place.check(kit)


@pytest.mark.parametrize("body", [None, b"", b"{}", b"junk"])
def test_the_kit_makes_lost_settings_again(place: Place, body: bytes | None) -> None:
    kit = place.make("keyring")
    settings = read_settings(place.home)
    (place.home / "vault.json").unlink()
    if body is not None:
        (place.home / "vault.json").write_bytes(body)

    def choose(described: dict[str, str] | None) -> keys.Holder:
        assert described is None
        return place.holder("keyring")

    keycare.unlock(place.home, kit, choose)
    assert read_settings(place.home) == settings
    place.check(kit)


def test_the_kit_can_put_the_key_into_a_new_file(place: Place) -> None:
    kit = place.make("key-file")
    place.key_file.unlink()
    other = place.root / "other.key"
    keycare.unlock(place.home, kit, lambda _: keys.choose_holder(place.home, key_file=other))
    assert other.exists()
    assert not list(place.key_file.parent.iterdir())
    place.check(kit)


def test_a_wrong_entry_is_replaced(place: Place) -> None:
    kit = place.make("keyring")
    vault_id = read_settings(place.home).vault
    place.ring.set_password("keyferry", vault_id, "junk")
    keycare.unlock(place.home, kit, lambda _: place.holder("keyring"))
    place.check(kit)


def test_another_kit_unlocks_nothing(place: Place) -> None:
    place.make("keyring")
    before = place.ring.entries()
    with pytest.raises(WrongKit):
        keycare.unlock(place.home, new_kit(), lambda _: place.holder("keyring"))
    assert place.ring.entries() == before


def test_a_forged_recovery_file_puts_no_key_anywhere(place: Place) -> None:
    """Anybody may seal a key of his own to the kit's public recipient."""
    from vault.kit import seal_recovery

    kit = place.make("keyring")
    before = place.ring.entries()
    vault_id = read_settings(place.home).vault
    (place.home / "vault.recovery.age").write_bytes(seal_recovery(kit.recipient, vault_id, b"x" * 32))
    with pytest.raises(DamagedVault):
        keycare.unlock(place.home, kit, lambda _: place.holder("keyring"))
    assert place.ring.entries() == before


def test_what_is_missing_is_told_apart(place: Place) -> None:
    kit = place.make("keyring")
    (place.home / "vault.recovery.age").unlink()
    with pytest.raises(KeyMissing):
        keycare.unlock(place.home, kit, lambda _: place.holder("keyring"))
    (place.home / "vault.db").unlink()
    with pytest.raises(NoVault):
        keycare.unlock(place.home, kit, lambda _: place.holder("keyring"))


# -- destroy


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_destroyed_vault_is_left(place: Place, kind: str) -> None:
    place.make(kind)
    with place.open() as opened:
        opened.store.put(Item(id="three"), now=AT)
    done = keys.destroy(place.home)
    assert not place.home.exists()
    assert place.ring.entries() == {}
    assert [path.name for path in place.key_file.parent.iterdir()] == (["k"] if kind == "key-file" else [])
    assert done.left == ((f"the key file {place.key_file}",) if kind == "key-file" else ())
    with pytest.raises(NoVault):
        keys.destroy(place.home)


def test_a_destroyed_vault_leaves_other_files_alone(place: Place) -> None:
    place.make("keyring")
    (place.home / "notes.txt").write_text("mine")
    keys.destroy(place.home)
    assert [path.name for path in place.home.iterdir()] == ["notes.txt"]


def test_a_vault_that_does_not_open_can_be_destroyed(place: Place) -> None:
    place.make("keyring")
    (place.home / "vault.db").write_bytes(b"junk")
    (place.home / "vault.json").write_bytes(b"junk")
    keys.destroy(place.home)
    assert not place.home.exists()


def test_a_keyring_that_does_not_answer_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.make("keyring")

    def gone(name: str) -> None:
        raise KeyringUnavailable("the OS keyring does not answer")

    monkeypatch.setattr(oskeyring, "_loaded", gone)
    assert "the OS keyring does not answer" in keys.destroy(place.home).left[0]
    assert not place.home.exists()


def test_a_folder_that_cannot_be_written_keeps_its_key(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = place.make("keyring")
    true_open = os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        if flags & os.O_EXCL:
            raise OSError(errno.EACCES, "Permission denied")
        return true_open(path, flags, *more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(CannotWrite):
            keys.destroy(place.home)
    place.check(kit)


@pytest.mark.parametrize("kind", ["keyring", "key-file"])
def test_killed_at_any_moment_destroying_can_be_finished(place: Place, kind: str) -> None:
    place.make(kind)
    place.save()
    for _ in killed_at_each_step(lambda: keys.destroy(place.home), place.back):
        try:
            keys.destroy(place.home)
        except NoVault:
            assert {path.name for path in place.home.glob("*")} <= {"vault.lock"}
        else:
            assert not place.home.exists()
        assert place.ring.entries() == {}


# -- the kit


def test_a_checked_kit_is_erased_from_the_vault(place: Place) -> None:
    place.make("keyring")
    with place.open() as opened:
        assert "not saved" in keys.kit_reminder(opened.store)
        keys.save_kit(opened, place.root / "kit.txt")
        assert "not checked" in keys.kit_reminder(opened.store)
        keys.check_kit(opened, parse((place.root / "kit.txt").read_text()), AT)
        assert keys.kit_reminder(opened.store) == ""
        assert opened.store.meta("kit") is None
        for hand_out in (lambda: keys.save_kit(opened, place.root / "again.txt"), lambda: keys.print_kit(opened)):
            with pytest.raises(UsageError, match="checked on 2026-11-23"):
                hand_out()
    assert not (place.root / "again.txt").exists()


def test_a_checked_kit_can_be_checked_again(place: Place) -> None:
    kit = place.make("keyring")
    for _ in range(2):
        with place.open() as opened:
            keys.check_kit(opened, kit, AT)


def test_another_vaults_kit_is_refused_and_ours_kept(place: Place) -> None:
    kit = place.make("keyring")
    with place.open() as opened:
        with pytest.raises(WrongKit) as caught:
            keys.check_kit(opened, new_kit(), AT)
        assert kit.key_id in caught.value.hint
        assert kitcare.waiting_kit(opened.store) == kit


def test_a_check_mends_the_recovery_file(place: Place) -> None:
    kit = place.make("keyring")
    with place.open() as opened:
        (place.home / "vault.recovery.age").write_bytes(b"junk")
        keys.check_kit(opened, kit, AT)
    place.check(kit)


def test_a_kit_is_not_saved_beside_the_vault(place: Place) -> None:
    place.make("keyring")
    (place.root / "link").symlink_to(place.home)
    with place.open() as opened:
        for path in (place.home / "kit.txt", place.root / "link" / "kit.txt"):
            with pytest.raises(UnsafeKit):
                keys.save_kit(opened, path)
        with pytest.raises(CannotWrite):
            keys.save_kit(opened, place.root / "missing" / "kit.txt")
        assert "not saved" in keys.kit_reminder(opened.store)


def test_a_kit_is_not_saved_beside_the_backups_it_opens(place: Place) -> None:
    place.make("keyring")
    target, other = place.root / "target", place.root / "other"
    (target / "deep").mkdir(parents=True)
    other.mkdir()
    (place.root / "link").symlink_to(target)
    (place.root / "circle").symlink_to(place.root / "circle")
    forbidden = (place.root / "gone", place.root / "link", place.root / "circle")
    with place.open() as opened:
        for path in (target / "k", target / "deep" / "k", other / ".." / "target" / "k", place.root / "gone" / "k"):
            with pytest.raises(UnsafeKit, match="beside the backups"):
                keys.save_kit(opened, path, forbidden=forbidden)
        keys.save_kit(opened, other / "k", forbidden=forbidden)


def test_a_target_is_known_by_its_mark_wherever_its_drive_is(place: Place) -> None:
    (place.root / "elsewhere" / "deep").mkdir(parents=True)
    (place.root / "elsewhere" / ".keyferry-target").touch()
    for path in (place.root / "elsewhere" / "k", place.root / "elsewhere" / "deep" / "k"):
        with pytest.raises(UnsafeKit, match="beside the backups"):
            kitcare.check_kit_place(place.home, path)
    kitcare.check_kit_place(place.home, place.root / "k")


def test_a_folder_is_known_by_another_name_of_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems for which ``Stick`` and ``stick`` are one name."""
    true_same = os.path.samefile

    def same(one: Path, other: Path) -> bool:
        return str(one).lower() == str(other).lower() or true_same(one, other)

    monkeypatch.setattr(os.path, "samefile", same)
    with pytest.raises(UnsafeKit):
        kitcare.check_kit_place(place.home, place.root / "STICK" / "kit.txt", (place.root / "stick",))


def test_nothing_is_asked_for_a_kit_that_cannot_be_saved(place: Place) -> None:
    place.make("keyring")
    (place.root / "there").touch()

    def never() -> str:
        raise AssertionError("asked")

    with place.open() as opened:
        for path, error in ((place.home / "k", UnsafeKit), (place.root / "there", TargetExists)):
            with pytest.raises(error):
                keys.save_kit(opened, path, passphrase=never)
        assert "not saved" in keys.kit_reminder(opened.store)


@pytest.mark.parametrize(
    ("path", "synced"),
    [
        ("/home/ann/Dropbox/kit.txt", True),
        ("/home/ann/OneDrive - Contoso/kit.txt", True),
        ("/Users/ann/Library/Mobile Documents/com~apple~CloudDocs/kit.txt", True),
        ("/home/ann/Google Drive/kit.txt", True),
        ("/home/ann/GoogleDrive/kit.txt", True),
        ("/home/ann/Nextcloud/safe/kit.txt", True),
        ("/home/ann/Sync/kit.txt", True),
        ("/media/ann/stick/kit.txt", False),
        ("/home/omega/synchronous/kit.txt", False),
    ],
)
def test_synced_folders_are_known_by_name(path: str, synced: bool) -> None:
    assert keys.is_synced(Path(path)) is synced


def test_a_new_kit_ends_the_old_one(place: Place) -> None:
    old = place.make("keyring")
    with place.open() as opened:
        fresh = keys.renew_kit(opened, AT)
        assert kitcare.waiting_kit(opened.store) == fresh
        chain = kitcare.chain_of(opened.store)
        membership.verify_membership(chain, fresh.root_public)
        with pytest.raises(WrongKit, match="replaced on 2026-11-23"):
            keys.check_kit(opened, old, AT)
        keys.check_kit(opened, fresh, AT)
    assert membership.vault_id_of(chain) == read_settings(place.home).vault
    place.check(fresh)
    with pytest.raises(WrongKit):
        keycare.unlock(place.home, old, lambda _: place.holder("keyring"))


def test_an_old_kit_at_hand_signs_for_the_new_one(place: Place) -> None:
    """At hand is what is given, and what still waits in the vault."""
    first = place.make("keyring")
    with place.open() as opened:
        keys.check_kit(opened, first, AT)
        keys.renew_kit(opened, AT)
        third = keys.renew_kit(opened, AT)
        keys.check_kit(opened, third, AT)
        last = keys.renew_kit(opened, AT, old_kit=third)
        found = membership.read_chain(kitcare.chain_of(opened.store))
    assert [root.confirmed for root in found.roots] == [True, False, True, True]
    assert found.root_of(first.root_public) == found.roots[0]
    place.check(last)


def test_a_kit_that_is_not_the_present_one_signs_nothing(place: Place) -> None:
    first = place.make("keyring")
    with place.open() as opened:
        second = keys.renew_kit(opened, AT)
        before = kitcare.chain_of(opened.store)
        for given, words in ((first, "replaced on 2026-11-23"), (new_kit(), "another vault's")):
            with pytest.raises(WrongKit, match=words):
                keys.renew_kit(opened, AT, old_kit=given)
        assert kitcare.chain_of(opened.store) == before
    place.check(second)


def test_replaced_kits_are_told_with_what_became_of_them(place: Place) -> None:
    first = place.make("keyring")
    with place.open() as opened:
        keys.save_kit(opened, place.root / "kit.txt")
        second = keys.renew_kit(opened, AT)
        third = keys.renew_kit(opened, "2027-01-02T00:00:00Z")
        told = [(one.recipient, one.key_id, one.until[:10], one.kept) for one in kitcare.ended_kits(opened.store)]
        assert told == [
            (second.recipient, second.key_id, "2027-01-02", False),
            (first.recipient, first.key_id, "2026-11-23", True),
        ]
    place.check(third)


def test_a_vault_without_a_kit_gets_one(place: Place) -> None:
    keys.init_vault(place.home, holder=place.holder("keyring"), with_kit=False).close()
    with place.open() as opened:
        with pytest.raises(UsageError, match="without a kit"):
            keys.print_kit(opened)
        fresh = keys.renew_kit(opened, AT)
        keys.check_kit(opened, fresh, AT)
        membership.verify_membership(kitcare.chain_of(opened.store), fresh.root_public)


def test_killed_at_any_moment_renewing_leaves_one_kit_that_opens(place: Place) -> None:
    old = place.make("keyring")
    with place.open() as opened:
        keys.check_kit(opened, old, AT)
    place.save()

    def renew() -> None:
        with place.open() as opened:
            keys.renew_kit(opened, AT)

    seen = set()
    for _ in killed_at_each_step(renew, place.back):
        with place.open() as opened:
            seed = opened.store.meta("kit")
            kit = kitcare.waiting_kit(opened.store) if seed else old
        seen.add(kit == old)
        place.check(kit)
    assert seen == {True, False}


def test_the_actions_of_these_tests_are_really_killed(place: Place) -> None:
    """The harness itself: an action of three steps dies three times and then lives."""
    target = place.root / "file"

    def three() -> None:
        for _ in range(3):
            os.rename(target, target)

    def prepare() -> None:
        target.touch()

    assert list(killed_at_each_step(three, prepare)) == [1, 2, 3]
