"""1PUX files: what becomes of each value, the way back letter by letter, attachments, and items of other products."""

from __future__ import annotations

import copy
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate import catalog, converting
from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.giving import Loss, Outgoing
from migrate.moving import migrate
from migrate.reading import items_of
from migrate.records import read_json
from migrate.written import check_written
from tests.migrate import household, laws, onepux
from tests.migrate.onepux import PEM, SAMPLES, account, code, export, field, item, login, section, uuid, vault
from vault import model, otp
from vault.canonical import canonical
from vault.errors import DamagedExport, FormatError
from vault.model import CustomFields, Field, Item, concealed, find_all, kind_of, state_of
from vault.secret import Secret
from vault.store import Store
from vault.views import extra_fields

FORMAT = "onepassword_1pux"
FOLDER = Path(__file__).parents[2] / "samples" / FORMAT
GOOD = [name for name in SAMPLES if name not in ("cut_off", "no_accounts", "vaults_of_text", "not_json", "way_out")]
GOOD.remove("member_twice")
NOW = "2026-01-02T03:04:05Z"


def find(item_: Item, kind: Any) -> Any:
    """Return the first credential of the kind, which is there."""
    return model.find(item_, kind)


def read(data: bytes) -> laws.Loaded:
    return laws.load(FORMAT, data, name="export.1pux")


def one(made: dict[str, Any], **files: bytes) -> Item:
    """Return what a single record becomes."""
    loaded = read(export(account(vault("Private", made)), files=files))
    assert not loaded.ledger.quarantine
    return loaded.items[0]


def named(loaded: laws.Loaded, title: str) -> Item:
    return next(one for one in loaded.items if one.title == title)


def document_of(loaded: laws.Loaded) -> Any:
    archive, documents = loaded.source.archive, loaded.source.documents
    return lambda name: archive.read(documents[name]) if name in documents else None


def written(loaded: laws.Loaded, items: Any = None) -> tuple[bytes, list[Loss]]:
    given_items = loaded.items if items is None else items
    return laws.render(FORMAT, given_items, loaded.collections, loaded.extras, document=document_of(loaded))


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def records_of(data: bytes) -> list[Any]:
    """Return every record, as it stands in the file."""
    accounts = read_json(members_of(data)["export.data"])["accounts"]
    return [one for each in accounts for inner in each["vaults"] for one in inner.get("items") or []]


def fields_of(record: Any) -> Iterator[dict[str, Any]]:
    for each in record["details"]["sections"]:
        yield from each["fields"]


def foreign(*credentials: Any, **members: Any) -> Item:
    return Item(id="b3duZXI", title=members.pop("title", "Thing"), credentials=credentials, **members)


def rendered(*items: Item, **given_: Any) -> tuple[list[Any], list[Loss]]:
    data, losses = laws.render(FORMAT, items, **given_)
    check_written(data, catalog.adapter(FORMAT), items, losses)
    return records_of(data), losses


# -- samples


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_its_description_makes(name: str, request: pytest.FixtureRequest) -> None:
    path, made = FOLDER / f"{name}.1pux", SAMPLES[name]()
    if request.config.getoption("--bless"):
        assert not os.environ.get("CI")
        path.write_bytes(made)
    assert path.read_bytes() == made


def test_no_sample_is_without_a_description() -> None:
    assert {path.stem for path in FOLDER.glob("*.1pux")} == set(SAMPLES)


@pytest.mark.parametrize("name", GOOD)
def test_a_sample_arrives_in_a_vault_and_is_proven_from_its_bytes(name: str, tmp_path: Path) -> None:
    data = SAMPLES[name]()
    with Store.create(tmp_path / "vault.db", b"k" * 32, "v") as store:
        first = migrate(store, catalog.open_source(Path("x.1pux"), data=data), run="r1", now=NOW)
        assert first.proof.holds
        again = migrate(store, catalog.open_source(Path("x.1pux"), data=data), run="r2", now=NOW)
        assert set(again.items) <= {"same"}
        for item_ in store.items():
            for file in find_all(item_, model.File):
                assert file.missing or store.has_document(file.integrity_hash)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "rotten_records"])
def test_what_a_sample_says_stands_in_what_is_written_at_the_same_place(name: str) -> None:
    loaded = read(SAMPLES[name]())
    data, losses = written(loaded)
    assert losses == []
    old, new = (read_json(members_of(file)["export.data"]) for file in (SAMPLES[name](), data))
    assert list(unsaid(old, new)) == []
    assert written(read(data))[0] == data


def unsaid(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield where the old text says something that the new one does not say in the same place."""
    if isinstance(old, dict):
        for key, value in old.items():
            below = f"{path}.{key}"
            if says(value) and below.split(".")[-2:] != ["overview", "url"]:
                yield from unsaid(value, new.get(key) if isinstance(new, dict) else None, below)
    elif isinstance(old, list) and isinstance(new, list):
        if path.endswith(".urls") and len(new) > len(old):
            new = new[1:]  # an address that stood beside the list stands in it now
        if path.endswith(".sections"):
            old, new = [one for one in old if not is_blank(one)], [one for one in new if not is_blank(one)]
        if len(old) != len(new):
            yield f"{path} has {len(new)} for {len(old)}"
        for n, (mine, theirs) in enumerate(zip(old, new, strict=False)):
            yield from unsaid(mine, theirs, f"{path}[{n}]")
    elif old != new and not (path.endswith("trashed") and old is True):
        yield path


def says(node: Any) -> bool:
    if isinstance(node, dict):
        return any(map(says, node.values()))
    if isinstance(node, list):
        return bool(node)
    return node not in (None, "", False)


def is_blank(one: Any) -> bool:
    return isinstance(one, dict) and not any(map(says, one.values()))


# -- reading


def test_a_login_is_read_as_the_dossier_says() -> None:
    bank = named(read(SAMPLES["household"]()), "My bank")
    assert kind_of(bank) == "login"
    auth, totp = find(bank, model.BasicAuth), find(bank, model.Totp)
    assert (auth.username.text, auth.password.text) == ("ada@example.org", 'kr,on"or\\27')
    assert (totp.digits, totp.period, totp.algorithm, totp.label) == (8, 60, "sha256", None)
    assert find(bank, model.Note).content.reveal() == "Call first:\n0800 12 12\n\nthen wait"
    assert [(past.value.reveal(), past.at) for past in bank.history] == [("old-kronor-26", "2024-11-05T07:07:08Z")]
    extra = next(find_all(bank, CustomFields))
    assert (extra.label, [(f.label, f.text, f.is_concealed) for f in extra.fields]) == (
        "Extra",
        [("PIN", "0042", True), ("Branch", "Harbour", False)],
    )
    assert [(url.url, url.label) for url in bank.urls] == [("https://bank.example.test/login", "website")]


def test_a_card_is_read_as_the_dossier_says() -> None:
    loaded = read(SAMPLES["household"]())
    visa = find(named(loaded, "Visa of Ada"), model.CreditCard)
    texts = {name: getattr(visa, name).text for name in ("number", "full_name", "card_type", "expiry_date", "pin")}
    assert texts == {
        "number": "4111111111111111",
        "full_name": "Ada Lindqvist-Okoye",
        "card_type": "visa",
        "expiry_date": "2029-07",
        "pin": "0042",
    }
    assert visa.number.is_concealed and visa.verification_number.is_concealed and visa.pin.is_concealed
    assert visa.expiry_date.field_type == "year-month" and visa.valid_from.text == ""


def test_vaults_become_collections_and_states_are_kept() -> None:
    loaded = read(SAMPLES["household"]())
    assert [(c.title, c.kind, c.subtitle) for c in loaded.collections] == [
        ("Private", "vault", "Only Ada"),
        ("Bank", "vault", None),
        ("Home/Net", "vault", None),
    ]
    assert state_of(named(loaded, "Club")) == "archived"
    assert state_of(named(loaded, "Old shop")) == "trashed"
    mail = named(loaded, "Mail")
    assert mail.favorite and mail.tags == ("Family", "Work/Mail") and len(mail.urls) == 2
    assert [totp.kind for totp in find_all(mail, model.Totp)] == ["totp", "steam"]


def test_a_link_leads_to_the_item_it_names() -> None:
    loaded = read(SAMPLES["household"]())
    assert find(named(loaded, "My bank"), model.ItemReference).reference == named(loaded, "Visa of Ada").id


KINDS = {
    "002": "card",
    "003": "note",
    "004": "identity",
    "005": "password",
    "102": "login",
    "103": "drivers-license",
    "106": "passport",
    "108": "identity-document",
    "109": "wifi",
    "110": "login",
    "111": "login",
    "112": "api-key",
}


@pytest.mark.parametrize("category", [*rules.CATEGORIES, "199"])
def test_every_category_is_named_and_is_of_its_kind(category: str) -> None:
    loaded = read(SAMPLES["every_category"]())
    both = [i for i in loaded.items if i.title.endswith(f" {category}")]
    assert both
    for found in both:
        assert found.template == rules.CATEGORIES.get(category)
        if category in KINDS:
            assert kind_of(found) == KINDS[category]


@pytest.mark.parametrize(
    ("category", "kind", "texts"),
    [
        ("102", model.BasicAuth, {"username": "dba", "password": "table-legs-4"}),
        (
            "103",
            model.DriversLicense,
            {"birth_date": "1978-01-01", "license_number": "L7654321", "expiry_date": "2030-12"},
        ),
        ("106", model.Passport, {"sex": "female", "issue_date": "2020-01-01", "passport_number": "P1234567"}),
        ("108", model.IdentityDocument, {"full_name": "Mio", "identification_number": "131-21-1900"}),
        ("110", model.BasicAuth, {"username": "root", "password": "anchor-9"}),
        ("111", model.BasicAuth, {"username": "ada", "password": "stamp-1"}),
        ("112", model.ApiKey, {"key": "api-invented-77", "expiry_date": "2031-04-01", "url": "api.example.test"}),
    ],
)
def test_a_template_goes_into_typed_members(category: str, kind: Any, texts: dict[str, str]) -> None:
    found = find(named(read(SAMPLES["every_category"]()), f"Item of {category}"), kind)
    assert {name: getattr(found, name).text for name in texts} == texts


def test_the_last_filled_field_of_a_role_is_the_login_and_the_others_are_kept() -> None:
    item_ = named(read(SAMPLES["unknown_keys"]()), "Everything unknown")
    auth = find(item_, model.BasicAuth)
    assert (auth.username.text, auth.password.text) == ("second", "used")
    form = next(c for c in find_all(item_, CustomFields) if c.id == op.WEB_FORM)
    assert [(f.label, f.text) for f in form.fields] == [
        ("user", "first"),
        ("password_old", "unused"),
        ("mail", "masked@example.org"),
        ("terms", "✓"),
        ("new kind", "?"),
    ]
    assert form.fields[1].is_concealed


@pytest.mark.parametrize(
    ("category", "form", "password", "username", "found", "generated"),
    [
        ("001", [], "beside", None, "beside", None),
        ("001", ["username"], "beside", "u", "beside", None),
        ("001", ["username", "password"], "beside", "u", "p", "beside"),
        ("005", [], "beside", None, None, "beside"),
        ("005", ["username"], "beside", "u", "beside", None),
        ("005", ["username", "password"], "", "u", "p", None),
    ],
)
def test_a_password_beside_the_form_belongs_to_the_login_if_that_has_none(
    category: str, form: list[str], password: str, username: str | None, found: str | None, generated: str | None
) -> None:
    fields = [onepux.field_of_form(role, role[0]) for role in form]
    made = one(item("x", category, loginFields=fields, details={"password": password}))
    auth = find(made, model.BasicAuth) or model.BasicAuth()
    spare = find(made, model.GeneratedPassword)
    assert (auth.username and auth.username.text, auth.password and auth.password.text) == (username, found)
    assert (spare and spare.password.reveal()) == generated


def test_a_code_that_cannot_be_read_stays_a_hidden_field_with_a_warning() -> None:
    loaded = read(export(account(vault("v", item("x", sections=[section("", None, code("?? not base32 !"))])))))
    hidden = next(find_all(loaded.items[0], CustomFields)).fields[0]
    assert hidden.is_concealed and hidden.text == "?? not base32 !"
    assert ["one-time code" in text for text in loaded.ledger.warnings] == [True]
    assert "base32" not in loaded.ledger.warnings[0]


@pytest.mark.parametrize(
    ("value", "text", "kind"),
    [
        ({"string": "a"}, "a", "string"),
        ({"concealed": "a"}, "a", "concealed-string"),
        ({"phone": "1"}, "1", "string"),
        ({"email": "a@b"}, "a@b", "email"),
        ({"email": {"email_address": "a@b", "provider": None}}, "a@b", "email"),
        ({"date": 347198460}, "1981-01-01", "date"),
        ({"date": 0}, "1970-01-01", "date"),
        ({"date": -1}, "1969-12-31", "date"),
        ({"monthYear": 209912}, "2099-12", "year-month"),
        ({"monthYear": 0}, "", "year-month"),
        ({"concealed": 42}, "42", "concealed-string"),
        ({"string": 10**30}, str(10**30), "string"),
        ({"creditCardNumber": "4"}, "4", "concealed-string"),
        ({"menu": ""}, "", "string"),
        ({"ssoLogin": {"a": 1}}, "", "string"),
        ({"monthYear": 209913}, "", "year-month"),
        ({}, "", "string"),
        (None, "", "string"),
    ],
)
def test_a_kind_of_value_is_a_field_of_its_type_and_goes_back(value: Any, text: str, kind: str) -> None:
    data = export(account(vault("v", item("x", "003", sections=[section("s", "s", field("f", "f", value))]))))
    made = next(find_all(read(data).items[0], CustomFields)).fields[0]
    assert (made.text, made.field_type) == (text, kind)
    back = next(fields_of(records_of(written(read(data))[0])[0]))["value"]
    assert back == value or not says(value) or value == {"monthYear": 0}


def test_structure_is_kept_as_a_name_and_never_shown_as_a_value() -> None:
    from vault.views import extra_fields

    shown = field("f", "f", {"string": "a"}, guarded=True, multiline=True, indexAtSource=4, keyboard="numberPad")
    made = one(item("x", "003", sections=[section("", None, code("JBSWY3DP"), shown, hideAddAnotherField=True)]))
    assert extra_fields(made) == ()
    assert op.kept(next(find_all(made, CustomFields)).fields[0].extra) == {
        "guarded": True,
        "multiline": True,
        "indexAtSource": 4,
        "inputTraits": {"keyboard": "numberPad"},
    }


def test_a_record_with_our_own_key_is_set_aside_rather_than_misread() -> None:
    made = field("f", "f", {"string": "a"}, guarded=True, keyferry={"x": 1})
    loaded = read(export(account(vault("v", item("x", sections=[section("", None, made)]), login("y", "a", "b")))))
    assert [i.title for i in loaded.items] == ["y"]
    assert [q.place for q in loaded.ledger.quarantine] == ["accounts/0/vaults/0/items/0"]


def test_an_unknown_key_called_item_does_not_hide_the_item() -> None:
    loaded = read(export(account(vault("v", login("x", "a", "b", item={"new": 1})))))
    assert loaded.items[0].title == "x" and loaded.items[0].extra == {"item": {"new": 1}}
    back, losses = laws.again(FORMAT, loaded)
    assert (laws.canon(back), losses) == (laws.canon(loaded), [])


def test_a_set_aside_record_gives_its_attachment_back_to_the_files_nobody_names() -> None:
    bad = field("f", "f", {"string": "a"}, guarded=True, keyferry={"x": 1})
    first = section("", None, onepux.attached("a", "doc", "a.txt", 1), bad)
    loaded = read(export(account(vault("v", item("x", sections=[first]))), files={"files/doc__a.txt": b"1"}))
    assert len(loaded.ledger.quarantine) == 1
    (about,) = loaded.extras[FORMAT].values()
    assert list(about["members"]) == ["files/doc__a.txt"]


def test_an_account_keeps_what_it_says_and_two_may_share_a_name() -> None:
    loaded = read(SAMPLES["two_accounts"]())
    extras = loaded.extras[FORMAT]
    assert [about["account"]["attrs"]["name"] for about in extras.values()] == [
        "Ada Lindqvist-Okoye",
        "Tom",
        "No vault yet",
    ]
    assert len({c.id for c in loaded.collections}) == 4
    assert [c.title for c in loaded.collections] == ["Private", "Shared", "Private", "Private"]
    assert len({i.id for i in loaded.items}) == 2


# -- attachments


def test_attachments_keep_names_and_bytes_through_a_round_trip() -> None:
    data = SAMPLES["attachments"]()
    loaded = read(data)
    document = document_of(loaded)
    files = {file.label: file for file in find_all(named(loaded, "Files"), model.File)}
    assert files["up and away"].name == "../../up.txt"
    assert document(files["up and away"].integrity_hash) == b"up"
    assert document(files["two lines in its name"].integrity_hash) == b"abc"
    assert document(files["empty"].integrity_hash) == b"" and files["empty"].decrypted_size == 0
    assert files["gone"].missing and not files["gone"].integrity_hash and files["gone"].decrypted_size == 44
    assert files["grown"].decrypted_size == 5
    assert len(loaded.ledger.warnings) == 2
    back = read(written(loaded)[0])
    for before, after in zip(loaded.items, back.items, strict=True):
        for mine, theirs in zip(find_all(before, model.File), find_all(after, model.File), strict=True):
            assert document(mine.integrity_hash) == document_of(back)(theirs.integrity_hash)


def test_files_nobody_names_come_back_under_their_names() -> None:
    data = SAMPLES["attachments"]()
    old, new = members_of(data), members_of(written(read(data))[0])
    for name in ("files/nobody__named.txt", "files/avatar.png", "readme.txt"):
        assert new[name] == old[name]
    assert old.keys() == new.keys()


def test_every_attachment_and_every_file_nobody_names_is_one_value() -> None:
    data = SAMPLES["attachments"]()
    bare = members_of(data)
    without = {name: content for name, content in bare.items() if not name.startswith(("files/", "readme"))}
    assert read(data).ledger.total - read(onepux.zipped(without)).ledger.total == 11


def test_an_attachment_whose_bytes_are_gone_is_a_loss_and_still_named() -> None:
    loaded = read(SAMPLES["household"]())
    data, losses = laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)
    assert sorted(loss.member for loss in losses) == ["a file that no item names", "attachment", "attachment"]
    assert find(named(read(data), "Papers"), model.File).missing


@pytest.mark.parametrize(
    "name",
    ["..\\..\\C:evil", "../../up", "a/b", "a\0b", "..", "", "a__b__", "CON:", "\u202etxt.exe", "x" * 70_000, "ä" * 300],
)
def test_an_attachment_of_any_name_is_written_where_it_is_safe(name: str) -> None:
    file = model.File(id="x", name=name, decrypted_size=4, integrity_hash="h" * 43)
    item_ = foreign(model.Note(), file)
    data, losses = laws.render(FORMAT, [item_], document=lambda _: b"evil")
    assert losses == []
    loaded = read(data)
    made = find(loaded.items[0], model.File)
    assert (made.name, document_of(loaded)(made.integrity_hash)) == (name or "file", b"evil")
    assert all("/" not in member.partition("/")[2] and member != ".." for member in members_of(data))


def test_two_documents_of_one_id_and_name_are_both_written() -> None:
    def file(hash_: str) -> model.File:
        return model.File(id="same", name="a.txt", decrypted_size=1, integrity_hash=hash_ * 43)

    items = [msgspec.structs.replace(foreign(file(h)), id=h, provenance=model.Provenance(format=FORMAT)) for h in "ab"]
    data, losses = laws.render(FORMAT, items, document=lambda name: name[:1].encode())
    loaded = read(data)
    found = [document_of(loaded)(find(i, model.File).integrity_hash) for i in loaded.items]
    assert (losses, found) == ([], [b"a", b"b"])


# -- laws


_TEXT = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_ADDRESS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("street", "city", "zip", "state"), _TEXT) | {"country": st.sampled_from(["se", "SE", "?"])},
)
_FILE = st.fixed_dictionaries(
    {"fileName": st.sampled_from(["a.txt", "../b", "c__d"]), "documentId": st.sampled_from(["d1", "d2"])},
    optional={"decryptedSize": st.integers(0, 3)},
)
_SSH = st.fixed_dictionaries(
    {},
    optional={
        "privateKey": st.sampled_from(["", PEM]),
        "metadata": st.fixed_dictionaries({}, optional={"privateKey": st.sampled_from([PEM, "x"]), "publicKey": _TEXT}),
    },
)
_VALUE = st.one_of(
    *(st.fixed_dictionaries({kind: _TEXT}) for kind in rules.TEXTS),
    st.fixed_dictionaries({"date": st.sampled_from([0, 43260, 1577880060, 1577880061, -5, 10**15])}),
    st.fixed_dictionaries({"monthYear": st.sampled_from([0, 202907, 1, 101, 209913])}),
    st.fixed_dictionaries(
        {"totp": st.sampled_from(["", onepux.KEY, "JBSW Y3DP", "otpauth://totp/a?secret=JBSWY3DP", "!"])}
    ),
    st.fixed_dictionaries({"address": _ADDRESS}),
    st.fixed_dictionaries({"file": _FILE}),
    st.fixed_dictionaries({"sshKey": _SSH}),
    st.fixed_dictionaries({"reference": st.sampled_from(["", uuid("a"), "elsewhere"])}),
    st.fixed_dictionaries({"email": st.fixed_dictionaries({"email_address": _TEXT}, optional={"provider": _TEXT})}),
    st.just({}),
    st.none(),
)
_IDS = [row.id for rows in op.MEMBERS.values() for row in rows]
_FIELD = st.builds(
    lambda title, own_id, value, shown: field(title, own_id, value, **shown),
    _TEXT | st.sampled_from(list(rules.TITLES.values())),
    st.sampled_from(_IDS) | _TEXT,
    _VALUE,
    st.fixed_dictionaries(
        {},
        optional={
            "guarded": st.booleans(),
            "indexAtSource": st.integers(0, 2000),
            "keyboard": st.sampled_from(["default", "numberPad", "odd"]),
            "clipboardFilter": st.sampled_from([op.DIGITS, "ab", ""]),
        },
    ),
)
_SECTION = st.builds(
    lambda title, name, fields, more: section(title, name, *fields, **more),
    st.sampled_from(["", "Extra", "Identification"]),
    st.sampled_from([None, "", "name", "address", "details", "s"]),
    st.lists(_FIELD, max_size=5),
    st.fixed_dictionaries({}, optional={"hideAddAnotherField": st.booleans()}),
)
_FORM = st.fixed_dictionaries(
    {"value": _TEXT | st.integers(0, 9) | st.fixed_dictionaries({"email_address": _TEXT})},
    optional={
        "id": _TEXT,
        "name": _TEXT | st.sampled_from(["username", "password"]),
        "fieldType": st.sampled_from([*op.FIELD_TYPES, "?"]),
        "designation": st.sampled_from(["username", "password", "", None, "other"]),
    },
)
_PAST = st.fixed_dictionaries({"value": _TEXT, "time": st.integers(0, 10**13)})
_URL = st.fixed_dictionaries(
    {"url": st.sampled_from(["https://a.example", "https://b.example", ""]), "label": _TEXT},
    optional={"mode": st.sampled_from(["default", "never", "odd"])},
)
_ITEM = st.builds(
    lambda category, sections, forms, more, details, overview: {
        **item("a", category, sections=sections, loginFields=forms, details=details, overview=overview),
        **more,
    },
    st.sampled_from([*rules.CATEGORIES, "777"]),
    st.lists(_SECTION, max_size=3),
    st.lists(_FORM, max_size=3),
    st.fixed_dictionaries(
        {
            "state": st.sampled_from(["active", "archived", "trashed", "else"]),
            "uuid": st.sampled_from([uuid("a"), "b", ""]),
        },
        optional={
            "favIndex": st.integers(-1, 3),
            "createdAt": st.sampled_from([0, 1, 1705341845, 1705341845123, -1, "soon"]),
            "trashed": st.booleans(),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "password": _TEXT,
            "documentAttributes": _FILE,
            "passwordHistory": st.lists(
                st.fixed_dictionaries({"value": _TEXT, "time": st.integers(0, 10**13)}), max_size=2
            ),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "url": st.sampled_from(["", "https://a.example", "https://b.example"]),
            "urls": st.lists(
                st.fixed_dictionaries(
                    {"url": st.sampled_from(["https://a.example", "https://b.example", ""]), "label": _TEXT}
                ),
                max_size=2,
            ),
            "ps": st.integers(0, 101),
            "pbe": st.sampled_from([0, 0.0, 127.500786, 45, -1, True, "high", None]),
            "pgrng": st.booleans(),
            "tags": st.lists(_TEXT, max_size=2),
        },
    ),
)
MEMBERS = {"files/d1__a.txt": b"one", "files/d2__c__d": b"", "files/nobody": b"!"}


@pytest.mark.parametrize("ratings", [{"ps": 60, "pbe": 0.0, "pgrng": False}, {"ps": 0, "pbe": 127.5}])
def test_what_the_product_reckons_of_a_password_is_no_field_and_goes_back(ratings: dict[str, Any]) -> None:
    loaded = laws.load(None, export(account(vault("Private", item("Post", overview=ratings)))))
    assert extra_fields(loaded.items[0]) == ()
    (back,) = records_of(written(loaded)[0])
    assert ratings.items() <= back["overview"].items()


def nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every object below and including the tree."""
    if isinstance(tree, dict):
        yield tree
        for below in list(tree.values()):
            yield from nodes(below)
    elif isinstance(tree, list):
        for below in tree:
            yield from nodes(below)


@st.composite
def exports(draw: st.DrawFn, *, wrong: bool) -> str:
    """Return ``export.data`` with unknown keys anywhere; with ``wrong`` also values of other types than theirs."""
    items: list[Any] = copy.deepcopy(draw(st.lists(_ITEM, min_size=1, max_size=2)))
    if draw(st.booleans()):
        items[0] = {"item": items[0]}
    tree = {"accounts": [account(vault("Private", *items))]}
    everywhere = list(nodes(tree))
    for _ in range(draw(st.integers(0, 5))):
        draw(st.sampled_from(everywhere))[f"new {draw(_TEXT)}"] = draw(_JSON)
    inside = [node for one in items for node in nodes(one) if node]
    for _ in range(draw(st.integers(1, 3)) if wrong else 0):
        target = draw(st.sampled_from(inside))
        if target:
            target[draw(st.sampled_from(sorted(target)))] = draw(_JSON)
    return json.dumps(tree)


def holds(tree: str) -> laws.Loaded:
    """Check what is true of every file; return it read."""
    data = onepux.zipped({"export.attributes": json.dumps(onepux.ATTRIBUTES), "export.data": tree, **MEMBERS})
    loaded = read(data)
    assert loaded.ledger.values()["arrived"] >= 0
    back, losses = laws.again(FORMAT, loaded, name="export.1pux")
    assert losses == []
    if not loaded.ledger.quarantine:
        assert laws.canon(back) == laws.canon(loaded)
    converting.read(catalog.open_source(Path("x.1pux"), format=FORMAT, data=data))  # raises where the proof fails
    return loaded


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(exports(wrong=False))
def test_any_file_is_proven_and_reads_as_before_when_written_again(tree: str) -> None:
    loaded = holds(tree)
    assert not loaded.ledger.quarantine
    fresh = written(loaded)[0]
    again = written(read(fresh))[0]
    assert read_json(members_of(again)["export.data"]) == read_json(members_of(fresh)["export.data"])


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(exports(wrong=True))
def test_values_of_wrong_types_are_kept_or_set_aside(tree: str) -> None:
    try:
        holds(tree)
    except DamagedExport as error:
        assert error.__cause__ is None


@given(
    st.lists(st.lists(st.integers(0, 3) | st.booleans(), max_size=4), min_size=1, max_size=4),
    st.lists(st.sampled_from([None, "a", "b"]), min_size=4, max_size=4),
)
def test_things_go_back_to_where_they_stood(rows: list[list[Any]], names: list[str | None]) -> None:
    """Booleans stand for things that are put first or last, numbers for fields."""
    actual = [
        [op.Thing(None, n, "a" if entry else None, entry) if isinstance(entry, bool) else [entry] for entry in row]
        for n, row in enumerate(rows)
    ]
    blank = [not any(isinstance(entry, list) for entry in row) for row in actual]
    things = [entry for row in actual for entry in row if isinstance(entry, op.Thing)]
    kept = op.with_places(names[: len(actual)], actual, things, blank)
    own = [[entry for entry in actual[n] if not isinstance(entry, op.Thing)] for n in kept]
    made = op.arrange([names[n] for n in kept], own, things)
    said = [n for n, row in enumerate(actual) if row or not blank[n]]
    full = [row for row in made if row.fields or (row.origin is not None and not blank[kept[row.origin]])]
    assert [list(map(id, row.fields)) for row in full] == [list(map(id, actual[n])) for n in said]
    assert [row.name for row in full] == [names[n] for n in said]


def test_edits_an_addition_and_a_deletion_come_back_as_made() -> None:
    from vault.fields import set_values

    loaded = read(SAMPLES["household"]())
    changed = []
    for item_ in loaded.items:
        if item_.title == "My bank":
            item_ = set_values(item_, "password", ["new"], NOW)
            item_ = set_values(item_, "notes", ["other"], NOW)
            item_ = set_values(item_, "Branch", ["Hill"], NOW)
            item_ = set_values(item_, "title", ["Our bank"], NOW)
            item_ = set_values(item_, "url", ["https://new.example.test"], NOW)
        if item_.title == "Visa of Ada":
            item_ = set_values(item_, "expiry", ["2031-02"], NOW)
        if item_.title == "Ada":
            item_ = set_values(item_, "first_name", ["Adele"], NOW)
        if item_.title == "Mail":
            item_ = msgspec.structs.replace(item_, favorite=False, archived=True, tags=("Only",))
        if item_.title != "Router":
            changed.append(item_)
    added = foreign(model.BasicAuth(username=Field(value="u"), password=concealed("p")), title="Added")
    back = read(written(loaded, [*changed, added])[0])
    # items go back by vault, the added one into the first
    again = {i.title: canonical(i) for i in back.items}
    assert {title: text for title, text in again.items() if title != "Added"} == {
        i.title: canonical(i) for i in changed
    }
    assert find(named(back, "Added"), model.BasicAuth).password.text == "p"


def test_a_number_that_became_a_text_is_written_as_one() -> None:
    from vault.fields import set_values

    loaded = read(
        export(account(vault("v", item("x", "003", sections=[section("", "s", field("f", "f", {"string": 42}))]))))
    )
    for text, back in (("007", "007"), ("43", 43), ("4 3", "4 3"), ("", "")):
        data, losses = written(loaded, [set_values(loaded.items[0], "f", [text], NOW)])
        assert (next(fields_of(records_of(data)[0]))["value"], losses) == ({"string": back}, [])


def test_a_former_pin_of_our_own_edit_is_kept_as_a_hidden_field() -> None:
    from vault.fields import set_values

    loaded = read(SAMPLES["household"]())
    data, losses = written(loaded, [set_values(named(loaded, "My bank"), "PIN", ["1111"], NOW)])
    (record,) = records_of(data)
    former = next(one for one in fields_of(record) if one["title"].startswith("former"))
    assert (former["value"], losses) == ({"concealed": "0042"}, [])
    assert [one["value"] for one in record["details"]["passwordHistory"]] == ["old-kronor-26"]


@pytest.mark.parametrize(
    ("template", "credential", "category"),
    [
        ("Server", model.BasicAuth(username=Field(value="u")), "110"),
        ("Credit Card", model.BasicAuth(username=Field(value="u")), "001"),
        ("Passport", model.CreditCard(), "002"),
        ("Membership", model.Note(content=Secret("x")), "105"),
    ],
)
def test_a_category_is_only_taken_where_it_can_hold_the_item(template: str, credential: Any, category: str) -> None:
    records, _ = rendered(foreign(credential, template=template))
    assert records[0]["categoryUuid"] == category


def test_a_value_set_where_a_strange_one_stood_replaces_it_with_a_word() -> None:
    made = item("x", sections=[section("s", "s", field("f", "f", {"string": {"odd": 1}}))])
    loaded = read(export(account(vault("v", made))))
    section_ = next(find_all(loaded.items[0], CustomFields))
    edited = msgspec.structs.replace(section_.fields[0], value="set since")
    credentials = tuple(
        msgspec.structs.replace(c, fields=(edited,)) if c is section_ else c for c in loaded.items[0].credentials
    )
    data, losses = written(loaded, [msgspec.structs.replace(loaded.items[0], credentials=credentials)])
    assert next(fields_of(records_of(data)[0]))["value"] == {"string": "set since"}
    assert [loss.member for loss in losses] == ["a value that was not understood, and was replaced"]


# -- damage


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_file_cut_off_anywhere_is_damage(tenth: int) -> None:
    data = SAMPLES["household"]()
    with pytest.raises(FormatError):
        catalog.open_source(Path("x.1pux"), data=data[: len(data) * tenth // 10])


@pytest.mark.parametrize("tenth", range(10))
def test_data_cut_off_anywhere_inside_the_container_is_damage(tenth: int) -> None:
    inner = members_of(SAMPLES["household"]())["export.data"]
    with pytest.raises(DamagedExport):
        read(onepux.zipped({"export.data": inner[: len(inner) * tenth // 10]}))


def test_rotten_records_cost_only_themselves() -> None:
    loaded = read(SAMPLES["rotten_records"]())
    assert [i.title for i in loaded.items] == ["Good"]
    assert [q.reason for q in loaded.ledger.quarantine] == [
        "the record is no object",
        "the record has the same key twice",
        "the record is no object",
    ]


@pytest.mark.parametrize("attributes", ["", "[1]", "{", '{"a": 1, "a": 2}', "\udc80"])
def test_attributes_that_are_no_object_are_kept_as_a_file(attributes: str) -> None:
    raw = attributes.encode("utf-8", "surrogateescape")
    loaded = read(onepux.zipped({"export.attributes": raw, "export.data": '{"accounts": [{"vaults": []}]}'}))
    assert len(loaded.ledger.warnings) == 1
    assert members_of(written(loaded)[0])["export.attributes"] == raw


# -- items of other products


def test_everything_the_import_asks_for_is_written() -> None:
    """Dossier: 1Password, "Exporting to 1PUX"."""
    loaded = laws.load(None, household.as_bytes(household.household()), name="bitwarden.json")
    data, _ = laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)
    attributes = read_json(members_of(data)["export.attributes"])
    assert (attributes["version"], attributes["createdAt"]) == (3, attributes["timestamp"])
    ids = set()
    for record in records_of(data):
        assert record["createdAt"] > 0 and record["updatedAt"] > 0
        assert record["state"] in ("active", "archived", "trashed") and record["favIndex"] in (0, 1)
        assert len(record["uuid"]) == 26 and record["uuid"].isalnum() and record["uuid"] not in ids
        ids.add(record["uuid"])
        assert {"loginFields", "notesPlain", "sections", "passwordHistory"} <= record["details"].keys()
        assert {"title", "subtitle", "url", "urls", "tags"} <= record["overview"].keys()
        assert len({f["id"] for f in fields_of(record)}) == len(list(fields_of(record)))
        for each in fields_of(record):
            assert {"guarded", "multiline", "dontGenerate"} <= each.keys() and each["id"]
            assert each["inputTraits"].keys() == onepux.PLAIN.keys()
            assert len(each["value"]) == 1


def test_a_vault_of_bitwarden_loses_nothing_but_what_is_named() -> None:
    loaded = laws.load(None, household.as_bytes(household.household()), name="bitwarden.json")
    data, losses = laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)
    check_written(data, catalog.adapter(FORMAT), loaded.items, losses)
    assert {(loss.title, loss.member) for loss in losses} == {
        ("Deep", "empty folder"),
        ("My bank", "what a linked field points to"),
    }
    back = {i.title: i for i in read(data).items}
    assert back.keys() == {i.title for i in loaded.items}
    categories = {i.template for i in back.values()}
    assert categories == {"Login", "Credit Card", "Secure Note", "Identity", "SSH Key"}
    for mine in loaded.items:
        theirs = back[mine.title]
        assert state_of(mine) == state_of(theirs) and mine.favorite == theirs.favorite
        codes = [*find_all(mine, model.Totp)], [*find_all(theirs, model.Totp)]
        assert all(otp.same_codes(a, b) for a, b in zip(*codes, strict=True))
        assert [u.url for u in mine.urls] == [u.url for u in theirs.urls]
    assert back["My bank"].tags == ("Bank",) and back["Mail"].tags == ("Home/Mail",)
    assert [p.value.reveal() for p in back["My bank"].history] == ["old-kronor-26"]
    assert find(back["Visa of Ada"], model.CreditCard).expiry_date.text == "2029-07"
    assert find(back["Ada"], model.Address).country.text == "SE"
    assert find(back["Ada"], model.Address).tel.text == "+46 40 555 01 23"


def test_a_vault_of_ours_stays_one_and_a_folder_becomes_a_tag() -> None:
    shelf = model.Collection(id="v", title="Shelf", kind="vault")
    folders = (model.Collection(id="f", title="Home", kind="folder"), model.Collection(id="g", title="Net", parent="f"))
    items = [foreign(model.Note(content=Secret("x")), collections=("g", "v"), tags=("old",))]
    data, losses = laws.render(FORMAT, items, (shelf, *folders))
    back = read(data)
    assert losses == []
    assert [c.title for c in back.collections] == ["Shelf"]
    assert back.items[0].tags == ("old", "Home/Net")


@pytest.mark.parametrize(
    ("credentials", "category"),
    [
        ((model.BasicAuth(),), "001"),
        ((model.Passkey(rp_id="a"),), "001"),
        ((model.Totp(secret=Secret("JBSWY3DP")),), "001"),
        ((model.CreditCard(),), "002"),
        ((model.Note(),), "003"),
        ((CustomFields(),), "003"),
        ((model.PersonName(),), "004"),
        ((model.GeneratedPassword(),), "005"),
        ((model.File(id="a", name="a"),), "006"),
        ((model.DriversLicense(),), "103"),
        ((model.Passport(),), "106"),
        ((model.IdentityDocument(),), "108"),
        ((model.Wifi(),), "109"),
        ((model.ApiKey(),), "112"),
        ((model.SshKey(),), "114"),
    ],
)
def test_the_category_follows_from_what_an_item_holds(credentials: tuple[Any, ...], category: str) -> None:
    records, _ = rendered(foreign(*credentials))
    assert records[0]["categoryUuid"] == category


def test_the_category_of_the_same_name_is_taken() -> None:
    fields = CustomFields(label="Bank account", fields=(Field(label="iban", value="SE1"),))
    records, losses = rendered(foreign(fields, template="Bank Account"))
    assert (records[0]["categoryUuid"], losses) == ("101", [])


def test_what_has_no_place_becomes_a_field_of_a_section_of_its_own() -> None:
    item_ = foreign(
        model.CreditCard(
            number=concealed("4111"),
            card_type=Field(value="Own brand"),
            expiry_date=Field(value="soon"),
            extra={"colour": "blue"},
        ),
        model.Passport(national_identification_number=Field(value="42")),
        model.UnknownCredential(raw={"type": "new", "secret": "s3"}),
        expires_at="2027-01-01T00:00:00Z",
        template="My own",
        trashed=True,
        trashed_at="2026-01-01T00:00:00Z",
        history=(model.Past(value=Secret("was"), field="PIN", at="2025-01-01T00:00:00Z"),),
        urls=(model.Url(url="https://a.example", match="exact"),),
    )
    records, losses = rendered(item_)
    other = next(s for s in records[0]["details"]["sections"] if s["title"] == "Other")
    found = {f["title"]: next(iter(f["value"].values())) for f in other["fields"]}
    assert found == {
        "https://a.example: match": "exact",
        "former PIN (2025-01-01T00:00:00Z)": "was",
        "expires at": "2027-01-01T00:00:00Z",
        "template": "My own",
        "trashed at": "2026-01-01T00:00:00Z",
        "credit-card.colour": "blue",
        "credit card card type": "Own brand",
        "credit card expiry date": "soon",
        "passport national identification number": "42",
        "credential of an unknown type": '{"type":"new","secret":"s3"}',
    }
    assert losses == []
    assert records[0]["state"] == "trashed"


def test_codes_the_product_does_not_know_become_hidden_fields() -> None:
    totp = model.Totp(kind="hotp", secret=Secret("JBSWY3DP"), counter=7)
    records, losses = rendered(foreign(model.BasicAuth(), totp))
    (made,) = fields_of(records[0])
    assert losses == [] and otp.same_codes(otp.parse(made["value"]["concealed"]), totp)


def test_kinds_of_fields_are_written_as_the_product_has_them() -> None:
    fields = (
        Field(label="d", value="2021-05-24", field_type="date"),
        Field(label="bad", value="2021-13-24", field_type="date"),
        Field(label="m", value="2021-05", field_type="year-month"),
        Field(label="e", value="a@b", field_type="email"),
        Field(label="p", value="1", original="phone"),
        Field(label="b", value="true", field_type="boolean"),
        Field(label="l", value="one\ntwo"),
        concealed("s", label="s", original="url"),
    )
    records, losses = rendered(foreign(CustomFields(label="All", fields=fields)))
    made = {f["title"]: f for f in fields_of(records[0])}
    assert {title: f["value"] for title, f in made.items()} == {
        "d": {"date": 1621857660},
        "bad": {"string": "2021-13-24"},
        "m": {"monthYear": 202105},
        "e": {"email": {"email_address": "a@b", "provider": None}},
        "p": {"phone": "1"},
        "b": {"string": "true"},
        "l": {"string": "one\ntwo"},
        "s": {"concealed": "s"},
    }
    assert [f["multiline"] for f in made.values()] == [False] * 6 + [True, False]
    assert losses == []


def test_links_between_items_are_written_with_the_ids_the_items_have() -> None:
    target = foreign(model.Note(content=Secret("x")), title="Target")
    pointing = msgspec.structs.replace(foreign(model.ItemReference(reference=target.id, label="see")), id="cG9pbnQ")
    records, losses = rendered(target, pointing)
    assert next(fields_of(records[1]))["value"] == {"reference": records[0]["uuid"]}
    assert losses == []


@pytest.mark.parametrize(
    "data", ['{"accounts": []}', '{"accounts": [], "new": 1}', '{"accounts": [{}]}', "[]", "{}", "null"]
)
def test_a_file_without_vaults_is_read_or_refused(data: str) -> None:
    file = onepux.zipped({"export.attributes": json.dumps(onepux.ATTRIBUTES), "export.data": data})
    if not data.startswith('{"a'):
        with pytest.raises(DamagedExport):
            read(file)
        return
    back, losses = laws.again(FORMAT, read(file))
    assert (laws.canon(back), losses) == (laws.canon(read(file)), [])


def test_the_same_vault_gives_the_same_bytes() -> None:
    loaded = laws.load(None, household.as_bytes(household.household()), name="bitwarden.json")
    first, second = (laws.render(FORMAT, loaded.items, loaded.collections, loaded.extras)[0] for _ in "ab")
    assert first == second
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_an_empty_vault_is_a_file_that_can_be_read() -> None:
    data, losses = laws.render(FORMAT, [])
    assert (read(data).items, losses) == ((), [])


def test_a_stream_that_cannot_be_wound_back_will_do() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.got = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.got += bytes(data)
            return len(data)

    pipe = Pipe()
    loaded = read(SAMPLES["household"]())
    out = Outgoing(FORMAT, loaded.collections, iter(loaded.items), loaded.extras, document_of(loaded))
    catalog.adapter(FORMAT).render(out, pipe)  # type: ignore[misc, arg-type]
    assert laws.canon(read(pipe.got)) == laws.canon(loaded)


@pytest.mark.parametrize("name", [name for name in GOOD if name != "rotten_records"])
def test_a_detour_by_cxf_changes_nothing(name: str) -> None:
    """Files that no item names stay behind, and that is declared."""
    loaded = read(SAMPLES[name]())
    between, lost = laws.render(
        "cxf", loaded.items, loaded.collections, loaded.extras, document=document_of(loaded), options={"zip": True}
    )
    assert lost == []
    source = catalog.open_source(Path("vault.zip"), data=between, key=laws.KEY)
    parsed = catalog.parse(source)
    items = tuple(one for _, one in items_of(source, parsed) if one is not None)

    def document(name: str) -> bytes | None:
        return source.archive.read(source.documents[name]) if name in source.documents else None

    data, losses = laws.render(FORMAT, items, source.folders.all(), parsed.others, document=document)
    if losses:
        assert {loss.member for loss in losses} == {"a file that no item names"}
        for about in loaded.extras[FORMAT].values():
            about.pop("members", None)
    assert laws.canon(read(data)) == laws.canon(loaded)


# -- rules


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, ()), ("0", ()), (1, ("1970-01-01T00:00:01Z",)), (True, None), ("soon", None), (-1, None), (1.5, None)],
)
def test_time_in_seconds(value: Any, expected: Any) -> None:
    assert rules.time_in_seconds(value, {}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (43260, ("1970-01-01",)),
        (-1, ("1969-12-31",)),
        (-62135596800, ("0001-01-01",)),
        (-62135596801, None),
        (253402300799, ("9999-12-31",)),
        (253402300800, None),
        ("43260", None),
        (True, None),
    ],
)
def test_calendar_day(value: Any, expected: Any) -> None:
    assert rules.calendar_day(value, {}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(202907, ("2029-07",)), (0, ()), (101, ("0001-01",)), (1, None), (202900, None), (202913, None), (1000001, None)],
)
def test_month_of_year(value: Any, expected: Any) -> None:
    assert rules.month_of_year(value, {}) == expected


def test_structure_in_extra_survives_and_foreign_text_is_not_taken_for_it() -> None:
    extra = op.keep({"a": 1}, {"guarded": True})
    assert op.kept(extra) == {"guarded": True} and op.raw(extra) == {"a": 1}
    for other in ({op.KEPT: "x"}, {op.KEPT: {"{": None}}, {op.KEPT: {"[1]": None}}, {op.KEPT: {"{}": 1}}, {}):
        assert op.kept(copy.deepcopy(other)) == {}
    with pytest.raises(ValueError, match="taken"):
        op.keep({op.KEPT: 1}, {"guarded": True})
