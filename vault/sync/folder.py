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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vault import listentry, membership
from vault.errors import ForgedEntry, KeyferryError, PairingFailed, RelayUnreachable, TargetExists
from vault.files import make_private_folder, sweep_abandoned, sync_folder, write_private
from vault.sync import entry
from vault.sync.entry import Head
from vault.sync.travel import ENTRY, MEMBER, Heads, Message, Page

_MEMBER = re.compile(r"(\d{6})-([0-9a-f]{64})")
_ENTRY = re.compile(r"(\d{12})-([0-9a-f]{64})")
_DEVICE = re.compile(r"[0-9a-f]{32}")
_BLOB = re.compile(r"[0-9a-f]{64}")
_MOST_BLOB = 64 << 20
_MOST_FILES = 2_000_000
_MOST_MESSAGE = 32 << 20
_PAGE_BYTES = 32 << 20
_MOST_HEIGHT = 999_999
_OURS = ".keyferry-"  # half written
_SLOT = re.compile(r"keyferry-pair-[0-9a-f]{32}")
_LAST_MESSAGE = 7
_FORGOTTEN = 24 * 3600.0  # seconds


class Kept(Protocol):
    """What the vault has already; ``vault.sync.ways.Kept`` is one."""

    def upto(self, device: str) -> int: ...
    def settled(self, device: str) -> int: ...
    def hash_at(self, device: str, seq: int) -> bytes | None: ...
    def members(self) -> set[str]: ...


class Folder:
    """A folder as a transport for one vault; ``ignored`` counts files that are none of ours.

    ``begins`` is, once ``heads`` was asked, the first number of each device's log that lies here.
    """

    is_folder = True

    def __init__(self, path: Path, vault: str, *, kept: Kept | None = None) -> None:
        self.path = path.expanduser().absolute()
        self.name = f"folder {self.path}"
        self.ignored = 0
        self.begins: dict[str, int] = {}
        self._root = self.path / f"keyferry-{vault}"
        self._kept = kept

    def create(self, chain: Sequence[bytes]) -> None:
        """Make the vault's folder and put the chain into it."""
        self._check()
        for place in (self._root, self._root / "members", self._root / "log", self._root / "blobs"):
            make_private_folder(place)
        self._put_members(chain)

    def exists(self) -> bool:
        """Tell whether the vault has a folder here."""
        self._check()
        return _is_folder(self._root) and _is_folder(self._root / "members")

    def heads(self) -> Heads:
        """Return what lies here, by names and hashes, as far as no number is left out from the first one on."""
        members = sorted(self._members())
        devices = {}
        for device in self._devices():
            numbers = self._numbers(device)
            last = self.begins[device] = self._begin(device, numbers)
            while last + 1 in numbers:
                last += 1
            if last:
                devices[device] = Head(last, bytes.fromhex(self._known_of(device, last, numbers[last])))
        if not members:
            return Heads(0, b"", devices)
        known = self._kept.members() if self._kept is not None else set()
        height, newest = ([one for one in members if one[1] in known] or members)[-1]
        return Heads(int(height) + 1, bytes.fromhex(newest), devices)

    def _begin(self, device: str, numbers: Mapping[int, object]) -> int:
        """Return where a log begins here: where a settled snapshot has it, though others may still drop what is before.

        ``numbers`` are those of its files.
        """
        settled = self._kept.settled(device) if self._kept is not None else 0
        return settled if settled in numbers else min(numbers, default=0)

    def _known_of(self, device: str, number: int, hashes: Sequence[str]) -> str:
        """Return the hash that the vault has under this number; a stranger's file stands back."""
        known = self._kept.hash_at(device, number) if self._kept is not None else None
        return known.hex() if known is not None and known.hex() in hashes else hashes[-1]

    def _numbers(self, device: str) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for number, hash_ in sorted(self._names(self._root / "log" / device, _ENTRY)):
            found.setdefault(int(number), []).append(hash_)
        return found

    def pull(self, cursor: str) -> Page:
        """Return what the vault does not have yet; the cursor counts within one reading.

        Files of a folder that some program copies come in any order and sometimes half: a log is read as far as it has
        no gap, and what is not whole, or is nobody's, is looked at again the next time.
        """
        reached: dict[str, int] = json.loads(cursor) if cursor else {}
        messages: list[Message] = []
        if not reached:
            self.ignored = 0
            known = self._kept.members() if self._kept is not None else set()
            for height, hash_ in sorted(self._members()):
                if hash_ not in known:
                    self._take_member(messages, self._root / "members" / f"{height}-{hash_}", hash_)
        size = 0
        for device in self._devices():
            numbers = self._numbers(device)
            last = reached.get(device, self._kept.upto(device) if self._kept is not None else 0)
            last = max(last, min(numbers, default=0) - 1)  # what is before was dropped: a snapshot stands for it
            while last + 1 in numbers:
                before = len(messages)
                for hash_ in numbers[last + 1]:
                    self._take_entry(messages, device, last + 1, hash_)
                if len(messages) == before:
                    break
                last += 1
                reached[device] = last
                size += sum(len(data) for _, data in messages[before:])
                if size > _PAGE_BYTES:
                    return Page(tuple(messages), json.dumps(reached), more=True)
            reached[device] = last
        return Page(tuple(messages), "", more=False)

    def strange(self) -> int:
        """Return how many files here are none of ours, as far as that can be told without the vault's keys."""
        cursor, more = "", _is_folder(self._root)
        while more:
            page = self.pull(cursor)
            cursor, more = page.cursor, page.more
        known = {"members", "log", "blobs"}
        rest = sum(name not in known for name in _listed(self._root))
        rest += sum(not _DEVICE.fullmatch(name) for name in _listed(self._root / "log"))
        rest += sum(not _is_ours(_BLOB, name) for name in _listed(self._root / "blobs"))
        return self.ignored + rest

    def push(self, messages: Sequence[Message]) -> None:
        """Write each message as a file of its own, entries only after the membership they stand on."""
        self._check()
        members = [data for kind, data in messages if kind == MEMBER]
        if members:
            self._put_members(members)
        for kind, data in messages:
            if kind == ENTRY:
                header = entry.read_header(data)
                place = self._root / "log" / header.device
                make_private_folder(place)
                self._write(place / f"{header.seq:012d}-{header.hash.hex()}", data)

    def _put_members(self, entries: Sequence[bytes]) -> None:
        heights = {hash_: int(height) for height, hash_ in self._members()}
        for data in entries:
            hash_ = hashlib.sha256(data).hexdigest()
            link = membership.link_of(data)
            height = heights.get(link.hex(), len(heights) - 1) + 1 if link is not None else 0
            if hash_ not in heights:
                heights[hash_] = min(height, _MOST_HEIGHT)
            self._write(self._root / "members" / f"{heights[hash_]:06d}-{hash_}", data)

    def put_blob(self, name: str, data: bytes) -> None:
        """Write sealed bytes under their hash."""
        self._write(self._root / "blobs" / name, data)

    def get_blob(self, name: str) -> bytes | None:
        """Return sealed bytes, or None if they are not here yet."""
        if not _BLOB.fullmatch(name):
            return None
        return read_regular(self._root / "blobs" / name, _MOST_BLOB)

    def drop(self, before: Mapping[str, int]) -> None:
        """Remove the files of entries before these numbers; whoever needs them again is given the snapshot."""
        for device, number in before.items():
            place = self._root / "log" / device
            sweep_abandoned(place)
            names = sorted(_listed(place))  # the first one first: what is left has no gap
            old = [name for name in names if (found := _ENTRY.fullmatch(name)) and int(found[1]) < number]
            try:
                for name in old:
                    (place / name).unlink(missing_ok=True)
                if old:
                    sync_folder(place)
            except OSError:
                raise RelayUnreachable(
                    f"old entries in the {self.name} cannot be removed; nothing is lost",
                    hint="make the folder writable, then sync again",
                ) from None

    def wait(self, cursor: str, seconds: float) -> bool:
        """Look each second until another file lies here."""
        until, before = time.monotonic() + seconds, self._all_names()
        while time.monotonic() < until:
            time.sleep(1.0)
            if self._all_names() - before:
                return True
        return False

    def _all_names(self) -> set[str]:
        log = {f"{one}/{name}" for one in self._devices() for name in _listed(self._root / "log" / one)}
        return log | set(_listed(self._root / "members"))

    def _check(self) -> None:
        if not self.path.is_dir() or self.path.is_symlink():
            raise RelayUnreachable(f"the folder {self.path} is not here", hint="plug the drive in, or make the folder")

    def _members(self) -> Iterator[tuple[str, str]]:
        return self._names(self._root / "members", _MEMBER)

    def _devices(self) -> list[str]:
        return sorted(name for name in _listed(self._root / "log") if _DEVICE.fullmatch(name))

    def _names(self, place: Path, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
        for name in _listed(place):
            found = pattern.fullmatch(name)
            if found is not None:
                yield found[1], found[2]
            else:
                self.ignored += not name.startswith(_OURS)

    def _take_member(self, messages: list[Message], path: Path, hash_: str) -> None:
        data = self._whole(path, listentry.MOST_ENTRY_BYTES, hash_)
        try:
            membership.link_of(data or b"")
        except ValueError:
            if not membership.is_of_other_version(data or b""):  # who takes it in tells people to update
                self.ignored += 1
                return
        messages.append((MEMBER, data or b""))

    def _take_entry(self, messages: list[Message], device: str, number: int, hash_: str) -> None:
        data = self._whole(self._root / "log" / device / f"{number:012d}-{hash_}", entry.MOST_BYTES, hash_)
        try:
            header = entry.read_header(data or b"")
            is_here = (header.device, header.seq) == (device, number)
        except ForgedEntry:
            is_here = entry.is_of_other_version(data or b"")  # who takes it in tells people to update
        if is_here:
            messages.append((ENTRY, data or b""))
        else:
            self.ignored += 1

    def _whole(self, path: Path, most: int, hash_: str) -> bytes | None:
        """Return the file if it is what its name says, not half copied and nobody's joke."""
        data = read_regular(path, most)
        return data if data is not None and hashlib.sha256(data).hexdigest() == hash_ else None

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file that is named by its content; one that was damaged is put right."""
        if not _is_folder(path.parent):
            raise RelayUnreachable(f"{path.parent} is no folder", hint="look into it, and take away what is in the way")
        try:
            with contextlib.suppress(TargetExists):
                write_private(path, data, replace=False)
                return
            if read_regular(path, len(data)) != data:
                write_private(path, data, replace=True)
        except KeyferryError as error:
            raise RelayUnreachable(f"the {self.name} cannot be written: {error.message}", hint=error.hint) from None


class FolderChannel:
    """A pair of devices talking through files in a folder, each written once, by the one whose turn it is."""

    def __init__(self, path: Path, slot: str, seconds: float, *, wait: Callable[[float], None] = time.sleep) -> None:
        self._folder = path.expanduser().absolute()
        self._place = self._folder / f"keyferry-pair-{slot}"
        self._until = time.monotonic() + seconds
        self._wait = wait
        self._is_over = False

    def begin(self) -> None:
        """Make the slot; what was left of slots of other days goes."""
        for name in _listed(self._folder):
            if _SLOT.fullmatch(name) and _age(self._folder / name) > _FORGOTTEN:
                _clear(self._folder / name)
        self._write("begun", b"1")

    def put(self, number: int, data: bytes) -> None:
        """Write the message of that number."""
        if not _is_folder(self._place):
            raise PairingFailed(
                f"the folder {self._folder} does not have the meeting place that the code names",
                hint="name the folder that the other device uses, and wait until it is copied",
            )
        self._write(f"{number}", data)

    def get(self, number: int) -> bytes:
        """Wait for the message of that number."""
        while True:
            if os.path.lexists(self._place / "burnt"):
                raise PairingFailed("the other device gave up", hint="begin again: keyferry device pair")
            data = read_regular(self._place / f"{number}", _MOST_MESSAGE)
            if data:
                self._is_over = number == _LAST_MESSAGE
                return data
            if time.monotonic() > self._until:
                raise PairingFailed("the other device did not answer in time", hint="begin again: keyferry device pair")
            self._wait(0.2)

    def burn(self) -> None:
        """Make the slot useless."""
        with contextlib.suppress(KeyferryError):
            if _is_folder(self._place):
                write_private(self._place / "burnt", b"1", replace=True)

    def close(self) -> None:
        """Remove the slot, if its last message was read."""
        if self._is_over:
            _clear(self._place)

    def _write(self, name: str, data: bytes) -> None:
        try:
            make_private_folder(self._place)
            write_private(self._place / name, data, replace=False)
        except KeyferryError as error:
            raise PairingFailed(f"the folder cannot be used: {error.message}", hint=error.hint) from None


def _clear(slot: Path) -> None:
    """Remove a slot and its files; of one that is a link nothing."""
    with contextlib.suppress(OSError):
        for name in _listed(slot):
            (slot / name).unlink()
        slot.rmdir()


def _age(path: Path) -> float:
    """Return how many seconds ago something was written."""
    try:
        return time.time() - os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _is_folder(path: Path) -> bool:
    """Tell whether this is a folder and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _listed(place: Path) -> list[str]:
    """Return the names in a folder; none in one that is not there, or is a link."""
    try:
        return os.listdir(place)[:_MOST_FILES] if _is_folder(place) else []
    except OSError:
        return []


def _is_ours(pattern: re.Pattern[str], name: str) -> bool:
    return pattern.fullmatch(name) is not None or name.startswith(_OURS)


def read_regular(path: Path, most: int) -> bytes | None:
    """Return the content of a regular file that is no link and no larger than that, or None."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode) or state.st_size > most:
            return None
        with open(handle, "rb", closefd=False) as file:
            return file.read(most)
    except OSError:
        return None
    finally:
        os.close(handle)
