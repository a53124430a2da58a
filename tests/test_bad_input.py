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
    before = full.content(), full.files()
    yield full
    assert (full.content(), full.files()) == before


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
            partial(cut, packed({"export.data": household(), "export.attributes": b"{}"}), tenths),
            DAMAGED,
            ("cut off or damaged",),
            name="export.1pux",
        )
        for tenths in range(1, 10)
    },
    "JSON named as a list of codes": Bad(bitwarden, WRONG, ("no otpauth_uris file",), ("--from", "otpauth_uris")),
    "table named as JSON": Bad(
        chrome, WRONG, ("no bitwarden_json file", "leave --from out"), ("--from", "bitwarden_json")
    ),
    "another product's JSON named": Bad(
        lambda: b'{"vaults": {"a": {"items": []}}, "version": "1.2"}', WRONG, ("no bitwarden_json",),
        ("--from", "bitwarden_json"),
    ),
    "a format that is none": Bad(bitwarden, 2, ("there is no format", "bitwarden_json"), ("--from", "bitwarden-json")),
    "Windows-1252": Bad(
        lambda: bitwarden(login("Zoë")).replace(b"\\u00eb", b"\xeb"), ENCODING, ("byte", "--encoding cp1252")
    ),
    "an encoding that is none": Bad(bitwarden, 2, ("there is no encoding",), ("--encoding", "windows")),
    "UTF-16 cut in the middle of a character": Bad(
        lambda: bitwarden().decode().encode("utf-16")[:-1], DAMAGED, ("middle of a character",)
    ),
    "a NUL byte in JSON": Bad(
        lambda: bitwarden(login("a|b")).replace(b"a|b", b"a\0b"), DAMAGED, ("no valid JSON at line 1",)
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
    "JSON 10,000 deep in a record": Bad(
        lambda: bitwarden(login(), login(x="@")).replace(b'"@"', DEEP), DAMAGED, ("nested too deeply",)
    ),
    "JSON 10,000 deep beside the records": Bad(
        lambda: bitwarden(more="@").replace(b'"@"', DEEP), DAMAGED, ("nested too deeply",)
    ),
    "one key twice": Bad(
        lambda: bitwarden(encrypted=False).replace(b"{", b'{"encrypted": true, ', 1), DAMAGED, ("same key twice",)
    ),
    "a number JSON does not know": Bad(
        lambda: bitwarden(login(x="@")).replace(b'"@"', b"NaN"), DAMAGED, ("no valid JSON",)
    ),
    "an export that only its account opens": Bad(
        lambda: bitwarden(encKeyValidation_DO_NOT_EDIT="2.a|b|c"), UNKNOWN, ("only its own account", "(Encrypted)")
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


def test_one_rotten_record_costs_only_itself(home: Home, tmp_path: Path) -> None:
    rotten = [5, SECRET, [1], {"type": 1, "name": "a", "x": "@"}]
    data = bitwarden(login("First"), *rotten, None, login("Last")).replace(b'"@"', b'"1","x":2')
    done = home.type("migrate", "--json", written(tmp_path, data))
    assert done.code == 3
    assert done.json()["items"] == {"new": 2, "same": 0, "changed": 0, "conflict": 0, "quarantined": 4}
    shown = home.type("migrate", written(tmp_path, data)).out
    assert "items/2" in shown and "line 1, column" in shown and SECRET not in shown
    assert "Last" in home.type("list").out


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
    "long": "x" * 300_000,
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Return a vault with all odd passwords in it."""
    home = Home(tmp_path_factory.mktemp("odd") / "vault").make()
    items = [login(title, password) for title, password in ODD_PASSWORDS.items()] + [login("empty", "")]
    path = written(home.path.parent, bitwarden(*items))
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    return home


@pytest.mark.parametrize("title", list(ODD_PASSWORDS))
def test_an_odd_password_arrives_letter_by_letter(title: str, odd: Home) -> None:
    assert odd.type("show", title, "--json", "--reveal").code == 0
    done = subprocess.run(
        [sys.executable, "-m", "keyferry", "show", title, "--field", "password", "--home", odd.path],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    assert done.stdout == ODD_PASSWORDS[title].encode() + b"\n"


def test_an_empty_password_is_no_missing_item(odd: Home) -> None:
    assert "empty" in odd.type("list").out


def test_odd_texts_come_back_out_as_they_went_in(odd: Home, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert odd.type("export", out, "--to", "bitwarden_json").code == 0
    found = {item["name"]: item["login"]["password"] for item in json.loads(out.read_bytes())["items"]}
    assert found.items() >= ODD_PASSWORDS.items()


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


def test_lone_surrogates_are_spelled_and_found_again(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, bitwarden(login("half \ud83d", "p\udc00w", **{"k\udfff": "v\ud800"})))
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    assert home.type("show", "half \\ud83d", "--field", "password").out == "p\\udc00w\n"


def test_dates_beyond_any_calendar_are_kept_as_they_are(home: Home, tmp_path: Path) -> None:
    dates = {"creationDate": "51514-01-01T00:00:00.000Z", "revisionDate": "+051514-01-01", "deletedDate": "0000-00-00"}
    path = written(tmp_path, bitwarden(login(**dates), login("b", creationDate=51514), login("c", creationDate="soon")))
    assert home.type("migrate", path).code == 0
    assert home.type("verify", path).code == 0
    out = tmp_path / "out.json"
    assert home.type("export", out, "--to", "bitwarden_json").code == 0
    kept = {item["name"]: item for item in json.loads(out.read_bytes())["items"]}
    assert {key: kept["My bank"][key] for key in dates} == dates


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_marked_encodings_and_named_ones_are_read(encoding: str, home: Home, tmp_path: Path) -> None:
    text = json.dumps({"encrypted": False, "folders": [], "items": [login("Zoë", "pässword")]}, ensure_ascii=False)
    path = written(tmp_path, text.encode(encoding))
    named = ("--encoding", encoding) if encoding == "cp1252" else ()
    assert home.type("migrate", path, *named).code == 0
    assert home.type("show", "Zoë", "--field", "password").out == "pässword\n"


def test_the_same_file_twice_changes_nothing(home: Home, tmp_path: Path) -> None:
    path = written(tmp_path, household())
    assert home.type("migrate", path).code == 0
    before = home.type("list", "--json").out
    again = home.type("migrate", "--json", path)
    assert (again.code, again.json()["items"]["same"], again.json()["items"]["new"]) == (0, 12, 0)
    assert home.type("list", "--json").out == before


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
    for line in (("list",), ("migrate", path), ("show", "Item 1", "--reveal")):
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
