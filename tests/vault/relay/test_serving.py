"""A relay in a thread of the test: real TLS, and an end that waits for nobody."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from vault.errors import UsageError
from vault.relay.app import Relay
from vault.relay.serving import OFF, SELF_SIGNED, Server, _read_address, listen, open_relay

NOW = datetime.now(UTC)


def test_a_subclass_is_served_from_a_thread(tmp_path: Path) -> None:
    """As the tests of misbehaving relays do it."""

    class Other(Relay):
        pass

    relay = open_relay(str(tmp_path / "relay.db"), kind=Other)
    assert isinstance(relay, Other)
    with served(relay, tmp_path) as (server, port):
        context = ssl.create_default_context(cafile=str(tmp_path / "tls-certificate.pem"))
        line = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        line.request("GET", "/health")
        assert line.getresponse().read() == b'{"status":"ok"}'
        server.end()  # though the line stays open


def test_a_head_without_an_end_is_cut_off(tmp_path: Path) -> None:
    with (
        served(open_relay(str(tmp_path / "relay.db")), tmp_path, OFF) as (_, port),
        socket.create_connection(("127.0.0.1", port)) as line,
    ):
        assert is_cut_off(line)


@contextmanager
def served(relay: Relay, folder: Path, how: str = SELF_SIGNED) -> Iterator[tuple[Server, int]]:
    """Give a server in a thread, which has ended soon after the block."""
    place = listen("127.0.0.1:0", how, folder, NOW)
    begun = threading.Event()
    server = Server(relay, place, begun.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place.socket]}, daemon=True)
    thread.start()
    assert begun.wait(30)
    try:
        yield server, place.socket.getsockname()[1]
    finally:
        server.end()
        thread.join(20)
    assert not thread.is_alive()


def is_cut_off(sock: socket.socket) -> bool:
    """Send a head that goes on and on; tell whether the other side ends it."""
    sock.settimeout(10)
    try:
        sock.sendall(b"GET /health HTTP/1.1\r\n")
        for number in range(100):
            sock.sendall(f"x-{number}: {'x' * 2000}\r\n".encode())
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", ":x", "127.0.0.1:70000", "127.0.0.1:-1"])
def test_an_address_is_host_and_port(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError):
        listen(address, OFF, tmp_path, NOW)


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "relay.example:0", ":0"])
def test_without_tls_only_this_machine_is_heard(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError):
        listen(address, OFF, tmp_path, NOW)


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    assert _read_address("[::1]:8443") == ("::1", 8443)
    assert _read_address("localhost:0") == ("localhost", 0)
