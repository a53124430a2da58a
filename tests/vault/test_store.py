"""The store keeps what it is given, in order, and gives it back equal."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault import canonical
from vault.errors import AmbiguousItem, InvalidField, NoSuchItem
from vault.model import (
    BasicAuth,
    Collection,
    CustomFields,
    Field,
    File,
    Item,
    Note,
    Past,
    Provenance,
    Totp,
    Url,
    Vault,
    concealed,
)
from vault.secret import Secret
from vault.store import Run, Store

KEY = bytes(range(32))
NOW = "2026-11-20T10:00:00Z"
LATER = "2026-11-21T10:00:00Z"

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | texts
    | st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
extras = st.dictionaries(texts, json_values, max_size=3)
fields = st.builds(Field, value=texts, label=texts | st.none(), extra=extras) | st.builds(concealed, texts)
credentials = st.one_of(
    st.builds(BasicAuth, username=fields | st.none(), password=st.builds(concealed, texts), extra=extras),
    st.builds(Note, content=st.builds(Secret, texts)),
    st.builds(Totp, secret=st.just(Secret("JBSWY3DPEHPK3PXP")), digits=st.sampled_from([6, 8])),
    st.builds(CustomFields, label=texts | st.none(), fields=st.lists(fields, max_size=3).map(tuple)),
)
ids = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789_-", min_size=1, max_size=8)
items = st.builds(
    Item,
    id=ids,
    title=texts,
    favorite=st.booleans(),
    tags=st.lists(texts, max_size=2).map(tuple),
    urls=st.lists(st.builds(Url, url=texts, extra=extras), max_size=2).map(tuple),
    credentials=st.lists(credentials, max_size=3).map(tuple),
    trashed=st.booleans(),
    history=st.lists(st.builds(Past, value=st.builds(Secret, texts)), max_size=2).map(tuple),
    extra=extras,
    provenance=st.none() | st.builds(Provenance, format=st.just("chrome_csv"), source_id=texts | st.none()),
)
item_lists = st.lists(items, max_size=6, unique_by=lambda item: item.id)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "home" / "vault.db", KEY, "v1") as store:
        yield store


def login(id_: str, title: str = "", user: str = "", password: str = "pw", **members: object) -> Item:
    auth = BasicAuth(username=Field(value=user), password=concealed(password))
    return Item(id=id_, title=title, credentials=(auth,), **members)  # type: ignore[arg-type]


def reopened(store: Store) -> Store:
    store.close()
    return Store.open(store._db.path, KEY)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=item_lists)
def test_what_was_put_comes_back_equal_and_in_order(tmp_path_factory: pytest.TempPathFactory, made: list[Item]) -> None:
    with Store.create(tmp_path_factory.mktemp("v") / "vault.db", KEY, "v1") as store:
        store.put_many(made, NOW)
        assert list(store.items()) == made
        assert canonical.digest(store.vault()) == canonical.digest(Vault(items=tuple(made)))


def test_a_vault_survives_closing(store: Store) -> None:
    store.put(login("a", "Bank"), now=NOW)
    store.put_collection(Collection(id="c", title="Work"))
    store.set_extras("chrome_csv", {"x": Decimal("2.50"), "y": [1, None]})
    store.set_meta("made_at", NOW)
    with reopened(store) as again:
        assert again.vault_id == "v1"
        assert again.meta("made_at") == NOW
        assert again.vault() == Vault(
            items=(login("a", "Bank"),),
            collections=(Collection(id="c", title="Work"),),
            extras={"chrome_csv": {"x": Decimal("2.50"), "y": [1, None]}},
        )


def test_meta_that_is_set_to_none_is_forgotten(store: Store) -> None:
    store.set_meta("seed", "x")
    store.set_meta("seed", None)
    assert store.meta("seed") is None


def test_items_of_one_state_are_listed_apart(store: Store) -> None:
    store.put_many([login("a"), login("b", archived=True), login("c", trashed=True)], NOW)
    assert [item.id for item in store.items(state="active")] == ["a"]
    assert [item.id for item in store.items(state="archived")] == ["b"]
    assert [item.id for item in store.items(state="trashed")] == ["c"]
    assert (store.count(), store.count(state="trashed")) == (3, 1)


def test_a_replaced_item_keeps_its_place_and_its_past(store: Store) -> None:
    store.put_many([login("a", password="old"), login("b")], NOW)
    before = store.row("a")
    store.put(login("a", password="new"), now=LATER)
    assert [item.id for item in store.items()] == ["a", "b"]
    assert store.past("a") == [(LATER, before)]
    assert store.past("b") == []


def test_putting_the_same_again_leaves_no_past(store: Store) -> None:
    store.put(login("a"), now=NOW)
    store.put(login("a"), now=LATER)
    assert store.past("a") == []


def test_an_id_that_comes_twice_in_one_bulk_keeps_the_last_and_remembers_the_first(store: Store) -> None:
    store.put_many([login("a", "first"), login("b"), login("a", "second")], NOW)
    assert [item.title for item in store.items()] == ["second", ""]
    assert [canonical.decode_item(body).title for _, body in store.past("a")] == ["first"]


def test_a_bulk_larger_than_a_batch_arrives_whole(store: Store) -> None:
    made = [login(f"i{n}", f"Title {n}") for n in range(1203)]
    store.put_many(iter(made), NOW)
    assert list(store.items()) == made
    assert [id_ for id_, _ in store.rows()] == [item.id for item in made]


def test_items_can_be_changed_while_they_are_walked(store: Store) -> None:
    store.put_many([login(f"i{n}") for n in range(600)], NOW)
    for item in store.items():
        store.put(msgspec.structs.replace(item, title="x"), now=LATER)
    assert {item.title for item in store.items()} == {"x"}


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    store.put(login("a"), now=NOW)
    with pytest.raises(RuntimeError), store.transaction():
        store.put(login("b"), now=NOW)
        store.put_collection(Collection(id="c"))
        store.put_document(b"bytes")
        raise RuntimeError
    assert store.vault() == Vault(items=(login("a"),))
    assert store.documents() == []
    assert store.search("b") == []


def test_a_transaction_inside_another_joins_it(store: Store) -> None:
    with pytest.raises(RuntimeError), store.transaction():
        with store.transaction():
            store.put(login("a"), now=NOW)
        raise RuntimeError
    assert store.count() == 0


def test_a_source_that_breaks_in_the_middle_of_a_bulk_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[Item]:
        yield from (login(f"i{n}") for n in range(700))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.put_many(broken(), NOW)
    assert store.count() == 0


def test_a_lone_surrogate_is_refused_without_its_text(store: Store) -> None:
    with pytest.raises(InvalidField) as caught:
        store.put(login("a", password="geheim\ud800"), now=NOW)
    assert "geheim" not in caught.value.message
    assert caught.value.__cause__ is None
    assert store.count() == 0


def test_known_sources_name_the_item_of_each_source_id(store: Store) -> None:
    store.put(login("a", provenance=Provenance(format="x_json", source_id="1")), now=NOW)
    store.put(login("b", provenance=Provenance(format="y_csv", source_id="1")), now=NOW)
    store.put(login("c", provenance=Provenance(format="y_csv")), now=NOW)
    store.put(login("b", "new", provenance=Provenance(format="y_csv", source_id="2")), now=NOW)
    assert store.known_sources() == {("x_json", "1"): "a", ("y_csv", "2"): "b"}


def test_collections_keep_their_order_when_one_is_replaced(store: Store) -> None:
    for id_ in ("a", "b", "c"):
        store.put_collection(Collection(id=id_))
    store.put_collection(Collection(id="a", title="Work"))
    store.remove_collection("b")
    assert store.collections() == (Collection(id="a", title="Work"), Collection(id="c"))


def test_empty_extras_are_no_extras(store: Store) -> None:
    store.set_extras("x", {"a": 1})
    store.set_extras("x", {})
    assert store.extras() == {}


def test_a_document_is_kept_once_under_its_digest(store: Store) -> None:
    name = store.put_document(b"abc")
    assert name == "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
    assert store.put_document(b"abc") == name
    assert store.documents() == [name]
    assert (store.document(name), store.document_size(name), store.has_document(name)) == (b"abc", 3, True)
    store.remove_document(name)
    assert (store.document(name), store.document_size(name), store.has_document(name)) == (None, None, False)


def test_purge_leaves_nothing_of_an_item(store: Store) -> None:
    store.put(login("a", "Bank", password="one"), now=NOW)
    store.put(login("a", "Bank", password="two"), now=NOW)
    store.purge("a")
    assert (store.item("a"), store.past("a"), store.search("bank")) == (None, [], [])
    with pytest.raises(NoSuchItem):
        store.purge("a")


def test_purge_removes_documents_that_nothing_else_names(store: Store) -> None:
    own, shared, former = (store.put_document(data) for data in (b"own", b"shared", b"former"))

    def holding(id_: str, *names: str) -> Item:
        return Item(id=id_, credentials=tuple(File(integrity_hash=name) for name in names))

    store.put(holding("a", own, shared, former), now=NOW)
    store.put(holding("b", former), now=NOW)
    store.put(holding("b", shared), now=NOW)
    store.purge("a")
    assert set(store.documents()) == {shared, former}, "the past version of b still names the former one"
    store.purge("b")
    assert store.documents() == []


class TestFind:
    def test_an_item_is_found_by_id_beginning_and_title(self, store: Store) -> None:
        store.put_many([login("abcdef", "My bank"), login("xyzuvw", "Mail")], NOW)
        assert store.find("abcdef").id == "abcdef"
        assert store.find("abcd").id == "abcdef"
        assert store.find("My bank").id == "abcdef"

    def test_three_letters_of_an_id_are_too_few(self, store: Store) -> None:
        store.put(login("abcdef", "My bank"), now=NOW)
        with pytest.raises(NoSuchItem):
            store.find("abc")

    def test_part_of_a_title_is_not_its_title(self, store: Store) -> None:
        store.put(login("abcdef", "My bank"), now=NOW)
        for text in ("bank", "my bank", "My bank "):
            with pytest.raises(NoSuchItem):
                store.find(text)

    def test_an_untitled_item_is_found_by_what_is_shown_for_it(self, store: Store) -> None:
        store.put(Item(id="abcdef", urls=(Url(url="https://bank.example/login"),)), now=NOW)
        assert store.find("bank.example").id == "abcdef"

    def test_short_and_odd_titles_are_found(self, store: Store) -> None:
        for n, title in enumerate(["X", "ÄÖ", '"q" OR *', "a\0bcd", "日本", " spaced ", "İstanbul"]):
            store.put(login(f"id-{n}", title), now=NOW)
            assert store.find(title).id == f"id-{n}"

    def test_several_candidates_are_told_apart(self, store: Store) -> None:
        store.put_many([login("aaaaaaaa1", "Bank", "ann"), login("aaaaaaaa2", "Bank", "bob\x1b[31m")], NOW)
        with pytest.raises(AmbiguousItem) as caught:
            store.find("Bank")
        assert caught.value.exit_code == 36
        assert all(text in caught.value.hint for text in ("aaaaaaaa1", "aaaaaaaa2", "ann", "bob"))
        assert "\x1b" not in caught.value.hint

    def test_an_item_in_the_trash_does_not_hide_the_one_that_is_not(self, store: Store) -> None:
        store.put_many([login("aaaa", "Bank", trashed=True), login("bbbb", "Bank")], NOW)
        assert store.find("Bank").id == "bbbb"
        assert store.find("Bank", trashed=True).id == "aaaa"

    def test_an_item_in_the_trash_is_found_where_it_is_the_only_one(self, store: Store) -> None:
        store.put(login("aaaa", "Bank", trashed=True), now=NOW)
        assert store.find("Bank").id == "aaaa"

    def test_ids_that_begin_like_a_title_do_not_disturb_it(self, store: Store) -> None:
        store.put_many([login("item-1"), login("item-2"), login("zzzz", "item")], NOW)
        assert store.find("item").id == "zzzz"


def test_items_with_their_json_are_put_as_those_without(tmp_path: Path) -> None:
    made = [login("a"), login("b", "new"), login("c")]
    written = []
    for known in (False, True):
        with Store.create(tmp_path / str(known), KEY, "v") as store:
            store.begin_run(Run("r", "csv", "x.csv", "d", NOW))
            store.put(login("b", "old"), now=NOW)
            with store.recording("r"):
                store.put_rows([(item, canonical.encode(item) if known else None) for item in made], LATER)
            assert list(store.items()) == [made[1], made[0], made[2]]
            written.append((list(store.rows()), store.past("b"), store.journal("r"), store.search("new")))
    assert written[0] == written[1]
