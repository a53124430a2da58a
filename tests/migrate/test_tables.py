"""Tables read so that no cell is lost, and none is guessed."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate.ledger import Quarantined
from migrate.source import Record, Source
from migrate.tables import Rows, Table, is_escaped, physical_lines, read_table, sniff, unique
from vault.errors import DamagedExport, UnknownEncoding

HEADER = ["url", "name", "pass"]


def table(data: bytes | str) -> Table:
    return read_table(data if isinstance(data, bytes) else data.encode(), "t.csv")


def rows(data: bytes | str, **options: object) -> tuple[list[Record], list[Quarantined], list[str]]:
    raw = data if isinstance(data, bytes) else data.encode()
    source = Source("t.csv", raw, format="test")
    found = list(Rows(source, table(raw), **options).records())  # type: ignore[arg-type]
    return found, source.ledger.quarantine, source.ledger.warnings


def cells(data: bytes | str, **options: object) -> list[list[str]]:
    return [list(record.data.values()) for record in rows(data, **options)[0]]


def written(lines: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(lines)
    return text.getvalue()


LOGINS = [["https://example.test/", f"user {n}", f'p{n},"x";\t$=+-@ é'] for n in range(200)] + [
    ["", "007", "NA"],
    ["", "line one\nline two", "=1+1"],
    [" outer ", "'", '"'],
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_the_same_logins_come_out_of_every_encoding_delimiter_and_line_end(
    encoding: str, delimiter: str, end: str
) -> None:
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(encoding, b"")
    data = mark + written([HEADER, *LOGINS], delimiter, end).encode(encoding)
    assert table(data).header == HEADER
    assert cells(data) == LOGINS


@pytest.mark.parametrize("directive", ["sep=;\r\n", '"sep=;"\n', "sep=;\r"])
def test_a_line_that_tells_excel_the_delimiter_is_no_row(directive: str) -> None:
    data = f"{directive}name;pass\na,b;c\nd;e;f\n"
    assert table(data).header == ["name", "pass"]
    found, aside, _ = rows(data)
    assert [list(record.data.values()) for record in found] == [["a,b", "c"]]
    assert [one.line for one in aside] == [4]


def test_a_column_may_be_called_as_that_line_begins() -> None:
    assert table("sep=;,name\n").header == ["sep=;", "name"]


@pytest.mark.parametrize("inner", ["\n", "\r\n", "\r"])
def test_line_breaks_inside_cells_stay_as_they_are(inner: str) -> None:
    assert cells(f'a,b\r\n"one{inner}two",x\r\n') == [[f"one{inner}two", "x"]]


def test_a_code_page_is_never_guessed() -> None:
    data = written([HEADER, ["", "Café", "x"]]).encode("cp1252")
    with pytest.raises(UnknownEncoding, match="byte 27 does not fit") as refused:
        table(data)
    assert "--encoding cp1252" in refused.value.hint
    assert [line.cells for line in read_table(data, "t.csv", encoding="cp1252").lines] == [["", "Café", "x"]]


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3), max_size=6))
def test_what_a_csv_writer_writes_is_read_as_it_was(lines: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([HEADER, *lines])
    expected = [line for line in lines if any(line) and line != HEADER]
    assert cells(text.getvalue()) == expected


def test_rows_know_their_physical_lines() -> None:
    found, aside, _ = rows('a,b\n1,"x\r\ny"\n\n2,z\n3,z,surplus\n4,z\n')
    assert [(record.place, record.line) for record in found] == [("row 1", 2), ("row 2", 5), ("row 4", 7)]
    assert [(q.place, q.line, q.raw) for q in aside] == [("row 3", 6, b"3,z,surplus\n")]


def test_surplus_empty_cells_are_no_surplus() -> None:
    assert cells("a,b\n1,2,,\n") == [["1", "2"]]


def test_a_row_without_its_last_cells_is_taken_only_where_the_product_leaves_them_off() -> None:
    found, aside, warnings = rows("a,b,c\n1,2\n3\n4,5,6\n", least=2)
    assert [list(record.data.values()) for record in found] == [["1", "2"], ["4", "5", "6"]]
    assert [q.reason for q in aside] == ["1 cell where the header has 3"]
    assert warnings == ["rows shorter than the header: 1 (line 2); the cells they lack count as empty"]


def test_reading_goes_on_at_the_next_row_after_a_quote_that_is_never_closed() -> None:
    found, aside, _ = rows('a,b,c\n1,2,3\n4,"5,6\n7,8,9\n10,11,12\n')
    assert [record.data["a"] for record in found] == ["1", "7", "10"]
    assert [(q.line, q.reason) for q in aside] == [(3, "a quote in line 3 is never closed")]


def test_reading_goes_on_at_the_next_row_after_a_stray_quote() -> None:
    found, aside, _ = rows('a,b,c\n4,"5,6\n"7",8,9\n"10"x,11,12\n13,14,15\n')
    assert [record.data["a"] for record in found] == ["7", "13"]
    assert [(q.line, q.raw) for q in aside] == [(2, b'4,"5,6\n'), (4, b'"10"x,11,12\n')]


def test_the_text_of_a_cut_off_cell_is_never_taken_for_rows() -> None:
    _, aside, _ = rows('a,b,c\n1,2,3\n4,5,"Dear Ada, Tom, and Mio\nwe came, saw, and left\nlast line\nx')
    assert [q.reason for q in aside] == ["a quote in line 3 is never closed; the file may be cut off"]
    assert aside[0].raw.endswith(b"last line\nx")


def test_a_repeated_header_is_no_row() -> None:
    assert cells("a,b\n1,2\n\ufeffa, b \n3,4\n") == [["1", "2"], ["3", "4"]]


def test_a_last_row_without_end_is_told_where_its_last_cell_may_be_cut() -> None:
    assert rows("a,b\n1,2\n3,4")[2] == [
        "line 3 has no line end; if the file was cut off there, its last cell is not complete"
    ]
    for whole in ("a,b\n3,", 'a,b\n3,"4"', "a,b\n3,4\n"):
        assert rows(whole)[2] == []
    assert rows("a,b\n3,0", whole=frozenset({"0"}))[2] == []


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_file_cut_off_anywhere_gives_whole_rows_or_says_so(tenth: int) -> None:
    data = written([HEADER, *LOGINS]).encode()
    cut = data[: len(data) * tenth // 10]
    try:
        found, aside, warnings = rows(cut)
    except (DamagedExport, UnknownEncoding):
        return
    whole = [list(record.data.values()) for record in found]
    assert whole == LOGINS[: len(whole)] or (warnings and whole[:-1] == LOGINS[: len(whole) - 1])
    assert len(aside) <= 1


def test_names_are_made_unique_and_empty_ones_numbered() -> None:
    assert unique(["url", "", "url", "url", "url (2)"]) == ["url", "column 2", "url (2)", "url (3)", "url (2) (2)"]


def test_a_header_loses_its_outer_spaces_and_marks() -> None:
    assert table("\ufeff url ,name\u200b\n").header == ["url", "name"]


def test_the_delimiter_is_the_one_that_cuts_the_first_line() -> None:
    assert sniff("a;b;c\n1,2;3") == ";"
    assert sniff('"a,b,c,d";e\n') == ";"
    assert sniff("\n\na\tb\n") == "\t"
    assert sniff("single\n") == ","


@pytest.mark.parametrize("data", [b"", b"\n\n", b'"never closed', b",,\n"])
def test_a_file_without_a_first_line_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedExport):
        table(data)


def test_nul_bytes_are_part_of_a_cell() -> None:
    assert cells("a,b\n1\x002,3\n") == [["1\x002", "3"]]


def test_a_cell_of_300_000_characters_is_whole() -> None:
    assert cells(f'a,b\n"{"x," * 150_000}",y\n')[0][0] == "x," * 150_000


def test_an_endless_line_is_refused_in_the_memory_of_its_text() -> None:
    data = b"a,b\n1,2\n" + b"x," * (50 << 20)
    tracemalloc.start()
    with pytest.raises(DamagedExport, match="a line of more than 16 million characters"):
        list(table(data).lines)
    assert tracemalloc.get_traced_memory()[1] < 3 * len(data)
    tracemalloc.stop()


def test_an_endless_header_is_refused() -> None:
    with pytest.raises(DamagedExport):
        table(b"x," * (20 << 20))
    with pytest.raises(DamagedExport, match="more than 1,000 columns"):
        table(b"x," * 1001)


def test_lines_end_only_where_a_line_ends() -> None:
    assert list(physical_lines("a\u2028b\x0bc\x85d\n")) == ["a\u2028b\x0bc\x85d\n"]
    assert list(physical_lines("a\r\nb\rc\nd")) == ["a\r\n", "b\r", "c\n", "d"]


@given(st.lists(st.sampled_from(["a", "\n", "\r", "\r\n", "\u2028", "x" * 5]), max_size=30), st.integers(2, 9))
def test_where_a_page_of_lines_ends_changes_none_of_them(parts: list[str], page: int) -> None:
    text = "".join(parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("migrate.tables._PAGE", page)
        assert list(physical_lines(text)) == re.findall(r"[^\r\n]*(?:\r\n|[\r\n])|[^\r\n]+", text)


def test_rows_that_are_broken_one_after_the_other_cost_no_depth() -> None:
    found, aside, _ = rows("a,b,c\n" + '1,"x" y,3\n4,5,6\n' * 20_000)
    assert len(found) == len(aside) == 20_000


def test_a_dropped_column_is_counted_and_left_out() -> None:
    source = Source("t.csv", b"a,b\n1,2\n3,\n", format="test", options={"map": {"a": "title", "b": "drop"}})
    found = list(Rows(source, table(source.data)).records())
    assert [record.data for record in found] == [{"a": "1"}, {"a": "3"}]
    assert source.ledger.values() == {
        "total": 3,
        "arrived": 2,
        "elsewhere": 0,
        "changed": 0,
        "dropped": 1,
        "quarantined": 0,
        "structure": 0,
    }


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a,b\nx &amp; y,&lt;z&gt;\n", True),
        ("a,b\nTom&#039;s,1\n", True),
        ("a,b\nx &amp; y,a=1&b=2\n", False),
        ("a,b\nx &amp; y,<z\n", False),
        ("a,b\nx & y,1\n", False),
        ("a,b\n1,2\n", False),
    ],
)
def test_a_file_is_escaped_only_as_a_whole(text: str, escaped: bool) -> None:
    assert is_escaped(text) is escaped


def test_a_text_that_ends_within_a_character_is_refused() -> None:
    with pytest.raises(DamagedExport):
        table("a,b\n1,é".encode()[:-1])
