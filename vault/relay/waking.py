"""Requests that wait until something changes: a vault gets entries, a slot another content."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping


class Bells:
    """Wakes those who wait, by the 16 bytes of what they wait for; only inside the event loop."""

    def __init__(self) -> None:
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

    def register(self, name: bytes) -> asyncio.Future[int]:
        """Return what will be rung; give it back by ``forget``."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        self.count += 1
        return future

    def forget(self, name: bytes, future: asyncio.Future[int]) -> None:
        """Take a waiting one away."""
        self.count -= 1
        waiting = self._waiting[name]
        waiting.discard(future)
        if not waiting:
            del self._waiting[name]
