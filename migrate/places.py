"""What the vault says about folders, as the proof needs it: which texts of a source each of them stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from migrate.holding import collect
from vault.model import Collection, paths_of

_BETWEEN = " /\\>:|,.\t"  # what products put between the names of a path


def spells(text: str, path: tuple[str, ...]) -> bool:
    """Whether the text names the path, or the end of it, with separators of any kind."""
    return spelled(text, path) > 0


def spelled(text: str, path: tuple[str, ...]) -> int:
    """Return how many titles at the end of the path the text consists of, with separators of any kind; 0 for none."""
    for n, title in enumerate(reversed(path), 1):
        if not text.endswith(title):
            text = text.rstrip(_BETWEEN)
            if not text.endswith(title):
                return 0
        text = text[: len(text) - len(title)]
        if not text.strip(_BETWEEN):
            return n
    return 0


@dataclass(slots=True)
class Places:
    """What the vault says about folders, all texts of each by id, and what a format said beside its items.

    What a source calls a folder (its ``aliases``) counts only while the folder's titles say so, be it by one of these
    names or by the words that stand beside its id in the source. Else two folders could swap titles unnoticed.
    """

    texts: dict[str, frozenset[str]] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()
    paths: dict[str, tuple[str, ...]] = field(default_factory=dict)
    by_alias: dict[str, list[str]] = field(default_factory=dict)
    spoken_of: set[str] = field(default_factory=set)  # collections some source knows
    everywhere: frozenset[str] = frozenset()  # the texts of all folders

    @classmethod
    def of(cls, collections: tuple[Collection, ...], extras: Any = None, frame: Any = None) -> Places:
        """Collect titles, full paths and times, and the names a source has for them; ``frame`` is its own list."""
        made = cls(paths=paths_of(collections), beside=frozenset(_all(extras)))
        said: dict[str, list[str]] = {}
        for texts in _objects(frame):
            for text in texts:
                said.setdefault(text, []).extend(texts)
        for one in collections:
            made._add(one, said)
        made.everywhere = frozenset().union(*made.texts.values())
        return made

    def _add(self, one: Collection, said: dict[str, list[str]]) -> None:
        path = self.paths[one.id]
        found = [one.title, *path, "/".join(path), *_all(msgspec.to_builtins(one.extra))]
        found += [text for text in (one.subtitle, one.icon, one.color, one.creation_at, one.modified_at) if text]
        names = (name for alias in one.aliases for name in (alias, *said.get(alias, ())))
        if not one.title or any(spells(name, path) for name in names):
            found += one.aliases
        self.texts[one.id] = frozenset(found)
        for alias in one.aliases:
            self.by_alias.setdefault(alias, []).append(one.id)
            self.spoken_of.add(one.id)

    def around(self, frame: Any) -> Callable[[str], tuple[str, ...]]:
        """Return a function giving the id of the innermost object around a record's place that is a folder."""
        known: dict[str, tuple[str, ...]] = {}

        def find(place: str) -> tuple[str, ...]:
            above = place.rpartition("/")[0]
            if above not in known:
                known[above] = self._around(frame, above.split("/"))
            return known[above]

        return find

    def _around(self, frame: Any, steps: list[str]) -> tuple[str, ...]:
        found: tuple[str, ...] = ()
        node = frame
        for step in steps:
            node = _below(node, step)
            if isinstance(node, dict):
                nested = (below for below in node.values() if isinstance(below, dict))
                ids = [text for one in (node, *nested) for text in _direct(one) if self.is_id(text)]
                found = tuple(ids[:1]) or found
        return found

    def is_id(self, text: str) -> bool:
        """Whether a source knows a folder by this text, and it is no name."""
        return text in self.by_alias and not any(spells(text, self.paths[one]) for one in self.by_alias[text])


def _all(node: Any) -> list[str]:
    found: list[str] = []
    collect(node, found, raw=True)
    return found


def _below(node: Any, step: str) -> Any:
    if isinstance(node, dict):
        return node.get(step)
    if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
        return node[int(step)]
    return None


def _direct(node: dict[str, Any]) -> list[str]:
    return [value for value in node.values() if isinstance(value, str) and value]


def _objects(node: Any) -> Iterator[list[str]]:
    """Yield the texts that stand side by side in each object."""
    if isinstance(node, dict):
        yield _direct(node)
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)
