"""The relay's eight endpoints: each request is checked here, and each answer comes from a method of its own.

A request about a vault is signed by one of its devices, or by its root key. In this order: the address has not been
refused too often, the headers are whole, the time is within five minutes, the vault is there, the signer is a member,
the signature holds, the nonce is new, the rate is kept. What is written was checked against a membership; the commit
refuses it if another one is the newest by then, and it is checked again. Reading looks the newest one up first.

``answer_*`` take a request and return a response; ``*_of`` and ``taken`` say what is in it. A relay that lies is a
subclass.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vault.relay import checking, direct, metrics, pruning
from vault.relay.checking import Known
from vault.relay.direct import Answered, Front, Whole
from vault.relay.grouping import LINGER_SECONDS, Committer
from vault.relay.openapi import document
from vault.relay.quota import Buckets, Limits, Nonces
from vault.relay.refusals import Refused, later, malformed, unavailable
from vault.relay.rendezvous import MemorySlots, Slots, refuse_browsers
from vault.relay.storage import Append, Create, Delete, Keep, Outcome, Row, Stale, State, Storage, Write
from vault.relay.waking import Bells
from vault.sync import wire

_BYTES = "application/octet-stream"
_ALWAYS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_KNOWN_BYTES = 128 << 20  # membership chains that are kept in memory
_READERS = 8
_ATTEMPTS = 8
_BIG = 1 << 16
_PURGE_SECONDS = 3600
_DAY_MS = 86_400_000

T = TypeVar("T")
Answer = Callable[["Relay", Request], Awaitable[Response]]


class Relay:
    """A relay over a storage; ``app`` is what a server runs. Clock and nonce source are parameters."""

    def __init__(
        self,
        storage: Storage,
        *,
        slots: Slots | None = None,
        limits: Limits | None = None,
        invite: str = "",
        clock: Callable[[], float] = time.time,
        mono: Callable[[], float] = time.monotonic,
        token: Callable[[int], str] = secrets.token_hex,
        linger: float = LINGER_SECONDS,
    ) -> None:
        self.storage = storage
        self.limits = limits or Limits()
        self.slots: Slots = slots if slots is not None else MemorySlots()
        self.bells = Bells()
        self.committer = Committer(storage, linger=linger)
        self.counts = metrics.Counts()
        self._invite = invite
        self._clock, self._mono, self._token = clock, mono, token
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._known_bytes = 0
        self._nonces = Nonces()
        self._requests = Buckets(self.limits.requests)
        self._entries = Buckets(self.limits.entries)
        self._refusals = Buckets(self.limits.refusals)
        self._vaults = Buckets(self.limits.vaults)
        self._slot_opens = Buckets(self.limits.slots)
        self._slot_requests = Buckets(self.limits.slot_requests)
        self._buffered = 0
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="relay-reads")

    def app(self) -> Starlette:
        """Return the ASGI application; it starts and stops the relay with itself."""
        vault, slot = "/v1/vaults/{vault}", "/v1/rendezvous/{slot}"
        short = {
            ("POST", "entries"): self._answered("append", Relay.answer_append),
            ("GET", "entries"): self._answered("page", Relay.answer_page),
            ("GET", "heads"): self._answered("heads", Relay.answer_heads),
            ("GET", "watch"): self._answered("watch", Relay.answer_watch),
        }
        routes = [
            self._route("/v1/vaults", "POST", "create", Relay.answer_create),
            *(Route(f"{vault}/{word}", one, methods=[method]) for (method, word), one in short.items()),
            self._route(f"{vault}/blobs/{{digest}}", "PUT", "put_blob", Relay.answer_put_blob),
            self._route(f"{vault}/blobs/{{digest}}", "GET", "blob", Relay.answer_blob),
            self._route("/v1/rendezvous", "POST", "open_slot", Relay.answer_open_slot),
            self._route(slot, "GET", "slot", Relay.answer_slot),
            self._route(slot, "PUT", "put_slot", Relay.answer_put_slot),
            self._route(slot, "DELETE", "burn_slot", Relay.answer_burn_slot),
            self._route(vault, "DELETE", "delete", Relay.answer_delete),
            self._route("/v1/openapi.json", "GET", "openapi", Relay.answer_openapi),
            self._route("/health", "GET", "health", Relay.answer_health),
            self._route("/metrics", "GET", "metrics", Relay.answer_metrics),
        ]
        nothing = self._answered("nothing", Relay.answer_nothing)

        async def not_found(request: Request, _: Exception) -> Response:
            return await nothing(request)

        return Front(short=short, routes=routes, lifespan=self._living, exception_handlers={404: not_found})

    def stop_waiting(self) -> None:
        """Answer everybody who waits; a server calls it when it is told to stop."""
        self.bells.end()

    async def answer_create(self, request: Request) -> Response:
        """1: keep a vault's membership chain; 200 if it is there, 201 if it is new."""
        signed = self._signed(request)
        if wait := self._vaults.take(_address(request), self._mono()):
            raise later("too-many-vaults", "too many vaults were brought from this address", wait)
        body = await self._body(request, wire.MOST_CHAIN)
        chain = _read(wire.read_chain, body)
        sent = await self._in_thread(checking.read_known, chain, self.limits)
        self._check(request, signed, sent, wire.digest_of(body))
        for _ in range(_ATTEMPTS):
            outcome, status = await self._created(request, signed, sent)
            if not isinstance(outcome, Stale):
                return _bytes(wire.write_cursor(self._rung(sent.vault, outcome)), status)
        raise unavailable("the vault changes too fast")

    async def _created(self, request: Request, signed: wire.Signed, sent: Known) -> tuple[Outcome, int]:
        vault = bytes.fromhex(sent.vault)
        state = await self._in_thread(self.storage.state, vault)
        if state is not None and not state.deleted:
            known = await self.known(sent.vault, fresh=True)
            after, new = await self._in_thread(checking.joined, known, sent.chain[1:], self.limits)
            if not new:
                return state.arrival, 200
            self._spend(self._entries, sent.vault, len(new))
            checking.signer_key(after, signed)
            rows = tuple(map(checking.member_row, new))
            return await self.taken(Append(vault, known.newest, rows, self.limits.vault_bytes)), 200
        if state is not None:  # in its days of grace: whoever is a member there may have it back
            checking.signer_key(await self._in_thread(self._read_known, vault), signed)
        self._check_invite(request)
        rows = tuple(map(checking.member_row, sent.chain))
        outcome = await self.taken(Create(vault, rows, self._now_ms()))
        return outcome, 201 if state is None else 200

    async def answer_append(self, request: Request) -> Response:
        """2: keep entries, all or none; what is there already is taken as sent."""
        signed, vault = self._signed(request), _vault(request)
        known = await self.known(vault)
        body = await self._body(request, wire.MOST_SINGLE)
        parts = _read(wire.read_batch, body)
        if not wire.fits(len(body), len(parts)):
            raise Refused(413, "too-large", "the batch is too large")
        digest, checked = wire.digest_of(body), False
        for _ in range(_ATTEMPTS):
            after, new = await self._joined(known, parts)
            signing = _first_with(signed, known, after)
            if not checked:
                self._check(request, signed, signing, digest)
                self._spend(self._entries, vault, len(parts))
                checked = True
            checking.signer_key(signing, signed)
            rows = _rows(after, parts, frozenset(new))
            outcome = await self.taken(Append(bytes.fromhex(vault), known.newest, rows, self.limits.vault_bytes))
            if not isinstance(outcome, Stale):
                cursor = self._rung(vault, outcome)
                if new:
                    self._remember(after)
                return _bytes(wire.write_cursor(cursor))
            known = await self.known(vault, fresh=True)
        raise unavailable("the vault's list of devices changes too fast")

    async def answer_page(self, request: Request) -> Response:
        """3: hand out what came behind a cursor."""
        known = await self._asked(request)
        after = _number(request, "after", 0)
        limit = _number(request, "limit", wire.MOST_PAGE_ENTRIES)
        if not 1 <= limit <= wire.MOST_PAGE_ENTRIES:
            raise malformed("the limit is between 1 and 500")
        return _bytes(wire.write_page(await self.page_of(known, after, limit)))

    async def answer_heads(self, request: Request) -> Response:
        """4: say what is here."""
        return _bytes(wire.write_heads(await self.heads_of(await self._asked(request))))

    async def answer_watch(self, request: Request) -> Response:
        """5: answer as soon as the newest cursor is another than the one that is known, or after the time given."""
        known = await self._asked(request)
        after = _number(request, "after", 0)
        wait = _number(request, "wait", wire.MOST_WAIT)
        newest = await self._watched(known.vault, after, min(wait, wire.MOST_WAIT))
        return Response(status_code=204, headers=_ALWAYS) if newest == after else _bytes(wire.write_cursor(newest))

    async def answer_put_blob(self, request: Request) -> Response:
        """6: keep a blob under its hash."""
        digest = _digest(request)
        known = await self._asked(request, digest)
        vault = bytes.fromhex(known.vault)
        if await self._in_thread(self.storage.blob_size, vault, digest) is not None:
            return Response(status_code=200, headers=_ALWAYS)
        size = _length(request, wire.MOST_BLOB)
        state = await self._state(vault)
        if state.total + state.blob_bytes + size > self.limits.vault_bytes:
            raise Refused(507, "quota", "the vault holds as much as this relay takes")
        file = self.storage.temporary()
        try:
            received = await self._received(request, file, digest)
            await self._in_thread(self.storage.stage, vault, digest, file)
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)
        outcome = await self.taken(Keep(vault, digest, received, self.limits.vault_bytes))
        if isinstance(outcome, Stale):
            raise _gone()
        if isinstance(outcome, Refused):
            raise outcome
        return Response(status_code=201, headers=_ALWAYS)

    async def answer_blob(self, request: Request) -> Response:
        """6: hand out a blob, or only its size."""
        digest = _digest(request)
        known = await self._asked(request)
        found = await self.blob_of(known, digest)
        if found is None:
            raise Refused(404, "no-such-blob", "the vault has no such blob")
        size, steps = found
        headers = {**_ALWAYS, "content-length": str(size)}
        if request.method == "HEAD":
            return Response(headers=headers, media_type=_BYTES)
        return StreamingResponse(steps, headers=headers, media_type=_BYTES)

    async def answer_open_slot(self, request: Request) -> Response:
        """7: open a slot with what the body holds."""
        self._check_slot_rate(request)
        if wait := self._slot_opens.take(_address(request), self._mono()):
            raise later("too-many-slots", "too many slots were opened from this address", wait)
        body = await self._body(request, wire.MOST_SLOT)
        slot, etag, now = self._token(16), self._token(8), self._clock()
        ends = now + wire.SLOT_SECONDS
        if not await self._in_thread(self.slots.open_slot, slot, etag, ends, body, self.limits.most_slots, now):
            raise unavailable("too many slots are open")
        shape = {"slot": slot, "seconds": wire.SLOT_SECONDS}
        headers = {**_ALWAYS, "etag": f'"{etag}"', "location": f"/v1/rendezvous/{slot}"}
        return JSONResponse(shape, 201, headers=headers)

    async def answer_slot(self, request: Request) -> Response:
        """7: hand out what lies in a slot; 304 if it is what the other side has, after waiting for a change."""
        self._check_slot_rate(request)
        slot, known = _slot(request), _etag(request, "if-none-match")
        wait = min(_number(request, "wait", 0), wire.MOST_WAIT)
        until = self._mono() + wait
        name = bytes.fromhex(slot)
        future = self._registered(name)
        try:
            etag, body = await self.slot_of(slot)
            while etag == known and not self.bells.silent and (left := until - self._mono()) > 0:
                await asyncio.wait([future], timeout=left)
                self.bells.forget(name, future)
                future = self._registered(name)
                etag, body = await self.slot_of(slot)
        finally:
            self.bells.forget(name, future)
        headers = {**_ALWAYS, "etag": f'"{etag}"', "content-security-policy": "sandbox; default-src 'none'"}
        if etag == known:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=_BYTES)

    async def answer_put_slot(self, request: Request) -> Response:
        """7: replace what lies in a slot, if it is what the other side has read."""
        self._check_slot_rate(request)
        slot, old = _slot(request), _etag(request, "if-match")
        if not old:
            raise Refused(428, "no-etag", "If-Match names the etag that is replaced")
        body = await self._body(request, wire.MOST_SLOT)
        etag, _ = await self.slot_of(slot)
        new = self._token(8)
        if etag != old or not await self._in_thread(self.slots.write_slot, slot, old, new, body):
            raise Refused(412, "changed", "the slot holds something else by now")
        self.bells.ring({bytes.fromhex(slot): 0})
        return Response(status_code=204, headers={**_ALWAYS, "etag": f'"{new}"'})

    async def answer_burn_slot(self, request: Request) -> Response:
        """7: forget a slot."""
        self._check_slot_rate(request)
        slot = _slot(request)
        if not await self._in_thread(self.slots.burn_slot, slot):
            raise _no_slot()
        self.bells.ring({bytes.fromhex(slot): 0})
        return Response(status_code=204, headers=_ALWAYS)

    async def answer_delete(self, request: Request) -> Response:
        """8: mark a vault as deleted; it is removed after the days of grace."""
        signed = self._signed(request)
        if not signed.root:
            raise Refused(403, "not-the-root", "only the root key deletes a vault")
        known = await self._asked(request)
        outcome = await self.taken(Delete(bytes.fromhex(known.vault), self._now_ms()))
        if isinstance(outcome, Refused):
            raise outcome
        self._forget(known.vault)
        return Response(status_code=204, headers=_ALWAYS)

    async def answer_openapi(self, request: Request) -> Response:
        """The endpoints in OpenAPI's words."""
        return JSONResponse(document(), headers=_ALWAYS)

    async def answer_health(self, request: Request) -> Response:
        """Whether the relay can read and write."""
        try:
            await self._in_thread(self.storage.check)
        except Exception:  # whatever it is, the answer is the same
            raise unavailable("the database does not answer") from None
        if not self.committer.is_alive or self.bells.silent:
            raise unavailable("the relay is ending")
        return JSONResponse({"status": "ok"}, headers=_ALWAYS)

    async def answer_metrics(self, request: Request) -> Response:
        """Sums for Prometheus, without any id; only for the machine itself."""
        if not _is_loopback(request):
            raise _nothing()
        text = metrics.page(self.counts, self.committer, self.bells.count)
        return Response(text, headers=_ALWAYS, media_type=metrics.MEDIA_TYPE)

    async def answer_nothing(self, request: Request) -> Response:
        """Anything else, among it what another version of Keyferry would have; a device is told that it is not here."""
        raise _nothing()

    async def page_of(self, known: Known, after: int, limit: int) -> wire.Page:
        """Return what came behind the cursor."""
        vault = bytes.fromhex(known.vault)
        return await self._in_thread(self.storage.page, vault, after, limit, wire.MOST_PAGE_BYTES)

    async def heads_of(self, known: Known) -> wire.Heads:
        """Return the newest membership entry and each device's newest entry."""
        rows = await self._in_thread(self.storage.heads, bytes.fromhex(known.vault))
        devices = tuple(wire.Head(device.hex(), seq, newest) for device, seq, newest in rows)
        return wire.Heads(known.head, len(known.chain), devices)

    async def newest_of(self, vault: str) -> int:
        """Return the newest cursor of a vault."""
        return (await self._state(bytes.fromhex(vault))).arrival

    async def blob_of(self, known: Known, digest: bytes) -> tuple[int, Iterator[bytes]] | None:
        """Return size and bytes of a blob, or None."""
        vault = bytes.fromhex(known.vault)
        size = await self._in_thread(self.storage.blob_size, vault, digest)
        return None if size is None else (size, self.storage.blob(vault, digest))

    async def slot_of(self, slot: str) -> tuple[str, bytes]:
        """Return etag and content of a slot; raises ``Refused``."""
        found = await self._in_thread(self.slots.slot, slot)
        if found is None or found[1] <= self._clock():
            raise _no_slot()
        return found[0], found[2]

    async def taken(self, write: Write) -> Outcome:
        """Store a write and return what came of it, when it is on the disk."""
        return await self.committer.submit(write)

    async def known(self, vault: str, *, fresh: bool = False) -> Known:
        """Return a vault's membership; ``fresh`` looks whether it is still the newest. Raises ``Refused``."""
        cached = self._known.get(vault)
        if cached is not None and not fresh:
            self._known.move_to_end(vault)
            return cached
        found = await self._in_thread(self._looked_up, bytes.fromhex(vault), cached)
        if found is not cached:
            self._remember(found)
        return found

    def _looked_up(self, vault: bytes, cached: Known | None) -> Known:
        state = self.storage.state(vault)
        if state is None:
            raise _no_vault()
        if state.deleted:
            raise _gone()
        if cached is not None and cached.newest == state.head:
            return cached
        return self._read_known(vault)

    def _read_known(self, vault: bytes) -> Known:
        return checking.restored_known(self.storage.members(vault), self.limits)

    def _remember(self, known: Known) -> None:
        self._forget(known.vault)
        self._known[known.vault] = known
        self._known_bytes += _weight(known)
        while self._known_bytes > _KNOWN_BYTES and len(self._known) > 1:
            self._forget(next(iter(self._known)))

    def _forget(self, vault: str) -> None:
        gone = self._known.pop(vault, None)
        self._known_bytes -= _weight(gone) if gone is not None else 0

    async def _joined(self, known: Known, parts: tuple[wire.Part, ...]) -> tuple[Known, tuple[bytes, ...]]:
        entries = [part.data for part in parts if part.kind == wire.MEMBER]
        if not entries:
            return known, ()
        return await self._in_thread(checking.joined, known, entries, self.limits)

    async def _asked(self, request: Request, digest: bytes | None = None) -> Known:
        """Return the membership of the vault a signed request is about; without a digest its body is empty."""
        signed, vault = self._signed(request), _vault(request)
        known = await self.known(vault, fresh=True)
        self._check(request, signed, known, digest if digest is not None else wire.digest_of(b""))
        return known

    def _signed(self, request: Request) -> wire.Signed:
        """Return who claims to have signed, if the address may ask and the time is right."""
        if wait := self._refusals.wait(_address(request), self._mono()):
            raise later("too-many-refusals", "too many requests from this address were refused", wait)
        try:
            signed = wire.read_signed(_headers(request))
        except ValueError:
            raise Refused(401, "unsigned", "the request is not signed as it should be") from None
        now_ms = self._now_ms()
        if abs(signed.time_ms - now_ms) > wire.WINDOW_MS:
            headers = {wire.TIME: str(now_ms)}
            raise Refused(401, "wrong-time", "the clocks differ by more than five minutes", headers=headers)
        return signed

    def _check(self, request: Request, signed: wire.Signed, known: Known, digest: bytes) -> None:
        """Check member, signature, nonce and rate, in this order; raises ``Refused``."""
        key = checking.signer_key(known, signed)
        if not wire.holds(signed, key, request.method, _target(request), digest):
            raise Refused(401, "wrong-signature", "the signature of the request does not hold")
        if not self._nonces.is_new(signed.device_id or signed.root.hex(), signed.nonce, self._now_ms()):
            raise Refused(401, "replayed", "the request was sent before")
        self._spend(self._requests, known.vault, 1)

    def _spend(self, buckets: Buckets, vault: str, count: int) -> None:
        if wait := buckets.take(vault, self._mono(), count):
            raise later("too-many", "the vault asks too much of this relay", wait)

    def _check_invite(self, request: Request) -> None:
        given = request.headers.get(wire.INVITE, "")
        if self._invite and not hmac.compare_digest(given.encode(), self._invite.encode()):
            raise Refused(403, "no-invite", "this relay takes new vaults by invitation")

    def _check_slot_rate(self, request: Request) -> None:
        refuse_browsers(request.headers)
        if wait := self._slot_requests.take(_address(request), self._mono()):
            raise later("too-many", "too many requests about slots from this address", wait)

    def _registered(self, name: bytes) -> asyncio.Future[int]:
        if self.bells.count >= self.limits.watchers:
            raise unavailable("too many are waiting")
        return self.bells.register(name)

    async def _watched(self, vault: str, after: int, wait: float) -> int:
        """Return the newest cursor as soon as it differs from ``after``, or ``after`` at the end."""
        until = self._mono() + wait
        name = bytes.fromhex(vault)
        while True:
            future = self._registered(name)  # before looking, so that nothing comes in between
            try:
                newest = await self.newest_of(vault)
                left = until - self._mono()
                if newest != after or left <= 0 or self.bells.silent:
                    return newest
                done, _ = await asyncio.wait([future], timeout=left)
                if done and future.result() > after:
                    return future.result()
            finally:
                self.bells.forget(name, future)

    def _rung(self, vault: str, outcome: Outcome) -> int:
        """Wake those who watch the vault and return its cursor; raises what was refused."""
        if isinstance(outcome, Refused):
            raise outcome
        assert isinstance(outcome, int)  # noqa: S101
        self.bells.ring({bytes.fromhex(vault): outcome})
        return outcome

    async def _state(self, vault: bytes) -> State:
        state = await self._in_thread(self.storage.state, vault)
        if state is None or state.deleted:
            raise _gone()
        return state

    async def _body(self, request: Request, most: int) -> bytes:
        """Return the body; raises ``Refused`` if it is too large, too slow, or too much is being received."""
        expected = _length(request, most)
        here = direct.of(request.scope)
        whole = here.body() if here is not None else None
        if whole is not None:
            if len(whole) > most:
                raise _too_large()
            return whole
        if self._buffered + expected > self.limits.buffered_bytes:
            raise unavailable("the relay is receiving too much at this moment")
        steps, size = [], 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for step in request.stream():
                    size += len(step)
                    self._buffered += len(step)
                    if size > most:
                        raise _too_large()
                    steps.append(step)
        except TimeoutError:
            raise Refused(408, "too-slow", "the body took too long") from None
        finally:
            self._buffered -= size
        return steps[0] if len(steps) == 1 else b"".join(steps)

    async def _received(self, request: Request, file: Path, digest: bytes) -> int:
        """Write the body to the file and return its size; raises ``Refused``."""
        found, size = hashlib.sha256(), 0
        target = await self._in_thread(_private, file)
        try:
            async with asyncio.timeout(self.limits.body_seconds * 20):
                async for step in request.stream():
                    size += len(step)
                    if size > wire.MOST_BLOB:
                        raise _too_large()
                    found.update(step)
                    await self._in_thread(target.write, step)
        except TimeoutError:
            raise Refused(408, "too-slow", "the body took too long") from None
        finally:
            await self._in_thread(target.close)
        if found.digest() != digest:
            raise Refused(422, "wrong-digest", "the body is not what its address says")
        return size

    async def _in_thread(self, function: Callable[..., T], *given: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *given)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _route(self, path: str, method: str, name: str, answer: Answer) -> Route:
        return Route(path, self._answered(name, answer), methods=[method], name=name)

    def _answered(self, name: str, answer: Answer) -> Answered:
        own = getattr(self, answer.__name__)

        async def answered(request: Request) -> Response:
            try:
                response: Response = await own(request)
            except Refused as refused:
                self._count_refusal(request, refused)
                response = _refusal(refused)
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception:  # the database, most likely; a traceback could quote what was sent
                self.counts.failures += 1
                response = _refusal(unavailable("the relay has a problem of its own"))
            self.counts.count(name, response.status_code)
            return response

        return answered

    def _count_refusal(self, request: Request, refused: Refused) -> None:
        if refused.status in (400, 401, 403, 404, 410, 413, 422):
            self._refusals.take(_address(request), self._mono())

    @asynccontextmanager
    async def _living(self, app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        self.committer.start()

        def hear(changed: Mapping[bytes, int]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.bells.ring, changed)

        listening = loop.run_in_executor(None, self.storage.listen, hear)
        purging = asyncio.create_task(self._purge())
        try:
            yield
        finally:
            self.stop_waiting()
            purging.cancel()
            await self.committer.stop()
            self._threads.shutdown(wait=True)
            self.storage.close()
            await listening

    def drop_settled(self) -> int:
        """Remove the entries that a snapshot stands for which all members have seen; return how many."""
        storage, count = self.storage, 0
        for vault in storage.snapped():
            chain = checking.restored_chain(storage.members(vault))
            before = pruning.droppable(chain, storage.around_snapshots(vault), storage.newest(vault))
            count += storage.drop(vault, before) if before else 0
        return count

    async def _purge(self) -> None:
        while True:
            with suppress(Exception):  # the next hour brings another try
                await self._in_thread(self.storage.purge, self._now_ms() - self.limits.grace_days * _DAY_MS)
                await self._in_thread(self.drop_settled)
            await asyncio.sleep(_PURGE_SECONDS)


def _private(file: Path) -> BinaryIO:
    return open(file, "xb", opener=lambda path, flags: os.open(path, flags, 0o600))


def _rows(known: Known, parts: tuple[wire.Part, ...], new: frozenset[bytes]) -> tuple[Row, ...]:
    """Return the rows of a batch in its order, membership entries that are there already left out."""
    rows = []
    for part in parts:
        if part.kind == wire.ENTRY:
            rows.append(checking.checked_entry(known, part.data))
        elif part.data in new:
            rows.append(checking.member_row(part.data))
    return tuple(rows)


def _first_with(signed: wire.Signed, known: Known, after: Known) -> Known:
    """Return the membership in which the signer may sign: before the batch or, enrolled by it, behind it."""
    try:
        checking.signer_key(known, signed)
    except Refused:
        return after
    return known


def _read(read: Callable[[bytes], T], body: bytes) -> T:
    try:
        return read(body)
    except ValueError:
        raise malformed("the body is not of the form") from None


def _refusal(refused: Refused) -> Response:
    headers = {**_ALWAYS, wire.ERROR: refused.word, **refused.headers}
    if refused.body:
        return Response(refused.body, refused.status, headers, _BYTES)
    return JSONResponse({"error": refused.word, "message": refused.sentence}, refused.status, headers)


def _bytes(body: bytes, status: int = 200) -> Response:
    return Whole(body, status, _ALWAYS, _BYTES)


def _headers(request: Request) -> dict[str, str]:
    """Return the headers by their names in lower case; of several with one name the first."""
    told = reversed(request.scope["headers"])
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in told}


def _target(request: Request) -> str:
    """Return path and query as they came."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _vault(request: Request) -> str:
    vault: str = request.path_params["vault"]
    if not wire.is_hex(vault, 32):
        raise _no_vault()
    return vault


def _digest(request: Request) -> bytes:
    digest: str = request.path_params["digest"]
    if not wire.is_hex(digest, 64):
        raise malformed("a blob's name is the SHA-256 of its bytes, in hexadecimal")
    return bytes.fromhex(digest)


def _slot(request: Request) -> str:
    slot: str = request.path_params["slot"]
    if not wire.is_hex(slot, 32):
        raise _no_slot()
    return slot


def _etag(request: Request, header: str) -> str:
    return request.headers.get(header, "").strip().strip('"')


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise malformed(f"{name} is a number")
    return int(text)


def _length(request: Request, most: int) -> int:
    """Return the length the request announces, 0 if none; raises ``Refused`` if it is too large."""
    text = request.headers.get("content-length", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise malformed("a length that is none")
    if int(text) > most:
        raise _too_large()
    return int(text)


def _address(request: Request) -> str:
    """Return the address a request came from; of IPv6 the network, which one person may have as a whole."""
    return _network(request.client.host if request.client is not None else "")


@lru_cache(4096)
def _network(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


def _is_loopback(request: Request) -> bool:
    try:
        return ipaddress.ip_address(request.client.host if request.client is not None else "").is_loopback
    except ValueError:
        return False


def _weight(known: Known) -> int:
    return sum(map(len, (*known.chain, *known.lost.values()))) + 2048 * len(known.devices)


def _nothing() -> Refused:
    return Refused(404, "nothing-here", "there is nothing here")


def _no_vault() -> Refused:
    return Refused(404, "no-such-vault", "the relay has no such vault")


def _gone() -> Refused:
    return Refused(410, "deleted", "the vault was deleted by its root key")


def _no_slot() -> Refused:
    return Refused(404, "no-such-slot", "there is no such slot, or its time is over")


def _too_large() -> Refused:
    return Refused(413, "too-large", "the body is too large")
