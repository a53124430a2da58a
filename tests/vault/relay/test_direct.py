"""Whole or in pieces, alone or one behind another: a request is answered as if there were no short way."""

from __future__ import annotations

import itertools
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pytest

from tests.vault.relay.calling import LAPTOP, PHONE, Log, chain_of, log_of
from tests.vault.relay.test_serving import served
from vault import membership
from vault.relay.serving import OFF, SELF_SIGNED, open_relay
from vault.sync import entry, wire

CHAIN = chain_of(LAPTOP, PHONE)
VAULT = membership.vault_id_of(CHAIN)
HEADS, ENTRIES = f"/v1/vaults/{VAULT}/heads", f"/v1/vaults/{VAULT}/entries"


@dataclass(frozen=True)
class Said:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Line:
    """A connection on which bytes are sent as a test likes."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._file = cast(BinaryIO, self.socket.makefile("rb"))

    def send(self, *pieces: bytes, pause: float = 0.0) -> None:
        for piece in pieces:
            self.socket.sendall(piece)
            time.sleep(pause)

    def hear(self, *, to_head: bool = False) -> Said:
        status = int(self._file.readline().split(b" ")[1])
        lines = itertools.takewhile(bool, (self._file.readline().strip().decode() for _ in itertools.count()))
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if to_head or status in (100, 204) else int(headers["content-length"])
        return Said(status, headers, self._file.read(length))

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes; waits for it."""
        return self._file.read(1) == b""


def asking(
    method: str, target: str, body: bytes = b"", *, version: str = "1.1", chunked: bool = False, more: str = ""
) -> bytes:
    """Return the bytes of a request that the laptop signs."""
    headers = wire.sign_request(
        LAPTOP.ed25519,
        method,
        target,
        wire.digest_of(body),
        device_id=LAPTOP.device_id,
        now_ms=time.time_ns() // 1_000_000,
        nonce=secrets.token_bytes(16),
    )
    size = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
    lines = [f"{method} {target} HTTP/{version}", "host: relay", size, *([more] if more else [])]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with served(open_relay(str(tmp_path / "relay.db")), tmp_path, OFF) as (_, found):
        line = Line(found)
        line.send(asking("POST", "/v1/vaults", wire.write_chain(CHAIN)))
        assert line.hear().status == 201
        yield found


def batch(log: Log) -> bytes:
    return wire.write_batch(log.parts(1))


def shown(line: Line) -> dict[str, int]:
    line.send(asking("GET", HEADS))
    return {one.device_id: one.seq for one in wire.read_heads(line.hear().body).devices}


def test_in_pieces_of_any_size_an_entry_is_taken_as_whole(port: int) -> None:
    line, log = Line(port), log_of(CHAIN, LAPTOP)
    for size in (1_000_000, 700, 400, 100):
        data = asking("POST", ENTRIES, batch(log))
        line.send(*(data[at : at + size] for at in range(0, len(data), size)), pause=0.005)
        said = line.hear()
        assert (said.status, wire.read_cursor(said.body)) == (200, 2 + len(log.entries))
    line.send(asking("POST", ENTRIES, batch(log), chunked=True))
    assert line.hear().status == 200
    assert shown(line) == {LAPTOP.device_id: 5}


def test_requests_behind_one_another_are_answered_in_their_order(port: int) -> None:
    line, log = Line(port), log_of(CHAIN, LAPTOP)
    asked = [asking("POST", ENTRIES, batch(log)) for _ in range(3)]
    line.send(b"".join([asked[0], asking("GET", HEADS), asked[1], asking("GET", "/v1/nothing"), asked[2]]))
    said = [line.hear() for _ in range(5)]
    assert [one.status for one in said] == [200, 200, 200, 404, 200]
    assert [wire.read_cursor(said[at].body) for at in (0, 2, 4)] == [3, 4, 5]
    assert wire.read_heads(said[1].body).devices[0].seq == 1


@pytest.mark.parametrize(("version", "more"), [("1.0", ""), ("1.1", "connection: close")])
def test_who_wants_the_line_closed_has_it_closed_behind_the_whole_answer(port: int, version: str, more: str) -> None:
    line = Line(port)
    line.send(asking("GET", HEADS, version=version, more=more))
    said = line.hear()
    assert said.status == 200
    assert said.headers["connection"] == "close"
    assert wire.read_heads(said.body).height == 2
    assert line.is_over


def test_an_answer_without_a_body_is_followed_by_the_next(port: int) -> None:
    line = Line(port)
    line.send(asking("HEAD", HEADS))
    assert line.hear(to_head=True).status == 200
    line.send(asking("GET", f"/v1/vaults/{VAULT}/watch?after=2&wait=0"))
    assert line.hear().status == 204
    assert shown(line) == {}


def test_an_answer_tells_what_it_told_before(port: int) -> None:
    line = Line(port)
    line.send(asking("GET", HEADS))
    headers = line.hear().headers
    assert headers.keys() == {"date", "x-content-type-options", "cache-control", "content-length", "content-type"}
    assert headers["content-type"] == "application/octet-stream"
    assert headers["cache-control"] == "no-store"


def test_who_waits_for_a_word_before_the_body_gets_it(port: int) -> None:
    line, log = Line(port), log_of(CHAIN, LAPTOP)
    data = asking("POST", ENTRIES, batch(log), more="expect: 100-continue")
    head, end, body = data.partition(b"\r\n\r\n")
    line.send(head + end)
    assert line.hear().status == 100
    line.send(body)
    assert line.hear().status == 200


def test_too_large_a_body_is_refused_whole_or_not(port: int) -> None:
    huge = bytes(wire.MOST_SINGLE + 1)
    for chunked in (False, True):
        line = Line(port)
        line.send(asking("POST", ENTRIES, huge, chunked=chunked))
        assert (said := line.hear()).status == 413
        assert said.headers["keyferry-error"] == "too-large"


def test_an_entry_of_somebody_who_has_gone_is_there(port: int) -> None:
    log = log_of(CHAIN, LAPTOP)
    gone = Line(port)
    gone.send(asking("POST", ENTRIES, batch(log)))
    gone.socket.close()
    line = Line(port)
    until = time.monotonic() + 20
    while shown(line) != {LAPTOP.device_id: 1} and time.monotonic() < until:
        time.sleep(0.01)
    assert shown(line) == {LAPTOP.device_id: 1}


def test_a_large_answer_is_whole(port: int) -> None:
    line, log = Line(port), log_of(CHAIN, LAPTOP)
    for _ in range(4):
        line.send(asking("POST", ENTRIES, wire.write_batch([wire.Part(wire.ENTRY, log.write(b"x" * 900_000))])))
        assert line.hear().status == 200
    line.send(asking("GET", f"{ENTRIES}?after=2&limit=500"), asking("GET", HEADS))
    page = wire.read_page(line.hear().body)
    assert [entry.hash_of(one.data) for one in page.entries] == [entry.hash_of(one) for one in log.entries[:4]]
    assert line.hear().status == 200


def test_the_short_way_is_the_same_over_tls(tmp_path: Path) -> None:
    import http.client
    import ssl

    with served(open_relay(str(tmp_path / "relay.db")), tmp_path, SELF_SIGNED) as (_, port):
        context = ssl.create_default_context(cafile=str(tmp_path / "tls-certificate.pem"))
        line = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        for _ in range(3):
            line.request("GET", HEADS)
            answer = line.getresponse()
            assert (answer.status, answer.headers["keyferry-error"]) == (401, "unsigned")
            answer.read()
