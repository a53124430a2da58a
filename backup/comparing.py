"""Which items differ between two states of a vault."""

from __future__ import annotations

from pathlib import Path

import msgspec

from backup import care, reading
from backup.reading import Opener
from vault import canonical
from vault.model import Item, Vault
from vault.store import Store
from vault.views import display_title


class Difference(msgspec.Struct, frozen=True):
    """One item that is not the same in both; ``what`` names the members that differ, never their values."""

    id: str
    title: str
    kind: str  # new, changed, gone
    what: str


def of_set(path: Path, opener: Opener) -> Vault:
    """Return the vault in a set that was read whole; raises as ``reading.check``."""
    contents = care.Contents()
    reading.check(path, opener, contents)
    return contents.vault()


def of_vault(store: Store) -> Vault:
    """Return the vault as it is."""
    return store.vault()


def differences(before: Vault, after: Vault) -> tuple[Difference, ...]:
    """Return the items that were added, changed or are gone, in the order of the later state, gone ones last."""
    old = {item.id: item for item in before.items}
    found = []
    for item in after.items:
        earlier = old.pop(item.id, None)
        if earlier is None:
            found.append(Difference(item.id, display_title(item), "new", "new"))
        elif earlier != item and (what := _changed(earlier, item)):
            found.append(Difference(item.id, display_title(item), "changed", what))
    return (*found, *(Difference(item.id, display_title(item), "gone", "gone") for item in old.values()))


def _changed(before: Item, after: Item) -> str:
    names = (name for name in before.__struct_fields__ if _bytes(before, name) != _bytes(after, name))
    return ", ".join(name.replace("_", " ") for name in names)


def _bytes(item: Item, name: str) -> bytes:
    return canonical.encode(getattr(item, name))
