"""A source's folders laid into the vault's: matched by the source's own id, then by path, else made."""

from __future__ import annotations

import msgspec

from migrate.places import spelled
from migrate.source import Source
from vault.model import Collection, Item
from vault.store import Store

_BESIDE = ("subtitle", "icon", "color", "creation_at", "modified_at")  # what a source may say of a folder


class Folding(msgspec.Struct):
    """The folders of one run."""

    store: Store
    source: Source
    into: tuple[str, ...] = ()
    made: dict[str, str] = msgspec.field(default_factory=dict)  # incoming id -> the vault's
    taken: set[str] = msgspec.field(default_factory=set)  # the vault's ids that incoming folders have already
    incoming: dict[str, Collection] = msgspec.field(default_factory=dict)
    ours: dict[str, Collection] = msgspec.field(default_factory=dict)
    by_alias: dict[tuple[str, str], str] = msgspec.field(default_factory=dict)
    by_place: dict[tuple[str | None, str], list[str]] = msgspec.field(default_factory=dict)
    root: str | None = None

    def __post_init__(self) -> None:
        for one in self.store.collections():
            self._note(one)
        for title in self.into:
            self.root = self._at(Collection(id=self.source.identify("into", title), title=title, parent=self.root))

    def _note(self, one: Collection) -> None:
        old = self.ours.get(one.id)
        if old is not None and (old.parent, old.title) != (one.parent, one.title):
            self.by_place[old.parent, old.title].remove(one.id)
        self.ours[one.id] = one
        if one.aliases:
            self.by_alias.setdefault((one.format or "", one.aliases[0]), one.id)
        place = self.by_place.setdefault((one.parent, one.title), [])
        if one.id not in place:
            place.append(one.id)

    def folders_of(self, item: Item) -> tuple[str, ...]:
        """Return the vault's ids of an item's folders, made where they were not there."""
        if not item.collections:
            return (self.root,) if self.root else ()
        if len(item.collections) == 1:
            return (self._resolve(item.collections[0]),)
        return tuple(dict.fromkeys(self._resolve(one) for one in item.collections))

    def _resolve(self, own_id: str) -> str:
        known = self.made.get(own_id)
        if known is None:
            if own_id not in self.incoming:
                self.incoming = {c.id: c for c in self.source.folders.all()}
            known = self.made[own_id] = self._laid(self.incoming[own_id])
        return known

    def _laid(self, one: Collection) -> str:
        """Return the id of the vault's collection for this one: where the source's id leads, else by its path."""
        known = self.by_alias.get((one.format or "", one.aliases[0])) if one.aliases else None
        if known is not None and self._stands(known, one):
            self._join(known, one)
            return known
        moved = msgspec.structs.replace(one, parent=self._resolve(one.parent) if one.parent else self.root)
        if known is None:
            return self._at(moved)
        self._join(known, moved, is_moved=True)
        return known

    def _stands(self, known: str, one: Collection) -> bool:
        """Whether the vault's folder is where the source has it, below whatever it was once put."""
        ours, path = self._path(self.ours, known), self._path(self.incoming, one.id)
        named = max((spelled(alias, ours) for alias in self.ours[known].aliases), default=0) or len(path)
        return ours[len(ours) - named :] == path

    def _path(self, collections: dict[str, Collection], own_id: str) -> tuple[str, ...]:
        titles: list[str] = []
        at, seen = collections.get(own_id), set[str]()
        while at is not None and at.id not in seen:
            seen.add(at.id)
            titles.append(at.title)
            at = collections.get(at.parent or "")
        return tuple(reversed(titles))

    def _at(self, one: Collection) -> str:
        """Return the id of the vault's collection at the place of this one; it is put in if there is none."""
        taken = set(self.made.values())
        at_place = self.by_place.get((one.parent, one.title), [])
        known = next((c for c in at_place if c not in taken and self._can_hold(self.ours[c], one)), None)
        if known is None:
            if one.id in self.ours:  # a file of our own whose folder was renamed here since
                one = msgspec.structs.replace(one, id=self.source.identify("again", one.id))
            self.store.put_collection(one)
            self._note(one)
            return one.id
        self._join(known, one)
        return known

    def _can_hold(self, ours: Collection, one: Collection) -> bool:
        """Whether a folder of the same path can take over what the source says about its own."""
        said = ((getattr(ours, name), getattr(one, name)) for name in _BESIDE)
        if any(a != b and a is not None and b is not None for a, b in said):
            return False
        return not one.extra or not ours.extra or (ours.extra == one.extra and ours.format == one.format)

    def _join(self, known: str, one: Collection, *, is_moved: bool = False) -> None:
        """Add what the source says about a folder the vault has already: its names, its raw keys, a new place."""
        ours = self.ours[known]
        aliases = tuple(dict.fromkeys((*ours.aliases, *one.aliases)))
        takes_extra = bool(one.extra) and (not ours.extra or ours.format == one.format)
        joined = msgspec.structs.replace(
            ours,
            aliases=aliases,
            extra=one.extra if takes_extra else ours.extra,
            format=one.format if takes_extra else ours.format or one.format,
            title=one.title if is_moved else ours.title,
            parent=one.parent if is_moved else ours.parent,
            **{n: getattr(one, n) if getattr(one, n) is not None else getattr(ours, n) for n in _BESIDE},
        )
        if joined != ours:
            self._note(joined)
            self.store.put_collection(joined)

    def finish(self) -> None:
        """Put in what no item was in, and the names that became known late."""
        self.incoming = {c.id: c for c in self.source.folders.all()}
        parents = {one.parent for one in self.incoming.values()}
        for one in self.incoming.values():
            if one.id in self.made:
                self._join(self.made[one.id], one)
            elif one.aliases or one.id not in parents:  # others are only implied by what is in them
                self._resolve(one.id)
