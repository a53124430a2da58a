"""What an adapter made of a file, spoiled on purpose in one place: the proof has to notice each time."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from migrate import catalog, converting
from migrate.converting import Read
from migrate.proof import Finding, Tie
from migrate.proving import Became, proof_of
from migrate.reading import items_of, reread
from migrate.shape import leaves
from migrate.source import Source
from vault.canonical import encode, plain
from vault.model import Collection

Row = dict[str, Any]
Step = str | int
Place = tuple[str, tuple[Step, ...]]  # record and the way to a value in its row

_OURS = ("id", "collections", "provenance")
_STRUCTURE = ("fieldType", "original", "type", "kind", "match")


@dataclass
class Stored:
    """Rows, folders, files and what stands beside them, as a vault would hold them."""

    source: Source
    rows: dict[str, Row]  # by record
    collections: list[Collection]
    documents: dict[str, bytes]
    extras: dict[str, Any]
    values: dict[str, Counter[str]]  # by record: what its values must be found as

    def findings(self) -> set[Finding]:
        """Return what the proof says."""
        bodies = {place: encode(row) for place, row in self.rows.items()}

        def tied(batch: Sequence[str]) -> Mapping[str, Tie]:
            there = [place for place in batch if place in bodies]
            return {place: Tie(self.rows[place]["id"], bodies[place], is_linked=True) for place in there}

        aside = {one.place for one in self.source.ledger.quarantine}
        became = Became(tuple(self.collections), self.extras, self.documents.get, tied, aside)
        return set(proof_of(self.source, became).findings)

    def spots(self) -> list[Place]:
        """Return where values of the source stand in the rows, and nothing else that reads the same."""
        found = []
        for place, row in self.rows.items():
            texts = [(way, text) for way, text in _texts(row) if way[0] not in _OURS and way[-1] not in _STRUCTURE]
            often = Counter(text for _, text in texts)
            found += [
                (place, way)
                for way, text in texts
                if 0 < often[text] <= self.values[place][text] and not self._is_read_out(place, way)
            ]
        return found

    def _is_read_out(self, place: str, way: tuple[Step, ...]) -> bool:
        """Whether it is a member of a one-time code that has its text in the source beside it."""
        node: Any = self.rows[place]
        for step in way[:-1]:
            node = node[step]
        return isinstance(node, dict) and node.get("type") == "totp" and "source" in node and way[-1] != "source"

    def at(self, spot: Place) -> str:
        """Return the value at a place."""
        node: Any = self.rows[spot[0]]
        for step in spot[1]:
            node = node[step]
        return str(node)

    def put(self, spot: Place, value: str | None) -> None:
        """Change the value at a place; None removes it."""
        node: Any = self.rows[spot[0]]
        for step in spot[1][:-1]:
            node = node[step]
        if value is None:
            del node[spot[1][-1]]
        else:
            node[spot[1][-1]] = value


def stored(path: Path, options: dict[str, Any] | None = None) -> Stored:
    """Return what a sample becomes."""
    given = dict(options or {})
    source = catalog.open_source(path, format=given.pop("from", None), options=given, key=b"k" * 16)
    parsed = catalog.parse(source)
    got = Read(source)
    for record, item in items_of(source, parsed):
        if item is not None:
            got.places[record.place] = len(got.items)
            got.items.append(item)
    document = converting.outgoing_of(got, catalog.adapter(source.format), {}).document
    documents = {name: body for name in source.documents if (body := document(name)) is not None}
    rows = {place: plain(got.items[at]) for place, at in got.places.items()}
    return Stored(source, rows, list(source.folders.all()), documents, parsed.extras, _values(source))


def _values(source: Source) -> dict[str, Counter[str]]:
    shape = source.adapter.shape if source.adapter else {}
    return {
        record.place: Counter(
            text for leaf in leaves(record.data, shape) for text in (leaf.expected if leaf.rule else (leaf.text,))
        )
        for record in reread(source.again())[1]
    }


def _texts(node: Any, way: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _texts(value, (*way, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _texts(value, (*way, index))
    elif isinstance(node, str) and node:
        yield way, node


# --- the ways to spoil it: each returns the records it touched, or None where the file has nothing to spoil so

Spoil = Callable[[Stored, random.Random], set[str] | None]


def drop(vault: Stored, dice: random.Random) -> set[str] | None:
    """Remove a value."""
    spot = dice.choice(vault.spots())
    vault.put(spot, None if isinstance(spot[1][-1], str) else "")
    return {spot[0]}


def duplicate(vault: Stored, dice: random.Random) -> set[str] | None:
    """Say a value twice."""
    spot = dice.choice(vault.spots())
    vault.rows[spot[0]].setdefault("credentials", []).append({"type": "note", "content": vault.at(spot)})
    return {spot[0]}


def truncate(vault: Stored, dice: random.Random) -> set[str] | None:
    """Cut a value's last letter off."""
    spot = dice.choice(vault.spots())
    vault.put(spot, vault.at(spot)[:-1])
    return {spot[0]}


def swap(vault: Stored, dice: random.Random) -> set[str] | None:
    """Exchange the values at one member of two items."""
    spots = vault.spots()
    dice.shuffle(spots)
    for one in spots:
        for other in spots:
            a, b = vault.at(one), vault.at(other)
            if one[0] != other[0] and _member(one) == _member(other) and a != b:
                vault.put(one, b)
                vault.put(other, a)
                return {one[0], other[0]}
    return None


def _member(spot: Place) -> tuple[Step, ...]:
    return tuple(step for step in spot[1] if isinstance(step, str))


def move(vault: Stored, dice: random.Random) -> set[str] | None:
    """Put an item into another folder."""
    places = list(vault.rows)
    dice.shuffle(places)
    for place in places:
        now = vault.rows[place].get("collections", [])
        others = [one.id for one in vault.collections if one.id not in now and one.aliases]
        if others and any(row.get("collections") for row in vault.rows.values()):
            vault.rows[place]["collections"] = [dice.choice(others)]
            return {place}
    return None


def swap_titles(vault: Stored, dice: random.Random) -> set[str] | None:
    """Exchange the titles of two folders."""
    pairs = [
        (n, m)
        for n, one in enumerate(vault.collections)
        for m, other in enumerate(vault.collections[:n])
        if one.title != other.title and one.aliases and other.aliases
    ]
    if not pairs:
        return None
    n, m = dice.choice(pairs)
    one, other = vault.collections[n], vault.collections[m]
    vault.collections[n] = msgspec.structs.replace(one, title=other.title)
    vault.collections[m] = msgspec.structs.replace(other, title=one.title)
    return set()


def swap_files(vault: Stored, dice: random.Random) -> set[str] | None:
    """Exchange the attachments of two items."""
    spots = [
        (place, way)
        for place, row in vault.rows.items()
        for way, _ in _texts(row)
        if way[-1] == "integrityHash" and way[0] == "credentials"
    ]
    dice.shuffle(spots)
    for one in spots:
        for other in spots:
            a, b = vault.at(one), vault.at(other)
            if one[0] != other[0] and a != b:
                vault.put(one, b)
                vault.put(other, a)
                return {one[0], other[0]}
    return None


def swap_documents(vault: Stored, dice: random.Random) -> set[str] | None:
    """Exchange the bytes of two files."""
    if len(vault.documents) < 2:
        return None
    one, other = dice.sample(sorted(vault.documents), 2)
    vault.documents[one], vault.documents[other] = vault.documents[other], vault.documents[one]
    return set()


def redirect(vault: Stored, dice: random.Random) -> set[str] | None:
    """Let a link lead to another item."""
    ids = {row["id"] for row in vault.rows.values()}
    links = [
        (place, credential)
        for place, row in vault.rows.items()
        for credential in row.get("credentials", [])
        if credential["type"] == "item-reference" and credential.get("reference") in ids
    ]
    if not links:
        return None
    place, credential = dice.choice(links)
    credential["reference"] = dice.choice(sorted(ids - {credential["reference"]}))
    return {place}


SPOILS: tuple[Spoil, ...] = (drop, duplicate, truncate, swap, move, swap_titles, swap_files, swap_documents, redirect)


def spoiled(vault: Stored, number: int, seed: str) -> tuple[str, Stored, set[str]]:
    """Return the name of the way, a copy spoiled in the numbered way or the next possible one, and what it touched."""
    dice = random.Random(f"{seed} {number}")
    for offset in range(len(SPOILS)):
        way = SPOILS[(number + offset) % len(SPOILS)]
        made = Stored(
            vault.source,
            copy.deepcopy(vault.rows),
            list(vault.collections),
            dict(vault.documents),
            copy.deepcopy(vault.extras),
            vault.values,
        )
        touched = way(made, dice)
        if touched is not None:
            return way.__name__, made, touched
    raise AssertionError("nothing can be spoiled")
