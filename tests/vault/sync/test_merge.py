"""What several devices write becomes one state: the same in any order, and without losing anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vault import strategies
from tests.vault.sync import oracle
from tests.vault.sync.machine import Device
from tests.vault.sync.oracle import Entry
from tests.vault.sync.test_cells import rows, strange_rows
from vault import canonical
from vault.canonical import canonical as exact
from vault.errors import ForgedEntry
from vault.model import Collection
from vault.sync import merge
from vault.sync.merge import Op, Thing

NOW_MS = 1_790_000_000_000
ITEM = ("item", "x")


def _changed(thing: Thing | None, row: dict[str, Any] | None, device: str, seq: int, **seen: int) -> Thing:
    op = merge.ops_between(*ITEM, thing, row, seq)
    assert op is not None
    return merge.apply(thing, op, device=device, seq=seq, seen=seen)


def _devices(*names: str) -> list[Device]:
    return [Device(name) for name in names]


def _write(device: Device, row: dict[str, Any] | None, now_ms: int = NOW_MS) -> Entry:
    entry = device.write([(ITEM, row)], now_ms)
    assert entry is not None
    return entry


def _send(entries: Sequence[Entry], *devices: Device) -> None:
    for device in devices:
        device.inbox.update((entry.dot, entry) for entry in entries)
        device.take_in(NOW_MS)


def _beside(
    base: dict[str, Any], ours: dict[str, Any] | None, theirs: dict[str, Any] | None
) -> tuple[Device, Device, Thing]:
    """Return two devices that changed the same row without seeing each other, and have met since."""
    a, b = _devices("a", "b")
    _send([_write(a, base)], b)
    left, right = _write(a, ours), _write(b, theirs, NOW_MS + 5)
    _send([right], a)
    _send([left], b)
    assert a.state() == b.state()
    return a, b, a.things[ITEM]


# -- a change arrives exactly


@settings(max_examples=60)
@given(st.lists(st.none() | rows, min_size=1, max_size=4))
def test_the_op_between_two_rows_makes_one_the_other(versions: list[dict[str, Any] | None]) -> None:
    thing: Thing | None = None
    for seq, version in enumerate(versions, 1):
        row = None if version is None else {**version, "id": "x"}
        op = merge.ops_between(*ITEM, thing, row, seq)
        if op is not None:
            [arrived] = merge.decode_ops(merge.encode_ops([op]))
            thing = merge.apply(thing, arrived, device="a", seq=seq, seen={})
        assert exact(thing.row() if thing is not None else None) == exact(row)
        assert merge.ops_between(*ITEM, thing, row, seq) is None
        if thing is not None:
            assert merge.encode(merge.decode(merge.encode(thing))) == merge.encode(thing)
            assert exact(merge.decode(merge.encode(thing)).shown()) == exact(thing.shown())


@given(st.one_of(strange_rows, strategies.json_objects.map(canonical.plain)), strange_rows)
def test_what_a_format_says_beside_its_items_is_exact_too(one: dict[str, Any], other: dict[str, Any]) -> None:
    first = merge.ops_between("extras", "cxf", None, one, 1)
    assert first is not None
    thing = merge.apply(None, first, device="a", seq=1, seen={})
    assert exact(thing.row()) == exact(one)
    second = merge.ops_between("extras", "cxf", thing, other, 2)
    if second is not None:
        thing = merge.apply(thing, second, device="a", seq=2, seen={})
    assert exact(thing.row()) == exact(other)


@settings(max_examples=40)
@given(strategies.items(), strategies.items(), strategies.items())
def test_items_that_were_changed_on_two_devices_are_still_items(base: Any, ours: Any, theirs: Any) -> None:
    changed = [{**canonical.plain(item), "id": "x"} for item in (base, ours, theirs)]
    a, b = _devices("a", "b")
    _send([_write(a, changed[0])], b)
    sent = [device.write([(ITEM, row)], NOW_MS) for device, row in zip((a, b), changed[1:], strict=True)]
    _send([entry for entry in sent if entry is not None], a, b)
    assert a.state() == b.state()
    thing = a.things[ITEM]
    for row in (thing.row(), *thing.lost_rows()):
        canonical.decode_item(exact(row))


@given(st.tuples(*[strategies.parts(Collection)] * 3))
def test_collections_that_were_changed_on_two_devices_are_still_collections(parts: tuple[Collection, ...]) -> None:
    base, ours, theirs = ({**canonical.plain(one), "id": "x", "title": str(at)} for at, one in enumerate(parts))
    *_, thing = _beside(base, ours, theirs)
    canonical.decode_collection(exact(thing.row()))


def test_the_same_number_written_otherwise_is_a_change() -> None:
    thing = _changed(None, canonical.decode_any(b'{"id":"x","extra":{"n":1.10}}'), "a", 1)
    for text in (b"1.1", b"1", b"true", b'"1"'):
        row = canonical.decode_any(b'{"id":"x","extra":{"n":' + text + b"}}")
        assert exact(_changed(thing, row, "a", 2).row()) == exact(row)


def test_a_change_of_one_field_is_small() -> None:
    row = {"id": "x", "title": "t" * 500, "tags": [f"tag {number}" for number in range(50)]}
    thing = _changed(None, row, "a", 1)
    op = merge.ops_between(*ITEM, thing, {**row, "subtitle": "new", "tags": row["tags"][1:]}, 2)
    assert op is not None
    assert len(merge.encode_ops([op])) < 100


# -- any order, grouping and number of times

_titles = st.sampled_from(["title", "subtitle", 'tags/"a"', "credentials/note", "credentials/note/content", "new/kind"])
_ops = st.builds(
    Op,
    st.just("item"),
    st.sampled_from(["x", "y"]),
    st.integers(0, 3),
    st.just("delete") | st.dictionaries(_titles, st.integers(0, 9), max_size=3),
    st.lists(_titles, max_size=2),
).map(lambda op: Op(op.kind, op.id, op.hlc, "delete") if op.deletes else op)
_steps = st.lists(
    st.tuples(st.sampled_from("abcd"), st.lists(_ops, min_size=1, max_size=3) | st.sampled_from("abcd")), max_size=14
)


def _entries(steps: list[tuple[str, Any]]) -> list[Entry]:
    """Return what is written when devices write ops or get all that another has."""
    devices = {name: Device(name) for name in "abcd"}
    made = []
    for name, what in steps:
        device = devices[name]
        if isinstance(what, str):
            _send(devices[what].log, device)
        else:
            seen = {other: seq for other, seq in device.heads.items() if other != name}
            entry = Entry(name, device.heads.get(name, 0) + 1, seen, max(op.hlc for op in what), tuple(what))
            device.apply(entry)
            made.append(entry)
    return made


@given(_steps, st.randoms())
def test_any_order_grouping_and_repetition_of_entries_gives_the_same(steps: list[tuple[str, Any]], chance: Any) -> None:
    entries = _entries(steps)
    ends = []
    for _ in range(3):
        device = Device("z")
        sent = [*entries, *chance.choices(entries, k=len(entries))] if entries else []
        chance.shuffle(sent)
        while sent:
            group = [sent.pop() for _ in range(chance.randint(1, len(sent)))]
            _send(group, device)
            if chance.random() < 0.3:
                device.things = {key: merge.decode(data) for key, data in device.state().items()}
        _send(entries, device)
        assert not device.inbox
        ends.append(device.state())
    assert ends[0] == ends[1] == ends[2]


@given(_steps)
def test_each_value_stands_until_it_is_covered_by_one_who_had_seen_it(steps: list[tuple[str, Any]]) -> None:
    entries = _entries(steps)
    device = Device("z")
    _send(entries, device)
    assert oracle.differences(entries, device.things) == []


@given(_steps)
def test_an_op_applied_twice_is_applied_once(steps: list[tuple[str, Any]]) -> None:
    device = Device("z")
    for entry in _entries(steps):
        _send([entry], device)
        for op in entry.ops[-1:]:
            thing = device.things[op.kind, op.id]
            again = merge.apply(thing, op, device=entry.device, seq=entry.seq, seen=entry.seen)
            assert merge.encode(again) == merge.encode(thing)


# -- what stands beside each other


def test_the_later_of_two_titles_is_shown_and_the_other_is_kept() -> None:
    *_, thing = _beside({"id": "x", "title": "old"}, {"id": "x", "title": "ours"}, {"id": "x", "title": "theirs"})
    assert thing.row() == {"id": "x", "title": "theirs"}
    assert [(one.path, one.value, one.device) for one in thing.losers()] == [("title", "ours", "a")]
    assert thing.lost_rows() == [{"id": "x", "title": "ours"}]


def test_of_two_titles_of_one_time_the_greater_devices_is_shown() -> None:
    a, b = _devices("a", "b")
    one, other = _write(a, {"id": "x", "title": "ours"}), _write(b, {"id": "x", "title": "theirs"})
    assert one.hlc == other.hlc
    _send([one, other], a, b)
    assert a.rows() == b.rows() == {ITEM: {"id": "x", "title": "theirs"}}


def test_a_write_that_saw_both_covers_the_loser() -> None:
    a, b, _ = _beside({"id": "x"}, {"id": "x", "title": "ours"}, {"id": "x", "title": "theirs"})
    _send([_write(a, {"id": "x", "title": "both"})], b)
    assert not b.things[ITEM].losers()
    assert b.things[ITEM].lost_rows() == []


def test_a_change_of_something_else_leaves_the_loser() -> None:
    a, b, _ = _beside({"id": "x"}, {"id": "x", "title": "ours"}, {"id": "x", "title": "theirs"})
    _send([_write(a, {"id": "x", "title": "theirs", "favorite": True})], b)
    assert [one.value for one in b.things[ITEM].losers()] == ["ours"]


def test_the_same_written_twice_has_no_loser() -> None:
    *_, thing = _beside({"id": "x"}, {"id": "x", "title": "same"}, {"id": "x", "title": "same"})
    assert len(thing.cells["title"]) == 2
    assert not thing.losers()


def test_when_it_was_changed_is_no_past_version() -> None:
    *_, thing = _beside({"id": "x"}, {"id": "x", "modifiedAt": "1"}, {"id": "x", "modifiedAt": "2"})
    assert thing.losers()
    assert thing.lost_rows() == []


def test_changes_of_different_fields_are_all_there() -> None:
    base = {"id": "x", "title": "t", "subtitle": "s", "tags": ["a", "b", "c"]}
    *_, thing = _beside(base, {**base, "title": "ours", "tags": ["b", "c", "d"]}, {**base, "tags": ["a", "c", "e"]})
    row = thing.row()
    assert row is not None
    assert row["title"] == "ours"
    assert sorted(row["tags"]) == ["c", "d", "e"]


def test_a_value_taken_away_beside_a_change_of_it_stays() -> None:
    *_, thing = _beside({"id": "x", "title": "old"}, {"id": "x"}, {"id": "x", "title": "new"})
    assert thing.row() == {"id": "x", "title": "new"}


def test_a_tag_taken_out_stays_out_though_others_are_moved() -> None:
    base = {"id": "x", "tags": ["a", "b", "c"]}
    *_, thing = _beside(base, {"id": "x", "tags": ["b", "c"]}, {"id": "x", "tags": ["c", "a", "b"]})
    assert thing.row() == {"id": "x", "tags": ["c", "b"]}


def test_a_credential_taken_out_beside_a_new_password_stays_whole() -> None:
    login = {"type": "basic-auth", "username": {"value": "ada"}, "password": {"value": "1"}}
    changed = {**login, "password": {"value": "2"}}
    *_, thing = _beside({"id": "x", "credentials": [login]}, {"id": "x"}, {"id": "x", "credentials": [changed]})
    assert thing.row() == {"id": "x", "credentials": [changed]}


def test_two_codes_added_at_once_are_two_codes() -> None:
    codes = [{"type": "totp", "secret": "AAAA", "digits": 8}, {"type": "totp", "secret": "BBBB"}]
    *_, thing = _beside({"id": "x"}, *({"id": "x", "credentials": [code]} for code in codes))
    row = thing.row()
    assert row is not None
    assert sorted(row["credentials"], key=exact) == sorted(codes, key=exact)


def test_two_codes_put_in_place_of_one_are_never_mixed() -> None:
    base = {"id": "x", "credentials": [{"type": "totp", "secret": "OLD", "digits": 7}]}
    codes = [{"type": "totp", "secret": "AAAA", "digits": 8}, {"type": "totp", "secret": "BBBB"}]
    *_, thing = _beside(base, *({"id": "x", "credentials": [code]} for code in codes))
    row = thing.row()
    assert row is not None
    assert sorted(row["credentials"], key=exact) == sorted(codes, key=exact)


# -- what is gone


def test_a_delete_beside_a_change_keeps_the_whole_item_and_says_so() -> None:
    base = {"id": "x", "title": "t", "tags": ["a"], "credentials": [{"type": "note", "content": "n"}]}
    a, b, thing = _beside(base, None, {**base, "title": "new"})
    assert thing.row() == {**base, "title": "new"}
    assert thing.kept_against_delete
    _send([_write(b, {**base, "title": "newer"})], a)
    assert not a.things[ITEM].kept_against_delete


def test_two_deletes_beside_each_other_delete() -> None:
    *_, thing = _beside({"id": "x"}, None, None)
    assert thing.row() is None
    assert not thing.kept_against_delete


def test_a_delete_that_saw_the_change_deletes() -> None:
    a, b, _ = _beside({"id": "x"}, {"id": "x", "title": "1"}, {"id": "x", "title": "2"})
    _send([_write(a, None)], b)
    assert b.rows() == {}


def test_what_is_brought_back_is_whole() -> None:
    base = {"id": "x", "title": "t", "tags": ["a"]}
    thing = _changed(_changed(None, base, "a", 1), None, "a", 2)
    assert thing.row() is None
    op = merge.ops_between(*ITEM, thing, base, 3)
    assert op == Op("item", "x", 3, {}, [])
    assert merge.apply(thing, op, device="b", seq=1, seen={"a": 2}).row() == base


def test_nothing_is_deleted_twice() -> None:
    thing = _changed(_changed(None, {"id": "x"}, "a", 1), None, "a", 2)
    assert merge.ops_between(*ITEM, thing, None, 3) is None
    assert merge.ops_between(*ITEM, None, None, 3) is None


# -- later versions, strangers and onlookers


def test_cells_of_a_later_version_are_kept_and_left_alone() -> None:
    thing = merge.apply(None, Op("item", "x", 1, {"title": "t", "credentials/a/b/c/d": 1}), device="a", seq=1, seen={})
    thing = _changed(thing, {"id": "x", "title": "new"}, "b", 1, a=1)
    assert thing.row() == {"id": "x", "title": "new"}
    assert merge.decode(merge.encode(thing)).shown()["credentials/a/b/c/d"] == 1


def test_members_this_version_does_not_know_survive() -> None:
    base = {"id": "x", "title": "t", "fromTheFuture": {"deep": [1, {"a": None}]}}
    thing = _changed(_changed(None, base, "a", 1), {**base, "title": "new"}, "a", 2)
    assert thing.row() == {**base, "title": "new"}


def test_what_an_older_version_cannot_hold_survives_its_changes() -> None:
    login = {"type": "basic-auth", "password": {"value": "1"}}
    newer = {"id": "x", "title": "t", "future": 1, "credentials": [{**login, "strength": 3}, {"type": "note"}]}
    older = {"id": "x", "title": "t", "credentials": [login, {"type": "note"}]}
    thing = _changed(None, newer, "a", 1)
    assert merge.ops_between(*ITEM, thing, older, 2, read_as=older) is None
    edited = {"id": "x", "title": "new", "credentials": [{"type": "note"}, {**login, "password": {"value": "2"}}]}
    op = merge.ops_between(*ITEM, thing, edited, 2, read_as=older)
    assert op is not None
    assert merge.apply(thing, op, device="b", seq=1, seen={"a": 1}).row() == {
        "id": "x",
        "title": "new",
        "future": 1,
        "credentials": [{"type": "note"}, {**login, "password": {"value": "2"}, "strength": 3}],
    }


@settings(max_examples=60)
@given(rows, rows)
def test_what_was_read_in_full_is_changed_in_full(old: dict[str, Any], new: dict[str, Any]) -> None:
    thing = _changed(None, {**old, "id": "x"}, "a", 1)
    row = {**new, "id": "x"}
    op = merge.ops_between(*ITEM, thing, row, 2, read_as=thing.row())
    assert op == merge.ops_between(*ITEM, thing, row, 2)


@given(rows, st.randoms(), rows)
def test_what_was_left_out_by_reading_is_all_that_differs(
    old: dict[str, Any], chance: Any, new: dict[str, Any]
) -> None:
    old, new = {**old, "id": "x"}, {**new, "id": "x"}
    lost = {name for name in old if name not in {*new, "id"} and chance.random() < 0.5}
    thing = _changed(None, old, "a", 1)
    read_as = {name: value for name, value in old.items() if name not in lost}
    op = merge.ops_between(*ITEM, thing, new, 2, read_as=read_as)
    made = merge.apply(thing, op, device="b", seq=1, seen={"a": 1}) if op is not None else thing
    assert exact(made.row()) == exact({**new, **{name: old[name] for name in lost}})


def test_no_op_changes_an_items_id() -> None:
    thing = merge.apply(None, Op("item", "x", 1, {"id": "y", "title": "t"}), device="a", seq=1, seen={})
    assert thing.row() == {"id": "x", "title": "t"}


@pytest.mark.parametrize(
    "text",
    [
        *('{"ops": [["item", "x", 1, {}]', "[]", "{}", '{"ops": [["item", "x", 1]]}', '{"ops": [["item", 5, 1, {}]]}'),
        *('{"ops": [["item", "x", -1, {}]]}', '{"ops": [["item", "x", 1.5, {}]]}', '{"ops": [["", "x", 1, {}]]}'),
        *('{"ops": [["item", "x", 1, "remove"]]}', '{"ops": [["item", "x", 1, {}, [1]]]}', '{"ops": null}'),
        *('{"ops": [["item", "x", 18446744073709551616, {}]]}', "[" * 100_000, '{"ops":[["i","x",1,{"a":' + "[" * 9999),
        *(f'{{"ops": [["item", "{"x" * 1025}", 1, {{}}]]}}', '{"ops":[["item","x",1,{"a":1e999999999999999999999}]]}'),
    ],
)
def test_what_is_no_change_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ForgedEntry) as caught:
        merge.decode_ops(text.encode())
    assert "\n" not in caught.value.message


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=3) | _titles, strategies.json_values, max_size=4))))
def test_strange_cells_never_make_a_row_unreadable(sent: list[tuple[dict[str, Any]]]) -> None:
    thing: Thing | None = None
    for seq, (cells,) in enumerate(sent, 1):
        thing = merge.apply(thing, Op("item", "x", seq, canonical.plain(cells)), device="a", seq=seq, seen={})
        json.loads(exact(thing.row()))
        merge.ops_between(*ITEM, thing, {"id": "x", "tags": ["a"]}, seq)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"kind":"item","id":"x","writes":{"a":3}}', b"[" * 100_000])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not the state"):
        merge.decode(data)


def test_nothing_shows_a_value() -> None:
    row = {"id": "x", "credentials": [{"type": "note", "content": "hunter2"}], "title": "hunter2"}
    *_, thing = _beside({"id": "x"}, row, {**row, "title": "hunter2 too"})
    op = merge.ops_between(*ITEM, None, row, 1)
    assert thing.losers()
    for shown in (thing, op, thing.losers(), thing.cells, thing.presence):
        assert "hunter2" not in repr(shown)
    for part in (thing, op, *thing.losers(), *thing.cells["title"]):
        assert part is not None
        assert "hunter2" not in repr(part.__rich_repr__())
