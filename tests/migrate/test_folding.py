"""Folders of a source laid into the vault's: matched by the source's own id, then by path, else made."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrate import moving
from migrate.places import spells
from tests.migrate.household import (
    LAST,
    LATER,
    Export,
    bring,
    changed,
    export,
    household,
    login,
    named,
    opened,
    own_id,
    state,
    vault,
)
from vault.model import paths_of
from vault.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty vault."""
    with vault(tmp_path) as made:
        yield made


def paths(store: Store) -> list[str]:
    """Return the paths of all folders in alphabetical order."""
    return sorted("/".join(path) for path in paths_of(store.collections()).values())


def folders_of(store: Store, title: str) -> list[str]:
    known = paths_of(store.collections())
    return ["/".join(known[one]) for one in named(store, title).collections]


LASTPASS = b"url,username,password,totp,extra,name,grouping,fav\n"


def row(name: str, grouping: str) -> bytes:
    return f"https://{name}.test,ann,pw-{name},,,{name},{grouping},0\n".encode()


def test_ancestors_are_made_and_empty_folders_kept(store: Store) -> None:
    bring(store, household())
    assert paths(store) == ["Bank", "Empty", "Home", "Home/Mail", "Unused", "Unused/Deep"]
    assert folders_of(store, "Mail") == ["Home/Mail"]


def test_folders_of_another_product_are_matched_by_path(store: Store) -> None:
    bring(store, household())
    before = paths(store)
    bring(store, LASTPASS + row("a", "Home\\Mail") + row("b", "Bank") + row("c", "Work\\New"), LATER, name="l.csv")
    assert paths(store) == sorted([*before, "Work", "Work/New"])
    assert (folders_of(store, "a"), folders_of(store, "b")) == (["Home/Mail"], ["Bank"])
    assert named(store, "a").collections == named(store, "Mail").collections


def test_two_folders_of_the_same_path_are_kept_apart(store: Store) -> None:
    data = export([login("a", "x", "1", folder="Bank"), login("b", "x", "2", folder="Bank")], "Bank")
    data["folders"].append({"id": own_id("second"), "name": "Bank"})
    data["items"][1]["folderId"] = own_id("second")
    bring(store, data)
    assert paths(store) == ["Bank", "Bank"]
    assert named(store, "a").collections != named(store, "b").collections
    before = state(store)
    assert dict(bring(store, data, LATER).items) == {"same": 2}
    assert state(store) == before


def test_everything_goes_below_the_folder_named(store: Store) -> None:
    bring(store, household(), into=("Old", "Bitwarden"))
    assert paths(store)[:2] == ["Old", "Old/Bitwarden"]
    assert folders_of(store, "Mail") == ["Old/Bitwarden/Home/Mail"]
    assert folders_of(store, "Agent") == ["Old/Bitwarden"]
    run = store.runs()[-1]
    assert moving.verify(store, opened(household()), run).proof.findings == []
    before = state(store)
    assert set(bring(store, household(), LATER, into=("Old", "Bitwarden")).items) == {"same"}
    assert state(store) == before


def test_a_folder_that_is_there_takes_what_goes_below_it(store: Store) -> None:
    bring(store, household())
    bring(store, LASTPASS + row("a", "Mail"), LATER, name="l.csv", into=("Home",))
    assert folders_of(store, "a") == ["Home/Mail"]
    assert named(store, "a").collections == named(store, "Mail").collections


def renamed(old: str, new: str) -> Export:
    data = household()
    next(one for one in data["folders"] if one["name"] == old)["name"] = new
    return data


@pytest.mark.parametrize("new", ["Savings", "Work/Bank", "Home/Savings"])
def test_a_folder_renamed_or_moved_in_the_source_is_so_here_too(store: Store, new: str) -> None:
    bring(store, household())
    items = dict(store.rows())
    outcome = bring(store, renamed("Bank", new), LATER)
    assert folders_of(store, "My bank") == [new]
    assert "Bank" not in paths(store)
    assert set(outcome.items) == {"same"}
    assert dict(store.rows()) == items
    first, second = store.runs()
    assert moving.verify(store, opened(renamed("Bank", new)), second).proof.findings == []
    assert moving.verify(store, opened(household()), first).missing == []
    store.undo(second.id, LAST)
    assert folders_of(store, "My bank") == ["Bank"]


def test_a_folder_placed_elsewhere_stays_there_when_the_file_comes_again(store: Store) -> None:
    bring(store, household(), into=("Old",))
    before = paths(store)
    bring(store, household(), LATER)
    assert paths(store) == before


def test_an_item_moved_in_the_source_is_moved_here(store: Store) -> None:
    bring(store, household())
    later = changed(household(), "Router", lambda one: one.update(folderId=own_id("folder Bank")))
    assert bring(store, later, LATER).items["changed"] == 1
    assert folders_of(store, "Router") == ["Bank"]


def test_unknown_keys_of_two_folders_of_one_path_are_both_kept(store: Store) -> None:
    first, second = export([], "Bank"), export([], "Bank")
    first["folders"][0]["colour"] = "red"
    second["folders"][0] |= {"colour": "blue", "id": own_id("other")}
    bring(store, first)
    bring(store, second, LATER)
    assert sorted(one.extra["colour"] for one in store.collections()) == ["blue", "red"]


def test_an_item_in_two_collections_is_in_both(store: Store) -> None:
    data = export([login("a", "x", "1")])
    data["collections"] = [
        {"id": own_id(name), "organizationId": "o", "name": name, "externalId": None} for name in ("Team", "Team/Ops")
    ]
    del data["folders"]
    data["items"][0]["collectionIds"] = [own_id("Team"), own_id("Team/Ops")]
    bring(store, data)
    assert folders_of(store, "a") == ["Team", "Team/Ops"]
    twice = copy.deepcopy(data)
    twice["items"][0]["collectionIds"].append(own_id("Team"))
    bring(store, twice, LATER)


@pytest.mark.parametrize(
    ("text", "path", "answer"),
    [
        ("Bank", ("Bank",), True),
        ("Home/Mail", ("Home", "Mail"), True),
        ("Home\\Mail", ("Old", "Home", "Mail"), True),
        ("Home > Mail", ("Home", "Mail"), True),
        ("A/B", ("A/B",), True),
        ("a//b", ("a//b",), True),
        ("Mail", ("Home",), False),
        ("Home/Mail", ("Mail",), False),
        ("Home/Mail", ("Work", "Mail"), False),
        ("Old Mail", ("Mail",), False),
        ("0 /0", ("0 ", "0"), True),
        ("a/:b/c", ("a", ":b", "c"), True),
        ("a, /b", ("a,", "b"), True),
        ("", ("",), True),
        ("", ("a",), False),
        ("b4fdffe3-a647", ("Bank",), False),
    ],
)
def test_a_name_spells_the_end_of_a_path(text: str, path: tuple[str, ...], answer: bool) -> None:
    assert spells(text, path) is answer
