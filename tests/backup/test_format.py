"""docs/backup-format.md is true: its vector, its examples, and the sets that are kept for ever, read by two readers."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backup import care, payload, reading
from backup.reading import Opener
from tests.backup import goldens, reader, sets
from tests.backup.vector import KIT, LAPTOP, vector
from tests.test_docs import fits, typed
from tests.vault.test_signing import CHAIN as MIXED
from tests.vault.test_signing import NEXT
from vault.errors import ForgedSignature, SealedElsewhere
from vault.kitfile import read_kit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "backup-format.md").read_text(encoding="utf-8")
BACKUPS = ROOT / "samples" / "backups"
READER = Path(__file__).with_name("reader.py")


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


# -- the vector of the page


def test_the_page_tells_the_vector() -> None:
    found = vector()
    for data in (found.vault, found.history):
        assert f"```json\n{data.decode()}```" in PAGE
    for data in (found.vault, found.history, found.manifest, found.signature, found.zip):
        assert f"{len(data):>5} bytes  {hashlib.sha256(data).hexdigest()}" in PAGE
    assert re.search(rf"content +{found.content}\n", PAGE)
    assert re.search(rf"root key +{KIT.classic_root.public.hex()}\n", PAGE)


def test_the_vector_is_a_set() -> None:
    data = vector()
    kept = sets.Kept()
    found = sets.read(data.zip, (KIT.classic_root.public,), kept)
    assert found.manifest is not None
    assert (found.manifest.device, found.manifest.made_at) == (LAPTOP.device_id, "2026-11-23T21:00:00Z")
    assert list(kept.parts.values()) == [data.vault, data.history, data.document]


def test_content_is_what_the_page_says() -> None:
    data = vector()
    digests = [hashlib.sha256(one).hexdigest() for one in (data.vault.partition(b'"items":[')[2], data.history)]
    documents = sorted([hashlib.sha256(data.document).hexdigest()])
    lines = "".join(f"{line}\n" for line in ["keyferry content 1", *digests, *documents])
    assert hashlib.sha256(lines.encode()).hexdigest() == data.content


def test_the_page_names_every_member_of_a_manifest() -> None:
    told = {name for row in re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert set(json.loads(vector().manifest)) <= told


def test_the_page_names_what_is_refused_by_its_exit_code() -> None:
    from vault import errors

    rows = re.findall(r"\| (\d+) `(\w+)` \|", PAGE)
    assert len(rows) == 5
    assert all(getattr(errors, name).exit_code == int(code) for code, name in rows)


# -- its examples


def examples() -> list[tuple[str, tuple[str, ...]]]:
    """Return each command of the page and the lines that must appear, ``age`` and ``unzip`` included."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ()))
            else:
                found[-1] = (found[-1][0], (*found[-1][1], line))
    return found


def test_a_set_is_opened_with_age_and_unzip_alone(tmp_path: Path) -> None:
    need("age", "unzip")
    for name in ("Downloads", "stick", "bin"):
        (tmp_path / name).mkdir()
    shutil.copy(ROOT / "samples/bitwarden_json/household.json", tmp_path / "Downloads/bitwarden_export.json")
    (tmp_path / "bin/keyferry").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m keyferry "$@"\n')
    (tmp_path / "bin/keyferry").chmod(0o755)
    assert typed(tmp_path, "keyferry init --key-file ../stick/key").returncode == 0
    programs = set()
    for command, expected in examples():
        done = typed(tmp_path, command)
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        assert fits(expected, done.stdout), f"{command}\n{done.stdout}"
        programs.add(command.split()[0])
    assert programs >= {"age", "unzip"}


# -- the sets that are kept


class Golden(NamedTuple):
    """One kept set and what is expected of it."""

    folder: Path
    told: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder / self.told["file"]

    def opener(self, identity: str, root: bytes | None = None) -> Opener:
        data = (self.folder / identity).read_bytes()
        return Opener((read_kit(data, lambda: "").identity,), (root or bytes.fromhex(self.told["root"]),))


GOLDENS = [
    Golden(path.parent, told)
    for path in sorted(BACKUPS.glob("*/expected.json"))
    for told in json.loads(path.read_text())
]
OPENINGS = [(golden, identity) for golden in GOLDENS for identity in golden.told["opens"]]
each = pytest.mark.parametrize(
    ("golden", "identity"), OPENINGS, ids=lambda value: value if isinstance(value, str) else value.told["set"]
)


def kept_by(golden: Golden, identity: str) -> dict[str, bytes]:
    """Return the parts as our reader gives them."""
    kept = sets.Kept()
    reading.check(golden.path, golden.opener(identity), kept)
    return {name: bytes(part) for name, part in kept.parts.items()}


def test_every_kept_set_is_listed() -> None:
    assert {golden.path for golden in GOLDENS} == set(BACKUPS.rglob("*.keyferry"))
    assert {golden.folder.name for golden in GOLDENS} == set(goldens.CASES)
    assert len(GOLDENS) >= 6


@each
def test_a_kept_set_opens_for_ever(golden: Golden, identity: str) -> None:
    found = reading.check(golden.path, golden.opener(identity))
    told = {name: value for name, value in golden.told.items() if name not in ("file", "opens", "root")}
    assert goldens.expected(found.manifest) == told
    parts = kept_by(golden, identity)
    assert {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()} == told["parts"]


@each
def test_a_kept_set_becomes_the_same_vault(golden: Golden, identity: str, tmp_path: Path) -> None:
    """What it holds is put into a new vault, and a set of that one would hold the same, byte for byte."""
    contents = care.Contents()
    reading.check(golden.path, golden.opener(identity), contents)
    vault = contents.vault()
    assert len(vault.items) == golden.told["items"]
    parts = kept_by(golden, identity)
    with sets.vault(tmp_path / "v.db") as store:
        with store.transaction():
            store.fill(vault, contents.history)
            for name, part in parts.items():
                if name.startswith(payload.DOCUMENTS):
                    store.put_document(part)
        assert store.vault() == vault
        with store.snapshot():
            assert payload.gather(store, sets.NOW).content == golden.told["content"]


@each
def test_a_kept_set_is_restored_without_keyferry(golden: Golden, identity: str, tmp_path: Path) -> None:
    need("age")
    line = [sys.executable, "-I", READER, golden.path, golden.folder / identity, golden.told["root"], tmp_path / "out"]
    done = subprocess.run([str(one) for one in line], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ours = kept_by(golden, identity)
    theirs = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert set(theirs) == set(ours)
    for name, path in theirs.items():
        assert path.read_bytes() == ours[name] or json.loads(path.read_bytes()) == json.loads(ours[name])
    items = json.loads(theirs[payload.VAULT].read_bytes())["accounts"][0]["items"]
    contents = care.Contents()
    reading.check(golden.path, golden.opener(identity), contents)
    assert [(item["id"], item["title"]) for item in items] == [
        (item.id, item.title or "") for item in contents.vault().items
    ]


def test_the_reader_knows_nothing_of_ours_and_is_short() -> None:
    text = READER.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 215
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert imported <= sys.stdlib_module_names


@pytest.mark.parametrize("what", ["root", "byte", "cut", "longer"])
def test_the_reader_refuses_as_ours_does(what: str, tmp_path: Path) -> None:
    need("age")
    golden, identity = OPENINGS[0]
    data = golden.path.read_bytes()
    data = {"byte": data[:-99] + b"?" + data[-98:], "cut": data[:-1], "longer": data + b"\0"}.get(what, data)
    (tmp_path / "b").write_bytes(data)
    root = "00" * 32 if what == "root" else golden.told["root"]
    line = [sys.executable, "-I", READER, tmp_path / "b", golden.folder / identity, root, tmp_path / "out"]
    assert subprocess.run([str(one) for one in line], capture_output=True, timeout=60).returncode == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(60))
def test_the_reader_checks_both_signatures_on_the_list_of_devices(seed: int) -> None:
    """One bit in one entry of a list in which some sign by both; ML-DSA-65 is checked by hand."""
    chance, chain = random.Random(seed), [*MIXED]
    assert len(reader.members_of(chain, NEXT.root_public)) == 3
    number = chance.randrange(len(chain))
    wrong = bytearray(chain[number])
    wrong[chance.randrange(len(wrong))] ^= 1 << chance.randrange(8)
    chain[number] = bytes(wrong)
    with pytest.raises((ValueError, KeyError)):
        reader.members_of(chain, NEXT.root_public)


def test_the_reader_checks_signature_padding_and_digests(tmp_path: Path) -> None:
    """Somebody who knows the recipients seals another ZIP to them."""
    need("age")
    data = vector().zip
    (tmp_path / "kit").write_text(KIT.identity)
    places = {
        "signature": data.index(vector().signature) + 40,
        "manifest": data.index(b'"counter": 2') + 11,
        "vault": data.index(b"Mail"),
        "padding": data.index(b"padding") + 10,
    }
    assert data[places["padding"]] == 0
    for place in (None, *places.values()):
        wrong = bytearray(data)
        if place is not None:
            wrong[place] ^= 1
        (tmp_path / "b").write_bytes(sets.sealed(bytes(wrong), KIT.recipient))
        line = [
            sys.executable,
            "-I",
            READER,
            tmp_path / "b",
            tmp_path / "kit",
            KIT.classic_root.public.hex(),
            tmp_path / "out",
        ]
        done = subprocess.run([str(one) for one in line], capture_output=True, timeout=60)
        assert (done.returncode == 0) == (place is None), place


@pytest.mark.parametrize("folder", ["recipients", "both_signatures"])
def test_an_old_kit_opens_what_was_made_under_it_and_no_more(folder: str) -> None:
    before, after = (golden for golden in GOLDENS if golden.folder.name == folder)
    assert before.told["counter"] < after.told["counter"]
    with pytest.raises(SealedElsewhere):
        reading.check(after.path, before.opener("old-kit.txt"))
    with pytest.raises(ForgedSignature, match="another kit"):
        reading.check(after.path, before.opener("friend.txt"))
    found = reading.check(after.path, after.opener("kit.txt"))
    assert [one.kind for one in found.manifest.recipients] == ["kit", "device", "escrow"]
    assert found.manifest.height == 4
    assert [one.kind for one in reading.check(before.path, before.opener("old-kit.txt")).manifest.recipients] == [
        *("kit", "device", "device", "escrow")
    ]


def test_what_was_made_is_made_today_as_well(tmp_path: Path) -> None:
    goldens.make("attachments", tmp_path / "made", tmp_path / "home")
    (made,) = json.loads((tmp_path / "made/expected.json").read_text())
    (kept,) = (golden.told for golden in GOLDENS if golden.folder.name == "attachments")
    assert made["items"] == kept["items"]
    assert [name for name in made["parts"] if "/" in name] == [name for name in kept["parts"] if "/" in name]


def test_every_item_of_a_kept_set_is_a_line() -> None:
    for golden, identity in OPENINGS:
        text = kept_by(golden, identity)[payload.VAULT].decode()
        items = [json.JSONDecoder().raw_decode(line)[0] for line in text.split("\n")[3 : 3 + golden.told["items"]]]
        assert items == json.loads(text)["accounts"][0]["items"]
