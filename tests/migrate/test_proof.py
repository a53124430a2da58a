"""The proof is proven: whatever is spoiled in the vault, it notices, and names the place."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from migrate import catalog
from migrate.proof import Wanted
from migrate.rules import unix_seconds
from migrate.shape import changed
from tests.migrate.household import Export, as_bytes, export, household, login
from tests.migrate.mutations import SPOILS, Stored, spoiled, stored
from tests.migrate.test_samples import options_of
from vault.errors import KeyferryError

SAMPLES = Path(__file__).parents[2] / "samples"
MUTATIONS = 50


def sample_of(files: list[Path]) -> Path | None:
    """Return the household in a format, else its largest sample that can be read."""
    for path in sorted(files, key=lambda p: (p.stem == "household", p.stat().st_size), reverse=True):
        try:
            if len(stored(path, options_of(path)).rows) > 1:
                return path
        except KeyferryError:
            continue
    return None


def samples() -> dict[str, Path]:
    """Return a sample for each format, and for each kind of file it has."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(SAMPLES.glob("*/*")):
        if path.is_file() and path.suffix != ".md" and ".expected." not in path.name and ".options." not in path.name:
            kinds.setdefault(f"{path.parent.name} {path.suffix}", []).append(path)
    return {kind: found for kind, files in kinds.items() if (found := sample_of(files)) is not None}


FORMATS = samples()


def test_every_format_has_a_sample_to_spoil() -> None:
    without = set(catalog.names()) - {kind.split()[0] for kind in FORMATS}
    assert not without


@pytest.mark.parametrize("format", FORMATS)
def test_fifty_spoiled_outputs_are_all_noticed(format: str) -> None:
    vault = stored(FORMATS[format], options_of(FORMATS[format]))
    before = vault.findings()
    assert not {one for one in before if one.kind != "doubled"}
    caught: Counter[str] = Counter()
    missed = []
    for number in range(MUTATIONS):
        way, made, touched = spoiled(vault, number, format)
        found = made.findings() - before
        if found and touched <= {one.place for one in found}:
            caught[way] += 1
        else:
            missed.append((way, number, touched, found))
    kinds = ", ".join(f"{way} {n}" for way, n in caught.items())
    print(f"{format}: caught {sum(caught.values())} of {MUTATIONS} ({kinds})")
    assert not missed


def test_every_way_to_spoil_is_used_on_some_format() -> None:
    used = {
        spoiled(stored(path, options_of(path)), number, format)[0]
        for format, path in FORMATS.items()
        for number in range(len(SPOILS))
    }
    assert used == {way.__name__ for way in SPOILS}


# --- exact cases


def home(tmp_path: Path, data: Export | None = None) -> Stored:
    """Return the household, or another export, as a vault holds it."""
    path = tmp_path / "export.json"
    path.write_bytes(as_bytes(data or household()))
    return stored(path)


def row_of(vault: Stored, title: str) -> tuple[str, dict[str, Any]]:
    return next((place, row) for place, row in vault.rows.items() if row.get("title") == title)


def test_two_swapped_passwords_name_both_places(tmp_path: Path) -> None:
    vault = home(tmp_path)
    (one, mail), (other, bank) = row_of(vault, "Mail"), row_of(vault, "My bank")
    a, b = mail["credentials"][0]["password"], bank["credentials"][0]["password"]
    a["value"], b["value"] = b["value"], a["value"]
    assert {(f.place, f.path, f.kind) for f in vault.findings()} == {
        (one, "login.password", "missing"),
        (other, "login.password", "missing"),
    }


@pytest.mark.parametrize("change", [{"secret": "GEZDGNBV"}, {"period": 30}, {"digits": 6}, {"algorithm": "sha512"}])
def test_a_code_that_no_longer_follows_from_its_own_text_is_noticed(tmp_path: Path, change: dict[str, Any]) -> None:
    vault = home(tmp_path)
    place, row = row_of(vault, "My bank")
    next(c for c in row["credentials"] if c["type"] == "totp").update(change)
    assert {(f.place, f.path) for f in vault.findings()} == {(place, "login.totp")}


@pytest.mark.parametrize(
    "code", ["steam://JBSWY3DPEHPK3PXP", "jbsw y3dp ehpk 3pxp", "otpauth://totp/x?secret=JBSWY3DP"]
)
def test_every_spelling_of_a_code_holds_until_its_key_is_changed(tmp_path: Path, code: str) -> None:
    vault = home(tmp_path, export([login("a", "x", "1", totp=code), login("b", "x", "2")]))
    assert vault.findings() == set()
    _, row = row_of(vault, "a")
    next(c for c in row["credentials"] if c["type"] == "totp")["secret"] = "GEZDGNBVGY3TQOJQ"
    assert [f.path for f in vault.findings()] == ["login.totp"]


def test_one_of_two_equal_values_that_is_gone_is_noticed(tmp_path: Path) -> None:
    vault = home(tmp_path, export([login("same", "same", "same", notes="same"), login("b", "x", "2")]))
    _, row = row_of(vault, "same")
    row["credentials"][0]["username"]["value"] = "other"
    assert len(vault.findings()) == 1


def test_one_of_two_equal_times_made_by_a_rule_is_counted(tmp_path: Path) -> None:
    record = {"a": 1700000000, "b": 1700000000, "c": "2023-11-14T22:13:20Z"}
    want = Wanted(record)
    want.take(record, {"a": changed(unix_seconds), "b": changed(unix_seconds)})
    assert Counter(want.texts) == {"2023-11-14T22:13:20Z": 3}
    assert want.count == 3


def test_an_item_put_into_a_folder_it_never_had_is_noticed(tmp_path: Path) -> None:
    vault = home(tmp_path)
    place, row = row_of(vault, "Agent")
    assert "collections" not in row
    row["collections"] = [vault.collections[0].id]
    assert {(f.place, f.kind) for f in vault.findings()} == {(place, "misplaced")}


def test_a_title_that_reads_like_its_folder_is_not_made_up_for_by_it(tmp_path: Path) -> None:
    vault = home(tmp_path)
    place, row = row_of(vault, "Mail")
    row["title"] = ""
    assert {(f.place, f.path) for f in vault.findings()} == {(place, "name")}


def test_a_folder_that_lost_its_title_is_noticed(tmp_path: Path) -> None:
    vault = home(tmp_path)
    vault.collections[0] = msgspec.structs.replace(vault.collections[0], title="Ban")
    assert vault.findings()


def test_a_folder_that_hangs_elsewhere_is_noticed(tmp_path: Path) -> None:
    vault = home(tmp_path)
    at = next(n for n, one in enumerate(vault.collections) if one.title == "Mail")
    vault.collections[at] = msgspec.structs.replace(vault.collections[at], parent=vault.collections[0].id)
    assert vault.findings()


def test_what_stands_beside_the_items_is_looked_for_too(tmp_path: Path) -> None:
    data = {**household(), "futureFrame": {"note": "beside the items"}}
    vault = home(tmp_path, data)
    assert vault.findings() == set()
    vault.extras.clear()
    assert {(f.place, f.path) for f in vault.findings()} == {("", "futureFrame.note")}


def test_a_record_without_item_is_missing_as_a_whole(tmp_path: Path) -> None:
    vault = home(tmp_path)
    place, _ = row_of(vault, "Router")
    del vault.rows[place]
    assert {(f.place, f.path) for f in vault.findings()} == {(place, "the whole record")}


def test_findings_hold_no_values(tmp_path: Path) -> None:
    vault = home(tmp_path)
    for row in vault.rows.values():
        row["credentials"] = []
    told = repr(vault.findings())
    assert all(text not in told for text in ("battery", "kr,on", "4111", "4711#"))
