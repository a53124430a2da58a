"""A steady load: so many appends a second, on time whatever the relay does, from all devices of many vaults in turn.

A delay counts from when a request was due, not from when it could be sent: a relay that stalls is charged with all who
wait meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from benchmarks.loading import Connection, Figures, Vault, opened
from vault import listmaking
from vault.device import new_device
from vault.kit import new_kit

DEVICES = 5
_CONNECTIONS = 100


def vaults(count: int) -> list[list[Vault]]:
    """Return so many vaults of five devices, each as every of its devices has it."""
    kit = new_kit()
    first, *others = (new_device() for _ in range(DEVICES))
    found = []
    for number in range(count):
        at = f"2026-11-{1 + number // 1440 % 28:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        chain = [listmaking.genesis(kit.root, first, name="", now=at)]
        for one in others:
            chain.append(listmaking.enrol(chain, one, name="", by=first.signer, now=at))
        found.append([Vault(tuple(chain), one) for one in (first, *others)])
    return found


def in_turn(made: Sequence[Sequence[Vault]]) -> list[Vault]:
    """Return the devices of all vaults in the order in which they write: each vault's first, then each one's second."""
    return [vault[number] for number in range(DEVICES) for vault in made]


async def run(urls: Sequence[str], requests: Sequence[bytes], rate: float) -> Figures:
    """Send the requests on time, to whichever relay has a free connection."""
    idle: asyncio.Queue[Connection] = asyncio.Queue()
    pools = [await opened(url, _CONNECTIONS // len(urls)) for url in urls]
    for several in zip(*pools, strict=True):
        for one in several:
            idle.put_nowait(one)
    delays: list[float] = []

    async def send(connection: Connection, request: bytes, due: float) -> None:
        await connection.ask(request)
        delays.append(time.perf_counter() - due)
        idle.put_nowait(connection)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(send(await idle.get(), request, due))  # in order, however late
    return Figures(len(delays), time.perf_counter() - began, delays)
