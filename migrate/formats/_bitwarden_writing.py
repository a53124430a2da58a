"""What the parts of a Bitwarden item's writer share: the item, its parts as they are taken, and what fits nowhere."""

from __future__ import annotations

from typing import Any

from migrate.formats._bitwarden import SECTIONS
from migrate.giving import Offer, Outgoing, as_fields
from migrate.taking import Members
from vault.model import CustomFields, Field, Item, Totp

# Members of an item that say nothing by themselves, or are written beside the offer.
_SILENT = frozenset(
    {
        *("id", "provenance", "conflict", "credentials", "collections", "template"),
        *("title", "favorite", "reprompt", "history", "trashed", "archived", "modified_at", "creation_at"),
    }
)
OF_CODE = tuple(name for name in Totp.__struct_fields__ if name not in ("label", "extra"))  # what its text says


class Writing:
    """One item; each of its parts is written once: in its place, in the object of its type, or as a custom field."""

    def __init__(self, out: Outgoing, item: Item) -> None:
        self.out, self.item, self.own = out, item, out.own(item)
        self.offer = Offer(item, _SILENT)
        if item.trashed:
            self.offer.skip("trashed_at")
        if item.archived:
            self.offer.skip("archived_at")
        self.left: list[Any] = list(item.credentials)
        self.spare: list[Field] = []  # what has no place of its own

    def pop(self, kind: type[Any]) -> Any:
        """Take the first credential of the kind out of what is left; None if there is none."""
        for at, credential in enumerate(self.left):
            if type(credential) is kind:
                return self.left.pop(at)
        return None

    def members(self, kind: type[Any], members: Members) -> dict[str, Any]:
        """Take the first credential of the kind and return its members under Bitwarden's keys."""
        credential = self.pop(kind)
        if credential is None:
            return {key: None for key, _ in members.values()}
        offer = Offer(credential)
        made = {key: offer.text(ours) or None for ours, (key, _) in members.items()}
        self.move(offer)
        return made

    def section(self, own_id: str) -> dict[str, Any]:
        """Take the section of custom fields that stands for members CXF has no place for."""
        made: dict[str, Any] = dict.fromkeys(SECTIONS[own_id])
        for at, credential in enumerate(self.left):
            if isinstance(credential, CustomFields) and credential.id == own_id:
                del self.left[at]
                for field in credential.fields:
                    if field.label in made and made[field.label] is None:
                        made[field.label] = field.text
                    else:
                        self.spare.append(field)
                break
        return made

    def move(self, offer: Offer, title: str | None = None) -> None:
        """Make custom fields of what is left of a part; what has no text is lost."""
        if not self.own:
            offer.left.discard("extra")  # becomes fields of its own, wherever it stood
        if offer.left:
            title = title_of(offer.part) if title is None else title
            self.spare += as_fields(offer, title)
            self.out.settle(self.item, title, offer)


def title_of(credential: Any) -> str:
    """Return what a credential is called where it becomes custom fields."""
    return str(type(credential).__struct_config__.tag).replace("-", " ")


def give_back(made: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """Put ``extra`` back where it came from: objects and lists are joined, all else stands as the source had it."""
    for key, value in extra.items():
        mine = made.get(key)
        if isinstance(mine, dict) and isinstance(value, dict):
            give_back(mine, value)
        elif isinstance(mine, list) and isinstance(value, list):
            made[key] = mine + value
        elif not (key == "folders" and mine):
            made[key] = value
    return made
