"""LastPass tables: typed notes, folders, escaped files, rows that slipped."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.formats import _lastpass, _lastpass_types
from migrate.formats.lastpass_csv import COLUMNS
from tests.migrate import laws
from vault import model
from vault.model import BasicAuth, Collection, CustomFields, Field, Item, Note, Totp, Url, concealed, find, find_all
from vault.secret import Secret

SAMPLES = Path(__file__).parents[2] / "samples" / "lastpass_csv"


def file(*rows: dict[str, str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows({"fav": "0", **row} for row in rows)
    return text.getvalue().encode()


def note(text: str, **cells: str) -> Item:
    return laws.load("lastpass_csv", file({"url": "http://sn", "extra": text, "name": "n", **cells})).items[0]


def test_a_card_is_a_card_and_its_month_a_month() -> None:
    item = note("NoteType:Credit Card\nLanguage:en-US\nNumber:4111 1111\nExpiration Date:June, 31\nNotes:call: 0800")
    card = find(item, model.CreditCard)
    assert item.template == "Credit Card"
    assert card.number.text == "4111 1111"
    assert card.number.is_concealed
    assert (card.expiry_date.text, card.expiry_date.field_type) == ("2031-06", "year-month")
    assert find(item, Note).content.reveal() == "call: 0800"


def test_a_driver_s_license_with_an_address_is_a_license() -> None:
    item = note("NoteType:Driver's License\nNumber:D 1\nName:Ada\nAddress:1 Harbour Road\nCity / Town:Hull\nNotes:")
    assert find(item, model.Address) is not None
    assert model.kind_of(item) == "drivers-license"


def test_a_column_otp_holds_one_time_codes() -> None:
    header = b"url,username,password,otp,extra,name,grouping,fav\n"
    item = laws.load("lastpass_csv", header + b"https://a.example,ann,p,JBSWY3DPEHPK3PXP,,A,,0\n").items[0]
    assert find(item, Totp).secret.reveal() == "JBSWY3DPEHPK3PXP"
    assert not item.extra


def test_a_line_begins_a_value_only_if_its_label_is_one_of_the_type() -> None:
    key = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\nNotes on: this\n-----END X-----"
    ssh = find(note(f"NoteType:SSH Key\nPrivate Key:{key}\nPublic Key:ssh-rsa A\nNotes:"), model.SshKey)
    assert ssh.private_key.reveal() == key
    assert ssh.public_key == "ssh-rsa A"


def test_a_line_with_another_label_is_a_field_and_never_part_of_a_password() -> None:
    item = note("NoteType:Server\nLanguage:en-US\nHostname:h\nPassword:p\nRack: 7\nUsername:u\nNotes:")
    auth = find(item, BasicAuth)
    assert (auth.username.text, auth.password.text) == ("u", "p")
    assert [(f.label, f.text) for f in find(item, CustomFields).fields] == [("Hostname", "h"), ("Rack", " 7")]


def test_a_key_in_a_note_of_an_own_type_stays_whole() -> None:
    key = "-----BEGIN X-----\nProc-Type: 4,ENCRYPTED\n-----END X-----"
    item = note(f"NoteType:Custom_12\nLanguage:en-US\nServer key:{key}\nHost:h\nNotes:")
    assert [(f.label, f.text) for f in find(item, CustomFields).fields] == [("Server key", key), ("Host", "h")]


@pytest.mark.parametrize("own_type", ["American Express", "Mastercard", "VISA"])
def test_a_card_under_an_old_name_of_its_type_is_a_card(own_type: str) -> None:
    item = note(f"NoteType:{own_type}\nLanguage:en-US\nName on Card:Ada\nNumber:3782\nSecurity Code:0042\nNotes:")
    assert find(item, model.CreditCard).number.text == "3782"
    assert item.template == own_type


@pytest.mark.parametrize(
    "text", ["battery", "NoteType:Server\nLanguage:en-US\nHostname:h\nUsername:\nPassword:\nNotes:"]
)
def test_a_note_with_a_user_name_and_a_password_keeps_them_in_fields(text: str) -> None:
    row = {"url": "http://sn", "extra": text, "name": "n", "username": "ada", "password": "007", "totp": "GEZDGNBV"}
    loaded = laws.load("lastpass_csv", file(row))
    section = list(find_all(loaded.items[0], CustomFields))[-1]
    assert [(f.label, f.text, f.is_concealed) for f in section.fields] == [
        ("username", "ada", False),
        ("password", "007", True),
        ("totp", "GEZDGNBV", True),
    ]
    assert loaded.items[0].extra == {}
    back = next(csv.DictReader(io.StringIO(laws.render("lastpass_csv", loaded.items)[0].decode())))
    assert back == {"grouping": "", "fav": "0", **row}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("url,username,password,extra,name,grouping,totp", "https://a.example.test,ada,007,note,Post,Mail,GEZDGNBV"),
        ("url,username,password,hostname,name,grouping", "https://a.example.test,ada,007,Mail/Post,Post,Mail"),
        ("url,username,password,extra,name,grouping,fav,,", "https://a.example.test,ada,007,note,Post,Mail,0,,"),
    ],
)
def test_a_header_of_other_years_and_tools_is_lastpass_too(header: str, row: str) -> None:
    loaded = laws.load(None, f"{header}\n{row}\n".encode())
    (item,) = loaded.items
    auth = find(item, BasicAuth)
    assert loaded.source.format == "lastpass_csv"
    assert (item.title, auth.username.text, auth.password.text) == ("Post", "ada", "007")
    assert [folder.title for folder in loaded.collections] == ["Mail"]
    assert laws.render("lastpass_csv", loaded.items, loaded.collections, loaded.extras)[1] == []


def test_what_stands_after_notes_belongs_to_the_notes() -> None:
    item = note("NoteType:Server\nHostname:h\nNotes:one\nPassword:not this\nNotes:again")
    assert find(item, Note).content.reveal() == "one\nPassword:not this\nNotes:again"
    assert find(item, BasicAuth).password is None


def test_an_own_type_takes_any_label() -> None:
    item = note("NoteType:Custom_12\nLanguage:en-US\nDoor code:4711\nmy password:x\nNotes:")
    assert [(f.label, f.text) for f in find(item, CustomFields).fields] == [("Door code", "4711"), ("my password", "x")]


def test_a_note_without_a_type_is_text() -> None:
    item = note("Hostname:h\nNoteType:Server")
    assert [type(c) for c in item.credentials] == [Note]
    assert item.template is None


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_the_last_line_is_no_part_of_a_password(end: str) -> None:
    item = note(f"NoteType:Server\nHostname:h\nUsername:u\nPassword:p{end}")
    auth = find(item, BasicAuth)
    assert auth is not None and auth.password is not None
    assert auth.password.text == "p"


def test_a_login_whose_notes_look_typed_stays_a_login() -> None:
    row = {"url": "https://a.example.test", "username": "u", "extra": "NoteType:Server\nHostname:h"}
    item = laws.load("lastpass_csv", file(row)).items[0]
    assert find(item, Note).content.reveal() == "NoteType:Server\nHostname:h"


@pytest.mark.parametrize("own_type", sorted(_lastpass_types.NOTE_TYPES))
def test_every_label_of_every_type_arrives_and_goes_back_under_its_label(own_type: str) -> None:
    labels = _lastpass_types.NOTE_TYPES[own_type].labels
    lines = [f"{label}:value {number}" for number, label in enumerate(labels)]
    text = "\n".join([f"NoteType:{own_type}", "Language:en-US", *lines, "Notes:end"])
    loaded = laws.load("lastpass_csv", file({"url": "http://sn", "extra": text, "name": "n"}))
    data, losses = laws.render("lastpass_csv", loaded.items)
    assert losses == []
    assert next(csv.DictReader(io.StringIO(data.decode())))["extra"] == text


LINES = st.lists(
    st.one_of(
        st.sampled_from(["Hostname:a", "Username:b", "Password:c", "Notes:d", "free", "own: e", ":", "", "Language:x"]),
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=6),
    ),
    max_size=8,
)


@given(st.sampled_from(["Server", "Custom_1", "Credit Card"]), LINES, st.sampled_from(["\n", "\r\n"]))
def test_a_typed_note_is_cut_without_losing_a_character_but_the_end_of_its_last_line(
    own_type: str, lines: list[str], end: str
) -> None:
    text = end.join([f"NoteType:{own_type}", *lines])
    typed = _lastpass.cut(text)
    assert typed is not None
    language = [] if typed.language is None else [f"Language:{typed.language}"]
    pairs = [f"{label}:{value}" if label else value for label, value in typed.pairs]
    again = end.join([f"NoteType:{own_type}", *language, *pairs])
    assert text in (again, again + end)


def test_cards_keys_and_people_of_other_products_become_typed_notes() -> None:
    card = model.CreditCard(
        number=concealed("4111"), expiry_date=Field(value="2031-06", field_type="year-month"), pin=concealed("0042")
    )
    extra = CustomFields(fields=(Field(value="0800\nNumber:5", label="call"),))
    data, losses = laws.render("lastpass_csv", [Item(id="c", title="Visa", credentials=(card, extra))])
    row = next(csv.DictReader(io.StringIO(data.decode())))
    assert losses == []
    assert row["url"] == "http://sn"
    assert row["extra"].startswith("NoteType:Credit Card\nLanguage:en-US\nName on Card:\nType:\nNumber:4111\n")
    assert row["extra"].endswith("Expiration Date:June,2031\nNotes:credit card pin: 0042\ncall: 0800\nNumber:5")


def test_only_a_code_with_nothing_but_defaults_has_a_column() -> None:
    plain, other = Totp(secret=Secret("JBSWY3DPEHPK3PXP")), Totp(secret=Secret("JBSWY3DPEHPK3PXP"), digits=8)
    items = [Item(id=str(n), title="t", credentials=(BasicAuth(), code)) for n, code in enumerate((plain, other))]
    rows = list(csv.DictReader(io.StringIO(laws.render("lastpass_csv", items)[0].decode())))
    assert [row["totp"] for row in rows] == ["JBSWY3DPEHPK3PXP", ""]
    assert "otpauth://totp/" in rows[1]["extra"] and "digits=8" in rows[1]["extra"]


def test_folders_are_paths_and_markers_bring_empty_ones() -> None:
    loaded = laws.load("lastpass_csv", (SAMPLES / "folder_markers.csv").read_bytes())
    assert len(loaded.items) == 3
    assert [c.title for c in loaded.collections if not c.aliases] == ["Shared-Home", "Deep", "Below"]


def test_an_empty_folder_of_another_product_becomes_a_marker() -> None:
    folders = (Collection(id="a", title="Home"), Collection(id="b", title="Empty", parent="a"))
    item = Item(id="i", title="t", urls=(Url(url="https://a.example.test"),), collections=("a",))
    data, _ = laws.render("lastpass_csv", [item], folders)
    rows = [(row["url"], row["grouping"]) for row in csv.DictReader(io.StringIO(data.decode()))]
    assert rows == [("https://a.example.test", "Home"), ("http://group", "Home\\Empty")]


def test_items_given_only_once_are_enough_to_know_which_folders_are_empty() -> None:
    from migrate import catalog
    from migrate.giving import Outgoing

    loaded = laws.load("lastpass_csv", (SAMPLES / "household.csv").read_bytes())
    out, file = Outgoing("lastpass_csv", loaded.collections, iter(loaded.items)), io.BytesIO()
    write = catalog.adapter("lastpass_csv").render
    assert write is not None
    write(out, file)
    assert b"http://group" not in file.getvalue()


def test_a_name_that_reads_as_a_path_is_named_as_a_loss() -> None:
    item = Item(id="i", title="t", credentials=(Note(content=Secret("x")),), collections=("a",))
    _, losses = laws.render("lastpass_csv", [item], [Collection(id="a", title="C:\\Users")])
    assert [loss.member for loss in losses] == ["a folder's name that holds \\"]


def test_an_escaped_file_is_told_and_the_decision_kept_for_the_proof() -> None:
    loaded = laws.load(None, (SAMPLES / "html_escaped.csv").read_bytes())
    assert loaded.source.options["unescape_html"] is True
    assert "HTML-escaped" in loaded.ledger.warnings[0]
    assert loaded.items[1].credentials[0].password.text == "a&amp;b"  # type: ignore[union-attr]


def test_entities_in_a_file_that_is_not_escaped_are_counted_and_stay() -> None:
    rows = [{"url": "https://a.example.test", "password": cell, "name": "n"} for cell in ("a&amp;b&lt;c", "a&b")]
    loaded = laws.load(None, file(*rows))
    assert [find(item, BasicAuth).password.text for item in loaded.items] == ["a&amp;b&lt;c", "a&b"]
    assert loaded.ledger.warnings == [
        "places that look HTML-escaped (&amp; for &): 2, but the file as a whole is not; "
        "taken as they stand, so look at passwords with an & in them"
    ]


def test_an_escaped_file_is_taken_as_it_stands_where_the_user_says_so() -> None:
    loaded = laws.load(None, (SAMPLES / "html_escaped.csv").read_bytes(), options={"unescape_html": False})
    assert loaded.items[1].credentials[0].password.text == "a&amp;amp;b"  # type: ignore[union-attr]
    assert loaded.ledger.warnings == []


def test_a_row_whose_cells_slipped_costs_only_itself() -> None:
    loaded = laws.load(None, (SAMPLES / "slipped_rows.csv").read_bytes())
    assert [item.title for item in loaded.items] == ["A", "G", "H", "I"]
    assert [q.line for q in loaded.ledger.quarantine] == [3, 4, 5, 6, 7, 8]
    assert loaded.ledger.values()["arrived"] == 16


def logins(count: int) -> list[dict[str, str]]:
    """Return logins with all that a table is known to lose: zeros, signs, quotes, lines, letters beyond ASCII."""
    hard = ["007", "=1+1", "+49", "-x", "@home", "NA", " spaced ", 'qu"ote', "com,ma; tab\t", "é€ß", "two\nlines"]
    hard.append("<&>")
    return [
        {
            "url": f"https://site{n}.example.test/?a=1&b={n}",
            "username": f"user {n}",
            "password": f"{hard[n % len(hard)]}",
            "extra": "one\r\ntwo" if n % 7 == 0 else "",
            "name": f"Site {n}",
            "grouping": "Home\\Büro",
        }
        for n in range(count)
    ]


def respelled(data: bytes, delimiter: str = ",", end: str = "\n") -> str:
    text = io.StringIO(newline="")
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()


def escaped(data: bytes) -> bytes:
    rows = [[html.escape(cell) for cell in row] for row in csv.reader(io.StringIO(data.decode(), newline=""))]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


VARIANTS: dict[str, tuple[Callable[[bytes], bytes], dict[str, str]]] = {
    "BOM": (lambda data: b"\xef\xbb\xbf" + data, {}),
    "UTF-16": (lambda data: data.decode().encode("utf-16"), {}),
    "UTF-16 without a mark": (lambda data: data.decode().encode("utf-16-le"), {"encoding": "utf-16-le"}),
    "Windows-1252": (lambda data: data.decode().encode("cp1252"), {"encoding": "cp1252"}),
    "semicolons": (lambda data: respelled(data, ";").encode(), {}),
    "tabs": (lambda data: respelled(data, "\t").encode(), {}),
    "CRLF": (lambda data: respelled(data, end="\r\n").encode(), {}),
    "CR": (lambda data: respelled(data, end="\r").encode(), {}),
    "HTML-escaped": (escaped, {}),
    "no last line end": (lambda data: data.rstrip(b"\r\n"), {}),
    "header twice": (lambda data: data + data[: data.index(b"\n") + 1], {}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_200_logins_come_out_of_every_spelling_of_the_file(variant: str) -> None:
    data = file(*logins(200))
    change, options = VARIANTS[variant]
    expected, found = laws.load(None, data), laws.load(None, change(data), options=options)
    assert len(expected.items) == 200
    assert expected.ledger.warnings == []
    assert laws.canon(found) == laws.canon(expected)


def test_the_password_of_a_thousandth_login_is_the_one_of_its_row() -> None:
    rows = logins(1000)
    found = laws.load(None, file(*rows)).items
    assert [find(item, BasicAuth).password.text for item in found] == [row["password"] for row in rows]
