"""A short way between server and relay for what is small: a request that is here whole, an answer that goes at once.

A server offers it as the ASGI extension ``keyferry.direct``. Without it requests and answers go through ASGI's
messages: among others that takes a piece of TLS and a system call for the head of an answer, and one more of each for
its body.
"""

from __future__ import annotations

from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

EXTENSION = "keyferry.direct"


class Direct(Protocol):
    """What a server offers for one request."""

    def body(self) -> bytes | None:
        """Return the request's body if all of it is here, once; else None."""

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer; nothing was sent before."""


def of(scope: Scope) -> Direct | None:
    """Return what the server offers, if it does."""
    found: Direct | None = scope.get("extensions", {}).get(EXTENSION)
    return found


class Whole(Response):
    """An answer that is here whole."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        direct = of(scope) if scope["method"] != "HEAD" else None
        if direct is None:
            await super().__call__(scope, receive, send)
        else:
            await direct.answer(self.status_code, self.raw_headers, bytes(self.body))


class Front(Starlette):
    """The application; ``/v1/vaults/{vault}/{word}`` finds its endpoint by method and word, without a search."""

    def __init__(self, *, short: dict[tuple[str, str], Answered], **given: Any) -> None:
        super().__init__(**given)
        self._short = short

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        if scope["type"] == "http":
            parts = scope["path"].split("/")
            if len(parts) == 5 and parts[:3] == _VAULTS and parts[3]:
                answered = self._short.get((scope["method"], parts[4]))
                if answered is not None:
                    scope["path_params"] = {"vault": parts[3]}
                    response = await answered(Request(scope, receive))
                    await response(scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


class Answered(Protocol):
    """An endpoint that turns everything into an answer."""

    async def __call__(self, request: Request) -> Response: ...


_VAULTS = ["", "v1", "vaults"]
