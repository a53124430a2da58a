"""Two people at two terminals, who pair their devices through a folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.migrate.terminal import Done, Terminal

SECONDS = 60


class Typing:
    """A command that waits for what is typed."""

    def __init__(self, terminal: Terminal, *arguments: str | Path) -> None:
        self.process = terminal.start(*arguments, stdin=subprocess.PIPE)
        self.lines: list[str] = []

    def until(self, name: str) -> str:
        """Read up to the line ``name: text``, and return the text."""
        out: IO[bytes] | None = self.process.stdout
        assert out is not None
        for line in out:
            self.lines.append(line.decode().rstrip("\n"))
            if self.lines[-1].startswith(f"{name}: "):
                return self.lines[-1].partition(": ")[2]
            if self.lines[-1].startswith("{") and name in (told := json.loads(self.lines[-1])):
                return str(told[name])
        raise AssertionError(f"never said {name}: {self.lines} {self.end()}")

    def type(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> Done:
        """Wait for the end; returns what came after the lines read before."""
        out, err = self.process.communicate(timeout=SECONDS)
        return Done(self.process.returncode, "\n".join(self.lines) + "\n" + out.decode(), err.decode())


@contextmanager
def meeting(
    host: Terminal, guest: Terminal, folder: Path, *more: str, change: Callable[[str], str] = str
) -> Iterator[tuple[Typing, Typing, str]]:
    """Let the guest type the host's code; yields both and the digits the guest shows."""
    folder.mkdir(exist_ok=True)
    one = Typing(host, "device", "pair", "--folder", folder, *more)
    two: Typing | None = None
    try:
        code = change(one.until("code"))
        two = Typing(guest, "device", "join", code, "--folder", folder, "--key-file", guest.key, *more)
        yield one, two, two.until("digits")
    finally:
        for each in (one, two):
            if each is not None and each.process.poll() is None:
                each.process.kill()
                each.process.wait()


def pair(host: Terminal, guest: Terminal, folder: Path, *more: str) -> tuple[Done, Done]:
    """Pair them; returns how both commands ended."""
    with meeting(host, guest, folder, *more) as (one, two, digits):
        one.type(digits)
        return one.end(), two.end()


def set_password(terminal: Terminal, verb: str, title: str, password: str) -> Done:
    """Type ``add`` or ``edit`` for a login with this password."""
    file = terminal.write("password", password.encode())
    what = ("login", "--title", title) if verb == "add" else (title,)
    done = terminal(verb, *what, "--set-file", f"password={file}")
    assert done.code == 0, done.err
    return done


def terminal(folder: Path, name: str) -> Terminal:
    """Return a person's terminal with a folder of its own."""
    (folder / name).mkdir()
    return Terminal(folder / name)
