"""The writer of 1PUX files: accounts, vaults, attachments (dossier: 1Password 2.1, "Exporting to 1PUX").

A vault of ours is a vault there; a folder of another product becomes a tag, its path with slashes. Everything is stored
unpacked and dated 1980, so that the same vault gives the same bytes everywhere.
"""

from __future__ import annotations

import copy
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from migrate.containers import is_safe_name
from migrate.formats import _onepassword as op
from migrate.formats._onepassword_item import record_of
from migrate.formats._onepassword_values import made_uuid, stamp
from migrate.formats._onepassword_writing import Writing
from migrate.giving import Loss, Outgoing, merge_back
from vault import model
from vault.canonical import encode
from vault.model import Collection, Item
from vault.moment import Instant

_VERSION = 3


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write accounts, vaults, items and attachments as one ZIP file."""
    export = _Export(out)
    for item in out.items:
        export.add(item)
    export.finish()
    with zipfile.ZipFile(file, "w") as archive:
        if (attributes := export.attributes()) is not None:
            _put(archive, "export.attributes", [encode(attributes)])
        _put(archive, "export.data", [*export.data()])
        for name, own_hash in export.members.items():
            content = out.document(own_hash)
            if content is not None:
                _put(archive, name, [content])


def _put(archive: zipfile.ZipFile, name: str, pieces: list[bytes]) -> None:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system = 3
    info.external_attr = 0o600 << 16
    info.file_size = sum(map(len, pieces))
    with archive.open(info, "w") as stream:
        for piece in pieces:
            stream.write(piece)


@dataclass(slots=True)
class _Export:
    """One file while it is written."""

    out: Outgoing
    vaults: dict[str, list[bytes]] = field(default_factory=dict)  # collection, "" for none -> items
    members: dict[str, str] = field(default_factory=dict)  # name -> document
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: dict[str, str | None] = field(default_factory=dict)  # collection -> kind
    uuids: dict[str, str] = field(default_factory=dict)  # item -> the uuid it came with
    used: set[str] = field(default_factory=set)  # collections some item is in
    newest: Instant | None = None

    def __post_init__(self) -> None:
        self.paths = self.out.paths()
        self.kinds = {one.id: one.kind for one in self.out.collections}
        self.vaults = {one.id: [] for one in self.out.collections if one.kind == "vault"}
        items = self.out.items if isinstance(self.out.items, Sequence) else ()
        self.uuids = {
            one.id: one.provenance.source_id
            for one in items
            if self.out.own(one) and one.provenance is not None and one.provenance.source_id
        }

    @property
    def own(self) -> dict[str, Any]:
        """What the format said beside its items, by account."""
        return self.out.extras.get(self.out.format, {})

    def add(self, item: Item) -> None:
        """Write one item into its vault."""
        self.used.update(item.collections)
        homes = [one for one in item.collections if one in self.vaults]
        home = homes[0] if homes else next(iter(self.vaults), "")
        folders = [one for one in item.collections if one in self.paths and one not in homes[:1]]
        tags = tuple(dict.fromkeys((*item.tags, *("/".join(self.paths[one]) for one in folders))))
        writing = Writing(self.out, item, self.uuid_of, self.attach, self.out.own(item))
        record = record_of(writing, tags if folders else item.tags)
        self.vaults.setdefault(home, []).append(encode(record))
        if item.modified_at is not None and stamp(item.modified_at) > stamp(self.newest):
            self.newest = item.modified_at

    def uuid_of(self, own_id: str) -> str:
        """Return the uuid an item of this id is written with."""
        return self.uuids.get(own_id) or made_uuid(own_id)

    def attach(self, item: Item, one: model.File, own: bool, member: str) -> str:
        """Note a file's bytes for the container; return the document id it is written with.

        A file whose bytes are gone is a loss, but is still named.
        """
        document = one.id if own and one.id else made_uuid(one.integrity_hash or one.name)
        if not one.integrity_hash:
            return document
        name = member or op.safe_member_of(document, one.name)
        if self.members.get(name, one.integrity_hash) != one.integrity_hash:
            document = made_uuid(one.integrity_hash)
            name = op.safe_member_of(document, one.name)
        if self.out.document(one.integrity_hash) is None:
            self.out.lose(item, "attachment")
        else:
            self.members[name] = one.integrity_hash
        return document

    def finish(self) -> None:
        """Add the files no item names, and declare the folders that nothing is in."""
        for about in self.own.values():
            for name, own_hash in (about.get("members") or {}).items():
                if self.out.document(own_hash) is None or not is_safe_name(name):
                    self.out.losses.append(Loss("", "", "a file that no item names"))
                else:
                    self.members.setdefault(name, own_hash)
        parents = {one.parent for one in self.out.collections}
        for one in self.out.collections:
            if one.kind != "vault" and one.id not in self.used and one.id not in parents:
                self.out.losses.append(Loss("", one.title, "empty folder"))

    def attributes(self) -> dict[str, Any] | None:
        """Return what the file says of itself: as it came (None if it did not), for other vaults made anew."""
        if self.own:
            return next((about["attributes"] for about in self.own.values() if "attributes" in about), None)
        when = stamp(self.newest)
        return {
            "version": _VERSION,
            "description": "1Password Unencrypted Export",
            "createdAt": when,
            "timestamp": when,  # the help page and real files disagree on the name
        }

    def data(self) -> Iterator[bytes]:
        """Yield ``export.data`` in pieces."""
        top: dict[str, Any] = {}
        for about in self.own.values():
            merge_back(top, copy.deepcopy(about.get("data") or {}))
        yield b'{"accounts":['
        for n, (about, collections) in enumerate(self._accounts()):
            yield b"," if n else b""
            yield from self._account(about, collections, n == 0)
        rest = encode(top)[1:-1]
        yield b"]" + (b"," + rest if rest else b"") + b"}"

    def _accounts(self) -> list[tuple[dict[str, Any], list[Collection]]]:
        """Return what each account says, with its vaults; vaults that belong to none go to the first."""
        ours = [one for one in self.out.collections if one.id in self.vaults]
        abouts = [about for about in self.own.values() if "vaults" in about]
        if not abouts:
            if self.own and not self.vaults:
                return []  # as it came
            abouts = [_MADE_ABOUT]
        homes = [[one for one in ours if one.aliases and one.aliases[0] in about["vaults"]] for about in abouts]
        settled = {one.id for home in homes for one in home}
        homes[0] += [one for one in ours if one.id not in settled]
        return list(zip(abouts, homes, strict=True))

    def _account(self, about: dict[str, Any], collections: list[Collection], is_first: bool) -> Iterator[bytes]:
        vaults = [(self._vault(one), self.vaults[one.id]) for one in collections]
        if is_first and self.vaults.get(""):
            vaults.append(({"attrs": _MADE_VAULT}, self.vaults[""]))
        account = encode(about.get("account") or {})[1:-1]
        yield b"{" + account + (b"," if account else b"") + b'"vaults":['
        for n, (vault, items) in enumerate(vaults):
            yield (b"," if n else b"") + encode(vault)[:-1] + b',"items":['
            for m, item in enumerate(items):
                yield b"," if m else b""
                yield item
            yield b"]}"
        yield b"]}"

    def _vault(self, one: Collection) -> dict[str, Any]:
        own = one.format == self.out.format
        own_id = one.aliases[0].rstrip("+") if own and one.aliases else made_uuid(one.id)
        attrs = {"uuid": own_id, "desc": one.subtitle or "", "avatar": "", "name": one.title, "type": "U"}
        return merge_back({"attrs": attrs}, one.extra if own else {})


_MADE_ACCOUNT = {
    "accountName": "Keyferry",
    "name": "Keyferry",
    "avatar": "",
    "email": "",
    "uuid": made_uuid("account").upper(),
    "domain": "https://my.1password.com/",
}
_MADE_VAULT = {"uuid": made_uuid("vault"), "desc": "", "avatar": "", "name": "Keyferry", "type": "U"}
_MADE_ABOUT: dict[str, Any] = {"account": {"attrs": _MADE_ACCOUNT}, "vaults": {}}
