"""How long a stranger may take to say what he wants, and how much; how many connections one address may hold."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
        if self._late is None:
            self._head = 0
        elif self._head > MOST_HEAD:
            self._close()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._begin()

    def on_headers_complete(self) -> None:
        """A head is whole."""
        self._end()
        super().on_headers_complete()

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
