"""Large and damaged attachments: never whole in memory, and told from a disk that gives back something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backup import making, payload, reading, restoring
from tests.backup import sets
from tests.backup.sets import KIT, NOW
from vault import keys
from vault.errors import DamagedBackup, DamagedVault
from vault.rows import document_name
from vault.store import Store

DATA = bytes(range(256)) * 20_000  # five pieces


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = sets.vault(tmp_path / "vault.db")
    made.put_document(DATA)
    return made


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["in pieces", "whole"])
def test_an_attachment_comes_back_in_pieces_and_whole(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(payload, "WHOLE", most)
    path = written(store, tmp_path)
    whole: list[int] = []
    monkeypatch.setattr(Store, "put_document", noting(Store.put_document, whole))

    holder = keys.choose_holder(tmp_path / "new", key_file=tmp_path / "key")
    opener = reading.Opener((KIT.identity,), (KIT.root_public,))
    proven = reading.check(path, opener)
    restored, _ = restoring.into_new(tmp_path / "new", path, opener, proven, kit=KIT, holder=holder)

    with restored:
        assert restored.documents() == [document_name(DATA)]
        assert restored.document(document_name(DATA)) == DATA
    assert whole == ([] if most == 0 else [len(DATA)])


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["in pieces", "whole"])
@pytest.mark.parametrize("damaged", [DATA[:-1] + b"!", DATA[:-1], DATA + b"!"], ids=["altered", "cut off", "longer"])
def test_a_damaged_attachment_in_the_vault_is_named_and_no_set_is_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bytes, most: int
) -> None:
    monkeypatch.setattr(payload, "WHOLE", most)
    with store.transaction():
        store._db.do("UPDATE documents SET body = ?", (damaged,))

    with pytest.raises(DamagedVault, match="an attachment in the vault is damaged"):
        written(store, tmp_path)

    assert not [path for path in tmp_path.iterdir() if "keyferry" in path.name]


@pytest.mark.parametrize("at", [0, 30, 250, 5_000, -5_000, -1])
def test_a_disk_that_gives_back_something_else_is_named_and_no_set_is_left(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    check = reading.check

    def on_a_bad_disk(path: Path, opener: reading.Opener) -> reading.Opened:
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        return check(path, opener)

    monkeypatch.setattr(reading, "check", on_a_bad_disk)
    with pytest.raises(DamagedBackup, match="does not give back what was written"):
        written(store, tmp_path)

    assert not [path for path in tmp_path.iterdir() if "keyferry" in path.name]


def test_a_disk_that_gives_back_another_set_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, check = written(store, tmp_path), reading.check
    monkeypatch.setattr(reading, "check", lambda path, opener: check(other, opener))

    with pytest.raises(DamagedBackup, match="does not give back what was written"):
        written(store, tmp_path, "second.keyferry")


def test_the_digest_of_a_set_is_that_of_its_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "set.keyferry"
    done = making.create(store, tmp_path, to=path, clock=lambda: NOW)

    assert done.made is not None
    assert (done.made.digest, done.made.size) == (reading.digest_of(path), path.stat().st_size)


def written(store: Store, folder: Path, name: str = "set.keyferry") -> Path:
    making.create(store, folder, to=folder / name, clock=lambda: NOW)
    return folder / name


def noting(put: Callable[[Store, bytes], str], sizes: list[int]) -> Callable[[Store, bytes], str]:
    def noted(self: Store, data: bytes) -> str:
        sizes.append(len(data))
        return put(self, data)

    return noted
