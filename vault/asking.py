"""What several commands ask for: a kit from a file, a pipe or a keyboard, and a new passphrase."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vault.errors import UsageError, WrongKit

if TYPE_CHECKING:
    from vault.kit import Kit
    from vault.screen import Session

_KIT_LINES = 400


def given_kit(session: Session, source: Path | None) -> Kit:
    """Return the kit of a file, or of what is typed or piped for None and ``-``; a sealed one's passphrase is asked.

    Spaces, case, BOM and line ends do not matter. Raises ``WrongKit``, ``WrongPassphrase``, ``CannotRead``,
    ``UsageError`` where the passphrase is needed and the input has ended.
    """
    from vault.files import read_file
    from vault.kitfile import read_kit

    def passphrase() -> str:
        return session.secret("Passphrase of the kit")

    if source is None or str(source) == "-":
        return read_kit(_typed_kit(session).encode("utf-8", "replace"), passphrase)
    return read_kit(read_file(source), passphrase)


def new_passphrase(session: Session, what: str = "New passphrase") -> str:
    """Ask for a new passphrase, on a terminal twice; raises ``UsageError`` for an empty one or two that differ."""
    first = session.secret(what)
    if not first:
        raise UsageError("the passphrase is empty")
    if _is_typing() and session.secret("The same again") != first:
        raise UsageError("the two passphrases differ")
    return first


def _typed_kit(session: Session) -> str:
    """Read lines until they make a kit; on a terminal an empty line ends them as well."""
    from vault.kitfile import ARMOR_END, BINARY_MARK

    typing = _is_typing()
    if typing:
        session.say("Type the key that begins with AGE-SECRET-KEY-1, or the four numbered lines; an empty line ends.")
    lines: list[str] = []
    while len(lines) < _KIT_LINES:
        try:
            line = session.ask("kit") if typing else session.secret("kit")
        except UsageError:
            break
        if typing and not line.strip():
            break
        if line.startswith(BINARY_MARK):
            raise UsageError("a sealed kit in age's binary form comes as a file", hint="name the file instead of '-'")
        lines.append(line)
        if line.strip() == ARMOR_END or _is_kit("\n".join(lines)):
            break
    return "\n".join(lines)


def _is_kit(text: str) -> bool:
    from vault.kit import parse

    try:
        parse(text)
    except WrongKit:
        return False
    return True


def _is_typing() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
