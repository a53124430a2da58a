"""docs/sync-protocol.md is true: its vectors, and a log that is kept for ever, read by two readers.

``python -m tests.vault.sync.test_protocol`` prints the vectors; with a folder it writes such a log there, and with
``--shortened`` behind it one that begins with a snapshot.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.vault.sync import reader
from tests.vault.sync.world import START_MS, World, a_device
from tests.vault.test_membership import KIT, LAPTOP, PHONE, TABLET, stand_in
from tests.vault.test_seniority import revoking, three
from tests.vault.test_signing import classic_device
from vault import crypto, identity, listentry, listmaking, membership
from vault.canonical import canonical
from vault.device import Device, from_text, new_device, to_text
from vault.errors import UsageError, WrongKit
from vault.kit import Kit, new_kit
from vault.store import Store
from vault.sync import belonging, entry, epochs, log, merge, pairing, session, snapshots, wire
from vault.sync.entry import Head
from vault.sync.folder import Folder
from vault.sync.ways import Kept

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "sync-protocol.md").read_text(encoding="utf-8")
SAMPLE = ROOT / "samples" / "sync"
SAMPLES = (SAMPLE, SAMPLE / "both_signatures")
SHORTENED = SAMPLE / "shortened"
AT = "2026-11-23T00:00:00Z"
HLC = 1_795_392_000_000 << 16


def counted(first: int, length: int = 32) -> bytes:
    return bytes(range(first, first + length))


# -- the vectors of the page


class Silent:
    """A slot that keeps what is put into it, and gives what is to be heard."""

    def __init__(self, heard: Sequence[bytes] = ()) -> None:
        self.said: list[bytes] = []
        self._heard = list(heard)

    def put(self, number: int, data: bytes) -> None:
        self.said.append(data)

    def get(self, number: int) -> bytes:
        return self._heard.pop(0)

    def burn(self) -> None:
        raise AssertionError("nothing is wrong")


def vectors(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return every value of the page by its name there; salts and nonces are counted bytes."""
    monkeypatch.setattr(secrets, "token_bytes", lambda size: counted(0, size))
    kit, laptop, phone = Kit(counted(0)), stand_in(64), stand_in(128)
    chain = [listmaking.genesis(kit.classic_root, laptop, name="laptop", now=AT)]
    chain.append(listmaking.enrol(chain, phone, name="phone", by=laptop.signer, now=AT))
    found = _membership_vectors(chain, kit, laptop, phone)
    vault, key = membership.vault_id_of(chain), counted(96)
    found |= _entry_vectors(vault, key, membership.head_of(chain), laptop, phone)
    found |= _pairing_vectors(vault, membership.head_of(chain), laptop, phone)
    document, data = "8T7jIOmdn-0I_XicDSN4H8N1xZHb3r7jHKG_JXui9X0", b"a contract\n"
    name, blob = session.blob_of(key, document, data)
    headers = wire.sign_request(
        laptop.ed25519,
        "GET",
        f"/v1/vaults/{vault}/heads",
        wire.digest_of(b""),
        device_id=laptop.device_id,
        now_ms=1_795_392_000_000,
        nonce=counted(0, 16),
    )
    return {**found, "blob": blob.hex(), "blob name": name, "Keyferry-Signature": headers[wire.SIGNATURE]}


def _membership_vectors(chain: list[bytes], kit: Kit, laptop: Device, phone: Device) -> dict[str, str]:
    vault, key = membership.vault_id_of(chain), counted(96)
    commitment = epochs.commitment_of(key)
    wraps = {laptop.device_id: (1, b"OAEP"), epochs.kit_id(kit.recipient): (3, b"AGE")}
    longer = [*chain, listmaking.begin_epoch(chain, 0, commitment, wraps, by=laptop.signer, now=AT)]
    last = (7, counted(32))
    longer.append(listmaking.revoke(longer, phone.device_id, by=kit.classic_root, now=AT, last=last))
    context = epochs._context(vault, 0, laptop.device_id)
    joined = epochs._joined(counted(0), counted(32), context)
    return {
        "commitment of the epoch": commitment.hex(),
        "id of the kit": epochs.kit_id(kit.recipient),
        "epoch": f"{len(longer[2])} bytes, {hashlib.sha256(longer[2]).hexdigest()}",
        "revoke": f"{len(longer[3])} bytes, {hashlib.sha256(longer[3]).hexdigest()}",
        "context": context.hex(),
        "key of both shares": joined.hex(),
        "sealed": _gcm(joined, key, context).hex(),
    }


def _gcm(key: bytes, plain: bytes, bound: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(bytes(12), plain, bound)


def _entry_vectors(vault: str, key: bytes, head: bytes, laptop: Device, phone: Device) -> dict[str, str]:
    op = merge.ops_between("item", "bWFpbA", None, {"id": "bWFpbA", "tags": ["home"], "title": "Mail"}, HLC)
    assert op is not None
    content = merge.encode_ops([op])
    said: dict[str, Any] = {"vault": vault, "epoch": 0, "key": key, "membership": head, "kind": b"op"}
    first = entry.seal(laptop, suite=1, head=None, seen={}, hlc=HLC, content=content, **said)
    own = entry.read_header(first)
    gone = merge.Op("item", "bWFpbA", HLC + 1, merge.DELETE)
    seen = {laptop.device_id: Head(1, own.hash)}
    second = entry.seal(phone, suite=2, head=None, seen=seen, hlc=HLC + 1, content=merge.encode_ops([gone]), **said)
    other = entry.read_header(second)
    thing = merge.apply(None, op, device=laptop.device_id, seq=1, seen={})
    (part,) = snapshots._contents([merge.encode(thing)])
    return {
        "state": merge.encode(thing).decode(),
        "snapshot": part.decode(),
        "plaintext": content.decode(),
        "entry key": entry._keys(key, vault, laptop.device_id, 1, counted(0, 16))[0].hex(),
        "commitment of the entry": own.commitment.hex(),
        "header": f"{len(own.signed)} bytes, {hashlib.sha256(own.signed).hexdigest()}",
        "ciphertext": f"{len(crypto.unpacked(first)[1])} bytes, {own.ciphertext_hash.hex()}",
        "signature": own.signature.hex(),
        "entry": f"{len(first)} bytes, {own.hash.hex()}",
        "the phone's commitment": other.commitment.hex(),
        "the phone's entry": f"{len(second)} bytes, {other.hash.hex()}",
    }


def _pairing_vectors(vault: str, head: bytes, laptop: Device, phone: Device) -> dict[str, str]:
    invitation = pairing.Invitation(
        relay="https://relay.example:8443",
        pin="c0" * 32,
        slot="51" * 16,
        vault=vault,
        bundle=hashlib.sha256(laptop.bundle.packed).digest(),
        head=head,
        secret=counted(200, 16),
    )
    assert pairing.read_code(invitation.text) == invitation
    slot = Silent()
    talk = pairing._Talk(invitation, slot)
    first, second = counted(0), counted(32)
    talk.say(phone.bundle.packed, b"phone")
    talk.say(laptop.bundle.packed, pairing._commitment(first))
    talk.say(second)
    talk.say(first)
    return {
        "code": invitation.text,
        "key of the slot": talk._key.hex(),
        "commitment to the nonce": pairing._commitment(first).hex(),
        "message 3": slot.said[2].hex(),
        "digits": talk.digits(first, second),
    }


def test_the_page_tells_these_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    told = " ".join(PAGE.split()) + " "
    missing = [name for name, value in vectors(monkeypatch).items() if f" {name} {value} " not in told]
    assert missing == []


def test_the_page_names_every_namespace() -> None:
    """A namespace in the code that the page does not tell is a format nobody else can read."""
    sources = [*(ROOT / "vault" / "sync").glob("*.py"), ROOT / "vault" / "listentry.py", ROOT / "vault" / "device.py"]
    found = {name for one in sources for name in re.findall(r'b"(keyferry/[^"]+)"', one.read_text(encoding="utf-8"))}
    assert len(found) >= 10
    assert {name for name in found if f"`{name}`" not in PAGE} == set()


def test_the_page_tells_the_limits() -> None:
    for number in (entry.MOST_BYTES, listentry.MOST_ENTRY_BYTES, membership.MOST_ENTRIES, wire.MOST_BATCH):
        assert f"{number:,}" in PAGE


# -- a log that is kept for ever


class Writer:
    """A device that writes entries."""

    def __init__(self, vault: str, device: Device) -> None:
        self.vault, self.device, self.written = vault, device, list[bytes]()

    @property
    def head(self) -> Head | None:
        return Head(len(self.written), entry.hash_of(self.written[-1])) if self.written else None

    def write(self, chain: Sequence[bytes], key: bytes, epoch: int, suite: int, *ops: merge.Op, **said: Any) -> None:
        seen = {one.device.device_id: one.head for one in said.pop("seen", ()) if one.head is not None}
        content = merge.encode_ops(ops)
        hlc = max((op.hlc for op in ops), default=HLC)
        self.written.append(
            entry.seal(
                self.device,
                vault=self.vault,
                suite=suite,
                epoch=epoch,
                key=key,
                head=self.head,
                membership=membership.head_of(chain),
                seen=seen,
                hlc=hlc,
                kind=said.get("kind", b"op"),
                content=content,
            )
        )


def op(id_: str, after: int, *rows: dict[str, Any] | None) -> merge.Op:
    """Return the op from one row to the next."""
    thing = None
    for at, row in enumerate(rows):
        found = merge.ops_between("item", id_, thing, row, HLC + after + at)
        assert found is not None
        thing = merge.apply(thing, found, device="0" * 32, seq=at + 1, seen={})
    return found


def write_log(place: Path) -> None:
    """Write the folder of a vault with three devices, both suites, a revocation, changes side by side, a new kit.

    One device has no ML-DSA key.
    """
    kit, renewed, laptop, phone, old = new_kit(), new_kit(), new_device(), new_device(), classic_device()
    keys = [crypto.new_key(), crypto.new_key()]
    chain = [listmaking.genesis(kit.root, laptop, name="", now=AT)]
    for device in (phone, old):
        chain.append(listmaking.enrol(chain, device, name="", by=laptop.signer, now=AT))
    vault = membership.vault_id_of(chain)

    def begin(number: int, suites: dict[Device, int]) -> None:
        wraps = {
            one.device_id: (suite, epochs.wrap(keys[number], one.bundle, vault=vault, epoch=number, suite=suite))
            for one, suite in suites.items()
        }
        wraps[epochs.kit_id(kit.recipient)] = (3, epochs.wrap_for_kit(keys[number], kit.recipient))
        commitment = epochs.commitment_of(keys[number])
        chain.append(listmaking.begin_epoch(chain, number, commitment, wraps, by=laptop.signer, now=AT))

    begin(0, {laptop: 2, phone: 2, old: 1})
    at_laptop, at_phone, at_old = (Writer(vault, one) for one in (laptop, phone, old))
    login = {"type": "basic-auth", "username": {"fieldType": "string", "value": "ada"}}
    bank = {"id": "YmFuaw", "title": "Bank", "tags": ["home"], "credentials": [login]}
    mail = {"id": "bWFpbA", "title": "Mail", "note": "Käse, 日本, 😀", "scope": {"urls": ["https://mail.example"]}}
    at_laptop.write(chain, keys[0], 0, 1, op("YmFuaw", 0, bank), op("bWFpbA", 1, mail))
    at_phone.write(chain, keys[0], 0, 1, kind=b"beat", seen=[at_laptop])
    at_laptop.write(chain, keys[0], 0, 1, op("YmFuaw", 10, bank, {**bank, "title": "My bank"}), seen=[at_phone])
    at_phone.write(
        chain, keys[0], 0, 1, op("YmFuaw", 20, bank, {**bank, "title": "Our bank", "tags": ["home", "money"]})
    )
    at_old.write(chain, keys[0], 0, 1, op("bWFpbA", 30, mail, None), seen=[at_laptop])
    at_phone.write(chain, keys[0], 0, 1, op("bWFpbA", 32, mail, {**mail, "title": "Post"}))
    last = at_old.head
    assert last is not None
    revocation = listmaking.revoke(chain, old.device_id, by=laptop.signer, now=AT, last=(last.seq, last.hash))
    at_old.write(chain, keys[0], 0, 1, op("YmFuaw", 40, bank, None), seen=[at_laptop, at_phone])  # that does not count
    chain.append(revocation)
    chain.append(listmaking.new_root(chain, renewed.root, phone, now=AT, old=kit.root))
    begin(1, {laptop: 2, phone: 2})
    large = {**mail, "title": "Post", "note": "x" * 6000}
    at_laptop.write(chain, keys[1], 1, 2, op("bWFpbA", 50, mail, large), seen=[at_phone, at_old])
    place.mkdir(parents=True, exist_ok=True)
    folder = Folder(place, vault)
    folder.create(chain)
    folder.push([(b"entry", one) for writer in (at_laptop, at_phone, at_old) for one in writer.written])
    for name, device in (("laptop", laptop), ("phone", phone), ("old", old)):
        told = {**json.loads(to_text(device)), "bundle": crypto.to_text(device.bundle.packed)}
        (place / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="ascii")
    (place / "root.txt").write_text(renewed.root_public.hex() + "\n", encoding="ascii")
    (place / "vault.txt").write_text(vault + "\n", encoding="ascii")
    lines = "".join(f"{line}\n" for line in theirs(place, "laptop"))
    (place / "entries.jsonl").write_text(lines, encoding="utf-8")
    (place / "merged.json").write_text(json.dumps(merged(place), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def vault_in(place: Path) -> str:
    return (place / "vault.txt").read_text(encoding="ascii").strip()


def root_in(place: Path) -> bytes:
    return bytes.fromhex((place / "root.txt").read_text(encoding="ascii"))


def theirs(place: Path, name: str) -> list[str]:
    """Return what the second reader prints."""
    keys = reader.device_keys((place / f"{name}.json").read_text(encoding="ascii"))
    return list(reader.lines(reader.read(place / f"keyferry-{vault_in(place)}", keys, root_in(place))))


def opened(place: Path, name: str) -> dict[tuple[str, int], tuple[entry.Header, bytes]]:
    """Return the entries that count as our modules open them, by device and number."""
    vault, device = vault_in(place), from_text((place / f"{name}.json").read_text(encoding="ascii"))
    page = Folder(place, vault).pull("")
    chain = [data for kind, data in page.messages if kind == b"member"]
    membership.verify_membership(chain, root_in(place))
    found = membership.read_chain(chain)
    devices = {one.device_id: one for one in (*found.members, *found.revoked)}
    keys = {}
    for epoch in found.epochs:
        if device.device_id in epoch.wraps:
            suite, data = epoch.wraps[device.device_id]
            keys[epoch.number] = epochs.unwrap(data, device, vault=vault, epoch=epoch.number, suite=suite)
            assert epochs.commitment_of(keys[epoch.number]) == epoch.commitment
    done = {}
    for kind, data in page.messages:
        if kind == b"entry":
            header = entry.read_header(data)
            writer = devices[header.device]
            entry.check_signature(header, writer.bundle.ed25519)
            if writer.last is None or header.seq <= writer.last[0]:
                done[header.device, header.seq] = header, entry.open_entry(data, header, keys[header.epoch])
    return done


def merged(place: Path) -> list[Any]:
    """Return the things at the end as our merge shows them: kind, id, row, kept against a delete, losers."""
    things: dict[tuple[str, str], merge.Thing] = {}
    found = opened(place, "laptop")
    for line in theirs(place, "laptop"):
        told = json.loads(line)
        header, content = found[told["device"], told["seq"]]
        seen = {device: head.seq for device, head in header.seen.items()}
        for one in merge.decode_ops(content):
            before = things.get((one.kind, one.id))
            things[one.kind, one.id] = merge.apply(before, one, device=header.device, seq=header.seq, seen=seen)
    shown = [
        {"thing": key, "row": one.row(), "kept": one.kept_against_delete, "lost": one.lost_rows()}
        for key, one in sorted(things.items())
    ]
    again: list[Any] = json.loads(json.dumps(shown))
    return again


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_two_readers_read_the_same_log(sample: Path) -> None:
    lines = (sample / "entries.jsonl").read_text(encoding="utf-8").splitlines()
    for name in ("laptop", "phone"):
        assert theirs(sample, name) == lines
        found = opened(sample, name)
        told = {(one["device"], one["seq"]): one for one in map(json.loads, lines)}
        assert found.keys() == told.keys()
        for key, (header, content) in found.items():
            said = {"epoch": header.epoch, "seq": header.seq, "hlc": header.hlc, "kind": header.kind.decode()}
            assert told[key] == {**said, "device": header.device, **json.loads(content)}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_what_was_merged_stays_what_it_was(sample: Path) -> None:
    assert merged(sample) == json.loads((sample / "merged.json").read_text(encoding="utf-8"))


def test_a_fresh_log_is_read_by_both(tmp_path: Path) -> None:
    write_log(tmp_path)
    assert len(theirs(tmp_path, "phone")) == len(opened(tmp_path, "phone")) == 7
    bank, mail = merged(tmp_path)
    assert bank["row"]["tags"] == ["home", "money"]
    assert (bank["row"]["title"], [one["title"] for one in bank["lost"]]) == ("Our bank", ["My bank"])
    assert (mail["kept"], mail["row"]["note"]) == (False, "x" * 6000)


def test_a_revoked_device_does_not_read_on() -> None:
    """It has the key of the first epoch only; neither reader opens what was written in the second."""
    with pytest.raises(KeyError):
        theirs(SAMPLE, "old")
    with pytest.raises(KeyError):
        opened(SAMPLE, "old")


def test_the_second_reader_knows_nothing_of_ours() -> None:
    text = Path(reader.__file__).read_text(encoding="utf-8")
    imported = set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE))
    assert imported - set(sys.stdlib_module_names) == {"cryptography"}
    assert len(text.splitlines()) < 300


def test_the_second_reader_is_a_program() -> None:
    command = [
        sys.executable,
        reader.__file__,
        str(SAMPLE / f"keyferry-{vault_in(SAMPLE)}"),
        str(SAMPLE / "phone.json"),
    ]
    done = subprocess.run([*command, root_in(SAMPLE).hex()], capture_output=True, check=True, cwd="/")
    assert done.stdout.decode() == (SAMPLE / "entries.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(("seed", "sample"), [(seed, one) for seed in range(40) for one in SAMPLES])
def test_the_second_reader_refuses_an_altered_log(seed: int, sample: Path, tmp_path: Path) -> None:
    """One bit in one file, under a name that fits the altered content."""
    seeded = random.Random(seed)
    shutil.copytree(sample, tmp_path / "log")
    place = tmp_path / "log" / f"keyferry-{vault_in(sample)}"
    files = sorted(one for one in place.rglob("*") if one.is_file())
    chosen = seeded.choice(files)
    data = bytearray(chosen.read_bytes())
    data[seeded.randrange(len(data))] ^= 1 << seeded.randrange(8)
    chosen.unlink()
    number = chosen.name.partition("-")[0]
    (chosen.parent / f"{number}-{hashlib.sha256(data).hexdigest()}").write_bytes(data)
    with pytest.raises(Exception):  # noqa: B017 - its own, or the library's
        theirs(tmp_path / "log", "laptop")


@pytest.mark.parametrize(("place", "words"), [(0, "beginning of a log is missing"), (1, "an entry is missing")])
def test_the_second_reader_refuses_a_log_with_a_hole(place: int, words: str, tmp_path: Path) -> None:
    shutil.copytree(SAMPLE, tmp_path / "log")
    log = tmp_path / "log" / f"keyferry-{vault_in(SAMPLE)}" / "log"
    longest = max((sorted(one.iterdir()) for one in log.iterdir()), key=len)
    longest[place].unlink()
    with pytest.raises(ValueError, match=words):
        theirs(tmp_path / "log", "laptop")


# -- a log that begins with a snapshot


def write_shortened(place: Path) -> None:
    """Write a folder of two devices whose old entries were dropped, the devices' keys, and what is to be read."""
    with tempfile.TemporaryDirectory() as scratch:
        world = World(Path(scratch), "laptop", "phone")
        world.settle()
        for number in range(4):
            world["laptop"].add(f"item {number}", title=f"Item {number}", tags=("home",))
            world["laptop"].sync()
        world["phone"].sync()
        world["phone"].edit("item 1", title="By the phone")
        world["laptop"].edit("item 1", title="By the laptop")
        world["laptop"].store.purge("item 3")
        world.settle()
        world["laptop"].sync(compact=True)
        world.settle()
        world["phone"].edit("item 0", title="After the snapshot")
        world.settle()
        vault = world["laptop"].store.vault_id
        shutil.copytree(world.root(), place / f"keyferry-{vault}")
        for name in ("laptop", "phone"):
            kept = {**json.loads(to_text(a_device(name))), "bundle": crypto.to_text(a_device(name).bundle.packed)}
            (place / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="ascii")
        (place / "vault.txt").write_text(vault + "\n", encoding="ascii")
        (place / "root.txt").write_text(membership.read_chain(world["laptop"].chain()).root.hex() + "\n", "ascii")
        lines = theirs(place, "phone")
        (place / "entries.jsonl").write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
        (place / "items.json").write_bytes(items_of(world["phone"].store) + b"\n")
        world.close()


def items_of(store: Store) -> bytes:
    return canonical(sorted(store.vault().items, key=lambda one: one.id))


def fetched(sample: Path, name: str, place: Path) -> bytes:
    """Return the items that a device has which begins with nothing but its keys and the folder."""
    shutil.copytree(sample, place / "folder")
    vault = vault_in(sample)
    page = Folder(place / "folder", vault).pull("")
    chain = belonging.grown(page.messages[0][1:], [data for kind, data in page.messages if kind == b"member"])
    with Store.create(place / "vault.db", bytes(32), vault) as store:
        with store.transaction():
            store.set_meta("device", (sample / f"{name}.json").read_text(encoding="ascii"))
            store.set_meta("root", crypto.to_text(root_in(sample)))
            identity.write_membership(store, chain)
            log.begin(store)
            belonging.learn_keys(store)
        session.sync(store, Folder(place / "folder", vault, kept=Kept(store)), lambda: START_MS + 10**6)
        assert log.begins(store)
        return items_of(store)


def test_a_log_that_begins_with_a_snapshot_is_read_by_both(tmp_path: Path) -> None:
    lines = (SHORTENED / "entries.jsonl").read_text(encoding="utf-8").splitlines()
    for name in ("laptop", "phone"):
        assert theirs(SHORTENED, name) == lines
        place = tmp_path / name
        place.mkdir()
        assert fetched(SHORTENED, name, place) == (SHORTENED / "items.json").read_bytes().rstrip(b"\n")
    assert sum("base" in json.loads(line) for line in lines) >= 4


def test_a_fresh_log_that_begins_with_a_snapshot_is_read_by_both(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "again").mkdir()
    write_shortened(tmp_path / "log")
    assert (
        fetched(tmp_path / "log", "laptop", tmp_path / "again") == (tmp_path / "log" / "items.json").read_bytes()[:-1]
    )


@pytest.mark.parametrize("seed", range(30))
def test_the_second_reader_refuses_an_altered_snapshot(seed: int, tmp_path: Path) -> None:
    """One bit in one file of a log that begins with a snapshot, under a name that fits."""
    test_the_second_reader_refuses_an_altered_log(seed, SHORTENED, tmp_path)


# -- T14: who revokes whom, in every sequence


def test_every_sequence_of_two_revocations_ends_the_same() -> None:
    """Three devices and the root, any two revocations beside or after one another, in any order of arrival."""
    begun = three()
    keys = (KIT.root, *(one.signer for one in (LAPTOP, PHONE, TABLET)))
    revocations = [(one, key) for key in keys for one in (LAPTOP, PHONE, TABLET) if key != one.signer]
    count = 0
    for first, second in permutations(revocations, 2):
        beside = [revoking(begun, *one) for one in (first, second)]
        after = []
        for chain, one in zip(beside, (second, first), strict=True):
            with contextlib.suppress(UsageError, WrongKit):
                after.append(revoking(chain, *one))
        ends = set()
        for sequence in permutations([chain[-1] for chain in (*beside, *after)]):
            here, strays = tuple(begun), list[bytes]()
            for arrived in sequence:
                before = here
                here = belonging.grown(here, [*strays, arrived])
                strays = [*strays, arrived, *(one for one in before if one not in here)]
            ends.add(here)
            count += 1
        assert len(ends) == 1
    assert count > 500


def main() -> None:
    """Print the vectors, or write a log."""
    if len(sys.argv) > 1:
        {"--shortened": write_shortened}.get(sys.argv[-1], write_log)(Path(sys.argv[1]))
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in vectors(patch).items():
            print(f"    {name:26}{value}")


if __name__ == "__main__":
    main()
