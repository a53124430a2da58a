"""How much a relay of one worker takes: ``python -m benchmarks.relay_load [--postgres | --db postgresql://...]``.

The relay is a process of its own (what ``keyferry relay serve`` runs, with a higher rate per vault), on SQLite with
synchronous FULL if no other database is named, or on a new PostgreSQL cluster. All requests are signed beforehand;
several connections send them without a pause between an answer and the next request. *single* appends bring one entry
each, each of them durable before it is answered; *batched* ones bring entries of one hundred changes, forty to a
request. The relay cannot count changes, which are sealed: the figure is what was packed. *sustained* appends come at
200 a second from the devices of 1,000 vaults with five each, on time; making these vaults takes half a minute. Load and
relay share the machine, so the processor time of the relay alone is told as well.

With ``--workers`` several relays serve one PostgreSQL database, and the sustained load goes to all of them. With
``--watchers`` so many devices of other vaults wait for news meanwhile, each on a connection of its own that asks again
every 25 seconds; the whole goal is ``--postgres --http --workers 2 --steady-vaults 10000 --rate 2000 --watchers 20000
--seconds 60 --appends 0``, and takes ten minutes of making vaults before.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle
from pathlib import Path

import uvloop

from benchmarks import loading, steady, watching
from benchmarks.loading import Vault
from vault import listmaking
from vault.device import new_device
from vault.kit import new_kit
from vault.sync import wire

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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay_load")
    parser.add_argument("--db", help="postgresql://..., else SQLite in a new folder")
    parser.add_argument("--postgres", action="store_true", help="in a new cluster of the installed PostgreSQL")
    parser.add_argument("--vaults", type=int, default=100)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--appends", type=int, default=10_000)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20, help="of the sustained load; 0 leaves it out")
    parser.add_argument("--rate", type=float, default=200, help="of the sustained load, appends a second")
    parser.add_argument("--steady-vaults", type=int, default=1000, help="of the sustained load")
    parser.add_argument("--workers", type=int, default=1, help="relays on the database, for the sustained load")
    parser.add_argument("--watchers", type=int, default=0, help="devices that wait during the sustained load")
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
        how = "off" if args.http else "self-signed"
        relays = [ends.enter_context(_relay(db, Path(folder), how)) for _ in range(args.workers)]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if args.appends:
                runner.run(_measure(*relays[0], vaults, args))
            if args.seconds:
                runner.run(_sustained(relays, args))


async def _measure(url: str, process: subprocess.Popen[str], vaults: Sequence[Vault], args: argparse.Namespace) -> None:
    await loading.run(url, list(map(loading.bringing, vaults)), 8)
    single = list(loading.appends(vaults, args.appends, entries=1, content=_EDIT))
    spent = _processor_seconds(process)
    found = await loading.run(url, single, args.connections)
    spent = _processor_seconds(process) - spent
    print(
        f"single appends   {found.answers / found.seconds:8,.0f}/s   p50 {found.of(0.5):6.1f} ms  "
        f"p99 {found.of(0.99):6.1f} ms   {spent / found.answers * 1e6:4.0f} us of the relay's processor each: "
        f"{found.answers / spent:,.0f}/s of a whole one"
    )
    batched = list(loading.appends(vaults, args.batches, entries=ENTRIES, content=_EDIT * CHANGES))
    size = sum(map(len, batched)) / len(batched)
    found = await loading.run(url, batched, min(8, args.connections))
    rate = found.answers / found.seconds
    print(
        f"batched          {rate * ENTRIES:8,.0f} entries/s = {rate * ENTRIES * CHANGES:9,.0f} changes/s   "
        f"{rate * size / 1e6:5.1f} MB/s in batches of {size / 1e3:,.0f} kB   p99 {found.of(0.99):6.1f} ms"
    )


async def _sustained(relays: Sequence[tuple[str, subprocess.Popen[str]]], args: argparse.Namespace) -> None:
    urls, processes = [url for url, _ in relays], [process for _, process in relays]
    made = steady.vaults(args.steady_vaults)
    waiting = steady.vaults(-(-args.watchers // steady.DEVICES))
    await loading.run(urls[0], [loading.bringing(one[0]) for one in (*made, *waiting)], 8)
    for url in urls:  # no vault is new to any relay
        await loading.run(url, [loading.asking(one[0]) for one in made], 8)
    watch = await watching.begin(urls, [device for vault in waiting for device in vault][: args.watchers])
    if args.watchers:
        await asyncio.sleep(1.5 * wire.MOST_WAIT)  # until each waits for the second time
    count = int(args.rate * args.seconds)
    requests = list(loading.appends(steady.in_turn(made), count, entries=1, content=_EDIT))
    spent = sum(map(_processor_seconds, processes))
    found = await steady.run(urls, requests, args.rate)
    spent = sum(map(_processor_seconds, processes)) - spent
    print(
        f"sustained        {found.answers / found.seconds:8,.0f}/s   p50 {found.of(0.5):6.1f} ms  "
        f"p99 {found.of(0.99):6.1f} ms   {args.steady_vaults:,} vaults of {steady.DEVICES} devices, "
        f"{found.seconds:.0f} s, {spent / found.seconds:.0%} of a processor"
    )
    if args.watchers:
        told = ", ".join(f"{count:,} times {code}" for code, count in sorted(watch.answers.items()))
        print(
            f"watchers         {len(watch.transports) - watch.lost:,} of {args.watchers:,} connected to the end, "
            f"answered {told or 'nothing yet'}; the relays take {sum(map(_megabytes, processes)):,.0f} MB"
        )
    watch.end()


def _vaults(count: int) -> list[Vault]:
    kit = new_kit()
    devices = [new_device() for _ in range(4)]
    found = []
    for number, device in zip(range(count), cycle(devices), strict=False):
        at = f"2026-11-{1 + number // 1440 % 28:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        found.append(Vault((listmaking.genesis(kit.root, device, name=secrets.token_hex(4), now=at),), device))
    return found


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


def _megabytes(process: subprocess.Popen[str]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
