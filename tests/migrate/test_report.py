"""Reports and tables: hostile text is harmless wherever it is shown, and only known keys are named."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path

import pytest

from migrate import catalog
from migrate.ledger import Ledger, Quarantined
from migrate.report import Lines, as_dict, as_html, as_json
from tests.migrate.household import as_bytes, export, login
from tests.migrate.terminal import Terminal

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x1b[31mred"
BIDI = "safe\u202etxt.exe\u2066x\u2069"
LINES = "one\r\ntwo\u2028three\x85four"
SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"
INVISIBLE = "a\u200bb\ufeffc\u00add"
HOSTILE = {"escape": ESCAPE, "bidi": BIDI, "lines": LINES, "script": SCRIPT, "invisible": INVISIBLE}

STEERING = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """An empty vault."""
    return Terminal(tmp_path, capsys).init()


class Page(html.parser.HTMLParser):
    """What a browser makes of a page: its elements, their attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(text: str) -> Page:
    """Fail where a page could run, load or hide anything."""
    page = Page(text)
    allowed = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "td", "th"}
    assert {tag for tag, _ in page.tags} <= allowed
    policies = [attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not any(name.startswith("on") or name in ("src", "href") for _, attrs in page.tags for name in attrs)
    assert not STEERING.search(text)
    return page


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_titles_folders_and_keys_are_harmless_everywhere(terminal: Terminal, text: str) -> None:
    items = [
        login(text, text, "pw-1", f"https://x.test/{text}", folder=text, **{f"key {text}": text}),
        login("Plain", "ann", "pw-2", reprompt="@@"),
    ]
    data = as_bytes(export(items, text)).replace(b'"@@"', b"NaN")
    source = terminal.write("export.json", data)
    page, report = terminal.folder / "report.html", terminal.folder / "report.json"
    typed: list[tuple[str | Path, ...]] = [
        ("inspect", source),
        ("migrate", source, "--report", page, "--titles"),
        ("migrate", source, "--report", report, "--titles"),
        ("migrate", "--json", source),
        ("list",),
        ("list", "--json"),
        ("folders",),
        ("runs",),
        ("edit", text, "--set", "username=else"),
        ("verify", source),
        ("verify", "--json", source),
        ("undo",),
        ("undo", "nothing"),
    ]
    for arguments in typed:
        done = terminal(*arguments)
        assert done.code in (0, 3, 35, 37), (arguments, done.err)
        assert not STEERING.search(done.out + done.err), arguments
    assert "<script" not in check_page(page.read_text()).text.replace(SCRIPT, "")
    assert not STEERING.search(report.read_text())
    titles = json.loads(report.read_text())["titles"]
    assert len(titles) == 1


def test_hostile_headers_of_an_unknown_table_are_harmless(terminal: Terminal) -> None:
    for number, text in enumerate(HOSTILE.values()):
        header = f'"{text.replace(chr(34), chr(34) * 2)}",user,pass,site\n'
        rows = "".join(f"a{n},ann,pw{n},https://s{n}.test\n" for n in range(5))
        source = terminal.write(f"table{number}.csv", (header + rows).encode())
        for arguments in (("inspect", source), ("migrate", source), ("migrate", source, "--map", "user=username")):
            done = terminal(*arguments)
            assert "Traceback" not in done.err
            assert not STEERING.search(done.out + done.err), arguments


def test_a_hostile_file_name_is_harmless(terminal: Terminal) -> None:
    source = terminal.write("a\x1b[2Jb\u202ec.json", as_bytes(export([login("One", "a", "b")])))
    for arguments in (
        ("inspect", source),
        ("migrate", source),
        ("runs",),
        ("verify", source),
        ("inspect", f"{source}x"),
    ):
        done = terminal(*arguments)
        assert not STEERING.search(done.out + done.err), arguments


# --- lines


def ledger() -> Ledger:
    made = Ledger({}, {})
    made.elsewhere("items/0", {"organizationId": "o"}, "")
    made.elsewhere("items/0", {"my own key": "x", "another": ["y", "z"]}, "")
    made.elsewhere("items/1", {"my own key": "x"}, "")
    made.elsewhere("items/1", {"deep": "x"}, "login.uris[]")
    made.dropped("my column", "by your --map", 2)
    made.set_aside(Quarantined("items/7", "the record is no object", b"7", 3, 9))
    made.warn("something to know")
    return made


def test_what_is_with_an_item_and_what_is_beside_all_items_are_told_apart() -> None:
    made = Ledger({}, {})
    made.elsewhere("items/0", {"organizationId": "o"})
    made.elsewhere("", {"organizationId": "o", "encrypted": "x"})
    assert Lines.of(made, catalog.adapter("bitwarden_json")).rows == [
        ("elsewhere", "organizationId", "kept raw, shown as a custom field", 1),
        ("elsewhere", "organizationId", "kept raw beside the items, never shown", 1),
        ("elsewhere", "encrypted", "kept raw beside the items, never shown", 1),
    ]


def test_a_rule_is_told_in_words() -> None:
    made = Ledger({}, {})
    made.changed_lines.update({"bitwarden_expiry": 2, "html_entities": 3, "of_no_adapter": 1})
    assert [why for _, _, why, _ in Lines.of(made, catalog.adapter("bitwarden_json")).rows] == [
        "HTML entities such as &amp; become what they stand for",
        "Month and year of a card's expiry become one month of a year",
        "of no adapter",
    ]


def test_only_keys_of_the_format_are_named() -> None:
    rows = Lines.of(ledger(), catalog.adapter("bitwarden_json")).rows
    told = {what: n for fate, what, _, n in rows if fate == "elsewhere"}
    assert told == {"organizationId": 1, "key[1]": 2, "key[2]": 2, "login.uris[].key[3]": 1}
    assert [row for row in rows if row[0] == "quarantined"] == [
        ("quarantined", "items/7 (line 3, column 9)", "the record is no object", 1)
    ]
    assert all("my " not in cell for row in rows for cell in map(str, row))


def test_a_long_table_says_how_many_lines_are_left() -> None:
    made = Ledger({}, {})
    for number in range(40):
        made.elsewhere("items/0", {f"k{number}": "x"}, "")
    table = Lines.of(made, catalog.adapter("bitwarden_json")).table()
    assert len(table) == 13
    assert table[-1][1:3] == ("28 more lines", "all with --report FILE")


def test_a_value_s_path_is_shown_without_keys_of_the_user() -> None:
    shown = Lines.shown_path(catalog.adapter("bitwarden_json"))
    assert shown("login.uris[0].uri") == "login.uris[0].uri"
    assert shown("my secret key.deep") == "….…"
    assert shown("fields[2].my.own") == "fields[2].….…"


def test_a_report_for_machines_is_json_and_complete() -> None:
    adapter = catalog.adapter("bitwarden_json")
    made = json.loads(as_json(as_dict({"run": "r"}, ledger(), adapter, [("items/0", "My bank")])))
    assert made["product"] == "Bitwarden"
    assert made["titles"] == [{"place": "items/0", "title": "My bank"}]
    assert sum(line["values"] for line in made["lines"] if line["fate"] == "elsewhere") == 6
    assert made["warnings"] == ["something to know"]
    assert "titles" not in as_dict({}, ledger(), adapter)


def test_a_page_shows_the_same_numbers() -> None:
    adapter = catalog.adapter("bitwarden_json")
    summary = {"items": {"new": 3}, "values": {"total": 7}}
    page = check_page(as_html(as_dict(summary, ledger(), adapter)))
    assert "Keyferry: Bitwarden" in page.text
    assert "new3" in page.text and "total7" in page.text
