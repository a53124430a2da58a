"""A file again, a week later, after edits, with twins: only what changed is changed, and nothing is merged silently."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from migrate import moving
from tests.migrate.household import (
    LAST,
    LATER,
    NOW,
    bring,
    changed,
    export,
    household,
    login,
    named,
    opened,
    state,
    vault,
)
from vault.canonical import canonical, digest
from vault.model import BasicAuth, CustomFields, Field, Item, Note, find
from vault.secret import Secret
from vault.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty vault."""
    with vault(tmp_path) as made:
        yield made


def password_of(item: Item) -> str:
    auth = find(item, BasicAuth)
    assert auth is not None
    return auth.password.text if auth.password else ""


def edited(store: Store, title: str, /, **members: Any) -> Item:
    """Change an item as a person does."""
    made: Item = msgspec.structs.replace(named(store, title), **members)
    store.put(made, now=LATER)
    return made


def with_password(item: Item, password: str) -> Item:
    auths = [
        msgspec.structs.replace(c, password=Field(value=Secret(password), field_type="concealed-string"))
        if isinstance(c, BasicAuth)
        else c
        for c in item.credentials
    ]
    return msgspec.structs.replace(item, credentials=tuple(auths))


def set_password(store: Store, title: str, password: str) -> Item:
    made = with_password(named(store, title), password)
    store.put(made, now=LATER)
    return made


CHROME = b"name,url,username,password,note\n"


# --- the same file


def test_the_same_file_twice_changes_nothing(store: Store) -> None:
    first = bring(store, household())
    before, rows = state(store), list(store.rows())
    again = bring(store, household(), LATER)
    assert dict(first.items) == {"new": len(household()["items"])}
    assert dict(again.items) == {"same": len(household()["items"])}
    assert state(store) == before
    assert list(store.rows()) == rows
    assert all(not store.past(own_id) for own_id, _ in rows)


def test_a_table_without_ids_twice_changes_nothing(store: Store) -> None:
    table = CHROME + b"a,https://a.test,ann,one,\nb,https://b.test,ann,two,\nb,https://b.test,ann,two,\n"
    bring(store, table, name="chrome.csv")
    before = state(store)
    assert store.count() == 3  # a row that stands twice is two items
    assert dict(bring(store, table, LATER, name="chrome.csv").items) == {"same": 3}
    assert state(store) == before


def test_the_same_items_in_another_order_are_the_same(store: Store) -> None:
    bring(store, household())
    before = state(store)
    turned = household()
    turned["items"].reverse()
    turned["folders"].reverse()
    assert set(bring(store, turned, LATER).items) == {"same"}
    assert state(store) == before


# --- a week later


def test_a_later_export_changes_only_what_changed(store: Store) -> None:
    bring(store, household())
    before = dict(store.rows())
    later = changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    later = changed(later, "Wi-Fi", lambda one: one.update(notes="network: gull"))
    later["items"] = [one for one in later["items"] if one["name"] != "Club"] + [login("Fresh", "ada", "new-1")]
    outcome = bring(store, later, LATER)
    assert dict(outcome.items) == {"same": len(household()["items"]) - 3, "changed": 2, "new": 1}
    after = dict(store.rows())
    touched = {named(store, title).id for title in ("Mail", "Wi-Fi", "Fresh")}
    assert {own_id for own_id in after if after[own_id] != before.get(own_id)} == touched
    assert named(store, "Club")  # gone from the source, not from the vault
    mail = named(store, "Mail")
    assert password_of(mail) == "battery-2"
    assert [(past.value.reveal(), past.at) for past in mail.history] == [("correct horse battery", LATER)]
    assert [body for _, body in store.past(mail.id)] == [before[mail.id]]


def test_a_password_that_returns_is_no_loss(store: Store) -> None:
    old, new = household(), changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    for at, data in ((NOW, old), (LATER, new), (LAST, old)):
        outcome = bring(store, data, at)
        assert outcome.ledger.warnings == []
    mail = named(store, "Mail")
    assert password_of(mail) == "correct horse battery"
    assert [past.value.reveal() for past in mail.history] == ["battery-2", "correct horse battery"]


def test_the_later_export_and_the_older_one_are_both_still_proven(store: Store) -> None:
    bring(store, household())
    later = changed(household(), "Mail", lambda one: one["login"].update(password="battery-2"))
    bring(store, later, LATER)
    first, second = store.runs()
    assert moving.verify(store, opened(later), second).proof.findings == []
    found = moving.verify(store, opened(household()), first)
    assert found.missing == []
    assert [(one.kind, one.path) for one in found.edited] == [("edited", "login.password")]


# --- edited here, there, or on both sides


def test_edited_here_and_the_same_there_stays_edited(store: Store) -> None:
    bring(store, household())
    set_password(store, "Mail", "mine-7")
    before = state(store)
    outcome = bring(store, household(), LAST)
    assert dict(outcome.items) == {"same": len(household()["items"])}
    assert state(store) == before


@pytest.mark.parametrize(
    "members",
    [{"title": "Post"}, {"trashed": True, "trashed_at": LATER}, {"collections": ()}, {"favorite": False}, {"urls": ()}],
    ids=str,
)
def test_whatever_was_edited_here_the_same_file_changes_nothing(store: Store, members: dict[str, Any]) -> None:
    bring(store, household())
    edited(store, "Mail", **members)
    before = state(store)
    assert set(bring(store, household(), LAST).items) == {"same"}
    assert state(store) == before


def test_edited_here_and_changed_there_keeps_both_and_flags_the_newcomer(store: Store) -> None:
    bring(store, household())
    mine = set_password(store, "Mail", "mine-7")
    later = changed(household(), "Mail", lambda one: one["login"].update(password="theirs-8"))
    outcome = bring(store, later, LAST)
    assert outcome.items["conflict"] == 1
    both = [one for one in store.items() if one.title == "Mail"]
    assert [(password_of(one), one.conflict) for one in both] == [("mine-7", None), ("theirs-8", mine.id)]
    assert outcome.conflicts == [(both[1].id, mine.id)]


def test_a_conflict_that_was_kept_comes_up_only_once(store: Store) -> None:
    bring(store, household())
    mine = set_password(store, "Mail", "mine-7")
    later = changed(household(), "Mail", lambda one: one["login"].update(password="theirs-8"))
    bring(store, later, LAST)
    before = state(store)
    assert dict(bring(store, later, LAST).items) == {"same": len(household()["items"])}
    assert state(store) == before
    newest = changed(household(), "Mail", lambda one: one["login"].update(password="theirs-9"))
    assert bring(store, newest, LAST).items["changed"] == 1
    both = [one for one in store.items() if one.title == "Mail"]
    assert [(password_of(one), one.conflict) for one in both] == [("mine-7", None), ("theirs-9", mine.id)]


def test_an_item_purged_here_comes_back_with_the_file(store: Store) -> None:
    bring(store, household())
    store.purge(named(store, "Mail").id)
    assert dict(bring(store, household(), LATER).items) == {"same": len(household()["items"]) - 1, "new": 1}
    assert password_of(named(store, "Mail")) == "correct horse battery"


def test_an_item_untouched_since_its_own_import_is_changed_whatever_came_between(store: Store) -> None:
    bring(store, household())
    table = CHROME + b"Agent,https://agent.example.test,tom,007,\n"
    assert dict(bring(store, table, LATER, name="chrome.csv").items) == {"same": 1}
    later = changed(household(), "Agent", lambda one: one["login"].update(password="008"))
    assert bring(store, later, LAST).items["changed"] == 1
    assert [password_of(one) for one in store.items() if one.title == "Agent"] == ["008"]


# --- without ids


def test_differing_passwords_of_one_account_without_ids_are_both_kept(store: Store) -> None:
    bring(store, CHROME + b"a,https://a.test,ann,one,\n", name="chrome.csv")
    outcome = bring(store, CHROME + b"a,https://a.test,ann,two,\n", LATER, name="chrome.csv")
    old, new = store.items()
    assert dict(outcome.items) == {"conflict": 1}
    assert (password_of(old), old.conflict) == ("one", None)
    assert (password_of(new), new.conflict) == ("two", old.id)


def test_what_the_vault_knows_already_from_elsewhere_is_the_same(store: Store) -> None:
    bring(store, household())
    before = state(store)
    table = CHROME + b"Agent,https://agent.example.test,tom,007,\n"
    outcome = bring(store, table, LATER, name="chrome.csv")
    assert dict(outcome.items) == {"same": 1}
    assert outcome.ledger.warnings == []
    assert state(store) == before
    run = store.runs()[-1]
    assert moving.verify(store, opened(table, "chrome.csv"), run).proof.findings == []


def test_an_item_that_says_more_than_the_table_is_the_same_even_if_it_repeats_a_value(store: Store) -> None:
    item = login("Agent", "tom", "007", "https://agent.example.test", notes="tom", fields=[])
    bring(store, export([item]))
    table = CHROME + b"Agent,https://agent.example.test,tom,007,\n"
    outcome = bring(store, table, LATER, name="chrome.csv")
    assert (dict(outcome.items), outcome.ledger.warnings) == ({"same": 1}, [])
    run = store.runs()[-1]
    assert moving.verify(store, opened(table, "chrome.csv"), run).missing == []


def test_what_a_table_knows_better_is_not_lost(store: Store) -> None:
    bring(store, household())
    table = CHROME + b"Agent,https://agent.example.test,tom,007,a note of the browser\n"
    outcome = bring(store, table, LATER, name="chrome.csv")
    assert dict(outcome.items) == {"new": 1}
    assert [find(one, Note) is not None for one in store.items() if one.title == "Agent"] == [False, True]


# --- twins


def test_records_that_share_an_id_are_all_kept(store: Store) -> None:
    twins = export([login("One", "ann", "first"), login("Two", "ann", "second")])
    twins["items"][1]["id"] = twins["items"][0]["id"]
    bring(store, twins)
    assert [one.title for one in store.items()] == ["One", "Two"]
    before = state(store)
    assert dict(bring(store, twins, LATER).items) == {"same": 2}
    assert state(store) == before
    later = changed(twins, "Two", lambda one: one["login"].update(password="third"))
    assert dict(bring(store, later, LAST).items) == {"same": 1, "changed": 1}
    assert [password_of(one) for one in store.items()] == ["first", "third"]


def test_the_changed_twin_may_come_first(store: Store) -> None:
    twins = export([login("One", "ann", "first"), login("Two", "ann", "second")])
    twins["items"][1]["id"] = twins["items"][0]["id"]
    bring(store, twins)
    later = changed(twins, "One", lambda one: one["login"].update(password="third"))
    assert dict(bring(store, later, LATER).items) == {"same": 1, "changed": 1}
    assert [password_of(one) for one in store.items()] == ["third", "second"]


def test_twins_alike_in_all_but_the_password_are_all_kept(store: Store) -> None:
    twins = export([login("One", "ann", "first"), login("One", "ann", "second")])
    twins["items"][1]["id"] = twins["items"][0]["id"]
    bring(store, twins)
    later = copy.deepcopy(twins)
    later["items"][0]["login"]["password"] = "third"
    bring(store, later, LATER)
    assert {"first", "second", "third"} == {password_of(one) for one in store.items()}


# --- several sources


def test_several_sources_in_one_transaction_are_all_or_none(store: Store) -> None:
    table = CHROME + b"Agent,https://agent.example.test,tom,007,\nNews,https://news.test,ann,n-1,\n"
    with store.transaction():
        first = bring(store, household())
        second = bring(store, table, name="chrome.csv")
    assert first.items["new"] == len(household()["items"])
    assert dict(second.items) == {"same": 1, "new": 1}
    before = state(store)
    with pytest.raises(RuntimeError), store.transaction():
        bring(store, export([login("Lost", "x", "y")]))
        raise RuntimeError
    assert state(store) == before
    assert len(store.runs()) == 2


# --- what an adapter says by itself


def test_an_item_called_as_its_template_stops_nothing(store: Store) -> None:
    account = {"bankName": "Riverbank", "accountNumber": "12345678", "pin": "0042"}
    item = {**login("Bank Account", "", ""), "type": 6, "bankAccount": account}
    del item["login"]
    outcome = bring(store, export([item]))
    assert outcome.ledger.warnings == []
    run = store.runs()[-1]
    assert moving.verify(store, opened(export([item])), run).proof.findings == []


def test_a_value_that_reads_like_a_label_stops_nothing(store: Store) -> None:
    outcome = bring(store, export([login("totp", "company", "label", totp="not a key !!")]))
    assert [c.fields[0].label for c in named(store, "totp").credentials if isinstance(c, CustomFields)] == ["totp"]
    assert all("stand once more" not in text for text in outcome.ledger.warnings)


def test_what_a_file_said_beside_its_items_is_still_known_after_a_later_one_said_else(store: Store) -> None:
    first = {**export([login("a", "x", "1")]), "future": {"value": "one"}}
    second = {**export([login("b", "x", "1")]), "future": {"value": "two"}}
    bring(store, first)
    bring(store, second, LATER)
    old, new = store.runs()
    found = moving.verify(store, opened(first), old)
    assert [(one.kind, one.path) for one in found.proof.findings] == [("edited", "future.value")]
    assert moving.verify(store, opened(second), new).proof.findings == []


def test_an_item_with_a_grown_history_is_the_same_without_a_word(store: Store) -> None:
    bring(store, export([login("a", "ann", "same")]))
    later = export([login("a", "same", "p-1")])
    bring(store, later, LATER)
    outcome = bring(store, later, LAST)
    assert (dict(outcome.items), outcome.ledger.warnings) == ({"same": 1}, [])
    assert moving.verify(store, opened(later), store.runs()[-1]).proof.findings == []


def test_the_order_of_keys_and_spelling_of_json_says_nothing(store: Store) -> None:
    import json

    bring(store, household())
    before = state(store)
    turned = {key: household()[key] for key in reversed(household())}
    spelled = json.dumps(turned, ensure_ascii=True, sort_keys=True).encode()
    assert set(bring(store, spelled, LATER).items) == {"same"}
    assert state(store) == before


def test_digest_and_canonical_form_agree(store: Store) -> None:
    bring(store, household())
    made = store.vault()
    assert digest(made) == state(store)
    assert canonical(made) == canonical(store.vault())
