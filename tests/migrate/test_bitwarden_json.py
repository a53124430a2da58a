"""Bitwarden's JSON: what is read where, what goes back as it came, and what of other products' items it can hold."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import catalog
from migrate.converting import read
from migrate.written import check_written
from tests.migrate import bitwarden_exports as made_up
from tests.migrate import laws
from tests.vault import strategies
from vault import model, otp
from vault.canonical import canonical, encode
from vault.errors import KeyferryError
from vault.model import (
    AndroidApp,
    AnyCredential,
    BasicAuth,
    Collection,
    CreditCard,
    CustomFields,
    Field,
    Item,
    Note,
    Passkey,
    Past,
    Provenance,
    SshKey,
    Totp,
    Url,
    concealed,
    find,
    find_all,
)
from vault.secret import Secret

FORMAT = "bitwarden_json"
HOUSEHOLD = Path(__file__).parents[2] / "samples" / FORMAT / "household.json"


def load(export: Any) -> laws.Loaded:
    """Read an export given as a value, or as bytes."""
    return laws.load(FORMAT, export if isinstance(export, bytes) else made_up.as_bytes(export))


def one(item: dict[str, Any], **frame: Any) -> Item:
    """Read the only item of an export."""
    (found,) = load({"encrypted": False, "folders": [], **frame, "items": [item]}).items
    return found


def login(**members: Any) -> Item:
    """Read a login."""
    return one({"type": 1, "name": "x", "login": members})


def write(*items: Item, collections: tuple[Collection, ...] = (), **options: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the file that is written, as a value, and what it could not hold."""
    data, losses = laws.render(FORMAT, items, collections, options=options)
    check_written(data, catalog.adapter(FORMAT), items, losses)
    return json.loads(data), [loss.member for loss in losses]


def written(*credentials: Any, **members: Any) -> dict[str, Any]:
    """Return another product's item as it is written; nothing of it may be lost."""
    top, losses = write(Item(id="x", title="x", credentials=credentials, **members))
    assert losses == []
    (found,) = top["items"]
    assert isinstance(found, dict)
    return found


def fields_of(item: dict[str, Any]) -> dict[str, tuple[int, str | None]]:
    """Return type and value of the custom fields by name."""
    return {field["name"]: (field["type"], field["value"]) for field in item.get("fields", [])}


# Laws


def goes_back_as_it_came(data: bytes) -> laws.Loaded:
    """Check that a file is accounted for, proven, and the same after a round trip; return what it says."""
    loaded = laws.load(FORMAT, data)
    assert not loaded.ledger.quarantine
    values = loaded.ledger.values()
    assert values["arrived"] >= 0
    assert values["total"] == sum(values[fate] for fate in ("arrived", "elsewhere", "changed"))
    read(catalog.open_source(Path("export"), format=FORMAT, data=data, key=laws.KEY))  # raises where the proof fails
    back, losses = laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)
    assert losses == []
    again = laws.load(FORMAT, back)
    assert laws.canon(again) == laws.canon(loaded)
    assert laws.render(FORMAT, again.items, again.collections, again.extras)[0] == back
    return loaded


@given(made_up.exports())
def test_any_export_goes_back_as_it_came(export: dict[str, Any]) -> None:
    loaded = goes_back_as_it_came(made_up.as_bytes(export))
    assert len(loaded.items) == len(export["items"])


@given(made_up.exports().flatmap(made_up.with_unknown_keys))
def test_keys_that_nobody_knows_go_back_to_where_they_stood(export: dict[str, Any]) -> None:
    goes_back_as_it_came(made_up.as_bytes(export))


_EVERYTHING = json.loads(HOUSEHOLD.read_text(encoding="utf-8"))
_OBJECTS: list[tuple[Any, ...]] = [
    (),
    ("folders", 2),
    *(("items", at) for at in range(len(_EVERYTHING["items"]))),
    *(
        ("items", at, part)
        for at, item in enumerate(_EVERYTHING["items"])
        for part, value in item.items()
        if isinstance(value, dict)
    ),
    ("items", 0, "login", "uris", 1),
    ("items", 2, "login", "fido2Credentials", 0),
    ("items", 0, "fields", 3),
    ("items", 0, "passwordHistory", 1),
]


@given(st.dictionaries(st.sampled_from(_OBJECTS), made_up.anything, min_size=1))
def test_a_key_of_tomorrow_goes_back_to_any_object_of_the_household(keys: dict[tuple[Any, ...], Any]) -> None:
    export = json.loads(HOUSEHOLD.read_text(encoding="utf-8"))
    for path, value in keys.items():
        _at(export, path)["keyOfTomorrow"] = value
    loaded = goes_back_as_it_came(made_up.as_bytes(export))
    back, _ = laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)
    for path in keys:
        assert "keyOfTomorrow" in _at(json.loads(back), path)


def _at(node: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        node = node[step]
    return node


@pytest.mark.parametrize(
    "text", ["12345678901234567890", "2.50", "-0.10", "1E+400", "123456789012345678901234567890.5"]
)
def test_numbers_keep_every_digit(text: str) -> None:
    data = b'{"folders": [], "items": [{"type": 2, "name": "x", "weight": {"deep": [%s]}}]}' % text.encode()
    loaded = goes_back_as_it_came(data)
    assert text.encode() in laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)[0]


def _without_place(items: tuple[Item, ...]) -> list[bytes]:
    return [canonical(msgspec.structs.replace(item, id="")) for item in items]


def test_after_an_edit_an_addition_and_a_deletion_all_else_goes_back_as_it_came() -> None:
    loaded = load(HOUSEHOLD.read_bytes())
    items = {item.title: item for item in loaded.items}
    edited = msgspec.structs.replace(
        items["Mail"],
        title="Post",
        credentials=(BasicAuth(username=Field(value="ada"), password=concealed("new")), *items["Mail"].credentials[1:]),
        history=(Past(value=Secret("correct horse battery"), at="2026-03-01T10:00:00Z"),),
    )
    added = Item(id="AAAAAAAAAAAAAAAAAAAAAA", title="Added", credentials=(Note(content=Secret("by hand")),))
    left = [edited if item.title == "Mail" else item for item in loaded.items if item.title != "Agent"]
    data, losses = laws.render(FORMAT, [*left, added], loaded.collections, loaded.extras)
    back = laws.load(FORMAT, data)
    assert losses == []
    assert (back.collections, back.extras) == (loaded.collections, loaded.extras)
    assert _without_place(back.items[:-1]) == _without_place(tuple(left))
    assert back.items[-1].title == "Added"
    assert back.items[-1].credentials == added.credentials


# Reading


def test_the_example_of_the_documentation_is_read_member_by_member() -> None:
    folder = {"id": "f0000000-0000-4000-8000-000000000001", "name": "Work/Servers"}
    source_id = "a0000000-0000-4000-8000-000000000001"
    code = "otpauth://totp/Wiki:ann?secret=JBSWY3DPEHPK3PXP&digits=8&period=60&algorithm=SHA256"
    loaded = load(
        {
            "encrypted": False,
            "folders": [folder],
            "items": [
                {
                    "id": source_id,
                    "organizationId": None,
                    "collectionIds": None,
                    "folderId": folder["id"],
                    "type": 1,
                    "reprompt": 1,
                    "name": "Wiki",
                    "notes": "line 1\nline 2",
                    "favorite": True,
                    "fields": [{"name": "PIN", "value": "0042", "type": 1, "linkedId": None}],
                    "login": {
                        "username": "ann",
                        "password": " spaced ",
                        "totp": code,
                        "fido2Credentials": [],
                        "uris": [{"match": 1, "uri": "https://wiki.example.test"}],
                    },
                    "passwordHistory": [{"password": "old1", "lastUsedDate": "2024-02-03T04:05:06.000Z"}],
                    "creationDate": "2024-01-02T03:04:05.000Z",
                    "revisionDate": "2024-02-03T04:05:06.000Z",
                    "deletedDate": None,
                }
            ],
        }
    )
    work, servers = loaded.collections
    assert (work.title, servers.title, servers.parent) == ("Work", "Servers", work.id)
    assert loaded.items == (
        Item(
            id=loaded.items[0].id,
            title="Wiki",
            favorite=True,
            reprompt=True,
            collections=(servers.id,),
            urls=(Url(url="https://wiki.example.test", match="host"),),
            credentials=(
                BasicAuth(username=Field(value="ann"), password=concealed(" spaced ")),
                Totp(
                    secret=Secret("JBSWY3DPEHPK3PXP"),
                    digits=8,
                    period=60,
                    algorithm="sha256",
                    issuer="Wiki",
                    username="ann",
                    source=Secret(code),
                ),
                Note(content=Secret("line 1\nline 2")),
                CustomFields(fields=(concealed("0042", label="PIN"),)),
            ),
            history=(Past(value=Secret("old1"), at="2024-02-03T04:05:06.000Z"),),
            creation_at="2024-01-02T03:04:05.000Z",
            modified_at="2024-02-03T04:05:06.000Z",
            provenance=Provenance(format=FORMAT, source_id=source_id),
        ),
    )


@pytest.mark.parametrize("kind", [3, "3", None])
def test_a_type_is_a_number_its_digits_or_the_object_that_is_there(kind: Any) -> None:
    card = find(one({"type": kind, "name": "x", "card": {"number": "4111111111111111"}}), CreditCard)
    assert card == CreditCard(number=concealed("4111111111111111"))


@pytest.mark.parametrize(
    ("month", "year", "expected"),
    [
        ("7", "2029", "2029-07"),
        ("06", "2029", "2029-06"),
        ("7", "29", "2029-07"),
        (7, 2029, "2029-07"),
        ("13", "2029", None),
        ("7", None, None),
        ("", "2029", None),
        ("July", "2029", None),
    ],
)
def test_month_and_year_of_a_card_become_one_date_or_fields(month: Any, year: Any, expected: str | None) -> None:
    item = one({"type": 3, "name": "x", "card": {"expMonth": month, "expYear": year}})
    expiry = find(item, CreditCard).expiry_date
    said = [(key, value) for key, value in (("expMonth", month), ("expYear", year)) if value]
    assert expiry == (Field(value=expected, field_type="year-month") if expected else None)
    fields = [(f.label, f.text) for section in find_all(item, CustomFields) for f in section.fields]
    assert (fields, item.extra) == ([] if expected else said, {})


@pytest.mark.parametrize("state", ["archived", "trashed"])
def test_a_state_whose_date_cannot_be_read_is_a_state(state: str) -> None:
    key = {"archived": "archivedDate", "trashed": "deletedDate"}[state]
    item = one({"type": 2, "name": "x", key: "2026-02-30T00:00:00.000Z"})
    assert (getattr(item, state), getattr(item, f"{state}_at")) == (True, None)
    assert item.extra == {key: "2026-02-30T00:00:00.000Z"}


def test_a_code_whose_key_cannot_be_read_is_kept_hidden_and_told() -> None:
    loaded = load({"folders": [], "items": [{"type": 1, "name": "x", "login": {"totp": "no seed!"}}]})
    section = find(loaded.items[0], CustomFields)
    assert section.fields == (concealed("no seed!", label="totp"),)
    assert loaded.ledger.warnings == ["items/0: the one-time code's key cannot be read; kept as a hidden field"]


def test_a_field_of_an_unknown_type_is_hidden() -> None:
    item = one({"type": 2, "name": "x", "fields": [{"name": "n", "value": "v", "type": 9}]})
    assert find(item, CustomFields).fields == (concealed("v", label="n", extra={"type": 9}),)


@pytest.mark.parametrize(
    ("written_id", "held"),
    [
        ("0d5a7a5b-9c1e-4f7a-8e55-2a3b4c5d6e7f", "DVp6W5weT3qOVSo7TF1ufw"),
        ("0D5A7A5B-9C1E-4F7A-8E55-2A3B4C5D6E7F", "DVp6W5weT3qOVSo7TF1ufw"),
        ("b64.LBhZ0m3Xq0qXn1vY7wY3VQ5k", "LBhZ0m3Xq0qXn1vY7wY3VQ5k"),
        ("what is this?", "what is this?"),
    ],
)
def test_a_passkeys_id_is_held_as_base64url(written_id: str, held: str) -> None:
    passkey = find(login(fido2Credentials=[{"credentialId": written_id, "counter": "17"}]), Passkey)
    assert (passkey.credential_id, passkey.counter) == (held, 17)


@pytest.mark.parametrize("name", ["/A", "A/", "A//B", "/", ""])
def test_a_folder_name_with_an_empty_part_is_one_name(name: str) -> None:
    (folder,) = load({"folders": [{"id": "f", "name": name}], "items": []}).collections
    assert (folder.title, folder.parent) == (name, None)


def test_folders_of_one_id_or_one_path_stay_apart() -> None:
    listed = [("1", "A"), ("2", "A"), ("1", "B"), (None, "A"), (None, "A")]
    loaded = load(
        {
            "folders": [{"id": own_id, "name": name} for own_id, name in listed],
            "items": [{"type": 2, "name": "x", "folderId": own_id} for own_id in ("1", "2", "A", "", None)],
        }
    )
    first, second = loaded.collections[:2]
    assert [c.title for c in loaded.collections] == ["A", "A", "B", "A", "A"]
    assert len({c.id for c in loaded.collections}) == 5
    assert [item.collections for item in loaded.items] == [(first.id,), (second.id,), (), (), ()]
    assert [item.extra for item in loaded.items] == [{}, {}, {"folderId": "A"}, {}, {}]


def test_an_item_is_in_all_its_collections_and_keeps_ids_of_others() -> None:
    loaded = load(
        {
            "collections": [{"id": own_id, "name": own_id, "organizationId": "o"} for own_id in "ab"],
            "items": [{"type": 2, "name": "x", "collectionIds": ["b", "gone", "a"]}],
        }
    )
    a, b = loaded.collections
    assert loaded.items[0].collections == (b.id, a.id)
    assert loaded.items[0].extra == {"collectionIds": ["gone"]}
    data, _ = laws.render(FORMAT, loaded.items, loaded.collections)
    assert json.loads(data)["items"][0]["collectionIds"] == ["b", "a", "gone"]


def test_items_that_are_no_list_are_refused() -> None:
    with pytest.raises(KeyferryError):
        load({"folders": [], "items": {"a": {"type": 1, "name": "x"}}})


# Writing what came from elsewhere


_MADE: dict[Any, Any] = {
    str: str,
    Secret: Secret,
    Field: lambda text: Field(value=text),
    int: lambda _: 77,
    bool: lambda _: True,
    dict[str, Any]: lambda text: {"deep": [text]},
    tuple[Field, ...]: lambda text: (Field(label=f"{text} label", value=text), concealed(f"{text} 2", link="a link")),
}


def _filled(kind: type[Any], name: str) -> Any:
    """Return a credential that has all its members, each text its own."""
    made: dict[str, Any] = {}
    for member in msgspec.structs.fields(kind):
        text = f"{name} {member.name}"
        if member.name == "extra":
            made[member.name] = {"unknown": text}
        elif not (kind is Totp and member.name in _OF_A_CODE):
            make = next(_MADE[one] for one in (member.type, *get_args(member.type)) if one in _MADE)
            made[member.name] = make(text)
    return kind(**made)


_OF_A_CODE = ("kind", "algorithm", "source", "secret", "parameters", "digits", "period")
_KINDS = [kind for kind in get_args(AnyCredential) if kind not in (model.File, model.ItemReference)]


@pytest.mark.parametrize("beside", [None, BasicAuth, CreditCard, model.PersonName], ids=str)
@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_every_text_of_another_products_credential_is_written(kind: type[Any], beside: type[Any] | None) -> None:
    credentials = [_filled(kind, "first"), _filled(kind, "second")]
    if kind is Totp:
        codes = ("otpauth://hotp/a?secret=JBSWY3DPEHPK3PXP&counter=7", "JBSWY3DPEHPK3PXP")
        credentials = [
            msgspec.structs.replace(otp.parse(code), extra=made.extra)
            for code, made in zip(codes, credentials, strict=True)
        ]
    if beside is not None:
        credentials.append(_filled(beside, "beside"))
    found = "\0".join(map(str, _leaves(written(*credentials))))
    for credential in credentials:
        for text in _texts(credential):
            assert text in found, text


def _texts(credential: Any) -> list[str]:
    said = {} if isinstance(credential, Totp) else json.loads(encode(credential))
    for name in ("type", "id", "credentialId"):
        said.pop(name, None)
    names = [f["label"] for f in said.get("fields", []) if "label" in f]
    return [str(leaf) for leaf in _leaves(said) if leaf not in ("concealed-string", "string")] + names


def _leaves(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [leaf for value in node.values() for leaf in _leaves(value)] + list(node if "unknown" in node else ())
    if isinstance(node, list):
        return [leaf for value in node for leaf in _leaves(value)]
    return [] if node is None else [str(node).lower() if isinstance(node, bool) else node]


def test_every_text_of_another_products_item_is_written() -> None:
    members: dict[str, Any] = {
        "subtitle": "a subtitle",
        "tags": ("tag one", "tag two"),
        "expires_at": "2027-01-01T00:00:00Z",
        "last_used_at": "2026-01-01T00:00:00Z",
        "creation_at": "2024-01-01T00:00:00Z",
        "modified_at": "2025-01-01T00:00:00Z",
        "archived": True,
        "archived_at": "2025-02-02T00:00:00Z",
        "urls": (Url(url="https://a.example.test", match="page", label="shop", extra={"icon": "from the url"}),),
        "android_apps": (AndroidApp(bundle_id="test.app", certificate={"fingerprint": "ff:00"}, name="App"),),
        "history": (Past(value=Secret("old name"), at="2024-05-05T00:00:00Z", field="username"),),
        "extra": {"color": "green", "deep": {"key": ["v1", 2.5]}},
        "provenance": Provenance(format="another", source_id="source id", extra={"origin": "kept"}),
    }
    for credentials in ((), (CreditCard(pin=concealed("0815")),), (BasicAuth(username=Field(value="ada")),)):
        whole = json.dumps(written(*credentials, **members))
        for text in (
            *("a subtitle", "tag one", "tag two", "2027-01-01T", "2026-01-01T", "2024-01-01T", "2025-01-01T"),
            *("2025-02-02T", "a.example.test", "page", "shop", "from the url", "test.app", "ff:00", '"App"'),
            *("username: old name", "2024-05-05T", "green", "v1", "2.5", "kept"),
        ):
            assert text in whole, text


@given(st.lists(strategies.items(), max_size=3, unique_by=lambda item: item.id))
def test_as_many_items_are_written_as_there_are(items: list[Item]) -> None:
    data, losses = laws.render(FORMAT, items)
    assert len(json.loads(data)["items"]) == len(items)
    allowed = {"attachment", "link to another item", "icon"}
    of_others = {item.id for item in items if item.provenance is None or item.provenance.format != FORMAT}
    assert {loss.member for loss in losses if loss.item in of_others} <= allowed


def test_files_links_icons_and_further_folders_are_the_only_losses() -> None:
    credentials = (model.File(id="f", name="scan.pdf"), model.ItemReference(reference="other"))
    folders = (Collection(id="a", title="A"), Collection(id="b", title="B"))
    item = Item(id="x", title="x", credentials=credentials, icon="star", collections=("a", "b"))
    top, losses = write(item, collections=folders)
    assert sorted(losses) == ["attachment", "further folders", "icon", "link to another item"]
    assert top["items"][0]["folderId"] == top["folders"][0]["id"]


def test_an_item_in_a_folder_that_was_only_implied_stays_in_it() -> None:
    loaded = load({"folders": [{"id": "f", "name": "A/B"}], "items": [{"type": 2, "name": "x"}]})
    moved = msgspec.structs.replace(loaded.items[0], collections=(loaded.collections[0].id,))
    data, losses = laws.render(FORMAT, [moved], loaded.collections)
    back = laws.load(FORMAT, data)
    assert losses == []
    assert [c.title for c in back.collections] == ["A", "B"]
    assert back.items[0].collections == (back.collections[0].id,)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("JBSWY3DPEHPK3PXP", "JBSWY3DPEHPK3PXP"),
        ("jbsw y3dp ehpk 3pxp", "otpauth://totp/?secret=JBSWY3DPEHPK3PXP&algorithm=SHA1&digits=6&period=30"),
        ("otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&x=y", "otpauth://totp/a?secret=JBSWY3DPEHPK3PXP&x=y"),
        ("key=JBSWY3DPEHPK3PXP&size=8", "otpauth://totp/?secret=JBSWY3DPEHPK3PXP&algorithm=SHA1&digits=8&period=30"),
        ("otpauth://totp/Steam:a?secret=JBSWY3DPEHPK3PXP&issuer=Steam", "steam://JBSWY3DPEHPK3PXP"),
        ("otpauth://hotp/a?secret=JBSWY3DPEHPK3PXP&counter=1", None),
        ("motp://a?secret=0123456789abcdef", None),
    ],
)
def test_a_code_is_written_as_bitwarden_reads_it_or_as_a_hidden_field(source: str, expected: str | None) -> None:
    item = written(BasicAuth(username=Field(value="ada")), otp.parse(source))
    assert item["login"]["totp"] == expected
    assert fields_of(item) == ({} if expected else {"one-time code": (1, source)})


def test_a_password_that_belongs_to_no_login_becomes_one() -> None:
    item = written(model.GeneratedPassword(password=Secret("made-1")))
    assert (item["type"], item["login"]["password"]) == (1, "made-1")


def test_a_date_that_bitwarden_cannot_hold_becomes_a_field() -> None:
    item = written(CreditCard(number=concealed("4111"), expiry_date=Field(value="07/29")))
    assert (item["card"]["expMonth"], item["card"]["expYear"]) == (None, None)
    assert fields_of(item) == {"credit card expiry date": (0, "07/29")}


@pytest.mark.parametrize("state", ["archived", "trashed"])
@pytest.mark.parametrize("known", ["2024-01-01T00:00:00Z", None])
def test_an_item_without_a_date_of_its_state_is_still_in_it(state: str, known: str | None) -> None:
    top, _ = write(Item(id="x", title="x", modified_at=known, **{state: True}))
    assert getattr(one(top["items"][0]), state)


def test_an_item_without_a_title_is_called_as_views_call_it() -> None:
    item = Item(id="x", urls=(Url(url="https://shop.example.test/a"),))
    assert write(item)[0]["items"][0]["name"] == "shop.example.test"


def _ssh_key() -> dict[str, Any]:
    item = next(item for item in _EVERYTHING["items"] if item["type"] == 5)
    return dict(item["sshKey"])


def _der(pem: str) -> str:
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives import serialization as form

    key = form.load_ssh_private_key(pem.encode(), password=None)
    der = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
    return urlsafe_b64encode(der).rstrip(b"=").decode()


def test_public_key_and_fingerprint_are_derived_where_they_are_missing() -> None:
    known = _ssh_key()
    made = written(SshKey(private_key=Secret(known["privateKey"]), key_comment="ada@build.example.test"))
    assert (made["type"], made["sshKey"]) == (5, known)
    assert "fields" not in made


def test_a_private_key_in_base64url_becomes_pem() -> None:
    known = _ssh_key()
    made = written(SshKey(private_key=Secret(_der(known["privateKey"])), public_key=known["publicKey"]))
    assert made["sshKey"]["privateKey"].startswith("-----BEGIN PRIVATE KEY-----\n")
    assert made["sshKey"]["keyFingerprint"] == known["keyFingerprint"]


@pytest.mark.parametrize(
    "text",
    ["", "no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nbm8=\n-----END OPENSSH PRIVATE KEY-----\n", "AAAA", "é"],
)
def test_an_ssh_key_that_cannot_be_read_becomes_a_note_with_hidden_fields(text: str) -> None:
    made = written(SshKey(private_key=Secret(text), public_key="ssh-ed25519 AAAA"))
    assert made["type"] == 2
    hidden = {"ssh key private key": (1, text)} if text else {}
    assert fields_of(made) == {**hidden, "ssh key public key": (0, "ssh-ed25519 AAAA")}


def test_an_ssh_key_under_a_passphrase_becomes_a_note_with_hidden_fields() -> None:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_ssh_private_key(_ssh_key()["privateKey"].encode(), password=None)
    pem = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x")).decode()
    made = written(SshKey(private_key=Secret(pem), passphrase=Secret("x")))
    assert (made["type"], fields_of(made)["ssh key private key"]) == (2, (1, pem))


def test_a_vault_of_persons_and_organisations_is_written_with_folders() -> None:
    of_person = load({"folders": [{"id": "f", "name": "A"}], "items": []})
    of_organisation = load({"collections": [{"id": "c", "name": "B"}], "items": []})
    top, losses = write(collections=(*of_person.collections, *of_organisation.collections))
    assert losses == []
    assert [folder["name"] for folder in top["folders"]] == ["A", "B"]
    assert "collections" not in top


def test_an_edited_vault_loses_neither_the_new_nor_the_odd_old_fields() -> None:
    item = one({"type": 2, "name": "x", "fields": ["odd"]})
    edited = msgspec.structs.replace(item, credentials=(*item.credentials, CustomFields(fields=(Field(value="new"),))))
    fields = write(edited)[0]["items"][0]["fields"]
    assert (fields[0]["value"], fields[1]) == ("new", "odd")


def test_decimals_of_other_formats_are_written_exactly() -> None:
    item = written(extra={"price": Decimal("2.50")})
    assert fields_of(item) == {"price": (0, "2.50")}
