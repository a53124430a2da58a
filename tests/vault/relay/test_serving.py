"""A relay in a thread of the test: real TLS, and an end that waits for nobody."""

from __future__ import annotations

import http.client
import ssl
import threading
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
    place = listen("127.0.0.1:0", SELF_SIGNED, tmp_path, NOW)
    begun = threading.Event()
    server = Server(relay, place, begun.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place.socket]})
    thread.start()
    assert begun.wait(30)
    context = ssl.create_default_context(cafile=str(tmp_path / "tls-certificate.pem"))
    line = http.client.HTTPSConnection("127.0.0.1", int(place.url.rpartition(":")[2]), context=context)
    line.request("GET", "/health")
    assert line.getresponse().status == 200
    server.end()
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(relay, Other)


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
