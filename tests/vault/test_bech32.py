"""Bech32 against the standard's own vectors, and against age's keys."""

from __future__ import annotations

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import bech32


@pytest.mark.parametrize(
    "text",
    [
        "A12UEL5L",
        "a12uel5l",
        "an83characterlonghumanreadablepartthatcontainsthenumber1andtheexcludedcharactersbio1tt5tgs",
        "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw",
        "11" + "q" * 82 + "c8247j",
        "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w",
        "?1ezyfcl",
    ],
)
def test_valid_texts_of_the_standard_are_read(text: str) -> None:
    """BIP-173, test vectors."""
    assert bech32.split(text.lower())


@pytest.mark.parametrize(
    "text",
    [
        "\x201nwldj5",
        "\x7f1axkwrx",
        "\x801eym55h",
        "pzry9x0s0muk",
        "1pzry9x0s0muk",
        "x1b4n0q5v",
        "li1dgmt3",
        "de1lg7wt\xff",
        "a1g7sgd8",
        "10a06t8",
        "1qzzfhee",
    ],
)
def test_invalid_texts_of_the_standard_are_refused(text: str) -> None:
    """BIP-173, test vectors; the length limit alone is not ours."""
    with pytest.raises(ValueError):
        bech32.split(text)


def test_mixed_case_is_refused() -> None:
    with pytest.raises(ValueError, match="mixed"):
        bech32.decode("A12uEL5L")


@given(st.binary(max_size=80), st.sampled_from(["a", "age-secret-key-", "kfroot"]))
def test_bytes_come_back(data: bytes, prefix: str) -> None:
    text = bech32.encode(prefix, data)
    assert bech32.decode(text) == (prefix, data)
    assert bech32.decode(text.upper()) == (prefix, data)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_up_to_four_wrong_characters_are_found(data: bytes, draw: st.DataObject) -> None:
    text = bech32.encode("kfroot", data)
    places = draw.draw(st.lists(st.integers(7, len(text) - 1), min_size=1, max_size=4, unique=True))
    wrong = list(text)
    for place in places:
        wrong[place] = draw.draw(st.sampled_from([char for char in bech32.CHARS if char != text[place]]))
    with pytest.raises(ValueError, match="checksum"):
        bech32.decode("".join(wrong))


def test_ages_own_keys_are_read_and_written_alike() -> None:
    identity = pyrage.x25519.Identity.generate()
    for text in (str(identity).lower(), str(identity.to_public())):
        prefix, data = bech32.decode(text)
        assert len(data) == 32
        assert bech32.encode(prefix, data) == text
