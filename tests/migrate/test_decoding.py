"""Bytes become text by their mark, as UTF-8, or by what the user names; never by a guess."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.decoding import decode, is_text, utf8
from vault.errors import DamagedExport, UnknownEncoding, UsageError

TEXT = "name,password\r\nMüller,日本😀\x1b[31m\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(lambda text: "name," + text)
MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


@given(TEXTS)
@pytest.mark.parametrize("encoding", list(MARKS))
def test_a_mark_says_the_encoding(encoding: str, text: str) -> None:
    data = MARKS[encoding] + text.encode(encoding)
    assert decode(data, "f") == text
    assert utf8(data, "f") == text.encode()
    assert is_text(data)


def test_a_mark_wins_over_what_the_user_names() -> None:
    assert decode(codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "f", "cp1252") == TEXT


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_a_lost_mark_is_noticed(encoding: str) -> None:
    data = "name,url,username,password\na,https://example.org,Zoë,\n".encode(encoding)
    assert decode(data, "f").startswith("name,url")
    assert is_text(data)


@given(TEXTS)
def test_utf8_stays_the_same_bytes(text: str) -> None:
    data = text.encode()
    assert utf8(data, "f") is data
    assert decode(data, "f") == text


@pytest.mark.parametrize("before", [0, 5, (1 << 20) - 1, 1 << 20, (1 << 20) + 7])
def test_the_first_byte_that_does_not_fit_is_named(before: int) -> None:
    data = b"x" * before + "Müller,pässword".encode("cp1252")
    for read in (decode, utf8):
        with pytest.raises(UnknownEncoding, match=f"byte {before + 1} ") as told:
            read(data, "f")
        assert "--encoding cp1252" in told.value.hint
        assert told.value.__suppress_context__


def test_a_character_across_two_pieces_is_whole() -> None:
    data = b"x" * ((1 << 20) - 1) + "é".encode() + b"x" * 9
    assert utf8(data, "f") is data


def test_the_code_page_the_user_names_is_used() -> None:
    assert utf8("Zoë €".encode("cp1252"), "f", "cp1252") == "Zoë €".encode()


@pytest.mark.parametrize("cut", ["é".encode()[:1], "日".encode()[:2], "😀".encode()[:3]])
def test_a_character_that_is_cut_off_is_damage(cut: bytes) -> None:
    for read in (decode, utf8):
        with pytest.raises(DamagedExport, match="middle of a character"):
            read(b"name\xc3\xa9" + cut, "f")


def test_half_a_utf16_character_is_damage() -> None:
    with pytest.raises(DamagedExport):
        decode(codecs.BOM_UTF16_LE + "abc".encode("utf-16-le")[:-1], "f")


def test_a_file_that_is_not_what_its_mark_says_is_not_sent_to_a_code_page() -> None:
    with pytest.raises(UnknownEncoding) as told:
        decode(codecs.BOM_UTF16_LE + b"\x00\xd8a\x00b\x00c\x00", "f")
    assert "cp1252" not in told.value.hint


@pytest.mark.parametrize("name", ["nonsense", "hex", "rot13", "base64", "zlib", "é", "", "undefined"])
def test_an_encoding_that_is_none_is_told(name: str) -> None:
    with pytest.raises(UsageError):
        decode(b"abc", "f", name)


@pytest.mark.parametrize("data", [b"\x03\xd9\xa2\x9a" + bytes(range(256)), b"\x00" * 64, bytes(range(32)) * 8])
def test_binary_files_are_no_text(data: bytes) -> None:
    assert not is_text(data)


@pytest.mark.parametrize("data", [b"", b"a", b"a\x00b", TEXT.encode(), "Zoë".encode("cp1252"), b"x,y\n" * 999 + b"\0"])
def test_text_with_an_odd_character_is_text(data: bytes) -> None:
    assert is_text(data)
