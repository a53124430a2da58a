"""Runs a relay: its database, its address, its certificate, and a server that ends when it is asked to."""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import uvicorn

from vault.errors import CannotRead, UsageError
from vault.relay import tls
from vault.relay.app import Relay
from vault.relay.protocol import PatientProtocol
from vault.relay.quota import Limits
from vault.relay.rendezvous import MemorySlots, Slots
from vault.relay.storage import Storage

SELF_SIGNED, OFF = "self-signed", "off"
_GRACE_SECONDS = 30
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 4096
_GARBAGE = 20_000  # objects between two searches for garbage in cycles, of which requests leave hardly any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a relay listens, and how it speaks: ``pin`` only for its own certificate."""

    socket: socket.socket
    url: str
    pin: str = ""
    context: ssl.SSLContext | None = None


def open_relay(db: str, *, limits: Limits | None = None, invite: str = "", kind: type[Relay] = Relay) -> Relay:
    """Return a relay over the database of a path or a ``postgresql://`` URL; ``kind`` may be a subclass.

    Raises ``UsageError``, ``CannotWrite``, ``DiskFull``, ``DamagedVault``, ``VaultBusy``.
    """
    storage, slots = _opened(db)
    return kind(storage, slots=slots, limits=limits, invite=invite)


def listen(address: str, how: str, folder: Path, now: datetime) -> Place:
    """Take the address and make ready what ``how`` says: ``self-signed``, ``CERT,KEY`` or ``off``.

    Raises ``UsageError``, ``CannotRead``, ``CannotWrite``.
    """
    host, port = _read_address(address)
    if how == OFF and not _is_loopback(host):
        raise UsageError(
            "without TLS a relay listens on this machine only", hint="--listen 127.0.0.1:PORT, behind a proxy"
        )
    pin, context = "", None
    if how == SELF_SIGNED:
        certificate, key = tls.own_certificate(folder, host, now)
        pin, context = tls.pin_of(certificate), tls.context(certificate, key)
    elif how != OFF:
        context = tls.context(*_pair(how))
    taken = _bound(host, port)
    named = f"[{host}]" if ":" in host else host
    scheme = "http" if context is None else "https"
    return Place(taken, f"{scheme}://{named}:{taken.getsockname()[1]}", pin, context)


def serve(relay: Relay, place: Place, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT; whoever is waiting is answered, and what was begun is finished."""
    server = Server(relay, place, started)
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: server.end())
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    _take_all_files()
    server.run(sockets=[place.socket])


class Server(uvicorn.Server):
    """A server of one relay that says when it takes requests and lets nobody wait when it ends."""

    def __init__(self, relay: Relay, place: Place, started: Callable[[], None] = lambda: None) -> None:
        context = place.context
        config = uvicorn.Config(
            relay.app(),
            http=PatientProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=context is None,
            forwarded_allow_ips=["127.0.0.1", "::1"],
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_context_factory=None if context is None else lambda *_: context,
        )
        super().__init__(config)
        self._relay = relay
        self._started = started

    def end(self) -> None:
        """Finish what was begun, then end."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so."""
        await super().startup(sockets)
        self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer those who wait, then end."""
        self._relay.stop_waiting()
        await super().shutdown(sockets)


def _take_all_files() -> None:
    """Allow as many open files as the system lets this process have: each device that waits is one of them."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _opened(db: str) -> tuple[Storage, Slots]:
    scheme, colon, _ = db.partition("://")
    if not colon:
        from vault.relay.sqlite import SqliteStorage

        return SqliteStorage(Path(db)), MemorySlots()
    if scheme not in ("postgresql", "postgres"):
        raise UsageError("--db is a path or begins with postgresql://")
    from vault.relay.postgres import PostgresStorage

    made = PostgresStorage(db)
    return made, made


def _read_address(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError("--listen is HOST:PORT", hint="for example 127.0.0.1:8443")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pair(how: str) -> tuple[Path, Path]:
    try:
        return tls.read_pair(how)
    except ValueError:
        raise UsageError("--tls is self-signed, CERT,KEY or off") from None


def _bound(host: str, port: int) -> socket.socket:
    try:
        (family, kind, number, _, where), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        made = socket.socket(family, kind, number)
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
    except OSError as error:
        reason = (error.strerror or "refused").lower()
        raise CannotRead(
            f"cannot listen on {host}:{port}: {reason}", hint="name another address with --listen"
        ) from None
    return made
