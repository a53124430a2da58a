"""A Secret Service of its own for a test: a private bus, a fresh home, gnome-keyring with a throw-away password."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

KEYFERRY = Path(__file__).parents[2] / "keyferry.py"
PROGRAMS = ("dbus-run-session", "dbus-send", "gnome-keyring-daemon")
_SCRIPT = """
echo "$DBUS_SESSION_BUS_ADDRESS"
printf throw-away | gnome-keyring-daemon --foreground --unlock --components=secrets >&2 &
daemon=$!
read -r _
kill $daemon
wait $daemon
"""
_SECONDS = 20


@dataclass
class Desktop:
    """A session with a keyring; its environment is nobody else's."""

    root: Path
    environment: dict[str, str]

    def keyferry(self, *words: str, answers: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Type a command line in this session; ``more`` is added to its environment."""
        return subprocess.run(
            [sys.executable, str(KEYFERRY), *words],
            env={**self.environment, **more},
            input=answers,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=self.root,
        )

    def python(self, code: str) -> str:
        """Run a few lines of Python in this session and return what they print."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            cwd=KEYFERRY.parent,
        )
        return done.stdout

    def entries(self) -> list[str]:
        """Return the user names of Keyferry's entries, as the collection tells everybody."""
        return self.python(
            _COLLECTION + "print('\\n'.join(sorted(i.get_attributes()['username'] for i in ours)))"
        ).split()

    def delete_entries(self) -> None:
        """Make the keyring forget everything of Keyferry."""
        self.python(_COLLECTION + "[i.delete() for i in ours]")

    def lock(self) -> None:
        """Lock the keyring as a locked desktop does."""
        self.python(_COLLECTION + "found.lock()")


_COLLECTION = """
import secretstorage
found = secretstorage.get_default_collection(secretstorage.dbus_init())
ours = list(found.search_items({"service": "keyferry"}))
"""


@contextmanager
def desktop(root: Path) -> Iterator[Desktop]:
    """Start the session and stop it again; skips the test by name where a program is missing."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    environment = _environment(root)
    session = subprocess.Popen(
        ["dbus-run-session", "--", "bash", "-c", _SCRIPT],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert session.stdin is not None and session.stdout is not None
    try:
        environment["DBUS_SESSION_BUS_ADDRESS"] = session.stdout.readline().strip()
        _wait(environment)
        yield Desktop(root, environment)
    finally:
        session.stdin.close()
        session.stdout.close()
        session.wait(timeout=_SECONDS)


def _environment(root: Path) -> dict[str, str]:
    """Return an environment without a display, whose home is empty."""
    folders = {"HOME": "user", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "config", "XDG_RUNTIME_DIR": "run"}
    for name in folders.values():
        (root / name).mkdir(mode=0o700)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV") if name in os.environ}
    places = {name: str(root / folder) for name, folder in folders.items()}
    return {**kept, **places, "KEYFERRY_HOME": str(root / "keyferry")}


def _wait(environment: dict[str, str]) -> None:
    """Wait until the bus says that somebody offers the Secret Service, and that its keyring is open."""
    owned = ["--dest=org.freedesktop.DBus", "/", "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"]
    locked = ["--dest=org.freedesktop.secrets", "/org/freedesktop/secrets/aliases/default"]
    locked += ["org.freedesktop.DBus.Properties.Get", "string:org.freedesktop.Secret.Collection", "string:Locked"]
    end = time.monotonic() + _SECONDS
    for question, wanted in ((owned, "boolean true"), (locked, "boolean false")):
        call = ["dbus-send", "--session", "--print-reply", *question]
        while wanted not in subprocess.run(call, env=environment, capture_output=True, text=True, timeout=20).stdout:
            if time.monotonic() > end:
                pytest.fail("gnome-keyring did not start")
            time.sleep(0.05)
