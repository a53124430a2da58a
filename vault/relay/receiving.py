"""Takes in the bodies of requests: no larger than was agreed, not slower than may be, and not too many at once."""

from __future__ import annotations

import asyncio
import hashlib
from typing import BinaryIO

from starlette.requests import Request

from vault.relay import direct, reading
from vault.relay.quota import Limits
from vault.relay.refusals import Refused, too_large, unavailable
from vault.relay.threads import Threads
from vault.sync import wire

_SLOWER_FOR_BLOBS = 20


class Bodies:
    """What a relay is receiving, of all requests together."""

    def __init__(self, limits: Limits, threads: Threads) -> None:
        self._limits, self._threads = limits, threads
        self.buffered = 0  # bytes

    async def read(self, request: Request, most: int) -> bytes:
        """Return the body; raises ``Refused`` if it is too large, too slow, or too much is being received."""
        expected = reading.length(request, most)
        here = direct.of(request.scope)
        whole = here.body() if here is not None else None
        if whole is not None:
            if len(whole) > most:
                raise too_large()
            return whole
        if self.buffered + expected > self._limits.buffered_bytes:
            raise unavailable("the relay is receiving too much at this moment")
        return await self._buffer(request, most)

    async def _buffer(self, request: Request, most: int) -> bytes:
        steps, size = [], 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                async for step in request.stream():
                    size += len(step)
                    self.buffered += len(step)
                    if size > most:
                        raise too_large()
                    steps.append(step)
        except TimeoutError:
            raise _too_slow() from None
        finally:
            self.buffered -= size
        return steps[0] if len(steps) == 1 else b"".join(steps)

    async def save(self, request: Request, file: BinaryIO, digest: bytes) -> int:
        """Write the body, which is a blob of this SHA-256, to the file and return its size; raises ``Refused``."""
        found, size = hashlib.sha256(), 0
        try:
            async with asyncio.timeout(self._limits.body_seconds * _SLOWER_FOR_BLOBS):
                async for step in request.stream():
                    size += len(step)
                    if size > wire.MOST_BLOB:
                        raise too_large()
                    found.update(step)
                    await self._threads.run(file.write, step)
        except TimeoutError:
            raise _too_slow() from None
        if found.digest() != digest:
            raise Refused(422, "wrong-digest", "the body is not what its address says")
        return size


def _too_slow() -> Refused:
    return Refused(408, "too-slow", "the body took too long")
