"""Folders are found by path or title and made along a path."""

from __future__ import annotations

from itertools import count

import pytest

from vault.errors import InvalidField, NoSuchItem
from vault.folders import below, find_folders, named, path_texts, place
from vault.model import Collection

NOW = "2026-11-20T10:00:00Z"
TREE = (
    Collection(id="work", title="Work"),
    Collection(id="servers", title="Servers", parent="work"),
    Collection(id="home", title="Home"),
    Collection(id="bank", title="Bank", parent="home"),
    Collection(id="bank2", title="Bank", parent="work"),
    Collection(id="slash", title="a/b"),
)


def placed(text: str) -> tuple[str, list[tuple[str, str | None]]]:
    numbers = count(1)
    id_, made = place(TREE, text, lambda: f"n{next(numbers)}", NOW)
    return id_, [(one.title, one.parent) for one in made]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Work / Servers", ["servers"]),
        ("Work/Servers", ["servers"]),
        ("work / SERVERS", ["servers"]),
        ("Servers", ["servers"]),
        ("servers", ["servers"]),
        ("Bank", ["bank", "bank2"]),
        ("Home / Bank", ["bank"]),
        ("a/b", ["slash"]),
        ("Nothing", []),
        ("", []),
        ("/", []),
    ],
)
def test_a_folder_is_found_by_path_title_and_without_case(text: str, ids: list[str]) -> None:
    assert find_folders(TREE, text) == ids


def test_a_folder_means_all_below_it() -> None:
    assert named(TREE, "Work") == {"work", "servers", "bank2"}
    assert below(TREE, ["home"]) == {"bank"}
    with pytest.raises(NoSuchItem):
        named(TREE, "Nothing")


def test_a_circle_of_folders_ends() -> None:
    circle = (Collection(id="a", title="A", parent="b"), Collection(id="b", title="B", parent="a"))
    assert below(circle, ["a"]) == {"a", "b"}
    assert path_texts(circle) == {"a": "B / A", "b": "A / B"}


def test_a_folder_that_is_there_is_taken() -> None:
    assert placed("Work / Servers") == ("servers", [])
    assert placed("home") == ("home", [])


def test_what_is_missing_of_a_path_is_made() -> None:
    assert placed("New") == ("n1", [("New", None)])
    assert placed("Work / New / Newer") == ("n2", [("New", "work"), ("Newer", "n1")])


def test_a_name_of_several_folders_is_refused_with_their_paths() -> None:
    with pytest.raises(InvalidField) as caught:
        placed("Bank")
    assert "'Home / Bank', 'Work / Bank'" in caught.value.hint


@pytest.mark.parametrize("text", ["", " ", "/", " / "])
def test_a_folder_needs_a_name(text: str) -> None:
    with pytest.raises(InvalidField):
        placed(text)
