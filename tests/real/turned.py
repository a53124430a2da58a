"""A clock that a test turns for whole processes, by libfaketime: the time of day and the time that only goes on."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

DAY = 24 * 3600


def library() -> Path | None:
    """Return libfaketime for programs with threads, or None."""
    found = shutil.which("faketime")
    places = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")) if found else []
    return places[0] if places else None


@dataclass(frozen=True)
class Clock:
    """The clock of all processes that have its environment; they look at it each time."""

    file: Path

    def turn(self, seconds: int) -> None:
        """Put it so many seconds ahead of the real one."""
        beside = self.file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}s\n")
        os.replace(beside, self.file)

    def environment(self, others: dict[str, str]) -> dict[str, str]:
        """Return the environment of a process that goes by it."""
        return {
            **others,
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
        }


def clock(file: Path) -> Clock:
    """Return a clock that is right so far."""
    made = Clock(file)
    made.turn(0)
    return made
