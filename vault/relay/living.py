"""A relay's life: it hears what other workers write, and once an hour clears away what nobody needs any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from vault.relay.grouping import Committer
from vault.relay.storage import Storage
from vault.relay.threads import Threads
from vault.relay.waking import Bells

_CLEAR_SECONDS = 3600


@asynccontextmanager
async def living(
    storage: Storage, committer: Committer, bells: Bells, threads: Threads, clear: Callable[[], None]
) -> AsyncIterator[None]:
    """Live as long as the block; then answer those who wait, finish what was begun, and let go of everything."""
    loop = asyncio.get_running_loop()
    committer.start()

    def hear(changed: Mapping[bytes, int]) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(bells.ring, changed)

    listening = loop.run_in_executor(None, storage.listen, hear)
    clearing = asyncio.create_task(_clear_hourly(threads, clear))
    try:
        yield
    finally:
        bells.end()
        clearing.cancel()
        await committer.stop()
        threads.end()
        storage.close()
        await listening


async def _clear_hourly(threads: Threads, clear: Callable[[], None]) -> None:
    while True:
        with suppress(Exception):  # the next hour brings another try
            await threads.run(clear)
        await asyncio.sleep(_CLEAR_SECONDS)
