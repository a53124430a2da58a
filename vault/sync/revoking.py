"""What a revoked device has seen, and still can open: nothing un-reads a secret, so this is a list of things to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from vault import identity, listmaking, membership, moment, newkit, seniority
from vault.errors import NoSuchItem, UsageError
from vault.kit import Kit
from vault.membership import Member
from vault.model import Item
from vault.moment import Instant
from vault.store import Store
from vault.sync import belonging, engine, log
from vault.sync.travel import MEMBER
from vault.views import display_title, rows


class Seen(msgspec.Struct, frozen=True):
    """A secret that somebody has seen; never its value."""

    id: str
    title: str
    what: str
    changed_at: Instant | None


def find(store: Store, text: str) -> Member:
    """Return the device a person means, by name, id or its beginning; raises ``UsageError``, ``NoSuchItem``."""
    found = membership.read_chain(identity.own_chain(store))
    names = identity.device_names(store)
    members = [replace(one, name=names.get(one.device_id) or one.name or one.device_id[:8]) for one in found.members]
    fitting = [one for one in members if text in (one.device_id, one.name)]
    fitting = fitting or [one for one in members if len(text) >= 4 and one.device_id.startswith(text)]
    if len(fitting) > 1:
        ids = ", ".join(one.device_id[:12] for one in fitting)
        raise UsageError(f"{len(fitting)} devices are called {text!r}", hint=f"name one by its id: {ids}")
    if not fitting:
        raise NoSuchItem(f"no device is called {text!r}", hint="keyferry device list")
    return fitting[0]


def end(store: Store, device_id: str, now_ms: int, *, kit: Kit | None = None) -> bool:
    """Revoke a device; tell whether that ended a kit as well, which it had made without the old one.

    Then the list of devices goes on from before that kit, as if it had never been. Raises as ``belonging.revoke``, and
    ``UsageError`` if what the device signed since stands above that.
    """
    now = moment.from_millis(now_ms)
    doubtful = newkit.pending(store, now)
    if doubtful is None or doubtful.device_id != device_id or (kit is not None and doubtful.root in kit.root_publics):
        belonging.revoke(store, device_id, now, kit=kit)
        return False
    begun = identity.own_chain(store)[: doubtful.number]
    last = log.heads(store.database).get(device_id)
    own = identity.own_device(store).signer
    by = kit.root_among(membership.read_chain(begun).root_publics) if kit is not None else own
    upto = (last.seq, last.hash) if last is not None else (0, bytes(32))
    added = listmaking.revoke(begun, device_id, by=by, now=now, last=upto)
    if not seniority.outranks((*begun, added), identity.own_chain(store)):
        raise UsageError(
            f"{doubtful.device} belongs to the vault for longer, and has revoked a device since: it has the last word",
            hint="the old kit stands above it: keyferry device revoke NAME --kit FILE",
        )
    engine.receive(store, [(MEMBER, added)], now_ms)
    return True


def secrets_seen(store: Store) -> tuple[Seen, ...]:
    """Return every secret in the vault, the one unchanged for longest first."""
    found = [one for item in store.items() for one in _of(item)]
    return tuple(sorted(found, key=lambda one: (one.changed_at or "", one.title, one.what)))


def _of(item: Item) -> Iterator[Seen]:
    at = item.modified_at or item.creation_at
    for row in rows(item):
        if row.concealed:
            yield Seen(item.id, display_title(item), row.label, at)
