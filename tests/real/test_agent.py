"""A real agent in a process of its own: a schedule each minute, a drive that comes and goes, a process stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.migrate.terminal import Terminal
from tests.real.secret_service import KEYFERRY, desktop

SECONDS = 40
UNLOCK = """
import secretstorage
from jeepney import DBusAddress, new_method_call
from secretstorage.util import format_secret, open_session
bus = secretstorage.dbus_init()
found, session = secretstorage.get_default_collection(bus), open_session(bus)
inner = "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface"  # as a login unlocks it
service = DBusAddress("/org/freedesktop/secrets", "org.freedesktop.secrets", inner)
secret = format_secret(session, b"throw-away", "text/plain")
call = new_method_call(service, "UnlockWithMasterPassword", "o(oayays)", (found.collection_path, secret))
bus.send_and_get_reply(call)
"""


class Running:
    """An agent that runs, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    def until(self, *words: str, after: int = 0) -> str:
        """Wait for a line with all of these words; returns it."""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for line in self.lines[after:]:
                if all(word in line for word in words):
                    return line
            time.sleep(0.05)
        pytest.fail(f"never said {words}: " + "\n".join(self.lines))

    def count(self, word: str, after: int = 0) -> int:
        return sum(word in line for line in self.lines[after:])

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; returns its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=SECONDS)
        self._reader.join()
        return code


@contextmanager
def running(terminal: Terminal) -> Iterator[Running]:
    process = terminal.start("agent", "run", stderr=subprocess.STDOUT)
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path).init()


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A folder that is mounted over another one, as a drive is."""
    if shutil.which("mount") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs the right to mount a folder")
    place = tmp_path / "drive"
    for folder in (place, tmp_path / "content"):
        folder.mkdir(mode=0o700)
    if subprocess.run(plug(place), capture_output=True).returncode:
        pytest.skip("needs the right to mount a folder")
    yield place
    subprocess.run(["umount", place], capture_output=True)


def plug(place: Path) -> list[str]:
    return ["mount", "--bind", str(place.parent / "content"), str(place)]


def sets(place: Path) -> int:
    return len(list(place.glob("keyferry-*.keyferry")))


@pytest.mark.slow
def test_an_agent_lives_through_a_drive_that_goes_and_a_stop(terminal: Terminal, drive: Path) -> None:
    assert terminal("backup", "target", "add", drive).code == 0
    assert terminal("backup", "schedule", "* * * * *", "--on-mount").code == 0
    with running(terminal) as agent:
        assert "made set" in agent.until("made set", "at 2 targets")
        assert terminal("agent", "status", "--json").json()["running"] is True

        subprocess.run(["umount", drive], check=True)
        agent.until(str(drive), "is missing")
        assert terminal("add", "login", "--title", "One").code == 0
        assert terminal("backup", "create").code == 5  # one target only
        subprocess.run(plug(drive), check=True)
        agent.until(f"the backup target {drive} is here again")
        agent.until("brought the newest set to", str(drive))
        assert sets(drive) == sets(terminal.home / "backups")

        for _ in range(20):
            before, said = sets(drive), len(agent.lines)
            agent.process.send_signal(signal.SIGSTOP)
            added = terminal("add", "login", "--title", "Two")
            if added.code != 23:  # else it was stopped in the middle of writing the vault
                break
            agent.process.send_signal(signal.SIGCONT)
            time.sleep(0.5)
        assert added.code == 0
        time.sleep(70)  # a minute and more must pass on the real clock
        agent.process.send_signal(signal.SIGCONT)
        agent.until("made set", "at 2 targets", after=said)
        assert agent.count("catching up", said) == 1
        assert agent.count("made set", said) == 1
        assert sets(drive) == before + 1

        assert agent.end() == 0
        assert agent.lines[-1].endswith("the agent ends")
        assert agent.count("alarm") == agent.count("failed") == 0
    assert terminal("backup", "verify", "--all").code == 0
    assert terminal("agent", "status").code == 0


def test_harm_to_a_backup_is_noticed_and_made_good(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("backup", "target", "add", tmp_path / "other").code == 0
    with running(terminal) as agent:
        agent.until("made set", "at 2 targets")
        (path,) = (terminal.home / "backups").glob("*.keyferry")
        body = path.read_bytes()
        os.truncate(path, 100)
        agent.until("alarm:", str(path))
        agent.until("put back from", str(tmp_path / "other"))
        assert path.read_bytes() == body
        said = len(agent.lines)
        for found in (path, tmp_path / "other" / path.name):
            found.unlink()
        agent.until("no good copy of 1 set is left; made set", after=said)
        assert agent.end(signal.SIGINT) == 0
    done = terminal("agent", "status", "--json")
    assert done.code == 0
    assert len(done.json()["past_alarms"]) == 3
    assert done.json()["running"] is False


def test_an_agent_that_is_killed_leaves_no_lock_and_the_next_one_goes_on(terminal: Terminal) -> None:
    with running(terminal) as agent:
        agent.until("made set")
        assert agent.end(signal.SIGKILL) == -signal.SIGKILL
    with running(terminal) as agent:
        agent.until("backups are made")
        assert agent.end() == 0


def test_a_keyring_locked_at_login_is_waited_for(tmp_path: Path) -> None:
    with desktop(tmp_path) as session:
        assert session.keyferry("init").returncode == 0
        session.lock()
        call = [sys.executable, str(KEYFERRY), "agent", "run"]
        process = subprocess.Popen(
            call, env=session.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path
        )
        agent = Running(process)
        try:
            agent.until("waiting: the OS keyring is locked")
            session.python(UNLOCK)
            agent.until("the vault can be opened")
            agent.until("made set", "at 1 target")
            assert agent.end() == 0
            assert agent.count("waiting") == 1
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
