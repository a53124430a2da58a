"""How much a relay of one worker takes: ``python -m benchmarks.relay_load [--postgres | --db postgresql://...]``.

The relay is a process of its own (what ``keyferry relay serve`` runs, with a higher rate per vault), on SQLite with
synchronous FULL if no other database is named, or on a new PostgreSQL cluster. All requests are signed beforehand;
several connections send them without a pause between an answer and the next request. *single* appends bring one entry
each, each of them durable before it is answered; *batched* ones bring entries of one hundred changes, forty to a
request. The relay cannot count changes, which are sealed: the figure is what was packed. Load and relay share the
machine, so the processor time of the relay alone is told as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import uvloop

from vault import membership
from vault.device import Device, new_device
from vault.kit import new_kit
from vault.sync import entry, wire

CHANGES, ENTRIES = 100, 40
_AT = "2026-11-23T00:00:00Z"
_EDIT = b'["item","0123456789abcdef0123456789abcdef",117637120000000000,{"title":"A new title"},[]]'
_SERVER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from vault.relay import serving
from vault.relay.quota import Limits

limits = Limits(requests=10**9, entries=10**9, vaults=10**9, refusals=10**9)
folder = Path(sys.argv[2])
place = serving.listen("127.0.0.1:0", sys.argv[3], folder, datetime.now(UTC))
serving.serve(serving.open_relay(sys.argv[1], limits=limits), place, lambda: print(place.url, flush=True))
"""


@dataclass(frozen=True, slots=True)
class Vault:
    """A vault of the load, and its one device that writes."""

    chain: tuple[bytes, ...]
    device: Device

    @property
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay_load")
    parser.add_argument("--db", help="postgresql://..., else SQLite in a new folder")
    parser.add_argument("--postgres", action="store_true", help="in a new cluster of the installed PostgreSQL")
    parser.add_argument("--vaults", type=int, default=100)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--appends", type=int, default=10_000)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--http", action="store_true", help="without TLS, as behind a proxy")
    args = parser.parse_args()
    vaults = _vaults(args.vaults)
    with tempfile.TemporaryDirectory(prefix="keyferry-load-") as folder, ExitStack() as ends:
        db = args.db or str(Path(folder) / "relay.db")
        if args.postgres:
            from tests.real.relaying import postgres

            Path(folder).chmod(0o755)  # the server runs as a user of its own
            db = ends.enter_context(postgres(Path(folder) / "cluster")).url
        print(
            f"{'postgresql' if '://' in db else 'sqlite, synchronous FULL'}, {'http' if args.http else 'TLS 1.3'}, "
            f"{args.vaults} vaults, {args.connections} connections, {os.cpu_count()} processors shared with the load"
        )
        url, process = ends.enter_context(_relay(db, Path(folder), "off" if args.http else "self-signed"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_measure(url, process, vaults, args))


async def _measure(url: str, process: subprocess.Popen[str], vaults: Sequence[Vault], args: argparse.Namespace) -> None:
    await _run(url, [_request("POST", "/v1/vaults", wire.write_chain(one.chain), one.device) for one in vaults], 8)
    single = list(_appends(vaults, args.appends, entries=1, content=_EDIT))
    spent = _processor_seconds(process)
    found = await _run(url, single, args.connections)
    spent = _processor_seconds(process) - spent
    print(
        f"single appends   {found.answers / found.seconds:8,.0f}/s   p50 {found.of(0.5):6.1f} ms  "
        f"p99 {found.of(0.99):6.1f} ms   {spent / found.answers * 1e6:4.0f} us of the relay's processor each: "
        f"{found.answers / spent:,.0f}/s of a whole one"
    )
    batched = list(_appends(vaults, args.batches, entries=ENTRIES, content=_EDIT * CHANGES, first=len(single)))
    size = sum(map(len, batched)) / len(batched)
    found = await _run(url, batched, min(8, args.connections))
    rate = found.answers / found.seconds
    print(
        f"batched          {rate * ENTRIES:8,.0f} entries/s = {rate * ENTRIES * CHANGES:9,.0f} changes/s   "
        f"{rate * size / 1e6:5.1f} MB/s in batches of {size / 1e3:,.0f} kB   p99 {found.of(0.99):6.1f} ms"
    )


def _vaults(count: int) -> list[Vault]:
    kit = new_kit()
    devices = [new_device() for _ in range(4)]
    found = []
    for number, device in zip(range(count), cycle(devices), strict=False):
        at = f"2026-11-{1 + number // 1440 % 28:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        found.append(Vault((membership.genesis(kit.root, device, name=secrets.token_hex(4), now=at),), device))
    return found


_heads: dict[str, entry.Head] = {}


def _appends(vaults: Sequence[Vault], count: int, *, entries: int, content: bytes, first: int = 0) -> Iterator[bytes]:
    """Yield requests that bring entries, each vault in turn, so that its own come in order."""
    for vault, _ in zip(cycle(vaults), range(count), strict=False):
        parts = []
        for _ in range(entries):
            made = entry.seal(
                vault.device,
                vault=vault.id,
                suite=entry.CLASSIC,
                epoch=0,
                key=b"k" * 32,
                head=_heads.get(vault.id),
                membership=membership.head_of(vault.chain),
                seen={},
                hlc=0,
                kind=b"op",
                content=content,
            )
            before = _heads.get(vault.id)
            _heads[vault.id] = entry.Head(before.seq + 1 if before else 1, entry.hash_of(made))
            parts.append(wire.Part(wire.ENTRY, made))
        yield _request("POST", f"/v1/vaults/{vault.id}/entries", wire.write_batch(parts), vault.device)


def _request(method: str, target: str, body: bytes, device: Device) -> bytes:
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


async def _run(url: str, requests: Sequence[bytes], connections: int) -> Figures:
    """Send the requests, those of one connection one after another; a vault keeps to its connection."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition(":")
    context = None
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
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
    opened = [await asyncio.open_connection(host, int(port), ssl=context) for _ in shared]
    started = time.perf_counter()
    await asyncio.gather(*(_lane(*pair, lane, delays) for pair, lane in zip(opened, shared, strict=True)))
    seconds = time.perf_counter() - started
    for _, writer in opened:
        writer.close()
    return Figures(len(delays), seconds, delays)


async def _lane(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Sequence[bytes], delays: list[float]
) -> None:
    for one in requests:
        sent = time.perf_counter()
        writer.write(one)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        body = await reader.readexactly(length)
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise SystemExit(f"refused: {head[:200]!r} {body[:200]!r}")
        delays.append(time.perf_counter() - sent)


@contextmanager
def _relay(db: str, folder: Path, tls: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    call = [sys.executable, "-c", _SERVER, db, str(folder), tls]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.terminate()
        process.wait(30)


def _processor_seconds(process: subprocess.Popen[str]) -> float:
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
