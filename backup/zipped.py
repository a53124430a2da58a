"""The ZIP inside a backup, as exactly one sequence of bytes: written and read front to back, never sought in.

Every local header holds CRC and sizes, so a member can be taken as it arrives; times, rights and versions are fixed.
The reader builds the directory at the end by itself and compares: nothing can hide in it. ZIP64 records stand where
the numbers need them, and nowhere else. The names are ASCII.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Generator, Sequence

import msgspec

from vault.errors import DamagedBackup

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_END64, _LOCATOR64 = b"PK\x06\x06", b"PK\x06\x07"
_HEAD = struct.Struct("<4s5H3I2H")
_ENTRY = struct.Struct("<4s6H3I5H2I")
_TAIL = struct.Struct("<4s4H2IH")
_TAIL64 = struct.Struct("<4sQ2H2I4Q")
_LOCATE64 = struct.Struct("<4sIQI")
_PLAIN, _BIG = 20, 45  # version needed: 2.0, or 4.5 for ZIP64
_MADE_BY = 3 << 8 | _BIG  # Unix, so that the rights below count
_RIGHTS = 0o100600 << 16
_DAY = 0x21  # 1980-01-01, the first a ZIP knows
_DEFLATED = 8
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
_PIECE = 1 << 20
PADDING = "padding"
_FIRST_STEP = 4096

Take = Generator[int, bytes, None]
"""A reader of a stream: it yields how many bytes it wants and is sent that many; fewer only where a body is read."""


class Member(msgspec.Struct, frozen=True):
    """One file in the ZIP."""

    name: str
    size: int  # bytes of the content
    crc: int
    packed: int  # bytes in the ZIP
    deflated: bool = False


def local_header(member: Member) -> bytes:
    """Return what stands before a member's bytes; a member is smaller than 4 GiB."""
    name, method = member.name.encode("ascii"), _DEFLATED * member.deflated
    sizes = (member.crc, member.packed, member.size)
    return _HEAD.pack(_LOCAL, _PLAIN, 0, method, 0, _DAY, *sizes, len(name), 0) + name


def directory(members: Sequence[Member]) -> bytes:
    """Return what stands behind the last member."""
    at, entries = 0, []
    for member in members:
        entries.append(_entry(member, at))
        at += len(local_header(member)) + member.packed
    listed = b"".join(entries)
    return listed + _end(len(members), len(listed), at)


def padding(members: Sequence[Member]) -> Member:
    """Return the member of zeros that ends the ZIP, so that its size tells little of what is in it.

    Sizes go in steps: the first is 4,096 bytes, each next one a twentieth more, rounded down. It is never larger than
    a member may be; beyond 80 GB the size of the ZIP is then below its step.
    """
    empty = Member(PADDING, 0, 0, 0)
    whole = sum(len(local_header(member)) + member.packed for member in (*members, empty))
    whole += len(directory((*members, empty)))
    step = _FIRST_STEP
    while step < whole:
        step += step // 20
    size = min(step - whole, _U32 - 1)
    crc = 0
    for at in range(0, size, _PIECE):
        crc = zlib.crc32(bytes(min(_PIECE, size - at)), crc)
    return Member(PADDING, size, crc, size)


def _entry(member: Member, at: int) -> bytes:
    name, method = member.name.encode("ascii"), _DEFLATED * member.deflated
    extra = struct.pack("<HHQ", 1, 8, at) if at >= _U32 else b""
    sizes = (member.crc, member.packed, member.size)
    fixed = (0, _DAY, *sizes, len(name), len(extra), 0, 0, 0, _RIGHTS, min(at, _U32))
    return _ENTRY.pack(_CENTRAL, _MADE_BY, _BIG if extra else _PLAIN, 0, method, *fixed) + name + extra


def _end(count: int, size: int, at: int) -> bytes:
    big = b""
    if count >= _U16 or size >= _U32 or at >= _U32:
        big = _TAIL64.pack(_END64, _TAIL64.size - 12, _MADE_BY, _BIG, 0, 0, count, count, size, at)
        big += _LOCATE64.pack(_LOCATOR64, 0, at + size, 1)
    numbers = (min(count, _U16), min(count, _U16), min(size, _U32), min(at, _U32))
    return big + _TAIL.pack(_END, 0, 0, *numbers, 0)


def exactly(count: int) -> Generator[int, bytes, bytes]:
    """Take that many bytes; for small counts only."""
    taken = b""
    while len(taken) < count:
        taken += yield count - len(taken)
    return taken


def read_header(name: str, most: int) -> Generator[int, bytes, Member]:
    """Take a local header, which must be that of ``name`` and exactly as ours; raises ``DamagedBackup``."""
    taken = yield from exactly(_HEAD.size + len(name))
    fields = _HEAD.unpack(taken[: _HEAD.size])
    crc, packed, size = fields[6:9]
    member = Member(name, size, crc, packed, fields[3] == _DEFLATED)
    if taken != local_header(member) or size > most or (packed != size and not member.deflated):
        raise DamagedBackup("the backup is not built as Keyferry builds them")
    return member


def read_body(
    member: Member, use: Callable[[bytes], object], packed: Callable[[bytes], object] = lambda _: None
) -> Take:
    """Take a member's bytes, hand them to ``packed`` and their content to ``use``, never more than the member's size.

    Raises ``DamagedBackup``.
    """
    left, size, crc = member.packed, 0, 0
    inflater = zlib.decompressobj(-zlib.MAX_WBITS) if member.deflated else None
    while left:
        piece = yield min(left, _PIECE)
        left -= len(piece)
        packed(piece)
        if inflater is not None and inflater.eof:
            raise _wrong()  # the library would keep all that follows
        for content in (piece,) if inflater is None else _inflated(inflater, piece, member.size - size):
            size += len(content)
            crc = zlib.crc32(content, crc)
            use(content)
    if (
        size != member.size
        or crc != member.crc
        or (inflater is not None and (not inflater.eof or inflater.unused_data))
    ):
        raise _wrong()


def _wrong() -> DamagedBackup:
    return DamagedBackup("the backup holds a part that is not what it should be")


def _inflated(inflater: zlib._Decompress, piece: bytes, room: int) -> Generator[bytes, None, None]:
    while True:
        most = min(_PIECE, room + 1)
        try:
            content = inflater.decompress(piece, most)
        except zlib.error:
            raise DamagedBackup("the backup holds a part that cannot be unpacked") from None
        room -= len(content)
        if room < 0:
            raise DamagedBackup("the backup holds a part that is larger than it says")
        if content:
            yield content
        piece = inflater.unconsumed_tail
        if inflater.eof or (not piece and len(content) < most):
            return
