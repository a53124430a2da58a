"""Whatever comes in whatever order: nothing is lost, a file again changes nothing, undo is exact."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from migrate import moving
from migrate.proof import Finding
from tests.migrate.household import NOW, Export, as_bytes, bring, export, login, opened, own_id, state, vault
from vault.canonical import decode_item
from vault.model import BasicAuth, Field, Item, find
from vault.secret import Secret
from vault.store import Store

NAMES = ("Mail", "Bank", "Mail")  # two accounts of one name
FOLDERS = ("Home", "Home/Deep", "Work")
PASSWORDS = ("p-1", "p-2", "same", "")


@st.composite
def exports(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a file of some accounts, each in one of a few states; of a product with ids, or of one without."""
    items: list[Export] = []
    for number in draw(st.lists(st.integers(0, 2), max_size=4)):  # the same account may stand in a file twice
        one = login(
            NAMES[number],
            draw(st.sampled_from(("ann", "same"))),
            draw(st.sampled_from(PASSWORDS)),
            *draw(st.sampled_from(((), ("https://x.test",), ("https://x.test", "https://y.test")))),
            folder=draw(st.sampled_from((None, *FOLDERS))),
            notes=draw(st.sampled_from((None, "same", "a note"))),
        )
        items.append({**one, "id": own_id(f"account {number}")})
    if draw(st.booleans()):
        return "export.json", as_bytes(export(items, *FOLDERS))
    rows = ["name,url,username,password,note"]
    for one in items:
        uris = one["login"]["uris"]
        url = uris[0]["uri"] if uris else ""
        rows.append(
            ",".join((one["name"], url, one["login"]["username"], one["login"]["password"], one["notes"] or ""))
        )
    return "chrome.csv", ("\n".join(rows) + "\n").encode()


steps = st.one_of(
    st.tuples(st.just("bring"), exports(), st.sampled_from(((), ("Old",), ("Home",)))),
    st.tuples(st.just("edit"), st.integers(0, 9), st.sampled_from(("mine", "same"))),
    st.tuples(st.just("trash"), st.integers(0, 9)),
    st.tuples(st.just("undo"), st.integers(0, 9)),
)


def passwords(store: Store) -> set[str]:
    """Return every password the vault still knows, of now or of before."""
    items = [item for one in store.items() for item in (one, *(decode_item(body) for _, body in store.past(one.id)))]
    found = {past.value.reveal() for item in items for past in item.history}
    return found | {auth.password.text for item in items if (auth := find(item, BasicAuth)) and auth.password}


def edited(item: Item, password: str) -> Item:
    new = Field(value=Secret(password), field_type="concealed-string")
    kept = (msgspec.structs.replace(c, password=new) if isinstance(c, BasicAuth) else c for c in item.credentials)
    return msgspec.structs.replace(item, credentials=tuple(kept))


def missing(store: Store, name: str, data: bytes) -> list[Finding]:
    """Return what of the file that came last is not in the vault."""
    run = store.runs()[-1]
    return moving.verify(store, opened(data, name, options=run.options), run).missing


def come(store: Store, name: str, data: bytes, into: tuple[str, ...]) -> None:
    """Bring a file in and hold everything that is promised about it."""
    before, known, count = state(store), passwords(store), store.count()
    outcome = bring(store, data, name=name, into=into)
    assert not outcome.ledger.quarantine
    assert all("stand once more" not in text for text in outcome.ledger.warnings)
    assert store.count() == count + outcome.items["new"] + outcome.items["conflict"]
    assert known <= passwords(store)
    run = store.runs()[-1]
    assert missing(store, name, data) == []
    after = state(store)
    again = bring(store, data, name=name, into=into)
    assert set(again.items) <= {"same"}
    assert state(store) == after
    store.undo(store.runs()[-1].id, NOW)
    assert state(store) == after
    if not (outcome.items["new"] or outcome.items["changed"] or outcome.items["conflict"]):
        return
    store.undo(run.id, NOW)
    assert state(store) == before
    bring(store, data, name=name, into=into)
    assert missing(store, name, data) == []


def step(store: Store, kind: str, *given: Any) -> None:
    items = list(store.items())
    if kind == "bring":
        (name, data), into = given
        come(store, name, data, into)
    elif kind == "undo":
        standing = [run for run in store.runs() if run.undone_at is None]
        if standing:
            store.undo(standing[given[0] % len(standing)].id, NOW)
    elif items:
        item = items[given[0] % len(items)]
        made = edited(item, given[1]) if kind == "edit" else msgspec.structs.replace(item, trashed=True, trashed_at=NOW)
        store.put(made, now=NOW)


@settings(max_examples=120)
@given(st.lists(steps, max_size=6))
def test_nothing_is_lost_and_everything_can_be_taken_back(plan: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, vault(Path(folder)) as store:
        for kind, *given_now in plan:
            step(store, kind, *given_now)
        assert store.is_sound()
