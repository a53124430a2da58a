"""A relay inside the test's own process: devices that sign, chains, entries, and calls without a network."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vault import listmaking, membership
from vault.device import Device, new_device
from vault.kit import Kit, new_kit
from vault.relay.app import Relay
from vault.relay.quota import Limits
from vault.relay.sqlite import SqliteStorage
from vault.relay.storage import Storage
from vault.sync import entry, wire

AT = "2026-11-23T00:00:00Z"
NOW = 1_795_000_000.0
LAPTOP, PHONE, TABLET, STRANGER = (new_device() for _ in range(4))
KIT, OTHER_KIT = new_kit(), new_kit()
_nonces = (number.to_bytes(16, "big") for number in itertools.count(1))


class Clock:
    """A clock that only tests move."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Answer:
    """What a relay answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def word(self) -> str:
        """Why it refused."""
        return self.headers.get("keyferry-error", "")


def chain_of(*devices: Device, kit: Kit = KIT) -> list[bytes]:
    """Return the chain of a vault with these devices; the first enrols the others."""
    first, *others = devices
    chain = [listmaking.genesis(kit.root, first, name="", now=AT)]
    for one in others:
        chain.append(listmaking.enrol(chain, one, name="", by=first.signer, now=AT))
    return chain


@dataclass
class Log:
    """The log of one device of one vault, longer by each entry it writes."""

    vault: str
    device: Device
    chain: Sequence[bytes]
    entries: list[bytes] = field(default_factory=list)

    def write(
        self,
        content: bytes = b"{}",
        *,
        membership_head: bytes = b"",
        kind: bytes = b"op",
        seen: Mapping[str, entry.Head] = MappingProxyType({}),
    ) -> bytes:
        """Return the next entry."""
        last = self.entries[-1] if self.entries else None
        made = entry.seal(
            self.device,
            vault=self.vault,
            suite=entry.CLASSIC,
            epoch=0,
            key=b"k" * 32,
            head=entry.Head(len(self.entries), entry.hash_of(last)) if last else None,
            membership=membership_head or membership.head_of(self.chain),
            seen=seen,
            hlc=int(NOW * 1000) << 16,
            kind=kind,
            content=content,
        )
        self.entries.append(made)
        return made

    @property
    def head(self) -> dict[str, entry.Head]:
        """How far it goes, as others see it."""
        return {self.device.device_id: entry.Head(len(self.entries), entry.hash_of(self.entries[-1]))}

    def parts(self, count: int) -> list[wire.Part]:
        """Return the next entries as parts of a batch."""
        return [wire.Part(wire.ENTRY, self.write(str(number).encode())) for number in range(count)]


def log_of(chain: Sequence[bytes], device: Device) -> Log:
    """Return an empty log."""
    return Log(membership.vault_id_of(chain), device, chain)


class Caller:
    """Calls a relay's application directly and signs what it sends."""

    def __init__(self, relay: Relay, clock: Clock, address: str = "203.0.113.7") -> None:
        self.relay, self.clock, self.address = relay, clock, address
        self._runner = asyncio.Runner()

    @cached_property
    def _app(self) -> Any:
        return self.relay.app()

    def open(self) -> None:
        self._living = self._app.router.lifespan_context(self._app)
        self.run(self._living.__aenter__())

    def close(self) -> None:
        self.run(self._living.__aexit__(None, None, None))
        self._runner.close()

    def run(self, what: Any) -> Any:
        """Run a coroutine in the relay's loop."""
        return self._runner.run(what)

    def call(self, *given: Any, **named: Any) -> Answer:
        """As ``acall``."""
        answer: Answer = self.run(self.acall(*given, **named))
        return answer

    async def acall(
        self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request and return the answer."""
        path, _, query = target.partition("?")
        sent = {"host": "relay", **({"content-length": str(len(body))} if body else {}), **(headers or {})}
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "client": (self.address, 1),
            "server": ("relay", 443),
        }
        coming = iter([{"type": "http.request", "body": body, "more_body": False}])
        got: list[dict[str, Any]] = []

        async def receive() -> Any:
            step = next(coming, None)
            if step is None:
                await asyncio.Event().wait()
            return step

        async def send(message: Any) -> None:
            got.append(message)

        await self._app(scope, receive, send)
        start = got[0]
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], told, b"".join(one.get("body", b"") for one in got[1:]))

    def headers(
        self, who: Device | Kit, method: str, target: str, body: bytes = b"", digest: bytes | None = None
    ) -> dict[str, str]:
        """Return the headers of a request that this device or kit signs."""
        own = isinstance(who, Device)
        return wire.sign_request(
            who.ed25519 if isinstance(who, Device) else who.root.ed25519,
            method,
            target,
            digest or wire.digest_of(body),
            device_id=who.device_id if own else "",
            now_ms=int(self.clock() * 1000),
            nonce=next(_nonces),
        )

    def signed(self, who: Device | Kit, method: str, target: str, body: bytes = b"", **more: str) -> Answer:
        """Send a signed request; further headers by keyword."""
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return self.call(method, target, body, {**self.headers(who, method, target, body), **named})

    def create(self, chain: Sequence[bytes], who: Device | Kit, **more: str) -> Answer:
        """Bring a chain."""
        return self.signed(who, "POST", "/v1/vaults", wire.write_chain(chain), **more)

    def append(self, who: Device | Kit, vault: str, *parts: wire.Part) -> Answer:
        """Bring a batch."""
        return self.signed(who, "POST", f"/v1/vaults/{vault}/entries", wire.write_batch(parts))

    def page(self, who: Device | Kit, vault: str, after: int = 0, limit: int = 500) -> wire.Page:
        """Return a page."""
        answer = self.signed(who, "GET", f"/v1/vaults/{vault}/entries?after={after}&limit={limit}")
        assert answer.status == 200, answer
        return wire.read_page(answer.body)

    def heads(self, who: Device | Kit, vault: str) -> wire.Heads:
        """Return the heads."""
        answer = self.signed(who, "GET", f"/v1/vaults/{vault}/heads")
        assert answer.status == 200, answer
        return wire.read_heads(answer.body)


@contextmanager
def running(
    folder: Path,
    *,
    storage: Storage | None = None,
    limits: Limits | None = None,
    invite: str = "",
    clock: Clock | None = None,
    kind: type[Relay] = Relay,
    **more: Any,
) -> Iterator[Caller]:
    """Give a caller of a relay that lives as long as the block; on a database in the folder if no other is given."""
    clock = clock or Clock()
    kept = storage or SqliteStorage(folder / "relay.db")
    mono = more.pop("mono", clock)
    relay = kind(kept, limits=limits, invite=invite, clock=clock, mono=mono, linger=0, **more)
    caller = Caller(relay, clock)
    caller.open()
    try:
        yield caller
    finally:
        caller.close()


def member(data: bytes) -> wire.Part:
    """Return a membership entry as part of a batch."""
    return wire.Part(wire.MEMBER, data)
