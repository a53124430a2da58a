"""A set's file is opened without following links, read whole or to its manifest, and nothing else is believed."""

from __future__ import annotations

import errno
import hashlib
import io
import os
from pathlib import Path

import pytest

from backup import reading
from backup.reading import Opener
from tests.backup import sets
from tests.backup.sets import DEVICE, KIT
from vault import keys
from vault.errors import CannotRead, DamagedBackup, ForgedSignature, NoSuchBackup, SealedElsewhere
from vault.kit import new_kit

OPENER = Opener((KIT.identity,), (KIT.root_public,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good set."""
    with sets.small(tmp_path / "v") as store:
        data = sets.sealed(sets.plain(store), KIT.recipient, DEVICE.bundle.age)
    (tmp_path / "b.keyferry").write_bytes(data)
    return tmp_path / "b.keyferry"


def test_a_set_is_whole_and_its_files_digest_told(path: Path) -> None:
    found = reading.check(path, OPENER)
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest() == reading.digest_of(path)
    assert (found.size, found.manifest.counts.items) == (path.stat().st_size, 2)
    assert found.signed.member.device_id == DEVICE.device_id
    assert reading.check(path, Opener((DEVICE.age,), (KIT.root_public,))) == found


def test_a_look_at_the_manifest_reads_no_more(path: Path) -> None:
    found = reading.peek(path, OPENER)
    assert (found.manifest, found.digest) == (reading.check(path, OPENER).manifest, "")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedBackup):  # all of it is one piece of age, which is whole or nothing
        reading.peek(path, OPENER)


def test_a_damaged_set_still_tells_what_it_is(tmp_path: Path) -> None:
    with sets.small(tmp_path / "v") as store:
        store.put_document(os.urandom(300_000))
        data = sets.sealed(sets.plain(store), KIT.recipient)
    path = tmp_path / "b.keyferry"
    path.write_bytes(data[:-100])
    assert reading.peek(path, OPENER).manifest.counts.documents == 2
    assert reading.peek(path, OPENER).digest == ""
    with pytest.raises(DamagedBackup):
        reading.check(path, OPENER)


def test_a_damaged_set_gives_out_what_is_before_the_damage_and_then_fails(tmp_path: Path) -> None:
    """So nothing may be kept of the first pass; who only wants to know what is left may look at it."""
    with sets.small(tmp_path / "v") as store:
        store.put_document(os.urandom(300_000))
        data = sets.sealed(sets.plain(store), KIT.recipient)
    path = tmp_path / "b.keyferry"
    path.write_bytes(data[:-100])
    kept = sets.Kept()
    with pytest.raises(DamagedBackup):
        reading.check(path, OPENER, kept)
    assert b"Mail" in kept.parts["vault.cxf.json"]


def test_no_root_and_another_root(path: Path) -> None:
    assert reading.check(path, Opener((KIT.identity,), None)).manifest.set
    for roots in ((), (new_kit().root_public,)):
        with pytest.raises(ForgedSignature, match="another kit"):
            reading.check(path, Opener((KIT.identity,), roots))
    with pytest.raises(SealedElsewhere):
        reading.check(path, Opener((new_kit().identity,), (KIT.root_public,)))


def test_links_pipes_and_folders_are_no_sets(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ".", "b.keyferry/x"):
        for read in (lambda one: reading.check(one, OPENER), lambda one: reading.peek(one, OPENER), reading.digest_of):
            with pytest.raises(CannotRead):
                read(tmp_path / name)
    with pytest.raises(NoSuchBackup, match="there is no backup"):
        reading.check(tmp_path / "missing", OPENER)


def test_a_disk_that_cannot_be_read_is_not_a_damaged_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.RawIOBase):
        def readinto(self, buffer: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

    made = reading._Source.__init__

    def broken(self: reading._Source, path: Path) -> None:
        made(self, path)
        self._file.close()
        self._file = Broken()  # type: ignore[assignment]

    monkeypatch.setattr(reading._Source, "__init__", broken)
    for read in (lambda: reading.check(path, OPENER), lambda: reading.peek(path, OPENER)):
        with pytest.raises((CannotRead, OSError)) as caught:
            read()
        assert "input/output error" in str(caught.value).lower()


def test_a_set_that_a_device_of_the_vault_made_follows_its_chain(path: Path, tmp_path: Path) -> None:
    with sets.vault(tmp_path / "w") as other:
        another = keys.own_chain(other)  # another first entry under the same root
    chain = reading.check(path, OPENER).signed.chain
    for parted in ((b"x",), another):
        with pytest.raises(ForgedSignature, match="parts from"):
            reading.check(path, Opener((KIT.identity,), (KIT.root_public,), parted))
    assert reading.check(path, Opener((KIT.identity,), (KIT.root_public,), chain)).manifest.set


def test_what_this_very_device_signed_is_believed_under_whatever_list(path: Path, tmp_path: Path) -> None:
    """Its list may have lost since, its kit may have been ended; of any other device the same is refused."""
    with sets.vault(tmp_path / "w") as other:
        parted = keys.own_chain(other)
    own = DEVICE.bundle.ed25519
    for roots, chain in (((KIT.root_public,), parted), ((new_kit().root_public,), ()), ((), parted)):
        assert reading.check(path, Opener((KIT.identity,), roots, chain, own)).manifest.set
        with pytest.raises(ForgedSignature):
            reading.check(path, Opener((KIT.identity,), roots, chain, sets.STRANGER.bundle.ed25519))


def test_an_opener_does_not_show_its_keys() -> None:
    assert repr(OPENER) == "Opener(1 identities)"
    assert KIT.identity not in str(OPENER)
