"""Cells that hold several values are cut so that nothing is lost, and joined so that they read the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import packed

WORDS = st.text(st.one_of(st.sampled_from(',":;/ .\n'), st.sampled_from("ab1^")), min_size=1, max_size=8)
URIS = st.one_of(
    WORDS,
    st.sampled_from(
        ["https://a.example.test/?q=1,2", "b.example.test", "androidapp://com.x", "^https://x", '"q"', "x,y"]
    ),
)


@given(st.lists(URIS, max_size=5).map(lambda uris: [uri for uri in uris if uri.strip(",")]))
def test_joined_addresses_are_told_apart_again(uris: list[str]) -> None:
    assert list(packed.split_uris(packed.join_uris(uris))) == uris


@given(WORDS)
def test_a_cut_of_addresses_loses_nothing_but_separators(cell: str) -> None:
    left = sorted("".join(packed.split_uris(cell)))
    for mark in ',"':
        while mark in left:
            left.remove(mark)
    assert left == sorted(cell.replace(",", "").replace('"', ""))


@pytest.mark.parametrize(
    ("cell", "uris"),
    [
        ("https://a.example.test/?q=1,2", ("https://a.example.test/?q=1,2",)),
        ("https://a.example.test,b.example.test:8443/x", ("https://a.example.test", "b.example.test:8443/x")),
        (
            '"https://a.example.test/?q=1,https://x",c.example.test',
            ("https://a.example.test/?q=1,https://x", "c.example.test"),
        ),
        ("my router, second floor", ("my router, second floor",)),
        (",https://a.example.test,,https://b.example.test", ("https://a.example.test", "https://b.example.test")),
        ("", ()),
    ],
)
def test_a_comma_parts_only_what_is_followed_by_an_address(cell: str, uris: tuple[str, ...]) -> None:
    assert packed.split_uris(cell) == uris


@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=4))
def test_labelled_lines_that_are_safe_read_as_they_were(pairs: list[tuple[str, str]]) -> None:
    safe = [pair for pair in pairs if packed.is_line(*pair)]
    if safe:
        assert packed.split_labels(packed.join_labels(safe)) == safe


@given(WORDS)
def test_cut_labels_joined_and_cut_again_are_the_same(cell: str) -> None:
    pairs = packed.split_labels(cell)
    assert packed.split_labels(packed.join_labels(pairs)) == pairs


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("a,b", ("a", "b")),
        ("a, b c", ("a", "b c")),
        ("a", ("a",)),
        ("a,,b", ("a,,b",)),
        ("a, b,c", ("a, b,c",)),
        (" a,b", (" a,b",)),
    ],
)
def test_a_list_is_cut_only_where_that_is_sure(cell: str, names: tuple[str, ...]) -> None:
    assert packed.split_list(cell) == names
    assert packed.split_list(",".join(names)) == names


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("06/31", "2031-06"),
        ("6/2031", "2031-06"),
        ("06-2031", "2031-06"),
        ("13/31", None),
        ("2031-06", None),
        ("", None),
    ],
)
def test_a_cards_month_is_read_as_it_is_printed(text: str, month: str | None) -> None:
    assert packed.month_of(text) == month
