"""Damage that shows in a table is told with a count, and nothing is changed."""

import pytest

from migrate.smells import warn_of
from migrate.source import Source


def warnings(text: str) -> list[str]:
    source = Source("t.csv", b"", format="test")
    warn_of(source, text)
    return source.ledger.warnings


@pytest.mark.parametrize("cell", ["1.23E+15", "-1,2E+10", "#NAME?", "########", "#VALUE!"])
def test_a_cell_that_only_a_spreadsheet_writes_is_told(cell: str) -> None:
    (told,) = warnings(f'a,b\nx,{cell}\n"{cell}",y')
    assert ": 2;" in told


@pytest.mark.parametrize("cell", ["my#NAME?x", "1E+", "#1", "pass1.2E+15word", "####"])
def test_a_password_that_only_holds_such_a_text_is_not(cell: str) -> None:
    assert warnings(f"a,b\nx,{cell}\n") == []


def test_utf8_that_was_read_as_windows_1252_is_told() -> None:
    (told,) = warnings("a,b\n" + "Büro,Café\n".encode().decode("cp1252"))
    assert ": 2;" in told
    assert warnings("a,b\nBüro,São Paulo\n") == []
