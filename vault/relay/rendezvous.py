"""Slots in which two devices that share no vault yet leave each other a few kilobytes, for five minutes.

Whoever knows a slot's name may read, replace and burn it; its name is 16 random bytes. A replacement names the etag of
what it replaces, so neither side overwrites what it has not read. What lies in a slot is never handed to a browser that
navigates: a relay is no place to host pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vault.relay.refusals import Refused


class Slots(Protocol):
    """Where slots are kept; an etag is a text of hexadecimal digits, an end is UNIX seconds."""

    def open_slot(self, slot: str, etag: str, ends: float, body: bytes, most: int, now: float) -> bool:
        """Keep a new slot and forget those that ended; False if there are too many."""

    def slot(self, slot: str) -> tuple[str, float, bytes] | None:
        """Return etag, end and body of a slot, or None."""

    def write_slot(self, slot: str, old: str, new: str, body: bytes) -> bool:
        """Replace what a slot holds if it still has the old etag."""

    def burn_slot(self, slot: str) -> bool:
        """Forget a slot; False if there is none."""


class MemorySlots:
    """Slots of a relay that is one process; they end with it."""

    def __init__(self) -> None:
        self._slots: dict[str, tuple[str, float, bytes]] = {}

    def open_slot(self, slot: str, etag: str, ends: float, body: bytes, most: int, now: float) -> bool:
        """See ``Slots``."""
        for name in [name for name, (_, end, _) in self._slots.items() if end <= now]:
            del self._slots[name]
        if len(self._slots) >= most:
            return False
        self._slots[slot] = (etag, ends, body)
        return True

    def slot(self, slot: str) -> tuple[str, float, bytes] | None:
        """See ``Slots``."""
        return self._slots.get(slot)

    def write_slot(self, slot: str, old: str, new: str, body: bytes) -> bool:
        """See ``Slots``."""
        found = self._slots.get(slot)
        if found is None or found[0] != old:
            return False
        self._slots[slot] = (new, found[1], body)
        return True

    def burn_slot(self, slot: str) -> bool:
        """See ``Slots``."""
        return self._slots.pop(slot, None) is not None


def refuse_browsers(headers: Mapping[str, str]) -> None:
    """Raise ``Refused`` for a request that a browser makes to show a page, or a page makes of another site."""
    navigates = headers.get("sec-fetch-mode") in ("navigate", "nested-navigate", "no-cors", "cors")
    shows = headers.get("sec-fetch-dest", "empty") != "empty" or "text/html" in headers.get("accept", "").lower()
    if navigates or shows or "origin" in headers:
        raise Refused(403, "browser", "this is no place for a browser")
