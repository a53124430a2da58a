"""What a batch of messages brought, and what was wrong with it."""

from __future__ import annotations

import msgspec

from vault.sync import merge


class Finding(msgspec.Struct, frozen=True):
    """Something wrong with what arrived; ``kind`` is a word for programs, such as forged, fork or parked.

    ``hint`` says what to do next, where that is something.
    """

    kind: str
    text: str
    hint: str = ""

    @property
    def sentence(self) -> str:
        """All of it, for people."""
        return f"{self.text}; {self.hint}" if self.hint else self.text


UNREADABLE = Finding("newer", "another device sent something that this version cannot read: update Keyferry")


class Received(msgspec.Struct):
    """What a batch of messages brought."""

    entries: int = 0
    members: int = 0
    changed: dict[tuple[str, str], merge.Thing | None] = {}  # None: to be read again
    findings: list[Finding] = []
    kept_against_delete: list[str] = []
    applied: dict[str, int] = {}  # the first number of each device
