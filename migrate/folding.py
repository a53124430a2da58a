"""A source's folders laid into the vault's: matched by the source's own id, then by path, else made."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from migrate.source import Source
from vault.model import Collection, Item
from vault.store import Store


@dataclass(slots=True)
class Folding:
    """The folders of one run."""

    store: Store
    source: Source
    into: tuple[str, ...] = ()
    made: dict[str, str] = field(default_factory=dict)  # incoming id -> the vault's
    taken: set[str] = field(default_factory=set)  # the vault's ids that incoming folders have already
    incoming: dict[str, Collection] = field(default_factory=dict)
    ours: dict[str, Collection] = field(default_factory=dict)
    by_alias: dict[tuple[str, str], str] = field(default_factory=dict)
    by_place: dict[tuple[str | None, str], list[str]] = field(default_factory=dict)
    root: str | None = None

    def __post_init__(self) -> None:
        for one in self.store.collections():
            self._note(one)
        for title in self.into:
            self.root = self._at(Collection(id=self.source.identify("into", title), title=title, parent=self.root))

    def _note(self, one: Collection) -> None:
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
        return tuple(dict.fromkeys(self._resolve(one) for one in item.collections))

    def _resolve(self, own_id: str) -> str:
        known = self.made.get(own_id)
        if known is not None:
            return known
        if own_id not in self.incoming:
            self.incoming = {c.id: c for c in self.source.folders.all()}
        one = self.incoming[own_id]
        parent = self._resolve(one.parent) if one.parent else self.root
        self.made[own_id] = self._at(msgspec.structs.replace(one, parent=parent))
        self.taken.add(self.made[own_id])
        return self.made[own_id]

    def _at(self, one: Collection) -> str:
        """Return the id of the vault's collection for this one; it is put in if there is none."""
        known = self.by_alias.get((one.format or "", one.aliases[0])) if one.aliases else None
        if known is None or known in self.taken:  # two folders of a source may have one id
            at_place = self.by_place.get((one.parent, one.title), [])
            known = next((c for c in at_place if c not in self.taken and self._can_hold(self.ours[c], one)), None)
        if known is None:
            self.store.put_collection(one)
            self._note(one)
            return one.id
        self._join(known, one)
        return known

    def _can_hold(self, ours: Collection, one: Collection) -> bool:
        """Whether a folder of the same path can take over what the source says about its own."""
        return not one.extra or not ours.extra or (ours.extra == one.extra and ours.format == one.format)

    def _join(self, known: str, one: Collection) -> None:
        """Add what the source says about a folder the vault has already: its names, and its raw keys."""
        ours = self.ours[known]
        aliases = tuple(dict.fromkeys((*ours.aliases, *one.aliases)))
        takes_extra = bool(one.extra) and not ours.extra
        joined = msgspec.structs.replace(
            ours,
            aliases=aliases,
            extra=one.extra if takes_extra else ours.extra,
            format=one.format if takes_extra else ours.format or one.format,
        )
        if joined != ours:
            self._note(joined)
            self.store.put_collection(joined)

    def finish(self) -> None:
        """Put in what no item was in, and the names that became known late."""
        self.incoming = {c.id: c for c in self.source.folders.all()}
        for one in self.incoming.values():
            if one.id in self.made:
                self._join(self.made[one.id], one)
            else:
                self._resolve(one.id)
