"""CXF of any product in, our two profiles out: every value proven, nothing of ours in the strict one."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from migrate import catalog, converting, moving
from migrate.written import check_written
from tests.migrate import laws
from tests.vault.strategies import json_values, vaults
from vault import canonical, cxf, otp
from vault.errors import KeyferryError
from vault.model import (
    BasicAuth,
    Collection,
    CreditCard,
    CustomFields,
    Field,
    File,
    Item,
    ItemReference,
    Note,
    Passkey,
    Past,
    Provenance,
    SshKey,
    Totp,
    UnknownCredential,
    Url,
    Vault,
    concealed,
    find,
    find_all,
)
from vault.secret import Secret
from vault.store import Store

SAMPLES = Path(__file__).parents[2] / "samples"
NOW = "2026-11-20T10:00:00Z"
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
OPTIONS = {"now": NOW}
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

Data = dict[str, Any]


def sample(name: str) -> Data:
    tree: Data = json.loads((SAMPLES / "cxf" / name).read_text(encoding="utf-8"))
    return tree


def as_file(tree: Any) -> bytes:
    return canonical.encode(tree)


def proven(data: bytes, name: str = "x.json", format: str | None = None) -> converting.Read:
    """Read a file; raises where a value of it is not in what was read."""
    return converting.read(catalog.open_source(Path(name), data=data, format=format, key=laws.KEY))


def by_title(items: Any) -> dict[str, Item]:
    return {item.title: item for item in items}


# -- reading


@pytest.fixture(scope="module")
def of_1password() -> dict[str, Item]:
    return by_title(laws.load(None, (SAMPLES / "cxf" / "shape_of_1password.json").read_bytes()).items)


def test_a_login_of_1password_arrives(of_1password: dict[str, Item]) -> None:
    bank = of_1password["My bank"]
    assert bank.urls == (Url(url="https://bank.example/login"),)
    assert bank.tags == ("money",)
    assert (bank.creation_at, bank.modified_at) == ("2024-01-15T18:04:05Z", "2025-06-02T08:30:00Z")
    auth, code, note, section, link = bank.credentials
    assert auth == BasicAuth(username=Field(id="", value="ada@example.org"), password=concealed('kr,on"or\\27'))
    assert code == Totp(secret=Secret(SEED), username="ada@example.org")
    assert note == Note(content=Secret("Call first:\n0800 12 12"))
    assert [(f.label, f.text, f.is_concealed) for f in section.fields] == [
        ("PIN", "0042", True),
        ("opened", "631195260", False),
    ]
    assert section.label == "At the branch"
    assert link == ItemReference(reference=of_1password["Router"].id)


def test_a_card_of_1password_arrives(of_1password: dict[str, Item]) -> None:
    assert of_1password["Visa of Ada"].credentials == (
        CreditCard(
            number=concealed("4111111111111111"),
            full_name=Field(value="Ada Lindqvist-Okoye"),
            card_type=Field(value="visa"),
            verification_number=concealed("737"),
            expiry_date=Field(value="2031-05", field_type="year-month"),
        ),
    )


def test_a_link_to_an_item_that_is_not_in_the_file_keeps_its_id(of_1password: dict[str, Item]) -> None:
    (link,) = find_all(of_1password["Bonus card"], ItemReference)
    assert urlsafe_b64decode(link.reference + "==").startswith(b"vault")


def test_dates_31_years_ahead_are_set_right_with_a_word() -> None:
    ledger = laws.load(None, (SAMPLES / "cxf" / "shape_of_dashlane.json").read_bytes()).ledger
    assert ledger.warnings == [
        "dates that lay 31 years ahead, because their writer counted from the year 2001 twice: 6; they were set right"
    ]
    assert ledger.changed_lines["apple_epoch_twice"] == ledger.changed == 6


def test_times_in_milliseconds_are_times_and_not_31_years_ahead() -> None:
    item = {"id": "YQ", "title": "x", "credentials": [], "creationAt": 1700000000000, "modifiedAt": "1700000000123"}
    loaded = laws.load(None, one_account(item))
    assert (loaded.items[0].creation_at, loaded.items[0].modified_at) == (
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20.123Z",
    )
    assert loaded.ledger.changed_lines == {"item_created_seconds": 1, "item_modified_seconds": 1}
    assert loaded.ledger.warnings == []


@pytest.mark.parametrize("name", [{"a": 1}, ["b"], 5, None])
def test_an_extension_whose_name_is_no_text_goes_back_as_it_came(name: Any) -> None:
    said = [{"name": name, "more": "x"}]
    loaded = laws.load(None, one_account({"id": "YQ", "title": "x", "credentials": [], "extensions": said}))
    data, losses = laws.render("cxf", loaded.items, loaded.collections, loaded.extras)
    written = json.loads(data)["accounts"][0]["items"][0]["extensions"]
    assert losses == [] and said[0] in written


@pytest.mark.parametrize(("major", "warnings"), [(1, 0), (2, 1)])
def test_a_file_of_a_later_version_is_read_with_a_word(major: int, warnings: int) -> None:
    item = {"id": "YQ", "title": "x", "credentials": []}
    loaded = laws.load(None, one_account(item, version={"major": major, "minor": 0}))
    assert [item.title for item in loaded.items] == ["x"]
    assert len(loaded.ledger.warnings) == warnings


def one_account(*items: dict[str, Any], **header: Any) -> bytes:
    account = {"id": "QQ", "username": "", "email": "", "collections": [], "items": items}
    return json.dumps({"exporterRpId": "a.example.test", "accounts": [account], **header}).encode()


def test_an_item_in_two_folders_is_in_both() -> None:
    loaded = laws.load(None, (SAMPLES / "cxf" / "household.json").read_bytes())
    titles = {c.id: c.title for c in loaded.collections}
    assert [titles[c] for c in by_title(loaded.items)["My bank"].collections] == ["Bank", "Money"]
    assert {c.title: c.parent and titles[c.parent] for c in loaded.collections} == {
        "Bank": None,
        "Home": None,
        "Money": None,
        "Mail": "Home",
        "Empty": "Home",
    }


def test_each_account_of_several_becomes_a_collection() -> None:
    loaded = laws.load(None, (SAMPLES / "cxf" / "list_of_accounts.json").read_bytes())
    paths = {c.id: (c.kind, c.title) for c in loaded.collections}
    assert ("account", "Account 2 (tom@example.org)") in paths.values()
    loose = by_title(loaded.items)["Loose of Tom"]
    assert [paths[c] for c in loose.collections] == [("account", "Account 2 (tom@example.org)")]


@pytest.mark.parametrize(
    ("tree", "format"),
    [
        (sample("household.json"), "cxf"),
        (sample("household.json")["accounts"][0], "cxf"),
        (sample("household.json")["accounts"], "cxf"),
        (sample("empty.json"), "cxf"),
        (sample("old_draft.json"), "cxf"),
    ],
)
def test_every_form_of_a_file_is_recognised(tree: Any, format: str) -> None:
    source = catalog.open_source(Path("x.json"), data=as_file(tree))
    assert source.format == format


@pytest.mark.parametrize("tree", [[], [{"a": 1}], {"accounts": []}, {"items": [{"credentials": []}]}, {}])
def test_a_file_that_says_too_little_is_not_taken_for_cxf(tree: Any) -> None:
    with pytest.raises(KeyferryError):
        catalog.open_source(Path("x.json"), data=as_file(tree))


@pytest.mark.parametrize("form", ["header", "account", "list"])
def test_big_files_are_cut_whatever_their_form(form: str) -> None:
    """Every record is handed out by itself, with the place it stands at."""
    tree: Any = sample("household.json")
    forms = {"header": (tree, "accounts/0/items/3"), "account": (tree["accounts"][0], "items/3")}
    forms["list"] = (tree["accounts"], "0/items/3")
    source = catalog.open_source(Path("x.json"), data=as_file(forms[form][0]))
    frame, records = source.json()
    assert [record.place for record in records][3] == forms[form][1]
    assert b"Visa of Ada" not in canonical.encode(frame)


def test_a_rotten_item_costs_only_itself() -> None:
    loaded = laws.load(None, (SAMPLES / "cxf" / "rotten_items.json").read_bytes())
    assert len(loaded.items) == 2
    assert [(q.place, q.reason) for q in loaded.ledger.quarantine] == [
        ("accounts/0/items/0", "the record is no object"),
        ("accounts/0/items/2", "the record has the same key twice"),
    ]


# -- the laws


SOUND = [
    path
    for path in sorted((SAMPLES / "cxf").glob("*.json"))
    if ".expected" not in path.name and path.stem not in ("truncated", "rotten_items")
]


@pytest.mark.parametrize("path", SOUND, ids=lambda path: path.stem)
def test_every_value_of_a_sample_is_proven(path: Path) -> None:
    proven(path.read_bytes())


@pytest.mark.parametrize("path", sorted((SAMPLES / "cxf").glob("*.zip")), ids=lambda path: path.stem)
def test_every_value_and_file_of_a_container_is_proven(path: Path) -> None:
    proven(path.read_bytes(), path.name)


@slow
@given(vaults())
def test_every_value_of_our_own_files_is_proven(vault: Vault) -> None:
    data, losses = laws.render("cxf", vault.items, vault.collections, vault.extras)
    assert not any("bytes" not in loss.member for loss in losses)
    got = proven(data)
    assert not got.source.ledger.quarantine
    assert [item.id for item in got.items] == [item.id for item in vault.items]


def objects(node: Any) -> Iterator[Data]:
    """Yield every object below a node."""
    if isinstance(node, dict):
        yield node
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from objects(below)


TREES = [json.loads(path.read_bytes()) for path in SOUND]


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """Make a sample with keys nobody knows at some places, and anything in place of the values at others."""
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    places = list(objects(tree))
    for place in draw(st.lists(st.sampled_from(places), min_size=1, max_size=6)):
        place["later " + draw(st.text(max_size=3))] = draw(json_values)
    is_ours = isinstance(tree, dict) and tree.get("exporterRpId") == cxf.EXPORTER["exporterRpId"]
    for place in [] if is_ours else draw(st.lists(st.sampled_from(places), max_size=3)):  # our own must be sound
        key = draw(st.sampled_from(sorted(place)))
        if key not in ("accounts", "items", "exporterRpId", "exporter", "name"):
            place[key] = draw(json_values)
    return tree


@settings(slow, max_examples=200)
@given(spoiled())
def test_whatever_stands_in_a_file_is_proven_and_comes_back(tree: Any) -> None:
    """Unknown keys at every level and values of any type: nothing is lost, neither on the way in nor on the way out."""
    data = as_file(tree)
    got = proven(data, format="cxf")
    loaded = laws.load("cxf", data)
    back, losses = laws.again("cxf", loaded)
    assert losses == []
    if not got.source.ledger.quarantine:
        assert laws.canon(back) == laws.canon(loaded)


def test_a_bitwarden_vault_comes_back_from_cxf_as_it_was() -> None:
    before = laws.load("bitwarden_json", (SAMPLES / "bitwarden_json" / "household.json").read_bytes())
    assert laws.canon(over_cxf("bitwarden_json", before)) == laws.canon(before)


@pytest.mark.parametrize("case", ["household", "every_category", "unknown_keys", "two_accounts", "attachments"])
def test_a_1password_vault_comes_back_from_cxf_as_it_was(case: str) -> None:
    before = laws.load("onepassword_1pux", (SAMPLES / "onepassword_1pux" / f"{case}.1pux").read_bytes())
    assert laws.canon(over_cxf("onepassword_1pux", before)) == laws.canon(before)


def over_cxf(format: str, before: laws.Loaded) -> laws.Loaded:
    """Write what was read as a CXF container, read that, write it in its own format again, and read that."""
    data, losses = laws.render(
        "cxf", before.items, before.collections, before.extras, document=documents(before), options={"zip": True}
    )
    assert losses == []
    between = laws.load(None, data, name="x.zip")
    assert not between.ledger.quarantine
    data, losses = laws.render(format, between.items, between.collections, between.extras, document=documents(between))
    assert losses == []
    return laws.load(format, data)


def documents(loaded: laws.Loaded) -> Any:
    def document(name: str) -> bytes | None:
        member = loaded.source.documents.get(name)
        return loaded.source.archive.read(member) if member else None

    return document


def test_unknown_keys_of_bitwarden_survive_the_way_over_cxf() -> None:
    tree = json.loads((SAMPLES / "bitwarden_json" / "household.json").read_text(encoding="utf-8"))
    for number, place in enumerate(list(objects(tree))):
        place["later"] = {"n": number, "deep": [None, "x"]}
    before = laws.load("bitwarden_json", as_file(tree))
    assert laws.canon(over_cxf("bitwarden_json", before)) == laws.canon(before)


def test_codes_stay_the_same_over_cxf() -> None:
    loaded = laws.load("cxf", (SAMPLES / "cxf" / "keyferry.json").read_bytes())
    for format in ("cxf", "cxf_strict"):
        back = laws.load("cxf", laws.render(format, loaded.items)[0])
        for before, after in zip(loaded.items, back.items, strict=True):
            codes = [*find_all(after, Totp), *codes_in_fields(after)]
            for code in find_all(before, Totp):
                assert any(otp.same_codes(code, one) for one in codes)


def codes_in_fields(item: Item) -> list[Totp]:
    fields = (field for section in find_all(item, CustomFields) for field in section.fields)
    return [otp.parse(f.text) for f in fields if f.text.startswith(("otpauth:", "steam:", "motp:"))]


# -- into a vault


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "vault.db", bytes(32), "v") as store:
        yield store


def move(store: Store, data: bytes, run: str) -> moving.Outcome:
    source = catalog.open_source(Path("x.json"), data=data)
    return moving.migrate(store, source, run=run, now=NOW)


def test_the_same_file_twice_changes_nothing(store: Store) -> None:
    for path in SOUND:
        move(store, path.read_bytes(), f"{path.stem} 1")
        before = canonical.digest(store.vault())
        outcome = move(store, path.read_bytes(), f"{path.stem} 2")
        assert set(outcome.items) <= {"same"}, path.stem
        assert canonical.digest(store.vault()) == before, path.stem


def test_our_own_file_never_writes_over_what_was_edited_since(store: Store) -> None:
    """Ids of our own files stay, so an older copy has ids the vault still uses."""
    login = Item(
        id="bG9naW4", title="Bank", credentials=(BasicAuth(password=concealed("old")),), collections=("Zm9sZGVy",)
    )
    folder = Collection(id="Zm9sZGVy", title="Before", icon="star", creation_at="2024-01-15T18:04:05Z")
    data, _ = laws.render("cxf", [login], [folder], options=OPTIONS)
    newer = Item(
        id="bG9naW4", title="Bank", credentials=(BasicAuth(password=concealed("new")),), collections=("Zm9sZGVy",)
    )
    store.put_collection(Collection(id="Zm9sZGVy", title="After"))
    store.put(newer, now=NOW)
    outcome = move(store, data, "r")
    assert outcome.items == {"conflict": 1}
    assert store.item("bG9naW4") == newer
    assert {c.title for c in store.collections()} == {"Before", "After"}
    assert len({c.id for c in store.collections()}) == store.count() == 2


def test_a_folder_whose_dates_changed_in_the_product_is_still_the_same(store: Store) -> None:
    tree = sample("household.json")
    move(store, as_file(tree), "1")
    folders = len(store.collections())
    tree["accounts"][0]["collections"][0]["modifiedAt"] += 1000
    move(store, as_file(tree), "2")
    assert len(store.collections()) == folders


# -- attachments

DEED = b"deed\n"


def papers() -> Item:
    file = File(id="Zg", name="deed.txt", decrypted_size=5, integrity_hash=catalog_hash(DEED))
    return Item(id="cA", title="Papers", credentials=(file,))


def catalog_hash(data: bytes) -> str:
    from migrate.formats._cxf import hash_of

    return hash_of(data)


@pytest.mark.parametrize("format", ["cxf", "cxf_strict"])
def test_a_container_holds_the_files(format: str) -> None:
    data, losses = laws.render(format, [papers()], document={catalog_hash(DEED): DEED}.get, options={"zip": True})
    assert losses == []
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["vault.cxf.json", f"documents/{catalog_hash(DEED)}"]
        assert archive.read(archive.namelist()[1]) == DEED
    got = proven(data, "x.zip", format)
    (file,) = got.items[0].credentials
    assert (file.name, file.decrypted_size, file.missing) == ("deed.txt", 5, False)


@pytest.mark.parametrize("format", ["cxf", "cxf_strict"])
def test_a_lone_file_declares_the_bytes_of_attachments_lost(format: str) -> None:
    data, losses = laws.render(format, [papers()], document={catalog_hash(DEED): DEED}.get)
    assert [(loss.item, loss.title, loss.member, loss.count) for loss in losses] == [
        ("cA", "Papers", "attachment bytes (a .zip holds them)", 1)
    ]
    (file,) = proven(data, format=format).items[0].credentials
    assert (file.name, file.decrypted_size, file.integrity_hash, file.missing) == (
        *("deed.txt", 5, catalog_hash(DEED)),
        True,
    )


def test_equal_vaults_give_equal_containers() -> None:
    first, second = (
        laws.render("cxf", [papers()], document={catalog_hash(DEED): DEED}.get, options={"zip": True, **OPTIONS})[0]
        for _ in range(2)
    )
    assert first == second


def test_a_file_that_is_not_the_one_described_is_kept_and_told() -> None:
    loaded = laws.load(None, (SAMPLES / "cxf" / "exchanged_document.zip").read_bytes(), name="x.zip")
    first = loaded.items[0].credentials[0]
    assert first.integrity_hash == catalog_hash(b"exchanged")
    assert first.extra["integrityHash"] == catalog_hash(DEED)
    assert loaded.ledger.warnings == ["an attachment is not the file its CXF entry describes; it is kept as it is"]


# -- the strict profile


def strict(*items: Item, collections: tuple[Collection, ...] = ()) -> tuple[Data, list[Any]]:
    """Return the account the strict profile writes, checked against the standard, and the losses."""
    data, losses = laws.render("cxf_strict", items, collections, options=OPTIONS)
    tree = json.loads(data)
    (account,) = tree["accounts"]
    check(account)
    return account, losses


def check(account: Data) -> None:
    """Fail where an account has something CXF 1.0 does not allow."""
    assert "extensions" not in account
    for item in account["items"]:
        assert {"id", "title", "favorite", "scope", "credentials", "tags"} <= set(item)
        assert set(item) <= {*item, "creationAt", "modifiedAt", "subtitle"}
        assert set(item["scope"]) == {"urls", "androidApps"}
        assert "extensions" not in item
        ids_are_valid([item["id"]])
        for credential in item["credentials"]:
            check_credential(credential)
    for folder in folders(account["collections"]):
        assert {"id", "title", "items", "subCollections"} <= set(folder)
        ids_are_valid([folder["id"], *(link["item"] for link in folder["items"])])


def check_credential(credential: Data) -> None:
    kind = cxf.KINDS.get(credential["type"])
    if kind is None:
        return  # of a later version
    allowed = {*kind.native, "type"}
    assert set(credential) <= allowed, credential["type"]
    assert set(kind.required) <= set(credential), credential["type"]
    assert all(value is not None for value in credential.values())
    fields = [v for n, v in credential.items() if kind.native.get(n) == "field" or n == "content"]
    for field in [*fields, *credential.get("fields", ())]:
        check_field(field)
    if credential["type"] == "totp":
        assert re.fullmatch(r"[A-Z2-7]+", credential["secret"])
        assert 1 <= credential["period"] <= 255
        assert credential["algorithm"] in ("sha1", "sha256", "sha512")


VALUES = {
    "boolean": r"true|false",
    "date": r"\d{4}-\d\d-\d\d",
    "year-month": r"\d{4}-\d\d",
    "number": r"-?\d+(\.\d+)?",
    "country-code": r"[A-Z]{2}",
    "subdivision-code": r"([A-Z]{2}-)?[A-Z0-9]{1,3}",
    "email": r"\S+@\S+",
}


def check_field(field: Data) -> None:
    assert {"fieldType", "value"} <= set(field) <= {"id", "fieldType", "value", "label"}
    assert isinstance(field["value"], str)
    others = {"string", "concealed-string", "wifi-network-security-type"}
    assert field["fieldType"] in others | set(VALUES)
    assert re.fullmatch(VALUES.get(field["fieldType"], r"[\s\S]*"), field["value"])


def ids_are_valid(ids: list[str]) -> None:
    for own_id in ids:
        assert re.fullmatch(r"[A-Za-z0-9_-]+", own_id)
        assert len(urlsafe_b64decode(own_id + "=" * (-len(own_id) % 4))) <= 64


def folders(collections: list[Data]) -> Iterator[Data]:
    for one in collections:
        yield one
        yield from folders(one["subCollections"])


@st.composite
def codes(draw: st.DrawFn) -> Totp:
    """Make a one-time code that somebody's device computes, as it stands in an address or was typed in."""
    kind = draw(st.sampled_from(["totp", "totp", "totp", "hotp", "steam", "yandex"]))
    names = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
    made = Totp(
        kind=kind,
        secret=Secret(otp.encode_secret(draw(st.binary(min_size=16, max_size=40)))),
        period=draw(st.sampled_from([30, 30, 1, 15, 60, 255, 256, 900])) if kind == "totp" else 30,
        digits=draw(st.integers(6, 10)) if kind in ("totp", "hotp") else {"steam": 5, "yandex": 8}[kind],
        algorithm=draw(st.sampled_from(["sha1", "sha1", "sha256", "sha512"])) if kind in ("totp", "hotp") else "sha1",
        counter=draw(st.integers(0, 2**63)) if kind == "hotp" else None,
        pin=Secret("4711") if kind == "yandex" else None,
        username=draw(names),
        issuer=draw(names),
        label=draw(names),
    )
    return otp.parse(otp.uri(made)) if draw(st.booleans()) else made


@st.composite
def with_true_codes(draw: st.DrawFn) -> Vault:
    """Make a vault in which every one-time code can be computed."""
    vault = draw(vaults())

    def true(item: Item) -> Item:
        more = draw(st.lists(codes(), max_size=2))
        kept = [draw(codes()) if isinstance(c, Totp) else c for c in item.credentials]
        return msgspec.structs.replace(item, credentials=(*kept, *more))

    return msgspec.structs.replace(vault, items=tuple(map(true, vault.items)))


@slow
@given(vaults() | with_true_codes())
def test_the_strict_profile_has_only_what_the_standard_allows(vault: Vault) -> None:
    account, _ = strict(*vault.items, collections=vault.collections)
    check(account)
    assert len(account["items"]) == len(vault.items)


@slow
@given(with_true_codes())
def test_the_strict_profile_loses_nothing_unsaid_and_every_code_stays_the_same(vault: Vault) -> None:
    data, losses = laws.render("cxf_strict", vault.items, vault.collections, vault.extras)
    check_written(data, catalog.adapter("cxf_strict"), vault.items, losses)
    (account,) = json.loads(data)["accounts"]
    for item, written in zip(vault.items, account["items"], strict=True):
        found = list(codes_in(written))
        for totp in find_all(item, Totp):
            assert any(otp.same_codes(totp, one) for one in found)
            found.remove(next(one for one in found if otp.same_codes(totp, one)))


def codes_in(item: Data) -> Iterator[Totp]:
    """Yield the codes of a written item: CXF's own, and the addresses in its custom fields."""
    for credential in item["credentials"]:
        if credential["type"] == "totp":
            members = ("period", "digits", "algorithm")
            yield Totp(secret=Secret(credential["secret"]), **{name: credential[name] for name in members})
        for field in credential.get("fields", ()):
            if field["value"].startswith(("otpauth://", "steam://", "motp://")):
                yield otp.parse(field["value"])


def test_what_the_standard_has_is_written_in_its_place() -> None:
    source = sample("household.json")["accounts"][0]
    loaded = laws.load("cxf", as_file(sample("household.json")))
    account, losses = strict(*loaded.items, collections=loaded.collections)
    assert [loss.member for loss in losses] == []
    for item, before in zip(account["items"], source["items"], strict=True):
        assert item == {"tags": [], "favorite": False, "scope": {"urls": [], "androidApps": []}} | {
            **before,
            "credentials": [
                {**c, "id": c["integrityHash"]} if c["type"] == "file" else c for c in before["credentials"]
            ],
        }
    assert [c["title"] for c in folders(account["collections"])] == ["Bank", "Home", "Mail", "Empty", "Money"]


def test_values_that_are_not_of_their_type_become_strings() -> None:
    card = CreditCard(expiry_date=Field(value="05/31", field_type="year-month"))
    section = CustomFields(
        fields=(
            Field(value="2025/02", field_type="date"),
            Field(value="2025-02-30", field_type="date"),
            Field(value="yes", field_type="boolean"),
            Field(value="f", field_type="gender"),
        )
    )
    account, losses = strict(Item(id="YQ", credentials=(card, section)))
    first, second = account["items"][0]["credentials"]
    assert first["expiryDate"] == {"fieldType": "string", "value": "05/31"}
    assert {f["fieldType"] for f in second["fields"]} == {"string"}
    assert losses == []


def labelled(account: Data, section: str) -> dict[str, str]:
    """Return the labels and values of a section of the only item."""
    (item,) = account["items"]
    found = [c for c in item["credentials"] if c["type"] == "custom-fields" and c.get("label") == section]
    return {f["label"]: f["value"] for c in found for f in c["fields"]}


def test_what_the_standard_has_no_place_for_becomes_custom_fields() -> None:
    item = Item(
        id="YQ",
        urls=(Url(url="https://x.example", match="exact"),),
        credentials=(Passkey(credential_id="YQ", rp_id="x", rp_name="X", key=Secret("MA"), extra={"later": 1}),),
        trashed=True,
        trashed_at=NOW,
        template="Server",
        history=(Past(value=Secret("old"), at=NOW),),
        provenance=Provenance(format="bitwarden_json"),
        extra={"futureKey": {"deep": "x"}},
    )
    account, losses = strict(item)
    assert losses == []
    assert "dev.keyferry" not in json.dumps(account)
    assert labelled(account, "More") == {
        "website match": "exact",
        "trashed": "true",
        "trashed at": NOW,
        "template": "Server",
        "passkey rp name": "X",
        "futureKey.deep": "x",
        "passkey.later": "1",
    }
    assert labelled(account, "History") == {f"former password until {NOW}": "old"}


def test_a_code_with_a_long_period_becomes_an_address() -> None:
    """A period that needs more than one byte makes other products refuse the whole file."""
    account, losses = strict(Item(id="YQ", credentials=(Totp(secret=Secret(SEED), period=300),)))
    (section,) = account["items"][0]["credentials"]
    assert otp.parse(section["fields"][0]["value"]).period == 300
    assert losses == []


def test_a_passkey_in_use_with_a_counter_is_a_declared_loss() -> None:
    key = Passkey(credential_id="YQ", rp_id="x.example", key=Secret("MA"), counter=5)
    account, losses = strict(Item(id="YQ", title="t", credentials=(key,)))
    assert account["items"][0]["credentials"] == []
    assert [(loss.title, loss.member) for loss in losses] == [("t", "passkey in use with a counter")]


def test_an_icon_is_a_declared_loss() -> None:
    _, losses = strict(Item(id="YQ", icon="star"))
    assert [loss.member for loss in losses] == ["icon"]


def keys() -> tuple[str, str, str, str]:
    """Return one key as PEM, OpenSSH, base64url DER, and its public line."""
    from base64 import urlsafe_b64encode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem, openssh, der = (
        key.private_bytes(encoding, form, NoEncryption())
        for encoding, form in (
            (Encoding.PEM, PrivateFormat.PKCS8),
            (Encoding.PEM, PrivateFormat.OpenSSH),
            (Encoding.DER, PrivateFormat.PKCS8),
        )
    )
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return pem.decode(), openssh.decode(), urlsafe_b64encode(der).rstrip(b"=").decode(), line.decode()


@pytest.mark.parametrize("form", [0, 1, 2])
def test_a_private_key_of_any_form_is_written_as_pkcs8(form: int) -> None:
    made = keys()
    account, losses = strict(
        Item(id="YQ", credentials=(SshKey(private_key=Secret(made[form]), public_key=made[3], key_comment="c"),))
    )
    assert account["items"][0]["credentials"] == [
        {"type": "ssh-key", "keyType": "ssh-ed25519", "privateKey": made[2], "keyComment": "c"}
    ]
    assert losses == []


def test_a_private_key_nobody_can_read_is_kept_as_text() -> None:
    account, losses = strict(Item(id="YQ", credentials=(SshKey(private_key=Secret("under a passphrase")),)))
    assert labelled(account, "More") == {"ssh key private key": "under a passphrase"}
    assert losses == []


def test_ids_that_others_would_refuse_are_written_anew_everywhere() -> None:
    items = (
        Item(id="häß", collections=("x" * 100,), credentials=(ItemReference(reference="b b"),)),
        Item(id="b b"),
    )
    account, _ = strict(*items, collections=(Collection(id="x" * 100, title="F"),))
    first, second = account["items"]
    assert first["credentials"][0]["reference"]["item"] == second["id"]
    assert account["collections"][0]["items"] == [{"item": first["id"]}]


def test_what_came_from_cxf_keeps_the_id_it_had_there() -> None:
    tree = sample("household.json")
    loaded = laws.load("cxf", as_file(tree))
    account, _ = strict(*loaded.items, collections=loaded.collections)
    ids = [item["id"] for item in tree["accounts"][0]["items"]]
    assert [item["id"] for item in account["items"]] == ids
    assert account["items"][-1]["credentials"][1]["reference"]["item"] == ids[0]


def test_no_two_items_get_one_id() -> None:
    """A strict file of ours that was read again has the ids of the items it was made of."""
    own = Item(id="YQ")
    again = Item(id="Yg", provenance=Provenance(format="cxf", source_id="YQ"))
    account, _ = strict(own, again)
    assert [item["id"] for item in account["items"]] == ["YQ", "Yg"]


def test_a_credential_of_a_later_version_is_written_as_it_came_without_nulls() -> None:
    later = UnknownCredential(raw={"type": "hologram", "beam": None, "parts": [{"a": None, "b": 1}]})
    odd = UnknownCredential(raw={"no": "type"})
    account, losses = strict(Item(id="YQ", credentials=(later, odd)))
    assert account["items"][0]["credentials"][0] == {"type": "hologram", "parts": [{"b": 1}]}
    assert labelled(account, "More") == {"unknown credential raw": '{"no":"type"}'}
    assert losses == []


def test_colours_and_raw_keys_of_folders_are_declared_losses() -> None:
    folder = Collection(id="Zg", title="F", color="red", extra={"later": 1, "empty": None})
    _, losses = strict(collections=(folder,))
    assert [(loss.title, loss.member) for loss in losses] == [("F", "folder.color"), ("F", "folder.extra.later")]


def test_a_strict_file_is_read_by_the_one_reader_and_is_never_a_tie() -> None:
    data, _ = laws.render("cxf_strict", [Item(id="YQ", title="t")], options=OPTIONS)
    assert catalog.open_source(Path("x.json"), data=data).format == "cxf"
    data, _ = laws.render("cxf_strict", [Item(id="YQ", title="t")], options={"zip": True})
    assert catalog.open_source(Path("x.zip"), data=data).format == "cxf"
    assert find(laws.load("cxf_strict", data, name="x.zip").items[0], Note) is None
