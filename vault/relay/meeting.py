"""The rendezvous endpoint (7): two devices that share no vault yet meet at a slot, which anybody may open.

Nothing is signed here, so everything is counted by address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from vault.relay import answers, reading
from vault.relay.quota import Buckets, Limits
from vault.relay.receiving import Bodies
from vault.relay.refusals import Refused, later, no_slot, unavailable
from vault.relay.rendezvous import Slots, refuse_browsers
from vault.relay.threads import Threads
from vault.relay.waking import Bells
from vault.sync import wire


class Meetings:
    """Answers requests about slots; ``look`` returns etag and content of one, or raises ``Refused``."""

    def __init__(
        self,
        slots: Slots,
        limits: Limits,
        *,
        look: Callable[[str], Awaitable[tuple[str, bytes]]],
        bells: Bells,
        bodies: Bodies,
        threads: Threads,
        clock: Callable[[], float],
        mono: Callable[[], float],
        token: Callable[[int], str],
    ) -> None:
        self._slots, self._most = slots, limits.most_slots
        self._look, self._bells, self._bodies, self._threads = look, bells, bodies, threads
        self._clock, self._mono, self._token = clock, mono, token
        self._opened = Buckets(limits.slots)
        self._requests = Buckets(limits.slot_requests)

    async def answer_open(self, request: Request) -> Response:
        """Open a slot with what the body holds."""
        self._check(request)
        if wait := self._opened.take(reading.address(request), self._mono()):
            raise later("too-many-slots", "too many slots were opened from this address", wait)
        body = await self._bodies.read(request, wire.MOST_SLOT)
        slot, etag, now = self._token(16), self._token(8), self._clock()
        ends = now + wire.SLOT_SECONDS
        if not await self._threads.run(self._slots.open_slot, slot, etag, ends, body, self._most, now):
            raise unavailable("too many slots are open")
        more = {"etag": f'"{etag}"', "location": f"/v1/rendezvous/{slot}"}
        return answers.shape({"slot": slot, "seconds": wire.SLOT_SECONDS}, 201, more)

    async def answer_read(self, request: Request) -> Response:
        """Hand out what lies in a slot; 304 if it is what the other side has, after waiting for a change."""
        self._check(request)
        slot, known = reading.slot(request), reading.etag(request, "if-none-match")
        wait = min(reading.number(request, "wait", 0), wire.MOST_WAIT)
        etag, body = await self._changed(slot, known, wait)
        more = {"etag": f'"{etag}"', "content-security-policy": "sandbox; default-src 'none'"}
        if etag == known:
            return answers.empty(304, more)
        return Response(body, headers={**answers.ALWAYS, **more}, media_type=answers.BYTES)

    async def answer_replace(self, request: Request) -> Response:
        """Replace what lies in a slot, if it is what the other side has read."""
        self._check(request)
        slot, old = reading.slot(request), reading.etag(request, "if-match")
        if not old:
            raise Refused(428, "no-etag", "If-Match names the etag that is replaced")
        body = await self._bodies.read(request, wire.MOST_SLOT)
        etag, _ = await self._look(slot)
        new = self._token(8)
        if etag != old or not await self._threads.run(self._slots.write_slot, slot, old, new, body):
            raise Refused(412, "changed", "the slot holds something else by now")
        self._bells.ring({bytes.fromhex(slot): 0})
        return answers.empty(204, {"etag": f'"{new}"'})

    async def answer_burn(self, request: Request) -> Response:
        """Forget a slot."""
        self._check(request)
        slot = reading.slot(request)
        if not await self._threads.run(self._slots.burn_slot, slot):
            raise no_slot()
        self._bells.ring({bytes.fromhex(slot): 0})
        return answers.empty(204)

    async def _changed(self, slot: str, known: str, wait: float) -> tuple[str, bytes]:
        """Return etag and content as soon as they are not what is known, or as they are at the end."""
        until, name = self._mono() + wait, bytes.fromhex(slot)
        while True:
            with self._bells.heard(name) as rung:  # before looking, so that nothing comes in between
                etag, body = await self._look(slot)
                left = until - self._mono()
                if etag != known or left <= 0 or self._bells.silent:
                    return etag, body
                await asyncio.wait([rung], timeout=left)

    def _check(self, request: Request) -> None:
        refuse_browsers(request.headers)
        if wait := self._requests.take(reading.address(request), self._mono()):
            raise later("too-many", "too many requests about slots from this address", wait)
