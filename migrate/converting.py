"""From one product's export to another's, no vault involved; the result is read again before it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

import msgspec

from migrate import catalog
from migrate.adapter import Adapter
from migrate.giving import Loss, Outgoing
from migrate.proof import Proof, Tie
from migrate.proving import Became, check, proof_of
from migrate.reading import items_of
from migrate.source import Source
from vault.canonical import encode, many
from vault.errors import CannotWriteFormat
from vault.model import Item


class Read(msgspec.Struct):
    """A source read into memory, and proven there."""

    source: Source
    items: list[Item] = msgspec.field(default_factory=list)
    places: dict[str, int] = msgspec.field(default_factory=dict)  # record -> position in items
    extras: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)  # by format


def read(source: Source, advance: Callable[[int], None] = lambda _: None) -> Read:
    """Read every item of a source and prove that each value is in it.

    Raises ``UndeclaredLoss`` where one is not.
    """
    got = Read(source)
    with many():
        parsed = catalog.parse(source)
        for record, item in items_of(source, parsed):
            advance(1)
            if item is not None:
                got.places[record.place] = len(got.items)
                got.items.append(item)
        got.extras = {source.format: parsed.extras, **parsed.others}
        check(_proof(got), source.ledger)
    return got


def _proof(got: Read) -> Proof:
    def tied(batch: Sequence[str]) -> dict[str, Tie]:
        known = {place: got.items[got.places[place]] for place in batch if place in got.places}
        return {place: Tie(item.id, encode(item), is_fresh=True, is_linked=True) for place, item in known.items()}

    aside = {q.place for q in got.source.ledger.quarantine}
    collections = got.source.folders.all()
    return proof_of(got.source, Became(collections, got.extras, _documents(got.source), tied, aside))


def target_of(name: str) -> Adapter:
    """Return the adapter to write with; raises ``CannotWriteFormat`` for one that only reads."""
    found = catalog.adapter(name)
    if found.render is None:
        raise CannotWriteFormat(f"{found.name} can be read but not written", hint="keyferry formats shows which can")
    return found


def outgoing_of(got: Read, target: Adapter, options: dict[str, Any]) -> Outgoing:
    """Return a read source as a vault on its way out."""
    return Outgoing(
        format=target.name,
        collections=got.source.folders.all(),
        items=got.items,
        extras=got.extras,
        document=_documents(got.source),
        options=options,
    )


def _documents(source: Source) -> Callable[[str], bytes | None]:
    archive, members = source.archive, source.documents

    def document(name: str) -> bytes | None:
        member = members.get(name)
        return archive.read(member) if archive is not None and member else None

    return document


def render(out: Outgoing, target: Adapter, file: BinaryIO) -> None:
    """Write a vault in the target's format; its losses are in ``out`` afterwards."""
    if target.render is None:
        raise CannotWriteFormat(f"{target.name} can be read but not written", hint="")
    with many():
        target.render(out, file)


def summed(losses: Iterable[Loss]) -> list[tuple[str, int, int]]:
    """Return (member, items, values) for each kind of loss, the most frequent first."""
    items: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for loss in losses:
        items[loss.member] += 1
        values[loss.member] += loss.count
    return [(member, items[member], values[member]) for member, _ in items.most_common()]
