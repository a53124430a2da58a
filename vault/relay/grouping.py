"""One durable commit for the writes of many requests: each is answered when the commit that holds it is on the disk.

A thread of its own takes whatever has come in while the last commit ran, and waits a moment longer if several clients
are writing. A commit that fails fails for all its writes; sent again, they find what is there already.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vault.relay.refusals import unavailable
from vault.relay.storage import Outcome

if TYPE_CHECKING:
    from vault.relay.storage import Storage, Write

LINGER_SECONDS = 0.002
MOST_WRITES = 512
MOST_BYTES = 32 << 20
_MOST_WAITING = 20_000
_MOST_WAITING_BYTES = 256 << 20


class Committer:
    """Takes writes from the event loop and gives outcomes back to it."""

    def __init__(self, storage: Storage, *, linger: float = LINGER_SECONDS) -> None:
        self._storage = storage
        self._linger = linger
        self._waiting: deque[tuple[Write, asyncio.Future[Outcome], int]] = deque()
        self._bytes = 0
        self._came = threading.Condition()
        self._ending = False
        self._thread: threading.Thread | None = None
        self._together = 1
        self.commits = 0
        self.writes = 0
        self.failures = 0

    @property
    def is_alive(self) -> bool:
        """Whether writes are taken."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin; call it inside the event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="relay-commits", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End after what is waiting is committed."""
        with self._came:
            self._ending = True
            self._came.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def submit(self, write: Write) -> Outcome:
        """Return the outcome once it is durable; raises ``Refused`` (503) if the database could not be written."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        size = _size(write)
        with self._came:
            if self._ending or len(self._waiting) >= _MOST_WAITING or self._bytes > _MOST_WAITING_BYTES:
                raise unavailable("the relay takes no more writes at this moment")
            self._waiting.append((write, future, size))
            self._bytes += size
            if len(self._waiting) == 1:
                self._came.notify()
        return await future

    def _run(self) -> None:
        while group := self._next():
            writes, futures = zip(*group, strict=True)
            try:
                outcomes: Sequence[Outcome] | None = self._storage.commit(writes)
            except Exception:  # whatever it is, those who wait must hear of it
                outcomes = None
                self.failures += 1
            self.commits += 1
            self.writes += len(group)
            self._together = len(group)
            self._loop.call_soon_threadsafe(_answer, futures, outcomes)

    def _next(self) -> list[tuple[Write, asyncio.Future[Outcome]]]:
        """Return the next writes, waiting for the first; none at the end."""
        with self._came:
            while not self._waiting:
                if self._ending:
                    return []
                self._came.wait()
            if self._linger and self._together > 1 and not self._ending:
                self._came.wait_for(lambda: self._ending or len(self._waiting) >= MOST_WRITES, self._linger)
            group: list[tuple[Write, asyncio.Future[Outcome]]] = []
            size = 0
            while self._waiting and len(group) < MOST_WRITES and size < MOST_BYTES:
                write, future, own = self._waiting.popleft()
                group.append((write, future))
                size += own
            self._bytes -= size
            return group


def _size(write: Write) -> int:
    return sum(len(row.body) for row in getattr(write, "rows", ()))


def _answer(futures: Sequence[asyncio.Future[Outcome]], outcomes: Sequence[Outcome] | None) -> None:
    for number, future in enumerate(futures):
        if future.done():  # its client has gone
            continue
        if outcomes is None:
            future.set_exception(unavailable("the relay cannot write at this moment"))
        else:
            future.set_result(outcomes[number])
