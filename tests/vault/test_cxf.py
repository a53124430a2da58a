"""A vault as CXF and back: nothing is lost, others find what is theirs, and what others change counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vault.strategies import items, json_objects, vaults
from vault import canonical, cxf, model
from vault.errors import DamagedExport
from vault.model import (
    AndroidApp,
    BasicAuth,
    Collection,
    CustomFields,
    Field,
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
)
from vault.secret import Secret

NOW = "2026-11-20T10:00:00Z"
SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
OWN = Provenance(format="cxf", source_id="x")
slow = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])

Data = dict[str, Any]


def written(*made: Item, collections: tuple[Collection, ...] = (), **extras: Any) -> Data:
    """Return the one account of a vault as CXF."""
    account: Data = cxf.encode(Vault(items=made, collections=collections, extras=extras), now=NOW)["accounts"][0]
    return account


def item_of(*credentials: Any, **members: Any) -> Item:
    return Item(id="a", credentials=credentials, **members)


def back(account: Data) -> Vault:
    """Return the vault of an account; the account may be used again."""
    return cxf.decode(json.loads(json.dumps(account)))


# -- nothing is lost


@slow
@given(vaults())
def test_a_vault_comes_back_as_it_was(vault: Vault) -> None:
    assert cxf.decode(cxf.encode(vault, now=NOW)) == vault


@slow
@given(vaults())
def test_stored_rows_are_written_as_items_are(vault: Vault) -> None:
    rows = (canonical.encode(item) for item in vault.items)
    from_rows = b"".join(cxf.chunks(vault.collections, rows, vault.extras, now=NOW))
    assert from_rows == b"".join(cxf.chunks(vault.collections, vault.items, vault.extras, now=NOW))


def test_items_are_written_one_by_one() -> None:
    taken: list[str] = []

    def stream() -> Iterator[Item]:
        for name in ("a", "b", "c"):
            taken.append(name)
            yield Item(id=name, collections=("f",))

    pieces = cxf.chunks((Collection(id="f"),), stream(), now=NOW)
    assert b'"id":"a"' in next(piece for piece in pieces if b"credentials" in piece)
    assert taken == ["a"]
    assert json.loads(b"[" + b"".join(pieces).partition(b'"collections":')[2].rpartition(b"}]}")[0] + b"]")


@slow
@given(items(), json_objects)
def test_what_a_later_version_adds_to_an_item_survives(item: Item, unknown: Data) -> None:
    """Keys that no version knows, put into the file beside ours, are still there after two hops."""
    account = written(item)
    added = {f"later {key}": value for key, value in unknown.items()}
    for place in (account, account["items"][0], account["items"][0]["extensions"][-1]):
        place.update(added)
    first = back_exactly(account)
    assert added.items() <= first.items[0].extra.items()
    assert back_exactly(written_exactly(first)) == first


def back_exactly(account: Data) -> Vault:
    return cxf.decode(canonical.decode_any(canonical.encode(account)))


def written_exactly(vault: Vault) -> Data:
    data: Data = cxf.encode(vault, now=NOW)
    return data


# -- others find what is theirs


def test_the_header_says_who_wrote_it_and_when() -> None:
    tree = cxf.encode(Vault(), now=NOW)
    assert tree["version"] == {"major": 1, "minor": 0}
    assert tree["exporterDisplayName"] == "Keyferry"
    assert tree["timestamp"] == 1795168800
    assert [(a["username"], a["items"], a["collections"]) for a in tree["accounts"]] == [("", [], [])]


def test_a_login_stands_in_the_open() -> None:
    login = BasicAuth(username=Field(value="ada"), password=concealed("pw"))
    item = item_of(
        login,
        Totp(secret=Secret(SEED), digits=8),
        Note(content=Secret("n")),
        title="Bank",
        favorite=True,
        tags=("t",),
        urls=(Url(url="https://bank.example", match="exact"),),
        android_apps=(AndroidApp(bundle_id="example.bank"),),
        creation_at="2024-01-15T18:04:05Z",
    )
    (data,) = written(item)["items"]
    ours = data.pop("extensions")
    assert data == {
        "id": "a",
        "creationAt": 1705341845,
        "title": "Bank",
        "favorite": True,
        "tags": ["t"],
        "scope": {"urls": ["https://bank.example"], "androidApps": [{"bundleId": "example.bank"}]},
        "credentials": [
            {
                "type": "basic-auth",
                "username": {"fieldType": "string", "value": "ada"},
                "password": {"fieldType": "concealed-string", "value": "pw"},
            },
            {"type": "totp", "secret": SEED, "period": 30, "digits": 8, "algorithm": "sha1"},
            {"type": "note", "content": {"fieldType": "string", "value": "n"}},
        ],
    }
    assert ours == [{"name": "dev.keyferry.item/1", "urls": {"0": {"match": "exact"}}}]


def test_what_cxf_has_no_place_for_is_in_the_extension_of_the_item() -> None:
    item = item_of(
        Passkey(rp_id="x.example", rp_name="X", counter=3),
        trashed=True,
        trashed_at="2025-01-01T00:00:00Z",
        history=(Past(value=Secret("old")),),
        provenance=Provenance(format="bitwarden_json", source_id="7"),
        extra={"futureKey": 1},
    )
    (ours,) = written(item)["items"][0]["extensions"]
    assert ours == {
        "name": "dev.keyferry.item/1",
        "trashed": True,
        "trashedAt": "2025-01-01T00:00:00Z",
        "history": [{"value": "old"}],
        "provenance": {"format": "bitwarden_json", "sourceId": "7"},
        "extra": {"futureKey": 1},
        "credentials": {"0": {"type": "passkey", "rpName": "X", "counter": 3}},
    }


def test_raw_keys_that_came_from_cxf_go_back_in_place() -> None:
    shared = [{"name": "shared", "accessors": []}]
    login = BasicAuth(username=Field(value="a", extra={"hint": 1}), extra={"later": True})
    item = item_of(login, provenance=OWN, extra={"later": [1], "extensions": shared})
    (data,) = written(item)["items"]
    assert data["later"] == [1]
    assert data["extensions"][:1] == shared
    assert data["credentials"][0]["later"] is True
    assert data["credentials"][0]["username"]["hint"] == 1


@pytest.mark.parametrize("instant", ["2024-01-15T18:04:05.120Z", "2024-01-15T18:04:05+02:00", "1960-01-01T00:00:00Z"])
def test_a_time_that_is_no_whole_second_is_kept_exactly(instant: str) -> None:
    account = written(item_of(creation_at=instant, modified_at="2024-01-15T18:04:05Z"))
    assert account["items"][0]["modifiedAt"] == 1705341845
    assert back(account).items[0].creation_at == instant


def test_folders_are_nested_and_list_their_items() -> None:
    folders = (Collection(id="h", title="Home"), Collection(id="m", title="Mail", parent="h"))
    account = written(Item(id="a", collections=("m",)), Item(id="b"), collections=folders)
    (home,) = account["collections"]
    assert (home["title"], home["items"]) == ("Home", [])
    assert [(c["title"], c["items"]) for c in home["subCollections"]] == [("Mail", [{"item": "a"}])]


def test_a_thousand_folders_in_one_another_are_no_trouble() -> None:
    folders = tuple(Collection(id=f"f{n}", parent=f"f{n - 1}" if n else None) for n in range(1000))
    vault = Vault(collections=folders, items=(Item(id="a", collections=("f999",)),))
    assert cxf.decode(cxf.encode(vault, now=NOW)) == vault


def test_folders_that_are_above_themselves_are_written() -> None:
    folders = (Collection(id="a", parent="b"), Collection(id="b", parent="a"), Collection(id="c", parent="gone"))
    vault = Vault(collections=folders)
    assert cxf.decode(cxf.encode(vault, now=NOW)) == vault


@pytest.mark.parametrize(
    "code",
    [
        Totp(secret=Secret(SEED), kind="hotp", counter=7),
        Totp(secret=Secret(SEED), kind="steam"),
        Totp(secret=Secret(SEED), period=300),
        Totp(secret=Secret(SEED), algorithm="md5"),
        Totp(secret=Secret("e3152afee62599c8"), kind="motp", pin=Secret("1234"), label="old"),
    ],
)
def test_a_code_that_is_no_plain_totp_is_never_written_as_one(code: Totp) -> None:
    """Others would compute wrong codes, or refuse the whole file for a period over 255."""
    account = written(item_of(code))
    (data,) = account["items"][0]["credentials"]
    assert data["type"] == "custom-fields"
    (field,) = data["fields"]
    assert field["fieldType"] == "concealed-string"
    assert field["value"].startswith(("otpauth://", "motp://"))
    assert back(account).items[0].credentials == (code,)


def test_a_key_in_pem_is_written_as_der_for_others_and_exactly_for_us() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"
    account = written(item_of(SshKey(key_type="ssh-ed25519", private_key=Secret(pem))))
    assert account["items"][0]["credentials"][0]["privateKey"] == "MC4CAQAwBQYDK2VwBCIEIA"
    (key,) = back(account).items[0].credentials
    assert key.private_key.reveal() == pem


def test_an_unknown_credential_is_written_as_it_came() -> None:
    raw = {"type": "hologram", "beam": ["green"]}
    account = written(item_of(UnknownCredential(raw=raw)))
    assert account["items"][0]["credentials"] == [raw]
    assert back(account).items[0].credentials == (UnknownCredential(raw=raw),)


def test_a_raw_credential_is_not_taken_for_a_known_one() -> None:
    unknown = UnknownCredential(raw={"type": "note", "content": 5})
    account = written(item_of(unknown))
    assert account["items"][0]["credentials"][0]["type"] == "dev.keyferry.raw/1"
    assert back(account).items[0].credentials == (unknown,)


def test_no_secret_is_written_anywhere_else_than_it_stands() -> None:
    account = written(item_of(BasicAuth(password=concealed("once only")), Totp(secret=Secret(SEED))))
    text = json.dumps(account)
    assert text.count("once only") == text.count(SEED) == 1


# -- what others change counts


def test_a_time_another_program_changed_counts_and_the_exact_one_is_kept_raw() -> None:
    account = written(item_of(modified_at="2024-01-15T18:04:05.120Z"))
    account["items"][0]["modifiedAt"] = 1705341999
    item = back(account).items[0]
    assert item.modified_at == "2024-01-15T18:06:39Z"
    assert item.extra == {"modifiedAt": "2024-01-15T18:04:05.120Z"}


def test_a_key_another_program_changed_counts() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"
    account = written(item_of(SshKey(private_key=Secret(pem))))
    account["items"][0]["credentials"][0]["privateKey"] = "AAAA"
    (key,) = back(account).items[0].credentials
    assert key.private_key.reveal() == "AAAA"
    assert key.extra == {"privateKey": pem}


def test_our_members_are_not_given_to_a_credential_that_took_the_place_of_another() -> None:
    account = written(item_of(Passkey(rp_name="X"), Note(content=Secret("n"))))
    account["items"][0]["credentials"].reverse()
    item = back(account).items[0]
    assert [type(c).__name__ for c in item.credentials] == ["Note", "Passkey"]
    assert item.credentials[1].rp_name is None
    assert item.extra == {"credentials": {"0": {"type": "passkey", "rpName": "X"}}}


# -- any product's file


def test_a_header_an_account_and_a_list_of_accounts_are_read() -> None:
    tree = cxf.encode(Vault(items=(Item(id="a"),)), now=NOW)
    for form in (tree, tree["accounts"][0], tree["accounts"]):
        assert [item.id for item in back(form).items] == ["a"]


def foreign(*credentials: Any, **members: Any) -> Item:
    """Return an item another product wrote."""
    tree = {"items": [{"id": "a", "title": "t", "credentials": list(credentials), **members}]}
    (item,) = cxf.decode(tree).items
    return item


def test_null_is_as_good_as_absent() -> None:
    item = foreign(
        {"type": "basic-auth", "username": None, "password": {"id": None, "fieldType": None, "value": "pw"}},
        subtitle=None,
        favorite=None,
        scope=None,
        tags=None,
        creationAt=None,
        extensions=None,
    )
    assert item == Item(id="a", title="t", credentials=(BasicAuth(password=concealed("pw")),))


def test_older_names_are_understood() -> None:
    item = foreign(
        {"type": "basic-auth", "userName": "ada", "urls": ["https://a.example"]},
        {"type": "driver-license", "licenseNumber": {"fieldType": "string", "value": "7"}},
        {"type": "file", "id": "f", "name": "n", "integrationHash": "h"},
        type="login",
    )
    assert item.urls == (Url(url="https://a.example"),)
    assert item.credentials == (
        BasicAuth(username=Field(value="ada")),
        model.DriversLicense(license_number=Field(value="7")),
        model.File(id="f", name="n", integrity_hash="h"),
    )
    assert item.extra == {}


def test_a_field_keeps_a_type_nobody_expected() -> None:
    (card,) = foreign({"type": "credit-card", "expiryDate": {"fieldType": "string", "value": "05/31"}}).credentials
    assert card.expiry_date == Field(value="05/31")


def test_bare_texts_and_numbers_are_values_of_the_expected_type() -> None:
    card, section = foreign(
        {"type": "credit-card", "number": 4111, "expiryDate": "2031-05"},
        {"type": "custom-fields", "fields": ["bare", {"value": True, "label": "yes"}]},
    ).credentials
    assert card.number == concealed("4111")
    assert card.expiry_date == Field(value="2031-05", field_type="year-month")
    assert section == CustomFields(fields=(Field(value="bare"), Field(value="true", label="yes")))


@pytest.mark.parametrize(
    ("seconds", "instant"),
    [
        (1705341845, "2024-01-15T18:04:05Z"),
        ("1705341845", "2024-01-15T18:04:05Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-11_644_473_600, None),  # Google's year 1601
        (2735237468, "2025-09-03T20:11:08Z"),  # the Apple epoch added twice: 31 years ahead
    ],
)
def test_seconds_become_a_time(seconds: Any, instant: str | None) -> None:
    item = foreign(creationAt=seconds)
    assert (item.creation_at, item.extra) == (instant, {})


@pytest.mark.parametrize("seconds", [-86_400, 1.5, "yesterday", [], 10**30, True])
def test_what_is_no_time_stays_raw(seconds: Any) -> None:
    item = foreign(creationAt=seconds)
    assert (item.creation_at, item.extra) == (None, {"creationAt": seconds})


def test_our_own_dates_ahead_are_left_alone() -> None:
    item = item_of(expires_at="2060-01-01T00:00:00Z", creation_at="2056-09-03T07:57:48Z")
    assert back(written(item)).items == (item,)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"period": "60", "digits": "8"}, Totp(secret=Secret(SEED), period=60, digits=8)),
        ({"algorithm": "SHA-256"}, Totp(secret=Secret(SEED), algorithm="sha256")),
        ({"algorithm": "steam"}, Totp(secret=Secret(SEED), kind="steam")),
        ({"algorithm": " SHA256 "}, Totp(secret=Secret(SEED), algorithm="sha256")),
        ({"algorithm": "HmacSHA512"}, Totp(secret=Secret(SEED), algorithm="sha512")),
        ({"algorithm": "Steam"}, Totp(secret=Secret(SEED), kind="steam")),
        ({"algorithm": "BLAKE3"}, Totp(secret=Secret(SEED), algorithm="blake3")),
        ({"secret": "gezd gnbv-gy3t===="}, Totp(secret=Secret("GEZDGNBVGY3T"))),
        ({"secret": "no base32!"}, Totp(secret=Secret("no base32!"))),
    ],
)
def test_a_code_is_read_leniently(given: Data, kept: Totp) -> None:
    data = {"type": "totp", "secret": SEED, "period": 30, "digits": 6, "algorithm": "sha1", **given}
    assert foreign(data).credentials == (kept,)


def test_a_bad_member_costs_only_itself() -> None:
    item = foreign({"type": "basic-auth", "username": ["no"]}, "no credential", tags=["a", 5], favorite="yes")
    assert item.credentials == (BasicAuth(extra={"username": ["no"]}),)
    assert item.tags == ("a",)
    assert item.extra == {"credentials": ["no credential"], "tags": [5], "favorite": "yes"}


def test_a_link_may_carry_more_than_an_id() -> None:
    (link,) = foreign({"type": "item-reference", "reference": {"item": "b", "account": "c"}}).credentials
    assert link == ItemReference(reference="b", extra={"reference": {"account": "c"}})


def test_links_that_lead_nowhere_are_kept_beside() -> None:
    folder = {"id": "f", "title": "F", "items": [{"item": "a", "pinned": True}, {"item": "gone"}, "none"]}
    vault = cxf.decode({"items": [{"id": "a"}], "collections": [folder, "no folder"]})
    assert vault.items[0].collections == ("f",)
    assert vault.extras["cxf"]["links"] == {"f": ["none", {"item": "a", "pinned": True}, {"item": "gone"}]}
    assert vault.extras["cxf"]["accounts"] == [{"collections": ["no folder"]}]


def test_an_item_of_another_account_is_found_by_the_account_the_link_names() -> None:
    accounts = [
        {"id": "one", "items": [{"id": "a", "title": "first"}], "collections": []},
        {
            "id": "two",
            "items": [{"id": "a", "title": "second"}],
            "collections": [{"id": "f", "items": [{"item": "a", "account": "one"}, {"item": "a", "account": "three"}]}],
        },
    ]
    assert [(i.title, i.collections) for i in cxf.decode(accounts).items] == [("first", ("f",)), ("second", ())]


def test_two_folders_of_one_id_stay_two() -> None:
    vault = cxf.decode({"collections": [{"id": "f", "title": "one"}, {"id": "f", "title": "two"}], "items": []})
    assert len({c.id for c in vault.collections}) == 2


def test_an_extension_of_ours_with_wrong_types_is_damage_without_content() -> None:
    account = written(item_of(title="secret title"))
    account["items"][0]["extensions"][0]["trashed"] = "secret"
    with pytest.raises(DamagedExport) as caught:
        back(account)
    assert "secret" not in caught.value.message + caught.value.hint
    assert caught.value.__cause__ is None


@slow
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda x: st.lists(x) | json_objects)
)
def test_whatever_stands_there_is_read_or_refused_as_damage(tree: Any) -> None:
    for form in ({"accounts": tree}, {"items": tree, "collections": tree}, {"accounts": [{"items": [tree]}]}, tree):
        try:
            cxf.decode(msgspec.json.decode(msgspec.json.encode(form)))
        except DamagedExport:
            continue
