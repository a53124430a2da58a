"""The reader of CXF files of any profile, by whatever product, and the container both profiles share."""

from __future__ import annotations

import re
import zipfile
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from typing import Any, BinaryIO, get_args

from msgspec import structs
from msgspec.structs import replace

from migrate.adapter import Parsed
from migrate.containers import is_safe_name
from migrate.formats._cxf_codes import with_codes
from migrate.formats._cxf_rules import COLLECTION, FIELD, ITEM, LINKS
from migrate.giving import Outgoing
from migrate.reading import reread
from migrate.shape import WORDS, Shape, count, new_tally
from migrate.source import Record, Source
from vault import cxf
from vault.model import Collection, Field, File, Item, Part, Provenance, UnknownCredential, find, find_all

MEMBER = "vault.cxf.json"
DOCUMENTS = "documents/"

_HASH = re.compile(r"[A-Za-z0-9_-]{43}")  # base64url SHA-256
_OWN_ID = re.compile(r"[A-Za-z0-9_-]{1,86}")
_RULES = {"creationAt": "item_created_seconds", "modifiedAt": "item_modified_seconds"}
_RAW_OF_OURS: Shape = {"integrityHash": WORDS}


def parse(source: Source) -> Parsed:
    """Read a Header, one Account or a list of Accounts; or the same in a container with its documents."""
    data = None if source.archive is None else source.archive.read(MEMBER)
    frame, records = source.json(data, "" if data is None else MEMBER)
    if any(not isinstance(account.get("items", []), list | None) for account in cxf.accounts_of(frame)):
        raise TypeError("items is no list")
    reader = _Reader(source, frame)
    return Parsed(reader.records(records), reader.item, extras=reader.extras, others=reader.others)


class _Reader:
    """One file while its items are read."""

    def __init__(self, source: Source, frame: Any) -> None:
        self.source = source
        self.layout = cxf.Layout(frame, source.identify)
        self.shape: Shape = source.adapter.shape if source.adapter is not None else ITEM
        self.extras: dict[str, Any] = {}
        self.others: dict[str, dict[str, Any]] = {}
        self.seen: set[tuple[int, str]] = set()
        self.known: frozenset[str] = frozenset()  # ids of collections
        self.tops: dict[int, str] = {}  # account -> the collection that stands for it, where there are several
        self.ids: dict[tuple[int, str], str] | None = None  # of all records, once a link asks for them
        self.members: set[str] = set() if source.archive is None else set(source.archive.names) - {MEMBER}
        self.doubled: Counter[str] = Counter()  # rule -> times
        self.unreadable = self.unknown = 0
        self._collections()

    # around the items

    def _collections(self) -> None:
        made = {c.id: self._collection(c) for c in self.layout.collections()}
        if len(self.layout.accounts) > 1:
            self._accounts(made)
        for own_id, one in made.items():
            if one.parent not in made or _is_below_itself(own_id, made):
                made[own_id] = replace(one, parent=None)
        self.known = frozenset(made)
        self.source.folders.made.update({(one.id,): one for one in made.values()})

    def _collection(self, one: Collection) -> Collection:
        in_file = self.layout.names.get(one.id)
        _elsewhere(self.source, "", one.extra, "collections[]", {} if in_file is None else COLLECTION)
        if in_file is None:
            return one
        at = self.layout.account_of.get(one.id, 0)
        # Ids are those of an account; the first name of a folder is what it is found by again.
        names = (f"{at}/{in_file}", in_file) if at else (in_file,)
        aliases = (*one.aliases, *names) if in_file else one.aliases
        return replace(one, aliases=aliases, kind=one.kind or "folder", format=one.format or cxf.FORMAT)

    def _accounts(self, made: dict[str, Collection]) -> None:
        """Put what several accounts hold into a collection for each."""
        for at, account in enumerate(self.layout.accounts):
            name = next((v for k in ("username", "email") if isinstance(v := account.get(k), str) and v), "")
            own_id = self.source.identify("account", str(at))
            self.tops[at] = own_id
            title = f"Account {at + 1}" + (f" ({name})" if name else "")
            made[own_id] = Collection(id=own_id, title=title, kind="account", format=cxf.FORMAT)
        for own_id, at in self.layout.account_of.items():
            if made[own_id].parent is None:
                made[own_id] = replace(made[own_id], parent=self.tops[at])

    def records(self, records: Iterator[Record]) -> Iterator[Record]:
        """Yield the records, and tell the rest when they have run dry."""
        yield from records
        extras = self.layout.extras()
        mine = extras.pop(cxf.FORMAT, {})
        for one in extras.values():
            self._files_of(one)
        if self.members:
            self._strays(mine)
        self.extras.update(mine)
        self.others.update(extras)
        _elsewhere(self.source, "", mine, "", {"links": {"*": {"*": LINKS}}})
        for format, one in extras.items():
            _elsewhere(self.source, "", one, format)
        self._warn()

    def _files_of(self, extras: dict[str, Any]) -> None:
        """Take the files that another format keeps beside its items."""
        for name in _hashes(extras):
            if f"{DOCUMENTS}{name}" in self.members:
                self._document(f"{DOCUMENTS}{name}")

    def _strays(self, mine: dict[str, Any]) -> None:
        """Keep the members of the container that no item speaks of."""
        found = {}
        for member in sorted(self.members):
            found[member] = self._document(member)
        self.source.ledger.total += len(found)
        mine["members"] = found

    def _document(self, member: str) -> str:
        """Return the hash of a member's bytes, under which they are kept."""
        name = hash_of(self.source.archive.read(member))
        self.source.documents.setdefault(name, member)
        self.members.discard(member)
        return name

    def _warn(self) -> None:
        ledger = self.source.ledger
        version = self.extras.get("version")
        major = version.get("major") if isinstance(version, dict) else version
        if isinstance(major, int) and major > 1:
            ledger.warn(f"the file says that it is CXF {major}; it is read as CXF 1, and what is new in it is kept raw")
        if many := self.doubled.total():
            ledger.changed_lines.subtract(self.doubled)
            ledger.changed_lines["apple_epoch_twice"] += many
            ledger.warn(
                "dates that lay 31 years ahead, because their writer counted from the year 2001 twice: "
                f"{many:,}; they were set right"
            )
        if self.unreadable:
            ledger.warn(f"one-time codes whose key is no base32: {self.unreadable:,}; they are kept as they are")
        if self.unknown:
            ledger.warn(f"credentials of a type that CXF 1.0 does not have: {self.unknown:,}; they are kept raw")

    # items

    def item(self, record: Record) -> Item:
        """Turn one record into an item."""
        data = record.data
        is_ours, account, in_file = cxf.is_ours(data), _account_of(record.place), data.get("id")
        if not is_ours:
            self.doubled.update(rule for n, rule in _RULES.items() if cxf.is_doubled(cxf.whole(data.get(n)) or 0))
        row = cxf.item_in(data)
        row["id"] = self._id(record, account, in_file, is_ours)
        if not is_ours:
            has_id = isinstance(in_file, str) and in_file
            row["provenance"] = {"format": cxf.FORMAT, **({"sourceId": in_file} if has_id else {})}
        self._place(row, account, in_file)
        self._credentials(row, account, is_ours)
        item = cxf.item_of(row)
        if not is_ours:
            item = with_codes(item)
        self._note(record, item, is_ours)
        return item

    def _id(self, record: Record, account: int, in_file: Any, is_ours: bool) -> str:
        if not isinstance(in_file, str) or not in_file or (account, in_file) in self.seen:
            return self.source.identify("item", record.place)
        self.seen.add((account, in_file))
        return self._made_of(record, account, in_file, is_ours)

    def _made_of(self, record: Record, account: int, in_file: str, is_ours: bool) -> str:
        """Return the id of the item that becomes of the first record that is called so."""
        if is_ours:
            return in_file if _OWN_ID.fullmatch(in_file) else self.source.identify("item", record.place)
        return self.source.identify("item", f"{account}\0{in_file}")

    def _place(self, row: dict[str, Any], account: int, in_file: Any) -> None:
        folders = self.layout.folders_of(account, in_file)
        said = row.get("collections")
        if isinstance(said, list):  # an id of a folder that is not in the file says nothing
            folders = [one for one in said if one in self.known]
        if not folders and account in self.tops:
            folders = [self.tops[account]]
        row["collections"] = folders

    def _credentials(self, row: dict[str, Any], account: int, is_ours: bool) -> None:
        for one in row["credentials"]:
            kind = one["type"]
            if kind == "file":
                self._file(one)
            elif kind == "item-reference" and one.get("reference"):
                one["reference"] = self._all_ids().get((account, one["reference"]), one["reference"])
            elif kind == "totp" and not is_ours:
                secret = one.get("secret", "")
                self.unreadable += bool(secret) and not _is_base32(secret)
            elif kind == "keyferry-unknown":
                self.unknown += 1
        if self.members and f"{DOCUMENTS}{row.get('icon')}" in self.members:
            self._document(f"{DOCUMENTS}{row['icon']}")

    def _all_ids(self) -> dict[tuple[int, str], str]:
        """Return the id of the item that each record becomes, by what it is called in its account."""
        if self.ids is None:
            self.ids = {}
            for record in reread(self.source.again())[1]:
                account, in_file = _account_of(record.place), record.data.get("id")
                if isinstance(in_file, str) and in_file:
                    made = self._made_of(record, account, in_file, cxf.is_ours(record.data))
                    self.ids.setdefault((account, in_file), made)
        return self.ids

    def _file(self, one: dict[str, Any]) -> None:
        """Tie an attachment to its bytes, which are a member of the container named by their hash."""
        said = one.get("integrityHash", "")
        member = f"{DOCUMENTS}{said}"
        if self.source.archive is None or member not in self.source.archive.names:
            one["missing"] = True
            return
        one.pop("missing", None)
        self.source.ledger.total += 1
        true = self._document(member)
        if true != said:  # the bytes are what there is; the hash they were said to have is kept beside it
            one["integrityHash"] = true
            one.setdefault("extra", {})["integrityHash"] = said
            self.source.ledger.warn("an attachment is not the file its CXF entry describes; it is kept as it is")

    def _note(self, record: Record, item: Item, is_ours: bool) -> None:
        """Give each value that is kept raw its line in the ledger."""
        for part, path, shape in _parts(item, self.shape):
            if isinstance(part, UnknownCredential):
                was_escaped = is_ours and part.raw.get("type") in (*cxf.KINDS, cxf.RAW)
                _elsewhere(self.source, record.place, part.raw, path, {} if was_escaped else shape)
            if part.extra:
                _elsewhere(self.source, record.place, part.extra, path, _RAW_OF_OURS if is_ours else shape)


def _is_below_itself(own_id: str, among: dict[str, Collection]) -> bool:
    seen: set[str] = set()
    at = among[own_id].parent
    while at is not None and at in among and at not in seen:
        if at == own_id:
            return True
        seen.add(at)
        at = among[at].parent
    return False


def _account_of(place: str) -> int:
    parts = place.split("/")
    numbered = parts[1:2] if parts[0] == "accounts" else parts[:1]
    return int(numbered[0]) if numbered and numbered[0].isdigit() else 0


def _is_base32(secret: str) -> bool:
    from vault import otp

    return otp.is_secret(secret)


def _parts(item: Item, shape: Shape) -> Iterator[tuple[Part, str, Shape]]:
    """Yield every part of an item with its path and the shape its raw keys had in the file."""
    yield item, "", shape
    for url in item.urls:
        yield url, "scope.urls[]", {}
    for app in item.android_apps:
        yield app, "scope.androidApps[]", {}
    for past in item.history:
        yield past, "history[]", {}
    if isinstance(item.provenance, Provenance):
        yield item.provenance, "provenance", {}
    for credential in item.credentials:
        yield credential, "credentials[]", shape["credentials"]["*"]
        for name in _fields_of(type(credential)):
            value = getattr(credential, name)
            for one in value if type(value) is tuple else (value,):
                if one is not None:
                    yield one, f"credentials[].{name}", FIELD


@cache
def _fields_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the members of a credential that are fields."""
    listed = structs.fields(kind)
    return tuple(f.name for f in listed if Field in get_args(f.type) or f.type == tuple[Field, ...])


def _elsewhere(source: Source, place: str, part: dict[str, Any], path: str, shape: Shape | None = None) -> None:
    """Note values kept raw, counted as the ledger counted them in the file."""
    shape = shape or {}
    for key, value in part.items():
        tally = new_tally()
        count(value, shape.get(key, shape.get("*")), tally, part, part)
        if tally[0]:
            source.ledger.elsewhere_lines[place, ".".join(filter(None, (path, key)))] += tally[0]


def hash_of(data: bytes) -> str:
    """Return the name of a document: base64url SHA-256 without padding."""
    return urlsafe_b64encode(sha256(data).digest()).rstrip(b"=").decode()


# Writing


def watched(items: Iterable[Item], having: list[Item]) -> Iterator[Item]:
    """Yield the items, and note those that documents belong to."""
    for item in items:
        if item.icon or find(item, File) is not None:
            having.append(item)
        yield item


def write(out: Outgoing, file: BinaryIO, chunks: Iterable[bytes], having: list[Item]) -> None:
    """Write a profile's JSON, or a container with it and all documents where ``out.options`` asks for a ZIP.

    The bytes of attachments have no place in JSON: each is a loss there. ``having`` are the items with documents, known
    when the chunks have run dry.
    """
    if not out.options.get("zip"):
        for chunk in chunks:
            file.write(chunk)
        for item in having:
            if many := sum(1 for one in find_all(item, File) if not one.missing):
                out.lose(item, "attachment bytes (a .zip holds them)", many)
        return
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(_member(MEMBER), "w", force_zip64=True) as member:
            for chunk in chunks:
                member.write(chunk)
        _documents(out, archive, having)


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # its date is fixed, so that equal vaults give equal files
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _documents(out: Outgoing, archive: zipfile.ZipFile, items: Iterable[Item]) -> None:
    written: set[str] = set()

    def put(name: str, member: str) -> bool:
        data = None if member in written else out.document(name)
        if data is not None:
            written.add(member)
            archive.writestr(_member(member), data)
        return member in written

    for item in items:
        for one in find_all(item, File):
            if not put(one.integrity_hash, DOCUMENTS + one.integrity_hash) and not one.missing:
                out.lose(item, "attachment")
        if item.icon:
            put(item.icon, DOCUMENTS + item.icon)
    strays = out.extras.get(cxf.FORMAT, {}).get("members")
    for member, name in strays.items() if isinstance(strays, dict) else ():
        if isinstance(name, str) and member != MEMBER and is_safe_name(member):
            put(name, member)
    for format, extras in out.extras.items():
        for name in _hashes(extras) if format != cxf.FORMAT else ():
            put(name, DOCUMENTS + name)


def _hashes(node: Any) -> Iterator[str]:
    """Yield every text that may name a file."""
    if isinstance(node, str):
        if _HASH.fullmatch(node):
            yield node
    elif isinstance(node, (dict, list)):
        for below in node.values() if isinstance(node, dict) else node:
            yield from _hashes(below)
