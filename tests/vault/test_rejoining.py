"""A vault made from a backup is whole or not there, is the same vault on a new device, or one of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.vault.killing import killed_at_each_step
from tests.vault.ring import FileRing, ring_holder
from vault import device, listmaking, membership
from vault.device import Device, new_device
from vault.errors import DamagedBackup, KeyringUnavailable, VaultExists, WrongKit
from vault.identity import kits, members, own_chain, own_device
from vault.keycare import destroy, move_key, rotate_key, unlock
from vault.keyholders import Holder, KeyFileHolder, PassphraseHolder, holder_of
from vault.kit import Kit, new_kit, open_recovery
from vault.kitcare import chain_of, check_kit, save_kit
from vault.model import Item
from vault.opening import open_keys, open_vault
from vault.oskeyring import SERVICE, KeyringHolder
from vault.rejoining import adopt_vault, catch_up, rejoin_vault
from vault.settings import has_vault
from vault.store import Store

AT, NOW = "2026-11-20T10:00:00Z", "2026-11-23T09:00:00Z"
LAPTOP, PHONE, FRESH, OTHER = (new_device() for _ in range(4))
KIT, NEXT = new_kit(), new_kit()
ONE = (listmaking.genesis(KIT.root, LAPTOP, name="laptop", now=AT),)
TWO = (*ONE, listmaking.enrol(ONE, PHONE, name="phone", by=LAPTOP.signer, now=AT))
PARTED = (*ONE, listmaking.enrol(ONE, OTHER, name="other", by=KIT.root, now=AT))
PARTED = (*PARTED, listmaking.enrol(PARTED, FRESH, name="fresh", by=KIT.root, now=AT))
VAULT_ID = membership.vault_id_of(ONE)


@pytest.fixture(autouse=True)
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the new devices be two that are there already."""
    fresh = [OTHER, FRESH]
    monkeypatch.setattr("vault.rejoining.device.new_device", lambda: fresh.pop() if len(fresh) > 1 else fresh[0])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileRing:
    """Return the keyring of this machine, which every holder that is made anew finds as well."""
    ring = FileRing(tmp_path / "ring.json")
    monkeypatch.setattr("vault.oskeyring._loaded", lambda _: ring)
    return ring


def fill(store: Store) -> None:
    store.put_many([Item(id=f"item-{number}", title=f"Title {number}") for number in range(5)], NOW)


def rejoin(home: Path, holder: Holder, kit: Kit = KIT, chain: tuple[bytes, ...] = ONE) -> Store:
    return rejoin_vault(home, kit, chain, fill, name="ada@laptop", now=NOW, holder=holder)


def key_file(home: Path) -> KeyFileHolder:
    return KeyFileHolder(home.with_name("key"), home)


# -- who it is


def test_it_is_the_same_vault_on_a_device_that_the_root_let_in(home: Path) -> None:
    with rejoin(home, key_file(home), chain=TWO) as store:
        assert store.vault_id == VAULT_ID
        assert own_device(store).device_id == FRESH.device_id
        assert own_chain(store)[:-1] == TWO
        assert [one.device_id for one in members(store)] == [LAPTOP.device_id, PHONE.device_id, FRESH.device_id]
        assert [(one.recipient, one.until) for one in kits(store)] == [(KIT.recipient, "")]
        assert (store.meta("kit"), store.meta("kit_checked_at")) == (None, NOW)
        assert store.meta("root") and store.count() == 5


def test_a_kit_that_was_replaced_lets_nobody_in(home: Path) -> None:
    chain = (*ONE, listmaking.new_root(ONE, NEXT.root, LAPTOP, now=AT, old=KIT.root))
    with pytest.raises(WrongKit, match="this kit was replaced on 2026-11-20"):
        rejoin(home, key_file(home), chain=chain)
    assert not home.exists()


def test_the_kit_opens_its_recovery_file(home: Path) -> None:
    rejoin(home, key_file(home)).close()
    vault_id, keys = open_recovery((home / "vault.recovery.age").read_bytes(), KIT)
    assert (vault_id, len(keys)) == (VAULT_ID, 1)
    with open_keys(home) as opened:
        assert opened.key == keys[0]
        check_kit(opened, KIT, NOW)


def test_an_adopted_vault_is_one_of_its_own_whose_kit_waits(home: Path, tmp_path: Path) -> None:
    origin = {"vault": VAULT_ID, "set": "0" * 16, "made_at": AT}
    adopt_vault(home, fill, name="ada@laptop", origin=origin, now=NOW, holder=key_file(home)).close()
    with open_keys(home) as opened:
        store = opened.store
        assert store.vault_id != VAULT_ID
        assert membership.vault_id_of(chain_of(store)) == store.vault_id
        assert json.loads(store.meta("origin") or "") == origin
        found = save_kit(opened, tmp_path / "kit.txt")
        check_kit(opened, found, NOW)
        assert found.recipient != KIT.recipient
        assert store.count() == 5


# -- where its key is


def test_two_homes_of_one_vault_have_two_keys_in_one_keyring(home: Path, tmp_path: Path, ring: FileRing) -> None:
    second = tmp_path / "second"
    for place in (home, second):
        rejoin(place, ring_holder(ring.path)).close()
    names = {name.removeprefix(f"{SERVICE} ") for name in ring.entries()}
    wanted = {f"{VAULT_ID}/{one.device_id}" for one in (FRESH, OTHER)}
    assert names == wanted | {f"{name}/anchor" for name in wanted} or names == wanted
    for place in (home, second):
        with open_vault(place) as store:
            store.put(Item(id="new-item"), now=NOW)
    destroy(home)
    with open_vault(second) as store:
        assert store.count() == 6
    assert not [name for name in ring.entries() if FRESH.device_id in name]


def test_the_keys_name_goes_with_it_wherever_it_moves(home: Path, ring: FileRing, tmp_path: Path) -> None:
    rejoin(home, ring_holder(ring.path)).close()
    entry = f"{SERVICE} {VAULT_ID}/{FRESH.device_id}"
    before = ring.entries()[entry]
    with open_keys(home) as opened:
        move_key(opened, KeyFileHolder(tmp_path / "k", home))
    assert entry not in ring.entries()
    with open_keys(home) as opened:
        move_key(opened, ring_holder(ring.path))
        assert ring.entries()[entry] == before
        rotate_key(opened)
    assert ring.entries()[entry] != before
    ring.delete_password(SERVICE, entry.removeprefix(f"{SERVICE} "))
    unlock(home, KIT, lambda _: ring_holder(ring.path))
    with open_vault(home) as store:
        assert store.count() == 5
    assert entry in ring.entries()


def test_one_key_file_may_serve_both_vaults(home: Path, tmp_path: Path) -> None:
    """Each has an anchor of its own beside it."""
    second = tmp_path / "second"
    for place in (home, second):
        rejoin(place, KeyFileHolder(tmp_path / "key", place)).close()
    for place in (home, second, home, home, second):
        with open_vault(place) as store:
            store.set_meta("touched", "1")
    assert len(list(tmp_path.glob("key.*.anchor"))) == 2


def test_a_key_file_that_outlived_its_vault_takes_the_restored_one(home: Path, tmp_path: Path) -> None:
    """The anchor of the lost vault does not make the new one look rolled back."""
    holder = KeyFileHolder(tmp_path / "key", home)
    holder.new_key(VAULT_ID)
    holder.set_anchor(VAULT_ID, "keyferry-anchor-1 50")
    rejoin(home, KeyFileHolder(tmp_path / "key", home)).close()
    with open_vault(home) as store:
        assert store.count() == 5


def test_a_passphrase_wraps_its_key(home: Path) -> None:
    rejoin(home, PassphraseHolder(home, lambda: "correct horse")).close()
    with open_vault(home, passphrase=lambda: "correct horse") as store:
        assert store.count() == 5


def test_an_entry_in_the_settings_finds_the_key_again(home: Path, tmp_path: Path) -> None:
    for holder in (ring_holder(tmp_path / "ring.json"), KeyFileHolder(tmp_path / "key", home)):
        holder.entry = "a/b"
        again = holder_of(holder.described, home, None)
        assert isinstance(again, KeyringHolder | KeyFileHolder) and again.entry == "a/b"


@pytest.mark.parametrize("own", [True, False])
def test_without_a_keyring_the_advice_is_about_restore(home: Path, monkeypatch: pytest.MonkeyPatch, own: bool) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    with pytest.raises(KeyringUnavailable) as caught:
        if own:
            rejoin_vault(home, KIT, ONE, fill, name="x", now=NOW)
        else:
            adopt_vault(home, fill, name="x", origin={}, now=NOW)
    assert "keyferry restore" in (caught.value.hint or "")
    assert not home.exists()


# -- whole or not at all


def test_what_the_filling_raises_leaves_nothing(home: Path, tmp_path: Path, ring: FileRing) -> None:
    def broken(store: Store) -> None:
        fill(store)
        raise DamagedBackup("the stick was pulled out")

    for holder in (ring_holder(ring.path), key_file(home)):
        with pytest.raises(DamagedBackup):
            rejoin_vault(home, KIT, ONE, broken, name="x", now=NOW, holder=holder)
        with pytest.raises(DamagedBackup):
            adopt_vault(home, broken, name="x", origin={}, now=NOW, holder=holder)
    assert [path.name for path in tmp_path.iterdir()] == ["ring.json"]
    assert ring.entries() == {}


def test_a_vault_that_is_here_is_not_touched(home: Path) -> None:
    rejoin(home, key_file(home)).close()
    before = (home / "vault.db").read_bytes()
    with pytest.raises(VaultExists):
        rejoin(home, key_file(home))
    assert (home / "vault.db").read_bytes() == before


@pytest.mark.slow
def test_killed_at_each_step_there_is_no_vault_or_the_whole_one(home: Path, ring: FileRing) -> None:
    """And the next attempt succeeds, leaving nothing of those before it in the keyring."""
    import shutil

    def prepare() -> None:
        shutil.rmtree(home, ignore_errors=True)
        ring.path.unlink(missing_ok=True)

    steps = whole = 0
    for _ in killed_at_each_step(lambda: rejoin(home, ring_holder(ring.path)).close(), prepare):
        steps += 1
        if has_vault(home):
            whole += 1
        else:
            rejoin(home, ring_holder(ring.path)).close()
        with open_vault(home) as store:
            assert (store.count(), store.is_sound()) == (5, True)
        assert len([name for name in ring.entries() if not name.endswith("/anchor")]) == 1
        assert open_recovery((home / "vault.recovery.age").read_bytes(), KIT)[0] == VAULT_ID
    print(f"killed before {steps} steps: {steps - whole} times no vault, {whole} times the whole one")
    assert steps > 15 and 0 < whole < steps


# -- a vault file that was put back


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a vault on the laptop that knows of the phone."""
    store = Store.create(tmp_path / "vault.db", bytes(32), VAULT_ID)
    known(store, LAPTOP, TWO)
    return store


def known(store: Store, own: Device, chain: tuple[bytes, ...]) -> None:
    from vault.identity import write_membership

    store.set_meta("device", device.to_text(own))
    store.set_meta("kit_recipient", KIT.recipient)
    store.set_meta("kit_checked_at", AT)
    write_membership(store, chain)


def test_a_chain_that_goes_on_is_taken_over(store: Store) -> None:
    later = (*TWO, listmaking.revoke(TWO, PHONE.device_id, by=LAPTOP.signer, now=NOW))
    assert catch_up(store, later, KIT.recipient)
    assert own_chain(store) == later
    assert [one.device_id for one in members(store)] == [LAPTOP.device_id]
    assert store.meta("kit_checked_at") == AT


def test_the_kit_of_a_chain_that_goes_on_takes_the_place_of_the_old_one(store: Store) -> None:
    later = (*TWO, listmaking.new_root(TWO, NEXT.root, LAPTOP, now=NOW, old=KIT.root))
    assert catch_up(store, later, NEXT.recipient)
    assert [(one.recipient, one.until) for one in kits(store)] == [(NEXT.recipient, ""), (KIT.recipient, NOW)]
    assert (store.meta("kit_checked_at"), store.meta("recovery_due")) == (None, "1")


@pytest.mark.parametrize("kind", ["the same", "shorter", "parted", "without this device"])
def test_another_chain_is_not(store: Store, kind: str) -> None:
    chain = {
        "the same": TWO,
        "shorter": ONE,
        "parted": PARTED,
        "without this device": (*TWO, listmaking.revoke(TWO, LAPTOP.device_id, by=PHONE.signer, now=NOW)),
    }[kind]
    assert not catch_up(store, chain, NEXT.recipient)
    assert own_chain(store) == TWO
    assert [one.recipient for one in kits(store)] == [KIT.recipient]
