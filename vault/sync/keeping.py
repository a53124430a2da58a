"""Sync without a person: one round for the agent, and what ``status`` says."""

from __future__ import annotations

import msgspec

from vault import identity, moment, newkit
from vault.store import Store
from vault.sync import belonging, log, recording, session, ways, writing
from vault.text import counted


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one round did; ``findings`` are sentences about what was refused or waits."""

    sent: int = 0
    received: int = 0
    items: int = 0
    findings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What happened, or nothing."""
        return f"synced: {self.sent} sent, {self.received} received" if self.sent or self.received else ""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """How a vault is synced."""

    way: str | None
    synced_at: str | None
    devices: int
    waiting: int
    unsent: int
    changed: int
    is_member: bool

    @property
    def text(self) -> str:
        """The same in words."""
        if not self.is_member:
            return "this device does not belong to the vault any more"
        parts = [counted(self.devices, "device")]
        parts += [f"through the {self.way}"] if self.way else []
        parts += [f"last at {self.synced_at}" if self.synced_at else "never yet"]
        parts += [f"{counted(self.changed, 'change')} not sent"] if self.changed else []
        parts += [f"{counted(self.unsent, 'entry')} not sent"] if self.unsent else []
        parts += [f"{counted(self.waiting, 'entry')} waiting"] if self.waiting else []
        return ", ".join(parts)


def is_on(store: Store) -> bool:
    """Tell whether there is a relay or folder to sync with."""
    return log.is_on(store) and ways.remembered(store) is not None


def turn(store: Store, now_ms: int) -> Turn:
    """Make one round through the relay or folder used last; raises as ``session.sync``."""
    way = ways.chosen(store, None, None, None)
    there = ways.transport(store, way)
    try:
        done = session.sync(store, there, lambda: now_ms)
    finally:
        close = getattr(there, "close", None)
        if close is not None:
            close()
    kept = writing.titles(store, done.kept_against_delete)
    told = [f"{title} was deleted on one device and changed on another: it stays" for title in kept]
    new = newkit.pending(store, moment.from_millis(now_ms))
    texts = (*(one.sentence for one in done.findings), *told, *((new.text,) if new is not None else ()))
    return Turn(sent=done.sent, received=done.entries, items=done.items, findings=texts)


def facts(store: Store) -> Facts | None:
    """Return how the vault is synced, None if it is not."""
    if not log.is_on(store):
        return None
    way, setting = ways.remembered(store), log.setting(store)
    own = identity.own_device(store).device_id
    return Facts(
        way=way.title if way is not None else None,
        synced_at=setting.synced_at or None,
        devices=len(identity.members(store)),
        waiting=log.count_waiting(store.database),
        unsent=log.unsent(store, own, way.title if way is not None else ""),
        changed=recording.unrecorded(store),
        is_member=belonging.is_member(store),
    )
