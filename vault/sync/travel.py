"""How messages travel: what a relay and a folder have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from vault.sync.entry import Head

MEMBER, ENTRY = b"member", b"entry"
Message = tuple[bytes, bytes]  # what it is, and its bytes


class Page(msgspec.Struct, frozen=True):
    """Messages that arrived after a cursor; ``cursor`` is where to go on."""

    messages: tuple[Message, ...]
    cursor: str
    more: bool


class Heads(msgspec.Struct, frozen=True):
    """What a relay or folder says it has: how many membership entries, and each device's newest entry."""

    height: int
    membership: bytes
    devices: dict[str, Head]


class Transport(Protocol):
    """A relay or a folder. Everything raises ``RelayUnreachable`` where it cannot be reached or refuses."""

    name: str

    def create(self, chain: Sequence[bytes]) -> None:
        """Make the vault known there; nothing happens if it is."""

    def exists(self) -> bool:
        """Tell whether it knows the vault."""

    def heads(self) -> Heads:
        """Return what it has."""

    def pull(self, cursor: str) -> Page:
        """Return the messages after a cursor, which is empty at first."""

    def push(self, messages: Sequence[Message]) -> None:
        """Give it messages, all or none. Raises ``RelayMisbehaves`` if it has others in their place."""

    def put_blob(self, name: str, data: bytes) -> None:
        """Give it bytes whose SHA-256 in hexadecimal is their name."""

    def get_blob(self, name: str) -> bytes | None:
        """Return such bytes, unchecked, or None."""

    def drop(self, before: Mapping[str, int]) -> None:
        """Let it forget the entries of each device before these numbers; a relay does that by itself."""

    def wait(self, cursor: str, seconds: float) -> bool:
        """Wait until there is something after the cursor; returns whether there is."""
