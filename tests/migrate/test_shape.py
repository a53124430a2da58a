"""What counts as a value, what as structure, and what a rule makes of it."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.proof import Wanted
from migrate.rules import expiry_month, unix_seconds
from migrate.shape import WORDS, changed, codes, count, is_leaf, leaves, new_tally, spell_surrogates, text_of

SHAPE = {
    "kind": codes(0, 1),
    "word": WORDS,
    "at": changed(unix_seconds),
    "card": {"expMonth": changed(expiry_month), "expYear": changed(expiry_month)},
    "list": {"*": {"kind": codes("a")}},
    "rest": {"*": codes("x")},
}
scalars = st.none() | st.booleans() | st.integers(-5, 3_000_000_000) | st.text("abx0 ", max_size=3)
nodes = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SHAPE, "other", "expMonth", "expYear"]), inner, max_size=4)
    ),
    max_leaves=14,
)


@given(nodes)
def test_counter_walker_and_proof_agree_on_every_record(node: Any) -> None:
    tally = new_tally()
    count(node, SHAPE, tally)
    found = list(leaves(node, SHAPE))
    want = Wanted(node)
    want.take(node, SHAPE)
    assert tally[0] == len(found) == want.count
    assert tally[1] == sum(leaf.rule is not None for leaf in found)


@given(nodes)
def test_every_leaf_stands_where_its_path_says(node: Any) -> None:
    if isinstance(node, (dict, list)):
        for leaf in leaves(node):
            at: Any = node
            for step in leaf.path.replace("[", ".[").strip(".").split("."):
                at = at[int(step[1:-1])] if step.startswith("[") else at[step]
            assert text_of(at) == leaf.text


@given(nodes)
def test_without_a_shape_everything_that_says_something_is_a_leaf(node: Any) -> None:
    def plain(one: Any) -> int:
        if isinstance(one, dict):
            return sum(map(plain, one.values()))
        return sum(map(plain, one)) if isinstance(one, list) else int(is_leaf(one))

    tally = new_tally()
    count(node, None, tally)
    assert tally[0] == plain(node)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"kind": 1}, []),
        ({"kind": 2}, [("kind", "2", ())]),
        ({"kind": "1"}, [("kind", "1", ())]),
        ({"word": "anything", "other": "anything"}, [("other", "anything", ())]),
        ({"at": 0}, [("at", "0", ("1970-01-01T00:00:00Z",))]),
        ({"at": "soon"}, [("at", "soon", ())]),
        ({"list": [{"kind": "a"}, {"kind": "b"}]}, [("list[1].kind", "b", ())]),
        ({"rest": {"any": "x", "more": "y"}}, [("rest.more", "y", ())]),
        ({"card": {"expMonth": 7, "expYear": "2029", "n": ""}},
         [("card.expMonth", "7", ("2029-07",)), ("card.expYear", "2029", ("2029-07",))]),
        ({"card": "a text where an object was"}, [("card", "a text where an object was", ())]),
        ({"kind": {"deep": 1}}, [("kind.deep", "1", ())]),
    ],
)  # fmt: skip
def test_structure_is_left_out_and_changes_are_told(record: dict[str, Any], expected: list[Any]) -> None:
    assert [(leaf.path, leaf.text, leaf.expected) for leaf in leaves(record, SHAPE)] == expected


@pytest.mark.parametrize(
    ("written", "text"),
    [("0", "0"), ("1.0", "1"), ("1.50", "1.50"), ("12345678901234567890", "12345678901234567890"), ("-0.0", "0"),
     ("1e3", "1000"), ("1e30", "1E+30"), ("0.1", "0.1")],
)  # fmt: skip
def test_a_number_is_the_text_json_writes(written: str, text: str) -> None:
    assert text_of(json.loads(written, parse_float=Decimal)) == text


@given(st.text(st.characters(), max_size=8))
def test_spelled_surrogates_can_be_written_and_other_texts_stay(text: str) -> None:
    spelled = spell_surrogates({"a": [text], text: 1})
    assert json.dumps(spelled, ensure_ascii=False).encode()
    if not any("\ud800" <= mark <= "\udfff" for mark in text):
        assert spelled == {"a": [text], text: 1}
