"""Every sample is read as its golden says; ``pytest --bless`` writes the goldens anew.

Beside ``<case>.<ext>`` stand ``<case>.<ext>.expected.json`` and, where reading needs them,
``<case>.<ext>.options.json``:
the options of the command line, ``from`` among them where the file is not to be recognised by itself.
"""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from migrate import catalog
from migrate.converting import outgoing_of, read, render
from migrate.moving import migrate
from migrate.written import check_written
from tests.migrate import laws
from vault.canonical import canonical
from vault.errors import KeyferryError
from vault.model import Part, Vault
from vault.store import Store

SAMPLES = Path(__file__).parents[2] / "samples"
OURS = ("backups", "sync")  # no formats of products, but sets and logs of ours
OWN_RUNNER = {"otpauth_uris"}  # its goldens hold the quarantined lines in full and have a test of their own
BESIDE = (".expected.json", ".options.json", ".md")
CASES = sorted(
    path
    for folder in SAMPLES.iterdir()
    if folder.is_dir() and folder.name not in (*OWN_RUNNER, *OURS)
    for path in folder.iterdir()
    if path.is_file() and not path.name.endswith(BESIDE)
)


def options_of(path: Path) -> dict[str, Any]:
    """Return the options a sample is read with."""
    beside = path.with_name(f"{path.name}.options.json")
    return dict(json.loads(beside.read_text(encoding="utf-8"))) if beside.exists() else {}


def outcome(path: Path) -> dict[str, Any]:
    """Return what the golden has to say: all that was read, or the error's name and exit code."""
    options = options_of(path)
    try:
        loaded = laws.load(options.pop("from", None), path.read_bytes(), name=path.name, options=options)
    except KeyferryError as error:
        return {"error": type(error).__name__, "exit_code": error.exit_code}
    ledger = loaded.ledger
    vault = Vault(items=loaded.items, collections=loaded.collections, extras=loaded.extras)
    return {
        "format": loaded.source.format,
        "vault": json.loads(canonical(vault)),
        "values": ledger.values(),
        "warnings": len(ledger.warnings),
        "quarantined": [[q.place, q.reason, q.line] for q in ledger.quarantine],
        "allowed_extra": sorted(extra_keys(loaded)),
    }


def extra_keys(loaded: laws.Loaded) -> set[str]:
    """Return the keys that stand in any ``extra``, and beside the items."""
    found = {key for beside in loaded.extras.values() for key in beside}
    for part in (*loaded.items, *loaded.collections):
        _extra_keys(part, found)
    return found


def _extra_keys(part: Part, found: set[str]) -> None:
    found.update(part.extra)
    for name in part.__struct_fields__:
        value = getattr(part, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Part):
                _extra_keys(one, found)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_is_read_as_its_golden_says(path: Path, request: pytest.FixtureRequest) -> None:
    golden = path.with_name(f"{path.name}.expected.json")
    found = outcome(path)
    if request.config.getoption("--bless"):
        assert not os.environ.get("CI"), "goldens are written by a person who reads the difference"
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")
    assert golden.exists(), "write the golden by hand first, or let --bless do it and read it"
    assert found == json.loads(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_is_recognised_as_its_folder_says(path: Path) -> None:
    found = outcome(path)
    assert "error" in found or found["format"] == path.parent.name


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_value_of_a_sample_is_accounted_for(path: Path) -> None:
    found = outcome(path)
    if "error" not in found:
        values = found["values"]
        assert values["arrived"] >= 0
        fates = ("arrived", "elsewhere", "changed", "dropped", "quarantined")
        assert values["total"] == sum(values[fate] for fate in fates)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_proof_looks_for_as_many_values_as_the_ledger_counts(path: Path, tmp_path: Path) -> None:
    options = options_of(path)
    own = options.pop("from", None)
    try:
        source = catalog.open_source(path, format=own, options=options, key=b"k" * 16)
        with Store.create(tmp_path / "vault.db", bytes(32), "test") as store:
            moved = migrate(store, source, run="a", now="2026-06-01T12:00:00Z")
    except KeyferryError:
        return
    values = moved.ledger.values()
    assert moved.proof.values == moved.proof.found == values["total"] - values["dropped"] - values["quarantined"]


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_written_in_its_own_format_reads_as_before(path: Path) -> None:
    options = options_of(path)
    own = options.pop("from", None)
    try:
        loaded = laws.load(own, path.read_bytes(), name=path.name, options=options)
    except KeyferryError:
        return
    if loaded.ledger.quarantine or catalog.adapter(loaded.source.format).render is None:
        return
    back, losses = laws.again(loaded.source.format, loaded, options=unwrapped(options))
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_sample_can_be_written_in_every_format_and_is_found_again_there(path: Path) -> None:
    options = options_of(path)
    own = options.pop("from", None)
    try:
        got = read(catalog.open_source(path, format=own, options=options))
    except KeyferryError:
        return
    for target in (one for one in catalog.adapters() if one.render is not None):
        out, file = outgoing_of(got, target, {}), BytesIO()
        render(out, target, file)
        check_written(file.getvalue(), target, got.items, out.losses)


def unwrapped(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that still mean something for a file of our own writing."""
    return {name: value for name, value in options.items() if name == "map"}


def test_every_sample_folder_names_a_format_and_tells_its_origin() -> None:
    for folder in (path for path in SAMPLES.iterdir() if path.is_dir()):
        assert folder.name in (*catalog.names(), *OURS)
        assert (folder / "README.md").exists(), folder.name


def test_no_golden_has_lost_its_sample() -> None:
    for golden in SAMPLES.rglob("*.expected.json"):
        assert golden.with_name(golden.name.removesuffix(".expected.json")).exists(), golden.name
