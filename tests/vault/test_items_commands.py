"""Terminal sessions with items: what is typed, what is shown, with which exit code, and no secret unasked."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import keyferry
from vault.canonical import decode_item
from vault.keys import open_vault
from vault.model import (
    BasicAuth,
    Collection,
    CreditCard,
    CustomFields,
    Field,
    Item,
    Note,
    Passport,
    Provenance,
    SshKey,
    Totp,
    Url,
    Wifi,
    concealed,
    find,
)
from vault.secret import Secret
from vault.store import Store

NOW = "2026-11-20T10:00:00Z"
SECRET = "geheim-4711"


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Ended]


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault of its own making; the tests copy it, since making keys takes a while."""
    folder = tmp_path_factory.mktemp("made")
    assert keyferry.run(["init", "--home", str(folder / "home"), "--key-file", str(folder / "key"), "--yes"]) == 0
    return folder


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    shutil.copytree(made_home, tmp_path, dirs_exist_ok=True)
    settings = tmp_path / "home" / "vault.json"
    settings.write_text(settings.read_text().replace(str(made_home), str(tmp_path)))
    return tmp_path / "home"


@pytest.fixture
def typed(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Return what runs one command line in the home."""
    monkeypatch.setattr(keyferry, "_be_quiet", lambda: None)
    monkeypatch.setenv("KEYFERRY_HOME", str(home))

    def run(*words: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        capsys.readouterr()
        code = keyferry.run(list(words))
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


def filled(home: Path, *items: Item, collections: tuple[Collection, ...] = ()) -> None:
    with open_vault(home) as store:
        for collection in collections:
            store.put_collection(collection)
        store.put_many(items, NOW)


def kept(home: Path) -> list[Item]:
    with open_vault(home, read_only=True) as store:
        return list(store.items())


def only(home: Path) -> Item:
    (item,) = kept(home)
    return item


def past_of(home: Path, id_: str) -> list[Item]:
    with open_vault(home, read_only=True) as store:
        return [decode_item(body) for _, body in store.past(id_)]


def bank(**members: Any) -> Item:
    parts: dict[str, Any] = {
        "id": "bank-0001",
        "title": "My bank",
        "tags": ("money",),
        "urls": (Url(url="https://bank.example/login"),),
        "credentials": (
            BasicAuth(username=Field(value="ann"), password=concealed(SECRET)),
            Totp(secret=Secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")),
            Note(content=Secret("first line\nsecond line")),
        ),
        "collections": ("c2",),
        "modified_at": NOW,
    }
    return Item(**{**parts, **members})


FOLDERS = (Collection(id="c1", title="Money"), Collection(id="c2", title="Bank", parent="c1"))


# -- looking


def test_list_shows_titles_and_ends_with_their_number(home: Path, typed: Type) -> None:
    filled(home, bank(), Item(id="note-0001", title="Alpha"), collections=FOLDERS)
    ended = typed("list")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert [line.split()[1] for line in lines[1:3]] == ["Alpha", "My"]
    assert "Money / Bank" in lines[2]
    assert lines[-1] == "2 items"


def test_list_for_machines_is_an_array(home: Path, typed: Type) -> None:
    filled(home, bank(), Item(id="t", title="Old", trashed=True), collections=FOLDERS)
    assert typed("list", "--json").json() == [
        {"id": "bank-0001", "title": "My bank", "kind": "login", "collections": ["Money / Bank"], "state": "active"},
        {"id": "t", "title": "Old", "kind": "note", "collections": [], "state": "trashed"},
    ]


def test_an_empty_vault_lists_nothing(typed: Type) -> None:
    assert typed("list") == (0, "0 items\n", "")
    assert typed("list", "--json").json() == []


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--folder", "Money"), {"My bank", "Card"}),
        (("--folder", "Bank"), {"My bank"}),
        (("--folder", "Money / Bank"), {"My bank"}),
        (("--folder", "money/bank"), {"My bank"}),
        (("--tag", "money"), {"My bank"}),
        (("--kind", "card"), {"Card"}),
        (("--state", "trashed"), {"Old"}),
        (("--state", "archived"), {"Kept"}),
        (("--state", "active"), {"My bank", "Card"}),
        (("ann",), {"My bank"}),
        (("--kind", "login", "bank", "example"), {"My bank"}),
        (("--limit", "1"), {"Card"}),
        (("--tag", "nothing"), set()),
    ],
)
def test_list_keeps_to_what_is_asked(home: Path, typed: Type, options: tuple[str, ...], found: set[str]) -> None:
    card = Item(id="card", title="Card", credentials=(CreditCard(),), collections=("c1",))
    old, archived = Item(id="old", title="Old", trashed=True), Item(id="kept", title="Kept", archived=True)
    filled(home, bank(), card, old, archived, collections=FOLDERS)
    assert {line["title"] for line in typed("list", *options, "--json").json()} == found


def test_an_unknown_folder_is_said_to_be_none(home: Path, typed: Type) -> None:
    filled(home, bank(), collections=FOLDERS)
    ended = typed("list", "--folder", "Mony")
    assert (ended.code, ended.err.splitlines()[0]) == (35, "error: there is no folder 'Mony'")


def test_search_puts_titles_first(home: Path, typed: Type) -> None:
    filled(home, Item(id="a", title="Letter", credentials=(Note(content=Secret("to my bank")),)), bank())
    assert [line["title"] for line in typed("search", "my", "bank", "--json").json()] == ["My bank", "Letter"]
    assert typed("search", SECRET).out == "0 items\n"


def test_show_masks_every_secret(home: Path, typed: Type) -> None:
    filled(home, bank(), collections=FOLDERS)
    for ended in (typed("show", "My bank"), typed("show", "bank-0001", "--json")):
        assert ended.code == 0
        for secret in (SECRET, "GEZDGNBV", "first line"):
            assert secret not in ended.out + ended.err
        for seen in ("ann", "https://bank.example/login", "Money / Bank", "money", "••••••"):
            assert seen in ended.out
    assert typed("show", "My bank").out.splitlines()[-1] == "bank-0001: 3 masked, --reveal shows them"


def test_show_names_links_and_boxes_and_no_other_empty_fields(home: Path, typed: Type) -> None:
    linked, box = Field(label="like", original="linked", link="100"), Field(label="box", field_type="boolean")
    fields = (box, linked, Field(label="none"), concealed("", label="PIN"))
    filled(home, Item(id="a-0001", title="Thing", credentials=(CustomFields(fields=fields),)))
    lines = [line.split() for line in typed("show", "Thing").out.splitlines()]
    assert [line for line in lines if line[0] in ("box", "like", "none", "PIN")] == [
        ["box", "(empty)"],
        ["like", "(linked)"],
    ]
    assert lines[-1] == ["a-0001"]


def test_show_reveals_when_asked_and_keeps_lines_apart(home: Path, typed: Type) -> None:
    filled(home, bank())
    out = typed("show", "bank-0001", "--reveal").out
    assert SECRET in out
    assert [line.split()[-2:] for line in out.splitlines() if "line" in line] == [["first", "line"], ["second", "line"]]
    fields = typed("show", "bank-0001", "--reveal", "--json").json()["fields"]
    assert {f["name"]: f["value"] for f in fields}["password"] == SECRET


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("password", SECRET),
        ("Password", SECRET),
        ("username", "ann"),
        ("User name", "ann"),
        ("url", "https://bank.example/login"),
        ("notes", "first line\nsecond line"),
        ("totp", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"),
        ("title", "My bank"),
        ("folder", "Money / Bank"),
        ("tags", "money"),
        ("favorite", "no"),
        ("id", "bank-0001"),
        ("modified-at", NOW),
        ("colour", "red"),
    ],
)
def test_one_field_is_written_alone_for_scripts(home: Path, typed: Type, name: str, value: str) -> None:
    filled(home, bank(extra={"colour": "red"}), collections=FOLDERS)
    assert typed("show", "My bank", "--field", name) == (0, value + "\n", "")
    assert typed("show", "My bank", "--field", name, "--json").json() == {"field": name, "value": value}


def test_a_field_that_is_not_there_names_those_that_are(home: Path, typed: Type) -> None:
    filled(home, bank())
    ended = typed("show", "My bank", "--field", "pin")
    assert ended.code == 39
    assert "username, password, url" in ended.err


def test_several_items_of_one_title_are_told_apart(home: Path, typed: Type) -> None:
    filled(home, bank(), bank(id="bank-0002", credentials=(BasicAuth(username=Field(value="bob")),)))
    ended = typed("show", "My bank")
    assert ended.code == 36
    assert "bank-0001  'My bank'  'ann'" in ended.err
    assert "bank-0002  'My bank'  'bob'" in ended.err
    assert typed("show", "bank-0002").code == 0


def test_hostile_titles_do_not_reach_the_terminal(home: Path, typed: Type) -> None:
    evil = "\x1b[2J\u202egnp.exe\nInjected: line"
    filled(home, bank(title=evil), bank(id="bank-0002", title=evil))
    lines = (("list",), ("show", "bank-0001"), ("show", evil), ("rm", "bank-0001"), ("edit", "bank-0002", "--set=a=b"))
    for words in lines:
        ended = typed(*words)
        assert not set("\x1b\u202e") & set(ended.out + ended.err)
        assert "Injected" not in [line.split(":")[0] for line in (ended.out + ended.err).splitlines()]


def test_otp_writes_the_code_alone(home: Path, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 59.5)
    filled(home, bank())
    assert typed("otp", "My bank") == (0, "287082\n", "good for 1 s\n")  # RFC 6238, appendix B
    shown = typed("otp", "My bank", "--json").json()
    assert (shown["code"], shown["seconds_left"]) == ("287082", 1)


def test_otp_shows_each_of_several_codes(home: Path, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 59.5)
    seed = Secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    filled(home, bank(credentials=(Totp(secret=seed, label="one"), Totp(secret=seed, label="two", digits=8))))
    lines = typed("otp", "My bank").out.splitlines()
    assert [line.split() for line in lines[1:]] == [["one", "287082", "1"], ["two", "94287082", "1"]]


def test_a_counter_goes_on_only_when_asked(home: Path, typed: Type) -> None:
    token = Totp(secret=Secret("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), kind="hotp", counter=0)
    filled(home, bank(credentials=(token,)))
    assert [typed("otp", "My bank").out for _ in range(2)] == ["755224\n"] * 2  # RFC 4226, appendix D
    assert typed("otp", "My bank", "--next").out == "287082\n"
    assert typed("otp", "My bank").out == "287082\n"


def test_an_item_without_a_code_says_so(home: Path, typed: Type) -> None:
    filled(home, Item(id="abcd", title="Plain"))
    assert typed("otp", "Plain").code == 38
    assert typed("otp", "Plain", "--next").code == 38


def test_folders_are_listed_with_their_items(home: Path, typed: Type) -> None:
    filled(home, bank(), collections=FOLDERS)
    assert typed("folders", "--json").json() == [
        {"id": "c1", "path": "Money", "kind": "folder", "items": 0},
        {"id": "c2", "path": "Money / Bank", "kind": "folder", "items": 1},
    ]
    assert typed("folders").out.splitlines()[-1] == "2 folders"


# -- making


def test_a_login_is_added_with_its_password_from_standard_input(home: Path, typed: Type) -> None:
    words = ("--set", "username=ann", "--set", "url=https://a.example", "--set", "url=https://b.example")
    more = ("--set", "Branch office=Main", "--set", "tags=one, two", "--set", "favorite=yes", "--set", "folder=A / B")
    ended = typed(
        "add", "login", "--title", "Bank", *words, *more, "--set-file", "password=-", stdin=b" pass word \r\n"
    )
    item = only(home)
    assert (ended.code, ended.out) == (0, f'added login "Bank" as {item.id}\n')
    auth = find(item, BasicAuth)
    assert auth is not None
    assert (auth.username, auth.password) == (Field(value="ann"), concealed(" pass word "))
    assert [url.url for url in item.urls] == ["https://a.example", "https://b.example"]
    assert (item.tags, item.favorite) == (("one", "two"), True)
    assert typed("list", "--folder", "A", "--json").json()[0]["collections"] == ["A / B"]
    assert typed("show", "Bank", "--field", "Branch office").out == "Main\n"


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("login", "login"),
        ("note", "note"),
        ("card", "card"),
        ("identity", "identity"),
        ("wifi", "wifi"),
        ("ssh-key", "ssh-key"),
        ("passport", "passport"),
        ("drivers-license", "drivers-license"),
        ("identity-document", "identity-document"),
        ("api-key", "api-key"),
        ("custom:Server rack", "custom"),
    ],
)
def test_every_kind_can_be_added_empty(home: Path, typed: Type, kind: str, word: str) -> None:
    shown = typed("add", kind, "--title", "T", "--json").json()
    assert (shown["kind"], shown["title"], shown["state"]) == (word, "T", "active")
    assert only(home).template == ("Server rack" if word == "custom" else None)


def test_an_unknown_kind_is_a_usage_error(home: Path, typed: Type) -> None:
    for kind in ("logn", "custom:", "custom: "):
        assert typed("add", kind, "--title", "T").code == 2
    assert kept(home) == []


def test_short_names_reach_the_members_of_a_card(home: Path, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "number").write_text("4111111111111111\n")
    (tmp_path / "cvv").write_text("123\n")
    files = (f"number={tmp_path / 'number'}", f"cvv={tmp_path / 'cvv'}")
    words = ("--set", "holder=Ann Example", "--set", "expiry=04/29", "--set", "brand=Visa")
    assert typed("add", "card", "--title", "C", *words, "--set-file", files[0], "--set-file", files[1]).code == 0
    assert only(home).credentials == (
        CreditCard(
            number=concealed("4111111111111111"),
            full_name=Field(value="Ann Example"),
            card_type=Field(value="Visa"),
            verification_number=concealed("123"),
            expiry_date=Field(value="2029-04", field_type="year-month"),
        ),
    )


def test_short_names_reach_a_passport_and_a_network(home: Path, typed: Type) -> None:
    typed(
        "add", "passport", "--title", "P", "--set", "number=X1", "--set", "country=de", "--set", "birth-date=2000-01-02"
    )
    typed("add", "wifi", "--title", "W", "--set", "ssid=Home", "--generate")
    passport, wifi = (item.credentials[0] for item in kept(home))
    assert passport == Passport(
        passport_number=Field(value="X1"),
        issuing_country=Field(value="DE", field_type="country-code"),
        birth_date=Field(value="2000-01-02", field_type="date"),
    )
    assert isinstance(wifi, Wifi)
    assert wifi.passphrase is not None
    assert len(wifi.passphrase.text) == 20


def test_a_private_key_keeps_its_last_line_break(home: Path, typed: Type) -> None:
    pem = b"-----BEGIN X-----\nabc\n-----END X-----\n"
    assert typed("add", "ssh-key", "--title", "K", "--set-file", "private-key=-", stdin=pem).code == 0
    key = find(only(home), SshKey)
    assert key is not None
    assert key.private_key.reveal() == pem.decode()


def test_a_generated_password_is_strong_and_not_shown(home: Path, typed: Type) -> None:
    ended = typed("add", "login", "--title", "T", "--generate")
    auth = find(only(home), BasicAuth)
    assert auth is not None
    assert auth.password is not None
    assert len(auth.password.text) == 20
    assert auth.password.text not in ended.out + ended.err
    assert "with a new password of 20 characters" in ended.out


@pytest.mark.parametrize("name", ["password", "Password", "notes", "totp", "number", "cvv", "pin"])
def test_a_concealed_field_is_refused_on_the_command_line(home: Path, typed: Type, name: str) -> None:
    kind = "login" if name.lower() in ("password", "notes", "totp") else "card"
    ended = typed("add", kind, "--title", "T", "--set", f"{name}={SECRET}")
    assert (ended.code, kept(home)) == (39, [])
    assert f"--set-file {name}=PATH" in ended.err
    assert SECRET not in ended.out + ended.err


def test_an_unknown_name_from_a_file_becomes_a_concealed_field(home: Path, typed: Type) -> None:
    typed("add", "login", "--title", "T", "--set-file", "PUK=-", stdin=SECRET.encode())
    assert SECRET not in typed("show", "T").out
    assert typed("show", "T", "--field", "PUK").out == SECRET + "\n"
    assert typed("edit", "T", "--set", "PUK=x").code == 39


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--set", "username"), 2),
        (("--set", "=x"), 2),
        (("--set-file", "password"), 2),
        (("--set-file", "password=-", "--set-file", "notes=-"), 2),
        (("--set-file", "password=/nowhere/at/all"), 19),
        (("--set-file", "password=/"), 19),
        (("--set", "favorite=perhaps"), 39),
        (("--set", "username=a", "--set", "username=b"), 39),
        (("--set", "folder="), 39),
        (("--set", "folder= / "), 39),
    ],
)
def test_what_cannot_be_meant_changes_nothing(home: Path, typed: Type, words: tuple[str, ...], code: int) -> None:
    assert typed("add", "login", "--title", "T", *words).code == code
    with open_vault(home) as store:
        assert (store.count(), store.collections()) == (0, ())


def test_bytes_that_are_no_text_are_refused_without_showing_them(home: Path, typed: Type) -> None:
    ended = typed("add", "login", "--title", "T", "--set-file", "password=-", stdin=b"geheim\xff")
    assert ended.code == 39
    assert "geheim" not in ended.err
    assert kept(home) == []


def test_a_byte_order_mark_is_no_part_of_a_password(home: Path, typed: Type) -> None:
    typed("add", "login", "--title", "T", "--set-file", "password=-", stdin=b"\xef\xbb\xbfpw\n")
    assert typed("show", "T", "--field", "password").out == "pw\n"


def test_a_one_time_code_is_added_as_key_or_address(home: Path, typed: Type) -> None:
    uri = b"otpauth://totp/Bank:ann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=8&issuer=Bank"
    typed("add", "login", "--title", "T", "--set-file", "totp=-", stdin=uri)
    token = find(only(home), Totp)
    assert token is not None
    assert (token.digits, token.issuer) == (8, "Bank")
    ended = typed("edit", "T", "--set-file", "totp=-", stdin=b"not a key!")
    assert ended.code == 39
    assert "not a key!" not in ended.err


def test_generate_makes_another_password_each_time(typed: Type) -> None:
    made = {typed("generate").out for _ in range(5)}
    assert len(made) == 5
    assert {len(one) for one in made} == {21}
    assert len(typed("generate", "--length", "64", "--json").json()["password"]) == 64
    assert typed("generate", "--length", "7").code == 2


# -- changing


def test_edit_keeps_the_old_password_in_the_history_and_the_old_version(home: Path, typed: Type) -> None:
    filled(home, bank())
    ended = typed("edit", "My bank", "--set-file", "password=-", stdin=b"new one")
    assert (ended.code, ended.out) == (0, 'changed "My bank"\n')
    item = only(home)
    assert typed("show", "My bank", "--field", "password").out == "new one\n"
    assert [(past.field, past.value.reveal()) for past in item.history] == [("password", SECRET)]
    assert item.modified_at is not None
    assert item.modified_at > NOW
    assert past_of(home, "bank-0001") == [bank()]


def test_edit_touches_nothing_else(home: Path, typed: Type) -> None:
    rich = bank(extra={"unknown": 1}, provenance=Provenance(format="x_json", source_id="1"))
    filled(home, rich, collections=FOLDERS)
    typed("edit", "My bank", "--set", "username=bob")
    item = only(home)
    assert item.credentials[0] == BasicAuth(username=Field(value="bob"), password=concealed(SECRET))
    assert (item.credentials[1:], item.extra, item.provenance) == (rich.credentials[1:], rich.extra, rich.provenance)
    assert (item.collections, item.urls, item.history) == (rich.collections, rich.urls, ())


def test_an_edit_that_changes_nothing_leaves_no_version(home: Path, typed: Type) -> None:
    filled(home, bank())
    ended = typed("edit", "My bank", "--set", "username=ann")
    assert (ended.code, ended.out) == (0, '"My bank" is as it was\n')
    assert (only(home), past_of(home, "bank-0001")) == (bank(), [])


def test_fields_are_removed_by_name(home: Path, typed: Type) -> None:
    filled(home, bank(), collections=FOLDERS)
    typed("edit", "My bank", "--set", "Branch=1")
    gone = ("password", "totp", "notes", "url", "tags", "folder", "Branch")
    assert typed("edit", "My bank", *(word for name in gone for word in ("--unset", name))).code == 0
    item = only(home)
    assert find(item, BasicAuth) == BasicAuth(username=Field(value="ann"))
    assert (find(item, Totp), find(item, Note)) == (None, None)
    assert (item.urls, item.tags, item.collections) == ((), (), ())
    assert [past.value.reveal() for past in item.history] == [SECRET]
    assert typed("show", "My bank", "--field", "Branch").code == 39


def test_removing_what_is_not_there_is_an_error(home: Path, typed: Type) -> None:
    filled(home, bank())
    assert typed("edit", "My bank", "--unset", "pin", "--set", "username=x").code == 39
    assert only(home) == bank()


def test_edit_without_a_change_is_a_usage_error(home: Path, typed: Type) -> None:
    filled(home, bank())
    assert typed("edit", "My bank").code == 2


def test_an_item_moves_to_a_folder_that_is_made_for_it(home: Path, typed: Type) -> None:
    filled(home, bank(), collections=FOLDERS)
    typed("edit", "My bank", "--set", "folder=Money/Savings")
    with open_vault(home) as store:
        assert [(one.title, one.parent) for one in store.collections()][2:] == [("Savings", "c1")]
    assert typed("list", "--json").json()[0]["collections"] == ["Money / Savings"]
    typed("edit", "My bank", "--set", "folder=bank")
    assert only(home).collections == ("c2",)


def test_rm_puts_into_the_trash_and_restore_item_takes_out(home: Path, typed: Type) -> None:
    filled(home, bank())
    ended = typed("rm", "My bank")
    assert ended.code == 0
    assert "restore-item bank-0001" in ended.out
    assert only(home).trashed_at is not None
    assert typed("list", "--state", "active", "--json").json() == []
    assert typed("rm", "My bank").out == '"My bank" is in the trash already\n'
    assert typed("restore-item", "My bank").out == 'took "My bank" out of the trash\n'
    assert only(home) == bank()
    assert typed("restore-item", "My bank").code == 0


def test_restore_item_means_the_one_in_the_trash(home: Path, typed: Type) -> None:
    filled(home, bank(), bank(id="bank-0002", trashed=True, trashed_at=NOW))
    assert typed("restore-item", "My bank", "--json").json()["id"] == "bank-0002"


def test_purge_removes_for_good(home: Path, typed: Type) -> None:
    filled(home, bank())
    typed("edit", "My bank", "--set", "username=bob")
    assert typed("rm", "My bank", "--purge").out == 'removed "My bank" for good\n'
    assert (kept(home), past_of(home, "bank-0001")) == ([], [])
    assert typed("rm", "My bank").code == 35


@pytest.mark.parametrize(
    "words",
    [
        ("show", "Nope"),
        ("otp", "Nope"),
        ("edit", "Nope", "--set", "a=b"),
        ("rm", "Nope"),
        ("restore-item", "Nope"),
    ],
)
def test_an_item_that_is_not_there_is_one_sentence(typed: Type, words: tuple[str, ...]) -> None:
    ended = typed(*words, "--json")
    assert (ended.code, ended.out) == (35, "")
    assert json.loads(ended.err)["error"] == "NoSuchItem"


def test_without_a_vault_every_command_says_so(typed: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KEYFERRY_HOME", str(tmp_path / "none"))
    for words in (("list",), ("show", "x"), ("add", "login", "--title", "x"), ("folders",), ("otp", "x")):
        assert typed(*words).code == 21
    assert not (tmp_path / "none").exists()


def test_another_writer_is_waited_for_and_named(home: Path, typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vault.database.BUSY_MILLIS", 30)
    filled(home, bank())
    with open_vault(home) as other, other.transaction():
        ended = typed("edit", "My bank", "--set", "username=x")
        assert (ended.code, ended.err.splitlines()[0]) == (23, "error: another Keyferry process is writing the vault")
        assert typed("show", "My bank").code == 0


def test_an_item_can_change_while_its_edit_waits_for_input(
    home: Path, typed: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process wrote meanwhile is not overwritten by the version that was read first."""
    filled(home, bank())
    found = Store.find

    def slow(self: Store, text: str, **more: bool) -> Item:
        item = found(self, text, **more)
        monkeypatch.setattr(Store, "find", found)
        filled(home, bank(subtitle="meanwhile"))
        return item

    monkeypatch.setattr(Store, "find", slow)
    assert typed("edit", "My bank", "--set", "username=bob").code == 0
    assert only(home).subtitle == "meanwhile"
