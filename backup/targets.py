"""The folders that backups go to: known by a marker file with an id, never by their path alone.

A drive that is away leaves an empty folder at its mount point; another stick may lie there. So nothing is written to a
folder without the right marker, and a target whose volume is known is looked for wherever that volume is now. Links are
not followed at the last step; the folder is the owner's alone where the file system has rights.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from backup import mounts
from backup.book import LOCAL, Book, Target
from vault.errors import CannotRead, NoTarget, TargetMissing, UnsafeTarget, UsageError
from vault.files import make_private_folder, read_file, write_errors, write_private
from vault.moment import Instant

MARKER = ".keyferry-target"
NAME = re.compile(r"keyferry-(\d{8}T\d{6}Z)-([0-9a-f]{8})\.keyferry")
_PARTIAL = re.compile(r"\.keyferry-(?P<tag>[0-9a-f]{8})-[0-9a-f]{16}\.partial")
_ABANDONED = 24 * 3600  # seconds after which another device's unfinished file is nobody's


def set_name(made_at: Instant, set_id: str) -> str:
    """Return the file name of a set: its time and the beginning of its random id, and nothing else."""
    return f"keyferry-{re.sub('[-:]', '', made_at)}-{set_id[:8]}.keyferry"


def partial_name(tag: str) -> str:
    """Return a fresh name for a file in the making; the tag tells whose it is."""
    return f".keyferry-{tag}-{secrets.token_hex(8)}.partial"


def add(book: Book, path: Path, *, append_only: bool = False, force: bool = False) -> Target:
    """Make the folder a target and return it; a folder that is one already, or lost its marker, keeps its id.

    What is append-only stays so. Raises ``UsageError`` (it is in the book), ``UnsafeTarget`` (open to others, without
    ``force``; no folder), ``CannotWrite``, ``DiskFull``.
    """
    named = Path(os.path.expanduser(path)).absolute()
    path = _real(named)
    if named.is_symlink():
        raise UnsafeTarget(f"{named} is a symbolic link", hint=f"name the folder itself: {path}")
    with write_errors(path):
        if path.exists() and not path.is_dir():
            raise UnsafeTarget(f"{path} is not a folder", hint="name a folder")
        if path.exists() and any(path.iterdir()) and not force:
            _check_rights(path)
    make_private_folder(path)
    marked = marker_of(path)
    known = book.target(marked) if marked else next((one for one in book.targets if one.path == str(path)), None)
    if marked and known is not None and not (known.path != str(path) and _is_gone(Path(known.path))):
        raise UsageError("this folder is a backup target already", hint="keyferry backup target list")
    target = known or Target(id=marked or secrets.token_hex(8), path=str(path))
    if marked is None:
        mark(path, target.id)
    return _placed(target, path, append_only=append_only or target.append_only)


def mark(path: Path, target_id: str) -> None:
    """Write the marker into a folder that has none."""
    text = json.dumps({"keyferry-target": 1, "id": target_id}) + "\n"
    write_private(path / MARKER, text.encode(), replace=False)


def marker_of(path: Path) -> str | None:
    """Return the id in the folder's marker, or None; a link, or anything that is no marker, counts as none."""
    marker = path / MARKER
    try:
        if not stat.S_ISREG(os.lstat(marker).st_mode):
            return None
        found = json.loads(read_file(marker, limit=4096))
        target_id = found["id"] if found["keyferry-target"] == 1 else None
    except (OSError, CannotRead, ValueError, KeyError, TypeError, RecursionError):
        return None
    return target_id if isinstance(target_id, str) and re.fullmatch(r"[0-9a-f]{16}|local", target_id) else None


def locate(target: Target) -> Path:
    """Return the folder where the target is now. Raises ``TargetMissing``, ``UnsafeTarget``."""
    path = Path(target.path)
    if target.id == LOCAL and (not os.path.lexists(path) or _is_half_made(target, path)):
        make_private_folder(path)
        mark(path, LOCAL)
    for place in _places(target):
        if marker_of(place) == target.id and stat.S_ISDIR(os.lstat(place).st_mode):
            return place
    if path.is_symlink():
        raise UnsafeTarget(f"the backup target {path} has become a symbolic link", hint="put the folder back")
    if target.volume:
        raise TargetMissing(f"the drive of the backup target {path} is not here", hint="plug it in")
    if not path.exists():
        raise TargetMissing(f"the backup target {path} is gone", hint="put it back, or keyferry backup target remove")
    raise TargetMissing(
        f"the folder {path} is not the backup target it was: its marker {MARKER} is missing",
        hint=f"if it is the right one: keyferry backup target add {path}",
    )


def _is_half_made(target: Target, path: Path) -> bool:
    """Tell whether whoever made the folder was killed before it had its marker: nothing was ever written there."""
    if target.copies or path.is_symlink():
        return False
    try:
        return all(name.startswith(".keyferry-") and name.endswith(".new") for name in os.listdir(path))
    except OSError:
        return False


def moved(target: Target, place: Path) -> Target:
    """Return the target with the place where it was found."""
    return target if str(place) == target.path else _placed(target, place, append_only=target.append_only)


def find(book: Book, text: str) -> Target:
    """Return the target a person means: its id, its path, or the path's last part. Raises ``NoTarget``."""
    path = str(_real(Path(os.path.expanduser(text))))
    for test in (lambda one: one.id == text or one.path == path, lambda one: Path(one.path).name == text):
        found = [target for target in book.targets if test(target)]
        if len(found) == 1:
            return found[0]
    raise NoTarget(f"there is no backup target {text}", hint="keyferry backup target list")


def files(place: Path) -> Iterator[Path]:
    """Yield the files in a folder whose names are those of sets: regular ones, not links."""
    try:
        names = sorted(os.listdir(place))
    except OSError as error:
        raise CannotRead(f"cannot read {place}: {(error.strerror or 'refused').lower()}") from None
    for name in names:
        if NAME.fullmatch(name) and _is_regular(place / name):
            yield place / name


def sweep(place: Path, tag: str) -> None:
    """Remove what killed processes have left half-written here: this vault's at once, others' after a day."""
    try:
        names = os.listdir(place)
    except OSError:
        return
    for name in names:
        found = _PARTIAL.fullmatch(name)
        if found is None:
            continue
        try:
            old = time.time() - os.lstat(place / name).st_mtime > _ABANDONED
            if found["tag"] == tag or old:
                (place / name).unlink()
        except OSError:
            continue


def room(place: Path) -> int:
    """Return the free bytes where the folder is; raises ``CannotRead``."""
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise CannotRead(f"cannot read {place}: {(error.strerror or 'refused').lower()}") from None


def _places(target: Target) -> Iterator[Path]:
    yield Path(target.path)
    if target.volume:
        try:
            found = mounts.mounts()
        except OSError:
            return
        for mount in found:
            if mount.volume == target.volume:
                yield mount.point / target.inside


def _placed(target: Target, place: Path, *, append_only: bool) -> Target:
    volume, inside = "", ""
    try:
        mount = mounts.mount_of(place)
    except (OSError, LookupError):
        mount = None
    if mount is not None and mount.volume and mount.point != Path("/"):
        volume, inside = mount.volume, str(place.relative_to(mount.point))
    return msgspec.structs.replace(
        target, path=str(place), append_only=append_only, volume=volume, inside=inside, trouble=""
    )


def _check_rights(path: Path) -> None:
    """Refuse a folder that others may read or write, where its file system has rights."""
    if os.name != "posix":
        return
    try:
        rightless = not mounts.has_rights(mounts.mount_of(path).kind)
    except (OSError, LookupError):
        rightless = False
    mode = path.stat().st_mode
    if not rightless and mode & 0o077:
        raise UnsafeTarget(
            f"others on this machine can look into {path}", hint=f"chmod 700 {path}, or add it with --force"
        )


def _real(path: Path) -> Path:
    # Path.resolve raises where links go round in a circle.
    return Path(os.path.realpath(path))


def _is_gone(path: Path) -> bool:
    return not os.path.lexists(path)


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
