"""A device's identity is exactly its bundle, and a membership chain holds only as a whole."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import crypto, device, membership
from vault.errors import DamagedVault, WrongKit
from vault.kit import Kit, new_kit

DEVICE, STRANGER = device.new_device(), device.new_device()
KIT, NEXT, LAST = new_kit(), new_kit(), new_kit()
AT = "2026-11-23T00:00:00Z"
FIRST = membership.genesis(KIT.root, DEVICE, name="laptop", now=AT)
CHAIN = [FIRST, membership.new_root([FIRST], NEXT.root, DEVICE, now=AT)]


def test_a_device_comes_back_from_its_text() -> None:
    again = device.from_text(device.to_text(DEVICE))
    assert again.bundle == DEVICE.bundle
    assert again.device_id == DEVICE.device_id
    assert device.to_text(again) == device.to_text(DEVICE)


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"rsa": 5}', device.to_text(DEVICE).replace("rsa", "rsb")])
def test_a_damaged_device_is_one_clear_error(text: str) -> None:
    with pytest.raises(DamagedVault):
        device.from_text(text)


def test_a_device_does_not_show_its_keys() -> None:
    assert DEVICE.age not in repr(DEVICE)


def test_the_id_is_the_hash_of_the_exact_bundle() -> None:
    assert DEVICE.device_id == hashlib.sha256(DEVICE.bundle.packed).hexdigest()[:32]
    assert device.read_bundle(DEVICE.bundle.packed) == DEVICE.bundle
    assert len({DEVICE.device_id, STRANGER.device_id}) == 2


def test_a_device_without_post_quantum_keys_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_new_mlkem_seed", lambda: b"")
    classic = device.new_device()
    assert classic.bundle.mlkem768 == b""
    assert device.from_text(device.to_text(classic)).bundle == classic.bundle
    assert device.read_bundle(classic.bundle.packed) == classic.bundle


def test_the_keys_of_the_bundle_do_what_they_are_for() -> None:
    from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey

    secret, sealed = MLKEM768PublicKey.from_public_bytes(DEVICE.bundle.mlkem768).encapsulate()
    assert MLKEM768PrivateKey.from_seed_bytes(DEVICE.mlkem768_seed).decapsulate(sealed) == secret
    assert DEVICE.rsa.key_size == 2048


@given(st.binary(max_size=200))
def test_other_bytes_are_no_bundle(data: bytes) -> None:
    with pytest.raises(ValueError):
        device.read_bundle(data)


def test_a_chain_names_its_members() -> None:
    (member,) = membership.verify_membership([FIRST], KIT.root_public)
    assert (member.device_id, member.name, member.since) == (DEVICE.device_id, "laptop", AT)
    assert membership.verify_membership(CHAIN, NEXT.root_public) == (member,)


def test_the_vault_id_stands_for_the_first_entry() -> None:
    assert membership.vault_id_of(CHAIN) == membership.vault_id_of([FIRST]) == hashlib.sha256(FIRST).hexdigest()[:32]
    other = membership.genesis(KIT.root, STRANGER, name="laptop", now=AT)
    assert membership.vault_id_of([other]) != membership.vault_id_of([FIRST])


@pytest.mark.parametrize(("chain", "root"), [([FIRST], NEXT), (CHAIN, KIT), ([FIRST], LAST)])
def test_another_root_is_refused(chain: list[bytes], root: Kit) -> None:
    with pytest.raises(WrongKit):
        membership.verify_membership(chain, root.root_public)


@pytest.mark.parametrize("number", [0, 1])
def test_every_changed_byte_is_noticed(number: int) -> None:
    entry = CHAIN[number]
    for place in range(0, len(entry), 7):
        wrong = bytearray(entry)
        wrong[place] ^= 1 << place % 8
        chain = [*CHAIN[:number], bytes(wrong), *CHAIN[number + 1 :]]
        with pytest.raises(DamagedVault):
            membership.verify_membership(chain, NEXT.root_public)


@pytest.mark.parametrize("chain", [[], CHAIN[::-1], CHAIN[1:], [*CHAIN, CHAIN[1]], [FIRST, *CHAIN], [b""], [b"\0" * 9]])
def test_a_chain_in_another_order_is_refused(chain: list[bytes]) -> None:
    with pytest.raises(DamagedVault):
        membership.verify_membership(chain, NEXT.root_public)


def test_a_new_root_needs_a_member() -> None:
    """A thief of the kit's page alone cannot put his own root in its place."""
    forged = membership.new_root([FIRST], NEXT.root, STRANGER, now=AT)
    with pytest.raises(DamagedVault):
        membership.verify_membership([FIRST, forged], NEXT.root_public)


def test_a_new_root_needs_its_own_signature() -> None:
    """A member alone cannot name a root whose key he does not have."""
    body = crypto.unpacked(CHAIN[1])[0]
    forged = membership._signed(body, DEVICE.ed25519, DEVICE.ed25519)
    with pytest.raises(DamagedVault):
        membership.verify_membership([FIRST, forged], NEXT.root_public)


def test_the_first_entry_needs_root_and_device() -> None:
    body = crypto.unpacked(FIRST)[0]
    for keys in ((KIT.root,), (DEVICE.ed25519,), (KIT.root, STRANGER.ed25519), (NEXT.root, DEVICE.ed25519)):
        with pytest.raises(DamagedVault):
            membership.verify_membership([membership._signed(body, *keys)], KIT.root_public)


def test_an_entry_of_another_vault_does_not_fit() -> None:
    other = membership.genesis(KIT.root, DEVICE, name="desktop", now=AT)
    with pytest.raises(DamagedVault):
        membership.verify_membership([other, CHAIN[1]], NEXT.root_public)


@given(st.text(max_size=200))
def test_any_device_name_is_kept_within_its_length(name: str) -> None:
    entry = membership.genesis(KIT.root, DEVICE, name=name, now=AT)
    (member,) = membership.verify_membership([entry], KIT.root_public)
    assert member.name == name[:64]
