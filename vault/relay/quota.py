"""How much a stranger may ask of a relay that knows no accounts: sizes, counts, rates, and no request twice.

Rates are token buckets: so many at once, and so many more each minute. They and the nonces are kept in memory, each
worker its own; what must hold among workers stands in the database.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from vault.sync import wire

_MOST_KEYS = 100_000
_MOST_NONCES = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What one vault and one address may take; rates are per minute."""

    vault_bytes: int = 4 << 30
    devices: int = 64
    chain_entries: int = 2_000
    lost_entries: int = 500  # of lists of devices that another outranked
    lost_bytes: int = 8 << 20
    requests: int = 1_200  # of a vault
    entries: int = 6_000  # of a vault
    refusals: int = 120  # of an address: requests that prove nothing
    vaults: int = 10  # brought from an address
    slots: int = 30  # opened from an address
    slot_requests: int = 600  # from an address
    most_slots: int = 10_000
    watchers: int = 50_000
    buffered_bytes: int = 256 << 20  # bodies that are being received
    body_seconds: float = 30.0
    grace_days: int = 30


class Buckets:
    """Token buckets by key, each full at first; the least used are forgotten beyond 100,000, which fills them again."""

    def __init__(self, per_minute: int) -> None:
        self._size = float(per_minute)
        self._rate = per_minute / 60
        self._left: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def take(self, key: object, now: float, count: int = 1) -> float:
        """Take tokens and return 0, or take none and return the seconds until there will be enough.

        ``count`` above the size takes a full bucket.
        """
        wanted = min(float(count), self._size)
        left = self._now(key, now)
        if left < wanted:
            return (wanted - left) / self._rate if self._rate else 3600.0
        self._left[key] = (left - wanted, now)
        self._left.move_to_end(key)
        if len(self._left) > _MOST_KEYS:
            self._left.popitem(last=False)
        return 0.0

    def wait(self, key: object, now: float) -> float:
        """Return the seconds until the key has a token again; takes none."""
        missing = 1.0 - self._now(key, now)
        return 0.0 if missing <= 0 else missing / self._rate if self._rate else 3600.0

    def _now(self, key: object, now: float) -> float:
        left, at = self._left.get(key, (self._size, now))
        return min(self._size, left + max(0.0, now - at) * self._rate)


class Nonces:
    """The requests of the last minutes, so that none is taken twice.

    Full, it forgets the oldest: what is replayed then is a repetition, which changes nothing, and nobody keeps others
    out by asking much.
    """

    def __init__(self, most: int = _MOST_NONCES) -> None:
        self._most = most
        self._seen: OrderedDict[tuple[str, str], int] = OrderedDict()

    def is_new(self, signer: str, nonce: str, now_ms: int) -> bool:
        """Note the nonce; False if this signer used it within twice the time window."""
        while self._seen:
            oldest, at = next(iter(self._seen.items()))
            if now_ms - at <= 2 * wire.WINDOW_MS and len(self._seen) < self._most:
                break
            del self._seen[oldest]
        if (signer, nonce) in self._seen:
            return False
        self._seen[signer, nonce] = now_ms
        return True
