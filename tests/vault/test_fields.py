"""Names lead to the values a person means, and changing one changes no other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import InvalidField, UsageError
from vault.fieldnames import KINDS, locate, new_item
from vault.fields import set_values, unset, value_of
from vault.model import (
    Address,
    ApiKey,
    BasicAuth,
    CreditCard,
    CustomFields,
    DriversLicense,
    Field,
    GeneratedPassword,
    IdentityDocument,
    Item,
    Note,
    Passport,
    PersonName,
    SshKey,
    Totp,
    Url,
    Wifi,
    concealed,
    kind_of,
)
from vault.secret import Secret

NOW = "2026-11-20T10:00:00Z"
LATER = "2026-11-21T10:00:00Z"

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
plain_names = st.sampled_from(["title", "subtitle", "username", "Branch office", "PIN of the door", "x"])


def new(kind: str = "login", **members: Any) -> Item:
    return msgspec.structs.replace(new_item(kind, "id", "T", NOW), **members)


def test_a_new_item_is_of_its_kind() -> None:
    assert {kind: kind_of(new(kind)) for kind in KINDS} == {kind: kind for kind in KINDS}
    made = new("custom:Server rack")
    assert (kind_of(made), made.template) == ("custom", "Server rack")


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        new("lgin")
    assert "ssh-key" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "name", "type_", "member"),
    [
        ("login", "username", BasicAuth, "username"),
        ("login", "User", BasicAuth, "username"),
        ("card", "CVV", CreditCard, "verification_number"),
        ("card", "holder", CreditCard, "full_name"),
        ("card", "valid-from", CreditCard, "valid_from"),
        ("card", "valid_from", CreditCard, "valid_from"),
        ("card", "Valid From", CreditCard, "valid_from"),
        ("identity", "first-name", PersonName, "given"),
        ("identity", "surname", PersonName, "surname"),
        ("identity", "phone", Address, "tel"),
        ("wifi", "password", Wifi, "passphrase"),
        ("ssh-key", "private-key", SshKey, "private_key"),
        ("ssh-key", "passphrase", SshKey, "passphrase"),
        ("passport", "number", Passport, "passport_number"),
        ("drivers-license", "number", DriversLicense, "license_number"),
        ("identity-document", "number", IdentityDocument, "document_number"),
        ("api-key", "key", ApiKey, "key"),
        ("api-key", "username", ApiKey, "username"),
    ],
)
def test_a_name_leads_to_the_member_of_its_kind(kind: str, name: str, type_: type, member: str) -> None:
    place = locate(new(kind), name)
    assert (place.what, place.kind, place.member) == ("member", type_, member)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("login", ["password", "notes", "note", "totp", "otp"]),
        ("card", ["number", "cvv", "pin", "notes"]),
        ("wifi", ["passphrase", "password"]),
        ("ssh-key", ["private_key", "passphrase"]),
        ("api-key", ["key"]),
        ("note", ["notes", "password"]),
        ("passport", ["password"]),
    ],
)
def test_secrets_are_known_before_they_are_there(kind: str, names: list[str]) -> None:
    assert [name for name in names if not locate(new(kind), name).concealed] == []


def test_what_is_no_secret_is_not_concealed() -> None:
    for kind, names in {"login": ["username", "title", "url", "x"], "card": ["holder", "expiry", "brand"]}.items():
        assert [name for name in names if locate(new(kind), name).concealed] == []


def test_a_field_that_is_concealed_stays_concealed_whatever_its_member() -> None:
    item = new(credentials=(BasicAuth(username=concealed("u")),))
    assert locate(item, "username").concealed
    assert set_values(item, "username", ["v"], NOW).credentials == (BasicAuth(username=concealed("v")),)


def test_a_user_name_does_not_turn_a_card_into_a_login() -> None:
    made = set_values(new("card"), "username", ["ann"], NOW)
    assert kind_of(made) == "card"
    assert value_of(made, "username") == "ann"


def test_a_password_for_a_kind_without_one_is_a_concealed_field() -> None:
    made = set_values(new("passport"), "password", ["pw"], NOW)
    assert made.credentials[-1] == CustomFields(fields=(concealed("pw", label="password"),))


@pytest.mark.parametrize(
    ("kind", "name", "text", "field"),
    [
        ("card", "expiry", "4/29", Field(value="2029-04", field_type="year-month")),
        ("card", "expiry", "12/2031", Field(value="2031-12", field_type="year-month")),
        ("card", "expiry", "2029-04", Field(value="2029-04", field_type="year-month")),
        ("card", "expiry", "13/29", Field(value="13/29")),
        ("card", "expiry", "soon", Field(value="soon")),
        ("passport", "birth-date", "2000-02-29", Field(value="2000-02-29", field_type="date")),
        ("passport", "birth-date", "29.2.2000", Field(value="29.2.2000")),
        ("passport", "country", "de", Field(value="DE", field_type="country-code")),
        ("passport", "country", "Germany", Field(value="Germany")),
        ("wifi", "security", "wpa3-personal", Field(value="wpa3-personal", field_type="wifi-network-security-type")),
        ("wifi", "hidden", "yes", Field(value="true", field_type="boolean")),
    ],
)
def test_a_value_that_fits_the_type_of_its_member_gets_it(kind: str, name: str, text: str, field: Field) -> None:
    made = set_values(new(kind), name, [text], NOW)
    place = locate(made, name)
    assert getattr(made.credentials[place.credential], place.member) == field


def test_a_custom_field_is_found_by_its_exact_label_first() -> None:
    fields = (Field(label="Branch-office", value="1"), Field(label="branch office", value="2"))
    item = new(credentials=(CustomFields(fields=fields),))
    assert value_of(item, "branch office") == "2"
    assert value_of(item, "Branch-office") == "1"
    assert value_of(item, "BRANCH OFFICE") == "1"
    changed = set_values(item, "branch office", ["3"], NOW)
    assert (value_of(changed, "Branch-office"), value_of(changed, "branch office")) == ("1", "3")


def test_a_new_field_does_not_enter_a_section_of_another_product() -> None:
    theirs = CustomFields(id="bank", label="Bank account", fields=(Field(label="IBAN", value="1"),))
    made = set_values(new(credentials=(BasicAuth(), theirs)), "Mine", ["x"], NOW)
    assert made.credentials == (BasicAuth(), theirs, CustomFields(fields=(Field(label="Mine", value="x"),)))
    again = set_values(made, "Mine too", ["y"], NOW)
    assert len(again.credentials) == 3


def test_addresses_that_stay_keep_their_rules() -> None:
    item = new(urls=(Url(url="https://a.example", match="exact", extra={"x": 1}), Url(url="https://b.example")))
    made = set_values(item, "url", ["https://c.example", "https://a.example"], NOW)
    assert made.urls == (Url(url="https://c.example"), item.urls[0])


def test_a_password_that_is_replaced_or_removed_goes_into_the_history_newest_first() -> None:
    item = new(credentials=(BasicAuth(password=concealed("one")),))
    item = set_values(item, "password", ["two"], NOW)
    item = set_values(item, "password", ["two"], LATER)
    item = unset(item, "password", LATER)
    assert [(p.value.reveal(), p.at, p.field) for p in item.history] == [
        ("two", LATER, "password"),
        ("one", NOW, "password"),
    ]


def test_a_concealed_field_is_remembered_under_its_label() -> None:
    item = set_values(new(), "PUK", ["one"], NOW, conceal=True)
    item = set_values(item, "puk", ["two"], LATER)
    assert [(p.value.reveal(), p.field) for p in item.history] == [("one", "PUK")]
    assert locate(item, "PUK").concealed


def test_a_generated_password_and_an_ssh_key_are_set_as_secrets() -> None:
    made = set_values(new(credentials=(GeneratedPassword(password=Secret("a")),)), "password", ["b"], NOW)
    assert made.credentials == (GeneratedPassword(password=Secret("b")),)
    key = set_values(set_values(new("ssh-key"), "passphrase", ["p"], NOW), "comment", ["me"], NOW)
    assert key.credentials == (SshKey(passphrase=Secret("p"), key_comment="me"),)
    gone = unset(unset(key, "passphrase", NOW), "comment", NOW)
    assert gone.credentials == (SshKey(),)


def test_a_code_keeps_the_name_of_its_field() -> None:
    item = new(credentials=(Totp(secret=Secret("JBSWY3DPEHPK3PXP"), label="second"),))
    made = set_values(item, "totp", [" GEZDGNBVGY3TQOJQ\n"], NOW)
    assert [(c.label, c.secret.reveal()) for c in made.credentials if isinstance(c, Totp)] == [
        ("second", "GEZDGNBVGY3TQOJQ")
    ]
    with pytest.raises(InvalidField) as caught:
        set_values(item, "totp", ["geheim!"], NOW)
    assert "geheim" not in caught.value.message


@pytest.mark.parametrize("name", ["", " ", "\t"])
def test_a_field_needs_a_name(name: str) -> None:
    with pytest.raises(InvalidField):
        set_values(new(), name, ["x"], NOW)


def test_only_addresses_and_tags_have_several_values() -> None:
    assert set_values(new(), "tags", ["a,b", "c, a"], NOW).tags == ("a", "b", "c")
    with pytest.raises(InvalidField):
        set_values(new(), "username", ["a", "b"], NOW)


@pytest.mark.parametrize("name", ["password", "username", "notes", "totp", "Branch"])
def test_what_is_not_there_has_no_value_and_cannot_be_removed(name: str) -> None:
    item = Item(id="a", credentials=(CustomFields(fields=(Field(label="other"),)),))
    assert value_of(item, name) is None
    with pytest.raises(InvalidField):
        unset(item, name, NOW)


def test_an_empty_section_of_ours_goes_with_its_last_field() -> None:
    item = new()
    assert unset(set_values(item, "x", ["y"], NOW), "x", NOW) == item
    custom = new("custom:Rack")
    assert unset(set_values(custom, "x", ["y"], NOW), "x", NOW) == custom


@given(st.lists(st.tuples(plain_names, texts), min_size=1, max_size=6), st.sampled_from(list(KINDS)))
def test_what_was_set_last_is_read_back(pairs: list[tuple[str, str]], kind: str) -> None:
    item = new(kind)
    for name, text in pairs:
        item = set_values(item, name, [text], NOW)
    assert {name: value_of(item, name) for name, _ in pairs} == dict(pairs)
    assert kind_of(item) == kind


@given(texts, texts)
def test_setting_one_field_changes_no_other(name: str, text: str) -> None:
    full = new(
        urls=(Url(url="https://a.example"),),
        tags=("t",),
        credentials=(
            BasicAuth(username=Field(value="u"), password=concealed("p")),
            Note(content=Secret("n")),
            CustomFields(label="Theirs", fields=(Field(label="one", value="1"), concealed("2", label="two"))),
        ),
    )
    label = f"new {name}"
    made = set_values(full, label, [text], NOW)
    assert value_of(made, label) == text
    assert msgspec.structs.replace(made, credentials=made.credentials[:3]) == full
