"""Files from outside: ``KEYFERRY_FIXTURES=FOLDER`` names exports of all kinds, none of which is part of the project.

Each file below it is either accounted for to the last value and proven again from the vault, or refused with one
sentence that says why. Passwords that open some of them stand in ``passwords.json`` in the folder, name -> password.
Without the variable there are no such tests.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from migrate import catalog, moving
from migrate.source import Source
from vault.canonical import digest
from vault.errors import DamagedExport, KeyferryError, UndeclaredLoss
from vault.store import Store

NOW = "2026-03-01T10:00:00Z"
FATES = ("arrived", "elsewhere", "changed", "dropped", "quarantined")
FOLDER = os.environ.get("KEYFERRY_FIXTURES")


def files(folder: Path) -> list[Path]:
    """Return every file below the folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "passwords.json")


if FOLDER:
    ROOT = Path(FOLDER)
    FILES = files(ROOT)
    KNOWN = ROOT / "passwords.json"
    PASSWORDS: dict[str, str] = json.loads(KNOWN.read_text()) if KNOWN.exists() else {}

    def opened(path: Path, run_format: str | None = None, options: dict[str, object] | None = None) -> Source:
        return catalog.open_source(path, format=run_format, options=options, password=PASSWORDS.get(path.name))

    def one_sentence(error: KeyferryError, path: Path) -> None:
        assert error.message and "\n" not in error.message
        assert path.name in error.message or path.stem in error.message
        assert 10 <= error.exit_code < 40 or error.exit_code == 4
        assert not isinstance(error, UndeclaredLoss), error.message

    @pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
    def test_a_file_is_accounted_for_or_refused_in_one_sentence(path: Path, tmp_path: Path) -> None:
        with Store.create(tmp_path / "vault.db", os.urandom(32), "conformance") as store:
            try:
                source = opened(path)
                outcome = moving.migrate(store, source, run="run", now=NOW)
            except KeyferryError as error:
                print(f"refused  {type(error).__name__}: {error.message}")
                one_sentence(error, path)
                assert store.count() == 0 and store.runs() == []
                return
            values = outcome.ledger.values()
            print(f"{source.format}  {dict(outcome.items)}  {values}")
            assert values["total"] == sum(values[fate] for fate in FATES)
            assert min(values.values()) >= 0
            assert outcome.proof.found == outcome.proof.values
            run = store.run("run")
            assert moving.verify(store, opened(path, run.format, run.options), run).proof.findings == []
            before = digest(store.vault())
            again = moving.migrate(store, opened(path), run="again", now=NOW)
            assert set(again.items) <= {"same"}
            assert digest(store.vault()) == before
            for own in ("again", "run"):
                store.undo(own, NOW)
            assert store.count() == 0 and store.collections() == () and store.extras() == {}

    @pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
    def test_a_file_cut_short_is_never_a_surprise(path: Path, tmp_path: Path) -> None:
        whole = path.read_bytes()
        for tenth in range(1, 10):
            part = tmp_path / path.name
            part.write_bytes(whole[: len(whole) * tenth // 10])
            with Store.create(tmp_path / f"{tenth}.db", os.urandom(32), "cut") as store:
                try:
                    moving.migrate(store, opened(part), run="run", now=NOW)
                except DamagedExport as error:
                    assert path.name in error.message or path.stem in error.message
                except KeyferryError as error:
                    one_sentence(error, path)
