"""A new passphrase is typed twice on a terminal and comes once through a pipe; a typed kit ends where it is whole."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.vault.agefile import armored, sealed
from vault import kit
from vault.asking import given_kit, new_passphrase
from vault.errors import CannotRead, UsageError, WrongKit
from vault.screen import Session

KIT = kit.Kit(bytes(range(32)))
SESSION = Session(Path("/nowhere"))


class Keyboard(io.StringIO):
    """Standard input as a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of the lines that are typed at a terminal; the screen shows none of the hidden ones."""
    lines: list[str] = []
    monkeypatch.setattr("sys.stdin", Keyboard())
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: lines.pop(0))
    monkeypatch.setattr("vault.screen._line", lambda: lines.pop(0) if lines else None)
    return lines


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_passphrase_is_typed_twice_on_a_terminal(typed: list[str]) -> None:
    typed[:] = ["one", "one"]
    assert new_passphrase(SESSION) == "one"
    assert typed == []
    typed[:] = ["one", "two"]
    with pytest.raises(UsageError, match="differ"):
        new_passphrase(SESSION)


def test_an_empty_passphrase_is_none(typed: list[str]) -> None:
    typed[:] = [""]
    with pytest.raises(UsageError, match="empty"):
        new_passphrase(SESSION)


def test_a_passphrase_is_one_line_of_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    piped(monkeypatch, "one\ntwo\n")
    assert new_passphrase(SESSION) == "one"


@pytest.mark.parametrize("source", [None, Path("-")])
def test_a_typed_kit_ends_where_it_is_whole(typed: list[str], source: Path | None) -> None:
    typed[:] = [*kit.typed_lines(KIT), "next"]
    assert given_kit(SESSION, source) == KIT
    assert typed == ["next"]


def test_an_empty_line_ends_what_is_no_kit(typed: list[str]) -> None:
    typed[:] = ["hello", "", "next"]
    with pytest.raises(WrongKit):
        given_kit(SESSION, None)
    assert typed == ["next"]


def test_a_sealed_kit_in_a_pipe_is_followed_by_its_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    text = armored(sealed(KIT.identity.encode(), "p")).decode()
    piped(monkeypatch, text + "p\n")
    assert given_kit(SESSION, None) == KIT
    piped(monkeypatch, text)
    with pytest.raises(UsageError, match="Passphrase of the kit"):
        given_kit(SESSION, None)


def test_a_kit_from_a_file_reads_no_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.stdin", None)
    (tmp_path / "kit.txt").write_text(KIT.identity)
    assert given_kit(SESSION, tmp_path / "kit.txt") == KIT
    with pytest.raises(CannotRead):
        given_kit(SESSION, tmp_path / "missing.txt")
