"""Links from one record to another: what the source says, compared with the items they became. Knows no product.

An adapter's rules say which values are ids of other records (``rules.LINKS``), its ``Linking`` where a record has its
own. An id that two records have, or none that became an item, leads nowhere for certain and is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec


class Linking(msgspec.Struct, frozen=True):
    """How a record is called by the links of others."""

    own: tuple[tuple[str, ...], ...]  # ways of keys, one of which leads to its id
    within: bool = False  # ids are unique among the records of one list only


Name = tuple[str, str]  # where an id is known, and the id
Stray = tuple[str, str]  # record, item


class Links(msgspec.Struct):
    """The records of a source while they are compared: a link may lead to one that is still to come."""

    linking: Linking
    items: dict[Name, str] = msgspec.field(default_factory=dict)  # "" where a name leads nowhere for certain
    waiting: list[tuple[str, str, list[Name], list[str]]] = msgspec.field(default_factory=list)

    def note(self, place: str, data: Any, item: str) -> None:
        """Remember what item a record became; "" for none."""
        found = {own_id for way in self.linking.own if isinstance(own_id := _at(data, way), str) and own_id}
        for own_id in found:
            name = self._name(place, own_id)
            self.items[name] = item if len(found) == 1 and name not in self.items else ""

    def hold(self, place: str, item: str, named: Sequence[str], found: list[str]) -> None:
        """Keep what a record links to, and the ids of the items its own item links to, until all records are known."""
        self.waiting.append((place, item, [self._name(place, one) for one in named], found))

    def strays(self) -> Iterator[Stray]:
        """Yield each record whose item does not link, in this order, to the items of the records it names."""
        for place, item, named, found in self.waiting:
            expected = [target for one in named if (target := self.items.get(one))]
            if expected != [one for one in found if one in expected]:
                yield place, item

    def _name(self, place: str, own_id: str) -> Name:
        return ("/".join(place.split("/")[:-2]) if self.linking.within else ""), own_id


def _at(node: Any, way: tuple[str, ...]) -> Any:
    for key in way:
        node = node.get(key) if isinstance(node, dict) else None
    return node
