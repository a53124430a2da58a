"""Documents that come in pieces: whole and right in the end, or never there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vault.errors import DamagedVault
from vault.rows import document_name
from vault.store import Run, Store

DATA = bytes(range(256)) * 100
NAME = document_name(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create(tmp_path / "vault.db", bytes(32), "v") as made:
        yield made


def put(store: Store, name: str, size: int, *pieces: bytes) -> None:
    with store.transaction():
        writer = store.document_writer(name, size)
        for piece in pieces:
            writer.write(piece)
        writer.finish()


@given(data=st.binary(max_size=20_000), cuts=st.lists(st.integers(0, 20_000), max_size=5))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_become_the_document_they_are_pieces_of(store: Store, data: bytes, cuts: list[int]) -> None:
    ends = sorted(cut for cut in cuts if cut < len(data))
    pieces = [data[a:b] for a, b in zip([0, *ends], [*ends, len(data)], strict=True)]

    put(store, document_name(data), len(data), *pieces)

    assert store.document(document_name(data)) == data
    assert store.document_size(document_name(data)) == len(data)
    assert store.document_sizes()[document_name(data)] == len(data)
    assert [*store.document_sizes()] == store.documents()
    assert store.put_document(data) == document_name(data)


@pytest.mark.parametrize(
    ("size", "pieces"),
    [
        (len(DATA), (DATA[:-1],)),
        (len(DATA), (DATA[:-1], b"!")),
        (len(DATA), (DATA, b"!")),
        (len(DATA) - 1, (DATA,)),
        (len(DATA) + 1, (DATA,)),
    ],
    ids=["too short", "other bytes", "too long", "size too small", "size too large"],
)
@pytest.mark.parametrize("known", [False, True], ids=["new", "there already"])
def test_a_document_that_is_not_what_its_name_says_is_refused_and_leaves_nothing(
    store: Store, size: int, pieces: tuple[bytes, ...], known: bool
) -> None:
    if known:
        store.put_document(DATA)

    with pytest.raises(DamagedVault):
        put(store, NAME, size, *pieces)

    assert store.documents() == [NAME] * known
    assert store.is_sound()


def test_a_document_whose_writing_is_given_up_in_the_middle_leaves_nothing(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.transaction():
        writer = store.document_writer(NAME, len(DATA))
        writer.write(DATA[:1000])
        raise KeyboardInterrupt

    assert store.documents() == []
    put(store, NAME, len(DATA), DATA)
    assert store.document(NAME) == DATA


def test_a_document_that_is_there_is_not_written_again(store: Store) -> None:
    store.put_document(DATA)
    before = store.changes

    put(store, NAME, len(DATA), DATA[:5], DATA[5:])

    assert store.changes == before


def test_a_document_is_taken_back_with_the_run_that_brought_it(store: Store) -> None:
    store.begin_run(Run("r1", "f", "a file", "0" * 64, "2026-11-20T10:00:00Z", {}))
    with store.transaction(), store.recording("r1"):
        writer = store.document_writer(NAME, len(DATA))
        writer.write(DATA)
        writer.finish()

    assert [(entry.kind, entry.id) for entry in store.journal("r1")] == [("document", NAME)]


def test_pieces_are_only_taken_inside_a_transaction(store: Store) -> None:
    with pytest.raises(ValueError, match="transaction"):
        store.document_writer(NAME, len(DATA))
    assert store.documents() == []
