"""How long to wait: after what failed, and between rounds of sync. All times are monotonic seconds."""

from __future__ import annotations

_SYNC_EVERY, _SYNC_AFTER, _SYNC_LATEST = 300.0, 10.0, 60.0  # without a change, after the last, after the first


class Patience:
    """How long to leave alone what failed, and whether that was told."""

    def __init__(self, first: float = 60.0, longest: float = 3600.0) -> None:
        self._first, self._longest = first, longest
        self._told, self._tries, self._until = "", 0, 0.0

    def failed(self, text: str, now: float) -> bool:
        """Note a failure; returns whether it is new and to be told."""
        self._until = now + min(self._first * 2.0**self._tries, self._longest)
        self._tries += 1
        is_new, self._told = text != self._told, text
        return is_new

    def succeeded(self) -> bool:
        """Note that it went well; returns whether a failure had been told."""
        was_told, self._told = bool(self._told), ""
        self.hurry()
        return was_told

    def hurry(self) -> None:
        """Try again at once; what was told stays told."""
        self._tries, self._until = 0, 0.0

    def left(self, now: float) -> float:
        """Return the seconds until the next try."""
        return max(0.0, self._until - now)


class Pace:
    """When to sync: ten seconds after a change, a minute after the first of many, else every five minutes."""

    def __init__(self, now: float) -> None:
        self._at, self._changed_at = now, float("inf")  # when to sync; the first change that was not synced
        self._online = Patience(60.0, _SYNC_EVERY)

    def changed(self, now: float) -> None:
        """Note a change."""
        self._changed_at = min(self._changed_at, now)
        self._at = min(now + _SYNC_AFTER, self._changed_at + _SYNC_LATEST)

    def hurry(self, now: float) -> None:
        """Sync at once."""
        self._at = now
        self._online.hurry()

    def failed(self, text: str, now: float) -> bool:
        """Note a round that failed; returns whether that is new and to be told."""
        self._at, self._changed_at = now + _SYNC_AFTER, float("inf")
        return self._online.failed(text, now)

    def succeeded(self, now: float) -> bool:
        """Note a round that went well; returns whether a failure had been told."""
        self._at, self._changed_at = now + _SYNC_EVERY, float("inf")
        return self._online.succeeded()

    def left(self, now: float) -> float:
        """Return the seconds until the next round."""
        return max(self._at - now, self._online.left(now), 0.0)
