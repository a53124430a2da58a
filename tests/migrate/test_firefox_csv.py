"""Firefox tables: what is null and what is empty, the browser's own rows, origins."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrate import converting
from migrate.formats.firefox_csv import bare_cells, origin_of
from tests.migrate import laws
from vault.model import BasicAuth, Field, Item, Url, concealed

SAMPLES = Path(__file__).parents[2] / "samples" / "firefox_csv"


@given(st.lists(st.one_of(st.none(), st.text(st.sampled_from('ab,"\n\r'), max_size=4)), min_size=1, max_size=5))
def test_a_bare_empty_cell_is_told_from_a_quoted_one(cells: list[str | None]) -> None:
    raw = ",".join("" if cell is None else '"' + cell.replace('"', '""') + '"' for cell in cells)
    assert bare_cells(raw + "\r\n") == [cell is None for cell in cells]


@pytest.mark.parametrize("case", ["household", "accounts_row", "unknown_columns", "passwords"])
def test_a_file_is_written_back_letter_by_letter(case: str) -> None:
    data = (SAMPLES / f"{case}.csv").read_bytes()
    loaded = laws.load(None, data)
    assert laws.render("firefox_csv", loaded.items, loaded.collections, loaded.extras)[0] == data


def test_the_browsers_own_secrets_are_no_item_and_are_proven_beside_the_items() -> None:
    data = (SAMPLES / "accounts_row.csv").read_bytes()
    loaded = laws.load(None, data)
    assert all(item.urls[0].url != "chrome://FirefoxAccounts" for item in loaded.items)
    (kept,) = loaded.extras["firefox_csv"].values()
    assert (kept["row"], kept["cells"]["username"]) == (2, "0123456789abcdef")
    converting.read(laws.load(None, data).source)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("https://a.example.test/login?x=1#y", "https://a.example.test"),
        ("http://Ada:pw@A.example.test:8080/", "http://a.example.test:8080"),
        ("a.example.test/x", "https://a.example.test"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
        ("https://[broken", "https://[broken"),
        ("", ""),
    ],
)
def test_an_address_is_reduced_to_its_origin(address: str, origin: str) -> None:
    assert origin_of(address) == origin


def test_an_item_of_several_sites_becomes_a_row_for_each_origin_and_paths_are_losses() -> None:
    item = Item(
        id="AAAAAAAAAAAAAAAAAAAAAA",
        title="a.example.test",
        urls=(
            Url(url="https://a.example.test/x"),
            Url(url="https://a.example.test/"),
            Url(url="https://b.example.test"),
        ),
        credentials=(BasicAuth(username=Field(value="u"), password=concealed("p")),),
    )
    data, losses = laws.render("firefox_csv", [item])
    back = laws.load(None, data)
    assert [i.urls[0].url for i in back.items] == ["https://a.example.test", "https://b.example.test"]
    assert [(loss.member, loss.count) for loss in losses] == [("path of the address", 1)]
    assert b'"https://b.example.test","u","p",,"https://b.example.test","{' in data
