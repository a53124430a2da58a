"""The forms of an answer. None of them is kept by a cache, and no browser guesses what it is."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from starlette.responses import JSONResponse, Response

from vault.relay.direct import Whole
from vault.relay.refusals import Refused
from vault.sync import wire

ALWAYS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
BYTES = "application/octet-stream"
_NO_MORE: Mapping[str, str] = MappingProxyType({})


def whole(body: bytes, status: int = 200) -> Response:
    """Return bytes that are here whole."""
    return Whole(body, status, ALWAYS, BYTES)


def empty(status: int, more: Mapping[str, str] = _NO_MORE) -> Response:
    """Return an answer that is its status and headers."""
    return Response(status_code=status, headers={**ALWAYS, **more})


def shape(content: object, status: int = 200, more: Mapping[str, str] = _NO_MORE) -> Response:
    """Return JSON."""
    return JSONResponse(content, status, headers={**ALWAYS, **more})


def refusal(refused: Refused) -> Response:
    """Return a no, with its word in a header."""
    more = {wire.ERROR: refused.word, **refused.headers}
    if refused.body:
        return Response(refused.body, refused.status, {**ALWAYS, **more}, BYTES)
    return shape({"error": refused.word, "message": refused.sentence}, refused.status, more)
