"""Private files: readable by their owner only, written whole or not at all, never through a symbolic link.

A file is written beside its target, flushed to the disk and renamed over it; the temporary name begins with a dot and
ends in ``.new``, and the next writing in that folder removes what a killed one has left there an hour or more ago. What
the system says becomes one of our errors, without content.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vault.errors import CannotRead, CannotWrite, DiskFull, KeyferryError, TargetExists, UnsafeTarget, VaultBusy

MEBIBYTE = 1 << 20
_POSIX = os.name == "posix"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_TEMPORARY = re.compile(r"\.keyferry-[0-9a-f]{16}\.new")
_ABANDONED = 3600  # seconds after which an unfinished file is nobody's


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write the file (0600 whatever the umask) whole or not at all; on the disk when this returns.

    Raises ``UnsafeTarget`` where a link or no regular file lies, ``TargetExists`` without ``replace``, ``CannotWrite``,
    ``DiskFull``.
    """
    with private_file(path, replace=replace) as file:
        file.write(data)


@contextmanager
def private_file(
    path: Path, *, replace: bool = True, beside: Path | None = None, proven: Callable[[Path], None] | None = None
) -> Iterator[BinaryIO]:
    """Give a binary file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    ``beside`` is the temporary file, if it must have a certain name. ``proven`` is called with it when everything is on
    the disk and nothing of it in the system's cache; if that raises, nothing is put in place. Raises as
    ``write_private``.
    """
    check_target(path, replace=replace)
    beside = beside or path.with_name(f".keyferry-{secrets.token_hex(8)}.new")
    sweep_abandoned(path.parent)
    with write_errors(path):
        try:
            handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            with open(handle, "wb") as file:
                if hasattr(os, "fchmod"):
                    with contextlib.suppress(PermissionError):  # some mounted file systems have no rights to set
                        os.fchmod(handle, 0o600)
                yield file
                file.flush()
                os.fsync(handle)
                if proven is not None and hasattr(os, "posix_fadvise"):
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            if proven is not None:
                proven(beside)
            _settle(beside, path, replace)
            _make_durable(path, replace)
        finally:
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)


def _make_durable(path: Path, replace: bool) -> None:
    """Flush the folder; a new name that may not last is taken back, so that an error means that nothing was written."""
    try:
        sync_folder(path.parent)
    except OSError:
        if not replace:
            with contextlib.suppress(OSError):
                path.unlink()
        raise


def check_target(path: Path, *, replace: bool = True) -> None:
    """Check that a file may be written at the path; raises ``UnsafeTarget``, ``TargetExists``, ``CannotWrite``."""
    with write_errors(path):
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return
    if stat.S_ISLNK(mode):
        raise UnsafeTarget(f"{path} is a symbolic link", hint="name the file it points to, or another one")
    if not stat.S_ISREG(mode):
        raise UnsafeTarget(f"{path} is not a regular file", hint="name a file")
    if not replace:
        raise TargetExists(f"{path} exists already", hint="name another file, or move this one away")


def check_writable(folder: Path) -> None:
    """Check that names can be made and removed in the folder; raises ``CannotWrite``, ``DiskFull``."""
    probe = folder / f".keyferry-{secrets.token_hex(8)}.new"
    sweep_abandoned(folder)
    with write_errors(folder):
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()


def read_file(path: Path, *, limit: int = MEBIBYTE) -> bytes:
    """Return the content of a small file or pipe; raises ``CannotRead``, also for more than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise CannotRead(f"there is no file {path}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = (getattr(error, "strerror", None) or "not a file name").lower()
        raise CannotRead(f"cannot read {path}: {reason}") from None
    if len(data) > limit:
        raise CannotRead(f"{path} is too large to be what it should be")
    return data


def make_private_folder(path: Path) -> tuple[Path, ...]:
    """Make the folder (0700) with its parents; returns the folders that were made, deepest first.

    An existing folder keeps its rights, except an empty one. Raises ``CannotWrite``, ``DiskFull``.
    """
    made: list[Path] = []
    with write_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        for folder in reversed(missing):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)
            made.insert(0, folder)
        if not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not made and not any(path.iterdir()):
            with contextlib.suppress(PermissionError):
                path.chmod(0o700)
    return tuple(made)


def sweep(folder: Path) -> None:
    """Remove what killed processes have left half-written in a vault's folder; the caller holds its lock."""
    with contextlib.suppress(OSError):
        for pattern in (".keyferry-*.new", ".vault.db.*.new*"):
            for left in folder.glob(pattern):
                left.unlink(missing_ok=True)


def sweep_abandoned(folder: Path) -> None:
    """Remove what writings killed long ago have left; one that still goes on is younger."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if (
                _TEMPORARY.fullmatch(entry.name)
                and time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED
            ):
                os.unlink(entry)


@contextmanager
def held(lock: Path, doing: str = "changing the keys of this vault") -> Iterator[None]:
    """Hold a lock file, so that only one process at a time does the thing; raises ``VaultBusy`` at once."""
    with write_errors(lock):
        flags = os.O_CREAT | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(lock, flags, 0o600)
    try:
        try:
            _lock(handle)
        except OSError:
            raise VaultBusy(f"another Keyferry process is {doing}", hint="wait until it is done, then retry") from None
        yield
    finally:
        os.close(handle)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the system's refusals inside the block into ``DiskFull`` or ``CannotWrite``."""
    try:
        yield
    except OSError as error:
        raise write_error(error, path) from None


def write_error(error: OSError, path: Path) -> KeyferryError:
    """Return our error for a refused write."""
    if error.errno in _FULL:
        return DiskFull(f"the disk is full; {path} was not written", hint="make room, then try again")
    reason = (error.strerror or "refused").lower()
    return CannotWrite(f"cannot write {path}: {reason}", hint="check the folder and its rights")


def sync_folder(folder: Path) -> None:
    """Make names in the folder durable, where the system knows how."""
    if not _POSIX:
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def _settle(beside: Path, path: Path, replace: bool) -> None:
    """Rename over the target, or give the name only if it is free."""
    if replace:
        os.replace(beside, path)
        return
    try:
        if _POSIX:
            os.link(beside, path, follow_symlinks=False)
        else:
            os.rename(beside, path)  # refuses an existing name there
    except FileExistsError:
        raise TargetExists(f"{path} exists already", hint="name another file") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        _claim(beside, path)  # FAT has no hard links


def _claim(beside: Path, path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise TargetExists(f"{path} exists already", hint="name another file") from None
    os.replace(beside, path)


if sys.platform == "win32":

    def _lock(handle: int) -> None:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:

    def _lock(handle: int) -> None:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
