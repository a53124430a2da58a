"""An open vault tells who this device is, whom it trusts, and signs for others to read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.vault.test_signing import classic_device, without_library
from vault import identity, listmaking, membership
from vault.device import new_device
from vault.errors import DamagedVault, ForgedSignature
from vault.keys import choose_holder, init_vault, open_keys, renew_kit
from vault.store import Store

AT = "2026-11-23T00:00:00Z"
PURPOSE = b"keyferry/test/1"
PHONE = new_device()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a vault."""
    init_vault(tmp_path / "home", holder=choose_holder(tmp_path / "home", key_file=tmp_path / "k")).close()
    return tmp_path / "home"


def enrolled(store: Store) -> None:
    """Make the phone a member."""
    chain = identity.own_chain(store)
    chain = (*chain, listmaking.enrol(chain, PHONE, name="phone", by=identity.own_device(store).signer, now=AT))
    with store.transaction():
        identity.write_membership(store, chain)


def test_a_new_vault_has_one_device_and_one_root(home: Path) -> None:
    with open_keys(home) as opened:
        store = opened.store
        (member,) = identity.members(store)
        assert member.device_id == identity.own_device(store).device_id
        assert membership.vault_id_of(identity.own_chain(store)) == store.vault_id
        assert len(identity.own_roots(store)) == 1
        (kit,) = identity.kits(store)
        assert (kit.recipient, kit.until) == (store.meta("kit_recipient"), "")


def test_what_this_device_signs_holds_here(home: Path) -> None:
    with open_keys(home) as opened:
        data = identity.sign_statement(opened.store, PURPOSE, b"body")
        roots = identity.own_roots(opened.store)
        for trusted in (roots, None):
            assert identity.check_statement(data, PURPOSE, b"body", trusted).member.device_id
        with pytest.raises(ForgedSignature):
            identity.check_statement(data, PURPOSE, b"other", roots)
        with pytest.raises(ForgedSignature):
            identity.check_statement(data, PURPOSE, b"body", ())


def test_without_a_root_to_trust_a_statement_must_still_hold_by_itself(home: Path) -> None:
    with open_keys(home) as opened:
        data = identity.sign_statement(opened.store, PURPOSE, b"body")
    for wrong in (b"", data[:-1], data[:60] + b"?" + data[61:], data[:-30] + b"?" + data[-29:]):
        with pytest.raises(ForgedSignature):
            identity.check_statement(wrong, PURPOSE, b"body", None)


def test_old_sets_are_proven_after_the_kit_was_renewed(home: Path) -> None:
    with open_keys(home) as opened:
        before = identity.sign_statement(opened.store, PURPOSE, b"body")
        old = identity.kits(opened.store)[0].recipient
        renew_kit(opened, AT)
        roots = identity.own_roots(opened.store)
        assert len(roots) == 2
        after = identity.sign_statement(opened.store, PURPOSE, b"body")
        for data in (before, after):
            identity.check_statement(data, PURPOSE, b"body", roots)
        identity.check_statement(before, PURPOSE, b"body", roots[:1])
        with pytest.raises(ForgedSignature):
            identity.check_statement(after, PURPOSE, b"body", roots[:1])
        assert [(kit.recipient == old, kit.until) for kit in identity.kits(opened.store)] == [(False, ""), (True, AT)]


def test_a_longer_chain_is_kept_with_its_newest_root(home: Path) -> None:
    with open_keys(home) as opened:
        enrolled(opened.store)
        assert [one.name for one in identity.members(opened.store)][1:] == ["phone"]
    with open_keys(home) as opened:
        assert len(identity.own_chain(opened.store)) == 2
        assert identity.members(opened.store)[1].bundle == PHONE.bundle


def test_a_vault_without_a_kit_has_none(tmp_path: Path) -> None:
    holder = choose_holder(tmp_path / "h", key_file=tmp_path / "k")
    with init_vault(tmp_path / "h", holder=holder, with_kit=False) as store:
        assert identity.kits(store) == ()
        assert len(identity.own_roots(store)) == 1


@pytest.mark.parametrize("name", ["device", "membership"])
@pytest.mark.parametrize("text", [None, "", "{}", "[]", '["AAAA"]', '{"ed25519": "AAAA"}'])
def test_damaged_keys_and_chains_are_one_sentence(home: Path, name: str, text: str | None) -> None:
    with open_keys(home) as opened:
        opened.store.set_meta(name, text)
        look = identity.own_device if name == "device" else identity.members
        with pytest.raises(DamagedVault):
            look(opened.store)


def test_whose_signatures_are_shorter_is_told(home: Path) -> None:
    """A vault of one kind says nothing, whichever it is."""
    with open_keys(home) as opened, opened.store.transaction():
        store = opened.store
        assert identity.signing_notes(store) == ()
        chain = identity.own_chain(store)
        old = classic_device()
        chain = (*chain, listmaking.enrol(chain, old, name="", by=identity.own_device(store).signer, now=AT))
        identity.write_membership(store, chain)
        identity.name_device(store, old.device_id, "old laptop")
        (note,) = identity.signing_notes(store)
        assert "old laptop cannot sign by ML-DSA" in note
        with pytest.MonkeyPatch.context() as patch:
            without_library(patch)
            assert "checked by Ed25519 alone" in identity.signing_notes(store)[0]
