"""How long a stranger may take to say what he wants, and how much; how many connections one address may hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from vault.relay.direct import EXTENSION

HEAD_SECONDS = 20.0
MOST_HEAD = 64 << 10
_CLOSING_SECONDS = 0.5
MOST_CONNECTIONS = 1_000  # from an address that is not this machine

_open: Counter[str] = Counter()


class PatientProtocol(HttpToolsProtocol):
    """A connection that is closed when a request's head does not come in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request, unless the address has too many connections."""
        super().connection_made(transport)
        self._host = self.client[0] if self.client else ""
        _open[self._host] += 1
        self._head = 0
        self._in_head = True
        self._late: asyncio.TimerHandle | None = None
        if _open[self._host] > MOST_CONNECTIONS and self._host not in ("127.0.0.1", "::1"):
            transport.close()
            return
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end()
        _open[self._host] -= 1
        if not _open[self._host]:
            del _open[self._host]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes, as long as a head does not grow beyond its bound."""
        self._head += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head = 0
        elif self._head > MOST_HEAD:
            self._close()
        elif self._late is None:
            self._begin()

    def on_message_begin(self) -> None:
        """A head begins; most are whole before there is anything to wait for."""
        super().on_message_begin()
        self._in_head = True
        if self._late is not None:
            self._begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._in_head = False
        if self._late is not None:
            self._end()
        super().on_headers_complete()
        scope: Any = self.scope
        scope["extensions"] = {EXTENSION: Cycle(self.cycle)}

    def shutdown(self) -> None:
        """Close when nothing is under way; a client that keeps its side of TLS open is not waited for."""
        super().shutdown()
        self._loosen()

    def _loosen(self) -> None:
        transport: Any = self.transport
        if transport.is_closing():
            self.loop.call_later(_CLOSING_SECONDS, transport.abort)
        else:
            self.loop.call_later(_CLOSING_SECONDS, self._loosen)

    def _begin(self) -> None:
        self._end()
        self._late = self.loop.call_later(HEAD_SECONDS, self._close)

    def _end(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _close(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.close()


class Cycle:
    """See ``vault.relay.direct.Direct``: one request, from uvicorn's own view of it."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def body(self) -> bytes | None:
        """See ``Direct``."""
        cycle = self._cycle
        if cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        return body

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """See ``Direct``."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        lines = [b"%b: %b\r\n" % pair for pair in (*cycle.default_headers, *headers)]
        end = b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n"
        cycle.response_started = cycle.response_complete = True
        cycle.transport.write(b"".join((STATUS_LINE[status], *lines, end, body)))
        cycle.message_event.set()
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()
