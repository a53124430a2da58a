"""What a format is to Keyferry: a frozen value of signature, reader, writer and the shape of its records.

Adapters are pure and total: an unknown key is kept once, in ``extra``; what the target cannot hold becomes a ``Loss``.
They touch no file, print nothing and catch nothing they do not understand; the catalog turns what they raise into
``DamagedExport`` without content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import msgspec

from migrate.giving import Outgoing
from migrate.linking import Linking
from migrate.listing import Listing
from migrate.records import Pattern
from migrate.shape import Shape
from migrate.source import Record, Source
from vault.model import Item


class Signature(msgspec.Struct, frozen=True):
    """How a file of this format is recognised and told about; all tests given must hold."""

    product: str
    suffix: str  # what its files are usually called; never decides alone
    kind: str  # json, csv, zip, xml, text
    export_steps: str = ""  # how a person makes such a file
    is_list: bool = False  # JSON: the outermost value is a list, which has no keys
    keys: frozenset[str] = frozenset()  # JSON: top-level keys that must be there
    any_keys: frozenset[str] = frozenset()  # JSON: at least one of these
    no_keys: frozenset[str] = frozenset()  # JSON: none of these
    record_keys: frozenset[str] = frozenset()  # JSON: keys the first record must have, where there is one
    record_numbers: frozenset[str] = frozenset()  # JSON: keys that hold a whole number there ...
    record_parts: frozenset[str] = frozenset()  # JSON: ... or else it has one of these keys
    empty_keys: frozenset[str] = frozenset()  # JSON: keys that must be there where there is no record
    header: frozenset[str] = frozenset()  # CSV: columns that must be there, spelled exactly
    header_only: frozenset[str] = frozenset()  # CSV: if given, no other columns than these and ``header``
    headers: frozenset[frozenset[str]] = frozenset()  # CSV: if given, the columns are exactly one of these sets
    no_header: frozenset[str] = frozenset()  # CSV: columns that must not be there
    any_case: bool = False  # CSV: compare column names in lower case
    members: frozenset[str] = frozenset()  # ZIP: member names that must be there
    text_start: tuple[str, ...] = ()  # text: the first non-blank line begins with one of these; each has ":/"
    cannot_hold: tuple[str, ...] = ()  # what an export of this kind never contains, in the user's words
    better: str = ""  # the name of the same product's richer format
    attachments: bool = False
    encrypted: bool = False
    experimental: bool = False


Parse = Callable[[Source], "Parsed"]
Render = Callable[[Outgoing, BinaryIO], None]


class Adapter(msgspec.Struct, frozen=True):
    """One format: its signature, reader and writer, and the shape of its records for ledger and proof."""

    signature: Signature
    parse: Parse
    render: Render | None = None
    records: Pattern = ("items", "*")  # JSON: where the records stand
    member: str = ""  # ZIP: the member that holds the records
    shape: Shape = msgspec.field(default_factory=dict)  # of one record
    shape_of: Callable[[dict[str, Any]], Shape] | None = None  # where the shape depends on the source's options
    frame: Shape = msgspec.field(default_factory=dict)  # of what stands around the records
    listing: Listing | None = None  # where the frame says which records are in which folder
    linking: Linking | None = None  # how records are called by the links of others
    carries_extras: bool = False  # whether its files also hold what other formats say beside their items
    attachments: str = ""  # ZIP: member of an object that has these keys, as "files/{documentId}__{fileName}"
    kept_raw: frozenset[str] = frozenset()  # keys of the format that stay in ``extra``; others are shown as key[n]
    name: str = ""  # set by the catalog from the file's name

    @property
    def product(self) -> str:
        """The product's name for people."""
        return self.signature.product


class Parsed(msgspec.Struct):
    """What a parser gives: the stream of records and how one becomes an item.

    ``read`` returns None for a record that is no item (a folder marker). It may raise: that record alone goes to
    quarantine. ``extras`` and the folders of the source are complete only when the records have run dry.
    """

    records: Iterator[Record]
    read: Callable[[Record], Item | None]
    extras: dict[str, Any] = msgspec.field(default_factory=dict)  # what the format says beside its items
    others: dict[str, dict[str, Any]] = msgspec.field(
        default_factory=dict
    )  # what other formats said, where a file carries it
