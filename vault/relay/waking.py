"""Requests that wait until something changes: a vault gets entries, a slot another content."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from vault.relay.refusals import unavailable


class Bells:
    """Wakes those who wait, by the 16 bytes of what they wait for; only inside the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[bytes, set[asyncio.Future[int]]] = {}
        self.count = 0
        self.silent = False

    def ring(self, changed: Mapping[bytes, int]) -> None:
        """Wake those who wait for these, and tell them the new cursor; with none named, everybody, with 0."""
        for name in changed or list(self._waiting):
            for future in self._waiting.get(name, ()):
                if not future.done():
                    future.set_result(changed.get(name, 0))

    def end(self) -> None:
        """Wake everybody, and let nobody wait any more."""
        self.silent = True
        self.ring({})

    @contextmanager
    def heard(self, name: bytes) -> Iterator[asyncio.Future[int]]:
        """Lend what will be rung; raises ``Refused`` if too many are waiting."""
        if self.count >= self._most:
            raise unavailable("too many are waiting")
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        self.count += 1
        try:
            yield future
        finally:
            self._forget(name, future)

    def _forget(self, name: bytes, future: asyncio.Future[int]) -> None:
        self.count -= 1
        waiting = self._waiting[name]
        waiting.discard(future)
        if not waiting:
            del self._waiting[name]
