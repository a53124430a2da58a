"""Where file systems are attached: the system's mount table as values, read anew at each call.

Rules:
1. A drive is known by the UUID of its file system (``volume``), never by its path: another stick may lie there.
2. Only what a path can still reach is listed; a mount that another one hides is not.
3. The kind of the file system tells whether the kernel reports changes (``is_network``) and whether private rights
   hold (``has_rights``). What is not known counts as local and with rights.

Linux reads ``/proc/self/mountinfo`` and ``/dev/disk/by-uuid``. macOS and Windows are written from documentation and
were never run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

_TABLE, _BY_UUID, _BLOCK = Path("/proc/self/mountinfo"), Path("/dev/disk/by-uuid"), Path("/sys/class/block")
_NETWORK = frozenset(
    {
        *(
            "nfs",
            "nfs4",
            "cifs",
            "smb3",
            "smbfs",
            "afpfs",
            "webdav",
            "davfs",
            "davfs2",
            "9p",
            "virtiofs",
            "afs",
            "ncpfs",
        ),
        *("ceph", "glusterfs", "lustre", "gfs2", "ocfs2", "coda", "beegfs", "orangefs", "vboxsf", "prl_fs", "sshfs"),
        *("fuse", "macfuse", "osxfuse", "remote"),
    }
)
_WITHOUT_RIGHTS = frozenset(
    {
        *(
            "vfat",
            "msdos",
            "fat",
            "fat32",
            "exfat",
            "ntfs",
            "ntfs3",
            "fuseblk",
            "hfs",
            "iso9660",
            "udf",
            "9p",
            "vboxsf",
        ),
        *("cifs", "smb3", "smbfs", "webdav", "davfs", "davfs2", "fuse", "macfuse", "osxfuse"),
    }
)
_FUSE_WITH_RIGHTS = frozenset(
    f"fuse.{name}" for name in ("sshfs", "glusterfs", "ceph", "mergerfs", "bindfs", "encfs", "gocryptfs", "cryfs")
)
_ESCAPED = re.compile(rb"\\([0-7]{3})")
_IN_WORDS = re.compile(r"(?P<device>.+?) on (?P<point>/.*) \((?P<kind>[^,()]+)(, [^()]*)?\)")  # the BSD program


class Mount(msgspec.Struct, frozen=True):
    """One attached file system; ``volume`` is its UUID, or '' where it has none (tmpfs, overlay, network)."""

    point: Path
    device: str
    kind: str
    volume: str = ""
    number: str = ""  # the kernel's major:minor, where it tells


def mounts() -> tuple[Mount, ...]:
    """Return what is attached now, in the system's order; raises ``OSError`` where the table cannot be read."""
    if sys.platform == "win32":
        return _drives()
    if sys.platform == "darwin":
        told = subprocess.run(["/sbin/mount"], capture_output=True, text=True, timeout=20, check=False).stdout
        return read_words(told)
    return read_table(_TABLE.read_bytes(), volumes())


def mount_of(path: Path, table: Sequence[Mount] | None = None) -> Mount:
    """Return the mount that holds the path, links resolved; the path itself need not exist.

    Raises ``LookupError`` where no mount holds it.
    """
    real = Path(os.path.realpath(path))
    holding = [one for one in (mounts() if table is None else table) if real.is_relative_to(one.point)]
    if not holding:
        raise LookupError("no mounted file system holds this path")
    # Of several at one point, the last one is on top.
    found = max(enumerate(holding), key=lambda pair: (len(pair[1].point.parts), pair[0]))[1]
    if sys.platform == "darwin":
        return msgspec.structs.replace(found, volume=_volume_on_macos(found))
    return found


def same_disk(a: Path, b: Path) -> bool:
    """Tell whether one broken disk takes both paths with it, as far as the system tells; partitions count as one."""
    table = mounts()
    first, second = mount_of(a, table), mount_of(b, table)
    if first == second or (first.number and first.number == second.number):
        return True
    disks, others = disks_of(first.device), disks_of(second.device)
    if disks and others:
        return bool(disks & others)
    return first.device == second.device and (not first.number or is_network(first.kind))


def is_network(kind: str) -> bool:
    """Tell whether changes made elsewhere reach the files unreported: network shares, and FUSE as it may be one."""
    return kind.lower() in _NETWORK or kind.lower().startswith("fuse.")


def has_rights(kind: str) -> bool:
    """Tell whether a file of this kind of file system can be kept from other users of the machine."""
    kind = kind.lower()
    return kind in _FUSE_WITH_RIGHTS or not (kind in _WITHOUT_RIGHTS or kind.startswith("fuse."))


def read_table(text: bytes, by_device: Mapping[str, str]) -> tuple[Mount, ...]:
    """Return the mounts of a ``mountinfo`` text that paths can reach; ``by_device`` gives UUIDs by real device path.

    A line that does not look like one is passed over.
    """
    lines = [line for raw in text.splitlines() if (line := _line(raw)) is not None]
    return tuple(_mount(line, by_device) for line in _reached(lines))


def read_words(text: str) -> tuple[Mount, ...]:
    """Return the mounts that the BSD program ``mount`` tells, as on macOS."""
    found = (_IN_WORDS.fullmatch(line) for line in text.splitlines())
    return tuple(Mount(Path(one["point"]), one["device"], one["kind"]) for one in found if one)


def volumes(folder: Path = _BY_UUID) -> dict[str, str]:
    """Return the UUID of each file system by the real path of its device; empty where the system keeps no such list."""
    try:
        with os.scandir(folder) as entries:
            return {os.path.realpath(entry.path): entry.name for entry in entries}
    except OSError:
        return {}


def disks_of(device: str, blocks: Path = _BLOCK) -> frozenset[str]:
    """Return the names of the disks under a device: of a partition its disk, of a mapped device all that bear it."""
    return _disks(blocks / os.path.basename(os.path.realpath(device)) if device.startswith("/dev/") else None)


class _Line(msgspec.Struct, frozen=True):
    """What a line of ``mountinfo`` says, its names as they are on the disk."""

    id: str
    parent: str
    number: str
    point: Path
    kind: str
    device: str


def _line(raw: bytes) -> _Line | None:
    fields = raw.split(b" ")
    if len(fields) < 10 or b"-" not in fields[6:]:
        return None
    kind, device = fields[fields.index(b"-", 6) + 1 :][:2]
    number, point, kind, device = map(_unescaped, (fields[2], fields[4], kind, device))
    return _Line(fields[0].decode(), fields[1].decode(), os.fsdecode(number), *_names(point, kind, device))


def _names(point: bytes, kind: bytes, device: bytes) -> tuple[Path, str, str]:
    return Path(os.fsdecode(point)), os.fsdecode(kind), os.fsdecode(device)


def _unescaped(field: bytes) -> bytes:
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8) & 0xFF]), field)


def _reached(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Yield the mounts that a path can reach: nothing lies on their root, nor on a folder between them and the top."""
    by_id = {line.id: line for line in lines}
    beside: defaultdict[str, set[Path]] = defaultdict(set)
    for line in lines:
        beside[line.parent].add(line.point)
    covered = {
        line.parent
        for line in lines
        if line.id != line.parent and line.parent in by_id and by_id[line.parent].point == line.point
    }
    for line in lines:
        if line.id not in covered and not any(_is_under(one, beside) for one in _ways_up(line, by_id)):
            yield line


def _is_under(line: _Line, beside: Mapping[str, set[Path]]) -> bool:
    return any(point in beside[line.parent] for point in line.point.parents)


def _ways_up(line: _Line, by_id: Mapping[str, _Line]) -> Iterator[_Line]:
    """Yield the mount and those it lies on; a table that leads in a circle ends."""
    seen: set[str] = set()
    above: _Line | None = line
    while above is not None and above.id not in seen:
        yield above
        seen.add(above.id)
        above = by_id.get(above.parent)


def _mount(line: _Line, by_device: Mapping[str, str]) -> Mount:
    volume = by_device.get(os.path.realpath(line.device), "") if line.device.startswith("/") else ""
    return Mount(line.point, line.device, line.kind, volume, line.number)


def _disks(block: Path | None) -> frozenset[str]:
    """Return the disks under an entry of ``/sys/class/block``."""
    if block is None or not block.exists():
        return frozenset()
    real = Path(os.path.realpath(block))
    if (real / "partition").exists():
        return frozenset({real.parent.name})
    bearing = sorted((real / "slaves").iterdir()) if (real / "slaves").is_dir() else []
    return frozenset().union(*map(_disks, bearing)) if bearing else frozenset({real.name})


def _volume_on_macos(mount: Mount) -> str:
    """Ask for the UUID of one volume; '' where there is none."""
    import plistlib

    call = ["/usr/sbin/diskutil", "info", "-plist", str(mount.point)]
    try:
        told = plistlib.loads(subprocess.run(call, capture_output=True, timeout=20, check=True).stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return str(told.get("VolumeUUID", ""))


if sys.platform == "win32":

    def _drives() -> tuple[Mount, ...]:
        """Return the drives with letters; ``volume`` is the serial number in hexadecimal."""
        import ctypes

        kernel = ctypes.windll.kernel32
        letters = [chr(65 + bit) for bit in range(26) if kernel.GetLogicalDrives() >> bit & 1]
        return tuple(mount for letter in letters if (mount := _drive(kernel, f"{letter}:\\")) is not None)

    def _drive(kernel: Any, root: str) -> Mount | None:
        import ctypes

        kind, serial = ctypes.create_unicode_buffer(261), ctypes.c_uint32()
        if not kernel.GetVolumeInformationW(root, None, 0, ctypes.byref(serial), None, None, kind, 261):
            return None  # an empty card reader
        remote = kernel.GetDriveTypeW(root) == 4
        return Mount(Path(root), root, "remote" if remote else kind.value, "" if remote else f"{serial.value:08x}")

else:

    def _drives() -> tuple[Mount, ...]:
        return ()
