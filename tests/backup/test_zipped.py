"""The ZIP of a backup is one exact sequence of bytes that every other reader of ZIP files understands."""

from __future__ import annotations

import io
import shutil
import subprocess
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import sealing, zipped
from backup.zipped import Member
from tests.backup.sets import squeezed
from vault.errors import DamagedBackup

names = st.text("abcdefghijklmnopqrstuvwxyz./-0123456789", min_size=1, max_size=70)
contents = st.lists(st.tuples(names, st.binary(max_size=3000), st.booleans()), max_size=6, unique_by=lambda one: one[0])


def member(name: str, content: bytes, *, deflate: bool = False) -> tuple[Member, bytes]:
    packed = squeezed(content) if deflate else content
    return Member(name, len(content), zlib.crc32(content), len(packed), deflate), packed


def written(*files: tuple[str, bytes, bool]) -> tuple[bytes, list[Member]]:
    """Return a ZIP of these (name, content, deflated) files with its padding, and its members."""
    made = [member(name, content, deflate=deflate) for name, content, deflate in files]
    members = [one for one, _ in made]
    padding = zipped.padding(members)
    data = b"".join(zipped.local_header(one) + packed for one, packed in made)
    data += zipped.local_header(padding) + bytes(padding.size)
    return data + zipped.directory((*members, padding)), [*members, padding]


def taken(reader: zipped.Take, data: bytes) -> None:
    feed = sealing._Feed(reader)
    feed.write(memoryview(data))
    feed.end()


def body(one: Member, packed: bytes) -> bytes:
    found: list[bytes] = []
    taken(zipped.read_body(one, found.append), packed)
    return b"".join(found)


def steps() -> set[int]:
    found, step = set(), 4096
    while step < 1 << 34:
        found.add(step)
        step += step // 20
    return found


@given(contents)
def test_every_reader_of_zip_files_finds_what_was_written(files: list[tuple[str, bytes, bool]]) -> None:
    data, _ = written(*files)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        listed = found.infolist()
        assert [one.filename for one in listed] == [*(name for name, _, _ in files), zipped.PADDING]
        assert [found.read(one) for one in listed[:-1]] == [content for _, content, _ in files]
        assert not found.read(zipped.PADDING).strip(b"\0")
    assert {one.date_time for one in listed} == {(1980, 1, 1, 0, 0, 0)}
    assert {one.external_attr >> 16 for one in listed} == {0o100600}


def test_unzip_accepts_it_and_sets_private_rights(tmp_path: Path) -> None:
    if shutil.which("unzip") is None:
        pytest.skip("needs unzip")
    data, _ = written(("manifest.json", b"{}", False), ("documents/00ff", b"x" * 70_000, True), ("empty", b"", True))
    (tmp_path / "b.zip").write_bytes(data)
    for option in ("-tq", "-q"):
        done = subprocess.run(["unzip", option, "b.zip"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "documents/00ff").read_bytes() == b"x" * 70_000
    assert (tmp_path / "documents/00ff").stat().st_mode & 0o777 == 0o600


@given(contents)
def test_the_size_goes_in_steps(files: list[tuple[str, bytes, bool]]) -> None:
    data, members = written(*files)
    assert len(data) in steps()
    assert members[-1].size <= max(4096, len(data) // 20 + 1)


@pytest.mark.parametrize("size", [0, 3_700, 3_740, 3_741, 3_742, 3_743, 3_744, 3_745, 4_000, 100_000])
def test_no_padding_is_a_padding_too(size: int) -> None:
    data, _ = written(("a", bytes(size), False))
    assert len(data) in steps()


@given(contents)
def test_what_is_written_is_read(files: list[tuple[str, bytes, bool]]) -> None:
    data, members = written(*files)
    found: list[Member] = []

    def reader() -> zipped.Take:
        for one in members:
            found.append((yield from zipped.read_header(one.name, one.size)))
            yield from zipped.read_body(found[-1], len)
        directory = zipped.directory(members)
        assert (yield from zipped.exactly(len(directory))) == directory

    taken(reader(), data)
    assert found == members


@given(st.binary(max_size=500), st.booleans(), st.integers(0, 10**6))
def test_a_bit_flipped_in_a_header_is_seen_or_changes_what_is_promised(content: bytes, deflate: bool, bit: int) -> None:
    one, _ = member("name", content, deflate=deflate)
    header = bytearray(zipped.local_header(one))
    header[bit // 8 % len(header)] ^= 1 << bit % 8
    found: list[Member] = []

    def reader() -> zipped.Take:
        found.append((yield from zipped.read_header("name", 1 << 20)))

    try:
        taken(reader(), bytes(header))
    except DamagedBackup:
        return
    assert found != [one]


# -- what is refused


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda one: Member(one.name, one.size - 1, one.crc, one.packed, one.deflated), "larger"),
        (lambda one: Member(one.name, one.size + 1, one.crc, one.packed, one.deflated), "not what it should be"),
        (lambda one: Member(one.name, one.size, one.crc ^ 1, one.packed, one.deflated), "not what it should be"),
        (lambda one: Member(one.name, one.size, one.crc, one.packed - 1, one.deflated), "not what it should be"),
    ],
)
def test_a_member_that_is_not_what_its_header_says_is_refused(change: object, what: str) -> None:
    one, packed = member("a", b"some content, some content" * 20, deflate=True)
    wrong = change(one)  # type: ignore[operator]
    with pytest.raises(DamagedBackup, match=what):
        body(wrong, packed[: wrong.packed])


def test_what_is_behind_a_deflated_end_is_refused() -> None:
    """Also where it begins with the next piece that is taken: the library keeps all that follows an end."""
    content = b"content" * 9
    one, packed = member("a", content, deflate=True)
    for more in (b"\0", bytes(9)):
        with pytest.raises(DamagedBackup):
            body(Member("a", one.size, one.crc, one.packed + len(more), True), packed + more)
    stored = b"\0" + (65_535).to_bytes(2, "little") + bytes(2) + bytes(65_535)
    # Fifteen stored blocks of 65,540 bytes and one that ends the stream with the piece of 1 MiB.
    blocks = stored * 15
    last = (1 << 20) - len(blocks) - 5
    blocks += b"\1" + last.to_bytes(2, "little") + (last ^ 0xFFFF).to_bytes(2, "little") + bytes(last)
    size = 15 * 65_535 + last
    whole = Member("a", size, zlib.crc32(bytes(size)), len(blocks), True)
    assert body(whole, blocks) == bytes(size)
    longer = Member("a", size, whole.crc, len(blocks) + 10, True)
    with pytest.raises(DamagedBackup):
        body(longer, blocks + bytes(10))


def test_what_is_behind_a_deflated_end_is_not_kept() -> None:
    packed = squeezed(b"content")
    reader = zipped.read_body(Member("a", 7, zlib.crc32(b"content"), 1 << 32, True), len)
    wanted = next(reader)
    reader.send(packed + bytes(wanted - len(packed)))
    with pytest.raises(DamagedBackup):
        reader.send(bytes(wanted))


def test_a_bomb_gives_no_more_than_it_says() -> None:
    packed = squeezed(bytes(50_000_000))
    taken_: list[int] = []
    small = Member("a", 1000, 0, len(packed), True)
    with pytest.raises(DamagedBackup, match="larger than it says"):
        taken(zipped.read_body(small, lambda piece: taken_.append(len(piece))), packed)
    assert sum(taken_) <= 1001
    huge = Member("a", 0xFFFF_FFFE, 0, len(packed), True)
    with pytest.raises(DamagedBackup):
        taken(zipped.read_header("a", 1 << 20), zipped.local_header(huge))
    with pytest.raises(DamagedBackup):
        taken(zipped.read_body(huge, len), packed)


@given(st.binary(max_size=300))
def test_what_cannot_be_unpacked_is_one_sentence(junk: bytes) -> None:
    try:
        content = body(Member("a", 10, 0, len(junk), True), junk)
    except DamagedBackup:
        return
    assert zlib.crc32(content) == 0


# -- numbers that only large files have


def central(count: int = 1, *, start: int = 0) -> tuple[bytes, bytes]:
    """Return the directory of a member that begins at ``start``, and that of its end records."""
    entry = zipped._entry(Member("far", 5, 1, 5), start)
    return entry, zipped._end(count, len(entry), start + 38)


def test_an_offset_beyond_4_gib_is_in_a_zip64_record() -> None:
    entry, end = central(start=5 << 30)
    assert entry[42:46] == b"\xff" * 4
    assert entry[-12:] == b"\1\0\10\0" + (5 << 30).to_bytes(8, "little")
    assert end.startswith(b"PK\x06\x06")
    # Python's reader finds the directory by the end records, wherever the file begins.
    gap = 0x1_4000_0000 + 38
    file = _Far(gap, entry + end)
    with zipfile.ZipFile(file) as found:
        assert [(one.filename, one.header_offset) for one in found.infolist()] == [("far", 5 << 30)]


class _Far(io.RawIOBase):
    """A file that has so many zeros before its bytes."""

    def __init__(self, gap: int, data: bytes) -> None:
        self.gap, self.data, self.at = gap, data, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, at: int, whence: int = 0) -> int:
        self.at = at + (0, self.at, self.gap + len(self.data))[whence]
        return self.at

    def read(self, count: int = -1) -> bytes:
        count = min(count if count >= 0 else 1 << 20, self.gap + len(self.data) - self.at)
        found = bytes(max(0, min(count, self.gap - self.at)))
        at = self.at + len(found) - self.gap
        found += self.data[at : at + count - len(found)] if at >= 0 else b""
        self.at += len(found)
        return found


@pytest.mark.parametrize("start", [0, 0xFFFF_FFFE - 38, 0xFFFF_FFFF - 38, 0xFFFF_FFFF, 1 << 40])
def test_zip64_records_stand_where_the_numbers_need_them(start: int) -> None:
    entry, end = central(start=start)
    assert (len(entry) == 46 + 3 + 12) == (start >= 0xFFFF_FFFF)
    assert end.startswith(b"PK\x06\x06") == (start + 38 >= 0xFFFF_FFFF)


def test_65535_files_have_a_zip64_record() -> None:
    few = [Member(f"{number:05}", 0, 0, 0) for number in range(65_534)]
    many = [*few, Member("last", 0, 0, 0)]
    assert b"PK\x06\x06" not in zipped.directory(few)
    data = b"".join(map(zipped.local_header, many)) + zipped.directory(many)
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert len(found.infolist()) == 65_535


def test_padding_is_never_larger_than_a_member_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipped.zlib, "crc32", lambda data, crc=0: 0)  # of 4 GiB
    step = max(steps() | {4096})
    while step // 20 <= 0x1_1000_0000:
        step += step // 20
    whole = step + 1000  # just above a step, so that the next one is far
    parts = [Member("a", 0, 0, whole - number * 0xFFFF_0000) for number in [whole // 0xFFFF_0000]]
    padding = zipped.padding([*parts, *(Member(f"{n}", 0, 0, 0xFFFF_0000) for n in range(whole // 0xFFFF_0000))])
    assert padding.size == 0xFFFF_FFFE
    zipped.local_header(padding)
