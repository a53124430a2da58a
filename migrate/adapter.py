"""What a format is to Keyferry, and the two sides of every adapter: taking from a source record, giving to a target.

Taking: a parser *pops* what it understands; what is left when it returns is kept raw in ``extra`` and gets a ledger
line. Giving: a writer *takes* what its format can hold; what is left when it returns is a ``Loss``. So neither side can
forget a value by not knowing it.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar

import msgspec

from migrate.ledger import Ledger
from migrate.records import Pattern
from migrate.shape import Shape
from vault.model import Collection, Item, Part, Vault, paths_of

C = TypeVar("C", bound=Part)


@dataclass(frozen=True, slots=True)
class Signature:
    """How a file of this format is recognised and told about; all tests given must hold."""

    product: str
    suffix: str  # what its files are usually called; never decides alone
    kind: str  # json, csv, zip, xml, text
    export_steps: str = ""  # how a person makes such a file
    keys: frozenset[str] = frozenset()  # JSON: top-level keys that must be there
    any_keys: frozenset[str] = frozenset()  # JSON: at least one of these
    no_keys: frozenset[str] = frozenset()  # JSON: none of these
    record_keys: frozenset[str] = frozenset()  # JSON: keys the first record must have, where there is one
    header: frozenset[str] = frozenset()  # CSV: columns that must be there, spelled exactly
    header_only: frozenset[str] = frozenset()  # CSV: if given, no other columns than these and ``header``
    no_header: frozenset[str] = frozenset()  # CSV: columns that must not be there
    any_case: bool = False  # CSV: compare column names in lower case
    members: frozenset[str] = frozenset()  # ZIP: member names that must be there
    text_start: tuple[str, ...] = ()  # text: the first non-blank line begins with one of these
    cannot_hold: tuple[str, ...] = ()  # what an export of this kind never contains, in the user's words
    better: str = ""  # the name of the same product's richer format
    attachments: bool = False
    encrypted: bool = False
    experimental: bool = False


Parse = Callable[["Source"], "Parsed"]
Render = Callable[["Outgoing", BinaryIO], None]


@dataclass(frozen=True, slots=True)
class Adapter:
    """One format: its signature, reader and writer, and the shape of its records for ledger and proof."""

    signature: Signature
    parse: Parse
    render: Render | None = None
    records: Pattern = ("items", "*")  # JSON: where the records stand
    member: str = ""  # ZIP: the member that holds the records
    shape: Shape = field(default_factory=dict)  # of one record
    frame: Shape = field(default_factory=dict)  # of what stands around the records
    attachments: str = ""  # ZIP: member of an object that has these keys, as "files/{documentId}__{fileName}"
    name: str = ""  # set by the catalog from the file's name

    @property
    def product(self) -> str:
        """The product's name for people."""
        return self.signature.product


class Record:
    """One source record while it is consumed."""

    __slots__ = ("data", "line", "place", "source")

    def __init__(self, source: Source, place: str, data: Any, line: int = 0) -> None:
        self.source, self.place, self.data, self.line = source, place, data, line

    def rest(self, part: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Return what is left of a part, for ``extra``; each value of it gets a line in the ledger."""
        if part:
            self.source.ledger.elsewhere(self.place, part, path)
        return part


@dataclass(slots=True)
class Folders:
    """The collections a source speaks of, made as they are met, every ancestor included."""

    source: Source
    made: dict[tuple[str, ...], Collection] = field(default_factory=dict)
    by_alias: dict[str, str] = field(default_factory=dict)

    def at(self, path: Sequence[str], alias: str = "", **members: Any) -> str:
        """Return the id of the collection at the path; ``alias`` is the source's own id or full name for it."""
        if alias and alias in self.by_alias:
            return self.by_alias[alias]
        key = tuple(path)
        found = self.made.get(key)
        if found is None or (alias and members and found.aliases):
            made = self._new(key, alias, members)
            if found is not None:  # a second folder of the same path
                self.made[(*key, f"\0{alias}")] = made
            else:
                self.made[key] = made
            return made.id
        if alias or members:
            aliases = (*found.aliases, alias) if alias else found.aliases
            self.made[key] = msgspec.structs.replace(found, aliases=aliases, **members)
            self.by_alias[alias] = found.id
        return found.id

    def _new(self, key: tuple[str, ...], alias: str, members: Mapping[str, Any]) -> Collection:
        parent = self.at(key[:-1]) if len(key) > 1 else None
        name = f"{'/'.join(key)}\0{alias}" if alias else "/".join(key)
        made = Collection(
            id=self.source.identify("folder", name),
            title=key[-1] if key else "",
            parent=parent,
            aliases=(alias,) if alias else (),
            **{"kind": "folder", "format": self.source.format, **members},
        )
        if alias:
            self.by_alias[alias] = made.id
        return made

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
        self.archive = archive  # ZIP containers: migrate.containers.Archive
        self.ledger = Ledger(adapter.shape if adapter else {}, adapter.frame if adapter else {})
        self.folders = Folders(self)

    def identify(self, kind: str, name: str) -> str:
        """Return an id for a thing of this source: the same for the same name, unrelated to its content."""
        mac = hashlib.blake2b(f"{kind}\0{name}".encode("utf-8", "surrogatepass"), key=self.key, digest_size=16)
        return urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()

    def json(self, data: bytes | None = None, name: str = "") -> tuple[Any, Iterator[Record]]:
        """Return the frame and the records of a JSON export; unreadable records go to quarantine on the way."""
        from migrate.reading import json_records

        return json_records(self, self.data if data is None else data, name or self.name)


@dataclass(slots=True)
class Parsed:
    """What a parser gives: a stream of items with their places, and what is complete only after it has run dry."""

    items: Iterator[tuple[str, Item]]
    folders: Folders
    extras: dict[str, Any] = field(default_factory=dict)  # what the format says beside its items
    documents: dict[str, str] = field(default_factory=dict)  # document hash -> container member with its bytes


@dataclass(frozen=True, slots=True)
class Loss:
    """One value a target cannot hold."""

    item: str  # id
    title: str
    member: str  # which member of the model, in words
    count: int = 1


class Offer:
    """A part of the model while a writer takes from it; what is not taken becomes a loss."""

    __slots__ = ("_left", "part")

    def __init__(self, part: Part) -> None:
        self.part = part
        self._left = {name for name, default in _defaults(type(part)) if getattr(part, name) != default}

    def take(self, name: str) -> Any:
        """Return a member and mark it as held by the target."""
        self._left.discard(name)
        return getattr(self.part, name)

    def text(self, name: str) -> str:
        """Return a member's clear text ("" where absent) and mark it, if it is a field without other members."""
        value = getattr(self.part, name)
        self._left.discard(name)
        if value is None:
            return ""
        if hasattr(value, "text"):
            return str(value.text)
        return value.reveal() if hasattr(value, "reveal") else str(value)

    def skip(self, *names: str) -> None:
        """Mark members that say nothing a person would miss."""
        self._left.difference_update(names)

    @property
    def left(self) -> set[str]:
        """Names of the members nobody took."""
        return self._left


_DEFAULTS: dict[type, tuple[tuple[str, Any], ...]] = {}


def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    found = _DEFAULTS.get(kind)
    if found is None:
        fields = msgspec.structs.fields(kind)
        found = _DEFAULTS[kind] = tuple(
            (f.name, f.default if f.default is not msgspec.NODEFAULT else _made(f)) for f in fields
        )
    return found


def _made(f: Any) -> Any:
    return f.default_factory() if f.default_factory is not msgspec.NODEFAULT else None


@dataclass(slots=True)
class Outgoing:
    """A vault on its way out, and what its target could not hold."""

    vault: Vault
    format: str
    document: Callable[[str], bytes | None] = lambda _: None  # bytes by hash
    options: dict[str, Any] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)

    def paths(self) -> dict[str, tuple[str, ...]]:
        """Return each collection's titles from the top, by id."""
        return paths_of(self.vault.collections)

    def own(self, item: Item) -> bool:
        """Whether the item came from the format being written, so that its ``extra`` goes back in place."""
        return item.provenance is not None and item.provenance.format == self.format

    def lose(self, item: Item, member: str, count: int = 1) -> None:
        """Record that the target cannot hold this."""
        self.losses.append(Loss(item.id, item.title, member, count))
