"""Finding sets: what is at which place, and which one a person means."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from backup import making, reading, targets
from backup.book import Book, Made
from backup.care import MISSING
from vault.errors import KeyferryError, NoSuchBackup, NoTarget, SealedElsewhere
from vault.moment import Instant
from vault.store import Store

SEALED = "sealed to others"  # of another vault, or from before this device was one of its vault


class Listed(msgspec.Struct, frozen=True):
    """One file of a set; ``verified_at`` is empty if it was never read whole here, ``trouble`` if nothing is wrong."""

    id: str
    path: str
    made_at: Instant
    items: int
    verified_at: Instant | None
    size: int
    device: str
    target: str = ""
    trouble: str = ""


def listed(store: Store, book: Book, place: str | None = None) -> tuple[Listed, ...]:
    """Return the files of all targets that are here, of one target, or of any folder, the oldest first.

    A file the book does not know is opened to its manifest. Raises ``NoTarget``, ``TargetMissing``, ``CannotRead``.
    """
    if place is None:
        chosen = book.targets
    else:
        try:
            chosen = (targets.find(book, place),)
        except NoTarget:
            if not _named(place).is_dir():
                raise
            return _in_folder(store, _named(place))
    found: list[Listed] = []
    for target in chosen:
        try:
            folder = targets.locate(target)
            names = {path.name for path in targets.files(folder)}
        except KeyferryError:
            if place is not None:
                raise
            continue
        for copy in target.copies:
            made = book.made(copy.set)
            if made is None:
                continue
            trouble = copy.trouble or ("" if made.name in names else MISSING)
            names.discard(made.name)
            found.append(_of(made, folder / made.name, copy.verified_at or None, target.id, trouble))
        gone = {link.set[:8] for link in target.pruned}
        fresh = [name for name in names if (cut := targets.NAME.fullmatch(name)) and cut[2] not in gone]
        found += [_peeked(store, folder / name, target.id) for name in fresh]
    return tuple(sorted(found, key=lambda one: (one.made_at, one.path)))


def made_of(book: Book, text: str) -> Made:
    """Return the set a person means: its id, a unique beginning of it, its file's name or path.

    Raises ``NoSuchBackup``.
    """
    name = Path(text).name
    found = [made for made in book.sets if text in (made.id, made.name) or made.name == name]
    if not found and re.fullmatch(r"[0-9a-f]{4,16}", text):
        found = [made for made in book.sets if made.id.startswith(text)]
    if len(found) != 1:
        several = "several backups are" if found else "there is no backup"
        raise NoSuchBackup(f"{several} called {text}", hint="keyferry backup list")
    return found[0]


def path_of(store: Store, book: Book, text: str) -> Path:
    """Return the file of the set a person means, be it known or a path. Raises ``NoSuchBackup``."""
    path = _named(text)
    if path.is_file():
        return path
    made = made_of(book, text)
    for target in book.holders(made.id):
        try:
            path = targets.locate(target) / made.name
        except KeyferryError:
            continue
        if path.is_file():
            return path
    raise NoSuchBackup(f"no copy of {made.name} is within reach", hint="plug in the drive that has one")


def _named(text: str) -> Path:
    return Path(os.path.expanduser(text))  # Path.expanduser raises for a user there is not


def _in_folder(store: Store, folder: Path) -> tuple[Listed, ...]:
    found = [_peeked(store, path, "") for path in targets.files(folder)]
    return tuple(sorted(found, key=lambda one: (one.made_at, one.path)))


def _of(made: Made, path: Path, verified_at: Instant | None, target: str, trouble: str) -> Listed:
    return Listed(made.id, str(path), made.made_at, made.items, verified_at, made.size, made.device, target, trouble)


def _peeked(store: Store, path: Path, target: str) -> Listed:
    try:
        manifest = reading.peek(path, making.own_opener(store)).manifest
    except SealedElsewhere:
        return Listed("", str(path), "", 0, None, 0, "", target, SEALED)
    except KeyferryError as error:
        return Listed("", str(path), "", 0, None, 0, "", target, error.message)
    facts = (manifest.made_at, manifest.counts.items, None, path.stat().st_size, manifest.device, target)
    return Listed(manifest.set, str(path), *facts)
