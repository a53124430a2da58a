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
    elsewhere: str  # of a link: the id of the object the record is in, where the folder is in another
    record: str  # of a record, and of the object around it: its id


Path = tuple[str, ...]
Inside = Callable[[str, Any], Sequence[Path]]  # (place, record) -> folders, as titles from the top


def listed(frame: Any, listing: Listing) -> Inside:
    """Return a function giving the folders whose lists in the frame have a record; one without title is left out."""
    found: dict[tuple[str, str], list[Path]] = {}
    around = list(_around(frame, listing, ""))
    places = {one[listing.record]: where for where, one in around if isinstance(one.get(listing.record), str)}
    for where, one in around:
        for path, link in (pair for folder in _list(one[listing.folders]) for pair in _members(folder, listing)):
            elsewhere = link.get(listing.elsewhere)
            there = where if elsewhere is None else places.get(str(elsewhere), "nowhere")
            found.setdefault((there, link[listing.link]), []).append(path)

    def inside(place: str, data: Any) -> Sequence[Path]:
        own_id = data.get(listing.record)
        where = "/".join(place.split("/")[:-2])
        return found.get((where, own_id), ()) if isinstance(own_id, str) else ()

    return inside


def _members(folder: Any, listing: Listing) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the path of titles and each link to a record that a folder or one below it has."""
    waiting: list[tuple[Any, Path]] = [(folder, ())]
    while waiting:
        one, above = waiting.pop()
        if not isinstance(one, dict):
            continue
        title = one.get(listing.title)
        path = (*above, title) if isinstance(title, str) and title else above
        for link in _list(one.get(listing.members)):
            if isinstance(link, dict) and isinstance(link.get(listing.link), str):
                yield path, link
        waiting += [(below, path) for below in _list(one.get(listing.nested))]


def _around(node: Any, listing: Listing, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object that has both folders and records, with its place."""
    if isinstance(node, dict):
        if listing.folders in node:
            yield place, node
        for key, value in node.items():
            if key != listing.folders:
                yield from _around(value, listing, f"{place}/{key}" if place else key)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _around(value, listing, f"{place}/{index}" if place else str(index))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
