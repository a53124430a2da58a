"""What the parts of a 1Password item's writer share: the item, its parts as they are taken, and what fits nowhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migrate.formats import _onepassword as op
from migrate.formats import _onepassword_rules as rules
from migrate.giving import Offer, Outgoing, as_fields
from vault import model
from vault.model import Field, Item

# Keys where an unknown word of the source stands instead of ours.
_STRUCTURE = frozenset(
    {"fieldType", "designation", "state", "categoryUuid", "type", "mode", "decryptedSize", "inputTraits", *op.TRAITS}
)

Attach = Callable[[Item, model.File, bool, str], str]  # see to a file's bytes, in this member; return its document id


@dataclass(slots=True)
class Writing:
    """One item on its way out."""

    out: Outgoing
    item: Item
    uuid_of: Callable[[str], str]  # of the item with this id of ours
    attach: Attach
    own: bool
    code: str = ""  # of the category, "" for one we do not know
    parts: list[tuple[Any, Offer]] = field(default_factory=list)  # credentials
    more: list[Field] = field(default_factory=list)  # what has no place of its own
    made_ids: int = 0

    def __post_init__(self) -> None:
        self.parts = [(one, Offer(one)) for one in self.item.credentials]
        for _, offer in self.parts:
            offer.skip("extra")

    def first(self, kind: type[Any]) -> tuple[Any, Offer] | None:
        """Return the first credential of a class with its offer."""
        return next(((one, offer) for one, offer in self.parts if isinstance(one, kind)), None)

    def details(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Return the structure kept in an ``extra`` of this format."""
        return op.kept(extra) if self.own else {}

    def unknown(self, extra: dict[str, Any]) -> dict[str, Any]:
        """Return what of an ``extra`` of this format nobody understood."""
        return op.raw(extra) if self.own else {}

    def made_id(self, kind: str = "") -> str:
        """Return an id that no other field of the item has."""
        self.made_ids += 1
        return rules.made_id(kind, self.made_ids)

    def leave(self, offer: Offer, title: str = "") -> None:
        """Turn what nobody took into fields; what cannot be one is lost."""
        for name in [name for name in offer.left if getattr(offer.part, name) is False]:
            offer.skip(name)
            self.more.append(Field(value="false", field_type="boolean", label=f"{title} {name.replace('_', ' ')}"))
        self.more.extend(as_fields(offer, title))
        self.out.settle(self.item, title, offer)

    def merge(self, made: dict[str, Any], unknown: dict[str, Any]) -> None:
        """Put what no reader understood back in its place; what was set since stands, and the old is declared lost."""
        for key, value in unknown.items():
            mine = made.get(key)
            if isinstance(mine, dict) and isinstance(value, dict):
                self.merge(mine, value)
            elif isinstance(mine, list) and mine and isinstance(value, list):
                made[key] = [*mine, *value]
            elif _says(mine) and mine != value and key not in _STRUCTURE:
                self.out.lose(self.item, "a value that was not understood, and was replaced")
            else:
                made[key] = value


def _says(node: Any) -> bool:
    """Whether there is any text or number in it."""
    if isinstance(node, dict):
        return any(map(_says, node.values()))
    if isinstance(node, list):
        return any(map(_says, node))
    return bool(node) and node is not True
