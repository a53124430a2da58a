"""A stranger's walk: a new machine with a real Secret Service, then one without; every step as he would type it."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_input.terminal import Home
from tests.real.secret_service import Desktop, desktop

SAMPLES = Path(__file__).parents[2] / "samples"
PASSWORD = 'kr,on"or\\27'  # of My bank


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Desktop]:
    with desktop(tmp_path) as found:
        yield found


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Return the household's export where a browser would have put it."""
    path = tmp_path / "bitwarden_export.json"
    shutil.copy(SAMPLES / "bitwarden_json" / "household.json", path)
    return path


def typed(session: Desktop, *words: str, code: int = 0, answers: str = "") -> str:
    """Type a line and return what it says, on success its results only."""
    done = session.keyferry(*words, answers=answers)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def count(session: Desktop) -> int:
    return len(json.loads(typed(session, "list", "--json")))


def test_the_main_job_from_nothing_to_an_empty_house_again(session: Desktop, export: Path) -> None:
    assert "keyferry migrate" in typed(session, "list", code=21)
    moved = typed(session, "migrate", str(export))
    assert "made a new vault in" in moved and "keyferry undo" in moved and "kit save" in moved
    many = count(session)
    assert many > 10
    assert "My bank" in typed(session, "list", "--folder", "Bank")
    shown = typed(session, "show", "My bank")
    assert "ada@example.org" in shown and PASSWORD not in shown
    assert PASSWORD in typed(session, "show", "My bank", "--reveal")
    assert typed(session, "show", "My bank", "--field", "password") == PASSWORD + "\n"
    assert re.search(r"\b\d{4} ?\d{4}\b", typed(session, "otp", "My bank"))
    assert "all there" in typed(session, "verify", str(export))
    assert "nothing new" in typed(session, "migrate", str(export))
    assert count(session) == many
    typed(session, "undo")
    assert count(session) == 0  # the second import brought nothing, so the first is the one to take back
    assert export.exists()


def test_edits_are_told_apart_from_losses(session: Desktop, export: Path) -> None:
    typed(session, "migrate", str(export))
    typed(session, "edit", "My bank", "--set", "username=tom@example.org")
    session_says = session.keyferry("verify", str(export))
    assert (session_says.returncode, "My bank" in session_says.stdout) == (3, True)
    typed(session, "rm", "Router", "--purge", "--yes")
    gone = session.keyferry("verify", str(export))
    assert (gone.returncode, "NOT all there" in gone.stdout) == (4, True)
    typed(session, "undo")
    left = json.loads(typed(session, "list", "--json"))
    assert [item["title"] for item in left if item["state"] == "active"] == ["My bank"]


def test_the_export_goes_only_when_a_checked_kit_can_open_the_vault(session: Desktop, export: Path) -> None:
    kept = session.keyferry("migrate", str(export), "--delete-source")
    assert (kept.returncode, "kit is not checked" in kept.stderr) == (0, True)
    assert export.exists()
    typed(session, "kit", "save", "kit.txt")
    typed(session, "kit", "check", "kit.txt")
    assert json.loads(typed(session, "status", "--json"))["kit_checked"] is True
    told = typed(session, "migrate", str(export), "--delete-source")
    assert not export.exists() and "snapshots" in told
    session.delete_entries()
    assert "unlock --kit" in typed(session, "list", code=30)
    typed(session, "unlock", "--kit", "kit.txt")
    assert PASSWORD in typed(session, "show", "My bank", "--reveal")


def test_a_locked_keyring_stops_a_move_before_it_begins(session: Desktop, export: Path) -> None:
    typed(session, "migrate", str(export))
    session.lock()
    before = export.read_bytes()
    assert "locked" in typed(session, "migrate", str(export), "--delete-source", code=29)
    assert export.read_bytes() == before
    assert "locked" in typed(session, "list", code=29)


def test_a_way_out_into_every_product(session: Desktop, export: Path) -> None:
    typed(session, "migrate", str(export))
    for name in ("bitwarden_json", "lastpass_csv", "chrome_csv", "onepassword_1pux", "cxf"):
        made = session.keyferry("export", f"out-{name}", "--to", name)
        assert made.returncode in (0, 3), made.stderr
        assert "holds your secrets in clear" in made.stderr
        assert (session.root / f"out-{name}").stat().st_mode & 0o077 == 0
        assert session.keyferry("inspect", f"out-{name}").returncode == 0
    typed(session, "destroy", "--yes")
    assert session.entries() == []
    assert "keyferry migrate" in typed(session, "list", code=21)


def test_without_a_keyring_the_line_that_is_shown_works(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path / "vault")
    refused = home.type("migrate", export)
    assert (refused.code, home.path.exists()) == (28, False)
    line = re.search(r"keyferry (init --key-file \S+)", refused.hint)
    assert line is not None
    words = [word.replace("~", str(tmp_path)) for word in shlex.split(line[1])]
    assert home.type(*words).code == 0
    assert home.type("migrate", export).code == 0
    assert home.type("show", "My bank", "--field", "password").out == PASSWORD + "\n"
