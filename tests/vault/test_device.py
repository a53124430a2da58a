"""A device's identity is exactly its bundle."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import crypto, device
from vault.errors import DamagedVault

DEVICE, STRANGER = device.new_device(), device.new_device()


def test_a_device_comes_back_from_its_text() -> None:
    again = device.from_text(device.to_text(DEVICE))
    assert again.bundle == DEVICE.bundle
    assert again.device_id == DEVICE.device_id
    assert device.to_text(again) == device.to_text(DEVICE)


@pytest.mark.parametrize(
    "text", ["", "{}", "null", "[]", '{"rsa": 5}', device.to_text(DEVICE).replace("rsa", "rsb")], ids=range(6)
)
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


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *((1, bytes(31)), (3, bytes(33)), (4, bytes(1183))),
        *((5, b""), (5, b"age1"), (5, DEVICE.age.encode()), (5, DEVICE.bundle.age.upper().encode()), (5, b"\xff")),
        (5, DEVICE.bundle.age.encode() + b"\n"),
    ],
    ids=range(9),
)
def test_a_bundle_with_a_key_that_nobody_could_use_is_none(part: int, value: bytes) -> None:
    parts = list(crypto.unpacked(DEVICE.bundle.packed))
    parts[part] = value
    with pytest.raises(ValueError):
        device.read_bundle(crypto.packed(*parts))
