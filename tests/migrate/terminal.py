"""A home with a vault, and commands typed into it: here in this process, or in one of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import keyferry
from vault.keys import open_vault
from vault.store import Store

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def last(self) -> str:
        """The closing line."""
        return self.out.rstrip("\n").rpartition("\n")[2]

    def json(self) -> Any:
        """What was written with ``--json``."""
        return json.loads(self.out)


class Terminal:
    """A folder, a home in it, and what is typed there."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str] | None = None) -> None:
        self.folder, self.home, self.key = folder, folder / "home", folder / "key"
        self._capture = capture

    def init(self) -> Terminal:
        """Make the vault, its key in a file."""
        assert self("init", "--key-file", self.key).code == 0
        return self

    def write(self, name: str, data: bytes) -> Path:
        """Put a file beside the home."""
        path = self.folder / name
        path.write_bytes(data)
        return path

    def __call__(self, *arguments: str | Path) -> Done:
        """Type a command; it runs in this process where output can be caught."""
        typed = [str(one) for one in arguments]
        if self._capture is None:
            return self.shell(*typed)
        self._capture.readouterr()
        code = keyferry.run([*typed, "--home", str(self.home)])
        out, err = self._capture.readouterr()
        return Done(code, out, err)

    def start(self, *arguments: str | Path, **given: Any) -> subprocess.Popen[bytes]:
        """Start a command in a process of its own."""
        call = [sys.executable, "-m", "keyferry", *map(str, arguments)]
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **given}
        return subprocess.Popen(call, cwd=ROOT, env=self.environment, **given)

    def shell(self, *arguments: str | Path, stdin: bytes | None = None) -> Done:
        """Type a command that runs in a process of its own."""
        given = {"stdin": subprocess.PIPE} if stdin is not None else {}
        process = self.start(*arguments, **given)
        out, err = process.communicate(stdin, timeout=120)
        return Done(
            process.returncode, out.decode("utf-8", "backslashreplace"), err.decode("utf-8", "backslashreplace")
        )

    @property
    def environment(self) -> dict[str, str]:
        """What such a process knows of the world."""
        return {**os.environ, "KEYFERRY_HOME": str(self.home), "TMPDIR": str(self.folder), "HOME": str(self.folder)}

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open the vault as the commands do."""
        with open_vault(self.home) as store:
            yield store
