"""ZIP containers: what they give, and what of them is refused before it does harm."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib

import pytest

from migrate import containers
from migrate.containers import Archive, is_safe_name
from vault.errors import DamagedExport, FormatError, UnsafeExport


def zipped(*members: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP of these members, in this order."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()


def entry(name: bytes, content: bytes, size: int | None = None) -> tuple[bytes, bytes]:
    """Return the directory entry and the local header with content of a stored member; the size may be a lie."""
    size = len(content) if size is None else size
    common = (20, 0, 0, 0, 33, zlib.crc32(content), len(content), size, len(name), 0)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", *common) + name + content
    listed = struct.pack("<4sH5H3I2H3H2I", b"PK\x01\x02", 20, *common, 0, 0, 0, 0, 0) + name
    return listed, local


def bare(listed: bytes, local: bytes, count: int) -> bytes:
    """Return a ZIP of a directory as it is, claiming so many members."""
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(listed), len(local), 0)
    return local + listed + end


GOOD = zipped(("export.data", b'{"a": 1}' * 500), ("files/x__a", b"\0" * 64), ("files/y__b", b""))


def test_members_come_in_order_with_their_bytes_and_sizes() -> None:
    archive = Archive(GOOD, "x.zip")
    assert archive.names == ["export.data", "files/x__a", "files/y__b"]
    assert archive.read("files/x__a") == b"\0" * 64
    assert archive.read("files/y__b") == b""
    assert archive.size("export.data") == 4000


def test_folders_and_what_systems_leave_behind_are_no_members() -> None:
    data = zipped(("files/", b""), ("__MACOSX/._a", b"x"), ("files/.DS_Store", b"x"), ("files/1__my.DS_Store", b"mine"))
    assert Archive(data, "x.zip").names == ["files/1__my.DS_Store"]


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_members_can_be_read(packed: int) -> None:
    assert Archive(zipped(("a", b"seagull" * 99), packed=packed), "x.zip").read("a") == b"seagull" * 99


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packings_that_no_product_uses_are_refused(packed: int) -> None:
    with pytest.raises(UnsafeExport, match="no product uses"):
        Archive(zipped(("a", b"seagull" * 99), packed=packed), "x.zip")


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "\\x", "..\\x", "a\\..\\x", "C:\\x", "c:x", "..", "files/.."]
)
def test_a_path_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    assert not is_safe_name(name)
    with pytest.raises(UnsafeExport, match="leads out of its folder"):
        Archive(zipped(("export.data", b"{}"), (name, b"x")), "x.zip")


@pytest.mark.parametrize("name", ["a", "files/a__b..c", "files/...", "ä/ö", "a b", "files/x__..x"])
def test_other_names_are_welcome(name: str) -> None:
    assert is_safe_name(name)
    assert Archive(zipped((name, b"x")), "x.zip").names == [name]


def test_a_symbolic_link_is_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("files/x")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeExport, match="leads out of its folder"):
        Archive(file.getvalue(), "x.zip")


def test_two_members_of_one_name_are_refused() -> None:
    one, other = entry(b"export.data", b"{}"), entry(b"export.data", b"[]")
    with pytest.raises(UnsafeExport, match="two members of one name"):
        Archive(bare(one[0] + other[0], one[1] + other[1], 2), "x.zip")


def test_a_bomb_is_refused_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped(("export.data", b"\0" * (11 << 20)))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(UnsafeExport, match="far more than it says"):
        Archive(data, "x.zip")


def test_members_that_share_their_bytes_are_a_bomb() -> None:
    listed = b"".join(entry(b"%d" % n, b"", 9 << 20)[0] for n in range(200))
    with pytest.raises(UnsafeExport, match="far more than it says"):
        Archive(bare(listed, entry(b"0", b"")[1], 200), "x.zip")


def test_text_that_packs_well_is_no_bomb() -> None:
    text = b"".join(b'{"title": "Login %d", "tags": []},\n' % n for n in range(400_000))
    data = zipped(("export.data", text))
    assert len(text) > 10 << 20
    assert Archive(data, "x.zip").size("export.data") == len(text)


def test_the_limit_on_a_member_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_MEMBER", 4000)
    Archive(zipped(("export.data", b"x" * 4000), ("b", b"x" * 64)), "x.zip")
    with pytest.raises(UnsafeExport, match="far more than it says"):
        Archive(zipped(("export.data", b"x" * 4001)), "x.zip")


def test_the_limit_on_the_whole_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_TOTAL", 4064)
    Archive(zipped(("export.data", b"x" * 4000), ("b", b"x" * 64)), "x.zip")
    with pytest.raises(UnsafeExport, match="unpacks to more than"):
        Archive(zipped(("export.data", b"x" * 4000), ("b", b"x" * 65)), "x.zip")


class _Refused:
    """Fails as soon as the library would build its list."""

    def __init__(self, *_: object) -> None:
        pytest.fail("the list of members was built")


def test_a_million_members_are_refused_before_a_list_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    listed, local = entry(b"x", b"")
    monkeypatch.setattr(zipfile, "ZipFile", _Refused)
    many = listed * (containers.MAX_MEMBERS + 1)
    with pytest.raises(UnsafeExport, match="more than 100,000 members"):
        Archive(bare(many, local, 1), "x.zip")  # the end record lies


def test_a_claim_of_a_million_members_is_refused_where_the_wide_record_makes_it() -> None:
    listed, local = entry(b"x", b"")
    sizes = (len(listed), len(local))
    wide = struct.pack("<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 10**6, 10**6, *sizes)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, len(local) + len(listed), 1)
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, *sizes, 0)
    with pytest.raises(UnsafeExport, match="more than 100,000 members"):
        Archive(local + listed + wide + locator + end, "x.zip")


def test_as_many_members_as_allowed_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_MEMBERS", 300)
    members = [(f"files/{n}", b"PK\x01\x02") for n in range(300)]
    assert len(Archive(zipped(*members, packed=zipfile.ZIP_STORED), "x.zip").names) == 300
    with pytest.raises(UnsafeExport):
        Archive(zipped(*members, ("files/300", b"")), "x.zip")


def test_a_member_that_unpacks_to_more_than_it_says_is_refused() -> None:
    content = zlib.compress(b"\0" * 5000, wbits=-15)
    common = (20, 0, 8, 0, 33, zlib.crc32(b"\0" * 5000), len(content), 10, 1, 0)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", *common) + b"x" + content
    listed = struct.pack("<4sH5H3I2H3H2I", b"PK\x01\x02", 20, *common, 0, 0, 0, 0, 0) + b"x"
    with pytest.raises(FormatError):
        Archive(bare(listed, local, 1), "x.zip").read("x")


def test_a_member_shorter_than_it_says_is_refused() -> None:
    listed, local = entry(b"x", b"abc", size=10)
    with pytest.raises(FormatError):
        Archive(bare(listed, local, 1), "x.zip").read("x")


def test_a_wrong_checksum_is_damage() -> None:
    data = bytearray(zipped(("x", b"seagull"), packed=zipfile.ZIP_STORED))
    data[data.index(b"seagull")] ^= 1
    with pytest.raises(DamagedExport, match="damaged member"):
        Archive(bytes(data), "x.zip").read("x")


def test_an_encrypted_container_says_so() -> None:
    data = bytearray(zipped(("x", b"abc"), packed=zipfile.ZIP_STORED))
    data[data.index(b"PK\x03\x04") + 6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DamagedExport, match="encrypted"):
        Archive(bytes(data), "x.zip")


@pytest.mark.parametrize("tenth", range(10))
def test_a_container_cut_off_anywhere_is_damage(tenth: int) -> None:
    with pytest.raises(DamagedExport):
        Archive(GOOD[: len(GOOD) * tenth // 10], "x.zip")


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damage_anywhere_gives_one_of_our_errors_or_the_right_bytes(packed: int) -> None:
    """Stored names and dates may change unnoticed; contents may not."""
    whole = zipped(("a", b"seagull " * 40), ("b", b"herring"), packed=packed)
    chance = random.Random(packed)
    seen: set[bytes] = set()
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 8))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            archive = Archive(bytes(data), "x.zip")
            seen.update(archive.read(name) for name in archive.names)
        except FormatError as error:
            assert "seagull" not in str(error)
    assert seen <= {b"seagull " * 40, b"herring", b""}
