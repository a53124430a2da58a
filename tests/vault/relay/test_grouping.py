"""Writes share commits, are answered behind them, and hear of it when one fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from vault.relay.grouping import Committer
from vault.relay.refusals import Refused
from vault.relay.storage import Delete, Outcome, Write


class Slow:
    """A database whose commits wait until the test lets them go."""

    def __init__(self) -> None:
        self.groups: list[int] = []
        self.begun, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.fails = False

    def commit(self, writes: Sequence[Write]) -> list[Outcome]:
        self.groups.append(len(writes))
        self.begun.release()
        self.go.acquire()
        if self.fails:
            raise OSError("no disk")
        return [write.now_ms for write in writes if isinstance(write, Delete)]


def writes(count: int) -> list[Delete]:
    return [Delete(bytes(16), number) for number in range(count)]


async def waiting(committer: Committer, count: int) -> list[asyncio.Task[Outcome]]:
    tasks = [asyncio.create_task(committer.submit(write)) for write in writes(count)]
    await asyncio.sleep(0)
    return tasks


def test_what_comes_while_one_commit_runs_shares_the_next() -> None:
    slow: Any = Slow()

    async def run() -> None:
        committer = Committer(slow, linger=0)
        committer.start()
        first = await waiting(committer, 1)
        await asyncio.to_thread(slow.begun.acquire)
        rest = await waiting(committer, 50)
        assert not any(one.done() for one in (*first, *rest))
        slow.go.release()
        assert await first[0] == 0
        await asyncio.to_thread(slow.begun.acquire)
        assert not any(one.done() for one in rest)
        slow.go.release()
        assert await asyncio.gather(*rest) == list(range(50))
        await committer.stop()
        assert (slow.groups, committer.commits, committer.writes) == ([1, 50], 2, 51)

    asyncio.run(run())


def test_a_commit_that_fails_fails_for_all_of_it_and_for_nobody_else() -> None:
    slow: Any = Slow()

    async def run() -> None:
        committer = Committer(slow, linger=0)
        committer.start()
        slow.fails = True
        slow.go.release()
        with pytest.raises(Refused) as refused:
            await committer.submit(writes(1)[0])
        assert refused.value.status == 503
        slow.fails = False
        slow.go.release()
        assert await committer.submit(writes(1)[0]) == 0
        await committer.stop()
        assert committer.failures == 1

    asyncio.run(run())


def test_what_waits_is_committed_before_the_end() -> None:
    slow: Any = Slow()

    async def run() -> None:
        committer = Committer(slow, linger=0)
        committer.start()
        tasks = await waiting(committer, 3)
        slow.go.release(5)
        await committer.stop()
        assert await asyncio.gather(*tasks) == [0, 1, 2]
        with pytest.raises(Refused):
            await committer.submit(writes(1)[0])
        assert not committer.is_alive

    asyncio.run(run())


def test_a_client_that_has_gone_disturbs_nobody() -> None:
    slow: Any = Slow()

    async def run() -> None:
        committer = Committer(slow, linger=0)
        committer.start()
        gone, stays = await waiting(committer, 2)
        gone.cancel()
        slow.go.release(5)
        assert await stays == 1
        await committer.stop()

    asyncio.run(run())
