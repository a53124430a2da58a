"""Laws of all table formats: what was read is written back, what cannot be held is named, every cell is found."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate import catalog, converting
from migrate.formats import bitwarden_csv, firefox_csv, lastpass_csv, lastpass_forms_csv
from migrate.giving import Loss
from tests.migrate import laws
from vault import model
from vault.canonical import canonical
from vault.errors import WrongFormat
from vault.model import BasicAuth, CustomFields, Field, Item, Note, Provenance, Totp, Url, concealed, find, find_all
from vault.secret import Secret

SAMPLES = Path(__file__).parents[2] / "samples"
HEADERS = {
    "chrome_csv": ("name", "url", "username", "password", "note"),
    "apple_csv": ("Title", "URL", "Username", "Password", "Notes", "OTPAuth"),
    "firefox_csv": firefox_csv.COLUMNS,
    "lastpass_csv": lastpass_csv.COLUMNS,
    "bitwarden_csv": bitwarden_csv.PERSONAL,
}
FORMATS = sorted(HEADERS)
HEADERS["lastpass_forms_csv"] = lastpass_forms_csv.COLUMNS
ALL = sorted(HEADERS)
NOTES = (
    "NoteType:Credit Card\nLanguage:en-US\nNumber:1\nExpiration Date:June,2031\nExpiration Date:x\nNotes:a\nb:c",
    "NoteType:Server\n\nfree: text\nHostname:a\nHostname:b\r\nUsername:u\nmore",
    "NoteType:Own\nLanguage:xx\na:1\nb:2\n3",
    'NoteType:Address\nAddress 1:a\nAddress 3:c\nPhone:{"num":"1","ext":"2"}\nPhone:3',
    "NoteType:",
)
CODES = ("JBSWY3DPEHPK3PXP", "jbsw y3dp", "otpauth://totp/x:y?secret=JBSWY3DPEHPK3PXP&digits=8", "no code")
SPECIAL: dict[tuple[str, str], tuple[str, ...]] = {
    ("lastpass_csv", "url"): ("http://sn", "http://group", "http://", "https://a.example.test"),
    ("lastpass_csv", "extra"): NOTES,
    ("lastpass_csv", "totp"): CODES,
    ("lastpass_csv", "grouping"): ("(none)", "A\\B", "A", "A\\\\B"),
    ("apple_csv", "OTPAuth"): CODES,
    ("bitwarden_csv", "login_totp"): CODES,
    ("bitwarden_csv", "type"): ("login", "note"),
    ("bitwarden_csv", "favorite"): ("0", "1"),
    ("bitwarden_csv", "folder"): ("A/B", "A", "A//B"),
    ("bitwarden_csv", "fields"): ("a: 1\nb: 2", "a: \nb", ": x", "x:"),
    ("bitwarden_csv", "login_uri"): ("https://a,https://b", '"x,y",https://b', "a.test,b.test", ",,", "^https://x,"),
    ("firefox_csv", "url"): ("chrome://FirefoxAccounts", "https://a.example.test"),
    ("firefox_csv", "formActionOrigin"): ("https://a.example.test",),
    **{("firefox_csv", name): ("0", "1714557600123", "-1", "1" * 20) for name in firefox_csv.TIMES.values()},
}
CHARACTERS = st.one_of(st.sampled_from(",;\"'\n\r\t :&\\/"), st.characters(exclude_categories=["Cs", "Cc"]))
TEXT = st.text(CHARACTERS, max_size=12)
NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6).map(lambda name: f"x{name}")


@st.composite
def tables(draw: st.DrawFn, format: str) -> bytes:
    """Return a file of the format with any cells, further columns, in any order of columns."""
    known = list(HEADERS[format])
    header = draw(st.permutations(known + draw(st.lists(NAMES, max_size=2, unique=True))))
    lines = [draw(st.tuples(*(_cells(format, name) for name in header))) for _ in range(draw(st.integers(0, 4)))]
    return file_of(header, lines)


def _cells(format: str, name: str) -> st.SearchStrategy[str]:
    if (format, name) == ("lastpass_csv", "fav"):
        return st.sampled_from(("0", "1", ""))
    special = SPECIAL.get((format, name))
    return st.one_of(st.just(""), TEXT, st.sampled_from(special)) if special else st.one_of(st.just(""), TEXT)


def file_of(header: Any, lines: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([header, *lines])
    return text.getvalue().encode()


@pytest.mark.parametrize("format", ALL)
@settings(max_examples=60)
@given(data=st.data())
def test_any_table_written_in_its_own_format_reads_as_before(format: str, data: st.DataObject) -> None:
    loaded = laws.load(format, data.draw(tables(format)), options={"unescape_html": False})
    back, losses = laws.again(format, loaded, options={"unescape_html": False})
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


@pytest.mark.parametrize("format", ALL)
@settings(max_examples=60)
@given(data=st.data())
def test_every_cell_of_any_table_is_found_again_in_its_item(format: str, data: st.DataObject) -> None:
    source = catalog.open_source(
        Path("t.csv"), format=format, data=data.draw(tables(format)), options={"unescape_html": False}
    )
    converting.read(source)  # raises UndeclaredLoss where one is not
    values = source.ledger.values()
    assert values["arrived"] >= 0
    assert values["quarantined"] == values["dropped"] == 0


FOLDERS = {"bitwarden_csv": ("folder", "/"), "lastpass_csv": ("grouping", "\\")}


@pytest.mark.parametrize("format", FOLDERS)
@pytest.mark.parametrize(
    "names", [("0 ", "0"), (" 0", "0"), ("0", " 0 "), ("a,", "b"), (":", "/b"), (" ", "a"), ("a ",)]
)
def test_a_folders_name_may_begin_and_end_with_what_separates_others(format: str, names: tuple[str, ...]) -> None:
    column, mark = FOLDERS[format]
    header = list(HEADERS[format])
    row = {"name": "t", "type": "login", "fav": "0", column: mark.join(names)}
    loaded = laws.load(format, file_of(header, [[row.get(name, "") for name in header]]))
    back, losses = laws.again(format, loaded)
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)
    converting.read(catalog.open_source(Path("t.csv"), format=format, data=loaded.source.data))


def bare(item: Item) -> bytes:
    """Return an item without what a file of another order changes."""
    return canonical(msgspec.structs.replace(item, id="", collections=()))


@pytest.mark.parametrize("format", FORMATS)
def test_after_an_edit_an_addition_and_a_deletion_the_rest_reads_as_before(format: str) -> None:
    loaded = laws.load(format, (SAMPLES / format / "household.csv").read_bytes())
    first, _, *rest = loaded.items
    auth = find(first, BasicAuth)
    assert auth is not None
    changed = msgspec.structs.replace(auth, password=concealed('new, and "better"'))
    edited = msgspec.structs.replace(first, credentials=(changed, *first.credentials[1:]))
    own = Provenance(format=format)
    title = "" if format == "firefox_csv" else "Added"
    added = Item(
        id="added", title=title, urls=(Url(url="https://n.example.test"),), credentials=(auth,), provenance=own
    )
    data, losses = laws.render(format, (edited, *rest, added), loaded.collections, loaded.extras)
    back = laws.load(format, data)
    assert losses == []
    assert [bare(item) for item in back.items[:-1]] == [bare(item) for item in (edited, *rest)]
    assert back.items[-1].title == title
    assert canonical(find(back.items[-1], BasicAuth)) == canonical(auth)


EVERYTHING = Item(
    id="AAAAAAAAAAAAAAAAAAAAAA",
    title="Everything",
    tags=("blue", "green"),
    favorite=True,
    urls=(Url(url="https://one.example.test/login?x=1", match="host"), Url(url="https://two.example.test")),
    credentials=(
        BasicAuth(username=Field(value="ada"), password=concealed("p,w")),
        Totp(secret=Secret("JBSWY3DPEHPK3PXP"), digits=8),
        model.Passkey(credential_id="c", rp_id="one.example.test"),
        model.File(id="f", name="scan.pdf"),
        Note(content=Secret("line one\nline two")),
        CustomFields(label="Bank", fields=(concealed("0042", label="PIN"), Field(value="a\nb: c", label="two lines"))),
        model.CreditCard(number=concealed("4111"), expiry_date=Field(value="2031-06", field_type="year-month")),
    ),
    creation_at="2024-05-01T10:00:00Z",
    history=(model.Past(value=Secret("old")),),
    extra={"unknown": "kept"},
    provenance=Provenance(format="elsewhere"),
)


def lost(losses: list[Loss]) -> set[str]:
    return {loss.member for loss in losses}


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "firefox_csv"] + ["generic_csv"])
def test_what_has_no_column_of_its_own_stands_as_text_or_is_named_as_lost(format: str) -> None:
    data, losses = laws.render(format, [EVERYTHING])
    text = data.decode()
    for value in (
        "Everything",
        "ada",
        "p,w",
        "JBSWY3DPEHPK3PXP",
        "two.example",
        "0042",
        "b: c",
        "4111",
        "kept",
        "blue",
    ):
        assert value in text, value
    unsaid = {"creation_at", "history", "passkey", "file", "url.match"}
    has_star = format in ("lastpass_csv", "bitwarden_csv", "generic_csv")
    assert lost(losses) == unsaid | (set() if has_star else {"favorite"})


def test_firefox_names_all_that_it_cannot_hold() -> None:
    data, losses = laws.render("firefox_csv", [EVERYTHING])
    back = laws.load("firefox_csv", data)
    assert [item.urls[0].url for item in back.items] == ["https://one.example.test", "https://two.example.test"]
    assert len({item.provenance.source_id for item in back.items if item.provenance}) == 2
    assert {"title", "note.content", "totp.secret", "path of the address", "extra"} <= lost(losses)


@pytest.mark.parametrize("format", FORMATS)
def test_trashed_items_do_not_come_alive(format: str) -> None:
    trashed = msgspec.structs.replace(EVERYTHING, trashed=True, trashed_at="2024-05-01T10:00:00Z")
    data, losses = laws.render(format, [trashed])
    assert laws.load(format, data).items == ()
    assert [loss.member for loss in losses] == ["item"]


@pytest.mark.parametrize("format", ["chrome_csv", "apple_csv", "firefox_csv"])
def test_items_a_browser_does_not_import_are_named_as_lost(format: str) -> None:
    note = Item(id="n", title="Alarm code", credentials=(Note(content=Secret("4711")),))
    data, losses = laws.render(format, [note])
    assert laws.load(format, data).items == ()
    assert [(loss.member, loss.title, loss.count) for loss in losses] == [("item", "Alarm code", 2)]


@pytest.mark.parametrize("format", [*FORMATS, "generic_csv"])
@pytest.mark.parametrize("source", [name for name in FORMATS if name != "firefox_csv"])
def test_codes_stay_the_same_in_every_table(source: str, format: str) -> None:
    if format == "firefox_csv":
        return
    loaded = laws.load(source, (SAMPLES / source / "household.csv").read_bytes())
    data, losses = laws.render(format, loaded.items, loaded.collections)
    text, kept = data.decode(), {loss.item for loss in losses if loss.member == "item"}
    for item in loaded.items:
        for totp in find_all(item, Totp):
            assert item.id in kept or totp.secret.reveal() in text or (totp.source and totp.source.reveal() in text)


@pytest.mark.parametrize("format", ALL)
def test_a_table_without_the_formats_columns_is_refused_without_showing_any(format: str) -> None:
    with pytest.raises(WrongFormat) as refused:
        laws.load(format, b"hunter2,https://secret.example.test\nx,y\n")
    assert "hunter2" not in refused.value.message + refused.value.hint
    assert f"is no {format} file" in refused.value.message


@pytest.mark.parametrize("format", ALL)
def test_no_two_table_formats_claim_one_header(format: str) -> None:
    assert laws.load(None, file_of(HEADERS[format], [])).source.format == format


@pytest.mark.parametrize(
    "header",
    [
        ("Title", "Url", "Username", "Password", "OTPAuth", "Favorite", "Archived", "Tags", "Notes"),
        ("title", "notes", "username", "password", "url"),
        ("Group", "Title", "Username", "Password", "URL", "Notes"),
        ("name", "url", "username", "password", "note", "cardholdername", "cardnumber"),
        ("url", "username", "password"),
    ],
)
def test_headers_of_other_products_are_nobodys(header: tuple[str, ...]) -> None:
    from vault.errors import KeyferryError

    with pytest.raises(KeyferryError):
        laws.load(None, file_of(header, [["x"] * len(header)]))


@pytest.mark.parametrize("format", ALL)
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_file_cut_off_at_each_tenth_gives_the_same_items_or_a_reason(format: str, tenth: int) -> None:
    data = (SAMPLES / format / "household.csv").read_bytes()
    whole = {bare(item) for item in laws.load(format, data).items}
    try:
        cut = laws.load(format, data[: len(data) * tenth // 10])
    except Exception as refused:
        assert type(refused).__module__ == "vault.errors"
        return
    strange = [item for item in cut.items if bare(item) not in whole]
    assert len(strange) <= len(cut.ledger.warnings)
    assert len(cut.ledger.quarantine) <= 1


def test_a_header_of_its_own_comes_back_with_the_columns_that_were_added() -> None:
    loaded = laws.load("bitwarden_csv", file_of(["zone", *bitwarden_csv.ORGANIZATION], [["EU", "", "note", *[""] * 8]]))
    own = msgspec.structs.replace(loaded.items[0], favorite=True, extra={"zone": "EU", "later": "x"})
    data, _ = laws.render("bitwarden_csv", [own], loaded.collections, loaded.extras)
    assert data.decode().splitlines()[0] == ",".join(
        ("zone", "collections", "favorite", *bitwarden_csv.ORGANIZATION[1:], "later")
    )


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"name,url,username,password,note,,\nPost,https://a.example.test,ada,007,,,\n", "chrome_csv"),
        (b"Title,URL,Username,Password,Notes,OTPAuth,\nPost,https://a.example.test,ada,007,,,more\n", "apple_csv"),
    ],
)
def test_columns_without_a_name_do_not_hide_the_product(data: bytes, format: str) -> None:
    loaded = laws.load(None, data)
    assert loaded.source.format == format
    assert find(loaded.items[0], BasicAuth).password.text == "007"
    assert list(loaded.items[0].extra.values()) == (["more"] if b"more" in data else [])


@pytest.mark.parametrize("note", ["", ",", ",note", ",note\n"])
def test_a_last_login_without_line_end_is_taken_and_told(note: str) -> None:
    """Editors leave the last line end out far more often than a file is cut off within its last cell."""
    header, row = f"name,url,username,password{',note' if note else ''}\n", f"a,https://a.example.test,ada,007{note}"
    loaded = laws.load(None, f"{header}{row}".encode())
    assert [find(item, BasicAuth).password.text for item in loaded.items] == ["007"]
    assert (loaded.ledger.quarantine, len(loaded.ledger.warnings)) == ([], 0 if note.endswith("\n") else 1)


@pytest.mark.parametrize(
    ("data", "warnings"),
    [
        (b"Title,Url,Username,Password\nPost,https://a.example.test,ada,", 1),
        (b"Title,Url,Username,Password\nPost,https://a.example.test,ada,\n", 0),
        (
            b"folder,favorite,type,name,notes,fields,login_uri,login_username,login_password,login_totp\n,,login,a,,,,b,c,",
            0,
        ),
    ],
)
def test_an_empty_last_cell_without_line_end_is_told_where_the_product_ends_its_lines(
    data: bytes, warnings: int
) -> None:
    assert len(laws.load(None, data).ledger.warnings) == warnings
