"""systemd itself finds nothing to say about the units, and finds the program whatever its path is named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backup.units import install

NAMES = [
    "plain",
    "a b",
    "100% %h %%",
    "$HOME ${HOME}",
    "ä☃;#=",
    'a "quote"',
    "it's",
    "back\\slash",
    "tab\there",
    "new\nline",
]


@pytest.fixture(autouse=True)
def analyze(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def verified(files: tuple[Path, ...]) -> subprocess.CompletedProcess[str]:
    call = ["systemd-analyze", "--user", "verify", *map(str, files)]
    return subprocess.run(call, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", NAMES)
def test_the_units_are_in_order_wherever_program_and_home_lie(tmp_path: Path, name: str) -> None:
    program = tmp_path / name / "python"
    program.parent.mkdir()
    program.symlink_to(os.path.realpath(sys.executable))
    done = install("systemd", (str(program), name), tmp_path / name, tmp_path / "units", lambda _: True)
    said = verified(done.files)
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


def test_what_is_wrong_would_be_said(tmp_path: Path) -> None:
    """The check above can fail."""
    done = install("systemd", (str(tmp_path / "nowhere"),), tmp_path, tmp_path / "units", lambda _: True)
    assert "is not executable" in verified(done.files).stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_way_round_through_a_shell_starts_the_right_program(tmp_path: Path, name: str) -> None:
    """As systemd runs the words after reading them."""
    program = tmp_path / name
    program.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o700)
    call = ["/bin/sh", "-c", 'exec "$@"', "keyferry", str(program), name, "$HOME"]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{name}|$HOME|"
