"""The dumb folder as a way between devices: a stick, a share, a folder that some other program copies.

    keyferry-<vault id>/members/<height>-<hash>      membership entries
    keyferry-<vault id>/log/<device>/<seq>-<hash>    entries
    keyferry-<vault id>/blobs/<sha256>               attachments, sealed

Each file is named by what is in it and never written again; a name that is there is left alone. Others may write into
the folder, so links are not followed, only regular files of a right size and name are read, and anything else is
counted and ignored. Fewer files than before is told, never taken for a deletion.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vault.errors import KeyferryError, PairingFailed, RelayUnreachable, TargetExists
from vault.files import make_private_folder, write_private
from vault.sync import entry
from vault.sync.engine import ENTRY, MEMBER, Message
from vault.sync.entry import Head
from vault.sync.travel import Heads, Page

_MEMBER = re.compile(r"(\d{6})-([0-9a-f]{64})")
_ENTRY = re.compile(r"(\d{12})-([0-9a-f]{64})")
_DEVICE = re.compile(r"[0-9a-f]{32}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_MOST_BLOB = 64 << 20
_MOST_FILES = 2_000_000
_MOST_MESSAGE = 32 << 20


class Folder:
    """A folder as a transport for one vault; ``ignored`` counts files that are none of ours."""

    def __init__(self, path: Path, vault: str) -> None:
        self.path = path.expanduser().absolute()
        self.name = f"folder {self.path}"
        self.ignored = 0
        self._root = self.path / f"keyferry-{vault}"

    def create(self, chain: Sequence[bytes]) -> None:
        """Make the vault's folder and put the chain into it."""
        self._check()
        for place in (self._root, self._root / "members", self._root / "log", self._root / "blobs"):
            make_private_folder(place)
        self._put_members(0, chain)

    def exists(self) -> bool:
        """Tell whether the vault has a folder here."""
        self._check()
        return (self._root / "members").is_dir()

    def heads(self) -> Heads:
        """Return what lies here, by names and hashes; what the entries say is not checked."""
        members = sorted(self._members())
        devices = {}
        for device in self._devices():
            newest = max(self._names(self._root / "log" / device, _ENTRY), default=None)
            if newest is not None:
                devices[device] = Head(int(newest[0]), bytes.fromhex(newest[1]))
        if not members:
            return Heads(0, b"", devices)
        return Heads(int(members[-1][0]) + 1, bytes.fromhex(members[-1][1]), devices)

    def pull(self, cursor: str) -> Page:
        """Return everything that was not returned before; the cursor tells what was.

        Files of a folder that some program copies come in any order and sometimes half: a log is read as far as it has
        no gap, a file that is not whole is looked at again the next time.
        """
        seen: dict[str, Any] = json.loads(cursor) if cursor else {}
        messages: list[Message] = []
        known = set(seen.get("members", []))
        for height, hash_ in sorted(self._members()):
            if hash_ not in known and self._take(messages, MEMBER, self._root / "members" / f"{height}-{hash_}", hash_):
                known.add(hash_)
        reached: dict[str, Any] = {**seen, "members": sorted(known)}
        for device in self._devices():
            place = self._root / "log" / device
            last = seen.get(device, 0)
            for number, hash_ in sorted(self._names(place, _ENTRY)):
                if int(number) > last + 1:
                    break
                if int(number) > seen.get(device, 0):
                    if not self._take(messages, ENTRY, place / f"{number}-{hash_}", hash_):
                        break
                    last = int(number)
            reached[device] = last
        return Page(tuple(messages), json.dumps(reached), more=False)

    def push(self, messages: Sequence[Message]) -> None:
        """Write each message as a file of its own, entries only after the membership they stand on."""
        self._check()
        members = [data for kind, data in messages if kind == MEMBER]
        if members:
            self._put_members(None, members)
        for kind, data in messages:
            if kind == ENTRY:
                header = entry.read_header(data)
                place = self._root / "log" / header.device
                make_private_folder(place)
                self._write(place / f"{header.seq:012d}-{header.hash.hex()}", data)

    def _put_members(self, start: int | None, entries: Sequence[bytes]) -> None:
        known = {hash_ for _, hash_ in self._members()}
        height = start if start is not None else max((int(one) for one, _ in self._members()), default=-1) + 1
        for data in entries:
            hash_ = hashlib.sha256(data).hexdigest()
            if hash_ not in known:
                self._write(self._root / "members" / f"{height:06d}-{hash_}", data)
            height += start is not None or hash_ not in known

    def put_blob(self, name: str, data: bytes) -> None:
        """Write sealed bytes under their hash."""
        self._write(self._root / "blobs" / name, data)

    def get_blob(self, name: str) -> bytes | None:
        """Return sealed bytes, or None if they are not here yet."""
        if not _BLOB.fullmatch(name):
            return None
        return read_regular(self._root / "blobs" / name, _MOST_BLOB)

    def wait(self, cursor: str, seconds: float) -> bool:
        """Look each second until something new lies here."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(KeyferryError):
                if self.pull(cursor).messages:
                    return True
            time.sleep(1.0)
        return False

    def _check(self) -> None:
        if not self.path.is_dir() or self.path.is_symlink():
            raise RelayUnreachable(f"the folder {self.path} is not here", hint="plug the drive in, or make the folder")

    def _members(self) -> Iterator[tuple[str, str]]:
        return self._names(self._root / "members", _MEMBER)

    def _devices(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._root / "log") if _DEVICE.fullmatch(name))
        except OSError:
            return []

    def _names(self, place: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        try:
            names = os.listdir(place)[:_MOST_FILES]
        except OSError:
            return
        for name in names:
            found = pattern.fullmatch(name)
            if found is None:
                self.ignored += not name.startswith(".keyferry-")
                continue
            yield found[1], found[2]

    def _take(self, messages: list[Message], kind: bytes, path: Path, hash_: str) -> bool:
        data = read_regular(path, entry.MOST_BYTES)
        if data is None or hashlib.sha256(data).hexdigest() != hash_:
            self.ignored += 1  # half copied, or somebody's joke
            return False
        messages.append((kind, data))
        return True

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_private(path, data, replace=False)
        except TargetExists:
            return
        except KeyferryError as error:
            raise RelayUnreachable(f"{self.name} cannot be written: {error.message}", hint=error.hint) from None


class FolderChannel:
    """A pair of devices talking through files in a folder, each written once, by the one whose turn it is."""

    def __init__(self, path: Path, slot: str, seconds: float, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._place = path.expanduser().absolute() / f"keyferry-pair-{slot}"
        self._until = time.monotonic() + seconds
        self._wait = wait

    def put(self, number: int, data: bytes) -> None:
        """Write the message of that number."""
        try:
            make_private_folder(self._place)
            write_private(self._place / f"{number}", data, replace=False)
        except KeyferryError as error:
            raise PairingFailed(f"the folder cannot be used: {error.message}", hint=error.hint) from None

    def get(self, number: int) -> bytes:
        """Wait for the message of that number."""
        while True:
            if (self._place / "burnt").exists():
                raise PairingFailed("the other device gave up", hint="begin again: keyferry device pair")
            data = read_regular(self._place / f"{number}", _MOST_MESSAGE)
            if data:
                return data
            if time.monotonic() > self._until:
                raise PairingFailed("the other device did not answer in time", hint="begin again: keyferry device pair")
            self._wait(0.2)

    def burn(self) -> None:
        """Make the slot useless."""
        with contextlib.suppress(KeyferryError):
            make_private_folder(self._place)
            write_private(self._place / "burnt", b"1", replace=True)

    def close(self) -> None:
        """Nothing to do: the other side may still read."""

    def clear(self) -> None:
        """Remove the slot's files."""
        with contextlib.suppress(OSError):
            for one in self._place.iterdir():
                one.unlink()
            self._place.rmdir()


def read_regular(path: Path, most: int) -> bytes | None:
    """Return the content of a regular file that is no link and no larger than that, or None."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            return None
        try:
            return file.read(most)
        except OSError:
            return None
