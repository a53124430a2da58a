"""undo and runs: the vault as it was, plus what was done since, each named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from migrate import converting
from tests.migrate import laws
from tests.migrate.household import as_bytes, changed, export, household, login
from tests.migrate.terminal import Terminal
from vault.canonical import canonical, digest
from vault.model import Item, Vault


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A vault with one item and one folder of its owner's own."""
    made = Terminal(tmp_path, capsys).init()
    secret = made.write("secret", b"mine-1\n")
    done = made("add", "login", "--title", "Own", "--set", "folder=Home", "--set-file", f"password={secret}")
    assert done.code == 0
    return made


def content(terminal: Terminal) -> Vault:
    with terminal.store() as store:
        return store.vault()


def item(vault: Vault, title: str) -> Item:
    return next(one for one in vault.items if one.title == title)


def run_of(terminal: Terminal) -> str:
    return str(terminal("runs", "--json").json()[-1]["run"])


def test_an_import_is_taken_back_to_the_last_letter(terminal: Terminal) -> None:
    before = content(terminal)
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    assert digest(content(terminal)) != digest(before)
    done = terminal("undo")
    assert done.code == 0
    assert done.last.endswith(": 16 items removed, 1 left")
    assert canonical(content(terminal)) == canonical(before)


def test_what_was_edited_added_and_trashed_since_stays_and_is_named(terminal: Terminal) -> None:
    before = content(terminal)
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    for title in ("Mail", "Agent", "Router"):
        assert terminal("edit", title, "--set", "username=somebody").code == 0
    assert terminal("rm", "Sheet").code == 0
    assert terminal("rm", "--purge", "NA").code == 0
    assert terminal("add", "note", "--title", "Since").code == 0
    later = content(terminal)
    done = terminal("undo", "--json")
    assert done.code == 0
    after = content(terminal)
    titles = ("Mail", "Agent", "Router", "Sheet")
    kept = [item(later, title) for title in titles]
    assert {(one["id"], one["title"]) for one in done.json()["kept"]} == {(one.id, one.title) for one in kept}
    expected = sorted([*before.items, *kept, item(later, "Since")], key=lambda one: one.id)
    assert canonical(sorted(after.items, key=lambda one: one.id)) == canonical(expected)
    # Folders stay that hold one of these; the owner's own was there before.
    assert {one.title for one in after.collections} == {"Home", "Mail"}
    assert after.extras == before.extras


def test_the_text_of_undo_names_what_stays(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    assert terminal("edit", "Mail", "--set", "username=somebody").code == 0
    done = terminal("undo")
    assert done.out.splitlines()[0] == "kept: edited since"
    assert "Mail" in done.out
    assert done.last.endswith("; 1 edited since stay")


def test_undo_works_in_a_process_of_its_own(terminal: Terminal) -> None:
    before = digest(content(terminal))
    assert terminal.shell("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    assert terminal.shell("undo").code == 0
    assert digest(content(terminal)) == before


def test_a_run_between_others_can_be_taken_back(terminal: Terminal) -> None:
    first = export([login("one", "a", "1"), login("two", "a", "2")])
    second = export([login("three", "a", "3", folder="New")], "New")
    third = changed(first, "two", lambda one: one["login"].update(password="22"))
    runs = []
    for name, data in (("1.json", first), ("2.json", second), ("3.json", third)):
        assert terminal("migrate", terminal.write(name, as_bytes(data))).code == 0
        runs.append(run_of(terminal))
    whole = content(terminal)
    assert terminal("undo", runs[1]).code == 0
    after = content(terminal)
    assert [one.title for one in after.items] == ["Own", "one", "two"]
    assert canonical(after.items) == canonical([one for one in whole.items if one.title != "three"])
    assert "New" not in {one.title for one in after.collections}
    assert terminal("verify", terminal.folder / "3.json").code == 0
    assert terminal("undo", runs[2]).code == 0
    assert canonical(item(content(terminal), "two").credentials) != canonical(item(whole, "two").credentials)
    assert terminal("undo", runs[0]).code == 0
    assert [one.title for one in content(terminal).items] == ["Own"]


def test_an_earlier_run_leaves_what_a_later_one_changed(terminal: Terminal) -> None:
    first = export([login("one", "a", "1"), login("two", "a", "2")])
    third = changed(first, "two", lambda one: one["login"].update(password="22"))
    assert terminal("migrate", terminal.write("1.json", as_bytes(first))).code == 0
    run = run_of(terminal)
    assert terminal("migrate", terminal.write("3.json", as_bytes(third))).code == 0
    done = terminal("undo", run, "--json")
    assert [one["title"] for one in done.json()["kept"]] == ["two"]
    assert [one.title for one in content(terminal).items] == ["Own", "two"]


def test_undo_takes_the_newest_run_that_changed_something(terminal: Terminal) -> None:
    file = terminal.write("e.json", as_bytes(household()))
    assert terminal("migrate", file).code == 0
    run = run_of(terminal)
    assert terminal("migrate", file).last.startswith("nothing new")
    assert terminal("undo", "--json").json()["run"] == run


def test_a_run_that_only_set_records_aside_is_taken_back_after_those_that_changed_something(
    terminal: Terminal,
) -> None:
    broken = as_bytes(household()).replace(b'"reprompt": 0', b'"reprompt": NaN', 1)
    file = terminal.write("e.json", broken)
    assert terminal("migrate", file).code == 3
    first = run_of(terminal)
    assert terminal("migrate", file).code == 3
    second = run_of(terminal)
    assert terminal("undo", "--json").json()["run"] == first
    assert [one.title for one in content(terminal).items] == ["Own"]
    assert terminal("undo", "--json").json()["run"] == second
    assert terminal("runs", second, "--json").json()["quarantined"] == []


def test_a_run_that_only_made_folders_changed_something(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    empty = {**export([]), "folders": [{"id": "11111111-1111-4111-8111-111111111111", "name": "Later"}]}
    assert terminal("migrate", terminal.write("f.json", as_bytes(empty))).code == 0
    run = run_of(terminal)
    assert terminal("undo", "--json").json()["run"] == run
    assert "Later" not in {one.title for one in content(terminal).collections}


def test_a_changed_item_gets_its_old_password_back(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    before = content(terminal)
    later = changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    assert terminal("migrate", terminal.write("l.json", as_bytes(later))).code == 0
    assert terminal("undo").code == 0
    assert canonical(content(terminal)) == canonical(before)


def test_quarantined_records_go_with_their_run(terminal: Terminal) -> None:
    bad = as_bytes(household()).replace(b'"reprompt": 0', b'"reprompt": NaN', 1)
    assert terminal("migrate", terminal.write("e.json", bad)).code == 3
    run = run_of(terminal)
    assert len(terminal("runs", run, "--json").json()["quarantined"]) == 1
    assert terminal("undo").code == 0
    assert terminal("runs", run, "--json").json()["quarantined"] == []


@pytest.mark.parametrize(("run", "words"), [("nothing", "there is no import run of that name"), (None, "no import")])
def test_what_cannot_be_taken_back_is_one_sentence(terminal: Terminal, run: str | None, words: str) -> None:
    done = terminal("undo", *([run] if run else []))
    assert (done.code, done.out) == (37, "")
    assert done.err.startswith("error: ") and words in done.err


def test_nothing_is_taken_back_twice(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    run = run_of(terminal)
    assert terminal("undo", run).code == 0
    done = terminal("undo", run)
    assert (done.code, "taken back already" in done.err) == (37, True)


# --- runs


def test_runs_lists_imports_and_what_was_taken_back(terminal: Terminal) -> None:
    assert terminal("runs").out == "nothing was imported yet\n"
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    assert terminal("undo").code == 0
    done = terminal("runs")
    assert done.out.splitlines()[1].endswith("taken back")
    (one,) = terminal("runs", "--json").json()
    assert one["format"] == "bitwarden_json" and one["source"] == "e.json" and one["undone_at"]
    assert one["items"]["new"] == 16


def test_a_run_shows_what_it_set_aside_and_reveals_only_when_asked(terminal: Terminal) -> None:
    lines = as_bytes(household()).split(b"\n")
    at = next(n for n, line in enumerate(lines) if b'"reprompt": 0' in line)
    begin = max(n for n in range(at) if lines[n] == b"    {")
    lines[at] = lines[at].replace(b"0", b"NaN")
    assert terminal("migrate", terminal.write("e.json", b"\n".join(lines))).code == 3
    run = run_of(terminal)
    hidden, shown = terminal("runs", run), terminal("runs", run, "--reveal")
    assert f"(line {begin + 1}, column 5)" in hidden.out
    assert "kr,on" not in hidden.out and "NaN" not in hidden.out
    assert "kr,on" in shown.out and "NaN" in shown.out
    raw = terminal("runs", run, "--reveal", "--json").json()["quarantined"][0]["raw"]
    end = next(n for n in range(at, len(lines)) if lines[n].startswith(b"    }"))
    assert raw.encode() == b"\n".join([b"{", *lines[begin + 1 : end], b"    }"])
    assert "raw" not in terminal("runs", run, "--json").json()["quarantined"][0]


# --- a round trip after changes


def test_after_edit_addition_and_deletion_the_round_trip_is_equal_where_it_should_be(terminal: Terminal) -> None:
    assert terminal("migrate", terminal.write("e.json", as_bytes(household()))).code == 0
    secret = terminal.write("secret", b"battery-3\n")
    assert terminal("edit", "Mail", "--set-file", f"password={secret}").code == 0
    assert terminal("rm", "--purge", "Agent").code == 0
    out = terminal.folder / "out.json"
    assert terminal("export", out, "--to", "bitwarden_json").code == 0
    first, back = household(), json.loads(out.read_bytes())
    old = {one["id"]: one for one in first["items"]}
    new = {one["id"]: one for one in back["items"]}
    own = [one for one in back["items"] if one["id"] not in old]
    assert [one["name"] for one in own] == ["Own"]
    gone = [one["name"] for own_id, one in old.items() if own_id not in new]
    assert gone == ["Agent"]
    mail = next(one for one in new.values() if one["name"] == "Mail")
    assert mail["login"]["password"] == "battery-3"
    assert [past["password"] for past in mail["passwordHistory"]] == ["correct horse battery"]
    one = converting.read(laws.load(None, as_bytes(first)).source.again())
    two = converting.read(laws.load(None, out.read_bytes()).source.again())
    theirs = {_source_id(one): one for one in two.items}
    for item in one.items:
        if item.title not in ("Mail", "Agent"):
            assert _bare(item) == _bare(theirs[_source_id(item)]), item.title


def _source_id(item: Item) -> str:
    return (item.provenance.source_id or "") if item.provenance else ""


def _bare(item: Item) -> bytes:
    import msgspec

    return canonical(msgspec.structs.replace(item, id="", collections=()))
