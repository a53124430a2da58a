"""A person sees every value of an item once, secrets marked as such."""

from __future__ import annotations

from decimal import Decimal

import pytest

from vault.model import (
    AndroidApp,
    BasicAuth,
    CustomFields,
    Field,
    File,
    Item,
    Note,
    Passkey,
    Past,
    Provenance,
    Totp,
    UnknownCredential,
    Url,
    concealed,
)
from vault.secret import Secret
from vault.views import Row, display_title, extra_fields, host_of, rows, user_names


def seen(found: list[Row]) -> list[tuple[str, str, bool]]:
    return [(row.label, row.field.text, row.concealed) for row in found]


@pytest.mark.parametrize(
    ("item", "title"),
    [
        (Item(id="a", title="My bank"), "My bank"),
        (Item(id="a", title=" \n", urls=(Url(url="https://bank.example:8443/login"),)), "bank.example"),
        (Item(id="a", urls=(Url(url="mailto:x"), Url(url="second.example/path"))), "second.example"),
        (Item(id="a", credentials=(BasicAuth(username=Field(value="ann")),)), "ann"),
        (Item(id="a", credentials=(BasicAuth(username=concealed("ann")),)), "(untitled)"),
        (Item(id="a", credentials=(Passkey(username="ann"),)), "ann"),
        (Item(id="a", urls=(Url(url="http://[broken"),)), "(untitled)"),
        (Item(id="a"), "(untitled)"),
    ],
)
def test_every_item_has_a_title_to_show(item: Item, title: str) -> None:
    assert display_title(item) == title


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://User@Bank.Example:443/x?y#z", "bank.example"),
        ("bank.example/login", "bank.example"),
        ("androidapp://com.example", "com.example"),
        ("", ""),
        ("http://[", ""),
        ("mailto:ann", ""),
        ("bank.example:8443", "bank.example"),
        ("/just/a/path", ""),
    ],
)
def test_the_host_of_an_address(url: str, host: str) -> None:
    assert host_of(url) == host


def test_user_names_of_passwords_come_before_those_of_passkeys() -> None:
    item = Item(id="a", credentials=(Passkey(username="key"), BasicAuth(username=Field(value="login"))))
    assert user_names(item) == ("login", "key")


def test_a_login_reads_from_user_name_to_history() -> None:
    item = Item(
        id="a",
        title="Bank",
        subtitle="Main",
        urls=(Url(url="https://bank.example", match="exact"),),
        android_apps=(AndroidApp(bundle_id="example.bank"),),
        credentials=(
            BasicAuth(username=Field(value="ann"), password=concealed("pw")),
            Totp(secret=Secret("JBSWY3DP"), period=60),
            Note(content=Secret("two\nlines")),
            CustomFields(label="Phone", fields=(Field(value="1", label="Branch"), concealed("2", label="PUK"))),
        ),
        creation_at="2020-01-01T00:00:00Z",
        history=(Past(value=Secret("old"), at="2021-01-01T00:00:00Z"),),
        extra={"colour": "red"},
    )
    assert seen(rows(item)) == [
        ("User name", "ann", False),
        ("Password", "pw", True),
        ("Website", "https://bank.example", False),
        ("Key", "JBSWY3DP", True),
        ("Period", "60", False),
        ("Notes", "two\nlines", True),
        ("Branch", "1", False),
        ("PUK", "2", True),
        ("App", "example.bank", False),
        ("Subtitle", "Main", False),
        ("Created", "2020-01-01T00:00:00Z", False),
        ("Former password", "old", True),
        ("colour", "red", False),
    ]
    assert [row.name for row in rows(item)][:4] == ["username", "password", "url", "totp"]
    sections = {row.label: row.section for row in rows(item)}
    assert (sections["Key"], sections["Period"]) == ("One-time code", "One-time code")
    assert (sections["Branch"], sections["PUK"], sections["Website"]) == ("Phone", "Phone", "exact")


def test_a_file_shows_its_name_and_size() -> None:
    item = Item(id="a", credentials=(File(id="AQ", name="scan.pdf", decrypted_size=12, integrity_hash="x" * 43),))
    assert seen(rows(item)) == [("Name", "scan.pdf", False), ("Bytes", "12", False)]


def test_addresses_stand_below_the_login_and_not_within_a_code() -> None:
    login, totp = BasicAuth(username=Field(value="ann")), Totp(secret=Secret("JBSWY3DP"), username="ann", issuer="Post")
    item = Item(id="a", urls=(Url(url="https://post.example"),), credentials=(login, totp))
    assert [row.label for row in rows(item)] == ["User name", "Website", "Key", "User name", "Issuer"]


def test_a_code_shows_its_parts_and_not_its_text_once_more() -> None:
    totp = Totp(secret=Secret("JBSWY3DP"), issuer="Post", source=Secret("otpauth://totp/Post?secret=JBSWY3DP"))
    assert seen(rows(Item(id="a", credentials=(totp,)))) == [("Key", "JBSWY3DP", True), ("Issuer", "Post", False)]


def test_what_an_unknown_part_holds_is_concealed() -> None:
    item = Item(
        id="a",
        credentials=(
            UnknownCredential(raw={"payload": "x"}),
            Passkey(rp_id="x.example", fido2_extensions={"hmacCredentials": {"credWithUV": "y"}}),
        ),
    )
    assert [row.concealed for row in rows(item)] == [True, False, True]


def test_empty_parts_show_nothing() -> None:
    assert rows(Item(id="a", credentials=(BasicAuth(), Note(), Passkey(), Totp(), CustomFields()))) == []


def test_unknown_keys_are_found_at_every_level_with_their_path() -> None:
    item = Item(
        id="a",
        extra={"colour": "red", "nested": {"deep": {"n": Decimal("2.50")}}},
        urls=(Url(url="x", extra={"u": 1}),),
        android_apps=(AndroidApp(extra={"b": True}),),
        credentials=(
            Note(extra={"style": "plain"}),
            BasicAuth(username=Field(value="x", extra={"hint": "h"})),
            CustomFields(extra={"open": False}, fields=(Field(label="PIN", extra={"order": 3}),)),
        ),
        history=(Past(value=Secret("x"), extra={"by": "me"}),),
        provenance=Provenance(format="x", extra={"list": [1, "a", None]}),
    )
    assert {(f.label, f.text) for f in extra_fields(item)} == {
        ("colour", "red"),
        ("nested.deep.n", "2.50"),
        ("url.u", "1"),
        ("app.b", "true"),
        ("note.style", "plain"),
        ("basic-auth.username.hint", "h"),
        ("custom-fields.open", "false"),
        ("custom-fields.PIN.order", "3"),
        ("history.by", "me"),
        ("origin.list", '[1,"a",null]'),
    }


def test_nothing_is_no_unknown_value() -> None:
    assert extra_fields(Item(id="a", extra={"a": None, "b": "", "c": [], "d": {}, "e": {"f": {}}})) == ()


@pytest.mark.parametrize(
    ("key", "hidden"),
    [
        ("masterPassword", True),
        ("API_KEY", True),
        ("pin", True),
        ("cardPIN", True),
        ("TOTPSeed", True),
        ("otp-auth", True),
        ("monkey", False),
        ("spin", False),
        ("keyboard", False),
        ("colour", False),
        ("", False),
    ],
)
def test_a_key_that_speaks_of_a_secret_conceals_its_value(key: str, hidden: bool) -> None:
    assert [f.is_concealed for f in extra_fields(Item(id="a", extra={key: "x"}))] == [hidden]


def test_a_secret_inside_a_list_or_under_a_telling_key_is_concealed() -> None:
    item = Item(id="a", extra={"codes": [{"note": 1}, {"password": "x"}], "secrets": {"one": 1}, "s": Secret("x")})
    assert [f.is_concealed for f in extra_fields(item)] == [True, True, True]
