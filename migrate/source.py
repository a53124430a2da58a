"""An export on its way in: bytes, options, ledger, folders, and its records while they are consumed.

Taking: a parser *pops* what it understands out of a record; what is left when it returns is kept raw in ``extra`` and
gets a ledger line. So no adapter can lose a value by not knowing it.
"""

from __future__ import annotations

import hashlib
from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from migrate.ledger import Ledger
from vault.model import Collection

if TYPE_CHECKING:
    from migrate.adapter import Adapter

_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Record:
    """One source record while it is consumed."""

    __slots__ = ("data", "line", "offset", "place", "raw", "source", "values")

    def __init__(self, source: Source, place: str, data: Any, raw: bytes, offset: int = -1, line: int = 0) -> None:
        self.source, self.place, self.data, self.raw = source, place, data, raw
        self.offset, self.line = offset, line  # whichever the reader knows; the other is worked out when asked for
        self.values = 0 if source.is_reread else source.ledger.record(data)

    def rest(self, part: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Return what is left of a part, for ``extra``; each value of it gets a line in the ledger."""
        if part:
            self.source.ledger.elsewhere(self.place, part, path)
        return part


class Folders(msgspec.Struct):
    """The collections a source speaks of, made as they are met, every ancestor included."""

    source: Source
    made: dict[tuple[str, ...], Collection] = msgspec.field(default_factory=dict)
    by_alias: dict[str, str] = msgspec.field(default_factory=dict)
    apart_at: Counter[tuple[str, ...]] = msgspec.field(default_factory=Counter)

    def at(self, path: Sequence[str], *aliases: str, **members: Any) -> str:
        """Return the id of the collection at the path, made if needed.

        The first alias is what the source knows it by (an id or its full name), further ones are other names of it.
        """
        if aliases and aliases[0] in self.by_alias:
            return self.by_alias[aliases[0]]
        key = tuple(path)
        found = self.made.get(key)
        if found is None:
            return self._new(key, key, aliases, members)
        if aliases and found.aliases:  # a second folder of the same path
            return self._new(key, (*key, "", aliases[0]), aliases, members)
        if aliases or members:
            self.made[key] = msgspec.structs.replace(found, aliases=aliases, **members)
            self.by_alias.update(dict.fromkeys(aliases[:1], found.id))
        return found.id

    def apart(self, path: Sequence[str], *aliases: str, **members: Any) -> str:
        """Return the id of a collection of its own, whoever has the path or the aliases already and keeps them."""
        self.apart_at[tuple(path)] += 1
        return self._new(tuple(path), (*path, "", "", str(self.apart_at[tuple(path)])), aliases, members)

    def _new(self, path: tuple[str, ...], key: tuple[str, ...], aliases: Sequence[str], members: dict[str, Any]) -> str:
        parent = self.at(path[:-1]) if len(path) > 1 else None
        made = Collection(
            id=self.source.identify("folder", "\0".join(key)),
            title=path[-1] if path else "",
            parent=parent,
            aliases=tuple(aliases),
            **{"kind": "folder", "format": self.source.format, **members},
        )
        self.made[key] = made
        if aliases:
            self.by_alias.setdefault(aliases[0], made.id)
        return made.id

    def all(self) -> tuple[Collection, ...]:
        """Return every collection, parents before children as far as they were met so."""
        return tuple(self.made.values())


class Source:
    """An export on its way in: its bytes after unwrapping, its options, its ledger."""

    def __init__(
        self,
        name: str,
        data: bytes,
        *,
        format: str = "",
        adapter: Adapter | None = None,
        options: dict[str, Any] | None = None,
        key: bytes = b"",
        archive: Any = None,
    ) -> None:
        self.name, self.data, self.format = name, data, format
        self.adapter = adapter
        self.options: dict[str, Any] = options if options is not None else {}  # what a later proof must know again
        self.key = key
        self.original = data  # the file itself, where ``data`` is what was inside it
        self.text = data  # what records are cut from: the file, or a member of the container
        self.archive = archive  # ZIP containers: migrate.containers.Archive
        self.ledger = Ledger(adapter.shape if adapter else {}, adapter.frame if adapter else {})
        self.folders = Folders(self)
        self.is_reread = False
        self._mac = hashlib.blake2b(key=key, digest_size=16)
        self.documents: dict[str, str] = {}  # document hash -> container member with its bytes

    def again(self) -> Source:
        """Return the same bytes as a fresh source that only reads: nothing is counted."""
        made = Source(
            self.name,
            self.data,
            format=self.format,
            adapter=self.adapter,
            options=self.options,
            key=self.key,
            archive=self.archive,
        )
        made.is_reread = True
        return made

    def identify(self, kind: str, name: str) -> str:
        """Return an id for a thing of this source: the same for the same name, unrelated to its content.

        It never begins with a dash: a command line would take it for an option.
        """
        mac = self._mac.copy()
        mac.update(f"{kind}\0{name}".encode("utf-8", "surrogatepass"))
        made = b2a_base64(mac.digest(), newline=False)[:-2].translate(_URL_SAFE).decode()
        return f"_{made[1:]}" if made[0] == "-" else made

    def json(self, data: bytes | None = None, name: str = "") -> tuple[Any, Iterator[Record]]:
        """Return the frame and the records of a JSON export, or of the member of a container that holds them.

        Unreadable records go to quarantine on the way.
        """
        from migrate.reading import json_records

        pattern = self.adapter.records if self.adapter else ()
        if data is None and self.archive is not None and self.adapter is not None:
            data, name = self.archive.read(self.adapter.member), self.adapter.member
        return json_records(self, pattern, self.data if data is None else data, name or self.name)
