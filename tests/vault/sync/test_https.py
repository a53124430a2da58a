"""Of an answer no more is read than an answer can be, and it is taken as it came."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from vault.errors import RelayMisbehaves
from vault.sync import https

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"


@contextmanager
def answering(*pieces: bytes, pause: float = 0.0, ends: bool = True) -> Iterator[str]:
    """Give the address of a server that answers the first request with these pieces, the last for ever if asked to."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(65536)
                try:
                    for piece in pieces:
                        line.sendall(piece)
                    while not ends:
                        line.sendall(pieces[-1])
                        time.sleep(pause)
                except OSError:
                    return

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def ask(origin: str) -> https.Answer:
    http = https.Http(origin, "")
    try:
        return https.send(http, origin, "GET", "/", b"", {})
    finally:
        http.close()


def test_an_answer_comes_whole() -> None:
    body = b"x" * 300_000
    with answering(HEAD, b"content-length: 300000\r\n\r\n", body) as origin:
        answer = ask(origin)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == "application/octet-stream"


def test_an_answer_without_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "_MOST_BYTES", 1 << 20)
    with (
        answering(HEAD, b"\r\n", b"x" * 65_536, ends=False) as origin,
        pytest.raises(RelayMisbehaves, match="an answer that does not end"),
    ):
        ask(origin)


def test_an_answer_that_comes_drop_by_drop_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(https, "_LONGEST", 0.5)
    with (
        answering(HEAD, b"\r\n", b"x", pause=0.01, ends=False) as origin,
        pytest.raises(RelayMisbehaves, match="an answer that does not end"),
    ):
        ask(origin)


def test_nothing_is_unpacked() -> None:
    packed = gzip.compress(bytes(50_000_000))
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    with answering(head, packed) as origin:
        assert ask(origin).content == packed
