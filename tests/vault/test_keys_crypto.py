"""A key under a passphrase: only the right one opens it, and no parameter runs unchecked."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf import argon2
from hypothesis import given
from hypothesis import strategies as st

from vault import crypto
from vault.errors import DamagedVault, KeyferryError, WrongPassphrase

VAULT = "0123456789abcdef" * 2
KEY = bytes(range(32))
PASSPHRASE = "correct horse Käse"
VECTOR = {
    "format": "keyferry-passphrase-1",
    "vault": VAULT,
    "memory_kib": 65536,
    "passes": 3,
    "lanes": 4,
    "salt": "AAECAwQFBgcICQoLDA0ODw==",
    "nonce": "AAECAwQFBgcICQoL",
    "wrapped": "gpK6rfVe0N19fVjOdtAlTB9tj1AwJarOt8EIhaSRwmhYU7gMcmmmIcbLwzOJRd3i",
}


@pytest.fixture(scope="module")
def wrapped() -> bytes:
    return crypto.wrap(KEY, PASSPHRASE, VAULT)


def changed(data: bytes, /, **members: Any) -> bytes:
    return json.dumps({**json.loads(data), **members}).encode()


def test_the_passphrase_opens_what_it_closed(wrapped: bytes) -> None:
    assert crypto.unwrap(wrapped, PASSPHRASE, VAULT) == KEY


def test_the_published_vector_opens() -> None:
    assert crypto.unwrap(json.dumps(VECTOR).encode(), PASSPHRASE, VAULT) == KEY


def test_two_spellings_of_one_passphrase_are_one(wrapped: bytes) -> None:
    assert crypto.unwrap(wrapped, unicodedata.normalize("NFD", PASSPHRASE), VAULT) == KEY


@pytest.mark.parametrize("other", ["", "correct horse Kase", PASSPHRASE + " ", "\udcff"])
def test_another_passphrase_does_not(wrapped: bytes, other: str) -> None:
    with pytest.raises(WrongPassphrase):
        crypto.unwrap(wrapped, other, VAULT)


def test_neither_key_nor_passphrase_stands_in_the_file(wrapped: bytes) -> None:
    assert PASSPHRASE.encode() not in wrapped
    assert crypto.to_text(KEY).encode() not in wrapped
    assert KEY.hex().encode() not in wrapped
    assert crypto.wrap(KEY, PASSPHRASE, VAULT) != wrapped


@pytest.mark.parametrize(
    "members",
    [
        {"memory_kib": 65_535},
        {"memory_kib": (1 << 20) + 1},
        {"memory_kib": 1 << 62},
        {"passes": 2},
        {"passes": 10_000},
        {"lanes": 0},
        {"lanes": 17},
        {"memory_kib": "65536"},
        {"passes": True},
        {"passes": 3.0},
        {"memory_kib": None},
        {"format": "keyferry-passphrase-2"},
        {"vault": "f" * 32},
        {"salt": ""},
        {"nonce": "AAAA"},
        {"nonce": 5},
        {"wrapped": "?"},
        {"wrapped": "AAAA"},
        {"more": 1},
    ],
)
def test_unsafe_or_foreign_parameters_are_refused_before_anything_runs(
    wrapped: bytes, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]
) -> None:
    def never(**_: object) -> None:
        raise AssertionError("Argon2id was run")

    monkeypatch.setattr(argon2, "Argon2id", never)
    with pytest.raises(DamagedVault):
        crypto.unwrap(changed(wrapped, **members), PASSPHRASE, VAULT)


@pytest.mark.parametrize("members", [{"passes": 4}, {"lanes": 3}, {"memory_kib": 65_544}])
def test_each_parameter_is_authenticated(wrapped: bytes, members: dict[str, Any]) -> None:
    with pytest.raises(WrongPassphrase):
        crypto.unwrap(changed(wrapped, **members), PASSPHRASE, VAULT)


@given(st.binary(max_size=300) | st.from_regex(rb'\A[\[{][\[\]{}":,0-9a-z]{0,60}\Z'))
def test_garbage_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(DamagedVault):
        crypto.unwrap(data, PASSPHRASE, VAULT)


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b"null", b"[]", b'{"format":"keyferry-passphrase-1"}'])
def test_broken_files_are_one_clear_error(data: bytes) -> None:
    with pytest.raises(DamagedVault):
        crypto.unwrap(data, PASSPHRASE, VAULT)


def test_a_cut_file_is_one_clear_error(wrapped: bytes) -> None:
    for length in range(0, len(wrapped) - 3, 17):
        with pytest.raises(KeyferryError):
            crypto.unwrap(wrapped[:length], PASSPHRASE, VAULT)


def test_purposes_do_not_share_a_key() -> None:
    assert crypto.derive(KEY, "a") != crypto.derive(KEY, "b")
    assert crypto.derive(KEY, "a") == crypto.derive(KEY, "a")


def test_the_published_packing_holds() -> None:
    assert crypto.packed(b"a", b"", b"bc").hex() == "000000016100000000000000026263"


@given(st.lists(st.binary(max_size=20), max_size=6))
def test_packed_parts_come_back(parts: list[bytes]) -> None:
    assert crypto.unpacked(crypto.packed(*parts)) == tuple(parts)


@given(st.binary(max_size=40))
def test_bytes_have_one_reading_or_none(data: bytes) -> None:
    try:
        parts = crypto.unpacked(data)
    except ValueError:
        return
    assert crypto.packed(*parts) == data
