"""What may be wrong with a vault that opens, found without changing anything."""

from __future__ import annotations

import os

import msgspec

from vault.anchor import is_older
from vault.opening import Opened
from vault.settings import RECOVERY, SETTINGS, STORE, WRAP


class Finding(msgspec.Struct, frozen=True):
    """One fault, and the command that mends it."""

    what: str
    remedy: str


def findings(opened: Opened) -> tuple[Finding, ...]:
    """Return the faults of an open vault; none if all is well."""
    return (*_older(opened), *_pages(opened), *_recovery(opened), *_rights(opened))


def _older(opened: Opened) -> list[Finding]:
    if not is_older(opened.store, opened.holder):
        return []
    remedy = "keyferry restore takes the newest backup, keyferry doctor --accept-older goes on with this vault"
    return [Finding("the vault is older than this device has last seen it", remedy)]


def _pages(opened: Opened) -> list[Finding]:
    if opened.store.is_sound():
        return []
    return [Finding("the vault file is damaged in part", "keyferry restore takes the newest backup")]


def _recovery(opened: Opened) -> list[Finding]:
    if not opened.store.meta("kit_recipient") or os.path.lexists(opened.home / RECOVERY):
        return []
    return [Finding(f"{RECOVERY} is missing", "any command that writes the vault makes it again")]


def _rights(opened: Opened) -> list[Finding]:
    if os.name != "posix":
        return []
    found = []
    for name in (STORE, SETTINGS, RECOVERY, WRAP):
        path = opened.home / name
        if path.exists() and path.stat().st_mode & 0o077:
            found.append(Finding(f"{path} is open to others", f"chmod 600 {path}"))
    return found
