"""What the vault says about folders, as the proof needs it: which texts of a source each of them stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import msgspec

from migrate.holding import collect
from vault.model import Collection, paths_of

_NOTHING: frozenset[str] = frozenset()
_BETWEEN = " /\\>:|,.\t"  # what products put between the names of a path


def spells(text: str, path: tuple[str, ...]) -> bool:
    """Whether the text names the path, or the end of it, with separators of any kind."""
    return spelled(text, path) > 0


def spelled(text: str, path: tuple[str, ...]) -> int:
    """Return how many titles at the end of the path the text consists of, with separators of any kind; 0 for none."""
    for n, title in enumerate(reversed(path), 1):
        while not text.endswith(title):
            if not text or text[-1] not in _BETWEEN:
                return 0
            text = text[:-1]
        text = text[: len(text) - len(title)]
        if not text.strip(_BETWEEN):
            return n
    return 0


class Places(msgspec.Struct):
    """What the vault says about folders, all texts of each by id, and what a format said beside its items.

    What a source calls a folder (its ``aliases``) counts only while the folder's titles say so, be it by one of these
    names or by the words that stand beside its id in the source. Else two folders could swap titles unnoticed.
    """

    texts: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    names: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)  # by which a record may say it is in it
    root: tuple[str, ...] = ()  # the folder below which a person put the whole source
    beside: frozenset[str] = frozenset()
    paths: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    by_alias: dict[str, list[str]] = msgspec.field(default_factory=dict)
    spoken_of: set[str] = msgspec.field(default_factory=set)  # collections some source knows
    everywhere: frozenset[str] = frozenset()  # the texts of all folders
    former: frozenset[str] = frozenset()  # what the format said beside its items before a later run said else

    @classmethod
    def of(
        cls, collections: tuple[Collection, ...], extras: Any = None, frame: Any = None, root: Sequence[str] = ()
    ) -> Places:
        """Collect titles, full paths and times, and the names a source has for them; ``frame`` is its own list."""
        made = cls(paths=paths_of(collections), beside=frozenset(_all(extras)), root=tuple(root))
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
        found = [one.title, *path, "/".join(path), *_all(one.extra)]
        found += [text for text in (one.subtitle, one.icon, one.color, one.creation_at, one.modified_at) if text]
        words = (word for alias in one.aliases for word in (alias, *said.get(alias, ())))
        is_called_so = not one.title or any(spells(word, path) for word in words)
        self.names[one.id] = frozenset(one.aliases if one.aliases else (one.title, "/".join(path)))
        if one.aliases and not is_called_so:
            self.names[one.id] = frozenset()
        self.texts[one.id] = self.names[one.id] | frozenset(found)
        for alias in one.aliases:
            self.by_alias.setdefault(alias, []).append(one.id)
            self.spoken_of.add(one.id)

    def remember(self, extras: Any) -> None:
        """Note what was said beside the items before later runs replaced it."""
        self.former = frozenset(_all(extras))

    def lacking(self, short: Mapping[str, int], folders: Sequence[str]) -> set[str]:
        """Return the texts that the folders do not make up for; each does for one mention of its name."""
        where = [self.names.get(folder, _NOTHING) for folder in folders]
        lost = set()
        for text, n in short.items():
            known = 0
            for names in where:
                known += text in names
            if not known or (known < n and not self.is_id(text)):
                lost.add(text)
        return lost

    def strays(self, folders: Sequence[str], texts: Set[str], more: Sequence[tuple[str, ...]]) -> bool:
        """Whether an item is in a folder of a source that its record, which says these texts, does not name."""
        for folder in folders:
            if folder not in self.spoken_of or self.paths.get(folder) == self.root:
                continue
            names = self.names.get(folder, _NOTHING)
            if names.isdisjoint(texts) and all(names.isdisjoint(one) for one in more):
                return True
        return False

    def misplaced(self, folders: Sequence[str], listed: Sequence[tuple[str, ...]]) -> bool:
        """Whether an item is not in each folder that lists its record, or in another one of a source."""
        paths = {folder: tuple(filter(None, self.paths.get(folder, ()))) for folder in folders}
        if any(not any(_ends(path, one) for path in paths.values()) for one in listed):
            return True
        known = [path for folder, path in paths.items() if folder in self.spoken_of and path != self.root]
        return any(not any(_ends(path, one) for one in listed) for path in known)

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


def _ends(path: tuple[str, ...], end: tuple[str, ...]) -> bool:
    return path[len(path) - len(end) :] == end if len(end) <= len(path) else False


def _all(node: Any) -> list[str]:
    found: list[str] = []
    collect(node, found)
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
