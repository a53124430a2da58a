"""A relay as people run it: a process, TLS 1.3, a certificate known by its pin; and a real PostgreSQL cluster."""

from __future__ import annotations

import hashlib
import http.client
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vault.device import Device
from vault.kit import Kit
from vault.sync import wire

ROOT = Path(__file__).resolve().parents[2]
KEYFERRY = [sys.executable, str(ROOT / "keyferry.py")]


@dataclass
class Process:
    """A relay that runs."""

    process: subprocess.Popen[str]
    url: str
    pin: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """End it without any warning."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def end(self) -> int:
        """Ask it to end and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def start(
    home: Path, *arguments: str, listen: str = "127.0.0.1:0", environment: Mapping[str, str] | None = None
) -> Process:
    """Start a relay and wait until it says where it listens."""
    call = [*KEYFERRY, "relay", "serve", "--home", str(home), "--listen", listen, *arguments]
    process = subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    if not line.startswith("listening on "):
        raise AssertionError(line + process.stderr.read())
    url = line.removeprefix("listening on ").strip()
    pin = process.stdout.readline().removeprefix("pin: ").strip() if url.startswith("https") else ""
    return Process(process, url, pin)


@contextmanager
def relay(home: Path, *arguments: str, listen: str = "127.0.0.1:0") -> Iterator[Process]:
    """Give a relay that ends with the block."""
    found = start(home, *arguments, listen=listen)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait(30)


class Line:
    """One connection to a relay, pinned."""

    def __init__(self, relay: Process, timeout: float = 60) -> None:
        if not relay.url.startswith("https"):
            self.http: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=timeout)
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        secure = http.client.HTTPSConnection("127.0.0.1", relay.port, context=context, timeout=timeout)
        secure.connect()
        assert pin_of(secure.sock) == relay.pin
        self.http = secure

    def call(
        self, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request and return status and body."""
        self.http.request(method, target, body or None, headers or {})
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def signed(self, who: Device | Kit, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a signed request."""
        return self.call(method, target, body, signature(who, method, target, body))

    def begin(self, who: Device, method: str, target: str, body: bytes, sent: int) -> None:
        """Send a signed request but for the end of its body."""
        self.http.putrequest(method, target)
        for name, value in signature(who, method, target, body).items():
            self.http.putheader(name, value)
        self.http.putheader("content-length", str(len(body)))
        self.http.endheaders(body[:sent])

    def create(self, chain: Sequence[bytes], who: Device | Kit) -> int:
        return self.signed(who, "POST", "/v1/vaults", wire.write_chain(chain))[0]

    def append(self, who: Device, vault: str, *parts: wire.Part) -> tuple[int, bytes]:
        return self.signed(who, "POST", f"/v1/vaults/{vault}/entries", wire.write_batch(parts))

    def page(self, who: Device, vault: str, after: int = 0) -> wire.Page:
        status, body = self.signed(who, "GET", f"/v1/vaults/{vault}/entries?after={after}")
        assert status == 200, (status, body)
        return wire.read_page(body)


def signature(who: Device | Kit, method: str, target: str, body: bytes) -> dict[str, str]:
    """Return the headers of a signed request."""
    return wire.sign_request(
        who.ed25519 if isinstance(who, Device) else who.root.ed25519,
        method,
        target,
        wire.digest_of(body),
        device_id=who.device_id if isinstance(who, Device) else "",
        now_ms=time.time_ns() // 1_000_000,
        nonce=secrets.token_bytes(16),
    )


def pin_of(sock: ssl.SSLSocket) -> str:
    """Return the pin of the other side's certificate."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate

    der = sock.getpeercert(binary_form=True)
    assert der is not None
    public = load_der_x509_certificate(der).public_key()
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def postgres_programs() -> Path | None:
    """Return the folder with initdb and postgres of the newest version installed, or None."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@dataclass
class Cluster:
    """A PostgreSQL server of our own."""

    url: str
    data: Path


@contextmanager
def postgres(folder: Path) -> Iterator[Cluster]:
    """Give a new cluster that ends with the block; the server never runs as root."""
    programs = postgres_programs()
    assert programs is not None
    folder.mkdir(parents=True, exist_ok=True)
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data = folder / "data"
    port = _free_port()
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}

    def run(*call: str) -> None:
        done = subprocess.run(
            call,
            capture_output=True,
            text=True,
            timeout=120,
            cwd="/",
            env=environment,
            **as_user,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stdout + done.stderr

    run(str(programs / "initdb"), "-D", str(data), "-U", "keyferry", "-A", "trust", "-E", "UTF8", "--no-locale")
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=60"
    run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-l", str(folder / "log"), "-o", settings, "start")
    try:
        yield Cluster(f"postgresql://keyferry@127.0.0.1:{port}/postgres", data)
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(data, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port
