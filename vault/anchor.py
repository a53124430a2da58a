"""The rollback anchor: a counter in the vault and beside its key, by which an old vault file put back is noticed.

The counter is raised when a changed vault is closed, the anchor written after it: a file newer than its anchor is
normal, an anchor newer than the file means that the file was put back to an older state.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from vault.errors import KeyferryError
from vault.keyholders import Holder
from vault.moment import Instant
from vault.store import Store

_MARK = "keyferry-anchor-1"


def is_older(store: Store, holder: Holder) -> bool:
    """Tell whether the vault is older than this device has seen it."""
    return _anchored(holder, store) > _counter(store)


def accept_older(store: Store, holder: Holder, at: Instant) -> None:
    """Take an older state of the vault as the right one from now on, and write that down in the vault."""
    kept = _anchored(holder, store)
    with store.transaction():
        seen = json.loads(store.meta("accepted_older") or "[]")
        entry = {"at": at, "counter": _counter(store), "anchor": kept}
        store.set_meta("accepted_older", json.dumps([*seen, entry]))
        store.set_meta("counter", str(max(_counter(store), kept)))


def marking(holder: Holder) -> Callable[[Store], None]:
    """Return what raises the counter and its anchor when a changed vault is closed; an anchor is never lowered."""

    def mark(store: Store) -> None:
        if not store.changes:
            return
        # The work is committed. An anchor that stays behind is harmless, an error here would look like a loss.
        with contextlib.suppress(KeyferryError):
            if is_older(store, holder):
                return  # opened to be brought up to date, and it was not
            counter = _counter(store) + 1
            store.set_meta("counter", str(counter))
            holder.set_anchor(store.vault_id, f"{_MARK} {counter}")

    return mark


def _counter(store: Store) -> int:
    return _number(store.meta("counter") or "0")


def _anchored(holder: Holder, store: Store) -> int:
    mark, _, number = (holder.anchor(store.vault_id) or "").strip().partition(" ")
    return _number(number) if mark == _MARK else 0


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
