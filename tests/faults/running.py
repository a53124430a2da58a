"""Keyferry run as a real process under watch, with one fault at one numbered call.

Counted are the calls on files below the watched folder, from 1. What happens at a numbered call:

- ``KILL``: SIGKILL instead of the call. Killed right after call n is the same as killed instead of call n + 1.
- ``TORN``: half of a writing is done, then SIGKILL.
- ``FULL`` and ``BROKEN``: the call fails, once, with ENOSPC or EIO; ``STAYS_FULL`` and ``STAYS_BROKEN``: so does every
  later one on that disk, of a full disk only those that need room. A disk is a folder directly below the watched one.
- ``CUT``: the power goes instead of the call. What was written and not flushed is gone, names are as they were last;
  ``CUT_EARLY``: names are gone as well unless their folder was flushed.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from tests.faults import calls, zygote
from tests.faults.calls import Call
from tests.faults.power import Disk

PATIENCE = 60  # seconds


class Kind(Enum):
    """What goes wrong."""

    KILL = "killed"
    TORN = "torn"
    FULL = "ENOSPC"
    BROKEN = "EIO"
    STAYS_FULL = "ENOSPC on"
    STAYS_BROKEN = "EIO on"
    CUT = "power"
    CUT_EARLY = "power, names"

    @property
    def kills(self) -> bool:
        """Whether the process ends there."""
        return self in (Kind.KILL, Kind.TORN, Kind.CUT, Kind.CUT_EARLY)

    @property
    def cuts(self) -> bool:
        """Whether the power goes."""
        return self in (Kind.CUT, Kind.CUT_EARLY)


_ERRORS = {
    Kind.FULL: errno.ENOSPC,
    Kind.STAYS_FULL: errno.ENOSPC,
    Kind.BROKEN: errno.EIO,
    Kind.STAYS_BROKEN: errno.EIO,
}
_NEEDS_ROOM = frozenset({"write", "create", "mkdir", "link", "rename"})


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong at the call of that number."""

    kind: Kind
    at: int


@dataclass
class Ran:
    """How a run ended: its code (negative: the signal), what it said, its calls, and the call the fault met."""

    code: int
    out: str
    err: str
    calls: list[Call] = field(default_factory=list)
    met: Call | None = None


class Keyferry:
    """Starts Keyferry; ``root`` is watched and holds everything it may touch, ``home`` within it is its home.

    With ``program`` another Python program is started in its place, anew each time.
    """

    def __init__(self, root: Path, program: Path | None = None) -> None:
        self.root, self.home, self._program = root, root / "home", program
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(PATIENCE)
        self._scratch = tempfile.TemporaryDirectory(prefix="keyferry-faults-")
        self._zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote", str(other.fileno())],
            cwd=zygote.ROOT,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(zygote.ROOT)},
            pass_fds=[other.fileno()],
        )
        other.close()

    def close(self) -> None:
        """End the process that starts the others."""
        self._channel.close()
        self._zygote.wait(PATIENCE)
        self._scratch.cleanup()

    def __enter__(self) -> Keyferry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def environment(self) -> dict[str, str]:
        """What a run knows of the world: nothing outside the root."""
        inside = {name: str(self.root / "user") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        named = {"KEYFERRY_HOME": str(self.home), "TMPDIR": str(self.root / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}
        return {"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "KEYFERRY_DEBUG": "1", **inside, **named}

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> Ran:
        """Run a command that nothing happens to."""
        return self._run(arguments, None, stdin, watched=False, fresh=False)

    def counted(self, *arguments: str | Path, stdin: bytes = b"", fresh: bool = False) -> Ran:
        """Run a command and note its calls; ``fresh`` starts Python and loads everything first."""
        return self._run(arguments, None, stdin, watched=True, fresh=fresh)

    def struck(self, fault: Fault, *arguments: str | Path, stdin: bytes = b"") -> Ran:
        """Run a command with a fault."""
        return self._run(arguments, fault, stdin, watched=True, fresh=False)

    def _run(
        self, arguments: Sequence[str | Path], fault: Fault | None, stdin: bytes, *, watched: bool, fresh: bool
    ) -> Ran:
        learn = str(Path(self._scratch.name) / "loaded") if fault is None and not fresh and not self._program else ""
        job = {
            "arguments": [str(one) for one in arguments],
            "environment": self.environment,
            "folder": str(self.root),
            "watched": watched,
            "learn": learn,
            "program": str(self._program or (zygote.ROOT / "keyferry.py" if fresh else "")),
        }
        with _streams(stdin) as (given, out, err):
            socket.send_fds(
                self._channel, [json.dumps(job).encode()], [stream.fileno() for stream in (given, out, err)]
            )
            said, handles, _, _ = socket.recv_fds(self._channel, zygote.LARGEST, 1)
            ran = Ran(0, "", "")
            if handles:
                try:
                    _Watch(int(said), handles[0], str(self.root), fault, ran).until(self._channel)
                finally:
                    os.close(handles[0])
            ran.code = json.loads(self._channel.recv(zygote.LARGEST))["status"]
            ran.out, ran.err = _text(out), _text(err)
        return ran


class _Watch:
    """Answers a process's calls until it ends."""

    def __init__(self, process: int, handle: int, root: str, fault: Fault | None, ran: Ran) -> None:
        self._process, self._handle, self._fault, self._ran = process, handle, fault, ran
        self._inside = (root, root + os.sep)
        self._disk = Disk(Path(root)) if fault is not None and fault.kind.cuts else None

    def until(self, channel: socket.socket) -> None:
        """Answer until the end of the process is told on the channel."""
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        poll.register(channel.fileno(), select.POLLIN)
        late = time.monotonic() + PATIENCE
        while True:
            ready = dict(poll.poll(1000))
            if ready.get(self._handle, 0) & select.POLLIN:
                call = calls.receive(self._handle)
                if call is not None:
                    self._answer(call)
            elif channel.fileno() in ready:
                break
            elif ready.get(self._handle, 0) & (select.POLLHUP | select.POLLERR):
                poll.unregister(self._handle)
            if time.monotonic() > late:
                self._kill()
                raise TimeoutError("the process never ended")
        if self._disk is not None and self._fault is not None:
            self._disk.cut(early=self._fault.kind is Kind.CUT_EARLY)

    def _answer(self, call: Call) -> None:
        if not any(path == self._inside[0] or path.startswith(self._inside[1]) for path in call.paths):
            calls.go_on(self._handle, call)
            return
        self._ran.calls.append(call)
        if self._fault is not None and self._strikes(call, self._fault):
            return
        if self._disk is not None:
            self._disk.before(call)
        calls.go_on(self._handle, call)

    def _strikes(self, call: Call, fault: Fault) -> bool:
        """Let the fault happen, if this is its place."""
        number = len(self._ran.calls)
        if number == fault.at:
            self._ran.met = call
        if fault.kind.kills:
            return number == fault.at and self._ends(call, fault.kind)
        stays = fault.kind in (Kind.STAYS_FULL, Kind.STAYS_BROKEN)
        if number != fault.at and not (stays and number > fault.at):
            return False
        if number != fault.at and not self._is_on_that_disk(call, fault.kind):
            return False
        calls.refuse(self._handle, call, _ERRORS[fault.kind])
        return True

    def _is_on_that_disk(self, call: Call, kind: Kind) -> bool:
        met = self._ran.met
        same = met is not None and self._disk_of(met) == self._disk_of(call)
        return same and (kind is Kind.STAYS_BROKEN or call.operation in _NEEDS_ROOM)

    def _disk_of(self, call: Call) -> str:
        inside = call.path.removeprefix(self._inside[1])
        return inside.partition(os.sep)[0] if os.sep in inside or os.path.isdir(call.path) else ""

    def _ends(self, call: Call, kind: Kind) -> bool:
        if kind is Kind.TORN and not calls.half_done(call):
            self._ran.met = None
            return False
        self._kill()
        return True

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)


@contextmanager
def _streams(stdin: bytes) -> Iterator[tuple[BinaryIO, BinaryIO, BinaryIO]]:
    make: Callable[[], BinaryIO] = tempfile.TemporaryFile
    with make() as given, make() as out, make() as err:
        given.write(stdin)
        given.seek(0)
        yield given, out, err


def _text(stream: BinaryIO) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "backslashreplace")
