"""Bad input is normal input: one clear sentence, its exit code, nothing lost, no secret shown, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.bad_input import files
from tests.bad_input.files import bitwarden, chrome, cut, household, login, packed
from tests.bad_input.terminal import ROOT, SECRET, Home, obey_rights, refused

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a vault with something in it that bad files must not touch."""
    home = Home(tmp_path_factory.mktemp("full") / "vault").make()
    good = home.path.with_name("good.json")
    good.write_bytes(bitwarden(login("Already here", "old password")))
    assert home.type("migrate", good).code == 0
    return home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return an empty vault."""
    return Home(tmp_path / "vault").make()


@pytest.fixture
def untouched(full: Home) -> Iterator[Home]:
    """Return the vault with something in it, and see that it is still the same afterwards."""
    store = full.path / "vault.db"
    before, bytes_before, files_before = full.content(), store.read_bytes(), full.files()
    yield full
    assert full.files() == files_before
    assert store.read_bytes() == bytes_before or full.content() == before


def written(folder: Path, data: bytes, name: str = "export.json") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


# --- files that are refused as a whole


@dataclass(frozen=True)
class Bad:
    """A file that cannot be taken, the exit code, and words of the sentence."""

    make: Callable[[], bytes]
    code: int
    words: tuple[str, ...]
    options: tuple[str, ...] = ()
    name: str = "export.json"


EMPTY, UNKNOWN, WRONG, TIE, DAMAGED, UNSAFE, ENCODING = 18, 10, 11, 12, 13, 14, 15
DEEP = b"[" * 10_000 + b"]" * 10_000

REFUSED = {
    "empty file": Bad(lambda: b"", EMPTY, ("export.json is empty", "export again")),
    "only a mark and line ends": Bad(lambda: b"\xef\xbb\xbf\r\n\r\n", EMPTY, ("is empty",)),
    "nothing but NUL bytes": Bad(lambda: bytes(4096), EMPTY, ("is empty",)),
    **{
        f"JSON cut off at {tenths}0 %": Bad(
            partial(cut, household(), tenths), DAMAGED, ("ends too early at line 1, column", "export again")
        )
        for tenths in range(1, 10)
    },
    **{
        f"ZIP cut off at {tenths}0 %": Bad(
            partial(cut, files.onepux(), tenths), DAMAGED, ("cut off or damaged",), name="export.1pux"
        )
        for tenths in range(1, 10)
    },
    "JSON named as a list of codes": Bad(bitwarden, WRONG, ("no otpauth_uris file",), ("--from", "otpauth_uris")),
    "table named as JSON": Bad(
        chrome, WRONG, ("no bitwarden_json file", "leave --from out"), ("--from", "bitwarden_json")
    ),
    "another product's table named": Bad(
        chrome, WRONG, ("no lastpass_csv file but chrome_csv",), ("--from", "lastpass_csv"), "export.csv"
    ),
    "another product's ZIP named": Bad(
        lambda: packed({"data.json": bitwarden()}), WRONG, ("no onepassword_1pux",), ("--from", "onepassword_1pux"),
    ),
    "another product's JSON named": Bad(
        lambda: b'{"vaults": {"a": {"items": []}}, "version": "1.2"}', WRONG, ("no bitwarden_json",),
        ("--from", "bitwarden_json"),
    ),
    "two products that fit": Bad(
        lambda: files.onepux(**{"data.json": bitwarden()}), TIE,
        ("could be bitwarden_json or onepassword_1pux", "--from"),
    ),
    "a format that is none": Bad(bitwarden, 2, ("there is no format", "bitwarden_json"), ("--from", "bitwarden-json")),
    "Windows-1252": Bad(
        lambda: bitwarden(login("Zoë")).replace(b"\\u00eb", b"\xeb"), ENCODING, ("byte", "--encoding cp1252")
    ),
    "an encoding that is none": Bad(bitwarden, 2, ("there is no encoding",), ("--encoding", "windows")),
    "Windows-1252 in a table": Bad(
        lambda: chrome("Zoë,https://a.example,ada,x,").decode().encode("cp1252"), ENCODING,
        ("byte 34 ", "--encoding cp1252"), name="export.csv",
    ),
    "UTF-16 cut in the middle of a character": Bad(
        lambda: bitwarden().decode().encode("utf-16")[:-1], DAMAGED, ("middle of a character",)
    ),
    "100 MB of one line": Bad(lambda: b"some words and " * 7_000_000, UNKNOWN, ("no product known",)),
    "100 MB of one line in a table": Bad(
        lambda: chrome('a,b,c,"' + "x " * 50_000_000 + '",'), DAMAGED, ("line of more than",), name="export.csv"
    ),
    "100 MB of one JSON text cut off": Bad(
        lambda: b'{"items": "' + b"x" * 100_000_000, DAMAGED, ("ends too early at line 1",)
    ),
    "a table without a header": Bad(
        lambda: f"My bank,https://example.org,ada,{SECRET}\n".encode() * 3, UNKNOWN, ("without a header",),
        name="export.csv",
    ),
    "a table that may have no header": Bad(
        lambda: f"My bank,ada,{SECRET}\n".encode() * 3, UNKNOWN, ("may hold values", "--map"), name="export.csv"
    ),
    "a table of unknown origin": Bad(
        lambda: f"Konto,Adresse,Kennwort\nBank,https://a.example,{SECRET}\n".encode(), 4,
        ("without a decision: Konto, Adresse, Kennwort", "--map Kennwort=password"), name="export.csv",
    ),
    "a column twice": Bad(
        lambda: f"name,url,url,username,password\na,https://a.example,,ada,{SECRET}\n".encode(), 4,
        ("without a decision: name, url, url (2)", "--map"), name="export.csv",
    ),
    "a table cut off in its header": Bad(
        lambda: b'"name","url","user', UNKNOWN, ("no product known",), name="export.csv"
    ),
    "a member that is cut off though its ZIP is whole": Bad(
        lambda: packed({"export.data": cut(household(), 5), "export.attributes": b"{}"}), DAMAGED,
        ("export.data ends too early at line 1",), name="export.1pux",
    ),
    "a member whose checksum is wrong": Bad(
        lambda: files.onepux().replace(b"\x4b\x2d", b"\x4b\x2e", 1) + b"", DAMAGED, ("",), name="export.1pux",
    ),
    "a member that lies about its size": Bad(files.liar, DAMAGED, ("damaged member",), name="export.1pux"),
    "ZIP bomb": Bad(files.bomb, UNSAFE, ("unpacks to far more",), name="export.1pux"),
    "a member outside of the folder": Bad(
        lambda: packed({"export.data": b"{}", "../../.bashrc": b"x"}), UNSAFE, ("leads out of its folder",)
    ),
    "a member by an absolute path": Bad(
        lambda: packed({"export.data": b"{}", "/etc/passwd": b"x"}), UNSAFE, ("leads out of its folder",)
    ),
    "1,000,000 members": Bad(files.million, UNSAFE, ("members",), name="export.1pux"),
    "1,000,000 members, 3 of them claimed": Bad(partial(files.million, 3), UNSAFE, ("members",), name="export.1pux"),
    "XML entity bomb": Bad(files.entity_bomb, UNSAFE, ("entities",), name="export.xml"),
    "JSON 10,000 deep beside the records": Bad(
        lambda: bitwarden(more="@").replace(b'"@"', DEEP), DAMAGED, ("nested too deeply",)
    ),
    "one key twice": Bad(
        lambda: bitwarden(encrypted=False).replace(b"{", b'{"encrypted": true, ', 1), DAMAGED, ("same key twice",)
    ),
    "a number JSON does not know, beside the records": Bad(
        lambda: bitwarden(more="@").replace(b'"@"', b"NaN"), DAMAGED, ("number that JSON does not allow",)
    ),
    "an export that only its account opens": Bad(
        lambda: bitwarden(encKeyValidation_DO_NOT_EDIT="2.a|b|c"), UNKNOWN, ("only its own account", "(Encrypted)")
    ),
    "an old export that only its account opens": Bad(
        lambda: bitwarden(encrypted=True), UNKNOWN, ("only its own account", "(Encrypted)")
    ),
    "an export that only its account opens, named": Bad(
        lambda: bitwarden(encrypted=True, encKeyValidation_DO_NOT_EDIT="2.a|b|c"), UNKNOWN, ("only its own account",),
        ("--from", "bitwarden_json"),
    ),
    "a program's own database": Bad(lambda: b"SQLite format 3\0" + bytes(84), UNKNOWN, ("SQLite", "export from")),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_a_file_that_cannot_be_taken_is_one_sentence(case: str, untouched: Home, tmp_path: Path) -> None:
    bad = REFUSED[case]
    path = written(tmp_path, bad.make(), bad.name)
    refused(untouched.type("migrate", path, *bad.options), bad.code, *bad.words)


@pytest.mark.parametrize("case", ["empty file", "JSON cut off at 50 %", "ZIP bomb", "a table without a header"])
@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_every_command_that_reads_says_the_same(command: str, case: str, untouched: Home, tmp_path: Path) -> None:
    bad = REFUSED[case]
    path = written(tmp_path, bad.make(), bad.name)
    target = (tmp_path / "out.json", "--to", "bitwarden_json") if command == "convert" else ()
    done = untouched.type(command, path, *target)
    assert SECRET not in done.out
    refused(done, bad.code, *bad.words)
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("case", ["empty file", "JSON cut off at 50 %", "a format that is none"])
def test_with_json_an_error_is_one_object(case: str, untouched: Home, tmp_path: Path) -> None:
    bad = REFUSED[case]
    done = untouched.type("migrate", "--json", written(tmp_path, bad.make(), bad.name), *bad.options)
    told = json.loads(done.err)
    assert (done.code, done.out) == (bad.code, "")
    assert set(told) == {"error", "message", "hint", "exit_code"}
    assert told["exit_code"] == bad.code
    assert all(word in told["message"] + told["hint"] for word in bad.words)


def test_what_comes_through_a_pipe_is_refused_alike(untouched: Home) -> None:
    refused(untouched.type("migrate", "-"), EMPTY, "standard input is empty")
    refused(untouched.type("migrate", "-", stdin=cut(household(), 5)), DAMAGED, "standard input ends too early")


def test_a_table_through_a_pipe_is_looked_at_like_a_file(untouched: Home) -> None:
    table = f"Konto,Adresse,Kennwort\nBank,https://a.example,{SECRET}\n".encode()
    shown = untouched.type("inspect", "-", stdin=table)
    assert (shown.code, "standard input" in shown.out, SECRET in shown.out) == (0, True, False)
    assert "Kennwort" in shown.out
    refused(untouched.type("verify", "-", stdin=household()), 37, "standard input was not imported")


def test_paths_that_are_no_export(untouched: Home, tmp_path: Path) -> None:
    refused(untouched.type("migrate", tmp_path), 19, "is a folder", "name the export file in it")
    refused(untouched.type("migrate", tmp_path / "nothing.json"), 19, "there is no file nothing.json")
    refused(untouched.type("migrate", "/dev/null"), 19, "no regular file")
    secret = written(tmp_path, bitwarden())
    secret.chmod(0)
    refused(untouched.type("migrate", secret, before=obey_rights), 19, "may not be read")


def test_one_bad_file_among_good_ones_stops_them_all(untouched: Home, tmp_path: Path) -> None:
    good = written(tmp_path, bitwarden(login("Newcomer")), "good.json")
    bad = written(tmp_path, cut(household(), 5), "bad.json")
    refused(untouched.type("migrate", good, bad), DAMAGED, "bad.json ends too early")
    refused(untouched.type("migrate", good, good), 2, "named twice")


def test_a_dry_run_changes_nothing(untouched: Home, tmp_path: Path) -> None:
    done = untouched.type("migrate", "--dry-run", written(tmp_path, household()))
    assert (done.code, "nothing was changed" in done.out) == (0, True)


# --- records that are refused alone


ROWS = [f'"Item {n}",https://{n}.example.org,ada,"{SECRET},{n}","two\nlines"' for n in range(12)]


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_table_cut_off_anywhere_says_so_and_keeps_the_rest(tenths: int, full: Home, tmp_path: Path) -> None:
    """Where a text ends nobody can say of a table; so what is taken is whole rows, and the torn one is told."""
    data = cut(chrome(*ROWS), tenths)
    done = full.type("migrate", "--dry-run", written(tmp_path, data, "export.csv"))
    whole = chrome(*ROWS[: data.count(b"Item")]).rstrip() == data.rstrip()
    assert done.code == (0 if whole else 3), done
    assert whole or "line" in done.out + done.err
    assert SECRET not in done.out


def test_ragged_rows_are_set_aside_with_their_lines(home: Home, tmp_path: Path) -> None:
    rows = ["a,https://a.example,ada,x,", f"b,https://b.example,ada,{SECRET},note,more", "c,https://c.example", *ROWS]
    path = written(tmp_path, chrome(*rows), "export.csv")
    done = home.type("migrate", path)
    assert done.code == 3
    assert "line 3" in done.out and "line 4" in done.out and SECRET not in done.out
    assert home.type("migrate", "--json", path).json()["items"] == {
        **dict.fromkeys(("new", "changed", "conflict"), 0), "same": 13, "quarantined": 2,
    }  # fmt: skip
    assert home.type("verify", path).code == 0


def test_a_quote_that_is_never_closed_costs_its_own_row(home: Home, tmp_path: Path) -> None:
    rows = [*ROWS[:3], f'torn,https://torn.example,ada,"{SECRET},note', *(f"after {n},,ada,x,n" for n in range(3))]
    done = home.type("migrate", written(tmp_path, chrome(*rows), "export.csv"))
    assert (done.code, "never closed" in done.out, SECRET in done.out) == (3, True, False)
    assert home.type("list").out.count("after") == 3


def test_an_unknown_column_of_a_known_table_is_kept_even_if_it_comes_twice(home: Home, tmp_path: Path) -> None:
    header = "url,username,password,totp,extra,name,grouping,fav,shade,shade"
    data = f"{header}\nhttps://a.example,ada,{SECRET},,,My bank,Bank,0,dark,light\n".encode()
    path = written(tmp_path, data, "export.csv")
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    out = tmp_path / "out.csv"
    assert home.type("export", out, "--to", "lastpass_csv").code == 0
    assert "dark,light" in out.read_text(encoding="utf-8").replace('"', "")


def test_one_rotten_record_costs_only_itself(home: Home, tmp_path: Path) -> None:
    rotten = [5, SECRET, [1], {"type": 1, "name": "a", "x": "@"}]
    data = bitwarden(login("First"), *rotten, None, login("Last")).replace(b'"@"', b'"1","x":2')
    done = home.type("migrate", "--json", written(tmp_path, data))
    assert done.code == 3
    assert done.json()["items"] == {"new": 2, "same": 0, "changed": 0, "conflict": 0, "quarantined": 4}
    shown = home.type("migrate", written(tmp_path, data)).out
    assert "items/2" in shown and "line 1, column" in shown and SECRET not in shown
    assert "Last" in home.type("list").out


ROTTEN = {
    "a NUL byte": b'"a\0b"',
    "a line break in a text": b'"a\nb"',
    "10,000 levels": DEEP,
    "a number JSON does not know": b"NaN",
    "a number of 5,000 digits": b"9" * 5000,
    "one key twice": b'1,"x":2',
    "a text that is cut off by a brace": b"tru",
}


@pytest.mark.parametrize("what", list(ROTTEN))
def test_what_json_does_not_allow_costs_only_its_record(what: str, full: Home, tmp_path: Path) -> None:
    data = bitwarden(login("First"), login("Rotten", x="@"), login("Last")).replace(b'"@"', ROTTEN[what])
    done = full.type("migrate", "--dry-run", "--json", written(tmp_path, data))
    assert done.code == 3
    assert (done.json()["items"]["new"], done.json()["items"]["quarantined"]) == (2, 1)
    assert SECRET not in done.out


def test_values_of_the_wrong_type_stay_what_they_are(home: Home, tmp_path: Path) -> None:
    odd = [
        {"type": "login", "name": {}, "login": [1, 2]},
        {"type": 1, "name": ["x"], "login": SECRET, "fields": {"a": 1}, "favorite": "yes"},
        {"type": 99, "name": "From the future", "newThing": {"a": [1.5, "2"]}},
        {"type": 1, "name": None, "login": None, "notes": None},
    ]
    path = written(tmp_path, bitwarden(*odd, folders=[1, {"id": 7, "name": ["a"]}]))
    done = home.type("migrate", "--json", path)
    assert (done.code, done.json()["items"]["new"]) == (0, 4)
    assert home.type("verify", path).code == 0


# --- texts that are taken as they are


ODD_PASSWORDS = {
    "not a number": "NA",
    "null": "null",
    "leading zeros": "007",
    "a formula": "=1+1",
    "a float": "1e5",
    "spaces": "  spaced  ",
    "line breaks": "one\ntwo\r\nthree",
    "a tab": "a\tb",
    "quotes": "a\"b'c`d,e;f\\",
    "a NUL": "a\0b",
    "an escape": "\x1b[31m",
    "marks": "\u202ea\u200b\ufeff",
    "an emoji": "😀é",
    "decomposed": "e\u0301",
    "very long": "x" * 300_000,
    "empty": "",
}


def as_rows(passwords: dict[str, str]) -> bytes:
    """Return a table as Chrome writes it, every cell quoted."""
    quoted = {title: password.replace('"', '""') for title, password in passwords.items()}
    return chrome(*(f'{title},https://example.org,ada,"{password}",' for title, password in quoted.items()))


SOURCES = {
    "export.json": lambda: bitwarden(*(login(title, password) for title, password in ODD_PASSWORDS.items())),
    "export.1pux": lambda: files.onepux(*(files.onepux_login(*pair) for pair in ODD_PASSWORDS.items())),
    "export.csv": lambda: as_rows(ODD_PASSWORDS),
}


@pytest.fixture(scope="module", params=list(SOURCES))
def odd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a vault with all odd passwords in it, out of one kind of file."""
    home = Home(tmp_path_factory.mktemp("odd") / "vault").make()
    path = written(home.path.parent, SOURCES[request.param](), request.param)
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    return home


def test_odd_passwords_come_back_out_as_they_went_in(odd: Home, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert odd.type("export", out, "--to", "bitwarden_json").code == 0
    found = {item["name"]: item["login"]["password"] or "" for item in json.loads(out.read_bytes())["items"]}
    assert found == ODD_PASSWORDS


def test_odd_passwords_survive_a_table(odd: Home, tmp_path: Path) -> None:
    out, back = tmp_path / "out.csv", tmp_path / "back.json"
    assert odd.type("export", out, "--to", "chrome_csv", "--accept-losses").code == 0
    assert odd.type("convert", out, back, "--to", "bitwarden_json").code == 0
    found = {item["name"]: item["login"]["password"] or "" for item in json.loads(back.read_bytes())["items"]}
    assert {**found, "empty": ""} == ODD_PASSWORDS  # Chrome takes no login without a password: a declared loss


@pytest.mark.parametrize("odd", ["export.json"], indirect=True)
def test_an_odd_password_is_shown_letter_by_letter(odd: Home) -> None:
    for title in ("leading zeros", "spaces", "line breaks", "a NUL", "marks", "very long"):
        call = [sys.executable, "-m", "keyferry", "show", title, "--field", "password", "--home", odd.path]
        done = subprocess.run(call, cwd=ROOT, capture_output=True, check=True)
        assert done.stdout == ODD_PASSWORDS[title].encode() + b"\n"


HOSTILE = {
    "\x1b]0;owned\x07\x1b[2J": ("\x1b", "\x07"),
    "\u202egnp.exe\u2066": ("\u202e", "\u2066"),
    "<script>alert(1)</script>": (),
    "one\nerror: two\r\nthree": ("\nerror: two", "\r"),
    "\x9b31m\x00": ("\x9b", "\x00"),
}


def test_hostile_titles_are_shown_harmlessly(home: Home, tmp_path: Path) -> None:
    folder = {"id": "f", "name": "\x1b[31mHome\u202e"}
    items = [login(title, folderId="f", notes=title) for title in HOSTILE]
    path = written(
        tmp_path, bitwarden(*items).replace(b'"folders": []', b'"folders": [' + json.dumps(folder).encode() + b"]")
    )
    report = tmp_path / "report.html"
    seen = [home.type("migrate", path, "--titles", "--report", report)]
    seen += [
        home.type(*words) for words in (("list",), ("folders",), ("runs",), ("verify", path), ("search", "script"))
    ]
    seen += [home.type("inspect", path)]
    ids = [item["id"] for item in home.type("list", "--json").json()]
    seen += [home.type("show", "--", own_id) for own_id in ids]
    assert {done.code for done in seen} == {0}
    marks = {mark for marks in HOSTILE.values() for mark in marks}
    for shown in [done.out + done.err for done in seen] + [report.read_text(encoding="utf-8")]:
        assert not [mark for mark in marks if mark in shown]
    assert "<script" not in report.read_text(encoding="utf-8")
    assert "&lt;script&gt;" in report.read_text(encoding="utf-8")
    assert "script-src" not in report.read_text(encoding="utf-8") and "default-src 'none'" in report.read_text()


def test_a_file_whose_name_holds_lines_is_told_in_one(untouched: Home, tmp_path: Path) -> None:
    done = untouched.type("migrate", written(tmp_path, b"{}", "a\nerror: b.json"))
    assert done.err.startswith("error: a\\nerror: b.json is JSON")
    refused(done, UNKNOWN, "is JSON")


def test_a_link_that_leads_to_itself_is_no_defect(untouched: Home, tmp_path: Path) -> None:
    (tmp_path / "loop.json").symlink_to("loop.json")
    refused(untouched.type("migrate", tmp_path / "loop.json"), 19, "loop.json cannot be read")


def test_a_map_for_what_is_no_table_is_named(untouched: Home, tmp_path: Path) -> None:
    refused(untouched.type("migrate", written(tmp_path, bitwarden()), "--map", "a=title"), WRONG, "leave --map out")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("export.json", "the report would be written over export.json"),
        ("link.json", "the report would be written over link.json"),
        ("report.txt", "a report is a .json or a .html file"),
        ("nowhere/report.json", "there is no folder"),
    ],
)
@pytest.mark.parametrize("command", ["migrate", "convert"])
def test_a_report_that_cannot_be_is_refused_before_any_work(
    command: str, name: str, words: str, untouched: Home, tmp_path: Path
) -> None:
    path, out = written(tmp_path, bitwarden()), tmp_path / "out.json"
    (tmp_path / "link.json").symlink_to(path)
    more = (out, "--to", "bitwarden_json") if command == "convert" else ()
    refused(untouched.type(command, path, *more, "--report", tmp_path / name), 2, words)
    assert path.read_bytes() == bitwarden()
    assert not out.exists()


def test_lone_surrogates_are_spelled_and_found_again(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, bitwarden(login("half \ud83d", "p\udc00w", **{"k\udfff": "v\ud800"})))
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    assert home.type("show", "half \\ud83d", "--field", "password").out == "p\\udc00w\n"


def test_seconds_that_were_milliseconds_are_no_year_51514(home: Home, tmp_path: Path) -> None:
    late = files.onepux_login("late", createdAt=1563472800000, updatedAt=10**17)
    path = written(tmp_path, files.onepux(files.onepux_login(), late), "export.1pux")
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    shown = home.type("show", "late", "--json")
    assert (shown.code, "51514" in shown.out) == (0, False)
    firefox = "url,username,password,httpRealm,formActionOrigin,guid,timeCreated,timeLastUsed,timePasswordChanged"
    row = '"https://a.example","ada","x",,"","{a}","1563472800000000000","-1","1563472800"'
    assert home.type("migrate", written(tmp_path, f"{firefox}\n{row}\n".encode(), "logins.csv")).code == 0


def test_dates_beyond_any_calendar_are_kept_as_they_are(home: Home, tmp_path: Path) -> None:
    dates = {"creationDate": "51514-01-01T00:00:00.000Z", "revisionDate": "+051514-01-01", "deletedDate": "0000-00-00"}
    path = written(tmp_path, bitwarden(login(**dates), login("b", creationDate=51514), login("c", creationDate="soon")))
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    out = tmp_path / "out.json"
    assert home.type("export", out, "--to", "bitwarden_json").code == 0
    kept = {item["name"]: item for item in json.loads(out.read_bytes())["items"]}
    assert {key: kept["My bank"][key] for key in dates} == dates


TEXTS = {
    "export.json": json.dumps(json.loads(bitwarden(login("Zoë", "pässword"))), ensure_ascii=False),
    "export.csv": chrome("Zoë,https://example.org,ada,pässword,").decode(),
}


@pytest.mark.parametrize("name", list(TEXTS))
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_marked_encodings_and_named_ones_are_read(encoding: str, name: str, full: Home, tmp_path: Path) -> None:
    path = written(tmp_path, TEXTS[name].encode(encoding), name)
    named = ("--encoding", encoding) if encoding == "cp1252" else ()
    done = full.type("convert", path, "-", "--to", "bitwarden_json", *named)
    assert done.code == 0
    (item,) = done.json()["items"]
    assert (item["name"], item["login"]["password"]) == ("Zoë", "pässword")


@pytest.mark.parametrize("name", list(SOURCES))
def test_the_same_file_twice_changes_nothing(name: str, home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, SOURCES[name](), name)
    assert home.type("migrate", path).code == 0
    before = home.items()
    again = home.type("migrate", "--json", path)
    assert (again.code, again.json()["items"]["same"]) == (0, len(ODD_PASSWORDS))
    assert home.items() == before


# --- encrypted exports


def test_an_encrypted_export_needs_its_password_and_says_so(untouched: Home, tmp_path: Path) -> None:
    sealed = tmp_path / "sealed.json"
    password, wrong = written(tmp_path, b"correct horse\r\n", "p"), written(tmp_path, b"correct horse ", "w")
    plain = written(tmp_path, bitwarden(login("Already here", "old password")), "plain.json")
    made = untouched.type("convert", plain, sealed, "--to", "bitwarden_json", "--out-password-file", password)
    assert made.code == 0
    assert b"old password" not in sealed.read_bytes()
    refused(untouched.type("migrate", sealed), 17, "encrypted Bitwarden export", "--password-file")
    refused(untouched.type("migrate", sealed, "--password-file", wrong), 16, "password does not open sealed.json")
    refused(untouched.type("migrate", "-", "--password-file", "-", stdin=sealed.read_bytes()), 2, "standard input")
    other = untouched.type(
        "convert", plain, tmp_path / "x.txt", "--to", "otpauth_uris", "--out-password-file", password
    )
    refused(other, 2, "cannot be written encrypted")
    to_zip = ("convert", plain, tmp_path / "x.zip", "--to", "bitwarden_json")
    refused(untouched.type(*to_zip, "--out-password-file", password), 2, "encrypts no ZIP file")
    inspected = untouched.type("inspect", sealed, "--password-file", "-", stdin=b"correct horse\n")
    assert (inspected.code, "1 login" in inspected.out) == (0, True)


def test_an_encrypted_export_is_moved_and_proven_like_a_plain_one(home: Home, tmp_path: Path) -> None:
    sealed, password = tmp_path / "sealed.json", written(tmp_path, b"correct horse", "p")
    plain = written(tmp_path, household())
    home.type("convert", plain, sealed, "--to", "bitwarden_json", "--out-password-file", password)
    done = home.type("migrate", "--json", sealed, "--password-file", password)
    assert (done.code, done.json()["items"]["new"]) == (0, 12)
    assert home.type("verify", sealed, "--password-file", password).code == 0
    refused(home.type("verify", sealed), 17, "encrypted")


# --- the vault's own troubles


def test_a_vault_that_another_process_writes_is_busy(untouched: Home, tmp_path: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from vault.keys import open_vault\n"
        "with open_vault(Path(sys.argv[1])) as store, store.transaction():\n"
        "    print('ready', flush=True); sys.stdin.readline()"
    )
    path = written(tmp_path, household())
    call = [sys.executable, "-c", hold, str(untouched.path)]
    with subprocess.Popen(call, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "ready\n"
        refused(untouched.type("migrate", path), 23, "another Keyferry process", "wait")
        assert untouched.type("list").code == 0
        other.communicate("\n")


def key_of_another_vault(home: Home) -> None:
    home.key_file.write_bytes(Home(home.path.with_name("other")).make().key_file.read_bytes())


def no_key_file(home: Home) -> None:
    home.key_file.unlink()


def some_text(home: Home) -> None:
    home.key_file.write_text("hello\n")


def readable_by_all(home: Home) -> None:
    home.key_file.chmod(0o644)


def behind_a_link(home: Home) -> None:
    home.key_file.rename(home.key_file.with_name("real"))
    home.key_file.symlink_to(home.key_file.with_name("real"))


@pytest.mark.parametrize(
    ("spoil", "code", "word"),
    [
        (key_of_another_vault, 24, "key"),
        (no_key_file, 30, "unlock --kit"),
        (some_text, 31, "key file"),
        (readable_by_all, 31, "key file"),
        (behind_a_link, 31, "key file"),
    ],
)
def test_a_wrong_key_file_is_told(
    spoil: Callable[[Home], None], code: int, word: str, home: Home, tmp_path: Path
) -> None:
    path = written(tmp_path, household())
    assert home.type("migrate", path).code == 0
    before = home.content()
    right = home.key_file.read_bytes()
    spoil(home)
    for line in (("list",), ("migrate", path)):
        refused(home.type(*line), code, word)
    home.key_file.unlink(missing_ok=True)
    home.key_file.write_bytes(right)
    home.key_file.chmod(0o600)
    assert home.content() == before


@pytest.mark.parametrize(
    "backend",
    [
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",
        "keyrings.alt.file.PlaintextKeyring",
        "no.such.Keyring",
    ],
)
@pytest.mark.parametrize("command", ["init", "migrate"])
def test_a_keyring_that_keeps_nothing_safe_counts_as_none(command: str, backend: str, tmp_path: Path) -> None:
    home = Home(tmp_path / "vault")
    line = ("init",) if command == "init" else ("migrate", written(tmp_path, household()))
    done = home.type(*line, env={"PYTHON_KEYRING_BACKEND": backend})
    refused(done, 28, "PYTHON_KEYRING_BACKEND", "keyferry init --key-file")
    assert not home.path.exists()


def test_without_any_keyring_the_line_to_type_is_shown(tmp_path: Path) -> None:
    home = Home(tmp_path / "vault")
    done = home.type("init")
    refused(done, 28, "no OS keyring", "keyferry init --key-file", "--passphrase")
    assert not home.path.exists()


def test_a_home_that_may_not_be_written(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    home = Home(closed / "vault")
    done = home.type("init", "--key-file", tmp_path / "key", before=obey_rights)
    refused(done, 40, "cannot write")
    assert not home.path.exists() and not (tmp_path / "key").exists()
    a_file = written(tmp_path, b"x", "file")
    refused(Home(a_file / "vault").type("init", "--key-file", tmp_path / "key"), 40, "cannot write")


def test_a_vault_that_became_read_only_is_read_and_not_written(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, household())
    assert home.type("migrate", path).code == 0
    before = home.content()
    more = written(tmp_path, bitwarden(login("Newcomer")), "more.json")
    for one in home.path.iterdir():
        one.chmod(0o400)
    home.path.chmod(0o500)
    refused(home.type("migrate", more, before=obey_rights), 40)
    assert home.type("list", before=obey_rights).code == 0
    home.path.chmod(0o700)
    assert home.content() == before


def test_a_result_that_may_not_be_written_leaves_nothing(untouched: Home, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    path = written(tmp_path, household())
    done = untouched.type("convert", path, closed / "out.json", "--to", "bitwarden_json", before=obey_rights)
    refused(done, 40, "cannot write")
    taken = written(tmp_path, b"mine", "taken.json")
    refused(untouched.type("convert", path, taken, "--to", "bitwarden_json", "--yes"), 42, "exists already")
    asked = untouched.type("convert", path, taken, "--to", "bitwarden_json")
    assert (asked.code, "exists already" in asked.error) == (42, True)
    assert taken.read_bytes() == b"mine"
    link = tmp_path / "link.json"
    link.symlink_to(taken)
    refused(untouched.type("convert", path, link, "--to", "bitwarden_json", "--yes"), 42, "exists already")
    dangling = tmp_path / "dangling.json"
    dangling.symlink_to(tmp_path / "nowhere")
    refused(untouched.type("convert", path, dangling, "--to", "bitwarden_json"), 43, "link")


def test_a_damaged_vault_is_told_and_left_alone(home: Home, tmp_path: Path) -> None:
    store = home.path / "vault.db"
    whole = store.read_bytes()
    for broken in (b"", b"SQLite format 3\0" + bytes(4080), whole[: len(whole) // 2], bytes(len(whole))):
        store.write_bytes(broken)
        done = home.type("migrate", written(tmp_path, household()))
        assert done.code in (24, 25), done
        assert store.read_bytes() == broken
    store.write_bytes(whole)
    assert home.type("list").code == 0
