"""The age program asks for the passphrase of a sealed kit, and a kit it sealed itself is ours to open."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from pathlib import Path

import pytest

from vault import kit, kitfile

if sys.platform == "win32":
    pytest.skip("needs a terminal of its own", allow_module_level=True)

import pty

_SECONDS = 60.0
PAGE = kit.page(kit.new_kit(), name="ann@home", vault_id="0123456789abcdef" * 2, made_at="2026-11-23T00:00:00Z")


@pytest.fixture(autouse=True)
def age() -> None:
    if shutil.which("age") is None:
        pytest.skip("needs age")


def typed(line: list[str], *answers: str) -> tuple[int, str]:
    """Run the program on a terminal of its own, answer each question; returns its exit code and what it said."""
    child, terminal = pty.fork()
    if not child:
        try:
            os.execvp(line[0], line)
        finally:
            os._exit(127)
    said, left, end = "", list(answers), time.monotonic() + _SECONDS
    try:
        while time.monotonic() < end:
            if not select.select([terminal], [], [], 1.0)[0]:
                continue
            try:
                part = os.read(terminal, 4096)
            except OSError:  # the other side is closed
                break
            if not part:
                break
            said += part.decode("utf-8", "replace")
            if left and said.rstrip().endswith(":"):
                os.write(terminal, left.pop(0).encode() + b"\n")
                said += "\n"
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def test_the_program_asks_for_the_passphrase_and_gives_the_page(tmp_path: Path) -> None:
    sealed, page = tmp_path / "kit.age", tmp_path / "kit.txt"
    sealed.write_bytes(kitfile.seal_page(PAGE, "pässword one"))
    code, said = typed(["age", "-d", "-o", str(page), str(sealed)], "pässword one")
    assert code == 0, said
    assert "passphrase" in said
    assert page.read_text() == PAGE
    code, said = typed(["age", "-d", "-o", str(page), str(sealed)], "password one")
    assert code == 1
    assert "incorrect passphrase" in said


@pytest.mark.parametrize("form", [(), ("-a",)])
def test_a_kit_sealed_by_the_program_is_ours_to_open(tmp_path: Path, form: tuple[str, ...]) -> None:
    page, sealed = tmp_path / "kit.txt", tmp_path / "kit.age"
    page.write_text(PAGE)
    code, said = typed(["age", "-p", *form, "-o", str(sealed), str(page)], "pässword one", "pässword one")
    assert code == 0, said
    assert kitfile.page_of(sealed.read_bytes(), lambda: "pässword one") == PAGE
