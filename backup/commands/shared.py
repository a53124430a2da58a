"""What the commands about backups share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vault.screen import Session

if TYPE_CHECKING:
    from vault.store import Store

PATH = click.Path(path_type=Path)


def open_vault(session: Session, *, read_only: bool = False) -> Store:
    """Open the vault of this home, asking for its passphrase if it has one."""
    from vault.keys import open_vault

    return open_vault(
        session.home, read_only=read_only, passphrase=lambda: session.secret("Passphrase"), warn=session.warn
    )


def counted(count: int, thing: str) -> str:
    """Return the number with its noun: ``1 item``, ``2 items``."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def shown_size(size: int) -> str:
    """Return a size in bytes for people."""
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= least:
            return f"{size / least:,.1f} {unit}"
    return f"{size} bytes"
