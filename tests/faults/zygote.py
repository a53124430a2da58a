"""A process that has Keyferry loaded and becomes it, once for each job: a child of it is Keyferry, with its own ending.

Jobs come over a socket, with the three standard streams. The child puts itself under watch, sends the handle of the
watching, and goes on as ``keyferry.main``; if the job names a program, it starts that anew from its file instead.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 1 << 16


def serve(channel: socket.socket) -> dict[str, Any] | None:
    """Fork for each job; returns it in the child, and None when nobody sends any more."""
    while True:
        request, streams, _, _ = socket.recv_fds(channel, LARGEST, 3)
        if not request:
            return None
        job: dict[str, Any] = json.loads(request)
        gc.freeze()
        child = os.fork()
        if not child:
            _become(channel, job, streams)
            return job
        for stream in streams:
            os.close(stream)
        _, status = os.waitpid(child, 0)
        channel.send(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode())
        _learn(job)


def _become(channel: socket.socket, job: dict[str, Any], streams: list[int]) -> None:
    from tests.faults.calls import watch_me

    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    handles = [watch_me()] if job["watched"] else []
    socket.send_fds(channel, [str(os.getpid()).encode()], handles)
    for handle in handles:
        os.close(handle)
    channel.close()
    if job["learn"]:
        atexit.register(_tell, job["learn"])


def _tell(path: str) -> None:
    Path(path).write_text("\n".join(name for name in sys.modules if name.split(".")[0] not in ("__main__", "tests")))


def _learn(job: dict[str, Any]) -> None:
    """Load what the job had to load, so that the next one need not."""
    with contextlib.suppress(OSError):
        for name in Path(job["learn"]).read_text().split():
            with contextlib.suppress(ImportError):
                importlib.import_module(name)


def main() -> None:
    """Serve until the socket is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, str(ROOT))
    import keyferry

    job = serve(socket.socket(fileno=int(sys.argv[1])))
    if job is None:
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["keyferry", *job["arguments"]]
    if job["program"]:
        os.execve(sys.executable, [sys.executable, job["program"], *job["arguments"]], os.environ)
    try:
        keyferry.main()
    except SystemExit as ending:
        # Taking the interpreter apart would cost more than the command; nothing of it touches a file.
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ending.code if isinstance(ending.code, int) else 1)


if __name__ == "__main__":
    main()
