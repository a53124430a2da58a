"""The frame around every endpoint: whatever happens there becomes an answer, and is counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from vault.relay import answers
from vault.relay.admitting import Gate
from vault.relay.direct import Answered
from vault.relay.metrics import Counts
from vault.relay.refusals import Refused, unavailable


def framed(name: str, answer: Callable[[Request], Awaitable[Response]], counts: Counts, gate: Gate) -> Answered:
    """Return the endpoint of this name, which raises nothing."""

    async def answered(request: Request) -> Response:
        try:
            response = await answer(request)
        except Refused as refused:
            gate.note_refusal(request, refused)
            response = answers.refusal(refused)
        except ClientDisconnect:
            response = Response(status_code=400)
        except Exception:  # the database, most likely; a traceback could quote what was sent
            counts.failures += 1
            response = answers.refusal(unavailable("the relay has a problem of its own"))
        counts.count(name, response.status_code)
        return response

    return answered
