"""``vault.json``: what must be known before the vault is open. Nothing in it is secret, and nothing in it is trusted.

A new vault is *in the making* until its last file is written; what is in the making was never used and holds nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from vault.errors import CannotRead, DamagedVault, KeyMissing, NewerVault, NoVault
from vault.files import read_file, write_private
from vault.moment import Instant

FORMAT = 1
STORE, SETTINGS, RECOVERY, WRAP, LOCK = "vault.db", "vault.json", "vault.recovery.age", "vault.key", "vault.lock"
_ID = re.compile(r"[0-9a-f]{32}")


class Settings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The plain facts about a vault; ``holder`` says where its key is."""

    vault: str  # the vault id
    holder: dict[str, str]
    format: int = 0
    name: str = ""
    made_at: Instant = ""
    fingerprint: str = ""  # of the vault key
    pending: str = ""  # fingerprint of the key that is about to take its place
    making: bool = False


def default_home() -> Path:
    """Return the folder named by ``KEYFERRY_HOME``, else the platform's data folder."""
    named = os.environ.get("KEYFERRY_HOME")
    if named:
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("keyferry", appauthor=False))


def has_vault(home: Path) -> bool:
    """Tell whether there is a finished vault in this home."""
    if unfinished(home) is not None:
        return False
    return any(os.path.lexists(home / name) for name in (SETTINGS, STORE))


def read_settings(home: Path) -> Settings:
    """Return the settings of the vault in this home.

    Raises ``NoVault``, ``KeyMissing`` (the file is gone, the vault is not), ``DamagedVault``, ``NewerVault``.
    """
    path = home / SETTINGS
    if not _is_there(path):
        if os.path.lexists(home / STORE):
            raise KeyMissing(f"{path} is missing", hint="keyferry unlock --kit FILE makes it again")
        raise NoVault(f"there is no vault in {home}", hint="keyferry init makes one, keyferry migrate SOURCE as well")
    try:
        found = msgspec.json.decode(read_file(path), type=Settings)
    except (msgspec.DecodeError, CannotRead, RecursionError) as error:
        if isinstance(error, CannotRead):
            raise
        raise _damaged(path) from None
    if found.format > FORMAT:
        raise NewerVault("the vault was written by a newer Keyferry", hint="update Keyferry")
    if found.format != FORMAT or not _ID.fullmatch(found.vault):
        raise _damaged(path)
    if found.making:
        raise NoVault(f"the vault in {home} was never finished", hint="keyferry init makes it anew")
    return found


def write_settings(home: Path, settings: Settings) -> None:
    """Write the settings, whole or not at all. Raises ``CannotWrite``, ``DiskFull``, ``UnsafeTarget``."""
    body = msgspec.json.encode(msgspec.structs.replace(settings, format=FORMAT))
    write_private(home / SETTINGS, msgspec.json.format(body, indent=1) + b"\n")


def unfinished(home: Path) -> Settings | None:
    """Return the settings of a vault that was never finished, or None."""
    try:
        found = msgspec.json.decode(read_file(home / SETTINGS), type=Settings)
    except (msgspec.DecodeError, CannotRead, RecursionError):
        return None
    return found if found.making and found.format == FORMAT and _ID.fullmatch(found.vault) else None


def _is_there(path: Path) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:  # a folder that may not be entered
        raise CannotRead(f"cannot read {path}: {(error.strerror or 'refused').lower()}") from None
    return True


def _damaged(path: Path) -> DamagedVault:
    return DamagedVault(f"{path} is damaged", hint="keyferry unlock --kit FILE makes it again")
