"""Folders by the names a person types: a title, or a path such as ``Work / Servers``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vault.errors import InvalidField, NoSuchItem
from vault.model import Collection, paths_of
from vault.moment import Instant

SEPARATOR = " / "

Collections = tuple[Collection, ...]


def path_texts(collections: Collections) -> dict[str, str]:
    """Return each folder's path as one text, by id."""
    return {id_: SEPARATOR.join(path) for id_, path in paths_of(collections).items()}


def find_folders(collections: Collections, text: str) -> list[str]:
    """Return the ids of the folders of that path, else of that title, else those that read alike but for case."""
    paths = paths_of(collections)
    wanted = _parts(text)
    tests: tuple[Callable[[tuple[str, ...]], bool], ...] = (
        lambda path: SEPARATOR.join(path) == text or path == wanted,
        lambda path: path[-1] == text,
        lambda path: _folded(path) == _folded(wanted) or path[-1].casefold() == text.strip().casefold(),
    )
    for test in tests:
        if found := [id_ for id_, path in paths.items() if test(path)]:
            return found
    return []


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split("/") if part.strip())


def _folded(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part.casefold() for part in path)


def named(collections: Collections, text: str) -> set[str]:
    """Return the ids of the folders of that name and of all below them; raises ``NoSuchItem``."""
    found = set(find_folders(collections, text))
    if not found:
        raise NoSuchItem(f"there is no folder {text!r}", hint="keyferry folders lists them")
    return found | below(collections, found)


def below(collections: Collections, ids: Iterable[str]) -> set[str]:
    """Return the ids of all folders under these."""
    children: dict[str | None, list[str]] = {}
    for one in collections:
        children.setdefault(one.parent, []).append(one.id)
    seen: set[str] = set()
    todo = [child for id_ in ids for child in children.get(id_, [])]
    while todo:
        id_ = todo.pop()
        if id_ not in seen:
            seen.add(id_)
            todo += children.get(id_, [])
    return seen


def place(collections: Collections, text: str, new_id: Callable[[], str], now: Instant) -> tuple[str, list[Collection]]:
    """Return the id of the folder of that name, and the folders to be made for it, the outermost first.

    Raises ``InvalidField`` for an empty name, and for one that several folders have.
    """
    found = find_folders(collections, text)
    if len(found) > 1:
        paths = path_texts(collections)
        shown = ", ".join(repr(paths[id_]) for id_ in found)
        raise InvalidField(f"{len(found)} folders are called {text!r}", hint=f"name one by its path: {shown}")
    if found:
        return found[0], []
    by_path = {path: id_ for id_, path in reversed(paths_of(collections).items())}
    parts = _parts(text)
    made: list[Collection] = []
    parent: str | None = None
    for depth in range(1, len(parts) + 1):
        known = by_path.get(parts[:depth])
        if known is None:
            made.append(Collection(id=new_id(), title=parts[depth - 1], parent=parent, creation_at=now, kind="folder"))
            known = made[-1].id
        parent = known
    if parent is None:
        raise InvalidField("a folder needs a name")
    return parent, made
