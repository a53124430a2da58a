"""All parsers of what strangers send, by name."""

from __future__ import annotations

from tests.fuzz import of_backups, of_devices, of_relays, of_sync
from tests.fuzz.running import Parser

PARSERS: dict[str, Parser] = {
    one.name: one for room in (of_sync, of_devices, of_relays, of_backups) for one in room.parsers()
}
