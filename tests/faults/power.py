"""What a disk still holds after the power went: what was flushed, and nothing that was only written.

The strictest disk is taken: content counts from the flush of its file on, a name from the flush of its folder on, or
(the other extreme) at once. Both are allowed by POSIX; a program has to stand both.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.calls import Call

Number = int  # of a file, its inode


@dataclass
class Disk:
    """The flushed state of a folder; ``before`` is told each call that is about to happen in it."""

    root: Path
    _content: dict[Number, bytes] = field(default_factory=dict)
    _names: dict[Path, dict[str, Number | None]] = field(default_factory=dict)  # None: a folder

    def before(self, call: Call) -> None:
        """Note what the call is about to change or to flush."""
        path = Path(call.path)
        if call.operation == "fsync":
            self._flush(path)
        elif call.operation in ("write", "truncate"):
            self._know(path)
        elif call.operation == "create":
            self._know(path)
            self._know_names(path.parent)
        elif call.operation in ("rename", "link", "unlink", "mkdir"):
            for name in call.paths:
                self._know_names(Path(name).parent)
        if call.operation == "mkdir":
            self._names[path] = {}

    def cut(self, *, early: bool) -> None:
        """Take away what was not flushed; ``early`` takes the names that were not flushed as well."""
        now: dict[Number, Path] = {}
        for path in self.root.rglob("*"):
            if path.is_symlink() or not path.is_dir():
                now[path.lstat().st_ino] = path
        for number, content in self._content.items():
            if number in now:
                _set(now[number], content)
        if early:
            for folder, names in sorted(self._names.items(), key=lambda one: len(one[0].parts)):
                self._put_back(folder, names, now)

    def _flush(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if path.is_dir():
                self._names.pop(path, None)
                self._know_names(path)
            else:
                number = path.lstat().st_ino
                self._content[number] = path.read_bytes()

    def _know(self, path: Path) -> None:
        """Take a file's content for flushed when it is touched for the first time."""
        try:
            found = path.lstat()
        except OSError:
            return  # about to be made
        if found.st_ino not in self._content and path.is_file():
            made_now = self._is_new(path, found.st_ino)
            self._content[found.st_ino] = b"" if made_now else path.read_bytes()

    def _is_new(self, path: Path, number: Number) -> bool:
        known = self._names.get(path.parent)
        return known is not None and number not in known.values()

    def _know_names(self, folder: Path) -> None:
        if folder in self._names or not folder.is_dir():
            return
        listing: dict[str, Number | None] = {}
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                listing[path.name] = None
            else:
                self._know(path)
                listing[path.name] = path.lstat().st_ino
        self._names[folder] = listing

    def _put_back(self, folder: Path, names: dict[str, Number | None], now: dict[Number, Path]) -> None:
        if not folder.is_dir():
            return
        kept = {number: path.read_bytes() for number, path in now.items() if path.exists()}
        for path in folder.iterdir():
            if path.name not in names:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, number in names.items():
            path = folder / name
            if number is None:
                path.mkdir(mode=0o700, exist_ok=True)
            elif number in self._content:
                _set(path, self._content[number])
            elif number in kept and not path.exists():
                _set(path, kept[number])


def _set(path: Path, content: bytes) -> None:
    try:
        same = path.read_bytes() == content
    except FileNotFoundError:
        handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.close(handle)
        same = False
    if not same:
        path.write_bytes(content)
