"""Bitwarden tables: addresses, fields, folders and collections."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from tests.migrate import laws
from vault.model import BasicAuth, Collection, CreditCard, CustomFields, Field, Item, Note, concealed, find
from vault.secret import Secret

SAMPLES = Path(__file__).parents[2] / "samples" / "bitwarden_csv"


def written(*items: Item, collections: tuple[Collection, ...] = ()) -> list[dict[str, str]]:
    data, _ = laws.render("bitwarden_csv", items, collections)
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def test_what_bitwarden_would_misread_in_fields_stands_in_the_notes() -> None:
    fields = (
        concealed("0042", label="PIN"),
        Field(value="one\ntwo", label="lines"),
        Field(value="a: b", label="colon"),
        Field(value="x", label=""),
    )
    (row,) = written(Item(id="i", title="t", credentials=(BasicAuth(), CustomFields(fields=fields))))
    assert row["fields"] == "PIN: 0042"
    assert row["notes"] == "lines: one\ntwo\ncolon: a: b\nx"


def test_fields_that_came_from_bitwarden_stand_as_they_stood() -> None:
    loaded = laws.load(None, (SAMPLES / "fields.csv").read_bytes())
    back = list(csv.DictReader(io.StringIO(laws.render("bitwarden_csv", loaded.items)[0].decode(), newline="")))
    assert back[1]["fields"] == "address: 7 Harbour Lane\nFlat 3\ncity: Exampleville"


def test_a_file_made_for_bitwarden_may_leave_columns_out() -> None:
    data = b"folder,type,name,login_uri,login_username,login_password\nMail,login,Post,https://a.example.test,ada,007\n"
    loaded = laws.load(None, data)
    auth = find(loaded.items[0], BasicAuth)
    assert (loaded.source.format, auth.username.text, auth.password.text) == ("bitwarden_csv", "ada", "007")
    assert laws.render("bitwarden_csv", loaded.items, loaded.collections, loaded.extras)[0].rstrip() == data.rstrip()


@pytest.mark.parametrize(
    ("cell", "is_one"), [("1", True), ("true", True), ("TRUE", True), ("0", False), ("False", False)]
)
def test_a_favourite_is_told_by_a_number_or_a_word(cell: str, is_one: bool) -> None:
    header = b"folder,favorite,type,name,notes,fields,login_uri,login_username,login_password,login_totp\n"
    (item,) = laws.load(None, header + f",{cell},login,Post,,,,ada,tide-1,\n".encode()).items
    assert item.favorite is is_one
    assert not item.extra


def test_a_card_becomes_a_note_with_fields() -> None:
    card = CreditCard(number=concealed("4111"), verification_number=concealed("123"))
    (row,) = written(Item(id="c", title="Visa", credentials=(card, Note(content=Secret("call")))))
    assert (row["type"], row["notes"]) == ("note", "call")
    assert row["fields"] == "credit card number: 4111\ncredit card verification number: 123"


def test_an_item_is_in_all_its_collections() -> None:
    loaded = laws.load(None, (SAMPLES / "organization.csv").read_bytes())
    titles = {c.id: c.title for c in loaded.collections}
    assert [titles[c] for c in loaded.items[0].collections] == ["Bank", "Shared"]
    assert {c.kind for c in loaded.collections if c.aliases} == {"collection"}


def test_an_item_in_two_folders_keeps_the_first_and_names_the_loss() -> None:
    folders = (Collection(id="a", title="A"), Collection(id="b", title="B"))
    item = Item(id="i", title="t", credentials=(BasicAuth(),), collections=("a", "b"))
    data, losses = laws.render("bitwarden_csv", [item], folders)
    assert b"A,,login,t" in data
    assert [loss.member for loss in losses] == ["further folders"]


def test_a_kind_this_format_does_not_write_is_a_login_if_it_has_a_login() -> None:
    first, second = laws.load(None, (SAMPLES / "unknown.csv").read_bytes()).items
    assert find(first, BasicAuth).password.text == "secret"
    assert find(second, BasicAuth) is None
