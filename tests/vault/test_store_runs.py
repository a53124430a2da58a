"""An import run can be taken back: the old vault is there again, and what was edited since stays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault import canonical
from vault.errors import NoSuchRun
from vault.model import BasicAuth, Collection, File, Item, Note, concealed
from vault.secret import Secret
from vault.store import Entry, Quarantined, Run, Store

NOW = "2026-11-20T10:00:00Z"
LATER = "2026-11-21T10:00:00Z"
RUN = Run("r1", "x_json", "x.json", "0" * 64, NOW, {"into": None}, {"new": 1})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "vault.db", bytes(32), "v") as store:
        yield store


def login(id_: str, title: str = "", password: str = "pw", *collections: str) -> Item:
    return Item(
        id=id_, title=title, credentials=(BasicAuth(password=concealed(password)),), collections=tuple(collections)
    )


def titled(item: Item | None, title: str) -> Item:
    assert item is not None
    return msgspec.structs.replace(item, title=title)


# -- what is known of a run


def test_a_run_comes_back_as_it_was_written_down(store: Store) -> None:
    store.begin_run(RUN)
    assert store.run("r1") == RUN
    store.end_run("r1", {"new": 2, "by": {"card": 1}})
    assert store.runs() == [msgspec.structs.replace(RUN, summary={"new": 2, "by": {"card": 1}})]


def test_runs_are_listed_the_oldest_first(store: Store) -> None:
    for id_ in ("zz", "aa", "mm"):
        store.begin_run(Run(id_, "x", "x", "", NOW))
    assert [run.id for run in store.runs()] == ["zz", "aa", "mm"]


def test_an_unknown_run_is_named_as_such(store: Store) -> None:
    for use in (
        lambda: store.run("x"),
        lambda: store.end_run("x", {}),
        lambda: store.add_arrivals("x", []),
        lambda: list(store.arrivals("x")),
        lambda: store.journal("x"),
        lambda: store.add_quarantine("x", "", "", b""),
        lambda: store.quarantined("x"),
        lambda: store.undo("x", NOW),
        lambda: store.recording("x").__enter__(),
    ):
        with pytest.raises(NoSuchRun):
            use()


def test_arrivals_keep_the_order_of_the_source(store: Store) -> None:
    store.begin_run(RUN)
    store.add_arrivals("r1", ((f"row {n}", f"i{n % 700}", f"f{n}") for n in range(1200)))
    store.add_arrivals("r1", [("row 1200", "last", "f")])
    places = [place for place, _, _ in store.arrivals("r1")]
    assert places == [f"row {n}" for n in range(1201)]
    assert store.fingerprint_of("i3") == "f703"
    assert store.fingerprints()["i3"] == "f703"
    assert store.fingerprint_of("nobody") is None


def test_quarantine_keeps_the_raw_record(store: Store) -> None:
    store.begin_run(RUN)
    store.add_quarantine("r1", "items/3", "not an object", b"\xff\x00[")
    assert store.quarantined("r1") == [Quarantined("items/3", "not an object", b"\xff\x00[")]


def test_the_journal_holds_what_was_before_the_first_change(store: Store) -> None:
    store.put(login("a", "old"), now=NOW)
    before = store.row("a")
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put(login("a", "one"), now=LATER)
        store.put(login("a", "two"), now=LATER)
        store.put(login("b"), now=LATER)
    after = {id_: hashlib.sha256(body).hexdigest() for id_, body in store.rows()}
    assert store.journal("r1") == [Entry("item", "a", before, after["a"]), Entry("item", "b", None, after["b"])]


def test_nothing_is_recorded_outside_a_recording(store: Store) -> None:
    store.begin_run(RUN)
    store.put(login("a"), now=NOW)
    with store.recording("r1"):
        store.put(login("b"), now=NOW)
    store.put(login("c"), now=NOW)
    assert [entry.id for entry in store.journal("r1")] == ["b"]


def test_a_recording_that_fails_leaves_nothing(store: Store) -> None:
    store.begin_run(RUN)
    with pytest.raises(RuntimeError), store.recording("r1"):
        store.put(login("a"), now=NOW)
        raise RuntimeError
    assert (store.count(), store.journal("r1")) == (0, [])


# -- taking back


changes = st.lists(
    st.tuples(st.sampled_from(["put", "collect", "extras", "document", "purge", "uncollect"]), st.integers(0, 6)),
    max_size=12,
)


def apply(store: Store, change: tuple[str, int], mark: str) -> None:
    kind, n = change
    there = {c.id for c in store.collections()}
    if kind == "put":
        folder = {f"c{n % 3}"} & there
        store.put(login(f"i{n}", f"{mark} {n}", mark, *folder), now=NOW)
    elif kind == "collect":
        parent = f"c{n + 1}" if f"c{n + 1}" in there else None
        store.put_collection(Collection(id=f"c{n}", title=mark, parent=parent))
    elif kind == "extras":
        store.set_extras(f"x{n % 2}", {mark: n} if n else {})
    elif kind == "document":
        store.put_document(f"{mark} {n % 4}".encode())
    elif kind == "purge" and store.item(f"i{n}") is not None:
        store.purge(f"i{n}")
    elif kind == "uncollect" and f"c{n}" not in in_use(store):
        store.remove_collection(f"c{n}")


def in_use(store: Store) -> set[str | None]:
    """A vault has no folder names that lead nowhere; such a one would keep the folder that a run makes for it."""
    return {id_ for item in store.items() for id_ in item.collections} | {c.parent for c in store.collections()}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=changes, run=changes)
def test_taking_back_gives_the_old_vault(
    tmp_path_factory: pytest.TempPathFactory, old: list[tuple[str, int]], run: list[tuple[str, int]]
) -> None:
    with Store.create(tmp_path_factory.mktemp("u") / "vault.db", bytes(32), "v") as store:
        for change in old:
            apply(store, change, "old")
        before, rows = canonical.digest(store.vault()), list(store.rows())
        documents, found = set(store.documents()), store.search("old")
        store.begin_run(RUN)
        with store.recording("r1"):
            for change in run:
                apply(store, change, "new")
        assert store.undo("r1", LATER) == []
        assert canonical.digest(store.vault()) == before
        assert list(store.rows()) == rows
        assert set(store.documents()) == documents
        assert (store.search("old"), store.search("new")) == (found, [])
        assert store.run("r1").undone_at == LATER


def test_two_runs_are_taken_back_one_after_the_other(store: Store) -> None:
    store.put_many([login("a", "zero"), login("b", "zero")], NOW)
    states = [canonical.digest(store.vault())]
    for number in ("1", "2"):
        store.begin_run(Run(f"r{number}", "x", "x", "", NOW))
        with store.recording(f"r{number}"):
            store.put_many([login("a", number), login(f"new{number}")], NOW)
        states.append(canonical.digest(store.vault()))
    store.undo("r2", LATER)
    assert canonical.digest(store.vault()) == states[1]
    store.undo("r1", LATER)
    assert canonical.digest(store.vault()) == states[0]
    assert store.past("a") == []


def test_what_was_edited_since_stays_and_is_named(store: Store) -> None:
    store.put_many([login("a", "old"), login("b", "old")], NOW)
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put_many([login(id_, "new") for id_ in ("a", "b", "c", "d", "e")], NOW)
    for id_ in ("d", "b"):
        store.put(titled(store.item(id_), "mine"), now=LATER)
    store.purge("e")
    assert store.undo("r1", LATER) == ["b", "d"]
    assert {item.id: item.title for item in store.items()} == {"a": "old", "b": "mine", "d": "mine"}
    assert [canonical.decode_item(body).title for _, body in store.past("b")] == ["old", "new"]


def test_a_later_edit_that_was_taken_back_by_hand_is_no_edit(store: Store) -> None:
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put(login("a", "new"), now=NOW)
    store.put(login("a", "mine"), now=LATER)
    store.put(login("a", "new"), now=LATER)
    assert store.undo("r1", LATER) == []
    assert (store.count(), store.past("a")) == (0, [])


def test_a_purged_item_does_not_come_back(store: Store) -> None:
    store.put(login("a", "old", "geheim"), now=NOW)
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put(login("a", "new"), now=NOW)
    store.purge("a")
    assert store.journal("r1") == []
    assert store.undo("r1", LATER) == []
    assert store.count() == 0


def test_a_folder_of_the_run_stays_for_an_item_that_stays(store: Store) -> None:
    store.put_collection(Collection(id="mine"))
    store.begin_run(RUN)
    with store.recording("r1"):
        for id_, parent in (("top", None), ("used", "top"), ("unused", "top"), ("holder", None)):
            store.put_collection(Collection(id=id_, parent=parent))
        store.put_many([login("a", "", "pw", "used"), login("b", "", "pw", "unused")], NOW)
    store.put(titled(store.item("a"), "mine"), now=LATER)
    store.put_collection(Collection(id="mine", parent="holder"))
    assert store.undo("r1", LATER) == ["a"]
    assert [c.id for c in store.collections()] == ["mine", "top", "used", "holder"]


def test_a_folder_that_was_renamed_since_stays(store: Store) -> None:
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put_collection(Collection(id="c", title="theirs"))
    store.put_collection(Collection(id="c", title="mine"))
    store.undo("r1", LATER)
    assert store.collections() == (Collection(id="c", title="mine"),)


def test_extras_that_changed_since_stay(store: Store) -> None:
    store.begin_run(RUN)
    with store.recording("r1"):
        store.set_extras("x", {"a": 1})
        store.set_extras("y", {"a": 1})
    store.set_extras("x", {"a": 2})
    store.undo("r1", LATER)
    assert store.extras() == {"x": {"a": 2}}


def test_documents_of_items_that_stay_stay(store: Store) -> None:
    kept_before = store.put_document(b"before")
    store.begin_run(RUN)
    with store.recording("r1"):
        names = [store.put_document(data) for data in (b"kept", b"gone", b"before")]
        store.put_many(
            [Item(id=f"i{n}", credentials=(File(integrity_hash=name),)) for n, name in enumerate(names)], NOW
        )
    store.put(titled(store.item("i0"), "mine"), now=LATER)
    assert store.undo("r1", LATER) == ["i0"]
    assert set(store.documents()) == {kept_before, names[0]}


def test_a_run_is_taken_back_only_once(store: Store) -> None:
    store.begin_run(RUN)
    store.undo("r1", LATER)
    with pytest.raises(NoSuchRun) as caught:
        store.undo("r1", LATER)
    assert "already" in caught.value.message


def test_nothing_of_a_run_that_is_taken_back_remains_but_its_line(store: Store) -> None:
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put_many([login("a"), login("b")], NOW)
        store.add_arrivals("r1", [("items/0", "a", "fa"), ("items/1", "b", "fb")])
        store.add_quarantine("r1", "items/2", "why", b"raw")
    store.put(titled(store.item("b"), "mine"), now=LATER)
    store.undo("r1", LATER)
    assert (store.journal("r1"), store.quarantined("r1")) == ([], [])
    assert [arrival.item_id for arrival in store.arrivals("r1")] == ["b"]
    assert store.fingerprints() == {"b": "fb"}
    assert [run.id for run in store.runs()] == ["r1"]


def test_a_fingerprint_of_before_the_run_counts_again(store: Store) -> None:
    store.begin_run(Run("r0", "x", "x", "", NOW))
    with store.recording("r0"):
        store.put(login("a", "zero"), now=NOW)
        store.add_arrivals("r0", [("items/0", "a", "f0")])
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put(login("a", "one"), now=NOW)
        store.add_arrivals("r1", [("items/0", "a", "f1")])
    assert store.fingerprint_of("a") == "f1"
    store.undo("r1", LATER)
    assert store.fingerprint_of("a") == "f0"


def test_taking_back_more_than_a_page_of_items(store: Store) -> None:
    store.put_many((login(f"i{n}", "old") for n in range(0, 1500, 2)), NOW)
    before = canonical.digest(store.vault())
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put_many((login(f"i{n}", "new") for n in range(1500)), NOW)
    assert store.undo("r1", LATER) == []
    assert canonical.digest(store.vault()) == before
    assert len(store.search("old")) == 750


def test_the_note_of_an_item_that_is_taken_back_is_found_no_more(store: Store) -> None:
    store.begin_run(RUN)
    with store.recording("r1"):
        store.put(Item(id="a", credentials=(Note(content=Secret("some words")),)), now=NOW)
    assert store.search("words") == ["a"]
    store.undo("r1", LATER)
    assert store.search("words") == []
