"""Bitwarden's ZIP export with attachments (dossier: Bitwarden 1.6): another form of the JSON export.

``data.json`` is that export, and nothing in it speaks of the files, ``attachments/<item id>/<file name>``. Files of an
item that is not there are kept beside the items, by the names they had. Bitwarden itself has been seen to read only
``data.json`` of such a file.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from migrate.adapter import Adapter, Parsed, Signature
from migrate.containers import is_safe_name
from migrate.formats import _bitwarden_write as plain
from migrate.formats._bitwarden_ids import as_uuid
from migrate.giving import Loss, Offer, Outgoing
from migrate.proof import hash_of
from migrate.source import Record, Source
from vault.model import File, Item

DATA, FOLDER = "data.json", "attachments/"
_ITEMS = re.compile(rb'"items"\s*:')
ORPHANS = "attachments of no item"  # what is kept beside the items: member -> document

SIGNATURE = Signature(
    product="Bitwarden",
    suffix=".zip",
    kind="zip",
    members=frozenset({DATA}),
    export_steps="Settings > Export vault > file format .zip (with attachments)",
    cannot_hold=("items in the trash and their attachments", "Sends", "items of organisations"),
    attachments=True,
)


def zipped(adapter: Adapter) -> Adapter:
    """Return the form of the JSON export that stands in a ZIP file."""

    def parse(source: Source) -> Parsed:
        if not _ITEMS.search(source.archive.read(DATA)):
            raise ValueError("there are no items in it")
        parsed = adapter.parse(source)
        files = _Attached(source)
        parsed.read = files.reading(parsed.read)
        parsed.records = files.counting(parsed.records, parsed.extras)
        return parsed

    return Adapter(
        SIGNATURE,
        parse,
        render,
        records=adapter.records,
        member=DATA,
        shape=adapter.shape,
        frame=adapter.frame,
        attachments=f"{FOLDER}{{id}}/*",
        kept_raw=adapter.kept_raw,
    )


class _Attached:
    """The attachments of one file while it is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.by_item: dict[str, list[str]] = {}  # item's id -> members
        self.used = {DATA}
        for member in source.archive.names:
            own_id, mark, name = member.removeprefix(FOLDER).partition("/")
            if member.startswith(FOLDER) and mark and name:
                self.by_item.setdefault(own_id, []).append(member)

    def reading(self, read: Callable[[Record], Item | None]) -> Callable[[Record], Item | None]:
        """Return the reader of a record that gives its item the files too."""

        def with_files(record: Record) -> Item | None:
            own_id = record.data.get("id")
            item = read(record)
            members = self.by_item.get(own_id, []) if isinstance(own_id, str) else []
            if item is None or not members:
                return item
            files = [self._file(member, own_id) for member in members]
            self.source.ledger.total += len(files)
            self.used.update(members)
            return msgspec.structs.replace(item, credentials=(*item.credentials, *files))

        return with_files

    def _file(self, member: str, own_id: str) -> File:
        content = self.source.archive.read(member)
        return File(
            id=hash_of(member.encode("utf-8", "surrogatepass"))[:22],  # the same in every import
            name=member.removeprefix(f"{FOLDER}{own_id}/"),
            decrypted_size=len(content),
            integrity_hash=self._kept(member, content),
        )

    def _kept(self, member: str, content: bytes) -> str:
        name = hash_of(content)
        self.source.documents.setdefault(name, member)
        return name

    def counting(self, records: Iterator[Record], extras: dict[str, Any]) -> Iterator[Record]:
        """Yield the records; after the last one keep the files of no item."""
        yield from records
        orphans = [name for name in self.source.archive.names if name not in self.used]
        if orphans:
            extras[ORPHANS] = {name: self._kept(name, self.source.archive.read(name)) for name in orphans}
            ledger = self.source.ledger
            ledger.total += len(orphans)
            ledger.elsewhere_lines["", ORPHANS] += len(orphans)
            ledger.warn(f"files in the ZIP that belong to no item: {len(orphans):,}; kept beside the items")


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write the JSON export, or with ``options["zip"]`` the ZIP file with attachments."""
    members: dict[str, str] = {}
    kept, items, extras = out.extras.get(out.format, {}), out.items, out.extras
    orphans = kept.get(ORPHANS)
    if isinstance(orphans, dict):
        rest = {key: value for key, value in kept.items() if key != ORPHANS}
        out.extras = {**extras, out.format: rest}
        members = {name: own_hash for name, own_hash in orphans.items() if _is_there(out, own_hash)}
    if not out.options.get("zip"):
        if members:
            out.losses.append(Loss("", "", ORPHANS, len(members)))
        plain.render(out, file)
    else:
        out.items = [_parted(out, item, members) for item in items]
        _pack(out, file, members)
    out.items, out.extras = items, extras


def _is_there(out: Outgoing, own_hash: object) -> bool:
    return isinstance(own_hash, str) and out.document(own_hash) is not None


def _parted(out: Outgoing, item: Item, members: dict[str, str]) -> Item:
    """Return the item without its files, which are noted as members of the container."""
    files = [one for one in item.credentials if isinstance(one, File)]
    own_id = _id_of(out, item)
    for one in files:
        offer = Offer(one)
        offer.skip("id", "decrypted_size", "media_type")
        own_hash = offer.take("integrity_hash")
        if own_id and _is_there(out, own_hash):
            name = _free(members, own_id, one.name)
            if name.endswith(f"/{one.name}"):
                offer.skip("name")
            members[name] = own_hash
            out.settle(item, "attachment", offer)
        else:
            out.lose(item, "attachment")
    if not files:
        return item
    kept = tuple(one for one in item.credentials if not isinstance(one, File))
    return msgspec.structs.replace(item, credentials=kept)


def _id_of(out: Outgoing, item: Item) -> str | None:
    """Return the id the item is written with; None for one of Bitwarden's that came without."""
    return item.provenance.source_id if item.provenance and out.own(item) else as_uuid(item.id)


def _free(members: dict[str, str], own_id: str, name: str) -> str:
    """Return a member's name that is safe and not taken: ``scan (2).pdf``."""
    safe = "".join("_" if c in "/\\" or c < " " else c for c in name).strip(". ") if not _is_plain(name) else name
    stem, dot, suffix = (safe or "file").rpartition(".")
    first = member = f"{FOLDER}{own_id}/{safe or 'file'}"
    n = 1
    while member in members:
        n += 1
        member = f"{FOLDER}{own_id}/{stem} ({n}){dot}{suffix}" if stem else f"{first} ({n})"
    return member


def _is_plain(name: str) -> bool:
    return bool(name.strip(". ")) and is_safe_name(name) and not any(c < " " or c == "\\" for c in name)


def _pack(out: Outgoing, file: BinaryIO, members: dict[str, str]) -> None:
    data = io.BytesIO()
    plain.render(out, data)
    with zipfile.ZipFile(file, "w") as archive:
        _put(archive, DATA, data.getvalue())
        for name, own_hash in members.items():
            _put(archive, name, out.document(own_hash) or b"")


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # so that the same vault gives the same bytes
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system, info.external_attr = 3, 0o600 << 16
    archive.writestr(info, content)
