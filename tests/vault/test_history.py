"""What a vault remembers beside its items goes into lines and comes back, each thing at its old place."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vault.strategies import texts, vaults
from vault import canonical
from vault.errors import DamagedVault
from vault.model import Collection, Item, Vault
from vault.store import Run, Store

NOW, LATER = "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z"
ORDER = (b'["order","items",0,[]]', b'["order","collections",0,[]]')
RUN = b'["run",1,"a","cxf","file","d","t","{}","{}",null]'

_numbers = st.integers(0, 2**63 - 1)
_items = st.builds(lambda id_, title: canonical.encode(Item(id=id_, title=title)).decode(), texts, texts)
_folders = st.builds(lambda id_, title: canonical.encode(Collection(id=id_, title=title)).decode(), texts, texts)
_objects = st.dictionaries(texts, texts, max_size=2).map(json.dumps)
_befores = {"item": _items, "collection": _folders, "extras": _objects, "document": st.just("name")}


@st.composite
def remembered(draw: st.DrawFn) -> list[bytes]:
    """Make lines of every kind but the order, as the vault would write them."""
    runs = draw(st.lists(st.tuples(st.integers(1, 99), texts), max_size=3, unique_by=(lambda r: r[0], lambda r: r[1])))
    lines = [
        ["run", no, name, *draw(st.tuples(*[texts] * 4, _objects, _objects)), draw(st.none() | texts)]
        for no, name in sorted(runs)
    ]
    lines += [
        ["past", *one] for one in draw(st.lists(st.tuples(texts, texts, _items, st.none() | _numbers), max_size=3))
    ]
    arrivals = draw(st.lists(st.tuples(_numbers, _numbers, texts, texts, texts), max_size=3, unique_by=lambda a: a[:2]))
    lines += [["arrival", *one] for one in sorted(arrivals)]
    journal = draw(
        st.lists(
            st.sampled_from(sorted(_befores)).flatmap(
                lambda kind: st.tuples(
                    *(_numbers, _numbers, st.just(kind), texts, st.none() | _numbers),
                    *(st.none() | _befores[kind], st.none() | texts),
                )
            ),
            max_size=3,
            unique_by=(lambda j: j[0], lambda j: j[1:4]),
        )
    )
    lines += [["journal", *one] for one in sorted(journal, key=lambda one: one[0])]
    for no, place, reason, raw in draw(st.lists(st.tuples(_numbers, texts, texts, st.binary(max_size=30)), max_size=3)):
        lines.append(["quarantine", no, place, reason, base64.b64encode(raw).decode()])
    return [canonical.encode(line) for line in lines]


def vault(path: Path) -> Store:
    return Store.create(path, bytes(32), "ab" * 16)


@given(vaults(), remembered(), st.data())
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_everything_comes_back_at_its_place(
    tmp_path_factory: pytest.TempPathFactory, made: Vault, lines: list[bytes], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("law")
    order = []
    for name, things in (("items", made.items), ("collections", made.collections)):
        seqs = sorted(data.draw(st.sets(st.integers(1, 2**40), min_size=len(things), max_size=len(things)), name))
        order.append(canonical.encode(["order", name, max([0, *seqs]) + data.draw(st.integers(0, 9)), seqs]))
    with vault(folder / "a") as first, vault(folder / "b") as second:
        first.fill(made, [*order, *lines])
        told = list(first.history())
        assert told == [line + b"\n" for line in [*order, *lines]]
        second.fill(first.vault(), told)
        assert list(second.history()) == told
        assert canonical.canonical(second.vault()) == canonical.canonical(made)


def filled(path: Path) -> Store:
    """Return a vault with a past: an import, a change, a purge, a record that could not be read."""
    store = vault(path)
    store.begin_run(Run(id="r1", format="cxf", source_name="f", digest="d", at=NOW))
    with store.recording("r1"):
        for number in range(3):
            store.put(Item(id=f"i{number}", title=f"Item {number}"), now=NOW)
        store.put_collection(Collection(id="c", title="Folder"))
        store.add_arrivals("r1", [("items/0", "i0", "f0")])
        store.add_quarantine("r1", "items/9", "no object", b"\xff{")
    store.put(Item(id="i0", title="Renamed"), now=LATER)
    store.purge("i1")
    return store


def test_a_real_past_comes_back(tmp_path: Path) -> None:
    with filled(tmp_path / "a") as first, vault(tmp_path / "b") as second:
        second.fill(first.vault(), first.history())
        assert list(second.history()) == list(first.history())
        assert second.past("i0") == first.past("i0") != []
        assert second.runs() == first.runs()
        assert second.journal("r1") == first.journal("r1")
        assert [item.id for item in second.items()] == ["i0", "i2"]


def test_a_vault_that_came_back_goes_on_counting(tmp_path: Path) -> None:
    """Places that were ever given are not given again: an import taken back leaves the old order."""
    with filled(tmp_path / "a") as first, vault(tmp_path / "b") as second:
        first.purge("i2")
        second.fill(first.vault(), first.history())
        for store in (first, second):
            store.put(Item(id="new", title="New"), now=LATER)
        assert list(second.history()) == list(first.history())
        assert b'["order","items",4,[1,4]]\n' in list(second.history())


def test_only_an_empty_vault_is_filled(tmp_path: Path) -> None:
    with filled(tmp_path / "a") as store, pytest.raises(DamagedVault, match="not empty"):
        store.fill(Vault(), ORDER)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [ORDER[0]],
        [*ORDER, ORDER[0]],
        [b'["order","items",0,[1]]', ORDER[1]],
        [b'["order","items",1.5,[]]', ORDER[1]],
        [b'["order","things",0,[]]', *ORDER],
        [b'["order",[],0,[]]', *ORDER],
        *(
            [*ORDER, line]
            for line in (
                *(b"", b"x", b"1", b"[]", b"{}", b'"run"', b'["nope"]', b'["run"]', b'["run",1]', b"\xff"),
                RUN.replace(b"null", b"null,1"),
                RUN.replace(b"1", b"-1", 1),
                RUN.replace(b"1", b"true", 1),
                RUN.replace(b"1", b"99999999999999999999", 1),
                RUN.replace(b'"a"', b"null"),
                RUN.replace(b'"a"', b"{}"),
                b'["past","i","t",5,null]',
                b'["past","i","t",null,null]',
                b'["past","i"]',
                b'["quarantine",1,"p","r","%%"]',
                b'["quarantine",1,"p","r",5]',
                b'["journal",1,1,"item","x",null,"a",[1]]',
                b'["order","items",0,[],3]',
            )
        ),
        [*ORDER, RUN, RUN],
        [*ORDER, RUN, RUN.replace(b"1", b"2", 1)],
        [*ORDER, b'["arrival",1,1,"p","i","f"]', b'["arrival",1,1,"q","j","g"]'],
        [*ORDER, b'["journal",1,1,"item","x",null,"a",null]', b'["journal",1,1,"item","y",null,"a",null]'],
        [*ORDER, b'["journal",1,1,"item","x",null,"a",null]', b'["journal",2,1,"item","x",null,"a",null]'],
    ],
)
def test_lines_that_are_none_are_one_sentence_and_leave_nothing(tmp_path: Path, lines: list[bytes]) -> None:
    with vault(tmp_path / "v") as store:
        with pytest.raises(DamagedVault) as caught:
            store.fill(Vault(), lines)
        assert "history is not built as ours" in caught.value.message
        assert store.runs() == []
        assert list(store.history()) == [line + b"\n" for line in ORDER]


@pytest.mark.parametrize(
    "order", [[1], [1, 2, 3], [2, 1], [1, 1], [0, 1], [1, 8], [-1, 1], ["1", "2"], [1, 2**70], None, {"a": 1}]
)
def test_places_are_as_many_as_items_rising_and_not_beyond_the_last(tmp_path: Path, order: object) -> None:
    items = tuple(Item(id=name, title="") for name in "ab")
    line = canonical.encode(["order", "items", 7, order])
    with vault(tmp_path / "v") as store:
        with pytest.raises(DamagedVault):
            store.fill(Vault(items=items), [line, ORDER[1]])
        store.fill(Vault(items=items), [b'["order","items",7,[1,7]]', ORDER[1]])


def test_an_item_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    twice = Vault(items=(Item(id="a", title="1"), Item(id="a", title="2")))
    folders = Vault(collections=(Collection(id="a", title="1"), Collection(id="a", title="2")))
    with vault(tmp_path / "v") as store:
        for wrong, name in ((twice, b"items"), (folders, b"collections")):
            order = [line.replace(b"0,[]", b"2,[1,2]") if name in line else line for line in ORDER]
            with pytest.raises(DamagedVault):
                store.fill(wrong, order)
        assert store.count() == 0
