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
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from vault.relay import answers, checking, metrics, pruning, reading
from vault.relay.admitting import Gate
from vault.relay.checking import Known
from vault.relay.direct import Answered, Front
from vault.relay.framing import framed
from vault.relay.grouping import LINGER_SECONDS, Committer
from vault.relay.living import living
from vault.relay.meeting import Meetings
from vault.relay.memberships import Memberships
from vault.relay.openapi import document
from vault.relay.quota import Limits
from vault.relay.receiving import Bodies
from vault.relay.refusals import Refused, full, gone, malformed, no_slot, nothing, unavailable
from vault.relay.rendezvous import MemorySlots, Slots
from vault.relay.storage import Append, Create, Delete, Keep, Outcome, Stale, State, Storage, Write
from vault.relay.threads import Threads
from vault.relay.waking import Bells
from vault.sync import wire

_ATTEMPTS = 8
_DAY_MS = 86_400_000

Answer = Callable[[Request], Awaitable[Response]]


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
        self.bells = Bells(self.limits.watchers)
        self.committer = Committer(storage, linger=linger)
        self.counts = metrics.Counts()
        self.threads = Threads()
        self.memberships = Memberships(storage, self.limits, self.threads)
        self.bodies = Bodies(self.limits, self.threads)
        self._clock, self._mono = clock, mono
        self._gate = Gate(self.limits, invite=invite, clock=clock, mono=mono)
        self._meetings = Meetings(
            self.slots,
            self.limits,
            look=self.slot_of,
            bells=self.bells,
            bodies=self.bodies,
            threads=self.threads,
            clock=clock,
            mono=mono,
            token=token,
        )

    def app(self) -> Starlette:
        """Return the ASGI application; it starts and stops the relay with itself."""
        vault, slot, meetings = "/v1/vaults/{vault}", "/v1/rendezvous/{slot}", self._meetings
        short = {
            ("POST", "entries"): self._framed("append", self.answer_append),
            ("GET", "entries"): self._framed("page", self.answer_page),
            ("GET", "heads"): self._framed("heads", self.answer_heads),
            ("GET", "watch"): self._framed("watch", self.answer_watch),
        }
        routes = [
            self._route("/v1/vaults", "POST", "create", self.answer_create),
            *(Route(f"{vault}/{word}", one, methods=[method]) for (method, word), one in short.items()),
            self._route(f"{vault}/blobs/{{digest}}", "PUT", "put_blob", self.answer_put_blob),
            self._route(f"{vault}/blobs/{{digest}}", "GET", "blob", self.answer_blob),
            self._route("/v1/rendezvous", "POST", "open_slot", meetings.answer_open),
            self._route(slot, "GET", "slot", meetings.answer_read),
            self._route(slot, "PUT", "put_slot", meetings.answer_replace),
            self._route(slot, "DELETE", "burn_slot", meetings.answer_burn),
            self._route(vault, "DELETE", "delete", self.answer_delete),
            self._route("/v1/openapi.json", "GET", "openapi", self.answer_openapi),
            self._route("/health", "GET", "health", self.answer_health),
            self._route("/metrics", "GET", "metrics", self.answer_metrics),
        ]
        nowhere = self._framed("nothing", self.answer_nothing)

        async def not_found(request: Request, _: Exception) -> Response:
            return await nowhere(request)

        return Front(short=short, routes=routes, lifespan=self._living, exception_handlers={404: not_found})

    def stop_waiting(self) -> None:
        """Answer everybody who waits; a server calls it when it is told to stop."""
        self.bells.end()

    def drop_settled(self) -> int:
        """Remove the entries that a snapshot stands for which all members have seen; return how many."""
        storage, count = self.storage, 0
        for vault in storage.snapped():
            chain = checking.restored_chain(storage.members(vault))
            before = pruning.droppable(chain, storage.around_snapshots(vault), storage.newest(vault))
            count += storage.drop(vault, before) if before else 0
        return count

    async def answer_create(self, request: Request) -> Response:
        """1: keep a vault's membership chain; 200 if it is there, 201 if it is new."""
        signed = self._gate.signed(request)
        self._gate.check_vaults(request)
        body = await self.bodies.read(request, wire.MOST_CHAIN)
        chain = reading.parsed(wire.read_chain, body)
        sent = await self.threads.run(checking.read_known, chain, self.limits)
        self._gate.check(request, signed, sent, wire.digest_of(body))
        for _ in range(_ATTEMPTS):
            outcome, status = await self._created(request, signed, sent)
            if not isinstance(outcome, Stale):
                return answers.whole(wire.write_cursor(self._rung(sent.vault, outcome)), status)
        raise unavailable("the vault changes too fast")

    async def _created(self, request: Request, signed: wire.Signed, sent: Known) -> tuple[Outcome, int]:
        vault = bytes.fromhex(sent.vault)
        state = await self.threads.run(self.storage.state, vault)
        if state is not None and not state.deleted:
            known = await self.known(sent.vault, fresh=True)
            after, new = await self.threads.run(checking.joined, known, sent.chain[1:], self.limits)
            if not new:
                return state.arrival, 200
            self._gate.check_entries(sent.vault, len(new))
            checking.signer_key(after, signed)
            rows = tuple(map(checking.member_row, new))
            return await self.taken(Append(vault, known.newest, rows, self.limits.vault_bytes)), 200
        if state is not None:  # in its days of grace: whoever is a member there may have it back
            checking.signer_key(await self.memberships.read(vault), signed)
        self._gate.check_invite(request)
        rows = tuple(map(checking.member_row, sent.chain))
        outcome = await self.taken(Create(vault, rows, self._now_ms()))
        return outcome, 201 if state is None else 200

    async def answer_append(self, request: Request) -> Response:
        """2: keep entries, all or none; what is there already is taken as sent."""
        signed, vault = self._gate.signed(request), reading.vault(request)
        known = await self.known(vault)
        body = await self.bodies.read(request, wire.MOST_SINGLE)
        parts = reading.parsed(wire.read_batch, body)
        if not wire.fits(len(body), len(parts)):
            raise Refused(413, "too-large", "the batch is too large")
        digest, checked = wire.digest_of(body), False
        for _ in range(_ATTEMPTS):
            after, new = await self._joined(known, parts)
            signing = checking.first_with(signed, known, after)
            if not checked:
                self._gate.check(request, signed, signing, digest)
                self._gate.check_entries(vault, len(parts))
                checked = True
            checking.signer_key(signing, signed)
            rows = checking.batch_rows(after, parts, frozenset(new))
            outcome = await self.taken(Append(bytes.fromhex(vault), known.newest, rows, self.limits.vault_bytes))
            if not isinstance(outcome, Stale):
                cursor = self._rung(vault, outcome)
                if new:
                    self.memberships.remember(after)
                return answers.whole(wire.write_cursor(cursor))
            known = await self.known(vault, fresh=True)
        raise unavailable("the vault's list of devices changes too fast")

    async def answer_page(self, request: Request) -> Response:
        """3: hand out what came behind a cursor."""
        known = await self._asked(request)
        after = reading.number(request, "after", 0)
        limit = reading.number(request, "limit", wire.MOST_PAGE_ENTRIES)
        if not 1 <= limit <= wire.MOST_PAGE_ENTRIES:
            raise malformed("the limit is between 1 and 500")
        return answers.whole(wire.write_page(await self.page_of(known, after, limit)))

    async def answer_heads(self, request: Request) -> Response:
        """4: say what is here."""
        return answers.whole(wire.write_heads(await self.heads_of(await self._asked(request))))

    async def answer_watch(self, request: Request) -> Response:
        """5: answer as soon as the newest cursor is another than the one that is known, or after the time given."""
        signed, vault = self._gate.signed(request), reading.vault(request)
        after = reading.number(request, "after", 0)
        wait = reading.number(request, "wait", wire.MOST_WAIT)
        until, is_first = self._mono() + min(wait, wire.MOST_WAIT), True
        while True:
            with self.bells.heard(bytes.fromhex(vault)) as rung:  # before looking, so that nothing comes in between
                known, state = await self.memberships.now(vault)
                if is_first:
                    self._gate.check(request, signed, known, wire.digest_of(b""))
                checking.signer_key(known, signed)
                newest, is_first, left = state.arrival, False, until - self._mono()
                if newest == after and left > 0 and not self.bells.silent:
                    done, _ = await asyncio.wait([rung], timeout=left)
                    newest = rung.result() if done else after  # where nobody rang nothing has come
                    if done and newest <= after:
                        continue
            return answers.empty(204) if newest == after else answers.whole(wire.write_cursor(newest))

    async def answer_put_blob(self, request: Request) -> Response:
        """6: keep a blob under its hash."""
        digest = reading.digest(request)
        known = await self._asked(request, digest)
        vault = bytes.fromhex(known.vault)
        if await self.threads.run(self.storage.blob_size, vault, digest) is not None:
            return answers.empty(200)
        size = reading.length(request, wire.MOST_BLOB)
        state = await self._state(vault)
        if state.size + size > self.limits.vault_bytes:
            raise full()
        with self.storage.temporary() as file:
            received = await self.bodies.save(request, file, digest)
            await self.threads.run(self.storage.stage, vault, digest, file)
        outcome = await self.taken(Keep(vault, digest, received, self.limits.vault_bytes))
        if isinstance(outcome, Stale):
            raise gone()
        if isinstance(outcome, Refused):
            raise outcome
        return answers.empty(201)

    async def answer_blob(self, request: Request) -> Response:
        """6: hand out a blob, or only its size."""
        digest = reading.digest(request)
        known = await self._asked(request)
        found = await self.blob_of(known, digest)
        if found is None:
            raise Refused(404, "no-such-blob", "the vault has no such blob")
        size, steps = found
        headers = {**answers.ALWAYS, "content-length": str(size)}
        if request.method == "HEAD":
            return Response(headers=headers, media_type=answers.BYTES)
        return StreamingResponse(steps, headers=headers, media_type=answers.BYTES)

    async def answer_delete(self, request: Request) -> Response:
        """8: mark a vault as deleted; it is removed after the days of grace."""
        signed = self._gate.signed(request)
        if not signed.root:
            raise Refused(403, "not-the-root", "only the root key deletes a vault")
        known = await self._asked(request)
        outcome = await self.taken(Delete(bytes.fromhex(known.vault), self._now_ms()))
        if isinstance(outcome, Refused):
            raise outcome
        self.memberships.forget(known.vault)
        return answers.empty(204)

    async def answer_openapi(self, request: Request) -> Response:
        """The endpoints in OpenAPI's words."""
        return answers.shape(document())

    async def answer_health(self, request: Request) -> Response:
        """Whether the relay can read and write."""
        try:
            await self.threads.run(self.storage.check)
        except Exception:  # whatever it is, the answer is the same
            raise unavailable("the database does not answer") from None
        if not self.committer.is_alive or self.bells.silent:
            raise unavailable("the relay is ending")
        return answers.shape({"status": "ok"})

    async def answer_metrics(self, request: Request) -> Response:
        """Sums for Prometheus, without any id; only for the machine itself."""
        if not reading.is_local(request):
            raise nothing()
        text = metrics.page(self.counts, self.committer, self.bells.count)
        return Response(text, headers=answers.ALWAYS, media_type=metrics.MEDIA_TYPE)

    async def answer_nothing(self, request: Request) -> Response:
        """Anything else, among it what another version of Keyferry would have; a device is told that it is not here."""
        raise nothing()

    async def page_of(self, known: Known, after: int, limit: int) -> wire.Page:
        """Return what came behind the cursor."""
        vault = bytes.fromhex(known.vault)
        return await self.threads.run(self.storage.page, vault, after, limit, wire.MOST_PAGE_BYTES)

    async def heads_of(self, known: Known) -> wire.Heads:
        """Return the newest membership entry and each device's newest entry."""
        rows = await self.threads.run(self.storage.heads, bytes.fromhex(known.vault))
        devices = tuple(wire.Head(device.hex(), seq, newest) for device, seq, newest in rows)
        return wire.Heads(known.head, len(known.chain), devices)

    async def blob_of(self, known: Known, digest: bytes) -> tuple[int, Iterator[bytes]] | None:
        """Return size and bytes of a blob, or None."""
        vault = bytes.fromhex(known.vault)
        size = await self.threads.run(self.storage.blob_size, vault, digest)
        return None if size is None else (size, self.storage.blob(vault, digest))

    async def slot_of(self, slot: str) -> tuple[str, bytes]:
        """Return etag and content of a slot; raises ``Refused``."""
        found = await self.threads.run(self.slots.slot, slot)
        if found is None or found[1] <= self._clock():
            raise no_slot()
        return found[0], found[2]

    async def taken(self, write: Write) -> Outcome:
        """Store a write and return what came of it, when it is on the disk."""
        return await self.committer.submit(write)

    async def known(self, vault: str, *, fresh: bool = False) -> Known:
        """Return a vault's membership; ``fresh`` looks whether it is still the newest. Raises ``Refused``."""
        return await self.memberships.of(vault, fresh=fresh)

    async def _joined(self, known: Known, parts: tuple[wire.Part, ...]) -> tuple[Known, tuple[bytes, ...]]:
        entries = [part.data for part in parts if part.kind == wire.MEMBER]
        if not entries:
            return known, ()
        return await self.threads.run(checking.joined, known, entries, self.limits)

    async def _asked(self, request: Request, digest: bytes | None = None) -> Known:
        """Return the membership of the vault a signed request is about; without a digest its body is empty."""
        signed, vault = self._gate.signed(request), reading.vault(request)
        known = await self.known(vault, fresh=True)
        self._gate.check(request, signed, known, digest if digest is not None else wire.digest_of(b""))
        return known

    def _rung(self, vault: str, outcome: Outcome) -> int:
        """Wake those who watch the vault and return its cursor; raises what was refused."""
        if isinstance(outcome, Refused):
            raise outcome
        assert isinstance(outcome, int)  # noqa: S101
        self.bells.ring({bytes.fromhex(vault): outcome})
        return outcome

    async def _state(self, vault: bytes) -> State:
        state = await self.threads.run(self.storage.state, vault)
        if state is None or state.deleted:
            raise gone()
        return state

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _route(self, path: str, method: str, name: str, answer: Answer) -> Route:
        return Route(path, self._framed(name, answer), methods=[method], name=name)

    def _framed(self, name: str, answer: Answer) -> Answered:
        return framed(name, answer, self.counts, self._gate)

    def _living(self, app: Starlette) -> AbstractAsyncContextManager[None]:
        return living(self.storage, self.committer, self.bells, self.threads, self._clear)

    def _clear(self) -> None:
        self.storage.purge(self._now_ms() - self.limits.grace_days * _DAY_MS)
        self.drop_settled()
