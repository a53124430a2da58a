"""The threads that look into the database and write to files while the event loop goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_COUNT = 8

T = TypeVar("T")


class Threads:
    """A few threads for what would keep the event loop waiting; only inside it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_COUNT, thread_name_prefix="relay-reads")

    async def run(self, function: Callable[..., T], *given: object) -> T:
        """Return what the function returns, which runs in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *given)

    def end(self) -> None:
        """Wait until all is done that was begun."""
        self._pool.shutdown(wait=True)
