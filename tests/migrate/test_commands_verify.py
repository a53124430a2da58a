"""verify: whatever somebody does to the vault afterwards, it says what is gone, edited or in another place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.migrate.household import as_bytes, changed, export, household, login, own_id
from tests.migrate.terminal import Terminal
from vault.store import Store

Row = dict[str, Any]


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Terminal:
    """A vault with the household in it."""
    made = Terminal(tmp_path, capsys).init()
    file = made.write("export.json", as_bytes(household()))
    assert made("migrate", file).code == 0
    return made


def tamper(terminal: Terminal, *titles: str, change: Callable[..., None]) -> list[str]:
    """Change rows behind the store's back; return their ids."""
    with terminal.store() as store:
        rows = [_row(store, title) for title in titles]
        change(*rows)
        for row in rows:
            body = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
            store._db.do("UPDATE items SET body = ? WHERE id = ?", (body, row["id"]))
        return [row["id"] for row in rows]


def _row(store: Store, title: str) -> Row:
    found = (json.loads(body) for _, body in store.rows())
    return next(row for row in found if row.get("title") == title)


def swap_passwords(one: Row, other: Row) -> None:
    a, b = one["credentials"][0]["password"], other["credentials"][0]["password"]
    a["value"], b["value"] = b["value"], a["value"]


def test_all_there_is_all_there(terminal: Terminal) -> None:
    done = terminal("verify", terminal.folder / "export.json")
    assert (done.code, done.err) == (0, "")
    assert done.last.startswith("all there: 166 of 166 values of run ")


def test_two_swapped_passwords_are_missing_at_both_places(terminal: Terminal) -> None:
    tamper(terminal, "Mail", "My bank", change=swap_passwords)
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 4
    assert [line.split()[0] for line in done.out.splitlines()[1:-1]] == ["missing", "missing"]
    assert "My bank" in done.out and "Mail" in done.out
    assert "items/0" in done.out and "items/1" in done.out
    assert "battery" not in done.out
    assert done.last.startswith("NOT all there: 164 of 166 values")


def test_json_names_both_places_and_no_values(terminal: Terminal) -> None:
    ids = tamper(terminal, "Mail", "My bank", change=swap_passwords)
    done = terminal("verify", "--json", terminal.folder / "export.json")
    assert done.code == 4
    found = done.json()["findings"]
    assert {(one["kind"], one["item"], one["place"]) for one in found} == {
        ("missing", ids[0], "items/1"),
        ("missing", ids[1], "items/0"),
    }
    assert "battery" not in done.out


def swap_titles(one: Row, other: Row) -> None:
    one["title"], other["title"] = other["title"], one["title"]


TAMPERED: dict[str, tuple[tuple[str, ...], Callable[..., None]]] = {
    "a note removed": (("Alarm code",), lambda one: one.update(credentials=[])),
    "a password cut": (("Agent",), lambda one: one["credentials"][0]["password"].update(value="00")),
    "a title swapped": (("Agent", "Sheet"), swap_titles),
    "an item in another folder": (("Router", "Mail"), lambda a, b: a.update(collections=b["collections"])),
    "an item in a folder it never had": (("Agent", "Mail"), lambda a, b: a.update(collections=b["collections"])),
    "an item out of its folder": (("Router",), lambda one: one.pop("collections")),
    "a code with another key": (("Mail",), lambda one: one["credentials"][1].update(secret="GEZDGNBVGY3TQOJQ")),
    "a value said twice": (("NA",), lambda one: one["credentials"].append({"type": "note", "content": "NA"})),
    "an unknown key gone": (("My bank",), lambda one: one.pop("extra")),
    "an address gone": (("Mail",), lambda one: one["urls"].pop()),
}


@pytest.mark.parametrize(("titles", "change"), TAMPERED.values(), ids=TAMPERED)
def test_what_was_done_behind_our_back_is_noticed(
    terminal: Terminal, titles: tuple[str, ...], change: Callable[..., None]
) -> None:
    tamper(terminal, *titles, change=change)
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 4
    assert done.last.startswith("NOT all there")
    assert titles[0] in done.out or "Sheet" in done.out


def test_two_folders_with_swapped_titles_are_noticed(terminal: Terminal) -> None:
    with terminal.store() as store:
        bodies = {own: json.loads(body) for own, body in store._db.all("SELECT id, body FROM collections")}
        bank, home = (next(one for one in bodies.values() if one["title"] == title) for title in ("Bank", "Home"))
        bank["title"], home["title"] = "Home", "Bank"
        for one in (bank, home):
            store._db.do("UPDATE collections SET body = ? WHERE id = ?", (json.dumps(one).encode(), one["id"]))
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 4
    assert "My bank" in done.out and "Router" in done.out


def test_an_item_taken_out_of_the_table_is_missing_as_a_whole(terminal: Terminal) -> None:
    with terminal.store() as store:
        store._db.do("DELETE FROM items WHERE id = ?", (_row(store, "Mail")["id"],))
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 4
    assert "items/1" in done.out and "(gone)" in done.out


# --- what a person does


def test_an_edit_is_told_and_no_loss(terminal: Terminal) -> None:
    secret = terminal.write("secret", b"my-own-new-one\n")
    assert terminal("edit", "Mail", "--set-file", f"password={secret}").code == 0
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 3
    told = [line.split("  ")[0] for line in done.out.splitlines()[1:-1]]
    assert told == ["edited, old value kept"] * 2  # the password, and the time of the change
    assert done.last.endswith("2 were edited since and are kept in history or trash")
    assert "my-own-new-one" not in done.out


@pytest.mark.parametrize(
    "change",
    [
        ("--set", "title=Post"),
        ("--set", "username=somebody"),
        ("--set", "url=https://else.test"),
        ("--set", "folder=Bank"),
        ("--unset", "totp"),
        ("--set", "new field=more"),
    ],
    ids=" ".join,
)
def test_no_edit_is_a_loss(terminal: Terminal, change: tuple[str, ...]) -> None:
    assert terminal("edit", "Mail", *change).code == 0
    assert terminal("verify", terminal.folder / "export.json").code == 3


def test_the_trash_is_told_and_no_loss(terminal: Terminal) -> None:
    assert terminal("rm", "Mail").code == 0
    done = terminal("verify", terminal.folder / "export.json")
    assert done.code == 3
    assert "in the trash" in done.out
    assert terminal("restore-item", "Mail").code == 0
    assert terminal("verify", terminal.folder / "export.json").code == 0


def test_a_purge_is_a_loss(terminal: Terminal) -> None:
    assert terminal("rm", "--purge", "Mail").code == 0
    done = terminal("verify", "--json", terminal.folder / "export.json")
    assert done.code == 4
    assert [(one["place"], one["kind"]) for one in done.json()["findings"]] == [("items/1", "missing")]


def test_one_edit_does_not_hide_a_loss_elsewhere(terminal: Terminal) -> None:
    assert terminal("edit", "Mail", "--set", "title=Post").code == 0
    tamper(terminal, "Agent", change=lambda one: one["credentials"][0].pop("password"))
    done = terminal("verify", "--json", terminal.folder / "export.json")
    assert done.code == 4
    assert {(one["kind"], one["title"]) for one in done.json()["findings"]} == {
        ("edited", "Post"),
        ("missing", "Agent"),
    }


# --- which import


def test_a_file_that_never_came_is_told_so(terminal: Terminal) -> None:
    other = terminal.write("other.json", as_bytes(export([login("x", "y", "z")])))
    done = terminal("verify", other)
    assert (done.code, done.out) == (37, "")
    assert done.err.startswith("error: other.json was not imported into this vault")


def test_a_file_that_changed_since_is_told_so(terminal: Terminal) -> None:
    file = terminal.write("export.json", as_bytes(changed(household(), "Mail", lambda one: one.update(name="Post"))))
    assert terminal("verify", file).code == 37


def test_the_copy_of_a_file_under_another_name_is_the_same_file(terminal: Terminal) -> None:
    assert terminal("verify", terminal.write("copy.json", as_bytes(household()))).code == 0


def test_an_import_that_was_taken_back_cannot_be_verified(terminal: Terminal) -> None:
    assert terminal("undo").code == 0
    assert terminal("verify", terminal.folder / "export.json").code == 37


def test_the_first_file_is_still_proven_after_a_second_one_changed_items(terminal: Terminal) -> None:
    later = changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    second = terminal.write("later.json", as_bytes(later))
    assert terminal("migrate", second).code == 0
    assert terminal("verify", second).code == 0
    assert terminal("verify", terminal.folder / "export.json").code == 3


def test_below_a_folder_everything_is_proven_too(terminal: Terminal) -> None:
    data = export([login("a", "x", "1", folder="Deep"), login("b", "x", "2")], "Deep")
    file = terminal.write("more.json", as_bytes(data))
    assert terminal("migrate", file, "--into", "Home").code == 0
    assert terminal("verify", file).code == 0
    with terminal.store() as store:
        titles = {one.id: one.title for one in store.collections()}
        places = {item.title: [titles[own] for own in item.collections] for item in store.items()}
    assert (places["a"], places["b"]) == (["Deep"], ["Home"])
    assert own_id("folder Deep") not in titles
