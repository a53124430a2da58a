"""Folders that list their records, for formats whose records do not say where they stand. Knows no product."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec


class Listing(msgspec.Struct, frozen=True):
    """Where the frame says which records are in which folder: names of keys."""

    folders: str  # of an object that also has the list of records: its outermost folders
    nested: str  # of a folder: the folders below it
    title: str  # of a folder
    members: str  # of a folder: links to records
    link: str  # of a link: the record's id
    elsewhere: str  # of a link: there if the record stands beside other folders
    record: str  # of a record: its id


Path = tuple[str, ...]
Inside = Callable[[str, Any], Sequence[Path]]  # (place, record) -> folders, as titles from the top


def listed(frame: Any, listing: Listing) -> Inside:
    """Return a function giving the folders whose lists in the frame have a record; one without title is left out."""
    found: dict[tuple[str, str], list[Path]] = {}
    for where, folder in _outermost(frame, listing, ""):
        for path, own_id in _members(folder, listing):
            found.setdefault((where, own_id), []).append(path)

    def inside(place: str, data: Any) -> Sequence[Path]:
        own_id = data.get(listing.record)
        where = "/".join(place.split("/")[:-2])
        return found.get((where, own_id), ()) if isinstance(own_id, str) else ()

    return inside


def _members(folder: Any, listing: Listing) -> Iterator[tuple[Path, str]]:
    """Yield the path of titles and the id of each record that a folder or one below it lists."""
    waiting: list[tuple[Any, Path]] = [(folder, ())]
    while waiting:
        one, above = waiting.pop()
        if not isinstance(one, dict):
            continue
        title = one.get(listing.title)
        path = (*above, title) if isinstance(title, str) and title else above
        for link in _list(one.get(listing.members)):
            own_id = link.get(listing.link) if isinstance(link, dict) else None
            if isinstance(own_id, str) and not link.get(listing.elsewhere):
                yield path, own_id
        waiting += [(below, path) for below in _list(one.get(listing.nested))]


def _outermost(node: Any, listing: Listing, place: str) -> Iterator[tuple[str, Any]]:
    """Yield each outermost folder with the place of the object that has both folders and records."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == listing.folders:
                yield from ((place, folder) for folder in _list(value))
            else:
                yield from _outermost(value, listing, f"{place}/{key}" if place else key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _outermost(value, listing, f"{place}/{index}" if place else str(index))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
