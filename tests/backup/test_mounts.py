"""The mount table is read as the kernel writes it, and a path belongs to the mount that a program would reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backup import mounts
from backup.mounts import Mount, disks_of, has_rights, is_network, mount_of, read_table, read_words, volumes

LAPTOP = rb"""22 28 0:20 / /proc rw,nosuid - proc proc rw
28 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
29 28 259:1 / /boot/efi rw,relatime shared:30 - vfat /dev/nvme0n1p1 rw,fmask=0077
40 28 0:44 /@home /home rw,relatime shared:20 master:3 - btrfs /dev/mapper/luks-home rw,subvol=/@home
51 28 8:17 / /media/ada/My\040Stick\134\011x rw,nosuid - exfat /dev/sdb1 rw
52 28 0:50 / /mnt/nas rw - nfs4 nas.local:/volume1/backups rw,vers=4.2
53 40 0:51 / /home/ada/.cache/doc rw - fuse.portal portal rw
"""
UUIDS = {"/dev/nvme0n1p2": "5f1c", "/dev/sdb1": "12AB-34CD"}


def at(table: tuple[Mount, ...], path: str) -> Path:
    return mount_of(Path(path), table).point


def test_a_table_is_read_with_devices_kinds_and_volumes() -> None:
    found = {str(one.point): one for one in read_table(LAPTOP, UUIDS)}
    assert len(found) == 7
    assert found["/"] == Mount(Path("/"), "/dev/nvme0n1p2", "ext4", "5f1c", "259:2")
    assert (found["/home"].kind, found["/home"].device) == ("btrfs", "/dev/mapper/luks-home")
    assert found["/mnt/nas"].volume == ""
    assert found["/media/ada/My Stick\\\tx"].volume == "12AB-34CD"


@pytest.mark.parametrize(
    ("path", "point"),
    [
        ("/etc", "/"),
        ("/home", "/home"),
        ("/home/ada/notes", "/home"),
        ("/homestead", "/"),
        ("/home/ada/.cache/doc/x", "/home/ada/.cache/doc"),
        ("/media/ada/My Stick\\\tx/keyferry", "/media/ada/My Stick\\\tx"),
        ("/mnt/nas", "/mnt/nas"),
    ],
)
def test_a_path_belongs_to_the_longest_point_that_holds_it(path: str, point: str) -> None:
    assert at(read_table(LAPTOP, UUIDS), path) == Path(point)


def test_a_path_that_no_mount_holds_is_refused() -> None:
    with pytest.raises(LookupError):
        mount_of(Path("/x"), (Mount(Path("/home"), "d", "ext4"),))


def test_a_link_is_followed_before_its_mount_is_looked_up(tmp_path: Path) -> None:
    real = Path(os.path.realpath(tmp_path))
    (real / "far").mkdir()
    (real / "link").symlink_to("far")
    table = (Mount(Path("/"), "a", "ext4"), Mount(real / "far", "b", "tmpfs"))
    assert mount_of(real / "link" / "not there yet", table).device == "b"


def test_the_last_of_several_mounts_at_one_point_is_the_one_reached() -> None:
    text = LAPTOP + b"60 51 0:60 / /media/ada/My\\040Stick\\134\\011x rw - tmpfs tmpfs rw\n"
    stick = [one for one in read_table(text, UUIDS) if "Stick" in str(one.point)]
    assert [one.kind for one in stick] == ["tmpfs"]


def test_a_mount_under_a_folder_that_another_mount_hides_is_not_listed() -> None:
    text = LAPTOP + b"60 28 0:60 / /media/ada rw - tmpfs tmpfs rw\n"
    table = read_table(text, UUIDS)
    assert at(table, "/media/ada/My Stick\\\tx") == Path("/media/ada")
    assert all("Stick" not in str(one.point) for one in table)


def test_what_lies_on_a_hidden_mount_is_hidden_too() -> None:
    text = LAPTOP + b"61 40 0:61 / /home rw - tmpfs over rw\n"
    table = read_table(text, UUIDS)
    assert mount_of(Path("/home/ada/.cache/doc"), table).device == "over"


def test_what_lies_on_the_covering_mount_is_listed() -> None:
    text = LAPTOP + b"61 40 0:61 / /home rw - tmpfs over rw\n62 61 0:62 / /home/new rw - tmpfs inner rw\n"
    assert mount_of(Path("/home/new/x"), read_table(text, UUIDS)).device == "inner"


def test_names_that_are_no_text_survive() -> None:
    text = b"1 0 8:1 / /m\\303\\244\xff rw - vfat /dev/sd\xe4 rw\n"
    (found,) = read_table(text, {})
    assert os.fsencode(found.point) == b"/m\xc3\xa4\xff"
    assert os.fsencode(found.device) == b"/dev/sd\xe4"


@given(st.binary(max_size=400))
def test_any_bytes_make_a_table(text: bytes) -> None:
    read_table(text, {})
    read_table(LAPTOP + text, {})


@given(st.lists(st.tuples(*[st.integers(0, 5)] * 2, st.sampled_from(["/", "/a", "/a/b", "/c"])), max_size=8))
def test_a_table_that_leads_in_circles_ends(lines: list[tuple[int, int, str]]) -> None:
    text = "".join(f"{one} {parent} 0:1 / {point} rw - tmpfs t rw\n" for one, parent, point in lines)
    assert len(read_table(text.encode(), {})) <= len(lines)


def test_uuids_are_found_by_the_real_path_of_the_device(tmp_path: Path) -> None:
    (tmp_path / "dm-0").touch()
    (tmp_path / "by-uuid").mkdir()
    (tmp_path / "by-uuid" / "5f1c-uuid").symlink_to("../dm-0")
    (tmp_path / "mapper").symlink_to("dm-0")
    known = volumes(tmp_path / "by-uuid")
    text = f"1 0 0:4 / / rw - btrfs {tmp_path}/mapper rw\n".encode()
    assert [one.volume for one in read_table(text, known)] == ["5f1c-uuid"]


def test_a_system_without_such_a_list_has_no_volumes(tmp_path: Path) -> None:
    assert volumes(tmp_path / "nowhere") == {}


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    """A /sys/class/block with a disk of two partitions, another disk, and a mapped device on both."""
    devices, found = tmp_path / "devices", tmp_path / "block"
    found.mkdir()
    for place in ("sda", "sda/sda1", "sda/sda2", "sdb", "dm-0"):
        (devices / place).mkdir(parents=True)
        (found / Path(place).name).symlink_to(devices / place)
    for part in ("sda1", "sda2"):
        (devices / "sda" / part / "partition").write_text("1")
    (devices / "dm-0" / "slaves").mkdir()
    for bearing in ("sda/sda2", "sdb"):
        (devices / "dm-0" / "slaves" / Path(bearing).name).symlink_to(devices / bearing)
    return found


@pytest.mark.parametrize(
    ("device", "disks"),
    [
        ("/dev/sda1", {"sda"}),
        ("/dev/sda", {"sda"}),
        ("/dev/dm-0", {"sda", "sdb"}),
        ("/dev/sdz", set()),
        ("tmpfs", set()),
    ],
)
def test_the_disks_under_a_device_are_found(blocks: Path, device: str, disks: set[str]) -> None:
    assert disks_of(device, blocks) == disks


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse.rclone", "9p", "davfs", "AFS"])
def test_network_kinds_are_known(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "vfat", "exfat", "fuseblk", "tmpfs", "overlay", "apfs", "NTFS"])
def test_local_kinds_are_known(kind: str) -> None:
    assert not is_network(kind)


@pytest.mark.parametrize(
    ("kind", "holds"),
    [
        *((kind, False) for kind in ("vfat", "exfat", "ntfs", "NTFS", "fuseblk", "cifs", "smb3", "fuse.rclone")),
        *((kind, True) for kind in ("ext4", "xfs", "tmpfs", "nfs4", "fuse.sshfs", "apfs")),
    ],
)
def test_it_is_known_where_private_rights_hold(kind: str, holds: bool) -> None:
    assert has_rights(kind) is holds


def test_the_words_of_the_bsd_program_are_read() -> None:
    text = "/dev/disk1s1 on / (apfs, local, journaled)\n//ada@nas/b on /Volumes/My b (smbfs, nodev)\nnothing\n"
    assert read_words(text) == (
        Mount(Path("/"), "/dev/disk1s1", "apfs"),
        Mount(Path("/Volumes/My b"), "//ada@nas/b", "smbfs"),
    )


@pytest.mark.parametrize(
    ("second", "same"),
    [
        (Mount(Path("/b"), "/dev/none1", "ext4", "", "8:1"), True),  # the same file system bound elsewhere
        (Mount(Path("/b"), "tmpfs", "tmpfs", "", "0:9"), False),
        (Mount(Path("/b"), "/dev/none2", "ext4", "", "8:2"), False),
    ],
)
def test_one_file_system_is_one_disk(monkeypatch: pytest.MonkeyPatch, second: Mount, same: bool) -> None:
    first = Mount(Path("/"), "/dev/none1", "ext4", "", "8:1")
    monkeypatch.setattr(mounts, "mounts", lambda: (first, second))
    assert mounts.same_disk(Path("/a"), Path("/b/x")) is same


def test_two_mounts_of_one_share_are_one_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = tuple(Mount(Path(point), "nas:/b", "nfs4", "", number) for point, number in (("/a", "0:8"), ("/b", "0:9")))
    monkeypatch.setattr(mounts, "mounts", lambda: shares)
    assert mounts.same_disk(Path("/a"), Path("/b"))


def test_this_system_knows_where_a_file_lies(tmp_path: Path) -> None:
    assert os.path.ismount(mount_of(tmp_path).point)
    assert mounts.same_disk(tmp_path, tmp_path / "x")
