"""Plain lists cut into entries."""

import pytest

from migrate.lines import Entry, entries


def test_every_line_end_ends_a_line_and_blank_lines_are_no_entries() -> None:
    found = list(entries(b"a://1\r\n\r\nb://2\rc://3\n  \n\td://4 "))
    assert [(e.text, e.line) for e in found] == [("a://1", 1), ("b://2", 3), ("c://3", 4), ("d://4", 6)]
    assert found[1].place == "line 3"


def test_a_comma_parts_only_what_is_followed_by_an_address() -> None:
    found = list(entries(b"a://Smith, Ann , b://2,C://3,"))
    assert found == [
        Entry("line 1/1", "a://Smith, Ann", 1),
        Entry("line 1/2", "b://2", 1),
        Entry("line 1/3", "C://3", 1),
    ]


def test_quotes_around_an_entry_are_no_part_of_it() -> None:
    found = list(entries(b'"a://1"\n"a://2","b://3"\na://x?y="z"\n""\n'))
    assert [e.text for e in found] == ["a://1", "a://2", "b://3", 'a://x?y="z"']


@pytest.mark.parametrize("mark", ["\u2028", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_rare_line_separators_stay_within_a_name(mark: str) -> None:
    assert [e.text for e in entries(f"a://x{mark}y".encode())] == [f"a://x{mark}y"]


def test_an_empty_list_has_no_entries() -> None:
    assert list(entries(b"\r\n , \n")) == []
