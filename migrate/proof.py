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
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from migrate.rules import RULES
from migrate.shape import Changed, Codes, is_leaf, leaves, text_of
from vault.model import Collection, paths_of

_ROW = msgspec.json.Decoder(float_hook=Decimal)
_ENCODER = msgspec.json.Encoder(decimal_format="number")

# Members of our rows that say what something is. Below the RAW ones everything is somebody's value.
_STRUCTURE = frozenset({"fieldType", "original", "type", "kind", "match", "run", "format", "conflict", "field"})
_RAW = frozenset({"extra", "raw", "parameters", "fido2Extensions", "certificate"})
_BATCH = 500  # records whose items are fetched together
_OURS = frozenset({"id", "collections"})  # of an item


@dataclass(frozen=True, slots=True)
class Finding:
    """One value that is not where it must be."""

    place: str  # record of the source
    item: str  # id, "" where the record is tied to none
    path: str  # of the value in the record
    kind: str = "missing"  # missing, doubled, edited, trashed


@dataclass(slots=True)
class Proof:
    """The result: how many values were looked for, and every one that was not found."""

    values: int = 0
    found: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything is there."""
        return not self.findings


@dataclass(frozen=True, slots=True)
class Tie:
    """What a record became: the item's stored row, and the row as it arrived where it was edited since."""

    item: str
    row: bytes | None
    arrived: bytes | None = None


@dataclass(slots=True)
class Places:
    """What the vault says about folders, all texts of each by id, and what a format said beside its items."""

    texts: dict[str, frozenset[str]] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()
    _everywhere: frozenset[str] | None = None

    @property
    def everywhere(self) -> frozenset[str]:
        """The texts of all folders."""
        if self._everywhere is None:
            self._everywhere = frozenset().union(*self.texts.values())
        return self._everywhere

    @classmethod
    def of(cls, collections: tuple[Collection, ...], extras: Any = None) -> Places:
        """Collect titles, source ids, source names and full paths, and the texts of a format's ``extras``."""
        paths = paths_of(collections)
        made = {}
        for one in collections:
            found: list[str] = [one.title, *one.aliases, *paths[one.id], "/".join(paths[one.id])]
            _held(msgspec.to_builtins(one.extra), found, raw=True)
            found += [text for text in (one.subtitle, one.icon, one.color, one.creation_at, one.modified_at) if text]
            made[one.id] = frozenset(found)
        beside: list[str] = []
        _held(extras, beside, raw=True)
        return cls(made, frozenset(beside))


def held(row: bytes) -> tuple[Counter[str], tuple[str, ...]]:
    """Return every text an item's row holds, as often as it holds it, and the ids of its collections."""
    item = _ROW.decode(row)
    found: list[str] = []
    for name, value in item.items():
        if name not in _OURS and name not in _STRUCTURE:
            _held(value, found, raw=name in _RAW)
    return Counter(found), tuple(item.get("collections", ()))


def _held(node: Any, found: list[str], *, raw: bool = False) -> None:
    kind = type(node)
    if kind is str:
        if node:
            found.append(node)
    elif kind is dict:
        if not raw and "source" in node and node.get("type") == "totp":
            # the code's own text; the other members are read out of it
            node = {name: node[name] for name in ("source", "label", "extra") if name in node}
        for name, value in node.items():
            if raw or name not in _STRUCTURE:
                if type(value) is str:
                    if value:
                        found.append(value)
                else:
                    _held(value, found, raw=raw or name in _RAW)
    elif kind is list or kind is tuple:
        for value in node:
            _held(value, found, raw=raw)
    elif node is not None and node is not True and node is not False:
        found.append(text_of(node))


def wanted(node: Any, shape: Any, plain: list[str], changed: list[tuple[str, ...]], parent: Any = None) -> None:
    """Collect what a record's values must be found as: texts as they are, and what rules make of the others."""
    kind = type(node)
    if kind is dict:
        shaped = type(shape) is dict
        every = shape.get("*") if shaped else None
        for key, value in node.items():
            below = shape.get(key, every) if shaped else None
            if below is None and type(value) is str:
                if value:
                    plain.append(value)
            elif value is not None:
                wanted(value, below, plain, changed, node)
    elif kind is list:
        below = shape.get("*") if type(shape) is dict else None
        for value in node:
            wanted(value, below, plain, changed, node)
    elif is_leaf(node) and not (type(shape) is Codes and node in shape.values):
        text = text_of(node)
        if type(shape) is Changed:
            expected = RULES[shape.rule](node, parent)
            if expected is not None and expected != (text,):
                changed.append(expected)
                return
        plain.append(text)


def prove(
    records: Iterable[tuple[str, Any]],
    shape: Any,
    ties: Callable[[Sequence[str]], Mapping[str, Tie]],
    places: Places,
    attachments: Callable[[Any], list[str]] = lambda _: [],
) -> Proof:
    """Compare every record with the item it is tied to.

    ``records`` are (place, data) straight from the bytes; ``attachments`` gives the hashes of the files a record names.
    """
    proof = Proof()
    for batch in _batches(records):
        tied = ties([place for place, _ in batch])
        for place, data in batch:
            plain: list[str] = []
            changed: list[tuple[str, ...]] = []
            wanted(data, shape, plain, changed)
            plain += attachments(data)
            proof.values += len(plain) + len(changed)
            found = _judge(place, tied.get(place), data, shape, plain, changed, places)
            proof.found += max(0, len(plain) + len(changed) - len(found))
            proof.findings += found
    return proof


def _batches(records: Iterable[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    stream = iter(records)
    while batch := list(islice(stream, _BATCH)):
        yield batch


def _judge(
    place: str,
    tie: Tie | None,
    data: Any,
    shape: Any,
    plain: list[str],
    changed: list[tuple[str, ...]],
    places: Places,
) -> list[Finding]:
    if tie is not None and tie.row is not None:
        return _compare(place, tie, data, shape, plain, changed, places)
    if tie is None:
        texts = places.everywhere | places.beside  # of a record that is no item, as a folder marker
        if all(leaf.text in texts or _is_in(texts, leaf.expected) for leaf in leaves(data, shape)):
            return []
    return [Finding(place, tie.item if tie else "", "the whole record")]


def _is_in(texts: frozenset[str], expected: tuple[str, ...]) -> bool:
    return bool(expected) and all(text in texts for text in expected)


def _compare(
    place: str,
    tie: Tie,
    data: Any,
    shape: Any,
    plain: list[str],
    changed: list[tuple[str, ...]],
    places: Places,
) -> list[Finding]:
    row = tie.arrived if tie.arrived is not None else tie.row
    if row is None:
        return []
    has, folders = held(row)
    spare = dict(has)
    lost = []
    where = [places.texts.get(folder, frozenset()) for folder in folders]
    for text in plain:
        if spare.get(text):
            spare[text] -= 1
        elif not any(text in texts for texts in where):
            lost.append(text)
    broken = [e for e in changed if not all(t in has or any(t in texts for texts in where) for t in e)]
    findings = []
    if lost or broken:
        findings = [Finding(place, tie.item, path) for path in _paths(data, shape, set(lost), set(broken))]
    twice = {text for text in plain if spare.get(text)}
    if twice:
        twice -= {text for expected in changed for text in expected}
        findings += [Finding(place, tie.item, path, "doubled") for path in _paths(data, shape, twice, set())]
    if not findings and tie.arrived is not None and tie.row is not None:
        findings = _since(place, tie, data, shape, has, folders)
    return findings


def _since(
    place: str, tie: Tie, data: Any, shape: Any, arrived: Counter[str], folders: tuple[str, ...]
) -> list[Finding]:
    """Name what was edited after the arrival; the old values are still in the item's past versions."""
    now = _ROW.decode(tie.row or b"{}")
    if now.get("trashed") and not _ROW.decode(tie.arrived or b"{}").get("trashed"):
        return [Finding(place, tie.item, "the whole record", "trashed")]
    old_history = _ROW.decode(tie.arrived or b"{}").get("history", [])
    now["history"] = [entry for entry in now.get("history", []) if entry in old_history]
    has, now_folders = held(_ENCODER.encode(now))
    gone = set(arrived - has)
    paths = list(_paths(data, shape, gone, set()))
    if set(folders) - set(now_folders):
        paths.append("its folder")
    if gone and not paths:
        paths = ["a value changed on arrival"]
    return [Finding(place, tie.item, path, "edited") for path in paths]


def _paths(data: Any, shape: Any, texts: set[str], expected: set[tuple[str, ...]]) -> Iterator[str]:
    """Yield where in the record the texts stand; each text once."""
    if not texts and not expected:
        return
    for leaf in leaves(data, shape):
        if leaf.rule is None and leaf.text in texts:
            texts.discard(leaf.text)
            yield leaf.path
        elif leaf.rule is not None and leaf.expected in expected:
            yield leaf.path
    yield from ("an attachment" for _ in texts)


def prove_frame(frame: Any, shape: Any, places: Places, extras: Any, rows: Iterable[str] = ()) -> Proof:
    """Look for every value outside the records: in any folder, or in what the format said beside its items."""
    texts: list[str] = list(rows)
    _held(extras, texts, raw=True)
    has = places.everywhere | frozenset(texts)
    proof = Proof()
    for leaf in leaves(frame, shape):
        proof.values += 1
        if all(text in has for text in leaf.expected or (leaf.text,)):
            proof.found += 1
        else:
            proof.findings.append(Finding("", "", leaf.path))
    return proof


def named_members(template: str) -> Callable[[Any], Iterator[str]]:
    """Return a function that finds the container members a record names: objects with all keys of the template."""
    keys = re.findall(r"\{(\w+)\}", template)

    def find(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if keys and all(isinstance(node.get(key), str) and node[key] for key in keys):
                yield template.format(**{key: node[key] for key in keys})
            for value in node.values():
                yield from find(value)
        elif isinstance(node, list):
            for value in node:
                yield from find(value)

    return find


def hash_of(data: bytes) -> str:
    """Return a document's name: base64url SHA-256 without padding."""
    return urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
