"""Password-protected Bitwarden exports: opened by the dossier's own vectors, refused before they cost anything."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate import catalog, ciphers
from vault.errors import CannotOpen, DamagedExport, KeyferryError, PasswordNeeded, UndeclaredLoss, UnsafeExport

PASSWORD = "correct horse"
SALT = "AAECAwQFBgcICQoLDA0ODw=="
CLEAR = b'{"encrypted":false,"folders":[],"items":[]}'
PBKDF2_DATA = (
    "2.AAECAwQFBgcICQoLDA0ODw==|GV+LXFbhDsewo5Pa3rNTBqV3k972InFqlf7nKR70Ulh8acqNghpkIJ6TXCuKf6OJ"
    "|5XUiIisAkNeTfFqC8c3RUcAyiIIz1E3lwvv2sAv4Cuc="
)
ARGON2_DATA = (
    "2.AAECAwQFBgcICQoLDA0ODw==|b7+Yz7nfwuaAztXz9/84fpykpfGQHgwTItdnyEEBZrZJbpxz9lhnhKJ+4bzzkVNt"
    "|lV84awkmhA0/AORS1BCQWLcjUgrtIxiBO1dDGx1FNGY="
)
ARGON2_CHECK = (
    "2.AAECAwQFBgcICQoLDA0ODw==|NsHh5+GB9m1sOEA0x2oEaKRyszTPWykiOCHZkkZHUFE2NzEspfpjFcVNJSDc3Wcu"
    "|JAyPOfWuVGQvkWGwqa9u45gMBwKht2KVaIKN14hitew="
)

File = dict[str, Any]


def pbkdf2_file(**changes: Any) -> File:
    """Return a file of the first vector, the data as its own check."""
    return {
        "encrypted": True,
        "passwordProtected": True,
        "salt": SALT,
        "kdfType": 0,
        "kdfIterations": 5000,
        "kdfMemory": None,
        "kdfParallelism": None,
        ciphers.CHECK: PBKDF2_DATA,
        "data": PBKDF2_DATA,
        **changes,
    }


def argon2_file(**changes: Any) -> File:
    """Return a file of the second vector."""
    return pbkdf2_file(
        **{
            "kdfType": 1,
            "kdfIterations": 2,
            "kdfMemory": 16,
            "kdfParallelism": 1,
            ciphers.CHECK: ARGON2_CHECK,
            "data": ARGON2_DATA,
            **changes,
        }
    )


def opened(file: File, password: str = PASSWORD) -> bytes:
    return ciphers.unseal_bitwarden(json.dumps(file).encode(), password, "file")


@pytest.fixture
def no_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every key derivation a failure of the test."""

    def never(*_: Any, **__: Any) -> bytes:
        raise AssertionError("a key derivation ran")

    monkeypatch.setattr(hashlib, "pbkdf2_hmac", never)
    monkeypatch.setattr("cryptography.hazmat.primitives.kdf.argon2.Argon2id", never)


@pytest.mark.parametrize("file", [pbkdf2_file(), argon2_file()], ids=["pbkdf2", "argon2id"])
def test_the_vectors_open(file: File) -> None:
    assert opened(file) == CLEAR


def test_the_catalog_reads_what_is_inside_and_keeps_the_file_for_its_digest() -> None:
    data = json.dumps(argon2_file()).encode()
    source = catalog.open_source(Path("x.json"), data=data, password=PASSWORD)
    assert (source.format, source.data, source.original) == ("bitwarden_json", CLEAR, data)


def test_a_file_marked_with_a_bom_opens() -> None:
    data = b"\xef\xbb\xbf" + json.dumps(pbkdf2_file()).encode()
    assert catalog.open_source(Path("x.json"), data=data, password=PASSWORD).data == CLEAR


def test_without_a_password_the_option_to_give_it_is_named(no_derivation: None) -> None:
    with pytest.raises(PasswordNeeded) as told:
        catalog.open_source(Path("x.json"), data=json.dumps(pbkdf2_file()).encode())
    assert "--password-file" in told.value.hint


@pytest.mark.parametrize("password", ["", "Correct horse", "correct horse ", "x\x00"])
def test_a_wrong_password_is_told_as_such(password: str) -> None:
    with pytest.raises(CannotOpen):
        opened(pbkdf2_file(), password)


@pytest.mark.parametrize("member", [0, 1, 2], ids=["iv", "text", "mac"])
def test_changed_data_under_the_right_password_is_damage(member: int) -> None:
    parts = PBKDF2_DATA[2:].split("|")
    raw = bytearray(base64.b64decode(parts[member]))
    raw[3] ^= 1
    parts[member] = base64.b64encode(raw).decode()
    with pytest.raises(DamagedExport, match="password is right"):
        opened(pbkdf2_file(data="2." + "|".join(parts)))


OUTSIDE = [
    pbkdf2_file(kdfIterations=4_999),
    pbkdf2_file(kdfIterations=2_000_001),
    pbkdf2_file(kdfIterations=10**30),
    pbkdf2_file(kdfIterations=-5000),
    pbkdf2_file(kdfIterations="5000"),
    pbkdf2_file(kdfIterations=5000.0),
    pbkdf2_file(kdfIterations=True),
    pbkdf2_file(kdfIterations=None),
    argon2_file(kdfIterations=1),
    argon2_file(kdfIterations=11),
    argon2_file(kdfMemory=15),
    argon2_file(kdfMemory=1025),
    argon2_file(kdfMemory=2**40),
    argon2_file(kdfMemory=None),
    argon2_file(kdfParallelism=0),
    argon2_file(kdfParallelism=17),
]


@pytest.mark.parametrize("file", OUTSIDE, ids=range(len(OUTSIDE)))
def test_a_derivation_nobody_should_run_is_refused_before_it_runs(file: File, no_derivation: None) -> None:
    with pytest.raises(UnsafeExport, match="outside"):
        opened(file)


BROKEN = [
    pbkdf2_file(kdfType=2),
    pbkdf2_file(kdfType=None),
    pbkdf2_file(kdfType=[0]),
    pbkdf2_file(kdfType=False),
    pbkdf2_file(salt=""),
    pbkdf2_file(salt=7),
    pbkdf2_file(data=None),
    pbkdf2_file(data={}),
    pbkdf2_file(**{ciphers.CHECK: 1}),
]


@pytest.mark.parametrize("file", BROKEN, ids=range(len(BROKEN)))
def test_a_part_of_the_wrong_kind_is_damage(file: File, no_derivation: None) -> None:
    with pytest.raises(DamagedExport):
        opened(file)


@pytest.mark.parametrize(
    "sealed",
    [
        "2.",
        "2.a|b|c",
        "0." + PBKDF2_DATA[2:],
        PBKDF2_DATA[2:],
        "2." + "|".join(PBKDF2_DATA[2:].split("|")[:2]),
        PBKDF2_DATA.replace("|", "||", 1),
        PBKDF2_DATA[:-4],
        PBKDF2_DATA.replace("GV+L", "GV\u00fcL"),
        "7.AAAA",
    ],
)
def test_a_sealed_text_that_is_none_is_damage(sealed: str) -> None:
    for file in (pbkdf2_file(data=sealed), pbkdf2_file(**{ciphers.CHECK: sealed})):
        with pytest.raises(DamagedExport):
            opened(file)


def test_only_one_layer_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "ROUNDS", 5000)
    inner = ciphers.seal_bitwarden(CLEAR, PASSWORD)
    outer = ciphers.seal_bitwarden(inner, PASSWORD)
    with pytest.raises(UnsafeExport, match="within itself"):
        catalog.open_source(Path("x.json"), data=outer, password=PASSWORD)


def test_what_is_inside_may_be_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "ROUNDS", 5000)
    for inside in (b"", b"{}", b"hello", b"\x00\x01\x02\xff" * 9, b"PK\x03\x04junk"):
        sealed = ciphers.seal_bitwarden(inside, PASSWORD)
        with pytest.raises(KeyferryError):
            catalog.open_source(Path("x.json"), data=sealed, password=PASSWORD)


@settings(max_examples=25)
@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_what_is_sealed_opens_again(clear: bytes, password: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ciphers, "ROUNDS", 5000)
        assert ciphers.unseal_bitwarden(ciphers.seal_bitwarden(clear, password), password, "f") == clear


def test_a_file_of_ours_is_built_as_bitwarden_builds_it() -> None:
    made = json.loads(ciphers.seal_bitwarden(CLEAR, PASSWORD))
    assert list(made) == list(pbkdf2_file())
    assert (made["kdfType"], made["kdfIterations"]) == (0, 600_000)
    assert len(base64.b64decode(made["salt"])) == 16
    assert made["data"] != made[ciphers.CHECK]


def test_two_files_of_one_export_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ciphers, "ROUNDS", 5000)
    one, two = (json.loads(ciphers.seal_bitwarden(CLEAR, PASSWORD)) for _ in range(2))
    assert all(one[key] != two[key] for key in ("salt", "data", ciphers.CHECK))


def test_a_sealed_file_that_does_not_open_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    cipher = ciphers.sealing("bitwarden_json")
    assert cipher is not None
    monkeypatch.setattr(ciphers, "ROUNDS", 5000)
    broken = ciphers.Cipher("X", cipher.keys, "x", lambda *_: b"other", ciphers.seal_bitwarden)
    assert json.loads(ciphers.seal(cipher, CLEAR, PASSWORD))["encrypted"] is True
    with pytest.raises(UndeclaredLoss):
        ciphers.seal(broken, CLEAR, PASSWORD)


def test_a_format_that_its_product_never_encrypts_has_no_cipher() -> None:
    assert ciphers.sealing("otpauth_uris") is None
    assert catalog.adapter("bitwarden_json").signature.encrypted
