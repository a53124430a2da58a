"""The kit's page is an age identity file, and every forgivable way of bringing it back is forgiven."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import kit
from vault.errors import DamagedVault, WrongKit

SEED = bytes(range(32))
KIT = kit.Kit(SEED)
VAULT = "0123456789abcdef" * 2
KEY = bytes(range(100, 132))
PAGE = kit.page(KIT, name="ann@home", vault_id=VAULT, made_at="2026-11-23T00:00:00Z")
SEALED = kit.seal_recovery(KIT.recipient, VAULT, KEY)

seeds = st.binary(min_size=32, max_size=32)


def test_the_published_vector_holds() -> None:
    assert KIT.identity == "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SWRYDWG"
    assert KIT.recipient == "age13aqvttdk3ujkyjh9kg2w5an6dmy5mq5a84a4uxk3hfhnugfc9p0sy5p2wh"
    assert KIT.key_id == "6d152fa9"
    classic, strong = KIT.roots
    assert classic.public.hex() == "a01dd531d39adf438b437948a889a916fa744d5521cefb697115f41128292f07"
    assert kit.root_text(classic.public) == "kfroot15qwa2vwnnt058z6r09y23zdfzma8gn24y880k6t3zh6pz2pf9ursxxg97s"
    assert strong.public.hex() == "97a21db59cc529e8fbbfba9cb7155d3d298dc7700ebfffbcffaee00ba0bbf6f7"
    mldsa65 = hashlib.sha256(strong.mldsa65).hexdigest()
    assert mldsa65 == "6fb236a8a3cf5a36fb767dd5249d29e2397281444c9f34c1647cabe930e92f65"
    assert kit.typed_lines(KIT) == (
        "1: QQQS YQCY Q5RQ WZQF / NC",
        "2: PG9S CRGW PUGP ZYSN / 4N",
        "3: ZS23 V9CC RYDP K8QA / QQ",
        "4: RC0S WRYD WG / F9",
    )


@given(seeds)
def test_ages_own_library_makes_the_same_recipient(seed: bytes) -> None:
    one = kit.Kit(seed)
    assert str(pyrage.x25519.Identity.from_str(one.identity)) == one.identity


def test_every_line_of_the_page_but_the_key_is_a_comment() -> None:
    lines = PAGE.split("\n")
    assert lines.pop() == ""
    assert [line for line in lines if not line.startswith("#")] == [KIT.identity]
    assert PAGE.startswith("# Keyferry recovery kit\n")


def test_the_page_names_vault_key_and_root() -> None:
    for text in ("ann@home", VAULT, KIT.key_id, kit.root_text(KIT.root_public), KIT.recipient, *kit.typed_lines(KIT)):
        assert text in PAGE


@pytest.mark.parametrize("name", ["two\nlines", "two\r\nAGE-SECRET-KEY-1", "\x1b[31m", "\u2028", "\ud800", "x" * 500])
def test_a_hostile_vault_name_stays_inside_its_comment(name: str) -> None:
    page = kit.page(KIT, name=name, vault_id=VAULT, made_at="2026-11-23T00:00:00Z")
    assert [line for line in page.splitlines() if not line.startswith("#")] == [KIT.identity]
    assert max(map(len, page.splitlines())) < 140
    page.encode()


def test_the_drawn_code_holds_the_key() -> None:
    """The half blocks are turned back into modules and compared with those of the code's own library."""
    import segno

    start = next(number for number, line in enumerate(PAGE.splitlines()) if "QR code" in line)
    rows: list[list[int]] = []
    for line in PAGE.splitlines()[start + 2 :]:
        marks = line[2:].ljust(37)
        rows.append([int(mark in "▀█") for mark in marks])
        rows.append([int(mark in "▄█") for mark in marks])
    code = segno.make(KIT.identity, error="m", micro=False, boost_error=False)
    assert rows[: len(rows) - 1] == [[int(module) for module in row] for row in code.matrix_iter(border=2)]
    assert not any(rows[-1])


@given(seeds)
def test_a_page_comes_back(seed: bytes) -> None:
    one = kit.Kit(seed)
    read = kit.parse(kit.page(one, name=f"vault id: {'0' * 32}", vault_id=VAULT, made_at=""))
    assert (read, read.vault_id) == (one, VAULT)


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + PAGE,
        PAGE.replace("\n", "\r\n"),
        PAGE.replace("\n", "\r"),
        PAGE.lower(),
        "    " + PAGE.replace("\n", "\n    "),
        KIT.identity,
        f"  {KIT.identity.lower()}  \r\n",
        " ".join(KIT.identity),
        "\n".join(KIT.identity[at : at + 10] for at in range(0, 80, 10)),
        KIT.identity.replace("-", "\u2013"),
        KIT.identity.replace("-", ""),
        KIT.identity.replace("0", "O"),
        "\u3000" + KIT.identity,
        "\n".join(kit.typed_lines(KIT)),
        "\n".join(reversed(kit.typed_lines(KIT))),
        "\n".join(kit.typed_lines(KIT)).lower().replace(" ", ""),
        "\n".join(f"  #  {line}" for line in kit.typed_lines(KIT)),
    ],
)
def test_forgivable_spellings_are_forgiven(text: str) -> None:
    assert kit.parse(text) == KIT


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", "AGE-SECRET-KEY-1", "hello", KIT.recipient, "1: / 22"])
def test_what_is_no_kit_is_said_to_be_none(text: str) -> None:
    with pytest.raises(WrongKit):
        kit.parse(text)


def test_a_mistyped_key_points_to_the_four_lines() -> None:
    with pytest.raises(WrongKit, match="mistyped") as caught:
        kit.parse(KIT.identity.replace("QQQS", "QQQT"))
    assert "four numbered lines" in caught.value.hint


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_mistyped_line_is_named(number: int) -> None:
    lines = list(kit.typed_lines(KIT))
    first = lines[number - 1][3]
    lines[number - 1] = lines[number - 1].replace(first, "P" if first != "P" else "Q", 1)
    with pytest.raises(WrongKit, match=f"line {number} of the kit is mistyped"):
        kit.parse("\n".join(lines))


def test_a_missing_line_is_named() -> None:
    with pytest.raises(WrongKit, match="line 3 of the kit is missing"):
        kit.parse("\n".join(line for line in kit.typed_lines(KIT) if not line.startswith("3")))


def test_a_page_with_a_stained_key_is_read_from_its_lines() -> None:
    assert kit.parse(PAGE.replace(KIT.identity, KIT.identity.replace("QQQS", "QQQT"))) == KIT


@given(st.text(max_size=200))
def test_any_text_is_a_kit_or_one_clear_error(text: str) -> None:
    with pytest.raises(WrongKit):
        kit.parse(text)


def test_no_message_holds_what_was_typed() -> None:
    with pytest.raises(WrongKit) as caught:
        kit.parse(KIT.identity.replace("QQQS", "QQQT"))
    assert "YQCY" not in caught.value.message + caught.value.hint


def test_a_kit_does_not_show_itself() -> None:
    assert KIT.identity not in repr(KIT)
    assert repr(SEED) not in repr(KIT)


def test_the_recovery_file_opens_with_the_kit_only() -> None:
    assert kit.open_recovery(SEALED, KIT) == (VAULT, (KEY,))
    with pytest.raises(WrongKit):
        kit.open_recovery(SEALED, kit.new_kit())


def test_two_keys_travel_together() -> None:
    assert kit.open_recovery(kit.seal_recovery(KIT.recipient, VAULT, KEY, SEED), KIT) == (VAULT, (KEY, SEED))


@pytest.mark.parametrize(
    "data",
    [b"", b"junk", SEALED[:-1], SEALED[:60], SEALED[:-20] + b"\0" * 20],
    ids=["empty", "junk", "one byte short", "head only", "end wiped"],
)
def test_a_damaged_recovery_file_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(DamagedVault):
        kit.open_recovery(data, KIT)


@pytest.mark.parametrize(
    "inner",
    [
        b"",
        b"\xff\xfe",
        b"keyferry-vault-key-2 %s %s" % (VAULT.encode(), KEY.hex().encode()),
        b"keyferry-vault-key-1 %s zz" % VAULT.encode(),
        b"keyferry-vault-key-1 %s aabb" % VAULT.encode(),
        b"keyferry-vault-key-1 a %s\nkeyferry-vault-key-1 b %s" % (KEY.hex().encode(), KEY.hex().encode()),
    ],
)
def test_what_a_stranger_sealed_to_the_kit_is_one_clear_error(inner: bytes) -> None:
    sealed = pyrage.encrypt(inner, [pyrage.x25519.Recipient.from_str(KIT.recipient)])
    with pytest.raises(DamagedVault):
        kit.open_recovery(sealed, KIT)


def test_a_printed_root_key_comes_back() -> None:
    assert kit.root_public(kit.root_text(KIT.root_public)) == KIT.root_public
    assert kit.root_public(" " + kit.root_text(KIT.root_public).upper()) == KIT.root_public
    for text in ("", KIT.recipient, kit.root_text(KIT.root_public)[:-1], kit.root_text(b"short")):
        with pytest.raises(WrongKit):
            kit.root_public(text)


def test_the_page_of_the_docs_tells_the_same_vector() -> None:
    told = (Path(__file__).parents[2] / "docs" / "keys.md").read_text(encoding="utf-8")
    for text in (KIT.identity, KIT.recipient, KIT.key_id, KIT.root_public.hex(), *kit.typed_lines(KIT)):
        assert text in told
