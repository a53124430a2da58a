"""A whole source compared with what it became: records, folders, what stands around them, and the files in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from migrate.ledger import Ledger
from migrate.linking import Links
from migrate.listing import listed
from migrate.places import Places
from migrate.proof import Finding, Proof, Tie, hash_of, named_members, prove, prove_frame
from migrate.reading import reread
from migrate.records import read_json
from migrate.shape import leaves
from migrate.source import Source
from vault.errors import UndeclaredLoss
from vault.model import Collection

Advance = Callable[[int], None]
Tied = Callable[[Sequence[str]], Mapping[str, Tie]]
Document = Callable[[str], bytes | None]  # the bytes kept under a hash

LOST = ("missing", "misplaced")  # kinds of findings that stop a move

_HASH = re.compile(rb'"([A-Za-z0-9_-]{43})"')


class Became(msgspec.Struct, frozen=True):
    """What a source became: folders, what its format said beside the items, and the items its records are tied to."""

    collections: tuple[Collection, ...]
    extras: Mapping[str, Any]
    document: Document
    tied: Tied
    aside: set[str]  # places of records in quarantine
    former: Sequence[Any] = ()  # extras that later runs replaced


def proof_of(source: Source, became: Became, advance: Advance = lambda _: None) -> Proof:
    """Read the bytes again and look for every value of them; ``advance`` is told of every record."""
    again = source.again()
    adapter = again.adapter
    if adapter is None:
        return Proof()
    frame, records = reread(again)
    places = Places.of(became.collections, became.extras, frame, source.options.get("into", ()))
    places.remember(became.former)
    inside = listed(frame, adapter.listing) if adapter.listing is not None else None
    links = Links(adapter.linking) if adapter.linking is not None else None
    around = places.around(frame) if frame is not None else None
    files = _Files(again, became.document)

    def stream() -> Iterator[tuple[str, Any]]:
        for record in records:
            advance(1)
            if record.place not in became.aside:
                yield record.place, record.data
            elif links is not None:
                links.note(record.place, record.data, "")

    tied = files.watching(became.tied)
    proof = prove(stream(), adapter.shape, tied, places, files.named, around, inside, links)
    proof.join(prove_frame(frame, adapter.frame, places))
    proof.join(files.unnamed(places))
    return proof


def check(proof: Proof, ledger: Ledger) -> None:
    """Raise ``UndeclaredLoss`` where a value is missing or the ledger does not balance.

    A value that stands twice is no loss: it is told, and the move goes on.
    """
    missing = [one for one in proof.findings if one.kind in LOST]
    doubled = sum(one.kind == "doubled" for one in proof.findings)
    if doubled:
        ledger.warn(f"values that stand once more in the vault than in the export: {doubled}")
    if not missing and ledger.values()["arrived"] >= 0:
        return
    first = missing[0] if missing else None
    where = f": the first at {first.place or 'the frame'}, {_depth(first.path)}" if first else ""
    raise UndeclaredLoss(
        f"values of the source that could not be found again: {len(missing)}{where}",
        hint="nothing was written; this is a defect of Keyferry, please report the format and the place named here",
    )


def _depth(path: str) -> str:
    """Return how deep a value stands, without the keys, which may be the user's own."""
    return f"a value {path.count('.') + path.count('[') + 1} levels deep"


class _Files(msgspec.Struct):
    """The members of a container that hold attachments, as their bytes are now."""

    source: Source
    document: Document
    members: frozenset[str] = frozenset()
    seen: set[str] = msgspec.field(default_factory=set)  # members that records name
    held: set[str] = msgspec.field(default_factory=set)  # whatever may be a hash in the items

    def __post_init__(self) -> None:
        if self.source.archive is not None and self.source.adapter is not None and self.source.adapter.attachments:
            self.members = frozenset(self.source.archive.names)

    def watching(self, tied: Tied) -> Tied:
        """Return the same function; which files the items name is noted on the way."""
        if not self.members:
            return tied

        def watched(batch: Sequence[str]) -> Mapping[str, Tie]:
            found = tied(batch)
            for tie in found.values():
                self.held.update(one.decode() for one in _HASH.findall(tie.row or b""))
            return found

        return watched

    def named(self, data: Any) -> list[str]:
        """Return the hashes of the files a record names; a text that nothing holds where other bytes are kept."""
        if not self.members or self.source.adapter is None:
            return []
        named = named_members(self.source.adapter.attachments)(data)
        members = [member for one in named for member in self._below(one)]
        self.seen.update(members)
        return [self._kept_as(self.source.archive.read(member)) for member in members]

    def _below(self, name: str) -> list[str]:
        """Return the member of that name; of a folder, written ``folder/*``, every member in it."""
        if name.endswith("/*"):
            return sorted(one for one in self.members if one.startswith(name[:-1]))
        return [name] if name in self.members else []

    def _kept_as(self, content: bytes) -> str:
        name = hash_of(content)
        return name if self.document(name) == content else f"{name} is not kept"

    def unnamed(self, places: Places) -> Proof:
        """Look for the members that no record names by its keys: kept as files, or read value by value."""
        proof = Proof()
        own = self.source.adapter.member if self.source.adapter is not None else ""
        for member in sorted(self.members - self.seen - {own}):
            content = self.source.archive.read(member)
            name = self._kept_as(content)
            if name in self.held:
                found = int(member.rpartition("/")[2] != name)  # a record that calls it by its hash says it: an icon
            elif name in places.beside:
                found = 1
            elif (told := _told(content, places)) is not None:
                found = told
            else:
                proof.values += 1
                proof.findings.append(Finding("", "", "a file beside the items"))
                continue
            proof.values += found
            proof.found += found
        return proof


def _told(content: bytes, places: Places) -> int | None:
    """Return how many values a file of JSON holds, all of which stand beside the items; None where it is none such."""
    try:
        read = list(leaves(read_json(content)))
    except (ValueError, RecursionError):
        return None
    return len(read) if all(leaf.text in places.beside for leaf in read) else None
