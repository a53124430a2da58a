"""A kit's file is read as it is or opened with its passphrase, and no file makes a guess expensive."""

from __future__ import annotations

import unicodedata

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vault.agefile import armored, sealed
from vault import kit, kitfile
from vault.errors import UsageError, WrongKit, WrongPassphrase

KIT = kit.Kit(bytes(range(32)))
PAGE = kit.page(KIT, name="ann@home", vault_id="0123456789abcdef" * 2, made_at="2026-11-23T00:00:00Z")
SEALED = sealed(PAGE.encode(), "pässword")


def never() -> str:
    raise AssertionError("the passphrase was asked")


def says(passphrase: str = "pässword") -> kit.Kit:
    return kitfile.read_kit(SEALED, lambda: passphrase)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no passphrase be tried: what is refused must be refused before."""

    def tried(data: bytes, passphrase: str) -> bytes:
        raise AssertionError("scrypt ran")

    monkeypatch.setattr(pyrage.passphrase, "decrypt", tried)


def test_what_is_sealed_opens_with_its_passphrase_and_no_other() -> None:
    data = kitfile.seal_page(PAGE, "pässword")
    assert kitfile.page_of(data, lambda: "pässword") == PAGE
    with pytest.raises(WrongPassphrase):
        kitfile.read_kit(data, lambda: "password")
    assert PAGE.encode()[:40] not in data
    assert data.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----\n")


@pytest.mark.parametrize(
    "spelled",
    [
        SEALED,
        armored(SEALED),
        armored(SEALED).replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + armored(SEALED),
        b"\n  \n" + armored(SEALED) + b"\n\n",
        armored(SEALED).replace(b"\n", b"\n    "),
    ],
    ids=["binary", "text", "Windows", "BOM", "blank lines", "indented"],
)
def test_a_sealed_kit_is_known_in_both_forms_of_age(spelled: bytes) -> None:
    assert kitfile.read_kit(spelled, lambda: "pässword") == KIT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_plain_kit_asks_for_nothing(encoding: str) -> None:
    assert kitfile.read_kit(PAGE.encode(encoding), never) == KIT


def test_a_passphrase_may_be_typed_on_any_system() -> None:
    """A Mac sends letter and accent as two characters, others as one; age itself takes the bytes as they are."""
    apart = unicodedata.normalize("NFD", "pässword")
    assert says(apart) == KIT
    by_a_mac = sealed(PAGE.encode(), apart)
    assert kitfile.read_kit(by_a_mac, lambda: apart) == KIT


@pytest.mark.parametrize("passphrase", ["", "password", "pässword ", "PÄSSWORD", "\ud800", "x" * 10_000])
def test_a_wrong_passphrase_is_one_sentence(passphrase: str) -> None:
    with pytest.raises(WrongPassphrase, match="does not open the sealed kit"):
        says(passphrase)


@pytest.mark.parametrize("passphrase", ["", "\ud800"])
def test_a_passphrase_that_cannot_be_typed_again_is_refused(passphrase: str) -> None:
    with pytest.raises(UsageError):
        kitfile.seal_page(PAGE, passphrase)


@pytest.mark.parametrize("told", ["23", "30", "64", "999", "9999999999"])
@pytest.mark.usefixtures("no_work")
def test_unbearable_work_is_refused_before_anything_is_asked(told: str) -> None:
    for data in (sealed(b"", "p", told=told), armored(sealed(b"", "p", told=told))):
        with pytest.raises(WrongKit, match="more work than is safe"):
            kitfile.read_kit(data, never)


def test_the_most_work_is_still_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyrage.passphrase, "decrypt", lambda data, passphrase: PAGE.encode())
    assert kitfile.read_kit(sealed(b"", "p", told="22"), lambda: "p") == KIT


@pytest.mark.parametrize(
    "data",
    [
        kit.seal_recovery(KIT.recipient, "0" * 32, bytes(32)),
        *(sealed(b"", "p", told=told) for told in ("0", "01", "-1", "+4", " 4", "4 ", "4 4", "x", "99999999999")),
        SEALED.replace(b"scrypt", b"Scrypt"),
        SEALED.replace(b"\n-> ", b"\n-> X25519 abc\nabc\n-> ", 1),
        SEALED.replace(b"\n--- ", b"\n-> X25519 abc\nabc\n--- ", 1),
        *(SEALED[:end] for end in (22, 30, 60, 100)),
    ],
    ids=range(17),
)
@pytest.mark.usefixtures("no_work")
def test_an_age_file_of_another_kind_is_no_kit(data: bytes) -> None:
    for form in (data, armored(data)):
        with pytest.raises(WrongKit, match="no kit"):
            kitfile.read_kit(form, never)


@pytest.mark.parametrize(
    "data", [SEALED[:-1], SEALED[: -len(PAGE)], SEALED[:-20] + bytes(20), SEALED + b"x"], ids=range(4)
)
def test_a_damaged_sealed_kit_is_one_sentence(data: bytes) -> None:
    with pytest.raises(WrongKit, match="sealed kit is damaged"):
        kitfile.read_kit(data, lambda: "pässword")


@pytest.mark.parametrize(
    "data",
    [
        armored(SEALED)[:-10],
        armored(SEALED)[:100],
        armored(b"junk"),
        armored(SEALED).replace(b"a", b"*"),
        armored(SEALED) * 2,
        armored(SEALED) + b"more",
    ],
    ids=range(6),
)
def test_a_damaged_text_form_is_one_sentence(data: bytes) -> None:
    with pytest.raises(WrongKit, match="sealed kit is damaged"):
        kitfile.read_kit(data, never)


@given(st.integers(0, len(SEALED) - 1), st.integers(0, 7))
@settings(max_examples=200, deadline=None)
def test_a_sealed_kit_with_any_bit_flipped_gives_nothing(place: int, bit: int) -> None:
    wrong = bytearray(SEALED)
    wrong[place] ^= 1 << bit
    work = kitfile._SCRYPT.match(bytes(wrong), 22)
    if work and int(work[1]) > 12:
        return  # refused or merely slow
    with pytest.raises((WrongKit, WrongPassphrase)):
        kitfile.read_kit(bytes(wrong), lambda: "pässword")


def test_what_is_sealed_need_not_be_a_kit() -> None:
    for content in (b"", b"\xff\xfe\xff", b"hello"):
        with pytest.raises(WrongKit):
            kitfile.read_kit(sealed(content, "p"), lambda: "p")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_kit_or_one_clear_error(data: bytes) -> None:
    with pytest.raises(WrongKit):
        kitfile.read_kit(data, never)


def test_no_message_holds_passphrase_or_page() -> None:
    with pytest.raises(WrongPassphrase) as caught:
        says("open sesame")
    assert "sesame" not in caught.value.message + caught.value.hint
