"""The second opinion: every value of the file's bytes, looked for again in the items as the vault holds them.

An independent path. It starts from bytes, reads them with readers that know no product, and compares *per record*: each
record is tied to one item, and its values, folder and attachments must be in that item's stored row. A changed value is
proven by running its rule again, forward. It shares no code with the adapters; of them it knows only data: where
records stand, what is structure, which rule changes what.
"""

from __future__ import annotations

import hashlib
import re
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgspec

from migrate.holding import held, links_of, read_row, texts_of, values
from migrate.linking import Links
from migrate.listing import Inside
from migrate.places import Places
from migrate.rules import EACH, JOINED, LINKS
from migrate.shape import Changed, Codes, expected_of, is_leaf, leaves, text_of
from vault.canonical import encode

_BATCH = 500  # records whose items are fetched together
_NOWHERE: frozenset[str] = frozenset()
_ANYTHING: dict[str, Any] = {}  # the shape of what no adapter declares


class Finding(msgspec.Struct, frozen=True):
    """One value that is not where it must be."""

    place: str  # record of the source
    item: str  # id, "" where the record is tied to none
    path: str  # of the value in the record
    kind: str = "missing"  # missing, misplaced, doubled, edited, trashed


class Proof(msgspec.Struct):
    """The result: how many values were looked for, and every one that was not found."""

    values: int = 0
    found: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is there."""
        return not self.findings

    def join(self, other: Proof) -> None:
        """Add another result to this one."""
        self.values += other.values
        self.found += other.found
        self.findings += other.findings


class Tie(msgspec.Struct, frozen=True):
    """What a record became: the item's stored row, and the row as it arrived where it was edited since."""

    item: str
    row: bytes | None
    arrived: bytes | None = None
    is_fresh: bool = False  # just written by its adapter, whose own words may repeat a value
    is_linked: bool = False  # written by this very run, so that its links lead to what the run made of the others
    may_hold_more: bool = False  # the row is known to be what the run left, or had a history before
    is_shared: bool = False  # the item was another source's: its folders are that one's


class Wanted(msgspec.Struct):
    """What the values of one record must be found as."""

    record: Any = None
    count: int = 0  # values
    texts: list[str] = msgspec.field(default_factory=list)  # each must be there as often as it is named
    somewhere: list[tuple[str, ...]] = msgspec.field(default_factory=list)  # what rules make of others: must be there
    links: list[str] = msgspec.field(default_factory=list)  # ids of other records
    joined: set[tuple[str, int]] = msgspec.field(default_factory=set)  # rules that make one text of several values

    def take(self, node: Any, shape: Any, parent: Any = None) -> None:
        """Add everything below a node of the record."""
        kind = type(node)
        if kind is dict:
            if type(shape) is not dict:
                shape = _ANYTHING
            get, every, add, count = shape.get, shape.get("*"), self.texts.append, 0
            for key, value in node.items():
                kind = type(value)
                if kind is str:
                    if not value:
                        continue
                    below = get(key, every)
                    if type(below) is Changed:
                        count += 1
                        self._leaf(value, below, node)
                    elif below is None or type(below) is not Codes or value not in below.values:
                        count += 1
                        add(value)
                elif value is None or kind is bool:
                    continue
                elif kind is dict or kind is list:
                    if value:
                        self.take(value, get(key, every), node)
                elif type(below := get(key, every)) is not Codes or value not in below.values:
                    self.take(value, below, node)
            self.count += count
        elif kind is list:
            below = shape.get("*") if type(shape) is dict else None
            for value in node:
                self.take(value, below, node)
        elif is_leaf(node) and not (type(shape) is Codes and node in shape.values):
            self.count += 1
            self._leaf(node, shape, parent)

    def _leaf(self, node: Any, shape: Any, parent: Any) -> None:
        expected = expected_of(shape, node, parent, self.record) if type(shape) is Changed else None
        if expected == ():
            self.count -= 1
            if shape.rule in LINKS:
                self.links.append(text_of(node))
        elif expected is None:
            self.texts.append(text_of(node))
        elif shape.rule in EACH:
            self.texts += expected
        elif shape.rule not in JOINED:
            self.somewhere.append(expected)
        elif (key := (shape.rule, id(parent))) not in self.joined:
            self.joined.add(key)
            self.texts += expected


def prove(
    records: Iterable[tuple[str, Any]],
    shape: Any,
    ties: Callable[[Sequence[str]], Mapping[str, Tie]],
    places: Places,
    attachments: Callable[[Any], list[str]] = lambda _: [],
    around: Callable[[str], tuple[str, ...]] | None = None,
    inside: Inside | None = None,
    links: Links | None = None,
) -> Proof:
    """Compare every record with the item it is tied to.

    ``records`` are (place, data) straight from the bytes; ``attachments`` gives the hashes of the files a record names,
    ``around`` the id of the folder it stands in, ``inside`` the folders that list it; ``links`` is filled on the way.
    """
    judge = _Judge(shape, places, inside)
    for batch in _batches(records):
        tied = ties([place for place, _ in batch])
        for place, data in batch:
            want = Wanted(data)
            want.take(data, shape)
            if named := attachments(data):
                want.count += len(named)
                want.texts += named
            if around is not None:
                want.texts += around(place)
            tie = tied.get(place)
            findings = judge.record(place, tie, data, want)
            if links is not None:
                _note_links(links, place, tie, data, want)
            judge.proof.values += want.count
            judge.proof.found += max(0, want.count - len(findings))
            judge.proof.findings += findings
    judge.proof.findings += judge.strays if judge.names_folders else []
    if links is not None:
        judge.proof.findings += [Finding(place, item, "a link to another item") for place, item in links.strays()]
    return judge.proof


def _note_links(links: Links, place: str, tie: Tie | None, data: Any, want: Wanted) -> None:
    """Remember a record for the links of others, and its own; those of an item that stayed as it was are older."""
    links.note(place, data, tie.item if tie is not None else "")
    if want.links and tie is not None and tie.row is not None and tie.is_linked:
        links.hold(place, tie.item, want.links, links_of(tie.row))


def _batches(records: Iterable[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    stream = iter(records)
    while batch := list(islice(stream, _BATCH)):
        yield batch


class _Judge(msgspec.Struct):
    """Compares records with items, one after the other."""

    shape: Any
    places: Places
    inside: Inside | None = None
    proof: Proof = msgspec.field(default_factory=Proof)
    names_folders: bool = False  # whether records of this source say which folder they are in
    strays: list[Finding] = msgspec.field(default_factory=list)  # items in a folder their record does not name

    def record(self, place: str, tie: Tie | None, data: Any, want: Wanted) -> list[Finding]:
        """Return what of one record is not in its item."""
        if tie is not None and tie.row is not None:
            return self._compare(place, tie, tie.arrived or tie.row, data, want)
        texts = self.places.everywhere | self.places.beside
        if tie is None and self._is_in(texts, data):
            return []
        was_there = tie is None and self._is_in(texts | self.places.former, data)
        kind = "edited" if was_there else "missing"
        return [Finding(place, tie.item if tie else "", "the whole record", kind)]

    def _is_in(self, texts: frozenset[str], data: Any) -> bool:
        """Whether folders, and what the format said beside its items, hold all that a record says: a folder marker."""
        return all(
            leaf.text in texts or (bool(leaf.expected) and texts.issuperset(leaf.expected))
            for leaf in leaves(data, self.shape)
        )

    def _compare(self, place: str, tie: Tie, row: bytes, data: Any, want: Wanted) -> list[Finding]:
        has, folders = held(row)
        need = set(want.texts)
        short, over = _unequal(want.texts, need, has)
        findings = self._lost(place, tie, data, want, has, short, folders) if short or want.somewhere else []
        if not tie.is_shared and (folders or self.inside is not None):
            findings += self._folders(place, tie, data, folders, need, want)
        if over and not tie.may_hold_more:
            twice = _twice(row, over, want, is_fresh=tie.is_fresh)
            findings += [Finding(place, tie.item, path, "doubled") for path in _paths(data, self.shape, twice)]
        if not findings and tie.arrived is not None:
            findings = _since(place, tie, data, self.shape, Counter(has), folders)
        return findings

    def _lost(
        self,
        place: str,
        tie: Tie,
        data: Any,
        want: Wanted,
        has: list[str],
        short: dict[str, int],
        folders: tuple[str, ...],
    ) -> list[Finding]:
        """Name what neither the item nor its folders hold."""
        lost = self.places.lacking(short, folders)
        self.names_folders = self.names_folders or len(lost) < len(short)
        broken: frozenset[tuple[str, ...]] = frozenset()
        if want.somewhere:
            there = _NOWHERE.union(has, *(self.places.names.get(folder, _NOWHERE) for folder in folders))
            broken = frozenset(e for e in want.somewhere if not there.issuperset(e))
        if not lost and not broken:
            return []
        return [Finding(place, tie.item, path) for path in _paths(data, self.shape, lost, broken)]

    def _folders(
        self, place: str, tie: Tie, data: Any, folders: tuple[str, ...], need: set[str], want: Wanted
    ) -> list[Finding]:
        """Say whether the item is in another folder than the source has it in."""
        if self.inside is not None:
            is_wrong = self.places.misplaced(folders, self.inside(place, data))
            return [Finding(place, tie.item, "its folder", "misplaced")] if is_wrong else []
        if self.places.strays(folders, need, want.somewhere):
            self.strays.append(Finding(place, tie.item, "its folder", "misplaced"))
        return []


def _unequal(texts: list[str], need: set[str], has: list[str]) -> tuple[dict[str, int], set[str]]:
    """Return by how many each text is short, and the texts of which there are too many; ``need`` has each once."""
    there = set(has)
    if len(need) == len(texts) and len(there) == len(has):
        return dict.fromkeys(need - there, 1), set()
    short: dict[str, int] = {}
    over: set[str] = set()
    found = Counter(has)
    for text, n in Counter(texts).items():
        m = found[text]
        if m < n:
            short[text] = n - m
        elif m > n:
            over.add(text)
    return short, over


def _twice(row: bytes, over: set[str], want: Wanted, *, is_fresh: bool) -> set[str]:
    """Return the values that stand in the item more often than in the record."""
    most = Counter(want.texts) + Counter(text for expected in want.somewhere for text in _places_of_its_own(expected))
    has = (values if is_fresh else texts_of)(row)
    return {text for text in over if has[text] > most[text]}


def _places_of_its_own(expected: tuple[str, ...]) -> tuple[str, ...]:
    """Return the texts a rule makes; none where it says by naming one twice that it is another value's text."""
    return () if len(expected) > 1 and len(set(expected)) == 1 else expected


def _since(
    place: str, tie: Tie, data: Any, shape: Any, arrived: Counter[str], folders: tuple[str, ...]
) -> list[Finding]:
    """Name what was edited after the arrival; the old values are still in the item's past versions."""
    now, old = read_row(tie.row or b"{}"), read_row(tie.arrived or b"{}")
    if now.get("trashed") and not old.get("trashed"):
        return [Finding(place, tie.item, "the whole record", "trashed")]
    old_history = old.get("history", [])
    now["history"] = [entry for entry in now.get("history", []) if entry in old_history]
    has, now_folders = held(encode(now))
    gone = set(arrived - Counter(has))
    paths = list(_paths(data, shape, set(gone)))
    if set(folders) - set(now_folders):
        paths.append("its folder")
    if gone and not paths:
        paths = ["a value changed on arrival"]
    return [Finding(place, tie.item, path, "edited") for path in paths]


def _paths(data: Any, shape: Any, texts: set[str], expected: frozenset[Any] = _NOWHERE) -> Iterator[str]:
    """Yield where in the record the texts stand; each text once."""
    if not texts and not expected:
        return
    left = set(texts)
    for leaf in leaves(data, shape):
        as_found = leaf.expected if leaf.rule is not None else (leaf.text,)
        if as_found in expected:
            yield leaf.path
        elif not left.isdisjoint(as_found):
            left.difference_update(as_found)
            yield leaf.path
    yield from ("an attachment" for _ in left)


def prove_frame(frame: Any, shape: Any, places: Places) -> Proof:
    """Look for every value outside the records: in any folder, or in what the format said beside its items."""
    has = places.everywhere | places.beside
    proof = Proof()
    for leaf in leaves(frame, shape):
        proof.values += 1
        texts = leaf.expected or (leaf.text,)
        if has.issuperset(texts):
            proof.found += 1
        else:
            was_there = places.former.issuperset(text for text in texts if text not in has)
            proof.findings.append(Finding("", "", leaf.path, "edited" if was_there else "missing"))
    return proof


def named_members(template: str) -> Callable[[Any], Iterator[str]]:
    """Return a function that finds the container members a record names: objects with all keys of the template."""
    keys = re.findall(r"\{(\w+)\}", template)

    def find(node: Any) -> Iterator[str]:
        waiting: list[Any] = [[node]]
        for part in waiting:  # which grows on the way
            if type(part) is list:
                waiting += [value for value in part if type(value) is dict or type(value) is list]
                continue
            if keys and keys[0] in part and all(isinstance(part.get(key), str) and part[key] for key in keys):
                yield template.format(**{key: part[key] for key in keys})
            waiting += [value for value in part.values() if type(value) is dict or type(value) is list]

    return find


def hash_of(data: bytes) -> str:
    """Return a document's name: base64url SHA-256 without padding."""
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
