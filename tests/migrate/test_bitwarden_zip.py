"""Bitwarden's ZIP export: the JSON export with each item's files in it, and the way back."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from migrate import catalog, converting, moving
from migrate.formats import _bitwarden_zip as zipped
from migrate.source import Source
from tests.migrate import laws
from vault.errors import DamagedExport, UndeclaredLoss
from vault.model import File, Item, find_all
from vault.moment import now
from vault.store import Store

IDS = [f"a000000{n}-0000-4000-8000-00000000000{n}" for n in range(3)]


def login(n: int, **more: Any) -> dict[str, Any]:
    return {"id": IDS[n], "type": 1, "name": f"Item {n}", "login": {"username": "ada", "password": f"p{n}"}, **more}


def packed(items: list[Any], members: dict[str, bytes], **beside: Any) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("data.json", json.dumps({"encrypted": False, "folders": [], **beside, "items": items}))
        for name, content in members.items():
            archive.writestr(name, content)
    return memory.getvalue()


def hash_of(content: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


SCAN, KEY, TWIN = b"%PDF-1.7 scan", b"\x00\xff key", b"%PDF-1.7 scan"
MEMBERS = {
    f"attachments/{IDS[0]}/scan.pdf": SCAN,
    f"attachments/{IDS[0]}/recovery key.txt": KEY,
    f"attachments/{IDS[1]}/scan.pdf": TWIN,
    f"attachments/{IDS[1]}/empty": b"",
}
EXPORT = packed([login(0), login(1), login(2)], MEMBERS)


def files(item: Item) -> dict[str, str]:
    return {one.name: one.integrity_hash for one in find_all(item, File)}


def test_it_is_a_form_of_the_json_export() -> None:
    loaded = laws.load(None, EXPORT)
    assert loaded.source.format == "bitwarden_json"
    assert [item.provenance and item.provenance.format for item in loaded.items] == ["bitwarden_json"] * 3


def test_each_item_has_its_files() -> None:
    one, two, three = laws.load(None, EXPORT).items
    assert files(one) == {"scan.pdf": hash_of(SCAN), "recovery key.txt": hash_of(KEY)}
    assert files(two) == {"scan.pdf": hash_of(SCAN), "empty": hash_of(b"")}
    assert files(three) == {}


def test_attachments_are_counted_as_values() -> None:
    plain = laws.load(None, packed([login(0), login(1), login(2)], {}))
    assert laws.load(None, EXPORT).ledger.values()["arrived"] == plain.ledger.values()["arrived"] + len(MEMBERS)


def test_it_comes_back_as_it_was() -> None:
    loaded = laws.load(None, EXPORT)
    back, losses = laws.again("bitwarden_json", loaded)
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


def test_files_of_no_item_are_kept_and_told() -> None:
    stray = {"attachments/nobody/a.txt": b"a", "readme.txt": b"r", f"attachments/{IDS[0]}/b": b"b"}
    loaded = laws.load(None, packed([login(0)], stray))
    kept = loaded.extras["bitwarden_json"][zipped.ORPHANS]
    assert kept == {"attachments/nobody/a.txt": hash_of(b"a"), "readme.txt": hash_of(b"r")}
    assert [text for text in loaded.ledger.warnings if "belong to no item: 2" in text]
    back, losses = laws.again("bitwarden_json", loaded)
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


def test_as_json_the_files_are_a_declared_loss_and_leave_no_trace() -> None:
    loaded = laws.load(None, packed([login(0)], {**MEMBERS, "attachments/nobody/a.txt": b"a"}))
    data, losses = laws.render("bitwarden_json", loaded.items, loaded.collections, loaded.extras,
                               document=lambda _: b"x")  # fmt: skip
    assert sum(loss.count for loss in losses) >= 3
    assert zipped.ORPHANS.encode() not in data


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\\b", "..", "", "C:x", "a\nb", "con/..", "x" * 300])
def test_a_foreign_name_cannot_lead_out_of_the_folder(name: str) -> None:
    (item,) = laws.load(None, packed([login(0)], {})).items
    attached = [File(id=str(n), name=name, decrypted_size=1, integrity_hash=hash_of(b"x")) for n in range(2)]
    changed = replace(item, credentials=(*item.credentials, *attached))
    options = {"zip": True}
    data, _ = laws.render("bitwarden_json", [changed], document=lambda _: b"x", options=options)
    back = laws.load(None, data)
    assert len(list(find_all(back.items[0], File))) == 2
    assert not back.ledger.warnings


def test_a_file_whose_bytes_are_gone_is_a_loss() -> None:
    loaded = laws.load(None, EXPORT)
    data, losses = laws.render("bitwarden_json", loaded.items, options={"zip": True})
    assert [loss.member for loss in losses] == ["attachment"] * len(MEMBERS)
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["data.json"]


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:"*?<>|'), min_size=1, max_size=8)
attachments = st.dictionaries(
    st.tuples(st.sampled_from([*IDS, "nobody"]), names.filter(lambda name: name.strip(". ") == name)),
    st.binary(max_size=20),
    max_size=5,
)


@settings(max_examples=40)
@given(attachments, st.dictionaries(st.sampled_from(["x", "éé"]), st.text(max_size=3), max_size=2))
def test_any_files_come_back(members: dict[tuple[str, str], bytes], more: dict[str, str]) -> None:
    data = packed(
        [login(0, **more), login(1)], {f"attachments/{own}/{name}": content for (own, name), content in members.items()}
    )
    loaded = laws.load(None, data)
    back, losses = laws.again("bitwarden_json", loaded)
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


def test_moved_and_proven_with_every_byte(tmp_path: Path) -> None:
    source = catalog.open_source(Path("x.zip"), data=EXPORT)
    with Store.create(tmp_path / "v.db", bytes(range(32)), "v") as store:
        outcome = moving.migrate(store, source, run="r", now=now())
        assert outcome.proof.holds
        assert store.document(hash_of(KEY)) == KEY
        again = catalog.open_source(Path("x.zip"), data=EXPORT)
        assert moving.migrate(store, again, run="s", now=now()).items["same"] == 3


def test_the_proof_notices_files_in_the_wrong_item(monkeypatch: pytest.MonkeyPatch) -> None:
    real = zipped._Attached

    def swapped(source: Source) -> zipped._Attached:
        made = real(source)
        made.by_item[IDS[0]], made.by_item[IDS[1]] = made.by_item[IDS[1]], made.by_item[IDS[0]]
        return made

    converting.read(catalog.open_source(Path("x.zip"), data=EXPORT))
    monkeypatch.setattr(zipped, "_Attached", swapped)
    with pytest.raises(UndeclaredLoss):
        converting.read(catalog.open_source(Path("x.zip"), data=EXPORT))


def test_a_zip_without_an_export_in_its_data_is_damage() -> None:
    for inner in (b"{}", b"[]", b"", b"\xff", b'{"items": 7}', b'{"items": [{"type": 1}'):
        memory = io.BytesIO()
        with zipfile.ZipFile(memory, "w") as archive:
            archive.writestr("data.json", inner)
        with pytest.raises(DamagedExport):
            laws.load(None, memory.getvalue())
