"""ZIP files, opened with limits on count, size, ratio and names; nothing is ever unpacked to disk."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from vault.errors import DamagedExport, UnsafeExport

MAX_MEMBERS = 100_000
MAX_MEMBER = 2 << 30  # bytes, unpacked
MAX_TOTAL = 8 << 30  # bytes, unpacked
MAX_RATIO = 1000  # unpacked to packed; text reaches 200, a bomb more
_RATIO_FROM = 10 << 20  # small members may pack as well as they like
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError)


class Archive:
    """A ZIP container; names are as written, folders and system leftovers left out."""

    def __init__(self, data: bytes, name: str) -> None:
        """Open and check the container.

        Raises ``DamagedExport`` where it is cut off, ``UnsafeExport`` where it is built to do harm.
        """
        self.name, self.data = name, data
        if _claimed_members(data) > MAX_MEMBERS:
            raise UnsafeExport(f"{name} has more than {MAX_MEMBERS:,} members", hint=_HINT)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except (*_DAMAGE, OverflowError):
            raise DamagedExport(f"{name} is a ZIP file that is cut off or damaged", hint="export again") from None
        infos = [info for info in self._zip.infolist() if _counts(info)]
        self._members = {info.filename: info for info in infos}
        if len(self._members) != len(infos):
            raise UnsafeExport(f"{name} has two members of one name", hint=_HINT)
        self._check(infos)

    def _check(self, infos: list[zipfile.ZipInfo]) -> None:
        for info in infos:
            if not is_safe_name(info.filename) or (info.external_attr >> 16) & 0o170000 == 0o120000:
                raise UnsafeExport(f"{self.name} has a member whose path leads out of its folder", hint=_HINT)
            packed = max(info.compress_size, 1)
            bomb = info.file_size > _RATIO_FROM and info.file_size / packed > MAX_RATIO
            if bomb or info.file_size > MAX_MEMBER:
                raise UnsafeExport(f"{self.name} unpacks to far more than it says it holds", hint=_HINT)
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # LZMA may ask for 4 GiB first
                raise UnsafeExport(f"{self.name} is packed in a way that no product uses", hint=_HINT)
            if info.flag_bits & 1:
                raise DamagedExport(f"{self.name} is an encrypted ZIP", hint="unpack it with its own program first")
        total = sum(info.file_size for info in infos)
        if total > _RATIO_FROM and total / len(self.data) > MAX_RATIO:  # members that share their bytes
            raise UnsafeExport(f"{self.name} unpacks to far more than it says it holds", hint=_HINT)
        if total > MAX_TOTAL:
            raise UnsafeExport(f"{self.name} unpacks to more than {MAX_TOTAL >> 30} GiB", hint=_HINT)

    @property
    def names(self) -> list[str]:
        """Return the member names in the order of the container."""
        return list(self._members)

    def size(self, member: str) -> int:
        """Return a member's unpacked size in bytes."""
        return self._members[member].file_size

    def read(self, member: str) -> bytes:
        """Return a member's bytes; raises ``DamagedExport`` where its checksum fails or it is cut off."""
        info = self._members[member]
        try:
            with self._zip.open(info) as stream:
                data = stream.read(info.file_size + 1)
        except _DAMAGE:
            raise DamagedExport(f"{self.name} has a damaged member", hint="export again") from None
        if len(data) != info.file_size:
            raise UnsafeExport(f"{self.name} unpacks to more than it says it holds", hint=_HINT)
        return data


_HINT = "this is no export a product makes; get the file again from where you trust it"


def is_safe_name(name: str) -> bool:
    """Whether a member's name stays inside its folder on every system."""
    parts = name.replace("\\", "/").split("/")
    return not (name.startswith(("/", "\\")) or ".." in parts or (len(name) > 1 and name[1] == ":") or "\0" in name)


def _counts(info: zipfile.ZipInfo) -> bool:
    is_litter = info.filename.startswith("__MACOSX/") or info.filename.rpartition("/")[2] == ".DS_Store"
    return not info.is_dir() and not is_litter


def _claimed_members(data: bytes) -> int:
    """Return how many members there are, before the library builds its list of a million.

    The end record says so, but may lie; the library goes by the size of the directory, so its entries count too.
    """
    at = data.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > len(data):
        return 0
    claimed: int
    claimed, size = struct.unpack_from("<HI", data, at + 10)
    wide = data.rfind(b"PK\x06\x06", 0, at) if claimed == 0xFFFF or size == 0xFFFFFFFF else -1
    if wide >= 0 and wide + 56 <= at:
        claimed, size = struct.unpack_from("<QQ", data, wide + 32)
        at = wide
    listed: int = data.count(b"PK\x01\x02", max(0, at - size), at)
    return max(claimed, listed)
