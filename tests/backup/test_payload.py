"""What is inside a set comes back as it was, and nothing that its device did not write is taken for it."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backup import payload, zipped
from backup.payload import DOCUMENTS, HISTORY, MANIFEST, SIGNATURE, VAULT, Manifest, Part
from backup.zipped import Member
from tests.backup import sets
from tests.backup.sets import DEVICE, KIT, LATER, NOW, PASSWORD, STRANGER
from tests.vault.strategies import vaults
from tests.vault.test_history import remembered
from vault import canonical, cxf, device, keys, listmaking, membership, statement
from vault.errors import DamagedBackup, DamagedVault, ForgedSignature, KeyferryError, NewerBackup
from vault.kit import new_kit
from vault.model import Vault
from vault.store import Store

ROOTS = (KIT.root_public,)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return sets.small(tmp_path_factory.mktemp("vault") / "v.db")


@pytest.fixture(scope="module")
def good(store: Store) -> bytes:
    """The ZIP of a small set."""
    return sets.plain(store)


def refusal(data: bytes, roots: tuple[bytes, ...] | None = ROOTS) -> KeyferryError | None:
    """Return why a ZIP is refused; None if it is taken."""
    try:
        sets.read(data, roots)
    except KeyferryError as error:
        return error
    return None


# -- laws


@given(vaults(), remembered(), st.lists(st.binary(max_size=40), max_size=3, unique=True))
@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
def test_a_vault_comes_back_out_of_a_set(
    tmp_path_factory: pytest.TempPathFactory, vault: Vault, lines: list[bytes], documents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("law")
    last = {"items": len(vault.items), "collections": len(vault.collections)}
    order = [canonical.encode(["order", name, count + 3, list(range(3, count + 3))]) for name, count in last.items()]
    with sets.vault(folder / "a") as before, sets.vault(folder / "b") as after:
        before.fill(vault, [*order, *lines])
        for one in documents:
            before.put_document(one)
        kept = sets.Kept()
        found = sets.read(sets.plain(before), ROOTS, kept)
        read = cxf.decode(canonical.decode_any(bytes(kept.parts[VAULT])))
        after.fill(read, bytes(kept.parts[HISTORY]).splitlines())
        for name, part in kept.parts.items():
            if name.startswith(DOCUMENTS):
                after.put_document(bytes(part))
        assert after.vault() == before.vault()
        assert list(after.history()) == list(before.history())
        assert sorted(after.documents()) == sorted(before.documents())
        assert found.manifest is not None
        assert payload.gather(after, LATER).content == found.manifest.content


def test_content_tells_whether_the_vault_was_changed(tmp_path: Path) -> None:
    """Whatever is changed it is another one, and it is the same again when only time has passed."""
    with sets.small(tmp_path / "v") as store:
        seen = [payload.gather(store, NOW).content]
        changes: list[Callable[[], object]] = [
            lambda: store.put(sets.login("mail", "Mail", "new"), now=LATER),
            lambda: store.put_document(b"another"),
            lambda: store.set_extras("cxf", {"a": 1}),
            lambda: store.keep_past("mail", b'{"id":"mail","title":"Older"}', NOW),
            lambda: store.purge("bank"),
        ]
        for change in changes:
            change()
            seen.append(payload.gather(store, NOW).content)
            assert payload.gather(store, LATER).content == seen[-1]
        assert len(set(seen)) == len(seen)


def test_the_zip_is_what_every_reader_of_zip_files_accepts(good: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as found:
        assert found.testzip() is None
        manifest = json.loads(found.read(MANIFEST))
        assert found.namelist() == [MANIFEST, SIGNATURE, *(part["name"] for part in manifest["members"]), "padding"]
        for part in manifest["members"]:
            assert hashlib.sha256(found.read(part["name"])).hexdigest() == part["sha256"]


def test_a_set_tells_who_it_is_for_and_what_it_holds(good: bytes) -> None:
    manifest = sets.read(good).manifest
    assert manifest is not None
    assert [(one.kind, one.key) for one in manifest.recipients] == [
        ("kit", KIT.recipient),
        ("device", DEVICE.bundle.age),
    ]
    assert (manifest.counts.items, manifest.counts.documents, manifest.counts.document_bytes) == (2, 1, 11)
    assert (manifest.name, manifest.device_name, manifest.height) == ("Ada", "laptop", 1)


# -- bits


def test_no_single_bit_can_be_altered(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """By somebody who seals it again to the same recipients; the signature of the same bytes is checked once."""
    check = functools.lru_cache(maxsize=None)(keys.check_statement)
    monkeypatch.setattr(keys, "check_statement", check)
    assert refusal(good) is None
    accepted = []
    data = bytearray(good)
    for place in range(8 * len(good)):
        data[place >> 3] ^= 1 << (place & 7)
        if refusal(bytes(data)) is None:
            accepted.append(place)
        data[place >> 3] ^= 1 << (place & 7)
    assert accepted == []


@given(st.data())
@settings(max_examples=150)
def test_no_stretch_can_be_cut_out_repeated_or_swapped(good: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(good) - 1), "start")
    end = data.draw(st.integers(start + 1, len(good)), "end")
    stretch = good[start:end]
    for wrong in (
        good[:start] + good[end:],
        good[:end] + stretch + good[end:],
        good[:start] + bytes(len(stretch)) + good[end:],
        good[:start] + stretch[::-1] + good[end:],
    ):
        assert wrong == good or refusal(wrong) is not None


@pytest.mark.parametrize("length", [0, 1, 29, 30, 43, 1000, -1, -22, -23])
def test_a_cut_set_is_refused_wherever_it_is_cut(good: bytes, length: int) -> None:
    assert isinstance(refusal(good[:length]), DamagedBackup)
    assert isinstance(refusal(good + good[:5]), DamagedBackup)


# -- parts


class Piece(msgspec.Struct, frozen=True):
    """A member of a ZIP and its bytes there."""

    member: Member
    packed: bytes


def taken_apart(data: bytes) -> list[Piece]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        pieces = []
        for one in found.infolist():
            start = one.header_offset + 30 + len(one.filename)
            member = Member(one.filename, one.file_size, one.CRC, one.compress_size, one.compress_type == 8)
            pieces.append(Piece(member, data[start : start + one.compress_size]))
    return pieces


def put_together(pieces: list[Piece], *, pad: bool = True) -> bytes:
    """Return a ZIP of the pieces; their padding is made anew."""
    if pad:
        pieces = [piece for piece in pieces if piece.member.name != zipped.PADDING]
        padding = zipped.padding([piece.member for piece in pieces])
        pieces = [*pieces, Piece(padding, bytes(padding.size))]
    data = b"".join(zipped.local_header(piece.member) + piece.packed for piece in pieces)
    return data + zipped.directory([piece.member for piece in pieces])


def stored(name: str, content: bytes) -> Piece:
    return Piece(Member(name, len(content), zlib.crc32(content), len(content)), content)


def repacked(piece: Piece, level: int) -> Piece:
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(zlib.decompress(piece.packed, -zlib.MAX_WBITS)) + packer.flush()
    return Piece(msgspec.structs.replace(piece.member, packed=len(packed)), packed)


ALTERED: dict[str, Callable[[list[Piece]], list[Piece]]] = {
    "a part missing": lambda pieces: [*pieces[:-2], pieces[-1]],
    "the history missing": lambda pieces: [*pieces[:3], *pieces[4:]],
    "a part too many": lambda pieces: [*pieces[:-1], stored("readme", b"x"), pieces[-1]],
    "a document too many": lambda pieces: [*pieces[:-1], stored(f"{DOCUMENTS}{'0' * 64}", b""), pieces[-1]],
    "something behind the padding": lambda pieces: [*pieces, stored("readme", b"")],
    "a part twice": lambda pieces: [*pieces[:-1], *pieces[-2:]],
    "parts in another order": lambda pieces: [*pieces[:2], pieces[3], pieces[2], *pieces[4:]],
    "the signature first": lambda pieces: [pieces[1], pieces[0], *pieces[2:]],
    "another name": lambda pieces: [*pieces[:-2], stored(DOCUMENTS + "0" * 64, pieces[-2].packed), pieces[-1]],
    "another document": lambda pieces: [*pieces[:-2], stored(pieces[-2].member.name, b"a contracT\n"), pieces[-1]],
    "another history": lambda pieces: [*pieces[:3], Piece(*_packed(HISTORY, b"[]\n")), *pieces[4:]],
    "a part packed otherwise": lambda pieces: [*pieces[:2], repacked(pieces[2], 9), *pieces[3:]],
    "a part not packed": lambda pieces: [
        *pieces[:2],
        stored(VAULT, zlib.decompress(pieces[2].packed, -zlib.MAX_WBITS)),
        *pieces[3:],
    ],
    "a packed manifest": lambda pieces: [Piece(*_packed(MANIFEST, pieces[0].packed)), *pieces[1:]],
    "no manifest": lambda pieces: pieces[1:],
    "no parts": lambda pieces: pieces[:2],
}


def _packed(name: str, content: bytes) -> tuple[Member, bytes]:
    packed = sets.squeezed(content)
    return Member(name, len(content), zlib.crc32(content), len(packed), True), packed


def test_what_was_taken_apart_is_a_set_again(good: bytes) -> None:
    assert put_together(taken_apart(good)) == good


@pytest.mark.parametrize("what", list(ALTERED))
@pytest.mark.parametrize("pad", [True, False])
def test_parts_are_those_of_the_manifest(good: bytes, what: str, pad: bool) -> None:
    error = refusal(put_together(ALTERED[what](taken_apart(good)), pad=pad))
    assert isinstance(error, DamagedBackup | ForgedSignature)


@pytest.mark.parametrize("more", [-1, 1, 20, 4096])
def test_the_padding_is_exactly_as_long_as_it_has_to_be(good: bytes, more: int) -> None:
    pieces = taken_apart(good)
    size = pieces[-1].member.size + more
    assert isinstance(refusal(put_together([*pieces[:-1], stored("padding", bytes(size))], pad=False)), DamagedBackup)


def test_the_padding_is_zeros(good: bytes) -> None:
    pieces = taken_apart(good)
    hidden = bytes(pieces[-1].member.size - 6) + b"hidden"
    assert isinstance(refusal(put_together([*pieces[:-1], stored("padding", hidden)], pad=False)), DamagedBackup)


def test_the_padding_is_zeros_even_where_its_crc_is_that_of_zeros(good: bytes) -> None:
    pieces = taken_apart(good)
    zeros = pieces[-1].packed
    hidden = (0x1_DB71_0641).to_bytes(5, "little") + zeros[5:]  # the polynomial of the CRC itself
    assert zlib.crc32(hidden) == zlib.crc32(zeros)
    assert isinstance(refusal(put_together([*pieces[:-1], stored("padding", hidden)], pad=False)), DamagedBackup)


def test_a_part_is_not_there_twice_even_if_its_device_says_so(store: Store) -> None:
    def told(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, members=(*manifest.members, manifest.members[-1]))

    pieces = taken_apart(sets.plain(store, told=told))
    assert isinstance(refusal(put_together([*pieces[:-1], pieces[-2], pieces[-1]])), DamagedBackup)


def test_the_directory_says_what_the_headers_say(good: bytes) -> None:
    directory = good.index(b"PK\x01\x02")
    for wrong in (
        good[:directory] + good[directory:].replace(b"manifest.sig", b"manifest.sih"),
        good[:directory] + good[directory:].replace(b"\0\0\x80\x81", b"\0\0\xff\xa1", 1),  # a link
        good[:-2] + b"\5\0hello",  # a comment
    ):
        assert isinstance(refusal(wrong), DamagedBackup)


def test_a_bomb_is_refused_before_it_goes_off(store: Store, good: bytes) -> None:
    pieces = taken_apart(good)
    bomb = sets.squeezed(bytes(300_000_000))
    for size in (pieces[2].member.size, 300_000_000, 0xFFFF_FFFE):
        member = Member(VAULT, size, pieces[2].member.crc, len(bomb), True)
        kept = sets.Kept()
        with pytest.raises(DamagedBackup):
            sets.read(put_together([*pieces[:2], Piece(member, bomb), *pieces[3:]]), ROOTS, kept)
        assert len(kept.parts.get(VAULT, b"")) <= pieces[2].member.size + 1


@pytest.mark.parametrize(("place", "name"), [(0, MANIFEST), (1, SIGNATURE)])
def test_a_manifest_of_many_megabytes_is_refused_by_its_header(good: bytes, place: int, name: str) -> None:
    pieces = taken_apart(good)
    pieces[place] = Piece(Member(name, 0xFFFF_FFFE, 0, 0xFFFF_FFFE), b"x" * 100)
    with pytest.raises(DamagedBackup, match="not built"):
        sets.read(b"".join(zipped.local_header(piece.member) + piece.packed for piece in pieces))


# -- who signed


def test_a_stranger_cannot_sign(store: Store) -> None:
    chain = keys.own_chain(store)
    signed = sets.plain(store, sign=lambda data: statement.sign(STRANGER, chain, payload.PURPOSE, data))
    error = refusal(signed)
    assert isinstance(error, ForgedSignature)
    assert error.message == "it is signed by a stranger"


def test_a_revoked_device_cannot_sign(store: Store) -> None:
    chain = [*keys.own_chain(store)]
    chain.append(listmaking.enrol(chain, STRANGER, name="phone", by=DEVICE.signer, now=NOW))
    sign = functools.partial(statement.sign, STRANGER, purpose=payload.PURPOSE)
    told = _told_by(chain)
    assert refusal(sets.plain(store, told=told, sign=lambda data: sign(chain=tuple(chain), body=data))) is None
    chain.append(listmaking.revoke(chain, STRANGER.device_id, by=DEVICE.signer, now=NOW))
    told = _told_by(chain)
    error = refusal(sets.plain(store, told=told, sign=lambda data: sign(chain=tuple(chain), body=data)))
    assert isinstance(error, ForgedSignature)
    assert error.message == "it is signed by a revoked device"


def _told_by(chain: list[bytes]) -> Callable[[Manifest], Manifest]:
    head = membership.head_of(chain).hex()
    names = {"device": STRANGER.device_id, "membership": head, "height": len(chain)}
    return lambda manifest: msgspec.structs.replace(manifest, **names)


def test_another_kits_devices_cannot_sign(store: Store, tmp_path: Path) -> None:
    """Their chain holds, and so does their signature: only the root tells."""
    other = [listmaking.genesis(new_kit().root, DEVICE, name="laptop", now=NOW)]
    names = {"vault": membership.vault_id_of(other), "membership": membership.head_of(other).hex()}
    forged = sets.plain(
        store,
        told=lambda manifest: msgspec.structs.replace(manifest, **names),
        sign=lambda data: statement.sign(DEVICE, other, payload.PURPOSE, data),
    )
    error = refusal(forged)
    assert isinstance(error, ForgedSignature)
    assert error.message == "its devices are signed by another kit"
    assert refusal(forged, None) is None, "without a root to trust there is nothing to compare with"


def test_a_chain_that_parts_from_ones_own_is_refused(store: Store, good: bytes) -> None:
    own = [*keys.own_chain(store)]
    mine = [*own, listmaking.enrol(own, STRANGER, name="phone", by=DEVICE.signer, now=NOW)]
    theirs = [*own, listmaking.enrol(own, device.new_device(), name="forged", by=KIT.root, now=NOW)]
    for chain, follows in ((own, True), (mine, True), (theirs, True)):
        found = payload.Found()
        sets_ = payload.read(found, ROOTS, None, chain)
        assert follows == (_drained(sets_, good) is None)
    forged = sets.plain(
        store,
        told=lambda manifest: msgspec.structs.replace(manifest, membership=membership.head_of(theirs).hex(), height=2),
        sign=lambda data: statement.sign(DEVICE, theirs, payload.PURPOSE, data),
    )
    assert _drained(payload.read(payload.Found(), ROOTS, None, own), forged) is None
    error = _drained(payload.read(payload.Found(), ROOTS, None, mine), forged)
    assert isinstance(error, ForgedSignature)
    assert "parts from" in error.message


def _drained(reader: zipped.Take, data: bytes) -> KeyferryError | None:
    from backup import sealing

    feed = sealing._Feed(reader)
    try:
        feed.write(memoryview(data))
        feed.end()
    except KeyferryError as error:
        return error
    return None


@pytest.mark.parametrize(
    "statement_of",
    [
        lambda data, good: b"",
        lambda data, good: good[:-1],
        lambda data, good: good + bytes(4),
        lambda data, good: good[:40] + bytes(64) + good[104:],
    ],
)
def test_a_statement_that_is_none_is_refused(store: Store, statement_of: Callable[[bytes, bytes], bytes]) -> None:
    def sign(data: bytes) -> bytes:
        return statement_of(data, keys.sign_statement(store, payload.PURPOSE, data))

    assert isinstance(refusal(sets.plain(store, sign=sign)), ForgedSignature)


def test_a_statement_for_something_else_does_not_count(store: Store) -> None:
    signed = sets.plain(store, sign=lambda data: keys.sign_statement(store, b"keyferry/other/1", data))
    error = refusal(signed)
    assert isinstance(error, ForgedSignature)
    assert error.message == "its signature does not hold"


# -- what a device of the vault may not say either


WRONG: dict[str, dict[str, object]] = {
    "no time": {"made_at": "yesterday"},
    "a time with a zone": {"made_at": "2026-11-23T21:00:00+01:00"},
    "a time that is none": {"made_at": "2026-02-30T21:00:00Z"},
    "no counter": {"counter": 0},
    "a set without an id": {"set": "x"},
    "an id with a path": {"set": "../../../etc/pas"},
    "no parts": {"members": ()},
    "another format": {"format": "zip"},
    "another vault": {"vault": "0" * 32},
    "another device": {"device": STRANGER.device_id},
    "another chain": {"membership": "0" * 64},
    "another height": {"height": 2},
}


@pytest.mark.parametrize("what", list(WRONG))
def test_a_manifest_that_makes_no_sense_is_refused(store: Store, what: str) -> None:
    signed = sets.plain(store, told=lambda manifest: msgspec.structs.replace(manifest, **WRONG[what]))
    assert isinstance(refusal(signed), DamagedBackup | ForgedSignature)


@pytest.mark.parametrize(
    "change",
    [
        lambda parts: parts[::-1],
        lambda parts: (*parts, parts[-1]),
        lambda parts: (*parts[:2], Part("documents/../../x", 11, parts[2].sha256)),
        lambda parts: (*parts[:2], Part(DOCUMENTS + "0" * 64, 11, parts[2].sha256)),
        lambda parts: (*parts[:2], msgspec.structs.replace(parts[2], packed=parts[2].sha256)),
        lambda parts: (msgspec.structs.replace(parts[0], packed=""), *parts[1:]),
        lambda parts: (msgspec.structs.replace(parts[0], size=-1), *parts[1:]),
        lambda parts: (msgspec.structs.replace(parts[0], size=1 << 40), *parts[1:]),
    ],
)
def test_a_list_of_parts_that_makes_no_sense_is_refused(
    store: Store, change: Callable[[tuple[Part, ...]], tuple[Part, ...]]
) -> None:
    def told(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(manifest, members=change(manifest.members))

    assert isinstance(refusal(sets.plain(store, told=told)), DamagedBackup)


@pytest.mark.parametrize("newer", [{"min_reader": 2}, {"critical": ("shards",)}])
def test_a_newer_format_is_named(store: Store, newer: dict[str, object]) -> None:
    signed = sets.plain(store, told=lambda manifest: msgspec.structs.replace(manifest, **newer))
    error = refusal(signed)
    assert isinstance(error, NewerBackup)
    assert "update Keyferry" in error.hint


def test_a_newer_format_is_named_whatever_else_it_has(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = b'{"format": "keyferry-backup", "min_reader": 9, "everything": {"else": "is new"}}'
    monkeypatch.setattr(payload, "encoded", lambda manifest: newer)
    assert isinstance(refusal(sets.plain(store)), NewerBackup)


def test_what_a_reader_need_not_know_is_passed_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = payload.encoded
    added = {"version": 2, "colour": "green"}
    monkeypatch.setattr(
        payload, "encoded", lambda manifest: json.dumps({**json.loads(encoded(manifest)), **added}).encode()
    )
    assert refusal(sets.plain(store)) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"format": 1}', b"[" * 100_000, b"\xff\xfe", b"{" + b" " * 99])
def test_a_signed_manifest_that_is_none_is_one_sentence(
    store: Store, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "encoded", lambda manifest: data)
    assert isinstance(refusal(sets.plain(store)), DamagedBackup)


# -- the vault's side


def test_a_damaged_attachment_is_not_taken_for_a_good_one(tmp_path: Path) -> None:
    with sets.small(tmp_path / "v") as store:
        (name,) = store.documents()
        store._db.do("UPDATE documents SET body = ? WHERE hash = ?", (b"a contracT\n", name))
        assert isinstance(refusal(sets.plain(store)), DamagedBackup)
        with pytest.raises(DamagedVault, match="attachment in the vault is damaged"):
            payload.check_documents(payload.gather(store, NOW))


def test_no_refusal_tells_what_is_in_the_vault(store: Store, good: bytes) -> None:
    pieces = taken_apart(good)
    told = [refusal(put_together(change(pieces))) for change in ALTERED.values()]
    told += [refusal(bytes(good[:at]) + b"?" + good[at + 1 :]) for at in range(0, len(good), 97)]
    for error in told:
        if error is not None:
            text = f"{error.message} {error.hint}"
            assert PASSWORD not in text and "Mail" not in text and "\n" not in text
            assert error.message[0].islower() and not error.message.endswith(".")


MEMORY = """
import sys
from pathlib import Path
from backup import making, reading
from vault import keys
home = Path(sys.argv[1])
with keys.open_vault(home) as store:
    if sys.argv[2] == "fill":
        for number in range(5):
            store.put_document(bytes([number]) * 40_000_000)
    else:
        made = making.create(store, home)
        assert made.made.size > 200_000_000
        reading.check(Path(made.places[0].path), making.own_opener(store))
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
def test_a_vault_of_200_mb_is_saved_and_checked_within_200_mib(tmp_path: Path) -> None:
    holder = keys.choose_holder(tmp_path / "home", key_file=tmp_path / "k")
    keys.init_vault(tmp_path / "home", holder=holder).close()
    peak = 0
    for what in ("fill", "create"):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(tmp_path / "home"), what],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        peak = int(done.stdout)
    assert peak <= 200 * 1024
