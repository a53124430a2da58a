"""What loads a relay: vaults, signed requests made beforehand, and connections that send them."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import cycle

from vault import membership
from vault.device import Device
from vault.sync import entry, wire


@dataclass(frozen=True)
class Vault:
    """A vault of the load, and a device of it that writes."""

    chain: tuple[bytes, ...]
    device: Device

    @cached_property
    def id(self) -> str:
        """The vault's id."""
        return membership.vault_id_of(self.chain)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run came to."""

    answers: int
    seconds: float
    delays: list[float]

    def of(self, share: float) -> float:
        """Return the delay in milliseconds below which this share of the answers came."""
        return sorted(self.delays)[min(len(self.delays) - 1, int(share * len(self.delays)))] * 1000


_heads: dict[tuple[str, str], entry.Head] = {}


def appends(vaults: Sequence[Vault], count: int, *, entries: int, content: bytes) -> Iterator[bytes]:
    """Yield requests that bring entries, each device in turn, so that its own come in order."""
    for vault, _ in zip(cycle(vaults), range(count), strict=False):
        parts = [wire.Part(wire.ENTRY, _entry(vault, content)) for _ in range(entries)]
        yield request("POST", f"/v1/vaults/{vault.id}/entries", wire.write_batch(parts), vault.device)


def _entry(vault: Vault, content: bytes) -> bytes:
    key = (vault.id, vault.device.device_id)
    before = _heads.get(key)
    made = entry.seal(
        vault.device,
        vault=vault.id,
        suite=entry.CLASSIC,
        epoch=0,
        key=b"k" * 32,
        head=before,
        membership=membership.head_of(vault.chain),
        seen={},
        hlc=0,
        kind=b"op",
        content=content,
    )
    _heads[key] = entry.Head(before.seq + 1 if before else 1, entry.hash_of(made))
    return made


def bringing(vault: Vault) -> bytes:
    """Return the request that brings a vault."""
    return request("POST", "/v1/vaults", wire.write_chain(vault.chain), vault.device)


def asking(vault: Vault) -> bytes:
    """Return the request that asks what the relay has of a vault."""
    return request("GET", f"/v1/vaults/{vault.id}/heads", b"", vault.device)


def request(method: str, target: str, body: bytes, device: Device) -> bytes:
    """Return the bytes of a signed request."""
    headers = wire.sign_request(
        device.ed25519,
        method,
        target,
        wire.digest_of(body),
        device_id=device.device_id,
        now_ms=int(time.time() * 1000),
        nonce=secrets.token_bytes(16),
    )
    lines = [f"{method} {target} HTTP/1.1", "host: relay", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode() + body


class Connection:
    """A connection to the relay that asks one thing at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> None:
        """Send a request and wait for its answer, which must be a good one."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        body = await self._reader.readexactly(length)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise SystemExit(f"refused: {head[:200]!r} {body[:200]!r}")

    def close(self) -> None:
        """Close it."""
        self._writer.close()


def address(url: str) -> tuple[str, int, ssl.SSLContext | None]:
    """Return host, port, and how to speak TLS there if it is spoken."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition(":")
    return host, int(port), _context() if scheme == "https" else None


@cache
def _context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def opened(url: str, count: int) -> list[Connection]:
    """Return so many connections."""
    host, port, context = address(url)
    return [Connection(*await asyncio.open_connection(host, port, ssl=context)) for _ in range(count)]


async def run(url: str, requests: Sequence[bytes], connections: int) -> Figures:
    """Send the requests, those of one connection one after another; a vault keeps to its connection."""
    lanes: dict[bytes, list[bytes]] = {}
    for one in requests:
        lanes.setdefault(one.split(b" ", 2)[1], []).append(one)
    shared: list[list[bytes]] = [[] for _ in range(connections)]
    for number, lane in enumerate(lanes.values()):
        target = shared[number % connections] if len(lanes) > 1 else None
        if target is not None:
            target.extend(lane)
            continue
        for place, one in enumerate(lane):
            shared[place % connections].append(one)
    delays: list[float] = []
    lines = await opened(url, connections)
    started = time.perf_counter()
    await asyncio.gather(*(_lane(*pair, delays) for pair in zip(lines, shared, strict=True)))
    seconds = time.perf_counter() - started
    for line in lines:
        line.close()
    return Figures(len(delays), seconds, delays)


async def _lane(connection: Connection, requests: Sequence[bytes], delays: list[float]) -> None:
    for one in requests:
        sent = time.perf_counter()
        await connection.ask(one)
        delays.append(time.perf_counter() - sent)
