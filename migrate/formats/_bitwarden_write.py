"""The writer of Bitwarden's JSON: folders, and items by the page (dossier: Bitwarden 1.2, 1.7)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import msgspec

from migrate.formats._bitwarden_ids import as_uuid
from migrate.formats._bitwarden_item import record_of
from migrate.formats._bitwarden_writing import Writing, give_back
from migrate.giving import Outgoing
from vault.canonical import encode
from vault.model import Item


def render(out: Outgoing, file: BinaryIO) -> None:
    """Write folders and items; a vault that came from an organisation is written as one."""
    items = tuple(out.items)
    kinds = {c.kind for c in out.collections if c.format == out.format and c.aliases}
    of_organization = "collection" in kinds and "folder" not in kinds
    folders, ids = _folders(out, {one for item in items for one in item.collections}, of_organization)
    top: dict[str, Any] = {"encrypted": False, "collections" if of_organization else "folders": folders}
    give_back(top, out.extras.get(out.format, {}))
    file.write(msgspec.json.format(encode(top), indent=2)[:-2] + b',\n  "items": [')
    end = b"\n"
    for page in _pages(items):
        made = [encode(record_of(Writing(out, item), ids, of_organization)) for item in page]
        file.write(end + b"    " + _indented(made))
        end = b",\n"
    file.write(b"\n  ]\n}\n" if items else b"]\n}\n")


_PAGE = 100  # items that are indented together


def _pages(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    return (items[at : at + _PAGE] for at in range(0, len(items), _PAGE))


def _indented(made: list[bytes]) -> bytes:
    """Return objects as they stand in a list that is the member of an object."""
    whole = msgspec.json.format(b"[[%b]]" % b",".join(made), indent=2)
    return whole[len(b"[\n  [\n    ") : -len(b"\n  ]\n]")]


def _folders(out: Outgoing, used: set[str], of_organization: bool) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the folder list and the ids items refer to; an ancestor that was only implied stays so while empty."""
    paths = out.paths()
    parents = {c.parent for c in out.collections}
    listed, ids = [], {}
    for c in out.collections:
        if not c.aliases and c.id in parents and c.id not in used:
            continue
        own = c.format == out.format and bool(c.aliases)
        ids[c.id] = c.aliases[0] if own and len(c.aliases) > 1 else as_uuid(c.id)
        came_without = own and len(c.aliases) == 1 and c.id not in used
        made: dict[str, Any] = {"id": None if came_without else ids[c.id], "name": "/".join(paths[c.id])}
        if of_organization and not own:
            made |= {"organizationId": None, "externalId": None}
        listed.append(give_back(made, c.extra) if own else made)
    return listed, ids
