"""Exactly one format, a named tie, or a sentence; ``--from`` is believed only as far as the file allows."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrate import catalog
from migrate.source import Source
from vault.errors import (
    AmbiguousFormat,
    CannotRead,
    DamagedExport,
    EmptyExport,
    UnknownFormat,
    UsageError,
    WrongFormat,
)

BITWARDEN = {"encrypted": False, "folders": [], "items": [{"type": 1, "name": "x", "login": {"username": "ada"}}]}


def opened(value: object, format: str | None = None) -> Source:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return catalog.open_source(Path("export"), data=data, format=format)


def test_a_bitwarden_file_is_recognised_by_what_is_in_it() -> None:
    assert opened(BITWARDEN).format == "bitwarden_json"


def test_lone_surrogates_do_not_hide_a_product() -> None:
    data = json.dumps(BITWARDEN).replace("ada", "\\ud83d").encode()
    assert opened(data).format == "bitwarden_json"


def test_what_begins_a_list_is_an_address() -> None:
    """A first line without one is no reason to load every format there is."""
    begins = [text for one in catalog.adapters() for text in one.signature.text_start]
    assert begins and all(":/" in text for text in begins)


def test_a_format_is_asked_for_every_kind_of_file_it_can_be() -> None:
    for name in catalog.names():
        for one in catalog.variants(name):
            assert catalog._may_be(name, one.signature.kind)


def test_an_empty_vault_is_recognised() -> None:
    assert opened({"encrypted": False, "folders": [], "items": []}).format == "bitwarden_json"


def test_another_products_tree_without_items_at_its_top_is_not_taken_for_an_empty_vault() -> None:
    """Psono nests folders with items in them; read as Bitwarden it would be nothing at all."""
    with pytest.raises(UnknownFormat):
        opened({"folders": [{"name": "Home", "items": [{"type": "website_password"}]}], "items": []})


@pytest.fixture
def twins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put two further formats into the folder of formats: one that equals Bitwarden's, one that is by itself."""
    import migrate.formats

    (tmp_path / "twin_json.py").write_text("from migrate.formats.bitwarden_json import ADAPTER\n")
    (tmp_path / "other_json.py").write_text(
        "from migrate.adapter import Adapter, Parsed, Signature\n"
        "SIGNATURE = Signature(product='Other', suffix='.json', kind='json', keys=frozenset({'others'}))\n"
        "ADAPTER = Adapter(SIGNATURE, lambda source: Parsed(iter(()), lambda record: None))\n"
    )
    monkeypatch.setattr(migrate.formats, "__path__", [*migrate.formats.__path__, str(tmp_path)])
    _forget_formats()
    yield
    for name in ("twin_json", "other_json"):
        sys.modules.pop(f"migrate.formats.{name}", None)
        vars(migrate.formats).pop(name, None)
    monkeypatch.undo()
    _forget_formats()


def _forget_formats() -> None:
    for cached in vars(catalog).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def test_a_format_is_found_because_its_file_is_there(twins: None) -> None:
    assert {"twin_json", "other_json"} < set(catalog.names())
    assert opened({"others": []}).format == "other_json"


def test_two_formats_that_fit_are_named(twins: None) -> None:
    with pytest.raises(AmbiguousFormat, match="bitwarden_json or twin_json") as told:
        opened(BITWARDEN)
    assert "--from" in told.value.hint
    assert opened(BITWARDEN, "twin_json").format == "twin_json"


def test_from_another_product_names_the_one_it_is(twins: None) -> None:
    with pytest.raises(WrongFormat, match="is no bitwarden_json file but other_json"):
        opened({"others": []}, "bitwarden_json")


@pytest.mark.parametrize("cut", range(1, 10))
def test_a_cut_off_export_is_damage_wherever_it_ends(cut: int) -> None:
    data = json.dumps(BITWARDEN).encode()
    with pytest.raises(DamagedExport, match="line 1, column"):
        source = opened(data[: len(data) * cut // 10])
        list(catalog.parse(source).records)


@pytest.mark.parametrize(
    ("data", "format"),
    [
        (b"name,url,username,password\n", "bitwarden_json"),
        (json.dumps(BITWARDEN).encode(), "otpauth_uris"),
        (b"PK\x05\x06" + bytes(18), "bitwarden_json"),
        (b"\x03\xd9\xa2\x9a\x67\xfb\x4b\xb5" + bytes(50), "bitwarden_json"),
        (b'{"vaults": {}, "version": "1"}', "bitwarden_json"),
        (b"[]", "bitwarden_json"),
        (b"otpauth://totp/a?secret=JBSWY3DPEHPK3PXP\n", "bitwarden_json"),
    ],
)
def test_a_file_that_cannot_be_what_from_says_is_refused(data: bytes, format: str) -> None:
    with pytest.raises(WrongFormat) as told:
        opened(data, format)
    assert "--from" in told.value.hint


def test_from_helps_a_file_that_lacks_what_recognising_needs() -> None:
    bare = {"items": [{"type": 1, "name": "x"}]}
    with pytest.raises(UnknownFormat):
        opened(bare)
    assert opened(bare, "bitwarden_json").format == "bitwarden_json"


def test_a_format_that_does_not_exist_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError) as told:
        opened(BITWARDEN, "bitwarden_jsn")
    assert "bitwarden_json" in told.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"\n", b" \r\n\t", b"\xef\xbb\xbf", b"\0\0\0", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\n\0"]
)
def test_a_file_that_holds_nothing_is_empty(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(data)
    with pytest.raises(EmptyExport):
        catalog.open_source(path)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing", tmp_path / ("n" * 300), Path("a\0b"), Path("/dev/null")):
        with pytest.raises((CannotRead, EmptyExport)):
            catalog.open_source(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_socket_is_no_export(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        with pytest.raises(CannotRead):
            catalog.open_source(path)


def test_a_file_larger_than_can_be_read_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(catalog.MAX_FILE + 1)
    with pytest.raises(CannotRead, match="larger"):
        catalog.open_source(path)


def test_the_name_of_a_format_says_whether_it_is_a_table() -> None:
    """Detection loads only the formats a file can be."""
    for name in catalog.names():
        assert {one.signature.kind == "csv" for one in catalog.variants(name)} == {name.endswith("_csv")}
