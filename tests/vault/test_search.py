"""Search looks at what may be seen of an item, without case and accents, and never at a concealed value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.model import (
    BasicAuth,
    CreditCard,
    CustomFields,
    Field,
    Item,
    Note,
    Passkey,
    Past,
    Totp,
    Url,
    concealed,
)
from vault.search import fold, text_of
from vault.secret import Secret
from vault.store import Store

NOW = "2026-11-20T10:00:00Z"

BANK = Item(
    id="bank",
    title="Mühlen-Bank Zürich",
    tags=("money", "Familie"),
    urls=(Url(url="https://login.muehlenbank.example/start"),),
    credentials=(
        BasicAuth(username=Field(value="ann@example.org"), password=concealed("hunter2secret")),
        Passkey(username="ann-passkey", user_display_name="Ann Example", key=Secret("privatekeyvalue")),
        Totp(secret=Secret("JBSWY3DPEHPK3PXP")),
        Note(content=Secret("Call Mr. Smith on Mondays")),
        CustomFields(fields=(concealed("concealedvalue", label="PUK"),)),
    ),
    history=(Past(value=Secret("formerpassword")),),
)
CARD = Item(id="card", title="Visa", credentials=(CreditCard(number=concealed("4111111111111111")),))
MAIL = Item(id="mail", title="Mail", credentials=(Note(content=Secret("write to the Mühlen-Bank")),))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "vault.db", bytes(32), "v") as store:
        store.put_many([MAIL, BANK, CARD], NOW)
        yield store


@pytest.mark.parametrize(
    "words",
    [
        "Mühlen-Bank",
        "MÜHLEN",
        "muhlen zurich",
        "login.muehlenbank",
        "familie",
        "ann@example",
        "ann-passkey",
        "ann example",
        "smith mondays",
        "mr.",
        "hl zü",
    ],
)
def test_an_item_is_found_by_what_is_seen_of_it(store: Store, words: str) -> None:
    assert "bank" in store.search(words)


@pytest.mark.parametrize(
    "words",
    [
        "hunter2secret",
        "unter2",
        "privatekeyvalue",
        "JBSWY3DPEHPK3PXP",
        "concealedvalue",
        "formerpassword",
        "4111",
        "41",
    ],
)
def test_a_concealed_value_finds_nothing(store: Store, words: str) -> None:
    assert store.search(words) == []


@pytest.mark.parametrize("words", ["hunter2secret", "privatekeyvalue", "JBSWY3DPEHPK3PXP", "concealedvalue"])
def test_a_concealed_value_is_not_in_the_index_either(store: Store, words: str) -> None:
    gram = fold(words)[:3]
    assert store._db.all("SELECT rowid FROM words WHERE words MATCH ?", (f'"{gram}"',)) == []


def test_a_user_name_that_is_concealed_is_not_searched() -> None:
    item = Item(id="a", title="x", credentials=(BasicAuth(username=concealed("hiddenname")),))
    assert "hiddenname" not in text_of(item)


def test_all_words_have_to_occur(store: Store) -> None:
    assert store.search("mühlen visa") == []
    assert store.search(["write to the"]) == ["mail"]
    assert store.search("write to the") == ["mail"]


def test_titles_come_first(store: Store) -> None:
    assert store.search("mühlen-bank") == ["bank", "mail"]


def test_no_words_find_everything(store: Store) -> None:
    assert store.search("") == ["mail", "bank", "card"]


@pytest.mark.parametrize(
    "words", ['"', '""" OR x', "NEAR(a b)", "a*", "text:x", "x\0yz", "\udcff\udcfeabc", "--", "'", "%"]
)
def test_no_word_is_a_command_of_the_index(store: Store, words: str) -> None:
    assert store.search([words]) == []


def test_a_very_long_word_is_only_a_word(store: Store) -> None:
    assert store.search(["ab" * 5000]) == []
    store.put(Item(id="long", title="ab" * 5000), now=NOW)
    assert store.search(["ab" * 5000]) == ["long"]
    assert store.search(["".join(f"{n:04}" for n in range(3000))]) == []


def test_the_index_follows_a_change(store: Store) -> None:
    store.put(Item(id="card", title="Mastercard"), now=NOW)
    assert (store.search("visa"), store.search("mastercard")) == ([], ["card"])
    store.purge("card")
    assert store.search("mastercard") == []


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(texts)
def test_folding_twice_is_folding_once(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.lists(texts, min_size=1, max_size=4), st.data())
def test_every_piece_of_every_title_finds_its_item(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], data: st.DataObject
) -> None:
    """The index must never miss what the item itself would answer."""
    with Store.create(tmp_path_factory.mktemp("s") / "vault.db", bytes(32), "v") as store:
        store.put_many((Item(id=f"i{n}", title=title) for n, title in enumerate(titles)), NOW)
        chosen = data.draw(st.integers(0, len(titles) - 1))
        start = data.draw(st.integers(0, len(titles[chosen]) - 1))
        piece = titles[chosen][start : data.draw(st.integers(start + 1, len(titles[chosen])))]
        expected = {f"i{n}" for n, title in enumerate(titles) if fold(piece).strip() in fold(shown(title))}
        assert set(store.search([piece])) == expected


def shown(title: str) -> str:
    return title if title.strip() else "(untitled)"
