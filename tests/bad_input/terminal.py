"""A stranger at a terminal: a home of his own, commands typed as he would, and what he sees."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vault.canonical import canonical
from vault.keys import open_vault

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-canary"  # the password in every bad file; no output may hold it
_MEMORY = 1 << 31  # bytes of address space a command may use on the largest of the bad files
_PERSONAL = ("DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND", "KEYFERRY_HOME", "KEYFERRY_DEBUG", "DISPLAY")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence that says why it failed; empty if there is none."""
        found = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(found) < 2, found
        return found[0].removeprefix("error: ") if found else ""

    @property
    def hint(self) -> str:
        """What to do next."""
        return "".join(line.removeprefix("hint: ") for line in self.err.splitlines() if line.startswith("hint: "))

    def json(self) -> Any:
        """What was written with ``--json``."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Home:
    """A vault folder with its key file beside it."""

    path: Path

    @property
    def key_file(self) -> Path:
        """Where the vault's key is."""
        return self.path.with_name(self.path.name + ".key")

    def type(
        self,
        *arguments: str | Path,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> Done:
        """Run keyferry in a process of its own; no answer of it may quote a secret or show a traceback."""

        def prepare() -> None:
            bound_memory()
            if before is not None:
                before()

        given = {**_bare_environment(self.path), **(env or {})}
        done = subprocess.run(
            [sys.executable, "-m", "keyferry", *map(str, arguments)],
            cwd=ROOT,
            env=given,
            input=stdin,
            capture_output=True,
            timeout=120,
            preexec_fn=prepare if os.name == "posix" else None,
            check=False,
        )
        out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
        assert "Traceback" not in out + err
        assert SECRET not in err
        return Done(done.returncode, out, err)

    def make(self) -> Home:
        """Make the vault."""
        assert self.type("init", "--key-file", self.key_file).code == 0
        return self

    def content(self) -> str:
        """Return a digest of everything in the vault."""
        with open_vault(self.path, read_only=True) as store:
            runs = [(run.id, run.digest, run.undone_at, store.quarantined(run.id)) for run in store.runs()]
            return hashlib.sha256(canonical(store.vault()) + repr(runs).encode()).hexdigest()

    def items(self) -> bytes:
        """Return everything in the vault but which imports brought it."""
        with open_vault(self.path, read_only=True) as store:
            return canonical(store.vault())

    def files(self) -> set[str]:
        """Return the names in the folder; what SQLite lays beside an open file, and the backups, left out."""
        beside = ("-wal", "-shm", "backups", "backup.lock")
        return {path.name for path in self.path.iterdir() if not path.name.endswith(beside)}


def _bare_environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _PERSONAL}
    return {
        **kept,
        "KEYFERRY_HOME": str(home),
        "HOME": str(home.parent),
        "XDG_CONFIG_HOME": str(home.parent / "config"),
    }


def bound_memory() -> None:
    """Let the process have no more memory than the largest of the bad files may cost."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def obey_rights() -> None:
    """Make the process, even one of the superuser, obey the rights of files."""
    if sys.platform == "linux" and os.geteuid() == 0:
        override, search, owner, drop_bound = 1, 2, 3, 24  # linux/capability.h, linux/prctl.h
        libc = ctypes.CDLL(None)
        for capability in (override, search, owner):
            libc.prctl(drop_bound, capability, 0, 0, 0)


def refused(done: Done, code: int, *words: str) -> None:
    """Check that a command ended with one sentence that holds the words, a hint at most, and nothing else."""
    assert (done.code, done.out) == (code, ""), done
    lines = [line for line in done.err.splitlines() if not line.startswith("hint: ")]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.err
    for word in words:
        assert word in done.error + " " + done.hint, done.err
