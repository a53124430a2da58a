"""What is inside a backup: a signed manifest, the vault as CXF, its history, its documents (docs/backup-format.md).

    manifest.json      what the set is, of which vault, by which device, and the digest of every part below
    manifest.sig       a statement (vault.statement) about the bytes of manifest.json, with the membership chain
    vault.cxf.json     the vault, CXF full profile, one item a line
    history.jsonl      past versions and import runs (vault.history)
    documents/<hex>    attachments, named by the SHA-256 of their bytes
    padding            zeros

Read front to back; the signature is checked before the manifest is parsed, and each part against the manifest. More
parts, fewer, or others in another order are an error, and so is a single bit that is not as its device wrote it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec

from backup import zipped
from backup.zipped import Member, Take
from vault import canonical, cxf, keys
from vault.errors import DamagedBackup, DamagedVault, ForgedSignature, NewerBackup
from vault.moment import Instant, is_instant
from vault.store import Store

FORMAT, VERSION = "keyferry-backup", 1
PURPOSE = b"keyferry/backup/1"
MANIFEST, SIGNATURE, VAULT, HISTORY, DOCUMENTS = (
    *("manifest.json", "manifest.sig", "vault.cxf.json", "history.jsonl"),
    "documents/",
)
_MOST = {MANIFEST: 64 << 20, SIGNATURE: 32 << 20}  # bytes; a chain is 16 MB at most
_LARGEST = 0xFFFFFFFE
WHOLE = 32 << 20  # a document up to this size is held in memory, a larger one read twice
_LEVEL = 3  # the next one takes half as long again for 4 % less
_BLOCK = 1 << 18
_NAME = re.compile(r"documents/[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a set as its manifest lists it."""

    name: str
    size: int
    sha256: str
    packed: str = ""  # SHA-256 of its bytes in the ZIP, if they are deflated: no content has two such forms


class Recipient(msgspec.Struct, frozen=True):
    """Whom a set is sealed to; ``kind`` is kit, device or escrow."""

    kind: str
    name: str
    key: str


class Counts(msgspec.Struct, frozen=True):
    """How much a set holds."""

    items: int
    trashed: int
    collections: int
    documents: int
    document_bytes: int


class Link(msgspec.Struct, frozen=True):
    """Another set, by its id and the SHA-256 of its file."""

    set: str
    digest: str


class TargetList(msgspec.Struct, frozen=True):
    """The sets a device believes to be at one of its targets, and those it has pruned there, by id, with digests."""

    target: str
    sets: dict[str, str]
    pruned: dict[str, str]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a set says of itself; signed."""

    format: str = FORMAT
    version: int = VERSION
    min_reader: int = VERSION
    critical: tuple[str, ...] = ()
    vault: str
    name: str
    set: str
    counter: int
    previous: Link | None
    made_at: Instant
    device: str
    device_name: str
    membership: str  # SHA-256 of the newest entry of the chain
    height: int  # entries in the chain
    recipients: tuple[Recipient, ...]
    counts: Counts
    content: str
    members: tuple[Part, ...]
    targets: tuple[TargetList, ...] = ()


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a manifest of any version begins with."""

    format: str
    min_reader: int
    critical: tuple[str, ...] = ()


class Gathered(msgspec.Struct, frozen=True):
    """The parts of a vault, ready to be written; made and used inside one snapshot of the store."""

    store: Store
    parts: tuple[Part, ...]
    packed: dict[str, bytes]  # the deflated ones
    members: dict[str, Member]
    counts: Counts
    content: str  # SHA-256 over what the vault holds, whenever it is gathered


def gather(store: Store, made_at: Instant, advance: Callable[[int], None] = lambda _: None) -> Gathered:
    """Read the vault once; call it, and use what it returns, inside ``store.snapshot()``."""
    with canonical.many():
        pieces = cxf.chunks(store.collections(), _rows(store, advance), store.extras(), now=made_at)
        vault, history, body = _Packed(VAULT), _Packed(HISTORY), hashlib.sha256()
        vault.add(next(pieces))
        for block in _blocks(pieces):
            vault.add(block)
            body.update(block)
        for block in _blocks(store.history()):
            history.add(block)
    documents = [_document(name, size) for name, size in store.document_sizes().items()]
    packed = {one.name: one.finish() for one in (vault, history)}
    parts = (vault.part(packed[VAULT]), history.part(packed[HISTORY]), *documents)
    counts = Counts(
        items=store.count(),
        trashed=store.count(state="trashed"),
        collections=len(store.collections()),
        documents=len(documents),
        document_bytes=sum(part.size for part in documents),
    )
    members = {one.name: one.member(packed[one.name]) for one in (vault, history)}
    return Gathered(store, parts, packed, members, counts, _content(body.hexdigest(), parts))


def _content(body: str, parts: Sequence[Part]) -> str:
    """Return the digest of what the vault holds; the first line of the vault tells the time and is left out."""
    digests = ("keyferry content 1", body, parts[1].sha256, *sorted(part.sha256 for part in parts[2:]))
    return hashlib.sha256("".join(f"{one}\n" for one in digests).encode()).hexdigest()


def is_there(gathered: Gathered) -> bool:
    """Tell whether the vault still holds every document that was gathered."""
    there = set(gathered.store.documents())
    return all(name_in_vault(part) in there for part in gathered.parts[len(gathered.packed) :])


def encoded(manifest: Manifest) -> bytes:
    """Return the manifest as it is signed and written."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def content(gathered: Gathered, manifest: bytes, statement: bytes) -> Iterator[bytes]:
    """Yield the bytes of the ZIP. Whoever reads it learns whether a document is what its name says."""
    members: list[Member] = []
    for name, data in ((MANIFEST, manifest), (SIGNATURE, statement)):
        members.append(Member(name, len(data), zlib.crc32(data), len(data)))
        yield zipped.local_header(members[-1]) + data
    for name, packed in gathered.packed.items():
        members.append(gathered.members[name])
        yield zipped.local_header(members[-1])
        yield packed
    for part in gathered.parts[len(gathered.packed) :]:
        pieces, crc = _pieces(gathered.store, part)
        members.append(Member(part.name, part.size, crc, part.size))
        yield zipped.local_header(members[-1])
        yield from pieces
    padding = zipped.padding(members)
    yield zipped.local_header(padding)
    yield from _zeros(padding.size)
    yield zipped.directory((*members, padding))


class Receiver(Protocol):
    """Who takes a set's parts as they are read; nothing may be believed until the reading is over."""

    def begin(self, manifest: Manifest) -> None:
        """Take the manifest, whose signature holds."""

    def part(self, part: Part) -> Callable[[bytes], object]:
        """Return what takes the pieces of a part."""

    def end(self, part: Part) -> None:
        """Learn that the part was whole and right."""


class Found:
    """What the reading of a set has found so far."""

    def __init__(self) -> None:
        self.manifest: Manifest | None = None
        self.signed: keys.Signed | None = None
        self.statement = b""
        self.whole: list[str] = []  # names of the parts that were whole and right


def read(
    found: Found,
    roots: Sequence[bytes] | None,
    receiver: Receiver | None = None,
    own_chain: Sequence[bytes] = (),
    own_key: bytes = b"",
) -> Take:
    """Read and check a set; it is whole and its device's when the generator ends.

    ``roots`` are the root keys to trust; None trusts the one the set itself brings, which proves nothing of its origin.
    With ``own_chain`` the set's chain must be a beginning of it or go on from it: who has an old kit could else begin
    where it was still in force and enrol devices of his own. What ``own_key`` signed, this device's, is believed
    whatever list of devices was in force then.
    Raises ``DamagedBackup``, ``ForgedSignature``, ``NewerBackup``.
    """
    members: list[Member] = []
    data = yield from _small(MANIFEST, members)
    found.statement = yield from _small(SIGNATURE, members)
    found.signed = signed = keys.check_statement(found.statement, PURPOSE, data, roots, own_key)
    if own_chain and signed.member.bundle.ed25519 != own_key and not _follows(signed.chain, own_chain):
        raise ForgedSignature("its list of devices parts from the one this vault has")
    found.manifest = manifest = _manifest(data, found.signed)
    if receiver is not None:
        receiver.begin(manifest)
    for part in manifest.members:
        member = yield from zipped.read_header(part.name, part.size)
        members.append(member)
        yield from _part(part, member, receiver)
        found.whole.append(part.name)
    padding = zipped.padding(members)
    if (yield from zipped.read_header(padding.name, padding.size)) != padding:
        raise _odd()
    yield from zipped.read_body(padding, _only_zeros)
    expected = zipped.directory((*members, padding))
    if (yield from zipped.exactly(len(expected))) != expected:
        raise _odd()


def _follows(chain: Sequence[bytes], own: Sequence[bytes]) -> bool:
    return keys.is_prefix(chain, own) or keys.is_prefix(own, chain)


def _small(name: str, members: list[Member]) -> Generator[int, bytes, bytes]:
    member = yield from zipped.read_header(name, _MOST[name])
    if member.deflated:
        raise _odd()
    members.append(member)
    pieces: list[bytes] = []
    yield from zipped.read_body(member, pieces.append)
    return b"".join(pieces)


def _part(part: Part, member: Member, receiver: Receiver | None) -> Take:
    if member.size != part.size or member.deflated != bool(part.packed):
        raise _odd()
    digest, packed = hashlib.sha256(), hashlib.sha256()
    use = receiver.part(part) if receiver is not None else None

    def take(piece: bytes) -> None:
        digest.update(piece)
        if use is not None:
            use(piece)

    yield from zipped.read_body(member, take, packed.update if part.packed else _nothing)
    if digest.hexdigest() != part.sha256 or (part.packed and packed.hexdigest() != part.packed):
        raise DamagedBackup("a part of the backup is not the one its device has signed")
    if receiver is not None:
        receiver.end(part)


def _manifest(data: bytes, signed: keys.Signed) -> Manifest:
    """Return the manifest of signed bytes; raises ``NewerBackup``, ``DamagedBackup``, ``ForgedSignature``."""
    try:
        head = msgspec.json.decode(data, type=Head)
        if head.format != FORMAT:
            raise _odd()
        if head.min_reader > VERSION or head.critical:
            raise NewerBackup("the backup was written by a newer Keyferry", hint="update Keyferry, then try again")
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, RecursionError):
        raise _odd() from None
    if not _is_sane(manifest):
        raise _odd()
    chain = signed.chain
    names = (manifest.vault, manifest.device, manifest.membership, manifest.height)
    if names != (keys.vault_id_of(chain), signed.member.device_id, keys.head_of(chain).hex(), len(chain)):
        raise ForgedSignature("its manifest and its list of devices do not belong together")
    return manifest


def _is_sane(manifest: Manifest) -> bool:
    names = [part.name for part in manifest.members]
    documents = manifest.members[2:]
    return (
        names[:2] == [VAULT, HISTORY]
        and len(set(names)) == len(names)
        and all(_NAME.fullmatch(part.name) and part.name == DOCUMENTS + part.sha256 for part in documents)
        and all(0 <= part.size <= _LARGEST for part in manifest.members)
        and all(bool(part.packed) == (part.name in (VAULT, HISTORY)) for part in manifest.members)
        and is_instant(manifest.made_at)
        and _TIME.fullmatch(manifest.made_at) is not None
        and manifest.counter > 0
        and re.fullmatch(r"[0-9a-f]{16}", manifest.set) is not None
    )


def _odd() -> DamagedBackup:
    return DamagedBackup("the backup is not built as Keyferry builds them")


def _nothing(_: bytes) -> None:
    """The bytes are those that are hashed already."""


def _only_zeros(piece: bytes) -> None:
    if piece != bytes(len(piece)):
        raise _odd()


def _zeros(size: int) -> Iterator[bytes]:
    piece = bytes(min(size, 1 << 20))
    while size > 0:
        yield piece[:size]
        size -= len(piece)


def _rows(store: Store, advance: Callable[[int], None]) -> Iterator[bytes]:
    for _, body in store.rows():
        advance(1)
        yield body


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield small pieces joined to larger ones."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size > _BLOCK:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting)


class _Packed:
    """A part that is deflated while it is made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._digest = hashlib.sha256()
        self._size = self._crc = 0
        self._packed: list[bytes] = []

    def add(self, data: bytes) -> None:
        self._size += len(data)
        self._crc = zlib.crc32(data, self._crc)
        self._digest.update(data)
        self._packed.append(self._deflater.compress(data))

    def part(self, packed: bytes) -> Part:
        return Part(self.name, self._size, self._digest.hexdigest(), hashlib.sha256(packed).hexdigest())

    def finish(self) -> bytes:
        self._packed.append(self._deflater.flush())
        return b"".join(self._packed)

    def member(self, packed: bytes) -> Member:
        return Member(self.name, self._size, self._crc, len(packed), deflated=True)


def hex_of(name: str) -> str:
    """Return a document's name in the vault, base64url, as the hexadecimal digits of its name in a backup."""
    return base64.urlsafe_b64decode(name + "=").hex()


def _document(name: str, size: int) -> Part:
    digest = hex_of(name)
    return Part(DOCUMENTS + digest, size, digest)


def name_in_vault(part: Part) -> str:
    """Return the name in the vault of a document that is a part of a backup."""
    return base64.urlsafe_b64encode(bytes.fromhex(part.sha256)).rstrip(b"=").decode()


def _pieces(store: Store, part: Part) -> tuple[Iterable[bytes], int]:
    """Return a document's bytes in pieces, and their CRC, which stands before them."""
    name = name_in_vault(part)
    if part.size <= WHOLE:
        whole = list(store.document_parts(name))
        return whole, _crc(whole)
    return store.document_parts(name), _crc(store.document_parts(name))


def _crc(pieces: Iterable[bytes]) -> int:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc


def check_documents(gathered: Gathered) -> None:
    """Check that the vault's documents are what their names say; raises ``DamagedVault``."""
    for part in gathered.parts[len(gathered.packed) :]:
        digest, size = hashlib.sha256(), 0
        for piece in gathered.store.document_parts(name_in_vault(part)):
            digest.update(piece)
            size += len(piece)
        if digest.hexdigest() != part.sha256 or size != part.size:
            raise DamagedVault(
                "an attachment in the vault is damaged", hint="keyferry doctor; an older backup may hold it"
            )


def as_json(manifest: Manifest) -> dict[str, object]:
    """Return the manifest as ``backup show --json`` tells it."""
    found: dict[str, object] = json.loads(msgspec.json.encode(manifest))
    return found
