"""Where campaigns run: on a disk in memory where there is one, so that a thousand of them wear nothing out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults import calls

MEMORY = Path("/dev/shm")
NEEDS = "needs a kernel whose calls can be watched (Linux 5.5, seccomp notifications)"


def is_in_memory(folder: Path) -> bool:
    """Tell whether the folder is the mount point of a tmpfs that can be written."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return False
    return any(mount[1] == str(folder) and mount[2] == "tmpfs" for mount in mounts) and os.access(folder, os.W_OK)


@contextmanager
def place() -> Iterator[Path]:
    """Give an empty folder, on a tmpfs if there is one, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="keyferry-faults-", dir=MEMORY if is_in_memory(MEMORY) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_possible() -> bool:
    """Tell whether campaigns can run here."""
    return calls.is_possible()
