"""Text that is safe to show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.secret import Secret
from vault.text import aligned, clean, clean_lines, is_numeric, json_text, numbered

HOSTILE = "\x00\x07\x1b\x7f\x85\x9b\u00ad\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufeff\ud800"
anything = st.text(st.characters(exclude_categories=()))


def test_terminal_controls_and_bidi_marks_are_shown_as_escapes() -> None:
    assert clean("a\x1b[31mb\u202ec\n\t\r") == r"a\x1b[31mb\u202ec\n\t\r"


def test_no_hostile_character_survives() -> None:
    assert not set(clean(HOSTILE)) & set(HOSTILE)


def test_a_joiner_hides_after_a_latin_letter_and_joins_after_an_emoji() -> None:
    assert clean("pay\u200dpal \U0001f468\u200d\U0001f469") == "pay\\u200dpal \U0001f468\u200d\U0001f469"


def test_a_lone_surrogate_and_a_tag_become_escapes() -> None:
    assert clean("\udcff\U000e0041") == r"\udcff\U000e0041"


@pytest.mark.parametrize("text", ["", "Müller & Söhne", "日本語", "naïve – “quoted”", "a\xa0b", "😀", r"C:\temp\x1b"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert clean(text) == text


@given(anything)
def test_cleaned_text_is_one_encodable_line_and_stays_so(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    assert not any(ord(mark) < 32 or 127 <= ord(mark) < 160 for mark in shown)
    shown.encode()
    assert clean(shown) == shown


def test_lines_of_ours_keep_their_breaks() -> None:
    assert clean_lines("one\ntwo\x1b") == "one\ntwo\\x1b"


# --- JSON


@given(anything, st.booleans())
def test_json_means_the_same_text_and_holds_nothing_hostile(text: str, wide: bool) -> None:
    written = json_text([text], indent=2, wide=wide)
    assert clean_lines(written) == written
    assert wide or written.isascii()
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert json.loads(written) == [joined]


def test_json_without_indent_is_one_line_in_the_order_given() -> None:
    assert json_text({"b": 1, "a": [2, "x\ny"]}) == '{"b":1,"a":[2,"x\\ny"]}\n'


@pytest.mark.parametrize("value", [Secret("hunter2"), object(), Path])
@pytest.mark.parametrize("name", ["plain", "\udc80"])
def test_what_json_cannot_hold_is_refused_without_its_content(value: object, name: str) -> None:
    with pytest.raises(TypeError) as refusal:
        json_text({name: value})
    assert "hunter2" not in str(refusal.value)


# --- columns


def test_columns_are_as_wide_as_their_widest_cell_on_a_terminal() -> None:
    assert aligned(["a", "b"], [["日本", "x"], ["e\u0301", "y"]]) == "a     b\n日本  x\ne\u0301     y\n"


def test_numbers_stand_to_the_right_of_their_column() -> None:
    assert aligned(["items"], [["5"], [""], ["1 200"]]) == "items\n    5\n\n1 200\n"
    assert not is_numeric([["5"], ["x"]], 0)


@pytest.mark.parametrize(
    ("n", "thing", "text"),
    [
        (1, "item", "1 item"),
        (0, "value", "0 values"),
        (1200, "identity", "1,200 identities"),
        (2, "SSH key", "2 SSH keys"),
        (2, "item of another kind", "2 items of another kind"),
    ],
)
def test_things_are_counted_in_words(n: int, thing: str, text: str) -> None:
    assert numbered(n, thing) == text


def test_a_row_of_another_length_is_a_mistake() -> None:
    with pytest.raises((ValueError, IndexError)):
        aligned(["a", "b"], [["1", "2"], ["3"]])
