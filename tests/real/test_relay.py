"""A relay as a process: over TLS 1.3, killed in the middle of work, asked to end, and blind to what it keeps."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.real.relaying import KEYFERRY, ROOT, Line, Process, relay, start
from tests.vault.relay.calling import AT, LAPTOP, PHONE, chain_of, log_of, member
from vault import listmaking, membership
from vault.errors import RelayMisbehaves
from vault.identity import own_chain, own_device
from vault.keyholders import choose_holder
from vault.making import init_vault
from vault.relay import tls
from vault.sync import wire
from vault.sync.client import Client

CHAIN = chain_of(LAPTOP, PHONE)
VAULT = membership.vault_id_of(CHAIN)


def test_two_devices_meet_at_a_relay(tmp_path: Path) -> None:
    with relay(tmp_path) as found:
        laptop, phone = Line(found), Line(found)
        assert laptop.create(CHAIN, LAPTOP) == 201
        parts = log_of(CHAIN, LAPTOP).parts(5)
        assert laptop.append(LAPTOP, VAULT, *parts)[0] == 200
        assert [one.data for one in phone.page(PHONE, VAULT).entries] == [*CHAIN, *(one.data for one in parts)]


def test_the_pin_stays_over_a_restart_and_the_database_too(tmp_path: Path) -> None:
    with relay(tmp_path) as first:
        Line(first).create(CHAIN, LAPTOP)
    with relay(tmp_path) as second:
        assert second.pin == first.pin
        assert len(Line(second).page(PHONE, VAULT).entries) == 2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_older_tls_is_not_spoken(tmp_path: Path, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    with (
        relay(tmp_path) as found,
        socket.create_connection(("127.0.0.1", found.port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(plain)


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    """Two devices have requests under way, and the process is killed at a moment nobody chose."""
    found = start(tmp_path)
    Line(found).create(CHAIN, LAPTOP)
    logs = {LAPTOP: log_of(CHAIN, LAPTOP), PHONE: log_of(CHAIN, PHONE)}
    batches = {who: [log.parts(3) for _ in range(400)] for who, log in logs.items()}
    answered = {LAPTOP: 0, PHONE: 0}

    def write(who: object) -> None:
        line = Line(found)
        for batch in batches[who]:  # type: ignore[index]
            try:
                status, _ = line.append(who, VAULT, *batch)  # type: ignore[arg-type]
            except OSError:
                return
            except Exception as ended:  # http.client tells a cut answer in its own words
                assert "http.client" in type(ended).__module__
                return
            assert status == 200
            answered[who] += len(batch)  # type: ignore[index]

    threads = [threading.Thread(target=write, args=(who,)) for who in logs]
    for one in threads:
        one.start()
    while sum(answered.values()) < 150:
        time.sleep(0.001)
    found.kill()
    for one in threads:
        one.join()
    with relay(tmp_path) as again:
        line, read, after, more = Line(again), [], 0, True
        while more:
            page = line.page(LAPTOP, VAULT, after)
            read += [one.data for one in page.entries]
            after, more = page.cursor, page.more
        for who, log in logs.items():
            kept = [one for one in log.entries if one in set(read)]
            assert kept == log.entries[: len(kept)]
            assert len(kept) >= answered[who] > 0
            assert len(kept) % 3 == 0, "half a batch"
        for who in logs:
            for batch in batches[who]:
                assert line.append(who, VAULT, *batch)[0] == 200


def test_a_relay_that_is_told_to_end_answers_who_waits_and_what_came(tmp_path: Path) -> None:
    found = start(tmp_path)
    line = Line(found)
    line.create(CHAIN, LAPTOP)
    heard: list[tuple[int, bytes]] = []
    waiting = threading.Thread(
        target=lambda: heard.append(Line(found).signed(PHONE, "GET", f"/v1/vaults/{VAULT}/watch?after=2&wait=25"))
    )
    waiting.start()
    while "keyferry_relay_watchers 1\n" not in line.call("GET", "/metrics")[1].decode():
        time.sleep(0.01)
    begun = time.monotonic()
    code = found.end()
    waiting.join(10)
    assert (code, heard) == (0, [(204, b"")])
    assert time.monotonic() - begun < 10
    assert found.process.stdout is not None
    assert found.process.stdout.read() == "stopped\n"


def test_whoever_waits_is_woken_over_the_network(tmp_path: Path) -> None:
    with relay(tmp_path) as found:
        assert woken(found, found) == 3


def woken(writes: Process, waits: Process) -> int:
    """Write at one relay while somebody waits at another; return the cursor that wakes him."""
    line = Line(writes)
    line.create(CHAIN, LAPTOP)
    heard: list[tuple[int, bytes]] = []
    target = f"/v1/vaults/{VAULT}/watch?after=2&wait=25"
    waiting = threading.Thread(target=lambda: heard.append(Line(waits).signed(PHONE, "GET", target)))
    waiting.start()
    other = Line(waits)
    while "keyferry_relay_watchers 1\n" not in other.call("GET", "/metrics")[1].decode():
        time.sleep(0.01)
    begun = time.monotonic()
    assert line.append(LAPTOP, VAULT, *log_of(CHAIN, LAPTOP).parts(1))[0] == 200
    waiting.join(30)
    assert time.monotonic() - begun < 10
    ((status, body),) = heard
    assert status == 200
    return wire.read_cursor(body)


CANARIES = (b"canary-title-6b1f", b"canary-note-77aa", b"canary-host-name")


def fill_with_canaries(line: Line, home: Path, patch: pytest.MonkeyPatch) -> str:
    """Bring a relay a vault that was made on a machine whose name is a canary, and entries full of others."""
    patch.setattr("platform.node", lambda: CANARIES[2].decode())
    holder = choose_holder(home, key_file=home / "key")
    with init_vault(home, holder=holder) as store:
        chain, own = own_chain(store), own_device(store)
    vault = membership.vault_id_of(chain)
    assert line.create(chain, own) == 201
    log = log_of(chain, own)
    parts = [wire.Part(wire.ENTRY, log.write(b" ".join(CANARIES) * 10)) for _ in range(5)]
    assert line.append(own, vault, *parts)[0] == 200
    more = listmaking.enrol(chain, PHONE, name="", by=own.signer, now=AT)
    assert line.append(own, vault, member(more))[0] == 200
    return vault


def readable(folder: Path) -> list[tuple[Path, bytes]]:
    """Return where in the raw files of a folder a canary can be read, in one byte order or the other."""
    told = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes().lower()
            for canary in CANARIES:
                forms = (canary, canary.decode().encode("utf-16-le"), canary.hex().encode())
                told += [(path, canary) for form in forms if form in data]
    return told


def test_nothing_of_a_vault_can_be_read_in_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "relay"
    with relay(home) as found:
        vault = fill_with_canaries(Line(found), tmp_path / "vault", monkeypatch)
        assert readable(home) == []
    assert readable(home) == []
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert bytes.fromhex(vault) in kept, "the files that were read are those of the vault"
    (home / "control").write_bytes(b"\0" + CANARIES[0].upper())
    assert readable(home) == [(home / "control", CANARIES[0])]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--listen", "0.0.0.0:0", "--tls", "off"), 2, "without TLS a relay listens on this machine only"),
        (("--listen", "nowhere"), 2, "--listen is HOST:PORT"),
        (("--tls", "sometimes"), 2, "--tls is self-signed, CERT,KEY or off"),
        (("--tls", "none.pem,none.key"), 19, "no certificate and its key"),
        (("--db", "mysql://x"), 2, "--db is a path or begins with postgresql://"),
        (("--db", "postgresql://keyferry@127.0.0.1:1/none"), 40, "PostgreSQL database cannot be used"),
        (("--listen", "192.0.2.1:1"), 19, "cannot listen on 192.0.2.1:1"),
    ],
)
def test_what_cannot_be_served_is_told(tmp_path: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    call = [*KEYFERRY, "relay", "serve", "--home", str(tmp_path), "--listen", "127.0.0.1:0", *arguments]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stdout) == (code, "")
    assert sentence in done.stderr


def test_plain_http_is_for_a_proxy_on_the_same_machine(tmp_path: Path) -> None:
    with relay(tmp_path, "--tls", "off") as found:
        assert found.url.startswith("http://127.0.0.1:")
        line = Line(found)
        assert line.create(CHAIN, LAPTOP) == 201
        assert line.call("GET", "/metrics")[0] == 200
        assert line.call("GET", "/metrics", headers={"x-forwarded-for": "203.0.113.9"})[0] == 404


def test_a_certificate_of_ones_own_is_used(tmp_path: Path) -> None:
    certificate, key = tls.own_certificate(tmp_path / "given", "127.0.0.1", datetime.now(UTC))
    context = ssl.create_default_context(cafile=str(certificate))
    process = start_without_pin(tmp_path, f"{certificate},{key}")
    try:
        with socket.create_connection(("127.0.0.1", process.port)) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1").close()
    finally:
        process.kill()


def start_without_pin(home: Path, pair: str) -> Process:
    """Start a relay with a given certificate, which prints no pin."""
    call = [*KEYFERRY, "relay", "serve", "--home", str(home), "--listen", "127.0.0.1:0", "--tls", pair, "--json"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    told = json.loads("".join(lines))
    assert told["pin"] == ""
    return Process(process, told["url"], "")


# -- what a device says of whoever answers


def run(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a home."""
    call = [*KEYFERRY, *words, "--home", str(home)]
    return subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)


def test_the_kit_and_the_relays_address_bring_a_lost_vault_back(tmp_path: Path) -> None:
    first, second, kit = tmp_path / "first", tmp_path / "second", tmp_path / "kit.txt"
    assert run(first, "init", "--key-file", str(tmp_path / "key"), "--kit", str(kit)).returncode == 0
    assert run(first, "add", "note", "--title", "First").returncode == 0
    with relay(tmp_path / "relay") as found:
        assert run(first, "sync", "--relay", found.url).returncode == 0
        done = run(second, "device", "join", "--kit", str(kit), "--relay", found.url, "--key-file", f"{second}.key")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "this device has joined; 1 item here")
        assert run(first, "sync").returncode == 0
        for home in (first, second):
            old, new = (one["name"] for one in json.loads(run(home, "device", "list", "--json").stdout))
            assert new == f"{old} 2"


def test_whoever_answers_without_the_relays_key_is_named_for_what_it_is(tmp_path: Path) -> None:
    home, kit = tmp_path / "home", tmp_path / "kit.txt"
    assert run(home, "init", "--key-file", str(tmp_path / "key"), "--kit", str(kit)).returncode == 0
    with relay(tmp_path / "relay") as found:
        client = Client(found.url, "", "0" * 32, device=LAPTOP)
        with pytest.raises(RelayMisbehaves, match="shows a certificate that this machine does not trust"):
            client.heads()
        assert run(home, "sync", "--relay", found.url).returncode == 0
        port = found.port
    with relay(tmp_path / "other", listen=f"127.0.0.1:{port}"):
        done = run(home, "sync")
        assert (done.returncode, "has another key than the relay had" in done.stderr) == (56, True)
    with relay(tmp_path / "plain", "--tls", "off", listen=f"127.0.0.1:{port}"):
        done = run(home, "sync")
        assert (done.returncode, "does not speak TLS 1.3" in done.stderr) == (55, True)
    done = run(home, "sync")
    assert (done.returncode, "cannot be reached: no connection" in done.stderr) == (55, True)


def test_more_devices_wait_than_a_process_may_have_files_at_first(tmp_path: Path) -> None:
    call = [*KEYFERRY, "relay", "serve", "--home", str(tmp_path), "--listen", "127.0.0.1:0", "--tls", "off"]
    few = ["sh", "-c", 'ulimit -Sn 64 && exec "$0" "$@"', *call]
    process = subprocess.Popen(few, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    found = Process(process, process.stdout.readline().split()[-1], "")
    try:
        Line(found).create(CHAIN, LAPTOP)
        target = f"/v1/vaults/{VAULT}/watch?after=2&wait=25"
        waiting = [Line(found) for _ in range(100)]
        for line in waiting:
            line.begin(PHONE, "GET", target, b"", 0)
        while "keyferry_relay_watchers 100\n" not in Line(found).call("GET", "/metrics")[1].decode():
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait(30)
