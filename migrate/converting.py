"""From one product's export to another's, no vault involved; the result is read again before it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from migrate import catalog, moving
from migrate.adapter import Adapter
from migrate.giving import Loss, Outgoing
from migrate.proof import Places, Proof, Tie, prove, prove_frame
from migrate.reading import items_of, reread
from migrate.source import Source
from vault.canonical import encode, many
from vault.errors import CannotWriteFormat, UndeclaredLoss
from vault.model import BasicAuth, CustomFields, Field, Item, Note, Totp, find_all


@dataclass(slots=True)
class Read:
    """A source read into memory, and proven there."""

    source: Source
    items: list[Item] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)  # record -> position in items
    extras: dict[str, Any] = field(default_factory=dict)


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
        got.extras = parsed.extras
        moving.check(_proof(got), source.ledger)
    return got


def _proof(got: Read) -> Proof:
    again = got.source.again()
    frame, records = reread(again)
    places = Places.of(got.source.folders.all(), got.extras)
    adapter = again.adapter
    aside = {q.place for q in got.source.ledger.quarantine}

    def tied(batch: Sequence[str]) -> dict[str, Tie]:
        known = {place: got.items[got.places[place]] for place in batch if place in got.places}
        return {place: Tie(item.id, encode(item)) for place, item in known.items()}

    stream = ((r.place, r.data) for r in records if r.place not in aside)
    proof = prove(
        stream, adapter.shape if adapter else {}, tied, places, moving.attachments(again, _documents(got.source))
    )
    around = prove_frame(frame, adapter.frame if adapter else {}, places, got.extras)
    proof.values, proof.found = proof.values + around.values, proof.found + around.found
    proof.findings += around.findings
    return proof


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
        extras={got.source.format: got.extras},
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


def check_written(data: bytes, target: Adapter, items: Iterable[Item], losses: Iterable[Loss], name: str) -> None:
    """Read what was written, and look for every secret, user name and address of the items in it.

    Raises ``UndeclaredLoss`` where one is gone and its item has no declared loss.
    """
    source = catalog.open_source(Path(name), format=target.name, data=data, key=b"check")
    with many():
        parsed = catalog.parse(source)
        back = [item for _, item in items_of(source, parsed) if item is not None]
        texts = {text for item in back for text in _important(item)} | _codes(back)
        declared = {loss.item for loss in losses}
        whole = ""
        for item in items:
            if item.id in declared:
                continue
            for text in _important(item, with_codes=False):
                if text in texts:
                    continue
                whole = whole or "\0".join(texts)
                if text not in whole and text.replace("\r\n", "\n") not in whole.replace("\r\n", "\n"):
                    raise _lost(target, source)
            for code in _codes([item]):
                if code not in texts:
                    raise _lost(target, source)


def _lost(target: Adapter, source: Source) -> UndeclaredLoss:
    return UndeclaredLoss(
        f"a value written as {target.name} did not come back when the file was read again",
        hint="nothing was written; this is a defect of Keyferry, please report the two formats",
    )


def _important(item: Item, *, with_codes: bool = True) -> Iterator[str]:
    """Yield the texts whose loss a person would notice first."""
    for credential in item.credentials:
        if isinstance(credential, BasicAuth):
            yield from (f.text for f in (credential.username, credential.password) if f is not None and f.text)
        elif isinstance(credential, Note):
            if text := credential.content.reveal():
                yield text
        elif isinstance(credential, CustomFields):
            yield from (f.text for f in credential.fields if f.text)
        elif not isinstance(credential, Totp):
            yield from _concealed(credential)
    if with_codes:
        yield from (url.url for url in item.urls if url.url)


def _concealed(credential: Any) -> Iterator[str]:
    for name in credential.__struct_fields__:
        value = getattr(credential, name)
        if isinstance(value, Field) and value.is_concealed and value.text:
            yield value.text


def _codes(items: Iterable[Item]) -> set[str]:
    """Return a text for each one-time code that two spellings of the same key share."""
    found = set()
    for item in items:
        for totp in find_all(item, Totp):
            found.add(f"{totp.kind}\0{totp.secret.reveal()}\0{totp.digits}\0{totp.period}\0{totp.algorithm}")
        for custom in find_all(item, CustomFields):
            for one in custom.fields:
                found |= _code_in(one)
        for note in find_all(item, Note):
            for line in note.content.reveal().splitlines():
                at = line.find("otpauth:")
                if at >= 0:
                    found |= _code_in(Field(value=line[at:]))
    return found


def _code_in(one: Field) -> set[str]:
    from vault import otp

    text = one.text
    if not text.startswith(("otpauth:", "steam:", "motp:")):
        return set()
    try:
        totp = otp.parse(text)
    except ValueError:
        return set()
    return {f"{totp.kind}\0{totp.secret.reveal()}\0{totp.digits}\0{totp.period}\0{totp.algorithm}"}


def summed(losses: Iterable[Loss]) -> list[tuple[str, int, int]]:
    """Return (member, items, values) for each kind of loss, the most frequent first."""
    items: Counter[str] = Counter()
    values: Counter[str] = Counter()
    for loss in losses:
        items[loss.member] += 1
        values[loss.member] += loss.count
    return [(member, items[member], values[member]) for member, _ in items.most_common()]
