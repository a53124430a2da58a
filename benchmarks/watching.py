"""Devices that wait: each asks by a long poll whether its vault has something new, and asks again when it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.loading import Vault, address, request
from vault.sync import wire

_AT_ONCE = 200


@dataclass(slots=True)
class Watch:
    """All who wait: how many are connected, what was answered, and how many connections ended by themselves."""

    transports: list[asyncio.Transport] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    ends: bool = False

    def end(self) -> None:
        """Close all connections."""
        self.ends = True
        for one in self.transports:
            one.abort()


async def begin(urls: Sequence[str], vaults: Sequence[Vault]) -> Watch:
    """Let every device watch its vault, taking the relays in turn; returns when all are connected and have asked."""
    watch, loop = Watch(), asyncio.get_running_loop()
    for at in range(0, len(vaults), _AT_ONCE):
        some = vaults[at : at + _AT_ONCE]
        pairs = ((one, *address(urls[(at + place) % len(urls)])) for place, one in enumerate(some))
        made = (
            loop.create_connection(lambda one=one: _Watcher(watch, one), host, port, ssl=context)
            for one, host, port, context in pairs
        )
        await asyncio.gather(*made)
    return watch


class _Watcher(asyncio.Protocol):
    """One device; of an answer only its first line counts, as none has a body but the one that wakes."""

    def __init__(self, watch: Watch, vault: Vault) -> None:
        self._watch, self._vault, self._data = watch, vault, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._watch.transports.append(self._transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, _ = self._data.partition(b"\r\n\r\n")
        if end:
            self._watch.answers[int(head.split(b" ", 2)[1])] += 1
            self._data = b""
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.lost += not self._watch.ends

    def _ask(self) -> None:
        known = len(self._vault.chain)
        target = f"/v1/vaults/{self._vault.id}/watch?after={known}&wait={wire.MOST_WAIT}"
        self._transport.write(request("GET", target, b"", self._vault.device))
