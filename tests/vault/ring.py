"""A keyring in a file: it outlives a killed child process, and it can be locked or made to forget."""

from __future__ import annotations

import json
import os
from pathlib import Path

from vault.oskeyring import KeyringHolder

SECRET_SERVICE = "keyring.backends.SecretService.Keyring"


class FileRing:
    """Entries by (service, user name) in one JSON file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writes = 0

    def entries(self) -> dict[str, str]:
        """Return everything in it."""
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._write({**self.entries(), f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._write({name: value for name, value in self.entries().items() if name != f"{service} {username}"})

    def _write(self, entries: dict[str, str]) -> None:
        self.writes += 1
        beside = self.path.with_suffix(".new")
        beside.write_text(json.dumps(entries))
        os.replace(beside, self.path)


def ring_holder(path: Path) -> KeyringHolder:
    """Return the holder over a keyring in that file."""
    return KeyringHolder(SECRET_SERVICE, FileRing(path))
