"""What the commands that read an export have in common: options, opening, and the tables of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vault.errors import UsageError
from vault.screen import Session, clean, numbered

if TYPE_CHECKING:
    from migrate.adapter import Adapter
    from migrate.ledger import Ledger
    from migrate.source import Source
    from vault.store import Store

PATH = click.Path(path_type=Path, allow_dash=True, readable=False)  # what cannot be read is told as every other file
LOSSES = 3

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def reading_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that reads an export."""
    options = (
        click.option("--from", "format", metavar="FMT", help="What the file is, where it is not recognised."),
        click.option("--password-file", type=PATH, metavar="P", help="The export's password: first line; - is stdin."),
        click.option("--encoding", metavar="E", help="The text's encoding, where it is not UTF-8 or UTF-16."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def read_password(path: Path | None) -> str | None:
    """Return the first line of a password file, BOM and line end removed, spaces kept; ``-`` is standard input."""
    if path is None:
        return None
    if str(path) == "-":
        line = sys.stdin.buffer.readline()
    else:
        from vault.files import read_file

        line = read_file(path).split(b"\n", 1)[0]
    try:
        return line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise UsageError("the password file is no UTF-8 text", hint="save it as UTF-8") from None


def read_export(path: Path, given: dict[str, Any]) -> tuple[Path, bytes]:
    """Return name and bytes of the export a command names; ``-`` is standard input, which can be read only once."""
    from migrate import catalog

    if str(path) != "-":
        return path, catalog.read_file(path)
    if str(given.get("password_file")) == "-":
        raise UsageError("export and password cannot both come from standard input", hint="put one of them in a file")
    named, data = Path("standard input"), sys.stdin.buffer.read()
    catalog.check_not_empty(data, named.name)
    return named, data


def open_export(path: Path, given: dict[str, Any], options: dict[str, Any] | None = None) -> Source:
    """Open the export a command names; ``-`` is standard input."""
    return open_bytes(*read_export(path, given), given, options)


def open_bytes(named: Path, data: bytes, given: dict[str, Any], options: dict[str, Any] | None = None) -> Source:
    """Open an export whose bytes are read already."""
    from migrate import catalog

    merged = {**(options or {}), **({"encoding": given["encoding"]} if given.get("encoding") else {})}
    if "password" not in given:  # read once: several exports may share it, and standard input has it once
        given["password"] = read_password(given.get("password_file"))
    return catalog.open_source(named, format=given.get("format"), options=merged, data=data, password=given["password"])


def open_vault(session: Session, *, read_only: bool = False) -> Store:
    """Open the vault of this home, asking for its passphrase if it has one."""
    from vault.keys import open_vault

    return open_vault(
        session.home, read_only=read_only, passphrase=lambda: session.secret("passphrase"), warn=session.warn
    )


def show_values(session: Session, values: dict[str, int]) -> None:
    """Draw the sums of a ledger."""
    from migrate.report import FATES

    session.table(FATES, [[f"{values[fate]:,}" for fate in FATES]], title="values")


def show_lines(session: Session, ledger: Ledger, adapter: Adapter) -> None:
    """Draw what did not simply arrive, and give the ledger's warnings."""
    from migrate.report import Lines

    session.table(("fate", "what", "where or why", "values"), Lines.of(ledger, adapter).table())
    for text in ledger.warnings:
        session.warn(text)


def check_report(path: Path | None, *used: Path) -> None:
    """Refuse a report's name before any work is done; it may be that of no file the command reads or writes."""
    if path is None:
        return
    if path.suffix.lower() not in (".json", ".html"):
        raise UsageError("a report is a .json or a .html file", hint="name it so: --report report.html")
    if os.path.realpath(path) in map(os.path.realpath, used):
        raise UsageError(f"the report would be written over {path.name}", hint="name another file for it")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the report", hint="make it, or name another")


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON or HTML, by the file's suffix, readable by its owner only."""
    from migrate.report import as_html, as_json
    from vault.files import write_private

    text = as_html(report) if path.suffix.lower() == ".html" else as_json(report)
    write_private(path, text.encode("utf-8"))


def counted(kinds: dict[str, int]) -> str:
    """Return "9 logins, 3 notes" for counts by kind."""
    most_first = sorted(kinds.items(), key=lambda pair: -pair[1])
    return ", ".join(numbered(n, _KINDS.get(kind) or kind.replace("-", " ")) for kind, n in most_first)


_KINDS = {
    "api-key": "API key",
    "custom": "item of another kind",
    "drivers-license": "driver's license",
    "ssh-key": "SSH key",
    "totp": "one-time code",
    "wifi": "Wi-Fi network",
}


def listed(names: Sequence[str], most: int = 10) -> str:
    """Return names for one line, the rest counted."""
    shown = ", ".join(clean(name) for name in names[:most])
    return shown + (f" and {len(names) - most} more" if len(names) > most else "")
