"""A wire to a relay that breaks after so many bytes, with the relay killed at that moment."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_STEP = 1 << 14


class Wire:
    """Listens on a port and passes bytes on to another one; ``cut`` is called once a direction has passed so many."""

    def __init__(self, port: int) -> None:
        self.port = 0  # where the relay listens
        self._limits: dict[str, int] = {}
        self._passed = {"up": 0, "down": 0}
        self._cut: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._door = socket.create_server(("127.0.0.1", port), reuse_port=False)

    def kill_after(self, cut: Callable[[], None], **limits: int) -> None:
        """Call ``cut`` when more than this has passed ``up`` or ``down`` from now on."""
        with self._lock:
            self._passed, self._limits, self._cut = {"up": 0, "down": 0}, limits, cut

    def serve(self) -> None:
        """Accept until the door is closed."""
        with suppress(OSError):
            while True:
                here, _ = self._door.accept()
                threading.Thread(target=self._join, args=(here,), daemon=True).start()

    def close(self) -> None:
        """Accept nobody any more."""
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _join(self, here: socket.socket) -> None:
        try:
            there = socket.create_connection(("127.0.0.1", self.port))
        except OSError:
            here.close()
            return
        back = threading.Thread(target=self._pass, args=(there, here, "down"), daemon=True)
        back.start()
        self._pass(here, there, "up")
        back.join()
        here.close()
        there.close()

    def _pass(self, one: socket.socket, other: socket.socket, way: str) -> None:
        with suppress(OSError):
            while step := one.recv(_STEP):
                if self._is_over(way, len(step)):
                    break
                other.sendall(step)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_over(self, way: str, size: int) -> bool:
        with self._lock:
            self._passed[way] += size
            if self._passed[way] <= self._limits.get(way, self._passed[way]):
                return False
            self._limits = {}
            self._cut()
            return True


@contextmanager
def wire(port: int) -> Iterator[Wire]:
    """Give a wire that lies at a port as long as the block."""
    made = Wire(port)
    accepting = threading.Thread(target=made.serve, daemon=True)
    accepting.start()
    try:
        yield made
    finally:
        made.close()
        accepting.join(10)
