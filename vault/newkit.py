"""A new kit that another device made: taken over at once if the old kit signed it, else after seven days.

A thief of an unlocked device can write such a kit as well. So it is shown for seven days from the day on which *this*
device learns of it (the entry's own time proves nothing), and whoever revokes the device that made it meanwhile ends
the kit with it. A kit that is signed by one that is still shown waits with it.
"""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec

from vault import crypto, moment
from vault.identity import device_names, own_chain, own_device
from vault.kitcare import end_kit
from vault.membership import Root, read_chain
from vault.moment import Instant
from vault.store import Store

DAYS = 7
_SEEN = "new_roots"  # when each root that the one before did not sign was seen first, by its public key
_LONG_AGO = "1970-01-01T00:00:00Z"


class NewKit(msgspec.Struct, frozen=True, kw_only=True):
    """A kit made without the old one, while it is shown; ``number`` is that of its membership entry."""

    device_id: str
    device: str
    made_at: Instant
    seen_at: Instant
    final_at: Instant
    root: bytes
    number: int

    @property
    def text(self) -> str:
        """The same in words, with the way out."""
        return (
            f"{self.device} made a new recovery kit on {self.made_at[:10]} without the old one; it is final here on"
            f" {self.final_at[:10]}. If that was not you: keyferry device revoke {self.device_id[:8]} ends that kit too"
        )


def pending(store: Store, now: Instant) -> NewKit | None:
    """Return the first new kit that another device made without the old one and that is not final yet, or None."""
    roots = [one for one in read_chain(own_chain(store)).roots if not one.confirmed]
    if not roots:  # so it is nearly always, and the keys of this device need not be loaded
        return None
    seen, own, names = _seen(store), own_device(store).device_id, device_names(store)
    for root in roots:
        at = seen.get(root.public.hex(), now)
        if _is_doubtful(root, own) and not _is_over(at, now):
            return NewKit(
                device_id=root.by,
                device=names.get(root.by) or root.by[:8],
                made_at=root.since,
                seen_at=at,
                final_at=_after(at),
                root=root.public,
                number=root.number,
            )
    return None


def settle(store: Store, now: Instant) -> None:
    """Note what is seen for the first time, and take over the newest kit once nothing is left to wait for.

    Call it inside a transaction.
    """
    roots, own = read_chain(own_chain(store)).roots, own_device(store).device_id
    before = _seen(store)
    seen = {one.public.hex(): before.get(one.public.hex(), now) for one in roots if _is_doubtful(one, own)}
    if seen != before:
        store.set_meta(_SEEN, json.dumps(seen) if seen else None)
    newest = roots[-1]
    wanted = newest.recipient or _ended(store).get(newest.public, "")  # the list may have gone back to an older one
    if wanted not in ("", store.meta("kit_recipient")) and pending(store, now) is None:
        before_it = roots[-2].public if len(roots) > 1 else newest.public
        end_kit(store, wanted, newest.since, old_root=before_it)


def accept(store: Store) -> None:
    """Take the roots that are there for final: who let this device in has vouched for them. Inside a transaction."""
    own = own_device(store).device_id
    roots = read_chain(own_chain(store)).roots
    seen = {one.public.hex(): _LONG_AGO for one in roots if _is_doubtful(one, own)}
    store.set_meta(_SEEN, json.dumps(seen) if seen else None)


def _is_doubtful(root: Root, own: str) -> bool:
    return not root.confirmed and root.by != own


def _is_over(seen_at: Instant, now: Instant) -> bool:
    return moment.to_datetime(now) >= moment.to_datetime(_after(seen_at))


def _after(at: Instant) -> Instant:
    ends = moment.to_datetime(at) + timedelta(days=DAYS)
    return moment.from_seconds(int(ends.timestamp()))


def _ended(store: Store) -> dict[bytes, str]:
    """Return the recipients of the kits that were replaced here, by their root."""
    told = json.loads(store.meta("old_kits") or "[]")
    return {crypto.from_text(one["root"]): one["recipient"] for one in told if one.get("root")}


def _seen(store: Store) -> dict[str, Instant]:
    found: dict[str, Instant] = json.loads(store.meta(_SEEN) or "{}")
    return found
